//! Everything that touches the world. Adapters translate; they never decide.

pub mod cluster;
pub mod message;
pub mod webhook;
pub mod clock;
pub mod endpoint;
pub mod health;
pub mod http;
pub mod logs;
