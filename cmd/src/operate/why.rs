//! `job-worker why`: the life of one task, and what it waits for.

use std::process::ExitCode;

use adapters::view::{CallbackView, EventView, Life, TaskView, Told};

use super::get::life;
use super::output::{self, Format};
use super::table::shown;
use super::{Failure, age, report};

/// Which task, and how to print its life.
#[derive(clap::Args)]
#[command(
    after_help = "The life comes from the event log, which holds about the last 100,000 transitions of all tasks.\n\
Exit code 1: no such task."
)]
pub(crate) struct Arguments {
    /// Its id, as the message has it.
    id: String,
    /// Form of the output; wide is table.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Tells the life of a task.
pub(crate) fn why(arguments: &Arguments) -> ExitCode {
    report(print(arguments))
}

fn print(arguments: &Arguments) -> Result<(), Failure> {
    let life = life(&arguments.id, "why")?;
    match arguments.output {
        Format::Table | Format::Wide => output::text(&story(&arguments.id, &life))?,
        Format::Json | Format::Yaml => output::value(arguments.output, &life)?,
    }
    Ok(())
}

fn story(id: &str, life: &Life) -> String {
    let mut text = format!("task {}\n", shown(id));
    if let Some(task) = &life.task {
        text.push_str(&facts(task));
    }
    text.push_str("\nwhat happened\n");
    if life.events.is_empty() {
        text.push_str("  the event log no longer holds it\n");
    } else if life.cut {
        text.push_str("  … (the event log no longer holds how it began)\n");
    }
    for event in &life.events {
        text.push_str(&moved(event));
    }
    if !life.callbacks.is_empty() {
        text.push_str("\ncallbacks\n");
        for told in &life.callbacks {
            text.push_str(&format!("  {}\n", callback(told)));
        }
    }
    text.push_str("\nnow\n");
    text.push_str(&now(life));
    text
}

fn facts(task: &TaskView) -> String {
    let mut rows = vec![
        ("service", task.service.clone()),
        (
            "job",
            format!(
                "{}/{}{}",
                task.namespace,
                task.job_name,
                task.job_uid
                    .as_ref()
                    .map_or_else(String::new, |uid| format!(" (uid {uid})"))
            ),
        ),
        (
            "taken",
            format!("{} ({} ago)", task.received_at, age::since(task.received_at)),
        ),
    ];
    rows.push((
        "callbacks",
        task.webhook
            .clone()
            .unwrap_or_else(|| "none: its message names no webhook".to_owned()),
    ));
    if let Some(traceparent) = &task.traceparent {
        rows.push(("trace", traceparent.clone()));
    }
    rows.into_iter()
        .map(|(name, value)| format!("  {name:<10} {}\n", shown(&value)))
        .collect()
}

fn moved(event: &EventView) -> String {
    let change = match event.from {
        None if event.is_order() => format!("an order ({})", event.event),
        Some(from) if from == event.to => format!("{} ({})", event.to, event.phase),
        Some(from) => format!("{from} -> {} ({})", event.to, event.phase),
        None => format!("{} ({})", event.to, event.phase),
    };
    let mut text = format!("  {}  {change}\n", event.at);
    let under = |line: &str| format!("      {}\n", shown(line));
    text.push_str(&under(&format!("{}: {}", event.event, event.evidence)));
    if let (Some(code), Some(message)) = (event.error_code, &event.message) {
        text.push_str(&under(&format!("verdict {code}: {message}")));
    }
    for status in &event.callbacks {
        text.push_str(&under(&format!("tells the client: {}", status_name(*status))));
    }
    if let Some(asks) = &event.asks {
        text.push_str(&under(&format!("asks the cluster to {asks}")));
    }
    text
}

/// Returns a status with its meaning.
pub(super) fn status_name(status: u8) -> String {
    let meaning = match status {
        0 => "Job created",
        1 => "started",
        2 => "complete",
        3 => "failed",
        _ => "exception",
    };
    format!("status {status} ({meaning})")
}

fn callback(told: &Told) -> String {
    match told {
        Told::Delivered { status, .. } => format!("{}: delivered", status_name(*status)),
        Told::Owed(owed) => format!("{}: {}", status_name(owed.status), progress(owed)),
        Told::Dead(dead) => {
            format!(
                "{}: given up at {}: {}",
                status_name(dead.status()),
                dead.at,
                shown(&dead.reason)
            )
        }
    }
}

/// Says how far the delivery of a callback is.
pub(super) fn progress(owed: &CallbackView) -> String {
    if let Some(status) = owed.after {
        return format!(
            "owed since {}, sent once status {status} is delivered or given up",
            owed.owed_at
        );
    }
    if owed.attempts == 0 {
        return format!("owed since {}, not tried yet", owed.owed_at);
    }
    format!(
        "{} of {} attempts failed, the next is {} ({})",
        owed.attempts,
        owed.attempts_max,
        age::until(owed.due),
        owed.due
    )
}

fn now(life: &Life) -> String {
    let mut text = String::new();
    match (&life.task, &life.finished) {
        (Some(task), _) if task.state != "Completed" && task.error_code.is_none() => {
            text.push_str(&format!("  {}, {}\n", task.state, task.phase));
            text.push_str(&format!("  waits for {}\n", shown(&task.waits_for)));
            if let Some(until) = task.until {
                text.push_str(&format!("  until {until} ({})\n", age::until(until)));
            }
        }
        (Some(task), _) => {
            text.push_str(&format!("  {}", task.state));
            if let (Some(code), Some(message)) = (task.error_code, &task.message) {
                text.push_str(&format!(": {code}: {}", shown(message)));
            }
            text.push('\n');
        }
        (None, Some(_)) => text.push_str("  finished\n"),
        (None, None) => text.push_str("  no task has this id; a message with it may wait in the queue\n"),
    }
    if let Some(finished) = &life.finished {
        text.push_str(&format!(
            "  finished at {} with status {}; ",
            finished.at, finished.status
        ));
        text.push_str(&match finished.remembered_until {
            Some(until) => format!("its id stays taken until {until}\n"),
            None => "its id stays taken until its Job, which was left in place, has ended\n".to_owned(),
        });
    }
    text
}
