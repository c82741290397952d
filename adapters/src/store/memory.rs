//! The store in memory, for tests and the simulation: same trait, same answers as Redis.
//!
//! Its clock stands still until [`MemoryStore::set_now`] moves it; values made by `clone` share one memory, as
//! several leaders share one Redis.

mod check;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use check::Check;

use super::encode::{self, FIRST_VERSION};
use super::{
    ANSWERS_MAX, Batch, Conflict, DEAD_CALLBACKS_MAX, Epoch, Error, Fields, LOG_MAX, Loaded, ORDERS_PAGE, Op,
    Refused, Store, Tombstone, Trimmed,
};
use crate::source::{Source, memory::Memory};

/// Is one leader's view of a store in memory.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    image: Arc<Mutex<Image>>,
    queue: Option<Arc<Memory>>,
    instance: String,
    token: Option<String>,
    seen: u64,
}

/// Is everything that a store holds; a copy of an earlier one, put back, is a store that lost writes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Image {
    token: Option<String>,
    seq: u64,
    claims: u64,
    instance: Option<String>,
    now_ms: u64,
    tasks: BTreeMap<String, Held>,
    messages: BTreeMap<String, Vec<u8>>,
    outbox: BTreeMap<String, Vec<u8>>,
    done: BTreeMap<String, (Vec<u8>, Option<u64>)>,
    /// Dead callbacks, oldest first; one that was dropped is empty.
    pub dead: VecDeque<Fields>,
    /// Dead callbacks that were trimmed: the place of the first one kept is `<this>-0`.
    trimmed: u64,
    /// Orders that wait, by their places.
    pub orders: BTreeMap<String, Vec<u8>>,
    /// Orders with what became of them, oldest first.
    pub answers: VecDeque<(Vec<u8>, Vec<u8>)>,
    /// Who paused the intake.
    pub paused: Option<Vec<u8>>,
    /// Event log, oldest first.
    pub log: VecDeque<Vec<u8>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Held {
    version: u64,
    snapshot: Vec<u8>,
    due: Option<u64>,
}

impl Image {
    /// Returns the index of deadlines: when each task wants attention, in ms since 1970.
    #[must_use]
    pub fn deadlines(&self) -> BTreeMap<String, Option<u64>> {
        let due = |(id, held): (&String, &Held)| (id.clone(), held.due);
        self.tasks.iter().map(due).collect()
    }
}

impl MemoryStore {
    /// Returns an empty store for the instance of a namespace and lock name.
    #[must_use]
    pub fn new(namespace: &str, lock: &str) -> MemoryStore {
        MemoryStore {
            image: Arc::default(),
            queue: None,
            instance: format!("{namespace}/{lock}"),
            token: None,
            seen: 0,
        }
    }

    /// Lets batches settle messages of `queue`.
    #[must_use]
    pub fn joined(mut self, queue: Arc<Memory>) -> MemoryStore {
        self.queue = Some(queue);
        self
    }

    /// Returns a copy of everything held.
    #[must_use]
    pub fn image(&self) -> Image {
        self.lock().clone()
    }

    /// Puts an earlier copy back, or an empty one: what a server does that loses writes.
    pub fn restore(&self, image: Image) {
        *self.lock() = image;
    }

    /// Sets the clock that ends tombstones, in ms.
    pub fn set_now(&self, now_ms: u64) {
        self.lock().now_ms = now_ms;
    }

    fn lock(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn claim(&mut self, holder: &str) -> Result<Epoch, Error> {
        let nonce = uuid::Uuid::new_v4().simple();
        let mut image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        match &image.instance {
            Some(theirs) if *theirs != self.instance => {
                return Err(Error::Instance {
                    ours: self.instance.clone(),
                    theirs: theirs.clone(),
                });
            }
            Some(_) => {}
            None => image.instance = Some(self.instance.clone()),
        }
        image.claims += 1;
        image.seq += 1;
        let number = image.claims;
        let token = format!("{number}:{holder}:{nonce}");
        image.token = Some(token.clone());
        self.seen = image.seq;
        self.token = Some(token.clone());
        Ok(Epoch { token, number })
    }

    fn commit(&mut self, batch: &Batch, _until: Instant) -> Result<Trimmed, Error> {
        let token = self
            .token
            .as_ref()
            .ok_or(Error::Invalid("the store is not claimed"))?;
        encode::batch(batch, self.queue.is_some())?;
        let mut image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        if image.token.as_ref() != Some(token) {
            return Err(Error::Fenced);
        }
        if image.seq < self.seen {
            return Err(Error::Rollback {
                known: self.seen,
                found: image.seq.to_string(),
            });
        }
        if image.seq > self.seen {
            return Err(Error::Conflict(Conflict::Ahead {
                known: self.seen,
                found: image.seq.to_string(),
            }));
        }
        Check::new(&image, self.queue.as_deref()).batch(batch)?;
        self.seen += 1;
        image.seq = self.seen;
        let mut trimmed = Trimmed::default();
        for op in &batch.ops {
            image.apply(op);
            if let Some(queue) = &self.queue {
                trimmed.letters += settle(queue, op)?;
            }
        }
        image.log.extend(batch.log.iter().cloned());
        trimmed.callbacks = trim(&mut image.dead, DEAD_CALLBACKS_MAX);
        image.trimmed += trimmed.callbacks;
        trim(&mut image.answers, ANSWERS_MAX);
        trimmed.records = trim(&mut image.log, LOG_MAX);
        Ok(trimmed)
    }

    fn tombstones(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let image = self.lock();
        let value = |id: &&str| image.tombstone(id).cloned();
        Ok(ids.iter().map(value).collect())
    }

    fn load(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error> {
        let image = self.image();
        for (id, held) in image.tasks {
            each(Loaded::Task {
                id,
                version: held.version,
                snapshot: held.snapshot,
            });
        }
        for (key, entry) in image.outbox {
            each(Loaded::Entry { key, entry });
        }
        Ok(())
    }

    fn messages(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let image = self.lock();
        Ok(ids.iter().map(|id| image.messages.get(*id).cloned()).collect())
    }

    fn orders(&mut self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let image = self.lock();
        let orders = image.orders.iter().take(ORDERS_PAGE);
        Ok(orders
            .map(|(place, order)| (place.clone(), order.clone()))
            .collect())
    }

    fn dead_callbacks(&mut self, places: &[&str]) -> Result<Vec<Option<Fields>>, Error> {
        let image = self.lock();
        Ok(places
            .iter()
            .map(|place| image.dead_callback(place).cloned())
            .collect())
    }

    fn letters(&mut self, places: &[&str]) -> Result<Vec<Option<Refused>>, Error> {
        let letter = |place: &&str| {
            let letter = self.queue.as_ref()?.letter(place)?;
            Some(Refused {
                raw: letter.raw,
                reason: letter.reason,
            })
        };
        Ok(places.iter().map(letter).collect())
    }

    fn record(&mut self, place: &str) -> Result<Option<Vec<u8>>, Error> {
        let number = place.strip_suffix("-0").and_then(|number| number.parse().ok());
        Ok(number.and_then(|number: usize| self.lock().log.get(number).cloned()))
    }

    fn paused(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.lock().paused.clone())
    }

    fn joint(&self) -> bool {
        self.queue.is_some()
    }
}

impl Image {
    fn tombstone(&self, task: &str) -> Option<&Vec<u8>> {
        let (value, ends) = self.done.get(task)?;
        ends.is_none_or(|ends| ends > self.now_ms).then_some(value)
    }

    fn dead_callback(&self, place: &str) -> Option<&Fields> {
        let fields = self.dead.get(self.place(place)?)?;
        (!fields.is_empty()).then_some(fields)
    }

    fn place(&self, place: &str) -> Option<usize> {
        let number: u64 = place.strip_suffix("-0")?.parse().ok()?;
        usize::try_from(number.checked_sub(self.trimmed)?).ok()
    }

    /// Applies what was checked.
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Ingest {
                task,
                snapshot,
                due,
                message,
                ..
            } => {
                self.hold(task, FIRST_VERSION, snapshot, *due);
                if let Some(message) = message {
                    self.messages.insert(task.clone(), message.clone());
                }
            }
            Op::Move {
                task,
                expect,
                snapshot,
                due,
                forget_message,
                tombstone,
            } => {
                self.hold(task, expect + 1, snapshot, *due);
                if *forget_message {
                    self.messages.remove(task);
                }
                if let Some(tombstone) = tombstone {
                    self.bury(task, tombstone);
                }
            }
            Op::Forget { task, .. } => {
                self.tasks.remove(task);
                self.messages.remove(task);
            }
            Op::Tombstone { task, tombstone } => self.bury(task, tombstone),
            Op::OutPush { key, entry } | Op::OutRetry { key, entry } => {
                self.outbox.insert(key.clone(), entry.clone());
            }
            Op::OutAck { key } => {
                self.outbox.remove(key);
            }
            Op::OutDead { key, dead } => {
                self.outbox.remove(key);
                self.dead.push_back(dead.clone());
            }
            Op::Answer { place, order, answer } => {
                self.orders.remove(place);
                self.answers.push_back((order.clone(), answer.clone()));
            }
            Op::Pause { by } => self.paused.clone_from(by),
            Op::FreeId { task } => {
                self.done.remove(task);
            }
            Op::DropCallback { place } => {
                if let Some(fields) = self.place(place).and_then(|at| self.dead.get_mut(at)) {
                    fields.clear();
                }
            }
            Op::Settle { .. } | Op::DeadLetter { .. } | Op::DropLetter { .. } | Op::Requeue { .. } => {}
        }
    }

    fn hold(&mut self, task: &str, version: u64, snapshot: &[u8], due: Option<u64>) {
        let held = Held {
            version,
            snapshot: snapshot.to_vec(),
            due,
        };
        self.tasks.insert(task.to_owned(), held);
    }

    fn bury(&mut self, task: &str, tombstone: &Tombstone) {
        let ends = tombstone.expires_in.map(|life| {
            let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
            self.now_ms.saturating_add(life)
        });
        self.done.insert(task.to_owned(), (tombstone.value.clone(), ends));
    }
}

/// Settles what an operation says; a queue in memory cannot fail.
fn settle(queue: &Memory, op: &Op) -> Result<u64, Error> {
    let answer = match op {
        Op::Settle { receipt }
        | Op::Ingest {
            settle: Some(receipt),
            ..
        } => queue.acknowledge(std::slice::from_ref(receipt)).map(|()| 0),
        Op::DeadLetter { letter } => queue.dead_letter(letter),
        Op::DropLetter { place } => queue.drop_letter(place).map(|_| 0),
        Op::Requeue { place } => queue.requeue(place).map(|_| 0),
        Op::Ingest { settle: None, .. }
        | Op::Move { .. }
        | Op::Forget { .. }
        | Op::Tombstone { .. }
        | Op::OutPush { .. }
        | Op::OutAck { .. }
        | Op::OutRetry { .. }
        | Op::OutDead { .. }
        | Op::FreeId { .. }
        | Op::DropCallback { .. }
        | Op::Answer { .. }
        | Op::Pause { .. } => Ok(0),
    };
    answer.map_err(|error| Error::Answer(error.to_string()))
}

fn trim<T>(list: &mut VecDeque<T>, bound: usize) -> u64 {
    let over = list.len().saturating_sub(bound);
    list.drain(..over);
    over as u64
}
