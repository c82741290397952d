//! The queue in memory, for tests and the simulation: same trait, same answers as the Redis list.
//!
//! Receipts are numbers here, so that copies with equal bytes stay apart.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{
    Cursor, DeadLetter, Delivery, Depth, Error, Joint, LETTERS_MAX, PAGE_MAX, Page, Receipt, Source,
};

/// Is a queue in memory.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    taken: BTreeMap<u64, Taken>,
    dead: BTreeMap<u64, DeadLetter>,
    last: u64,
    last_dead: u64,
}

#[derive(Debug)]
struct Taken {
    raw: Vec<u8>,
    attempts: u32,
}

impl Memory {
    /// Returns an empty queue.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Puts a message at the end of the queue.
    pub fn push(&self, raw: impl Into<Vec<u8>>) {
        self.lock().waiting.push_back(raw.into());
        self.arrived.notify_one();
    }

    /// Returns the dead letters, oldest first.
    #[must_use]
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.lock().dead.values().cloned().collect()
    }

    /// Returns the dead letter at a place, `<number>-0` as they came.
    #[must_use]
    pub fn letter(&self, place: &str) -> Option<DeadLetter> {
        self.lock().dead.get(&number_of(place)?).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let count = max.min(self.waiting.len());
        let raws: Vec<Vec<u8>> = self.waiting.drain(..count).collect();
        raws.into_iter()
            .map(|raw| {
                self.last += 1;
                let attempts = 0;
                let delivery = delivery(self.last, &raw);
                self.taken.insert(self.last, Taken { raw, attempts });
                delivery
            })
            .collect()
    }
}

impl Source for Memory {
    fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        let max = max.min(PAGE_MAX);
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            let taken = state.hand_out(max);
            let left = deadline.saturating_duration_since(Instant::now());
            if !taken.is_empty() || max == 0 || left.is_zero() {
                return Ok(taken);
            }
            state = self
                .arrived
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn leftovers(&self, cursor: Cursor, max: usize) -> Result<Page, Error> {
        let max = max.clamp(1, PAGE_MAX);
        let state = self.lock();
        let deliveries: Vec<Delivery> = state
            .taken
            .iter()
            .skip(usize::try_from(cursor.0).unwrap_or(usize::MAX))
            .take(max)
            .map(|(number, taken)| delivery(*number, &taken.raw))
            .collect();
        let full = deliveries.len() == max;
        Ok(Page {
            deliveries,
            next: full.then_some(Cursor(cursor.0 + max as u64)),
        })
    }

    fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), Error> {
        let mut state = self.lock();
        for receipt in receipts {
            state.taken.remove(&number(receipt));
        }
        Ok(())
    }

    fn dead_letter(&self, letter: &DeadLetter) -> Result<u64, Error> {
        let mut state = self.lock();
        if state.taken.remove(&number(&letter.receipt)).is_none() {
            return Ok(0);
        }
        state.last_dead += 1;
        let place = state.last_dead;
        state.dead.insert(place, letter.clone());
        if state.dead.len() > LETTERS_MAX {
            state.dead.pop_first();
            return Ok(1);
        }
        Ok(0)
    }

    fn depth(&self) -> Result<Depth, Error> {
        let state = self.lock();
        Ok(Depth {
            waiting: state.waiting.len() as u64,
            taken: state.taken.len() as u64,
            dead: state.dead.len() as u64,
        })
    }

    fn count_attempt(&self, receipt: &Receipt) -> Result<u32, Error> {
        Ok(match self.lock().taken.get_mut(&number(receipt)) {
            None => 0,
            Some(taken) => {
                taken.attempts += 1;
                taken.attempts
            }
        })
    }

    fn forget_attempts(&self, receipt: &Receipt) -> Result<(), Error> {
        if let Some(taken) = self.lock().taken.get_mut(&number(receipt)) {
            taken.attempts = 0;
        }
        Ok(())
    }

    fn requeue(&self, place: &str) -> Result<bool, Error> {
        let mut state = self.lock();
        let Some(letter) = number_of(place).and_then(|number| state.dead.remove(&number)) else {
            return Ok(false);
        };
        state.waiting.push_back(letter.raw);
        self.arrived.notify_one();
        Ok(true)
    }

    fn drop_letter(&self, place: &str) -> Result<bool, Error> {
        let number = number_of(place);
        Ok(number.is_some_and(|number| self.lock().dead.remove(&number).is_some()))
    }

    fn joint(&self) -> Option<&Joint> {
        None
    }
}

fn delivery(number: u64, raw: &[u8]) -> Delivery {
    Delivery {
        raw: raw.to_vec(),
        receipt: Receipt(Arc::from(number.to_be_bytes().as_slice())),
    }
}

/// A receipt of another queue names nothing here.
fn number(receipt: &Receipt) -> u64 {
    <[u8; 8]>::try_from(&*receipt.0).map_or(0, u64::from_be_bytes)
}

/// Reads the place of a dead letter.
fn number_of(place: &str) -> Option<u64> {
    place.strip_suffix("-0")?.parse().ok()
}
