//! Random lives of a few tasks in front of a small cluster that tells the truth, though late, twice, in any order or not at all.

mod cluster;

use crate::story::World;
use cluster::{Cluster, Pod};
use engine::{
    Code, CreateFailed, CreateFailure, Effect, Event, JobDeleted, JobEnd, JobMissing, Looked, Notice, Policy,
    SetAside, StateKind, StopAnswered, TaskId, Timestamp, Transition, TtlAnswered,
};
use std::collections::BTreeMap;

/// Milliseconds after which no request is carried out any more.
const REQUEST_MS: u64 = 30_000;
const NAMESPACES: [&str; 2] = ["north", "south"];
const TASKS: [&str; 3] = ["a", "b", "c"];

/// SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn hits(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let n = u64::try_from(of.len()).expect("a short list");
        (n > 0).then(|| &of[usize::try_from(self.below(n)).expect("a short list")])
    }
}

/// A worker, its cluster, and what has been checked of its transitions.
pub(crate) struct Walk {
    pub(crate) world: World,
    dice: Dice,
    cluster: Cluster,
    in_flight: Vec<Request>,
    seen: usize,
    statuses: BTreeMap<TaskId, Vec<u8>>,
    seqs: BTreeMap<TaskId, u64>,
}

/// A request that may still be carried out.
#[derive(Clone)]
struct Request {
    asked_at: Timestamp,
    task: TaskId,
    effect: Effect,
    /// Whoever asked has an answer that tells nothing, or is gone.
    alone: bool,
}

impl Walk {
    pub(crate) fn new(seed: u64) -> Self {
        let policy = Policy {
            creates_max: 2,
            ..Policy::default()
        };
        Self {
            world: World::new(policy),
            dice: Dice::new(seed),
            cluster: Cluster::default(),
            in_flight: Vec::new(),
            seen: 0,
            statuses: BTreeMap::new(),
            seqs: BTreeMap::new(),
        }
    }

    /// Lets one thing happen, and checks the laws.
    pub(crate) fn turn(&mut self) {
        match self.dice.below(200) {
            0..12 => self.take(),
            12..24 => self.namespace(),
            24..28 => self.crash(),
            28..84 => self.request(),
            84..130 => self.cluster_moves(),
            130..164 => self.watch(),
            164..168 => self.relist(),
            168..169 => self.set_aside(),
            169..172 => self.world.elapse(700_000),
            172..180 => self.world.elapse(45_000),
            _ => {
                let ms = *self.dice.one(&[10, 100, 1_000, 3_000]).expect("a list");
                self.world.elapse(ms);
            }
        }
        self.world.admit();
        self.check();
    }

    /// Lets the faults end, and everything come to its end.
    pub(crate) fn heal(&mut self) {
        for round in 0.. {
            for namespace in NAMESPACES {
                self.world.line(&format!("ready {namespace} stoppable"));
            }
            self.world.admit();
            let owed: Vec<_> = self.owed();
            for (task, effect) in owed {
                for fact in self.carry_out(&task, &effect, false) {
                    self.world.step(&task, fact);
                }
            }
            for task in TASKS.map(TaskId::new) {
                self.cluster.finish(&task, self.world.now);
            }
            self.relist();
            self.world.elapse(61_000);
            self.check();
            if self.world.engine.unfinished() == 0 && self.owed().is_empty() {
                return;
            }
            let left: Vec<_> = self.world.engine.tasks().map(|(_, task)| &task.state).collect();
            assert!(round < 40, "it never ends: {left:#?}");
        }
    }

    fn owed(&self) -> Vec<(TaskId, Effect)> {
        let owed = self.world.engine.owed();
        owed.map(|(id, effect)| (id.clone(), effect)).collect()
    }

    fn take(&mut self) {
        let n = usize::try_from(self.dice.below(3)).expect("a small number");
        let (id, namespace) = (TASKS[n], NAMESPACES[n % 2]);
        if self.world.engine.task(&TaskId::new(id)).is_none() {
            let ttl = if self.dice.hits(50) { "ttl=60" } else { "" };
            self.world.line(&format!("take {id} ns={namespace} {ttl}"));
        }
    }

    fn namespace(&mut self) {
        let namespace = *self.dice.one(&NAMESPACES).expect("a list");
        let line = match self.dice.below(10) {
            0..4 => format!("ready {namespace}"),
            4..9 => format!("ready {namespace} stoppable"),
            _ => format!("refused {namespace} Forbidden \"cannot list jobs\""),
        };
        self.world.line(&line);
    }

    fn set_aside(&mut self) {
        let id = TaskId::new(*self.dice.one(&TASKS).expect("a list"));
        let message = "A step panicked three times.".to_owned();
        self.world.step(&id, Event::SetAside(SetAside { message }));
    }

    /// A request is carried out, or lost, or answered twice, or late.
    fn request(&mut self) {
        let now = self.world.now;
        let asked = self.world.asked.drain(..);
        self.in_flight
            .extend(asked.map(|(asked_at, task, effect)| Request {
                asked_at,
                task,
                effect,
                alone: false,
            }));
        let (late, in_flight) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition(|request| now.since_ms(request.asked_at) > REQUEST_MS);
        self.in_flight = in_flight;
        for request in late {
            self.unanswered(&request);
        }
        if self.in_flight.is_empty() {
            return;
        }
        let n = usize::try_from(self.dice.next()).unwrap_or(usize::MAX) % self.in_flight.len();
        let request = self.in_flight.swap_remove(n);
        if request.alone {
            self.carry_out(&request.task, &request.effect, false);
        } else if self.dice.hits(75) {
            let facts = self.carry_out(&request.task, &request.effect, true);
            facts
                .into_iter()
                .for_each(|fact| self.world.step(&request.task, fact));
        } else {
            self.unanswered(&request);
            self.in_flight.push(Request {
                alone: true,
                ..request
            });
        }
    }

    fn crash(&mut self) {
        self.in_flight.iter_mut().for_each(|request| request.alone = true);
        self.world.crash();
    }

    fn unanswered(&mut self, request: &Request) {
        let event = match request.effect {
            Effect::CreateJob { .. } => create_failed(CreateFailure::Unknown),
            Effect::Look => Event::LookFailed(engine::LookFailed),
            Effect::StopJob { .. } => Event::StopAnswered(StopAnswered::Unknown),
            Effect::SetTtl { .. } => Event::TtlAnswered(TtlAnswered::Unknown),
        };
        if !request.alone {
            self.world.step(&request.task, event);
        }
    }

    /// Returns the answer, the last of the facts.
    fn carry_out(&mut self, task: &TaskId, effect: &Effect, refusable: bool) -> Vec<Event> {
        match effect {
            Effect::CreateJob { .. } => self.create(task, refusable),
            Effect::Look => {
                let mut facts = self.cluster.facts(task);
                facts.push(Event::Looked(Looked {
                    job: self.cluster.job(task).map(|job| job.uid.clone()),
                    waiting: self.cluster.waiting(task),
                    has_pods: self.cluster.job(task).is_some_and(|job| !job.pods.is_empty()),
                }));
                facts
            }
            Effect::StopJob { uid, failure } => self.cluster.stop(task, uid, failure),
            Effect::SetTtl { .. } => vec![Event::TtlAnswered(TtlAnswered::Settled)],
        }
    }

    fn create(&mut self, task: &TaskId, refusable: bool) -> Vec<Event> {
        if self.cluster.job(task).is_none() {
            let refusal = match self.dice.below(100) {
                0..4 if refusable => Some(CreateFailure::Forbidden),
                4..8 if refusable => Some(CreateFailure::Quota),
                8..10 if refusable => Some(CreateFailure::Refused),
                10..13 if refusable => Some(CreateFailure::Deferred),
                _ => None,
            };
            if let Some(why) = refusal {
                return vec![create_failed(why)];
            }
            let Some(held) = self.world.engine.task(task) else {
                return Vec::new();
            };
            if let engine::State::Exception(end) = &held.state {
                assert_ne!(
                    end.failure.code,
                    Code::JobCreateFailed,
                    "{task} was told that no Job could be made, and now there is one"
                );
            }
            self.cluster.create(task, &held.spec, self.world.now);
        }
        self.cluster.job_facts(task)
    }

    fn cluster_moves(&mut self) {
        let Some(id) = self.dice.one(&self.cluster.tasks()).cloned() else {
            return;
        };
        let dice = self.dice.below(100);
        let now = self.world.now;
        let job = self.cluster.job_mut(&id).expect("the task has a Job");
        match dice {
            0..30 if job.end.is_none() => {
                let n = job.pods.len();
                job.pods.push(Pod::new(&format!("{}-p{n}", job.uid)));
            }
            30..55 => job.pods.iter_mut().for_each(|pod| pod.started = true),
            55..70 => job.pods.iter_mut().for_each(Pod::fail),
            70..78 if job.end.is_none() => job.ends(now, JobEnd::Complete { duration_secs: 1 }),
            78..86 if job.end.is_none() => {
                job.pods.iter_mut().for_each(Pod::fail);
                job.ends(now, cluster::failed("BackoffLimitExceeded"));
            }
            86..90 => job.suspended = !job.suspended,
            90..92 => {
                let uid = job.uid.clone();
                self.world.step(&id, Event::JobDeleted(JobDeleted { uid }));
            }
            92..96 => {
                let facts = self.cluster.facts(&id);
                let uid = self.cluster.delete(&id);
                if self.dice.hits(70) {
                    facts.into_iter().for_each(|fact| self.world.step(&id, fact));
                    self.world.step(&id, Event::JobDeleted(JobDeleted { uid }));
                }
            }
            _ => {}
        }
    }

    fn watch(&mut self) {
        let Some(id) = self.dice.one(&self.cluster.tasks()).cloned() else {
            return;
        };
        let mut observations = self.cluster.observations(&id);
        if self.dice.hits(30) {
            observations.reverse();
        }
        for facts in observations {
            if self.dice.hits(80) {
                facts.into_iter().for_each(|fact| self.world.step(&id, fact));
            }
        }
    }

    fn relist(&mut self) {
        for id in TASKS.map(TaskId::new) {
            let facts = self.cluster.facts(&id);
            let followed = matches!(
                self.world.kind(&id),
                Some(StateKind::Created | StateKind::PodStarted | StateKind::Exception)
            );
            if followed && (self.cluster.job(&id).is_none() || self.dice.hits(5)) {
                self.world.step(&id, Event::JobMissing(JobMissing));
            }
            facts.into_iter().for_each(|fact| self.world.step(&id, fact));
        }
    }

    fn check(&mut self) {
        let new: Vec<Transition> = self.world.moved[self.seen..].to_vec();
        self.seen = self.world.moved.len();
        for transition in &new {
            let task = &transition.task;
            let seq = self.seqs.entry(task.clone()).or_insert(0);
            *seq += 1;
            assert_eq!(transition.after.seq, *seq, "the versions of {task} are dense");
            let statuses = self.statuses.entry(task.clone()).or_default();
            for notice in &transition.notices {
                let before = statuses.last().copied();
                let status = notice.status();
                let in_order = match status {
                    0 => before.is_none(),
                    1 => before == Some(0),
                    2 | 3 => matches!(before, Some(0 | 1)),
                    _ => before.is_none_or(|before| before < 2),
                };
                assert!(in_order, "{task} is told {status} after {statuses:?}");
                statuses.push(status);
                self.cluster.confirms(task, notice);
            }
            assert_eq!(
                transition.gave_verdict(),
                transition.notices.iter().any(|notice| notice.status() > 1)
            );
            assert!(crate::story::stored(&transition.after).len() <= 64 * 1024);
            if let Some(Notice::Exception(failure)) = transition.notices.last()
                && failure.code == Code::JobCreateFailed
            {
                assert!(
                    self.cluster.job(task).is_none(),
                    "{task} was told that no Job could be made, and there is one"
                );
            }
        }
        assert!(!self.world.told.contains("rejected"), "{}", self.world.told);
        self.world.told.clear();
    }
}

fn create_failed(why: CreateFailure) -> Event {
    Event::CreateFailed(CreateFailed {
        why,
        message: "the API server's words".to_owned(),
        retry_after_ms: None,
    })
}
