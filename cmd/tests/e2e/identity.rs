//! One id, one task.

use std::time::Duration;

use serde_json::json;

use crate::story::Told;
use crate::task::Task;
use crate::world::{Letter, SOON, World, end, eventually};

/// The same id, another program, another receiver.
fn rival(world: &World, task: &Task) -> Task {
    let mut rival = task.clone().with("command", json!(["/bin/false"]));
    rival.message["webhook"]["url"] = world.sink.url("/rival").into();
    rival
}

fn letter_of(task: &Task) -> (String, Vec<u8>) {
    ("DUPLICATE_ID".to_owned(), task.message.to_string().into_bytes())
}

fn brief(letters: &[Letter]) -> Vec<(String, Vec<u8>)> {
    letters
        .iter()
        .map(|letter| (letter.reason.clone(), letter.raw.clone()))
        .collect()
}

#[test]
fn a_second_message_with_an_id_is_a_copy_or_a_dead_letter_and_never_a_callback() {
    let world = World::new("copies");
    let worker = world.worker("worker-0");
    let task = world.task("copies", "exec sleep 6");
    world.push(&task);
    world.wait_for(&task.id, 2, SOON);

    // While the task lives.
    let mut copy = task.clone();
    copy.message["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into();
    world.push(&copy);
    world.push(&rival(&world, &task));
    world.wait_for_dead_letters(1);

    // After its verdict.
    world.verdict(&task.id, SOON);
    world.push(&task);
    world.push(&rival(&world, &task));
    let letters = world.wait_for_dead_letters(2);
    assert_eq!(
        brief(&letters),
        [letter_of(&rival(&world, &task)), letter_of(&rival(&world, &task))]
    );

    // A later task is told of after all of them.
    let later = world.task("later", "true");
    world.push(&later);
    world.verdict(&later.id, SOON);
    assert_eq!(worker.metric("messages_processed_total").unwrap(), 6.0);
    assert_eq!(worker.metric("messages_failed_total").unwrap(), 2.0);
    end(worker);
    world.assert_completed(&task);
    world.assert_completed(&later);
    assert!(
        world
            .sink
            .requests()
            .iter()
            .all(|request| request.path() != "/rival")
    );
    world.assert_one_job_each([&task, &later]);
}

#[test]
fn copies_that_come_together_make_one_job() {
    let world = World::new("burst");
    let worker = world.worker("worker-0");
    let task = world.task("burst", "true");
    for _ in 0..20 {
        world.push(&task);
    }
    world.verdict(&task.id, SOON);
    eventually(SOON, "all 20 messages are settled", || {
        (worker.metric("messages_processed_total").ok()? == 20.0).then_some(())
    });
    end(worker);
    world.assert_completed(&task);
    world.assert_one_job_each([&task]);
    assert_eq!(world.dead_letters(), []);
}

#[test]
fn a_job_of_that_name_that_is_not_ours_is_not_touched() {
    let world = World::new("foreign");
    let task = world.task("foreign", "true");
    let name = world.job_name(&task);
    world.cluster.create(
        &format!("/apis/batch/v1/namespaces/{}/jobs", task.namespace),
        &json!({
            "metadata": {"name": name},
            "spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "foreign", "image": "busybox:latest", "command": ["sleep", "600"]}],
            }}},
        }),
    );
    let before = eventually(SOON, "the foreign Job runs", || {
        let job = world.find_job(&task)?;
        (job["status"]["ready"] == 1).then_some(job)
    });
    let worker = world.worker("worker-0");
    world.push(&task);
    world.verdict(&task.id, SOON);
    end(worker);
    let message = format!(
        "Job {}/{name} exists and does not belong to this task; it was not touched.",
        task.namespace
    );
    assert_eq!(
        world.told(&task.id),
        [Told::failed("JOB_ALREADY_EXISTS", &message)]
    );
    assert_eq!(world.job(&task), before);
}

#[test]
fn after_the_window_an_id_is_free_and_the_new_job_waits_for_the_old_ones_end() {
    let world = World::new("window");
    let worker = world.worker_with("worker-0", &[("DEDUP_WINDOW_SECONDS", "5")]);
    let task = world.task("window", "true").with("ttlSecondsAfterFinished", 31);
    world.push(&task);
    world.verdict(&task.id, SOON);
    let first = world.job(&task);
    let tombstone = format!("job-worker-{{{}}}:done:{}", world.lock_name, task.id);
    eventually(SOON, "the window has passed", || {
        let mut store = world.redis.connection(1).ok()?;
        let there: bool = redis::Commands::exists(&mut store, &tombstone).ok()?;
        (!there).then_some(())
    });
    world.push(&task);
    let requests = world
        .sink
        .wait_until(
            |requests| crate::story::of_task(requests, &task.id).len() >= 6,
            Duration::from_secs(120),
        )
        .expect("the second task is told of too");
    let told: Vec<u64> = crate::story::of_task(&requests, &task.id)
        .iter()
        .map(|(_, body)| body["status"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [0, 1, 2, 0, 1, 2]);
    assert_ne!(world.job(&task)["metadata"]["uid"], first["metadata"]["uid"]);
    end(worker);
    assert_eq!(world.creates().len(), 2);
}
