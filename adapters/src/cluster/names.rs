//! Names, labels and annotations of our Jobs.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Labels of the Job and of its pods.
pub mod label {
    /// The hash of the instance.
    pub const INSTANCE: &str = "job-worker/instance";
    /// The hash of the task.
    pub const TASK: &str = "job-worker/task";
}

/// Annotations of the Job; the pods carry the first four.
pub mod annotation {
    /// The instance as `<namespace>/<lock name>`.
    pub const INSTANCE: &str = "job-worker/instance";
    /// The id of the message.
    pub const ID: &str = "job-worker/id";
    /// The digest of the message, in hexadecimal.
    pub const DIGEST: &str = "job-worker/digest";
    /// When the message became ours, in milliseconds since 1970.
    pub const RECEIVED_AT: &str = "job-worker/received-at";
    /// The webhook URL.
    pub const WEBHOOK: &str = "job-worker/webhook";
    /// The service of the message.
    pub const SERVICE: &str = "job-worker/service";
    /// The numbers that a rebuilt task needs, as JSON.
    pub const LIMITS: &str = "job-worker/limits";
    /// The trace context.
    pub const TRACEPARENT: &str = "job-worker/traceparent";
    /// The verdict that was given before the Job's end.
    pub const VERDICT: &str = "job-worker/verdict";
}

/// One installation of job-worker: its namespace and the name of its lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// `POD_NAMESPACE`.
    pub namespace: String,
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock_name: String,
}

impl Instance {
    /// Hashes the instance to a label value.
    pub fn hash(&self) -> String {
        hash(&[&self.namespace, &self.lock_name])
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.lock_name)
    }
}

/// Hashes a task, by the namespace of its Job and its id, to a label value.
pub fn task_hash(instance: &Instance, namespace: &str, id: &str) -> String {
    hash(&[&instance.namespace, &instance.lock_name, namespace, id])
}

fn hash(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(format!("{}:{part},", part.len()));
    }
    BASE32_NOPAD.encode(&sha.finalize()[..10]).to_ascii_lowercase()
}
