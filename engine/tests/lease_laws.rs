//! Laws of the lease over arbitrary orders of looks, writes, lost and late answers, crashes and stops, of machines whose clocks
//! neither agree nor run at one rate.
//!
//! What a case is made of is plain data, so that a failure shrinks to the few acts that it needs.

use engine::lease::{Draft, Fault, Input, Machine, Output, Record, Timing};
use proptest::prelude::*;

const D: u64 = 15_000;
/// A clock of rate 1,000 is a right one. Renew deadline and duration are as 2 to 3, so that the fastest candidate and the slowest
/// leader may differ by less than half: here by 1,150 to 850.
const RATES: &[u64] = &[850, 1_000, 1_150];
const FASTEST: u64 = 1_150;
/// Requests that a machine still makes once it was told to stop: a look and the release.
const REQUESTS_AFTER_STOP_MAX: usize = 2;

/// One thing that happens; a machine is named by an index.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Time passes.
    Elapse(u64),
    /// Time passes until a machine is due; it is woken, and the server gets each of its requests at once, but the answers take so long.
    Turn(usize, u64),
    /// A machine is woken, due or not.
    Wake(usize),
    /// The server gets the request of a machine.
    Arrive(usize),
    /// A machine gets the answer; without one its request is given up, and may arrive later.
    Answer(usize),
    /// The answer of a machine's request is lost, or its request refused for want of a permission.
    Unanswered(usize, Fault),
    /// The server gets the oldest of the requests that were given up.
    ArriveLate,
    /// A machine's process ends, and another begins in its place.
    Crash(usize),
    /// A machine is told to stop.
    Stop(usize),
    /// Somebody writes the Lease, and leaves its holder or puts in another.
    Write(Option<&'static str>),
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..3_usize;
    prop_oneof![
        3 => (1..4_000_u64).prop_map(Act::Elapse),
        1 => (4_000..40_000_u64).prop_map(Act::Elapse),
        6 => who().prop_map(|who| Act::Turn(who, 0)),
        2 => (who(), 0..12_000_u64).prop_map(|(who, slow)| Act::Turn(who, slow)),
        4 => who().prop_map(Act::Wake),
        4 => who().prop_map(Act::Arrive),
        4 => who().prop_map(Act::Answer),
        1 => who().prop_map(|who| Act::Unanswered(who, Fault::Unknown)),
        1 => who().prop_map(|who| Act::Unanswered(who, Fault::Forbidden)),
        1 => Just(Act::ArriveLate),
        1 => who().prop_map(Act::Crash),
        1 => who().prop_map(Act::Stop),
        1 => Just(Act::Write(None)),
        1 => Just(Act::Write(Some("somebody"))),
    ]
}

/// A clock: what it says at the start, and how many of its milliseconds pass in 1,000.
fn clock(rates: &'static [u64]) -> impl Strategy<Value = (u64, u64)> {
    (0..1_000_000_u64, prop::sample::select(rates))
}

/// A request under way, and its answer once the server has got it.
#[derive(Clone, Debug)]
struct Request {
    what: Output,
    answer: Option<Input>,
}

struct Replica {
    name: String,
    machine: Machine,
    /// When the last request was sent, by its own clock.
    sent_at: u64,
    clock: (u64, u64),
    request: Option<Request>,
    leads: bool,
    told_to_stop: bool,
    stopped: bool,
    requests_after_stop: usize,
}

struct World {
    now: u64,
    lease: Option<Record>,
    version: u64,
    written_at: u64,
    adrift: Vec<Output>,
    replicas: Vec<Replica>,
    born: usize,
    terms: usize,
}

impl World {
    fn new(clocks: &[(u64, u64)]) -> Self {
        let mut world = Self {
            now: 0,
            lease: None,
            version: 0,
            written_at: 0,
            adrift: Vec::new(),
            replicas: Vec::new(),
            born: 0,
            terms: 0,
        };
        for clock in clocks {
            let replica = world.newborn(*clock);
            world.replicas.push(replica);
        }
        world
    }

    fn newborn(&mut self, clock: (u64, u64)) -> Replica {
        self.born += 1;
        let name = format!("pod_{}", self.born);
        Replica {
            machine: Machine::new(name.clone(), Timing::new(D)),
            name,
            sent_at: 0,
            clock,
            request: None,
            leads: false,
            told_to_stop: false,
            stopped: false,
            requests_after_stop: 0,
        }
    }

    fn local(&self, who: usize) -> u64 {
        let (offset, rate) = self.replicas[who].clock;
        offset + self.now * rate / 1_000
    }

    fn play(&mut self, act: Act) {
        match act {
            Act::Elapse(ms) => self.now += ms,
            Act::Turn(who, slow) => {
                if let Some(due) = self.replicas[who].machine.wake_at() {
                    let (offset, rate) = self.replicas[who].clock;
                    let at = (due.saturating_sub(offset) * 1_000).div_ceil(rate);
                    self.now = self.now.max(at);
                }
                self.turn(who, slow);
            }
            Act::Wake(who) => self.step(who, Input::Woke),
            Act::Arrive(who) => self.arrive(who),
            Act::Answer(who) => match self.replicas[who].request.take() {
                Some(Request {
                    answer: Some(answer), ..
                }) => self.step(who, answer),
                under_way => self.replicas[who].request = under_way,
            },
            Act::Unanswered(who, fault) => self.give_up(who, fault),
            Act::ArriveLate => {
                if !self.adrift.is_empty() {
                    let request = self.adrift.remove(0);
                    self.serve(&request);
                }
            }
            Act::Crash(who) => {
                let dead = self.replicas[who].request.take();
                self.adrift.extend(unheard(dead));
                self.replicas[who] = self.newborn(self.replicas[who].clock);
            }
            Act::Stop(who) => {
                self.replicas[who].told_to_stop = true;
                self.step(who, Input::Stop);
            }
            Act::Write(holder) => {
                if let Some(lease) = &mut self.lease {
                    self.version += 1;
                    lease.version = self.version.to_string();
                    if let Some(holder) = holder {
                        holder.clone_into(&mut lease.holder);
                        lease.seconds = Timing::new(D).record_seconds();
                    }
                    self.written_at = self.now;
                }
            }
        }
    }

    fn turn(&mut self, who: usize, slow: u64) {
        self.step(who, Input::Woke);
        while self.replicas[who].request.is_some() {
            self.arrive(who);
            self.now += slow;
            self.play(Act::Answer(who));
        }
    }

    /// A request that ends without a useful answer; one that is refused has never been done.
    fn give_up(&mut self, who: usize, fault: Fault) {
        let Some(request) = self.replicas[who].request.take() else {
            return;
        };
        let input = match (&request.what, fault) {
            (Output::Get, fault) => Input::Unread(fault),
            // The server has done it: nobody can say that it was forbidden.
            (_, Fault::Forbidden) if request.answer.is_some() => Input::Unwritten(Fault::Unknown),
            (_, fault) => Input::Unwritten(fault),
        };
        if fault == Fault::Unknown {
            self.adrift.extend(unheard(Some(request)));
        }
        self.step(who, input);
    }

    fn step(&mut self, who: usize, input: Input) {
        let now = self.local(who);
        let wrote = matches!(input, Input::Wrote(_));
        let others = matches!(&input, Input::Looked(Some(found)) if found.holder != self.replicas[who].name);
        let safe_until = self.replicas[who].sent_at + D;
        for output in self.replicas[who].machine.step(now, input) {
            let replica = &mut self.replicas[who];
            assert!(!replica.stopped, "{output:?} after the end");
            match output {
                Output::Get | Output::Create(_) | Output::Update { .. } => {
                    assert!(replica.request.is_none(), "{output:?} beside another request");
                    replica.requests_after_stop += usize::from(replica.told_to_stop);
                    assert!(replica.requests_after_stop <= REQUESTS_AFTER_STOP_MAX);
                    replica.sent_at = now;
                    replica.request = Some(Request {
                        what: output,
                        answer: None,
                    });
                }
                Output::Gained { .. } => {
                    assert!(wrote, "the role comes from the answer of a write alone");
                    assert!(!replica.leads && !replica.told_to_stop);
                    replica.leads = true;
                    self.terms += 1;
                }
                Output::Lost(_) => {
                    assert!(replica.leads, "who does not lead has nothing to lose");
                    replica.leads = false;
                }
                Output::Stopped => {
                    assert!(replica.told_to_stop && !replica.leads);
                    replica.stopped = true;
                }
            }
        }
        let replica = &self.replicas[who];
        let deadline = replica.machine.lease_deadline();
        assert!(
            !wrote || deadline.is_none_or(|by| by <= safe_until),
            "it counts from the sending"
        );
        assert!(
            !(others && replica.leads),
            "it leads, and has seen another's name"
        );
        let silent = replica.request.is_none() && replica.machine.wake_at().is_none();
        assert!(!silent || replica.stopped, "nothing will ever move it again");
        // Where the renew deadline has passed, who was not stepped since does not know.
        assert_eq!(replica.machine.is_leader(now), replica.leads);
    }

    fn arrive(&mut self, who: usize) {
        if let Some(Request { what, answer: None }) = self.replicas[who].request.clone() {
            let answer = self.serve(&what);
            self.replicas[who].request = Some(Request {
                what,
                answer: Some(answer),
            });
        }
    }

    /// Does what an API server does with a request.
    fn serve(&mut self, request: &Output) -> Input {
        match request {
            Output::Get => Input::Looked(self.lease.clone()),
            Output::Create(draft) if self.lease.is_none() => self.store(draft),
            Output::Update { draft, version }
                if self.lease.as_ref().is_some_and(|lease| lease.version == *version) =>
            {
                self.store(draft)
            }
            Output::Create(_) | Output::Update { .. } => Input::Conflict,
            Output::Gained { .. } | Output::Lost(_) | Output::Stopped => unreachable!("not sent"),
        }
    }

    fn store(&mut self, draft: &Draft) -> Input {
        let held = self.lease.as_ref().filter(|lease| !lease.holder.is_empty());
        if let Some(before) = held.filter(|lease| lease.holder != draft.holder && !draft.holder.is_empty()) {
            let since = self.now - self.written_at;
            let least = D * 1_000 / FASTEST;
            assert!(since >= least, "{} was robbed after {since} ms", before.holder);
        }
        self.version += 1;
        self.written_at = self.now;
        let record = Record {
            holder: draft.holder.clone(),
            seconds: draft.seconds,
            transitions: draft.transitions,
            acquired_us: draft.acquired_us,
            renewed_us: Some(0),
            version: self.version.to_string(),
        };
        self.lease = Some(record.clone());
        Input::Wrote(record)
    }

    fn leaders(&self) -> usize {
        let leads = |who: &usize| self.replicas[*who].machine.is_leader(self.local(*who));
        (0..self.replicas.len()).filter(leads).count()
    }

    fn safe(&self) -> usize {
        let safe = |who: &usize| {
            let deadline = self.replicas[*who].machine.lease_deadline();
            deadline.is_some_and(|by| self.local(*who) < by)
        };
        (0..self.replicas.len()).filter(safe).count()
    }

    /// Lets everything be answered at once, for longer than a lease and a retry of the slowest clock.
    fn calm_down(&mut self) {
        for _ in 0..100 {
            for who in 0..self.replicas.len() {
                self.turn(who, 0);
            }
            self.play(Act::Elapse(400));
        }
    }
}

/// What the server may still get.
fn unheard(request: Option<Request>) -> Option<Output> {
    request
        .filter(|request| request.answer.is_none() && request.what != Output::Get)
        .map(|request| request.what)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn one_leads_at_most_whatever_the_clocks_say(
        clocks in prop::collection::vec(clock(RATES), 3),
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let mut world = World::new(&clocks);
        for act in acts {
            world.play(act);
            prop_assert!(world.leaders() <= 1, "two lead at {}", world.now);
        }
    }

    #[test]
    fn one_is_safe_at_most_where_the_clocks_run_alike(
        clocks in prop::collection::vec(clock(&[1_000]), 3),
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let mut world = World::new(&clocks);
        for act in acts {
            world.play(act);
            prop_assert!(world.safe() <= 1, "two are safe at {}", world.now);
        }
    }

    #[test]
    fn one_leads_soon_after_all_is_calm(
        clocks in prop::collection::vec(clock(RATES), 3),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut world = World::new(&clocks);
        for act in acts {
            world.play(act);
        }
        world.calm_down();
        let willing = world.replicas.iter().any(|replica| !replica.told_to_stop);
        prop_assert_eq!(world.leaders(), usize::from(willing));
    }
}

/// The laws would hold as well where nothing happens.
#[test]
fn a_case_of_ordinary_acts_has_terms_and_takeovers() {
    let mut world = World::new(&[(0, 1_000), (500, 900), (70_000, 1_100)]);
    world.calm_down();
    assert_eq!((world.leaders(), world.terms), (1, 1));
    for _ in 0..3 {
        let who = (0..3).find(|who| world.replicas[*who].leads).expect("one leads");
        world.play(Act::Crash(who));
        world.calm_down();
    }
    assert_eq!((world.leaders(), world.terms), (1, 4));
}
