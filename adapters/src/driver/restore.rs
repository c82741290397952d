//! The start of a leader: from what the store holds to a driver that goes on where the last one stopped.

use super::callbacks::{Callbacks, LIMITS, Letter, Stored};
use super::clocks::Clocks;
use super::pending::Pending;
use super::{Driver, Settings};
use crate::message::parse;
use crate::metrics::Metrics;
use crate::store::{self, Loaded, Store};
use crate::trace::trace_id;
use crate::webhook;
use crate::wheel::Wheel;
use engine::outbox::{Key, Outbox, Owner, Schedule};
use engine::{
    Engine, Event, FirstFormat, Policy, Snapshot, StateKind, Task, TaskId, Timestamp, Tombstone, TookOver,
};
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

/// What was read of the store, not yet put together.
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
        store.load(&mut |loaded| reading.take(loaded))?;
        metrics.set_tasks_max(policy.tasks_max);
        let mut engine = Engine::new(policy);
        let mut wheel = Wheel::default();
        let mut again = Vec::new();
        let mut received = Vec::new();
        let mut ending = BTreeSet::new();
        let mut clocks = Clocks::default();
        let restored = Restored {
            tasks: reading.tasks.len(),
            callbacks: reading.owed.len(),
            unreadable: reading.unreadable.len(),
        };
        metrics.set_unreadable_snapshots(restored.unreadable as u64);
        for (id, task) in reading.tasks {
            wheel.set(&id, task.state.deadline());
            if task.state.kind() == StateKind::Received {
                received.push(id.clone());
            }
            if task.state.kind().is_terminal() {
                ending.insert(id.clone());
            } else {
                again.push((id.clone(), Event::TookOver(TookOver)));
            }
            clocks.restore(&id, &task, &metrics);
            engine.restore(id, task);
        }
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
            again,
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

/// Reads a snapshot, as a leader does at its start.
///
/// # Errors
/// Why a leader would set it aside.
pub fn read_task(snapshot: &[u8], version: u64) -> Result<Task, String> {
    match rmp_serde::from_slice::<FirstFormat>(snapshot)
        .map(Task::from)
        .or_else(|_| rmp_serde::from_slice::<Snapshot>(snapshot).map(Task::from))
    {
        Ok(task) if task.seq == version => Ok(task),
        Ok(task) => Err(format!("it says version {}, the store {version}", task.seq)),
        Err(error) => Err(error.to_string()),
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
    fn take(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Task {
                id,
                version,
                snapshot,
                ..
            } => {
                let id = TaskId::new(id);
                match read_task(&snapshot, version) {
                    Ok(task) => self.tasks.push((id, task)),
                    Err(why) => self.set_aside(id, &why),
                }
            }
            Loaded::Damaged { id } => self.set_aside(TaskId::new(id), "it is not one of ours"),
            Loaded::Entry { key, entry } => match rmp_serde::from_slice(&entry) {
                Ok(Stored::V1 {
                    key,
                    task,
                    url,
                    webhook_id,
                    body,
                    traceparent,
                    schedule,
                    resent,
                }) => {
                    self.owed.push((key.clone(), webhook::receiver(&url), schedule));
                    let letter = Letter {
                        task,
                        url,
                        webhook_id,
                        body,
                        traceparent,
                        resent,
                    };
                    self.letters.insert(key, letter);
                }
                Ok(Stored::Closed { owner }) => self.closed.push(owner),
                Err(error) => {
                    log::error!(key = key; "an entry of the outbox cannot be read and is left alone: {error}")
                }
            },
        }
    }

    /// A snapshot that cannot be read blocks nothing; it is left where it is, and its id stays taken.
    fn set_aside(&mut self, id: TaskId, why: &str) {
        log::error!(task = id.as_str(), trace = trace_id(None, id.as_str()); "its snapshot cannot be read and is left alone: {why}");
        self.unreadable.insert(id);
    }
}
