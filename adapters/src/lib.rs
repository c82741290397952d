//! Everything that touches the world. Adapters translate; they never decide.

pub mod clock;
pub mod cluster;
pub mod connection;
pub mod driver;
pub mod endpoint;
pub mod health;
pub mod http;
pub mod leader;
pub mod lease;
pub mod logs;
pub mod message;
pub mod metrics;
pub mod page;
pub mod source;
pub mod store;
pub mod survey;
pub mod taker;
mod trace;
pub mod view;
pub mod webhook;
pub mod wheel;
