//! The binary `job-worker`.

#[expect(
    dead_code,
    reason = "the daemon that is configured by it is not wired yet"
)]
mod config;

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use config::{Config, EX_CONFIG};

/// Takes task messages from a queue, runs each as a Kubernetes Job, and tells the client by webhook.
#[derive(clap::Parser)]
#[command(name = "job-worker", version)]
struct Arguments {}

fn main() -> ExitCode {
    Arguments::command()
        .after_long_help(config::help())
        .get_matches();
    let config = match Config::load(std::env::vars_os()) {
        Ok(config) => config,
        Err(faults) => {
            let lines: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
            // Where stderr is closed, the exit code alone has to say it.
            return match std::io::stderr().write_all(lines.as_bytes()) {
                Ok(()) | Err(_) => ExitCode::from(EX_CONFIG),
            };
        }
    };
    if let Err(error) = adapters::logs::init(
        &config.log_levels,
        config
            .log_format
            .unwrap_or_else(adapters::logs::Format::detected),
    ) {
        eprintln!("{error}");
    }
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    log::info!(configuration = config.describe(); "starting");
    ExitCode::SUCCESS
}
