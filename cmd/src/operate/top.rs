//! `job-worker top`: what goes on, at a glance.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use adapters::driver::pause::Paused;
use adapters::source::list::List;
use adapters::source::{Depth, Source as _};
use adapters::view::{CallbackView, Moment, Pace, TaskView, View};
use engine::StateKind;
use serde::Serialize;

use super::output::{self, Format};
use super::table::shown;
use super::{Failure, age, queue, report, view};

/// The span that the pace is measured over.
const MINUTE: Duration = Duration::from_secs(60);
/// Namespaces and receivers that are named.
const NAMED: usize = 5;
/// Moves the cursor home; what is old is overwritten, so that nothing flickers.
const HOME: &str = "\u{1b}[H";
/// Clears the screen.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";
/// Clears the rest of the line.
const REST_OF_LINE: &str = "\u{1b}[K";
/// Clears what is below.
const BELOW: &str = "\u{1b}[J";

/// How to look.
#[derive(clap::Args)]
#[command(
    after_help = "On a terminal it goes on until Ctrl-C; in a pipe, and with -o json or yaml, it looks once."
)]
pub(crate) struct Arguments {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Looks once.
    #[arg(long)]
    once: bool,
    /// Form of the output; wide is table.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Everything at a glance.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Glance {
    /// Who leads, as the store knows it.
    leader: Option<Leader>,
    /// Who paused the intake.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
    queue: Queue,
    /// Tasks by state.
    tasks: BTreeMap<&'static str, usize>,
    /// Tasks without a verdict by namespace, the most first.
    namespaces: Vec<Count>,
    /// The oldest task without a verdict.
    oldest: Option<Oldest>,
    /// What happened in the last minute.
    last_minute: Pace,
    callbacks: Callbacks,
}

#[derive(Serialize)]
struct Leader {
    term: String,
    holder: String,
}

#[derive(Serialize)]
struct Queue {
    waiting: u64,
    taken: u64,
    dead: u64,
}

#[derive(Serialize)]
struct Count {
    name: String,
    count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Oldest {
    id: String,
    state: &'static str,
    received_at: Moment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Callbacks {
    owed: usize,
    failing: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Moment>,
    /// Receivers that do not take their callbacks, the most first.
    receivers: Vec<Count>,
}

/// Shows what goes on.
pub(crate) fn top(arguments: &Arguments) -> ExitCode {
    report(show(arguments))
}

fn show(arguments: &Arguments) -> Result<(), Failure> {
    let mut view = view("top")?;
    let (target, prefix) = queue()?;
    let list = List::new(&target, &prefix, "top").map_err(asked)?;
    if !matches!(arguments.output, Format::Table | Format::Wide) {
        return Ok(output::value(arguments.output, &Glance::take(&mut view, &list)?)?);
    }
    if arguments.once || !io::stdout().is_terminal() {
        return Ok(output::text(&Glance::take(&mut view, &list)?.text())?);
    }
    output::text(CLEAR)?;
    loop {
        let glance = Glance::take(&mut view, &list)?.text();
        let lines = glance.replace('\n', &format!("{REST_OF_LINE}\n"));
        output::text(&format!("{HOME}{lines}{BELOW}"))?;
        std::thread::sleep(Duration::from_secs(arguments.every));
    }
}

fn asked(error: adapters::source::Error) -> Failure {
    match error {
        adapters::source::Error::Redis(error) => Failure::from(error),
    }
}

impl Glance {
    fn take(view: &mut View, list: &List) -> Result<Self, Failure> {
        let Depth { waiting, taken, dead } = list.depth().map_err(asked)?;
        let tasks = view.tasks()?;
        let mut states: BTreeMap<&'static str, usize> = StateKind::ALL.map(|state| (state.name(), 0)).into();
        for task in &tasks {
            *states.entry(task.state).or_default() += 1;
        }
        let mut live = tasks.iter().filter(|task| !is_finished(task)).peekable();
        let oldest = live.peek().map(|task| Oldest {
            id: task.id.clone(),
            state: task.state,
            received_at: task.received_at,
        });
        Ok(Self {
            leader: view.leader()?.map(|(term, holder)| Leader { term, holder }),
            paused: view.paused()?,
            queue: Queue { waiting, taken, dead },
            namespaces: most(live.map(|task| task.namespace.clone())),
            oldest,
            tasks: states,
            last_minute: view.pace(MINUTE)?,
            callbacks: Callbacks::of(&view.callbacks()?),
        })
    }

    fn text(&self) -> String {
        let leader = self.leader.as_ref().map_or_else(
            || "nobody has claimed the store yet".to_owned(),
            |leader| format!("{} (term {})", leader.holder, leader.term),
        );
        let mut rows = vec![
            ("leader", leader),
            (
                "queue",
                format!(
                    "{} waiting, {} taken, {} dead letters",
                    self.queue.waiting, self.queue.taken, self.queue.dead
                ),
            ),
            ("rate", rates(&self.last_minute)),
            ("callbacks", self.callbacks.text()),
        ];
        if let Some(paused) = &self.paused {
            rows.insert(1, ("intake", pause(paused)));
        }
        if let Some(oldest) = &self.oldest {
            let waits = format!(
                "{} ({}), {}",
                oldest.id,
                oldest.state,
                age::since(oldest.received_at)
            );
            rows.push(("oldest", waits));
        }
        for (name, counts) in [
            ("namespaces", &self.namespaces),
            ("failing", &self.callbacks.receivers),
        ] {
            if !counts.is_empty() {
                let counts: Vec<String> = counts
                    .iter()
                    .map(|count| format!("{} {}", count.name, count.count))
                    .collect();
                rows.push((name, counts.join(", ")));
            }
        }
        let mut text: String = rows
            .into_iter()
            .map(|(name, value)| format!("{name:<10} {}\n", shown(&value)))
            .collect();
        text.push('\n');
        for state in StateKind::ALL {
            let count = self.tasks.get(state.name()).copied().unwrap_or_default();
            text.push_str(&format!("{:<10} {count:>7}\n", state.name()));
        }
        text
    }
}

fn rates(minute: &Pace) -> String {
    let rate = |count: u64| {
        let tenths = count.saturating_mul(10_000) / minute.span_ms.max(1);
        format!("{}.{}/s", tenths / 10, tenths % 10)
    };
    format!(
        "{} taken, {} completed, {} failed, over {}",
        rate(minute.taken),
        rate(minute.completed),
        rate(minute.failed),
        age::span(minute.span_ms.div_ceil(1000))
    )
}

fn pause(paused: &Paused) -> String {
    let Paused { by, reason, since_ms } = paused;
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let since = age::since(Moment(*since_ms));
    format!("PAUSED for {since} by {by}{why}; `job-worker resume` goes on")
}

impl Callbacks {
    fn of(callbacks: &[CallbackView]) -> Self {
        let failing: Vec<&CallbackView> = callbacks
            .iter()
            .filter(|callback| callback.attempts > 0)
            .collect();
        Self {
            owed: callbacks.len(),
            failing: failing.len(),
            oldest: callbacks.first().map(|callback| callback.owed_at),
            receivers: most(
                failing
                    .iter()
                    .map(|callback| adapters::webhook::receiver(&callback.url)),
            ),
        }
    }

    fn text(&self) -> String {
        let oldest = self
            .oldest
            .map_or_else(String::new, |at| format!(", the oldest for {}", age::since(at)));
        format!(
            "{} owed, {} of them failed before{oldest}",
            self.owed, self.failing
        )
    }
}

fn is_finished(task: &TaskView) -> bool {
    StateKind::ALL
        .into_iter()
        .any(|state| state.is_terminal() && state.name() == task.state)
}

/// Counts equal names, the most frequent first.
fn most(names: impl Iterator<Item = String>) -> Vec<Count> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<Count> = counts
        .into_iter()
        .map(|(name, count)| Count { name, count })
        .collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(NAMED);
    counts
}
