//! What a look at a Redis server shows, for `job-worker check`.
//!
//! It never writes and never judges: the queue (`source::survey`) and the store (`store::survey`) say what they need, this
//! says what there is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Script;

use crate::connection::{Call, Class, Error, Link};
use crate::store::report::Report;

/// Longest wait for one answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Is what a server and a login show.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Survey {
    /// Version and settings.
    pub report: Report,
    /// How far the server's clock is ahead of ours, in ms; negative where it is behind.
    pub clock_ahead_ms: i64,
    /// What the login may not do. Empty too where the server is too old to be asked.
    pub denied: Vec<Denied>,
    /// Keys of ours that hold something else.
    pub wrong_types: Vec<WrongType>,
}

/// Is a command that the login may not run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denied {
    /// The command.
    pub command: String,
    /// The key.
    pub key: String,
}

/// Is a key that holds something else than its name says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrongType {
    /// The key.
    pub key: String,
    /// What it should hold.
    pub expected: &'static str,
    /// What it holds.
    pub found: String,
}

/// A command with its first arguments.
pub(crate) type Needed = (&'static str, Vec<Vec<u8>>);

/// A key and the type that it has where it exists.
pub(crate) type Typed = (Vec<u8>, &'static str);

/// Looks at the server.
///
/// # Errors
/// Why it cannot be asked; [`crate::connection::Class::Auth`] where the login may not even ask.
pub(crate) fn survey(link: &mut Link, needed: &[Needed], keys: &[Typed]) -> Result<Survey, Error> {
    let info: redis::InfoDict = link.read(&redis::cmd("INFO"), ANSWER_TIMEOUT)?;
    let report = Report::new(&info);
    let clock_ahead_ms = clock_ahead(link)?;
    let denied = if report.supported() {
        denied(link, needed)?
    } else {
        Vec::new()
    };
    let mut wrong_types = Vec::new();
    for (key, expected) in keys {
        let found: String = match link.read(redis::cmd("TYPE").arg(key), ANSWER_TIMEOUT) {
            // It is among the denied.
            Err(error) if error.class == Class::Auth => continue,
            found => found?,
        };
        if found != "none" && found != *expected {
            wrong_types.push(WrongType {
                key: String::from_utf8_lossy(key).into_owned(),
                expected,
                found,
            });
        }
    }
    Ok(Survey {
        report,
        clock_ahead_ms,
        denied,
        wrong_types,
    })
}

/// Reads one value; `None` where the key does not exist.
pub(crate) fn value(link: &mut Link, key: &[u8]) -> Result<Option<String>, Error> {
    link.read(redis::cmd("GET").arg(key), ANSWER_TIMEOUT)
}

/// Counts the items of a list.
pub(crate) fn length(link: &mut Link, key: &str) -> Result<u64, Error> {
    link.read(redis::cmd("LLEN").arg(key), ANSWER_TIMEOUT)
}

/// The server's time against the middle of our question.
fn clock_ahead(link: &mut Link) -> Result<i64, Error> {
    let before = now_us();
    let (seconds, micros): (i64, i64) = link.read(&redis::cmd("TIME"), ANSWER_TIMEOUT)?;
    let middle = before + (now_us() - before) / 2;
    Ok((seconds * 1_000_000 + micros - middle) / 1000)
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn denied(link: &mut Link, needed: &[Needed]) -> Result<Vec<Denied>, Error> {
    let script = Script::new(include_str!("survey.lua"));
    let mut arguments: Vec<Vec<u8>> = Vec::new();
    for (command, first) in needed {
        arguments.push(command.as_bytes().to_vec());
        arguments.push(first.len().to_string().into_bytes());
        arguments.extend(first.iter().cloned());
    }
    let answer: Vec<String> = link.run(&Call::new(&script, &[], &arguments), ANSWER_TIMEOUT)?;
    let pairs = answer.chunks_exact(2).map(|pair| Denied {
        command: pair[0].clone(),
        key: pair[1].clone(),
    });
    Ok(pairs.collect())
}
