//! How receivers share the threads: one that is slow or dead must not keep the others waiting.
//!
//! Receivers with something due stand in a ring and have one send a turn, so none waits for longer than
//! one round, whatever the others owe. Within a receiver the oldest due goes first. It knows nothing of
//! owners and their order; [`super::Outbox`] offers it each owner's head only.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Key, Owner, Schedule};
use crate::time::Timestamp;

/// The bounds of the outbox; each at least 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Callbacks in flight; failing receivers together hold at most half of them, or 1.
    pub threads: usize,
    /// Callbacks in flight to one receiver. It is 1 from a failure on until the next success.
    pub per_receiver: usize,
    /// Callbacks that wait for one failing receiver. Those in flight, and those behind one of their owner in flight, count but
    /// are never given up for it. One that answers is never given up: from half of it on, intake waits
    /// ([`super::Outbox::is_crowded`]).
    pub pending_per_receiver: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: 32,
            per_receiver: 8,
            pending_per_receiver: 10_000,
        }
    }
}

/// What one receiver has before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Load {
    /// Callbacks owed, those in flight included.
    pub pending: usize,
    /// Callbacks in flight.
    pub in_flight: usize,
    /// Whether its last answer was a failure.
    pub failing: bool,
}

/// The receivers that callbacks are owed to.
#[derive(Debug)]
pub(super) struct Receivers {
    limits: Limits,
    known: BTreeMap<Box<str>, Receiver>,
    in_flight: usize,
    in_flight_failing: usize,
    /// Receivers that answer and have more than half of the bound before them.
    crowded: usize,
    /// Receivers with room whose next callback is due later.
    asleep: BTreeSet<(Timestamp, Box<str>)>,
    /// Receivers with room whose next callback is due, by ticket.
    healthy: BTreeMap<u64, Box<str>>,
    failing: BTreeMap<u64, Box<str>>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Receiver {
    /// Everything owed and not in flight, oldest first.
    waiting: BTreeSet<(Timestamp, Key)>,
    /// The part of it that may be sent, by due time, then age.
    heads: BTreeSet<(Timestamp, Timestamp, Key)>,
    in_flight: usize,
    failing: bool,
    place: Place,
}

/// Where a receiver stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    /// It has nothing to send, or no room for more in flight.
    #[default]
    Out,
    Asleep(Timestamp),
    Healthy(u64),
    Failing(u64),
}

impl Receivers {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: BTreeMap::new(),
            in_flight: 0,
            in_flight_failing: 0,
            crowded: 0,
            asleep: BTreeSet::new(),
            healthy: BTreeMap::new(),
            failing: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// Takes in a callback; one that has failed before marks its receiver as failing.
    pub(super) fn add(&mut self, now: Timestamp, name: &str, key: &Key, schedule: &Schedule) {
        self.change(now, name, |receiver| {
            receiver.waiting.insert((schedule.owed_at, key.clone()));
            receiver.failing |= schedule.attempts > 0;
        });
    }

    /// Drops a callback that is neither on offer nor in flight.
    pub(super) fn remove(&mut self, now: Timestamp, name: &str, key: &Key, schedule: &Schedule) {
        self.change(now, name, |receiver| {
            receiver.waiting.remove(&(schedule.owed_at, key.clone()));
        });
    }

    pub(super) fn offer(&mut self, now: Timestamp, name: &str, key: &Key, schedule: &Schedule) {
        self.change(now, name, |receiver| {
            receiver
                .heads
                .insert((schedule.due, schedule.owed_at, key.clone()));
        });
    }

    pub(super) fn withdraw(&mut self, now: Timestamp, name: &str, key: &Key, schedule: &Schedule) {
        self.change(now, name, |receiver| {
            receiver
                .heads
                .remove(&(schedule.due, schedule.owed_at, key.clone()));
        });
    }

    /// Takes the next callback off offer and counts it as in flight; `None` where none is due or has room.
    pub(super) fn begin(&mut self, now: Timestamp) -> Option<Key> {
        while let Some((due, name)) = self.asleep.first()
            && *due <= now
        {
            let name = name.clone();
            self.change(now, &name, |_| {});
        }
        let name: Box<str> = self.next()?.into();
        let receiver = self
            .known
            .get_mut(&name)
            .expect("a receiver in the ring is known");
        let place = std::mem::take(&mut receiver.place);
        self.leave(place, &name);
        let mut begun = None;
        self.change(now, &name, |receiver| {
            if let Some((_, owed_at, key)) = receiver.heads.pop_first() {
                let waiting = (owed_at, key);
                receiver.waiting.remove(&waiting);
                receiver.in_flight += 1;
                begun = Some(waiting.1);
            }
        });
        begun
    }

    /// Puts a callback that was in flight back among the waiting; the answer tells of the receiver's health.
    pub(super) fn end(&mut self, now: Timestamp, name: &str, owed_at: Timestamp, key: &Key, answer: Answer) {
        self.change(now, name, |receiver| {
            receiver.in_flight -= 1;
            receiver.waiting.insert((owed_at, key.clone()));
            receiver.failing = match answer {
                Answer::Delivered => false,
                Answer::Failed { .. } => true,
                Answer::Gone | Answer::NotBegun => receiver.failing,
            };
        });
    }

    /// Returns the first callback of whoever has waited longest for a failing receiver that has more than its bound; `first`
    /// names it.
    pub(super) fn beyond_bound(&self, name: &str, first: impl Fn(&Owner) -> Option<Key>) -> Option<Key> {
        let receiver = self.known.get(name)?;
        if !receiver.failing || receiver.pending() <= self.limits.pending_per_receiver {
            return None;
        }
        receiver.waiting.iter().find_map(|(_, key)| first(&key.owner))
    }

    pub(super) const fn is_crowded(&self) -> bool {
        self.crowded > 0
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        match self.next() {
            Some(name) => self.known[name].due(),
            None if self.is_full() => None,
            None => self.asleep.first().map(|(due, _)| *due),
        }
    }

    pub(super) fn loads(&self) -> impl Iterator<Item = (&str, Load)> {
        self.known.iter().map(|(name, receiver)| {
            let load = Load {
                pending: receiver.pending(),
                in_flight: receiver.in_flight,
                failing: receiver.failing,
            };
            (name.as_ref(), load)
        })
    }

    /// Returns the receiver whose turn it is.
    fn next(&self) -> Option<&str> {
        if self.is_full() {
            return None;
        }
        let failing_max = (self.limits.threads / 2).max(1);
        let failing = self.failing.first_key_value();
        let failing = failing.filter(|_| self.in_flight_failing < failing_max);
        let healthy = self.healthy.first_key_value();
        let (_, name) = healthy.into_iter().chain(failing).min()?;
        Some(name)
    }

    const fn is_full(&self) -> bool {
        self.in_flight >= self.limits.threads
    }

    /// Changes a receiver, then puts it where it belongs; one that is owed nothing is forgotten.
    fn change(&mut self, now: Timestamp, name: &str, change: impl FnOnce(&mut Receiver)) {
        let mut receiver = self.known.remove(name).unwrap_or_default();
        self.in_flight -= receiver.in_flight;
        self.in_flight_failing -= receiver.in_flight_failing();
        self.crowded -= usize::from(receiver.is_crowded(self.limits));
        change(&mut receiver);
        self.in_flight += receiver.in_flight;
        self.in_flight_failing += receiver.in_flight_failing();
        self.crowded += usize::from(receiver.is_crowded(self.limits));
        receiver.place = self.replace(now, name, &receiver);
        if receiver.pending() > 0 {
            self.known.insert(name.into(), receiver);
        }
    }

    fn replace(&mut self, now: Timestamp, name: &str, receiver: &Receiver) -> Place {
        let room = if receiver.failing {
            1
        } else {
            self.limits.per_receiver
        };
        let due = receiver.due().filter(|_| receiver.in_flight < room);
        let place = match (due, receiver.place) {
            (None, _) => Place::Out,
            (Some(due), _) if due > now => Place::Asleep(due),
            (Some(_), place @ Place::Failing(_)) if receiver.failing => place,
            (Some(_), place @ Place::Healthy(_)) if !receiver.failing => place,
            (Some(_), _) => {
                self.tickets += 1;
                if receiver.failing {
                    Place::Failing(self.tickets)
                } else {
                    Place::Healthy(self.tickets)
                }
            }
        };
        if place != receiver.place {
            self.leave(receiver.place, name);
            self.enter(place, name);
        }
        place
    }

    fn enter(&mut self, place: Place, name: &str) {
        match place {
            Place::Out => {}
            Place::Asleep(due) => {
                self.asleep.insert((due, name.into()));
            }
            Place::Healthy(ticket) => {
                self.healthy.insert(ticket, name.into());
            }
            Place::Failing(ticket) => {
                self.failing.insert(ticket, name.into());
            }
        }
    }

    fn leave(&mut self, place: Place, name: &str) {
        match place {
            Place::Out => {}
            Place::Asleep(due) => {
                self.asleep.remove(&(due, name.into()));
            }
            Place::Healthy(ticket) => {
                self.healthy.remove(&ticket);
            }
            Place::Failing(ticket) => {
                self.failing.remove(&ticket);
            }
        }
    }
}

impl Receiver {
    fn pending(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    fn due(&self) -> Option<Timestamp> {
        self.heads.first().map(|(due, ..)| *due)
    }

    fn is_crowded(&self, limits: Limits) -> bool {
        !self.failing && self.pending() > limits.pending_per_receiver / 2
    }

    const fn in_flight_failing(&self) -> usize {
        if self.failing { self.in_flight } else { 0 }
    }
}
