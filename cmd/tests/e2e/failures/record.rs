//! What a row's verdict was made of: compared with `fixtures/failures/recorded`, or written there with `REWRITE`.
//!
//! A recording has one JSON object a line. An object is there in full where it is first heard of, and as a JSON merge patch (RFC
//! 7396) of itself where something changed that facts are made of. `asks` is what the API server answers to a request that the
//! worker makes there. The tests of the adapter read it again (`adapters/src/cluster/recorded.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::evidence;
use super::place::Place;
use super::plain::Plain;
use super::row::{Asks, Row};
use super::watch::Frame;
use crate::task::Task;

/// Everything of a row that its verdict can be made of, in order.
pub(super) struct Recording {
    lines: Vec<Value>,
}

impl Recording {
    /// Writes down what was heard.
    pub(super) fn new(place: &Place<'_>, task: &Task, asks: Option<Asks>, frames: &[Frame]) -> Recording {
        let mut plain = Plain::new(place);
        let mut lines = Vec::new();
        let mut known: BTreeMap<&str, Value> = BTreeMap::new();
        let began = frames.first().map(|frame| frame.at);
        for frame in frames {
            let object = plain.object(&frame.object);
            let at = began.map_or(0, |began| (frame.at - began).as_millis());
            let mut line = json!({"at_ms": u64::try_from(at).unwrap_or(u64::MAX), "says": frame.says});
            match known.get(frame.uid()) {
                Some(before) if frame.says != "DELETED" && evidence::same(before, &object) => continue,
                Some(before) => {
                    line["of"] = object["metadata"]["uid"].clone();
                    line["patch"] = difference(before, &object);
                }
                None => line["object"] = object.clone(),
            }
            lines.push(line);
            known.insert(frame.uid(), object);
        }
        if matches!(asks, Some(Asks::Create | Asks::List)) {
            // No Job of ours: what is there only takes the name.
            lines.retain(|line| line["object"]["kind"] == "Job");
        }
        if let Some(asks) = asks.filter(|asks| *asks != Asks::Nothing) {
            let (code, answer) = place.answer(asks, task);
            lines.push(json!({"asks": asks.verb(), "code": code, "object": plain.object(&answer)}));
        }
        if asks == Some(Asks::Nothing) {
            lines.clear();
            let mut message = plain.object(&task.message);
            // The stand-in is no name that a message may give.
            message["job"]["namespace"] = json!("example");
            lines.push(json!({"message": message}));
        }
        Recording { lines }
    }

    /// Writes it, where `REWRITE` asks for that and this run is the one that is recorded; else compares what counts with what
    /// was written.
    ///
    /// # Panics
    /// Where the API server says something else than it did.
    pub(super) fn check(&self, row: &str, rewritten: bool) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../fixtures/failures/recorded/{row}.jsonl"));
        if std::env::var_os("REWRITE").is_some() {
            if !rewritten {
                return;
            }
            let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(path, text).expect("the recording can be written");
            return;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; REWRITE=1 scripts/failures writes it",
                path.display()
            )
        });
        let recorded = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a recording is JSON lines"));
        let (now, then) = (
            self.evidence(),
            Recording {
                lines: recorded.collect(),
            }
            .evidence(),
        );
        assert_eq!(now, then, "the evidence now, and as it was recorded");
    }

    /// What counts of it, whatever the run.
    pub(super) fn evidence(&self) -> BTreeSet<String> {
        let mut objects: BTreeMap<String, Value> = BTreeMap::new();
        let mut found = BTreeSet::new();
        for line in &self.lines {
            if let Some(verb) = line["asks"].as_str() {
                found.insert(format!("{verb}: {} {}", line["code"], line["object"]["reason"]));
                continue;
            }
            let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let object = match (line.get("object"), line["of"].as_str()) {
                (Some(object), _) => objects.entry(uid(object)).or_insert_with(|| object.clone()),
                (None, Some(of)) => {
                    let object = objects.get_mut(of).expect("a patch of an object that is known");
                    json_patch::merge(object, &line["patch"]);
                    object
                }
                (None, None) => continue,
            };
            evidence::collect(object, line["says"] == "DELETED", &mut found);
        }
        evidence::that_counts(found)
    }
}

/// Compares the names of all rows, in their order, with `fixtures/failures/rows.txt`; `REWRITE` writes them there.
///
/// # Panics
/// Where they are not the same.
pub(super) fn check_rows(rows: &[Row]) {
    let names: String = rows.iter().map(|row| format!("{}\n", row.name)).collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/failures/rows.txt");
    if std::env::var_os("REWRITE").is_some() {
        std::fs::write(path, names).expect("the fixture can be written");
        return;
    }
    let written = std::fs::read_to_string(path).expect("the fixture is there");
    assert_eq!(names, written, "REWRITE=1 scripts/failures writes the rows");
}

/// The merge patch that makes one object of another.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for (name, value) in to {
        match from.get(name) {
            Some(before) if before == value => {}
            Some(before) => drop(patch.insert(name.clone(), difference(before, value))),
            None => drop(patch.insert(name.clone(), value.clone())),
        }
    }
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Value::Object(patch)
}
