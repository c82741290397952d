//! One recording: what the API server said of a row's objects, in order, and what it answers there.

use super::super::client::Answer;
use super::super::events::Refused;
use super::super::wire::{Job, Pod};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An object, as it was at one moment.
#[derive(Clone)]
pub(super) enum Object {
    Job(Job),
    Pod(Pod),
    Event(Refused),
}

/// Something that was heard.
pub(super) struct Heard {
    /// Since the first one, in milliseconds.
    pub(super) at_ms: u64,
    pub(super) deleted: bool,
    pub(super) uid: String,
    pub(super) object: Object,
}

/// A recording, read.
#[derive(Default)]
pub(super) struct Recording {
    pub(super) heard: Vec<Heard>,
    /// Answers, by the verb of the request.
    pub(super) answers: BTreeMap<String, (u16, Vec<u8>)>,
    /// The message, where it never gets as far as a Job.
    pub(super) message: Option<Vec<u8>>,
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    at_ms: u64,
    #[serde(default)]
    says: String,
    object: Option<Value>,
    of: Option<String>,
    patch: Option<Value>,
    asks: Option<String>,
    code: Option<u16>,
    message: Option<Value>,
}

impl Recording {
    pub(super) fn read(text: &str) -> Self {
        let mut read = Self::default();
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).expect("a recording is JSON lines");
            if let Some(message) = line.message {
                read.message = Some(message.to_string().into_bytes());
                continue;
            }
            if let Some(verb) = line.asks {
                let body = line.object.expect("an answer has a body").to_string();
                let code = line.code.expect("an answer has a code");
                read.answers.insert(verb, (code, body.into_bytes()));
                continue;
            }
            let uid = line.of.unwrap_or_else(|| {
                let uid = line
                    .object
                    .as_ref()
                    .and_then(|object| object["metadata"]["uid"].as_str());
                uid.expect("an object has a uid").to_owned()
            });
            let object = known.entry(uid.clone()).or_insert(json!({}));
            match (line.object, line.patch) {
                (Some(whole), _) => *object = whole,
                (None, Some(patch)) => json_patch::merge(object, &patch),
                (None, None) => panic!("a line holds an object or a patch"),
            }
            read.heard.push(Heard {
                at_ms: line.at_ms,
                deleted: line.says == "DELETED",
                uid,
                object: typed(object),
            });
        }
        read
    }

    pub(super) fn answer(&self, verb: &str) -> Option<Answer> {
        let (code, body) = self.answers.get(verb)?;
        Some(Answer {
            code: *code,
            retry_after_ms: None,
            body: body.clone(),
        })
    }
}

fn typed(object: &Value) -> Object {
    let object_of = object.clone();
    match object["kind"].as_str() {
        Some("Job") => Object::Job(serde_json::from_value(object_of).expect("a Job")),
        Some("Pod") => Object::Pod(serde_json::from_value(object_of).expect("a pod")),
        Some("Event") => Object::Event(serde_json::from_value(object_of).expect("an event")),
        other => panic!("an object of kind {other:?}"),
    }
}
