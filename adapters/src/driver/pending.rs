//! What a turn has decided and not written yet.

use super::Output;
use super::clocks::Clocks;
use super::narrate::narrate;
use crate::metrics::Metrics;
use crate::source::{DeadLetter, Receipt};
use crate::store::{self, BYTES_MAX, Batch, OPS_MAX, Op, Store, Tombstone};
use engine::{
    Closing, Effect, Event, Ordered, Policy, Record, Snapshot, StateKind, Step, TaskId, Transition,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A turn writes early once it holds this many operations, so that most turns are one batch.
const OPS_ENOUGH: usize = OPS_MAX / 2;
/// As `OPS_ENOUGH`, in bytes.
const BYTES_ENOUGH: usize = BYTES_MAX / 4;

/// Every so many log records, from the first one of a term, one says the policy: it has to be among those that are kept.
const POLICY_EVERY: u64 = 10_000;

/// Counted by the store for each record beside its bytes.
const RECORD_OVERHEAD: usize = 128;

/// How long a write may be tried for.
pub trait Patience {
    /// Returns until when to try, or `None` where this leader has to give up; called before each try.
    fn until(&mut self) -> Option<Instant>;
}

/// Operations, records and effects in the order in which they were decided.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) step: Step,
    pub(super) outputs: Vec<Output>,
    pub(super) ending: BTreeSet<TaskId>,
    pub(super) clocks: Clocks,
    /// Batches written so far.
    pub(super) writes: u64,
    /// Log records so far.
    records: u64,
    units: Vec<Unit>,
    ops: usize,
    bytes: usize,
    /// The message that the next transition of its task comes from.
    message: Option<(Vec<u8>, Option<Receipt>)>,
}

/// What one input or one transition writes: never cut in two, or a crash between the halves would leave a task
/// whose callback nobody owes.
#[derive(Default)]
struct Unit {
    ops: Vec<Op>,
    records: Vec<Vec<u8>>,
}

impl Unit {
    fn size(&self) -> usize {
        let ops: usize = self.ops.iter().map(Op::size).sum();
        ops + self
            .records
            .iter()
            .map(|record| record_size(record))
            .sum::<usize>()
    }
}

fn record_size(record: &[u8]) -> usize {
    record.len() + RECORD_OVERHEAD
}

impl Pending {
    /// Begins with the tasks that may be forgotten, and with where all of them are.
    pub(super) fn restored(ending: BTreeSet<TaskId>, clocks: Clocks) -> Self {
        Self {
            ending,
            clocks,
            ..Self::default()
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.ops >= OPS_ENOUGH || self.bytes >= BYTES_ENOUGH
    }

    /// Keeps the raw message for the transition that begins its task.
    pub(super) fn keep(&mut self, raw: Vec<u8>, settle: Option<Receipt>) {
        self.message = Some((raw, settle));
    }

    /// Adds a transition: snapshot, deadline, tombstone, log record. Its callbacks follow.
    pub(super) fn note(&mut self, transition: &Transition, policy: &Policy) {
        self.begin();
        let task = transition.task.as_str().to_owned();
        let snapshot = encode(&Snapshot::from(transition.after.clone()));
        let due = transition.after.state.deadline().map(|at| at.0);
        let kind = transition.after.state.kind();
        if transition.from.is_none() {
            let (message, settle) = match self.message.take() {
                Some((raw, settle)) => (Some(raw), settle),
                None => (None, None),
            };
            self.push(Op::Ingest {
                task,
                snapshot,
                due,
                message,
                settle,
            });
        } else {
            self.push(Op::Move {
                task,
                expect: transition.after.seq - 1,
                snapshot,
                due,
                forget_message: kind != StateKind::Received && transition.from == Some(StateKind::Received),
                tombstone: transition.gave_verdict().then(|| tombstone(transition, policy)),
            });
        }
        if kind.is_terminal() {
            self.ending.insert(transition.task.clone());
            let left = matches!(
                super::closing(&transition.after.state),
                Closing::LeftInPlace { .. }
            );
            // That of a Job left in place had no end; any other began to expire with the verdict.
            let was_left = matches!(
                transition.event,
                Event::JobDeleted(_) | Event::JobMissing(_) | Event::JobEnded(_)
            );
            if was_left && !left && !transition.gave_verdict() {
                self.push(Op::Tombstone {
                    task: transition.task.as_str().to_owned(),
                    tombstone: tombstone(transition, policy),
                });
            }
        }
        let record = encode(&Record::V1 {
            transition: transition.clone(),
            policy: self.records.is_multiple_of(POLICY_EVERY).then(|| policy.clone()),
        });
        self.records += 1;
        self.record(record);
    }

    /// Adds the record of an order to what was pushed for it.
    pub(super) fn note_order(&mut self, order: Ordered) {
        self.record(encode(&Record::Order { order }));
    }

    fn record(&mut self, record: Vec<u8>) {
        self.bytes += record_size(&record);
        self.unit().records.push(record);
    }

    pub(super) fn forget(&mut self, task: &TaskId, seq: u64) {
        self.begin();
        self.push(Op::Forget {
            task: task.as_str().to_owned(),
            expect: seq,
        });
    }

    /// Acknowledges messages once the batch is durable; where queue and store are two servers.
    pub(super) fn acknowledge(&mut self, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            self.outputs.push(Output::Acknowledge(vec![receipt]));
        }
    }

    pub(super) fn dead_letter(&mut self, joint: bool, letter: DeadLetter) {
        if joint {
            self.push(Op::DeadLetter { letter });
        } else {
            self.outputs.push(Output::DeadLetter(letter));
        }
    }

    pub(super) fn settle(&mut self, joint: bool, receipt: Receipt) {
        if joint {
            self.push(Op::Settle { receipt });
        } else {
            self.outputs.push(Output::Acknowledge(vec![receipt]));
        }
    }

    /// What is pushed from here on belongs together.
    pub(super) fn begin(&mut self) {
        if self.units.last().is_none_or(|unit| !unit.ops.is_empty()) {
            self.units.push(Unit::default());
        }
    }

    pub(super) fn push(&mut self, op: Op) {
        self.ops += 1;
        self.bytes += op.size();
        self.unit().ops.push(op);
    }

    fn unit(&mut self) -> &mut Unit {
        if self.units.is_empty() {
            self.units.push(Unit::default());
        }
        self.units.last_mut().expect("one was just pushed")
    }

    /// Writes everything, and returns the effects that may begin now.
    ///
    /// A server that is away or full is asked again for as long as there is patience: nothing was written, so
    /// nothing in memory is wrong.
    pub(super) fn commit<S: Store>(
        &mut self,
        store: &mut S,
        patience: &mut dyn Patience,
        metrics: &Metrics,
    ) -> Result<Vec<(TaskId, Effect)>, store::Error> {
        let batches = self.batches();
        self.writes += batches.len() as u64;
        let clocks = &mut self.clocks;
        std::mem::take(&mut self.step).commit(|transitions| {
            for batch in &batches {
                write(store, batch, patience, metrics)?;
            }
            for transition in transitions {
                clocks.moved(transition, metrics);
                narrate(transition, metrics);
            }
            Ok(())
        })
    }

    /// Packs what was decided into batches of legal size, in order.
    fn batches(&mut self) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut batch = Batch::default();
        let mut size = 0;
        for unit in std::mem::take(&mut self.units) {
            let more = unit.size();
            let many =
                batch.ops.len() + unit.ops.len() > OPS_MAX || batch.log.len() + unit.records.len() > OPS_MAX;
            let full = many || size + more > BYTES_MAX;
            if full && !batch.ops.is_empty() {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += more;
            batch.ops.extend(unit.ops);
            batch.log.extend(unit.records);
        }
        batches.extend((!batch.ops.is_empty()).then_some(batch));
        (self.ops, self.bytes) = (0, 0);
        batches
    }
}

/// Reads what a turn has to know; a server that is away is asked again for as long as there is patience.
pub(super) fn read<S: Store, T>(
    store: &mut S,
    patience: &mut dyn Patience,
    metrics: &Metrics,
    ask: impl Fn(&mut S) -> Result<T, store::Error>,
) -> Result<T, store::Error> {
    let mut told = None;
    loop {
        match ask(store) {
            Ok(answer) => return Ok(answer),
            Err(error) if error.rebuild() => return Err(error),
            Err(error) => {
                metrics.store_error(error.class());
                if patience.until().is_none() {
                    return Err(error);
                }
                if told.as_ref() != Some(&error) {
                    log::error!("the store cannot be read, it is tried again: {error}");
                }
                told = Some(error);
                std::thread::sleep(RETRY);
            }
        }
    }
}

fn write<S: Store>(
    store: &mut S,
    batch: &Batch,
    patience: &mut dyn Patience,
    metrics: &Metrics,
) -> Result<(), store::Error> {
    let mut last = None;
    loop {
        let Some(until) = patience.until() else {
            return Err(last.unwrap_or(store::Error::Fenced));
        };
        let began = Instant::now();
        match store.commit(batch, until) {
            Ok(trimmed) => {
                metrics.store_written(began.elapsed());
                note_trimmed(&trimmed, metrics);
                return Ok(());
            }
            // A batch that breaks the store's rules breaks them the next time as well.
            Err(error) if error.rebuild() || matches!(error, store::Error::Invalid(_)) => {
                metrics.store_error(error.class());
                return Err(error);
            }
            Err(error) => {
                metrics.store_error(error.class());
                if last.as_ref() != Some(&error) {
                    log::error!("the store does not take a write, it is tried again: {error}");
                }
                last = Some(error);
                std::thread::sleep(RETRY);
            }
        }
    }
}

fn note_trimmed(trimmed: &store::Trimmed, metrics: &Metrics) {
    metrics.trimmed("callbacks", trimmed.callbacks);
    metrics.trimmed("records", trimmed.records);
    metrics.trimmed("letters", trimmed.letters);
}

/// The wait between two tries of a write that the store refuses.
const RETRY: Duration = Duration::from_millis(200);

fn tombstone(transition: &Transition, policy: &Policy) -> Tombstone {
    let state = &transition.after.state;
    let left = matches!(super::closing(state), Closing::LeftInPlace { .. });
    Tombstone {
        value: encode(&engine::Tombstone::V1 {
            digest: transition.after.spec.digest,
            status: status(state.kind()),
            at: transition.at,
        }),
        expires_in: (!left).then(|| Duration::from_millis(policy.dedup_window_ms)),
    }
}

const fn status(kind: StateKind) -> u8 {
    match kind {
        StateKind::Received | StateKind::Created => 0,
        StateKind::PodStarted => 1,
        StateKind::Completed => 2,
        StateKind::Failed => 3,
        StateKind::Exception => 99,
    }
}

/// Encodes as named MessagePack, so that fields may be added.
pub(super) fn encode<T: serde::Serialize>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("our own types have a MessagePack form")
}
