//! What a test stands on: a Redis, an API server, a webhook receiver, and the replicas of the daemon.

use fixtures::apiserver::{ApiServer, Life, Request};
use fixtures::redis::{Options, Server};
use fixtures::sink::{Script, Sink};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for anything that is not itself a matter of time: a callback may be at its third retry, after 30 s.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The list that producers push to.
pub(crate) const QUEUE: &str = "queue-";
/// The namespace whose Jobs run and complete by themselves.
pub(crate) const CALM: &str = "calm";
/// The namespace that tests play with.
pub(crate) const PLAY: &str = "play";
/// A create in it.
pub(crate) const CREATE: &str = "create /apis/batch/v1/namespaces/play/jobs";

/// What a leader watches.
const WATCHES: [&str; 2] = ["watch /apis/batch/v1/jobs", "watch /api/v1/pods"];

/// Everything around the daemon.
pub(crate) struct Stage {
    pub(crate) redis: Server,
    pub(crate) api: ApiServer,
    pub(crate) sink: Sink,
    pub(crate) directory: tempfile::TempDir,
    lease_seconds: u32,
    settings: Vec<(String, String)>,
    bystanders: u32,
}

impl Stage {
    /// Sets up with a Redis that has on its disk what it has acknowledged.
    pub(crate) fn set() -> Self {
        Self::with(Options {
            fsync_always: true,
            ..Options::default()
        })
    }

    pub(crate) fn with(options: Options) -> Self {
        let redis = Server::start(options).expect("redis-server starts");
        let api = ApiServer::alive();
        api.life(|life| life.enliven(CALM));
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("kubeconfig"), api.kubeconfig()).expect("a file");
        Self {
            redis,
            api,
            sink: Sink::start(Script::default()),
            directory,
            lease_seconds: 5,
            settings: Vec::new(),
            bystanders: 0,
        }
    }

    /// Chooses the duration of the lease.
    pub(crate) const fn lease(mut self, seconds: u32) -> Self {
        self.lease_seconds = seconds;
        self
    }

    /// Sets an environment variable of the daemon.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the environment of a replica.
    fn environment(&self, name: &str) -> Vec<(String, String)> {
        let kubeconfig = self.directory.path().join("kubeconfig");
        let lease = self.lease_seconds.to_string();
        let pairs = [
            ("POD_NAME", name),
            ("POD_NAMESPACE", "jobs"),
            ("KUBECONFIG", &kubeconfig.to_string_lossy()),
            ("LEADER_ELECTION_LEASE_SECONDS", &lease),
            ("POLLING_INTERVAL", "1"),
            ("HTTP_SERVER_PORT", "0"),
            ("REDIS_QUEUE_ENDPOINT", &self.redis.url()),
            ("CACHE_REDIS_ENDPOINT", &self.redis.url()),
            ("CACHE_REDIS_DB", "0"),
            ("KUBERNETES_CLIENT_TIMEOUT", "2"),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8"),
            ("LOG_FORMAT", "json"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        pairs.map(own).into_iter().chain(self.settings.clone()).collect()
    }

    /// Starts a replica and waits for its door.
    pub(crate) fn worker(&self, name: &str) -> Worker {
        let log = self.directory.path().join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_job-worker"))
            .env_clear()
            .envs(self.environment(name))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("cargo has built the binary");
        let mut worker = Worker { child, log, port: 0 };
        let listens = worker.says("http listens");
        let address = listens["address"].as_str().expect("the address is logged");
        worker.port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        worker
    }

    /// Starts a replica and waits until it leads and watches.
    pub(crate) fn leader(&self, name: &str) -> Worker {
        let before = self.watches();
        let worker = self.worker(name);
        self.watched(before);
        worker
    }

    /// Returns how many watches of each kind were begun.
    pub(crate) fn watches(&self) -> [usize; 2] {
        WATCHES.map(|key| self.api.requests_of(key).len())
    }

    /// Waits until a watch of each kind is begun after `before`.
    pub(crate) fn watched(&self, before: [usize; 2]) {
        for (key, before) in WATCHES.iter().zip(before) {
            self.api.wait_within(key, before + 1, LIMIT);
        }
    }

    /// Runs a command of Redis.
    pub(crate) fn command(&self, words: &[&str]) {
        self.try_command(words).expect("Redis does as told");
    }

    pub(crate) fn try_command(&self, words: &[&str]) -> ::redis::RedisResult<::redis::Value> {
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.redis.connection(0)?)
    }

    /// Puts bytes on the queue.
    pub(crate) fn push(&self, raw: &[u8]) {
        let mut connection = self.redis.connection(0).expect("Redis is there");
        let push = ::redis::cmd("LPUSH").arg(QUEUE).arg(raw).exec(&mut connection);
        push.expect("Redis takes a message");
    }

    /// Returns the message of a task whose callbacks come to the path `/<id>`.
    pub(crate) fn message(&self, id: &str, namespace: &str) -> Value {
        json!({
            "id": id,
            "service": "example",
            "webhook": {"url": self.sink.url(&format!("/{id}"))},
            "job": {"prefixName": "my-job", "namespace": namespace, "image": "busybox:latest"},
        })
    }

    /// Puts a task on the queue.
    pub(crate) fn submit(&self, id: &str, namespace: &str) {
        self.push(self.message(id, namespace).to_string().as_bytes());
    }

    /// Submits a task to the calm namespace, and waits until its callbacks say that it is complete.
    pub(crate) fn bystander(&mut self) {
        self.bystanders += 1;
        let id = format!("bystander-{}", self.bystanders);
        self.submit(&id, CALM);
        self.told(&id, &[Told::Created, Told::Started, Told::Completed]);
    }

    /// Waits until the Job of a task exists.
    pub(crate) fn made(&self, task: &str) {
        until(&format!("{task} has a Job"), || {
            self.life(|life| life.job(task).is_some())
        });
    }

    pub(crate) fn life<T>(&self, act: impl FnOnce(&mut Life) -> T) -> T {
        self.api.life(act)
    }

    /// Submits a task to the namespace for play, and waits until its client knows of the Job.
    pub(crate) fn created(&self, task: &str) {
        self.submit(task, PLAY);
        self.told(task, &[Told::Created]);
    }

    /// As [`Stage::created`], with a running pod.
    pub(crate) fn started(&self, task: &str) {
        self.created(task);
        self.life(|life| life.run(task));
        self.told(task, &[Told::Created, Told::Started]);
    }

    /// Lets a task with a Job run and complete, as far as it has not yet.
    pub(crate) fn finish(&self, task: &str) {
        self.made(task);
        self.life(|life| {
            if life.pod(task).is_none() {
                life.run(task);
            }
            life.complete(task);
        });
    }

    /// Waits until the callbacks of a task are exactly these, in this order of first arrival.
    pub(crate) fn told(&self, task: &str, told: &[Told<'_>]) {
        let path = format!("/{task}");
        until_equal(
            || self.callbacks(&path),
            || told.iter().map(|told| self.body(task, told)).collect(),
            &format!("callbacks of {task}"),
        );
    }

    /// As `told`, for each task, and again once later work is done: nothing follows a verdict.
    pub(crate) fn ends(&mut self, all: &[(&str, &[Told<'_>])]) {
        for (task, told) in all {
            self.told(task, told);
        }
        self.bystander();
        for (task, told) in all {
            let expected: Vec<Value> = told.iter().map(|told| self.body(task, told)).collect();
            assert_eq!(
                self.callbacks(&format!("/{task}")),
                expected,
                "late callbacks of {task}"
            );
        }
    }

    /// Returns the callbacks that came to a path, each once: a repetition has to have the same bytes.
    pub(crate) fn callbacks(&self, path: &str) -> Vec<Value> {
        let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut first = Vec::new();
        for request in self.sink.requests() {
            if request.path() != path {
                continue;
            }
            let id = request
                .header("webhook-id")
                .expect("each callback has an id")
                .to_owned();
            match bodies.get(&id) {
                Some(body) => assert_eq!(*body, request.body, "a repetition differs"),
                None => {
                    first.push(serde_json::from_slice(&request.body).expect("a callback is JSON"));
                    bodies.insert(id, request.body);
                }
            }
        }
        first
    }

    fn body(&self, task: &str, told: &Told<'_>) -> Value {
        let (job, pod) = self.life(|life| (life.job(task), life.pod(task)));
        let of = |object: &Option<Value>, field: &str| {
            object
                .as_ref()
                .map_or(Value::Null, |object| object["metadata"][field].clone())
        };
        let (status, detail) = match told {
            Told::Created => (0, json!({"jobId": of(&job, "uid"), "jobName": of(&job, "name")})),
            Told::Started => (1, json!({"podId": of(&pod, "uid"), "podName": of(&pod, "name")})),
            Told::Completed => (2, json!({"duration": 4})),
            Told::Failed(code, message) => (3, error(code, message)),
            Told::Exception(code, message) => (99, error(code, message)),
        };
        json!({"id": task, "status": status, "detail": detail})
    }

    /// Returns the dead letters: raw bytes, reason, detail.
    pub(crate) fn dead(&self) -> Vec<(Vec<u8>, String, String)> {
        type Entry = (String, BTreeMap<String, Vec<u8>>);
        let mut connection = self.redis.connection(0).expect("Redis is there");
        let mut range = ::redis::cmd("XRANGE");
        range.arg(format!("{QUEUE}:dead")).arg("-").arg("+");
        let entries: Vec<Entry> = range.query(&mut connection).expect("a stream");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        entries
            .into_iter()
            .map(|(_, fields)| {
                (
                    fields["raw"].clone(),
                    text(&fields["reason"]),
                    text(&fields["detail"]),
                )
            })
            .collect()
    }

    /// Returns the creates that came for a task.
    pub(crate) fn creates(&self, task: &str) -> Vec<Request> {
        let mut requests = self.api.requests();
        requests.retain(|request| is_create_of(request, task));
        requests
    }

    /// Returns the holder of the Lease.
    pub(crate) fn holder(&self) -> Value {
        self.life(|life| {
            life.lease("jobs", "job-worker-lock")
                .map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
        })
    }
}

/// Tells whether a request creates the Job of a task.
pub(crate) fn is_create_of(request: &Request, task: &str) -> bool {
    request.key().ends_with("/jobs")
        && request.verb == "create"
        && request.body["metadata"]["annotations"]["job-worker/id"] == task
}

fn error(code: &str, message: &str) -> Value {
    json!({"error": {"errorCode": code, "message": message}})
}

/// Returns an answer of a recorded API server.
macro_rules! recorded {
    ($code:literal, $name:literal) => {
        fixtures::apiserver::Answer::Json(
            $code,
            serde_json::from_str(include_str!(concat!(
                "../../../fixtures/cluster/",
                $name,
                ".json"
            )))
            .expect("a recorded answer is JSON"),
        )
    };
}
pub(crate) use recorded;

/// A callback, by what it says.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    Created,
    Started,
    Completed,
    Failed(&'a str, &'a str),
    Exception(&'a str, &'a str),
}

/// A whole life.
pub(crate) const COMPLETE: &[Told<'_>] = &[Told::Created, Told::Started, Told::Completed];

/// A running replica; it is killed when it is dropped.
pub(crate) struct Worker {
    pub(crate) child: Child,
    log: PathBuf,
    port: u16,
}

impl Worker {
    /// Waits for a log line with this message.
    pub(crate) fn says(&self, message: &str) -> Value {
        let mut found = None;
        until(&format!("{} says {message:?}", self.log.display()), || {
            let log = fs::read_to_string(&self.log).expect("the log is there");
            let mut lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = lines.find(|line| line["msg"] == message);
            found.is_some()
        });
        found.expect("it was found")
    }

    /// Asks the door; returns the status and the body.
    pub(crate) fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
    }

    /// Returns the value of a metric, all labels together.
    pub(crate) fn metric(&self, name: &str) -> usize {
        let (_, body) = self.get("/metrics").expect("the door answers");
        let samples = body.lines().filter_map(|line| {
            let rest = line
                .strip_prefix(name)
                .filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit(' ').next()?.parse::<usize>().ok()
        });
        samples.sum()
    }

    /// Waits until a metric is so much at least.
    pub(crate) fn counts(&self, name: &str, least: usize) {
        until(&format!("{name} is {least}"), || self.metric(name) >= least);
    }

    /// Waits until the worker holds the lease, or does not.
    pub(crate) fn leads(&self, leads: bool) {
        let name = "job_worker_leader";
        until(&format!("{name} is {leads}"), || {
            self.metric(name) == usize::from(leads)
        });
    }

    /// Waits until a path answers with a status.
    pub(crate) fn answers(&self, path: &str, status: u16) {
        let mut last = None;
        let label = format!("{path} answers {status}");
        until(&label, || {
            last = self.get(path).ok();
            last.as_ref().is_some_and(|(found, _)| *found == status)
        });
    }

    /// Asserts that the process lives and does its duty.
    pub(crate) fn is_well(&mut self) {
        assert_eq!(
            self.child.try_wait().expect("a child"),
            None,
            "the worker has ended"
        );
        let (status, body) = self.get("/healthz").expect("the door answers");
        assert_eq!((status, body.as_str()), (200, "ok\n"));
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own kill: there is none in the standard library, and not every image has one as a file.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(status.expect("a shell").success(), "kill -{name}");
    }

    /// Waits for the process to end.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        until_within("the worker has ended", within, || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Ends the process as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("---- {}\n{tail}", self.log.display());
        }
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, done: impl FnMut() -> bool) {
    until_within(what, LIMIT, done);
}

/// Waits for a condition, no longer than `limit`.
pub(crate) fn until_within(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until two values are equal, and shows both where they do not become so.
pub(crate) fn until_equal<T: PartialEq + std::fmt::Debug>(
    actual: impl Fn() -> T,
    expected: impl Fn() -> T,
    what: &str,
) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (found, wanted) = (actual(), expected());
        if found == wanted {
            return;
        }
        if Instant::now() >= deadline {
            assert_eq!(found, wanted, "{what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
