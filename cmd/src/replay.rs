//! `job-worker replay`: recorded event logs, run again through the engine of this program.
//!
//! It reads files and nothing else: no configuration, no Redis, no cluster.

mod difference;
mod progress;
mod show;
mod table;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use event_log::{Counts, Damage, Difference, Item, Reader, Rerun};
use serde_json::json;

use crate::exit::{EX_DATAERR, EX_NOINPUT, FAILURE};
use crate::print;
use progress::Progress;

/// Damages named for one file; more are counted.
const NAMED_MAX: usize = 10;

/// What to run again.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Files of `job-worker log export`, `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Prints JSON, one line a file.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Prints the lives of tasks as people read them.
    Show(show::Arguments),
    /// Prints the transition table of the engine.
    Table(table::Arguments),
}

/// Runs the files again. 0: everything is decided as recorded; 1: something is not; 65: a file is damaged; 66: one cannot be read.
pub(crate) fn replay(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Some(Command::Show(arguments)) => return show::show(arguments),
        Some(Command::Table(arguments)) => return table::table(arguments),
        None => {}
    }
    let mut text = String::new();
    let mut codes = Vec::new();
    for file in &arguments.files {
        let report = match open(file) {
            Ok(input) => run(file, input, !arguments.json),
            Err(error) => {
                print::to_stderr(&format!("{}: {error}", file.display()));
                codes.push(EX_NOINPUT);
                continue;
            }
        };
        text.push_str(&if arguments.json {
            report.json(file)
        } else {
            report.text(file)
        });
        codes.push(report.code());
    }
    // The smallest number is the worst news.
    let worst = codes.into_iter().filter(|code| *code != 0).min().unwrap_or(0);
    print::to_stdout(&text, ExitCode::from(worst))
}

/// A file that is open, and its length where that is known.
struct Input {
    from: Box<dyn Read>,
    length: Option<u64>,
}

fn open(file: &Path) -> io::Result<Input> {
    if file.as_os_str() == "-" {
        let from = Box::new(io::stdin().lock());
        return Ok(Input { from, length: None });
    }
    let opened = File::open(file)?;
    let about = opened.metadata()?;
    if about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Ok(Input {
        from: Box::new(opened),
        length: about.is_file().then_some(about.len()),
    })
}

/// What came of one file.
#[derive(Debug, Default)]
struct Report {
    counts: Counts,
    first: Option<Difference>,
    damages: Vec<Damage>,
    /// Damages, and records that cannot be read.
    damaged: usize,
}

fn run(file: &Path, input: Input, shows: bool) -> Report {
    let mut report = Report::default();
    let mut progress = Progress::new(file, input.length.filter(|_| shows && io::stderr().is_terminal()));
    let mut reader = match Reader::new(input.from) {
        Ok(reader) => reader,
        Err(damage) => {
            report.note(damage);
            return report;
        }
    };
    let mut rerun = Rerun::new(reader.header().policy.clone());
    loop {
        progress.at(reader.offset());
        match reader.next() {
            Ok(Some(Item::Record { offset, bytes })) => match rerun.record(offset, bytes) {
                Ok(None) => {}
                Ok(different) => report.first = report.first.take().or(different),
                Err(error) => report.note(Damage {
                    offset,
                    fault: event_log::Fault::Content(error.to_string()),
                }),
            },
            Ok(Some(Item::Policy(policy))) => rerun.set_policy(policy),
            Ok(None) => break,
            Err(damage) => report.note(damage),
        }
    }
    report.counts = rerun.counts();
    report
}

impl Report {
    fn note(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damages.len() < NAMED_MAX {
            self.damages.push(damage);
        }
    }

    fn code(&self) -> u8 {
        if self.first.is_some() {
            FAILURE
        } else if self.damaged > 0 {
            EX_DATAERR
        } else {
            0
        }
    }

    fn text(&self, file: &Path) -> String {
        let Counts {
            events,
            tasks,
            midway,
            gaps,
            older,
            different,
            unreadable: _,
            orders,
        } = self.counts;
        let file = file.display();
        let mut text = String::new();
        if let Some(first) = &self.first {
            text.push_str(&format!("{file}: {}", difference::text(first)));
        }
        for damage in &self.damages {
            text.push_str(&format!("{file}: {damage}\n"));
        }
        let more = self.damaged - self.damages.len();
        if more > 0 {
            text.push_str(&format!("{file}: {more} more places are damaged\n"));
        }
        if events == 0 && self.damaged > 0 {
            return text;
        }
        let among = format!("{} of {}", counted(events, "event"), counted(tasks, "task"));
        let verdict = match different {
            0 => format!("{among}: all decided as recorded"),
            _ => format!("{among}: {different} decided differently"),
        };
        text.push_str(&format!("{file}: {verdict}\n"));
        for (count, what) in [
            (
                midway,
                "begun in the middle of a life: older events are not in the file",
            ),
            (gaps, "gone on behind missing events"),
        ] {
            if count > 0 {
                text.push_str(&format!("  {} {what}\n", counted(count, "task")));
            }
        }
        if orders > 0 {
            let what = "by operators: they move no task";
            text.push_str(&format!("  {} {what}\n", counted(orders, "order")));
        }
        if older > 0 {
            let what = "of another release: other bytes, the same meaning";
            text.push_str(&format!("  {} {what}\n", counted(older, "event")));
        }
        text
    }

    fn json(&self, file: &Path) -> String {
        let damages: Vec<_> = self
            .damages
            .iter()
            .map(|damage| json!({"offset": damage.offset, "fault": damage.fault.to_string()}))
            .collect();
        let line = json!({
            "file": file.display().to_string(),
            "as_recorded": self.code() == 0,
            "counts": self.counts,
            "first_difference": self.first,
            "damaged": self.damaged,
            "damages": damages,
        });
        format!("{line}\n")
    }
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
