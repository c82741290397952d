//! Tasks whose container does not start.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story::{Told, statuses};
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

/// What the message of a verdict says where the Job could not be stopped.
fn left_in_place(world: &World, task: &Task) -> String {
    format!(
        "The Job was left in place and may still run; delete it with `kubectl delete job {} -n {}`.",
        world.job_name(task),
        task.namespace
    )
}

/// Runs one task to its verdict, ends the worker, and asserts 0 and 99 with this code and these words.
fn assert_never_starts(world: &World, task: &Task, timeout: &str, code: &str, parts: &[&str]) -> Told {
    let worker = world.worker_with("worker-0", &[("POD_START_TIMEOUT", timeout)]);
    world.push(task);
    world.wait_for(&task.id, 1, SOON);
    let job = world.job(task);
    world.verdict(&task.id, PATIENCE);
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 99]);
    assert_eq!(told[0], Told::created(&job));
    told[1].assert_says(code, parts);
    told[1].clone()
}

/// The Job is as it was: without a deadline of ours, without a verdict.
fn assert_untouched(job: &Value) {
    assert_eq!(job["spec"]["activeDeadlineSeconds"], Value::Null);
    assert_eq!(job["metadata"]["annotations"]["job-worker/verdict"], Value::Null);
}

/// The Job was stopped, and says with which verdict.
fn assert_stopped(world: &World, task: &Task, verdict: &Told) {
    let job = world.job(task);
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 1);
    let written = job["metadata"]["annotations"]["job-worker/verdict"]
        .as_str()
        .expect("the verdict is on the Job");
    let written: Value = serde_json::from_str(written).expect("it is JSON");
    assert_eq!(
        written,
        json!({"code": verdict.code(), "message": verdict.message()})
    );
    eventually(SOON, "the Job has failed by its deadline", || {
        let job = world.job(task);
        let conditions = job["status"]["conditions"].as_array()?.clone();
        let ended = |c: &Value| c["type"] == "Failed" && c["reason"] == "DeadlineExceeded";
        conditions.iter().any(ended).then_some(())
    });
}

#[test]
fn an_image_that_cannot_be_pulled_ends_the_task_and_the_job_is_left_in_place() {
    let world = World::new("image");
    let task = world
        .task("image", "true")
        .with("image", "registry.invalid/nothing:1");
    let verdict = assert_never_starts(
        &world,
        &task,
        "8",
        "POD_START_TIMEOUT",
        &[
            "No container started within 8 s of the Job's creation.",
            "It was waiting for its image: ",
            "registry.invalid/nothing:1",
        ],
    );
    assert!(verdict.message().ends_with(&left_in_place(&world, &task)));
    assert_untouched(&world.job(&task));
}

#[test]
fn with_patch_a_job_whose_image_cannot_be_pulled_is_stopped() {
    let world = World::with_patch("image-patch");
    let task = world
        .task("image-patch", "true")
        .with("image", "registry.invalid/nothing:1");
    let verdict = assert_never_starts(
        &world,
        &task,
        "8",
        "POD_START_TIMEOUT",
        &["It was waiting for its image: ", "registry.invalid/nothing:1"],
    );
    assert!(!verdict.message().contains("left in place"), "{verdict:?}");
    assert_stopped(&world, &task, &verdict);
}

#[test]
fn an_invalid_image_name_can_never_start() {
    let world = World::new("image-name");
    let task = world.task("image-name", "true").with("image", "NOT//valid::");
    let verdict = assert_never_starts(
        &world,
        &task,
        "600",
        "POD_START_FAILED",
        &["The container can never start: InvalidImageName"],
    );
    assert!(verdict.message().ends_with(&left_in_place(&world, &task)));
    assert_untouched(&world.job(&task));
}

#[test]
fn a_task_for_a_node_that_does_not_exist_waits_for_a_node() {
    let world = World::new("nowhere");
    let task = world.task("nowhere", "true").with(
        "nodeSelector",
        json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"}),
    );
    let verdict = assert_never_starts(
        &world,
        &task,
        "8",
        "POD_START_TIMEOUT",
        &["It was waiting for a node: ", "Unschedulable"],
    );
    assert!(verdict.message().ends_with(&left_in_place(&world, &task)));
}

#[test]
fn a_task_without_its_service_account_says_which_command_shows_why() {
    let world = World::new("no-account");
    let task = world.task("no-account", "true").with("serviceAccount", "nobody");
    assert_never_starts(
        &world,
        &task,
        "8",
        "POD_START_TIMEOUT",
        &[
            "No pod was created",
            &format!(
                "kubectl describe job {} -n {}",
                world.job_name(&task),
                task.namespace
            ),
        ],
    );
}

fn without_its_config(world: &World) -> Task {
    world
        .task("config", "true")
        .with("envRef", json!([{"name": "nobody", "type": "configmap"}]))
}

#[test]
fn without_patch_a_missing_config_map_is_waited_for_until_the_start_timeout() {
    let world = World::new("config");
    let verdict = assert_never_starts(
        &world,
        &without_its_config(&world),
        "66",
        "POD_START_TIMEOUT",
        &[
            "within 66 s",
            "It was waiting for its configuration: CreateContainerConfigError",
            "nobody",
        ],
    );
    assert!(
        verdict
            .message()
            .ends_with(&left_in_place(&world, &without_its_config(&world)))
    );
}

#[test]
fn with_patch_a_missing_config_map_can_never_start_and_the_job_is_stopped() {
    let world = World::with_patch("config-patch");
    let task = without_its_config(&world);
    let verdict = assert_never_starts(
        &world,
        &task,
        "600",
        "POD_START_FAILED",
        &[
            "The container can never start: CreateContainerConfigError",
            "nobody",
        ],
    );
    assert_stopped(&world, &task, &verdict);
}

#[test]
fn a_config_map_that_comes_late_lets_the_task_run() {
    let world = World::new("config-late");
    let task = without_its_config(&world);
    let worker = world.worker("worker-0");
    world.push(&task);
    eventually(SOON, "the pod waits for its configuration", || {
        let pods = world.pods(&task);
        let state = &pods.first()?["status"]["containerStatuses"][0]["state"];
        (state["waiting"]["reason"] == "CreateContainerConfigError").then_some(())
    });
    world.cluster.create(
        &format!("/api/v1/namespaces/{}/configmaps", world.namespace),
        &json!({"metadata": {"name": "nobody"}}),
    );
    world.verdict(&task.id, PATIENCE);
    end(worker);
    world.assert_completed(&task);
}

#[test]
fn a_gpu_is_asked_for_only_where_it_is_enabled() {
    let world = World::new("gpu");
    let worker = world.worker("worker-0");
    let without = world
        .task("without", "true")
        .with("gpuEnable", false)
        .with("gpuNumber", 4);
    let with = world.task("with", "true").with("gpuEnable", true);
    let two = world
        .task("two", "true")
        .with("gpuEnable", true)
        .with("gpuNumber", 2);
    for task in [&without, &with, &two] {
        world.push(task);
    }
    world.verdict(&without.id, SOON);
    for task in [&with, &two] {
        world.wait_for(&task.id, 1, SOON);
    }
    let limits = |task: &Task| {
        let job = world.job(task);
        job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].clone()
    };
    assert_eq!(limits(&without), Value::Null);
    assert_eq!(limits(&with), json!({"nvidia.com/gpu": "1"}));
    assert_eq!(limits(&two), json!({"nvidia.com/gpu": "2"}));
    end(worker);
    world.assert_completed(&without);
}

#[test]
fn suspended_time_does_not_count() {
    let world = World::new("suspended");
    let worker = world.worker_with("worker-0", &[("POD_START_TIMEOUT", "8")]);
    let task = world.task("suspended", "true").with(
        "nodeSelector",
        json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"}),
    );
    world.push(&task);
    world.wait_for(&task.id, 1, SOON);
    let job = format!(
        "/apis/batch/v1/namespaces/{}/jobs/{}",
        task.namespace,
        world.job_name(&task)
    );
    world.cluster.patch(&job, &json!({"spec": {"suspend": true}}));
    let suspended = std::time::Instant::now();
    eventually(SOON, "15 s have passed", || {
        (suspended.elapsed() > Duration::from_secs(15)).then_some(())
    });
    assert_eq!(statuses(&world.told(&task.id)), [0]);
    world.cluster.patch(&job, &json!({"spec": {"suspend": false}}));
    world.verdict(&task.id, SOON);
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 99]);
    told[1].assert_says("POD_START_TIMEOUT", &["It was waiting for a node"]);
}

/// A namespace that takes Jobs, but no pods.
fn without_pods(world: &World) -> Task {
    let namespace = format!("/api/v1/namespaces/{}", world.namespace);
    world.cluster.create(
        &format!("{namespace}/resourcequotas"),
        &json!({"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}),
    );
    eventually(SOON, "the quota is enforced", || {
        let quota = world
            .cluster
            .get(&format!("{namespace}/resourcequotas/no-pods"))?;
        (quota["status"]["hard"]["pods"] == "0").then_some(())
    });
    world.task("no-pods", "true")
}

#[test]
fn a_job_without_pods_says_why_where_events_may_be_read() {
    let world = World::with_patch("no-pods-events");
    let task = without_pods(&world);
    let parts = ["No pod was created: FailedCreate: ", "exceeded quota: no-pods"];
    assert_never_starts(&world, &task, "8", "POD_START_TIMEOUT", &parts);
}

#[test]
fn a_job_without_pods_names_the_command_that_shows_why() {
    let world = World::new("no-pods");
    let task = without_pods(&world);
    let command = format!(
        "`kubectl describe job {} -n {}` shows why",
        world.job_name(&task),
        task.namespace
    );
    let parts = ["No pod was created; ", command.as_str()];
    assert_never_starts(&world, &task, "8", "POD_START_TIMEOUT", &parts);
}
