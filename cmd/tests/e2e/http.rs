//! Probes and metrics of leader and standby.

use fixtures::worker::Worker;

use crate::world::{SOON, World, end, eventually};

const PROMISED: [&str; 3] = [
    "queue_length",
    "messages_processed_total",
    "messages_failed_total",
];

fn ready(worker: &Worker) {
    eventually(SOON, "the worker is ready", || {
        (worker.get("/readyz").ok()?.0 == 200).then_some(())
    });
}

#[test]
fn leader_and_standby_answer_probes_and_show_the_promised_metrics() {
    let world = World::new("http");
    let leader = world.worker("worker-0");
    eventually(SOON, "it leads", || {
        (leader.metric("job_worker_leader").ok()? == 1.0).then_some(())
    });
    let standby = world.worker("worker-1");
    let bad = b"not json";
    world.push_raw(bad);
    let task = world.task("http", "true");
    world.push(&task);
    world.verdict(&task.id, SOON);

    for worker in [&leader, &standby] {
        ready(worker);
        for path in ["/healthz", "/livez"] {
            assert_eq!(worker.get(path).unwrap().0, 200, "{path}");
        }
        assert_eq!(worker.get("/nothing").unwrap().0, 404);
        let (status, text) = worker.get("/metrics").unwrap();
        assert_eq!(status, 200);
        for name in PROMISED {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
            worker.metric(name).unwrap();
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let known = PROMISED.iter().any(|name| line.starts_with(name))
                || line.starts_with("job_worker_")
                || line.starts_with("process_");
            assert!(known, "{line}");
        }
    }
    let values = |worker: &Worker| PROMISED.map(|name| worker.metric(name).unwrap());
    assert_eq!(values(&leader), [0.0, 2.0, 1.0]);
    assert_eq!(values(&standby), [0.0, 0.0, 0.0]);
    assert_eq!(standby.metric("job_worker_leader").unwrap(), 0.0);
    end(standby);
    end(leader);
}

#[test]
fn what_waits_in_the_queue_shows_on_every_replica() {
    let world = World::new("backlog");
    // One task in flight and it does not end: the rest stays in the queue.
    let bound = [("MAX_TASKS_IN_FLIGHT", "1")];
    let leader = world.worker_with("worker-0", &bound);
    let first = world.task("first", "exec sleep 600");
    world.push(&first);
    world.wait_for(&first.id, 2, SOON);
    let standby = world.worker_with("worker-1", &bound);
    for n in 0..5 {
        world.push(&world.task(&format!("waits-{n}"), "true"));
    }
    for worker in [&leader, &standby] {
        eventually(SOON, "the backlog shows", || {
            (worker.metric("queue_length").ok()? == 5.0).then_some(())
        });
    }
    end(standby);
    end(leader);
    world.assert_one_job_each([&first]);
}
