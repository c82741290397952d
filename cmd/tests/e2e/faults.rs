//! Outages of Redis.

use std::time::Duration;

use adapters::lease::ANNOTATION;

use crate::world::{SOON, World, end, eventually};

#[test]
fn redis_may_be_killed_and_come_back_in_the_middle_of_a_task() {
    let mut world = World::new("redis-killed");
    let worker = world.worker("worker-0");
    let task = world.task("redis-killed", "exec sleep 8");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    // `appendfsync everysec`: what is older than this is on the disk.
    eventually(SOON, "Redis has synced", || {
        let synced: redis::InfoDict = redis::cmd("INFO")
            .arg("persistence")
            .query(&mut world.queue())
            .ok()?;
        (synced.get::<u64>("aof_pending_bio_fsync")? == 0).then_some(())
    });
    world.redis.kill().unwrap();
    eventually(SOON, "the outage shows on /readyz", || {
        (worker.get("/readyz").ok()?.0 == 503).then_some(())
    });
    assert_eq!(worker.get("/healthz").unwrap().0, 200);
    eventually(SOON, "the Job is complete while Redis is away", || {
        (world.job(&task)["status"]["succeeded"] == 1).then_some(())
    });
    world.redis.restart().unwrap();
    world.verdict(&task.id, SOON);
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    assert_eq!(worker.get("/readyz").unwrap().0, 200);
    end(worker);
    world.assert_completed(&task);
    world.assert_completed(&later);
    world.assert_one_job_each([&task, &later]);
}

#[test]
fn a_worker_that_starts_before_redis_waits_for_it() {
    let mut world = World::new("redis-later");
    world.redis.kill().unwrap();
    let worker = world.worker("worker-0");
    eventually(SOON, "it says that it is not ready", || {
        (worker.get("/readyz").ok()?.0 == 503).then_some(())
    });
    assert_eq!(worker.get("/healthz").unwrap().0, 200);
    world.redis.restart().unwrap();
    let task = world.task("redis-later", "true");
    world.push(&task);
    world.verdict(&task.id, SOON);
    end(worker);
    world.assert_completed(&task);
}

#[test]
fn a_redis_that_is_frozen_for_a_while_loses_nothing() {
    let world = World::new("redis-frozen");
    let worker = world.worker("worker-0");
    let task = world.task("redis-frozen", "exec sleep 4");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    world.redis.stop().unwrap();
    let frozen = std::time::Instant::now();
    eventually(SOON, "12 s without Redis", || {
        (frozen.elapsed() > Duration::from_secs(12)).then_some(())
    });
    assert_eq!(worker.get("/healthz").unwrap().0, 200);
    world.redis.cont().unwrap();
    world.verdict(&task.id, SOON);
    end(worker);
    world.assert_completed(&task);
    world.assert_one_job_each([&task]);
}

fn set_maxmemory(world: &World, bytes: &str) {
    redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", bytes])
        .exec(&mut world.queue())
        .expect("Redis takes the setting");
}

#[test]
fn a_redis_without_memory_holds_everything_up_and_loses_nothing() {
    let world = World::new("redis-full");
    let worker = world.worker("worker-0");
    let task = world.task("redis-full", "exec sleep 4");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let later = world.task("later", "true");
    world.push(&later);
    set_maxmemory(&world, "1");
    eventually(SOON, "the Job is complete", || {
        (world.job(&task)["status"]["succeeded"] == 1).then_some(())
    });
    worker
        .wait_for_line(SOON, |line| line.to_string().contains("OOM"))
        .expect("the log says what Redis says");
    assert_eq!(worker.get("/healthz").unwrap().0, 200);
    set_maxmemory(&world, "0");
    world.verdict(&task.id, SOON);
    world.verdict(&later.id, SOON);
    end(worker);
    world.assert_completed(&task);
    world.assert_completed(&later);
    world.assert_one_job_each([&task, &later]);
}

/// A task that runs and one that is done, when Redis is emptied; both have their one Job and one verdict in the end.
fn assert_rebuilt(world: &World, more: &[(&str, &str)]) {
    let worker = world.worker_with("worker-0", more);
    let task = world.task("flushed", "exec sleep 6");
    let done = world.task("done", "true");
    world.push(&task);
    world.push(&done);
    world.verdict(&done.id, SOON);
    world.wait_for(&task.id, 2, SOON);
    redis::cmd("FLUSHALL")
        .exec(&mut world.queue())
        .expect("Redis forgets");
    world.verdict(&task.id, SOON);
    // A copy is still a copy, although every tombstone was lost.
    world.push(&task);
    world.push(&done);
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    end(worker);
    world.assert_completed(&task);
    world.assert_completed(&done);
    world.assert_one_job_each([&task, &done, &later]);
}

#[test]
fn a_store_that_lost_everything_is_rebuilt_from_the_jobs_of_the_cluster() {
    let world = World::new("flushed-wide");
    let wide = world.cluster.facts.worker_clusterwide_kubeconfig.clone();
    assert_rebuilt(&world.with_kubeconfig(&wide), &[]);
}

#[test]
fn a_store_that_lost_everything_is_rebuilt_from_the_jobs_of_the_listed_namespaces() {
    let world = World::new("flushed-listed");
    let listed = format!("job-worker,{}", world.namespace);
    assert_rebuilt(&world, &[("WATCH_NAMESPACES", &listed)]);
}

#[test]
fn a_store_that_lost_everything_is_rebuilt_from_the_jobs_of_the_namespaces_that_the_lease_names() {
    assert_rebuilt(&World::new("flushed-named"), &[]);
}

#[test]
fn a_leader_that_dies_with_the_store_is_followed_by_one_that_finds_its_jobs() {
    let world = World::new("flushed-killed");
    let mut first = world.worker("worker-0");
    let task = world.task("flushed", "exec sleep 10");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    eventually(SOON, "the Lease names the namespace", || {
        let lease = world.lease()?;
        (lease["metadata"]["annotations"][ANNOTATION] == world.namespace.as_str()).then_some(())
    });
    redis::cmd("FLUSHALL")
        .exec(&mut world.queue())
        .expect("Redis forgets");
    first.kill().expect("the worker runs");
    let second = world.worker("worker-1");
    world.verdict(&task.id, SOON);
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    end(second);
    world.assert_completed(&task);
    world.assert_one_job_each([&task, &later]);
}
