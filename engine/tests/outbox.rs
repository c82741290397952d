//! Stories of single callbacks and receivers, then laws over seeded random runs.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use engine::Timestamp;
use engine::outbox::{
    Answer, Decision, Key, Limits, Load, NotInFlight, Outbox, Owner, RETRY_AFTER_MAX_MS, Reason, Schedule,
    WAITS_MS,
};

const R: &str = "https://a.example";
const FAILED: Answer = Answer::Failed { retry_after_ms: None };

fn at(ms: u64) -> Timestamp {
    Timestamp(ms)
}

fn key(owner: &str, rank: u8) -> Key {
    Key {
        owner: Owner::new(owner),
        rank,
    }
}

fn retry_after(ms: u64) -> Answer {
    Answer::Failed {
        retry_after_ms: Some(ms),
    }
}

fn fresh(now: u64) -> Schedule {
    Schedule {
        attempts: 0,
        owed_at: at(now),
        due: at(now),
        not_before: at(0),
    }
}

/// Sends what is due at `now`, which has to be `key` alone, and answers it in the same moment.
fn attempt(outbox: &mut Outbox, now: u64, key: &Key, answer: Answer) -> Vec<Decision> {
    assert_eq!(outbox.start(at(now)), slice::from_ref(key));
    let decisions = outbox.answered(at(now), key, answer);
    decisions.expect("the attempt is in flight")
}

/// The schedule of the only decision, which has to keep `key` owed.
fn owed(decisions: &[Decision], key: &Key) -> Schedule {
    match decisions {
        [Decision::Owed(owed, schedule)] if owed == key => *schedule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_callback_is_sent_once_and_acknowledged() {
    let mut outbox = Outbox::new(Limits::default());
    let created = key("t", 0);
    let decisions = outbox.push(at(5), created.clone(), R);
    assert_eq!(decisions, [Decision::Owed(created.clone(), fresh(5))]);
    assert_eq!(outbox.next_due(), Some(at(5)));
    assert_eq!(outbox.start(at(5)), slice::from_ref(&created));
    assert_eq!(outbox.start(at(6)), []);
    assert_eq!(outbox.next_due(), None);
    assert!(outbox.owes(&created.owner));
    let decisions = outbox.answered(at(7), &created, Answer::Delivered);
    assert_eq!(decisions, Ok(vec![Decision::Acknowledge(created.clone())]));
    assert!(!outbox.owes(&created.owner));
    assert_eq!((outbox.pending(), outbox.receivers().count()), (0, 0));
}

#[test]
fn the_next_callback_of_an_owner_waits_for_the_one_before() {
    let mut outbox = Outbox::new(Limits::default());
    let [created, started, verdict] = [0, 1, 99].map(|rank| key("t", rank));
    outbox.push(at(0), created.clone(), R);
    assert_eq!(outbox.start(at(0)), slice::from_ref(&created));
    outbox.push(at(1), verdict.clone(), R);
    outbox.push(at(1), started.clone(), R);
    assert_eq!((outbox.start(at(1)), outbox.next_due()), (vec![], None));
    let delivered = outbox.answered(at(2), &created, Answer::Delivered);
    assert_eq!(delivered, Ok(vec![Decision::Acknowledge(created)]));

    let due = owed(&attempt(&mut outbox, 2, &started, FAILED), &started).due;
    assert_eq!(
        (outbox.start(at(due.0 - 1)), outbox.next_due()),
        (vec![], Some(due))
    );
    attempt(&mut outbox, due.0, &started, Answer::Delivered);
    attempt(&mut outbox, due.0, &verdict, Answer::Delivered);
}

#[test]
fn a_callback_is_tried_eleven_times_on_the_contracts_schedule_and_then_given_up() {
    let mut outbox = Outbox::new(Limits::default());
    let verdict = key("t", 2);
    outbox.push(at(0), verdict.clone(), R);
    let mut now = 0;
    let mut attempts = 0;
    for seconds in [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 36_000] {
        let schedule = owed(&attempt(&mut outbox, now, &verdict, FAILED), &verdict);
        attempts += 1;
        assert_eq!((schedule.attempts, schedule.owed_at), (attempts, at(0)));
        let wait = schedule.due.since_ms(at(now));
        assert!((seconds * 800..=seconds * 1_200).contains(&wait), "{wait}");
        now += wait;
        assert_eq!(outbox.next_due(), Some(at(now)));
        assert_eq!(outbox.start(at(now - 1)), []);
    }
    let decisions = attempt(&mut outbox, now, &verdict, FAILED);
    let exhausted = Reason::Exhausted { attempts: 11 };
    assert_eq!(decisions, [Decision::Dead(verdict, exhausted)]);
    assert_eq!(outbox.pending(), 0);
}

#[test]
fn the_jitter_of_a_key_and_attempt_never_changes() {
    let due = |owner: &str| {
        let mut outbox = Outbox::new(Limits::default());
        let key = key(owner, 0);
        outbox.push(at(0), key.clone(), R);
        let first = owed(&attempt(&mut outbox, 0, &key, FAILED), &key).due;
        let second = owed(&attempt(&mut outbox, first.0, &key, FAILED), &key).due;
        (first, second)
    };
    assert_eq!(due("t:1"), (at(891), at(5986)));
    assert_eq!(due("t:2"), (at(869), at(5653)));
}

#[test]
fn a_retry_after_is_obeyed_where_it_is_later_than_the_schedule() {
    let mut outbox = Outbox::new(Limits::default());
    let key = key("t", 0);
    outbox.push(at(0), key.clone(), R);
    let schedule = owed(&attempt(&mut outbox, 0, &key, retry_after(10_000)), &key);
    assert_eq!((schedule.due, schedule.not_before), (at(10_000), at(10_000)));

    let schedule = owed(&attempt(&mut outbox, 10_000, &key, retry_after(1)), &key);
    assert_eq!(schedule.not_before, at(10_001));
    assert!(schedule.due >= at(14_000));

    let now = schedule.due.0;
    let schedule = owed(&attempt(&mut outbox, now, &key, retry_after(u64::MAX)), &key);
    assert_eq!(schedule.due, at(now + RETRY_AFTER_MAX_MS));

    let now = schedule.due.0;
    let schedule = owed(&attempt(&mut outbox, now, &key, FAILED), &key);
    assert_eq!(schedule.not_before, at(0));
}

#[test]
fn a_new_callback_pulls_its_owners_oldest() {
    let mut outbox = Outbox::new(Limits::default());
    let (created, started) = (key("t", 0), key("t", 1));
    outbox.push(at(0), created.clone(), R);
    let waiting = owed(&attempt(&mut outbox, 0, &created, FAILED), &created);
    let pulled = Schedule {
        due: at(100),
        ..waiting
    };
    assert_eq!(
        outbox.push(at(100), started.clone(), R),
        [
            Decision::Owed(started.clone(), fresh(100)),
            Decision::Owed(created.clone(), pulled),
        ]
    );
    attempt(&mut outbox, 100, &created, Answer::Delivered);
    attempt(&mut outbox, 100, &started, Answer::Delivered);
}

#[test]
fn a_new_callback_does_not_pull_its_owners_oldest_before_a_retry_after() {
    let mut outbox = Outbox::new(Limits::default());
    let (created, started) = (key("t", 0), key("t", 1));
    outbox.push(at(0), created.clone(), R);
    attempt(&mut outbox, 0, &created, retry_after(60_000));
    let decisions = outbox.push(at(100), started.clone(), R);
    assert_eq!(decisions, [Decision::Owed(started, fresh(100))]);
    assert_eq!(outbox.start(at(59_999)), []);
    assert_eq!(outbox.start(at(60_000)), [created]);
}

#[test]
fn a_retry_after_outlives_the_callback_that_it_was_given_to() {
    let (created, verdict) = (key("t", 0), key("t", 3));
    let last_try = Schedule {
        attempts: 10,
        ..fresh(0)
    };
    let stored = [
        (created.clone(), R.to_owned(), last_try),
        (verdict.clone(), R.to_owned(), fresh(1)),
    ];
    let mut outbox = Outbox::restore(Limits::default(), at(2), stored, []);
    let held = Schedule {
        due: at(5_002),
        not_before: at(5_002),
        ..fresh(1)
    };
    assert_eq!(
        attempt(&mut outbox, 2, &created, retry_after(5_000)),
        [
            Decision::Dead(created, Reason::Exhausted { attempts: 11 }),
            Decision::Owed(verdict.clone(), held),
        ]
    );
    assert_eq!(outbox.start(at(5_001)), []);
    assert_eq!(outbox.start(at(5_002)), [verdict]);
}

#[test]
fn a_410_ends_what_is_owed_to_the_owner_and_what_comes_later() {
    let mut outbox = Outbox::new(Limits::default());
    let (created, started, verdict) = (key("t", 0), key("t", 1), key("t", 2));
    outbox.push(at(0), created.clone(), R);
    outbox.push(at(0), started.clone(), R);
    outbox.push(at(0), key("other", 0), "https://b.example");
    assert_eq!(outbox.start(at(0)), [created.clone(), key("other", 0)]);
    assert_eq!(
        outbox.answered(at(1), &created, Answer::Gone),
        Ok(vec![
            Decision::Dead(created.clone(), Reason::Gone),
            Decision::Dead(started, Reason::Gone),
            Decision::Close(created.owner.clone()),
        ])
    );
    assert_eq!(outbox.pending(), 1);

    let mut outbox = Outbox::restore(Limits::default(), at(2), [], [created.owner.clone()]);
    let late = key("t", 1);
    let decisions = outbox.push(at(3), late.clone(), R);
    assert_eq!(decisions, [Decision::Dead(late, Reason::Gone)]);
    assert_eq!(
        outbox.push(at(4), verdict.clone(), R),
        [
            Decision::Dead(verdict, Reason::Gone),
            Decision::Forget(created.owner.clone()),
        ]
    );
    let again = outbox.push(at(5), created.clone(), R);
    assert_eq!(again, [Decision::Owed(created, fresh(5))]);
}

#[test]
fn a_410_to_a_verdict_leaves_nothing_to_remember() {
    let mut outbox = Outbox::new(Limits::default());
    let verdict = key("r:digest", 99);
    outbox.push(at(0), verdict.clone(), R);
    let decisions = attempt(&mut outbox, 0, &verdict, Answer::Gone);
    assert_eq!(decisions, [Decision::Dead(verdict, Reason::Gone)]);
}

#[test]
fn an_attempt_that_was_not_begun_costs_nothing() {
    let mut outbox = Outbox::new(Limits::default());
    let key = key("t", 0);
    outbox.push(at(0), key.clone(), R);
    assert_eq!(attempt(&mut outbox, 1, &key, Answer::NotBegun), []);
    assert_eq!(outbox.next_due(), Some(at(0)));
    let schedule = owed(&attempt(&mut outbox, 2, &key, FAILED), &key);
    assert_eq!(schedule.attempts, 1);
}

#[test]
fn an_answer_to_nothing_in_flight_changes_nothing() {
    let mut outbox = Outbox::new(Limits::default());
    let key = key("t", 0);
    let stray = Err(NotInFlight(key.clone()));
    assert_eq!(outbox.answered(at(0), &key, Answer::Delivered), stray);
    outbox.push(at(0), key.clone(), R);
    assert_eq!(outbox.answered(at(0), &key, Answer::Gone), stray);
    attempt(&mut outbox, 0, &key, FAILED);
    assert_eq!(outbox.answered(at(0), &key, FAILED), stray);
    assert_eq!(outbox.pending(), 1);
}

#[test]
fn a_callback_pushed_twice_is_owed_once() {
    let mut outbox = Outbox::new(Limits::default());
    let key = key("t", 0);
    outbox.push(at(0), key.clone(), R);
    assert_eq!(outbox.push(at(1), key.clone(), R), []);
    assert_eq!(outbox.start(at(1)), slice::from_ref(&key));
    assert_eq!(outbox.push(at(2), key, R), []);
    assert_eq!((outbox.pending(), outbox.start(at(3))), (1, vec![]));
}

#[test]
fn a_failing_receiver_gets_one_callback_at_a_time_until_a_success() {
    let mut outbox = Outbox::new(Limits::default());
    let keys: Vec<Key> = (10..30).map(|n| key(&format!("t{n}"), 0)).collect();
    for key in &keys {
        outbox.push(at(0), key.clone(), R);
    }
    assert_eq!(outbox.start(at(0)), keys[..8]);
    for key in &keys[..8] {
        assert_eq!(outbox.start(at(1)), []);
        outbox.answered(at(1), key, FAILED).unwrap();
    }
    let failing = Load {
        pending: 20,
        in_flight: 0,
        failing: true,
    };
    assert_eq!(outbox.receivers().collect::<Vec<_>>(), [(R, failing)]);
    assert_eq!(outbox.start(at(2)), [keys[8].clone()]);
    outbox.answered(at(2), &keys[8], Answer::NotBegun).unwrap();
    assert_eq!(outbox.start(at(3)), [keys[8].clone()]);
    outbox.answered(at(3), &keys[8], Answer::Delivered).unwrap();
    assert_eq!(outbox.start(at(4)), keys[9..17]);
}

#[test]
fn a_restart_sends_again_what_was_in_flight_and_starts_gently_where_it_failed() {
    let failed = Schedule {
        attempts: 1,
        due: at(50),
        ..fresh(0)
    };
    let stored = [
        (key("t1", 0), R.to_owned(), failed),
        (key("t2", 0), R.to_owned(), fresh(1)),
        (key("t3", 0), R.to_owned(), fresh(2)),
    ];
    let mut outbox = Outbox::restore(Limits::default(), at(10), stored, []);
    attempt(&mut outbox, 10, &key("t2", 0), Answer::Delivered);
    attempt(&mut outbox, 10, &key("t3", 0), Answer::Delivered);
    assert_eq!(outbox.next_due(), Some(at(50)));
}

#[test]
fn the_order_in_which_entries_are_restored_does_not_matter() {
    let stored = [2, 0, 1].map(|rank| (key("t", rank), R.to_owned(), fresh(0)));
    let mut outbox = Outbox::restore(Limits::default(), at(1), stored, []);
    assert_eq!(outbox.start(at(1)), [key("t", 0)]);
}

#[test]
fn receivers_have_one_send_a_turn() {
    let limits = Limits {
        threads: 3,
        ..Limits::default()
    };
    let mut outbox = Outbox::new(limits);
    for (owner, receiver) in [("a0", "a"), ("b0", "b"), ("a1", "a"), ("a2", "a")] {
        outbox.push(at(0), key(owner, 0), receiver);
    }
    let started = outbox.start(at(9));
    assert_eq!(started, [key("a0", 0), key("b0", 0), key("a1", 0)]);

    outbox.answered(at(10), &key("b0", 0), FAILED).unwrap();
    assert_eq!(outbox.start(at(10)), [key("a2", 0)]);
    assert_eq!(outbox.next_due(), None, "no thread is free");
}

#[test]
fn dead_receivers_leave_half_of_the_threads_to_the_healthy() {
    let limits = Limits {
        threads: 4,
        ..Limits::default()
    };
    let mut outbox = Outbox::new(limits);
    for n in 0..10 {
        let receiver = format!("dead{n}");
        let failed = key(&format!("d{n}"), 0);
        outbox.push(at(0), failed.clone(), &receiver);
        attempt(&mut outbox, 0, &failed, FAILED);
    }
    assert_eq!(outbox.start(at(5_000)).len(), 2);
    assert_eq!(outbox.next_due(), None);
    for n in 0..3 {
        outbox.push(at(5_001), key(&format!("h{n}"), 0), "healthy");
    }
    assert_eq!(outbox.start(at(5_001)), [key("h0", 0), key("h1", 0)]);
}

#[test]
fn a_receiver_beyond_its_bound_loses_its_oldest_waiting_callback() {
    let limits = Limits {
        threads: 1,
        per_receiver: 1,
        pending_per_receiver: 3,
    };
    let mut outbox = Outbox::new(limits);
    outbox.push(at(0), key("z", 0), R);
    assert_eq!(outbox.start(at(0)), [key("z", 0)]);
    outbox.push(at(1), key("y", 0), R);
    outbox.push(at(2), key("x", 0), R);
    outbox.push(at(2), key("other", 0), "b");
    let newest = key("w", 0);
    assert_eq!(
        outbox.push(at(3), newest.clone(), R),
        [
            Decision::Owed(newest, fresh(3)),
            Decision::Dead(key("y", 0), Reason::ReceiverBound),
        ]
    );
    assert_eq!(outbox.pending(), 4);

    let stored = [("a", 7), ("b", 5), ("c", 6)].map(|(owner, ms)| (key(owner, 0), R.to_owned(), fresh(ms)));
    let mut outbox = Outbox::restore(limits, at(8), stored, []);
    let dead = Decision::Dead(key("b", 0), Reason::ReceiverBound);
    assert_eq!(outbox.push(at(8), key("d", 0), R)[1..], [dead]);
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What the driver and its store know, and the laws that hold of it at every step.
struct World {
    limits: Limits,
    now: u64,
    outbox: Outbox,
    stored: BTreeMap<Key, (String, Schedule)>,
    closed: BTreeSet<Owner>,
    in_flight: BTreeSet<Key>,
    /// Ranks that every owner still has to push, the next one last.
    unpushed: Vec<(Owner, Vec<u8>)>,
    /// Keys that ended, with how often.
    ended: BTreeMap<Key, u32>,
    pushed: usize,
    /// The ways in which keys ended.
    seen: BTreeSet<String>,
}

impl World {
    fn new(limits: Limits, owners: u64, random: &mut SplitMix64) -> Self {
        let unpushed = (0..owners).map(|n| {
            let verdict = [2, 3, 99][n as usize % 3];
            let ranks = match random.below(4) {
                0 => vec![verdict],
                1 => vec![verdict, 0],
                _ => vec![verdict, 1, 0],
            };
            (Owner::new(format!("t:{n}")), ranks)
        });
        Self {
            limits,
            now: 1_000,
            outbox: Outbox::new(limits),
            stored: BTreeMap::new(),
            closed: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            unpushed: unpushed.collect(),
            ended: BTreeMap::new(),
            pushed: 0,
            seen: BTreeSet::new(),
        }
    }

    fn receiver(owner: &Owner) -> String {
        format!("r{}", owner.as_str().bytes().map(u64::from).sum::<u64>() % 7)
    }

    fn push(&mut self, index: usize) -> Vec<Decision> {
        let (owner, ranks) = &mut self.unpushed[index];
        let key = Key {
            owner: owner.clone(),
            rank: ranks.pop().expect("an owner without ranks is dropped"),
        };
        if ranks.is_empty() {
            self.unpushed.swap_remove(index);
        }
        self.pushed += 1;
        let receiver = Self::receiver(&key.owner);
        let decisions = self.outbox.push(at(self.now), key, &receiver);
        self.apply(&decisions);
        decisions
    }

    fn start(&mut self) {
        for key in self.outbox.start(at(self.now)) {
            let (_, schedule) = &self.stored[&key];
            assert!(schedule.due <= at(self.now) && schedule.not_before <= at(self.now));
            let first = self.stored.keys().find(|stored| stored.owner == key.owner);
            assert_eq!(first, Some(&key), "the head goes first");
            assert!(self.in_flight.insert(key), "one send at a time");
        }
        assert!(self.in_flight.len() <= self.limits.threads);
        for (name, load) in self.outbox.receivers() {
            assert!(load.in_flight <= self.limits.per_receiver, "{name}");
        }
        assert!(self.outbox.next_due().is_none_or(|due| due > at(self.now)));
    }

    fn answer(&mut self, key: &Key, answer: Answer) -> Vec<Decision> {
        assert!(self.in_flight.remove(key));
        let before = self.stored[key].1;
        let decisions = self.outbox.answered(at(self.now), key, answer);
        let decisions = decisions.expect("the attempt is in flight");
        for decision in &decisions {
            if let Decision::Owed(owed, schedule) = decision
                && owed == key
            {
                assert_eq!(schedule.attempts, before.attempts + 1);
                let wait = schedule.due.since_ms(at(self.now).max(schedule.not_before));
                let base = WAITS_MS[before.attempts as usize];
                assert!(schedule.not_before.0 > self.now || wait >= base * 4 / 5);
                assert!(wait <= base * 6 / 5);
            }
        }
        self.apply(&decisions);
        decisions
    }

    fn apply(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Owed(key, schedule) => {
                    let receiver = Self::receiver(&key.owner);
                    self.stored.insert(key.clone(), (receiver, *schedule));
                }
                Decision::Acknowledge(key) => self.end(key, "delivered".to_owned()),
                Decision::Dead(key, reason) => self.end(key, reason.to_string()),
                Decision::Close(owner) => assert!(self.closed.insert(owner.clone())),
                Decision::Forget(owner) => assert!(self.closed.remove(owner)),
            }
        }
        assert_eq!(self.outbox.pending(), self.stored.len());
    }

    fn end(&mut self, key: &Key, way: String) {
        assert!(!self.in_flight.contains(key), "{key} ends in flight");
        self.stored.remove(key);
        *self.ended.entry(key.clone()).or_default() += 1;
        self.seen.insert(way);
    }

    fn restored(&self) -> Outbox {
        let owed = self
            .stored
            .iter()
            .map(|(key, (receiver, schedule))| (key.clone(), receiver.clone(), *schedule));
        Outbox::restore(self.limits, at(self.now), owed, self.closed.iter().cloned())
    }

    fn restart(&mut self) {
        self.outbox = self.restored();
        self.in_flight.clear();
    }

    fn wait(&mut self, random: &mut SplitMix64) {
        let due = self.outbox.next_due().map_or(0, |due| due.since_ms(at(self.now)));
        self.now += 1 + match random.below(4) {
            0 => due,
            1 => random.below(3_000),
            _ => random.below(20),
        };
    }

    fn is_over(&self) -> bool {
        self.unpushed.is_empty() && self.stored.is_empty()
    }
}

fn random_answer(key: &Key, random: &mut SplitMix64) -> Answer {
    let dead = World::receiver(&key.owner) == "r0";
    match random.below(100) {
        0..3 => Answer::Gone,
        3..6 => Answer::NotBegun,
        6..9 => retry_after(random.below(2 * RETRY_AFTER_MAX_MS)),
        9..20 => FAILED,
        _ if dead => FAILED,
        _ => Answer::Delivered,
    }
}

fn pick<'a>(keys: &'a BTreeSet<Key>, random: &mut SplitMix64) -> Option<&'a Key> {
    keys.iter().nth(random.below(keys.len().max(1) as u64) as usize)
}

#[test]
fn every_callback_ends_once_and_in_order_within_the_limits_through_restarts() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let mut random = SplitMix64(seed);
        let limits = Limits {
            threads: 1 + random.below(6) as usize,
            per_receiver: 1 + random.below(3) as usize,
            pending_per_receiver: 5 + random.below(40) as usize,
        };
        let mut world = World::new(limits, 60, &mut random);
        let mut steps = 0;
        while !world.is_over() {
            steps += 1;
            assert!(steps < 100_000, "seed {seed} does not end");
            match random.below(20) {
                0..5 if !world.unpushed.is_empty() => {
                    let index = random.below(world.unpushed.len() as u64) as usize;
                    world.push(index);
                }
                0..12 => {
                    if let Some(key) = pick(&world.in_flight, &mut random).cloned() {
                        let answer = random_answer(&key, &mut random);
                        world.answer(&key, answer);
                    }
                }
                12 if random.below(10) == 0 => world.restart(),
                _ => {
                    world.wait(&mut random);
                    world.start();
                }
            }
        }
        assert_eq!(world.ended.len(), world.pushed, "seed {seed}");
        assert!(world.ended.values().all(|times| *times == 1), "seed {seed}");
        assert_eq!(world.closed, BTreeSet::new(), "seed {seed}");
        assert_eq!(world.outbox.receivers().count(), 0, "seed {seed}");
        seen.append(&mut world.seen);
    }
    let every_way = [
        "11 attempts failed",
        "delivered",
        "the receiver answered 410 Gone",
        "too many callbacks wait for the receiver",
    ];
    assert_eq!(seen, every_way.map(str::to_owned).into());
}

#[test]
fn a_restored_outbox_decides_as_the_one_that_ran_on() {
    // One send a receiver, a thread for each and no bound: what is sent next is a matter of times alone.
    let limits = Limits {
        threads: 14,
        per_receiver: 1,
        pending_per_receiver: 1_000,
    };
    for seed in 0..20 {
        let mut random = SplitMix64(seed);
        let mut world = World::new(limits, 40, &mut random);
        while !world.is_over() {
            world.wait(&mut random);
            world.start();
            let mut twin = world.restored();
            let sent: BTreeSet<Key> = twin.start(at(world.now)).into_iter().collect();
            assert_eq!(sent, world.in_flight, "seed {seed}");
            for _ in 0..4 {
                if random.below(3) == 0 && !world.unpushed.is_empty() {
                    let index = random.below(world.unpushed.len() as u64) as usize;
                    let (owner, ranks) = &world.unpushed[index];
                    let key = Key {
                        owner: owner.clone(),
                        rank: *ranks.last().unwrap(),
                    };
                    let receiver = World::receiver(owner);
                    let twin_decides = twin.push(at(world.now), key, &receiver);
                    assert_eq!(twin_decides, world.push(index), "seed {seed}");
                } else if let Some(key) = pick(&world.in_flight, &mut random).cloned() {
                    let answer = random_answer(&key, &mut random);
                    let twin_decides = twin.answered(at(world.now), &key, answer);
                    assert_eq!(twin_decides, Ok(world.answer(&key, answer)), "seed {seed}");
                }
            }
        }
    }
}

fn pop_due(hanging: &mut BTreeSet<(u64, Key)>, now: u64) -> Option<Key> {
    let (until, _) = hanging.first()?;
    (*until <= now).then(|| hanging.pop_first())?.map(|(_, key)| key)
}

#[test]
fn receivers_that_hang_do_not_delay_a_healthy_one() {
    const HANG_MS: u64 = 15_000;
    let limits = Limits {
        threads: 8,
        per_receiver: 4,
        pending_per_receiver: 1_000,
    };
    let mut outbox = Outbox::new(limits);
    for n in 0..2_000 {
        outbox.push(at(0), key(&format!("d{n}"), 0), &format!("dead{}", n % 20));
    }
    let mut hanging: BTreeSet<(u64, Key)> = BTreeSet::new();
    for now in (0..600_000).step_by(100) {
        while let Some(key) = pop_due(&mut hanging, now) {
            outbox.answered(at(now), &key, FAILED).unwrap();
        }
        // By then every dead receiver has failed once.
        let healthy = (now >= 200_000).then(|| key(&format!("h{now}"), 2));
        if let Some(key) = &healthy {
            outbox.push(at(now), key.clone(), "healthy");
        }
        let started = outbox.start(at(now));
        for key in started {
            if Some(&key) == healthy.as_ref() {
                outbox.answered(at(now), &key, Answer::Delivered).unwrap();
            } else {
                hanging.insert((now + HANG_MS, key));
            }
        }
        if let Some(key) = healthy {
            assert!(!outbox.owes(&key.owner), "{key} waited");
        }
    }
    assert_eq!(hanging.len(), 4);
}
