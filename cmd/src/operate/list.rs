//! `job-worker list`: the tasks, by filter.

use std::process::ExitCode;
use std::time::Duration;

use adapters::clock::Clock;
use adapters::view::{TaskView, View};
use engine::StateKind;

use super::output::{self, Output};
use super::table::Table;
use super::{Failure, age, nothing, report, view};

/// The longest wait for news before the next is begun.
const WAIT: Duration = Duration::from_secs(1);

/// Which tasks, and how to print them.
#[derive(clap::Args)]
#[command(
    after_help = "Reads the store (CACHE_REDIS_*, CACHE_JOB_KEY_PREFIX, LEADER_ELECTION_LOCK_NAME); a replica will do.\n\n\
Examples:\n  job-worker list --state Created,PodStarted -o wide\n  job-worker list --older-than 1h --no-headers\n  job-worker list -o json | jq -r '.[].id'"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Also lists finished tasks that are forgotten, as far as the event log still tells of them.
    #[arg(short, long)]
    all: bool,
    /// Goes on with a line for each transition of such a task.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

/// Which tasks.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// In one of these states: Received, Created, PodStarted, Completed, Failed, Exception.
    #[arg(short, long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<StateKind>,
    /// Of this service.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// With their Jobs in this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Taken before that time: 90s, 5m, 1h30m, 2d.
    #[arg(long, value_name = "SPAN", value_parser = age::parse)]
    older_than: Option<Duration>,
    /// Taken within that time.
    #[arg(long, value_name = "SPAN", value_parser = age::parse)]
    newer_than: Option<Duration>,
}

/// Lists tasks.
pub(crate) fn list(arguments: &Arguments) -> ExitCode {
    report(print(arguments))
}

fn print(arguments: &Arguments) -> Result<(), Failure> {
    let mut view = view("list")?;
    // Whatever moves while the tasks are read is told of afterwards: twice rather than never.
    let mut cursor = match arguments.watch {
        true => view.log_end()?,
        false => String::new(),
    };
    let mut tasks = view.tasks()?;
    if arguments.all {
        let mut forgotten = view.forgotten()?;
        forgotten.append(&mut tasks);
        tasks = forgotten;
        tasks.sort_by_key(|task| task.received_at);
    }
    tasks.retain(|task| arguments.filter.takes(task));
    let mut rows = Rows::new(arguments.output);
    if arguments.watch {
        rows.follow(&tasks)?;
        watch(&mut view, &mut cursor, arguments, &mut rows)
    } else if tasks.is_empty() && arguments.output.is_table() {
        nothing(&mut view, "no such task")
    } else {
        Ok(rows.whole(&tasks)?)
    }
}

fn watch(
    view: &mut View,
    cursor: &mut String,
    arguments: &Arguments,
    rows: &mut Rows,
) -> Result<(), Failure> {
    loop {
        let news: Vec<TaskView> = view
            .follow(cursor, WAIT)?
            .into_iter()
            .filter_map(|(_, task)| task)
            .filter(|task| arguments.filter.takes(task))
            .collect();
        if !news.is_empty() {
            rows.follow(&news)?;
        }
    }
}

impl Filter {
    /// Tells whether a task is asked for.
    pub(super) fn takes(&self, task: &TaskView) -> bool {
        let age = Duration::from_millis(Clock.now_ms().saturating_sub(task.received_at.0));
        (self.state.is_empty() || self.state.iter().any(|state| state.name() == task.state))
            && self
                .service
                .as_ref()
                .is_none_or(|service| *service == task.service)
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == task.namespace)
            && self.older_than.is_none_or(|span| age > span)
            && self.newer_than.is_none_or(|span| age <= span)
    }
}

/// Prints tasks in the form asked for.
pub(super) struct Rows {
    output: Output,
    table: Table,
}

impl Rows {
    pub(super) fn new(output: Output) -> Self {
        let mut headers = vec!["ID", "STATE", "PHASE", "AGE", "SERVICE", "NAMESPACE", "CODE"];
        if output.is_wide() {
            headers.extend(["JOB", "UNTIL", "WAITS FOR"]);
        }
        Self {
            output,
            table: Table::new(&headers, !output.no_headers),
        }
    }

    /// Prints a whole list.
    pub(super) fn whole(&mut self, tasks: &[TaskView]) -> Result<(), output::Error> {
        if !self.output.is_table() {
            return output::value(self.output.output, &tasks);
        }
        self.columns(tasks)
    }

    /// Prints a part of a list that goes on.
    fn follow(&mut self, tasks: &[TaskView]) -> Result<(), output::Error> {
        if self.output.is_table() {
            return self.columns(tasks);
        }
        tasks
            .iter()
            .try_for_each(|task| output::one_of_many(self.output.output, task))
    }

    fn columns(&mut self, tasks: &[TaskView]) -> Result<(), output::Error> {
        for task in tasks {
            self.table.row(cells(task, self.output.is_wide()));
        }
        output::text(&self.table.take())
    }
}

fn cells(task: &TaskView, wide: bool) -> Vec<String> {
    let mut cells = vec![
        task.id.clone(),
        task.state.to_owned(),
        task.phase.to_owned(),
        age::since(task.received_at),
        task.service.clone(),
        task.namespace.clone(),
        task.error_code.unwrap_or_default().to_owned(),
    ];
    if wide {
        cells.push(task.job_name.clone());
        cells.push(task.until.map_or_else(String::new, age::until));
        cells.push(task.waits_for.clone());
    }
    cells
}

/// Reads the name of a state, in whatever case.
fn state(text: &str) -> Result<StateKind, String> {
    StateKind::ALL
        .into_iter()
        .find(|state| state.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            let names = StateKind::ALL.map(StateKind::name).join(", ");
            format!("must be one of: {names}")
        })
}
