//! A worker that has run for a while and was killed, and what it has left in Redis and in the cluster.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use fixtures::embedded::{Deed, Embedded, Identity, Options, Resource};
use fixtures::redis::{self as server, Server};
use fixtures::sink::{Reply, Script, Sink};
use fixtures::worker::Worker;
use redis::Commands as _;
use serde_json::{Value, json};

/// The token of the worker, who may look everywhere.
pub(crate) const TOKEN: &str = "worker";
/// The token of one who may look into one namespace.
pub(crate) const LIMITED: &str = "limited";

const NAMESPACE: &str = "jobs";
const LOCK: &str = "job-worker-lock";
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);

/// What an audit said.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) code: i32,
    /// Kind and id, sorted.
    pub(crate) found: Vec<(String, String)>,
    pub(crate) tasks: u64,
}

/// Redis and cluster after the worker.
pub(crate) struct Scene {
    redis: Server,
    cluster: Embedded,
    directory: tempfile::TempDir,
}

impl Scene {
    /// Lets a worker bring nine tasks to a running pod, five to their end, two to a callback that nobody takes, and leave
    /// one without a Job; then kills it.
    pub(crate) fn set() -> Scene {
        let identity = |token: &str, namespaces: Option<&[&str]>| Identity::worker(token, token, namespaces);
        let cluster = Embedded::start(Options {
            namespaces: vec![NAMESPACE.to_owned()],
            identities: vec![identity(TOKEN, None), identity(LIMITED, Some(&[NAMESPACE]))],
            ..Options::default()
        })
        .expect("a cluster");
        let scene = Scene {
            redis: Server::start(server::Options::default()).expect("redis-server starts"),
            cluster,
            directory: tempfile::tempdir().expect("a directory"),
        };
        let sink = Sink::start(Script::default());
        let environment = scene.environment(TOKEN);
        let binary = Path::new(env!("CARGO_BIN_EXE_job-worker"));
        let mut worker = Worker::start(binary, "worker", &environment).expect("a worker");
        let mut queue = scene.redis.connection(0).expect("Redis is there");
        let mut push = |id: &str, life: &str| {
            let message = json!({
                "id": id,
                "service": "audit",
                "webhook": {"url": sink.url(&format!("/{id}"))},
                "job": {"prefixName": "audit", "namespace": NAMESPACE, "image": format!("scripted.invalid/{life}")},
            });
            let _: u64 = queue.lpush("queue-", message.to_string()).expect("a push");
        };
        for (id, life) in tasks() {
            if id.starts_with("owed") {
                sink.set(&format!("/{id}"), [200, 200, 500].map(Reply::status));
            }
            push(&id, life);
        }
        until("every task is where it should be", || {
            let requests = sink.requests();
            let told = |id: &str| {
                let path = format!("/{id}");
                requests.iter().filter(|one| one.path() == path).count()
            };
            tasks().iter().all(|(id, _)| match id.split('-').next() {
                Some("runs") => told(id) >= 2 && scene.owes_nothing(id),
                Some("done") => told(id) >= 3 && !scene.has("tasks", id),
                _ => told(id) >= 3,
            })
        });
        let refused = Deed::Answer(503, None);
        let faults = scene.cluster.faults();
        faults.next("create", Resource::Job, usize::MAX, refused);
        push("held", "ok");
        until("the last task waits for its Job", || {
            scene.has("messages", "held")
        });
        worker.kill().expect("it can be killed");
        faults.clear();
        scene
    }

    /// Runs the audit with a token.
    pub(crate) fn audit(&self, token: &str, arguments: &[&str]) -> Report {
        let output = Command::new(env!("CARGO_BIN_EXE_job-worker"))
            .args(["audit", "--json"])
            .args(arguments)
            .env_clear()
            .envs(self.environment(token))
            .output()
            .expect("cargo has built the binary");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{error}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().expect("findings");
        let mut found: Vec<_> = findings
            .iter()
            .map(|finding| (text(&finding["kind"]), text(&finding["id"])))
            .collect();
        found.sort();
        Report {
            code: output.status.code().expect("it ends by itself"),
            found,
            tasks: report["looked_at"]["tasks"].as_u64().expect("a count"),
        }
    }

    /// Runs a command of Redis, which has to change something.
    pub(crate) fn redis(&self, words: &[&str]) {
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = self.redis.connection(0).expect("Redis is there");
        command.exec(&mut connection).expect("Redis does as told");
    }

    /// The name of a key of the store.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("job-worker-{{{LOCK}}}:{name}")
    }

    /// How a finding names what it concerns: a Job by its name, an entry by its key, all others by the task's id.
    pub(crate) fn named(&self, kind: &str, id: &str) -> String {
        match kind {
            "job-without-task" | "job-differs" | "job-unreadable" => format!("{NAMESPACE}/{}", self.job(id)),
            "second-job" | "job-outlives-task" => format!("{NAMESPACE}/copy-of-{id}"),
            "callback-without-task" => {
                let mut connection = self.redis.connection(0).expect("Redis is there");
                let keys: Vec<String> = connection.hkeys(self.key("outbox")).expect("keys");
                let of_task = |key: &String| key.starts_with(&format!("t:{id}@"));
                keys.into_iter().find(of_task).expect("it is owed")
            }
            _ => id.to_owned(),
        }
    }

    /// Deletes the Job of a task.
    pub(crate) fn delete_job(&self, id: &str) {
        let job = self.job(id);
        self.request("DELETE", &job, &json!({"propagationPolicy": "Background"}));
        until("the Job is gone", || {
            self.cluster.get(Resource::Job, NAMESPACE, &job).is_none()
        });
    }

    /// Sets an annotation of a task's Job.
    pub(crate) fn annotate(&self, id: &str, name: &str, value: &str) {
        let change = json!({"metadata": {"annotations": {name: value}}});
        self.request("PATCH", &self.job(id), &change);
    }

    /// Creates a Job that says to be of the same task, and does not run.
    pub(crate) fn copy_job(&self, id: &str) {
        let job = self.cluster.get(Resource::Job, NAMESPACE, &self.job(id));
        let job = job.expect("the Job is there");
        let copy = json!({
            "metadata": {
                "name": format!("copy-of-{id}"),
                "labels": job["metadata"]["labels"],
                "annotations": job["metadata"]["annotations"],
            },
            "spec": {"suspend": true, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "scripted.invalid/ok"}],
            }}},
        });
        self.cluster
            .create(Resource::Job, NAMESPACE, copy)
            .expect("a Job");
    }

    fn job(&self, id: &str) -> String {
        let jobs = self.cluster.list(Resource::Job, Some(NAMESPACE));
        let of_task = |job: &&Value| job["metadata"]["annotations"]["job-worker/id"] == id;
        let job = jobs.iter().find(of_task).expect("the task has a Job");
        job["metadata"]["name"].as_str().expect("a name").to_owned()
    }

    fn request(&self, method: &str, job: &str, body: &Value) {
        let (url, body) = (self.cluster.url(), body.to_string());
        let address = url.trim_start_matches("http://");
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut stream = TcpStream::connect(address).expect("the cluster listens");
        write!(
            stream,
            "{method} /apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job} HTTP/1.1\r\nHost: {address}\r\n\
             Authorization: Bearer {}\r\nContent-Type: {kind}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.cluster.token(),
            body.len()
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    fn has(&self, hash: &str, id: &str) -> bool {
        let mut connection = self.redis.connection(0).expect("Redis is there");
        connection.hexists(self.key(hash), id).expect("an answer")
    }

    fn owes_nothing(&self, id: &str) -> bool {
        let mut connection = self.redis.connection(0).expect("Redis is there");
        let keys: Vec<String> = connection.hkeys(self.key("outbox")).expect("keys");
        !keys.iter().any(|key| key.starts_with(&format!("t:{id}@")))
    }

    fn environment(&self, token: &str) -> Vec<(String, String)> {
        let kubeconfig = self.directory.path().join(token);
        self.cluster
            .kubeconfig_as(token, NAMESPACE, &kubeconfig)
            .expect("a file");
        let kubeconfig = kubeconfig.display().to_string();
        [
            ("POD_NAME", "worker"),
            ("POD_NAMESPACE", NAMESPACE),
            ("POLLING_INTERVAL", "1"),
            ("HTTP_SERVER_PORT", "0"),
            ("REDIS_QUEUE_ENDPOINT", &self.redis.url()),
            ("CACHE_REDIS_ENDPOINT", &self.redis.url()),
            ("CACHE_REDIS_DB", "0"),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8"),
            ("KUBECONFIG", &kubeconfig),
            ("LOG_FORMAT", "json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}

/// Id and life of each task but the last.
fn tasks() -> Vec<(String, &'static str)> {
    let many = |name: &'static str, count: u32, life: &'static str| {
        (1..=count).map(move |number| (format!("{name}-{number}"), life))
    };
    let runs = many("runs", 9, "runs");
    runs.chain(many("done", 5, "ok"))
        .chain(many("owed", 2, "ok"))
        .collect()
}

/// Waits for a condition.
fn until(what: &str, met: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !met() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
