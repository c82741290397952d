//! `job-worker submit`: checks a message and puts it on the queue, as any producer does.

use crate::config::Queue;
use crate::exit::{EX_CONFIG, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE};
use crate::print;
use crate::run::target;
use adapters::message::{Warning, parse};
use adapters::source::list::List;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to submit.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file with the message, `-` for standard input.
    file: PathBuf,
    /// Gives the message a new id, a UUID.
    #[arg(long)]
    new_id: bool,
}

/// Why nothing was put on the queue.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Configuration(String),
    #[error("{}: {error}", .file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("the message breaks {} of the contract:\n{}", rules(.0.len()), .0.join("\n"))]
    Refused(Vec<String>),
    #[error("{0}")]
    Queue(String),
}

fn rules(count: usize) -> String {
    if count == 1 {
        "a rule".to_owned()
    } else {
        format!("{count} rules")
    }
}

/// Checks the message and puts it on the queue; says where it went.
pub(crate) fn submit(arguments: &Arguments) -> ExitCode {
    match put(arguments) {
        Ok(text) => print::to_stdout(&format!("{text}\n"), ExitCode::SUCCESS),
        Err(failure) => {
            print::to_stderr(&failure.to_string());
            ExitCode::from(match failure {
                Failure::Configuration(_) => EX_CONFIG,
                Failure::Unreadable { .. } => EX_NOINPUT,
                Failure::Refused(_) => EX_DATAERR,
                Failure::Queue(_) => EX_UNAVAILABLE,
            })
        }
    }
}

fn put(arguments: &Arguments) -> Result<String, Failure> {
    let queue = Queue::load(std::env::vars_os()).map_err(|faults| Failure::Configuration(lines(&faults)))?;
    let mut raw = read(&arguments.file).map_err(|error| Failure::Unreadable {
        file: arguments.file.clone(),
        error,
    })?;
    if arguments.new_id {
        raw = with_new_id(&raw)?;
    }
    let parsed = parse(&raw).map_err(|refused| {
        warn(&refused.warnings);
        Failure::Refused(refused.faults.iter().map(ToString::to_string).collect())
    })?;
    warn(&parsed.warnings);
    let Queue::Redis { server, key_prefix } = &queue;
    let list = List::new(&target(server), key_prefix, "submit")
        .map_err(|error| Failure::Queue(error.to_string()))?;
    let waiting = list
        .push(&raw)
        .map_err(|error| Failure::Queue(error.to_string()))?;
    Ok(format!(
        "task {} is in the list {key_prefix} of {} (database {}), {waiting} waiting",
        parsed.message.id, server.endpoint, server.db
    ))
}

/// Reads a file, `-` for standard input.
pub(crate) fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return std::fs::read(file);
    }
    let mut raw = Vec::new();
    io::stdin().read_to_end(&mut raw)?;
    Ok(raw)
}

/// Replaces the id at the top level; everything else keeps its value.
fn with_new_id(raw: &[u8]) -> Result<Vec<u8>, Failure> {
    let refused = |fault: String| Failure::Refused(vec![fault]);
    let mut message: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(raw)
        .map_err(|error| refused(format!("message: must be a JSON object: {error}")))?;
    message.insert("id".to_owned(), uuid::Uuid::now_v7().to_string().into());
    serde_json::to_vec(&message).map_err(|error| refused(format!("message: {error}")))
}

fn warn(warnings: &[Warning]) {
    for warning in warnings {
        // One that nobody can read does not stop the message.
        print::to_stderr(&format!("warning: {warning}"));
    }
}

pub(crate) fn lines<T: ToString>(faults: &[T]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
