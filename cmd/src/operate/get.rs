//! `job-worker get`: one task.

use std::process::ExitCode;

use adapters::view::{Life, TaskView};

use super::list::Rows;
use super::output::{self, Format, Output};
use super::{Failure, missing, report, view};

/// Which task, and how to print it.
#[derive(clap::Args)]
#[command(
    after_help = "A finished task is forgotten once its callbacks are delivered; the event log tells of it for a while.\n\
Exit code 1: no such task."
)]
pub(crate) struct Arguments {
    /// Its id, as the message has it.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    output: Output,
}

/// Shows tasks.
pub(crate) fn get(arguments: &Arguments) -> ExitCode {
    report(print(arguments))
}

fn print(arguments: &Arguments) -> Result<(), Failure> {
    let mut view = view("get")?;
    let mut tasks: Vec<TaskView> = Vec::new();
    let mut unknown = Vec::new();
    for id in &arguments.ids {
        let found = match view.task(id)? {
            Some(task) => Some(task),
            None => view.life(id)?.and_then(|life| life.task),
        };
        match found {
            Some(task) => tasks.push(task),
            None => unknown.push(nobody(id)),
        }
    }
    let format = arguments.output.output;
    match (&tasks[..], format) {
        ([], _) => {}
        ([task], Format::Json | Format::Yaml) if arguments.ids.len() == 1 => output::value(format, task)?,
        (tasks, _) => Rows::new(arguments.output).whole(tasks)?,
    }
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Failure::NotFound(missing(&mut view, &unknown.join("\n"))?))
    }
}

fn nobody(id: &str) -> String {
    format!("no task has the id {id:?}")
}

/// Returns the life of a task, or that there is none.
pub(super) fn life(id: &str, role: &str) -> Result<Life, Failure> {
    let mut view = view(role)?;
    match view.life(id)? {
        Some(life) => Ok(life),
        None => Err(Failure::NotFound(missing(&mut view, &nobody(id))?)),
    }
}
