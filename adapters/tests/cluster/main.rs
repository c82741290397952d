//! The cluster adapter against an API server whose answers are scripted.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test whose stage cannot be set has failed; what it does not look for is of no interest to it"
)]

mod create;
mod namespaces;
mod support;
mod watch;
mod writes;
