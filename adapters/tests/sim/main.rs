//! Deterministic simulation of the whole system: the real driver, engine and lease machine of two or three replicas on
//! simulated time, with a model of the API server, receivers and producers, and every fault that can be had there.
//!
//! One seed gives one run, byte for byte. `scripts/sim --help` names the arguments; `cargo test` runs a fixed set and a
//! fresh one, whose seeds it prints, and takes each mechanism away once.

#![allow(clippy::print_stdout, reason = "its results are read on a terminal")]

mod adapter;
mod campaign;
mod checks;
mod excuses;
mod faults;
mod gate;
mod kube;
mod ledger;
mod plan;
mod producers;
mod reach;
mod receivers;
mod records;
mod replica;
mod requests;
mod rng;
mod runs;
mod server;
mod taker;
mod trace;
mod wired;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    runs::main()
}
