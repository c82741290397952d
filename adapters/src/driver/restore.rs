//! The start of a leader: from what the store holds to a driver that goes on where the last one stopped.

use super::callbacks::{Callbacks, LIMITS, Letter, Stored};
use super::clocks::{Clock, Clocks};
use super::pending::Pending;
use super::reading::{self, Found};
use super::{Driver, Settings};
use crate::message::parse;
use crate::metrics::Metrics;
use crate::store::{self, Store};
use crate::trace::trace_id;
use crate::wheel::Wheel;
use engine::outbox::{Key, Outbox, Owner, Schedule};
use engine::{Engine, Policy, StateKind, Task, TaskId, Timestamp, Tombstone};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most messages that are read at once.
const PAGE: usize = 256;

/// What a new leader found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// Tasks.
    pub tasks: usize,
    /// Callbacks that are owed.
    pub callbacks: usize,
    /// Tasks whose snapshot cannot be read.
    pub unreadable: usize,
}

/// What is kept of a task beside the engine.
struct Place {
    deadline: Option<Timestamp>,
    clock: Clock,
    ended: bool,
}

impl Place {
    fn of(task: &Task) -> Self {
        Self {
            deadline: task.state.deadline(),
            clock: Clock::of(task),
            ended: task.state.kind().is_terminal(),
        }
    }
}

/// What was read of the store, not yet put together; of the tasks, those that have no Job yet.
#[derive(Default)]
struct Reading {
    tasks: Vec<(TaskId, Task)>,
    unreadable: BTreeSet<TaskId>,
    letters: BTreeMap<Key, Letter>,
    owed: Vec<(Key, String, Schedule)>,
    closed: Vec<Owner>,
}

impl<S: Store> Driver<S> {
    /// Builds a driver from a store that this leader has claimed.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn restore(
        now: Timestamp,
        settings: Settings,
        policy: Policy,
        mut store: S,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Restored), store::Error> {
        let mut reading = Reading::default();
        let mut engine = Engine::new(policy);
        let mut places = Vec::new();
        reading::read(&mut store, &mut |found| {
            if let Some((id, task)) = reading.take(found) {
                places.push((id.clone(), Place::of(&task)));
                engine.restore(id, task);
            }
        })?;
        metrics.set_tasks_max(engine.policy().tasks_max);
        let mut received = Vec::new();
        for (id, task) in sorted(std::mem::take(&mut reading.tasks)) {
            places.push((id.clone(), Place::of(&task)));
            received.push(id.clone());
            engine.restore(id, task);
        }
        let places = sorted(places);
        let restored = Restored {
            tasks: places.len(),
            callbacks: reading.owed.len(),
            unreadable: reading.unreadable.len(),
        };
        metrics.set_unreadable_snapshots(restored.unreadable as u64);
        let ids_of = |ended| {
            let of_kind = places.iter().filter(move |(_, place)| place.ended == ended);
            of_kind.map(|(id, _)| id.clone())
        };
        let (ending, taken_over) = (ids_of(true).collect(), ids_of(false).collect());
        let wheel = Wheel::restored(
            places
                .iter()
                .filter_map(|(id, place)| Some((id.clone(), place.deadline?))),
        );
        let clocks = Clocks::restored(places.into_iter().map(|(id, place)| (id, place.clock)), &metrics);
        let outbox = Outbox::restore(LIMITS, now, reading.owed, reading.closed);
        let mut driver = Self {
            settings,
            store,
            engine,
            wheel,
            callbacks: Callbacks::new(outbox, reading.letters, Arc::clone(&metrics)),
            metrics,
            messages: BTreeMap::new(),
            receipts: BTreeMap::new(),
            raws: BTreeMap::new(),
            known_since: BTreeMap::new(),
            refused: BTreeMap::new(),
            unreadable: reading.unreadable,
            panics: BTreeMap::new(),
            taken_over,
            again: Vec::new(),
            pending: Pending::restored(ending, clocks),
            outputs: Vec::new(),
            watching: false,
            resuming: false,
            rests_until: Timestamp(0),
            holds_until: Timestamp(0),
            shown_at: Timestamp(0),
            crowded: false,
            draining: false,
            intake: super::pause::Intake::default(),
        };
        driver.read_messages(&received)?;
        driver.read_pause()?;
        Ok((driver, restored))
    }

    /// Reads again the messages of tasks whose Job is not made yet.
    fn read_messages(&mut self, received: &[TaskId]) -> Result<(), store::Error> {
        for page in received.chunks(PAGE) {
            let names: Vec<&str> = page.iter().map(TaskId::as_str).collect();
            for (id, raw) in page.iter().zip(self.store.messages(&names)?) {
                let Some(raw) = raw else { continue };
                if let Ok(parsed) = parse(&raw) {
                    self.messages.insert(id.clone(), parsed.message);
                }
                if !self.store.joint() {
                    self.raws.insert(id.clone(), Sha256::digest(&raw).into());
                }
            }
        }
        Ok(())
    }

    /// Asks again for everything that was owed when the last leader stopped; the lists are complete.
    pub(super) fn resume(&mut self) {
        let owed: Vec<_> = self
            .engine
            .owed()
            .map(|(id, effect)| (id.clone(), effect))
            .collect();
        for (task, effect) in owed {
            self.request(&task, effect);
        }
    }
}

/// A callback that is owed, as the store says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwedCallback {
    /// Whose it is; `None` for the answer to a refused message.
    pub task: Option<TaskId>,
    /// Its status.
    pub status: u8,
}

/// Reads an entry of the outbox; `None` for one that only ends the callbacks of its owner, or is sent again by order: no task
/// need be there for it.
///
/// # Errors
/// Why it cannot be read.
pub fn read_callback(entry: &[u8]) -> Result<Option<OwedCallback>, String> {
    match rmp_serde::from_slice(entry) {
        Ok(Stored::V1 { resent: true, .. } | Stored::Closed { .. }) => Ok(None),
        Ok(Stored::V1 { key, task, .. }) => Ok(Some(OwedCallback {
            task,
            status: key.rank,
        })),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a tombstone.
///
/// # Errors
/// Why it cannot be read.
pub fn read_tombstone(value: &[u8]) -> Result<Tombstone, String> {
    rmp_serde::from_slice(value).map_err(|error| error.to_string())
}

impl Reading {
    /// Keeps what was found; a task that has its Job is given back, for its place in the order is of no matter.
    fn take(&mut self, found: Found) -> Option<(TaskId, Task)> {
        match found {
            Found::Task(id, task) if task.state.kind() != StateKind::Received => return Some((id, task)),
            Found::Task(id, task) => self.tasks.push((id, task)),
            Found::Unreadable(id, why) => self.set_aside(id, &why),
            Found::Owed(key, letter, receiver, schedule) => {
                self.owed.push((key.clone(), receiver, schedule));
                self.letters.insert(key, letter);
            }
            Found::Closed(owner) => self.closed.push(owner),
            Found::Damaged(key, why) => {
                log::error!(key = key; "an entry of the outbox cannot be read and is left alone: {why}");
            }
        }
        None
    }

    /// A snapshot that cannot be read blocks nothing; it is left where it is, and its id stays taken.
    fn set_aside(&mut self, id: TaskId, why: &str) {
        log::error!(task = id.as_str(), trace = trace_id(None, id.as_str()); "its snapshot cannot be read and is left alone: {why}");
        self.unreadable.insert(id);
    }
}

/// Sorts by id, each once. Most ids differ in their first bytes, which lie beside each other here.
fn sorted<T>(found: Vec<(TaskId, T)>) -> Vec<(TaskId, T)> {
    let mut keyed: Vec<(u64, (TaskId, T))> = found
        .into_iter()
        .map(|one| (first_bytes(one.0.as_str()), one))
        .collect();
    keyed.sort_unstable_by(|(a, (left, _)), (b, (right, _))| a.cmp(b).then_with(|| left.cmp(right)));
    keyed.dedup_by(|(_, (later, _)), (_, (first, _))| later == first);
    keyed.into_iter().map(|(_, one)| one).collect()
}

/// Returns the first eight bytes as a number that sorts as they do.
fn first_bytes(id: &str) -> u64 {
    let mut bytes = [0; 8];
    for (byte, of_id) in bytes.iter_mut().zip(id.bytes()) {
        *byte = of_id;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_each_is_kept_once() {
        let ids = [
            "task-00010",
            "b",
            "task-00009",
            "",
            "b",
            "task-0001",
            "a\u{0}",
            "a",
        ];
        let found = sorted(ids.map(|id| (TaskId::new(id), ())).into());
        let found: Vec<&str> = found.iter().map(|(id, ())| id.as_str()).collect();
        assert_eq!(
            found,
            ["", "a", "a\u{0}", "b", "task-00009", "task-0001", "task-00010"]
        );
    }
}
