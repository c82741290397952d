//! What was ever stored is read for ever.
//!
//! The files of `fixtures/snapshots` and `fixtures/logs` are what a release wrote. `REWRITE=1` adds those that are missing and
//! never touches one that is there; only the text beside it, which shows how it is read today, is written anew.

#[allow(dead_code, reason = "each test uses its part of it")]
mod samples;
#[allow(dead_code, reason = "each test uses its part of it")]
mod story;

use engine::{Advance, FirstFormat, Ordered, Policy, Record, Snapshot, Task, Tombstone, Transition, Verb};
use samples::{NOW, events, id, spec, states};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use story::rewrite;

/// Bytes that a snapshot may have (`reliability.md` I17).
const SNAPSHOT_MAX: usize = 64 * 1024;

/// Returns one snapshot for each state and phase, by the name of its file.
fn snapshots() -> BTreeMap<String, Snapshot> {
    let mut named = BTreeMap::new();
    for sample in states() {
        let state = &sample.task.state;
        let name = format!("{}-{}", state.kind().name(), state.phase()).replace(' ', "-");
        named
            .entry(name.to_lowercase())
            .or_insert_with(|| Snapshot::from(sample.task));
    }
    named
}

/// Returns one record for each event that begins or moves a task, and for each order, by the name of its file.
fn records() -> BTreeMap<String, Record> {
    let mut named = BTreeMap::new();
    for (_, event) in events() {
        let name = event.kind().name().to_lowercase();
        if named.contains_key(&name) {
            continue;
        }
        let transition: Option<Transition> = Task::begin(NOW, &id(), event.clone(), &Policy::default())
            .or_else(|| {
                states().iter().find_map(|sample| {
                    let advance = sample.task.advance(NOW, &id(), event.clone(), &Policy::default());
                    match advance {
                        Ok(Advance::Moved(transition, _)) => Some(*transition),
                        Ok(Advance::Ignored(_)) | Err(_) => None,
                    }
                })
            });
        if let Some(transition) = transition {
            named.insert(name, Record::from(transition));
        }
    }
    for verb in Verb::ALL {
        let order = Ordered {
            at: NOW,
            by: "alice@laptop".to_owned(),
            reason: "mended".to_owned(),
            verb,
            subject: "message/1764000000120-0".to_owned(),
            task: Some(id()),
        };
        named.insert(
            format!("order-{}", verb.name()).to_lowercase(),
            Record::Order { order },
        );
    }
    named
}

fn tombstones() -> BTreeMap<String, Tombstone> {
    let tombstone = Tombstone::V1 {
        digest: spec().digest,
        status: 99,
        at: NOW,
    };
    BTreeMap::from([("tombstone".to_owned(), tombstone)])
}

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(of)
}

/// Reads every file of a folder as a `T`, and compares with the text beside it.
fn check<T: Serialize + DeserializeOwned + Debug + PartialEq>(folder: &Path, samples: &BTreeMap<String, T>) {
    std::fs::create_dir_all(folder).expect("a folder can be made");
    for (name, sample) in samples {
        let path = folder.join(format!("{name}.mp"));
        if path.exists() {
            continue;
        }
        assert!(rewrite(), "{} is missing; REWRITE=1 adds it", path.display());
        let bytes = rmp_serde::to_vec_named(sample).expect("plain data");
        std::fs::write(&path, bytes).expect("a fixture can be written");
    }
    for name in samples.keys() {
        let bytes = std::fs::read(folder.join(format!("{name}.mp"))).expect("a fixture");
        let read: T = rmp_serde::from_slice(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = serde_json::to_string_pretty(&read).expect("plain data") + "\n";
        let beside = folder.join(format!("{name}.json"));
        if rewrite() {
            std::fs::write(&beside, &text).expect("a fixture can be written");
        }
        assert_eq!(std::fs::read_to_string(&beside).expect("a text"), text, "{name}");

        let again = rmp_serde::to_vec_named(&read).expect("plain data");
        assert_eq!(
            rmp_serde::from_slice::<T>(&again).expect("what was just written"),
            read
        );
        assert!(bytes.len() <= SNAPSHOT_MAX, "{name}");

        let mut later: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        add_fields(&mut later);
        let bytes = rmp_serde::to_vec_named(&later).expect("plain data");
        let read_later: T = rmp_serde::from_slice(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            read_later, read,
            "{name}: fields of a later release are passed over"
        );
    }
}

/// Adds what a later release might; the name of an enum's variant is written with a capital and stands alone.
fn add_fields(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.values_mut().for_each(add_fields);
            if map
                .keys()
                .all(|name| name.starts_with(|letter: char| letter.is_ascii_lowercase()))
            {
                map.insert("later".to_owned(), serde_json::json!({"than": ["this", 1]}));
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(add_fields),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

#[test]
fn a_snapshot_of_the_first_format_is_read() {
    check(&folder("snapshots/v1"), &snapshots());
}

#[test]
fn a_record_of_the_first_format_is_read() {
    check(&folder("logs/v1"), &records());
}

#[test]
fn a_tombstone_of_the_first_format_is_read() {
    check(&folder("logs/v1"), &tombstones());
}

#[test]
fn every_kept_file_has_its_sample() {
    let names = |of: &str| -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder(of))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "mp"))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let kept: Vec<String> = snapshots().into_keys().collect();
    assert_eq!(names("snapshots/v1"), kept);
    let mut kept: Vec<String> = records().into_keys().chain(tombstones().into_keys()).collect();
    kept.sort();
    assert_eq!(names("logs/v1"), kept);
}

#[test]
fn a_format_that_is_not_known_is_refused() {
    let snapshot = serde_json::json!({"v": "2", "task": {}});
    let bytes = rmp_serde::to_vec_named(&snapshot).expect("plain data");
    let error = rmp_serde::from_slice::<Snapshot>(&bytes).expect_err("a later format");
    assert_eq!(error.to_string(), "unknown variant `2`, expected `1`");
}

#[test]
fn the_short_way_to_read_a_snapshot_leads_to_the_same_task() {
    for (name, snapshot) in snapshots() {
        let bytes = rmp_serde::to_vec_named(&snapshot).expect("our own type");
        let task = rmp_serde::from_slice::<FirstFormat>(&bytes).map(Task::from);
        assert_eq!(task.expect("the first format"), Task::from(snapshot), "{name}");
    }
    let of_version = |version: &str| {
        let snapshot = serde_json::json!({"v": version, "task": states().remove(0).task});
        let bytes = rmp_serde::to_vec_named(&snapshot).expect("plain data");
        rmp_serde::from_slice::<FirstFormat>(&bytes)
    };
    of_version("1").expect("the first format");
    of_version("2").expect_err("a later format");
}

#[test]
fn a_digest_is_stored_as_its_bytes() {
    let bytes = rmp_serde::to_vec_named(&spec().digest).expect("plain data");
    assert_eq!(bytes, [&[0xc4, 32][..], &[0xab; 32]].concat());
    for wrong in [&[0xc4, 1, 0][..], &[0xa1, b'a'], &[0xc0]] {
        rmp_serde::from_slice::<engine::Digest>(wrong).expect_err("not 32 bytes");
    }
}
