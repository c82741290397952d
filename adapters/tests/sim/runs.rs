//! Runs seeds, adds up what they reached, and says how to repeat one.

use crate::gate;
use crate::ledger::Broken;
use crate::plan::{Mutant, Plan};
use crate::reach::{Reached, add, known, unreached};
use crate::trace::Trace;
use crate::world::World;
use adapters::driver::NO_STATE;
use adapters::metrics::{Metrics, Words};
use engine::{Code, EventKind, MOVES, StateKind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds of the fixed set that `cargo test` runs, half of them with `patch`.
const FIXED: u64 = 600;
/// Seeds that `cargo test` draws anew each time, half of them with `patch`.
const FRESH: u64 = 300;
/// Seeds at the begin of a set that are played twice and have to go the same way.
const TWICE: u64 = 6;

const HELP: &str = "usage: scripts/sim [--seed N] [--runs N] [--patch] [--mutant NAME] [--mutants] [--trace]
  --seed N       the first seed (default 1)
  --runs N       how many seeds (default 1 with --seed; else a fixed set, a fresh one, and every mutant)
  --patch        `patch` on Jobs is granted; in the fixed and the fresh set the even seeds have it
  --mutant NAME  takes a mechanism away; the run has to notice
  --mutants      tries every mutant, and prints the seed that notices it
  --trace        prints what happens";

/// What one run came to.
pub(crate) struct Outcome {
    digest: u64,
    pub(crate) broken: Vec<Broken>,
    reached: Reached,
    lines: Vec<String>,
    ms: u64,
}

struct Args {
    seed: Option<u64>,
    runs: Option<u64>,
    patch: bool,
    mutant: Option<Mutant>,
    mutants: bool,
    trace: bool,
}

pub(crate) fn main() -> ExitCode {
    let args = match read(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("sim: {words}\n{HELP}");
            return ExitCode::from(2);
        }
    };
    listen();
    let metrics = metrics();
    if args.mutants {
        let passed = gate::kills_every_mutant(&metrics, args.runs.unwrap_or(gate::SEEDS));
        return exit(passed);
    }
    let passed = match (args.seed, args.runs) {
        (None, None) if args.mutant.is_none() => all(&metrics),
        (seed, runs) => set(&metrics, &args, seed.unwrap_or(1), runs.unwrap_or(1)),
    };
    exit(passed)
}

const fn exit(passed: bool) -> ExitCode {
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Reads the arguments; `None` where there is nothing to do, as for a filter of `cargo test` that names other tests.
fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let mut args = Args {
        seed: None,
        runs: None,
        patch: false,
        mutant: None,
        mutants: false,
        trace: false,
    };
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse().map_err(|_| format!("{text} is not a number"))
        };
        match word.as_str() {
            "--seed" => args.seed = Some(number()?),
            "--runs" => args.runs = Some(number()?),
            "--patch" => args.patch = true,
            "--mutants" => args.mutants = true,
            "--trace" => args.trace = true,
            "--mutant" => {
                let name = words.next().unwrap_or_default();
                args.mutant = Some(Mutant::of(&name).ok_or_else(|| format!("there is no mutant {name:?}"))?);
            }
            "-h" | "--help" => {
                println!("{HELP}");
                return Ok(None);
            }
            "--list" => return Ok(None),
            other if other.starts_with('-') => {}
            filter if !"sim".contains(filter) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(args))
}

/// What the worker says of itself that must never happen: a step that panicked, an event that the table rejects.
static ALARMS: AtomicU64 = AtomicU64::new(0);

/// Listens to the worker's log.
struct Listener;

impl log::Log for Listener {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        if text.starts_with("rejected") || text.starts_with("a step panicked") {
            eprintln!("{text}");
            ALARMS.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn flush(&self) {}
}

fn listen() {
    static LISTENER: Listener = Listener;
    log::set_logger(&LISTENER).expect("nobody else sets one");
    log::set_max_level(log::LevelFilter::Warn);
}

fn metrics() -> Arc<Metrics> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let mut transitions: Vec<[&str; 3]> = MOVES
        .iter()
        .map(|row| [row.from.name(), row.on.name(), row.to.name()])
        .collect();
    transitions.push([NO_STATE, EventKind::Taken.name(), StateKind::Received.name()]);
    transitions.push([NO_STATE, EventKind::Adopted.name(), StateKind::Created.name()]);
    let words = Words {
        codes: &codes,
        ends: &[],
        transitions: &transitions,
    };
    Arc::new(Metrics::new(words, "sim"))
}

/// Plays one run; `words` keeps what happens, `print` prints it.
pub(crate) fn play(metrics: &Arc<Metrics>, plan: Plan, words: bool, print: bool) -> Outcome {
    let alarms = ALARMS.load(Ordering::SeqCst);
    let mut world = World::new(plan, Arc::clone(metrics), Trace::new(words, print));
    world.run();
    if ALARMS.load(Ordering::SeqCst) > alarms {
        world.broke(
            "engine",
            "",
            "an event was rejected, or a step panicked".to_owned(),
        );
    }
    let (broken, reached) = {
        let mut ledger = world.shared.lock();
        let found = std::mem::take(&mut ledger.found);
        (found.broken, found.reached)
    };
    let word = broken.first().map_or("", |broken| broken.task.as_str());
    Outcome {
        digest: world.trace.digest(),
        lines: world.trace.about(word, 120),
        broken,
        reached,
        ms: world.now,
    }
}

/// The run of `cargo test`: the same seeds for ever, seeds that nobody has tried, and every mutant.
fn all(metrics: &Arc<Metrics>) -> bool {
    let Some(reached) = both_modes(metrics, 1, FIXED) else {
        return false;
    };
    known(&reached);
    if !unreached(&reached, true) {
        return false;
    }
    let fresh = uuid::Uuid::new_v4().as_u64_pair().0 >> 32;
    both_modes(metrics, fresh, FRESH).is_some() && gate::kills_every_mutant(metrics, gate::SEEDS)
}

/// Plays `runs` seeds from `first`, the even ones with `patch`; `None` once one went wrong, which is told.
fn both_modes(metrics: &Arc<Metrics>, first: u64, runs: u64) -> Option<Reached> {
    println!("sim: seeds {first} to {}", first + runs - 1);
    let began = Instant::now();
    let mut reached = Reached::new();
    let mut virtual_ms = 0;
    for seed in first..first + runs {
        let patch = seed.is_multiple_of(2);
        let outcome = play(metrics, Plan::draw(seed, patch, None), false, false);
        virtual_ms += outcome.ms;
        add(&mut reached, outcome.reached);
        if !outcome.broken.is_empty() {
            report(metrics, seed, patch, None);
            return None;
        }
        if seed < first + TWICE {
            let again = play(metrics, Plan::draw(seed, patch, None), false, false);
            if again.digest != outcome.digest {
                println!("seed {seed} gave two different runs");
                return None;
            }
        }
    }
    println!(
        "sim: {runs} runs, 0 wrong; {} h of virtual time in {:.1} s",
        virtual_ms / 3_600_000,
        began.elapsed().as_secs_f32()
    );
    Some(reached)
}

fn set(metrics: &Arc<Metrics>, args: &Args, seed: u64, runs: u64) -> bool {
    let began = Instant::now();
    let mut reached = Reached::new();
    let mut wrong = 0_u64;
    for seed in seed..seed + runs {
        let plan = Plan::draw(seed, args.patch, args.mutant);
        let outcome = play(metrics, plan, args.trace, args.trace);
        add(&mut reached, outcome.reached);
        if !outcome.broken.is_empty() {
            wrong += 1;
            if wrong <= 5 {
                report(metrics, seed, args.patch, args.mutant);
            }
        }
        if runs == 1 {
            println!(
                "seed {seed}: digest {:016x}, {} s of virtual time",
                outcome.digest,
                outcome.ms / 1000
            );
        }
    }
    println!(
        "sim: {runs} runs from seed {seed}, patch: {}, {wrong} wrong, {:.1} s",
        args.patch,
        began.elapsed().as_secs_f32()
    );
    known(&reached);
    if runs > 1 {
        for (what, count) in &reached {
            if !what.starts_with("row ") && !what.starts_with("known") {
                println!("  {count:>7}  {what}");
            }
        }
        let enough = unreached(&reached, args.patch);
        return wrong == 0 && (enough || runs < FIXED);
    }
    wrong == 0
}

/// Plays a seed again, with words.
fn report(metrics: &Arc<Metrics>, seed: u64, patch: bool, mutant: Option<Mutant>) {
    let outcome = play(metrics, Plan::draw(seed, patch, mutant), true, false);
    for broken in outcome.broken.iter().take(3) {
        println!(
            "seed {seed} breaks {}: {} {}",
            broken.rule, broken.task, broken.what
        );
    }
    for line in outcome.lines {
        println!("    {line}");
    }
    let patch = if patch { " --patch" } else { "" };
    let name = Mutant::ALL.iter().find(|(known, _)| Some(*known) == mutant);
    let mutant = name.map_or(String::new(), |(_, name)| format!(" --mutant {name}"));
    println!("repeat: scripts/sim --seed {seed}{patch}{mutant} --trace");
}
