//! Everything that touches the world. Adapters translate; they never decide.

pub mod connection;
pub mod endpoint;
pub mod source;
pub mod store;
