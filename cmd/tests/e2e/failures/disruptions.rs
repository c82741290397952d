//! Pods that the cluster ends. Some of them are placed on a node without a kubelet, where their status is written by hand.

use serde_json::{Value, json};

use super::place::{PATIENCE, Place};
use super::row::{NEVER_RAN, NOT_STARTED, RAN, Row, row};
use crate::task::Task;

const CODE: &str = "JOB_DISRUPTED";
const WAITS: &str = "trap 'exit 3' TERM; sleep 600 & wait";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("evicted-by-a-drain", WAITS)
            .beyond_embedded("it has no evictions")
            .during(evict)
            .ends(RAN, CODE, &["EvictionByEvictionAPI", "can be sent again"]),
    ];
    rows.extend(elsewhere());
    rows
}

fn evict(place: &Place<'_>, task: &Task) {
    let pod = place.running(task);
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"]},
    });
    let path = format!("{}/eviction", place.pod_path(&pod));
    place.world.cluster.create(&path, &eviction);
}

/// Rows on a node of their own that nothing runs on.
fn elsewhere() -> Vec<Row> {
    let elsewhere = |name| {
        row(name, "true")
            .beyond_embedded("it has one node")
            .before(own_node)
            .after(forget_node)
    };
    vec![
        elsewhere("preempted").during(preempt).ends(
            RAN,
            CODE,
            &["PreemptionByScheduler", "a pod of more weight"],
        ),
        elsewhere("node-is-lost").during(lose_node).ends(
            RAN,
            CODE,
            &["DeletionByPodGC", "The cause is the cluster, not the program"],
        ),
        elsewhere("node-is-tainted")
            .during(taint_node)
            .ends(RAN, CODE, &["DeletionByTaintManager"]),
        elsewhere("node-is-under-pressure").during(pressure).ends(
            RAN,
            CODE,
            &["TerminationByKubelet", "low on resource: memory"],
        ),
        elsewhere("node-does-not-take-it").during(not_taken).ends(
            NEVER_RAN,
            "JOB_FAILED",
            &["BackoffLimitExceeded", "OutOfcpu", "not enough cpu"],
        ),
        elsewhere("taint-not-tolerated")
            .hasty()
            .before(|place, task| {
                own_node(place, task);
                task.message["job"]["toleration"]["value"] = "another".into();
            })
            .ends(
                NOT_STARTED,
                "POD_START_TIMEOUT",
                &["It was waiting for a node: ", "untolerated taint"],
            ),
    ]
}

/// Makes a node, and sends the task there and nobody else.
fn own_node(place: &Place<'_>, task: &mut Task) {
    let name = &place.namespace;
    place.world.cluster.create(
        "/api/v1/nodes",
        &json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {"taints": [{"key": "example.com/row", "value": name, "effect": "NoSchedule"}]},
        }),
    );
    heartbeat(place);
    let job = &mut task.message["job"];
    job["nodeSelector"] = json!({"matchKey": "kubernetes.io/hostname", "matchValue": name});
    job["toleration"] = json!({"key": "example.com/row", "value": name});
}

/// Says that the node is well, as its kubelet would every few seconds.
fn heartbeat(place: &Place<'_>) {
    let room = json!({"cpu": "4", "memory": "4Gi", "pods": "10"});
    let now = jiff::Timestamp::now().to_string();
    place.world.cluster.patch(
        &format!("/api/v1/nodes/{}/status", place.namespace),
        &json!({"status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "lastHeartbeatTime": now,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        }}),
    );
}

/// Waits until the pod is placed on its node.
fn placed(place: &Place<'_>, task: &Task) -> Value {
    place.until("a pod on its node", || {
        heartbeat(place);
        let pods = place.world.pods(task);
        pods.into_iter()
            .find(|pod| pod["spec"]["nodeName"] == place.namespace.as_str())
    })
}

/// Says that the pod's container runs, and waits until that was told.
fn runs(place: &Place<'_>, task: &Task) -> Value {
    let pod = placed(place, task);
    place.set_status(
        &pod,
        &json!({
            "phase": "Running",
            "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [container(json!({"running": {"startedAt": "2026-01-01T00:00:01Z"}}))],
        }),
    );
    place.world.wait_for(&task.id, 2, PATIENCE);
    pod
}

fn container(state: Value) -> Value {
    json!({
        "name": "tests",
        "image": "busybox:latest",
        "imageID": "",
        "ready": false,
        "restartCount": 0,
        "state": state,
    })
}

/// Says that the container was killed.
fn killed(place: &Place<'_>, pod: &Value, more: Value) {
    let mut status = more;
    let end = json!({"terminated": {
        "exitCode": 137,
        "reason": "Error",
        "startedAt": "2026-01-01T00:00:01Z",
        "finishedAt": "2026-01-01T00:00:09Z",
    }});
    status["phase"] = "Failed".into();
    status["containerStatuses"] = json!([container(end)]);
    place.set_status(pod, &status);
}

/// What the scheduler does: the condition, then the deletion.
fn preempt(place: &Place<'_>, task: &Task) {
    let pod = runs(place, task);
    place.mark_disrupted(
        &pod,
        "PreemptionByScheduler",
        "a pod of more weight needs the node",
    );
    place.world.cluster.delete(&place.pod_path(&pod));
    killed(place, &pod, json!({}));
}

fn lose_node(place: &Place<'_>, task: &Task) {
    runs(place, task);
    forget_node(place);
}

fn taint_node(place: &Place<'_>, task: &Task) {
    let pod = runs(place, task);
    place.world.cluster.patch(
        &format!("/api/v1/nodes/{}", place.namespace),
        &json!({"spec": {"taints": [{"key": "example.com/gone", "effect": "NoExecute"}]}}),
    );
    let marked = place.pod(task, |pod| !pod["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(marked["metadata"]["uid"], pod["metadata"]["uid"]);
    killed(place, &pod, json!({}));
}

/// What the kubelet writes when memory is short (`pkg/kubelet/eviction`).
fn pressure(place: &Place<'_>, task: &Task) {
    let pod = runs(place, task);
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 89Mi.";
    place.mark_disrupted(&pod, "TerminationByKubelet", message);
    killed(place, &pod, json!({"reason": "Evicted", "message": message}));
}

/// What the kubelet writes when it has no room for a pod that was sent to it (`pkg/kubelet/lifecycle`).
fn not_taken(place: &Place<'_>, task: &Task) {
    let pod = placed(place, task);
    let message = "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000, used: 500, capacity: 2000: not enough cpu";
    place.set_status(
        &pod,
        &json!({"phase": "Failed", "reason": "OutOfcpu", "message": message}),
    );
}

fn forget_node(place: &Place<'_>) {
    let path = format!("/api/v1/nodes/{}", place.namespace);
    place.world.cluster.delete(&path);
}
