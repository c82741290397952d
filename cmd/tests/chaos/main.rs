//! Kills the leader again and again under a load of tasks, and counts from the outside what became of each.
//!
//!     scripts/chaos                     three replicas, 300 tasks, at least 20 kills, on a cluster of its own
//!     scripts/chaos --redis 3           also kills the redis-server three times
//!
//! The counts come from the receiver, the API server's audit log and the objects in the cluster, never from the worker.
//! Ends with 1 where any promise was broken.

#![expect(clippy::print_stdout, reason = "a program that prints what it found")]

mod campaign;
mod chance;
mod judge;
mod plan;
mod replicas;
mod world;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use fixtures::kubernetes::{Access, DIRECTORY};

use crate::campaign::{Fault, Kills};
use crate::chance::Chance;
use crate::judge::Counts;
use crate::plan::{Kind, Task};
use crate::replicas::{Replicas, Stage};
use crate::world::World;

/// Longest wait for the last verdicts, from the last kill on.
const VERDICTS_TIMEOUT: Duration = Duration::from_secs(240);
/// How long after the last verdict a second one is waited for.
const AFTERMATH: Duration = Duration::from_secs(8);
/// The end of a replica that was asked to end.
const GRACE: Duration = Duration::from_secs(30);

/// Kills the leader under load and counts what became of the tasks.
#[derive(Debug, Parser)]
struct Options {
    /// Directory of a cluster that runs, see scripts/cluster
    #[arg(long, env = DIRECTORY)]
    cluster: PathBuf,
    /// How many tasks
    #[arg(long, default_value_t = 300)]
    tasks: usize,
    /// How often the leader is killed at least
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// How often the redis-server is killed
    #[arg(long, default_value_t = 0)]
    redis: usize,
    /// How often the API server is killed; whoever else uses the cluster notices
    #[arg(long, default_value_t = 0)]
    apiserver: usize,
    /// How often all replicas are killed at one moment
    #[arg(long, default_value_t = 0)]
    all: usize,
    /// How often the leader is frozen until another one leads
    #[arg(long, default_value_t = 0)]
    freeze: usize,
    /// How many replicas
    #[arg(long, default_value_t = 3)]
    replicas: usize,
    /// Queue and store are two servers
    #[arg(long)]
    two_servers: bool,
    /// The replicas may patch Jobs
    #[arg(long)]
    patch: bool,
    /// Lease duration in seconds
    #[arg(long, default_value_t = 1)]
    lease: u64,
    /// Repeats the plan and the choices of a run; the times are the machine's
    #[arg(long)]
    seed: Option<u64>,
    /// Directory for the logs of the replicas
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/chaos"))]
    logs: PathBuf,
    /// The worker, such as a release build
    #[arg(long, env = "JOB_WORKER_BINARY", default_value = env!("CARGO_BIN_EXE_job-worker"))]
    binary: PathBuf,
}

impl Options {
    const fn access(&self) -> Access {
        if self.patch { Access::Patch } else { Access::Needed }
    }

    fn faults(&self) -> Vec<Fault> {
        [
            (Fault::Redis, self.redis),
            (Fault::ApiServer, self.apiserver),
            (Fault::AllReplicas, self.all),
            (Fault::Freeze, self.freeze),
        ]
        .into_iter()
        .flat_map(|(fault, times)| std::iter::repeat_n(fault, times))
        .collect()
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let seed = options
        .seed
        .unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    let mut chance = Chance::of(seed);
    let mut world = World::new(&options.cluster, options.access(), options.two_servers)?;
    let logs = options.logs.join(&world.namespace);
    println!(
        "chaos: seed {seed}, namespace {}, logs in {}",
        world.namespace,
        logs.display()
    );
    let tasks = prepare(&world, options.tasks, &mut chance);
    let started = Instant::now();
    let environment = world.environment(options.lease);
    let mut replicas = Replicas::start(options.replicas, options.binary.clone(), environment, &logs)?;
    let kills = campaign::run(
        &mut world,
        &mut replicas,
        &tasks,
        options.kills,
        options.faults(),
        &mut chance,
    )?;
    println!(
        "chaos: {} kills after {} s",
        kills.count(),
        started.elapsed().as_secs()
    );
    let missing = world.wait_for_all(&tasks, VERDICTS_TIMEOUT);
    let lasted = started.elapsed();
    if missing == 0 {
        std::thread::sleep(AFTERMATH);
    }
    replicas.read_all()?;
    let transitions = world.lease()["spec"]["leaseTransitions"]
        .as_u64()
        .unwrap_or_default();
    replicas.end(GRACE)?;
    let queue = world.queued().map_err(io::Error::other)?;
    let (counts, words) = judge::judge(&world, &tasks, &queue);
    for word in &words {
        println!("{word}");
    }
    let facts = Facts {
        tasks: &tasks,
        kills: &kills,
        counts: &counts,
        replicas: &replicas,
        transitions,
        lasted,
    };
    let good = facts.print(options);
    if good {
        let path = format!("/api/v1/namespaces/{}", world.namespace);
        world.cluster.delete(&path);
    }
    println!(
        "chaos: {}, seed {seed}",
        if good { "every promise was kept" } else { "BROKEN" }
    );
    Ok(good)
}

/// Plans the tasks and prepares receiver and cluster for them.
fn prepare(world: &World, count: usize, chance: &mut Chance) -> Vec<Task> {
    let tasks = plan::tasks(count, chance, &world.instance(), &world.namespace, &world.sink);
    plan::replies(&tasks, &world.sink);
    for task in tasks.iter().filter(|task| task.kind == Kind::Taken) {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs", world.namespace);
        world.cluster.create(&path, &plan::foreign_job(task));
    }
    tasks
}

/// All that the table shows.
struct Facts<'a> {
    tasks: &'a [Task],
    kills: &'a Kills,
    counts: &'a Counts,
    replicas: &'a Replicas,
    transitions: u64,
    lasted: Duration,
}

impl Facts<'_> {
    /// Prints the table; true where no promise was broken and the run was as hard as it was meant to be.
    fn print(&self, options: &Options) -> bool {
        let row = |name: &str, value: String| println!("{name:<28} {value:>12}");
        println!();
        row("tasks", self.tasks.len().to_string());
        for (name, count) in kinds(self.tasks) {
            row(&format!("  {name}"), count.to_string());
        }
        row("replicas", options.replicas.to_string());
        row("leader killed", self.kills.count().to_string());
        for (moment, count) in &self.kills.moments {
            row(&format!("  {moment:?}"), count.to_string());
        }
        for (fault, count) in &self.kills.faults {
            row(&format!("besides: {fault:?}"), count.to_string());
        }
        row("leases taken over", self.transitions.to_string());
        row(
            "longest takeover",
            format!("{:.1} s", self.kills.longest_takeover.as_secs_f64()),
        );
        println!("kills that found a task");
        for stage in Stage::ALL {
            let held = self.kills.held.get(&stage).copied().unwrap_or_default();
            let undelivered = if stage.ended() { ", not told" } else { "" };
            row(&format!("  {stage:?}{undelivered}"), held.to_string());
        }
        row("callbacks arrived", self.counts.arrivals.to_string());
        row("  of them again", self.counts.duplicates.to_string());
        row("creates nobody heard of", self.counts.unheard_creates.to_string());
        row("duration", format!("{:.0} s", self.lasted.as_secs_f64()));
        println!("violations");
        for (name, count) in self.counts.violations() {
            row(&format!("  {name}"), count.to_string());
        }
        row("  replicas that died", self.replicas.deaths.len().to_string());
        for death in &self.replicas.deaths {
            println!("    {death}");
        }
        self.print_log();
        let whole = self.kills.count() >= options.kills && self.kills.covered();
        if !whole {
            println!("the run did not hold every state at a kill, or killed too little");
        }
        let kept = self.counts.violations().iter().all(|(_, count)| *count == 0);
        whole && kept && self.replicas.deaths.is_empty() && self.replicas.told.strange.is_empty()
    }

    fn print_log(&self) {
        if !self.replicas.told.errors.is_empty() {
            println!("lines of level ERROR");
        }
        for (error, count) in &self.replicas.told.errors {
            println!("  {count} times: {error}");
        }
        for line in &self.replicas.told.strange {
            println!("strange line: {line}");
        }
    }
}

fn kinds(tasks: &[Task]) -> [(&'static str, usize); 5] {
    let count = |wanted: fn(Kind) -> bool| tasks.iter().filter(|task| wanted(task.kind)).count();
    [
        ("that end with 0", count(|kind| kind == Kind::Ok)),
        (
            "that end with a failure",
            count(|kind| matches!(kind, Kind::Failing(_))),
        ),
        ("whose Job's name is taken", count(|kind| kind == Kind::Taken)),
        ("without an image", count(|kind| kind == Kind::NoImage)),
        ("with an invalid message", count(|kind| kind == Kind::Invalid)),
    ]
}
