//! What the API server says of Jobs, pods and their refusals while rows are played, as an administrator's watches see it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fixtures::kubernetes::Cluster;
use serde_json::Value;

use super::place::Place;

/// The kinds that verdicts are made of, and where they are.
const KINDS: [(&str, &str); 3] = [
    ("batch/v1/jobs", "/apis/batch/v1/jobs"),
    ("pods", "/api/v1/pods"),
    ("events", "/api/v1/events"),
];

/// One object at one moment.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// When it was heard of.
    pub(super) at: Instant,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(super) says: String,
    /// The object.
    pub(super) object: Value,
}

impl Frame {
    /// The object's identity.
    pub(super) fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    fn version(&self) -> u64 {
        version(&self.object)
    }
}

/// Everything that was said since it was started.
pub(super) struct Watch {
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Watch {
    /// Follows the whole cluster from now on.
    pub(super) fn start(cluster: &Arc<Cluster>) -> Watch {
        let frames = Arc::new(Mutex::new(Vec::new()));
        for (_, path) in KINDS {
            let frames = Arc::downgrade(&frames);
            cluster.follow(path, move |says, object| {
                let Some(frames) = frames.upgrade() else {
                    return false;
                };
                // Of events only those count that say why there is no pod.
                if object.get("reason").is_none_or(|reason| reason == "FailedCreate") {
                    let frame = Frame {
                        at: Instant::now(),
                        says: says.to_owned(),
                        object,
                    };
                    frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
                }
                true
            });
        }
        Watch { frames }
    }

    /// Returns what was said of a namespace until this call, in the order in which it was heard.
    pub(super) fn until_now(&self, place: &Place<'_>) -> Vec<Frame> {
        let mut newest = 0;
        let mut there = Vec::new();
        for (kind, _) in KINDS {
            let list = place.world.cluster.get(&place.path(kind)).unwrap_or_default();
            newest = newest.max(version(&list));
            there.extend(list["items"].as_array().cloned().unwrap_or_default());
        }
        there.retain(|object| object.get("reason").is_none_or(|reason| reason == "FailedCreate"));
        place.until("the watches have told all of it", || {
            let frames = self.of(place);
            let last = |uid: &str| frames.iter().rfind(|frame| frame.uid() == uid);
            let uid = |object: &Value| object["metadata"]["uid"].as_str().map(str::to_owned);
            let up_to_date = there.iter().all(|object| {
                last(&uid(object).unwrap_or_default())
                    .is_some_and(|frame| frame.says == "DELETED" || frame.version() >= version(object))
            });
            let no_ghosts = frames.iter().all(|frame| {
                last(frame.uid()).is_some_and(|last| last.says == "DELETED" || last.version() > newest)
                    || there
                        .iter()
                        .any(|object| uid(object).as_deref() == Some(frame.uid()))
            });
            (up_to_date && no_ghosts).then(|| {
                frames
                    .into_iter()
                    .filter(|frame| frame.version() <= newest)
                    .collect()
            })
        })
    }

    fn of(&self, place: &Place<'_>) -> Vec<Frame> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let here = |frame: &&Frame| frame.object["metadata"]["namespace"] == place.namespace.as_str();
        frames.iter().filter(here).cloned().collect()
    }
}

/// A number that grows over all kinds: the revision of etcd.
fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}
