//! Durable bytes of the tasks, written in fenced batches: all of a batch or nothing.
//!
//! Owns the layout in Redis. It knows nothing of states: snapshots, tombstones, outbox entries and log records are
//! bytes to it. It never decides what an answer means for a task; the driver, its only caller, rebuilds after
//! [`Error::Fenced`], [`Error::Rollback`], [`Error::Conflict`] and [`Error::Gone`].

mod encode;
mod error;
mod keys;
mod load;
pub mod memory;
pub mod read;
pub mod remote;
pub mod report;
pub mod survey;

use std::time::{Duration, Instant};

use crate::source::{DeadLetter, Receipt};

pub use error::{Conflict, Error};
pub use memory::MemoryStore;
pub use remote::{RedisStore, Settings};

/// Most operations of one batch, and most log records.
pub const OPS_MAX: usize = 512;
/// Most bytes of a batch with more than one operation, all snapshots, messages, entries and records together.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most fields of one dead callback.
pub const DEAD_FIELDS_MAX: usize = 32;
/// Dead callbacks kept; the oldest are trimmed beyond it.
pub const DEAD_CALLBACKS_MAX: usize = 10_000;
/// Orders that were answered and are kept; the oldest are trimmed beyond it.
pub const ANSWERS_MAX: usize = 10_000;
/// Orders read at once.
pub const ORDERS_PAGE: usize = 16;
/// Records of the event log kept, about 1 KiB each; the oldest are trimmed beyond it.
pub const LOG_MAX: usize = 100_000;
/// Longest life of a tombstone that expires.
pub const TOMBSTONE_LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Is where the leader keeps its tasks. One value belongs to one leader, which writes in order.
pub trait Store: Send {
    /// Takes the store for this leader: every earlier leader's writes are refused from here on.
    ///
    /// The caller has to look at its lease again afterwards: a slow claim may come after another leader's.
    ///
    /// # Errors
    /// [`Error::Instance`] when the keys belong to another pair of namespace and lock name.
    fn claim(&mut self, holder: &str) -> Result<Epoch, Error>;

    /// Writes a batch, all or nothing.
    ///
    /// While the outcome is unknown or the server is away, the very same write is sent again until `until`.
    ///
    /// # Errors
    /// See [`Error`]. Nothing was written, except where [`Error::Unavailable`] says that it is unknown.
    fn commit(&mut self, batch: &Batch, until: Instant) -> Result<Trimmed, Error>;

    /// Writes an empty batch: finds out that another leader has claimed the store, or that it lost writes.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn beat(&mut self, until: Instant) -> Result<(), Error> {
        self.commit(&Batch::default(), until).map(|_| ())
    }

    /// Returns the tombstone of each id, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn tombstones(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Hands all tasks to `each`, in any order, then all outbox entries in the order of their keys. A task may come twice,
    /// unchanged.
    ///
    /// # Errors
    /// When the store cannot be read; `each` has seen a part then.
    fn load(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error>;

    /// Returns the raw message of each task, where it is still kept, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn messages(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Returns the raw message of one task, where it is still kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn message(&mut self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.messages(&[id])?.pop().flatten())
    }

    /// Returns the oldest orders that wait for an answer, each with its place, at most [`ORDERS_PAGE`].
    ///
    /// # Errors
    /// When the store cannot be read.
    fn orders(&mut self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Ok(Vec::new())
    }

    /// Returns the fields of the dead callbacks at these places, in order; `None` where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_callbacks(&mut self, places: &[&str]) -> Result<Vec<Option<Fields>>, Error> {
        Ok(vec![None; places.len()])
    }

    /// Returns the messages of the queue's dead letters at these places, in order; `None` where there is none. Joint stores
    /// only: others know of none.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn letters(&mut self, places: &[&str]) -> Result<Vec<Option<Refused>>, Error> {
        Ok(vec![None; places.len()])
    }

    /// Returns the record of the event log at a place.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn record(&mut self, place: &str) -> Result<Option<Vec<u8>>, Error> {
        let _ = place;
        Ok(None)
    }

    /// Returns who paused the intake of messages, and when and why; `None` where it goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn paused(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// Says whether a batch may settle messages of the queue ([`Op::Settle`], [`Op::DeadLetter`], `settle` of an ingest).
    fn joint(&self) -> bool;
}

/// Is what is kept of a dead callback.
pub type Fields = Vec<(String, Vec<u8>)>;

/// Is a message among the dead letters of the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Its bytes.
    pub raw: Vec<u8>,
    /// The code for which it was refused.
    pub reason: String,
}

/// Is a claimed term of leadership.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Epoch {
    /// `<number>:<holder>:<nonce>`; compared as a whole, since a store that lost writes hands out a number twice.
    pub token: String,
    /// For people and logs.
    pub number: u64,
}

/// Is what is written together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// In the order in which they apply; several may concern one task.
    pub ops: Vec<Op>,
    /// Records of the event log.
    pub log: Vec<Vec<u8>>,
}

/// Is one change. Times `due` are ms since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// Adds a task with version 1; a conflict where the task or a tombstone of it exists.
    Ingest {
        /// Task id.
        task: String,
        /// First snapshot.
        snapshot: Vec<u8>,
        /// When it wants attention next.
        due: Option<u64>,
        /// The raw message, kept until a [`Op::Move`] forgets it.
        message: Option<Vec<u8>>,
        /// The message to settle in the queue; joint stores only.
        settle: Option<Receipt>,
    },
    /// Replaces a task's snapshot; its version goes from `expect` to `expect + 1`.
    Move {
        /// Task id.
        task: String,
        /// Version that the snapshot follows.
        expect: u64,
        /// Next snapshot.
        snapshot: Vec<u8>,
        /// When it wants attention next.
        due: Option<u64>,
        /// Drops the raw message.
        forget_message: bool,
        /// What is remembered of the task from here on.
        tombstone: Option<Tombstone>,
    },
    /// Drops a task and its message.
    Forget {
        /// Task id.
        task: String,
        /// Its version.
        expect: u64,
    },
    /// Sets or replaces the tombstone of a task that may be gone already.
    Tombstone {
        /// Task id.
        task: String,
        /// What is remembered of it.
        tombstone: Tombstone,
    },
    /// Drops the tombstone of a task that is gone: its id is free again.
    FreeId {
        /// Task id.
        task: String,
    },
    /// Adds an entry to the outbox, or replaces it.
    OutPush {
        /// Key of the entry.
        key: String,
        /// Its bytes.
        entry: Vec<u8>,
    },
    /// Removes an entry of the outbox.
    OutAck {
        /// Key of the entry.
        key: String,
    },
    /// Replaces an entry of the outbox.
    OutRetry {
        /// Key of the entry.
        key: String,
        /// Its bytes.
        entry: Vec<u8>,
    },
    /// Moves an entry of the outbox to the dead callbacks.
    OutDead {
        /// Key of the entry.
        key: String,
        /// What is kept of it, 1 to [`DEAD_FIELDS_MAX`] fields.
        dead: Vec<(String, Vec<u8>)>,
    },
    /// Drops a dead callback.
    DropCallback {
        /// Its place.
        place: String,
    },
    /// Drops a dead letter of the queue; joint stores only.
    DropLetter {
        /// Its place.
        place: String,
    },
    /// Puts the message of a dead letter back at the end of the queue; joint stores only.
    Requeue {
        /// The letter's place.
        place: String,
    },
    /// Takes an order off the list and keeps it with its answer.
    Answer {
        /// Place of the order.
        place: String,
        /// The order, as it was given.
        order: Vec<u8>,
        /// What became of it.
        answer: Vec<u8>,
    },
    /// Pauses the intake of messages, or lets it go on; survives leaders.
    Pause {
        /// Who paused it; `None` lets it go on.
        by: Option<Vec<u8>>,
    },
    /// Settles a message that became no task; joint stores only.
    Settle {
        /// The message.
        receipt: Receipt,
    },
    /// Settles a refused message and keeps it among the dead letters; joint stores only.
    DeadLetter {
        /// The message and why.
        letter: DeadLetter,
    },
}

/// Is what is remembered of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tombstone {
    /// The bytes.
    pub value: Vec<u8>,
    /// For how long, 1 ms to [`TOMBSTONE_LIFE_MAX`]; `None`: until it is replaced.
    pub expires_in: Option<Duration>,
}

/// Is one thing that the store holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loaded {
    /// A task.
    Task {
        /// Task id.
        id: String,
        /// Version of the snapshot.
        version: u64,
        /// The snapshot.
        snapshot: Vec<u8>,
    },
    /// An entry of the outbox.
    Entry {
        /// Key of the entry.
        key: String,
        /// Its bytes.
        entry: Vec<u8>,
    },
    /// A value that is not one of ours; it is left where it is.
    Damaged {
        /// Its key in the hash of tasks.
        id: String,
    },
}

/// Counts what fell off the bounded histories in one write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Trimmed {
    /// Dead callbacks.
    pub callbacks: u64,
    /// Log records.
    pub records: u64,
    /// Dead letters of the queue.
    pub letters: u64,
}
