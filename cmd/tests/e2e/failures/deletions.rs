//! Jobs, pods and namespaces that somebody deletes, or holds up.

use serde_json::json;

use super::place::{PATIENCE, Place};
use super::row::{Asks, LOST, NOT_STARTED, RAN, Row, row};
use crate::task::Task;

const WAITS: &str = "trap 'exit 3' TERM; sleep 600 & wait";

pub(super) fn rows() -> Vec<Row> {
    let nobody = json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"});
    vec![
        row("job-deleted", WAITS).during(delete_running).ends(
            LOST,
            "JOB_DELETED",
            &["Job {namespace}/{job} was deleted before it ended", "new id"],
        ),
        row("job-deleted-before-its-start", "true")
            .with("nodeSelector", nobody.clone())
            .during(|place, task| {
                place.world.wait_for(&task.id, 1, PATIENCE);
                place.world.cluster.delete(&place.job_path(task));
            })
            .ends(
                NOT_STARTED,
                "JOB_DELETED",
                &["Job {namespace}/{job} was deleted before it ended"],
            ),
        row("pod-deleted", WAITS)
            .during(|place, task| {
                let pod = place.running(task);
                place.world.cluster.delete(&place.pod_path(&pod));
            })
            .ends(RAN, "JOB_EXECUTION_FAILED", &["exit code 3"]),
        // A pod that ends does not end this Job: it is its deletion that is told.
        row("namespace-deleted", WAITS)
            .beyond_embedded("it has no RoleBindings that could outlive the namespace")
            .with("backoffLimit", 6)
            .during(|place, task| {
                place.running(task);
                place.keep_bindings();
                place.world.cluster.delete(&place.itself());
            })
            .after(|place| place.let_bindings_go())
            .ends(LOST, "JOB_DELETED", &["was deleted before it ended"]),
        // Its permissions go with it: the worker hears of the deletion, and may not look any more.
        row("job-deleted-and-out-of-sight", WAITS)
            .asks(Asks::Get)
            .beyond_embedded("what its accounts may do is given at its start")
            .during(|place, task| {
                place.running(task);
                place.delete_bindings();
                place.world.cluster.delete(&place.job_path(task));
            })
            .ends(LOST, "JOB_DELETED", &["was deleted before it ended"]),
        row("suspended-and-never-placed", "true")
            .with("nodeSelector", nobody)
            .hasty()
            .during(suspend_for_a_moment)
            .ends(NOT_STARTED, "POD_START_TIMEOUT", &["It was waiting for a node"]),
    ]
}

fn delete_running(place: &Place<'_>, task: &Task) {
    place.running(task);
    place.world.cluster.delete(&place.job_path(task));
}

fn suspend_for_a_moment(place: &Place<'_>, task: &Task) {
    let suspend = |suspend: bool| {
        let change = json!({"spec": {"suspend": suspend}});
        place.world.cluster.patch(&place.job_path(task), &change);
    };
    place.world.wait_for(&task.id, 1, PATIENCE);
    suspend(true);
    place.until("a Job without pods", || {
        place.world.pods(task).is_empty().then_some(())
    });
    suspend(false);
}
