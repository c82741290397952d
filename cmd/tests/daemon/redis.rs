//! Faults of Redis: it is away, full, read-only, empty, paused, wrong, or restored from a backup.

use crate::stage::{COMPLETE, PLAY, QUEUE, Stage, Told, is_create_of};
use fixtures::apiserver::Answer;
use fixtures::redis::{Options, Server};
use fixtures::sink::Reply;
use serde_json::json;
use std::fs;
use std::path::Path;

const BEGUN: &[Told<'_>] = &[Told::Created, Told::Started];

/// Refuses the creates of one task, so that it stays Received.
fn hold_back(stage: &Stage, task: &'static str) {
    stage.api.rule(move |request| {
        is_create_of(request, task).then(|| {
            let status =
                json!({"kind": "Status", "code": 500, "reason": "InternalError", "message": "not now"});
            Answer::Json(500, status)
        })
    });
}

/// A task in each state: `received`, `created`, `started`, and `unheard`, which is complete and whose client does not answer.
fn cast(stage: &Stage) {
    hold_back(stage, "received");
    stage.submit("received", PLAY);
    stage.created("created");
    stage.started("started");
    stage.sink.set("/unheard", [Reply::status(503)]);
    stage.submit("unheard", PLAY);
    stage.finish("unheard");
    stage.told("unheard", &[Told::Created]);
}

/// Lets the cast go on to its end, and asserts that each client was told everything once.
fn play_out(stage: &mut Stage) {
    stage.api.heal();
    stage.sink.set("/unheard", [Reply::status(200)]);
    for task in ["received", "created"] {
        stage.finish(task);
    }
    stage.life(|life| life.fail("started", 3));
    let failed = Told::Failed(
        "JOB_EXECUTION_FAILED",
        "Job execution failed with exit code 3 (container main, reason Error)",
    );
    stage.ends(&[
        ("received", COMPLETE),
        ("created", COMPLETE),
        ("started", &[Told::Created, Told::Started, failed]),
        ("unheard", COMPLETE),
    ]);
    for task in ["received", "created", "started", "unheard"] {
        assert_eq!(stage.life(|life| life.jobs_made(task)), 1, "{task}");
    }
}

#[test]
fn a_leader_says_which_settings_weaken_the_promise_and_what_each_costs() {
    let stage = Stage::with(Options {
        appendonly: false,
        ..Options::default()
    });
    let worker = stage.leader("first");
    let off =
        worker.says("redis of the store: appendonly is off: a restart of the server may lose accepted tasks");
    assert_eq!(off["level"], "WARN");
    let alone = "redis of the store: the server has no replica: when its disk is lost, so are the messages and tasks \
                 without a Job; those with one are built anew";
    assert_eq!(worker.says(alone)["level"], "INFO");
}

#[test]
fn a_redis_that_is_down_at_the_start_is_waited_for() {
    let mut stage = Stage::set();
    stage.redis.kill().expect("a child");
    let mut worker = stage.worker("worker-1");
    worker.counts("job_worker_store_errors_total", 1);
    worker.answers("/readyz", 503);
    worker.is_well();
    stage.redis.restart().expect("redis-server starts");
    stage.bystander();
    worker.answers("/readyz", 200);
    worker.is_well();
}

#[test]
fn a_redis_that_dies_with_tasks_in_each_state_loses_none_of_them() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    cast(&stage);
    stage.redis.kill().expect("a child");
    worker.answers("/readyz", 503);
    // The cluster does not wait.
    stage.finish("created");
    worker.is_well();
    stage.redis.restart().expect("redis-server starts");
    play_out(&mut stage);
    worker.answers("/readyz", 200);
    worker.is_well();
}

#[test]
fn a_full_redis_stops_the_intake_and_no_running_task() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    cast(&stage);
    stage.command(&["CONFIG", "SET", "maxmemory", "1"]);
    stage.finish("created");
    worker.counts("job_worker_store_errors_total", 1);
    let full = stage.try_command(&["LPUSH", QUEUE, "more"]).unwrap_err();
    assert_eq!(full.code(), Some("OOM"));
    worker.is_well();
    stage.command(&["CONFIG", "SET", "maxmemory", "0"]);
    play_out(&mut stage);
    worker.is_well();
}

#[test]
fn messages_that_wait_in_a_full_redis_are_taken_once_there_is_room() {
    let mut stage = Stage::set();
    stage.submit("waits", PLAY);
    stage.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let mut worker = stage.worker("worker-1");
    worker.counts("job_worker_store_errors_total", 1);
    worker.is_well();
    assert_eq!(stage.creates("waits"), []);
    stage.command(&["CONFIG", "SET", "maxmemory", "0"]);
    stage.finish("waits");
    stage.ends(&[("waits", COMPLETE)]);
    worker.is_well();
}

#[test]
fn a_read_only_redis_stops_the_intake_and_no_running_task() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    cast(&stage);
    stage.command(&["REPLICAOF", "127.0.0.1", "1"]);
    stage.finish("created");
    worker.counts("job_worker_store_errors_total", 1);
    let refused = stage
        .try_command(&["LPUSH", QUEUE, "more"])
        .expect_err("it is a replica");
    assert_eq!(refused.code(), Some("READONLY"));
    worker.is_well();
    stage.command(&["REPLICAOF", "NO", "ONE"]);
    play_out(&mut stage);
    worker.is_well();
}

/// Empties Redis under tasks in each state that has a Job.
fn lost(mut stage: Stage) {
    let mut worker = stage.leader("worker-1");
    stage.created("created");
    stage.started("started");
    stage.started("over");
    stage.finish("over");
    stage.told("over", COMPLETE);
    stage.command(&["FLUSHALL"]);
    worker.counts("job_worker_orphan_jobs_total", 3);
    stage.finish("created");
    stage.life(|life| life.complete("started"));
    stage.ends(&[("created", COMPLETE), ("started", COMPLETE), ("over", COMPLETE)]);
    for task in ["created", "started", "over"] {
        assert_eq!(stage.creates(task).len(), 1, "{task}");
    }
    worker.is_well();
}

#[test]
fn a_redis_that_lost_everything_is_filled_again_from_the_jobs() {
    lost(Stage::set());
}

#[test]
fn a_redis_that_lost_everything_is_filled_again_with_the_minimal_permissions() {
    let stage = Stage::set();
    stage.life(|life| life.deny("patch"));
    lost(stage);
}

#[test]
fn a_redis_that_pauses_is_waited_for() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.started("started");
    stage.command(&["CLIENT", "PAUSE", "3000", "ALL"]);
    stage.life(|life| life.complete("started"));
    worker.is_well();
    stage.ends(&[("started", COMPLETE)]);
    assert_eq!(worker.metric("job_worker_takeovers_total"), 1);
}

#[test]
fn a_key_of_the_wrong_type_in_place_of_the_queue_stops_the_intake_alone() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.started("started");
    stage.command(&["SET", QUEUE, "somebody's"]);
    worker.answers("/readyz", 503);
    stage.life(|life| life.complete("started"));
    stage.told("started", COMPLETE);
    worker.is_well();
    let error = stage.try_command(&["LPUSH", QUEUE, "more"]).unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    stage.command(&["DEL", QUEUE]);
    stage.ends(&[("started", COMPLETE)]);
    worker.answers("/readyz", 200);
}

#[test]
fn a_password_that_is_wrong_until_the_operator_corrects_it_at_the_server_is_tried_again() {
    let options = Options {
        password: Some("old".to_owned()),
        ..Options::default()
    };
    let stage = Stage::with(options);
    let file = stage.directory.path().join("password");
    fs::write(&file, "new\n").unwrap();
    let file = file.to_string_lossy().into_owned();
    let stage = stage
        .setting("CACHE_REDIS_PASSWORD_FILE", &file)
        .setting("REDIS_QUEUE_PASSWORD_FILE", &file);
    let mut worker = stage.worker("worker-1");
    worker.counts("job_worker_store_errors_total", 1);
    worker.answers("/readyz", 503);
    worker.is_well();
    // The stage itself knows the old password alone, so its message comes first.
    stage.submit("waits", "calm");
    stage.command(&["CONFIG", "SET", "requirepass", "new"]);
    stage.told("waits", COMPLETE);
    worker.answers("/readyz", 200);
    worker.is_well();
}

#[test]
fn old_data_under_a_running_worker_changes_no_verdict_and_makes_no_second_job() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.created("early");
    let backup = stage.directory.path().join("backup");
    let data = stage.redis.directory().join("appendonlydir");
    stage.redis.kill().expect("a child");
    copy(&data, &backup);
    stage.redis.restart().expect("redis-server starts");
    stage.finish("early");
    stage.told("early", COMPLETE);
    stage.started("late");
    stage.started("over");
    stage.life(|life| life.complete("over"));
    stage.told("over", COMPLETE);
    stage.redis.kill().expect("a child");
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    stage.redis.restart().expect("redis-server starts");
    worker.counts("job_worker_orphan_jobs_total", 2);
    stage.life(|life| life.complete("late"));
    stage.ends(&[("early", COMPLETE), ("late", COMPLETE), ("over", COMPLETE)]);
    for task in ["early", "late", "over"] {
        assert_eq!(stage.creates(task).len(), 1, "{task}");
    }
    worker.is_well();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("can be read");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("can be copied");
    }
}

#[test]
fn a_task_that_was_only_begun_when_redis_died_is_told_of_its_start_once() {
    let mut stage = Stage::set();
    let _worker = stage.leader("worker-1");
    stage.started("begun");
    stage.redis.kill().expect("a child");
    stage.redis.restart().expect("redis-server starts");
    stage.ends(&[("begun", BEGUN)]);
}

/// Sets up with another Redis for the store.
fn two_servers() -> (Stage, Server) {
    let store = Server::start(Options {
        fsync_always: true,
        ..Options::default()
    });
    let store = store.expect("redis-server starts");
    let stage = Stage::set().setting("CACHE_REDIS_ENDPOINT", &store.url());
    (stage, store)
}

#[test]
fn a_queue_that_dies_alone_stops_the_intake_alone() {
    let (mut stage, _store) = two_servers();
    let mut worker = stage.leader("worker-1");
    stage.started("started");
    stage.redis.kill().expect("a child");
    worker.answers("/readyz", 503);
    stage.life(|life| life.complete("started"));
    stage.told("started", COMPLETE);
    worker.answers("/readyz", 503);
    worker.is_well();
    stage.redis.restart().expect("redis-server starts");
    stage.ends(&[("started", COMPLETE)]);
    worker.is_well();
}

#[test]
fn a_store_that_dies_alone_loses_no_message_that_is_taken_meanwhile() {
    let (mut stage, mut store) = two_servers();
    let mut worker = stage.leader("worker-1");
    stage.started("started");
    store.kill().expect("a child");
    stage.submit("waits", PLAY);
    stage.life(|life| life.complete("started"));
    worker.answers("/readyz", 503);
    worker.is_well();
    assert_eq!(stage.creates("waits"), []);
    store.restart().expect("redis-server starts");
    stage.finish("waits");
    stage.ends(&[("started", COMPLETE), ("waits", COMPLETE)]);
    assert_eq!(stage.creates("waits").len(), 1);
    worker.is_well();
}
