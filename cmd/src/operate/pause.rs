//! `job-worker pause` and `job-worker resume`: whether messages are taken from the queue.

use std::process::ExitCode;

use adapters::driver::orders::What;

use super::order;
use super::output::Output;
use super::report;
use super::signed::Signed;

/// Who wants it.
#[derive(clap::Args)]
#[command(
    after_help = "While paused, messages stay in the queue; tasks and callbacks go on. It outlasts leaders and restarts, until `job-worker resume`.\n\
`job-worker top` and the metric job_worker_intake_paused show it.\n\n\
Exit code 75: no leader answered, and the order was taken back."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    output: Output,
}

/// Pauses the intake.
pub(crate) fn pause(arguments: &Arguments) -> ExitCode {
    order(arguments, What::Pause)
}

/// Lets the intake go on.
pub(crate) fn resume(arguments: &Arguments) -> ExitCode {
    order(arguments, What::Resume)
}

fn order(arguments: &Arguments, what: What) -> ExitCode {
    let answer = order::give(&arguments.signed, what);
    report(answer.and_then(|answer| order::print(arguments.output, "WHAT", &answer)))
}
