//! The life of one task in a recording: the facts that the adapter reads, in an engine whose time is that of the recording.

use super::Access;
use super::recording::{Heard, Object, Recording};
use crate::cluster::create::of_existing;
use crate::cluster::events::{Refused, last_refusal};
use crate::cluster::look::seen;
use crate::cluster::names::Instance;
use crate::cluster::observe::{Ours, job_facts};
use crate::cluster::outcome::{Outcome, of_answer};
use crate::cluster::pods::pod_facts;
use crate::cluster::wire::{Job, Pod};
use crate::message::parse;
use engine::{
    Code, Digest, Effect, Engine, Event, Failure, JobDeleted, LookRefused, Looked, Notice,
    Outcome as Stepped, Policy, Refusal, RefusalKind, Spec, Step, StopAnswered, TaskId, Timestamp, Uid, Woke,
};
use std::collections::{BTreeMap, VecDeque};

/// When every recording begins: 2026-01-01T00:00:00Z.
const BEGIN: Timestamp = Timestamp(1_767_225_600_000);
/// Longer than any of these tasks may live.
const PATIENCE_MS: u64 = 2 * 3_600_000;
/// How often a namespace that may not be watched says so.
const REFUSED_AGAIN_MS: u64 = 20_000;

/// What the client was told.
pub(super) struct Told {
    pub(super) statuses: Vec<u8>,
    pub(super) failure: Failure,
}

/// One task and the cluster that it sees.
pub(super) struct Life<'a> {
    recording: &'a Recording,
    access: Access,
    ours: Ours,
    engine: Engine,
    now: Timestamp,
    task: TaskId,
    spec: Spec,
    jobs: BTreeMap<String, Job>,
    pods: BTreeMap<String, Pod>,
    refusals: Vec<Refused>,
    asked: VecDeque<Effect>,
    statuses: Vec<u8>,
    failure: Option<Failure>,
}

impl<'a> Life<'a> {
    pub(super) fn new(recording: &'a Recording, access: Access, start_timeout_secs: Option<u32>) -> Self {
        let ours = Ours::new(&Instance {
            namespace: "job-worker".to_owned(),
            lock_name: "LOCK".to_owned(),
        });
        let made = recording.heard.iter().find_map(|heard| match &heard.object {
            Object::Job(job) => job_facts(&ours, job),
            Object::Pod(_) | Object::Event(_) => None,
        });
        let (task, mut spec) = made.map_or_else(
            || (TaskId::new("refused"), unmade()),
            |made| (made.task, *made.adoption.expect("a Job of ours can be adopted")),
        );
        spec.start_timeout_secs = start_timeout_secs.unwrap_or(spec.start_timeout_secs);
        Self {
            recording,
            access,
            ours,
            engine: Engine::new(Policy::default()),
            now: BEGIN,
            task,
            spec,
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            refusals: Vec::new(),
            asked: VecDeque::new(),
            statuses: Vec::new(),
            failure: None,
        }
    }

    /// Lives it to its end.
    pub(super) fn told(mut self) -> Told {
        if let Some(message) = &self.recording.message {
            let refused = parse(message).expect_err("the message breaks a rule");
            return Told {
                statuses: vec![99],
                failure: Failure::new(Code::InvalidMessage, refused.to_string()),
            };
        }
        let step = self.engine.take(self.now, self.task.clone(), self.spec.clone());
        self.took(step.expect("a new task"));
        match self.recording.answer("list") {
            Some(answer) => self.may_not_watch(&format!("cannot list jobs: {}", answer.words())),
            None => {
                let stoppable = self.access == Access::Patch;
                let step = self
                    .engine
                    .namespace_ready(self.now, &self.spec.namespace, stoppable);
                self.took(step.expect("nobody waited"));
            }
        }
        for heard in &self.recording.heard {
            self.elapse(BEGIN.plus_ms(heard.at_ms));
            self.hear(heard);
        }
        self.elapse(self.now.plus_ms(PATIENCE_MS));
        Told {
            failure: self.failure.unwrap_or_else(|| {
                panic!(
                    "no verdict: {:?}",
                    self.engine.task(&self.task).map(|task| &task.state)
                )
            }),
            statuses: self.statuses,
        }
    }

    fn may_not_watch(&mut self, message: &str) {
        while self.failure.is_none() {
            let refusal = Refusal {
                why: RefusalKind::Forbidden,
                message: message.to_owned(),
            };
            let step = self
                .engine
                .namespace_refused(self.now, &self.spec.namespace, refusal);
            self.took(step.expect("the task is held"));
            self.turn();
            self.now = self.now.plus_ms(REFUSED_AGAIN_MS);
            assert!(self.now < BEGIN.plus_ms(PATIENCE_MS), "a refusal ends the task");
        }
    }

    fn hear(&mut self, heard: &Heard) {
        let facts = match &heard.object {
            Object::Event(refused) => {
                self.refusals.push(refused.clone());
                return;
            }
            Object::Job(job) => {
                let facts = job_facts(&self.ours, job).map(|seen| (seen.task, seen.facts));
                let deleted = Event::JobDeleted(JobDeleted {
                    uid: Uid::new(heard.uid.as_str()),
                });
                if heard.deleted {
                    self.jobs.remove(&heard.uid);
                    facts.map(|(task, facts)| (task, facts.into_iter().chain([deleted]).collect()))
                } else {
                    self.jobs.insert(heard.uid.clone(), job.clone());
                    facts
                }
            }
            Object::Pod(pod) => {
                let mut facts = pod_facts(&self.ours, pod);
                if heard.deleted {
                    self.pods.remove(&heard.uid);
                    if let Some((_, facts)) = &mut facts {
                        facts.retain(|fact| !matches!(fact, Event::PodWaiting(_)));
                    }
                } else {
                    self.pods.insert(heard.uid.clone(), pod.clone());
                }
                facts
            }
        };
        for fact in facts.into_iter().flat_map(|(_, facts)| facts) {
            self.step(fact);
        }
        self.turn();
    }

    fn step(&mut self, event: Event) {
        match self.engine.step(self.now, &self.task, event) {
            Ok(Stepped::Moved(step)) => self.took(step),
            Ok(Stepped::Ignored(_)) => {}
            Err(rejected) => panic!("{rejected}"),
        }
    }

    fn took(&mut self, step: Step) {
        let effects = step.commit(|transitions| {
            for notice in transitions.iter().flat_map(|transition| &transition.notices) {
                self.statuses.push(notice.status());
                match notice {
                    Notice::Failed(failure) | Notice::Exception(failure) => {
                        self.failure = Some(failure.clone())
                    }
                    Notice::Created { .. } | Notice::Started { .. } | Notice::Completed { .. } => {}
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(effects) = effects;
        self.asked.extend(effects.into_iter().map(|(_, effect)| effect));
    }

    /// Gives the create slot away and answers whatever is asked.
    fn turn(&mut self) {
        loop {
            let step = self.engine.admit(self.now).expect("the queue is in order");
            self.took(step);
            let Some(effect) = self.asked.pop_front() else {
                return;
            };
            for fact in self.answer(&effect) {
                self.step(fact);
            }
        }
    }

    fn answer(&self, effect: &Effect) -> Vec<Event> {
        match effect {
            // The Job itself is heard of, where there is no other answer.
            Effect::CreateJob { .. } => {
                match self.recording.answer("create").map(|answer| of_answer(&answer)) {
                    None => Vec::new(),
                    Some(Outcome::Failed(failed)) => vec![Event::CreateFailed(failed)],
                    Some(Outcome::Exists) => {
                        let there = self.recording.heard.iter().find_map(|heard| match &heard.object {
                            Object::Job(job) => Some(job),
                            Object::Pod(_) | Object::Event(_) => None,
                        });
                        of_existing(
                            &self.ours,
                            &self.task,
                            &self.spec,
                            there.expect("the Job that has the name"),
                        )
                    }
                    Some(Outcome::Made) => panic!("a create that is answered makes no Job"),
                }
            }
            Effect::Look => self.look(),
            Effect::StopJob { .. } => vec![Event::StopAnswered(StopAnswered::Done)],
            Effect::SetTtl { .. } => Vec::new(),
        }
    }

    fn look(&self) -> Vec<Event> {
        if let Some(answer) = self.recording.answer("get") {
            return vec![Event::LookRefused(LookRefused {
                message: answer.words(),
            })];
        }
        let mut pods: Vec<Pod> = self.pods.values().cloned().collect();
        let job = self.jobs.values().next();
        let seen = seen(&self.ours, &self.task, None, job, &mut pods);
        let mut facts = seen.facts;
        let waiting = match (&seen.job, self.access) {
            (Some(_), Access::Patch) if !seen.has_pods => last_refusal(&self.refusals),
            (Some(_) | None, _) => seen.waiting,
        };
        facts.push(Event::Looked(Looked {
            waiting,
            has_pods: seen.has_pods,
            job: seen.job,
        }));
        facts
    }

    /// Lets time pass; the task's deadlines come when they are due.
    fn elapse(&mut self, until: Timestamp) {
        self.turn();
        while let Some(at) = self.engine.deadline(&self.task).filter(|at| *at <= until) {
            if self.failure.is_some() {
                return;
            }
            self.now = self.now.max(at);
            self.step(Event::Woke(Woke));
            self.turn();
        }
        self.now = self.now.max(until);
    }
}

/// What a task is of which no Job tells.
fn unmade() -> Spec {
    Spec {
        digest: Digest([0xab; 32]),
        namespace: "NAMESPACE".to_owned(),
        job_name: "JOB".to_owned(),
        service: "tests".to_owned(),
        webhook: None,
        traceparent: None,
        received_at: BEGIN,
        start_timeout_secs: 60,
        active_deadline_secs: None,
        ttl_secs: None,
    }
}
