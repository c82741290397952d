//! What the store holds, decoded by threads of its own while the rest is still read.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::thread;

use crossbeam_channel::{bounded, unbounded};
use engine::outbox::{Key, Owner, Schedule};
use engine::{FirstFormat, Snapshot, Task, TaskId};

use super::callbacks::{Letter, Stored};
use crate::store::{self, Loaded, Store};
use crate::webhook;

/// Things that one thread decodes at once.
const PAGE: usize = 256;
/// Pages that wait for a thread.
const AHEAD: usize = 16;
/// Most threads that decode; one more reads.
const THREADS_MAX: usize = 4;

/// Is one thing that the store holds.
pub(super) enum Found {
    /// A task.
    Task(TaskId, Task),
    /// A task whose snapshot cannot be read, and why.
    Unreadable(TaskId, String),
    /// A callback that is owed, its receiver, and when it is tried.
    Owed(Key, Letter, String, Schedule),
    /// No more callbacks of this owner are sent.
    Closed(Owner),
    /// An entry of the outbox that cannot be read, and why.
    Damaged(String, String),
}

/// Hands everything that the store holds to `take`, in the order in which the store tells it.
pub(super) fn read<S: Store>(store: &mut S, take: &mut dyn FnMut(Found)) -> Result<(), store::Error> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (raw, raws) = bounded::<(usize, Vec<Loaded>)>(AHEAD);
    // Not bounded: what is decoded is kept in any case, and the reading must not wait for itself.
    let (done, decoded) = unbounded();
    thread::scope(|scope| {
        for _ in 0..threads.min(THREADS_MAX) {
            let (raws, done) = (raws.clone(), done.clone());
            scope.spawn(move || {
                for (number, page) in raws {
                    let page: Vec<Found> = page.into_iter().map(Found::from).collect();
                    if done.send((number, page)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((raws, done));
        let mut line = Line {
            next: 0,
            early: BTreeMap::new(),
            take,
        };
        let mut page = Vec::with_capacity(PAGE);
        let mut pages = 0;
        // A thread that is gone has panicked, which the end of the scope passes on.
        let mut hand_over = |page| {
            drop(raw.send((pages, page)));
            pages += 1;
        };
        let loaded = store.load(&mut |one| {
            page.push(one);
            if page.len() == PAGE {
                hand_over(std::mem::replace(&mut page, Vec::with_capacity(PAGE)));
                decoded.try_iter().for_each(|part| line.add(part));
            }
        });
        hand_over(page);
        drop(raw);
        decoded.iter().for_each(|part| line.add(part));
        loaded
    })
}

/// Puts the pages into their order again.
struct Line<'a> {
    next: usize,
    early: BTreeMap<usize, Vec<Found>>,
    take: &'a mut dyn FnMut(Found),
}

impl Line<'_> {
    fn add(&mut self, (number, page): (usize, Vec<Found>)) {
        self.early.insert(number, page);
        while let Some(page) = self.early.remove(&self.next) {
            self.next += 1;
            page.into_iter().for_each(&mut *self.take);
        }
    }
}

impl From<Loaded> for Found {
    fn from(loaded: Loaded) -> Self {
        match loaded {
            Loaded::Task {
                id,
                version,
                snapshot,
            } => match read_task(&snapshot, version) {
                Ok(task) => Self::Task(TaskId::new(id), task),
                Err(why) => Self::Unreadable(TaskId::new(id), why),
            },
            Loaded::Damaged { id } => Self::Unreadable(TaskId::new(id), "it is not one of ours".to_owned()),
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
                    let receiver = webhook::receiver(&url);
                    let letter = Letter {
                        task,
                        url,
                        webhook_id,
                        body,
                        traceparent,
                        resent,
                    };
                    Self::Owed(key, letter, receiver, schedule)
                }
                Ok(Stored::Closed { owner }) => Self::Closed(owner),
                Err(error) => Self::Damaged(key, error.to_string()),
            },
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
