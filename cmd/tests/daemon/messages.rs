//! Messages that break a rule, and ids that belong to another task.

use crate::stage::{COMPLETE, CREATE, PLAY, QUEUE, Stage, Told, recorded, until_equal};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Raw bytes, reason and detail of a dead letter.
type Letter = (Vec<u8>, String, String);

fn letter(raw: &[u8], reason: &str, detail: &str) -> Letter {
    (raw.to_vec(), reason.to_owned(), detail.to_owned())
}

/// Waits until the dead letters are these, in any order.
fn dead(stage: &Stage, mut letters: Vec<Letter>) {
    letters.sort();
    let sorted = || {
        let mut dead = stage.dead();
        dead.sort();
        dead
    };
    until_equal(sorted, || letters.clone(), "dead letters");
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/messages/invalid");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("can be read").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(files.len() > 100, "the folder has lost its files");
    files
}

/// An invalid message of the fixtures, answered at this test's receiver.
struct Invalid {
    raw: Vec<u8>,
    /// The path that its callback comes to.
    path: String,
    /// Every fault, as a dead letter and a callback list them.
    detail: String,
    /// The id in its callback; `None` where it gets none.
    id: Option<String>,
}

impl Invalid {
    fn read(file: &Path, stage: &Stage) -> Self {
        let name = file.file_stem().expect("a name").to_string_lossy();
        let path = format!("/invalid/{name}");
        let raw = fs::read(file).expect("can be read");
        let expect = fs::read_to_string(file.with_extension("expect")).expect("can be read");
        let answer = expect.lines().find_map(|line| line.strip_prefix("answer "));
        let id = answer.and_then(|answer| {
            let (id, _) = answer.split_once(" at ")?;
            serde_json::from_str(id).ok()
        });
        let faults: Vec<&str> = expect
            .lines()
            .filter(|line| {
                !["answer ", "no answer", "warning "]
                    .iter()
                    .any(|other| line.starts_with(other))
            })
            .collect();
        Self {
            raw: replace(
                &raw,
                b"http://receiver/callback",
                stage.sink.url(&path).as_bytes(),
            ),
            path,
            detail: faults.join("; "),
            id,
        }
    }

    fn callbacks(&self) -> Vec<Value> {
        let detail = json!({"error": {"errorCode": "INVALID_MESSAGE", "message": self.detail}});
        self.id
            .iter()
            .map(|id| json!({"id": id, "status": 99, "detail": detail}))
            .collect()
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        None => bytes.to_vec(),
        Some(at) => [&bytes[..at], to, &replace(&bytes[at + from.len()..], from, to)].concat(),
    }
}

#[test]
fn every_invalid_message_is_a_dead_letter_that_names_every_fault_and_blocks_no_other() {
    let mut stage = Stage::set();
    let invalid: Vec<Invalid> = files().iter().map(|file| Invalid::read(file, &stage)).collect();
    let (first, second) = invalid.split_at(invalid.len() / 2);
    first.iter().for_each(|invalid| stage.push(&invalid.raw));
    stage.submit("valid", PLAY);
    second.iter().for_each(|invalid| stage.push(&invalid.raw));
    let mut worker = stage.leader("worker-1");
    let letters = invalid
        .iter()
        .map(|invalid| letter(&invalid.raw, "INVALID_MESSAGE", &invalid.detail));
    dead(&stage, letters.collect());
    stage.finish("valid");
    stage.told("valid", COMPLETE);
    let callbacks = || -> BTreeMap<&str, Vec<Value>> {
        let of = |invalid: &'_ Invalid| stage.callbacks(&invalid.path);
        invalid
            .iter()
            .map(|invalid| (invalid.path.as_str(), of(invalid)))
            .collect()
    };
    let expected = || {
        invalid
            .iter()
            .map(|invalid| (invalid.path.as_str(), invalid.callbacks()))
            .collect()
    };
    until_equal(callbacks, expected, "callbacks of invalid messages");
    let answered = invalid.iter().filter(|invalid| invalid.id.is_some()).count();
    assert!(answered > 50, "{answered}");
    stage.ends(&[("valid", COMPLETE)]);
    // The valid one and a bystander were processed too.
    let expected = [
        ("messages_failed_total", invalid.len()),
        ("messages_processed_total", invalid.len() + 2),
        ("queue_length", 0),
    ];
    let counted = || expected.map(|(name, _)| worker.metric(name));
    until_equal(counted, || expected.map(|(_, count)| count), "metrics");
    worker.is_well();
}

#[test]
fn a_message_that_is_too_long_or_too_deep_is_a_dead_letter_without_a_callback() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    let mut long = stage.message("long", PLAY);
    long["padding"] = json!("a".repeat(256 * 1024));
    let long = long.to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    stage.push(long.as_bytes());
    stage.push(deep.as_bytes());
    let too_long = format!("message: must have at most 262144 bytes, has {}", long.len());
    let too_deep = "message: must be JSON: recursion limit exceeded at line 1 column 128";
    dead(
        &stage,
        vec![
            letter(long.as_bytes(), "INVALID_MESSAGE", &too_long),
            letter(deep.as_bytes(), "INVALID_MESSAGE", too_deep),
        ],
    );
    stage.ends(&[("long", &[])]);
    worker.is_well();
}

#[test]
fn any_characters_are_an_id_and_a_wrapped_message_is_read() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    let mut emoji = stage.message("emoji", PLAY);
    emoji["id"] = json!("🦀 & \"quotes\"\n");
    stage.push(emoji.to_string().as_bytes());
    let wrapped = json!({"Body": stage.message("wrapped", PLAY).to_string()});
    stage.push(wrapped.to_string().as_bytes());
    stage.finish("wrapped");
    stage.finish("🦀 & \"quotes\"\n");
    let statuses = || -> Vec<Value> {
        let callbacks = stage.callbacks("/emoji");
        callbacks
            .iter()
            .map(|body| json!([body["id"], body["status"]]))
            .collect()
    };
    let expected = || {
        [0, 1, 2]
            .map(|status| json!(["🦀 & \"quotes\"\n", status]))
            .to_vec()
    };
    until_equal(statuses, expected, "callbacks");
    stage.ends(&[("wrapped", COMPLETE)]);
    assert_eq!(stage.dead(), []);
    worker.is_well();
}

#[test]
fn a_callback_with_an_id_speaks_only_for_the_task_that_owns_it() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.created("created");
    stage.started("started");
    stage.started("over");
    stage.life(|life| life.complete("over"));
    stage.told("over", COMPLETE);
    stage
        .api
        .rule(|request| (request.key() == CREATE).then(|| recorded!(500, "status-500-webhook")));
    stage.submit("received", PLAY);
    stage.api.wait_for(CREATE, 4);
    let all = ["received", "created", "started", "over"];
    let mut letters = Vec::new();
    for task in all {
        let mut invalid = stage.message(task, PLAY);
        invalid["webhook"]["url"] = json!(stage.sink.url("/stranger"));
        invalid["job"]["backoffLimit"] = json!(-1);
        let mut unequal = stage.message(task, PLAY);
        unequal["webhook"]["url"] = json!(stage.sink.url("/stranger"));
        let fault = "job.backoffLimit: must be an integer from 0 to 2147483647, got -1";
        let owned = format!("The id {task:?} belongs to a task with other content.");
        for (message, reason, detail) in [
            (invalid, "INVALID_MESSAGE", fault),
            (unequal, "DUPLICATE_ID", &owned),
        ] {
            let raw = message.to_string().into_bytes();
            stage.push(&raw);
            letters.push(letter(&raw, reason, detail));
        }
        // A copy is dropped without a trace.
        stage.submit(task, PLAY);
    }
    dead(&stage, letters);
    stage.bystander();
    stage.api.heal();
    for task in ["received", "created"] {
        stage.finish(task);
    }
    stage.life(|life| life.complete("started"));
    stage.ends(&all.map(|task| (task, COMPLETE)));
    assert_eq!(stage.callbacks("/stranger"), Vec::<Value>::new());
    for task in all {
        assert_eq!(stage.life(|life| life.jobs_made(task)), 1, "{task}");
    }
    let kept = ::redis::Value::Int(0);
    assert_eq!(stage.try_command(&["LLEN", &format!("{QUEUE}:taken")]), Ok(kept));
    worker.is_well();
}

#[test]
fn the_id_of_a_refused_message_stays_free_for_the_corrected_one() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    let mut invalid = stage.message("corrected", PLAY);
    invalid["job"]["image"] = json!("");
    stage.push(invalid.to_string().as_bytes());
    let refused = Told::Exception("INVALID_MESSAGE", "job.image: is required");
    stage.told("corrected", &[refused]);
    stage.submit("corrected", PLAY);
    stage.finish("corrected");
    let refused = Told::Exception("INVALID_MESSAGE", "job.image: is required");
    stage.ends(&[(
        "corrected",
        &[refused, Told::Created, Told::Started, Told::Completed],
    )]);
    worker.is_well();
}
