//! Where messages come from: one trait for every kind of queue.
//!
//! A queue hands out raw messages with a receipt each and keeps them until they are settled. It never reads a message,
//! and never decides what becomes of one. The intake thread takes; the driver settles.

pub mod counted;
pub mod letters;
pub mod list;
pub mod memory;
pub mod survey;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest dead-letter history; the oldest letters are trimmed beyond it (in whole nodes, so a little more stays).
pub const LETTERS_MAX: usize = 10_000;
/// Most messages of one `take` or one page.
pub const PAGE_MAX: usize = 512;

/// Is a queue of messages.
pub trait Source: Send + Sync {
    /// Waits at most `wait` for one message, then takes up to `max` without waiting, oldest first.
    ///
    /// `max` is cut to [`PAGE_MAX`]; 0 takes nothing. A message that was taken stays in the queue's keeping until it
    /// is settled.
    ///
    /// # Errors
    /// When the queue cannot be read; what was moved meanwhile turns up among the leftovers.
    fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error>;

    /// Returns one page of messages that were taken and not settled, by whomever, oldest first.
    ///
    /// Settling between two pages may make a pass skip messages; the next pass from [`Cursor::default`] meets them.
    ///
    /// # Errors
    /// When the queue cannot be read.
    fn leftovers(&self, cursor: Cursor, max: usize) -> Result<Page, Error>;

    /// Settles messages: they are gone from the queue. One that is gone already is no error.
    ///
    /// # Errors
    /// When the queue cannot be written.
    fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), Error>;

    /// Settles a message and keeps it among the dead letters, both or neither; a repetition adds no second letter.
    ///
    /// Returns how many old letters were trimmed beyond [`LETTERS_MAX`].
    ///
    /// # Errors
    /// When the queue cannot be written.
    fn dead_letter(&self, letter: &DeadLetter) -> Result<u64, Error>;

    /// Returns how many messages wait, are taken, and are dead.
    ///
    /// # Errors
    /// When the queue cannot be read.
    fn depth(&self) -> Result<Depth, Error>;

    /// Counts one more attempt at a leftover, before it is parsed, and returns the count; 0 when it is settled.
    ///
    /// The count is forgotten when the message is settled. Copies with the same bytes share one count.
    ///
    /// # Errors
    /// When the queue cannot be written.
    fn count_attempt(&self, receipt: &Receipt) -> Result<u32, Error>;

    /// Forgets the attempts at a leftover: the process has survived it.
    ///
    /// # Errors
    /// When the queue cannot be written.
    fn forget_attempts(&self, receipt: &Receipt) -> Result<(), Error>;

    /// Puts the message of a dead letter back at the end of the queue, both or neither; says whether the letter was there.
    ///
    /// # Errors
    /// When the queue cannot be written.
    fn requeue(&self, place: &str) -> Result<bool, Error>;

    /// Drops a dead letter; says whether it was there.
    ///
    /// # Errors
    /// When the queue cannot be written.
    fn drop_letter(&self, place: &str) -> Result<bool, Error>;

    /// Returns where a store on the same server finds this queue's keys, so that its own script can settle messages.
    fn joint(&self) -> Option<&Joint>;
}

/// Is one message, as its producer wrote it.
#[derive(Clone, Eq, PartialEq)]
pub struct Delivery {
    /// The bytes.
    pub raw: Vec<u8>,
    /// What settles it.
    pub receipt: Receipt,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({} bytes)", self.raw.len())
    }
}

/// Names a taken message to its queue; only the queue that gave it can read it.
///
/// It may be the message itself, so it is never shown.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub struct Receipt(pub(crate) Arc<[u8]>);

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({} bytes)", self.0.len())
    }
}

/// Is the place in a pass over the leftovers; the default is the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cursor(pub(crate) u64);

/// Is a part of the leftovers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// The messages, oldest first.
    pub deliveries: Vec<Delivery>,
    /// Where to go on; `None` at the end of the pass.
    pub next: Option<Cursor>,
}

/// Is a message that is refused for good, with the reason.
#[derive(Clone, Eq, PartialEq)]
pub struct DeadLetter {
    /// What settles the message.
    pub receipt: Receipt,
    /// The bytes of the message.
    pub raw: Vec<u8>,
    /// A code of the contract.
    pub reason: String,
    /// Every fault, for a person.
    pub detail: String,
    /// When it was refused, in ms since 1970.
    pub at_ms: u64,
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadLetter({}, {} bytes)", self.reason, self.raw.len())
    }
}

/// Counts the messages of a queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Depth {
    /// Nobody has taken them.
    pub waiting: u64,
    /// Taken and not settled.
    pub taken: u64,
    /// Dead letters kept.
    pub dead: u64,
}

/// Says where a Redis queue keeps what it has handed out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Joint {
    /// Configured address of the server, without login.
    pub address: String,
    /// Database number.
    pub db: i64,
    /// Key of the list of messages that wait.
    pub waiting: String,
    /// Key of the list of taken messages.
    pub taken: String,
    /// Key of the stream of dead letters.
    pub dead: String,
    /// Key of the hash of attempts.
    pub attempts: String,
}

/// Says why a queue did not do as asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The server did not answer, or refused.
    #[error("queue: {0}")]
    Redis(#[from] crate::connection::Error),
}

impl Error {
    /// Names the kind of failure, for metrics.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Error::Redis(error) => error.class.name(),
        }
    }

    /// Says whether the same call may succeed later without anybody changing keys or configuration.
    #[must_use]
    pub fn transient(&self) -> bool {
        match self {
            Error::Redis(error) => error.transient,
        }
    }
}
