//! `job-worker log export`: the event log, or a part of it, from the store into a file.

mod moment;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adapters::clock::Clock;
use adapters::connection;
use adapters::store::read::{Place, Reader};
use engine::{Policy, TaskId};
use event_log::{Fields, Header, NotARecord, Writer, order_of, without_queries};
use jiff::Timestamp;

use crate::config::Config;
use crate::exit::{EX_CONFIG, EX_DATAERR, EX_IOERR, EX_UNAVAILABLE, FAILURE};
use crate::print;
use crate::run::{policy, target};
use crate::submit::lines;

/// What to do with the log.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Writes the recorded events to a file that `job-worker replay` reads.
    ///
    /// All of them, or those that the options leave. The log is bounded: the oldest events are gone. It never holds env, command,
    /// args or message bodies; webhook URLs lose their query.
    Export(Selection),
}

/// Which events, and where to.
#[derive(clap::Args)]
struct Selection {
    /// Events of this task alone, and the orders that concern it.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// No events before this time: 2026-01-31T12:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    since: Option<Timestamp>,
    /// No events after this time.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    until: Option<Timestamp>,
    /// The file, `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// Why there is no file, or not a whole one.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Configuration(String),
    #[error("standard output is a terminal: name a file, such as -o events.jwlog")]
    Terminal,
    #[error("the store: {0}")]
    Store(#[from] connection::Error),
    #[error("{}: {error}", .file.display())]
    File { file: PathBuf, error: io::Error },
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    events: u64,
    passed: u64,
    unreadable: u64,
}

/// Writes what was asked for, and says on stderr how much it was.
pub(crate) fn log(arguments: &Arguments) -> ExitCode {
    let Command::Export(selection) = &arguments.command;
    match export(selection) {
        Ok(written) => {
            print::to_stderr(&format!(
                "{} of {} events ({}) are in {}",
                written.events,
                written.events + written.passed,
                selection.words(),
                selection.output_name()
            ));
            if written.unreadable > 0 {
                print::to_stderr(&format!(
                    "{} records cannot be read and are not in it: a later release wrote them, or something else did",
                    written.unreadable
                ));
                return ExitCode::from(EX_DATAERR);
            }
            if written.events == 0 {
                return ExitCode::from(FAILURE);
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            print::to_stderr(&failure.to_string());
            ExitCode::from(match failure {
                Failure::Configuration(_) => EX_CONFIG,
                Failure::Terminal | Failure::File { .. } => EX_IOERR,
                Failure::Store(_) => EX_UNAVAILABLE,
            })
        }
    }
}

fn export(selection: &Selection) -> Result<Written, Failure> {
    let config =
        Config::load(std::env::vars_os()).map_err(|faults| Failure::Configuration(lines(&faults)))?;
    if selection.is_stdout() && io::stdout().is_terminal() {
        return Err(Failure::Terminal);
    }
    let place = Place {
        target: target(&config.store),
        prefix: config.store_key_prefix.clone(),
        lock: config.lease.lock_name.clone(),
    };
    let mut reader = Reader::new(&place, "export")?;
    // What is added from here on is not in the file: it would never end.
    let end = reader.log_end()?;
    let failed = |error| Failure::File {
        file: selection.output.clone(),
        error,
    };
    let file = open(&selection.output).map_err(failed)?;
    let header = Header {
        program: format!("job-worker {}", env!("CARGO_PKG_VERSION")),
        instance: format!("{}/{}", config.pod_namespace, config.lease.lock_name),
        written_at: Clock.now_ms(),
        selection: selection.words(),
        policy: policy(&config),
    };
    let mut export = Export {
        selection,
        writer: Writer::new(BufWriter::new(file), &header).map_err(failed)?,
        told: header.policy.clone(),
        said: header.policy.clone(),
        written: Written::default(),
    };
    let mut after = "-".to_owned();
    while after != end {
        let page = reader.log_after(&after)?;
        if page.is_empty() {
            break;
        }
        for (place, record) in page {
            export.add(&record).map_err(failed)?;
            after = place;
            if after == end {
                break;
            }
        }
    }
    export.writer.finish().map_err(failed)?;
    Ok(export.written)
}

/// What goes into the file, record by record.
struct Export<'a, W> {
    selection: &'a Selection,
    writer: Writer<W>,
    /// What whoever reads the file knows so far.
    told: Policy,
    /// What the records say.
    said: Policy,
    written: Written,
}

impl<W: Write> Export<'_, W> {
    fn add(&mut self, record: &[u8]) -> io::Result<()> {
        match self.chosen(record) {
            Ok(Some(shown)) => {
                if self.told != self.said {
                    self.told.clone_from(&self.said);
                    self.writer.policy(&self.told)?;
                }
                self.written.events += 1;
                self.writer.record(&shown)?;
            }
            Ok(None) => self.written.passed += 1,
            Err(_) => self.written.unreadable += 1,
        }
        Ok(())
    }

    /// Returns the record as it may be shown, where it is of those that were asked for.
    fn chosen(&mut self, record: &[u8]) -> Result<Option<Vec<u8>>, NotARecord> {
        if let Some(order) = order_of(record)? {
            let task = order.task.as_ref().map(TaskId::as_str);
            let taken = self
                .selection
                .takes(order.at.0, task.unwrap_or_default().as_bytes());
            return Ok(taken.then(|| record.to_vec()));
        }
        let fields = Fields::of(record)?;
        if let Some(policy) = fields.said_policy()? {
            self.said = policy;
        }
        if !self.selection.takes(fields.at, fields.task) {
            return Ok(None);
        }
        without_queries(record).map(Some)
    }
}

fn open(output: &Path) -> io::Result<Box<dyn Write>> {
    if output.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(File::create(output)?))
}

impl Selection {
    fn takes(&self, at: u64, task: &[u8]) -> bool {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        self.task.as_ref().is_none_or(|id| id.as_bytes() == task)
            && self.since.is_none_or(|since| at >= since.as_millisecond())
            && self.until.is_none_or(|until| at <= until.as_millisecond())
    }

    fn words(&self) -> String {
        let words = [
            self.task.as_ref().map(|id| format!("task {id}")),
            self.since.map(|since| format!("since {since}")),
            self.until.map(|until| format!("until {until}")),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if words.is_empty() {
            return "all".to_owned();
        }
        words.join(", ")
    }

    fn is_stdout(&self) -> bool {
        self.output.as_os_str() == "-"
    }

    fn output_name(&self) -> String {
        if self.is_stdout() {
            return "standard output".to_owned();
        }
        self.output.display().to_string()
    }
}
