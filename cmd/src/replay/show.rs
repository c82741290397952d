//! `job-worker replay show`: what became of each task, line by line, as it was recorded.

use std::path::PathBuf;
use std::process::ExitCode;

use engine::{Effect, Notice, Ordered, Record, TaskId, Transition};
use event_log::{Damage, Fields, Item, Reader, order_of};
use serde_json::Value;

use super::difference::{escaped, leaves, time};
use super::open;
use crate::exit::{EX_DATAERR, EX_NOINPUT, FAILURE};
use crate::print;

/// What to show.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A file of `job-worker log export`, `-` for standard input.
    file: PathBuf,
    /// This task alone.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
}

/// The lines of one task.
struct Life {
    task: Vec<u8>,
    began: u64,
    text: String,
}

/// Prints the life of each task, in the order of their first events.
pub(super) fn show(arguments: &Arguments) -> ExitCode {
    let input = match open(&arguments.file) {
        Ok(input) => input,
        Err(error) => {
            print::to_stderr(&format!("{}: {error}", arguments.file.display()));
            return ExitCode::from(EX_NOINPUT);
        }
    };
    let mut lives = Vec::new();
    let mut damaged = false;
    let mut tell = |damage: &Damage| {
        damaged = true;
        print::to_stderr(&format!("{}: {damage}", arguments.file.display()));
    };
    match Reader::new(input.from) {
        Ok(mut reader) => loop {
            match reader.next() {
                Ok(Some(Item::Record { offset, bytes })) => {
                    if let Err(fault) = add(&mut lives, bytes, arguments.task.as_deref()) {
                        tell(&Damage {
                            offset,
                            fault: event_log::Fault::Content(fault),
                        });
                    }
                }
                Ok(Some(Item::Policy(_))) => {}
                Ok(None) => break,
                Err(damage) => tell(&damage),
            }
        },
        Err(damage) => tell(&damage),
    }
    let texts: Vec<&str> = lives.iter().map(|life| life.text.as_str()).collect();
    let code = if damaged {
        EX_DATAERR
    } else if lives.is_empty() {
        print::to_stderr(&format!("{}: no such events", arguments.file.display()));
        FAILURE
    } else {
        0
    };
    print::to_stdout(&texts.join("\n"), ExitCode::from(code))
}

fn add(lives: &mut Vec<Life>, record: &[u8], only: Option<&str>) -> Result<(), String> {
    if let Some(order) = order_of(record).map_err(|error| error.to_string())? {
        add_order(lives, &order, only);
        return Ok(());
    }
    let fields = Fields::of(record).map_err(|error| error.to_string())?;
    if only.is_some_and(|only| only.as_bytes() != fields.task) {
        return Ok(());
    }
    let read = rmp_serde::from_slice::<Record>(record).map_err(|error| error.to_string())?;
    let Record::V1 { transition, .. } = read else {
        return Ok(());
    };
    let known = lives.iter_mut().rev().find(|life| life.task == fields.task);
    match known {
        Some(life) if transition.from.is_some() => life.text.push_str(&line(&transition, life.began)),
        Some(_) | None => {
            let began = transition.at.0;
            lives.push(Life {
                task: fields.task.to_vec(),
                began,
                text: head(&transition) + &line(&transition, began),
            });
        }
    }
    Ok(())
}

/// An order stands in the life of the task that it concerns, else among those that concern none.
fn add_order(lives: &mut Vec<Life>, order: &Ordered, only: Option<&str>) {
    let task = order.task.as_ref().map(TaskId::as_str);
    if only.is_some() && only != task {
        return;
    }
    let task = task.unwrap_or_default();
    let known = lives.iter_mut().rev().find(|life| life.task == task.as_bytes());
    match known {
        Some(life) => life.text.push_str(&order_line(order, life.began)),
        None => {
            let head = match task {
                "" => "orders that concern no task\n".to_owned(),
                task => format!("task {}: orders before its first event here\n", escaped(task)),
            };
            lives.push(Life {
                task: task.as_bytes().to_vec(),
                began: order.at.0,
                text: head + &order_line(order, order.at.0),
            });
        }
    }
}

fn order_line(order: &Ordered, began: u64) -> String {
    let after = order.at.0.saturating_sub(began);
    let reason = match order.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", escaped(reason)),
    };
    format!(
        "  {} {:>10} {:<12} {} by order of {}{reason}\n",
        time(order.at.0),
        format!("+{}.{:03}s", after / 1000, after % 1000),
        order.verb.name(),
        escaped(&order.subject),
        escaped(&order.by),
    )
}

fn head(transition: &Transition) -> String {
    let spec = &transition.after.spec;
    let webhook = match &spec.webhook {
        Some(url) => format!(
            "callbacks to {}",
            url.split(['?', '#']).next().unwrap_or_default()
        ),
        None => "no callbacks".to_owned(),
    };
    let middle = if transition.from.is_some() {
        "\n  its first events are not in the file"
    } else {
        ""
    };
    format!(
        "task {}: {} in namespace {}, Job {}, {webhook}{middle}\n",
        escaped(transition.task.as_str()),
        spec.service,
        spec.namespace,
        spec.job_name
    )
}

fn line(transition: &Transition, began: u64) -> String {
    let state = &transition.after.state;
    let after = transition.at.0.saturating_sub(began);
    let from = match transition.from {
        Some(from) if from == state.kind() => String::new(),
        Some(from) => format!("{} -> ", from.name()),
        None => String::new(),
    };
    let mut text = format!(
        "  {} {:>10} {:<12} {from}{} ({}){}\n",
        time(transition.at.0),
        format!("+{}.{:03}s", after / 1000, after % 1000),
        transition.event.kind().name(),
        state.kind().name(),
        state.phase(),
        detail(transition)
    );
    for notice in &transition.notices {
        text.push_str(&format!("      tells {} {}\n", notice.status(), said(notice)));
    }
    if let Some(effect) = transition.recorded_effect() {
        text.push_str(&format!("      asks to {}\n", asked(effect)));
    }
    text
}

/// What the event says, but for what a task is: that stands above.
fn detail(transition: &Transition) -> String {
    if transition.from.is_none() {
        return String::new();
    }
    let value = match serde_json::to_value(&transition.event) {
        Ok(Value::Object(named)) => named.into_iter().next().map_or(Value::Null, |(_, value)| value),
        Ok(_) | Err(_) => return String::new(),
    };
    let pairs: Vec<String> = leaves("", &value)
        .into_iter()
        .filter(|(path, value)| !matches!(value.as_str(), "null" | "[]" | "false") && path != "digest")
        .map(|(path, value)| match (path.as_str(), value.parse()) {
            ("", _) => value,
            (name, Ok(ms)) if name.ends_with("_at") => format!("{name}={}", time(ms)),
            (name, _) => format!("{name}={value}"),
        })
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    format!(": {}", pairs.join(" "))
}

fn said(notice: &Notice) -> String {
    match notice {
        Notice::Created { job } => format!("Job {job} exists"),
        Notice::Started { pod: _, name } => format!("pod {name} has started"),
        Notice::Completed { duration_secs } => format!("completed after {duration_secs} s"),
        Notice::Failed(failure) | Notice::Exception(failure) => {
            format!("{}: {}", failure.code, escaped(&failure.message))
        }
    }
}

fn asked(effect: &Effect) -> String {
    match effect {
        Effect::CreateJob { with_ttl: true } => "create the Job, with its TTL".to_owned(),
        Effect::CreateJob { with_ttl: false } => "create the Job".to_owned(),
        Effect::Look => "look at the Job and its pods".to_owned(),
        Effect::StopJob { uid, failure } => format!("stop Job {uid}: {}", failure.code),
        Effect::SetTtl { uid, seconds } => format!("set the TTL of Job {uid} to {seconds} s"),
    }
}
