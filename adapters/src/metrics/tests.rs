//! What `/metrics` shows, read as strictly as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use std::time::Duration;

const WORDS: Words<'_> = Words {
    codes: &["INVALID_MESSAGE", "JOB_FAILED"],
    ends: &["Completed", "Failed"],
    transitions: &[["Received", "JobCreated", "Created"]],
};

/// Reads the text format strictly: every sample belongs to a family with HELP and TYPE, no series is there twice.
/// Gives the families with their types, and the samples by series.
fn parsed(text: &str) -> (BTreeMap<&str, &str>, BTreeMap<&str, f64>) {
    let (mut helps, mut types, mut samples) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(helps.insert(name) && help.ends_with('.'), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(
                helps.contains(name) && types.insert(name, kind).is_none(),
                "{line}"
            );
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|part| name.strip_suffix(part))
                .any(|family| types.get(family) == Some(&"histogram"));
            assert!(types.contains_key(name) || of_histogram, "{line}");
            assert!(samples.insert(series, value.parse().unwrap()).is_none(), "{line}");
        }
    }
    (types, samples)
}

/// One of everything.
fn busy() -> Metrics {
    let metrics = Metrics::new(WORDS, "1.2.3");
    metrics.set_queue_length(7);
    metrics.message_became_task();
    metrics.message_duplicate();
    metrics.message_refused("INVALID_MESSAGE");
    metrics.task_failed("JOB_FAILED");
    let [queued, following] = [["Received", "queued"], ["Created", "following"]];
    metrics.task_moved(None, Some(queued));
    metrics.task_moved(Some(queued), Some(following));
    metrics.task_moved(Some(following), Some(following));
    metrics.set_tasks_max(1000);
    metrics.waited(Duration::from_millis(2));
    metrics.created(Duration::from_millis(20));
    metrics.started(Duration::from_secs(3));
    metrics.ran("Failed", Duration::from_secs(70));
    metrics.callback_delivered(Duration::from_millis(30));
    metrics.set_callbacks_oldest(Duration::from_secs(9), 1);
    metrics.set_queue_kept(4, 5);
    metrics.queue_error("unavailable");
    metrics.lease_lost();
    metrics.set_dependency("store", true);
    metrics.store_written(Duration::from_millis(1));
    metrics.orphan_job("adopted");
    metrics.trimmed("letters", 2);
    metrics.trimmed("records", 0);
    metrics.transition("Received", "JobCreated", "Created");
    metrics.ignored_event("Created", "JobCreated");
    metrics.rejected_event("Received", "PodRunning");
    metrics.dead_letter("message");
    metrics.callback("delivered");
    metrics.set_callbacks_pending(2);
    metrics.set_leader(true);
    metrics.takeover(3);
    metrics.store_error("FENCED");
    metrics.kubernetes_request("create", "201");
    metrics.kubernetes_request("create", "timeout");
    metrics.watch_restart("expired");
    metrics.set_gated_namespaces(1);
    metrics.set_unreadable_snapshots(3);
    metrics
}

/// What `busy` shows, without buckets.
const SHOWN: &[(&str, f64)] = &[
    ("job_worker_build_info{version=\"1.2.3\"}", 1.0),
    ("job_worker_callback_delay_seconds_count", 1.0),
    ("job_worker_callback_delay_seconds_sum", 0.03),
    ("job_worker_callbacks_oldest_seconds", 9.0),
    ("job_worker_callbacks_pending", 2.0),
    ("job_worker_callbacks_total{result=\"dead\"}", 0.0),
    ("job_worker_callbacks_total{result=\"delivered\"}", 1.0),
    ("job_worker_callbacks_total{result=\"failed\"}", 0.0),
    ("job_worker_callbacks_total{result=\"gone\"}", 0.0),
    ("job_worker_callbacks_total{result=\"not_begun\"}", 0.0),
    ("job_worker_create_seconds_count", 1.0),
    ("job_worker_create_seconds_sum", 0.02),
    ("job_worker_dead_letters_total{kind=\"callback\"}", 0.0),
    ("job_worker_dead_letters_total{kind=\"message\"}", 1.0),
    ("job_worker_dependency_up{dependency=\"store\"}", 1.0),
    ("job_worker_epoch", 3.0),
    ("job_worker_gated_namespaces", 1.0),
    ("job_worker_history_trimmed_total{history=\"callbacks\"}", 0.0),
    ("job_worker_history_trimmed_total{history=\"letters\"}", 2.0),
    ("job_worker_history_trimmed_total{history=\"records\"}", 0.0),
    (
        "job_worker_ignored_events_total{event=\"JobCreated\",state=\"Created\"}",
        1.0,
    ),
    (
        "job_worker_kubernetes_requests_total{code=\"201\",verb=\"create\"}",
        1.0,
    ),
    (
        "job_worker_kubernetes_requests_total{code=\"timeout\",verb=\"create\"}",
        1.0,
    ),
    ("job_worker_leader", 1.0),
    ("job_worker_lease_losses_total", 1.0),
    ("job_worker_messages_duplicate_total", 1.0),
    (
        "job_worker_messages_refused_total{reason=\"INVALID_MESSAGE\"}",
        1.0,
    ),
    ("job_worker_orphan_jobs_total{outcome=\"adopted\"}", 1.0),
    ("job_worker_orphan_jobs_total{outcome=\"left\"}", 0.0),
    ("job_worker_pod_start_seconds_count", 1.0),
    ("job_worker_pod_start_seconds_sum", 3.0),
    ("job_worker_queue_dead_letters", 5.0),
    ("job_worker_queue_errors_total{class=\"unavailable\"}", 1.0),
    ("job_worker_queue_taken", 4.0),
    ("job_worker_queue_wait_seconds_count", 1.0),
    ("job_worker_queue_wait_seconds_sum", 0.002),
    ("job_worker_receivers_failing", 1.0),
    (
        "job_worker_rejected_events_total{event=\"PodRunning\",state=\"Received\"}",
        1.0,
    ),
    ("job_worker_run_seconds_count{state=\"Completed\"}", 0.0),
    ("job_worker_run_seconds_count{state=\"Failed\"}", 1.0),
    ("job_worker_run_seconds_sum{state=\"Completed\"}", 0.0),
    ("job_worker_run_seconds_sum{state=\"Failed\"}", 70.0),
    ("job_worker_store_errors_total{class=\"FENCED\"}", 1.0),
    ("job_worker_store_write_seconds_count", 1.0),
    ("job_worker_store_write_seconds_sum", 0.001),
    ("job_worker_takeovers_total", 1.0),
    ("job_worker_task_failures_total{code=\"INVALID_MESSAGE\"}", 1.0),
    ("job_worker_task_failures_total{code=\"JOB_FAILED\"}", 1.0),
    ("job_worker_tasks_max", 1000.0),
    ("job_worker_tasks{phase=\"following\",state=\"Created\"}", 1.0),
    ("job_worker_tasks{phase=\"queued\",state=\"Received\"}", 0.0),
    (
        "job_worker_transitions_total{from=\"Received\",on=\"JobCreated\",to=\"Created\"}",
        1.0,
    ),
    ("job_worker_unreadable_snapshots", 3.0),
    ("job_worker_watch_restarts_total{reason=\"expired\"}", 1.0),
    ("messages_failed_total", 2.0),
    ("messages_processed_total", 3.0),
    ("queue_length", 7.0),
];

#[test]
fn every_event_shows_in_its_series() {
    let text = busy().render();
    let (_, samples) = parsed(&text);
    let ours: Vec<(&str, f64)> = samples
        .into_iter()
        .filter(|(series, _)| !series.starts_with("process_") && !series.contains("_bucket"))
        .collect();
    assert_eq!(ours, SHOWN);
}

#[test]
fn the_families_follow_the_rules_of_names() {
    let text = busy().render();
    let (types, _) = parsed(&text);
    for (name, kind) in &types {
        let promised = [
            "queue_length",
            "messages_processed_total",
            "messages_failed_total",
        ];
        let known =
            promised.contains(name) || name.starts_with("job_worker_") || name.starts_with("process_");
        assert!(known, "{name}");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name} is a {kind}");
        assert!(*kind != "histogram" || name.ends_with("_seconds"), "{name}");
    }
    assert!(types.contains_key("process_resident_memory_bytes"));
}

#[test]
fn no_label_could_hold_an_id() {
    let text = busy().render();
    let labels: BTreeSet<&str> = parsed(&text)
        .1
        .into_keys()
        .filter_map(|series| series.strip_suffix('}')?.split_once('{'))
        .flat_map(|(_, labels)| labels.split(','))
        .map(|label| label.split('=').next().unwrap())
        .filter(|label| *label != "le")
        .collect();
    let bounded = [
        "class",
        "code",
        "dependency",
        "event",
        "from",
        "history",
        "kind",
        "on",
        "outcome",
        "phase",
        "reason",
        "result",
        "state",
        "to",
        "verb",
        "version",
    ];
    assert_eq!(labels, BTreeSet::from(bounded));
}

#[test]
fn known_words_and_the_promised_three_are_there_before_anything_happened() {
    let response = Metrics::new(WORDS, "1.2.3").response();
    assert_eq!(
        (response.status, response.content_type),
        (200, "text/plain; version=0.0.4")
    );
    let (_, samples) = parsed(&response.body);
    for series in [
        "queue_length",
        "messages_processed_total",
        "messages_failed_total",
        "job_worker_task_failures_total{code=\"INVALID_MESSAGE\"}",
        "job_worker_task_failures_total{code=\"JOB_FAILED\"}",
        "job_worker_run_seconds_count{state=\"Failed\"}",
        "job_worker_transitions_total{from=\"Received\",on=\"JobCreated\",to=\"Created\"}",
        "job_worker_leader",
    ] {
        assert_eq!(samples.get(series), Some(&0.0), "{series}");
    }
}
