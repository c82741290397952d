//! What a thousand tasks cost: round trips to Redis, and time of turns. It prints and asserts no speed.

use std::time::Instant;

use super::place::Layout;
use super::world::{World, message};

const TASKS: usize = 1000;

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
    let before = layout.commands();
    let batches = world.notes.lock().batches.len();
    let (mut turns, mut spent) = (0_u32, std::time::Duration::ZERO);
    while world.heard.len() < 3 * TASKS || !world.inputs.is_empty() {
        world.now += 100;
        world.progress();
        if turns < 20 {
            world.take();
        }
        let begun = Instant::now();
        let outputs = world.turn();
        spent += begun.elapsed();
        turns += 1;
        world.carry(outputs);
    }
    let trips = layout.commands() - before;
    let batches = world.notes.lock().batches.len() - batches;
    eprintln!(
        "{TASKS} tasks: {turns} turns, {batches} batches, {trips} commands of clients, {:.3} a task, {} µs a turn, {} µs a task",
        f64::from(u32::try_from(trips).unwrap()) / 1000.0,
        spent.as_micros() / u128::from(turns),
        spent.as_micros() / TASKS as u128,
    );
    assert_eq!(world.stored(), (Vec::new(), Vec::new()));
}
