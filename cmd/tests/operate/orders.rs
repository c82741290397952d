//! Orders, given to a leader that leads.

use crate::shelf::{Shelf, words};
use crate::stage::{CALM, COMPLETE, CREATE, LIMIT, PLAY, Stage, Told, recorded, until};
use serde_json::{Value, json};
use std::process::{Command, Output};

/// Runs a command of the binary beside the daemon.
pub(crate) fn run(stage: &Stage, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .args(words)
        .env_clear()
        .env("CACHE_REDIS_ENDPOINT", stage.redis.url())
        .env("CACHE_REDIS_DB", "0")
        .env("REDIS_QUEUE_ENDPOINT", stage.redis.url())
        .output()
        .expect("cargo has built the binary")
}

/// Runs an order that waits for its leader for as long as a slow machine needs, and returns its results.
pub(crate) fn order(stage: &Stage, words: &[&str]) -> (Option<i32>, Value) {
    let mut all = words.to_vec();
    all.extend(["--wait", "60s", "-o", "json"]);
    let output = run(stage, &all);
    let text = String::from_utf8_lossy(&output.stdout);
    let results = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), results)
}

#[test]
fn a_running_task_is_cancelled_once_and_its_job_is_stopped() {
    let mut stage = Stage::set();
    let _leader = stage.leader("worker-0");
    stage.started("a");
    let cancel = ["cancel", "a", "--by", "alice", "--reason", "no longer needed"];
    let (code, results) = order(&stage, &cancel);
    assert_eq!(
        (code, results),
        (
            Some(0),
            json!([{"subject": "a", "done": true, "text": "PodStarted, stopping"}])
        )
    );
    let message = "The task was cancelled by alice: no longer needed.";
    let told = [
        Told::Created,
        Told::Started,
        Told::Exception("TASK_CANCELLED", message),
    ];
    stage.told("a", &told);
    let job = stage.life(|life| life.job("a")).expect("a Job");
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 1);
    let (code, results) = order(&stage, &cancel);
    assert_eq!((code, &results[0]["done"]), (Some(1), &json!(false)));
    let events = run(&stage, &["events", "--task", "a", "-o", "json"]);
    let events = String::from_utf8_lossy(&events.stdout);
    let orders: Vec<&str> = events
        .lines()
        .filter(|line| line.contains("\"Cancelled\""))
        .collect();
    assert_eq!(orders.len(), 1, "{events}");
    assert!(
        orders[0].contains("by order of alice: no longer needed"),
        "{}",
        orders[0]
    );
    stage.ends(&[("a", &told)]);
}

#[test]
fn a_task_without_a_job_never_gets_one() {
    let mut stage = Stage::set();
    let leader = stage.leader("worker-0");
    stage
        .api
        .rule(|request| (request.key() == CREATE).then(|| recorded!(403, "status-403-quota")));
    stage.submit("a", PLAY);
    until("the task is gated", || {
        let list = run(&stage, &["list", "--no-headers"]);
        words(&String::from_utf8_lossy(&list.stdout))
            .first()
            .is_some_and(|row| row[2] == "gated")
    });
    let (code, results) = order(&stage, &["cancel", "a", "nobody", "--by", "alice"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        results[0],
        json!({"subject": "a", "done": true, "text": "Exception, done"})
    );
    assert_eq!(
        results[1],
        json!({"subject": "nobody", "done": false, "text": "no task has this id, or it is finished"})
    );
    stage.api.heal();
    let told: [Told<'_>; 1] = [Told::Exception(
        "TASK_CANCELLED",
        "The task was cancelled by alice.",
    )];
    stage.ends(&[("a", &told)]);
    assert_eq!(stage.life(|life| life.jobs_made("a")), 0);
    drop(leader);
}

#[test]
fn a_service_is_cancelled_and_jobs_that_may_not_be_stopped_are_left() {
    let mut stage = Stage::set();
    stage.life(|life| life.deny("patch"));
    let _leader = stage.leader("worker-0");
    stage.started("a");
    stage.created("b");
    let usage = run(&stage, &["cancel", "--service", "example"]);
    assert_eq!(usage.status.code(), Some(64), "--yes is missing");
    let dry = run(
        &stage,
        &["cancel", "--service", "example", "--dry-run", "-o", "json"],
    );
    let dry: Value = serde_json::from_slice(&dry.stdout).expect("JSON");
    assert_eq!(
        dry[0],
        json!({"subject": "a", "done": false, "text": "would be cancelled in PodStarted, following"})
    );
    let (code, results) = order(
        &stage,
        &["cancel", "--service", "example", "--yes", "--by", "alice"],
    );
    assert_eq!(code, Some(0), "{results}");
    let text = |index: usize| results[index]["text"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (text(0), text(1)),
        (
            "Exception, Job left in place".to_owned(),
            "Exception, Job left in place".to_owned()
        )
    );
    let left = |task: &str| {
        let job = stage.life(|life| life.job(task)).expect("a Job");
        let name = job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        format!(
            "The task was cancelled by alice. The Job was left in place and may still run; delete it with `kubectl delete job {name} -n play`."
        )
    };
    let (a, b) = (left("a"), left("b"));
    stage.ends(&[
        (
            "a",
            &[
                Told::Created,
                Told::Started,
                Told::Exception("TASK_CANCELLED", &a),
            ],
        ),
        ("b", &[Told::Created, Told::Exception("TASK_CANCELLED", &b)]),
    ]);
    let none = run(
        &stage,
        &["cancel", "--service", "other", "--yes", "--wait", "60s"],
    );
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn an_order_that_nobody_answers_is_taken_back() {
    let shelf = Shelf::new();
    let output = shelf.run(&["cancel", "a", "--wait", "1s"]);
    assert_eq!(output.status.code(), Some(75));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("no leader answered within 1 s; the order was taken back"),
        "{stderr}"
    );
    let mut connection = shelf.redis.connection(3).expect("Redis is there");
    let orders: u64 = ::redis::cmd("XLEN")
        .arg("job-worker-{job-worker-lock}:orders")
        .query(&mut connection)
        .expect("a stream");
    assert_eq!(orders, 0);
}

#[test]
fn a_pause_outlasts_its_leader_and_loses_no_message() {
    let stage = Stage::set();
    let mut first = stage.leader("worker-0");
    let (code, results) = order(&stage, &["pause", "--by", "alice", "--reason", "upgrade"]);
    assert_eq!(
        (code, results),
        (
            Some(0),
            json!([{"subject": "intake", "done": true, "text": "paused"}])
        )
    );
    first.counts("job_worker_intake_paused", 1);
    // The take that was under way brings one, which is held.
    stage.submit("a", CALM);
    stage.submit("b", CALM);
    let nothing = || {
        order(&stage, &["cancel", "nobody"]);
        let list = run(&stage, &["list", "-o", "json"]);
        assert_eq!(String::from_utf8_lossy(&list.stdout), "[]\n");
    };
    nothing();
    first.signal("TERM");
    first.ended(LIMIT);
    let before = stage.watches();
    let second = stage.worker("worker-1");
    stage.watched(before);
    second.counts("job_worker_intake_paused", 1);
    nothing();
    let top = run(&stage, &["top"]);
    let top = String::from_utf8_lossy(&top.stdout);
    assert!(
        top.contains("by alice: upgrade; `job-worker resume` goes on"),
        "{top}"
    );
    let (_, results) = order(&stage, &["resume"]);
    assert_eq!(results[0]["text"], "goes on");
    stage.told("a", COMPLETE);
    stage.told("b", COMPLETE);
    assert_eq!(second.metric("job_worker_intake_paused"), 0);
}
