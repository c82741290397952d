//! What a task in flight occupies, in bytes of the process's resident set.

use std::io;
use std::time::Instant;

use adapters::store::{Batch, Epoch, Error, Loaded, Store, Trimmed};

use crate::corpus::{created, id};
use crate::recovery::restore;
use crate::stores::snapshot;
use crate::verdict::{Bound, Table};

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Tasks
    #[arg(long, default_value_t = 1_000_000)]
    tasks: usize,
}

/// Measures.
pub(crate) fn run(options: &Options) -> io::Result<Table> {
    let before = resident()?;
    let (driver, found) = restore(Made(options.tasks))?;
    let after = resident()?;
    drop(driver);
    let per_task = after.saturating_sub(before) / found.max(1);
    let stored = snapshot(created(1))?.len();
    let mut table = Table::default();
    table.add(
        format!("bytes of a task, {found} in flight, against its snapshot"),
        count(per_task),
        Some(count(stored)),
        Bound::AtMost {
            goal: 400.0,
            floor: 900.0,
        },
    );
    Ok(table)
}

/// A store that makes its tasks when it is read, so that it occupies nothing itself.
struct Made(usize);

impl Store for Made {
    fn claim(&mut self, _: &str) -> Result<Epoch, Error> {
        Err(Error::Fenced)
    }

    fn commit(&mut self, _: &Batch, _: Instant) -> Result<Trimmed, Error> {
        Err(Error::Fenced)
    }

    fn tombstones(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        Ok(vec![None; ids.len()])
    }

    fn load(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error> {
        for number in 0..self.0 {
            let task = created(number);
            each(Loaded::Task {
                id: id(number).as_str().to_owned(),
                version: task.seq,
                snapshot: snapshot(task).map_err(|_| Error::Invalid("a task has a stored form"))?,
            });
        }
        Ok(())
    }

    fn messages(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        Ok(vec![None; ids.len()])
    }

    fn joint(&self) -> bool {
        true
    }
}

/// The resident set of this process, in bytes.
fn resident() -> io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<usize>().ok());
    Ok(1024 * kilobytes.ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))?)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a task fit a float")]
const fn count(bytes: usize) -> f64 {
    bytes as f64
}
