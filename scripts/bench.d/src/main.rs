//! Benchmarks of job-worker, each a subcommand; `scripts/bench` builds and calls it.
//!
//! A benchmark measures and prints; it never judges.

#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

mod latency;
mod sample;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fixtures::kubernetes::DIRECTORY;

/// Measures job-worker on a cluster that runs.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// From LPUSH to the POST of the Job, beside a raw POST
    Latency(latency::Options),
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
    let done: io::Result<()> = match &Options::parse().benchmark {
        Benchmark::Latency(options) => latency::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
