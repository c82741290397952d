//! The operator's commands, the real binary against a real Redis.

mod elsewhere;
mod glance;
mod letters;
mod look;
mod orders;
mod shelf;
#[allow(
    dead_code,
    unused_macros,
    reason = "what these tests do not need of it, those of the daemon do"
)]
#[path = "../daemon/stage.rs"]
mod stage;
