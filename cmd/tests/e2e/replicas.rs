//! Replicas: one leads, the others stand by, and a task does not notice.

use std::time::Duration;

use fixtures::worker::Worker;

use crate::story::Told;
use crate::world::{GRACE, SOON, World, end, eventually};

fn replicas(world: &World) -> Vec<Worker> {
    let names = ["worker-0", "worker-1", "worker-2"];
    names.map(|name| world.worker(name)).into()
}

/// The replica that holds the Lease.
fn leader(world: &World, workers: &[Worker]) -> usize {
    eventually(SOON, "one of the replicas leads", || {
        let holder = world.holder();
        workers
            .iter()
            .position(|worker| holder.starts_with(&format!("{}_", worker.name())))
    })
}

#[test]
fn a_task_outlives_the_leader_that_took_it() {
    let world = World::new("killed");
    let mut workers = replicas(&world);
    let task = world.task("killed", "exec sleep 12");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let first = leader(&world, &workers);
    workers.remove(first).kill().unwrap();
    world.verdict(&task.id, Duration::from_secs(180));
    workers.into_iter().for_each(end);
    world.assert_completed(&task);
    world.assert_one_job_each([&task]);
}

#[test]
fn messages_that_come_while_the_leader_dies_become_one_job_each() {
    let world = World::new("killed-busy");
    let mut workers = replicas(&world);
    let first = leader(&world, &workers);
    let tasks: Vec<_> = (0..12).map(|n| world.task(&format!("t-{n}"), "true")).collect();
    for task in &tasks {
        world.push(task);
    }
    world.sink.wait_for(1, SOON).expect("the first task was told of");
    workers.remove(first).kill().unwrap();
    for task in &tasks {
        world.verdict(&task.id, Duration::from_secs(180));
    }
    workers.into_iter().for_each(end);
    for task in &tasks {
        world.assert_completed(task);
    }
    world.assert_one_job_each(&tasks);
}

#[test]
fn sigterm_releases_the_lease_and_the_next_replica_goes_on_at_once() {
    let world = World::new("sigterm");
    // A lease that nobody would wait out.
    let long = ("LEADER_ELECTION_LEASE_SECONDS", "600");
    let mut first = world.worker_with("worker-0", &[long]);
    let task = world.task("sigterm", "exec sleep 8");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    first.terminate().unwrap();
    let status = first.wait(GRACE).expect("it ends within its grace period");
    assert_eq!(status.code(), Some(0));
    assert_eq!(world.holder(), "");

    let second = world.worker_with("worker-1", &[long]);
    world.verdict(&task.id, SOON);
    end(second);
    world.assert_completed(&task);
    world.assert_one_job_each([&task]);
}

#[test]
fn a_job_that_ended_while_nobody_looked_is_told_by_the_next_leader() {
    let world = World::new("nobody");
    let first = world.worker("worker-0");
    let task = world.task("nobody", "sleep 3; exit 7");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    end(first);
    eventually(SOON, "the Job has failed", || {
        (world.job(&task)["status"]["failed"] == 1).then_some(())
    });
    let second = world.worker("worker-1");
    world.verdict(&task.id, SOON);
    end(second);
    assert_eq!(
        world.told(&task.id),
        [
            Told::created(&world.job(&task)),
            Told::started(&world.pod(&task)),
            Told::failed(
                "JOB_EXECUTION_FAILED",
                "Job execution failed with exit code 7 (container tests, reason Error)"
            ),
        ]
    );
}

#[test]
fn a_leader_that_was_frozen_does_nothing_when_it_wakes() {
    let world = World::new("frozen");
    let mut workers = replicas(&world);
    let task = world.task("frozen", "exec sleep 15");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let old = workers.remove(leader(&world, &workers));
    old.freeze().unwrap();
    eventually(SOON, "another replica leads", || {
        let holder = world.holder();
        workers
            .iter()
            .any(|worker| holder.starts_with(&format!("{}_", worker.name())))
            .then_some(())
    });
    old.thaw().unwrap();
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    world.verdict(&task.id, SOON);
    eventually(SOON, "the old leader stands by", || {
        (old.metric("job_worker_leader").ok()? == 0.0).then_some(())
    });
    end(old);
    workers.into_iter().for_each(end);
    world.assert_completed(&task);
    world.assert_completed(&later);
    world.assert_one_job_each([&task, &later]);
}

#[test]
fn the_lease_is_one_that_kubectl_shows() {
    let world = World::new("lease");
    let worker = world.worker("worker-0");
    eventually(SOON, "the Lease is held", || {
        world.holder().starts_with("worker-0_").then_some(())
    });
    let lease = world.lease().unwrap();
    let spec = &lease["spec"];
    assert_eq!(spec["leaseDurationSeconds"], 2);
    for time in ["acquireTime", "renewTime"] {
        let text = spec[time].as_str().unwrap_or_default();
        assert!(text.parse::<jiff::Timestamp>().is_ok(), "{time} {text}");
    }
    assert!(spec["leaseTransitions"].is_u64());
    end(worker);
}

#[test]
fn a_lease_that_somebody_deletes_is_taken_again() {
    let world = World::new("lease-deleted");
    let worker = world.worker("worker-0");
    let task = world.task("lease-deleted", "exec sleep 6");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    world.cluster.delete(&format!(
        "/apis/coordination.k8s.io/v1/namespaces/job-worker/leases/{}",
        world.lock_name
    ));
    world.verdict(&task.id, SOON);
    eventually(SOON, "the Lease is held again", || {
        world.holder().starts_with("worker-0_").then_some(())
    });
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    end(worker);
    world.assert_completed(&task);
    world.assert_completed(&later);
    world.assert_one_job_each([&task, &later]);
}

#[test]
fn forty_tasks_survive_a_leader_that_is_killed_again_and_again() {
    let world = World::new("killed-often");
    let mut workers = replicas(&world);
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            world.task(
                &format!("t-{n}"),
                if n % 2 == 0 { "true" } else { "exec sleep 4" },
            )
        })
        .collect();
    for task in &tasks {
        world.push(task);
    }
    let told = || world.sink.requests().len();
    for round in 0..4 {
        let before = told();
        eventually(SOON, "the leader tells of something", || {
            (told() > before + 3).then_some(())
        });
        let dead = leader(&world, &workers);
        workers.remove(dead).kill().unwrap();
        workers.push(world.worker(&format!("worker-{}", round + 3)));
    }
    for task in &tasks {
        world.verdict(&task.id, Duration::from_secs(120));
    }
    workers.into_iter().for_each(end);
    for task in &tasks {
        world.assert_completed(task);
    }
    world.assert_one_job_each(&tasks);
}
