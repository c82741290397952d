//! Messages that break a rule, and hostile bytes.

use serde_json::{Value, json};

use crate::story::{Told, statuses};
use crate::task::Task;
use crate::world::{SOON, World, end, eventually};

/// A message with a fault, under the id of a task, that asks for another receiver.
fn invalid(world: &World, id: &str, path: &str) -> Vec<u8> {
    let mut task = Task::new(id, &world.namespace, &world.sink.url(path), "true");
    task.message["job"]["backoffLimit"] = json!(-1);
    task.message.to_string().into_bytes()
}

#[test]
fn bytes_that_are_no_message_are_dead_letters_and_the_worker_goes_on() {
    let world = World::new("bytes");
    let worker = world.worker("worker-0");
    let mut too_long = world.task("too-long", "true");
    too_long.message["job"]["args"] = json!(["x".repeat(256 * 1024)]);
    let inputs: Vec<Vec<u8>> = vec![
        vec![0xff, 0xfe, 0x00, b'{'],
        b"".to_vec(),
        b"not json".to_vec(),
        b"{\"id\": \"half".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        [b"[".repeat(10_000), b"]".repeat(10_000)].concat(),
        [
            br#"{"id":"deep","job":"#.to_vec(),
            br#"{"a":"#.repeat(10_000),
            b"1".to_vec(),
            b"}".repeat(10_001),
        ]
        .concat(),
        too_long.message.to_string().into_bytes(),
    ];
    for input in &inputs {
        world.push_raw(input);
    }
    let after = world.task("after", "true");
    world.push(&after);
    world.verdict(&after.id, SOON);
    let letters = world.wait_for_dead_letters(inputs.len());
    assert_eq!(letters.len(), inputs.len());
    for (letter, input) in letters.iter().zip(&inputs) {
        assert_eq!(letter.reason, "INVALID_MESSAGE", "{letter:?}");
        assert!(
            letter.raw == *input || input.len() > 256 * 1024,
            "the raw bytes are kept: {} of {}",
            letter.raw.len(),
            input.len()
        );
        assert!(!letter.detail.is_empty());
    }
    assert_eq!(
        worker.metric("messages_processed_total").unwrap(),
        inputs.len() as f64 + 1.0
    );
    assert_eq!(
        worker.metric("messages_failed_total").unwrap(),
        inputs.len() as f64
    );
    end(worker);
    world.assert_completed(&after);
    let strangers = world
        .sink
        .requests()
        .iter()
        .filter(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            body["id"] != after.id
        })
        .count();
    assert_eq!(strangers, 0, "nobody is told of bytes");
}

#[test]
fn an_invalid_message_is_told_with_every_fault_and_its_id_stays_free() {
    let world = World::new("invalid");
    let worker = world.worker("worker-0");
    let id = world.id("invalid");
    let mut faulty = Task::new(&id, &world.namespace, &world.sink.url("/faulty"), "true");
    faulty.message["job"]["backoffLimit"] = json!(-1);
    faulty.message["job"]["env"] = json!([{"name": "A", "value": "1"}, {"name": "", "value": "2"}]);
    faulty.message["service"] = json!("not a label value");
    world.push(&faulty);
    let told = world.verdict(&id, SOON);
    assert_eq!(statuses(&told), [99]);
    told[0].assert_says(
        "INVALID_MESSAGE",
        &["job.backoffLimit", "job.env[1].name", "service"],
    );
    let letters = world.wait_for_dead_letters(1);
    assert_eq!(letters[0].raw, faulty.message.to_string().into_bytes());
    assert_eq!(world.find_job(&faulty), None);

    let corrected = Task::new(&id, &world.namespace, &world.sink.url("/corrected"), "true");
    world.push(&corrected);
    let requests = world
        .sink
        .wait_until(
            |requests| on(requests, "/corrected").len() == 3,
            crate::world::SOON,
        )
        .expect("the corrected message runs");
    end(worker);
    assert_eq!(
        crate::story::told(&on(&requests, "/corrected"), &id),
        [
            Told::created(&world.job(&corrected)),
            Told::started(&world.pod(&corrected)),
            Told::completed(&world.job(&corrected)),
        ]
    );
    let keys: std::collections::BTreeSet<_> = requests
        .iter()
        .filter_map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!(keys.len(), 4, "the refusal has a webhook-id of its own");
}

fn on(requests: &[fixtures::sink::Request], path: &str) -> Vec<fixtures::sink::Request> {
    requests
        .iter()
        .filter(|request| request.path() == path)
        .cloned()
        .collect()
}

#[test]
fn an_invalid_message_with_the_id_of_a_task_tells_nobody_in_any_state_of_the_task() {
    let world = World::new("invalid-owned");
    let worker = world.worker("worker-0");
    let waits = world.task("waits", "true").with(
        "nodeSelector",
        json!({"matchKey": "kubernetes.io/hostname", "matchValue": "nobody"}),
    );
    let runs = world.task("runs", "exec sleep 600");
    let done = world.task("done", "true");
    let failed = world.task("failed", "exit 1");
    let tasks = [&waits, &runs, &done, &failed];
    for task in tasks {
        world.push(task);
    }
    world.wait_for(&waits.id, 1, SOON);
    world.wait_for(&runs.id, 2, SOON);
    world.verdict(&done.id, SOON);
    world.verdict(&failed.id, SOON);
    for task in tasks {
        world.push_raw(&invalid(&world, &task.id, "/stranger"));
    }
    // Refusals are told in the order of the queue: this one comes after all of them.
    let free = world.id("free");
    world.push_raw(&invalid(&world, &free, "/free"));
    world.verdict(&free, SOON);
    let letters = world.wait_for_dead_letters(5);
    assert_eq!(letters.len(), 5);
    end(worker);
    assert_eq!(on(&world.sink.requests(), "/stranger"), []);
    assert_eq!(statuses(&world.told(&waits.id)), [0]);
    assert_eq!(statuses(&world.told(&runs.id)), [0, 1]);
    world.assert_completed(&done);
    assert_eq!(statuses(&world.told(&failed.id)), [0, 1, 3]);
}

#[test]
fn an_id_of_emoji_is_an_id() {
    let world = World::new("emoji");
    let worker = world.worker("worker-0");
    let task = world.task("🦀 job/№ 7", "true");
    world.push(&task);
    world.verdict(&task.id, SOON);
    end(worker);
    world.assert_completed(&task);
    let label = &world.job(&task)["metadata"]["labels"]["jobId"];
    assert_eq!(*label, adapters::cluster::names::id_label(&task.id));
    assert_eq!(
        world.job(&task)["metadata"]["annotations"]["job-worker/id"],
        task.id
    );
}

#[test]
fn unknown_fields_are_ignored_and_named_in_the_log() {
    let world = World::new("unknown");
    let worker = world.worker("worker-0");
    let task = world.task("unknown", "true").with("commnad", json!(["x"]));
    world.push(&task);
    world.verdict(&task.id, SOON);
    let line = worker
        .wait_for_line(SOON, |line| {
            line["level"] == "WARN" && line.to_string().contains("commnad")
        })
        .expect("the log names the field");
    assert!(line.to_string().contains(&task.id), "{line}");
    end(worker);
    world.assert_completed(&task);
}

#[test]
fn a_message_wrapped_in_a_body_is_taken() {
    let world = World::new("wrapped");
    let worker = world.worker("worker-0");
    let task = world.task("wrapped", "true");
    let wrapped = json!({"Body": task.message.to_string()});
    world.push_raw(wrapped.to_string().as_bytes());
    world.verdict(&task.id, SOON);
    end(worker);
    world.assert_completed(&task);
}

#[test]
fn the_list_of_a_predecessor_is_not_touched() {
    let world = World::new("predecessor");
    let key = "queue-:processing";
    let task = world.task("predecessor", "true");
    let raw = task.message.to_string();
    let _: u64 = redis::Commands::lpush(&mut world.queue(), key, &raw).unwrap();
    let worker = world.worker("worker-0");
    let other = world.task("other", "true");
    world.push(&other);
    world.verdict(&other.id, SOON);
    end(worker);
    let kept: Vec<String> = redis::Commands::lrange(&mut world.queue(), key, 0, -1).unwrap();
    assert_eq!(kept, [raw]);
    assert_eq!(world.told(&task.id), []);
}

#[test]
fn no_value_of_a_message_is_in_the_log_or_the_store() {
    let world = World::new("secrets");
    let secret = "hunter2-in-plain-sight";
    let worker = world.worker("worker-0");
    let mut task = world
        .task("secrets", &format!("test {secret} = x || true; sleep 3"))
        .with("env", json!([{"name": "PASSWORD", "value": secret}]));
    let url = format!("{}?token={secret}", world.sink.url("/callback"));
    task.message["webhook"]["url"] = url.into();
    world.push(&task);
    world.wait_for(&task.id, 1, SOON);
    let mut bad = task.clone();
    bad.message["id"] = world.id("bad").into();
    bad.message["job"]["backoffLimit"] = json!(-1);
    world.push(&bad);
    world.verdict(&task.id, SOON);
    world.verdict(&world.id("bad"), SOON);
    let leaks: Vec<Value> = worker
        .log()
        .into_iter()
        .filter(|line| line.to_string().contains(secret))
        .collect();
    assert_eq!(leaks, [] as [Value; 0]);
    let (_, metrics) = worker.get("/metrics").unwrap();
    assert!(!metrics.contains(secret) && !metrics.contains(&task.id));
    end(worker);
    eventually(SOON, "the message itself is not kept", || {
        let mut store = world.redis.connection(1).ok()?;
        let key = format!("job-worker-{{{}}}:messages", world.lock_name);
        let kept: u64 = redis::Commands::hlen(&mut store, key).ok()?;
        (kept == 0).then_some(())
    });
}

#[test]
fn an_id_of_253_bytes_and_a_prefix_of_63_fit_into_a_job() {
    let world = World::new("longest");
    let worker = world.worker("worker-0");
    let mut task = world.task("longest", "true");
    task.id = format!("{}{}", task.id, "x".repeat(253 - task.id.len()));
    task.message["id"] = task.id.clone().into();
    task.prefix = "p".repeat(63);
    task.message["job"]["prefixName"] = task.prefix.clone().into();
    world.push(&task);
    world.verdict(&task.id, SOON);
    end(worker);
    assert_eq!(world.job_name(&task).len(), 63);
    world.assert_completed(&task);
}
