//! `job-worker cancel`: ends tasks.

use std::process::ExitCode;

use adapters::driver::orders::{TASKS_MAX, What};
use adapters::view::TaskView;

use super::order;
use super::output::Output;
use super::signed::Signed;
use super::{Failure, report, view};

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
    #[arg(long, value_name = "SERVICE", conflicts_with = "ids")]
    service: Option<String>,
    /// Does not ask before the tasks of a service are cancelled.
    #[arg(short, long)]
    yes: bool,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    output: Output,
}

/// Cancels tasks.
pub(crate) fn cancel(arguments: &Arguments) -> ExitCode {
    report(ordered(arguments))
}

fn ordered(arguments: &Arguments) -> Result<(), Failure> {
    let rows = match &arguments.service {
        Some(service) => of_service(service)?,
        None if arguments.dry_run => of_ids(&arguments.ids)?,
        None => Vec::new(),
    };
    if arguments.dry_run {
        return order::rehearse(arguments.output, "TASK", rows);
    }
    let answer = match &arguments.service {
        Some(service) => {
            let question = match rows.len() {
                1 => format!("1 task of service {service:?} would be cancelled."),
                count => format!("{count} tasks of service {service:?} would be cancelled."),
            };
            order::confirm(&question, arguments.yes)?;
            let service = service.clone();
            order::give(&arguments.signed, What::CancelService { service })?
        }
        None => order::give_all(&arguments.signed, &arguments.ids, TASKS_MAX, |tasks| {
            What::Cancel { tasks }
        })?,
    };
    order::print(arguments.output, "TASK", &answer)
}

/// Returns the tasks of a service that have no verdict, each with what would become of it.
fn of_service(service: &str) -> Result<Vec<(String, String)>, Failure> {
    let tasks = view("cancel")?.tasks()?;
    let rows: Vec<(String, String)> = tasks
        .iter()
        .filter(|task| task.service == service)
        .filter_map(|task| Some((task.id.clone(), would(task)?)))
        .collect();
    if rows.is_empty() {
        return Err(Failure::NotFound(format!(
            "no task of service {service:?} is without a verdict"
        )));
    }
    Ok(rows)
}

fn of_ids(ids: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut view = view("cancel")?;
    let row = |id: &String| {
        let would = view.task(id)?.as_ref().and_then(would);
        let text = would.unwrap_or_else(|| "no task has this id, or it is finished".to_owned());
        Ok((id.clone(), text))
    };
    ids.iter().map(row).collect()
}

/// Says what would become of a task; `None` where it has its verdict.
fn would(task: &TaskView) -> Option<String> {
    let ended = matches!(task.state, "Completed" | "Failed" | "Exception");
    (!ended).then(|| format!("would be cancelled in {}, {}", task.state, task.phase))
}
