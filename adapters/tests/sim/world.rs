//! The simulated world: one clock, one list of what comes next, and everybody who acts.

use crate::adapter::Adapter;
use crate::checks::Claims;
use crate::kube::Kube;
use crate::ledger::{EPOCH, Shared};
use crate::plan::{Fault, Plan};
use crate::receivers::Receivers;
use crate::replica::Replica;
use crate::rng::Rng;
use crate::wired::Wired;
use adapters::cluster::names::Instance;
use adapters::driver::Input;
use adapters::metrics::Metrics;
use engine::lease;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// To one process; lost where that process has ended, put off while it is paused.
    Process(usize, u64, ToProcess),
    /// A request reaches the API server.
    Server(crate::adapter::Arrival),
    /// A write or read of the Lease reaches the API server.
    Lease(usize, u64, lease::Output),
    /// A callback reaches its receiver.
    Post(crate::receivers::Post),
    /// A take that nobody waits for any more moves a message.
    LateTake,
    /// A process starts.
    Start(usize),
    Produce(usize),
    Strike(Fault),
    Save,
    Heal,
    Janitor,
    Check,
}

/// What a process is woken by.
#[derive(Debug)]
pub(crate) enum ToProcess {
    LeaseWoke,
    LeaseAnswer(lease::Input),
    Lead,
    Stop,
    /// The rest is for one term.
    Term(u64, ToTerm),
}

#[derive(Debug)]
pub(crate) enum ToTerm {
    Claim,
    Holder(Option<String>),
    HolderUnread,
    Turn(u64),
    Taker,
    Input(Box<Input>),
    Settled(crate::replica::Order),
    PostBegins(engine::outbox::Key, Box<adapters::webhook::Delivery>),
    Adapter(crate::adapter::Told),
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) shared: Shared,
    pub(crate) kube: Kube,
    pub(crate) lease: Option<lease::Record>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) receivers: Receivers,
    pub(crate) claims: Claims,
    pub(crate) wired: Arc<Wired>,
    pub(crate) instance: Instance,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trace: crate::trace::Trace,
    /// The API server answers nothing before.
    pub(crate) api_down_until: u64,
    /// What creates in a namespace meet, until when: 403 by RBAC, or by quota.
    pub(crate) refused: BTreeMap<String, (bool, u64)>,
    pub(crate) terms: u64,
    pub(crate) lease_version: u64,
    pub(crate) healed: bool,
    pub(crate) done: bool,
    pub(crate) rebuilds_after_heal: u64,
    pub(crate) producers: Vec<crate::producers::Push>,
    events: BTreeMap<(u64, u64), Event>,
    counter: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, metrics: Arc<Metrics>, trace: crate::trace::Trace) -> Self {
        let instance = Instance {
            namespace: "jobs".to_owned(),
            lock_name: "lock".to_owned(),
        };
        let mut rng = Rng::new(plan.seed);
        let ahead = EPOCH + rng.range(0, 3_000);
        let mut world = Self {
            now: 0,
            shared: Shared::new(&plan),
            kube: Kube::new(&plan, ahead),
            lease: None,
            replicas: Vec::new(),
            receivers: Receivers::new(&plan),
            claims: Claims::default(),
            wired: Arc::new(Wired::new(&instance)),
            instance,
            metrics,
            trace,
            api_down_until: 0,
            refused: BTreeMap::new(),
            terms: 0,
            lease_version: 0,
            healed: false,
            done: false,
            rebuilds_after_heal: 0,
            producers: Vec::new(),
            events: BTreeMap::new(),
            counter: 0,
            rng,
            plan,
        };
        for index in 0..world.plan.replicas {
            let skew = world.rng.range(0, 4_000);
            world.replicas.push(Replica::new(index, skew));
            let at = world.rng.range(0, 500);
            world.at(at, Event::Start(index));
        }
        world.produce_plan();
        world.plan_faults();
        world
    }

    /// Runs until everything is quiet, or something is wrong.
    pub(crate) fn run(&mut self) {
        while !self.done && self.shared.lock().found.broken.is_empty() {
            let cluster = self.kube.next_due().unwrap_or(u64::MAX);
            let Some(entry) = self.events.first_entry() else {
                return;
            };
            let at = entry.key().0;
            if cluster <= at {
                self.now = self.now.max(cluster);
                self.kube.advance(self.now);
                for note in std::mem::take(&mut self.kube.notes) {
                    self.note(|| note.clone());
                }
                self.watchers_hear();
                continue;
            }
            let event = entry.remove();
            self.now = self.now.max(at);
            self.kube.advance(self.now);
            self.shared.lock().set_now(self.now);
            self.happens(event);
            self.examine();
        }
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.counter += 1;
        self.events.insert((at.max(self.now), self.counter), event);
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    pub(crate) fn tell_term(&mut self, ms: u64, replica: usize, term: u64, what: ToTerm) {
        let life = self.replicas[replica].life;
        self.after(ms, Event::Process(replica, life, ToProcess::Term(term, what)));
    }

    /// A short way over the network.
    pub(crate) fn hop(&mut self) -> u64 {
        if self.rng.chance(90) {
            self.rng.range(1, 30)
        } else {
            self.rng.range(30, 600)
        }
    }

    pub(crate) fn reach(&mut self, what: &str) {
        self.shared.lock().found.reach(what);
    }

    pub(crate) fn broke(&mut self, rule: &'static str, task: &str, what: String) {
        self.shared.lock().found.broke(rule, task, what);
    }

    pub(crate) fn note(&mut self, text: impl Fn() -> String) {
        self.trace.note(self.now, text);
    }

    pub(crate) fn faulty(&self, fault: Fault) -> bool {
        !self.healed && self.plan.has(fault)
    }

    pub(crate) const fn api_is_down(&self) -> bool {
        self.now < self.api_down_until
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Process(replica, life, what) => self.process(replica, life, what),
            Event::Server(arrival) => self.arrives(arrival),
            Event::Lease(replica, life, output) => self.lease_request(replica, life, output),
            Event::Post(post) => self.posted(post),
            Event::LateTake => {
                let taken = self.shared.lock().take(1).len();
                if taken > 0 {
                    self.reach("late take");
                    self.note(|| "a take of a dead leader moves a message".to_owned());
                }
            }
            Event::Start(replica) => self.starts(replica),
            Event::Produce(index) => self.produces(index),
            Event::Strike(fault) => self.strikes(fault),
            Event::Save => {
                self.shared.lock().save();
                self.after(1_500, Event::Save);
            }
            Event::Heal => self.heals(),
            Event::Janitor => self.janitor(),
            Event::Check => self.is_quiet(),
        }
    }

    fn process(&mut self, replica: usize, life: u64, what: ToProcess) {
        let process = &self.replicas[replica];
        if process.life != life || !process.up {
            return;
        }
        if process.paused_until > self.now {
            let at = process.paused_until + self.rng.range(0, 5);
            self.at(at, Event::Process(replica, life, what));
            return;
        }
        match what {
            ToProcess::LeaseWoke => self.lease_step(replica, lease::Input::Woke),
            ToProcess::LeaseAnswer(input) => self.lease_step(replica, input),
            ToProcess::Lead => self.leads(replica),
            ToProcess::Stop => self.told_to_stop(replica),
            ToProcess::Term(term, what) => {
                if self.replicas[replica]
                    .term
                    .as_ref()
                    .is_some_and(|held| held.id == term)
                {
                    self.term(replica, what);
                }
            }
        }
    }

    fn watchers_hear(&mut self) {
        for replica in 0..self.replicas.len() {
            self.adapter_hears(replica);
        }
    }

    /// The cluster adapter of a replica's term.
    pub(crate) fn adapter(&mut self, replica: usize) -> Option<&mut Adapter> {
        self.replicas[replica].term.as_mut().map(|term| &mut term.adapter)
    }

    /// Hands a report to a term's loop.
    pub(crate) fn report(&mut self, replica: usize, report: adapters::cluster::Report) {
        let report = self.mutated(report);
        if let Some(term) = &mut self.replicas[replica].term {
            term.reports.push_back(report);
        }
        self.want_turn(replica, 2);
    }

    /// The wall clock of a replica.
    pub(crate) fn wall(&self, replica: usize) -> engine::Timestamp {
        engine::Timestamp((EPOCH + self.now).saturating_add_signed(self.replicas[replica].ahead))
    }
}

/// Takes at most `max` from the front.
pub(crate) fn front<T>(queue: &mut VecDeque<T>, max: usize) -> Vec<T> {
    queue.drain(..max.min(queue.len())).collect()
}
