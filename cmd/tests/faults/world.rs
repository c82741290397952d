//! What surrounds the replicas: the cluster, a Redis behind a relay, a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use adapters::cluster::names::Instance;
use fixtures::kubernetes::{Access, WORKER_NAMESPACE};
use fixtures::redis as server;
use fixtures::sink::Sink;
use redis::Commands as _;
use serde_json::Value;

use crate::cluster::Place;
use crate::judge::Arrival;
use crate::plan::{self, Task};
use crate::proxy::Proxy;
use crate::record::Record;

/// The list that producers push to, where `REDIS_QUEUE_KEY_PREFIX` is not set.
pub(crate) const QUEUE: &str = "queue-";
/// The database of the store.
pub(crate) const STORE_DB: i64 = 1;
/// Longest wait until Redis takes a message.
const PUSH_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// A redis-server and the relay in front of it.
pub(crate) struct Redis {
    pub server: server::Server,
    pub proxy: Proxy,
}

impl Redis {
    fn start() -> io::Result<Redis> {
        let server = server::Server::start(server::Options {
            // A rewrite would come between a copy of the files and their use.
            settings: vec![("auto-aof-rewrite-percentage".to_owned(), "0".to_owned())],
            ..server::Options::default()
        })?;
        let proxy = Proxy::start(server.port())?;
        Ok(Redis { server, proxy })
    }
}

/// The surroundings of one run.
pub(crate) struct World {
    pub place: Place,
    pub redis: Redis,
    /// The server of the store, where it is not that of the queue.
    pub store: Option<Redis>,
    /// What the replicas may do.
    pub access: Access,
    pub sink: Sink,
    /// A namespace that nobody else uses; also the name of the lock.
    pub namespace: String,
    /// What the API server had.
    pub record: Record,
    /// The tasks that lost writes have hit.
    pub hit: BTreeSet<String>,
    queue: Option<redis::Connection>,
    tally: Tally,
}

/// The callbacks that have arrived, and whose verdict was accepted.
#[derive(Debug, Default)]
struct Tally {
    seen: usize,
    arrivals: BTreeMap<String, Vec<Arrival>>,
    delivered: BTreeSet<String>,
}

/// What is left in the queue when all is done.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Queue {
    pub waiting: u64,
    pub taken: u64,
    /// Dead letters by their reason.
    pub dead: BTreeMap<String, usize>,
}

impl World {
    /// Makes the surroundings around a cluster.
    pub(crate) fn new(
        place: Place,
        namespace: String,
        access: Access,
        two_servers: bool,
    ) -> io::Result<World> {
        Ok(World {
            place,
            redis: Redis::start()?,
            store: two_servers.then(Redis::start).transpose()?,
            access,
            sink: Sink::start(plan::script()),
            namespace,
            record: Record::default(),
            hit: BTreeSet::new(),
            queue: None,
            tally: Tally::default(),
        })
    }

    /// The installation that the replicas are.
    pub(crate) fn instance(&self) -> Instance {
        Instance {
            namespace: WORKER_NAMESPACE.to_owned(),
            lock_name: self.namespace.clone(),
        }
    }

    /// The environment of every replica, without its name.
    pub(crate) fn environment(&self, lease_seconds: u64) -> Vec<(String, String)> {
        let store = self.store.as_ref().unwrap_or(&self.redis);
        let pairs = [
            ("POD_NAMESPACE", WORKER_NAMESPACE.to_owned()),
            ("LEADER_ELECTION_LOCK_NAME", self.namespace.clone()),
            ("LEADER_ELECTION_LEASE_SECONDS", lease_seconds.to_string()),
            ("POLLING_INTERVAL", "1".to_owned()),
            ("HTTP_SERVER_PORT", "0".to_owned()),
            ("REDIS_QUEUE_ENDPOINT", self.redis.proxy.address()),
            ("CACHE_REDIS_ENDPOINT", store.proxy.address()),
            ("CACHE_REDIS_DB", STORE_DB.to_string()),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
            ("KUBECONFIG", self.place.kubeconfig().display().to_string()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The server of the store.
    pub(crate) fn store(&self) -> &Redis {
        self.store.as_ref().unwrap_or(&self.redis)
    }

    /// The server of the store, to be killed.
    pub(crate) fn store_mut(&mut self) -> &mut Redis {
        self.queue = None;
        self.store.as_mut().unwrap_or(&mut self.redis)
    }

    /// Sends a message; a producer that gets no answer sends it again.
    pub(crate) fn push(&mut self, message: &str) -> io::Result<()> {
        let deadline = Instant::now() + PUSH_TIMEOUT;
        loop {
            let pushed = self
                .queue()
                .and_then(|queue| queue.lpush::<_, _, u64>(QUEUE, message));
            match pushed {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(io::Error::other(error)),
                Err(_) => self.queue = None,
            }
            thread::sleep(POLL);
        }
    }

    fn queue(&mut self) -> redis::RedisResult<&mut redis::Connection> {
        if self.queue.is_none() {
            self.queue = Some(self.redis.server.connection(0)?);
        }
        Ok(self.queue.as_mut().expect("it was connected above"))
    }

    /// What is in the queue.
    pub(crate) fn queued(&mut self) -> redis::RedisResult<Queue> {
        let queue = self.queue()?;
        let letters: redis::streams::StreamRangeReply = queue.xrange_all(format!("{QUEUE}:dead"))?;
        let mut dead = BTreeMap::new();
        for letter in &letters.ids {
            *dead.entry(letter.get("reason").unwrap_or_default()).or_default() += 1;
        }
        Ok(Queue {
            waiting: queue.llen(QUEUE)?,
            taken: queue.llen(format!("{QUEUE}:taken"))?,
            dead,
        })
    }

    /// Waits until nothing waits in the queue and nothing is taken; returns what there is.
    pub(crate) fn settled(&mut self, within: Duration) -> redis::RedisResult<Queue> {
        let deadline = Instant::now() + within;
        loop {
            let queue = self.queued()?;
            if (queue.waiting, queue.taken) == (0, 0) || Instant::now() > deadline {
                return Ok(queue);
            }
            thread::sleep(4 * POLL);
        }
    }

    /// The holder of the Lease; empty where nobody holds it.
    pub(crate) fn holder(&self) -> String {
        let lease: Value = self.place.lease(&self.namespace);
        lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Takes in what has happened since the last time: to the record and to the tally.
    pub(crate) fn look(&mut self, tasks: &[Task]) {
        self.place.look(&self.namespace, &mut self.record);
        let requests = self.sink.requests();
        self.tally.add(&requests, tasks);
    }

    /// The ids of the tasks whose verdict the receiver has accepted, at the last look.
    pub(crate) const fn delivered(&self) -> &BTreeSet<String> {
        &self.tally.delivered
    }

    /// The callbacks of each task, in the order of arrival, at the last look.
    pub(crate) const fn arrivals(&self) -> &BTreeMap<String, Vec<Arrival>> {
        &self.tally.arrivals
    }

    /// Waits until the verdict of every task is accepted; returns how many are missing.
    pub(crate) fn wait_for_all(&mut self, tasks: &[Task], within: Duration) -> usize {
        let deadline = Instant::now() + within;
        loop {
            self.look(tasks);
            let missing = tasks.len() - self.tally.delivered.len();
            if missing == 0 || Instant::now() > deadline {
                return missing;
            }
            thread::sleep(10 * POLL);
        }
    }
}

impl Tally {
    fn add(&mut self, requests: &[fixtures::sink::Request], tasks: &[Task]) {
        for request in &requests[self.seen..] {
            let (task, mut arrival) = crate::judge::read(request, tasks);
            let of_task = self.arrivals.entry(task.id.clone()).or_default();
            arrival.accepted = task.accepted(of_task.len());
            if arrival.accepted && arrival.is_verdict() {
                self.delivered.insert(task.id.clone());
            }
            of_task.push(arrival);
        }
        self.seen = requests.len();
    }
}
