//! `job-worker schema`: the JSON Schema of messages.

use std::process::ExitCode;

use crate::print;

/// Prints the schema.
pub(crate) fn schema() -> ExitCode {
    print::to_stdout(adapters::message::SCHEMA, ExitCode::SUCCESS)
}
