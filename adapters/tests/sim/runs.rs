//! Runs seeds, adds up what they reached, and says how to repeat one.

use crate::ledger::{Broken, row_name};
use crate::plan::{Mutant, Plan};
use crate::trace::Trace;
use crate::world::World;
use adapters::driver::NO_STATE;
use adapters::metrics::{Metrics, Words};
use engine::{Code, EventKind, MOVES, StateKind};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds of the fixed set that `cargo test` runs, half of them with `patch`.
const FIXED: u64 = 600;
/// Seeds that a mutant gets to be noticed.
const MUTANT_SEEDS: u64 = 600;

const HELP: &str = "usage: scripts/sim [--seed N] [--runs N] [--patch] [--mutant NAME] [--mutants] [--trace]
  --seed N       the first seed (default 1)
  --runs N       how many seeds (default 1 with --seed, else the fixed set)
  --patch        `patch` on Jobs is granted; in the fixed set every other seed has it
  --mutant NAME  takes a mechanism away; the run has to notice
  --mutants      tries every mutant, and prints the seed that notices it
  --trace        prints what happens";

/// What one run came to.
struct Outcome {
    digest: u64,
    broken: Vec<Broken>,
    reached: BTreeMap<String, u64>,
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
        return mutants(&metrics, &args);
    }
    let passed = match (args.seed, args.runs) {
        (None, None) if args.mutant.is_none() => fixed(&metrics),
        (seed, runs) => set(&metrics, &args, seed.unwrap_or(1), runs.unwrap_or(1)),
    };
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

fn play(metrics: &Arc<Metrics>, plan: Plan, words: bool, print: bool) -> Outcome {
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

fn fixed(metrics: &Arc<Metrics>) -> bool {
    let began = Instant::now();
    let mut reached = BTreeMap::new();
    let mut virtual_ms = 0;
    for number in 0..FIXED {
        let (seed, patch) = (number + 1, number % 2 == 1);
        let outcome = play(metrics, Plan::draw(seed, patch, None), false, false);
        virtual_ms += outcome.ms;
        add(&mut reached, outcome.reached);
        if !outcome.broken.is_empty() {
            report(metrics, seed, patch, None);
            return false;
        }
        if number < 6 {
            let again = play(metrics, Plan::draw(seed, patch, None), false, false);
            if again.digest != outcome.digest {
                println!("seed {seed} gave two different runs");
                return false;
            }
        }
    }
    println!(
        "sim: {FIXED} runs, 0 wrong; {} h of virtual time in {:.1} s",
        virtual_ms / 3_600_000,
        began.elapsed().as_secs_f32()
    );
    known(&reached);
    unreached(&reached, true)
}

fn set(metrics: &Arc<Metrics>, args: &Args, seed: u64, runs: u64) -> bool {
    let began = Instant::now();
    let mut reached = BTreeMap::new();
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

fn mutants(metrics: &Arc<Metrics>, args: &Args) -> ExitCode {
    let mut survivors = 0;
    for (mutant, name) in Mutant::ALL {
        let killed = (1..=args.runs.unwrap_or(MUTANT_SEEDS)).find_map(|seed| {
            let outcome = play(metrics, Plan::draw(seed, true, Some(mutant)), false, false);
            Some((seed, outcome.broken.into_iter().next()?))
        });
        match killed {
            Some((seed, broken)) => {
                println!(
                    "{name:<22} killed by seed {seed}: {} {} {}",
                    broken.rule, broken.task, broken.what
                );
            }
            None => {
                println!("{name:<22} SURVIVES");
                survivors += 1;
            }
        }
    }
    if survivors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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

fn add(sum: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (what, count) in more {
        *sum.entry(what).or_insert(0) += count;
    }
}

fn known(reached: &BTreeMap<String, u64>) {
    for (what, count) in reached.iter().filter(|(what, _)| what.starts_with("known")) {
        println!("  {count:>7}  {what}");
    }
}

/// Prints the rows of the engine's table that were never reached; false where a run set is too tame.
fn unreached(reached: &BTreeMap<String, u64>, patch: bool) -> bool {
    for row in MOVES {
        let name = row_name(row);
        if !reached.contains_key(&name) {
            let why = RARE.iter().find(|(known, _)| name.contains(known));
            let why = why.map_or("not in these seeds", |(_, why)| why);
            println!("  never: {name} ({why})");
        }
    }
    let missing: Vec<&&str> = WORTH
        .iter()
        .filter(|what| !reached.contains_key(**what) && (patch || !what.starts_with("stop")))
        .collect();
    for what in &missing {
        println!("  too tame: {what:?} was not reached");
    }
    missing.is_empty()
}

/// Rows that no run can be expected to reach.
const RARE: [(&str, &str); 8] = [
    ("=> set_aside", "needs a step that panics"),
    ("confirms_absence", "needs a lost raw message"),
    (
        "name_taken_by_other",
        "needs a store that lost a task, and another message with its id",
    ),
    ("gone_unsaid", "needs a Job deleted just before a start timeout"),
    ("=> leaves", "needs `patch` to be taken back"),
    ("gives_up", "needs a run without `patch`"),
    ("is_stopped", "the verdict on the Job is told before it"),
    (
        "JobDeleted if open",
        "needs a third party that is faster than a TTL",
    ),
];

/// What has to happen in every long set of runs, else it proves little. `CONFLICT` is not among it: the token and the count of
/// writes refuse first, so that only a mutant gets there.
const WORTH: [&str; 34] = [
    "store: fenced",
    "store: rollback",
    "reply lost, written",
    "reply lost, not written",
    "rollback of the store",
    "wipe of the store",
    "adoption",
    "quarantine",
    "late take",
    "leftover",
    "poison",
    "watch expired (410)",
    "watch broken",
    "watch event twice",
    "late create",
    "late create, its leader is dead",
    "create answer lost",
    "create 409",
    "create 422",
    "create 429",
    "create 500, made",
    "create 403 quota",
    "create 403 rbac",
    "phase Received/gated",
    "phase Received/confirming",
    "row Received + JobSeen if blocked => waits_for_old",
    "stopped",
    "stop conflict",
    "phase Exception/Job left in place",
    "crash between two effects",
    "a turn was interrupted and refused",
    "not the holder after the claim",
    "2xx lost",
    "receiver gone (410)",
];
