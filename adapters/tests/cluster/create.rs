use crate::support::{Bench, DEFAULT_JOBS, ENDED, JOB, fixture, job_seen, spec, status, task, uid_of};
use adapters::cluster::{Report, Request};
use engine::{CreateFailed, CreateFailure, Event, JobEnd, JobEnded, TaskId};
use fixtures::apiserver::Answer;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn create() -> Request {
    let job: Job = serde_json::from_value(fixture!("job-created")).unwrap();
    Request::Create {
        task: task(),
        spec: Arc::new(spec()),
        job: Box::new(job),
    }
}

fn failed(why: CreateFailure, message: &str) -> [Event; 1] {
    [Event::CreateFailed(CreateFailed {
        why,
        message: message.to_owned(),
        retry_after_ms: None,
    })]
}

fn key() -> String {
    format!("create {DEFAULT_JOBS}")
}

#[test]
fn a_created_job_is_seen() {
    let bench = Bench::start();
    bench.synced();
    let job = fixture!("job-created");
    bench.server.on(&key(), [Answer::Json(201, job.clone())]);
    assert_eq!(bench.ask(create()), [job_seen(&job, None)]);
    let sent: Job = serde_json::from_value(bench.server.requests_of(&key())[0].body.clone()).unwrap();
    let asked: Job = serde_json::from_value(job).unwrap();
    assert_eq!(sent, asked);
    // Four reviews at the start, and what is asked here.
    assert_eq!(bench.count("create 201"), 5);
}

#[test]
fn a_job_that_lost_its_labels_on_the_way_is_seen_all_the_same() {
    let bench = Bench::start();
    let mut job = fixture!("job-created");
    job["metadata"]["labels"] = json!({});
    bench.server.on(&key(), [Answer::Json(201, job.clone())]);
    assert_eq!(bench.ask(create()), [job_seen(&job, None)]);
}

#[test]
fn a_job_of_ours_that_exists_is_seen_with_its_end() {
    let bench = Bench::start();
    let job = fixture!("job-complete");
    bench
        .server
        .on(&key(), [Answer::Json(409, fixture!("status-409-exists"))]);
    bench
        .server
        .on(&format!("get {JOB}"), [Answer::Json(200, job.clone())]);
    let ended = Event::JobEnded(JobEnded {
        uid: uid_of(&job),
        end: JobEnd::Complete { duration_secs: 4 },
    });
    assert_eq!(bench.ask(create()), [job_seen(&job, Some(ENDED)), ended]);
}

#[test]
fn a_name_that_somebody_else_took_is_named() {
    let theirs: [fn(&mut Value); 3] = [
        |job| job["metadata"]["labels"]["job-worker/instance"] = json!("another"),
        |job| job["metadata"]["annotations"]["job-worker/instance"] = json!("another/lock"),
        |job| job["metadata"]["annotations"]["job-worker/id"] = json!("another"),
    ];
    for make in theirs {
        let bench = Bench::start();
        let mut job = fixture!("job-created");
        make(&mut job);
        bench
            .server
            .on(&key(), [Answer::Json(409, fixture!("status-409-exists"))]);
        bench
            .server
            .on(&format!("get {JOB}"), [Answer::Json(200, job.clone())]);
        let message = format!(
            "Job complete-aaaaaaaaaaaaaaaa in namespace default exists and is not this worker's (uid {}); delete it, or send another id or prefixName",
            uid_of(&job)
        );
        assert_eq!(bench.ask(create()), failed(CreateFailure::NameTaken, &message));
    }
}

#[test]
fn a_name_that_is_free_again_proves_nothing() {
    let bench = Bench::start();
    bench
        .server
        .on(&key(), [Answer::Json(409, fixture!("status-409-exists"))]);
    bench.server.on(
        &format!("get {JOB}"),
        [Answer::Json(404, fixture!("status-404-job"))],
    );
    let message = "a Job of this name existed and is gone";
    assert_eq!(bench.ask(create()), failed(CreateFailure::Unknown, message));
}

#[test]
fn an_existing_job_that_cannot_be_read_proves_nothing() {
    let bench = Bench::start();
    bench
        .server
        .on(&key(), [Answer::Json(409, fixture!("status-409-exists"))]);
    bench.server.on(
        &format!("get {JOB}"),
        [status(500, "InternalError", "etcd is away")],
    );
    let message = "a Job of this name exists, but cannot be read: etcd is away";
    assert_eq!(bench.ask(create()), failed(CreateFailure::Unknown, message));
}

#[test]
fn no_answer_in_time_proves_nothing() {
    let bench = Bench::with(|_, settings| {
        settings.write_timeout = Arc::new(|| Some(Duration::from_millis(300)));
    });
    bench.server.on(&key(), [Answer::Hang]);
    let message = "no answer from the API server within 0.3 s; the Job may have been made";
    assert_eq!(bench.ask(create()), failed(CreateFailure::Unknown, message));
    assert_eq!(bench.server.requests_of(&key()).len(), 1);
    assert_eq!(bench.count("create timeout"), 1);
}

#[test]
fn a_connection_that_breaks_proves_nothing_and_nothing_is_sent_twice() {
    let bench = Bench::start();
    bench.synced();
    bench.server.on(&key(), [Answer::Close]);
    let facts = bench.ask(create());
    let [Event::CreateFailed(failed)] = facts.as_slice() else {
        panic!("{facts:?}");
    };
    assert_eq!(failed.why, CreateFailure::Unknown);
    assert!(
        failed.message.ends_with("the Job may have been made"),
        "{}",
        failed.message
    );
    assert_eq!(bench.server.requests_of(&key()).len(), 1);
}

#[test]
fn an_overloaded_server_is_asked_once_and_its_patience_reported() {
    for (code, why) in [
        (429, CreateFailure::Deferred),
        (503, CreateFailure::Unknown),
        (504, CreateFailure::Unknown),
    ] {
        let bench = Bench::start();
        bench
            .server
            .on(&key(), [Answer::RetryAfter(code, 7, json!("too many"))]);
        let expected = Event::CreateFailed(CreateFailed {
            why,
            message: format!("\"too many\" (HTTP {code})"),
            retry_after_ms: Some(7000),
        });
        assert_eq!(bench.ask(create()), [expected]);
        assert_eq!(bench.server.requests_of(&key()).len(), 1);
    }
    let bench = Bench::start();
    bench
        .server
        .on(&key(), [Answer::Json(429, fixture!("status-429-too-many"))]);
    let expected = Event::CreateFailed(CreateFailed {
        why: CreateFailure::Deferred,
        message: "too many requests, please try again later (HTTP 429)".to_owned(),
        retry_after_ms: Some(7000),
    });
    assert_eq!(bench.ask(create()), [expected]);
}

#[test]
fn nothing_is_begun_when_the_lease_ends_too_soon() {
    let bench = Bench::with(|_, settings| settings.write_timeout = Arc::new(|| None));
    let message = "the create was not begun: too little of the lease is left";
    assert_eq!(bench.ask(create()), failed(CreateFailure::Deferred, message));
    assert_eq!(bench.server.requests_of(&key()), []);
}

#[test]
fn what_waits_for_a_slot_is_not_sent() {
    let bench = Bench::with(|_, settings| {
        settings.creates_max = 1;
        settings.write_timeout = Arc::new(|| Some(Duration::from_millis(300)));
    });
    let job = fixture!("job-created");
    bench
        .server
        .on(&key(), [Answer::Hang, Answer::Json(201, job.clone())]);
    let other = Request::Create {
        task: TaskId::new("first"),
        spec: Arc::new(spec()),
        job: Box::default(),
    };
    bench.cluster.request(other);
    bench.cluster.request(create());
    let reports = bench.until(|report| matches!(report, Report::Facts { task: of, .. } if *of == task()));
    let tasks: Vec<&str> = reports
        .iter()
        .filter_map(|report| match report {
            Report::Facts { task, .. } => Some(task.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(tasks, ["first", "task-complete"]);
}

#[test]
fn a_refusal_does_not_repeat_what_the_message_keeps_secret() {
    let bench = Bench::start();
    let refusal = "env[0].value: Invalid value: \"hunter2hunter2\": see hunter2hunter2";
    bench.server.on(&key(), [status(422, "Invalid", refusal)]);
    let mut job = fixture!("job-created");
    job["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "PASSWORD", "value": "hunter2hunter2"}, {"name": "SHORT", "value": "env"}]);
    let request = Request::Create {
        task: task(),
        spec: Arc::new(spec()),
        job: serde_json::from_value(job).unwrap(),
    };
    let message = "env[0].value: Invalid value: \"[redacted]\": see [redacted] (HTTP 422)";
    assert_eq!(bench.ask(request), failed(CreateFailure::Refused, message));
}
