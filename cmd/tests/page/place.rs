//! A worker that has seen something of everything: a task that is complete, one that failed, a refused message, a
//! running one.

use fixtures::apiserver::ApiServer;
use fixtures::redis::{Options, Server};
use fixtures::sink::{Script, Sink};
use fixtures::worker::Worker;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Jobs of this namespace run and complete by themselves.
const CALM: &str = "calm";
/// Jobs of this one do what a test says.
const PLAY: &str = "play";

/// Everything around a leader.
pub(crate) struct Place {
    pub(crate) redis: Server,
    pub(crate) api: ApiServer,
    pub(crate) sink: Sink,
    pub(crate) worker: Worker,
    _directory: tempfile::TempDir,
}

impl Place {
    /// Sets up, and waits until the lives have gone as far as they go.
    pub(crate) fn busy() -> Self {
        let place = Self::quiet();
        place.submit("complete", CALM);
        place.submit("fails", PLAY);
        place.submit("runs", PLAY);
        place.push(br#"{"id": "refused", "service": "example"}"#);
        for task in ["fails", "runs"] {
            until(&format!("{task} has a Job"), || {
                place.api.life(|life| life.job(task).is_some())
            });
            place.api.life(|life| life.run(task));
        }
        place.told("fails", 1);
        place.api.life(|life| life.fail("fails", 1));
        place.told("complete", 2);
        place.told("fails", 3);
        place.told("runs", 1);
        until("the refused message is counted", || {
            place.metric("job_worker_queue_dead_letters") == 1.0
        });
        until("four callbacks are delivered", || {
            place.metric("job_worker_callback_delay_seconds_count") >= 4.0
        });
        place
    }

    /// Sets up a leader without tasks.
    pub(crate) fn quiet() -> Self {
        Self::quiet_with(&[])
    }

    /// As [`Place::quiet`], with further variables.
    pub(crate) fn quiet_with(variables: &[(&str, &str)]) -> Self {
        let redis = Server::start(Options::default()).expect("redis-server starts");
        let api = ApiServer::alive();
        api.life(|life| life.enliven(CALM));
        let directory = tempfile::tempdir().expect("a directory");
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, api.kubeconfig()).expect("a file");
        let pairs = [
            ("POD_NAME", "worker-1".to_owned()),
            ("POD_NAMESPACE", "jobs".to_owned()),
            ("KUBECONFIG", kubeconfig.to_string_lossy().into_owned()),
            ("POLLING_INTERVAL", "1".to_owned()),
            ("HTTP_SERVER_PORT", "0".to_owned()),
            ("REDIS_QUEUE_ENDPOINT", redis.url()),
            ("CACHE_REDIS_ENDPOINT", redis.url()),
            ("CACHE_REDIS_DB", "0".to_owned()),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        let environment: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(
                variables
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            )
            .collect();
        let binary = Path::new(env!("CARGO_BIN_EXE_job-worker"));
        let worker = Worker::start(binary, "worker-1", &environment).expect("cargo has built the binary");
        worker
            .wait_for_line(LIMIT, |line| line["msg"] == "http listens")
            .expect("the door opens");
        Self {
            redis,
            api,
            sink: Sink::start(Script::default()),
            worker,
            _directory: directory,
        }
    }

    /// Puts a task on the queue, whose callbacks come to the path `/<id>`.
    pub(crate) fn submit(&self, id: &str, namespace: &str) {
        self.push(self.message(id, namespace).to_string().as_bytes());
    }

    /// Returns the message of a task.
    pub(crate) fn message(&self, id: &str, namespace: &str) -> Value {
        json!({
            "id": id,
            "service": "example",
            "webhook": {"url": self.sink.url(&format!("/{id}"))},
            "job": {"prefixName": "my-job", "namespace": namespace, "image": "busybox:latest"},
        })
    }

    /// Puts bytes on the queue.
    pub(crate) fn push(&self, raw: &[u8]) {
        let mut connection = self.redis.connection(0).expect("Redis is there");
        let push = ::redis::cmd("LPUSH").arg("queue-").arg(raw).exec(&mut connection);
        push.expect("Redis takes a message");
    }

    /// Waits until a task has told this status.
    pub(crate) fn told(&self, task: &str, status: u64) {
        until(&format!("{task} tells {status}"), || {
            let statuses: BTreeSet<u64> = self
                .sink
                .requests()
                .iter()
                .filter(|request| request.path() == format!("/{task}"))
                .filter_map(|request| serde_json::from_slice::<Value>(&request.body).ok()?["status"].as_u64())
                .collect();
            statuses.contains(&status)
        });
    }

    /// Returns where the worker's door is.
    pub(crate) fn address(&self) -> String {
        let line = self
            .worker
            .wait_for_line(LIMIT, |line| line["msg"] == "http listens")
            .expect("the door opens");
        let address = line["address"].as_str().expect("the address is logged");
        let port = address.rsplit(':').next().expect("a port");
        format!("127.0.0.1:{port}")
    }

    /// Returns what `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        let (status, text) = self.worker.get("/metrics").expect("the door answers");
        assert_eq!(status, 200, "{text}");
        text
    }

    fn metric(&self, name: &str) -> f64 {
        self.worker.metric(name).expect("the metric is there")
    }
}

/// Waits until something is true.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "it is not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
