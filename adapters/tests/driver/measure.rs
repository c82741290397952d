//! What a thousand tasks ask of Redis, in exact counts, and how long turns take, which is printed alone.

use std::time::Instant;

use super::place::Layout;
use super::world::{World, message};

const TASKS: usize = 1000;
/// Turns before which messages are taken from the queue; a take is a script, and may find nothing.
const TAKES: u64 = 25;

#[test]
fn a_thousand_tasks_are_counted() {
    let layout = Layout::one_database();
    let place = layout.place();
    let mut world = World::new(&place);
    world.policy.tasks_max = TASKS;
    world.lead();
    world.step();
    for number in 0..TASKS {
        place.push(&message(&format!("t{number}"), "x"));
    }
    let before = layout.calls();
    let batches = world.notes.lock().batches.len();
    let (mut turns, mut spent) = (0_u32, std::time::Duration::ZERO);
    while world.heard.len() < 3 * TASKS || !world.inputs.is_empty() {
        world.now += 100;
        world.progress();
        if u64::from(turns) < TAKES {
            world.take();
        }
        let begun = Instant::now();
        let outputs = world.turn();
        spent += begun.elapsed();
        turns += 1;
        world.carry(outputs);
    }
    let mut calls = layout.calls();
    for (command, count) in &before {
        *calls.get_mut(command).unwrap() -= count;
    }
    calls.retain(|_, count| *count > 0);
    let batches = world.notes.lock().batches.len() - batches;
    eprintln!(
        "{TASKS} tasks: {turns} turns, {batches} batches, {} µs a turn, {} µs a task; {calls:?}",
        spent.as_micros() / u128::from(turns),
        spent.as_micros() / TASKS as u128,
    );
    let count = |command: &str| calls.get(command).copied().unwrap_or(0);
    let (tasks, batches) = (TASKS as u64, batches as u64);
    // A life has five transitions, each with its record; one tombstone is looked for, and one is written.
    for (command, each) in [("xadd", 5), ("exists", 1), ("set", 1), ("lrem", 1), ("lmove", 1)] {
        let idle = if command == "lmove" { TAKES } else { 0 };
        let range = each * tasks..=each * tasks + idle;
        assert!(range.contains(&count(command)), "{command}: {calls:?}");
    }
    // A batch is one script, as a take is; Redis has to be told each of the two once. In a batch one command writes all
    // tasks, one all deadlines, one all callbacks.
    assert_eq!(count("evalsha"), batches + TAKES + 2, "{calls:?}");
    assert!(
        count("zadd") <= batches && count("hset") <= 3 * batches,
        "{calls:?}"
    );
    assert!(count("mget") <= TAKES, "{calls:?}");
    assert_eq!(count("get") + count("eval") + count("multi"), 0, "{calls:?}");
    assert_eq!(world.stored(), (Vec::new(), Vec::new()));
}
