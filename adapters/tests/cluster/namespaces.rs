use crate::support::{
    Bench, DEFAULT_JOBS, JOBS, NOW, PODS, REVIEW, denied, fixture, job_seen, list, spec, status, task,
};
use adapters::cluster::{Report, Request, Scope};
use adapters::lease::{Known, NAMESPACES_MAX};
use engine::{Refusal, RefusalKind};
use fixtures::apiserver::{Answer, Watch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

fn prepare(namespace: &str) -> Request {
    Request::Prepare {
        namespace: namespace.to_owned(),
    }
}

fn ready(namespace: &str, stoppable: bool) -> Report {
    Report::NamespaceReady {
        namespace: namespace.to_owned(),
        stoppable,
    }
}

fn refused(namespace: &str, message: &str) -> Report {
    Report::NamespaceRefused {
        namespace: namespace.to_owned(),
        refusal: Refusal {
            why: RefusalKind::Forbidden,
            message: message.to_owned(),
        },
    }
}

fn asked(bench: &Bench) -> Vec<Value> {
    bench
        .server
        .requests_of(REVIEW)
        .into_iter()
        .map(|request| request.body["spec"]["resourceAttributes"].clone())
        .collect()
}

fn attributes(verb: &str, group: &str, resource: &str, namespace: &str) -> Value {
    json!({"verb": verb, "group": group, "resource": resource, "namespace": namespace})
}

#[test]
fn where_the_whole_cluster_may_be_watched_a_namespace_needs_one_review() {
    let bench = Bench::start();
    bench.synced();
    bench.cluster.request(prepare("default"));
    assert_eq!(bench.until(|_| true), [ready("default", true)]);
    bench.cluster.request(prepare("default"));
    assert_eq!(bench.until(|_| true), [ready("default", true)]);
    let expected = [
        attributes("list", "batch", "jobs", ""),
        attributes("watch", "batch", "jobs", ""),
        attributes("list", "", "pods", ""),
        attributes("watch", "", "pods", ""),
        attributes("patch", "batch", "jobs", "default"),
    ];
    assert_eq!(asked(&bench), expected);
    assert_eq!(bench.server.requests_of(&format!("list {DEFAULT_JOBS}")), []);
}

#[test]
fn where_reviews_are_not_possible_nothing_is_stoppable() {
    let bench = Bench::with(|server, _| {
        let no = || status(403, "Forbidden", "no reviews here");
        server.on(REVIEW, [no(), no(), no(), no(), no()]);
    });
    bench.synced();
    bench.cluster.request(prepare("default"));
    assert_eq!(bench.until(|_| true), [ready("default", false)]);
    assert_eq!(bench.server.requests_of(&format!("list {JOBS}")).len(), 1);
}

#[test]
fn where_it_may_not_the_own_namespace_is_watched_and_those_of_the_tasks() {
    let bench = Bench::with(|server, _| server.on(REVIEW, [denied()]));
    bench.cluster.request(prepare("default"));
    let namespace = |report: &Report| *report == ready("default", true);
    let reports = bench.until(namespace);
    let relisted = Report::Relisted {
        scope: Scope::Namespace("default".to_owned()),
        jobs: BTreeSet::new(),
        began_at: NOW,
    };
    assert!(reports.contains(&relisted), "{reports:#?}");
    assert_eq!(asked(&bench)[0], attributes("list", "batch", "jobs", ""));
    bench
        .server
        .wait_for("watch /apis/batch/v1/namespaces/jobs/jobs", 1);
    bench.server.wait_for("watch /api/v1/namespaces/jobs/pods", 1);
    bench.server.wait_for(&format!("watch {DEFAULT_JOBS}"), 1);
    for key in [JOBS, PODS] {
        assert_eq!(bench.server.requests_of(&format!("list {key}")), []);
    }
    bench.cluster.request(prepare("default"));
    bench.until(namespace);
    assert_eq!(bench.server.requests_of(&format!("list {DEFAULT_JOBS}")).len(), 1);
}

#[test]
fn a_refused_list_of_the_whole_cluster_leads_to_namespaces() {
    let bench = Bench::with(|server, _| {
        server.on(
            &format!("list {JOBS}"),
            [Answer::Json(403, fixture!("status-403-list"))],
        );
    });
    bench.cluster.request(prepare("default"));
    bench.until(|report| *report == Report::Synced);
    bench
        .server
        .wait_for("list /apis/batch/v1/namespaces/jobs/jobs", 1);
    bench.server.wait_for(&format!("list {DEFAULT_JOBS}"), 1);
}

#[test]
fn exactly_the_listed_namespaces_are_watched() {
    let bench = Bench::with(|_, settings| {
        settings.watch_namespaces = Some(vec!["a".to_owned(), "b".to_owned()]);
    });
    let reports = bench.until(|report| *report == Report::Synced);
    let listed: BTreeSet<Scope> = reports
        .iter()
        .filter_map(|report| match report {
            Report::Relisted { scope, .. } => Some(scope.clone()),
            _ => None,
        })
        .collect();
    let expected = ["a", "b"].map(|namespace| Scope::Namespace(namespace.to_owned()));
    assert_eq!(listed, BTreeSet::from(expected));
    bench.cluster.request(prepare("default"));
    let message = "the namespace is not listed in WATCH_NAMESPACES of this worker";
    bench.until(|report| *report == refused("default", message));
    let reviews = asked(&bench);
    assert!(
        reviews.iter().all(|review| review["verb"] == "patch"),
        "{reviews:?}"
    );
}

#[test]
fn a_namespace_that_may_not_be_read_names_the_permission_and_is_tried_again() {
    let words = "jobs.batch is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"jobs\" in API group \"batch\" at the cluster scope";
    let bench = Bench::with(|server, _| {
        server.on(REVIEW, [denied()]);
        let forbidden = || Answer::Json(403, fixture!("status-403-list"));
        server.on(&format!("list {DEFAULT_JOBS}"), [forbidden(), list("1", &[])]);
    });
    bench.synced();
    bench.cluster.request(prepare("default"));
    let expected = refused("default", &format!("cannot list jobs: {words}"));
    bench.until(|report| *report == expected);
    let reports = bench.until(|report| *report == ready("default", true));
    assert!(!reports.contains(&expected), "{reports:#?}");
    assert_eq!(bench.server.requests_of(&format!("list {DEFAULT_JOBS}")).len(), 2);
}

#[test]
fn a_start_is_over_when_its_namespace_is_refused() {
    let bench = Bench::with(|server, settings| {
        settings.watch_namespaces = Some(vec!["default".to_owned()]);
        let no = status(403, "Forbidden", "no pods here");
        server.on("list /api/v1/namespaces/default/pods", [no]);
    });
    let reports = bench.until(|report| *report == Report::Synced);
    let expected = refused("default", "cannot list pods: no pods here");
    assert!(reports.contains(&expected), "{reports:#?}");
}

#[test]
fn a_namespace_whose_watch_is_refused_is_not_ready() {
    let bench = Bench::with(|server, settings| {
        settings.watch_namespaces = Some(vec!["default".to_owned()]);
        let no = status(403, "Forbidden", "no watching here");
        server.on(&format!("watch {DEFAULT_JOBS}"), [no]);
    });
    let reports = bench.until(|report| *report == ready("default", true));
    let expected = refused("default", "cannot watch jobs: no watching here");
    assert!(reports.contains(&expected), "{reports:#?}");
    let watches = bench.server.requests_of(&format!("watch {DEFAULT_JOBS}"));
    assert_eq!(watches.len(), 2);
}

#[test]
fn a_watch_that_is_resumed_makes_no_namespace_ready_anew() {
    let (one, first) = Watch::new();
    let (two, second) = Watch::new();
    let key = format!("watch {DEFAULT_JOBS}");
    let bench = Bench::with(|server, settings| {
        settings.watch_namespaces = Some(vec!["default".to_owned()]);
        server.on(&key, [first, second]);
    });
    bench.until(|report| *report == ready("default", true));
    drop(one);
    bench.server.wait_for(&key, 2);
    two.send("ADDED", &fixture!("job-created"));
    let reports = bench.until(|report| matches!(report, Report::Job { .. }));
    assert!(!reports.contains(&ready("default", true)), "{reports:#?}");
}

#[test]
fn what_the_lease_names_is_watched_from_the_start_and_waited_for() {
    let job = fixture!("job-created");
    let bench = Bench::with(|server, settings| {
        server.on(REVIEW, [denied()]);
        server.on(
            &format!("list {DEFAULT_JOBS}"),
            [Answer::Hang, list("300", &[&job])],
        );
        settings.request_timeout = Duration::from_secs(1);
        settings.known.add("default");
        settings.known.add("jobs");
    });
    let reports = bench.until(|report| *report == Report::Synced);
    let found = Report::Job {
        task: task(),
        facts: vec![job_seen(&job, None)],
        adoption: Some(Box::new(spec())),
    };
    assert!(reports.contains(&found), "{reports:#?}");
    // The engine asks for a namespace that it was not told of, so that a task can be seen to want it.
    assert!(!reports.contains(&ready("default", true)), "{reports:#?}");
    bench.cluster.request(prepare("default"));
    let reports = bench.until(|report| *report == ready("default", true));
    assert!(!reports.contains(&Report::Synced), "{reports:#?}");
    let own = bench
        .server
        .requests_of("list /apis/batch/v1/namespaces/jobs/jobs");
    assert_eq!(own.len(), 1);
}

#[test]
fn what_the_lease_names_and_may_not_be_watched_holds_nothing_up_and_is_refused_once_it_is_wanted() {
    let forbidden = || status(403, "Forbidden", "it is gone");
    let bench = Bench::with(|server, settings| {
        server.on(REVIEW, [denied()]);
        server.on(
            &format!("list {DEFAULT_JOBS}"),
            [forbidden(), forbidden(), forbidden()],
        );
        settings.known.add("default");
    });
    let expected = refused("default", "cannot list jobs: it is gone");
    let reports = bench.until(|report| *report == Report::Synced);
    assert!(!reports.contains(&expected), "{reports:#?}");
    bench.cluster.request(prepare("default"));
    bench.until(|report| *report == expected);
}

#[test]
fn a_namespace_of_a_task_is_known_before_it_is_ready() {
    let known = Known::default();
    let bench = Bench::with(|server, settings| {
        server.on(REVIEW, [denied()]);
        settings.known = known.clone();
    });
    bench.cluster.request(prepare("default"));
    bench.until(|report| *report == ready("default", true));
    assert_eq!(known.snapshot(), BTreeSet::from(["default".to_owned()]));
}

#[test]
fn a_list_of_namespaces_stands_above_what_the_lease_names() {
    let bench = Bench::with(|_, settings| {
        settings.watch_namespaces = Some(vec!["a".to_owned()]);
        settings.known.add("default");
    });
    bench.until(|report| *report == ready("a", true));
    assert_eq!(bench.server.requests_of(&format!("list {DEFAULT_JOBS}")), []);
}

#[test]
fn a_namespace_without_a_job_makes_room_for_one_that_a_task_wants() {
    let known = Known::default();
    let jobs_of = |namespace: &str| format!("list /apis/batch/v1/namespaces/{namespace}/jobs");
    let bench = Bench::with(|server, settings| {
        server.on(REVIEW, [denied()]);
        // The namespace of the worker and the empty one are the other two.
        for n in 0..NAMESPACES_MAX - 2 {
            let namespace = format!("silent-{n:03}");
            server.on(&jobs_of(&namespace), [Answer::Hang]);
            known.add(&namespace);
        }
        known.add("empty");
        settings.known = known.clone();
        settings.request_timeout = Duration::from_secs(60);
    });
    let empty = Scope::Namespace("empty".to_owned());
    bench.until(|report| matches!(report, Report::Relisted { scope, .. } if *scope == empty));
    bench.cluster.request(prepare("default"));
    bench.until(|report| *report == ready("default", true));
    assert!(!known.snapshot().contains("empty"));
    assert!(known.snapshot().contains("default"));
    bench.cluster.request(prepare("another"));
    let message = "this worker watches 256 namespaces one by one and takes no more: grant list and watch on jobs and pods in the whole cluster";
    bench.until(|report| *report == refused("another", message));
}
