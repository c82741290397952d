//! Three lease machines on one simulated Lease: slow, lost and late answers, crashes, pauses, partitions.
//!
//! Laws: at no time do two machines lead, nor are two inside their lease deadline; a while after the faults end somebody leads.

use std::collections::BTreeMap;

use engine::lease::{Draft, Fault, Input, Machine, Output, Record, Timing};

const D: u64 = 15_000;
const FAULTS_END: u64 = 400_000;
const END: u64 = FAULTS_END + 2 * D;

/// A request under way; `turn` tells it from those that its sender has given up on.
#[derive(Clone, Debug)]
enum Event {
    Arrives { from: usize, turn: u64, request: Output },
    Answered { to: usize, turn: u64, input: Input },
    Wakes(usize),
    Fault,
}

struct Replica {
    machine: Machine,
    turn: u64,
    in_flight: bool,
    paused_until: u64,
    cut_off_until: u64,
}

struct World {
    now: u64,
    seed: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), Event>,
    lease: Option<Record>,
    version: u64,
    replicas: Vec<Replica>,
    born: u64,
    terms: u64,
    quiet: bool,
}

impl World {
    fn new(seed: u64, replicas: usize) -> Self {
        let mut world = Self {
            now: 0,
            seed,
            order: 0,
            agenda: BTreeMap::new(),
            lease: None,
            version: 0,
            replicas: Vec::new(),
            born: 0,
            terms: 0,
            quiet: false,
        };
        for _ in 0..replicas {
            let replica = world.newborn();
            world.replicas.push(replica);
            world.at(0, Event::Wakes(world.replicas.len() - 1));
        }
        world
    }

    fn newborn(&mut self) -> Replica {
        self.born += 1;
        Replica {
            machine: Machine::new(format!("pod_{}", self.born), Timing::new(D)),
            turn: self.born << 32,
            in_flight: false,
            paused_until: 0,
            cut_off_until: 0,
        }
    }

    fn chance(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.agenda.insert((time.max(self.now), self.order), event);
    }

    fn delay(&mut self) -> u64 {
        match self.chance(10) {
            _ if self.quiet => 1 + self.chance(20),
            0 => self.chance(20_000),
            1 | 2 => self.chance(3_000),
            _ => 1 + self.chance(50),
        }
    }

    fn run_until(&mut self, end: u64) {
        while let Some(entry) = self.agenda.first_entry().filter(|e| e.key().0 <= end) {
            let ((time, _), event) = entry.remove_entry();
            self.now = time;
            match event {
                Event::Arrives { from, turn, request } => self.arrive(from, turn, request),
                Event::Answered { to, turn, input } => self.answer(to, turn, input),
                Event::Wakes(who) => self.wake(who),
                Event::Fault => self.fault(),
            }
            self.check();
        }
        self.now = end;
        self.check();
    }

    fn check(&self) {
        let leaders = self.replicas.iter().filter(|r| r.machine.is_leader(self.now));
        assert!(leaders.count() <= 1, "two leaders at {}", self.now);
        let safe = self
            .replicas
            .iter()
            .filter(|r| r.machine.lease_deadline().is_some_and(|by| self.now < by));
        assert!(safe.count() <= 1, "two lease deadlines at {}", self.now);
    }

    fn wake(&mut self, who: usize) {
        let paused_until = self.replicas[who].paused_until;
        if self.now < paused_until {
            self.at(paused_until, Event::Wakes(who));
        } else if self.replicas[who]
            .machine
            .wake_at()
            .is_some_and(|at| at <= self.now)
        {
            self.step(who, Input::Woke);
        }
    }

    fn answer(&mut self, to: usize, turn: u64, input: Input) {
        let replica = &mut self.replicas[to];
        if replica.turn != turn || !replica.in_flight {
            return;
        }
        if self.now < replica.paused_until {
            let until = replica.paused_until;
            self.at(until, Event::Answered { to, turn, input });
            return;
        }
        replica.in_flight = false;
        self.step(to, input);
    }

    fn step(&mut self, who: usize, input: Input) {
        for output in self.replicas[who].machine.step(self.now, input) {
            match output {
                Output::Get | Output::Create(_) | Output::Update { .. } => self.send(who, output),
                Output::Gained { .. } => self.terms += 1,
                Output::Lost(_) | Output::Stopped => {}
            }
        }
        if let Some(at) = self.replicas[who].machine.wake_at() {
            self.at(at, Event::Wakes(who));
        }
    }

    /// Sends a request; its sender gives up after the call timeout, the server may get it much later.
    fn send(&mut self, who: usize, request: Output) {
        let replica = &mut self.replicas[who];
        replica.turn += 1;
        replica.in_flight = true;
        let turn = replica.turn;
        let cut_off = self.now < replica.cut_off_until;
        let timeout = if request == Output::Get {
            Input::Unread(Fault::Unknown)
        } else {
            Input::Unwritten(Fault::Unknown)
        };
        let give_up = self.now + Timing::new(D).call_ms();
        self.at(
            give_up,
            Event::Answered {
                to: who,
                turn,
                input: timeout,
            },
        );
        if !cut_off {
            let arrives = self.now + self.delay();
            self.at(
                arrives,
                Event::Arrives {
                    from: who,
                    turn,
                    request,
                },
            );
        }
    }

    fn arrive(&mut self, from: usize, turn: u64, request: Output) {
        let input = match request {
            Output::Get => Input::Looked(self.lease.clone()),
            Output::Create(draft) if self.lease.is_none() => self.store(draft),
            Output::Update { draft, version }
                if self.lease.as_ref().is_some_and(|l| l.version == version) =>
            {
                self.store(draft)
            }
            Output::Create(_) | Output::Update { .. } => Input::Conflict,
            Output::Gained { .. } | Output::Lost(_) | Output::Stopped => unreachable!("not sent"),
        };
        if self.quiet || self.chance(8) != 0 {
            let back = self.now + self.delay();
            self.at(
                back,
                Event::Answered {
                    to: from,
                    turn,
                    input,
                },
            );
        }
    }

    fn store(&mut self, draft: Draft) -> Input {
        self.version += 1;
        let record = Record {
            holder: draft.holder,
            seconds: draft.seconds,
            transitions: draft.transitions,
            acquired_us: draft.acquired_us,
            renewed_us: Some(0),
            version: self.version.to_string(),
        };
        self.lease = Some(record.clone());
        Input::Wrote(record)
    }

    /// One fault at random, and the next one planned.
    fn fault(&mut self) {
        let next = self.now + 1_000 + self.chance(20_000);
        if next < FAULTS_END {
            self.at(next, Event::Fault);
        }
        let count = self.replicas.len() as u64;
        let who = match self.replicas.iter().position(|r| r.machine.is_leader(self.now)) {
            Some(leader) if self.chance(3) > 0 => leader,
            Some(_) | None => self.chance(count) as usize,
        };
        let length = self.chance(3 * D).min(FAULTS_END - self.now);
        match self.chance(5) {
            0 => {
                self.replicas[who] = self.newborn();
                self.at(self.now + length, Event::Wakes(who));
            }
            1 => self.replicas[who].paused_until = self.now + length,
            2 => self.replicas[who].cut_off_until = self.now + length,
            3 => {
                self.step(who, Input::Stop);
                self.replicas[who].paused_until = 0;
                let retired = std::mem::replace(&mut self.replicas[who].machine, {
                    self.born += 1;
                    Machine::new(format!("pod_{}", self.born), Timing::new(D))
                });
                assert!(!retired.is_leader(self.now));
                let reborn = self.born << 32;
                self.replicas[who].turn = reborn;
                self.replicas[who].in_flight = false;
                self.at(self.now + length, Event::Wakes(who));
            }
            4 => {
                if let Some(lease) = &mut self.lease {
                    self.version += 1;
                    lease.version = self.version.to_string();
                }
            }
            other => unreachable!("{other} is not below 5"),
        }
    }
}

fn run(seed: u64, replicas: usize) -> World {
    let mut world = World::new(seed, replicas);
    world.at(1_000, Event::Fault);
    world.run_until(FAULTS_END);
    world.quiet = true;
    world.run_until(END);
    world
}

#[test]
fn at_most_one_machine_leads_and_one_does_soon_after_the_faults_end() {
    let mut terms = 0;
    for seed in 0..1_500 {
        let world = run(seed, 2 + (seed % 2) as usize);
        let leaders = world.replicas.iter().filter(|r| r.machine.is_leader(END));
        assert_eq!(leaders.count(), 1, "SEED={seed}");
        terms += world.terms;
    }
    assert!(terms > 10_000, "the faults must change leaders: {terms} terms");
}

#[test]
fn without_faults_the_first_leader_stays() {
    let mut world = World::new(1, 3);
    world.quiet = true;
    world.run_until(600_000);
    assert_eq!(world.terms, 1);
    assert_eq!(world.lease.map(|l| l.transitions), Some(0));
}

#[test]
fn a_crashed_leader_is_followed_within_a_duration_and_a_retry() {
    for seed in 0..200 {
        let mut world = World::new(seed, 3);
        world.quiet = true;
        world.run_until(60_000 + seed * 37);
        let crashed_at = world.now;
        let leader = world
            .replicas
            .iter()
            .position(|r| r.machine.is_leader(crashed_at));
        let leader = leader.expect("a quiet world has a leader");
        world.replicas[leader] = world.newborn();
        let timing = Timing::new(D);
        world.run_until(crashed_at + D + timing.retry_ms() * 6 / 5 + 200);
        assert_eq!(world.terms, 2, "SEED={seed}");
    }
}

#[test]
fn a_deleted_lease_is_created_again_and_one_machine_leads() {
    for seed in 0..200 {
        let mut world = World::new(seed, 3);
        world.quiet = true;
        world.run_until(60_000 + seed * 37);
        world.lease = None;
        // Here two may lead for a while: nothing but the fence in Redis tells the old leader.
        while let Some(entry) = world.agenda.first_entry().filter(|e| e.key().0 <= 120_000) {
            let ((time, _), event) = entry.remove_entry();
            world.now = time;
            match event {
                Event::Arrives { from, turn, request } => world.arrive(from, turn, request),
                Event::Answered { to, turn, input } => world.answer(to, turn, input),
                Event::Wakes(who) => world.wake(who),
                Event::Fault => unreachable!("none was planned"),
            }
        }
        world.check();
        let leaders = world.replicas.iter().filter(|r| r.machine.is_leader(world.now));
        assert_eq!(leaders.count(), 1, "SEED={seed}");
    }
}
