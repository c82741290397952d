//! Benchmarks of job-worker, each a subcommand; `scripts/bench` builds and calls it.
//!
//! Each measures both sides in one run and judges the ratio; the exit code is 1 where a floor is missed.

#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

mod corpus;
mod fenced;
mod latency;
#[path = "../../../cmd/tests/replay/lives.rs"]
#[expect(dead_code, reason = "the tests of cmd use the rest")]
mod lives;
mod memory;
mod micro;
mod mock;
mod recovery;
mod replay;
mod sample;
mod spent;
mod stores;
#[path = "../../../engine/tests/story/mod.rs"]
#[expect(dead_code, reason = "the tests of the engine use the rest")]
mod story;
mod verdict;
#[path = "../../../engine/tests/walk/mod.rs"]
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fixtures::kubernetes::DIRECTORY;

/// Measures job-worker beside whatever does the least work possible.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// Prints a JSON object for each figure
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// From LPUSH to the POST of the Job, beside a raw POST
    Latency(latency::Options),
    /// The engine by itself, beside looks into a hash map
    Micro,
    /// Fenced commits, beside pipelined SETs
    Redis,
    /// The load of all tasks by a new leader, beside MGETs
    Recovery(recovery::Options),
    /// Whole lives against the embedded cluster, and what they cost
    Mock(mock::Options),
    /// Bytes of a task in flight
    Memory(memory::Options),
    /// A recorded log run again with every decision compared, beside reading it
    Replay(replay::Options),
}

/// What every benchmark needs.
#[derive(Debug, clap::Args)]
struct Place {
    /// Directory of a cluster that runs, see scripts/cluster; it needs no node
    #[arg(long, env = DIRECTORY)]
    cluster: PathBuf,
    /// The worker, a release build
    #[arg(long, env = "JOB_WORKER_BINARY")]
    binary: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let measured = match &options.benchmark {
        Benchmark::Latency(latency) => latency::run(latency),
        Benchmark::Micro => Ok(micro::run()),
        Benchmark::Redis => fenced::run(),
        Benchmark::Recovery(recovery) => recovery::run(recovery),
        Benchmark::Mock(mock) => mock::run(mock),
        Benchmark::Memory(memory) => memory::run(memory),
        Benchmark::Replay(replay) => replay::run(replay),
    };
    match measured {
        Ok(table) if table.print(options.json) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
