//! What a term asks of the API server, as `cluster/{pump,create,look,stop}.rs` send it.

use crate::adapter::{Arrival, From, Look, Stop};
use crate::kube::{self, Draft};
use crate::plan::{Fault, Mutant};
use crate::wired::{create_answer, create_silence};
use crate::world::{Event, World};
use adapters::cluster::names::{annotation, label};
use adapters::cluster::{Report, Request};
use engine::lease::Timing;
use engine::{CreateFailed, CreateFailure, Event as Fact, LookFailed, StopAnswered, TaskId, TtlAnswered};

impl World {
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
                    uid: uid.to_string(),
                    failure,
                });
                let hop = self.hop();
                self.after(hop, Event::Server(Arrival::ReadForStop(from, stop)));
            }
            Request::SetTtl {
                task, uid, seconds, ..
            } => self.ttl(index, from, task, &uid.to_string(), seconds),
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
            return self.create_not_begun(from, &task);
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

    fn create_not_begun(&mut self, from: From, task: &TaskId) {
        self.reach("create not begun: the lease ends");
        let failed = CreateFailed {
            why: CreateFailure::Deferred,
            message: "the create was not begun: too little of the lease is left".to_owned(),
            retry_after_ms: None,
        };
        self.answer(0, from, task, vec![Fact::CreateFailed(failed)]);
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

    pub(crate) fn stop_read(&mut self, index: usize, stop: Stop, job: Option<&kube::Job>) {
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
}
