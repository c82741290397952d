//! The webhook outbox: which callback is sent when, and when it is given up.
//!
//! It knows keys, receivers and times; URLs and bodies stay with the driver. It decides, the webhook
//! adapter makes each attempt once, and the store makes the decisions durable, in the order in which
//! they are returned. The driver stores them before it calls [`Outbox::start`] again, so nothing is
//! sent that a restart would not know of; where the write fails it drops the outbox and restores it.
//!
//! Delivery is at least once: what was in flight at a restart is due again.

mod key;
mod receivers;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::time::Timestamp;
pub use key::{Key, Owner};
use receivers::Receivers;
pub use receivers::{Limits, Load};
pub use schedule::{RETRY_AFTER_MAX_MS, Schedule, WAITS_MS};

/// What became of one attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Any 2xx.
    Delivered,
    /// 410: the receiver wants nothing more of this owner.
    Gone,
    /// Any other answer, or none.
    Failed {
        /// `Retry-After`, in milliseconds from the answer.
        retry_after_ms: Option<u64>,
    },
    /// Nothing was sent (the lease ended, or a shutdown began); it costs no attempt and stays due.
    NotBegun,
}

/// What the store has to make durable; to be applied in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The callback is owed under this schedule, which replaces an earlier one.
    Owed(Key, Schedule),
    /// The callback was delivered; its entry goes.
    Acknowledge(Key),
    /// The callback is given up; its entry moves to the dead letters.
    Dead(Key, Reason),
    /// Callbacks of this owner are dead at once from here on; stored until `Forget`.
    Close(Owner),
    /// The owner's verdict came: the mark of `Close` goes.
    Forget(Owner),
}

/// Why a callback was given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Every attempt of the schedule failed.
    Exhausted {
        /// Attempts made.
        attempts: u32,
    },
    /// The receiver answered 410 to this callback or to an earlier one of its owner.
    Gone,
    /// More than `Limits::pending_per_receiver` callbacks waited for a failing receiver, and this was the oldest.
    ReceiverBound,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { attempts } => write!(f, "{attempts} attempts failed"),
            Self::Gone => f.write_str("the receiver answered 410 Gone"),
            Self::ReceiverBound => f.write_str("too many callbacks wait for a receiver that fails"),
        }
    }
}

/// An answer to an attempt that is not in flight: late, repeated, or of a former leader.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no attempt of callback {0} is in flight")]
pub struct NotInFlight(pub Key);

/// Every callback that is owed.
///
/// Of each owner only the first callback, its head, is ever sent; the next becomes the head once that
/// one is delivered or dead. How the heads share the threads is the matter of [`Limits`].
#[derive(Debug)]
pub struct Outbox {
    entries: BTreeMap<Key, Entry>,
    receivers: Receivers,
    /// Owners whose receiver answered 410 before their verdict came: at most one a living task.
    closed: BTreeSet<Owner>,
}

#[derive(Debug)]
struct Entry {
    receiver: Box<str>,
    schedule: Schedule,
    in_flight: bool,
}

impl Outbox {
    /// Makes an empty outbox.
    pub fn new(limits: Limits) -> Self {
        Self {
            entries: BTreeMap::new(),
            receivers: Receivers::new(limits),
            closed: BTreeSet::new(),
        }
    }

    /// Rebuilds an outbox from what the store holds: entries `Owed`, and owners under `Close`.
    ///
    /// A receiver that has failed entries counts as failing until its first success, so that a restart
    /// is no stampede.
    pub fn restore(
        limits: Limits,
        now: Timestamp,
        owed: impl IntoIterator<Item = (Key, String, Schedule)>,
        closed: impl IntoIterator<Item = Owner>,
    ) -> Self {
        let mut outbox = Self::new(limits);
        outbox.closed.extend(closed);
        for (key, receiver, schedule) in owed {
            outbox.withdraw(now, &key.owner);
            outbox.insert(now, &key, &receiver, schedule.bounded(now));
            outbox.offer(now, &key.owner);
        }
        outbox
    }

    /// Takes in a callback that came to be owed to `receiver`, the place whose capacity it shares (scheme,
    /// host and port of the URL).
    ///
    /// The owner's head is tried at once for it, but not before the time that a `Retry-After` named. That
    /// try counts as any other: it can shorten the life of a 0 or 1, never that of a verdict. A key that is
    /// owed already changes nothing.
    pub fn push(&mut self, now: Timestamp, key: Key, receiver: &str) -> Vec<Decision> {
        if self.closed.contains(&key.owner) {
            return self.dead_on_arrival(key);
        }
        if self.entries.contains_key(&key) {
            return Vec::new();
        }
        let schedule = Schedule::new(now);
        let mut decisions = vec![Decision::Owed(key.clone(), schedule)];
        self.withdraw(now, &key.owner);
        self.insert(now, &key, receiver, schedule);
        if let Some(head) = self.head(&key.owner) {
            let pulled = self.entries[&head].schedule.pulled(now);
            decisions.extend(self.reschedule(head, pulled));
        }
        self.offer(now, &key.owner);
        // Never a verdict before what stands in front of it or is in flight: a 410 to that leaves a mark that only a verdict ends.
        while let Some(first) = self.receivers.beyond_bound(receiver, |owner| self.head(owner)) {
            decisions.extend(self.give_up(now, &first, Reason::ReceiverBound));
        }
        decisions
    }

    /// Lets a callback that waits be tried at once, but not before the time that a `Retry-After` named, nor before those of its
    /// owner that come first; `None` where it is not owed, or in flight.
    pub fn hasten(&mut self, now: Timestamp, key: &Key) -> Option<Vec<Decision>> {
        let entry = self.entries.get(key).filter(|entry| !entry.in_flight)?;
        let pulled = entry.schedule.pulled(now);
        self.withdraw(now, &key.owner);
        let decision = self.reschedule(key.clone(), pulled);
        self.offer(now, &key.owner);
        Some(decision.into_iter().collect())
    }

    /// Tells whether callbacks of `owner` are dead at once: its receiver answered 410, and its verdict is still to come.
    pub fn is_closed(&self, owner: &Owner) -> bool {
        self.closed.contains(owner)
    }

    /// Returns the callbacks to send now, and counts them as in flight; each is answered once by `answered`.
    pub fn start(&mut self, now: Timestamp) -> Vec<Key> {
        let mut started = Vec::new();
        while let Some(key) = self.receivers.begin(now) {
            self.entry(&key).in_flight = true;
            started.push(key);
        }
        started
    }

    /// Takes in what became of an attempt.
    pub fn answered(
        &mut self,
        now: Timestamp,
        key: &Key,
        answer: Answer,
    ) -> Result<Vec<Decision>, NotInFlight> {
        let entry = self
            .entries
            .get_mut(key)
            .filter(|entry| entry.in_flight)
            .ok_or_else(|| NotInFlight(key.clone()))?;
        entry.in_flight = false;
        let (receiver, owed_at) = (entry.receiver.clone(), entry.schedule.owed_at);
        self.receivers.end(now, &receiver, owed_at, key, answer);
        Ok(match answer {
            Answer::Delivered => {
                self.remove(now, key);
                vec![Decision::Acknowledge(key.clone())]
            }
            Answer::Gone => self.close(now, &key.owner),
            Answer::Failed { retry_after_ms } => self.failed(now, key, retry_after_ms),
            Answer::NotBegun => {
                self.offer(now, &key.owner);
                Vec::new()
            }
        })
    }

    /// Returns when `start` has something to send, as far as time alone decides; a moment that is past
    /// means now, `None` that a push or an answer has to come first.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.receivers.next_due()
    }

    /// Tells whether a callback of `owner` is owed.
    pub fn owes(&self, owner: &Owner) -> bool {
        self.keys(owner).next().is_some()
    }

    /// Returns the number of callbacks owed, those in flight included.
    pub fn pending(&self) -> usize {
        self.entries.len()
    }

    /// Returns when a callback that is owed is tried, and since when it is owed.
    pub fn schedule(&self, key: &Key) -> Option<Schedule> {
        Some(self.entries.get(key)?.schedule)
    }

    /// Returns since when the oldest callback is owed; looks at all of them.
    pub fn oldest_owed(&self) -> Option<Timestamp> {
        self.entries.values().map(|entry| entry.schedule.owed_at).min()
    }

    /// Tells whether a receiver that answers has more before it than half of the bound: what would add to it waits, for
    /// its callbacks are not given up. A failing receiver holds up nothing.
    pub const fn is_crowded(&self) -> bool {
        self.receivers.is_crowded()
    }

    /// Returns every receiver that callbacks are owed to.
    pub fn receivers(&self) -> impl Iterator<Item = (&str, Load)> {
        self.receivers.loads()
    }

    fn dead_on_arrival(&mut self, key: Key) -> Vec<Decision> {
        let owner = key.is_verdict().then(|| key.owner.clone());
        let mut decisions = vec![Decision::Dead(key, Reason::Gone)];
        decisions.extend(
            owner
                .and_then(|owner| self.closed.take(&owner))
                .map(Decision::Forget),
        );
        decisions
    }

    fn close(&mut self, now: Timestamp, owner: &Owner) -> Vec<Decision> {
        let keys: Vec<Key> = self.keys(owner).cloned().collect();
        for key in &keys {
            self.remove(now, key);
        }
        let more_may_come = !keys.iter().any(Key::is_verdict);
        let mut decisions: Vec<Decision> = keys
            .into_iter()
            .map(|key| Decision::Dead(key, Reason::Gone))
            .collect();
        if more_may_come {
            self.closed.insert(owner.clone());
            decisions.push(Decision::Close(owner.clone()));
        }
        decisions
    }

    fn failed(&mut self, now: Timestamp, key: &Key, retry_after_ms: Option<u64>) -> Vec<Decision> {
        let schedule = self.entries[key].schedule.failed(now, key, retry_after_ms);
        self.entry(key).schedule = schedule;
        if schedule.is_spent() {
            let attempts = schedule.attempts;
            return self.give_up(now, key, Reason::Exhausted { attempts });
        }
        self.offer(now, &key.owner);
        vec![Decision::Owed(key.clone(), schedule)]
    }

    /// Ends a callback that is not in flight; its `Retry-After` still holds for the one behind it.
    fn give_up(&mut self, now: Timestamp, key: &Key, reason: Reason) -> Vec<Decision> {
        let not_before = self.entries[key].schedule.not_before;
        self.remove(now, key);
        let mut decisions = vec![Decision::Dead(key.clone(), reason)];
        if not_before > now
            && let Some(head) = self.head(&key.owner)
        {
            let held = self.entries[&head].schedule.held(not_before);
            self.withdraw(now, &key.owner);
            decisions.extend(self.reschedule(head, held));
            self.offer(now, &key.owner);
        }
        decisions
    }

    /// Sets the schedule of an entry that is not on offer; `None` where it is the present one.
    fn reschedule(&mut self, key: Key, schedule: Schedule) -> Option<Decision> {
        let entry = self.entry(&key);
        let changed = entry.schedule != schedule;
        entry.schedule = schedule;
        changed.then_some(Decision::Owed(key, schedule))
    }

    fn insert(&mut self, now: Timestamp, key: &Key, receiver: &str, schedule: Schedule) {
        self.receivers.add(now, receiver, key, &schedule);
        let entry = Entry {
            receiver: receiver.into(),
            schedule,
            in_flight: false,
        };
        self.entries.insert(key.clone(), entry);
    }

    fn remove(&mut self, now: Timestamp, key: &Key) {
        self.withdraw(now, &key.owner);
        if let Some(entry) = self.entries.remove(key) {
            self.receivers.remove(now, &entry.receiver, key, &entry.schedule);
        }
        self.offer(now, &key.owner);
    }

    /// Offers the owner's head to its receiver; a change to the head stands between `withdraw` and this.
    fn offer(&mut self, now: Timestamp, owner: &Owner) {
        if let Some(head) = self.head(owner) {
            let entry = &self.entries[&head];
            self.receivers.offer(now, &entry.receiver, &head, &entry.schedule);
        }
    }

    fn withdraw(&mut self, now: Timestamp, owner: &Owner) {
        if let Some(head) = self.head(owner) {
            let entry = &self.entries[&head];
            self.receivers
                .withdraw(now, &entry.receiver, &head, &entry.schedule);
        }
    }

    /// Returns the owner's first callback, unless one of the owner is in flight.
    fn head(&self, owner: &Owner) -> Option<Key> {
        if self.keys(owner).any(|key| self.entries[key].in_flight) {
            return None;
        }
        self.keys(owner).next().cloned()
    }

    fn keys(&self, owner: &Owner) -> impl Iterator<Item = &Key> {
        let bound = |rank| Key {
            owner: owner.clone(),
            rank,
        };
        self.entries.range(bound(0)..=bound(u8::MAX)).map(|(key, _)| key)
    }

    fn entry(&mut self, key: &Key) -> &mut Entry {
        self.entries.get_mut(key).expect("a key on offer has an entry")
    }
}
