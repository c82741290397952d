//! Tasks whose container starts late, or need something that the node may not have.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story::statuses;
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

fn without_its_config(world: &World) -> Task {
    world
        .task("config", "true")
        .with("envRef", json!([{"name": "nobody", "type": "configmap"}]))
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
    let worker = world.worker_with("worker-0", &[("POD_START_TIMEOUT", "30")]);
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
    eventually(SOON, "longer than that has passed", || {
        (suspended.elapsed() > Duration::from_secs(40)).then_some(())
    });
    assert_eq!(statuses(&world.told(&task.id)), [0]);
    world.cluster.patch(&job, &json!({"spec": {"suspend": false}}));
    world.verdict(&task.id, SOON);
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [0, 99]);
    told[1].assert_says("POD_START_TIMEOUT", &["It was waiting for a node"]);
}
