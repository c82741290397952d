//! Containers that never start, and Jobs that get no pod.

use serde_json::{Value, json};

use super::place::{Place, plain_pod};
use super::row::{NO_ADMISSION, NOT_STARTED, Row, row};
use crate::task::Task;

const TIMEOUT: &str = "POD_START_TIMEOUT";
const FAILED: &str = "POD_START_FAILED";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = images();
    rows.extend(configuration());
    rows.extend(nodes());
    rows.extend(volumes());
    rows.extend(without_pods());
    rows
}

fn images() -> Vec<Row> {
    vec![
        row("no-such-registry", "true")
            .with("image", "registry.invalid/nothing:1")
            .hasty()
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "No container started within 60 s of the Job's creation.",
                    "It was waiting for its image: ",
                    "registry.invalid/nothing:1",
                ],
            ),
        row("no-such-tag", "true")
            .with("image", "busybox:no-such-tag")
            .beyond_embedded("every name stands for this machine's tools")
            .hasty()
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &["It was waiting for its image: ", "busybox:no-such-tag"],
            ),
        row("invalid-image-name", "true")
            .with("image", "NOT//valid::")
            .ends(
                NOT_STARTED,
                FAILED,
                &["The container can never start: InvalidImageName", "NOT//valid::"],
            ),
    ]
}

fn configuration() -> Vec<Row> {
    let missing = |name, kind: &str| {
        row(name, "true")
            .with("envRef", json!([{"name": "nobody", "type": kind}]))
            .hasty()
    };
    vec![
        missing("no-config-map", "configmap")
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "It was waiting for its configuration: CreateContainerConfigError",
                    "configmap \"nobody\" not found",
                ],
            )
            .with_patch(
                FAILED,
                &[
                    "The container can never start: CreateContainerConfigError",
                    "configmap \"nobody\" not found",
                ],
            ),
        missing("no-secret", "secret")
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &["CreateContainerConfigError", "secret \"nobody\" not found"],
            )
            .with_patch(
                FAILED,
                &["CreateContainerConfigError", "secret \"nobody\" not found"],
            ),
        row("no-service-account", "true")
            .with("serviceAccount", "nobody")
            .beyond_embedded("it does not look whether a pod's account exists")
            .hasty()
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &["No pod was created", "kubectl describe job {job} -n {namespace}"],
            )
            .with_patch(
                TIMEOUT,
                &[
                    "No pod was created: FailedCreate",
                    "serviceaccount \"nobody\" not found",
                ],
            ),
    ]
}

fn nodes() -> Vec<Row> {
    let nowhere = |name| row(name, "true").hasty();
    vec![
        nowhere("no-such-node")
            .with(
                "nodeSelector",
                json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"}),
            )
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "It was waiting for a node: Unschedulable",
                    "node affinity/selector",
                ],
            ),
        nowhere("no-gpu").with("gpuEnable", true).ends(
            NOT_STARTED,
            TIMEOUT,
            &["It was waiting for a node: ", "Insufficient nvidia.com/gpu"],
        ),
        nowhere("too-large")
            .beyond_embedded("its scheduler does not look at processors and memory")
            .with(
                "resources",
                json!({"limits": {"cpu": "4000", "memory": "4000Ti"}}),
            )
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "It was waiting for a node: ",
                    "Insufficient cpu",
                    "Insufficient memory",
                ],
            ),
    ]
}

fn volumes() -> Vec<Row> {
    let mounts = |name, claim: &str| {
        row(name, "true")
            .with("volume", json!({"mountPath": "/data", "pvc": claim}))
            .hasty()
    };
    vec![
        mounts("no-claim", "nobody").ends(
            NOT_STARTED,
            TIMEOUT,
            &[
                "It was waiting for a node: ",
                "persistentvolumeclaim \"nobody\" not found",
            ],
        ),
        mounts("unbound-claim", "unbound")
            .beyond_embedded("claims are bound at once")
            .before(unbound_claim)
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "It was waiting for a node: ",
                    "unbound immediate PersistentVolumeClaims",
                ],
            ),
        mounts("volume-is-not-there", "claim")
            .beyond_embedded("it has no volumes")
            .before(claim_of_nothing)
            .after(|place| {
                let volume = format!("/api/v1/persistentvolumes/{}", place.namespace);
                place.world.cluster.delete(&volume);
            })
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "ContainerCreating",
                    "its volumes, sandbox or network are not ready",
                ],
            ),
    ]
}

fn claim(place: &Place<'_>, name: &str, class: &str, volume: &str) {
    place.add(
        "persistentvolumeclaims",
        &json!({
            "metadata": {"name": name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": class,
                "volumeName": volume,
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }),
    );
}

fn unbound_claim(place: &Place<'_>, _: &mut Task) {
    claim(place, "unbound", "nobody", "");
}

/// A claim whose volume is a directory that the node does not have.
fn claim_of_nothing(place: &Place<'_>, _: &mut Task) {
    place.world.cluster.create(
        "/api/v1/persistentvolumes",
        &json!({
            "metadata": {"name": place.namespace},
            "spec": {
                "capacity": {"storage": "1Mi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "hostPath": {"path": "/no/such/directory", "type": "Directory"},
            },
        }),
    );
    claim(place, "claim", "", &place.namespace);
}

fn without_pods() -> Vec<Row> {
    let refused = |name, before| {
        row(name, "true")
            .hasty()
            .before(before)
            .beyond_embedded(NO_ADMISSION)
            .ends(
                NOT_STARTED,
                TIMEOUT,
                &[
                    "No pod was created",
                    "`kubectl describe job {job} -n {namespace}` shows why",
                ],
            )
    };
    vec![
        refused("no-pods-in-quota", no_pods)
            .with_patch(TIMEOUT, &["FailedCreate", "exceeded quota: no-pods"]),
        refused("quota-wants-limits", wants_limits)
            .with_patch(TIMEOUT, &["FailedCreate", "must specify limits.cpu"]),
        refused("above-limit-range", limit_range)
            .with("resources", json!({"limits": {"memory": "64Mi"}}))
            .with_patch(
                TIMEOUT,
                &["FailedCreate", "maximum memory usage per Container is 16Mi"],
            ),
        refused("pod-security", pod_security).with_patch(TIMEOUT, &["FailedCreate", "violates PodSecurity"]),
    ]
}

fn quota(place: &Place<'_>, name: &str, hard: &Value) {
    place.add(
        "resourcequotas",
        &json!({"metadata": {"name": name}, "spec": {"hard": hard}}),
    );
    place.until_refused("pods", &plain_pod("probe"));
}

fn no_pods(place: &Place<'_>, _: &mut Task) {
    quota(place, "no-pods", &json!({"pods": "0"}));
}

fn wants_limits(place: &Place<'_>, _: &mut Task) {
    quota(place, "compute", &json!({"limits.cpu": "4"}));
}

fn limit_range(place: &Place<'_>, _: &mut Task) {
    place.add(
        "limitranges",
        &json!({
            "metadata": {"name": "small"},
            "spec": {"limits": [{"type": "Container", "max": {"memory": "16Mi"}}]},
        }),
    );
    let mut pod = plain_pod("probe");
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
    place.until_refused("pods", &pod);
}

fn pod_security(place: &Place<'_>, _: &mut Task) {
    place.world.cluster.patch(
        &place.itself(),
        &json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
    );
    place.until_refused("pods", &plain_pod("probe"));
}
