//! How a Job can end, and what its receiver is told of it.

use std::time::Duration;

use fixtures::kubernetes::Access;
use serde_json::{Value, json};

use crate::story::{Told, statuses};
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

/// Runs one task to its verdict, ends the worker, and asserts 0, 1 and a verdict with this code and these words.
fn assert_fails(world: &World, task: &Task, within: Duration, code: &str, parts: &[&str]) -> Told {
    let worker = world.worker("worker-0");
    world.push(task);
    world.verdict(&task.id, within);
    let (job, pod) = (world.job(task), world.pod(task));
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 1, 3]);
    assert_eq!(told[..2], [Told::created(&job), Told::started(&pod)]);
    told[2].assert_says(code, parts);
    told[2].clone()
}

#[test]
fn exit_code_1_without_a_word_is_told() {
    let world = World::new("exit-1");
    let verdict = assert_fails(
        &world,
        &world.task("exit-1", "exit 1"),
        SOON,
        "JOB_EXECUTION_FAILED",
        &[],
    );
    assert_eq!(
        verdict.message(),
        "Job execution failed with exit code 1 (container tests, reason Error)"
    );
}

#[test]
fn exit_code_42_is_told_with_the_last_words_of_the_program() {
    let world = World::new("exit-42");
    let task = world.task("exit-42", "echo the disk is on fire; exit 42");
    let verdict = assert_fails(&world, &task, SOON, "JOB_EXECUTION_FAILED", &[]);
    assert_eq!(
        verdict.message(),
        "Job execution failed with exit code 42 (container tests, reason Error): the disk is on fire"
    );
}

#[test]
fn a_termination_message_stands_above_the_log() {
    let world = World::new("last-words");
    let task = world.task(
        "last-words",
        "echo noise; echo the reason > /dev/termination-log; exit 3",
    );
    let verdict = assert_fails(&world, &task, SOON, "JOB_EXECUTION_FAILED", &[]);
    assert_eq!(
        verdict.message(),
        "Job execution failed with exit code 3 (container tests, reason Error): the reason"
    );
}

#[test]
fn a_program_out_of_memory_is_told_as_such() {
    let world = World::new("oom");
    let task = world
        .task("oom", "")
        .with("command", json!(["tail", "/dev/zero"]))
        .with("resources", json!({"limits": {"memory": "32Mi"}}));
    assert_fails(
        &world,
        &task,
        SOON,
        "JOB_OUT_OF_MEMORY",
        &["exit code 137", "OOMKilled", "job.resources.limits.memory"],
    );
}

#[test]
fn a_job_past_its_deadline_is_told_as_such() {
    let world = World::new("deadline");
    let task = world
        .task("deadline", "exec sleep 600")
        .with("activeDeadlineSeconds", 60);
    let worker = world.worker("worker-0");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    // The pod is removed by the Job controller when the deadline has passed.
    let (job, pod) = (world.job(&task), world.pod(&task));
    world.verdict(&task.id, Duration::from_secs(120));
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(
        told,
        [
            Told::created(&job),
            Told::started(&pod),
            Told::failed(
                "JOB_DEADLINE_EXCEEDED",
                "The Job's activeDeadlineSeconds of 60 s has passed; a pod had started."
            ),
        ]
    );
}

#[test]
fn a_deadline_before_any_start_says_what_the_pod_waited_for() {
    let world = World::new("deadline-early");
    let task = world
        .task("deadline-early", "true")
        .with("activeDeadlineSeconds", 60)
        .with("image", "registry.invalid/nothing:1");
    // The deadline is shorter than the start timeout: the Job's own end decides.
    let worker = world.worker_with("worker-0", &[("POD_START_TIMEOUT", "60")]);
    world.push(&task);
    world.wait_for(&task.id, 1, SOON);
    let job = world.job(&task);
    world.verdict(&task.id, Duration::from_secs(120));
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 3]);
    assert_eq!(told[0], Told::created(&job));
    told[1].assert_says(
        "JOB_DEADLINE_EXCEEDED",
        &["60 s", "no container had started", "Image"],
    );
}

#[test]
fn a_job_that_somebody_deletes_is_told_as_deleted() {
    let world = World::new("deleted");
    let worker = world.worker("worker-0");
    let task = world.task("deleted", "exec sleep 600");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let (job, pod) = (world.job(&task), world.pod(&task));
    let name = world.job_name(&task);
    let path = format!("/apis/batch/v1/namespaces/{}/jobs/{name}", task.namespace);
    world.cluster.delete(&path);
    world.verdict(&task.id, SOON);
    end(worker);
    let message = format!("Job {}/{name} was deleted before it ended.", task.namespace);
    assert_eq!(
        world.told(&task.id),
        [
            Told::created(&job),
            Told::started(&pod),
            Told::failed("JOB_DELETED", &message)
        ]
    );
    assert!(world.find_job(&task).is_none(), "no second Job is created");
}

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
    world.verdict(&task.id, Duration::from_secs(90));
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
    let verdict = assert_fails(
        &world,
        &task,
        SOON,
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

#[test]
fn a_pod_that_is_evicted_is_a_disruption_whatever_its_exit_code() {
    let world = World::new("evicted");
    let worker = world.worker("worker-0");
    let task = world.task("evicted", "trap 'exit 3' TERM; sleep 600 & wait");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let (job, pod) = (world.job(&task), world.pod(&task));
    let name = pod["metadata"]["name"].as_str().unwrap();
    world.cluster.create(
        &format!("/api/v1/namespaces/{}/pods/{name}/eviction", task.namespace),
        &json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}),
    );
    world.verdict(&task.id, Duration::from_secs(90));
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 1, 3]);
    assert_eq!(told[..2], [Told::created(&job), Told::started(&pod)]);
    told[2].assert_says("JOB_DISRUPTED", &["EvictionByEvictionAPI"]);
}

#[test]
fn a_namespace_that_is_deleted_takes_its_tasks_along() {
    let world = World::new("namespace-deleted");
    let doomed = format!("{}-doomed", world.namespace);
    world.cluster.create_namespace(&doomed, Access::Needed);
    let worker = world.worker("worker-0");
    let task = Task::new(
        &world.id("doomed"),
        &doomed,
        &world.sink.url("/callback"),
        "exec sleep 600",
    );
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let (job, pod) = (world.job(&task), world.pod(&task));
    world.cluster.delete(&format!("/api/v1/namespaces/{doomed}"));
    world.verdict(&task.id, Duration::from_secs(90));
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(told.len(), 3);
    assert_eq!(told[..2], [Told::created(&job), Told::started(&pod)]);
    // Kubernetes deletes the pods first: the Job may have failed of it before it is deleted itself.
    let code = told[2].code();
    assert!(
        ["JOB_DELETED", "JOB_EXECUTION_FAILED"].contains(&code),
        "{told:?}"
    );
    world.assert_completed(&later);
}

#[test]
fn a_pod_that_somebody_deletes_fails_the_job() {
    let world = World::new("pod-deleted");
    let worker = world.worker("worker-0");
    let task = world.task("pod-deleted", "trap 'exit 3' TERM; sleep 600 & wait");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);
    let (job, pod) = (world.job(&task), world.pod(&task));
    let name = pod["metadata"]["name"].as_str().unwrap();
    world
        .cluster
        .delete(&format!("/api/v1/namespaces/{}/pods/{name}", task.namespace));
    world.verdict(&task.id, Duration::from_secs(90));
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 1, 3]);
    assert_eq!(told[..2], [Told::created(&job), Told::started(&pod)]);
    told[2].assert_says("JOB_EXECUTION_FAILED", &["exit code 3"]);
}
