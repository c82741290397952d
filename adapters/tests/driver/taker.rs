//! The thread that takes messages: the bound, leftovers, poison, the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::clock::Clock;
use adapters::driver::Taken;
use adapters::health::Health;
use adapters::taker::Taker;
use crossbeam_channel::{Receiver, unbounded};

use super::place::{Layout, Place};
use super::world::message;

const POLLING: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

fn start(place: &Place) -> (Taker, Receiver<Taken>) {
    let health = Health::new(|| Clock.monotonic_ms(), &[]);
    let (hand_over, handed) = unbounded();
    let taker = Taker::start(
        Arc::clone(&place.source),
        POLLING,
        health.register("taker", LONG),
        move |taken| hand_over.send(taken).is_ok(),
    )
    .unwrap();
    (taker, handed)
}

fn raw(taken: &Taken) -> &[u8] {
    &taken.delivery.raw
}

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_there_is_no_room_for_stays_in_the_queue() {
    let layout = Layout::one_database();
    let place = layout.place();
    for number in 0..300 {
        place.push(&message(&format!("t{number}"), "x"));
    }
    let (taker, handed) = start(&place);
    taker.set_room(10, 0);
    until("ten are handed over", || handed.len() == 10);
    let depth = place.source.depth().unwrap();
    assert_eq!((depth.waiting, depth.taken), (290, 10));
    // Three of them became tasks, the others were copies: seven more may come.
    taker.set_room(7, 10);
    until("seven more", || handed.len() == 17);
    taker.set_room(0, 7);
    taker.join();
    let depth = place.source.depth().unwrap();
    assert_eq!((depth.waiting, depth.taken, handed.len()), (283, 17, 17));
    let order: Vec<Vec<u8>> = handed.try_iter().map(|taken| raw(&taken).to_vec()).collect();
    let pushed: Vec<Vec<u8>> = (0..17)
        .map(|number| message(&format!("t{number}"), "x"))
        .collect();
    assert_eq!(order, pushed);
}

#[test]
fn leftovers_are_found_at_the_start_and_later_and_taken_once() {
    let layout = Layout::one_database();
    let place = layout.place();
    place.push(&message("a", "x"));
    place.source.take(1, Duration::ZERO).unwrap();
    let (taker, handed) = start(&place);
    taker.set_room(10, 0);
    let first = handed.recv_timeout(LONG).unwrap();
    assert_eq!(raw(&first), message("a", "x"));
    assert!(matches!(first.parsed, Some(Ok(_))));

    // Another one is left by somebody else while this one is being dealt with.
    taker.set_room(0, 1);
    place.push(&message("b", "x"));
    assert_eq!(place.source.take(1, Duration::ZERO).unwrap().len(), 1);
    taker.set_room(10, 0);
    let second = handed.recv_timeout(LONG).unwrap();
    assert_eq!(raw(&second), message("b", "x"));
    taker.set_room(10, 1);
    std::thread::sleep(POLLING * 3);
    assert_eq!(handed.len(), 0, "what is being dealt with is no leftover");

    // Settled, taken anew by another and left again: it is found.
    place
        .source
        .acknowledge(std::slice::from_ref(&first.delivery.receipt))
        .unwrap();
    taker.settled().note(&first.delivery.receipt);
    place.push(&message("a", "x"));
    until("it is taken", || place.source.depth().unwrap().waiting == 0);
    let third = handed.recv_timeout(LONG).unwrap();
    assert_eq!(raw(&third), message("a", "x"));
    taker.join();
}

#[test]
fn a_leftover_that_two_processes_died_of_is_set_aside_by_the_third() {
    let layout = Layout::one_database();
    let place = layout.place();
    place.push(&message("a", "x"));
    let taken = place.source.take(1, Duration::ZERO).unwrap();
    let poison = |attempts_before: u32| {
        for _ in 0..attempts_before {
            place.source.count_attempt(&taken[0].receipt).unwrap();
        }
        let (taker, handed) = start(&place);
        taker.set_room(10, 0);
        let taken = handed.recv_timeout(LONG).unwrap();
        taker.join();
        taken.parsed.is_none()
    };
    assert!(!poison(1));
    // That one lived to the end of its term, which forgets what was counted.
    assert!(!poison(0));
    assert!(!poison(1));
    assert!(poison(2));
}

#[test]
fn the_end_does_not_wait_for_a_message() {
    let layout = Layout::one_database();
    let place = layout.place();
    let (taker, _handed) = start(&place);
    taker.set_room(10, 0);
    let begun = Instant::now();
    taker.join();
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}
