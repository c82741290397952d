//! Namespaces where the worker may not, or cannot, create Jobs.

use std::time::Duration;

use fixtures::kubernetes::Access;
use serde_json::json;

use crate::story::statuses;
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_namespace_without_permission_ends_its_tasks_while_others_go_on() {
    let world = World::new("forbidden");
    let closed = format!("{}-closed", world.namespace);
    world.cluster.create_namespace(&closed, Access::None);
    let worker = world.worker("worker-0");
    let refused = Task::new(
        &world.id("refused"),
        &closed,
        &world.sink.url("/callback"),
        "true",
    );
    world.push(&refused);
    for n in 0..3 {
        let other = world.task(&format!("other-{n}"), "true");
        world.push(&other);
        world.verdict(&other.id, SOON);
        world.assert_completed(&other);
    }
    assert_eq!(world.told(&refused.id), [], "the permission may still come");
    world.verdict(&refused.id, PATIENCE);
    end(worker);
    let told = world.told(&refused.id);
    assert_eq!(statuses(&told), [99]);
    told[0].assert_says("JOB_CREATE_FAILED", &["a permission is missing", &closed, "jobs"]);
    world.cluster.delete(&format!("/api/v1/namespaces/{closed}"));
}

#[test]
fn a_permission_that_comes_in_time_lets_the_tasks_of_a_namespace_run() {
    let world = World::new("late-binding");
    let late = format!("{}-late", world.namespace);
    world.cluster.create_namespace(&late, Access::None);
    let worker = world.worker("worker-0");
    let task = Task::new(&world.id("late"), &late, &world.sink.url("/callback"), "true");
    world.push(&task);
    worker
        .wait_for_line(SOON, |line| line.to_string().contains("orbidden"))
        .expect("the refusal is logged");
    world.cluster.bind(&late, Access::Needed);
    world.verdict(&task.id, PATIENCE);
    end(worker);
    world.assert_completed(&task);
    world.cluster.delete(&format!("/api/v1/namespaces/{late}"));
}

#[test]
fn a_namespace_that_does_not_exist_ends_the_task_at_once_where_rbac_does_not_hide_it() {
    let world = World::new("no-such");
    let wide = world.cluster.facts.worker_clusterwide_kubeconfig.clone();
    let world = world.with_kubeconfig(&wide);
    let worker = world.worker("worker-0");
    let nowhere = format!("{}-nowhere", world.namespace);
    let task = Task::new(
        &world.id("nowhere"),
        &nowhere,
        &world.sink.url("/callback"),
        "true",
    );
    world.push(&task);
    world.verdict(&task.id, SOON);
    let works = world.task("works", "true");
    world.push(&works);
    world.verdict(&works.id, SOON);
    end(worker);
    let told = world.told(&task.id);
    assert_eq!(statuses(&told), [99]);
    told[0].assert_says("JOB_CREATE_FAILED", &["not found", &nowhere]);
    world.assert_completed(&works);
}

/// Whether the API server refuses Jobs of this world's namespace.
fn refused(world: &World) -> bool {
    let job = json!({
        "metadata": {"name": "probe"},
        "spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "probe", "image": "busybox:latest"}],
        }}},
    });
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", world.namespace);
    world.cluster.dry_run(&jobs, &job).0 >= 400
}

#[test]
fn a_spent_quota_is_waited_for() {
    let world = World::new("quota");
    let quotas = format!("/api/v1/namespaces/{}/resourcequotas", world.namespace);
    world.cluster.create(
        &quotas,
        &json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}),
    );
    eventually(SOON, "the quota is enforced", || refused(&world).then_some(()));
    let worker = world.worker("worker-0");
    let tasks: Vec<Task> = (0..3).map(|n| world.task(&format!("t-{n}"), "true")).collect();
    for task in &tasks {
        world.push(task);
    }
    worker
        .wait_for_line(SOON, |line| {
            line["level"] == "WARN" && line.to_string().contains("quota")
        })
        .expect("the refusal is logged");
    eventually(SOON, "the namespace is gated", || {
        let (_, text) = worker.get("/metrics").ok()?;
        text.contains("job_worker_gated_namespaces 1\n").then_some(())
    });
    world.cluster.delete(&format!("{quotas}/none"));
    for task in &tasks {
        world.verdict(&task.id, PATIENCE);
    }
    end(worker);
    for task in &tasks {
        world.assert_completed(task);
    }
    world.assert_one_job_each(&tasks);
}

#[test]
fn a_list_of_namespaces_is_also_what_messages_may_name() {
    let world = World::new("listed");
    let open = format!("{}-open", world.namespace);
    world.cluster.create_namespace(&open, Access::Needed);
    let worker = world.worker_with("worker-0", &[("WATCH_NAMESPACES", world.namespace.as_str())]);
    let outside = Task::new(&world.id("outside"), &open, &world.sink.url("/callback"), "true");
    let inside = world.task("inside", "true");
    world.push(&outside);
    world.push(&inside);
    world.verdict(&outside.id, SOON);
    world.verdict(&inside.id, SOON);
    end(worker);
    world.assert_completed(&inside);
    let told = world.told(&outside.id);
    assert_eq!(statuses(&told), [99]);
    told[0].assert_says(
        "INVALID_MESSAGE",
        &[&format!("job.namespace: must be one of {}", world.namespace)],
    );
    assert!(world.cluster.jobs(&open).is_empty());
    world.cluster.delete(&format!("/api/v1/namespaces/{open}"));
}
