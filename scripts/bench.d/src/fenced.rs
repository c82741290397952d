//! Fenced commits of a batch of moves, beside SETs of the same bytes in one pipeline.

use std::io;
use std::time::{Duration, Instant};

use adapters::store::{Batch, Op, RedisStore};
use engine::{Engine, Policy, Record};
use fixtures::redis::Server;

use crate::corpus::{NOW, created, fact, id};
use crate::micro::rate;
use crate::sample::median;
use crate::stores::{claimed, fill, quiet, snapshot, write};
use crate::verdict::{Bound, Table};

/// Moves of one commit: about half a full turn.
const MOVES: usize = 128;
/// Commits of one measurement.
const COMMITS: usize = 50;
/// A B B A, so often.
const ROUNDS: usize = 5;

/// Measures.
pub(crate) fn run() -> io::Result<Table> {
    let redis = Server::start(quiet())?;
    let mut bench = Bench {
        store: claimed(&redis)?,
        raw: redis.connection(2).map_err(io::Error::other)?,
        moves: moves()?,
        expect: 1,
    };
    fill(&mut bench.store, MOVES)?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(bench.commits()?);
        raw.push(bench.sets()?);
        raw.push(bench.sets()?);
        ours.push(bench.commits()?);
    }
    let per_second = |took: &[Duration]| rate(COMMITS * MOVES, median(took));
    let mut table = Table::default();
    table.add(
        "transitions/s, fenced, against SETs of their bytes",
        per_second(&ours),
        Some(per_second(&raw)),
        Bound::RatioAtLeast {
            goal: 0.95,
            floor: 0.8,
        },
    );
    Ok(table)
}

/// What one transition writes.
struct Move {
    task: String,
    due: Option<u64>,
    snapshot: Vec<u8>,
    record: Vec<u8>,
}

struct Bench {
    store: RedisStore,
    raw: redis::Connection,
    moves: Vec<Move>,
    expect: u64,
}

impl Bench {
    fn commits(&mut self) -> io::Result<Duration> {
        let batches: Vec<Batch> = (0..COMMITS).map(|_| self.batch()).collect();
        let begun = Instant::now();
        for batch in &batches {
            write(&mut self.store, batch)?;
        }
        Ok(begun.elapsed())
    }

    fn batch(&mut self) -> Batch {
        let expect = self.expect;
        self.expect += 1;
        Batch {
            ops: self
                .moves
                .iter()
                .map(|moved| Op::Move {
                    task: moved.task.clone(),
                    expect,
                    snapshot: moved.snapshot.clone(),
                    due: moved.due,
                    forget_message: false,
                    tombstone: None,
                })
                .collect(),
            log: self.moves.iter().map(|moved| moved.record.clone()).collect(),
        }
    }

    /// One SET for each transition, of snapshot and record in one value.
    fn sets(&mut self) -> io::Result<Duration> {
        let values: Vec<Vec<u8>> = self
            .moves
            .iter()
            .map(|moved| [moved.snapshot.as_slice(), &moved.record].concat())
            .collect();
        let begun = Instant::now();
        for _ in 0..COMMITS {
            let mut pipeline = redis::pipe();
            for (moved, value) in self.moves.iter().zip(&values) {
                pipeline.set(&moved.task, value).ignore();
            }
            pipeline.exec(&mut self.raw).map_err(io::Error::other)?;
        }
        Ok(begun.elapsed())
    }
}

/// The start of a pod, for each task: a snapshot and a record of middle size.
fn moves() -> io::Result<Vec<Move>> {
    let mut engine = Engine::new(Policy::default());
    (0..MOVES)
        .map(|number| {
            engine.restore(id(number), created(number));
            let outcome = engine
                .step(NOW, &id(number), fact(number, 2))
                .map_err(io::Error::other)?;
            let engine::Outcome::Moved(step) = outcome else {
                return Err(io::Error::other("the start of a pod moves its task"));
            };
            let transition = &step.transitions()[0];
            Ok(Move {
                task: transition.task.as_str().to_owned(),
                due: transition.after.state.deadline().map(|at| at.0),
                snapshot: snapshot(transition.after.clone())?,
                record: rmp_serde::to_vec_named(&Record::from(transition.clone()))
                    .map_err(io::Error::other)?,
            })
        })
        .collect()
}
