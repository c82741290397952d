//! The event log as it lies in the store, oldest first, for `job-worker log export`. It never claims, and never writes.

use std::time::Duration;

use redis::streams::StreamRangeReply;

use super::Settings;
use super::keys::Keys;
use crate::connection::{Error, Link};

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Entries read with one command.
const PAGE: usize = 500;

/// Is a reading of the log, up to the newest record of the moment when it began.
pub struct LogReading {
    link: Link,
    key: Vec<u8>,
    /// Where the next page begins, as XRANGE says it.
    next: String,
    /// The newest entry; `None` where nothing is left to read.
    last: Option<String>,
}

impl LogReading {
    /// Begins; nothing is connected before.
    ///
    /// # Errors
    /// Why the server cannot be asked.
    pub fn open(settings: &Settings) -> Result<LogReading, Error> {
        let mut link = settings.target.link("log", &settings.pod)?;
        let key = Keys::new(&settings.prefix, &settings.lock).log;
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg(&["+", "-", "COUNT", "1"]);
        let newest: StreamRangeReply = link.read(&command, ANSWER_TIMEOUT)?;
        Ok(LogReading {
            link,
            key,
            next: "-".to_owned(),
            last: newest.ids.into_iter().next().map(|entry| entry.id),
        })
    }

    /// Returns the next records, in order; none at the end.
    ///
    /// # Errors
    /// Why the server cannot be asked.
    pub fn page(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let Some(last) = &self.last else {
            return Ok(Vec::new());
        };
        let mut command = redis::cmd("XRANGE");
        command.arg(&self.key).arg(&self.next).arg(last);
        command.arg("COUNT").arg(PAGE);
        let page: StreamRangeReply = self.link.read(&command, ANSWER_TIMEOUT)?;
        match page.ids.last() {
            Some(entry) if page.ids.len() == PAGE => self.next = format!("({}", entry.id),
            Some(_) | None => self.last = None,
        }
        let records = page.ids.iter().filter_map(|entry| entry.get("r"));
        Ok(records.collect())
    }
}
