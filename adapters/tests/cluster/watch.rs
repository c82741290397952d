use crate::support::{
    Bench, ENDED, JOBS, LIMIT, NOW, PODS, fixture, job_seen, list, spec, status, task, uid_of,
};
use adapters::cluster::{Report, Request, Scope};
use engine::{Event, JobDeleted, JobEnd, JobEnded, TaskId};
use fixtures::apiserver::{Answer, Watch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn list_jobs() -> String {
    format!("list {JOBS}")
}

fn watch_jobs() -> String {
    format!("watch {JOBS}")
}

fn job_report(job: &Value) -> Report {
    Report::Job {
        task: task(),
        facts: vec![job_seen(job, None)],
        adoption: Some(Box::new(spec())),
    }
}

fn relisted(tasks: &[&str]) -> Report {
    Report::Relisted {
        scope: Scope::All,
        jobs: tasks.iter().map(|id| TaskId::new(*id)).collect(),
        began_at: NOW,
    }
}

fn is_relisted(report: &Report) -> bool {
    matches!(report, Report::Relisted { .. })
}

fn is_job(report: &Report) -> bool {
    matches!(report, Report::Job { .. })
}

fn versioned(mut object: Value, version: &str) -> Value {
    object["metadata"]["resourceVersion"] = json!(version);
    object
}

#[test]
fn the_start_lists_jobs_then_pods_and_then_is_synced() {
    let job = fixture!("job-created");
    let pod = fixture!("pod-running");
    let bench = Bench::with(|server, _| {
        server.on(&list_jobs(), [list("300", &[&job])]);
        server.on(&format!("list {PODS}"), [list("301", &[&pod])]);
    });
    let reports = bench.until(|report| *report == Report::Synced);
    assert_eq!(reports[0], Report::ApiServer(Ok(())));
    assert_eq!(reports[1], job_report(&job));
    assert_eq!(reports[2], relisted(&["task-complete"]));
    assert!(matches!(&reports[3], Report::Facts { task, .. } if *task == TaskId::new("task-running")));
    assert_eq!(reports.len(), 5, "{reports:#?}");

    let label = job["metadata"]["labels"]["job-worker/instance"].as_str().unwrap();
    let selector = format!("job-worker/instance={label}");
    let listed = &bench.server.requests_of(&list_jobs())[0].query;
    let query: Vec<(&str, &str)> = listed.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(query, [("labelSelector", selector.as_str()), ("limit", "500")]);
    let watched = &bench.server.wait_for(&watch_jobs(), 1)[0].query;
    let query: Vec<(&str, &str)> = watched.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("allowWatchBookmarks", "true"),
        ("labelSelector", selector.as_str()),
        ("resourceVersion", "300"),
        ("timeoutSeconds", "60"),
        ("watch", "1"),
    ];
    assert_eq!(query, expected);
}

#[test]
fn pods_are_not_listed_before_jobs_were() {
    let bench = Bench::with(|server, _| {
        server.on(&list_jobs(), [status(500, "InternalError", "etcd is away")]);
    });
    bench.synced();
    let lists: Vec<String> = bench
        .server
        .requests()
        .iter()
        .filter(|request| request.verb == "list")
        .map(|request| request.path.clone())
        .collect();
    assert_eq!(lists, [JOBS, JOBS, PODS]);
}

#[test]
fn a_list_in_pages_is_one_list() {
    let first = fixture!("job-created");
    let second = fixture!("job-running");
    let page = json!({"metadata": {"resourceVersion": "300", "continue": "next=1&"}, "items": [first]});
    let bench = Bench::with(|server, _| {
        server.on(&list_jobs(), [Answer::Json(200, page), list("300", &[&second])]);
    });
    let reports = bench.until(is_relisted);
    assert_eq!(
        reports.last(),
        Some(&relisted(&["task-complete", "task-running"]))
    );
    let requests = bench.server.requests_of(&list_jobs());
    assert_eq!(requests[1].query["continue"], "next=1&");
}

#[test]
fn a_page_that_fails_makes_no_list() {
    let first = fixture!("job-created");
    let page = json!({"metadata": {"resourceVersion": "300", "continue": "c"}, "items": [first]});
    let second = fixture!("job-running");
    let bench = Bench::with(|server, _| {
        let expired = status(410, "Expired", "the continue parameter is too old");
        server.on(
            &list_jobs(),
            [Answer::Json(200, page), expired, list("400", &[&second])],
        );
    });
    let reports = bench.until(is_relisted);
    assert_eq!(reports.last(), Some(&relisted(&["task-running"])));
}

#[test]
fn a_watch_that_ends_is_resumed_after_what_was_seen() {
    let (one, first) = Watch::new();
    let (two, second) = Watch::new();
    let (three, third) = Watch::new();
    let bench = Bench::with(|server, _| server.on(&watch_jobs(), [first, second, third]));
    bench.synced();
    let job = fixture!("job-created");
    one.send("ADDED", &versioned(job.clone(), "310"));
    assert_eq!(bench.until(is_job), [job_report(&job)]);
    drop(one);
    bench.server.wait_for(&watch_jobs(), 2);
    two.send("BOOKMARK", &json!({"metadata": {"resourceVersion": "320"}}));
    drop(two);
    let requests = bench.server.wait_for(&watch_jobs(), 3);
    let versions: Vec<&str> = requests
        .iter()
        .map(|r| r.query["resourceVersion"].as_str())
        .collect();
    assert_eq!(versions, ["1", "310", "320"]);
    assert_eq!(bench.server.requests_of(&list_jobs()).len(), 1);
    assert_eq!(bench.count("ended"), 2);
    three.send("MODIFIED", &versioned(job.clone(), "330"));
    assert_eq!(bench.until(is_job), [job_report(&job)]);
}

#[test]
fn a_version_that_is_too_old_makes_a_new_list() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| {
        server.on(
            &watch_jobs(),
            [first, status(410, "Expired", "too old resource version")],
        );
    });
    bench.synced();
    let job = fixture!("job-created");
    bench
        .server
        .on(&list_jobs(), [list("400", &[&job]), list("500", &[])]);
    one.send(
        "ERROR",
        &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}),
    );
    assert_eq!(
        bench.until(is_relisted),
        [job_report(&job), relisted(&["task-complete"])]
    );
    // The next watch is refused with an HTTP 410.
    assert_eq!(bench.until(is_relisted), [relisted(&[])]);
    bench.server.wait_for(&watch_jobs(), 3);
    assert_eq!(
        bench.server.requests_of(&watch_jobs())[2].query["resourceVersion"],
        "500"
    );
    assert_eq!(bench.count("expired"), 2);
}

#[test]
fn the_last_state_of_a_deleted_job_is_evidence() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| server.on(&watch_jobs(), [first]));
    bench.synced();
    let job = fixture!("job-complete");
    one.send("DELETED", &job);
    let uid = uid_of(&job);
    let ended = Event::JobEnded(JobEnded {
        uid: uid.clone(),
        end: JobEnd::Complete { duration_secs: 4 },
    });
    let deleted = Event::JobDeleted(JobDeleted { uid });
    let expected = Report::Job {
        task: task(),
        facts: vec![job_seen(&job, Some(ENDED)), ended, deleted],
        adoption: Some(Box::new(spec())),
    };
    assert_eq!(bench.until(is_job), [expected]);
}

#[test]
fn a_deleted_pod_waits_for_nothing_but_may_have_failed() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| server.on(&format!("watch {PODS}"), [first]));
    bench.synced();
    let facts = |kind: &str, pod: &Value| {
        one.send(kind, pod);
        let reports = bench.until(|report| matches!(report, Report::Facts { .. }));
        match reports.into_iter().next_back() {
            Some(Report::Facts { facts, .. }) => facts,
            other => panic!("{other:?}"),
        }
    };
    let unplaced = fixture!("pod-unschedulable");
    assert_eq!(facts("MODIFIED", &unplaced).len(), 2);
    assert_eq!(facts("DELETED", &unplaced).len(), 1);
    let failed = facts("DELETED", &fixture!("pod-evicted"));
    assert!(matches!(failed.last(), Some(Event::PodFailed(_))), "{failed:?}");
}

#[test]
fn a_line_may_come_in_pieces_and_several_in_one() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| server.on(&watch_jobs(), [first]));
    bench.synced();
    let job = fixture!("job-created");
    let line = json!({"type": "ADDED", "object": job}).to_string();
    let twice = format!("{line}\n{line}\n");
    let (head, tail) = twice.as_bytes().split_at(100);
    one.bytes(head);
    one.bytes(tail);
    assert_eq!(bench.until(is_job), [job_report(&job)]);
    assert_eq!(bench.until(is_job), [job_report(&job)]);
}

#[test]
fn a_line_that_cannot_be_read_makes_a_new_list() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| server.on(&watch_jobs(), [first]));
    bench.synced();
    one.bytes(b"{\"type\":\"ADDED\"}\n");
    let reports = bench.until(is_relisted);
    assert_eq!(reports.last(), Some(&relisted(&[])));
    assert_eq!(bench.count("unreadable"), 1);
}

#[test]
fn jobs_of_others_are_not_reported() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| server.on(&watch_jobs(), [first]));
    bench.synced();
    let mut other = fixture!("job-created");
    other["metadata"]["annotations"]["job-worker/instance"] = json!("another/lock");
    one.send("ADDED", &other);
    let job = fixture!("job-created");
    one.send("ADDED", &job);
    assert_eq!(bench.until(is_job), [job_report(&job)]);
}

#[test]
fn an_api_server_that_is_away_is_reported_once_and_so_is_its_return() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| {
        server.on(&watch_jobs(), [first, Answer::Close, Answer::Close]);
    });
    bench.synced();
    one.cut();
    let mut away = bench.until(|report| matches!(report, Report::ApiServer(Err(_))));
    away.retain(|report| matches!(report, Report::ApiServer(_)));
    assert_eq!(away.len(), 1, "{away:#?}");
    let back = bench.until(|report| matches!(report, Report::ApiServer(Ok(()))));
    assert_eq!(back.len(), 1, "{back:#?}");
}

/// The verbs of the first requests for Jobs.
fn verbs(bench: &Bench, count: usize) -> Vec<&'static str> {
    let requests = bench.server.requests().into_iter();
    requests
        .filter(|request| request.path == JOBS)
        .map(|request| request.verb)
        .take(count)
        .collect()
}

#[test]
fn a_watch_that_breaks_off_is_followed_by_a_list_for_the_api_server_may_keep_older_data() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, _| {
        server.on(&watch_jobs(), [first]);
    });
    bench.until(is_relisted);
    bench.server.wait_for(&watch_jobs(), 1);
    one.cut();
    bench.until(is_relisted);
    bench.server.wait_for(&watch_jobs(), 2);
    assert_eq!(verbs(&bench, 4), ["list", "watch", "list", "watch"]);
}

#[test]
fn an_api_server_that_could_not_be_reached_is_listed_anew() {
    let bench = Bench::with(|server, _| {
        server.on(&watch_jobs(), [Answer::Close]);
    });
    bench.until(is_relisted);
    bench.until(is_relisted);
    bench.server.wait_for(&watch_jobs(), 2);
    assert_eq!(verbs(&bench, 4), ["list", "watch", "list", "watch"]);
}

#[test]
fn a_list_is_made_anew_from_time_to_time_for_what_a_watch_has_lost() {
    let (one, first) = Watch::new();
    let bench = Bench::with(|server, settings| {
        settings.relist_after = Duration::ZERO;
        server.on(&watch_jobs(), [first]);
    });
    bench.until(is_relisted);
    bench.server.wait_for(&watch_jobs(), 1);
    drop(one);
    bench.until(is_relisted);
    assert_eq!(verbs(&bench, 3), ["list", "watch", "list"]);
}

#[test]
fn a_token_that_is_refused_is_read_again_from_its_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let bench = Bench::known_by(file.path(), |server, _| {
        server.rule(|request| {
            let is_old = request.authorization == "Bearer old";
            is_old.then(|| Answer::Json(401, fixture!("status-401-unauthorized")))
        });
    });
    bench.until(|report| matches!(report, Report::ApiServer(Err(_))));
    let replaced = Instant::now();
    std::fs::write(file.path(), "new").unwrap();
    bench.synced();
    // The client library would have looked by itself after 50 s.
    assert!(replaced.elapsed() < Duration::from_secs(35));
}

#[test]
fn a_version_that_the_server_never_reaches_makes_a_new_list() {
    let bench = Bench::with(|server, _| {
        let ahead = || status(504, "Timeout", "Too large resource version: 300, current: 7");
        server.on(&watch_jobs(), [ahead(), ahead(), ahead()]);
    });
    bench.until(is_relisted);
    bench.until(is_relisted);
    assert_eq!(verbs(&bench, 5), ["list", "watch", "watch", "watch", "list"]);
}

#[test]
fn a_stop_does_not_wait_for_requests_nor_watches_nor_a_driver_that_reads_no_more() {
    let bench = Bench::start();
    bench.synced();
    bench
        .server
        .on("get /apis/batch/v1/namespaces/n/jobs/j", [Answer::Hang]);
    bench.cluster.request(Request::Look {
        task: task(),
        namespace: "n".to_owned(),
        job_name: "j".to_owned(),
        uid: None,
    });
    bench.server.wait_for("get /apis/batch/v1/namespaces/n/jobs/j", 1);
    let began = Instant::now();
    bench.cluster.stop();
    assert!(began.elapsed() < LIMIT);
    assert_eq!(bench.reports.try_iter().collect::<Vec<_>>(), []);

    let (sender, reports) = crossbeam_channel::bounded(0);
    let unread = Bench::over(sender, reports, |_, _| {});
    let began = Instant::now();
    unread.cluster.stop();
    assert!(began.elapsed() < LIMIT);
}

#[test]
fn a_full_inbox_holds_the_adapter_back_and_loses_nothing() {
    let jobs: Vec<Value> = (0..50)
        .map(|n| {
            let mut job = fixture!("job-created");
            job["metadata"]["annotations"]["job-worker/id"] = json!(format!("task-{n:02}"));
            job
        })
        .collect();
    let (sender, reports) = crossbeam_channel::bounded(1);
    let bench = Bench::over(sender, reports, |server, _| {
        server.on(&list_jobs(), [list("300", &jobs.iter().collect::<Vec<_>>())]);
    });
    let reports = bench.until(|report| *report == Report::Synced);
    let expected: BTreeSet<TaskId> = (0..50).map(|n| TaskId::new(format!("task-{n:02}"))).collect();
    let seen = reports.iter().filter(|report| is_job(report)).count();
    assert_eq!(seen, 50);
    let listed = reports.iter().find_map(|report| match report {
        Report::Relisted { jobs, .. } => Some(jobs.clone()),
        _ => None,
    });
    assert_eq!(listed, Some(expected));
}
