//! The store in Redis: one connection, one write at a time, each write one script.
//!
//! Owns the keys `<prefix>{<lock name>}:…` in its database, and inside its script those of the queue where that is on
//! the same server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::Script;

use super::encode;
use super::keys::Keys;
use super::read::{Entry, entry};
use super::report::Report;
use super::{
    ANSWERS_MAX, Batch, Conflict, DEAD_CALLBACKS_MAX, Epoch, Error, Fields, LOG_MAX, Loaded, ORDERS_PAGE,
    Refused, Store, Trimmed,
};
use crate::connection::{self, Call, Class, Link, Target};
use crate::source::{Joint, LETTERS_MAX};

/// Longest wait for one answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before a write with unknown outcome is sent again; doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Tasks, entries, messages or tombstones read with one command.
pub(super) const READ_PAGE: usize = 256;

/// Says where the store is and whose it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Server and database.
    pub target: Target,
    /// `CACHE_JOB_KEY_PREFIX`.
    pub prefix: String,
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock: String,
    /// `POD_NAMESPACE`: with the lock name it names the instance.
    pub namespace: String,
    /// `POD_NAME`, for the name of the connection.
    pub pod: String,
    /// The queue's keys; its messages are settled with the tasks where it is on the same address.
    pub queue: Option<Joint>,
}

/// Is the store of one leader, in Redis.
pub struct RedisStore {
    pub(super) link: Link,
    pub(super) keys: Keys,
    instance: String,
    db: i64,
    joint: Option<Joint>,
    claim: Script,
    commit: Script,
    letters: Script,
    token: Option<String>,
    /// Writes that the server has acknowledged under our token, and before it.
    seen: u64,
    /// Names each write of this value, so that the script knows one that is sent again.
    write: u64,
}

impl RedisStore {
    /// Connects and checks the version.
    ///
    /// # Errors
    /// [`Error::TooOld`], or why the server cannot be asked.
    pub fn open(settings: Settings) -> Result<RedisStore, Error> {
        let address = settings.target.endpoint.address().to_string();
        let link = settings
            .target
            .link("store", &settings.pod)
            .map_err(Error::Refused)?;
        let mut store = RedisStore {
            link,
            keys: Keys::new(&settings.prefix, &settings.lock),
            instance: format!("{}/{}", settings.namespace, settings.lock),
            db: i64::from(settings.target.db),
            joint: settings.queue.filter(|queue| queue.address == address),
            claim: Script::new(include_str!("claim.lua")),
            commit: Script::new(include_str!("commit.lua")),
            letters: Script::new(include_str!("letters.lua")),
            token: None,
            seen: 0,
            write: 0,
        };
        let report = store.settings_report()?;
        if report.supported() {
            Ok(store)
        } else {
            Err(Error::TooOld {
                version: report.version,
            })
        }
    }

    /// Returns the settings of the server that decide what it may lose.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn settings_report(&mut self) -> Result<Report, Error> {
        let info: redis::InfoDict = self
            .link
            .read(&redis::cmd("INFO"), ANSWER_TIMEOUT)
            .map_err(read_error)?;
        let mut report = Report::new(&info);
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("appendfsync");
        // Many logins may not ask, and hosted servers do not answer: then it is not known.
        let answer: Result<Vec<String>, connection::Error> = self.link.read(&ask, ANSWER_TIMEOUT);
        report.appendfsync = answer.ok().and_then(|pair| pair.into_iter().nth(1));
        Ok(report)
    }

    /// Returns the head of the script's arguments, in the order that it takes them.
    fn commit_head(&self, token: String, settles: bool) -> [String; 11] {
        let queue_db = self
            .joint
            .as_ref()
            .map_or(String::new(), |joint| joint.db.to_string());
        [
            token,
            self.seen.to_string(),
            (self.seen + 1).to_string(),
            self.write.to_string(),
            self.db.to_string(),
            queue_db,
            DEAD_CALLBACKS_MAX.to_string(),
            LOG_MAX.to_string(),
            LETTERS_MAX.to_string(),
            ANSWERS_MAX.to_string(),
            if settles { "1" } else { "0" }.to_owned(),
        ]
    }

    /// Returns the fields of the entry of a stream at a place.
    fn at(&mut self, key: &[u8], place: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
        let mut range = redis::cmd("XRANGE");
        range.arg(key).arg(place).arg(place);
        let page: redis::streams::StreamRangeReply =
            self.link.read(&range, ANSWER_TIMEOUT).map_err(read_error)?;
        Ok(page.ids.into_iter().next().map(|found| entry(found).1))
    }

    fn hash_page(&mut self, key: &[u8], fields: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut command = redis::cmd("HMGET");
        command.arg(key).arg(fields);
        self.link.read(&command, ANSWER_TIMEOUT).map_err(read_error)
    }
}

impl Store for RedisStore {
    fn claim(&mut self, holder: &str) -> Result<Epoch, Error> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let (keys, commands) = self.keys.of_claim(self.joint.as_ref());
        let head = [self.instance.clone(), holder.to_owned(), nonce];
        let call = Call::new(&self.claim, &keys, head.iter().chain(&commands));
        let answer: Vec<String> = self
            .link
            .once_more(|link| link.run(&call, ANSWER_TIMEOUT))
            .map_err(read_error)?;
        let words: Vec<&str> = answer.iter().map(String::as_str).collect();
        match words[..] {
            ["OK", token, number, seq] => {
                let (Ok(number), Ok(seen)) = (number.parse(), seq.parse()) else {
                    return Err(Error::Answer(answer.join(" ")));
                };
                self.token = Some(token.to_owned());
                self.seen = seen;
                Ok(Epoch {
                    token: token.to_owned(),
                    number,
                })
            }
            ["INSTANCE", theirs] => Err(Error::Instance {
                ours: self.instance.clone(),
                theirs: theirs.to_owned(),
            }),
            ["PERMISSION", command, key] => Err(Error::Permission {
                command: command.to_owned(),
                key: key.to_owned(),
            }),
            ["TYPE", key] => Err(Error::WrongType { key: key.to_owned() }),
            _ => Err(Error::Answer(answer.join(" "))),
        }
    }

    fn commit(&mut self, batch: &Batch, until: Instant) -> Result<Trimmed, Error> {
        let token = self
            .token
            .clone()
            .ok_or(Error::Invalid("the store is not claimed"))?;
        let encoded = encode::batch(batch, self.joint.is_some())?;
        self.write += 1;
        let mut keys = self.keys.of_batch(self.joint.as_ref());
        let tombstones = encoded.tombstones.iter().map(|id| self.keys.tombstone(id));
        keys.extend(tombstones);
        let head = self.commit_head(token, encoded.settles);
        let arguments = head
            .iter()
            .map(String::as_bytes)
            .chain(encoded.arguments.iter().map(|argument| &**argument));
        let call = Call::new(&self.commit, &keys, arguments);
        let answer = send(&mut self.link, &call, until)?;
        let trimmed = read_commit(&answer, self.seen)?;
        self.seen += 1;
        Ok(trimmed)
    }

    fn tombstones(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(READ_PAGE) {
            let mut command = redis::cmd("MGET");
            for id in some {
                command.arg(self.keys.tombstone(id));
            }
            let page: Vec<Option<Vec<u8>>> = self.link.read(&command, ANSWER_TIMEOUT).map_err(read_error)?;
            found.extend(page);
        }
        Ok(found)
    }

    fn load(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error> {
        self.read_all(each)
    }

    fn messages(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let key = self.keys.messages.clone();
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(READ_PAGE) {
            let fields: Vec<Vec<u8>> = some.iter().map(|id| id.as_bytes().to_vec()).collect();
            found.extend(self.hash_page(&key, &fields)?);
        }
        Ok(found)
    }

    fn orders(&mut self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&self.keys.orders).arg("-").arg("+");
        range.arg("COUNT").arg(ORDERS_PAGE);
        let page: redis::streams::StreamRangeReply =
            self.link.read(&range, ANSWER_TIMEOUT).map_err(read_error)?;
        let order = |(place, mut fields): Entry| (place, fields.remove("order").unwrap_or_default());
        Ok(page.ids.into_iter().map(entry).map(order).collect())
    }

    fn dead_callbacks(&mut self, places: &[&str]) -> Result<Vec<Option<Fields>>, Error> {
        let key = self.keys.dead().to_vec();
        places
            .iter()
            .map(|place| {
                let found = self.at(&key, place)?;
                Ok(found.map(|fields| fields.into_iter().collect()))
            })
            .collect()
    }

    fn letters(&mut self, places: &[&str]) -> Result<Vec<Option<Refused>>, Error> {
        let Some(joint) = &self.joint else {
            return Ok(vec![None; places.len()]);
        };
        let keys = [joint.dead.as_bytes().to_vec()];
        let databases = [self.db.to_string(), joint.db.to_string()];
        let arguments = databases.iter().map(String::as_str).chain(places.iter().copied());
        let call = Call::new(&self.letters, &keys, arguments);
        let answer: Vec<Vec<u8>> = self
            .link
            .once_more(|link| link.run(&call, ANSWER_TIMEOUT))
            .map_err(read_error)?;
        let letter = |found: &[Vec<u8>]| {
            let [there, raw, reason] = found else { return None };
            (!there.is_empty()).then(|| Refused {
                raw: raw.clone(),
                reason: String::from_utf8_lossy(reason).into_owned(),
            })
        };
        Ok(answer.chunks(3).map(letter).collect())
    }

    fn record(&mut self, place: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = self.keys.log().to_vec();
        Ok(self.at(&key, place)?.and_then(|mut fields| fields.remove("r")))
    }

    fn paused(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut get = redis::cmd("GET");
        get.arg(&self.keys.paused);
        self.link.read(&get, ANSWER_TIMEOUT).map_err(read_error)
    }

    fn joint(&self) -> bool {
        self.joint.is_some()
    }
}

/// Sends one write until it is answered; the script knows a write that it has done already.
fn send(link: &mut Link, call: &Call<'_>, until: Instant) -> Result<Vec<String>, Error> {
    let mut unknown = false;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let error = match link.run::<Vec<String>>(call, ANSWER_TIMEOUT.min(left)) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match error.class {
            Class::Unanswered | Class::Protocol => unknown = true,
            Class::Unavailable => {}
            // A refusal says nothing about the same write sent before, which may have been done.
            Class::ReadOnly
            | Class::OutOfMemory
            | Class::WrongType
            | Class::Auth
            | Class::Configuration
            | Class::Disk
            | Class::Refused => {
                if !unknown {
                    return Err(Error::Refused(error));
                }
            }
        }
        if Instant::now() + pause >= until {
            return Err(Error::Unavailable { error, unknown });
        }
        log::debug!("{error}; sending the same write again");
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn read_commit(answer: &[String], known: u64) -> Result<Trimmed, Error> {
    let words: Vec<&str> = answer.iter().map(String::as_str).collect();
    match words[..] {
        ["OK", callbacks, records, letters] => {
            // A stream that an operator trimmed meanwhile cannot make these negative: the script runs alone.
            let count = |text: &str| text.parse().map_err(|_| Error::Answer(answer.join(" ")));
            Ok(Trimmed {
                callbacks: count(callbacks)?,
                records: count(records)?,
                letters: count(letters)?,
            })
        }
        ["APPLIED"] => Ok(Trimmed::default()),
        ["FENCED"] => Err(Error::Fenced),
        ["ROLLBACK", found] => Err(Error::Rollback {
            known,
            found: found.to_owned(),
        }),
        ["AHEAD", found] => Err(Error::Conflict(Conflict::Ahead {
            known,
            found: found.to_owned(),
        })),
        ["GONE", what] => Err(Error::Gone(what.to_owned())),
        ["CONFLICT", "version", id] => Err(Error::Conflict(Conflict::Version(id.to_owned()))),
        ["CONFLICT", "exists", id] => Err(Error::Conflict(Conflict::Exists(id.to_owned()))),
        ["CONFLICT", "tombstone", id] => Err(Error::Conflict(Conflict::Tombstone(id.to_owned()))),
        ["TYPE", key] => Err(Error::WrongType { key: key.to_owned() }),
        _ => Err(Error::Answer(answer.join(" "))),
    }
}

pub(super) fn read_error(error: connection::Error) -> Error {
    match error.class {
        Class::Unavailable | Class::Unanswered => Error::Unavailable {
            error,
            unknown: false,
        },
        Class::ReadOnly
        | Class::OutOfMemory
        | Class::WrongType
        | Class::Auth
        | Class::Configuration
        | Class::Disk
        | Class::Refused
        | Class::Protocol => Error::Refused(error),
    }
}
