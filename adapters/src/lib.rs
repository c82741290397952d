//! Everything that touches the world. Adapters translate; they never decide.

pub mod clock;
pub mod endpoint;
pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
