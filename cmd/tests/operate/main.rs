//! The operator's commands, the real binary against a real Redis.

mod look;
mod shelf;
