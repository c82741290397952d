//! Outages of Redis and of the API server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fixtures::kubernetes::{Access, Cluster};

use crate::world::{SOON, World, end, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

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
fn the_api_server_may_be_away_in_the_middle_of_a_task() {
    let directory = std::env::temp_dir().join(format!("job-worker-outage-{}", std::process::id()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cluster");
    let cluster = Arc::new(Cluster::up(&script, &directory).expect("a second cluster comes up"));
    let world = World::on(Arc::clone(&cluster), "outage", Access::Needed);
    let worker = world.worker("worker-0");
    let task = world.task("outage", "exec sleep 10");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);

    cluster.stop_apiserver().unwrap();
    let during = world.task("during", "true");
    world.push(&during);
    eventually(SOON, "the outage shows on /readyz", || {
        (worker.get("/readyz").ok()?.0 == 503).then_some(())
    });
    assert_eq!(worker.get("/healthz").unwrap().0, 200);
    // Longer than the lease, and than the task.
    let outage = std::time::Instant::now();
    eventually(SOON, "20 s without an API server", || {
        (outage.elapsed() > Duration::from_secs(20)).then_some(())
    });
    assert_eq!(world.told(&task.id).len(), 2, "nothing is concluded from silence");
    cluster.start_apiserver().unwrap();

    world.verdict(&task.id, PATIENCE);
    world.verdict(&during.id, PATIENCE);
    end(worker);
    world.assert_completed(&task);
    world.assert_completed(&during);
    world.assert_one_job_each([&task, &during]);
}
