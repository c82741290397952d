//! Receivers that fail, hang, redirect or are gone.

use std::time::Duration;

use fixtures::sink::{Reply, Request};

use crate::story::{of_task, statuses};
use crate::world::{SOON, World, end};

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
    // 1 s and 5 s, each with ±20 %.
    let pause = |n: usize| sent[n].0.at - sent[n - 1].0.at;
    assert!(pause(1) >= Duration::from_millis(780), "{:?}", pause(1));
    assert!(pause(2) >= Duration::from_millis(3900), "{:?}", pause(2));
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
        [Reply::redirect(307, &elsewhere), Reply::status(204)],
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
        crate::world::eventually(PATIENCE, "every Job runs, whoever is told", || {
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
    crate::world::eventually(PATIENCE, "the Job is complete", || {
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

#[test]
fn callbacks_that_wait_outlive_the_worker() {
    let world = World::new("outlive");
    world.sink.set("/callback", [Reply::status(500)]);
    let mut first = world.worker("worker-0");
    let task = world.task("outlive", "true");
    world.push(&task);
    crate::world::eventually(PATIENCE, "the Job is complete and a callback was refused", || {
        let job = world.find_job(&task)?;
        (job["status"]["succeeded"] == 1 && !world.sink.requests().is_empty()).then_some(())
    });
    first.kill().unwrap();
    world.sink.set("/callback", [Reply::status(200)]);
    let second = world.worker("worker-1");
    world.verdict(&task.id, SOON);
    end(second);
    world.assert_completed(&task);
    assert_eq!(world.creates(), 1);
}
