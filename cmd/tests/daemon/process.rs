//! The process: how it ends, and how one replica follows another.

use crate::stage::{COMPLETE, CREATE, LIMIT, PLAY, Stage, Told, until};
use fixtures::apiserver::Answer;
use fixtures::sink::Reply;
use serde_json::{Value, json};
use std::time::Duration;

/// Tasks in flight: one Job, one running pod, one callback that is not answered.
fn work(stage: &Stage) {
    stage.created("created");
    stage.started("started");
    stage.sink.set("/unheard", [Reply::status(503)]);
    stage.submit("unheard", PLAY);
    stage.finish("unheard");
    stage.told("unheard", &[Told::Created]);
}

/// Lets the client that did not answer be heard again.
fn heard(stage: &Stage) {
    stage.sink.set("/unheard", [Reply::status(200)]);
}

/// Lets all of it end, under whichever replica leads.
fn work_ends(stage: &mut Stage) {
    stage.finish("created");
    stage.life(|life| life.complete("started"));
    let all = ["created", "started", "unheard"];
    stage.ends(&all.map(|task| (task, COMPLETE)));
    for task in all {
        assert_eq!(stage.creates(task).len(), 1, "{task}");
    }
}

#[test]
fn sigterm_ends_the_process_well_and_gives_the_lease_back() {
    // A lease that nobody would wait out.
    let mut stage = Stage::set().lease(600);
    let mut worker = stage.leader("worker-1");
    work(&stage);
    // A create whose answer takes a while is waited for.
    stage.api.on(CREATE, [Answer::Late(Duration::from_secs(1))]);
    stage.submit("last", PLAY);
    stage.api.wait_for(CREATE, 4);
    worker.signal("TERM");
    let status = worker.ended(LIMIT);
    assert_eq!(status.code(), Some(0));
    assert_eq!(stage.holder(), json!(""));
    // Released: the next one does not wait for its end.
    heard(&stage);
    let mut next = stage.leader("worker-2");
    work_ends(&mut stage);
    stage.finish("last");
    stage.ends(&[("last", COMPLETE)]);
    assert_eq!(stage.creates("last").len(), 1);
    next.is_well();
}

#[test]
fn a_second_sigterm_ends_the_process_at_once() {
    let mut stage = Stage::set().setting("KUBERNETES_CLIENT_TIMEOUT", "30").lease(15);
    let mut worker = stage.leader("worker-1");
    stage.api.on(CREATE, [Answer::Hang]);
    stage.submit("hangs", PLAY);
    stage.api.wait_for(CREATE, 1);
    worker.signal("TERM");
    worker.says("told to stop: nothing new is begun");
    worker.signal("TERM");
    let status = worker.ended(LIMIT);
    assert_eq!(status.code(), Some(1));
    assert_ne!(
        stage.holder(),
        json!(""),
        "the lease is not given back by a process that is cut off"
    );
    stage.life(|life| life.drop_lease("jobs", "job-worker-lock"));
    let mut next = stage.leader("worker-2");
    stage.finish("hangs");
    stage.ends(&[("hangs", COMPLETE)]);
    next.is_well();
}

#[test]
fn the_second_replica_takes_over_from_a_dead_one() {
    let mut stage = Stage::set().lease(2);
    let mut first = stage.leader("worker-1");
    let mut second = stage.worker("worker-2");
    second.answers("/readyz", 200);
    work(&stage);
    second.leads(false);
    first.kill();
    heard(&stage);
    second.leads(true);
    work_ends(&mut stage);
    second.is_well();
}

#[test]
fn a_leader_that_was_frozen_finds_itself_fenced() {
    let mut stage = Stage::set().lease(2);
    let mut first = stage.leader("worker-1");
    let mut second = stage.worker("worker-2");
    second.answers("/readyz", 200);
    work(&stage);
    let before = stage.watches();
    first.signal("STOP");
    heard(&stage);
    stage.watched(before);
    let holder = stage.holder();
    assert!(
        holder
            .as_str()
            .is_some_and(|holder| holder.starts_with("worker-2_")),
        "{holder}"
    );
    first.signal("CONT");
    first.leads(false);
    work_ends(&mut stage);
    assert_eq!(stage.holder(), holder);
    // It campaigns again, and leads again once it may.
    first.is_well();
    second.kill();
    let again = |holder: &Value| {
        holder
            .as_str()
            .is_some_and(|holder| holder.starts_with("worker-1_"))
    };
    until("the first leads again", || again(&stage.holder()));
    stage.bystander();
    first.is_well();
}

#[test]
fn a_lease_that_somebody_else_writes_ends_the_term() {
    let mut stage = Stage::set().lease(2);
    let mut worker = stage.leader("worker-1");
    stage.started("started");
    stage.life(|life| life.take_lease("jobs", "job-worker-lock", "somebody"));
    worker.leads(false);
    stage.life(|life| life.complete("started"));
    worker.is_well();
    // Nobody renews it, so it is taken back.
    worker.counts("job_worker_takeovers_total", 2);
    stage.ends(&[("started", COMPLETE)]);
    worker.is_well();
}
