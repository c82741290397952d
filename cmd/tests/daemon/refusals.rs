//! Refusals of a create: which are for good, which pass, and when it is tried again.

use crate::stage::{COMPLETE, CREATE, PLAY, Stage, Told, recorded, until};
use fixtures::apiserver::Answer;
use serde_json::{Value, json};
use std::time::Duration;

/// Asserts that a task ends at once with this code and message, after one create, while a bystander is served.
fn refused_for_good(answer: Answer, code: &str, message: &str) {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.api.on(CREATE, [answer]);
    stage.submit("refused", PLAY);
    stage.ends(&[("refused", &[Told::Exception(code, message)])]);
    assert_eq!(stage.creates("refused").len(), 1);
    worker.is_well();
}

#[test]
fn a_namespace_that_does_not_exist_refuses_for_good() {
    refused_for_good(
        recorded!(404, "status-404-namespace"),
        "JOB_CREATE_FAILED",
        "The API server refuses the Job: namespaces \"nowhere\" not found (HTTP 404)",
    );
}

#[test]
fn an_invalid_job_is_refused_for_good() {
    refused_for_good(
        recorded!(422, "status-422-invalid"),
        "JOB_CREATE_FAILED",
        "The API server refuses the Job: Job.batch \"bad-aaaaaaaaaaaaaaaa\" is invalid: \
         spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1 \
         (HTTP 422)",
    );
}

#[test]
fn an_admission_webhook_refuses_for_good() {
    refused_for_good(
        recorded!(403, "status-403-admission"),
        "JOB_CREATE_FAILED",
        "The API server refuses the Job: admission webhook \"validation.gatekeeper.sh\" denied the request: [registries] image \
         busybox:latest comes from a registry that is not allowed (HTTP 403)",
    );
}

#[test]
fn a_foreign_job_of_the_same_name_is_not_touched() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    // The name is a pure function of the task: an earlier worker's create tells it.
    stage.api.on(CREATE, [recorded!(404, "status-404-namespace")]);
    stage.submit("taken", PLAY);
    until("a create", || !stage.creates("taken").is_empty());
    let name = stage.creates("taken")[0].body["metadata"]["name"].clone();
    worker.kill();
    stage.command(&["FLUSHALL"]);
    let stage_of_before = stage.callbacks("/taken").len();
    assert!(stage_of_before <= 1);

    let foreign =
        json!({"metadata": {"name": name, "namespace": PLAY, "labels": {"app": "somebody"}}, "spec": {}});
    stage.life(|life| life.make_job(foreign));
    let before = stage.api.requests().len();
    let mut worker = stage.leader("worker-2");
    stage.submit("taken", PLAY);
    let job = name.as_str().unwrap().to_owned();
    let message = format!("Job {PLAY}/{job} exists and does not belong to this task; it was not touched.");
    let told = || stage.callbacks("/taken").last().cloned();
    let expected = json!({"id": "taken", "status": 99,
        "detail": {"error": {"errorCode": "JOB_ALREADY_EXISTS", "message": message}}});
    until("the callback", || told() == Some(expected.clone()));
    let requests = stage.api.requests().split_off(before);
    let of_job: Vec<String> = requests
        .iter()
        .map(fixtures::apiserver::Request::key)
        .filter(|key| key.contains(&format!("/namespaces/{PLAY}/jobs")))
        .collect();
    assert_eq!(
        of_job,
        [
            CREATE.to_owned(),
            format!("get /apis/batch/v1/namespaces/{PLAY}/jobs/{job}")
        ]
    );
    stage.bystander();
    worker.is_well();
}

#[test]
fn a_spent_quota_is_waited_for_and_blocks_no_other_namespace() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.api.on(CREATE, [recorded!(403, "status-403-quota")]);
    stage.submit("first", PLAY);
    stage.api.wait_for(CREATE, 1);
    stage.submit("second", PLAY);
    stage.bystander();
    // One task probes; the others of its namespace wait for it.
    stage.finish("first");
    stage.finish("second");
    stage.ends(&[("first", COMPLETE), ("second", COMPLETE)]);
    assert_eq!(
        (stage.creates("first").len(), stage.creates("second").len()),
        (2, 1)
    );
    worker.is_well();
}

#[test]
fn a_permission_that_is_given_back_soon_costs_nothing_but_time() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage
        .api
        .rule(|request| (request.key() == CREATE).then(|| recorded!(403, "status-403-rbac")));
    stage.submit("waits", PLAY);
    let refused = stage.api.wait_for(CREATE, 2);
    assert!(
        refused[1].at - refused[0].at >= Duration::from_secs(2),
        "probed too soon"
    );
    stage.bystander();
    stage.api.heal();
    stage.finish("waits");
    stage.ends(&[("waits", COMPLETE)]);
    worker.is_well();
}

#[test]
fn retry_after_is_obeyed() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    let busy =
        json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "too many requests"});
    stage.api.on(CREATE, [Answer::RetryAfter(429, 3, busy)]);
    stage.submit("waits", PLAY);
    stage.api.wait_for(CREATE, 1);
    stage.bystander();
    stage.finish("waits");
    stage.ends(&[("waits", COMPLETE)]);
    let creates = stage.creates("waits");
    assert_eq!(creates.len(), 2);
    assert!(
        creates[1].at - creates[0].at >= Duration::from_secs(3),
        "asked too soon"
    );
    worker.is_well();
}

#[test]
fn an_api_server_that_fails_three_times_is_asked_a_fourth() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    let failures = [(); 3].map(|()| recorded!(500, "status-500-webhook"));
    stage.api.on(CREATE, failures);
    stage.submit("waits", PLAY);
    stage.api.wait_for(CREATE, 1);
    stage.bystander();
    stage.finish("waits");
    stage.ends(&[("waits", COMPLETE)]);
    let at: Vec<_> = stage.creates("waits").iter().map(|create| create.at).collect();
    assert_eq!(at.len(), 4);
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "the pauses do not grow: {pauses:?}");
    worker.is_well();
}

#[test]
fn a_refusal_names_no_value_of_the_message() {
    let mut stage = Stage::set();
    let _worker = stage.leader("worker-1");
    let mut status: Value =
        serde_json::from_str(include_str!("../../../fixtures/cluster/status-422-invalid.json")).unwrap();
    status["message"] = json!("Job is invalid: env: Invalid value: \"hidden-value\": must not be");
    stage.api.on(CREATE, [Answer::Json(422, status)]);
    let mut message = stage.message("secretive", PLAY);
    message["job"]["env"] = json!([{"name": "TOKEN", "value": "hidden-value"}]);
    stage.push(message.to_string().as_bytes());
    let told = "The API server refuses the Job: Job is invalid: env: Invalid value: \"[redacted]\": must not be (HTTP 422)";
    stage.ends(&[("secretive", &[Told::Exception("JOB_CREATE_FAILED", told)])]);
}
