//! `job-worker callbacks`: those that are owed.

use std::process::ExitCode;

use super::output::{self, Output};
use super::table::Table;
use super::{Failure, age, nothing, report, resend, view};

/// What to do with callbacks.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lists the callbacks that are owed, the oldest first. Those given up are in `dead list`.
    List(ListArguments),
    /// Sends callbacks again: given up, told and lost, or waiting for their next attempt.
    Resend(resend::Arguments),
}

#[derive(clap::Args)]
struct ListArguments {
    /// Of this task alone.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// That failed at least once.
    #[arg(long)]
    failing: bool,
    #[command(flatten)]
    output: Output,
}

/// Does what is asked with callbacks.
pub(crate) fn callbacks(arguments: &Arguments) -> ExitCode {
    report(match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Resend(arguments) => resend::resend(arguments),
    })
}

fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let mut view = view("callbacks")?;
    let mut callbacks = view.callbacks()?;
    callbacks.retain(|callback| {
        arguments
            .task
            .as_ref()
            .is_none_or(|task| callback.task.as_ref() == Some(task))
            && (!arguments.failing || callback.attempts > 0)
    });
    let output = arguments.output;
    if !output.is_table() {
        return Ok(output::value(output.output, &callbacks)?);
    }
    if callbacks.is_empty() {
        return nothing(&mut view, "no such callback");
    }
    let mut headers = vec!["TASK", "STATUS", "FAILED", "AGE", "NEXT", "URL"];
    if output.is_wide() {
        headers.push("WEBHOOK-ID");
    }
    let mut table = Table::new(&headers, !output.no_headers);
    for callback in callbacks {
        let mut cells = vec![
            callback.task.unwrap_or_default(),
            callback.status.to_string(),
            format!("{}/{}", callback.attempts, callback.attempts_max),
            age::since(callback.owed_at),
            callback
                .after
                .map_or_else(|| age::until(callback.due), |status| format!("after {status}")),
            callback.url,
        ];
        if output.is_wide() {
            cells.push(callback.webhook_id);
        }
        table.row(cells);
    }
    Ok(output::text(&table.take())?)
}
