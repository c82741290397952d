//! The thread that takes messages, as `taker.rs`.

use crate::plan::Mutant;
use crate::replica::POISON;
use crate::world::{ToTerm, World};
use adapters::driver::{Input, Taken};
use adapters::source::{Cursor, Delivery, Receipt, Source as _};
use std::collections::{BTreeMap, VecDeque};

const TAKE_MAX: usize = 64;
const POLLING_MS: u64 = 5_000;
const RETRY_MS: u64 = 1_000;
const PAGE: usize = 128;

/// The thread that takes messages.
#[derive(Default)]
pub(crate) struct Taker {
    pub(crate) room: usize,
    pub(crate) handed: usize,
    pub(crate) known: BTreeMap<Receipt, usize>,
    pub(crate) drained_at: Option<u64>,
    /// The leftover that was handed over last; its attempts are forgotten once the process has outlived it.
    pub(crate) outlived: Option<Receipt>,
    /// Where a pass over the leftovers is.
    pub(crate) pass: Option<VecDeque<Delivery>>,
    pub(crate) closed: bool,
    pub(crate) scheduled: bool,
}

impl Taker {
    pub(crate) const fn free(&self) -> usize {
        self.room.saturating_sub(self.handed)
    }
}

impl World {
    pub(crate) fn wake_taker(&mut self, index: usize, ms: u64) {
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        if !term.taker.scheduled {
            term.taker.scheduled = true;
            let id = term.id;
            self.tell_term(ms, index, id, ToTerm::Taker);
        }
    }

    pub(crate) fn takes(&mut self, index: usize) {
        let now = self.now;
        let one_drain = self.plan.is(Mutant::OneDrain);
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        let taker = &mut term.taker;
        taker.scheduled = false;
        if taker.closed {
            return;
        }
        if taker.pass.is_some() {
            return self.drains(index);
        }
        if taker.free() == 0 {
            return self.wake_taker(index, RETRY_MS);
        }
        let due = taker
            .drained_at
            .is_none_or(|at| !one_drain && now >= at + POLLING_MS);
        if due {
            taker.drained_at = Some(now);
            let known = taker.known.clone();
            let page = self
                .shared
                .lock()
                .queue
                .leftovers(Cursor::default(), PAGE)
                .expect("a queue in memory does not fail");
            let left: VecDeque<_> = page
                .deliveries
                .into_iter()
                .filter(|delivery| !known.contains_key(&delivery.receipt))
                .collect();
            taker.pass = Some(left);
            return self.drains(index);
        }
        let max = taker.free().min(TAKE_MAX);
        let deliveries = self.shared.lock().take(max);
        let wait = if deliveries.is_empty() { RETRY_MS } else { 5 };
        for delivery in deliveries {
            self.keeps(index, &delivery.receipt);
            if !self.hands(index, delivery, false) {
                return;
            }
        }
        self.wake_taker(index, wait);
    }

    /// One leftover at a time: the next once the one before was counted by a turn.
    fn drains(&mut self, index: usize) {
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        let taker = &mut term.taker;
        if taker.handed > 0 {
            return self.wake_taker(index, 20);
        }
        if let Some(receipt) = taker.outlived.take() {
            let queue = std::sync::Arc::clone(&self.shared.lock().queue);
            queue
                .forget_attempts(&receipt)
                .expect("a queue in memory does not fail");
        }
        let next = if taker.free() == 0 {
            None
        } else {
            taker.pass.as_mut().and_then(VecDeque::pop_front)
        };
        let Some(delivery) = next else {
            taker.pass = None;
            return self.wake_taker(index, 1);
        };
        let attempts = self
            .shared
            .lock()
            .queue
            .count_attempt(&delivery.receipt)
            .expect("a queue in memory does not fail");
        if attempts > 0 {
            self.note(|| {
                format!(
                    "leftover, attempt {attempts}: {:.60}",
                    String::from_utf8_lossy(&delivery.raw)
                )
            });
            self.reach("leftover");
            let receipt = delivery.receipt.clone();
            self.keeps(index, &receipt);
            if !self.hands(index, delivery, attempts >= engine::PANICS_MAX) {
                return;
            }
            if let Some(term) = &mut self.replicas[index].term {
                term.taker.outlived = Some(receipt);
            }
        }
        self.wake_taker(index, 5);
    }

    fn keeps(&mut self, index: usize, receipt: &Receipt) {
        if let Some(term) = &mut self.replicas[index].term {
            *term.taker.known.entry(receipt.clone()).or_insert(0) += 1;
        }
    }

    /// Reads a message and hands it over; false where that ended the process.
    fn hands(&mut self, index: usize, delivery: Delivery, poison: bool) -> bool {
        if delivery.raw == POISON && !poison {
            self.reach("poison");
            self.crashes(index);
            return false;
        }
        if self.plan.is(Mutant::EarlyAcknowledge) {
            let queue = std::sync::Arc::clone(&self.shared.lock().queue);
            if let Err(error) = queue.acknowledge(std::slice::from_ref(&delivery.receipt)) {
                self.broke("queue", "", error.to_string());
            }
        }
        let taken = if poison {
            Taken::poison(delivery)
        } else {
            Taken::read(delivery)
        };
        let Some(term) = &mut self.replicas[index].term else {
            return false;
        };
        term.taker.handed += 1;
        term.inbox.push_back(Input::Message(Box::new(taken)));
        let wait = self.rng.range(0, 20);
        self.want_turn(index, wait);
        true
    }

    /// As `Tenure::deadline_ms`, for other parts of the term.
    pub(crate) fn tenure_deadline(&self, index: usize) -> u64 {
        self.replicas[index].tenure_deadline()
    }
}
