//! The driver: takes what is in the inbox, steps it, commits it as one batch, hands out the effects.
//!
//! `turn` is the whole program of a leader. It is plain: time is an argument, the store is a trait, and what is
//! to be done outside is returned, so a simulation runs the very same code. It blocks on the store alone, and
//! never on a receiver, the API server or the queue. Threads only carry inputs to it and outputs from it.

mod callbacks;
mod clocks;
mod cluster;
mod intake;
mod letters;
mod narrate;
pub mod orders;
pub mod pause;
mod pending;
mod reading;
mod resend;
mod restore;

pub(crate) use callbacks::Stored as StoredCallback;
pub use intake::{DUPLICATE_ID, Taken};
pub use pending::Patience;
pub use reading::read_task;
pub use restore::{OwedCallback, Restored, read_callback, read_tombstone};

use crate::cluster::names::Instance;
use crate::cluster::{Report, Request};
use crate::message::Message;
use crate::metrics::Metrics;
use crate::source::{DeadLetter, Receipt};
use crate::store::{self, Store};
use crate::webhook;
use crate::wheel::Wheel;
use callbacks::Callbacks;
use engine::outbox::Key;
use engine::{
    Closing, Effect, Engine, Event, Outcome, Rejected, SetAside, State, StateKind, Step, TaskId, Timestamp,
};
use pending::Pending;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Most tasks that a deadline wakes in one turn.
const WOKEN_MAX: usize = 128;
/// The wait after a turn that had nothing to do, whatever wanted it: what wanted it cannot go on yet.
const PAUSE_MS: u64 = 100;
/// The wait before the delivery threads are tried again when they had no room.
const HOLD_MS: u64 = 1_000;
/// A refused namespace that tasks wait for is asked for again after this time.
const ASK_MS: u64 = 15_000;

/// What a turn is fed with.
#[derive(Debug)]
pub enum Input {
    /// A message was taken from the queue.
    Message(Box<Taken>),
    /// The cluster adapter saw something.
    Cluster(Box<Report>),
    /// An operator gives an order.
    Order(Box<orders::Placed>),
    /// An attempt to deliver a callback ended.
    Webhook(Key, webhook::Answer),
}

/// What a turn wants done; all of it is safe to repeat.
#[derive(Debug)]
pub enum Output {
    /// A request to the API server.
    Cluster(Request),
    /// A callback to send.
    Send(Key, webhook::Delivery),
    /// A message is settled; where queue and store are two servers.
    Acknowledge(Vec<Receipt>),
    /// A message is refused; where queue and store are two servers.
    DeadLetter(DeadLetter),
    /// The dead letter at a place goes back into the queue; where queue and store are two servers.
    Requeue(String),
    /// The dead letter at a place is dropped; where queue and store are two servers.
    DropLetter(String),
    /// A message no longer occupies the intake.
    Handled(Receipt),
}

/// What the driver needs to know beside the engine's policy.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The pair of namespace and lock name.
    pub instance: Instance,
    /// `POD_START_TIMEOUT`, in seconds.
    pub start_timeout_secs: u32,
    /// The namespaces that messages may name; `None`: any.
    pub namespaces: Option<Vec<String>>,
}

/// Every task of a leader, its callbacks, and what is on its way to the store.
pub struct Driver<S> {
    settings: Settings,
    store: S,
    metrics: Arc<Metrics>,
    engine: Engine,
    wheel: Wheel,
    callbacks: Callbacks,
    /// Messages of tasks whose Job is not made yet.
    messages: BTreeMap<TaskId, Message>,
    /// What acknowledges them, where that has to wait for the Job: one message a task, others are settled as copies.
    receipts: BTreeMap<TaskId, Receipt>,
    /// The digests of their bytes, where a message is met again while its task waits for its Job.
    raws: BTreeMap<TaskId, [u8; 32]>,
    /// When the Jobs came to be known in this term, until their tasks end.
    known_since: BTreeMap<TaskId, Timestamp>,
    /// Namespaces that may not be watched, and when they were last asked for.
    refused: BTreeMap<String, Timestamp>,
    /// Tasks whose snapshot cannot be read: their ids stay taken.
    unreadable: BTreeSet<TaskId>,
    panics: BTreeMap<TaskId, u32>,
    /// Tasks without a verdict that were loaded and do not know yet that another leader follows them.
    taken_over: Vec<TaskId>,
    again: Vec<(TaskId, Event)>,
    pending: Pending,
    outputs: Vec<Output>,
    /// The first consistent lists are complete.
    watching: bool,
    /// They are since this turn: what is owed is asked for once, when the turn is durable.
    resuming: bool,
    /// No turn without an input is wanted before.
    rests_until: Timestamp,
    /// The delivery threads had no room: nothing is handed to them before.
    holds_until: Timestamp,
    /// When what costs a look at every callback was last shown.
    shown_at: Timestamp,
    /// A receiver that answers has too much before it: nothing is taken in.
    crowded: bool,
    /// The role is about to end: nothing new is begun.
    draining: bool,
    intake: pause::Intake,
}

impl<S: Store> Driver<S> {
    /// Advances everything by one batch of inputs, and returns what is to be done now that it is durable.
    ///
    /// # Errors
    ///
    /// The store refused or cannot be reached: memory is no longer right and has to be rebuilt.
    pub fn turn(
        &mut self,
        now: Timestamp,
        inputs: Vec<Input>,
        patience: &mut dyn Patience,
    ) -> Result<Vec<Output>, store::Error> {
        let inputs = self.intake.sift(inputs);
        let tombstones = self.tombstones(&inputs, patience)?;
        let (heard, written) = (!inputs.is_empty(), self.pending.writes);
        for input in inputs {
            match input {
                Input::Message(taken) => self.message(now, *taken, &tombstones),
                Input::Cluster(report) => self.report(now, *report, &tombstones),
                Input::Order(placed) => self.ordered(now, *placed, patience)?,
                Input::Webhook(key, answer) => self.answered(now, &key, &answer),
            }
            if self.pending.is_full() {
                self.commit(patience)?;
            }
        }
        for task in std::mem::take(&mut self.taken_over) {
            self.step(now, &task, Event::TookOver(engine::TookOver));
        }
        for (task, event) in std::mem::take(&mut self.again) {
            self.step(now, &task, event);
        }
        // Before the lists are complete they may tell more than any timer.
        if self.watching {
            for task in self.wheel.due(now, WOKEN_MAX) {
                self.step(now, &task, Event::Woke(engine::Woke));
            }
        }
        if self.watching && !self.draining {
            let admitted = self.engine.admit(now);
            self.moved(now, admitted);
        }
        for namespace in self.engine.unprepared() {
            self.outputs.push(Output::Cluster(Request::Prepare { namespace }));
        }
        self.ask_again(now);
        self.forget_finished();
        self.commit(patience)?;
        if std::mem::take(&mut self.resuming) {
            self.resume();
        }
        if !self.draining && self.holds_until <= now {
            self.send(now);
        }
        self.show(now);
        let outputs = std::mem::take(&mut self.outputs);
        let idle = !heard && written == self.pending.writes && outputs.is_empty();
        self.rests_until = if idle { now.plus_ms(PAUSE_MS) } else { Timestamp(0) };
        Ok(outputs)
    }

    /// Returns when the next turn is wanted even without an input.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let waits = self.taken_over.is_empty() && self.again.is_empty() && !self.intake.has_news();
        let retry = (!waits).then_some(Timestamp(0));
        let timers = self.watching.then(|| self.wheel.next()).flatten();
        let probe = (self.watching && !self.draining)
            .then(|| self.engine.next_probe())
            .flatten();
        let send = (!self.draining)
            .then(|| self.callbacks.outbox.next_due())
            .flatten()
            .map(|at| at.max(self.holds_until));
        let wanted = [timers, probe, send, retry].into_iter().flatten().min()?;
        Some(wanted.max(self.rests_until))
    }

    /// Returns how many messages may be taken before the bound of tasks is reached; none before the first
    /// consistent lists, so that no message is taken for a task whose Job is known to the cluster alone, and none
    /// while a receiver that answers is behind: what it is owed is not given up, so it must not grow.
    pub fn room(&self) -> usize {
        let waits = self.crowded || self.intake.is_paused();
        if self.watching && !self.draining && !waits {
            self.engine.room()
        } else {
            0
        }
    }

    /// Begins nothing new from here on: no create, no callback.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// Tells whether a create or a callback is under way.
    pub fn is_busy(&self) -> bool {
        let creates = |(_, effect)| matches!(effect, Effect::CreateJob { .. });
        let creating = self.watching && self.engine.owed().any(creates);
        let mut receivers = self.callbacks.outbox.receivers();
        creating || receivers.any(|(_, load)| load.in_flight > 0)
    }

    /// Counts the writes that this leader has made, each of which shows that it still has the store.
    pub const fn writes(&self) -> u64 {
        self.pending.writes
    }

    /// Finds out whether this leader still has the store.
    ///
    /// # Errors
    ///
    /// As `turn`.
    pub fn beat(&mut self, until: std::time::Instant) -> Result<(), store::Error> {
        self.store.beat(until)
    }

    /// Steps one task; a panic costs that task alone.
    fn step(&mut self, now: Timestamp, task: &TaskId, event: Event) {
        let kind = event.kind();
        let engine = &mut self.engine;
        let stepped = catch_unwind(AssertUnwindSafe(|| engine.step(now, task, event.clone())));
        match stepped {
            Ok(Ok(Outcome::Moved(step))) => self.moved(now, Ok(step)),
            Ok(Ok(Outcome::Ignored(why))) => {
                self.metrics.ignored_event(self.state_name(task), kind.name());
                log::debug!(task = task.as_str(), trace = self.trace(task), event = kind.name(); "ignored: {why}");
            }
            Ok(Err(rejected)) => self.moved(now, Err(rejected)),
            Err(_) => self.panicked(task, event),
        }
    }

    /// The task is tried again with the same event; the third time it is set aside.
    fn panicked(&mut self, task: &TaskId, event: Event) {
        let count = self.panics.entry(task.clone()).or_insert(0);
        *count += 1;
        let count = *count;
        log::error!(
            task = task.as_str(), trace = self.trace(task), event = event.kind().name(), count;
            "a step panicked"
        );
        if matches!(event, Event::SetAside(_)) {
            log::error!(task = task.as_str(), trace = self.trace(task); "it cannot even be set aside and is left as it is");
            return;
        }
        let next = if count < engine::PANICS_MAX {
            event
        } else {
            self.panics.remove(task);
            Event::SetAside(SetAside {
                message: format!(
                    "The task made the worker fail {} times at the event {} and was set aside.",
                    engine::PANICS_MAX,
                    event.kind().name()
                ),
            })
        };
        self.again.push((task.clone(), next));
    }

    /// Takes in what was decided: to the batch, the wheel, the outbox, the log.
    fn moved(&mut self, now: Timestamp, step: Result<Step, Rejected>) {
        let step = match step {
            Ok(step) => step,
            Err(rejected) => {
                let from = rejected.from.map_or(NO_STATE, StateKind::name);
                self.metrics.rejected_event(from, rejected.on.name());
                log::warn!(event = rejected.on.name(); "rejected: {rejected}");
                return;
            }
        };
        for transition in step.transitions() {
            let task = &transition.task;
            let after = &transition.after.state;
            self.wheel.set(task, after.deadline());
            self.pending.note(transition, self.engine.policy());
            if after.kind() != StateKind::Received {
                self.messages.remove(task);
                self.raws.remove(task);
                self.pending.acknowledge(self.receipts.remove(task));
                self.known_since.entry(task.clone()).or_insert(now);
            }
            if after.kind().is_terminal() {
                self.known_since.remove(task);
            }
            self.callbacks
                .notify(now, transition, &self.settings.instance, &mut self.pending);
        }
        self.pending.step.then(step);
    }

    fn commit(&mut self, patience: &mut dyn Patience) -> Result<(), store::Error> {
        let effects = self.pending.commit(&mut self.store, patience, &self.metrics)?;
        // Before the lists are complete nothing is asked for: it stays owed, and `resume` asks for everything once.
        if self.watching && !self.resuming {
            for (task, effect) in effects {
                self.request(&task, effect);
            }
        }
        self.outputs.append(&mut self.pending.outputs);
        Ok(())
    }

    /// Forgets what is finished in every respect. It happens after all inputs of a turn, so that a copy that
    /// came with the last answer still meets its task.
    fn forget_finished(&mut self) {
        for task in std::mem::take(&mut self.pending.ending) {
            let Some(held) = self.engine.task(&task) else {
                continue;
            };
            let closed = held.state.kind().is_terminal() && *closing(&held.state) == Closing::Done;
            if closed && !self.callbacks.owes(&task, &held.spec) {
                self.pending.forget(&task, held.seq);
                self.pending.clocks.forget(&task, &self.metrics);
                self.engine.forget(&task);
                self.panics.remove(&task);
                self.wheel.set(&task, None);
            }
        }
    }
}

/// The label of metrics where there is no task.
pub const NO_STATE: &str = "none";

/// Returns what a finished task is kept for.
const fn closing(state: &State) -> &Closing {
    match state {
        State::Completed(end) => &end.closing,
        State::Failed(end) => &end.closing,
        State::Exception(end) => &end.closing,
        State::Received(_) | State::Created(_) | State::PodStarted(_) => &Closing::Done,
    }
}
