//! Everything that touches the world. Adapters translate; they never decide.

pub mod cluster;
pub mod message;
pub mod webhook;
