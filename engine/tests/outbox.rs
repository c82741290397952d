//! Stories of single callbacks and receivers.

use std::slice;

use engine::Timestamp;
use engine::outbox::{
    Answer, Decision, Key, Limits, Load, NotInFlight, Outbox, Owner, RETRY_AFTER_MAX_MS, Reason, Schedule,
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
fn a_failing_receiver_beyond_its_bound_loses_its_oldest_waiting_callback() {
    let limits = Limits {
        threads: 1,
        per_receiver: 1,
        pending_per_receiver: 3,
    };
    let mut outbox = Outbox::new(limits);
    outbox.push(at(0), key("z", 0), R);
    assert_eq!(outbox.start(at(0)), [key("z", 0)]);
    // Another one of its failed.
    outbox.answered(at(0), &key("z", 0), FAILED).unwrap();
    assert_eq!(outbox.start(at(2_000)), [key("z", 0)]);
    outbox.push(at(2_001), key("y", 0), R);
    outbox.push(at(2_002), key("x", 0), R);
    outbox.push(at(2_002), key("other", 0), "b");
    let newest = key("w", 0);
    assert_eq!(
        outbox.push(at(2_003), newest.clone(), R),
        [
            Decision::Owed(newest, fresh(2_003)),
            Decision::Dead(key("y", 0), Reason::ReceiverBound),
        ]
    );
    assert_eq!(outbox.pending(), 4);

    let stored = [("a", 7), ("b", 5), ("c", 6)].map(|(owner, ms)| {
        let schedule = Schedule {
            attempts: u32::from(owner == "a"),
            ..fresh(ms)
        };
        (key(owner, 0), R.to_owned(), schedule)
    });
    let mut outbox = Outbox::restore(limits, at(8), stored, []);
    let dead = Decision::Dead(key("b", 0), Reason::ReceiverBound);
    assert_eq!(outbox.push(at(8), key("d", 0), R)[1..], [dead]);
}

#[test]
fn a_receiver_that_answers_keeps_what_it_is_owed_and_crowds_the_outbox() {
    let limits = Limits {
        threads: 2,
        per_receiver: 2,
        pending_per_receiver: 4,
    };
    let mut outbox = Outbox::new(limits);
    for n in 0..9 {
        let name = key(&format!("k{n}"), 0);
        assert_eq!(
            outbox.push(at(n), name.clone(), R),
            [Decision::Owed(name, fresh(n))]
        );
        assert_eq!(outbox.is_crowded(), n >= 2, "{n} were there before");
    }
    let [first, second] = outbox.start(at(9)).try_into().expect("two threads");
    let decisions = outbox.answered(at(9), &first, FAILED).unwrap();
    assert!(matches!(decisions[..], [Decision::Owed(..)]), "{decisions:?}");
    assert!(!outbox.is_crowded(), "a receiver that fails is not waited for");
    outbox.answered(at(9), &second, Answer::Delivered).unwrap();
    assert!(outbox.is_crowded());
    for left in (0..8).rev() {
        let sent = outbox.start(at(2_000));
        outbox.answered(at(2_000), &sent[0], Answer::Delivered).unwrap();
        for later in &sent[1..] {
            outbox.answered(at(2_000), later, Answer::NotBegun).unwrap();
        }
        assert_eq!((outbox.pending(), outbox.is_crowded()), (left, left > 2));
    }
}

#[test]
fn a_verdict_behind_a_callback_in_flight_is_not_given_up_for_the_bound() {
    let limits = Limits {
        threads: 1,
        per_receiver: 1,
        pending_per_receiver: 1,
    };
    let mut outbox = Outbox::new(limits);
    let [created, verdict] = [0, 2].map(|rank| key("t", rank));
    outbox.push(at(0), created.clone(), R);
    assert_eq!(outbox.start(at(0)), slice::from_ref(&created));
    outbox.answered(at(0), &created, FAILED).unwrap();
    assert_eq!(outbox.start(at(2_000)), slice::from_ref(&created));
    let decisions = outbox.push(at(2_001), verdict.clone(), R);
    assert_eq!(decisions, [Decision::Owed(verdict.clone(), fresh(2_001))]);
    let dead = [created.clone(), verdict].map(|key| Decision::Dead(key, Reason::Gone));
    let gone = outbox.answered(at(2_002), &created, Answer::Gone);
    assert_eq!(gone, Ok(dead.to_vec()), "and no mark is left");
}

#[test]
fn a_clock_that_went_back_gives_no_verdict_up_before_what_stands_in_front_of_it() {
    let limits = Limits {
        pending_per_receiver: 2,
        ..Limits::default()
    };
    let stored = [(0, 9), (2, 4)].map(|(rank, ms)| {
        let schedule = Schedule {
            attempts: u32::from(rank == 0),
            ..fresh(ms)
        };
        (key("t", rank), R.to_owned(), schedule)
    });
    let mut outbox = Outbox::restore(limits, at(5), stored, []);
    let dead = Decision::Dead(key("t", 0), Reason::ReceiverBound);
    assert_eq!(outbox.push(at(5), key("u", 0), R)[1..], [dead]);
}
