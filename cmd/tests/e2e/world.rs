//! What every test has of its own: a Redis, a receiver, a lock, a namespace, and workers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use adapters::cluster::names::{self, Instance};
use fixtures::kubernetes::{Access, Cluster, WORKER_NAMESPACE};
use fixtures::redis as server;
use fixtures::sink::{Script, Sink};
use fixtures::worker::Worker;
use redis::Commands as _;
use serde_json::Value;

use crate::story::{self, Told};
use crate::task::Task;

/// Longest wait for what takes a few seconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(120);
/// The end of a worker that was asked to end.
pub(crate) const GRACE: Duration = Duration::from_secs(60);
/// The list that producers push to, where `REDIS_QUEUE_KEY_PREFIX` is not set.
pub(crate) const QUEUE: &str = "queue-";

const POLL: Duration = Duration::from_millis(50);

static SHARED: LazyLock<Result<Arc<Cluster>, String>> = LazyLock::new(|| {
    let opened = Cluster::from_environment();
    opened.map(Arc::new).map_err(|error| error.to_string())
});

/// The cluster that the environment names.
pub(crate) fn shared() -> Arc<Cluster> {
    match &*SHARED {
        Ok(cluster) => Arc::clone(cluster),
        Err(error) => panic!("{error}"),
    }
}

/// Waits until `look` sees something.
pub(crate) fn eventually<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// One letter of `<prefix>:dead`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Letter {
    pub reason: String,
    pub raw: Vec<u8>,
    pub detail: String,
}

/// The surroundings of one test.
pub(crate) struct World {
    pub cluster: Arc<Cluster>,
    pub redis: server::Server,
    pub sink: Sink,
    /// A namespace that nobody else uses.
    pub namespace: String,
    pub lock_name: String,
    nonce: String,
    kubeconfig: PathBuf,
}

impl World {
    /// A world whose worker has the permissions that it needs, and no more.
    pub(crate) fn new(name: &str) -> World {
        World::on(shared(), name, Access::Needed)
    }

    /// A world whose worker may also patch Jobs.
    pub(crate) fn with_patch(name: &str) -> World {
        World::on(shared(), name, Access::Patch)
    }

    /// A world in a cluster.
    pub(crate) fn on(cluster: Arc<Cluster>, name: &str, access: Access) -> World {
        let nonce: String = uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(6)
            .collect();
        let namespace = format!("e2e-{name}-{nonce}");
        cluster.create_namespace(&namespace, access);
        let kubeconfig = match access {
            Access::Patch => &cluster.facts.worker_patch_kubeconfig,
            Access::Needed | Access::None => &cluster.facts.worker_kubeconfig,
        };
        World {
            kubeconfig: kubeconfig.clone(),
            redis: server::Server::start(server::Options::default()).expect("redis-server starts"),
            sink: Sink::start(Script::default()),
            lock_name: format!("e2e-{name}-{nonce}"),
            namespace,
            nonce,
            cluster,
        }
    }

    /// The same world, its workers with another kubeconfig.
    pub(crate) fn with_kubeconfig(mut self, kubeconfig: &Path) -> World {
        self.kubeconfig = kubeconfig.to_owned();
        self
    }

    /// An id that no other test uses.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.nonce)
    }

    /// A task in the namespace of this world that runs a shell script.
    pub(crate) fn task(&self, name: &str, script: &str) -> Task {
        Task::new(
            &self.id(name),
            &self.namespace,
            &self.sink.url("/callback"),
            script,
        )
    }

    /// The environment of a worker.
    pub(crate) fn environment(&self, pod: &str) -> Vec<(String, String)> {
        let pairs = [
            ("POD_NAME", pod.to_owned()),
            ("POD_NAMESPACE", WORKER_NAMESPACE.to_owned()),
            ("LEADER_ELECTION_LOCK_NAME", self.lock_name.clone()),
            ("LEADER_ELECTION_LEASE_SECONDS", "2".to_owned()),
            ("POLLING_INTERVAL", "1".to_owned()),
            ("HTTP_SERVER_PORT", "0".to_owned()),
            ("REDIS_QUEUE_ENDPOINT", self.redis.url()),
            ("CACHE_REDIS_ENDPOINT", self.redis.url()),
            ("CACHE_REDIS_DB", "1".to_owned()),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("LOG_FORMAT", "json".to_owned()),
            ("LOG_LEVEL", "debug".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Starts a worker.
    pub(crate) fn worker(&self, pod: &str) -> Worker {
        self.worker_with(pod, &[])
    }

    /// Starts a worker with further variables, which stand above the others.
    pub(crate) fn worker_with(&self, pod: &str, more: &[(&str, &str)]) -> Worker {
        let mut environment = self.environment(pod);
        environment.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Worker::start(&binary(), pod, &environment).expect("the worker starts")
    }

    /// A connection to the queue's database.
    pub(crate) fn queue(&self) -> redis::Connection {
        self.redis.connection(0).expect("Redis answers")
    }

    /// Sends a message.
    pub(crate) fn push(&self, task: &Task) {
        self.push_raw(task.message.to_string().as_bytes());
    }

    /// Sends bytes.
    pub(crate) fn push_raw(&self, raw: &[u8]) {
        let _length: u64 = self.queue().lpush(QUEUE, raw).expect("Redis takes the message");
    }

    /// The dead letters of the queue, the oldest first.
    pub(crate) fn dead_letters(&self) -> Vec<Letter> {
        let dead = format!("{QUEUE}:dead");
        let reply: redis::streams::StreamRangeReply =
            self.queue().xrange_all(dead).expect("Redis reads the stream");
        let letter = |entry: &redis::streams::StreamId| Letter {
            reason: entry.get("reason").unwrap_or_default(),
            raw: entry.get("raw").unwrap_or_default(),
            detail: entry.get("detail").unwrap_or_default(),
        };
        reply.ids.iter().map(letter).collect()
    }

    /// Waits for so many dead letters and returns all of them.
    pub(crate) fn wait_for_dead_letters(&self, count: usize) -> Vec<Letter> {
        eventually(SOON, &format!("{count} dead letters"), || {
            Some(self.dead_letters()).filter(|letters| letters.len() >= count)
        })
    }

    /// What the receiver was told of a task so far: first arrivals, checked for the rules of every callback.
    pub(crate) fn told(&self, id: &str) -> Vec<Told> {
        story::told(&self.sink.requests(), id)
    }

    /// Waits until a task has so many callbacks, and returns them.
    pub(crate) fn wait_for(&self, id: &str, count: usize, within: Duration) -> Vec<Told> {
        self.wait_until(id, within, |told| told.len() >= count)
    }

    /// Waits for the verdict of a task, and returns all that was told.
    pub(crate) fn verdict(&self, id: &str, within: Duration) -> Vec<Told> {
        self.wait_until(id, within, |told| {
            told.iter().any(|told| matches!(told.status, 2 | 3 | 99))
        })
    }

    fn wait_until(&self, id: &str, within: Duration, done: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        match self
            .sink
            .wait_until(|requests| done(&story::told(requests, id)), within)
        {
            Ok(requests) => story::told(&requests, id),
            Err(overdue) => panic!(
                "not within {within:?}: {id} was told {:?}",
                story::told(&overdue.requests, id)
            ),
        }
    }

    /// Which installation the workers of this world are.
    pub(crate) fn instance(&self) -> Instance {
        Instance {
            namespace: WORKER_NAMESPACE.to_owned(),
            lock_name: self.lock_name.clone(),
        }
    }

    /// The name of a task's Job.
    pub(crate) fn job_name(&self, task: &Task) -> String {
        names::job_name(&self.instance(), &task.namespace, &task.id, &task.prefix)
    }

    /// The Job of a task.
    pub(crate) fn find_job(&self, task: &Task) -> Option<Value> {
        self.cluster.job(&task.namespace, &self.job_name(task))
    }

    /// The Job of a task, which has to be there.
    pub(crate) fn job(&self, task: &Task) -> Value {
        self.find_job(task)
            .unwrap_or_else(|| panic!("{} has no Job", task.id))
    }

    /// The pods of a task, the oldest first.
    pub(crate) fn pods(&self, task: &Task) -> Vec<Value> {
        self.cluster.pods(&task.namespace, &self.job_name(task))
    }

    /// The only pod of a task.
    pub(crate) fn pod(&self, task: &Task) -> Value {
        let pods = self.pods(task);
        assert_eq!(pods.len(), 1, "{} has one pod", task.id);
        pods[0].clone()
    }

    /// Asserts that the receiver was told the whole life of a task that went well, of which Job and pod are still there.
    pub(crate) fn assert_completed(&self, task: &Task) {
        let (job, pod) = (self.job(task), self.pod(task));
        assert_eq!(
            self.told(&task.id),
            [Told::created(&job), Told::started(&pod), Told::completed(&job)]
        );
    }

    /// The Lease of this world.
    pub(crate) fn lease(&self) -> Option<Value> {
        self.cluster.get(&format!(
            "/apis/coordination.k8s.io/v1/namespaces/{WORKER_NAMESPACE}/leases/{}",
            self.lock_name
        ))
    }

    /// The holder of the Lease; empty where nobody holds it.
    pub(crate) fn holder(&self) -> String {
        let lease = self.lease().unwrap_or_default();
        let holder = lease["spec"]["holderIdentity"].as_str();
        holder.unwrap_or_default().to_owned()
    }

    /// The create requests of this world's namespace that were answered with 201, by the name of the Job.
    ///
    /// A create whose client died is answered 504 there, although its Job may exist.
    pub(crate) fn creates(&self) -> Vec<String> {
        let entries = self.cluster.audit(&self.namespace);
        entries
            .into_iter()
            .filter(|entry| entry.namespace == self.namespace && entry.resource == "jobs")
            .filter(|entry| entry.verb == "create" && entry.code == 201)
            .filter(|entry| entry.user.starts_with("system:serviceaccount:job-worker:"))
            .map(|entry| entry.name)
            .collect()
    }

    /// Asserts that exactly the Jobs of these tasks were created in this world's namespace, each of them once.
    pub(crate) fn assert_one_job_each<'a>(&self, tasks: impl IntoIterator<Item = &'a Task>) {
        self.assert_jobs(tasks, []);
    }

    /// Asserts the same where the Jobs of other tasks are gone.
    pub(crate) fn assert_jobs<'a>(
        &self,
        tasks: impl IntoIterator<Item = &'a Task>,
        gone: impl IntoIterator<Item = &'a Task>,
    ) {
        let names = |task: &Task| self.job_name(task);
        let mut wanted: Vec<String> = tasks.into_iter().map(names).collect();
        let gone: Vec<String> = gone.into_iter().map(names).collect();
        wanted.sort();
        let mut there: Vec<String> = self
            .cluster
            .jobs(&self.namespace)
            .iter()
            .filter_map(|job| job["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        there.sort();
        assert_eq!(there, wanted, "the Jobs that are there");
        let mut created = self.creates();
        let all = created.len();
        created.sort();
        created.dedup();
        assert_eq!(created.len(), all, "no Job was created twice");
        wanted.extend(gone);
        assert!(created.iter().all(|name| wanted.contains(name)), "{created:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- namespace {}, lock {}", self.namespace, self.lock_name);
            return;
        }
        self.cluster
            .delete(&format!("/api/v1/namespaces/{}", self.namespace));
    }
}

/// The binary under test: the one that cargo built, or the one that `JOB_WORKER_BINARY` names, such as a release build.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("JOB_WORKER_BINARY")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_job-worker")), PathBuf::from)
}

/// Ends a worker as Kubernetes does, and asserts that it ends well within the grace period.
pub(crate) fn end(mut worker: Worker) {
    worker.terminate().expect("the worker runs");
    let status = worker.wait(GRACE).expect("SIGTERM ends the worker");
    assert!(status.success(), "worker {} ended with {status}", worker.name());
}
