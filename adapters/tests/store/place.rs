//! Stores of every kind and layout for the tests, each with the queue that belongs to it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::connection::Target;
use adapters::source::list::List;
use adapters::source::memory::Memory;
use adapters::source::{Joint, Source};
use adapters::store::{
    Batch, Error, Loaded, MemoryStore, Op, RedisStore, Settings, Store, Tombstone, Trimmed,
};
use fixtures::redis::{Options, Server};

pub(crate) const LONG: Duration = Duration::from_secs(60);

type Producer = Box<dyn Fn(&[u8])>;

/// Is a store that leaders can open, its queue with a producer, and what keeps them alive.
pub(crate) struct Place {
    pub(crate) open: Box<dyn Fn() -> Box<dyn Store>>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) push: Producer,
    _servers: Vec<Server>,
}

pub(crate) fn in_memory() -> Place {
    let queue = Arc::new(Memory::new());
    let producer = Arc::clone(&queue);
    let store = MemoryStore::new("default", "lock").joined(Arc::clone(&queue));
    Place {
        open: Box::new(move || Box::new(store.clone())),
        source: queue,
        push: Box::new(move |raw| producer.push(raw)),
        _servers: Vec::new(),
    }
}

pub(crate) fn one_database() -> Place {
    layout(vec![server()], 1)
}

pub(crate) fn two_databases() -> Place {
    layout(vec![server()], 3)
}

pub(crate) fn two_servers() -> Place {
    layout(vec![server(), server()], 1)
}

pub(crate) fn server() -> Server {
    Server::start(Options {
        fsync_always: true,
        settings: vec![("enable-debug-command".to_owned(), "yes".to_owned())],
        ..Options::default()
    })
    .unwrap()
}

/// Puts the store into database 1 of the first server, the queue into `queue_db` of the last.
fn layout(servers: Vec<Server>, queue_db: i64) -> Place {
    let queue_server = servers.last().unwrap();
    let queue = list(queue_server, queue_db);
    let settings = settings(&servers[0].url(), queue.joint().cloned());
    let producer = RefCell::new(queue_server.connection(queue_db).unwrap());
    Place {
        open: Box::new(move || Box::new(RedisStore::open(settings.clone()).unwrap())),
        source: Arc::new(queue),
        push: Box::new(move |raw| {
            redis::cmd("LPUSH")
                .arg("queue-")
                .arg(raw)
                .exec(&mut *producer.borrow_mut())
                .unwrap();
        }),
        _servers: servers,
    }
}

pub(crate) fn list(server: &Server, db: i64) -> List {
    List::new(&target(&server.url(), db), "queue-", "pod-0").unwrap()
}

pub(crate) fn target(url: &str, db: i64) -> Target {
    Target {
        endpoint: url.parse().unwrap(),
        db: u32::try_from(db).unwrap(),
        password: None,
        ca: None,
    }
}

pub(crate) fn settings(url: &str, queue: Option<Joint>) -> Settings {
    Settings {
        target: target(url, 1),
        prefix: "job-worker-".to_owned(),
        lock: "lock".to_owned(),
        namespace: "default".to_owned(),
        pod: "pod-0".to_owned(),
        queue,
    }
}

/// Opens and claims a store on `server`, without a queue.
pub(crate) fn leader(server: &Server) -> RedisStore {
    let mut store = RedisStore::open(settings(&server.url(), None)).unwrap();
    store.claim("pod-0").unwrap();
    store
}

pub(crate) fn commit(store: &mut dyn Store, ops: Vec<Op>) -> Result<Trimmed, Error> {
    let log = Vec::new();
    store.commit(&Batch { ops, log }, Instant::now() + LONG)
}

pub(crate) fn loaded(store: &mut dyn Store) -> Vec<Loaded> {
    let mut all = Vec::new();
    store.load(&mut |one| all.push(one)).unwrap();
    all.sort_by_key(|one| match one {
        Loaded::Task { id, .. } | Loaded::Damaged { id } => (0, id.clone()),
        Loaded::Entry { key, .. } => (1, key.clone()),
    });
    all
}

pub(crate) fn ingest(task: &str) -> Op {
    Op::Ingest {
        task: task.to_owned(),
        snapshot: b"received".to_vec(),
        due: Some(1_700_000_000_123),
        message: Some(b"{raw}".to_vec()),
        settle: None,
    }
}

pub(crate) fn moved(task: &str, expect: u64) -> Op {
    Op::Move {
        task: task.to_owned(),
        expect,
        snapshot: format!("after {expect}").into_bytes(),
        due: None,
        forget_message: false,
        tombstone: None,
    }
}

pub(crate) fn push(key: &str) -> Op {
    Op::OutPush {
        key: key.to_owned(),
        entry: b"callback".to_vec(),
    }
}

pub(crate) fn ack(key: &str) -> Op {
    Op::OutAck { key: key.to_owned() }
}

pub(crate) fn tombstone(value: &str, expires_in: Option<Duration>) -> Tombstone {
    Tombstone {
        value: value.as_bytes().to_vec(),
        expires_in,
    }
}

pub(crate) fn task(id: &str, version: u64, snapshot: &str) -> Loaded {
    Loaded::Task {
        id: id.to_owned(),
        version,
        snapshot: snapshot.as_bytes().to_vec(),
    }
}

pub(crate) fn entry(key: &str, entry: &str) -> Loaded {
    Loaded::Entry {
        key: key.to_owned(),
        entry: entry.as_bytes().to_vec(),
    }
}

/// Returns a digest of everything that a server holds, in all databases.
pub(crate) fn digest(server: &Server) -> String {
    redis::cmd("DEBUG")
        .arg("DIGEST")
        .query(&mut server.connection(0).unwrap())
        .unwrap()
}
