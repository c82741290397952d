//! `job-worker audit`: what the store holds against the Jobs that the cluster holds, and what does not fit.
//!
//! It looks and never writes: no key, no object, no callback. A worker may run meanwhile: what it was just doing fits a moment
//! later, so only what two looks find is told. Pages are read one at a time; of the Jobs only two numbers each are kept.

mod finding;
mod jobs;
mod look;
mod stored;

use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;
use crate::exit::{EX_CONFIG, EX_UNAVAILABLE, FAILURE};
use crate::print;
use finding::{Findings, Looked};

/// The wait between the two looks.
const SETTLE: Duration = Duration::from_secs(2);

/// Where to look beside what the configuration names, and how to show it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// A namespace with Jobs, where they cannot be listed in all; may be given more than once.
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
}

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Store(#[from] adapters::connection::Error),
    #[error("the keys of the store belong to {0}")]
    Owner(String),
    #[error("the API server: {0}")]
    Credentials(String),
    #[error("the API server: {0}")]
    Cluster(#[from] adapters::cluster::review::Error),
}

/// Compares and prints what does not fit. 0: everything fits; 1: something does not; 69: store or cluster cannot be
/// read; 78: the configuration is refused.
pub(crate) fn audit(arguments: &Arguments) -> ExitCode {
    let config = match Config::load(std::env::vars_os()) {
        Ok(config) => config,
        Err(faults) => {
            for fault in &faults {
                print::to_stderr(&format!("audit: {fault}"));
            }
            return ExitCode::from(EX_CONFIG);
        }
    };
    match compare(&config, &arguments.namespaces) {
        Ok((looked, findings)) => {
            let text = if arguments.json {
                finding::json(&looked, &findings)
            } else {
                finding::table(&looked, &findings)
            };
            let code = if findings.is_empty() { 0 } else { FAILURE };
            print::to_stdout(&text, ExitCode::from(code))
        }
        Err(error) => {
            print::to_stderr(&format!(
                "audit: {error}; `job-worker check` says what is missing"
            ));
            ExitCode::from(EX_UNAVAILABLE)
        }
    }
}

fn compare(config: &Config, namespaces: &[String]) -> Result<(Looked, Findings), Error> {
    let mut audit = look::Audit::new(config, namespaces)?;
    let (looked, first) = audit.look()?;
    if first.is_empty() {
        return Ok((looked, first));
    }
    std::thread::sleep(SETTLE);
    let (looked, mut findings) = audit.look()?;
    findings.keep(&first);
    Ok((looked, findings))
}
