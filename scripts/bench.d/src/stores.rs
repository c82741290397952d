//! The store of a benchmark: a redis-server of its own, and tasks as they are stored.

use std::io;
use std::time::{Duration, Instant};

use adapters::connection::Target;
use adapters::store::{Batch, Op, RedisStore, Settings, Store as _};
use engine::{Snapshot, Task};
use fixtures::redis::{Options, Server};

use crate::corpus::{created, id};

/// Longest wait for one write.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tasks that are added with one write.
const PAGE: usize = 128;

/// A server that does not rewrite its append-only file meanwhile, in a process beside it.
pub(crate) fn quiet() -> Options {
    Options {
        settings: vec![("auto-aof-rewrite-percentage".to_owned(), "0".to_owned())],
        ..Options::default()
    }
}

/// Opens a store of `server` and claims it.
pub(crate) fn claimed(server: &Server) -> io::Result<RedisStore> {
    let settings = Settings {
        target: Target {
            endpoint: server.url().parse().map_err(io::Error::other)?,
            db: 1,
            password: None,
            ca: None,
        },
        prefix: "job-worker-".to_owned(),
        lock: "bench".to_owned(),
        namespace: "job-worker".to_owned(),
        pod: "bench".to_owned(),
        queue: None,
    };
    let mut store = RedisStore::open(settings).map_err(io::Error::other)?;
    store.claim("bench").map_err(io::Error::other)?;
    Ok(store)
}

/// A task as it is stored.
pub(crate) fn snapshot(task: Task) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(&Snapshot::from(task)).map_err(io::Error::other)
}

/// Stores tasks whose Job exists.
pub(crate) fn fill(store: &mut RedisStore, tasks: usize) -> io::Result<()> {
    let numbers: Vec<usize> = (0..tasks).collect();
    for page in numbers.chunks(PAGE) {
        let ops: io::Result<Vec<Op>> = page.iter().map(|number| ingest(*number)).collect();
        let batch = Batch {
            ops: ops?,
            log: Vec::new(),
        };
        write(store, &batch)?;
    }
    Ok(())
}

fn ingest(number: usize) -> io::Result<Op> {
    let task = created(number);
    Ok(Op::Ingest {
        task: id(number).as_str().to_owned(),
        due: task.state.deadline().map(|at| at.0),
        snapshot: snapshot(task)?,
        message: None,
        settle: None,
    })
}

/// Writes one batch.
pub(crate) fn write(store: &mut RedisStore, batch: &Batch) -> io::Result<()> {
    let trimmed = store.commit(batch, Instant::now() + PATIENCE);
    trimmed.map(drop).map_err(io::Error::other)
}
