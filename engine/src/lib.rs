//! The state machine of job-worker: no I/O, no clock, no randomness, no threads.

mod admission;
mod code;
pub mod describe;
mod effect;
mod engine;
mod event;
mod id;
mod kind;
mod order;
pub mod outbox;
mod policy;
mod snapshot;
mod spec;
mod state;
mod step;
mod table;
mod task;
mod tasks;
mod time;
mod uid;
mod verdict;

pub use code::{Code, Failure};
pub use effect::{Effect, Notice};
pub use engine::{Engine, NO_TASK, Outcome};
pub use event::*;
pub use id::{Digest, TaskId};
pub use kind::{EventKind, StateKind};
pub use order::{Ordered, Verb};
pub use policy::*;
pub use snapshot::{FirstFormat, Record, Snapshot, Tombstone};
pub use spec::Spec;
pub use state::{Closing, State};
pub use step::Step;
pub use table::{ANOTHER_JOB, FINISHED, IGNORES, Ignore, MOVES, Move};
pub use task::{Advance, Rejected, Task, Transition};
pub use time::Timestamp;
pub use uid::Uid;

/// The states' own data, for whoever has to build or show them.
pub mod states {
    pub use crate::state::{
        Completed, Created, Exception, Failed, Overdue, Phase, PodStarted, Received, ReceivedPhase, Refused,
        StartClock, Ttl, Wait,
    };
}
pub mod lease;
