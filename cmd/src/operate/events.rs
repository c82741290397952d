//! `job-worker events`: the event log, as it is and as it grows.

use std::process::ExitCode;
use std::time::Duration;

use adapters::view::EventView;
use engine::{EventKind, StateKind};

use super::output::{self, Output};
use super::table::Table;
use super::{Failure, nothing, report, view};

/// The longest wait for news before the next is begun.
const WAIT: Duration = Duration::from_secs(1);

/// Which records, and how to print them.
#[derive(clap::Args)]
#[command(
    after_help = "One record a transition, oldest first. With -o json one object a line.\n\n\
Examples:\n  job-worker events --follow\n  job-worker events --task 31a89a91 -o json"
)]
pub(crate) struct Arguments {
    /// Of this task alone.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Goes on with what is added.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    output: Output,
}

/// Prints the event log.
pub(crate) fn events(arguments: &Arguments) -> ExitCode {
    report(print(arguments))
}

fn print(arguments: &Arguments) -> Result<(), Failure> {
    let mut view = view("events")?;
    let mut rows = Rows::new(arguments);
    let mut cursor = "-".to_owned();
    while let Some((events, next)) = view.events(&cursor)? {
        rows.print(&events)?;
        cursor = next;
    }
    if cursor == "-" {
        cursor = "0-0".to_owned();
    }
    if !arguments.follow {
        return match rows.printed || !arguments.output.is_table() {
            true => Ok(()),
            false => nothing(&mut view, "no such record"),
        };
    }
    loop {
        let news = view.follow(&mut cursor, WAIT)?;
        let events: Vec<EventView> = news.into_iter().map(|(event, _)| event).collect();
        rows.print(&events)?;
    }
}

struct Rows<'a> {
    task: Option<&'a str>,
    output: Output,
    table: Table,
    printed: bool,
}

impl<'a> Rows<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        let mut headers = vec!["AT", "TASK", "EVENT", "FROM", "TO"];
        if arguments.output.is_wide() {
            headers.extend(["PHASE", "CALLBACKS", "EVIDENCE"]);
        } else {
            headers.push("EVIDENCE");
        }
        let mut table = Table::new(&headers, !arguments.output.no_headers);
        if arguments.follow {
            // What comes later lines up with what is there.
            let states = StateKind::ALL.map(StateKind::name);
            table.make_room(2, EventKind::ALL.map(EventKind::name));
            table.make_room(3, states);
            table.make_room(4, states);
        }
        Self {
            task: arguments.task.as_deref(),
            output: arguments.output,
            table,
            printed: false,
        }
    }

    fn print(&mut self, events: &[EventView]) -> Result<(), output::Error> {
        let mut asked = events
            .iter()
            .filter(|event| self.task.is_none_or(|task| task == event.task))
            .peekable();
        if asked.peek().is_none() {
            return Ok(());
        }
        self.printed = true;
        if !self.output.is_table() {
            return asked.try_for_each(|event| output::one_of_many(self.output.output, event));
        }
        for event in asked {
            self.table.row(cells(event, self.output.is_wide()));
        }
        output::text(&self.table.take())
    }
}

fn cells(event: &EventView, wide: bool) -> Vec<String> {
    let mut cells = vec![
        event.at.to_string(),
        event.task.clone(),
        event.event.to_owned(),
        event.from.unwrap_or_default().to_owned(),
        event.to.to_owned(),
    ];
    if wide {
        let statuses: Vec<String> = event.callbacks.iter().map(ToString::to_string).collect();
        cells.push(event.phase.to_owned());
        cells.push(statuses.join(","));
    }
    cells.push(match (event.error_code, &event.message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(_) | None, _) => event.evidence.clone(),
    });
    cells
}
