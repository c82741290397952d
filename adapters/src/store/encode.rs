//! A batch as the flat keys and arguments of `commit.lua`, and the rules that a batch has to keep.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use super::{BYTES_MAX, Batch, DEAD_FIELDS_MAX, Error, OPS_MAX, Op, TOMBSTONE_LIFE_MAX, Tombstone};
use crate::source::{DeadLetter, Receipt};

/// Bytes before a snapshot that hold its version, big-endian; the script compares them unread.
pub(super) const VERSION_LENGTH: usize = 8;
/// Version of a task that was just added.
pub(super) const FIRST_VERSION: u64 = 1;

/// Counted for the small parts of an operation or record: codes, versions, times, lengths.
const OVERHEAD: usize = 128;

impl Batch {
    /// Returns about how many bytes the batch sends: what [`BYTES_MAX`] bounds.
    #[must_use]
    pub fn size(&self) -> usize {
        let ops: usize = self.ops.iter().map(Op::size).sum();
        let log: usize = self.log.iter().map(|record| record.len() + OVERHEAD).sum();
        ops + log
    }
}

impl Op {
    /// Returns about how many bytes the operation adds to [`Batch::size`].
    #[must_use]
    pub fn size(&self) -> usize {
        let body = match self {
            Op::Ingest {
                task,
                snapshot,
                message,
                settle,
                ..
            } => {
                let message = message.as_ref().map_or(0, Vec::len);
                let settle = settle.as_ref().map_or(0, |receipt| receipt.0.len());
                2 * task.len() + snapshot.len() + message + settle
            }
            Op::Move {
                task,
                snapshot,
                tombstone,
                ..
            } => {
                let tombstone = tombstone.as_ref().map_or(0, |tombstone| tombstone.value.len());
                2 * task.len() + snapshot.len() + tombstone
            }
            Op::Forget { task, .. } | Op::FreeId { task } => task.len(),
            Op::DropCallback { place } | Op::DropLetter { place } | Op::Requeue { place } => place.len(),
            Op::Tombstone { task, tombstone } => task.len() + tombstone.value.len(),
            Op::OutPush { key, entry } | Op::OutRetry { key, entry } => key.len() + entry.len(),
            Op::OutAck { key } => key.len(),
            Op::OutDead { key, dead } => {
                let fields = dead.iter().map(|(name, value)| name.len() + value.len());
                key.len() + fields.sum::<usize>()
            }
            Op::Answer { place, order, answer } => place.len() + order.len() + answer.len(),
            Op::Pause { by } => by.as_ref().map_or(0, Vec::len),
            Op::Settle { receipt } => receipt.0.len(),
            Op::DeadLetter { letter } => {
                letter.receipt.0.len() + letter.raw.len() + letter.reason.len() + letter.detail.len()
            }
        };
        body + OVERHEAD
    }
}

/// Is a batch, ready for the script.
pub(super) struct Encoded<'a> {
    /// Ids whose tombstones the batch reads or writes, in order.
    pub(super) tombstones: Vec<&'a str>,
    /// Whether the keys of the queue are touched.
    pub(super) settles: bool,
    /// Everything behind the head of the script's arguments.
    pub(super) arguments: Vec<Cow<'a, [u8]>>,
}

/// Checks a batch and encodes it.
pub(super) fn batch(batch: &Batch, joint: bool) -> Result<Encoded<'_>, Error> {
    if batch.ops.len() > OPS_MAX || batch.log.len() > OPS_MAX {
        return Err(Error::Invalid("more than OPS_MAX operations or records"));
    }
    // One message cannot be split, however large its producer made it.
    if batch.ops.len() > 1 && batch.size() > BYTES_MAX {
        return Err(Error::Invalid("more than BYTES_MAX bytes"));
    }
    let mut encoder = Encoder::default();
    for op in &batch.ops {
        encoder.op(op)?;
    }
    if encoder.settles && !joint {
        return Err(Error::Invalid("settles a message of a queue on another server"));
    }
    let mut arguments = Vec::with_capacity(encoder.ops.len() + batch.log.len() + 16);
    for list in [&encoder.tasks.names, &encoder.entries.names] {
        push_list(&mut arguments, list.iter().map(|name| name.as_bytes()));
    }
    push_list(&mut arguments, batch.log.iter().map(Vec::as_slice));
    arguments.append(&mut encoder.ops);
    Ok(Encoded {
        tombstones: encoder.tombstones,
        settles: encoder.settles,
        arguments,
    })
}

/// Joins a version and a snapshot to what is stored.
pub(super) fn stored(version: u64, snapshot: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(VERSION_LENGTH + snapshot.len());
    value.extend_from_slice(&version.to_be_bytes());
    value.extend_from_slice(snapshot);
    value
}

/// Splits what is stored; `None` for a value that is too short to be ours.
pub(super) fn split(mut value: Vec<u8>) -> Option<(u64, Vec<u8>)> {
    let version = u64::from_be_bytes(*value.first_chunk::<VERSION_LENGTH>()?);
    value.drain(..VERSION_LENGTH);
    Some((version, value))
}

/// Returns the life of a tombstone in ms; `None` when it does not expire.
pub(super) fn life_ms(expires_in: Option<Duration>) -> Result<Option<u64>, Error> {
    match expires_in {
        None => Ok(None),
        Some(life) if life > TOMBSTONE_LIFE_MAX => Err(Error::Invalid("a tombstone lives too long")),
        Some(life) => match u64::try_from(life.as_millis()) {
            Ok(0) | Err(_) => Err(Error::Invalid("a tombstone lives less than a millisecond")),
            Ok(life) => Ok(Some(life)),
        },
    }
}

#[derive(Default)]
struct Encoder<'a> {
    tasks: Names<'a>,
    entries: Names<'a>,
    tombstones: Vec<&'a str>,
    settles: bool,
    ops: Vec<Cow<'a, [u8]>>,
}

/// Numbers each name once, from 1 as Lua counts.
#[derive(Default)]
struct Names<'a> {
    names: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        let next = self.names.len() + 1;
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }
}

impl<'a> Encoder<'a> {
    fn op(&mut self, op: &'a Op) -> Result<(), Error> {
        match op {
            Op::Ingest {
                task,
                snapshot,
                due,
                message,
                settle,
            } => {
                self.ingest(task, snapshot, *due, message.as_deref());
                if let Some(receipt) = settle {
                    self.settle(receipt);
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
                let number = self.tasks.number(task);
                self.code("M", number);
                self.own(expect.to_be_bytes().to_vec());
                self.own(stored(next_version(*expect)?, snapshot));
                self.due(*due);
                if *forget_message {
                    self.code("H", number);
                }
                if let Some(tombstone) = tombstone {
                    self.tombstone(task, tombstone)?;
                }
            }
            Op::Forget { task, expect } => {
                let number = self.tasks.number(task);
                self.code("F", number);
                self.own(expect.to_be_bytes().to_vec());
            }
            Op::Tombstone { task, tombstone } => self.tombstone(task, tombstone)?,
            Op::OutPush { key, entry } => self.entry("P", key, Some(entry)),
            Op::OutAck { key } => self.entry("A", key, None),
            Op::OutRetry { key, entry } => self.entry("R", key, Some(entry)),
            Op::OutDead { key, dead } => self.dead(key, dead)?,
            Op::FreeId { task } => {
                self.tombstones.push(task);
                self.lend(b"U");
            }
            Op::DropCallback { place } => self.place(b"X", place),
            Op::DropLetter { place } => {
                self.settles = true;
                self.place(b"Y", place);
            }
            Op::Requeue { place } => {
                self.settles = true;
                self.place(b"Q", place);
            }
            Op::Answer { place, order, answer } => {
                self.lend(b"O");
                self.lend(place.as_bytes());
                self.lend(order);
                self.lend(answer);
            }
            Op::Pause { by } => {
                self.lend(b"Z");
                self.lend(by.as_deref().unwrap_or_default());
            }
            Op::Settle { receipt } => self.settle(receipt),
            Op::DeadLetter { letter } => self.letter(letter),
        }
        Ok(())
    }

    fn ingest(&mut self, task: &'a str, snapshot: &[u8], due: Option<u64>, message: Option<&'a [u8]>) {
        let number = self.tasks.number(task);
        self.tombstones.push(task);
        self.code("I", number);
        self.own(stored(FIRST_VERSION, snapshot));
        self.due(due);
        if let Some(message) = message {
            self.code("G", number);
            self.lend(message);
        }
    }

    fn tombstone(&mut self, task: &'a str, tombstone: &'a Tombstone) -> Result<(), Error> {
        let life = life_ms(tombstone.expires_in)?;
        self.tombstones.push(task);
        self.text("T".to_owned());
        self.lend(&tombstone.value);
        self.text(life.map_or(String::new(), |life| life.to_string()));
        Ok(())
    }

    fn entry(&mut self, code: &'static str, key: &'a str, entry: Option<&'a [u8]>) {
        let number = self.entries.number(key);
        self.code(code, number);
        if let Some(entry) = entry {
            self.lend(entry);
        }
    }

    fn dead(&mut self, key: &'a str, dead: &'a [(String, Vec<u8>)]) -> Result<(), Error> {
        if dead.is_empty() || dead.len() > DEAD_FIELDS_MAX {
            return Err(Error::Invalid("a dead callback has 1 to DEAD_FIELDS_MAX fields"));
        }
        self.entry("D", key, None);
        self.text((2 * dead.len()).to_string());
        for (field, value) in dead {
            self.lend(field.as_bytes());
            self.lend(value);
        }
        Ok(())
    }

    fn settle(&mut self, receipt: &'a Receipt) {
        self.settles = true;
        self.text("S".to_owned());
        self.lend(&receipt.0);
    }

    fn letter(&mut self, letter: &'a DeadLetter) {
        self.settles = true;
        self.text("L".to_owned());
        self.lend(&letter.receipt.0);
        self.lend(&letter.raw);
        self.lend(letter.reason.as_bytes());
        self.lend(letter.detail.as_bytes());
        self.text(letter.at_ms.to_string());
    }

    fn place(&mut self, code: &'static [u8], place: &'a str) {
        self.lend(code);
        self.lend(place.as_bytes());
    }

    fn code(&mut self, code: &'static str, number: usize) {
        self.lend(code.as_bytes());
        self.text(number.to_string());
    }

    fn due(&mut self, due: Option<u64>) {
        self.text(due.map_or("+inf".to_owned(), |due| due.to_string()));
    }

    fn text(&mut self, text: String) {
        self.own(text.into_bytes());
    }

    fn own(&mut self, bytes: Vec<u8>) {
        self.ops.push(Cow::Owned(bytes));
    }

    fn lend(&mut self, bytes: &'a [u8]) {
        self.ops.push(Cow::Borrowed(bytes));
    }
}

fn push_list<'a>(arguments: &mut Vec<Cow<'a, [u8]>>, list: impl ExactSizeIterator<Item = &'a [u8]>) {
    arguments.push(Cow::Owned(list.len().to_string().into_bytes()));
    arguments.extend(list.map(Cow::Borrowed));
}

/// Returns the version after `version`.
pub(super) fn next_version(version: u64) -> Result<u64, Error> {
    version.checked_add(1).ok_or(Error::Invalid("no version follows"))
}
