//! The load of a leader's tasks, beside MGETs of the same bytes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::cluster::names::Instance;
use adapters::driver::{Driver, Settings};
use adapters::metrics::{Metrics, Words};
use adapters::store::Store;
use engine::Policy;
use fixtures::redis::Server;

use crate::corpus::{NOW, created};
use crate::sample::median;
use crate::stores::{claimed, fill, quiet, snapshot};
use crate::verdict::{Bound, Table};

/// Keys of one MGET.
const PAGE: usize = 1_000;
/// A B B A, so often.
const ROUNDS: usize = 5;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Tasks
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
}

/// Measures.
pub(crate) fn run(options: &Options) -> io::Result<Table> {
    let redis = Server::start(quiet())?;
    fill(&mut claimed(&redis)?, options.tasks)?;
    let mut raw = redis.connection(2).map_err(io::Error::other)?;
    let keys = copy(&mut raw, options.tasks)?;
    let (mut ours, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(recovered(&redis, options.tasks)?);
        gets.push(got(&mut raw, &keys)?);
        gets.push(got(&mut raw, &keys)?);
        ours.push(recovered(&redis, options.tasks)?);
    }
    let mut table = Table::default();
    table.add(
        format!("ms to load {} tasks, against MGETs", options.tasks),
        median(&ours).as_secs_f64() * 1e3,
        Some(median(&gets).as_secs_f64() * 1e3),
        Bound::RatioAtMost {
            goal: 1.6,
            floor: 2.0,
        },
    );
    Ok(table)
}

/// From the claimed store to a driver that may be turned.
fn recovered(redis: &Server, tasks: usize) -> io::Result<Duration> {
    let store = claimed(redis)?;
    let begun = Instant::now();
    let (driver, found) = restore(store)?;
    let took = begun.elapsed();
    drop(driver);
    if found == tasks {
        Ok(took)
    } else {
        Err(io::Error::other(format!("{found} of {tasks} tasks were found")))
    }
}

/// Builds a driver from what a store holds, and counts its tasks.
pub(crate) fn restore<S: Store>(store: S) -> io::Result<(Driver<S>, usize)> {
    let words = Words {
        ends: &[],
        transitions: &[],
        codes: &[],
    };
    let settings = Settings {
        instance: Instance {
            namespace: "job-worker".to_owned(),
            lock_name: "bench".to_owned(),
        },
        start_timeout_secs: 600,
        namespaces: None,
    };
    let metrics = Arc::new(Metrics::new(words, "bench"));
    let (driver, restored) =
        Driver::restore(NOW, settings, Policy::default(), store, metrics).map_err(io::Error::other)?;
    Ok((driver, restored.tasks))
}

fn copy(raw: &mut redis::Connection, tasks: usize) -> io::Result<Vec<String>> {
    let keys: Vec<String> = (0..tasks).map(|number| format!("raw-{number}")).collect();
    let numbered: Vec<(usize, &String)> = keys.iter().enumerate().collect();
    for page in numbered.chunks(PAGE) {
        let mut pipeline = redis::pipe();
        for (number, key) in page {
            pipeline.set(*key, snapshot(created(*number))?).ignore();
        }
        pipeline.exec(raw).map_err(io::Error::other)?;
    }
    Ok(keys)
}

/// Reads everything and looks at nothing.
fn got(raw: &mut redis::Connection, keys: &[String]) -> io::Result<Duration> {
    let begun = Instant::now();
    for page in keys.chunks(PAGE) {
        let values: Vec<Vec<u8>> = redis::cmd("MGET")
            .arg(page)
            .query(raw)
            .map_err(io::Error::other)?;
        std::hint::black_box(values);
    }
    Ok(begun.elapsed())
}
