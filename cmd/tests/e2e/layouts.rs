//! Queue and store in one database, in two, and on two servers: the same promise.

use std::time::Duration;

use fixtures::redis::{Options, Server};

use crate::world::{SOON, World, end};

/// A leader dies in the middle of twelve tasks that came with copies; each of them becomes one Job and one story.
fn assert_nothing_is_lost_or_doubled(world: &World, more: &[(&str, &str)]) {
    let mut first = world.worker_with("worker-0", more);
    let tasks: Vec<_> = (0..12).map(|n| world.task(&format!("t-{n}"), "true")).collect();
    for task in &tasks {
        world.push(task);
        world.push(task);
    }
    world.sink.wait_for(1, SOON).expect("the first task was told of");
    first.kill().expect("the worker runs");
    let second = world.worker_with("worker-1", more);
    for task in &tasks {
        world.verdict(&task.id, Duration::from_secs(180));
    }
    end(second);
    for task in &tasks {
        world.assert_completed(task);
    }
    world.assert_one_job_each(&tasks);
    assert_eq!(world.dead_letters(), []);
    for list in ["queue-", "queue-:taken"] {
        let length: u64 = redis::Commands::llen(&mut world.queue(), list).expect("Redis counts");
        assert_eq!(length, 0, "{list} is empty");
    }
}

#[test]
fn nothing_is_lost_or_doubled_in_one_database() {
    let world = World::new("one-database");
    assert_nothing_is_lost_or_doubled(&world, &[("CACHE_REDIS_DB", "0")]);
}

#[test]
fn nothing_is_lost_or_doubled_in_two_databases() {
    let world = World::new("two-databases");
    let named = [("CACHE_REDIS_DB", "7"), ("CACHE_JOB_KEY_PREFIX", "a-prefix-")];
    assert_nothing_is_lost_or_doubled(&world, &named);
}

#[test]
fn nothing_is_lost_or_doubled_on_two_servers() {
    let world = World::new("two-servers");
    let store = Server::start(Options::default()).unwrap();
    assert_nothing_is_lost_or_doubled(&world, &[("CACHE_REDIS_ENDPOINT", &store.url())]);
}
