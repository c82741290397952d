//! Jobs that somebody edits, or keeps from going.

use fixtures::kubernetes::Access;
use serde_json::{Value, json};

use super::stage::PATIENCE;
use crate::story::{Told, of_task, statuses};
use crate::task::Task;
use crate::world::{World, end, eventually};

const FINALIZER: &str = "example.com/kept";

fn path(world: &World, task: &Task) -> String {
    let (namespace, name) = (&task.namespace, world.job_name(task));
    format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}")
}

/// Deletes a Job that a finalizer keeps.
fn delete_and_keep(world: &World, task: &Task) {
    let job = path(world, task);
    world
        .cluster
        .patch(&job, &json!({"metadata": {"finalizers": [FINALIZER]}}));
    world.cluster.delete(&job);
    assert!(world.job(task)["metadata"]["deletionTimestamp"].is_string());
}

fn let_go(world: &World, task: &Task) {
    let job = path(world, task);
    world
        .cluster
        .patch(&job, &json!({"metadata": {"finalizers": Value::Null}}));
}

fn runs(world: &World, task: &Task) {
    world.push(task);
    world.wait_for(&task.id, 2, PATIENCE);
}

/// Statuses in the order of arrival.
fn arrivals(world: &World, id: &str) -> Vec<u64> {
    let requests = world.sink.requests();
    let told = of_task(&requests, id);
    told.iter()
        .filter_map(|(_, body)| body["status"].as_u64())
        .collect()
}

#[test]
fn a_job_that_is_deleted_and_kept_is_told_once_it_is_gone() {
    let world = World::on(super::cluster(), "kept", Access::Needed);
    let worker = world.worker("worker-0");
    let task = world.task("kept", "exec sleep 600");
    runs(&world, &task);
    delete_and_keep(&world, &task);
    // Others go on meanwhile, and nothing is concluded of this one.
    let other = world.task("other", "true");
    world.push(&other);
    world.verdict(&other.id, PATIENCE);
    assert_eq!(statuses(&world.told(&task.id)), [0, 1]);
    let_go(&world, &task);
    let told = world.verdict(&task.id, PATIENCE);
    told[2].assert_says("JOB_DELETED", &["was deleted before it ended"]);
    end(worker);
    assert_eq!(told.len(), 3);
    world.assert_completed(&other);
    world.assert_jobs([&other], [&task]);
}

#[test]
fn an_id_whose_old_job_is_kept_waits_until_it_is_gone() {
    let world = World::on(super::cluster(), "name-kept", Access::Needed);
    let worker = world.worker_with("worker-0", &[("DEDUP_WINDOW_SECONDS", "1")]);
    let task = world.task("name-kept", "true");
    world.push(&task);
    world.verdict(&task.id, PATIENCE);
    let first = world.job(&task)["metadata"]["uid"].clone();
    delete_and_keep(&world, &task);
    let refused = || {
        let entries = world.cluster.audit(&world.namespace).into_iter();
        let name = world.job_name(&task);
        entries
            .filter(|entry| entry.verb == "create" && entry.resource == "jobs")
            .any(|entry| entry.code == 409 && (entry.name == name || entry.name.is_empty()))
    };
    // Within the window it is a copy; the id is free a moment after it.
    eventually(PATIENCE, "a create that meets the old Job", || {
        world.push(&task);
        refused().then_some(())
    });
    assert_eq!(arrivals(&world, &task.id), [0, 1, 2]);
    let_go(&world, &task);
    eventually(PATIENCE, "the second run", || {
        (arrivals(&world, &task.id) == [0, 1, 2, 0, 1, 2]).then_some(())
    });
    let second = world.job(&task)["metadata"]["uid"].clone();
    assert_ne!(first, second);
    assert_eq!(world.creates().len(), 2);
    end(worker);
}

#[test]
fn a_job_whose_parallelism_goes_to_nothing_and_back_is_told_of_by_its_end() {
    let world = World::on(super::cluster(), "parallelism", Access::Needed);
    let worker = world.worker("worker-0");
    let task = world
        .task("parallelism", "trap 'exit 1' TERM; sleep 20 & wait $!")
        .with("backoffLimit", 6);
    runs(&world, &task);
    let pod = world.pods(&task)[0].clone();
    let set = |parallelism: u32| {
        let change = json!({"spec": {"parallelism": parallelism}});
        world.cluster.patch(&path(&world, &task), &change);
    };
    set(0);
    eventually(PATIENCE, "a Job without an active pod", || {
        (world.job(&task)["status"]["active"].as_u64().unwrap_or(0) == 0).then_some(())
    });
    set(1);
    let told = world.verdict(&task.id, PATIENCE);
    end(worker);
    let job = world.job(&task);
    assert_eq!(
        told,
        [Told::created(&job), Told::started(&pod), Told::completed(&job)]
    );
    world.assert_one_job_each([&task]);
}

#[test]
fn a_job_whose_retries_are_raised_is_judged_by_its_last_pod() {
    let world = World::on(super::cluster(), "retries", Access::Needed);
    let settings = format!("/api/v1/namespaces/{}/configmaps", world.namespace);
    let name = json!({"name": "settings"});
    world
        .cluster
        .create(&settings, &json!({"metadata": name, "data": {"GO": "no"}}));
    let worker = world.worker("worker-0");
    let script = "[ $GO = yes ] && exit 0; trap 'exit 3' TERM; sleep 600 & wait $!";
    let task = world
        .task("retries", script)
        .with("envRef", json!([{"name": "settings", "type": "configmap"}]));
    runs(&world, &task);
    let pod = world.pods(&task)[0].clone();
    let raise = json!({"spec": {"backoffLimit": 9}});
    world.cluster.patch(&path(&world, &task), &raise);
    let go = json!({"data": {"GO": "yes"}});
    world.cluster.patch(&format!("{settings}/settings"), &go);
    let first = pod["metadata"]["name"].as_str().expect("a pod has a name");
    let pods = format!("/api/v1/namespaces/{}/pods", world.namespace);
    world.cluster.delete(&format!("{pods}/{first}"));
    let told = world.verdict(&task.id, PATIENCE);
    end(worker);
    let job = world.job(&task);
    assert_eq!(
        told,
        [Told::created(&job), Told::started(&pod), Told::completed(&job)]
    );
    world.assert_one_job_each([&task]);
}
