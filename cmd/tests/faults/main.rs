//! Faults on real processes under a load of tasks, and from the outside the count of what became of each.
//!
//!     cargo test --test faults          a small run, less than a minute
//!     scripts/faults                    150 kills of the leader, 500 other faults, 5,000 tasks
//!     scripts/faults --seed 7           repeats the plan and the choices of a run; the times are the machine's
//!
//! Three replicas of the binary, a redis-server with `appendfsync everysec` behind a relay, the embedded cluster behind another
//! (or, with `--cluster DIR`, a real one), a receiver that fails now and then. The counts come from the receiver, the API
//! server and the queue, never from the worker. What the README names as possible only after lost acknowledged writes is
//! counted apart, and only for tasks that such a loss has hit.

#![expect(clippy::print_stdout, reason = "a run that prints what it found")]

mod campaign;
mod chance;
mod cluster;
mod fault;
mod judge;
mod loss;
mod plan;
mod proxy;
mod record;
mod replicas;
mod report;
mod world;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use fixtures::kubernetes::Access;

use crate::campaign::Run;
use crate::chance::Chance;
use crate::cluster::Place;
use crate::plan::{Kind, Task, Terms};
use crate::replicas::Replicas;
use crate::report::Facts;
use crate::world::World;

/// Longest wait for the last verdicts, from the last fault on.
const VERDICTS_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest wait until nothing is left in the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);
/// The end of a replica that was asked to end.
const GRACE: Duration = Duration::from_secs(60);
/// The variable with the options of a run, separated by spaces.
const OPTIONS: &str = "JOB_WORKER_FAULTS";

/// Does harm to real processes under load and counts what became of the tasks.
#[derive(Debug, Parser)]
#[command(name = "scripts/faults")]
struct Options {
    /// Directory of a real cluster that runs, see scripts/cluster; without it the embedded one is used
    #[arg(long)]
    cluster: Option<PathBuf>,
    /// How many tasks
    #[arg(long, default_value_t = 5_000)]
    tasks: usize,
    /// How often the leader is killed
    #[arg(long, default_value_t = 150)]
    kills: usize,
    /// How many other faults
    #[arg(long, default_value_t = 500)]
    others: usize,
    /// No fault begins after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// How many replicas
    #[arg(long, default_value_t = 3)]
    replicas: usize,
    /// Redis is killed as it is: what it has acknowledged may not be in its file yet
    #[arg(long)]
    without_flush: bool,
    /// Redis never loses what it has acknowledged: no task is excused
    #[arg(long)]
    lossless: bool,
    /// Queue and store are two servers
    #[arg(long)]
    two_servers: bool,
    /// The replicas may patch Jobs
    #[arg(long)]
    patch: bool,
    /// Lease duration in seconds
    #[arg(long, default_value_t = 1)]
    lease: u64,
    /// ttlSecondsAfterFinished of the Jobs; 0: none
    #[arg(long, default_value_t = 90)]
    ttl: u32,
    /// Repeats the plan and the choices of a run; the times are the machine's
    #[arg(long)]
    seed: Option<u64>,
    /// No task has an image that can never be pulled; such a task lasts more than 30 s
    #[arg(long)]
    quick: bool,
    /// Directory for the logs of the replicas
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/faults"))]
    logs: PathBuf,
    /// The worker, such as a release build
    #[arg(long, env = "JOB_WORKER_BINARY", default_value = env!("CARGO_BIN_EXE_job-worker"))]
    binary: PathBuf,
}

impl Options {
    const fn access(&self) -> Access {
        if self.patch { Access::Patch } else { Access::Needed }
    }
}

/// The small run of every `cargo test`; the lease is long enough for a machine that does other things too.
const SMALL: &str = "--seed 9 --tasks 60 --kills 4 --others 9 --lease 3 --ttl 0 --quick";

#[test]
fn nothing_is_lost_doubled_out_of_order_or_wrong() {
    let words = std::env::var(OPTIONS).unwrap_or_else(|_| SMALL.to_owned());
    let options = Options::parse_from(std::iter::once("scripts/faults").chain(words.split_whitespace()));
    let kept = run(&options).expect("the run goes through");
    assert!(kept, "a promise was broken; the table above says which");
}

fn run(options: &Options) -> io::Result<bool> {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    let seed = options.seed.unwrap_or(high >> 32);
    let mut chance = Chance::of(seed);
    let namespace = format!("faults-{:06x}", high & 0xff_ffff);
    let place = match &options.cluster {
        None => Place::embedded(&namespace, options.access())?,
        Some(directory) => Place::real(directory, &namespace, options.access())?,
    };
    let mut world = World::new(place, namespace, options.access(), options.two_servers)?;
    let logs = options.logs.join(&world.namespace);
    println!("faults: seed {seed}, logs in {}", logs.display());
    let tasks = prepare(&world, options, &mut chance)?;
    let started = Instant::now();
    let environment = world.environment(options.lease);
    let replicas = Replicas::start(options.replicas, options.binary.clone(), environment, &logs)?;
    let mut run = Run::new(&mut world, replicas, &tasks, chance, !options.without_flush);
    let until = options
        .seconds
        .map(|seconds| started + Duration::from_secs(seconds));
    run.go(options.kills, options.others, options.lossless, until)?;
    println!(
        "faults: {} kills, {} others after {} s",
        run.counts.killed(),
        run.counts.others(),
        started.elapsed().as_secs()
    );
    run.world.wait_for_all(&tasks, VERDICTS_TIMEOUT);
    run.look()?;
    let queue = run.world.settled(QUEUE_TIMEOUT).map_err(io::Error::other)?;
    run.replicas.end(GRACE)?;
    // What the last terms still told.
    run.world.look(&tasks);
    let Run { replicas, counts, .. } = run;
    let (verdict, words) = judge::judge(&world, &tasks, &queue);
    for word in &words {
        println!("{word}");
    }
    let facts = Facts {
        tasks: &tasks,
        done: &counts,
        counts: &verdict,
        replicas: &replicas,
        hit: world.hit.len(),
        cuts: world.store().proxy.cuts() + world.place.cuts(),
        lasted: started.elapsed(),
    };
    let good = facts.print();
    if good {
        world.place.clear(&world.namespace);
    }
    println!(
        "faults: {}, seed {seed}",
        if good { "every promise was kept" } else { "BROKEN" }
    );
    Ok(good)
}

/// Plans the tasks and prepares receiver and cluster for them.
fn prepare(world: &World, options: &Options, chance: &mut Chance) -> io::Result<Vec<Task>> {
    let terms = Terms {
        scripted: world.place.is_scripted(),
        ttl: (options.ttl > 0).then_some(options.ttl),
        no_image: !options.quick,
    };
    let tasks = plan::tasks(options.tasks, terms, chance, &world.instance(), &world.sink);
    plan::replies(&tasks, &world.sink);
    for task in tasks.iter().filter(|task| task.kind == Kind::Taken) {
        world
            .place
            .create_job(&world.namespace, &plan::foreign_job(task))?;
    }
    Ok(tasks)
}
