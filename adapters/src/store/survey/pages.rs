//! Everything that a store holds, page by page, for `job-worker audit`. It never claims, and never writes.
//!
//! A page is read with one command, so what it says of one key is of one moment; two pages are of two. Whoever concludes
//! anything from two of them has to look again.

use redis::FromRedisValue;

use super::super::keys::Keys;
use super::super::{Settings, encode};
use crate::connection::{Error, Link};
use crate::survey;

/// Entries that are asked for at a time; Redis may give some more.
const PAGE: usize = 256;

/// A task as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Task id.
    pub id: String,
    /// Version and snapshot; `None` where the value is not one of ours.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// Whether it is in the index of deadlines.
    pub indexed: bool,
}

/// What is remembered of a task that has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// The bytes.
    pub value: Vec<u8>,
    /// Whether it goes by itself.
    pub expires: bool,
}

/// A callback that was given up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GivenUp {
    /// The body that was not delivered.
    pub body: Vec<u8>,
    /// Where it should have gone.
    pub url: String,
    /// Why not.
    pub reason: String,
}

/// Reads one store.
pub struct Pages {
    link: Link,
    keys: Keys,
}

impl Pages {
    /// Connects when something is asked.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Pages, Error> {
        Ok(Pages {
            link: settings.target.link("audit", "audit")?,
            keys: Keys::new(&settings.prefix, &settings.lock),
        })
    }

    /// Returns the instance that the keys belong to; `None` where nobody has claimed them.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn owner(&mut self) -> Result<Option<String>, Error> {
        survey::value(&mut self.link, self.keys.instance())
    }

    /// Hands all tasks to `each`, a page at a time.
    ///
    /// # Errors
    /// The server cannot be asked, or `each` cannot go on.
    pub fn tasks<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Vec<Stored>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = self.keys.tasks.clone();
        self.scan("HSCAN", &key, None, |pages, found: Vec<(Vec<u8>, Vec<u8>)>| {
            let tasks = pages.indexed(found)?;
            each(pages, tasks)
        })
    }

    /// Returns the tasks of these ids, in order.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn tasks_of(&mut self, ids: &[&str]) -> Result<Vec<Option<Stored>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(&self.keys.tasks).arg(ids);
        let values: Vec<Option<Vec<u8>>> = self.read(&command)?;
        let pairs = ids.iter().zip(values);
        let found: Vec<(Vec<u8>, Vec<u8>)> = pairs
            .filter_map(|(id, value)| Some((id.as_bytes().to_vec(), value?)))
            .collect();
        let mut there = self.indexed(found)?.into_iter().peekable();
        let next = |id: &&str| there.next_if(|task| task.id == **id);
        Ok(ids.iter().map(next).collect())
    }

    /// Hands all entries of the outbox to `each`, as key and bytes.
    ///
    /// # Errors
    /// As [`Pages::tasks`].
    pub fn outbox<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Vec<(String, Vec<u8>)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = self.keys.outbox.clone();
        self.scan("HSCAN", &key, None, &mut each)
    }

    /// Hands the ids of all messages that are kept for a Job to `each`.
    ///
    /// # Errors
    /// As [`Pages::tasks`].
    pub fn messages<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Vec<String>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = self.keys.messages.clone();
        self.scan("HSCAN", &key, None, |pages, found: Vec<(String, Vec<u8>)>| {
            each(pages, found.into_iter().map(|(id, _)| id).collect())
        })
    }

    /// Says of each id whether its message is kept, in order.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn has_message(&mut self, id: &str) -> Result<bool, Error> {
        let mut command = redis::cmd("HEXISTS");
        command.arg(&self.keys.messages).arg(id);
        self.read(&command)
    }

    /// Hands all ids in the index of deadlines to `each`.
    ///
    /// # Errors
    /// As [`Pages::tasks`].
    pub fn index<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Vec<String>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = self.keys.live.clone();
        self.scan("ZSCAN", &key, None, |pages, found: Vec<(String, f64)>| {
            each(pages, found.into_iter().map(|(id, _)| id).collect())
        })
    }

    /// Hands the ids of all tombstones to `each`.
    ///
    /// # Errors
    /// As [`Pages::tasks`].
    pub fn tombstones<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Vec<String>) -> Result<(), E>,
    ) -> Result<(), E> {
        let prefix = self.keys.tombstone("");
        let pattern = pattern(&prefix);
        self.scan("SCAN", &[], Some(&pattern), |pages, found: Vec<Vec<u8>>| {
            let ids = found.iter().filter_map(|key| key.strip_prefix(&prefix[..]));
            let ids = ids.map(|id| String::from_utf8_lossy(id).into_owned());
            each(pages, ids.collect())
        })
    }

    /// Returns the tombstone of each id, in order.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn tombstones_of(&mut self, ids: &[&str]) -> Result<Vec<Option<Remembered>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut questions = redis::pipe();
        for id in ids {
            let key = self.keys.tombstone(id);
            questions.cmd("GET").arg(&key);
            questions.cmd("PTTL").arg(&key);
        }
        let answers: Vec<redis::Value> = self
            .link
            .once_more(|link| link.pipeline(&questions, survey::ANSWER_TIMEOUT))?;
        let stone = |pair: &[redis::Value]| {
            let redis::Value::BulkString(value) = &pair[0] else {
                return None;
            };
            Some(Remembered {
                value: value.clone(),
                expires: !matches!(pair[1], redis::Value::Int(-1)),
            })
        };
        Ok(answers.chunks_exact(2).map(stone).collect())
    }

    /// Hands all callbacks that were given up to `each`.
    ///
    /// # Errors
    /// As [`Pages::tasks`].
    pub fn given_up<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Vec<GivenUp>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = "-".to_owned();
        loop {
            let mut command = redis::cmd("XRANGE");
            command.arg(self.keys.dead()).arg(&from).arg("+");
            command.arg("COUNT").arg(PAGE);
            let found: redis::streams::StreamRangeReply = self.read(&command)?;
            let Some(last) = found.ids.last() else {
                return Ok(());
            };
            from = format!("({}", last.id);
            let page = found.ids.iter().map(|entry| GivenUp {
                body: entry.get("body").unwrap_or_default(),
                url: entry.get("url").unwrap_or_default(),
                reason: entry.get("reason").unwrap_or_default(),
            });
            each(self, page.collect())?;
        }
    }

    fn indexed(&mut self, found: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Vec<Stored>, Error> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("ZMSCORE");
        command.arg(&self.keys.live);
        for (id, _) in &found {
            command.arg(id);
        }
        let scores: Vec<Option<f64>> = self.read(&command)?;
        let tasks = found.into_iter().zip(scores).map(|((id, value), score)| Stored {
            snapshot: encode::split(value).filter(|_| std::str::from_utf8(&id).is_ok()),
            id: String::from_utf8_lossy(&id).into_owned(),
            indexed: score.is_some(),
        });
        Ok(tasks.collect())
    }

    /// Goes through a key, or through all keys of a pattern; an entry may come twice where something is written meanwhile.
    fn scan<T: FromRedisValue, E: From<Error>>(
        &mut self,
        verb: &str,
        key: &[u8],
        pattern: Option<&[u8]>,
        mut each: impl FnMut(&mut Self, Vec<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd(verb);
            if !key.is_empty() {
                command.arg(key);
            }
            command.arg(cursor);
            if let Some(pattern) = pattern {
                command.arg("MATCH").arg(pattern);
            }
            command.arg("COUNT").arg(PAGE);
            let (next, found): (u64, Vec<T>) = self.read(&command)?;
            each(self, found)?;
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    fn read<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, Error> {
        self.link.read(command, survey::ANSWER_TIMEOUT)
    }
}

/// Matches every key that begins so.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::new();
    for byte in prefix {
        if b"*?[]\\^".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}
