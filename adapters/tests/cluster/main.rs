//! The cluster adapter against an API server whose answers are scripted.

mod create;
mod namespaces;
mod support;
mod watch;
mod writes;
