//! Receivers that fail, hang, redirect or are gone.

use std::time::Duration;

use fixtures::sink::{Reply, Request};
use serde_json::json;

use crate::story::{Told, of_task, statuses};
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

/// Statuses in the order of arrival, repeated deliveries included.
fn arrivals(requests: &[Request], id: &str) -> Vec<u64> {
    let bodies = of_task(requests, id);
    bodies
        .iter()
        .filter_map(|(_, body)| body["status"].as_u64())
        .collect()
}

#[test]
fn a_receiver_that_fails_twice_is_told_again_and_in_order() {
    let world = World::new("fails-twice");
    world.sink.set(
        "/callback",
        [Reply::status(500), Reply::status(503), Reply::status(200)],
    );
    let worker = world.worker("worker-0");
    let task = world.task("fails-twice", "true");
    world.push(&task);
    world.verdict(&task.id, PATIENCE);
    end(worker);
    world.assert_completed(&task);
    let requests = world.sink.requests();
    assert_eq!(arrivals(&requests, &task.id), [0, 0, 0, 1, 2]);
    let sent = of_task(&requests, &task.id);
    let keys: Vec<_> = sent
        .iter()
        .map(|(request, _)| request.header("webhook-id"))
        .collect();
    assert!(keys[0] == keys[1] && keys[1] == keys[2]);
    assert!(keys[2] != keys[3] && keys[3] != keys[4]);
}

#[test]
fn retries_come_after_1_s_and_5_s_where_nothing_new_is_to_be_told() {
    let world = World::new("pauses");
    world.sink.set(
        "/callback",
        [Reply::status(500), Reply::status(503), Reply::status(200)],
    );
    let worker = world.worker("worker-0");
    let task = with_one_callback(&world, "pauses");
    world.push(&task);
    let requests = world.sink.wait_for(3, PATIENCE).expect("two retries come");
    let sent = of_task(&requests, &task.id);
    let pauses = [sent[1].0.at - sent[0].0.at, sent[2].0.at - sent[1].0.at];
    for (pause, seconds) in pauses.iter().zip([1.0, 5.0]) {
        // ±20 %, and a second for a busy machine.
        let bounds = 0.78 * seconds..1.2 * seconds + 1.0;
        assert!(bounds.contains(&pause.as_secs_f64()), "{pauses:?}");
    }
    end(worker);
    assert_eq!(arrivals(&world.sink.requests(), &task.id), [0, 0, 0]);
}

#[test]
fn a_receiver_that_hangs_is_told_again() {
    let world = World::new("hangs");
    world.sink.set("/callback", [Reply::Hang, Reply::status(200)]);
    let worker = world.worker("worker-0");
    let task = world.task("hangs", "true");
    world.push(&task);
    world.verdict(&task.id, PATIENCE);
    end(worker);
    world.assert_completed(&task);
    assert_eq!(arrivals(&world.sink.requests(), &task.id), [0, 0, 1, 2]);
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let world = World::new("redirects");
    let elsewhere = world.sink.url("/elsewhere");
    world.sink.set(
        "/callback",
        [Reply::redirect(302, &elsewhere), Reply::status(204)],
    );
    let worker = world.worker("worker-0");
    let task = world.task("redirects", "true");
    world.push(&task);
    world.verdict(&task.id, PATIENCE);
    end(worker);
    world.assert_completed(&task);
    let requests = world.sink.requests();
    assert_eq!(arrivals(&requests, &task.id), [0, 0, 1, 2]);
    assert!(requests.iter().all(|request| request.path() == "/callback"));
}

#[test]
fn a_dead_receiver_holds_up_nobody_else() {
    let world = World::new("dead-receiver");
    // The port was free a moment ago, and nobody listens on it.
    let closed = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let worker = world.worker("worker-0");
    world.sink.set("/hangs", [Reply::Hang]);
    let mut lost = Vec::new();
    for n in 0..10 {
        let mut task = world.task(&format!("lost-{n}"), "true");
        let url = if n % 2 == 0 {
            format!("http://{closed}/callback")
        } else {
            world.sink.url("/hangs")
        };
        task.message["webhook"]["url"] = url.into();
        world.push(&task);
        lost.push(task);
    }
    let alive = world.task("alive", "true");
    world.push(&alive);
    world.verdict(&alive.id, PATIENCE);
    world.assert_completed(&alive);
    for task in &lost {
        eventually(PATIENCE, "every Job runs, whoever is told", || {
            let job = world.find_job(task)?;
            (job["status"]["succeeded"] == 1).then_some(())
        });
    }
    end(worker);
    world.assert_completed(&alive);
}

#[test]
fn a_receiver_that_is_gone_gets_no_more_callbacks() {
    let world = World::new("gone");
    world.sink.set("/callback", [Reply::status(410)]);
    let worker = world.worker("worker-0");
    let task = world.task("gone", "true");
    world.push(&task);
    eventually(PATIENCE, "the Job is complete", || {
        let job = world.find_job(&task)?;
        (job["status"]["succeeded"] == 1).then_some(())
    });
    let mut later = world.task("later", "true");
    later.message["webhook"]["url"] = world.sink.url("/later").into();
    world.push(&later);
    world.verdict(&later.id, PATIENCE);
    end(worker);
    assert_eq!(statuses(&world.told(&task.id)), [0]);
    assert_eq!(arrivals(&world.sink.requests(), &task.id), [0]);
    world.assert_completed(&later);
}

/// A task whose Job is created and never gets a node: one callback, and nothing that makes it hurry.
fn with_one_callback(world: &World, name: &str) -> Task {
    world.task(name, "true").with(
        "nodeSelector",
        json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"}),
    )
}

#[test]
fn a_callback_that_waits_outlives_the_worker() {
    let world = World::new("outlive");
    world.sink.set(
        "/callback",
        [Reply::status(500), Reply::status(500), Reply::status(200)],
    );
    let mut first = world.worker("worker-0");
    let task = with_one_callback(&world, "outlive");
    world.push(&task);
    world.sink.wait_for(2, SOON).expect("it is tried twice");
    first.kill().unwrap();
    let second = world.worker("worker-1");
    world
        .sink
        .wait_for(3, SOON)
        .expect("the next leader tries it again");
    end(second);
    assert_eq!(world.told(&task.id), [Told::created(&world.job(&task))]);
    assert_eq!(arrivals(&world.sink.requests(), &task.id), [0, 0, 0]);
    world.assert_one_job_each([&task]);
}

#[test]
fn a_receiver_on_a_denied_address_is_never_connected_to() {
    let world = World::new("denied");
    // Loopback is denied unless it is allowed.
    let worker = world.worker_with("worker-0", &[("WEBHOOK_ALLOW_CIDRS", "")]);
    let task = world.task("denied", "true");
    world.push(&task);
    eventually(SOON, "the Job is complete", || {
        let job = world.find_job(&task)?;
        (job["status"]["succeeded"] == 1).then_some(())
    });
    worker
        .wait_for_line(SOON, |line| {
            line["level"] == "WARN" && line.to_string().contains(&task.id)
        })
        .expect("the log says that nothing is delivered");
    end(worker);
    assert_eq!(world.sink.connections(), 0);
}
