//! What tasks cost the world around the daemon, in exact counts, and what a backlog costs the daemon.

use crate::stage::{CALM, COMPLETE, PLAY, QUEUE, Stage, Worker, until};
use fixtures::apiserver::Answer;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often each request came, those for the lease apart: they are a matter of time.
fn requests(stage: &Stage) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in stage.api.requests() {
        let key = request.key();
        if !key.contains("/leases") {
            *counts.entry(key).or_default() += 1;
        }
    }
    counts
}

#[test]
fn a_task_costs_the_api_server_one_request() {
    let tasks = 40;
    let stage = Stage::set();
    let worker = stage.leader("worker-1");
    // The first task of a namespace asks for its permissions.
    stage.submit("first", CALM);
    stage.told("first", COMPLETE);
    let before = requests(&stage);
    let ids: Vec<String> = (0..tasks).map(|number| format!("task-{number}")).collect();
    ids.iter().for_each(|id| stage.submit(id, CALM));
    ids.iter().for_each(|id| stage.told(id, COMPLETE));
    let mut after = requests(&stage);
    for (key, count) in before {
        let now = after.get_mut(&key).expect("it was counted before");
        *now -= count;
    }
    after.retain(|_, count| *count > 0);
    let create = format!("create /apis/batch/v1/namespaces/{CALM}/jobs");
    assert_eq!(after, BTreeMap::from([(create, tasks)]));
    // None of the callbacks came twice.
    assert_eq!(stage.sink.requests().len(), 3 * (tasks + 1));
    worker.counts("job_worker_callbacks_total", 3 * (tasks + 1));
}

/// `MAX_TASKS_IN_FLIGHT` of the test.
const ROOM: usize = 200;
/// What the resident set may grow by while the backlog grows, in KiB: it holds 95,000 messages of 1 KiB.
const GROWTH_MAX: usize = 24 * 1024;

/// The API server keeps every create back: what cannot be done waits in Redis, and the worker does not feel it.
#[test]
fn a_backlog_stays_in_redis() {
    let stage =
        Stage::with(fixtures::redis::Options::default()).setting("MAX_TASKS_IN_FLIGHT", &ROOM.to_string());
    stage.api.rule(|request| {
        let create = request.verb == "create" && request.key().ends_with("/jobs");
        create.then(|| Answer::Late(Duration::from_secs(1)))
    });
    let mut worker = stage.leader("worker-1");
    push(&stage, 0..5_000);
    let taken = || worker.metric("job_worker_tasks") >= ROOM;
    until("as many tasks are in flight as may be", taken);
    settled(&stage, &worker);
    let before = resident(&worker);
    push(&stage, 5_000..100_000);
    settled(&stage, &worker);
    let after = resident(&worker);
    assert!(
        after < before + GROWTH_MAX,
        "the worker occupied {before} KiB before 95,000 messages came, {after} KiB after"
    );
    assert!(worker.metric("job_worker_tasks") <= ROOM, "no more than may be");
    worker.is_well();
}

/// Returns the resident set of the process, in KiB.
fn resident(worker: &Worker) -> usize {
    let path = format!("/proc/{}/status", worker.child.id());
    let status = std::fs::read_to_string(path).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    kib.expect("a process has a resident set")
}

/// Puts messages on the queue, each of 1 KiB.
fn push(stage: &Stage, numbers: std::ops::Range<usize>) {
    let mut connection = stage.redis.connection(0).expect("Redis is there");
    let numbers: Vec<usize> = numbers.collect();
    for page in numbers.chunks(1_000) {
        let mut pushes = ::redis::pipe();
        for number in page {
            let mut message = stage.message(&format!("task-{number}"), PLAY);
            message["job"]["args"] = serde_json::json!(["x".repeat(1_024)]);
            pushes.lpush(QUEUE, message.to_string()).ignore();
        }
        pushes.exec(&mut connection).expect("Redis takes them");
    }
}

/// Waits until the metric says what the queue holds, although tasks may end meanwhile.
fn settled(stage: &Stage, worker: &Worker) {
    until("queue_length tells the truth", || {
        let length = || -> usize {
            let mut connection = stage.redis.connection(0).expect("Redis is there");
            let length = ::redis::cmd("LLEN").arg(QUEUE).query(&mut connection);
            length.expect("a list has a length")
        };
        let (before, told, after) = (length(), worker.metric("queue_length"), length());
        (after..=before).contains(&told)
    });
}
