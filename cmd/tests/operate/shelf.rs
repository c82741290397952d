//! A store with known tasks, written as a leader writes them, and the binary that looks at it.

use adapters::connection::Target;
use adapters::endpoint::Endpoint;
use adapters::store::{Batch, Op, RedisStore, Settings, Store as _, Tombstone};
use engine::{
    Digest, Engine, Event, Granted, JobEnd, JobEnded, JobSeen, Outcome, PodStarted, Policy, Record, Snapshot,
    Spec, Step, TaskId, Timestamp, Uid,
};
use fixtures::redis::{Options, Server};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Operations of one batch.
const BATCH: usize = 400;

/// A store and its tasks.
pub(crate) struct Shelf {
    pub(crate) redis: Server,
    store: RedisStore,
    engine: Engine,
    now: Timestamp,
    step: Step,
}

impl Shelf {
    /// Starts a Redis and claims the store in it.
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let redis = Server::start(options).expect("redis-server starts");
        let mut store = RedisStore::open(Settings {
            target: target(&redis, 3),
            prefix: "job-worker-".to_owned(),
            lock: "job-worker-lock".to_owned(),
            namespace: "jobs".to_owned(),
            pod: "worker-0".to_owned(),
            queue: None,
        })
        .expect("the store opens");
        store.claim("worker-0_a").expect("the store is claimed");
        let policy = Policy {
            creates_max: 10,
            tasks_max: 100_000,
            request_timeout_ms: 30_000,
            lease_ms: 15_000,
            dedup_window_ms: 86_400_000,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Self {
            redis,
            store,
            engine: Engine::new(policy),
            now: Timestamp(u64::try_from(now.as_millis()).expect("a time")),
            step: Step::default(),
        }
    }

    /// Names a database of the Redis.
    pub(crate) fn target(&self, db: u32) -> Target {
        target(&self.redis, db)
    }

    /// Takes the message of a task, `age` before now.
    pub(crate) fn take(&mut self, id: &str, service: &str, namespace: &str, age: Duration) {
        let age = u64::try_from(age.as_millis()).expect("a short time");
        let received_at = Timestamp(self.now.0 - age);
        let spec = Spec {
            digest: Digest([7; 32]),
            namespace: namespace.to_owned(),
            job_name: format!("my-job-{id}"),
            service: service.to_owned(),
            webhook: Some("http://example.com/hook?token=secret".to_owned()),
            traceparent: None,
            received_at,
            start_timeout_secs: 600,
            active_deadline_secs: None,
            ttl_secs: None,
        };
        let step = self.engine.take(received_at, TaskId::new(id), spec);
        self.step.then(step.expect("the id is free"));
    }

    /// Steps a task.
    pub(crate) fn step(&mut self, id: &str, event: Event) {
        let stepped = self.engine.step(self.now, &TaskId::new(id), event);
        match stepped.expect("the event fits") {
            Outcome::Moved(step) => self.step.then(step),
            Outcome::Ignored(why) => panic!("ignored: {why}"),
        }
    }

    /// Makes the Job of a task.
    pub(crate) fn create(&mut self, id: &str) {
        self.step(id, Event::Granted(Granted { stoppable: true }));
        let job = JobSeen {
            uid: Uid::new(format!("uid-{id}")),
            digest: Digest([7; 32]),
            received_at: self
                .engine
                .task(&TaskId::new(id))
                .expect("a task")
                .spec
                .received_at,
            created_at: self.now,
            ended_at: None,
            suspended: false,
            stoppable: true,
            by_pod: false,
        };
        self.step(id, Event::JobSeen(job));
    }

    /// Starts a pod of a task's Job.
    pub(crate) fn start(&mut self, id: &str) {
        self.create(id);
        self.step(
            id,
            Event::PodStarted(PodStarted {
                job: Uid::new(format!("uid-{id}")),
                uid: Uid::new("pod"),
                name: format!("my-job-{id}-x"),
            }),
        );
    }

    /// Completes a task's Job, and forgets the task where nothing keeps it.
    pub(crate) fn complete(&mut self, id: &str) {
        self.start(id);
        let end = JobEnd::Complete { duration_secs: 4 };
        let uid = Uid::new(format!("uid-{id}"));
        self.step(id, Event::JobEnded(JobEnded { uid, end }));
        self.write();
        let task = self.engine.forget(&TaskId::new(id)).expect("a task");
        let tombstone = engine::Tombstone::V1 {
            digest: task.spec.digest,
            status: 2,
            at: self.now,
        };
        let ops = vec![
            Op::Tombstone {
                task: id.to_owned(),
                tombstone: Tombstone {
                    value: encode(&tombstone),
                    expires_in: Some(Duration::from_secs(86_400)),
                },
            },
            Op::Forget {
                task: id.to_owned(),
                expect: task.seq,
            },
        ];
        self.commit(&Batch { ops, log: Vec::new() });
    }

    /// Writes what was decided, as the driver does.
    pub(crate) fn write(&mut self) {
        let step = std::mem::take(&mut self.step);
        for some in step.transitions().chunks(BATCH) {
            let mut batch = Batch::default();
            for transition in some {
                let task = transition.task.as_str().to_owned();
                let snapshot = encode(&Snapshot::from(transition.after.clone()));
                batch.ops.push(match transition.from {
                    None => Op::Ingest {
                        task,
                        snapshot,
                        due: None,
                        message: None,
                        settle: None,
                    },
                    Some(_) => Op::Move {
                        task,
                        expect: transition.after.seq - 1,
                        snapshot,
                        due: None,
                        forget_message: false,
                        tombstone: None,
                    },
                });
                batch.log.push(encode(&Record::from(transition.clone())));
            }
            self.commit(&batch);
        }
    }

    /// Writes a batch as it is.
    pub(crate) fn commit(&mut self, batch: &Batch) {
        let until = Instant::now() + Duration::from_secs(60);
        self.store.commit(batch, until).expect("the store takes it");
    }

    /// Runs a command of the binary on this store.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("cargo has built the binary")
    }

    /// Prepares a command of the binary on this store: with nothing in its environment but what names the store.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_job-worker"));
        command
            .args(words)
            .env_clear()
            .env("CACHE_REDIS_ENDPOINT", self.redis.url())
            .env("CACHE_REDIS_DB", "3")
            .env("REDIS_QUEUE_ENDPOINT", self.redis.url());
        command
    }

    /// Runs a command that has to succeed, and returns what it printed.
    pub(crate) fn prints(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn target(redis: &Server, db: u32) -> Target {
    let endpoint: Endpoint = redis.url().parse().expect("an endpoint");
    Target {
        endpoint,
        db,
        password: None,
        ca: None,
    }
}

/// Encodes as the driver does.
pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a MessagePack form")
}

/// Returns the words of each line.
pub(crate) fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}
