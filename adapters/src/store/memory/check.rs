//! Whether a batch fits what the store holds.

use super::Image;
use crate::source::memory::Memory;
use crate::store::encode::FIRST_VERSION;
use crate::store::{Batch, Conflict, Error, Op};
use std::collections::HashMap;

/// Plays a batch against an image without changing it, as the first pass of `commit.lua` does.
pub(super) struct Check<'a> {
    image: &'a Image,
    versions: HashMap<&'a str, Option<u64>>,
    entries: HashMap<&'a str, bool>,
    /// Whether the task has a tombstone, where the batch says so.
    done: HashMap<&'a str, bool>,
    queue: Option<&'a Memory>,
}

impl<'a> Check<'a> {
    pub(super) fn new(image: &'a Image, queue: Option<&'a Memory>) -> Check<'a> {
        Check {
            image,
            queue,
            versions: HashMap::new(),
            entries: HashMap::new(),
            done: HashMap::new(),
        }
    }

    pub(super) fn batch(mut self, batch: &'a Batch) -> Result<(), Error> {
        batch.ops.iter().try_for_each(|op| self.op(op))
    }

    fn op(&mut self, op: &'a Op) -> Result<(), Error> {
        match op {
            Op::Ingest { task, .. } => {
                if self.version(task).is_some() {
                    return Err(Error::Conflict(Conflict::Exists(task.clone())));
                }
                let known = self.done.get(task.as_str()).copied();
                if known.unwrap_or_else(|| self.image.tombstone(task).is_some()) {
                    return Err(Error::Conflict(Conflict::Tombstone(task.clone())));
                }
                self.versions.insert(task, Some(FIRST_VERSION));
            }
            Op::Move {
                task,
                expect,
                tombstone,
                ..
            } => {
                self.expect(task, *expect)?;
                self.versions.insert(task, Some(expect + 1));
                if tombstone.is_some() {
                    self.done.insert(task, true);
                }
            }
            Op::Forget { task, expect } => {
                self.expect(task, *expect)?;
                self.versions.insert(task, None);
            }
            Op::Tombstone { task, .. } => {
                self.done.insert(task, true);
            }
            Op::FreeId { task } => {
                self.done.insert(task, false);
            }
            Op::DropCallback { place } if self.image.dead_callback(place).is_none() => {
                return Err(Error::Gone(place.clone()));
            }
            Op::DropLetter { place } | Op::Requeue { place }
                if self.queue.is_none_or(|queue| queue.letter(place).is_none()) =>
            {
                return Err(Error::Gone(place.clone()));
            }
            Op::OutPush { key, .. } => {
                self.entries.insert(key, true);
            }
            Op::OutRetry { key, .. } => self.entry(key)?,
            Op::OutAck { key } | Op::OutDead { key, .. } => {
                self.entry(key)?;
                self.entries.insert(key, false);
            }
            Op::DropCallback { .. }
            | Op::DropLetter { .. }
            | Op::Requeue { .. }
            | Op::Answer { .. }
            | Op::Pause { .. }
            | Op::Settle { .. }
            | Op::DeadLetter { .. } => {}
        }
        Ok(())
    }

    fn version(&self, task: &str) -> Option<u64> {
        match self.versions.get(task) {
            Some(version) => *version,
            None => self.image.tasks.get(task).map(|held| held.version),
        }
    }

    fn expect(&self, task: &str, expect: u64) -> Result<(), Error> {
        match self.version(task) {
            None => Err(Error::Gone(task.to_owned())),
            Some(version) if version == expect => Ok(()),
            Some(_) => Err(Error::Conflict(Conflict::Version(task.to_owned()))),
        }
    }

    fn entry(&self, key: &str) -> Result<(), Error> {
        let held = match self.entries.get(key) {
            Some(held) => *held,
            None => self.image.outbox.contains_key(key),
        };
        if held {
            Ok(())
        } else {
            Err(Error::Gone(key.to_owned()))
        }
    }
}
