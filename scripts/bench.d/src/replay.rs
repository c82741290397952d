//! How fast a recorded log runs again through the engine on one core, beside reading the file and its checksum.
//!
//! The log is the same each time: random lives before a small cluster, interleaved as one worker would have recorded them.

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use event_log::{Item, Reader, Rerun};

use crate::lives;
use crate::micro::rate;
use crate::story::recorded;
use crate::verdict::{Bound, Table};

/// Events a second that are wanted.
const GOAL: f64 = 2.0e6;
/// Events a second that a replay has to reach.
const FLOOR: f64 = 1e6;

/// What is measured, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Events of the log
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// How often each is measured
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Also restarts each task after each of its events
    #[arg(long)]
    prefixes: bool,
}

/// Measures; the processor's time counts, for the machine may be busy.
pub(crate) fn run(options: &Options) -> io::Result<Table> {
    let lives = lives::of_walks(options.events);
    let bytes = lives::file(&lives);
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("events.jwlog");
    File::create(&path)?.write_all(&bytes)?;
    let events = lives.len();

    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..options.rounds.div_ceil(2) {
        // A B B A: what drifts hits both alike.
        for what in [REPLAY, READ, READ, REPLAY] {
            let time = timed(|| match what {
                REPLAY => replay(&path, Rerun::new, events),
                _ => read(&path),
            })?;
            times.entry(what).or_default().push(time);
        }
    }
    let restarts = timed(|| replay(&path, Rerun::with_restarts, events))?;

    let (replayed, read) = (median(&times[REPLAY]), median(&times[READ]));
    let raw = Some(rate(events, read));
    let mut table = Table::default();
    let (goal, floor) = (GOAL, FLOOR);
    table.add(
        REPLAY,
        rate(events, replayed),
        raw,
        Bound::AtLeast { goal, floor },
    );
    table.add(RESTARTS, rate(events, restarts), raw, Bound::Shown);
    if options.prefixes {
        let (restarts, steps) = prefixes(&lives)?;
        table.add(
            "restarts, one after each event, to the same end",
            restarts,
            None,
            Bound::Shown,
        );
        table.add("events run again behind them", steps, None, Bound::Shown);
    }
    Ok(table)
}

const REPLAY: &str = "events/s replayed and compared, beside read and checksum";
const RESTARTS: &str = "the same, each task stored and read before each event";
const READ: &str = "sequential read and checksum";

/// Runs, and returns the processor's time that it took.
fn timed(run: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let used = processor();
    run()?;
    Ok(processor().saturating_sub(used))
}

/// The processor's time that this thread has used.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn replay(path: &Path, begin: fn(engine::Policy) -> Rerun, events: usize) -> io::Result<()> {
    let mut reader = Reader::new(File::open(path)?).map_err(io::Error::other)?;
    let mut rerun = begin(reader.header().policy.clone());
    while let Some(item) = reader.next().map_err(io::Error::other)? {
        match item {
            Item::Record { offset, bytes } => {
                if let Some(difference) = rerun.record(offset, bytes).map_err(io::Error::other)? {
                    return Err(io::Error::other(format!("decided differently: {difference:?}")));
                }
            }
            Item::Policy(policy) => rerun.set_policy(policy),
        }
    }
    if rerun.counts().events != events as u64 {
        return Err(io::Error::other("events are missing"));
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut hasher = crc32fast::Hasher::new();
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            black_box(hasher.finalize());
            return Ok(());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Restarts each task after each of its events: what follows has to come out as recorded.
fn prefixes(lives: &[engine::Transition]) -> io::Result<(f64, f64)> {
    let mut by_task: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for transition in lives {
        by_task
            .entry(transition.task.as_str())
            .or_default()
            .push(recorded(transition));
    }
    let (mut restarts, mut steps) = (0.0, 0.0);
    for (task, records) in by_task {
        for from in 0..records.len() {
            let mut rerun = Rerun::new(engine::Policy::default());
            for record in &records[from..] {
                if rerun.record(0, record).map_err(io::Error::other)?.is_some() {
                    return Err(io::Error::other(format!(
                        "{task} comes to another end from event {from}"
                    )));
                }
                steps += 1.0;
            }
            restarts += 1.0;
        }
    }
    Ok((restarts, steps))
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
