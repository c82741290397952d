//! What a task is, fixed when its message is taken.

use crate::id::Digest;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of a message that decisions and callbacks need; it never holds env, command or args.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The digest of the message.
    pub digest: Digest,
    /// The Job's namespace.
    pub namespace: String,
    /// The Job's name.
    pub job_name: String,
    /// The message's `service`.
    pub service: String,
    /// Where callbacks go; `None` where nobody asked for any.
    pub webhook: Option<String>,
    /// The W3C trace context of the message.
    pub traceparent: Option<String>,
    /// When the message was taken.
    pub received_at: Timestamp,
    /// Seconds from the Job's creation to its first started container (`POD_START_TIMEOUT` at intake).
    pub start_timeout_secs: u32,
    /// The message's `activeDeadlineSeconds`.
    pub active_deadline_secs: Option<u32>,
    /// The message's `ttlSecondsAfterFinished`.
    pub ttl_secs: Option<u32>,
}

impl Spec {
    /// Tells whether the start timer is armed: not where the Job's own deadline comes first.
    pub fn start_timer_armed(&self) -> bool {
        self.active_deadline_secs
            .is_none_or(|deadline| deadline > self.start_timeout_secs)
    }
}
