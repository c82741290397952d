//! `job-worker cancel`: ends tasks.

use std::process::ExitCode;

use adapters::driver::orders::{Answer, TASKS_MAX, What};

use super::order;
use super::output::Output;
use super::signed::Signed;
use super::{Failure, report};

/// Which tasks, and who wants it.
#[derive(clap::Args)]
#[command(
    after_help = "The order goes to the leader, which ends each task with TASK_CANCELLED and tells its client. A task whose Job is not made \
yet never gets one. A Job is stopped where the worker may patch Jobs; else it is left in place, and the verdict says how to delete it. \
RESULT is where the task is then: a Job that is being stopped has its verdict once that is done (see `job-worker why ID`).\n\n\
A message that still waits in the queue is no task yet and cannot be cancelled.\n\n\
Exit codes: 0 all are cancelled; 1 at least one is not, such as one that is finished; 75 no leader answered, and the order was taken back."
)]
pub(crate) struct Arguments {
    /// Their ids.
    #[arg(value_name = "ID", required_unless_present = "service")]
    ids: Vec<String>,
    /// Every task of this service that has no verdict.
    #[arg(long, value_name = "SERVICE", conflicts_with = "ids", requires = "yes")]
    service: Option<String>,
    /// Means it: needed with --service.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    output: Output,
}

/// Cancels tasks.
pub(crate) fn cancel(arguments: &Arguments) -> ExitCode {
    report(ordered(arguments).and_then(|answer| order::print(arguments.output, "TASK", &answer)))
}

fn ordered(arguments: &Arguments) -> Result<Answer, Failure> {
    if let Some(service) = &arguments.service {
        let what = What::CancelService {
            service: service.clone(),
        };
        let answer = order::give(&arguments.signed, what)?;
        if answer.results.is_empty() && answer.refused.is_none() {
            return Err(Failure::NotFound(format!(
                "no task of service {service:?} is without a verdict"
            )));
        }
        return Ok(answer);
    }
    let mut all = Answer::default();
    for some in arguments.ids.chunks(TASKS_MAX) {
        let what = What::Cancel { tasks: some.to_vec() };
        let answer = order::give(&arguments.signed, what)?;
        all.results.extend(answer.results);
        all.refused = all.refused.or(answer.refused);
    }
    Ok(all)
}
