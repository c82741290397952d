//! The cluster adapter of one term: its feeds and its requests, on the modelled API server.
//!
//! The order of steps is that of `cluster/{feed,watch,scopes,pump,create,look,stop}.rs`, which are async there.

use crate::kube::{self, Draft, Object};
use crate::plan::{Fault, Mutant};
use crate::wired::{create_answer, create_silence};
use crate::world::{Event, ToTerm, World};
use adapters::cluster::names::{annotation, label};
use adapters::cluster::{Report, Request, Scope};
use adapters::driver::Input;
use engine::lease::Timing;
use engine::{
    CreateFailed, CreateFailure, Event as Fact, LookFailed, StopAnswered, TaskId, Timestamp, TtlAnswered, Uid,
};
use std::collections::{BTreeMap, BTreeSet};

/// What an adapter keeps.
#[derive(Debug, Default)]
pub(crate) struct Adapter {
    feeds: [Feed; 2],
    /// Namespaces that were reviewed: whether `patch` is granted.
    reviewed: BTreeMap<String, bool>,
    reviewing: BTreeSet<String>,
    synced: bool,
}

/// One watch.
#[derive(Debug, Default)]
struct Feed {
    /// The place in the history, while it watches.
    at: Option<usize>,
    /// The place that a broken watch goes on from.
    broken_at: usize,
    listed: bool,
    /// A delivery is on its way.
    hearing: bool,
    /// Tells answers of a former connection apart.
    connection: u64,
}

/// What an adapter hears.
#[derive(Debug)]
pub(crate) enum Told {
    Listed {
        kind: usize,
        connection: u64,
        objects: Vec<Object>,
        at: usize,
        began_at: Timestamp,
    },
    /// A list, a look or a review that failed is tried again.
    ListAgain(usize, u64),
    Hear(usize, u64),
    Resume(usize, u64),
    Reviewed(String),
    ReviewAgain(String),
    /// The GET before a stop's PATCH has answered.
    StopRead(Box<Stop>, Option<Box<kube::Job>>),
    /// The first half of a look.
    LookedAtJob(Look, Option<Box<kube::Job>>),
}

/// A stop under way.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) task: TaskId,
    namespace: String,
    job_name: String,
    uid: String,
    failure: engine::Failure,
}

/// A look under way.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    task: TaskId,
    uid: Option<Uid>,
    namespace: String,
    job_name: String,
}

/// From whom a request comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    replica: usize,
    life: u64,
    term: u64,
}

/// A request as the API server gets it.
#[derive(Debug)]
pub(crate) enum Arrival {
    List {
        from: From,
        kind: usize,
        connection: u64,
        began_at: Timestamp,
    },
    Create {
        from: From,
        task: TaskId,
        draft: Box<Draft>,
        /// The answer is heard.
        heard: bool,
        late: bool,
    },
    GetAfterConflict {
        from: From,
        task: TaskId,
        namespace: String,
        name: String,
    },
    LookJob(From, Look),
    LookPods(From, Look, Option<Box<kube::Job>>),
    ReadForStop(From, Box<Stop>),
    Patch {
        from: From,
        stop: Box<Stop>,
        version: u64,
        heard: bool,
    },
    SetTtl {
        from: From,
        task: TaskId,
        uid: String,
        seconds: u64,
        heard: bool,
    },
}

const JOBS: usize = 0;
const PODS: usize = 1;

impl World {
    fn from(&self, replica: usize) -> From {
        From {
            replica,
            life: self.replicas[replica].life,
            term: self.replicas[replica].term.as_ref().map_or(0, |term| term.id),
        }
    }

    fn tell(&mut self, ms: u64, to: From, what: ToTerm) {
        let event = crate::world::ToProcess::Term(to.term, what);
        self.after(ms, Event::Process(to.replica, to.life, event));
    }

    fn answer(&mut self, ms: u64, to: From, task: &TaskId, facts: Vec<Fact>) {
        let report = Report::Facts {
            task: task.clone(),
            facts,
        };
        self.tell(ms, to, ToTerm::Input(Box::new(Input::Cluster(Box::new(report)))));
    }

    // Feeds.

    pub(crate) fn adapter_starts(&mut self, index: usize) {
        self.lists(index, JOBS);
    }

    fn lists(&mut self, index: usize, kind: usize) {
        let began_at = self.term_time(index);
        let from = self.from(index);
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        let feed = &mut adapter.feeds[kind];
        feed.at = None;
        feed.connection += 1;
        let connection = feed.connection;
        let hop = self.hop();
        self.after(
            hop,
            Event::Server(Arrival::List {
                from,
                kind,
                connection,
                began_at,
            }),
        );
    }

    pub(crate) fn adapter_told(&mut self, index: usize, told: Told) {
        match told {
            Told::Listed {
                kind,
                connection,
                objects,
                at,
                began_at,
            } => self.listed(index, kind, connection, &objects, at, began_at),
            Told::ListAgain(kind, connection) => {
                if self.is_connected(index, kind, connection) {
                    self.lists(index, kind);
                }
            }
            Told::Hear(kind, connection) => self.hears(index, kind, connection),
            Told::Resume(kind, connection) => self.resumes(index, kind, connection),
            Told::Reviewed(namespace) => self.reviewed(index, namespace),
            Told::ReviewAgain(namespace) => self.reviews(index, namespace),
            Told::StopRead(stop, job) => self.stop_read(index, *stop, job.as_deref()),
            Told::LookedAtJob(look, job) => {
                let hop = self.hop();
                let from = self.from(index);
                self.after(hop, Event::Server(Arrival::LookPods(from, look, job)));
            }
        }
    }

    fn is_connected(&mut self, index: usize, kind: usize, connection: u64) -> bool {
        self.adapter(index)
            .is_some_and(|adapter| adapter.feeds[kind].connection == connection)
    }

    fn listed(
        &mut self,
        index: usize,
        kind: usize,
        connection: u64,
        objects: &[Object],
        at: usize,
        began_at: Timestamp,
    ) {
        if !self.is_connected(index, kind, connection) {
            return;
        }
        let mut jobs = BTreeSet::new();
        for object in objects {
            let report = self.translated(object, false);
            if let Some(Report::Job { task, .. }) = &report {
                jobs.insert(task.clone());
            }
            if let Some(report) = report {
                self.report(index, report);
            }
        }
        if kind == JOBS {
            self.report(
                index,
                Report::Relisted {
                    scope: Scope::All,
                    jobs,
                    began_at,
                },
            );
        }
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        let first = !adapter.feeds[kind].listed;
        adapter.feeds[kind].listed = true;
        adapter.feeds[kind].at = Some(at);
        adapter.feeds[kind].hearing = false;
        let synced = adapter.feeds.iter().all(|feed| feed.listed) && !adapter.synced;
        adapter.synced |= synced;
        if synced {
            self.report(index, Report::Synced);
        }
        if kind == JOBS && first {
            self.lists(index, PODS);
        }
        self.adapter_hears(index);
    }

    fn translated(&self, object: &Object, deleted: bool) -> Option<Report> {
        match object {
            Object::Job(job) => self.wired.job_report(job, deleted),
            Object::Pod(pod) => self.wired.pod_report(pod, deleted),
        }
    }

    /// There is news for the watches of a replica.
    pub(crate) fn adapter_hears(&mut self, index: usize) {
        let len = self.kube.history.len();
        for kind in [JOBS, PODS] {
            let slow = self.faulty(Fault::Watches) && self.rng.chance(20);
            let wait = if slow {
                self.rng.range(100, 6_000)
            } else {
                self.rng.range(1, 40)
            };
            let Some(term) = self.replicas[index].term.as_mut() else {
                return;
            };
            let id = term.id;
            let feed = &mut term.adapter.feeds[kind];
            if feed.hearing || feed.at.is_none_or(|at| at >= len) {
                continue;
            }
            feed.hearing = true;
            let connection = feed.connection;
            self.to_term(wait, index, id, ToTerm::Adapter(Told::Hear(kind, connection)));
        }
    }

    fn hears(&mut self, index: usize, kind: usize, connection: u64) {
        if !self.is_connected(index, kind, connection) {
            return;
        }
        let twice = self.faulty(Fault::Watches) && self.rng.chance(10);
        let back = if twice { 2 } else { 0 };
        let len = self.kube.history.len();
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        let feed = &mut adapter.feeds[kind];
        feed.hearing = false;
        let Some(at) = feed.at.replace(len) else { return };
        if twice {
            self.reach("watch event twice");
        }
        let changes = self.kube.history[at.saturating_sub(back)..].to_vec();
        for change in changes {
            let of = match change.what {
                Object::Job(_) => JOBS,
                Object::Pod(_) => PODS,
            };
            if of == kind
                && let Some(report) = self.translated(&change.what, change.deleted)
            {
                self.report(index, report);
            }
        }
    }

    /// A watch breaks, at some replica.
    pub(crate) fn watch_breaks(&mut self) {
        let index = usize::try_from(self.rng.below(self.replicas.len() as u64)).expect("small");
        let kind = usize::from(self.rng.chance(50));
        let expired = self.rng.chance(40);
        let wait = self.rng.range(100, 5_000);
        let Some(term) = self.replicas[index].term.as_mut() else {
            return;
        };
        let id = term.id;
        let feed = &mut term.adapter.feeds[kind];
        let Some(at) = feed.at.take() else { return };
        feed.connection += 1;
        feed.broken_at = at;
        let connection = feed.connection;
        let name = if kind == JOBS { "jobs" } else { "pods" };
        self.note(|| format!(" ! the watch of {name} of w{index} breaks, expired: {expired}"));
        let told = if expired {
            self.reach("watch expired (410)");
            Told::ListAgain(kind, connection)
        } else {
            self.reach("watch broken");
            Told::Resume(kind, connection)
        };
        self.to_term(wait, index, id, ToTerm::Adapter(told));
    }

    fn resumes(&mut self, index: usize, kind: usize, connection: u64) {
        if !self.is_connected(index, kind, connection) {
            return;
        }
        if self.api_is_down() {
            let id = self.from(index).term;
            return self.to_term(2_000, index, id, ToTerm::Adapter(Told::Resume(kind, connection)));
        }
        if let Some(adapter) = self.adapter(index) {
            let feed = &mut adapter.feeds[kind];
            feed.at = Some(feed.broken_at);
            feed.hearing = false;
        }
        self.adapter_hears(index);
    }

    // Namespaces, as `scopes.rs` does where the whole cluster is watched.

    fn reviews(&mut self, index: usize, namespace: String) {
        let id = self.from(index).term;
        let hops = self.hop() + self.hop();
        let told = if self.api_is_down() {
            Told::ReviewAgain(namespace)
        } else {
            Told::Reviewed(namespace)
        };
        self.to_term(hops + 20, index, id, ToTerm::Adapter(told));
    }

    fn reviewed(&mut self, index: usize, namespace: String) {
        let stoppable = self.plan.patch;
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        adapter.reviewing.remove(&namespace);
        adapter.reviewed.insert(namespace.clone(), stoppable);
        self.report(index, Report::NamespaceReady { namespace, stoppable });
    }

    // Requests.

    /// How long a write may take that begins now.
    fn write_timeout(&self, index: usize) -> Option<u64> {
        let deadline = self.tenure_deadline(index);
        Timing::new(self.plan.policy.lease_ms).write_timeout(
            self.now,
            deadline,
            self.plan.policy.request_timeout_ms,
        )
    }

    pub(crate) fn request(&mut self, index: usize, request: Request) {
        let from = self.from(index);
        match request {
            Request::Create { task, job, .. } => self.create(index, from, task, &job),
            Request::Look {
                task,
                uid,
                namespace,
                job_name,
                ..
            } => {
                let look = Look {
                    task,
                    uid,
                    namespace,
                    job_name,
                };
                self.look(from, look);
            }
            Request::Stop {
                task,
                namespace,
                job_name,
                uid,
                failure,
            } => {
                self.reach("stop");
                let stop = Box::new(Stop {
                    task,
                    namespace,
                    job_name,
                    uid: uid.as_str().to_owned(),
                    failure,
                });
                let hop = self.hop();
                self.after(hop, Event::Server(Arrival::ReadForStop(from, stop)));
            }
            Request::SetTtl {
                task, uid, seconds, ..
            } => self.ttl(index, from, task, uid.as_str(), seconds),
            Request::Prepare { namespace } => {
                let Some(adapter) = self.adapter(index) else {
                    return;
                };
                if let Some(stoppable) = adapter.reviewed.get(&namespace).copied() {
                    self.report(index, Report::NamespaceReady { namespace, stoppable });
                } else if adapter.reviewing.insert(namespace.clone()) {
                    self.reviews(index, namespace);
                }
            }
        }
    }

    fn create(&mut self, index: usize, from: From, task: TaskId, job: &k8s_openapi::api::batch::v1::Job) {
        self.note(|| format!("{} create by w{index}", task.as_str()));
        let Some(limit) = self.write_timeout(index) else {
            self.reach("create not begun: the lease ends");
            let failed = CreateFailed {
                why: CreateFailure::Deferred,
                message: "the create was not begun: too little of the lease is left".to_owned(),
                retry_after_ms: None,
            };
            return self.answer(0, from, &task, vec![Fact::CreateFailed(failed)]);
        };
        self.may_write(index, "create", task.as_str());
        let draft = Box::new(self.draft(index, job));
        let trouble = self.faulty(Fault::Creates) && self.rng.chance(35);
        let silence = Fact::CreateFailed(create_silence(limit));
        let kind = if trouble { self.rng.below(6) } else { 9 };
        let arrive = |world: &mut Self, ms: u64, heard: bool, late: bool| {
            let (task, draft) = (task.clone(), draft.clone());
            world.after(
                ms,
                Event::Server(Arrival::Create {
                    from,
                    task,
                    draft,
                    heard,
                    late,
                }),
            );
        };
        match kind {
            0 => {
                self.reach("create lost");
                self.answer(limit, from, &task, vec![silence]);
            }
            1 => {
                self.reach("create answer lost");
                let hop = self.hop();
                arrive(self, hop, false, false);
                self.answer(limit, from, &task, vec![silence]);
            }
            2 => {
                let ms = self.rng.range(limit / 2, limit + self.plan.policy.lease_ms / 2);
                arrive(self, ms, ms < limit, true);
                if ms >= limit {
                    self.answer(limit, from, &task, vec![silence]);
                }
            }
            3 => {
                self.reach("create 429");
                let hop = self.hop();
                let after = self.rng.range(1, 5) * 1000;
                let failed = create_answer(429, "too many requests", "jobs", Some(after)).expect("a failure");
                self.answer(hop * 2, from, &task, vec![Fact::CreateFailed(failed)]);
            }
            4 => {
                self.reach("create 500, not made");
                let hop = self.hop();
                let failed = create_answer(500, "etcd timed out", "jobs", None).expect("a failure");
                self.answer(hop * 2, from, &task, vec![Fact::CreateFailed(failed)]);
            }
            5 => {
                self.reach("create 500, made");
                let hop = self.hop();
                arrive(self, hop, false, false);
                let failed = create_answer(504, "timeout", "jobs", None).expect("a failure");
                self.answer(hop * 2 + 1, from, &task, vec![Fact::CreateFailed(failed)]);
            }
            _ => {
                let hop = self.hop().min(limit - 1);
                arrive(self, hop, true, false);
            }
        }
    }

    fn draft(&mut self, index: usize, job: &k8s_openapi::api::batch::v1::Job) -> Draft {
        let meta = &job.metadata;
        let spec = job.spec.clone().unwrap_or_default();
        let number = |value: Option<i32>| value.and_then(|value| u64::try_from(value).ok());
        let mut draft = Draft {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            label: meta
                .labels
                .as_ref()
                .and_then(|labels| labels.get(label::INSTANCE).cloned()),
            annotations: meta.annotations.clone().unwrap_or_default(),
            backoff_limit: number(spec.backoff_limit).unwrap_or(6),
            deadline_secs: spec
                .active_deadline_seconds
                .and_then(|value| u64::try_from(value).ok()),
            ttl_secs: number(spec.ttl_seconds_after_finished),
        };
        if self.plan.is(Mutant::NameWithTime) {
            let term = self.from(index).term;
            draft.name = format!("{}-{term}-{}", draft.name, self.now);
        }
        if self.plan.is(Mutant::TtlAtCreation) {
            let limits = draft.annotations.get(annotation::LIMITS);
            let limits: Option<adapters::cluster::manifest::Limits> =
                limits.and_then(|text| serde_json::from_str(text).ok());
            draft.ttl_secs = limits
                .and_then(|limits| limits.ttl_seconds_after_finished)
                .map(u64::from);
        }
        draft
    }

    fn look(&mut self, from: From, look: Look) {
        self.note(|| format!("{} look by w{}", look.task.as_str(), from.replica));
        self.reach("look");
        if self.faulty(Fault::Creates) && self.rng.chance(20) {
            self.reach("look failed");
            let failed = vec![Fact::LookFailed(LookFailed)];
            return self.answer(self.plan.policy.request_timeout_ms, from, &look.task, failed);
        }
        let hop = self.hop();
        self.after(hop, Event::Server(Arrival::LookJob(from, look)));
    }

    fn ttl(&mut self, index: usize, from: From, task: TaskId, uid: &str, seconds: u32) {
        let Some(limit) = self.write_timeout(index) else {
            let unknown = vec![Fact::TtlAnswered(TtlAnswered::Unknown)];
            return self.answer(0, from, &task, unknown);
        };
        self.may_write(index, "TTL", task.as_str());
        let heard = !(self.faulty(Fault::Creates) && self.rng.chance(20));
        if !heard {
            self.answer(limit, from, &task, vec![Fact::TtlAnswered(TtlAnswered::Unknown)]);
        }
        let hop = self.hop();
        self.after(
            hop,
            Event::Server(Arrival::SetTtl {
                from,
                task,
                uid: uid.to_owned(),
                seconds: u64::from(seconds),
                heard,
            }),
        );
    }

    fn stop_read(&mut self, index: usize, stop: Stop, job: Option<&kube::Job>) {
        let from = self.from(index);
        let task = stop.task.clone();
        let reply = |world: &mut Self, facts: Vec<Fact>, answered| {
            let mut facts = facts;
            facts.push(Fact::StopAnswered(answered));
            world.answer(0, from, &task, facts);
        };
        let Some(job) = job.filter(|job| job.uid == stop.uid) else {
            return reply(self, Vec::new(), StopAnswered::Gone);
        };
        let facts = self
            .wired
            .job_facts(job)
            .map_or_else(Vec::new, |(_, facts)| facts);
        if job.end.is_some() {
            return reply(self, facts, StopAnswered::Conflict);
        }
        if let Some(text) = job.annotations.get(annotation::VERDICT) {
            let same =
                serde_json::from_str::<engine::Failure>(text).is_ok_and(|earlier| earlier == stop.failure);
            let answered = if same {
                StopAnswered::Done
            } else {
                StopAnswered::Conflict
            };
            return reply(self, facts, answered);
        }
        let Some(limit) = self.write_timeout(index) else {
            return reply(self, Vec::new(), StopAnswered::Unknown);
        };
        self.may_write(index, "stop", stop.task.as_str());
        let trouble = self.faulty(Fault::Creates) && self.rng.chance(25);
        if trouble {
            let facts = vec![Fact::StopAnswered(StopAnswered::Unknown)];
            self.answer(limit, from, &stop.task, facts);
            if self.rng.chance(50) {
                return;
            }
        }
        let slow = self.faulty(Fault::Creates) && self.rng.chance(40);
        let ms = if slow {
            self.rng.range(1, limit - 1)
        } else {
            self.hop()
        };
        self.after(
            ms,
            Event::Server(Arrival::Patch {
                from,
                stop: Box::new(stop),
                version: job.version,
                heard: !trouble,
            }),
        );
    }

    // The other side.

    pub(crate) fn arrives(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::List {
                from,
                kind,
                connection,
                began_at,
            } => self.lists_now(from, kind, connection, began_at),
            Arrival::Create {
                from,
                task,
                draft,
                heard,
                late,
            } => self.creates_now(from, &task, *draft, heard, late),
            Arrival::GetAfterConflict {
                from,
                task,
                namespace,
                name,
            } => self.gets_after_conflict(from, &task, &namespace, &name),
            Arrival::LookJob(from, look) => {
                if self.api_is_down() {
                    let failed = vec![Fact::LookFailed(LookFailed)];
                    return self.answer(3_000, from, &look.task, failed);
                }
                let job = self
                    .kube
                    .find(&look.namespace, &look.job_name)
                    .cloned()
                    .map(Box::new);
                let hop = self.hop();
                self.tell(hop, from, ToTerm::Adapter(Told::LookedAtJob(look, job)));
            }
            Arrival::LookPods(from, look, job) => {
                if self.api_is_down() {
                    let failed = vec![Fact::LookFailed(LookFailed)];
                    return self.answer(3_000, from, &look.task, failed);
                }
                let pods = self.kube.pods_of(look.task.as_str());
                let facts = self
                    .wired
                    .look(&look.task, look.uid.as_ref(), job.as_deref(), &pods);
                let hop = self.hop();
                self.answer(hop, from, &look.task, facts);
            }
            Arrival::ReadForStop(from, stop) => {
                if self.api_is_down() {
                    let unknown = vec![Fact::StopAnswered(StopAnswered::Unknown)];
                    return self.answer(3_000, from, &stop.task, unknown);
                }
                let job = self
                    .kube
                    .find(&stop.namespace, &stop.job_name)
                    .cloned()
                    .map(Box::new);
                let hop = self.hop();
                self.tell(hop, from, ToTerm::Adapter(Told::StopRead(stop, job)));
            }
            Arrival::Patch {
                from,
                stop,
                version,
                heard,
            } => self.patches_now(from, &stop, version, heard),
            Arrival::SetTtl {
                from,
                task,
                uid,
                seconds,
                heard,
            } => {
                let answered = if self.api_is_down() {
                    TtlAnswered::Unknown
                } else {
                    self.kube.set_ttl(&uid, seconds);
                    self.reach("TTL patched");
                    self.watchers();
                    TtlAnswered::Settled
                };
                if heard {
                    let hop = self.hop();
                    self.answer(hop, from, &task, vec![Fact::TtlAnswered(answered)]);
                }
            }
        }
    }

    fn watchers(&mut self) {
        for index in 0..self.replicas.len() {
            self.adapter_hears(index);
        }
    }

    fn lists_now(&mut self, from: From, kind: usize, connection: u64, began_at: Timestamp) {
        if self.api_is_down() {
            let wait = self.rng.range(400, 3_000);
            return self.tell(wait, from, ToTerm::Adapter(Told::ListAgain(kind, connection)));
        }
        let objects = if kind == JOBS {
            let jobs = self.kube.jobs.values().filter(|job| job.label.is_some());
            jobs.map(|job| Object::Job(Box::new(job.clone()))).collect()
        } else {
            let pods = self.kube.pods.values();
            pods.map(|pod| Object::Pod(Box::new(pod.clone()))).collect()
        };
        let at = self.kube.history.len();
        let hop = self.hop();
        self.tell(
            hop,
            from,
            ToTerm::Adapter(Told::Listed {
                kind,
                connection,
                objects,
                at,
                began_at,
            }),
        );
    }

    fn creates_now(&mut self, from: From, task: &TaskId, draft: Draft, heard: bool, late: bool) {
        let hop = self.hop();
        let refused = self
            .refused
            .get(&draft.namespace)
            .filter(|(_, until)| *until > self.now)
            .map(|(quota, _)| *quota);
        let failed = if self.api_is_down() {
            create_answer(503, "the server is down", "", None)
        } else if let Some(quota) = refused {
            self.reach(if quota {
                "create 403 quota"
            } else {
                "create 403 rbac"
            });
            let words = if quota {
                "jobs.batch is forbidden: exceeded quota: q, requested: 1, used: 1, limited: 1"
            } else {
                "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group \"batch\""
            };
            create_answer(403, words, "jobs", None)
        } else if task.as_str().starts_with("bad") {
            self.reach("create 422");
            create_answer(422, "the Job is invalid", "jobs", None)
        } else {
            None
        };
        if let Some(failed) = failed {
            if heard {
                self.answer(hop, from, task, vec![Fact::CreateFailed(failed)]);
            }
            return;
        }
        let (namespace, name) = (draft.namespace.clone(), draft.name.clone());
        let Some(job) = self.kube.create(draft) else {
            self.reach("create 409");
            if heard {
                // The answer comes, then the read goes out.
                let next = Arrival::GetAfterConflict {
                    from,
                    task: task.clone(),
                    namespace,
                    name,
                };
                self.after(hop, Event::Server(next));
            }
            return;
        };
        self.note(|| {
            format!(
                "{} job {} is made{}",
                task.as_str(),
                job.uid,
                if late { ", late" } else { "" }
            )
        });
        if late {
            let dead = self.replicas[from.replica].life != from.life || !self.replicas[from.replica].up;
            self.reach(if dead {
                "late create, its leader is dead"
            } else {
                "late create"
            });
        }
        self.made(&job);
        self.watchers();
        if heard && let Some((_, facts)) = self.wired.job_facts(&job) {
            self.answer(hop, from, task, facts);
        }
    }

    fn gets_after_conflict(&mut self, from: From, task: &TaskId, namespace: &str, name: &str) {
        let unknown = |message: &str| {
            vec![Fact::CreateFailed(CreateFailed {
                why: CreateFailure::Unknown,
                message: message.to_owned(),
                retry_after_ms: None,
            })]
        };
        let hop = self.hop();
        if self.api_is_down() {
            return self.answer(3_000, from, task, unknown("it exists, but cannot be read"));
        }
        let facts = match self.kube.find(namespace, name) {
            None => unknown("a Job of this name existed and is gone"),
            Some(job) => match self.wired.job_facts(job) {
                Some((owner, facts)) if owner == *task => facts,
                Some(_) | None => vec![Fact::CreateFailed(CreateFailed {
                    why: CreateFailure::NameTaken,
                    message: "it is not ours".to_owned(),
                    retry_after_ms: None,
                })],
            },
        };
        self.answer(hop, from, task, facts);
    }

    fn patches_now(&mut self, from: From, stop: &Stop, version: u64, heard: bool) {
        let forbidden = self
            .refused
            .get(&stop.namespace)
            .is_some_and(|(quota, until)| !quota && *until > self.now);
        let answered = if self.api_is_down() {
            StopAnswered::Unknown
        } else if forbidden {
            self.reach("stop 403");
            self.claims.unpatched.insert(stop.task.as_str().to_owned());
            StopAnswered::Forbidden
        } else {
            let verdict =
                serde_json::json!({"code": stop.failure.code, "message": stop.failure.message}).to_string();
            match self.kube.stop(&stop.uid, version, verdict) {
                Ok(()) => {
                    self.reach("stopped");
                    StopAnswered::Done
                }
                Err(404) => StopAnswered::Gone,
                Err(_) => {
                    self.reach("stop conflict");
                    StopAnswered::Conflict
                }
            }
        };
        self.watchers();
        if heard {
            let hop = self.hop();
            self.answer(hop, from, &stop.task, vec![Fact::StopAnswered(answered)]);
        }
    }
}
