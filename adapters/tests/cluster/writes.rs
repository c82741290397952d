use crate::support::{Bench, DEFAULT_PODS, ENDED, JOB, fixture, job_seen, list, status, task, uid_of};
use adapters::cluster::Request;
use engine::{
    Code, Event, Failure, JobEnd, JobEnded, JobJudged, LookFailed, LookRefused, Looked, StopAnswered,
    TtlAnswered, Uid, Waiting, WaitingKind,
};
use fixtures::apiserver::Answer;
use serde_json::{Value, json};
use std::sync::Arc;

fn failure() -> Failure {
    Failure::new(Code::PodStartTimeout, "no node takes it")
}

fn stop(job: &Value) -> Request {
    Request::Stop {
        task: task(),
        namespace: "default".to_owned(),
        job_name: "complete-aaaaaaaaaaaaaaaa".to_owned(),
        uid: uid_of(job),
        failure: failure(),
    }
}

fn answered(answer: StopAnswered) -> Event {
    Event::StopAnswered(answer)
}

fn get() -> String {
    format!("get {JOB}")
}

fn patch() -> String {
    format!("patch {JOB}")
}

#[test]
fn a_stop_writes_verdict_and_deadline_to_the_job_that_it_read() {
    let bench = Bench::start();
    let job = fixture!("job-created");
    bench.server.on(&get(), [Answer::Json(200, job.clone())]);
    bench.server.on(&patch(), [Answer::Json(200, job.clone())]);
    let judged = Event::JobJudged(JobJudged {
        uid: uid_of(&job),
        failure: failure(),
    });
    assert_eq!(bench.ask(stop(&job)), [judged, answered(StopAnswered::Done)]);
    let verdict = r#"{"code":"POD_START_TIMEOUT","message":"no node takes it"}"#;
    let expected = json!({
        "metadata": {
            "uid": job["metadata"]["uid"],
            "resourceVersion": job["metadata"]["resourceVersion"],
            "annotations": {"job-worker/verdict": verdict},
        },
        "spec": {"activeDeadlineSeconds": 1},
    });
    assert_eq!(bench.server.requests_of(&patch())[0].body, expected);
}

#[test]
fn a_stop_is_answered_in_the_classes_of_the_engine() {
    let job = fixture!("job-created");
    for (answer, expected) in [
        (
            status(409, "Conflict", "the object has been modified"),
            StopAnswered::Conflict,
        ),
        (status(404, "NotFound", "gone"), StopAnswered::Gone),
        (status(403, "Forbidden", "no"), StopAnswered::Forbidden),
        (status(500, "InternalError", "no"), StopAnswered::Unknown),
        (Answer::Close, StopAnswered::Unknown),
    ] {
        let bench = Bench::start();
        bench.server.on(&get(), [Answer::Json(200, job.clone())]);
        bench.server.on(&patch(), [answer]);
        assert_eq!(bench.ask(stop(&job)), [answered(expected)]);
    }
}

#[test]
fn a_job_that_has_ended_or_is_another_is_not_stopped() {
    let job = fixture!("job-complete");
    let bench = Bench::start();
    bench.server.on(&get(), [Answer::Json(200, job.clone())]);
    let ended = Event::JobEnded(JobEnded {
        uid: uid_of(&job),
        end: JobEnd::Complete { duration_secs: 4 },
    });
    let expected = [
        job_seen(&job, Some(ENDED)),
        ended,
        answered(StopAnswered::Conflict),
    ];
    assert_eq!(bench.ask(stop(&job)), expected);

    let mut other = job.clone();
    other["metadata"]["uid"] = json!("another");
    bench.server.on(&get(), [Answer::Json(200, other)]);
    assert_eq!(bench.ask(stop(&job)), [answered(StopAnswered::Gone)]);

    bench
        .server
        .on(&get(), [Answer::Json(404, fixture!("status-404-job"))]);
    assert_eq!(bench.ask(stop(&job)), [answered(StopAnswered::Gone)]);
    assert_eq!(bench.server.requests_of(&patch()), []);
}

#[test]
fn a_verdict_that_is_there_already_is_not_written_again() {
    for (verdict, answer) in [
        (failure(), StopAnswered::Done),
        (
            Failure::new(Code::TaskCancelled, "by hand"),
            StopAnswered::Conflict,
        ),
    ] {
        let bench = Bench::start();
        let mut job = fixture!("job-created");
        let text = serde_json::to_string(&verdict).unwrap();
        job["metadata"]["annotations"]["job-worker/verdict"] = json!(text);
        bench.server.on(&get(), [Answer::Json(200, job.clone())]);
        let judged = Event::JobJudged(JobJudged {
            uid: uid_of(&job),
            failure: verdict,
        });
        assert_eq!(
            bench.ask(stop(&job)),
            [job_seen(&job, None), judged, answered(answer)]
        );
        assert_eq!(bench.server.requests_of(&patch()), []);
    }
}

fn set_ttl() -> Request {
    Request::SetTtl {
        task: task(),
        namespace: "default".to_owned(),
        job_name: "complete-aaaaaaaaaaaaaaaa".to_owned(),
        uid: Uid::new("u1"),
        seconds: 60,
    }
}

#[test]
fn a_ttl_is_set_with_one_request_on_the_uid_alone() {
    let bench = Bench::start();
    bench
        .server
        .on(&patch(), [Answer::Json(200, fixture!("job-complete"))]);
    assert_eq!(bench.ask(set_ttl()), [Event::TtlAnswered(TtlAnswered::Settled)]);
    let expected = json!({"metadata": {"uid": "u1"}, "spec": {"ttlSecondsAfterFinished": 60}});
    assert_eq!(bench.server.requests_of(&patch())[0].body, expected);
    assert_eq!(bench.server.requests_of(&get()), []);
}

#[test]
fn a_ttl_is_settled_where_nothing_is_left_to_set_it_on() {
    for (answer, expected) in [
        (status(404, "NotFound", "gone"), TtlAnswered::Settled),
        (status(403, "Forbidden", "no"), TtlAnswered::Settled),
        (status(409, "Conflict", "uid"), TtlAnswered::Settled),
        (status(422, "Invalid", "no"), TtlAnswered::Settled),
        (status(429, "TooManyRequests", "later"), TtlAnswered::Unknown),
        (status(500, "InternalError", "no"), TtlAnswered::Unknown),
        (Answer::Text(403, "a proxy".to_owned()), TtlAnswered::Unknown),
        (Answer::Close, TtlAnswered::Unknown),
    ] {
        let bench = Bench::start();
        bench.server.on(&patch(), [answer]);
        assert_eq!(bench.ask(set_ttl()), [Event::TtlAnswered(expected)]);
    }
}

#[test]
fn no_write_is_begun_when_the_lease_ends_too_soon() {
    let bench = Bench::with(|_, settings| settings.write_timeout = Arc::new(|| None));
    let job = fixture!("job-created");
    bench.server.on(&get(), [Answer::Json(200, job.clone())]);
    assert_eq!(bench.ask(stop(&job)), [answered(StopAnswered::Unknown)]);
    assert_eq!(bench.ask(set_ttl()), [Event::TtlAnswered(TtlAnswered::Unknown)]);
    assert_eq!(bench.server.requests_of(&patch()), []);
}

fn look() -> Request {
    Request::Look {
        task: task(),
        namespace: "default".to_owned(),
        job_name: "complete-aaaaaaaaaaaaaaaa".to_owned(),
        uid: None,
    }
}

fn look_at(job: &Value) -> Request {
    let Request::Look {
        task,
        namespace,
        job_name,
        ..
    } = look()
    else {
        unreachable!("a look is a look")
    };
    Request::Look {
        task,
        namespace,
        job_name,
        uid: Some(uid_of(job)),
    }
}

fn pods() -> String {
    format!("list {DEFAULT_PODS}")
}

/// A pod of the Job and task of `job-created`.
fn pod_of(job: &Value, mut pod: Value) -> Value {
    for key in ["job-worker/id", "job-worker/digest"] {
        pod["metadata"]["annotations"][key] = job["metadata"]["annotations"][key].clone();
    }
    pod["metadata"]["ownerReferences"][0]["uid"] = job["metadata"]["uid"].clone();
    pod
}

#[test]
fn a_look_gives_the_facts_of_job_and_pods_and_what_the_newest_waits_for() {
    let bench = Bench::start();
    let job = fixture!("job-created");
    let mut older = pod_of(&job, fixture!("pod-exit-42"));
    older["metadata"]["creationTimestamp"] = json!("2026-11-24T06:48:10Z");
    let newer = pod_of(&job, fixture!("pod-container-creating"));
    bench.server.on(&get(), [Answer::Json(200, job.clone())]);
    bench.server.on(&pods(), [list("9", &[&newer, &older])]);
    let facts = bench.ask(look());
    assert_eq!(facts[0], job_seen(&job, None));
    let kinds: Vec<&str> = facts.iter().map(kind).collect();
    let expected = ["job", "job by pod", "started", "failed", "job by pod", "looked"];
    assert_eq!(kinds, expected);
    let looked = Event::Looked(Looked {
        job: Some(uid_of(&job)),
        waiting: Some(Waiting {
            kind: WaitingKind::Other,
            reason: "ContainerCreating".to_owned(),
            message: "on node k8s-node-1; its volumes, sandbox or network are not ready".to_owned(),
        }),
        has_pods: true,
    });
    assert_eq!(facts[5], looked);
    let asked = &bench.server.requests_of(&pods())[0].query;
    let labels = job["metadata"]["labels"].clone();
    let selector = format!(
        "job-worker/instance={},job-worker/task={}",
        labels["job-worker/instance"].as_str().unwrap(),
        labels["job-worker/task"].as_str().unwrap()
    );
    assert_eq!(asked["labelSelector"], selector);
    assert!(!asked.contains_key("resourceVersion"));
}

fn kind(fact: &Event) -> &'static str {
    match fact {
        Event::JobSeen(seen) if seen.by_pod => "job by pod",
        Event::JobSeen(_) => "job",
        Event::PodStarted(_) => "started",
        Event::PodFailed(_) => "failed",
        Event::JobEnded(_) => "ended",
        Event::Looked(_) => "looked",
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_look_says_that_there_is_no_job() {
    let bench = Bench::start();
    bench
        .server
        .on(&get(), [Answer::Json(404, fixture!("status-404-job"))]);
    let looked = Event::Looked(Looked {
        job: None,
        waiting: None,
        has_pods: false,
    });
    assert_eq!(bench.ask(look()), [looked]);
}

#[test]
fn a_look_at_a_name_that_somebody_else_has_gives_their_uid_and_no_facts() {
    let bench = Bench::start();
    let mut job = fixture!("job-created");
    job["metadata"]["labels"] = json!({});
    let mine = fixture!("job-running");
    let pod = pod_of(&mine, fixture!("pod-unschedulable"));
    bench.server.on(&get(), [Answer::Json(200, job.clone())]);
    bench.server.on(&pods(), [list("9", &[&pod])]);
    let looked = Event::Looked(Looked {
        job: Some(uid_of(&job)),
        waiting: None,
        has_pods: false,
    });
    assert_eq!(bench.ask(look()), [looked]);
}

#[test]
fn a_look_that_is_not_complete_has_failed() {
    let job = fixture!("job-created");
    for (first, second) in [
        (Answer::Close, None),
        (status(500, "InternalError", "no"), None),
        (Answer::Text(404, "a proxy".to_owned()), None),
        (Answer::Json(200, job.clone()), Some(Answer::Close)),
    ] {
        let bench = Bench::start();
        bench.server.on(&get(), [first]);
        bench.server.on(&pods(), second);
        assert_eq!(bench.ask(look()), [Event::LookFailed(LookFailed)]);
    }
}

#[test]
fn a_look_that_is_forbidden_says_so() {
    let refusal = || status(403, "Forbidden", "no");
    let job = Answer::Json(200, fixture!("job-created"));
    for (first, second) in [(refusal(), None), (job, Some(refusal()))] {
        let bench = Bench::start();
        bench.server.on(&get(), [first]);
        bench.server.on(&pods(), second);
        let message = "no".to_owned();
        assert_eq!(bench.ask(look()), [Event::LookRefused(LookRefused { message })]);
    }
}

#[test]
fn a_look_sees_the_end_of_a_known_job_whose_labels_were_taken_off() {
    let bench = Bench::start();
    let mut job = fixture!("job-complete");
    job["metadata"]["labels"] = json!({});
    bench.server.on(
        &get(),
        [Answer::Json(200, job.clone()), Answer::Json(200, job.clone())],
    );
    bench.server.on(&pods(), [list("9", &[]), list("9", &[])]);
    let kinds = |facts: Vec<Event>| facts.iter().map(kind).collect::<Vec<_>>();
    assert_eq!(kinds(bench.ask(look_at(&job))), ["ended", "looked"]);
    assert_eq!(kinds(bench.ask(look())), ["looked"]);
}

#[test]
fn a_look_that_finds_no_pod_says_why_where_events_may_be_read() {
    // The double takes what it does not keep for single objects.
    const EVENTS: &str = "get /api/v1/namespaces/default/events";
    let bench = Bench::start();
    bench.synced();
    let job = fixture!("job-created");
    let looked = |allowed: bool| {
        bench.server.on(&get(), [Answer::Json(200, job.clone())]);
        bench.server.on(&pods(), [list("9", &[])]);
        bench.server.rule(move |request| {
            let review = json!({"status": {"allowed": allowed}});
            let asked = request.path.ends_with("/selfsubjectaccessreviews");
            asked.then(|| Answer::Json(201, review))
        });
        match bench.ask(look()).pop() {
            Some(Event::Looked(looked)) => looked,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(looked(false).waiting, None);
    assert_eq!(bench.server.requests_of(EVENTS), []);
    let refused = |at: &str, message: &str| json!({"message": message, "lastTimestamp": at});
    let events = json!({"items": [
        refused("2026-11-24T06:48:19Z", "exceeded quota: pods"),
        refused("2026-11-24T06:48:15Z", "an earlier one"),
    ]});
    bench.server.on(EVENTS, [Answer::Json(200, events)]);
    let seen = looked(true);
    let why = Waiting {
        kind: WaitingKind::Other,
        reason: "FailedCreate".to_owned(),
        message: "exceeded quota: pods".to_owned(),
    };
    assert_eq!((seen.waiting, seen.has_pods), (Some(why), false));
    let asked = &bench.server.requests_of(EVENTS)[0].query;
    let uid = job["metadata"]["uid"].as_str().unwrap();
    assert_eq!(
        asked["fieldSelector"],
        format!("involvedObject.uid={uid},reason=FailedCreate")
    );
}
