//! How a Job can end, and what its receiver is told of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story::Told;
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

/// Binds a claim of this world's namespace to a directory of the node.
fn claim(world: &World) -> &'static str {
    let directory = world.cluster.facts.audit_log.with_file_name(&world.lock_name);
    world.cluster.create(
        "/api/v1/persistentvolumes",
        &json!({
            "metadata": {"name": world.lock_name},
            "spec": {
                "capacity": {"storage": "1Mi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "hostPath": {"path": directory, "type": "DirectoryOrCreate"},
            },
        }),
    );
    world.cluster.create(
        &format!("/api/v1/namespaces/{}/persistentvolumeclaims", world.namespace),
        &json!({
            "metadata": {"name": "claim"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "volumeName": world.lock_name,
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }),
    );
    "claim"
}

#[test]
fn a_second_pod_that_succeeds_completes_the_job_and_nothing_is_told_of_the_first_ones_end() {
    let world = World::new("second-pod");
    let task = world
        .task(
            "second-pod",
            "[ -e /data/once ] && exit 0; touch /data/once; exit 1",
        )
        .with("backoffLimit", 1)
        .with("volume", json!({"mountPath": "/data", "pvc": claim(&world)}));
    let worker = world.worker("worker-0");
    world.push(&task);
    world.verdict(&task.id, Duration::from_secs(180));
    let (job, pods) = (world.job(&task), world.pods(&task));
    end(worker);
    assert_eq!(pods.len(), 2);
    assert_eq!(
        world.told(&task.id),
        [
            Told::created(&job),
            Told::started(&pods[0]),
            Told::completed(&job)
        ]
    );
    world
        .cluster
        .delete(&format!("/api/v1/persistentvolumes/{}", world.lock_name));
}

#[test]
fn twenty_tasks_that_end_at_once_are_each_told_0_1_2() {
    let world = World::new("twenty");
    let worker = world.worker("worker-0");
    let tasks: Vec<Task> = (0..20)
        .map(|n| world.task(&format!("fast-{n}"), "true"))
        .collect();
    for task in &tasks {
        world.push(task);
    }
    for task in &tasks {
        world.verdict(&task.id, Duration::from_secs(120));
    }
    end(worker);
    for task in &tasks {
        world.assert_completed(task);
    }
    world.assert_one_job_each(&tasks);
}

#[test]
fn what_the_message_sets_reaches_the_program() {
    let world = World::new("reaches");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    world.cluster.create(
        &format!("/api/v1/namespaces/{}/secrets", world.namespace),
        &json!({"metadata": {"name": "secret"}, "stringData": {"FROM_SECRET": "s"}}),
    );
    let mut task = world
        .task(
            "reaches",
            "echo \"$GREETING|$EMPTY|$FROM_SECRET|$TRACEPARENT|$0 $1\" > /dev/termination-log; exit 9",
        )
        .with("args", json!(["zero", "one"]))
        .with(
            "env",
            json!([{"name": "GREETING", "value": "hi"}, {"name": "EMPTY", "value": ""}]),
        )
        .with("envRef", json!([{"name": "secret", "type": "secret"}]));
    task.message["traceparent"] = Value::from(parent);
    let worker = world.worker("worker-0");
    world.push(&task);
    let told = world.verdict(&task.id, SOON);
    end(worker);
    let verdict = told.last().expect("there is a verdict");
    verdict.assert_says(
        "JOB_EXECUTION_FAILED",
        &[
            "exit code 9",
            "hi||s|00-0af7651916cd43dd8448eb211c80319c-",
            "|zero one",
        ],
    );
    assert!(verdict.message().ends_with("zero one"));
    for (request, _) in crate::story::of_task(&world.sink.requests(), &task.id) {
        let sent = request.header("traceparent").unwrap_or_default();
        assert!(sent.contains("0af7651916cd43dd8448eb211c80319c"), "{sent}");
    }
}

#[test]
fn a_task_without_a_webhook_runs_in_silence() {
    let world = World::new("silent");
    let worker = world.worker("worker-0");
    let mut task = world.task("silent", "true");
    task.message.as_object_mut().unwrap().remove("webhook");
    world.push(&task);
    eventually(SOON, "the Job is complete", || {
        let job = world.find_job(&task)?;
        (job["status"]["succeeded"] == 1).then_some(())
    });
    end(worker);
    assert_eq!(world.sink.requests(), []);
    assert_eq!(world.dead_letters(), []);
}
