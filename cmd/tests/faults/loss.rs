//! What a store holds, read from outside, and which tasks a loss of its writes has hit.
//!
//! A state of the append-only files is looked at in a redis-server of its own: the one that the workers use may be written to
//! from the moment it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use fixtures::redis::{Options, Server};
use serde_json::Value;

use crate::world::{QUEUE, STORE_DB};

/// The directory of the append-only files in that of a server.
const APPENDED: &str = "appendonlydir";

type Hash = Vec<(String, Vec<u8>)>;
type Names = Vec<String>;

/// Everything that a server holds of tasks: by what it is and whose, with its bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Contents(BTreeMap<(&'static str, String), Vec<u8>>);

impl Contents {
    /// Reads a server.
    pub(crate) fn read(server: &Server, lock: &str) -> redis::RedisResult<Contents> {
        Contents::ask(server, lock, false)
    }

    /// Reads a server and drops all that it holds, with nothing in between.
    pub(crate) fn flush(server: &Server, lock: &str) -> redis::RedisResult<Contents> {
        Contents::ask(server, lock, true)
    }

    fn ask(server: &Server, lock: &str, flush: bool) -> redis::RedisResult<Contents> {
        let key = |name: &str| format!("job-worker-{{{lock}}}:{name}");
        let prefix = key("done:");
        let mut questions = redis::pipe();
        questions.atomic();
        for part in ["tasks", "messages", "outbox"] {
            questions.hgetall(key(part));
        }
        questions.keys(format!("{prefix}*"));
        questions.cmd("SELECT").arg(0).ignore();
        for list in [QUEUE.to_owned(), format!("{QUEUE}:taken")] {
            questions.lrange(list, 0, -1);
        }
        if flush {
            questions.cmd("FLUSHALL").ignore();
        }
        let (tasks, messages, outbox, stones, waiting, taken): (Hash, Hash, Hash, Names, Names, Names) =
            questions.query(&mut server.connection(STORE_DB)?)?;
        let mut contents = Contents::default();
        let mut add = |part: &'static str, id: String, bytes: Vec<u8>| contents.0.insert((part, id), bytes);
        for (part, hash) in [("tasks", tasks), ("messages", messages)] {
            for (id, bytes) in hash {
                add(part, id, bytes);
            }
        }
        for (entry, bytes) in outbox {
            add("outbox", owner(&entry), bytes);
        }
        for stone in stones {
            let id = stone.strip_prefix(&prefix).unwrap_or_default();
            add("done", id.to_owned(), Vec::new());
        }
        for (part, messages) in [("waiting", waiting), ("taken", taken)] {
            for raw in messages {
                add(part, id_of(&raw), Vec::new());
            }
        }
        Ok(contents)
    }

    /// Reads what a copy of append-only files holds.
    pub(crate) fn of_files(files: &Path, lock: &str) -> io::Result<Contents> {
        let mut server = Server::start(Options::default())?;
        server.kill()?;
        put_back(files, server.directory())?;
        server.restart()?;
        Contents::read(&server, lock).map_err(io::Error::other)
    }

    /// The tasks of which anything differs: their writes were lost.
    pub(crate) fn hit(&self, after: &Contents) -> BTreeSet<String> {
        let differs = |(key, bytes): (&(&'static str, String), &Vec<u8>), other: &Contents| {
            (other.0.get(key) != Some(bytes)).then(|| key.1.clone())
        };
        let lost = self.0.iter().filter_map(|one| differs(one, after));
        let back = after.0.iter().filter_map(|one| differs(one, self));
        lost.chain(back).collect()
    }
}

/// Copies the append-only files of a server, as they are, to a directory.
pub(crate) fn copy_files(server: &Server, to: &Path) -> io::Result<()> {
    copy(&server.directory().join(APPENDED), &to.join(APPENDED))
}

/// Puts a copy in the place of what a server that does not run has.
pub(crate) fn put_back(files: &Path, server: &Path) -> io::Result<()> {
    let place = server.join(APPENDED);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    copy(&files.join(APPENDED), &place)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The task of an outbox entry: `t:<id>@<time>/<status>`.
fn owner(entry: &str) -> String {
    let id = entry.strip_prefix("t:").and_then(|rest| rest.rsplit_once('@'));
    id.map_or(entry, |(id, _)| id).to_owned()
}

fn id_of(raw: &str) -> String {
    let message: Value = serde_json::from_str(raw).unwrap_or_default();
    message["id"].as_str().unwrap_or_default().to_owned()
}
