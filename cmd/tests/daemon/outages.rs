//! An API server that is away, slow, or says no to everything.

use crate::stage::{COMPLETE, CREATE, LIMIT, PLAY, Stage, Told, recorded, until};
use fixtures::apiserver::{Answer, Ending};
use std::time::{Duration, Instant};

const BEGUN: &[Told<'_>] = &[Told::Created, Told::Started];

#[test]
fn an_api_server_that_is_down_at_the_start_is_waited_for() {
    let mut stage = Stage::set();
    stage.api.down();
    let mut worker = stage.worker("worker-1");
    worker.answers("/readyz", 503);
    worker.is_well();
    stage.submit("waits", PLAY);
    stage.api.up();
    stage.finish("waits");
    stage.ends(&[("waits", COMPLETE)]);
    worker.answers("/readyz", 200);
    worker.is_well();
}

/// Takes the API server away for five seconds, with tasks in each state.
fn away_for_five_seconds(lease_seconds: u32) {
    let mut stage = Stage::set().lease(lease_seconds);
    let mut worker = stage.leader("worker-1");
    stage.api.on(
        CREATE,
        [Answer::RetryAfter(
            429,
            1,
            serde_json::json!({"kind": "Status", "code": 429}),
        )],
    );
    stage.submit("received", PLAY);
    stage.api.wait_for(CREATE, 1);
    stage.created("created");
    stage.started("started");
    stage.started("ends");
    stage.api.down();
    stage.life(|life| life.complete("ends"));
    let down_at = Instant::now();
    worker.answers("/readyz", 503);
    until("five seconds are over", || {
        worker.is_well();
        down_at.elapsed() >= Duration::from_secs(5)
    });
    // Nothing is concluded from silence.
    stage.told("created", &[Told::Created]);
    stage.told("started", BEGUN);
    stage.told("ends", BEGUN);
    stage.api.up();
    stage.told("ends", COMPLETE);
    for task in ["received", "created", "started"] {
        stage.finish(task);
    }
    let all = ["received", "created", "started", "ends"];
    stage.ends(&all.map(|task| (task, COMPLETE)));
    for task in all {
        assert_eq!(stage.life(|life| life.jobs_made(task)), 1, "{task}");
    }
    worker.is_well();
}

#[test]
fn an_outage_shorter_than_the_lease_gives_no_verdict() {
    away_for_five_seconds(15);
}

#[test]
fn an_outage_longer_than_the_lease_gives_no_verdict() {
    away_for_five_seconds(2);
}

#[test]
fn a_token_that_is_refused_for_a_while_gives_no_verdict() {
    let mut stage = Stage::set().lease(2);
    let mut worker = stage.leader("worker-1");
    stage.created("created");
    stage.started("started");
    stage
        .api
        .rule(|_| Some(recorded!(401, "status-401-unauthorized")));
    stage.api.end_watches(Ending::Clean);
    stage.life(|life| life.complete("started"));
    worker.leads(false);
    worker.answers("/readyz", 503);
    worker.is_well();
    stage.submit("waits", PLAY);
    stage.told("started", BEGUN);
    stage.api.heal();
    stage.finish("created");
    stage.finish("waits");
    stage.ends(&[("created", COMPLETE), ("started", COMPLETE), ("waits", COMPLETE)]);
    worker.is_well();
}

/// Asserts that a Job whose creation was not answered is adopted by the next attempt.
fn adopted(answer: Answer) {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.api.on(CREATE, [answer]);
    stage.submit("doubted", PLAY);
    stage.api.wait_for(CREATE, 1);
    stage.bystander();
    stage.finish("doubted");
    stage.ends(&[("doubted", COMPLETE)]);
    assert!(
        stage.creates("doubted").len() <= 2,
        "{:#?}",
        stage.creates("doubted")
    );
    assert_eq!(stage.life(|life| life.jobs_made("doubted")), 1);
    worker.is_well();
}

#[test]
fn a_job_whose_creation_is_answered_too_late_is_adopted() {
    adopted(Answer::Late(Duration::from_secs(4)));
}

#[test]
fn a_job_whose_creation_is_never_answered_is_adopted() {
    adopted(Answer::Late(Duration::from_secs(3600)));
}

#[test]
fn a_job_whose_creation_is_answered_by_a_reset_is_adopted() {
    adopted(Answer::Lost);
}

#[test]
fn each_attempt_is_one_request_and_the_second_meets_the_job() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    // The watch is silent, so that only the answer to a create can tell of the Job.
    stage.api.end_watches(Ending::Mute);
    stage.api.on(CREATE, [Answer::Late(Duration::from_secs(4))]);
    stage.submit("doubted", PLAY);
    stage.told("doubted", &[Told::Created]);
    let creates = stage.creates("doubted");
    assert_eq!(creates.len(), 2);
    // The timeout of a request is 2 s, and the first pause half a second.
    assert!(
        creates[1].at - creates[0].at >= Duration::from_millis(2500),
        "asked too soon"
    );
    assert_eq!(stage.life(|life| life.jobs_made("doubted")), 1);
    worker.signal("TERM");
    assert_eq!(worker.ended(LIMIT).code(), Some(0));
    let mut worker = stage.leader("worker-2");
    stage.finish("doubted");
    stage.ends(&[("doubted", COMPLETE)]);
    assert_eq!(stage.creates("doubted").len(), 2);
    worker.is_well();
}

#[test]
fn a_create_that_is_reset_before_it_is_done_is_sent_again() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.api.on(CREATE, [Answer::Close, Answer::Hang]);
    stage.submit("doubted", PLAY);
    stage.api.wait_for(CREATE, 2);
    stage.bystander();
    stage.finish("doubted");
    stage.ends(&[("doubted", COMPLETE)]);
    assert_eq!(stage.creates("doubted").len(), 3);
    worker.is_well();
}
