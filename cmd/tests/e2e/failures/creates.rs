//! Jobs that are never made.

use serde_json::json;

use super::place::{Place, plain_job};
use super::row::{Asks, Home, NO_ADMISSION, REFUSED, Row, row};
use crate::task::Task;

const CODE: &str = "JOB_CREATE_FAILED";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("no-permission", "true")
            .home(Home::Unbound)
            .beyond_embedded("what its accounts may do is given at its start")
            .asks(Asks::List)
            .ends(
                REFUSED,
                CODE,
                &[
                    "No Job can be created in namespace {namespace}",
                    "a permission is missing",
                    "jobs",
                ],
            ),
        row("no-such-namespace", "true")
            .home(Home::Absent)
            .beyond_embedded("what its accounts may do is given at its start")
            .asks(Asks::List)
            .ends(
                REFUSED,
                CODE,
                &[
                    "No Job can be created in namespace {namespace}",
                    "or there is no such namespace",
                ],
            ),
        row("namespace-is-ending", "true")
            .before(ending)
            .beyond_embedded("a namespace there ends at once")
            .asks(Asks::Create)
            .after(|place| place.let_bindings_go())
            .ends(
                REFUSED,
                CODE,
                &[
                    "The API server refuses the Job: ",
                    "because it is being terminated",
                ],
            ),
        row("name-is-taken", "true")
            .before(take_the_name)
            .asks(Asks::Create)
            .ends(
                REFUSED,
                "JOB_ALREADY_EXISTS",
                &["Job {namespace}/{job} exists and does not belong to this task"],
            ),
        row("invalid-message", "true")
            .asks(Asks::Nothing)
            .with("activeDeadlineSeconds", 5)
            .with("image", "")
            .with("envRef", json!([{"name": "settings", "type": "file"}]))
            .ends(
                REFUSED,
                "INVALID_MESSAGE",
                &["job.activeDeadlineSeconds", "job.image", "job.envRef[0].type"],
            ),
    ];
    rows.extend(admission());
    rows
}

/// Holds the end of the namespace up, and the worker's permissions there as long.
fn ending(place: &Place<'_>, _: &mut Task) {
    place.keep_bindings();
    place.world.cluster.delete(&place.itself());
    place.until_refused("batch/v1/jobs", &plain_job("probe"));
}

fn take_the_name(place: &Place<'_>, task: &mut Task) {
    place.add("batch/v1/jobs", &plain_job(&place.world.job_name(task)));
}

fn admission() -> Vec<Row> {
    let says: &[&str] = &["The API server refuses the Job: ", "no Jobs on Sundays"];
    vec![
        row("policy-finds-it-invalid", "true")
            .before(|place, _| deny_jobs(place, "Invalid"))
            .beyond_embedded(NO_ADMISSION)
            .asks(Asks::Create)
            .after(forget_policy)
            .ends(REFUSED, CODE, says),
        row("policy-forbids-it", "true")
            .before(|place, _| deny_jobs(place, "Forbidden"))
            .beyond_embedded(NO_ADMISSION)
            .asks(Asks::Create)
            .after(forget_policy)
            .ends(REFUSED, CODE, says),
    ]
}

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// Lets an admission policy deny every Job of the namespace, and waits until it does.
fn deny_jobs(place: &Place<'_>, reason: &str) {
    let name = &place.namespace;
    let cluster = &place.world.cluster;
    cluster.create(
        &format!("{POLICIES}/validatingadmissionpolicies"),
        &json!({
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                    "resourceRules": [{
                        "apiGroups": ["batch"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["jobs"],
                    }],
                },
                "validations": [{"expression": "false", "message": "no Jobs on Sundays", "reason": reason}],
            },
        }),
    );
    cluster.create(
        &format!("{POLICIES}/validatingadmissionpolicybindings"),
        &json!({
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    );
    place.until_refused("batch/v1/jobs", &plain_job("probe"));
}

fn forget_policy(place: &Place<'_>) {
    for kind in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
        let path = format!("{POLICIES}/{kind}/{}", place.namespace);
        place.world.cluster.delete(&path);
    }
}
