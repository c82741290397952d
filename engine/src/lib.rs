//! The state machine of job-worker: no I/O, no clock, no randomness, no threads.

mod code;
mod effect;
mod event;
mod id;
pub mod outbox;
mod policy;
mod spec;
mod time;

pub use code::{Code, Failure};
pub use effect::{Effect, Notice};
pub use event::*;
pub use id::{Digest, TaskId, Uid};
pub use policy::*;
pub use spec::Spec;
pub use time::Timestamp;
