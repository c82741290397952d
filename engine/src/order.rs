//! Orders of operators that move no task, as the event log holds them beside the transitions.
//!
//! The engine decides nothing by them: a replay passes them over.

use crate::id::TaskId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What was ordered. An order to end a task is an event of that task.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Verb {
    /// To take no messages.
    Pause,
    /// To take messages again.
    Resume,
    /// To put a refused message back into the queue, and to forget what is remembered of its id.
    Requeue,
    /// To drop a dead letter.
    Drop,
    /// To send a callback again.
    Resend,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 5] = [Self::Pause, Self::Resume, Self::Requeue, Self::Drop, Self::Resend];

    /// Returns the name of the verb.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Requeue => "Requeue",
            Self::Drop => "Drop",
            Self::Resend => "Resend",
        }
    }
}

/// One thing that was done by order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ordered {
    /// When it was done.
    pub at: Timestamp,
    /// Who wanted it, such as `alice@laptop`.
    pub by: String,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// What was wanted.
    pub verb: Verb,
    /// What it was done to: the intake, a dead letter, a callback.
    pub subject: String,
    /// The task that it concerns, where there is one.
    pub task: Option<TaskId>,
}
