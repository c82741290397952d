//! The state machine of job-worker: no I/O, no clock, no randomness, no threads.

pub mod lease;
