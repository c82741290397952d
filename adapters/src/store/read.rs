//! The reading side of the store, for people who look at it.
//!
//! It never claims and never writes, so a replica will do. Everything is read in pages; what changes meanwhile may be
//! seen before or after the change.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::streams::{StreamId, StreamRangeReply, StreamReadReply};

use super::encode;
use super::keys::Keys;
use crate::connection::{Error, Link, Target};

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Fields of a hash, or entries of a stream, asked for at once.
const PAGE: usize = 512;

/// Says where a store is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Server and database.
    pub target: Target,
    /// `CACHE_JOB_KEY_PREFIX`.
    pub prefix: String,
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock: String,
}

/// Reads a store.
pub struct Reader {
    link: Link,
    keys: Keys,
}

/// Is one entry of a stream: its id, and its fields.
pub type Entry = (String, BTreeMap<String, Vec<u8>>);

/// Is a tombstone: its bytes, and for how long it stays; `None` for a life without end.
pub type Stone = (Vec<u8>, Option<Duration>);

/// Is a part of a hash, and where to go on.
type Page = (String, Vec<(Vec<u8>, Vec<u8>)>);

impl Reader {
    /// Prepares a connection; nothing is connected before the first question.
    ///
    /// # Errors
    /// When the address or the CA cannot be used at all.
    pub fn new(place: &Place, role: &str) -> Result<Reader, Error> {
        Ok(Reader {
            link: place.target.link(role, "operator")?,
            keys: Keys::new(&place.prefix, &place.lock),
        })
    }

    /// Returns the snapshot of every task by its id; an empty one for a value that is not ours.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tasks(&mut self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let tasks = self.hash(&self.keys.tasks.clone())?;
        Ok(tasks
            .into_iter()
            .map(|(id, value)| (id, snapshot(value)))
            .collect())
    }

    /// Returns the snapshot of one task, as [`Reader::tasks`] does.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn task(&mut self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut get = redis::cmd("HGET");
        get.arg(&self.keys.tasks).arg(id);
        let value: Option<Vec<u8>> = self.link.read(&get, ANSWER_TIMEOUT)?;
        Ok(value.map(snapshot))
    }

    /// Returns what is remembered of a finished task.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tombstone(&mut self, id: &str) -> Result<Option<Stone>, Error> {
        let key = self.keys.tombstone(id);
        let mut both = redis::pipe();
        both.cmd("GET").arg(&key);
        both.cmd("PTTL").arg(&key);
        let (value, life): (Option<Vec<u8>>, i64) =
            self.link.once_more(|link| link.pipeline(&both, ANSWER_TIMEOUT))?;
        let life = u64::try_from(life).ok().map(Duration::from_millis);
        Ok(value.map(|value| (value, life)))
    }

    /// Returns every entry of the outbox by its key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn outbox(&mut self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        self.hash(&self.keys.outbox.clone())
    }

    /// Returns the dead callbacks, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_callbacks(&mut self) -> Result<Vec<Entry>, Error> {
        let key = self.keys.dead().to_vec();
        self.stream(&key)
    }

    /// Returns a page of the event log after a place, oldest first; `after` is `-` for its beginning.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log_after(&mut self, after: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let key = self.keys.log().to_vec();
        Ok(records(self.page(&key, after)?))
    }

    /// Returns a page of the event log before a place, newest first; `before` is `+` for its end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log_before(&mut self, before: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut range = redis::cmd("XREVRANGE");
        range.arg(self.keys.log()).arg(exclusive(before)).arg("-");
        range.arg("COUNT").arg(PAGE);
        let page: StreamRangeReply = self.link.read(&range, ANSWER_TIMEOUT)?;
        Ok(records(page.ids))
    }

    /// Waits at most `wait` for records of the event log after a place; `0-0` is its beginning.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow_log(&mut self, after: &str, wait: Duration) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let key = self.keys.log().to_vec();
        Ok(records(self.follow(&key, after, wait)?))
    }

    /// Returns the place of the newest record of the event log; `0-0` where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log_end(&mut self) -> Result<String, Error> {
        let key = self.keys.log().to_vec();
        self.end(&key)
    }

    /// Gives an order to the leader and returns its place. This alone is written, so a replica will not do.
    ///
    /// # Errors
    /// When the store cannot be written; where the answer was lost the order may have been given.
    pub fn order(&mut self, order: &[u8]) -> Result<String, Error> {
        let mut add = redis::cmd("XADD");
        add.arg(&self.keys.orders).arg("*").arg("order").arg(order);
        self.link.query(&add, ANSWER_TIMEOUT)
    }

    /// Takes an order back that nobody has answered; says whether it was still there.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn take_back(&mut self, place: &str) -> Result<bool, Error> {
        let mut drop = redis::cmd("XDEL");
        drop.arg(&self.keys.orders).arg(place);
        let dropped: u64 = self.link.query(&drop, ANSWER_TIMEOUT)?;
        Ok(dropped > 0)
    }

    /// Returns the place of the newest answer; `0-0` where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answers_end(&mut self) -> Result<String, Error> {
        let key = self.keys.answers.clone();
        self.end(&key)
    }

    /// Waits at most `wait` for answers after a place, and moves the place.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn answers(&mut self, after: &mut String, wait: Duration) -> Result<Vec<Entry>, Error> {
        let key = self.keys.answers.clone();
        let answers: Vec<Entry> = self.follow(&key, after, wait)?.into_iter().map(entry).collect();
        if let Some((last, _)) = answers.last() {
            after.clone_from(last);
        }
        Ok(answers)
    }

    /// Returns who paused the intake of messages; `None` where it goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn paused(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut get = redis::cmd("GET");
        get.arg(&self.keys.paused);
        self.link.read(&get, ANSWER_TIMEOUT)
    }

    /// Returns the token of the leader that claimed the store last: `<number>:<holder>:<nonce>`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn token(&mut self) -> Result<Option<String>, Error> {
        let mut get = redis::cmd("HGET");
        get.arg(self.keys.epoch()).arg("tok");
        self.link.read(&get, ANSWER_TIMEOUT)
    }

    fn end(&mut self, key: &[u8]) -> Result<String, Error> {
        let mut last = redis::cmd("XREVRANGE");
        last.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
        let page: StreamRangeReply = self.link.read(&last, ANSWER_TIMEOUT)?;
        let newest = page.ids.into_iter().next();
        Ok(newest.map_or_else(|| "0-0".to_owned(), |entry| entry.id))
    }

    fn follow(&mut self, key: &[u8], after: &str, wait: Duration) -> Result<Vec<StreamId>, Error> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(PAGE);
        read.arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        read.arg("STREAMS").arg(key).arg(after);
        let answer: Option<StreamReadReply> = self.link.read(&read, wait + ANSWER_TIMEOUT)?;
        let streams = answer.map_or_else(Vec::new, |answer| answer.keys);
        Ok(streams.into_iter().flat_map(|stream| stream.ids).collect())
    }

    /// Returns every field of a hash. A field that a rehash shows twice is taken once.
    fn hash(&mut self, key: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut fields = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(key).arg(&cursor).arg("COUNT").arg(PAGE);
            let (next, page): Page = self.link.read(&scan, ANSWER_TIMEOUT)?;
            for (field, value) in page {
                fields.insert(String::from_utf8_lossy(&field).into_owned(), value);
            }
            if next == "0" {
                return Ok(fields);
            }
            cursor = next;
        }
    }

    fn stream(&mut self, key: &[u8]) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut after = "-".to_owned();
        loop {
            let page = self.page(key, &after)?;
            let full = page.len() == PAGE;
            if let Some(last) = page.last() {
                after.clone_from(&last.id);
            }
            entries.extend(page.into_iter().map(entry));
            if !full {
                return Ok(entries);
            }
        }
    }

    fn page(&mut self, key: &[u8], after: &str) -> Result<Vec<StreamId>, Error> {
        let mut range = redis::cmd("XRANGE");
        range.arg(key).arg(exclusive(after)).arg("+");
        range.arg("COUNT").arg(PAGE);
        let page: StreamRangeReply = self.link.read(&range, ANSWER_TIMEOUT)?;
        Ok(page.ids)
    }
}

fn snapshot(value: Vec<u8>) -> Vec<u8> {
    encode::split(value).map_or_else(Vec::new, |(_, snapshot)| snapshot)
}

/// Returns the bound of a range that leaves out the place itself.
fn exclusive(place: &str) -> String {
    match place {
        "-" | "+" => place.to_owned(),
        id => format!("({id}"),
    }
}

/// Returns an entry with its fields; one that is not a string is left out.
pub(crate) fn entry(entry: StreamId) -> Entry {
    let fields = entry
        .map
        .into_iter()
        .filter_map(|(name, value)| Some((name, redis::from_redis_value(value).ok()?)));
    (entry.id, fields.collect())
}

fn records(entries: Vec<StreamId>) -> Vec<(String, Vec<u8>)> {
    entries
        .into_iter()
        .map(entry)
        .filter_map(|(id, mut fields)| Some((id, fields.remove("r")?)))
        .collect()
}
