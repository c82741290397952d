//! Laws of the outbox over random runs with restarts: every callback ends once and in order, within the limits, and nothing
//! is left behind.

mod world;

use std::collections::BTreeSet;

use engine::Timestamp;
use engine::outbox::{Answer, Key, Limits, Outbox, Owner, RETRY_AFTER_MAX_MS};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use world::{SplitMix64, World};

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
        "too many callbacks wait for a receiver that fails",
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

/// One thing that happens to a small outbox; a number picks among what there is.
#[derive(Clone, Copy, Debug)]
enum Act {
    Push(u8),
    Start,
    Answer(u8, Told),
    Elapse(u16),
    Restart,
}

/// What a receiver says.
#[derive(Clone, Copy, Debug)]
enum Told {
    Delivered,
    Gone,
    Failed,
    Later(u16),
    NotBegun,
}

fn any_act() -> impl Strategy<Value = Act> {
    let told = prop_oneof![
        2 => Just(Told::Delivered),
        2 => Just(Told::Gone),
        2 => Just(Told::Failed),
        1 => any::<u16>().prop_map(Told::Later),
        1 => Just(Told::NotBegun),
    ];
    prop_oneof![
        4 => any::<u8>().prop_map(Act::Push),
        4 => Just(Act::Start),
        4 => (any::<u8>(), told).prop_map(|(n, told)| Act::Answer(n, told)),
        2 => any::<u16>().prop_map(Act::Elapse),
        1 => Just(Act::Restart),
    ]
}

impl World {
    fn act(&mut self, act: Act) {
        match act {
            Act::Push(n) if !self.unpushed.is_empty() => {
                self.push(usize::from(n) % self.unpushed.len());
            }
            Act::Answer(n, told) if !self.in_flight.is_empty() => {
                let place = usize::from(n) % self.in_flight.len();
                let key = self
                    .in_flight
                    .iter()
                    .nth(place)
                    .expect("it is among them")
                    .clone();
                let answer = match told {
                    Told::Delivered => Answer::Delivered,
                    Told::Gone => Answer::Gone,
                    Told::Failed => FAILED,
                    Told::Later(ms) => retry_after(u64::from(ms)),
                    Told::NotBegun => Answer::NotBegun,
                };
                self.answer(&key, answer);
            }
            Act::Push(_) | Act::Answer(..) => {}
            Act::Start => self.start(),
            Act::Elapse(ms) => self.now += u64::from(ms),
            Act::Restart => self.restart(),
        }
    }

    /// Pushes what is left and delivers everything.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.is_over() {
                return;
            }
            if !self.unpushed.is_empty() {
                self.push(0);
            }
            self.now += RETRY_AFTER_MAX_MS;
            self.start();
            for key in self.in_flight.clone() {
                self.answer(&key, Answer::Delivered);
            }
        }
        panic!("it does not end");
    }
}

/// A failure is shrunk to the fewest acts, and printed.
#[test]
fn nothing_is_left_of_callbacks_that_have_ended() {
    let config = Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let acts = prop::collection::vec(any_act(), 0..60);
    TestRunner::new_with_rng(config, seed)
        .run(
            &(1_usize..4, 1_usize..3, any::<u64>(), acts),
            |(bound, per_receiver, seed, acts)| {
                let limits = Limits {
                    threads: 3,
                    per_receiver,
                    pending_per_receiver: bound,
                };
                let mut world = World::new(limits, 4, &mut SplitMix64(seed));
                acts.into_iter().for_each(|act| world.act(act));
                world.finish();
                prop_assert!(world.ended.values().all(|times| *times == 1));
                prop_assert_eq!(world.ended.len(), world.pushed);
                prop_assert_eq!(&world.closed, &BTreeSet::new());
                prop_assert_eq!(world.outbox.pending(), 0);
                prop_assert_eq!(world.outbox.receivers().count(), 0);
                Ok(())
            },
        )
        .expect("the laws hold");
}
