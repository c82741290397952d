//! `job-worker audit` on a real redis-server and the embedded cluster: a worker leaves tasks in every state, is killed, and
//! then somebody writes where only the worker should. Each kind of finding has a task of its own.

mod scene;

use scene::{LIMITED, Scene, TOKEN};
use serde_json::json;

/// The kind that the audit has to find, whose it is, and what is done to the task.
type Case = (&'static str, &'static str, fn(&Scene, &str));

const CASES: &[Case] = &[
    ("snapshot-unreadable", "runs-1", |scene, id| {
        scene.redis(&["HSET", &scene.key("tasks"), id, "12345678 of a later time"]);
    }),
    ("task-unindexed", "runs-2", |scene, id| {
        scene.redis(&["ZREM", &scene.key("live"), id]);
    }),
    ("message-left", "runs-3", |scene, id| {
        scene.redis(&["HSET", &scene.key("messages"), id, "{}"]);
    }),
    ("job-missing", "runs-4", |scene, id| scene.delete_job(id)),
    ("job-without-task", "runs-5", |scene, id| {
        scene.redis(&["HDEL", &scene.key("tasks"), id]);
        scene.redis(&["ZREM", &scene.key("live"), id]);
    }),
    ("second-job", "runs-6", |scene, id| scene.copy_job(id)),
    ("job-differs", "runs-7", |scene, id| {
        scene.annotate(id, "job-worker/digest", &"0".repeat(64));
    }),
    ("job-unreadable", "runs-8", |scene, id| {
        scene.annotate(id, "job-worker/digest", "none");
    }),
    ("tombstone-early", "runs-9", |scene, id| {
        let copied = scene.key(&format!("done:{id}"));
        scene.redis(&["COPY", &scene.key("done:done-1"), &copied]);
    }),
    ("message-missing", "held", |scene, id| {
        scene.redis(&["HDEL", &scene.key("messages"), id]);
    }),
    ("job-outlives-task", "done-2", |scene, id| scene.copy_job(id)),
    ("tombstone-unreadable", "done-3", |scene, id| {
        let stone = scene.key(&format!("done:{id}"));
        scene.redis(&["SET", &stone, "of a later time", "KEEPTTL"]);
    }),
    ("tombstone-endless", "done-4", |scene, id| {
        scene.redis(&["PERSIST", &scene.key(&format!("done:{id}"))]);
    }),
    ("callback-given-up", "done-5", |scene, id| {
        let body = json!({"id": id, "status": 2}).to_string();
        let dead = scene.key("dead");
        scene.redis(&[
            "XADD", &dead, "*", "body", &body, "reason", "410", "url", "http://a",
        ]);
    }),
    ("tombstone-missing", "owed-1", |scene, id| {
        scene.redis(&["DEL", &scene.key(&format!("done:{id}"))]);
    }),
    ("callback-without-task", "owed-2", |scene, id| {
        scene.redis(&["HDEL", &scene.key("tasks"), id]);
        scene.redis(&["ZREM", &scene.key("live"), id]);
    }),
    ("index-without-task", "ghost", |scene, id| {
        scene.redis(&["ZADD", &scene.key("live"), "1", id]);
    }),
    ("callback-unreadable", "ghost", |scene, id| {
        scene.redis(&["HSET", &scene.key("outbox"), id, "of a later time"]);
    }),
];

#[test]
fn what_does_not_fit_is_found_each_kind_of_it_and_nothing_else() {
    let scene = Scene::set();
    let report = scene.audit(TOKEN, &[]);
    assert_eq!(
        report.found,
        [],
        "a killed worker leaves nothing that does not fit"
    );
    assert_eq!(report.code, 0);
    assert_eq!(report.tasks, 12, "9 that run, one held, two that owe a callback");

    let report = scene.audit(LIMITED, &["--namespace", "elsewhere"]);
    let unreadable = ("namespace-unreadable".to_owned(), "elsewhere".to_owned());
    assert_eq!(report.found, [unreadable]);

    for (_, id, act) in CASES {
        act(&scene, id);
    }
    let report = scene.audit(TOKEN, &[]);
    let mut expected: Vec<(String, String)> = CASES
        .iter()
        .map(|(kind, id, _)| ((*kind).to_owned(), scene.named(kind, id)))
        .collect();
    expected.sort();
    assert_eq!(report.found, expected);
    assert_eq!(report.code, 1);
}

#[test]
fn without_a_store_or_a_configuration_nothing_is_compared() {
    let run = |environment: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_job-worker"));
        let command = command.arg("audit").env_clear().envs(environment.iter().copied());
        let output = command.output().expect("cargo has built the binary");
        (
            output.status.code(),
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(78));
    assert!(said.contains("POD_NAME"), "{said}");
    // Port 1 of this machine belongs to nobody.
    let (code, said) = run(&[
        ("POD_NAME", "a"),
        ("POD_NAMESPACE", "jobs"),
        ("REDIS_QUEUE_ENDPOINT", "127.0.0.1:1"),
        ("CACHE_REDIS_ENDPOINT", "127.0.0.1:1"),
        ("CACHE_REDIS_DB", "0"),
    ]);
    assert_eq!(code, Some(69));
    assert!(said.contains("127.0.0.1:1"), "{said}");
}
