//! How many requests a task costs the API server, by the server's own audit log.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

/// Counts the requests in the world's namespace by user, verb and kind, watches aside.
fn requests(world: &World) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for entry in world.cluster.audit(&world.namespace) {
        let ours = entry.user.starts_with("system:serviceaccount:job-worker:");
        if ours && entry.namespace == world.namespace && entry.verb != "watch" {
            *counts.entry((entry.verb, entry.resource)).or_insert(0) += 1;
        }
    }
    counts
}

fn pair(verb: &str, resource: &str) -> (String, String) {
    (verb.to_owned(), resource.to_owned())
}

fn run_five(world: &World, ttl: Option<u32>) -> Vec<Task> {
    let tasks: Vec<Task> = (0..5)
        .map(|n| {
            let task = world.task(&format!("t-{n}"), "true");
            match ttl {
                Some(ttl) => task.with("ttlSecondsAfterFinished", ttl),
                None => task,
            }
        })
        .collect();
    for task in &tasks {
        world.push(task);
    }
    for task in &tasks {
        world.verdict(&task.id, SOON);
    }
    tasks
}

#[test]
fn a_successful_task_costs_one_request() {
    let world = World::new("requests");
    let worker = world.worker("worker-0");
    let tasks = run_five(&world, Some(600));
    end(worker);
    tasks.iter().for_each(|task| world.assert_completed(task));
    let mut counts = requests(&world);
    // The first look at the namespace, once for all of its tasks.
    for list in ["jobs", "pods"] {
        let lists = counts.remove(&pair("list", list)).unwrap_or_default();
        assert!(lists <= 1, "{lists} lists of {list}");
    }
    assert_eq!(counts, BTreeMap::from([(pair("create", "jobs"), 5)]));
    for task in &tasks {
        assert_eq!(world.job(task)["spec"]["ttlSecondsAfterFinished"], 600);
    }
}

#[test]
fn with_patch_the_ttl_costs_one_more_and_comes_after_the_verdict() {
    let world = World::with_patch("requests-patch");
    let worker = world.worker("worker-0");
    let slow = world
        .task("slow", "exec sleep 5")
        .with("ttlSecondsAfterFinished", 600);
    world.push(&slow);
    world.wait_for(&slow.id, 2, SOON);
    let while_it_runs = world.job(&slow);
    assert_eq!(while_it_runs["status"]["active"], 1);
    assert_eq!(while_it_runs["spec"]["ttlSecondsAfterFinished"], Value::Null);
    let mut tasks = run_five(&world, Some(600));
    world.verdict(&slow.id, SOON);
    tasks.push(slow);
    for task in &tasks {
        eventually(SOON, "the TTL is on the Job", || {
            (world.job(task)["spec"]["ttlSecondsAfterFinished"] == 600).then_some(())
        });
    }
    end(worker);
    tasks.iter().for_each(|task| world.assert_completed(task));
    let mut counts = requests(&world);
    for list in ["jobs", "pods"] {
        let lists = counts.remove(&pair("list", list)).unwrap_or_default();
        assert!(lists <= 1, "{lists} lists of {list}");
    }
    assert_eq!(
        counts,
        BTreeMap::from([(pair("create", "jobs"), 6), (pair("patch", "jobs"), 6)])
    );
}

#[test]
fn with_one_create_at_a_time_the_queue_is_worked_off_in_order() {
    let world = World::new("order");
    let tasks: Vec<Task> = (0..10).map(|n| world.task(&format!("t-{n}"), "true")).collect();
    for task in &tasks {
        world.push(task);
    }
    let worker = world.worker_with("worker-0", &[("QUEUE_WORKER_POOL_SIZE", "1")]);
    for task in &tasks {
        world.verdict(&task.id, SOON);
    }
    end(worker);
    let made: Vec<String> = world
        .cluster
        .audit(&world.namespace)
        .into_iter()
        .filter(|entry| entry.resource == "jobs" && entry.verb == "create")
        .map(|entry| entry.name)
        .collect();
    let wanted: Vec<String> = tasks.iter().map(|task| world.job_name(task)).collect();
    assert_eq!(made, wanted);
}

#[test]
fn an_idle_worker_asks_for_nothing_but_its_lease() {
    let world = World::new("idle");
    let worker = world.worker("worker-0");
    run_five(&world, None);
    let lease = || {
        let renewals = world.cluster.audit(&world.lock_name);
        renewals.iter().filter(|entry| entry.resource == "leases").count()
    };
    let (before, renewed) = (requests(&world), lease());
    eventually(SOON, "the lease is renewed 30 times", || {
        (lease() >= renewed + 30).then_some(())
    });
    assert_eq!(requests(&world), before);
    end(worker);
}
