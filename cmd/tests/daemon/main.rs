//! The daemon under faults: the real binary and a real Redis against an API server whose faults are scripted.
//!
//! Every test asserts whole callback sequences, and that a bystander in another namespace is served while the fault lasts, or
//! right after it where everything waits for the same thing.

mod counts;
mod messages;
mod minute;
mod outages;
mod process;
mod redis;
mod refusals;
mod stage;
mod submit;
mod watch;
