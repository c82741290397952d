//! What of an object a verdict is made of, in words that are the same in every run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Whether two moments of an object tell the same.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    told(one) == told(other)
}

fn told(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let conditions: Vec<Value> = items(&object["status"]["conditions"])
        .iter()
        .filter(|condition| {
            matches!(
                condition["type"].as_str(),
                Some(
                    "Complete" | "Failed" | "PodScheduled" | "PodReadyToStartContainers" | "DisruptionTarget"
                )
            )
        })
        .map(|condition| {
            json!([
                condition["type"],
                condition["status"],
                condition["reason"],
                condition["message"]
            ])
        })
        .collect();
    let states: Vec<&Value> = items(&object["status"]["containerStatuses"])
        .iter()
        .map(|container| &container["state"])
        .collect();
    json!([
        metadata["deletionTimestamp"].is_null(),
        metadata["annotations"]["job-worker/verdict"],
        object["spec"]["suspend"],
        object["status"]["phase"],
        object["status"]["reason"],
        object["message"],
        conditions,
        states,
    ])
}

/// Adds what an object tells.
pub(super) fn collect(object: &Value, deleted: bool, found: &mut BTreeSet<String>) {
    match object["kind"].as_str() {
        Some("Job") => job(object, deleted, found),
        Some("Pod") => pod(object, found),
        Some(_) | None => drop(found.insert(format!("event {}", object["reason"]))),
    }
}

fn job(job: &Value, deleted: bool, found: &mut BTreeSet<String>) {
    for condition in items(&job["status"]["conditions"]) {
        if matches!(condition["type"].as_str(), Some("Complete" | "Failed")) {
            found.insert(format!("job {} {}", condition["type"], condition["reason"]));
        }
    }
    if job["spec"]["suspend"] == true {
        found.insert("job suspended".to_owned());
    }
    if deleted {
        found.insert(JOB_DELETED.to_owned());
    }
}

const JOB_DELETED: &str = "job deleted";
const DEADLINE: &str = "job \"Failed\" \"DeadlineExceeded\"";
const STARTED: &str = "pod started";
const ENDED: &str = "pod ended";
const DISRUPTED: &str = "pod disrupted";
const WAITS: &str = "pod waits";

fn pod(pod: &Value, found: &mut BTreeSet<String>) {
    let status = &pod["status"];
    for condition in items(&status["conditions"]) {
        if condition["type"] == "DisruptionTarget" {
            found.insert(format!("{DISRUPTED}: {}", condition["reason"]));
        }
        if condition["type"] == "PodScheduled" && condition["reason"] == "Unschedulable" {
            found.insert(format!("{WAITS}: Unschedulable"));
        }
        // A claim that is bound a moment later; it found its node.
        if condition["type"] == "PodScheduled" && condition["status"] == "True" {
            found.remove(&format!("{WAITS}: Unschedulable"));
        }
    }
    if status["phase"] == "Failed" && status["reason"].is_string() {
        found.insert(format!("pod failed: {}", status["reason"]));
    }
    for container in items(&status["containerStatuses"]) {
        let state = &container["state"];
        let over = &state["terminated"];
        if state["running"].is_object()
            || (over["startedAt"]
                .as_str()
                .is_some_and(|at| at > "1970-01-01T00:00:00Z")
                && over["reason"] != "StartError")
        {
            found.insert(STARTED.to_owned());
        }
        if over.is_object() {
            found.insert(format!("{ENDED}: {} {}", over["exitCode"], over["reason"]));
        }
        match state["waiting"]["reason"].as_str() {
            None | Some("ContainerCreating" | "PodInitializing") => {}
            // They take turns.
            Some("ErrImagePull" | "ImagePullBackOff") => drop(found.insert(format!("{WAITS}: its image"))),
            Some(reason) => drop(found.insert(format!("{WAITS}: {reason}"))),
        }
    }
}

/// Drops what the verdict does not look at: what a pod still said depends on the moment.
pub(super) fn that_counts(mut found: BTreeSet<String>) -> BTreeSet<String> {
    let begins = |text: &str, found: &BTreeSet<String>| found.iter().any(|one| one.starts_with(text));
    if found.contains(JOB_DELETED) {
        found.retain(|one| one == JOB_DELETED);
    } else if found.contains(DEADLINE) || begins(DISRUPTED, &found) {
        found.retain(|one| !one.starts_with(ENDED));
    }
    if found.contains(STARTED) {
        found.retain(|one| !one.starts_with(WAITS));
    }
    found
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}
