//! Stores of every layout, each with its queue, and what a test looks at behind the driver's back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use adapters::connection::Target;
use adapters::source::list::List;
use adapters::source::memory::Memory;
use adapters::source::{Joint, Source};
use adapters::store::{MemoryStore, RedisStore, Settings, Store};
use fixtures::redis::{Options, Server};

/// Is a kind of store with its servers; each place in it has keys of its own.
pub(crate) struct Layout {
    servers: Vec<Server>,
    queue_db: u32,
}

/// Where the servers of a layout are.
#[derive(Clone)]
struct Address {
    store: Target,
    queue: Target,
}

/// Is a store that leaders can open, and the queue that belongs to it.
pub(crate) struct Place {
    pub(crate) source: Arc<dyn Source>,
    /// The message is settled with the task, in one write.
    pub(crate) joint: bool,
    kind: Kind,
}

enum Kind {
    Memory { store: MemoryStore, queue: Arc<Memory> },
    Redis(Box<Keys>),
}

struct Keys {
    settings: Settings,
    address: Address,
    prefix: String,
}

/// How long a tombstone stays.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Stone {
    Missing,
    Lasting,
    Expiring,
}

/// Is a refused message.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Letter {
    pub(crate) reason: String,
    pub(crate) raw: Vec<u8>,
}

const STORE_DB: u32 = 1;

impl Layout {
    fn of(servers: usize, queue_db: u32) -> Self {
        let servers = (0..servers)
            .map(|_| Server::start(Options::default()).unwrap())
            .collect();
        Self { servers, queue_db }
    }

    pub(crate) fn in_memory() -> Self {
        Self::of(0, 0)
    }

    pub(crate) fn one_database() -> Self {
        Self::of(1, STORE_DB)
    }

    pub(crate) fn two_databases() -> Self {
        Self::of(1, 3)
    }

    pub(crate) fn two_servers() -> Self {
        Self::of(2, STORE_DB)
    }

    /// Counts the commands that the store's server has run, those of scripts among them.
    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        let mut connection = self.servers[0].connection(0).unwrap();
        let text: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut connection)
            .unwrap();
        let calls = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        text.lines().filter_map(calls).collect()
    }

    pub(crate) fn place(&self) -> Place {
        let (Some(first), Some(last)) = (self.servers.first(), self.servers.last()) else {
            return in_memory();
        };
        in_redis(Address {
            store: target(first, STORE_DB),
            queue: target(last, self.queue_db),
        })
    }
}

/// Tells the keys of places apart.
static PLACES: AtomicU32 = AtomicU32::new(0);

fn in_redis(address: Address) -> Place {
    let number = PLACES.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("queue-{number}");
    let list = List::new(&address.queue, &prefix, "pod-0").unwrap();
    let settings = Settings {
        target: address.store.clone(),
        prefix: format!("job-worker-{number}-"),
        lock: "lock".to_owned(),
        namespace: "default".to_owned(),
        pod: "pod-0".to_owned(),
        queue: list.joint().cloned(),
    };
    let joint = list.joint().map(|joint: &Joint| joint.address.clone())
        == Some(settings.target.endpoint.address().to_string());
    Place {
        source: Arc::new(list),
        joint,
        kind: Kind::Redis(Box::new(Keys {
            settings,
            address,
            prefix,
        })),
    }
}

fn in_memory() -> Place {
    let queue = Arc::new(Memory::new());
    Place {
        source: Arc::clone(&queue) as Arc<dyn Source>,
        joint: true,
        kind: Kind::Memory {
            store: MemoryStore::new("default", "lock").joined(Arc::clone(&queue)),
            queue,
        },
    }
}

fn target(server: &Server, db: u32) -> Target {
    Target {
        endpoint: server.url().parse().unwrap(),
        db,
        password: None,
        ca: None,
    }
}

fn ask<T: redis::FromRedisValue>(target: &Target, words: &[&[u8]]) -> T {
    let address = target.endpoint.address().to_string();
    let client = redis::Client::open(format!("redis://{address}/{}", target.db)).unwrap();
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query(&mut client.get_connection().unwrap()).unwrap()
}

impl Place {
    /// Another place of the same layout, with nothing in it.
    pub(crate) fn sibling(&self) -> Self {
        match &self.kind {
            Kind::Memory { .. } => in_memory(),
            Kind::Redis(keys) => in_redis(keys.address.clone()),
        }
    }

    pub(crate) fn open(&self) -> Box<dyn Store> {
        match &self.kind {
            Kind::Memory { store, .. } => Box::new(store.clone()),
            Kind::Redis(keys) => Box::new(RedisStore::open(keys.settings.clone()).unwrap()),
        }
    }

    /// The store in memory, where it is one: it can lose writes.
    pub(crate) fn memory(&self) -> Option<&MemoryStore> {
        match &self.kind {
            Kind::Memory { store, .. } => Some(store),
            Kind::Redis(_) => None,
        }
    }

    pub(crate) fn push(&self, raw: &[u8]) {
        match &self.kind {
            Kind::Memory { queue, .. } => queue.push(raw),
            Kind::Redis(keys) => {
                let Keys { prefix, address, .. } = &**keys;
                let queue = &address.queue;
                ask::<u64>(queue, &[b"LPUSH", prefix.as_bytes(), raw]);
            }
        }
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        match &self.kind {
            Kind::Memory { queue, .. } => queue
                .letters()
                .into_iter()
                .map(|letter| Letter {
                    reason: letter.reason,
                    raw: letter.raw,
                })
                .collect(),
            Kind::Redis(keys) => {
                let Keys { prefix, address, .. } = &**keys;
                let queue = &address.queue;
                let key = format!("{prefix}:dead");
                let found: redis::streams::StreamRangeReply =
                    ask(queue, &[b"XRANGE", key.as_bytes(), b"-", b"+"]);
                found
                    .ids
                    .iter()
                    .map(|entry| Letter {
                        reason: entry.get("reason").unwrap(),
                        raw: entry.get("raw").unwrap(),
                    })
                    .collect()
            }
        }
    }

    /// Gives an order, as the command line does.
    pub(crate) fn order(&self, order: &[u8]) {
        match &self.kind {
            Kind::Memory { store, .. } => {
                let mut image = store.image();
                let number = image.orders.len() + image.answers.len() + 1;
                image.orders.insert(format!("{number}-0"), order.to_vec());
                store.restore(image);
            }
            Kind::Redis(keys) => {
                let settings = &keys.settings;
                let key = format!("{}{{lock}}:orders", settings.prefix);
                ask::<String>(
                    &settings.target,
                    &[b"XADD", key.as_bytes(), b"*", b"order", order],
                );
            }
        }
    }

    /// The answers to orders, the oldest first.
    pub(crate) fn answers(&self) -> Vec<serde_json::Value> {
        let answers: Vec<Vec<u8>> = match &self.kind {
            Kind::Memory { store, .. } => {
                let answers = store.image().answers;
                answers.into_iter().map(|(_, answer)| answer).collect()
            }
            Kind::Redis(keys) => {
                let settings = &keys.settings;
                let key = format!("{}{{lock}}:answers", settings.prefix);
                let found: redis::streams::StreamRangeReply =
                    ask(&settings.target, &[b"XRANGE", key.as_bytes(), b"-", b"+"]);
                found
                    .ids
                    .iter()
                    .map(|entry| entry.get("answer").unwrap())
                    .collect()
            }
        };
        answers
            .iter()
            .map(|answer| serde_json::from_slice(answer).unwrap())
            .collect()
    }

    /// The places of the queue's dead letters, the oldest first.
    pub(crate) fn letter_places(&self) -> Vec<String> {
        match &self.kind {
            Kind::Memory { queue, .. } => (1..100)
                .map(|number| format!("{number}-0"))
                .filter(|place| queue.letter(place).is_some())
                .collect(),
            Kind::Redis(keys) => {
                let Keys { prefix, address, .. } = &**keys;
                places(&address.queue, &format!("{prefix}:dead"))
            }
        }
    }

    /// The places of the dead callbacks, the oldest first.
    pub(crate) fn callback_places(&self) -> Vec<String> {
        match &self.kind {
            Kind::Memory { store, .. } => {
                let dead = store.image().dead;
                let kept = dead.iter().enumerate().filter(|(_, fields)| !fields.is_empty());
                kept.map(|(number, _)| format!("{number}-0")).collect()
            }
            Kind::Redis(keys) => Self::stream(keys, "dead"),
        }
    }

    /// The places of the records of the event log, the oldest first.
    pub(crate) fn record_places(&self) -> Vec<String> {
        match &self.kind {
            Kind::Memory { store, .. } => {
                let records = store.image().log.len();
                (0..records).map(|number| format!("{number}-0")).collect()
            }
            Kind::Redis(keys) => Self::stream(keys, "log"),
        }
    }

    fn stream(keys: &Keys, name: &str) -> Vec<String> {
        let settings = &keys.settings;
        places(&settings.target, &format!("{}{{lock}}:{name}", settings.prefix))
    }

    pub(crate) fn stone(&self, id: &str) -> Stone {
        match &self.kind {
            Kind::Memory { store, .. } => {
                let present = || store.clone().tombstones(&[id]).unwrap() != [None];
                if !present() {
                    return Stone::Missing;
                }
                let held = store.image();
                store.set_now(u64::MAX);
                let lasts = present();
                store.restore(held);
                if lasts { Stone::Lasting } else { Stone::Expiring }
            }
            Kind::Redis(keys) => {
                let settings = &keys.settings;
                match ask::<i64>(&settings.target, &[b"PTTL", done(settings, id).as_bytes()]) {
                    -2 => Stone::Missing,
                    -1 => Stone::Lasting,
                    _ => Stone::Expiring,
                }
            }
        }
    }

    /// Lets the dedup window of an id pass.
    pub(crate) fn forget_stone(&self, id: &str) {
        match &self.kind {
            Kind::Memory { store, .. } => store.set_now(u64::MAX),
            Kind::Redis(keys) => {
                let settings = &keys.settings;
                ask::<u64>(
                    &settings.target,
                    &[b"PEXPIRE", done(settings, id).as_bytes(), b"0"],
                );
            }
        }
    }

    /// Puts bytes in the place of a task's snapshot, where the store lets anybody do so.
    pub(crate) fn damage(&self, id: &str, value: &[u8]) -> bool {
        match &self.kind {
            Kind::Memory { .. } => false,
            Kind::Redis(keys) => {
                let settings = &keys.settings;
                let tasks = format!("{}{{lock}}:tasks", settings.prefix);
                ask::<u64>(
                    &settings.target,
                    &[b"HSET", tasks.as_bytes(), id.as_bytes(), value],
                );
                true
            }
        }
    }
}

fn places(target: &Target, key: &str) -> Vec<String> {
    let found: redis::streams::StreamRangeReply = ask(target, &[b"XRANGE", key.as_bytes(), b"-", b"+"]);
    found.ids.into_iter().map(|entry| entry.id).collect()
}

fn done(settings: &Settings, id: &str) -> String {
    format!("{}{{lock}}:done:{id}", settings.prefix)
}
