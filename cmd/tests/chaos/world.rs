//! What surrounds the replicas: the cluster, a Redis, a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use adapters::cluster::names::Instance;
use fixtures::kubernetes::{Access, Cluster, WORKER_NAMESPACE};
use fixtures::redis as server;
use fixtures::sink::{Request, Sink};
use redis::Commands as _;
use serde_json::Value;

use crate::plan::{self, Task};

/// The list that producers push to, where `REDIS_QUEUE_KEY_PREFIX` is not set.
const QUEUE: &str = "queue-";
/// Longest wait until Redis takes a message.
const PUSH_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The bytes of a message.
pub(crate) type Pushed = String;

/// The surroundings of one run.
pub(crate) struct World {
    pub cluster: Cluster,
    pub redis: server::Server,
    /// The server of the store, where it is not that of the queue.
    pub store: Option<server::Server>,
    /// What the replicas may do.
    pub access: Access,
    pub sink: Sink,
    /// A namespace that nobody else uses.
    pub namespace: String,
    directory: PathBuf,
    queue: Option<redis::Connection>,
}

/// What is left in the queue when all is done.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Queue {
    pub waiting: u64,
    pub taken: u64,
    /// Dead letters by their reason.
    pub dead: BTreeMap<String, usize>,
}

impl World {
    /// Makes the surroundings on the cluster of a directory.
    pub(crate) fn new(directory: &Path, access: Access, two_servers: bool) -> io::Result<World> {
        let cluster = Cluster::open(directory)?;
        let nonce: String = uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(6)
            .collect();
        let namespace = format!("chaos-{nonce}");
        cluster.create_namespace(&namespace, access);
        let start = || server::Server::start(server::Options::default());
        Ok(World {
            cluster,
            redis: start()?,
            store: two_servers.then(start).transpose()?,
            access,
            sink: Sink::start(plan::script()),
            namespace,
            directory: directory.to_owned(),
            queue: None,
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
        let kubeconfig = match self.access {
            Access::Patch => &self.cluster.facts.worker_patch_kubeconfig,
            Access::Needed | Access::None => &self.cluster.facts.worker_kubeconfig,
        };
        let pairs = [
            ("POD_NAMESPACE", WORKER_NAMESPACE.to_owned()),
            ("LEADER_ELECTION_LOCK_NAME", self.namespace.clone()),
            ("LEADER_ELECTION_LEASE_SECONDS", lease_seconds.to_string()),
            ("POLLING_INTERVAL", "1".to_owned()),
            ("HTTP_SERVER_PORT", "0".to_owned()),
            ("REDIS_QUEUE_ENDPOINT", self.redis.url()),
            ("CACHE_REDIS_ENDPOINT", store.url()),
            ("CACHE_REDIS_DB", "1".to_owned()),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
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
            self.queue = Some(self.redis.connection(0)?);
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

    /// Kills a redis-server (SIGKILL), the store's where `of_store` and there are two, and starts it again after a while.
    pub(crate) fn restart_redis(&mut self, of_store: bool, pause: Duration) -> io::Result<()> {
        let server = match &mut self.store {
            Some(store) if of_store => store,
            Some(_) | None => {
                self.queue = None;
                &mut self.redis
            }
        };
        server.kill()?;
        thread::sleep(pause);
        server.restart()
    }

    /// Kills the API server (SIGKILL) and starts it again after a while.
    pub(crate) fn restart_apiserver(&self, pause: Duration) -> io::Result<()> {
        self.script("stop-apiserver")?;
        thread::sleep(pause);
        self.script("start-apiserver")
    }

    fn script(&self, verb: &str) -> io::Result<()> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/cluster");
        let status = Command::new(script)
            .arg(verb)
            .arg(&self.directory)
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "scripts/cluster {verb} ended with {status}"
            )))
        }
    }

    /// The Lease.
    pub(crate) fn lease(&self) -> Value {
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{WORKER_NAMESPACE}/leases/{}",
            self.namespace
        );
        self.cluster.get(&path).unwrap_or_default()
    }

    /// The holder of the Lease; empty where nobody holds it.
    pub(crate) fn holder(&self) -> String {
        let lease = self.lease();
        lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The ids of the tasks whose verdict the receiver has accepted.
    pub(crate) fn delivered(&self, tasks: &[Task]) -> BTreeSet<String> {
        delivered(&self.sink.requests(), tasks)
    }

    /// Waits until the verdict of every task is accepted; returns how many are missing.
    pub(crate) fn wait_for_all(&self, tasks: &[Task], within: Duration) -> usize {
        let done = |requests: &[Request]| delivered(requests, tasks).len();
        let deadline = Instant::now() + within;
        loop {
            let missing = tasks.len() - done(&self.sink.requests());
            if missing == 0 || Instant::now() > deadline {
                return missing;
            }
            thread::sleep(4 * POLL);
        }
    }
}

fn delivered(requests: &[Request], tasks: &[Task]) -> BTreeSet<String> {
    crate::judge::arrivals(requests, tasks)
        .into_iter()
        .filter(|(_, arrivals)| arrivals.iter().any(|one| one.accepted && one.is_verdict()))
        .map(|(id, _)| id)
        .collect()
}
