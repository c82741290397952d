//! The cluster adapter.

pub mod manifest;
pub mod names;
