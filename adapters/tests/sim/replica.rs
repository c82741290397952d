//! One worker process: its campaign for the lease, and its terms as leader.
//!
//! The order of steps is that of `leader.rs`, `taker.rs` and of the loop in `cmd`; there they are threads.

use crate::adapter::Adapter;
use crate::ledger::Writer;
use crate::plan::{Fault, Mutant};
use crate::taker::Taker;
use crate::world::{Event, ToProcess, ToTerm, World, front};
use adapters::cluster::Report;
use adapters::driver::{Driver, Input, Output, Patience, Settings};
use adapters::source::{DeadLetter, Receipt, Source as _};
use adapters::store::Store as _;
use engine::Timestamp;
use engine::lease::{self, Machine, Timing};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const BATCH_MAX: usize = 256;
const BEAT_MS: u64 = 1_000;
const PAUSE_MS: u64 = 1_000;
const DRAIN_MS: u64 = 8_000;
/// What a poisoned message holds.
pub(crate) const POISON: &[u8] = b"poison";

/// A process.
pub(crate) struct Replica {
    index: usize,
    /// Counts its processes.
    pub(crate) life: u64,
    pub(crate) up: bool,
    pub(crate) paused_until: u64,
    /// Its wall clock against the right one.
    pub(crate) ahead: i64,
    pub(crate) machine: Machine,
    /// What other threads see of the lease.
    pub(crate) deadline: u64,
    pub(crate) losses: u64,
    pub(crate) term: Option<Term>,
    pub(crate) stopping: bool,
}

/// A term as leader.
pub(crate) struct Term {
    pub(crate) id: u64,
    losses: u64,
    writer: Option<Writer>,
    pub(crate) driver: Option<Driver<Writer>>,
    pub(crate) adapter: Adapter,
    pub(crate) reports: VecDeque<Report>,
    pub(crate) inbox: VecDeque<Input>,
    turn_at: Option<u64>,
    turn_number: u64,
    heard: u64,
    draining: Option<u64>,
    pub(crate) taker: Taker,
    /// Outputs of a turn whose carrying was interrupted by a pause.
    rest: VecDeque<Output>,
    /// As `leader::time`: when it was read last, and what it gave.
    time: (u64, u64),
    /// Writes of the driver when `heard` was set.
    writes: u64,
    /// A turn that was interrupted before its write.
    late: Option<(Vec<Input>, Timestamp)>,
    turns_in_second: (u64, u64),
}

/// What the settler does.
#[derive(Debug)]
pub(crate) enum Order {
    Acknowledge(Vec<Receipt>),
    DeadLetter(Box<DeadLetter>),
}

/// As `LeaderPatience`: the answer was found before the turn.
struct Once(bool);

impl Patience for Once {
    fn until(&mut self) -> Option<Instant> {
        self.0.then(|| Instant::now() + Duration::from_secs(1))
    }
}

impl Replica {
    pub(crate) fn new(index: usize, ahead: u64) -> Self {
        Self {
            index,
            life: 0,
            up: false,
            paused_until: 0,
            ahead: i64::try_from(ahead).unwrap_or(0) - 2_000,
            machine: Machine::new(String::new(), Timing::new(15_000)),
            deadline: 0,
            losses: 0,
            term: None,
            stopping: false,
        }
    }

    fn identity(&self) -> String {
        format!("w{}_{}", self.index, self.life)
    }

    /// As `Tenure::deadline_ms`.
    pub(crate) fn tenure_deadline(&self) -> u64 {
        match &self.term {
            Some(term) if term.losses == self.losses => self.deadline,
            Some(_) | None => 0,
        }
    }
}

impl World {
    pub(crate) fn starts(&mut self, index: usize) {
        let timing = Timing::new(self.plan.policy.lease_ms);
        let replica = &mut self.replicas[index];
        if replica.up {
            return;
        }
        replica.life += 1;
        replica.up = true;
        replica.paused_until = 0;
        replica.deadline = 0;
        replica.stopping = false;
        replica.machine = Machine::new(replica.identity(), timing);
        let life = replica.life;
        self.note(|| format!(" ! w{index}_{life} starts"));
        self.after(0, Event::Process(index, life, ToProcess::LeaseWoke));
    }

    /// The process is gone between two steps.
    pub(crate) fn crashes(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        if !replica.up {
            return;
        }
        replica.up = false;
        replica.term = None;
        let life = replica.life;
        self.note(|| format!(" ! w{index}_{life} is killed"));
        self.reach("crash");
        let back = if self.rng.chance(80) {
            self.rng.range(100, 4_000)
        } else {
            self.rng.range(4_000, 25_000)
        };
        self.after(back, Event::Start(index));
        if self.plan.has(Fault::LateTake) {
            let at = self.rng.range(1, 30_000);
            self.after(at, Event::LateTake);
        }
    }

    pub(crate) fn pauses(&mut self, index: usize, ms: u64) {
        let until = self.now + ms;
        self.replicas[index].paused_until = until;
        self.note(|| format!(" ! w{index} is paused for {ms} ms"));
        self.reach(if ms > 15_000 {
            "pause longer than the lease"
        } else {
            "pause"
        });
    }

    // The loop of `cmd`, and the beginning of a term, as `Term::begin`.

    pub(crate) fn leads(&mut self, index: usize) {
        let id = self.terms + 1;
        let (now, wall) = (self.now, self.wall(index));
        let replica = &mut self.replicas[index];
        if replica.term.is_some() || replica.deadline <= now || replica.stopping {
            return;
        }
        self.terms = id;
        replica.term = Some(Term {
            id,
            losses: replica.losses,
            writer: None,
            driver: None,
            adapter: Adapter::default(),
            reports: VecDeque::new(),
            inbox: VecDeque::new(),
            turn_at: None,
            turn_number: 0,
            heard: now,
            draining: None,
            taker: Taker::default(),
            rest: VecDeque::new(),
            time: (now, wall.0),
            writes: 0,
            late: None,
            turns_in_second: (0, 0),
        });
        if self.faulty(Fault::Pause) && self.rng.chance(5) {
            let ms = self.rng.range(5_000, 40_000);
            self.pauses(index, ms);
        }
        let hop = self.hop();
        self.tell_term(hop, index, id, ToTerm::Claim);
    }

    fn term_ends(&mut self, index: usize, why: &str, wait: u64) {
        let replica = &mut self.replicas[index];
        let life = replica.life;
        let Some(term) = replica.term.take() else {
            return;
        };
        if let Some(receipt) = term.taker.outlived {
            let queue = std::sync::Arc::clone(&self.shared.lock().queue);
            queue
                .forget_attempts(&receipt)
                .expect("a queue in memory does not fail");
        }
        self.note(|| format!(" ! the term of w{index}_{life} ends: {why}"));
        if self.healed {
            self.rebuilds_after_heal += 1;
        }
        if self.replicas[index].stopping {
            self.lease_step(index, lease::Input::Stop);
        } else {
            self.after(wait, Event::Process(index, life, ToProcess::Lead));
        }
    }

    pub(crate) fn term(&mut self, index: usize, what: ToTerm) {
        let Some(id) = self.replicas[index].term.as_ref().map(|term| term.id) else {
            return;
        };
        match what {
            ToTerm::Claim => self.claims_store(index, id),
            ToTerm::Holder(holder) => {
                if holder.as_deref() == Some(self.replicas[index].identity().as_str()) {
                    self.restores(index, id);
                } else {
                    self.reach("not the holder after the claim");
                    self.term_ends(index, "another holds the Lease", PAUSE_MS);
                }
            }
            ToTerm::HolderUnread => self.term_ends(index, "the Lease cannot be read", PAUSE_MS),
            ToTerm::Turn(number) => {
                if self.replicas[index]
                    .term
                    .as_ref()
                    .is_some_and(|term| term.turn_number == number)
                {
                    self.turns(index);
                }
            }
            ToTerm::Taker => self.takes(index),
            ToTerm::Input(input) => {
                if let Some(term) = &mut self.replicas[index].term {
                    term.inbox.push_back(*input);
                }
                self.want_turn(index, 1);
            }
            ToTerm::Settled(order) => self.settles(index, order),
            ToTerm::PostBegins(key, delivery) => self.post_begins(index, id, key, *delivery),
            ToTerm::Adapter(told) => self.adapter_told(index, told),
        }
    }

    fn claims_store(&mut self, index: usize, id: u64) {
        let identity = self.replicas[index].identity();
        let mut writer = self.shared.writer();
        if let Err(error) = writer.claim(&identity) {
            return self.term_ends(index, &error.to_string(), PAUSE_MS);
        }
        self.note(|| format!(" ! {identity} claims the store"));
        if let Some(term) = &mut self.replicas[index].term {
            term.writer = Some(writer);
        }
        let hops = self.hop() + self.hop();
        let holder = self.lease.as_ref().map(|lease| lease.holder.clone());
        let what = if self.api_is_down() {
            ToTerm::HolderUnread
        } else {
            ToTerm::Holder(holder)
        };
        self.tell_term(hops, index, id, what);
    }

    fn restores(&mut self, index: usize, id: u64) {
        let wall = self.term_time(index);
        let settings = Settings {
            instance: self.instance.clone(),
            start_timeout_secs: self.plan.start_timeout_secs,
            namespaces: None,
        };
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        let Some(writer) = term.writer.take() else { return };
        let policy = self.plan.policy.clone();
        match Driver::restore(
            wall,
            settings,
            policy,
            writer,
            std::sync::Arc::clone(&self.metrics),
        ) {
            Ok((driver, restored)) => {
                term.driver = Some(driver);
                term.heard = self.now;
                self.note(|| format!(" ! w{index} leads (term {id}): {restored:?}"));
                self.reach("takeover");
                if restored.unreadable > 0 {
                    self.reach("quarantine");
                }
                self.adapter_starts(index);
                self.want_turn(index, 0);
                self.wake_taker(index, 1);
            }
            Err(error) => self.term_ends(index, &error.to_string(), PAUSE_MS),
        }
    }

    // The loop, as `Term::run`.

    /// Wants a turn at most `ms` from now.
    pub(crate) fn want_turn(&mut self, index: usize, ms: u64) {
        let at = self.now + ms;
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        if term.driver.is_none() || term.turn_at.is_some_and(|planned| planned <= at) {
            return;
        }
        term.turn_at = Some(at);
        term.turn_number += 1;
        let (id, number) = (term.id, term.turn_number);
        self.tell_term(ms, index, id, ToTerm::Turn(number));
    }

    fn turns(&mut self, index: usize) {
        let now = self.now;
        let leads = self.replicas[index].tenure_deadline() > now;
        let stopping = self.replicas[index].stopping;
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        term.turn_at = None;
        if let Some((inputs, wall)) = term.late.take() {
            return self.turn(index, inputs, wall, true);
        }
        if !term.rest.is_empty() {
            let rest = std::mem::take(&mut term.rest);
            self.carry(index, rest.into());
            return self.want_turn(index, 0);
        }
        if !leads {
            return self.term_ends(index, "the lease is lost", 0);
        }
        let Some(driver) = &mut term.driver else { return };
        if stopping && term.draining.is_none() {
            term.draining = Some(now);
            driver.drain();
            term.taker.closed = true;
        }
        if term
            .draining
            .is_some_and(|since| now >= since + DRAIN_MS || !driver.is_busy())
        {
            return self.term_ends(index, "stopped", 0);
        }
        let mut inputs: Vec<Input> = front(&mut term.reports, BATCH_MAX)
            .into_iter()
            .map(|report| Input::Cluster(Box::new(report)))
            .collect();
        let more = BATCH_MAX - inputs.len();
        inputs.extend(front(&mut term.inbox, more));
        let wall = self.term_time(index);
        if !inputs.is_empty() && self.faulty(Fault::Pause) && self.rng.chance(2) {
            // Between the look at the lease and the write.
            let ms = self.rng.range(5_000, 45_000);
            self.pauses(index, ms);
            if let Some(term) = &mut self.replicas[index].term {
                term.late = Some((inputs, wall));
            }
            return self.want_turn(index, ms);
        }
        self.turn(index, inputs, wall, false);
    }

    fn turn(&mut self, index: usize, inputs: Vec<Input>, wall: Timestamp, late: bool) {
        let now = self.now;
        let counted = inputs
            .iter()
            .filter(|input| matches!(input, Input::Message(_)))
            .count();
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        let Some(driver) = &mut term.driver else { return };
        let mut patience = Once(true);
        let turned = driver.turn(wall, inputs, &mut patience);
        let room = driver.room();
        let outputs = match turned {
            Ok(outputs) => outputs,
            Err(error) => {
                if late {
                    self.reach("a turn was interrupted and refused");
                }
                return self.term_ends(index, &error.to_string(), PAUSE_MS);
            }
        };
        term.taker.room = room;
        term.taker.handed = term.taker.handed.saturating_sub(counted);
        let free = term.taker.free() > 0;
        self.carry(index, outputs);
        if free {
            self.wake_taker(index, 1);
        }
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        let writes = term.driver.as_ref().map_or(0, Driver::writes);
        let due = writes == term.writes && now >= term.heard + BEAT_MS;
        if due && !self.plan.is(Mutant::NoBeat) {
            let beat = term.driver.as_mut().map(|driver| driver.beat(Instant::now()));
            if let Some(Err(error)) = beat
                && error.rebuild()
            {
                return self.term_ends(index, &error.to_string(), PAUSE_MS);
            }
        }
        if due || writes != term.writes {
            term.heard = now;
            term.writes = term.driver.as_ref().map_or(0, Driver::writes);
        }
        self.plan_turn(index);
    }

    /// The time of a term: it never goes back and never stands still.
    pub(crate) fn term_time(&mut self, index: usize) -> Timestamp {
        let (now, wall) = (self.now, self.wall(index));
        let Some(term) = &mut self.replicas[index].term else {
            return wall;
        };
        let (read_at, given) = term.time;
        term.time = (now, wall.0.max(given + (now - read_at)));
        Timestamp(term.time.1)
    }

    /// As `Term::wait`.
    fn plan_turn(&mut self, index: usize) {
        let wall = self.term_time(index);
        let now = self.now;
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        let Some(driver) = &term.driver else { return };
        let waits = !term.reports.is_empty() || !term.inbox.is_empty();
        let wait = driver
            .next_wake()
            .map_or(BEAT_MS, |at| at.0.saturating_sub(wall.0).min(BEAT_MS));
        let wait = if term.draining.is_some() { 20 } else { wait };
        let second = now / 1000;
        if term.turns_in_second.0 == second {
            term.turns_in_second.1 += 1;
        } else {
            term.turns_in_second = (second, 1);
        }
        if term.turns_in_second.1 > 900 {
            self.broke("L5", "", "more than 900 turns in one second".to_owned());
        }
        self.want_turn(index, if waits { 1 } else { wait.max(1) });
    }

    // As `Term::carry`.

    fn carry(&mut self, index: usize, outputs: Vec<Output>) {
        let mut outputs: VecDeque<Output> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            if self.faulty(Fault::Crash) && self.rng.chance(2) {
                self.reach("crash between two effects");
                return self.crashes(index);
            }
            if self.faulty(Fault::Pause) && self.rng.chance(1) {
                let ms = self.rng.range(3_000, 45_000);
                self.pauses(index, ms);
                outputs.push_front(output);
                if let Some(term) = &mut self.replicas[index].term {
                    term.rest = outputs;
                }
                return self.want_turn(index, ms);
            }
            self.carries(index, output);
        }
    }

    fn carries(&mut self, index: usize, output: Output) {
        let Some(id) = self.replicas[index].term.as_ref().map(|term| term.id) else {
            return;
        };
        match output {
            Output::Cluster(request) => self.request(index, request),
            Output::Send(key, mut delivery) => {
                delivery.begin_by = Some(self.replicas[index].tenure_deadline());
                let wait = self.rng.range(0, 40);
                self.tell_term(wait, index, id, ToTerm::PostBegins(key, Box::new(delivery)));
            }
            Output::Acknowledge(receipts) => {
                self.may_acknowledge(&receipts);
                let hop = self.hop();
                self.tell_term(hop, index, id, ToTerm::Settled(Order::Acknowledge(receipts)));
            }
            Output::DeadLetter(letter) => {
                let hop = self.hop();
                let order = Order::DeadLetter(Box::new(letter));
                self.tell_term(hop, index, id, ToTerm::Settled(order));
            }
            Output::Requeue(_) | Output::DropLetter(_) => unreachable!("nobody orders it"),
            Output::Handled(receipt) => self.settled(index, &receipt),
        }
    }

    fn settles(&mut self, index: usize, order: Order) {
        match order {
            Order::Acknowledge(receipts) => {
                let queue = std::sync::Arc::clone(&self.shared.lock().queue);
                if let Err(error) = queue.acknowledge(&receipts) {
                    self.broke("queue", "", error.to_string());
                }
                for receipt in receipts {
                    self.settled(index, &receipt);
                }
            }
            Order::DeadLetter(letter) => {
                self.shared.lock().bury(&letter);
                self.note(|| {
                    let raw = String::from_utf8_lossy(&letter.raw).into_owned();
                    format!("dead letter {}: {raw}", letter.reason)
                });
                self.settled(index, &letter.receipt);
            }
        }
    }

    fn settled(&mut self, index: usize, receipt: &Receipt) {
        let Some(term) = &mut self.replicas[index].term else {
            return;
        };
        if let Some(count) = term.taker.known.get_mut(receipt) {
            *count -= 1;
            if *count == 0 {
                term.taker.known.remove(receipt);
            }
        }
    }
}
