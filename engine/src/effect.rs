//! What adapters are asked to do. Each is safe to repeat, and is owed by a state until its answer comes.

use crate::code::Failure;
use crate::uid::Uid;
use serde::{Deserialize, Serialize};

/// A request to the world for one task.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Creates the Job under its name; answered by `JobSeen` or `CreateFailed`.
    CreateJob {
        /// Whether `ttlSecondsAfterFinished` is set at creation: only where it cannot be set later.
        with_ttl: bool,
    },
    /// Reads the Job by name and lists its pods; answered by their facts and `Looked`, or by `LookRefused` or `LookFailed`.
    Look,
    /// Writes the verdict to the Job and ends it, unless it changed; answered by `StopAnswered`.
    StopJob {
        /// The Job's uid, a precondition.
        uid: Uid,
        /// The verdict.
        failure: Failure,
    },
    /// Sets the TTL that the message asked for; answered by `TtlAnswered`.
    SetTtl {
        /// The Job's uid, a precondition.
        uid: Uid,
        /// Seconds.
        seconds: u32,
    },
}

/// What the client is told, in the order in which it is owed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// Status 0.
    Created {
        /// The Job's uid.
        job: Uid,
    },
    /// Status 1.
    Started {
        /// The pod's uid.
        pod: Uid,
        /// The pod's name.
        name: String,
    },
    /// Status 2.
    Completed {
        /// Whole seconds from the Job's startTime to its completionTime.
        duration_secs: u64,
    },
    /// Status 3.
    Failed(Failure),
    /// Status 99.
    Exception(Failure),
}

impl Notice {
    /// Returns the status that the contract gives to it.
    pub const fn status(&self) -> u8 {
        match self {
            Self::Created { .. } => 0,
            Self::Started { .. } => 1,
            Self::Completed { .. } => 2,
            Self::Failed(_) => 3,
            Self::Exception(_) => 99,
        }
    }
}
