//! A small world: Jobs that are plain data, receivers that note what they hear, a clock that a test moves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::cluster::names::Instance;
use adapters::cluster::{Report, Request, Scope};
use adapters::driver::{Driver, Input, Output, Patience, Restored, Settings, Taken};
use adapters::metrics::{Metrics, Words};
use adapters::source::Cursor;
use adapters::store::{Error, Loaded, Store as _};
use adapters::webhook::{Answer, Delivery};
use engine::{
    Event, JobDeleted, JobEnd, JobEnded, JobSeen, Looked, PodStarted, Policy, Snapshot, Spec, StateKind,
    StopAnswered, Task, TaskId, Timestamp, TtlAnswered, Uid,
};

use super::place::Place;
use super::probe::{Notes, Probe};

pub(crate) const START: u64 = 1_800_000_000_000;
const ROUNDS_MAX: usize = 400;

/// Is a Job as the API server has it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) spec: Spec,
    pub(crate) uid: Uid,
    pub(crate) created_at: Timestamp,
    pub(crate) stoppable: bool,
    pub(crate) started: bool,
    pub(crate) end: Option<JobEnd>,
    pub(crate) ended_at: Option<Timestamp>,
}

/// Is what a receiver got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Heard {
    pub(crate) url: String,
    pub(crate) webhook_id: String,
    pub(crate) body: String,
}

/// How far a world's Jobs go by themselves.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Goes {
    Nowhere,
    Created,
    Ended,
}

pub(crate) struct World<'a> {
    pub(crate) place: &'a Place,
    pub(crate) notes: Notes,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) policy: Policy,
    pub(crate) namespaces: Option<Vec<String>>,
    pub(crate) driver: Option<Driver<Probe>>,
    pub(crate) now: u64,
    /// `patch` is granted.
    pub(crate) stoppable: bool,
    pub(crate) goes: Goes,
    /// Receivers answer; else what is sent stays in flight.
    pub(crate) receivers_answer: bool,
    pub(crate) jobs: BTreeMap<TaskId, Job>,
    pub(crate) heard: Vec<Heard>,
    /// Create requests, each with the Job as JSON.
    pub(crate) creates: Vec<(TaskId, serde_json::Value)>,
    pub(crate) requests: Vec<Request>,
    pub(crate) sent: Vec<(engine::outbox::Key, Delivery)>,
    pub(crate) inputs: VecDeque<Input>,
}

/// Waits as often as it says.
pub(crate) struct Tries(pub(crate) usize);

impl Patience for Tries {
    fn until(&mut self) -> Option<Instant> {
        self.0 = self.0.checked_sub(1)?;
        Some(Instant::now() + Duration::from_secs(5))
    }
}

pub(crate) fn instance() -> Instance {
    Instance {
        namespace: "default".to_owned(),
        lock_name: "lock".to_owned(),
    }
}

/// Returns a message for the receiver of its id; `word` tells contents apart.
pub(crate) fn message(id: &str, word: &str) -> Vec<u8> {
    message_in("default", id, word)
}

pub(crate) fn message_in(namespace: &str, id: &str, word: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","service":"example","webhook":{{"url":"http://receiver.test/{id}"}},"job":{{"prefixName":"my-job","namespace":"{namespace}","image":"busybox","args":["{word}"],"ttlSecondsAfterFinished":60}}}}"#
    )
    .into_bytes()
}

pub(crate) fn id(text: &str) -> TaskId {
    TaskId::new(text)
}

pub(crate) const fn complete() -> JobEnd {
    JobEnd::Complete { duration_secs: 7 }
}

impl<'a> World<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        Self {
            place,
            notes: Notes::default(),
            metrics: Arc::new(metrics()),
            policy: Policy::default(),
            namespaces: None,
            driver: None,
            now: START,
            stoppable: false,
            goes: Goes::Ended,
            receivers_answer: true,
            jobs: BTreeMap::new(),
            heard: Vec::new(),
            creates: Vec::new(),
            requests: Vec::new(),
            sent: Vec::new(),
            inputs: VecDeque::new(),
        }
    }

    /// Leads from here on, with everything that is seen at a takeover on its way.
    pub(crate) fn lead(&mut self) -> Restored {
        let restored = self.claim();
        self.relist();
        self.say(Report::Synced);
        self.leftovers();
        restored
    }

    /// Claims and loads the store; nothing is listed yet.
    pub(crate) fn claim(&mut self) -> Restored {
        let mut store = Probe::new(self.place.open(), self.notes.clone());
        store.claim("pod-0_nonce").unwrap();
        let settings = Settings {
            instance: instance(),
            start_timeout_secs: 600,
            namespaces: self.namespaces.clone(),
        };
        self.inputs.clear();
        self.requests.clear();
        self.sent.clear();
        let (driver, restored) = Driver::restore(
            Timestamp(self.now),
            settings,
            self.policy.clone(),
            store,
            Arc::clone(&self.metrics),
        )
        .unwrap();
        self.driver = Some(driver);
        restored
    }

    pub(crate) fn relist(&mut self) {
        let began_at = Timestamp(self.now);
        let jobs: Vec<(TaskId, Job)> = self.jobs.clone().into_iter().collect();
        for (task, job) in &jobs {
            self.say(job.report(task));
        }
        let listed: BTreeSet<TaskId> = jobs.iter().map(|(task, _)| task.clone()).collect();
        self.say(Report::Relisted {
            scope: Scope::All,
            jobs: listed,
            began_at,
        });
        for (task, job) in jobs {
            if job.started {
                self.say(job.pod(&task));
            }
        }
    }

    /// Takes what was taken before and not settled.
    pub(crate) fn leftovers(&mut self) {
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            let page = self.place.source.leftovers(at, 100).unwrap();
            for delivery in page.deliveries {
                let attempts = self.place.source.count_attempt(&delivery.receipt).unwrap();
                let poison = attempts >= engine::PANICS_MAX;
                let taken = if poison {
                    Taken::poison(delivery)
                } else {
                    Taken::read(delivery)
                };
                self.inputs.push_back(Input::Message(Box::new(taken)));
            }
            cursor = page.next;
        }
    }

    pub(crate) fn say(&mut self, report: Report) {
        self.inputs.push_back(Input::Cluster(Box::new(report)));
    }

    pub(crate) fn facts(&mut self, task: &str, facts: Vec<Event>) {
        let task = id(task);
        self.say(Report::Facts { task, facts });
    }

    /// Takes the messages that wait.
    pub(crate) fn take(&mut self) {
        for delivery in self.place.source.take(512, Duration::ZERO).unwrap() {
            self.inputs
                .push_back(Input::Message(Box::new(Taken::read(delivery))));
        }
    }

    /// Pushes a message and takes it.
    pub(crate) fn receive(&mut self, raw: &[u8]) {
        self.place.push(raw);
        self.take();
    }

    pub(crate) fn try_turn(&mut self, tries: usize) -> Result<Vec<Output>, Error> {
        let inputs = self.inputs.drain(..).collect();
        let now = Timestamp(self.now);
        self.driver.as_mut().unwrap().turn(now, inputs, &mut Tries(tries))
    }

    /// One turn with everything that waits; nothing of what it wants is done.
    pub(crate) fn turn(&mut self) -> Vec<Output> {
        self.try_turn(usize::MAX).unwrap()
    }

    /// One turn, and what it wants done is done.
    pub(crate) fn step(&mut self) {
        let outputs = self.turn();
        self.carry(outputs);
    }

    pub(crate) fn carry(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Cluster(request) => self.asked(request),
                Output::Send(key, delivery) => {
                    self.heard.push(Heard {
                        url: delivery.url.clone(),
                        webhook_id: delivery.webhook_id.clone(),
                        body: String::from_utf8(delivery.body.clone()).unwrap(),
                    });
                    if self.receivers_answer {
                        let answer = Answer::Delivered { status: 200 };
                        self.inputs.push_back(Input::Webhook(key, answer));
                    } else {
                        self.sent.push((key, delivery));
                    }
                }
                Output::Acknowledge(receipts) => self.place.source.acknowledge(&receipts).unwrap(),
                Output::DeadLetter(letter) => drop(self.place.source.dead_letter(&letter).unwrap()),
                Output::Requeue(place) => drop(self.place.source.requeue(&place).unwrap()),
                Output::DropLetter(place) => drop(self.place.source.drop_letter(&place).unwrap()),
                Output::Handled(_) => {}
            }
        }
    }

    /// The API server answers.
    fn asked(&mut self, request: Request) {
        self.requests.push(request.clone());
        match request {
            Request::Create { task, spec, job } => {
                self.creates
                    .push((task.clone(), serde_json::to_value(&job).unwrap()));
                if self.goes >= Goes::Created {
                    self.create(&task, &spec);
                }
            }
            Request::Look { task, .. } => {
                let facts = self.look(&task);
                self.say(Report::Facts { task, facts });
            }
            Request::Stop { task, .. } => {
                let facts = vec![Event::StopAnswered(StopAnswered::Done)];
                self.say(Report::Facts { task, facts });
            }
            Request::SetTtl { task, .. } => {
                let facts = vec![Event::TtlAnswered(TtlAnswered::Settled)];
                self.say(Report::Facts { task, facts });
            }
            Request::Prepare { namespace } => {
                let stoppable = self.stoppable;
                self.say(Report::NamespaceReady { namespace, stoppable });
            }
        }
    }

    /// A POST: 201, or 409 and the GET that follows.
    pub(crate) fn create(&mut self, task: &TaskId, spec: &Spec) {
        let (created_at, stoppable) = (Timestamp(self.now), self.stoppable);
        let job = self.jobs.entry(task.clone()).or_insert_with(|| Job {
            uid: Uid::new(format!("uid of {}", spec.job_name)),
            spec: spec.clone(),
            created_at,
            stoppable,
            started: false,
            end: None,
            ended_at: None,
        });
        let facts = job.facts();
        self.say(Report::Facts {
            task: task.clone(),
            facts,
        });
    }

    fn look(&self, task: &TaskId) -> Vec<Event> {
        let Some(job) = self.jobs.get(task) else {
            return vec![Event::Looked(Looked {
                job: None,
                waiting: None,
                has_pods: false,
            })];
        };
        let mut facts = job.facts();
        facts.extend(job.started.then(|| job.pod_started(task)));
        facts.push(Event::Looked(Looked {
            job: Some(job.uid.clone()),
            waiting: None,
            has_pods: job.started,
        }));
        facts
    }

    /// Every Job goes one step on, and the watches tell.
    pub(crate) fn progress(&mut self) {
        let now = Timestamp(self.now);
        let mut told = Vec::new();
        for (task, job) in &mut self.jobs {
            if !job.started {
                job.started = true;
                told.push(job.pod(task));
            } else if job.end.is_none() {
                job.end = Some(complete());
                job.ended_at = Some(now);
                told.push(job.report(task));
            }
        }
        for report in told {
            self.say(report);
        }
    }

    /// Says that a Job is gone, with its last object.
    pub(crate) fn delete(&mut self, task: &str) {
        let task = id(task);
        let job = self.jobs.remove(&task).unwrap();
        let mut facts = job.facts();
        facts.push(Event::JobDeleted(JobDeleted { uid: job.uid.clone() }));
        self.say(Report::Job {
            task,
            facts,
            adoption: Some(Box::new(job.spec)),
        });
    }

    /// Plays until nothing happens any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.now += 100;
            if self.goes == Goes::Ended {
                self.progress();
            }
            self.take();
            self.step();
            let quiet = self.inputs.is_empty() && self.place.source.depth().unwrap().waiting == 0;
            if quiet && self.next_wake().is_none_or(|at| at > self.now + 60_000) {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.driver.as_ref().unwrap().next_wake().map(|at| at.0)
    }

    /// What the store holds: tasks with their version, and the keys of callbacks.
    pub(crate) fn stored(&self) -> (Vec<(String, u64)>, Vec<String>) {
        let (mut tasks, mut callbacks) = (BTreeMap::new(), Vec::new());
        self.place
            .open()
            .load(&mut |loaded| match loaded {
                Loaded::Task { id, version, .. } => drop(tasks.insert(id, version)),
                Loaded::Entry { key, .. } => callbacks.push(key),
                Loaded::Damaged { id } => drop(tasks.insert(id, 0)),
            })
            .unwrap();
        (tasks.into_iter().collect(), callbacks)
    }

    /// The state of a task, as the store has it.
    pub(crate) fn state(&self, task: &str) -> Option<StateKind> {
        let mut found = None;
        self.place
            .open()
            .load(&mut |loaded| {
                if let Loaded::Task { id, snapshot, .. } = loaded
                    && id == task
                {
                    let snapshot: Snapshot = rmp_serde::from_slice(&snapshot).unwrap();
                    found = Some(Task::from(snapshot).state.kind());
                }
            })
            .unwrap();
        found
    }

    pub(crate) fn kept_message(&self, task: &str) -> bool {
        self.place.open().message(task).unwrap().is_some()
    }

    /// What the receiver of a task heard, without repetitions.
    pub(crate) fn told(&self, task: &str) -> Vec<String> {
        let url = format!("http://receiver.test/{task}");
        let mut bodies: Vec<String> = Vec::new();
        for heard in self.heard.iter().filter(|heard| heard.url == url) {
            if !bodies.contains(&heard.body) {
                bodies.push(heard.body.clone());
            }
        }
        bodies
    }

    /// The statuses of what the receiver of a task heard, without repetitions.
    pub(crate) fn statuses(&self, task: &str) -> Vec<u64> {
        let status = |body: &String| {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            body["status"].as_u64().unwrap()
        };
        self.told(task).iter().map(status).collect()
    }

    pub(crate) fn metric(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|shown| shown == line)
    }
}

impl Job {
    pub(crate) fn seen(&self) -> JobSeen {
        JobSeen {
            uid: self.uid.clone(),
            digest: self.spec.digest,
            received_at: self.spec.received_at,
            created_at: self.created_at,
            ended_at: self.ended_at,
            suspended: false,
            stoppable: self.stoppable,
            by_pod: false,
        }
    }

    pub(crate) fn facts(&self) -> Vec<Event> {
        let mut facts = vec![Event::JobSeen(self.seen())];
        facts.extend(self.end.clone().map(|end| {
            Event::JobEnded(JobEnded {
                uid: self.uid.clone(),
                end,
            })
        }));
        facts
    }

    pub(crate) fn report(&self, task: &TaskId) -> Report {
        Report::Job {
            task: task.clone(),
            facts: self.facts(),
            adoption: Some(Box::new(self.spec.clone())),
        }
    }

    pub(crate) fn pod_started(&self, task: &TaskId) -> Event {
        Event::PodStarted(PodStarted {
            job: self.uid.clone(),
            uid: Uid::new(format!("pod of {task}")),
            name: format!("{}-x", self.spec.job_name),
        })
    }

    pub(crate) fn pod(&self, task: &TaskId) -> Report {
        Report::Facts {
            task: task.clone(),
            facts: vec![self.pod_started(task)],
        }
    }
}

fn metrics() -> Metrics {
    let mut codes: Vec<&str> = engine::Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.push(adapters::driver::DUPLICATE_ID);
    let words = Words {
        codes: &codes,
        ends: &[],
        transitions: &[],
    };
    Metrics::new(words, "0")
}
