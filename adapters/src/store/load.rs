//! The load of everything at a takeover: many fields in one round trip, and the next part read while one is looked at.

use crossbeam_channel::{Sender, bounded};
use redis::FromRedisValue;

use super::remote::{ANSWER_TIMEOUT, READ_PAGE, RedisStore, read_error};
use super::{Error, Loaded, encode};

/// Tasks that one step of the walk asks for; about as many come.
const STEP: usize = 1_024;
/// Commands of one round trip, where fields are asked for by name.
const PAGES: usize = 8;
/// What was read and is not looked at yet, in round trips.
const AHEAD: usize = 4;

/// Is one step of a walk: where to go on, and fields with their values in turn.
type Walked = (String, Vec<Vec<u8>>);

impl RedisStore {
    /// Hands all tasks in any order, then all outbox entries in that of their keys to `each`.
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

    /// Reads; ends early where nobody takes it any more.
    fn send_all(&mut self, read: &Sender<Vec<Loaded>>) -> Result<(), Error> {
        let tasks = self.keys.tasks.clone();
        // Nobody writes meanwhile: whoever led before is refused. So a walk that is not whole was broken by the server.
        if !self.walk(&tasks, read)? {
            self.send_by_name(&tasks, read, task)?;
        }
        let outbox = self.keys.outbox.clone();
        self.send_by_name(&outbox, read, |name, entry| {
            let key = String::from_utf8_lossy(&name).into_owned();
            Loaded::Entry { key, entry }
        })
    }

    /// Walks through the hash of tasks, which costs Redis less than to look each up, and says whether all of them came.
    fn walk(&mut self, key: &[u8], read: &Sender<Vec<Loaded>>) -> Result<bool, Error> {
        let mut length = redis::cmd("HLEN");
        length.arg(key);
        let length: usize = self.link.read(&length, ANSWER_TIMEOUT).map_err(read_error)?;
        let mut came = 0;
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(key).arg(&cursor).arg("COUNT").arg(STEP);
            // Never asked again on another connection: the cursor is of this process of the server.
            let (next, values): Walked = self.link.query(&scan, ANSWER_TIMEOUT).map_err(read_error)?;
            let mut values = values.into_iter();
            let mut found = Vec::with_capacity(values.len() / 2);
            while let (Some(id), Some(value)) = (values.next(), values.next()) {
                found.push(task(id, value));
            }
            came += found.len();
            if read.send(found).is_err() {
                return Ok(true);
            }
            if next == "0" {
                return Ok(came == length);
            }
            cursor = next;
        }
    }

    /// Reads the fields of a hash in order; their names are read first, so that no field comes twice.
    fn send_by_name(
        &mut self,
        key: &[u8],
        read: &Sender<Vec<Loaded>>,
        make: impl Fn(Vec<u8>, Vec<u8>) -> Loaded,
    ) -> Result<(), Error> {
        let mut command = redis::cmd("HKEYS");
        command.arg(key);
        let mut names: Vec<Vec<u8>> = self.link.read(&command, ANSWER_TIMEOUT).map_err(read_error)?;
        names.sort_unstable();
        for names in names.chunks(PAGES * READ_PAGE) {
            let values: Vec<Option<Vec<u8>>> = self.pages("HMGET", key, names)?;
            let found = names.iter().cloned().zip(values);
            let found = found.filter_map(|(name, value)| Some(make(name, value?)));
            if read.send(found.collect()).is_err() {
                return Ok(());
            }
        }
        Ok(())
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
}

fn task(id: Vec<u8>, value: Vec<u8>) -> Loaded {
    match (String::from_utf8(id), encode::split(value)) {
        (Ok(id), Some((version, snapshot))) => Loaded::Task {
            id,
            version,
            snapshot,
        },
        (Ok(id), None) => Loaded::Damaged { id },
        (Err(id), _) => Loaded::Damaged {
            id: String::from_utf8_lossy(id.as_bytes()).into_owned(),
        },
    }
}
