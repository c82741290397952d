//! A worker for one act: read from what is stored, told what happens, and held to the laws at every transition.

use super::cluster::{Job, moment};
use super::laws;
use super::node::{Ask, Held, Node, REQUEST_MS, Request, START_SECS, Setup, Way};
use super::tell;
use engine::{
    Digest, Effect, Engine, Event, JobMissing, Outcome, Policy, Spec, StateKind, Step, TaskId, Timestamp,
    TookOver, Woke,
};

pub(super) const NAMESPACE: &str = "default";

/// One act on one moment.
pub(crate) struct Turn<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) node: Node,
    /// The law that was broken first.
    pub(crate) broken: Option<String>,
    /// The lines of the story; none are made where nobody reads them.
    pub(crate) lines: Option<Vec<String>>,
    engine: Engine,
    /// Effects are asked for as they come; not while a new leader still reads its lists.
    asks: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(setup: &'a Setup, node: &Node, told: bool) -> Self {
        let mut turn = Self {
            setup,
            node: node.clone(),
            broken: None,
            lines: told.then(Vec::new),
            engine: Engine::new(policy()),
            asks: true,
        };
        if node.leads {
            turn.restore();
            turn.ready();
        }
        turn
    }

    fn restore(&mut self) {
        for (id, life) in self.setup.tasks.iter().zip(&self.node.lives) {
            if let Some(held) = &life.task {
                self.engine.restore(TaskId::new(*id), held.task().clone());
            }
        }
    }

    /// Opens the namespace; what was queued goes on.
    fn ready(&mut self) {
        let now = self.now();
        let step = self.engine.namespace_ready(now, NAMESPACE, self.setup.stoppable);
        self.took(step.expect("a namespace can be ready at any time"));
        self.admit();
    }

    pub(crate) fn now(&self) -> Timestamp {
        moment(self.node.now)
    }

    pub(crate) fn id(&self, i: usize) -> TaskId {
        TaskId::new(self.setup.tasks[i])
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    pub(crate) fn breaks(&mut self, law: String) {
        self.broken.get_or_insert(law);
    }

    // What a worker does.

    pub(crate) fn takes(&mut self, i: usize) {
        let (id, now) = (self.id(i), self.now());
        let setup = self.setup;
        self.say(|| {
            let ttl = setup
                .ttl_secs
                .map_or_else(String::new, |secs| format!(" ttl={secs}"));
            format!("take {id} start={START_SECS}{ttl}")
        });
        let spec = Spec {
            digest: Digest([digest(setup, i); 32]),
            namespace: NAMESPACE.to_owned(),
            job_name: format!("job-{id}"),
            service: "example".to_owned(),
            webhook: Some("http://webhook.example.com/callback".to_owned()),
            traceparent: None,
            received_at: now,
            start_timeout_secs: START_SECS,
            active_deadline_secs: None,
            ttl_secs: setup.ttl_secs,
        };
        self.node.lives[i].received_at = self.node.now;
        match self.engine.take(now, self.id(i), spec) {
            Ok(step) => self.took(step),
            Err(rejected) => self.breaks(format!("{rejected}")),
        }
        self.admit();
    }

    /// A message comes again while its task is there: it changes nothing.
    pub(crate) fn takes_again(&mut self, i: usize) {
        let (id, now) = (self.id(i), self.now());
        let spec = self.engine.task(&id).expect("the task is there").spec.clone();
        if self.engine.take(now, id, spec).is_ok() {
            self.breaks("a task that is there was begun again".to_owned());
        }
    }

    pub(crate) fn forgets(&mut self, i: usize) {
        let id = self.id(i);
        self.say(|| format!("forget {id}"));
        self.engine.forget(&id);
        self.node.lives[i].task = None;
    }

    pub(crate) fn hears(&mut self, i: usize, event: Event) {
        let id = self.id(i);
        self.say(|| tell::line(id.as_str(), &event));
        self.step(&id, event);
    }

    fn step(&mut self, id: &TaskId, event: Event) {
        let now = self.now();
        match self.engine.step(now, id, event) {
            Ok(Outcome::Moved(step)) => self.took(step),
            Ok(Outcome::Ignored(_)) => {}
            Err(rejected) => self.breaks(format!("{rejected}")),
        }
        self.admit();
    }

    fn admit(&mut self) {
        let now = self.now();
        match self.engine.admit(now) {
            Ok(step) => self.took(step),
            Err(rejected) => self.breaks(format!("{rejected}")),
        }
    }

    /// Writes the transitions, each made again from what was stored before it, and asks for what they want.
    fn took(&mut self, step: Step) {
        let policy = policy();
        let effects = step.commit(|transitions| {
            for transition in transitions {
                let i = self.place(&transition.task);
                if let Err(law) = laws::transition(&mut self.node.lives[i], transition, &policy) {
                    self.breaks(law);
                }
                self.node.lives[i].task = Some(Held::new(&transition.after));
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(effects) = effects;
        if self.asks {
            for (id, effect) in effects {
                self.asks(&id, &effect);
            }
        }
    }

    fn place(&self, id: &TaskId) -> usize {
        let place = self.setup.tasks.iter().position(|name| *name == id.as_str());
        place.expect("a task of this search")
    }

    fn asks(&mut self, id: &TaskId, effect: &Effect) {
        let i = self.place(id);
        let request = Request {
            asked_at: self.node.now,
            ask: ask(effect, self.node.lives[i].received_at),
            way: Way::Sent,
        };
        self.node.lives[i].requests.push(request);
        if self.node.lives[i].requests.len() > 4 {
            self.breaks("requests pile up".to_owned());
        }
    }

    /// Another worker takes over: reads, lists Jobs, then pods, and asks for what is owed.
    pub(crate) fn takes_over(&mut self) {
        let down_ms = self.node.now - self.node.stopped_at;
        self.say(|| format!("crash +{down_ms}ms"));
        (self.node.leads, self.node.stopped_at) = (true, 0);
        self.asks = false;
        self.restore();
        for i in 0..self.setup.tasks.len() {
            let id = self.id(i);
            if self.kind(i).is_some_and(|kind| !kind.is_terminal()) {
                self.step(&id, Event::TookOver(TookOver));
            }
        }
        for i in 0..self.setup.tasks.len() {
            self.lists(i, false);
        }
        for i in 0..self.setup.tasks.len() {
            self.lists(i, true);
        }
        let owed: Vec<_> = self.engine.owed().map(|(id, owed)| (id.clone(), owed)).collect();
        self.asks = true;
        for (id, effect) in owed {
            self.asks(&id, &effect);
        }
        let patch = if self.setup.stoppable { " stoppable" } else { "" };
        self.say(|| format!("ready {NAMESPACE}{patch}"));
        self.ready();
    }

    /// A list of Jobs, or of pods, says what there is.
    pub(crate) fn lists(&mut self, i: usize, pods: bool) {
        let life = &mut self.node.lives[i];
        let job = life.job.clone();
        if pods {
            life.pod_news = false;
            life.lost = false;
        } else {
            life.job_news = false;
            life.gone = None;
        }
        let followed = matches!(
            self.kind(i),
            Some(StateKind::Created | StateKind::PodStarted | StateKind::Exception)
        );
        match (job, pods) {
            (Some(job), false) => self.hears_all(i, job.facts()),
            (Some(job), true) => self.hears_all(i, job.pod_facts()),
            (None, false) if followed => self.hears(i, Event::JobMissing(JobMissing)),
            (None, _) => {}
        }
    }

    pub(crate) fn hears_all(&mut self, i: usize, events: Vec<Event>) {
        for event in events {
            self.hears(i, event);
        }
    }

    fn kind(&self, i: usize) -> Option<StateKind> {
        Some(self.engine.task(&self.id(i))?.state.kind())
    }

    /// Time passes until `target`; deadlines come when they are due.
    pub(crate) fn elapses(&mut self, target: u64) {
        let ms = target - self.node.now;
        if self.node.leads {
            self.say(|| format!("+{ms}ms"));
            while let Some((at, id)) = self.next_deadline().filter(|(at, _)| *at <= moment(target)) {
                self.node.now = self.node.now.max(at.since_ms(moment(0)));
                let before = self.node.lives[self.place(&id)].task.clone();
                self.step(&id, Event::Woke(Woke));
                if before == self.node.lives[self.place(&id)].task {
                    self.breaks("a deadline passes and changes nothing: it would come for ever".to_owned());
                    break;
                }
            }
        }
        self.node.now = target;
        for life in &mut self.node.lives {
            life.requests
                .retain(|request| request.way != Way::Alone || request.asked_at + REQUEST_MS > target);
        }
    }

    fn next_deadline(&self) -> Option<(Timestamp, TaskId)> {
        let deadlines = self
            .engine
            .tasks()
            .filter_map(|(id, task)| Some((task.state.deadline()?, id.clone())));
        deadlines.min()
    }

    /// Every state that owes something has asked for it, and whoever owes nothing waits for somebody.
    pub(crate) fn settled(&mut self) {
        if !self.node.leads {
            return;
        }
        let mut broken = None;
        for (i, life) in self.node.lives.iter().enumerate() {
            let Some(task) = self.engine.task(&self.id(i)) else {
                continue;
            };
            if let Some(owed) = task.state.owed() {
                let owed = ask(&owed, life.received_at);
                let under_way = |request: &Request| request.way != Way::Alone && request.ask == owed;
                if !life.requests.iter().any(under_way) {
                    broken = Some(format!("{owed:?} is owed, and nobody was asked"));
                }
            } else if task.state.deadline().is_none() && task.state.waker().is_empty() {
                broken = Some(format!("nobody wakes {:?}", task.state));
            }
        }
        if let Some(law) = broken {
            self.breaks(law);
        }
    }

    /// The API server makes a Job of task `i`.
    pub(crate) fn makes(&mut self, i: usize, with_ttl: bool, received_at: u64) {
        let stoppable = !with_ttl;
        let (setup, now) = (self.setup, self.node.now);
        let life = &mut self.node.lives[i];
        life.jobs += 1;
        life.job = Some(Job {
            uid: life.jobs,
            digest: digest(setup, i),
            received_at,
            created_at: now,
            stoppable,
            ttl_secs: setup.ttl_secs.filter(|_| with_ttl),
            pod: super::cluster::Pod::None,
            end: None,
            judged: None,
        });
        life.job_news = true;
        if received_at == life.received_at {
            life.truth.made += 1;
        }
        if let Err(law) = laws::made(life) {
            self.breaks(law);
        }
    }
}

/// Both sides hold to one request at a time, so that two tasks wait for each other.
pub(super) fn policy() -> Policy {
    Policy {
        creates_max: 1,
        ..Policy::default()
    }
}

fn digest(setup: &Setup, i: usize) -> u8 {
    setup.tasks[i].as_bytes()[0]
}

fn ask(effect: &Effect, received_at: u64) -> Ask {
    let number = |uid: &engine::Uid| uid.to_string()[1..].parse().expect("u and a number");
    match effect {
        Effect::CreateJob { with_ttl } => Ask::Create {
            with_ttl: *with_ttl,
            received_at,
        },
        Effect::Look => Ask::Look,
        Effect::StopJob { uid, failure } => Ask::Stop {
            uid: number(uid),
            code: failure.code.as_str(),
            message: failure.message.clone(),
        },
        Effect::SetTtl { uid, seconds } => Ask::Ttl {
            uid: number(uid),
            seconds: *seconds,
        },
    }
}
