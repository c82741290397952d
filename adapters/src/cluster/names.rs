//! Names, labels and annotations of our Jobs: which ones there are, and how each follows from the task.
//!
//! All of it is found again by a later version, so none of it ever changes. The manifest is built with these names; adoption
//! and the watches read them back.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::message::rules;

/// Labels of the Job and of its pods.
pub mod label {
    /// The service of the message.
    pub const APP: &str = "app";
    /// The service of the message.
    pub const APP_NAME: &str = "app.kubernetes.io/name";
    /// The id of the message, see [`super::id_label`].
    pub const JOB_ID: &str = "jobId";
    /// The hash of the instance, see [`super::Instance::hash`]: what the watches select by.
    pub const INSTANCE: &str = "job-worker/instance";
    /// The hash of the task, see [`super::task_hash`].
    pub const TASK: &str = "job-worker/task";
    /// Keeps the sidecar of Istio out of the pod. On pods only, as a label and as an annotation.
    pub const ISTIO_INJECT: &str = "sidecar.istio.io/inject";
}

/// Annotations of the Job; the pods carry the first four.
pub mod annotation {
    /// The instance as `<namespace>/<lock name>`.
    pub const INSTANCE: &str = "job-worker/instance";
    /// The id of the message.
    pub const ID: &str = "job-worker/id";
    /// The digest of the message, in hexadecimal.
    pub const DIGEST: &str = "job-worker/digest";
    /// When the message became ours, in milliseconds since 1970: tells two tasks apart that had the same id one after the
    /// other.
    pub const RECEIVED_AT: &str = "job-worker/received-at";
    /// The webhook URL; absent where the message has none.
    pub const WEBHOOK: &str = "job-worker/webhook";
    /// The service of the message.
    pub const SERVICE: &str = "job-worker/service";
    /// The numbers that a rebuilt task needs, as JSON: [`crate::cluster::manifest::Limits`].
    pub const LIMITS: &str = "job-worker/limits";
    /// The trace context; absent where the message has none.
    pub const TRACEPARENT: &str = "job-worker/traceparent";
    /// The verdict that was given before the Job's end. Patched in, never created.
    pub const VERDICT: &str = "job-worker/verdict";
}

/// The most characters of `prefixName` in a Job's name: with a hyphen and [`HASH_LEN`] it makes the 63 of a label value.
pub const PREFIX_MAX: usize = 46;

/// The characters of a hash: 80 bits in base32.
pub const HASH_LEN: usize = 16;

/// One installation of job-worker: its namespace and the name of its lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// `POD_NAMESPACE`.
    pub namespace: String,
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock_name: String,
}

impl Instance {
    /// Hashes the instance to a label value of [`HASH_LEN`] characters.
    pub fn hash(&self) -> String {
        hash(&[&self.namespace, &self.lock_name])
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.lock_name)
    }
}

/// Hashes a task, by the namespace of its Job and its id, to a label value of [`HASH_LEN`] characters.
pub fn task_hash(instance: &Instance, namespace: &str, id: &str) -> String {
    hash(&[&instance.namespace, &instance.lock_name, namespace, id])
}

/// Names the Job of a task: the prefix, which is a DNS label, cut to [`PREFIX_MAX`], a hyphen and the hash of the task. At most 63 characters.
pub fn job_name(instance: &Instance, namespace: &str, id: &str, prefix: &str) -> String {
    let end = prefix
        .char_indices()
        .nth(PREFIX_MAX)
        .map_or(prefix.len(), |(end, _)| end);
    let prefix = prefix[..end].trim_end_matches('-');
    format!("{prefix}-{}", task_hash(instance, namespace, id))
}

/// The value of the label `jobId`: the id itself where a label may have it, else the first 32 characters of the id's SHA-256 in
/// hexadecimal, as `printf %s "$ID" | sha256sum` shows it.
pub fn id_label(id: &str) -> String {
    if rules::is_label_value(id) {
        return id.to_owned();
    }
    HEXLOWER.encode(&Sha256::digest(id)[..16])
}

/// The first 80 bits of SHA-256 over the parts as netstrings (`<bytes>:<part>,`), in lower-case base32 of RFC 4648.
fn hash(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(format!("{}:{part},", part.len()));
    }
    BASE32_NOPAD.encode(&sha.finalize()[..10]).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(namespace: &str, lock_name: &str) -> Instance {
        Instance {
            namespace: namespace.to_owned(),
            lock_name: lock_name.to_owned(),
        }
    }

    const ID: &str = "31a89a91-43d8-4786-a195-9b25cec28a44";

    #[test]
    fn the_names_of_the_worked_example_are_what_they_are_for_ever() {
        let instance = instance("default", "job-worker-lock");
        assert_eq!(instance.to_string(), "default/job-worker-lock");
        assert_eq!(instance.hash(), "efnwllih2jf5xqjz");
        assert_eq!(task_hash(&instance, "default", ID), "sqou62cotxpo6jgc");
        assert_eq!(
            job_name(&instance, "default", ID, "my-job"),
            "my-job-sqou62cotxpo6jgc"
        );
        assert_eq!(id_label("für"), "cd23c4c603b344f63dd96d80bc9a0af2");
    }

    #[test]
    fn every_part_of_a_task_changes_its_hash_and_no_two_parts_run_together() {
        let hashes: std::collections::BTreeSet<_> = [
            ("a", "b", "c", "d"),
            ("a", "b", "c", "x"),
            ("a", "b", "x", "d"),
            ("a", "x", "c", "d"),
            ("x", "b", "c", "d"),
            ("ab", "", "c", "d"),
            ("a", "b", "cd", ""),
            ("a", "b", "", "cd"),
            ("a", "b", "c,1:d", ""),
        ]
        .into_iter()
        .map(|(namespace, lock, target, id)| task_hash(&instance(namespace, lock), target, id))
        .collect();
        assert_eq!(hashes.len(), 9);
    }

    #[test]
    fn a_job_name_is_a_dns_label_whatever_the_prefix() {
        let instance = instance("default", "job-worker-lock");
        for (prefix, kept) in [
            ("p".repeat(63), "p".repeat(46)),
            (format!("{}-{}", "p".repeat(45), "q".repeat(17)), "p".repeat(45)),
            (format!("p{}q", "-".repeat(61)), "p".to_owned()),
            ("p".to_owned(), "p".to_owned()),
        ] {
            let name = job_name(&instance, "default", "a", &prefix);
            assert_eq!(name, format!("{kept}-{}", task_hash(&instance, "default", "a")));
            assert!(rules::is_dns_label(&name), "{name}");
        }
    }

    #[test]
    fn an_id_is_its_own_label_where_it_can_be() {
        assert_eq!(id_label(ID), ID);
        for id in ["a b", "-", "é", &"x".repeat(64)] {
            assert_eq!(id_label(id).len(), 32, "{id}");
        }
    }
}
