//! Takes what differs from run to run out of names, times and objects.

use adapters::cluster::names::{Instance, annotation, label};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::place::Place;

/// When every recording begins.
const BEGIN: &str = "2026-01-01T00:00:00Z";
/// Times further from the beginning than this were written by hand.
const FAR_MS: i64 = 3_600_000;
/// What only the machine of the recording knows.
const DROPPED: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "podIP",
    "podIPs",
    "hostIP",
    "hostIPs",
];

/// How one row's names, times and identities become those of every run.
pub(super) struct Plain {
    texts: Vec<(String, String)>,
    uids: Vec<String>,
    began: Option<Timestamp>,
}

impl Plain {
    /// Knows the names of a place.
    pub(super) fn new(place: &Place<'_>) -> Plain {
        let instance = Instance {
            lock_name: "LOCK".to_owned(),
            ..place.world.instance()
        };
        let texts = [
            (format!("{}-", place.namespace), "NAMESPACE-"),
            (place.namespace.clone(), "NAMESPACE"),
            (place.world.lock_name.clone(), "LOCK"),
            (place.world.instance().hash(), &instance.hash()),
            (place.world.id(""), ""),
            (
                place.world.sink.url("/callback"),
                "http://receiver.invalid/callback",
            ),
        ];
        Plain {
            texts: texts.map(|(from, to)| (from, to.to_owned())).into(),
            uids: Vec::new(),
            began: None,
        }
    }

    /// A text without names of this run.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.texts {
            text = text.replace(from, to);
        }
        for (index, uid) in self.uids.iter().enumerate() {
            text = text.replace(uid, &format!("00000000-0000-0000-0000-{:012}", index + 1));
        }
        // Job names are `e2e-` and 16 characters; those of pods have 5 more behind a hyphen.
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        for (begin, then) in [("e2e-", "JOB"), ("kube-api-access-", "TOKEN")] {
            while let Some(at) = text.find(begin) {
                let rest = &text[at + begin.len()..];
                let length = rest.find(|c| !name(c)).unwrap_or(rest.len());
                text.replace_range(at..at + begin.len() + length, then);
            }
        }
        text
    }

    /// An object without what is of this run; the first object with a time begins the recording.
    pub(super) fn object(&mut self, object: &Value) -> Value {
        self.meet(object);
        let mut object = self.value(object);
        if object["kind"] == "Event" {
            object["metadata"]["name"] = json!("EVENT");
        }
        object
    }

    fn meet(&mut self, object: &Value) {
        let metadata = &object["metadata"];
        if let Some(uid) = metadata["uid"].as_str()
            && !self.uids.iter().any(|known| known == uid)
        {
            self.uids.push(uid.to_owned());
        }
        let made = metadata["creationTimestamp"].as_str();
        let made = made.and_then(|text| text.parse::<Timestamp>().ok());
        self.began = self.began.or(made);
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let kept = fields
                    .iter()
                    .filter(|(name, _)| !DROPPED.contains(&name.as_str()));
                let field = |(name, value): (&String, &Value)| {
                    let value = match name.as_str() {
                        "containerID" | "imageID" if value != "" => json!("ID"),
                        label::TASK => json!("TASK"),
                        annotation::DIGEST => json!("ab".repeat(32)),
                        annotation::RECEIVED_AT => self.milliseconds(value),
                        _ => self.value(value),
                    };
                    (self.text(name), value)
                };
                Value::Object(kept.map(field).collect::<Map<String, Value>>())
            }
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::String(text) => self.time(text).unwrap_or_else(|| json!(self.text(text))),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn time(&self, text: &str) -> Option<Value> {
        // A time of the API server, not any text that could be read as one.
        if !(text.len() >= 20 && text.ends_with('Z')) {
            return None;
        }
        let moved = self.moved(text.parse().ok()?)?;
        Some(json!(moved.to_string()))
    }

    fn milliseconds(&self, value: &Value) -> Value {
        let read = || {
            let at: i64 = value.as_str()?.parse().ok()?;
            self.moved(Timestamp::from_millisecond(at).ok()?)
        };
        read().map_or_else(|| value.clone(), |at| json!(at.as_millisecond().to_string()))
    }

    /// The same distance from the beginning.
    fn moved(&self, at: Timestamp) -> Option<Timestamp> {
        let since = at.as_millisecond() - self.began?.as_millisecond();
        let begin: Timestamp = BEGIN.parse().expect("a time");
        (since.abs() < FAR_MS)
            .then(|| Timestamp::from_millisecond(begin.as_millisecond() + since).ok())
            .flatten()
    }
}
