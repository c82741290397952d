//! `job-worker dev` as its user meets it: what it says, how it ends, and that nothing of it stays behind.

#![cfg(feature = "dev")]

mod demo;
mod ends;
mod kills;
mod readme;
mod screen;
mod stage;
