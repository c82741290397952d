//! Everything that touches the world. Adapters translate; they never decide.

pub mod lease;
