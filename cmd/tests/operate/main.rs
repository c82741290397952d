//! The operator's commands, the real binary against a real Redis.

mod glance;
mod look;
mod shelf;
