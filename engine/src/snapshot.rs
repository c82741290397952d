//! The stored form of a task: versioned, and readable for ever.
//!
//! It is written as named MessagePack, so fields may be added (with a default) but never renamed. A release
//! reads the next format before any release writes it; each format has a fixture per state that stays.

use crate::id::Digest;
use crate::order::Ordered;
use crate::policy::Policy;
use crate::task::{Task, Transition};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A task as the store holds it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum Snapshot {
    /// The first format.
    #[serde(rename = "1")]
    V1 {
        /// The task.
        task: Task,
    },
}

/// The first format alone, for whoever reads many: its fields are read as they come, where [`Snapshot`] keeps all of
/// them until it knows the format. What this one refuses, `Snapshot` has to judge.
#[derive(Debug, Deserialize)]
pub struct FirstFormat {
    /// Refuses every other format.
    #[serde(rename = "v")]
    _version: Version,
    task: Task,
}

#[derive(Debug, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    First,
}

impl From<FirstFormat> for Task {
    fn from(snapshot: FirstFormat) -> Self {
        snapshot.task
    }
}

impl From<Task> for Snapshot {
    fn from(task: Task) -> Self {
        Self::V1 { task }
    }
}

impl From<Snapshot> for Task {
    fn from(snapshot: Snapshot) -> Self {
        match snapshot {
            Snapshot::V1 { task } => task,
        }
    }
}

/// One line of the event log: an input that moved a task, with its outcome; or an order that moved none.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "v")]
#[expect(clippy::large_enum_variant, reason = "nearly every record is a transition")]
pub enum Record {
    /// The first format.
    #[serde(rename = "1")]
    V1 {
        /// The transition.
        transition: Transition,
        /// The policy by which it was decided, and those after it up to the next that says one. The first record of a term
        /// does, and some later ones, since the oldest are trimmed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Policy>,
    },
    /// An order.
    #[serde(rename = "1-order")]
    Order {
        /// What was done.
        order: Ordered,
    },
}

impl From<Transition> for Record {
    fn from(transition: Transition) -> Self {
        Self::V1 {
            transition,
            policy: None,
        }
    }
}

/// What is remembered of a finished task's id.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "v")]
pub enum Tombstone {
    /// The first format.
    #[serde(rename = "1")]
    V1 {
        /// The digest of its message.
        digest: Digest,
        /// The status of its verdict.
        status: u8,
        /// When the verdict was given.
        at: Timestamp,
    },
}

impl Tombstone {
    /// Returns the digest of the finished task's message.
    pub const fn digest(&self) -> Digest {
        match self {
            Self::V1 { digest, .. } => *digest,
        }
    }
}
