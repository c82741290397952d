//! The load of everything at a takeover: many keys in one round trip, and the next part read while one is looked at.

use crossbeam_channel::{Sender, bounded};
use redis::FromRedisValue;

use super::remote::{ANSWER_TIMEOUT, READ_PAGE, RedisStore, read_error};
use super::{Error, Loaded, encode};

/// Commands of one round trip, where everything is read.
const PAGES: usize = 8;
/// What was read and is not looked at yet, in round trips.
const AHEAD: usize = 2;

impl RedisStore {
    /// Hands all tasks, then all outbox entries to `each`.
    pub(super) fn read_all(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error> {
        std::thread::scope(|scope| {
            let (read, parts) = bounded(AHEAD);
            let reader = scope.spawn(move || self.send_all(&read));
            parts.iter().flatten().for_each(each);
            reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Returns the fields of a hash in order; they are read first, so that no field comes twice.
    fn fields(&mut self, key: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut command = redis::cmd("HKEYS");
        command.arg(key);
        let mut fields: Vec<Vec<u8>> = self.link.read(&command, ANSWER_TIMEOUT).map_err(read_error)?;
        fields.sort_unstable();
        Ok(fields)
    }

    /// Asks for many fields in one round trip, so many by each command.
    fn pages<T: FromRedisValue>(
        &mut self,
        command: &str,
        key: &[u8],
        fields: &[Vec<u8>],
    ) -> Result<Vec<T>, Error> {
        let mut pipeline = redis::pipe();
        for page in fields.chunks(READ_PAGE) {
            pipeline.cmd(command).arg(key).arg(page);
        }
        let pages: Vec<Vec<T>> = self
            .link
            .once_more(|link| link.pipeline(&pipeline, ANSWER_TIMEOUT))
            .map_err(read_error)?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// Reads in the order of the keys; ends early where nobody takes it any more.
    fn send_all(&mut self, read: &Sender<Vec<Loaded>>) -> Result<(), Error> {
        let tasks = self.keys.tasks.clone();
        let live = self.keys.live.clone();
        for ids in self.fields(&tasks)?.chunks(PAGES * READ_PAGE) {
            let values: Vec<Option<Vec<u8>>> = self.pages("HMGET", &tasks, ids)?;
            let dues: Vec<Option<f64>> = self.pages("ZMSCORE", &live, ids)?;
            let found = ids.iter().zip(values).zip(dues);
            let found = found.filter_map(|((id, value), due)| Some(task(id, value?, due)));
            if read.send(found.collect()).is_err() {
                return Ok(());
            }
        }
        let outbox = self.keys.outbox.clone();
        for names in self.fields(&outbox)?.chunks(PAGES * READ_PAGE) {
            let entries: Vec<Option<Vec<u8>>> = self.pages("HMGET", &outbox, names)?;
            let found = names.iter().zip(entries).filter_map(|(name, entry)| {
                let key = String::from_utf8_lossy(name).into_owned();
                Some(Loaded::Entry { key, entry: entry? })
            });
            if read.send(found.collect()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn task(id: &[u8], value: Vec<u8>, due: Option<f64>) -> Loaded {
    let name = String::from_utf8_lossy(id).into_owned();
    match encode::split(value) {
        Some((version, snapshot)) if std::str::from_utf8(id).is_ok() => Loaded::Task {
            id: name,
            version,
            snapshot,
            due: due.filter(|due| due.is_finite()).map(ms),
        },
        _ => Loaded::Damaged { id: name },
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a score is a time in ms that fits 53 bits; a foreign one saturates"
)]
fn ms(score: f64) -> u64 {
    score as u64
}
