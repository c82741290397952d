//! The dead letters of a Redis list, for people who look at them. It never takes, moves or writes a message.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::streams::{StreamId, StreamRangeReply};

use crate::connection::{Error, Link, Target};

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Letters asked for at once.
const PAGE: usize = 128;

/// Reads the dead letters of a queue.
pub struct Letters {
    link: Link,
    key: String,
}

/// Is a dead letter as the queue keeps it.
#[derive(Clone, Eq, PartialEq)]
pub struct Kept {
    /// Its place in the stream.
    pub id: String,
    /// The message as its producer wrote it.
    pub raw: Vec<u8>,
    /// A code of the contract.
    pub reason: String,
    /// Every fault, for a person.
    pub detail: String,
    /// When it was refused, in ms since 1970.
    pub at_ms: u64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({}, {}, {} bytes)", self.id, self.reason, self.raw.len())
    }
}

impl Letters {
    /// Prepares a connection; nothing is connected before the first question.
    ///
    /// # Errors
    /// When the address or the CA cannot be used at all.
    pub fn new(target: &Target, prefix: &str, role: &str) -> Result<Letters, Error> {
        Ok(Letters {
            link: target.link(role, "operator")?,
            key: format!("{prefix}:dead"),
        })
    }

    /// Hands all dead letters to `each`, the oldest first, in pages.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn all(&mut self, each: &mut dyn FnMut(Kept)) -> Result<(), Error> {
        let mut after = "-".to_owned();
        loop {
            let mut range = redis::cmd("XRANGE");
            range.arg(&self.key).arg(&after).arg("+");
            range.arg("COUNT").arg(PAGE);
            let page: StreamRangeReply = self.link.read(&range, ANSWER_TIMEOUT)?;
            let full = page.ids.len() == PAGE;
            if let Some(last) = page.ids.last() {
                after = format!("({}", last.id);
            }
            page.ids.into_iter().map(kept).for_each(&mut *each);
            if !full {
                return Ok(());
            }
        }
    }

    /// Returns the newest dead letters, the newest first, at most `max`.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn newest(&mut self, max: usize) -> Result<Vec<Kept>, Error> {
        let mut range = redis::cmd("XREVRANGE");
        range.arg(&self.key).arg("+").arg("-").arg("COUNT").arg(max);
        let page: StreamRangeReply = self.link.read(&range, ANSWER_TIMEOUT)?;
        Ok(page.ids.into_iter().map(kept).collect())
    }

    /// Returns one dead letter.
    ///
    /// # Errors
    /// When the queue cannot be read, or the place is none of a stream.
    pub fn one(&mut self, id: &str) -> Result<Option<Kept>, Error> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.key).arg(id).arg(id);
        let page: StreamRangeReply = self.link.read(&range, ANSWER_TIMEOUT)?;
        Ok(page.ids.into_iter().next().map(kept))
    }
}

fn kept(entry: StreamId) -> Kept {
    let StreamId { id, map, .. } = entry;
    let mut fields: BTreeMap<String, Vec<u8>> = map
        .into_iter()
        .filter_map(|(name, value)| Some((name, redis::from_redis_value(value).ok()?)))
        .collect();
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Kept {
        raw: take("raw"),
        reason: text(take("reason")),
        detail: text(take("detail")),
        at_ms: text(take("time")).parse().unwrap_or_default(),
        id,
    }
}
