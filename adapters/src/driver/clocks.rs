//! Where each task is and since when: for the metrics alone, never for a decision.
//!
//! What a former leader began is not measured: memory does not know when.

use crate::metrics::Metrics;
use engine::{Event, Notice, State, StateKind, Task, TaskId, Timestamp, Transition};
use std::collections::BTreeMap;
use std::time::Duration;

/// A time that nobody knows.
const UNKNOWN: Timestamp = Timestamp(0);

/// The place of every task, and when it came to the state that it is in.
#[derive(Default)]
pub(super) struct Clocks {
    tasks: BTreeMap<TaskId, Clock>,
}

/// The place of one task, and since when.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    state: StateKind,
    phase: &'static str,
    /// For a task that is Received: when its first create was begun, or it was taken.
    since: Timestamp,
}

impl Clock {
    /// Reads that of a task as the store had it.
    pub(super) fn of(task: &Task) -> Self {
        Self {
            state: task.state.kind(),
            phase: task.state.phase(),
            since: received_since(task).unwrap_or(UNKNOWN),
        }
    }

    /// State and phase, as labels.
    const fn place(&self) -> [&'static str; 2] {
        [self.state.name(), self.phase]
    }
}

impl Clocks {
    /// Takes in all tasks as the store had them, in the order of their ids.
    pub(super) fn restored(tasks: impl Iterator<Item = (TaskId, Clock)>, metrics: &Metrics) -> Self {
        let tasks: BTreeMap<TaskId, Clock> = tasks.collect();
        let mut counts = BTreeMap::new();
        for clock in tasks.values() {
            *counts.entry(clock.place()).or_insert(0) += 1;
        }
        for (place, count) in counts {
            metrics.tasks_found(place, count);
        }
        Self { tasks }
    }

    /// Takes in a durable transition.
    pub(super) fn moved(&mut self, transition: &Transition, metrics: &Metrics) {
        let task = &transition.after;
        let before = self.tasks.get(&transition.task).copied();
        let since = before.map_or(UNKNOWN, |clock| clock.since);
        let clock = Clock {
            since: after(transition, since),
            ..Clock::of(task)
        };
        metrics.task_moved(before.map(|clock| clock.place()), Some(clock.place()));
        measure(transition, since, metrics);
        self.tasks.insert(transition.task.clone(), clock);
    }

    /// Forgets a task.
    pub(super) fn forget(&mut self, id: &TaskId, metrics: &Metrics) {
        if let Some(clock) = self.tasks.remove(id) {
            metrics.task_moved(Some(clock.place()), None);
        }
    }
}

fn received_since(task: &Task) -> Option<Timestamp> {
    match &task.state {
        State::Received(received) => Some(received.begun_at.unwrap_or(task.spec.received_at)),
        State::Created(_)
        | State::PodStarted(_)
        | State::Completed(_)
        | State::Failed(_)
        | State::Exception(_) => None,
    }
}

/// Says since when the task is in its state.
fn after(transition: &Transition, since: Timestamp) -> Timestamp {
    if let Some(received) = received_since(&transition.after) {
        return received;
    }
    match transition.from {
        Some(from) if from == transition.after.state.kind() => since,
        Some(_) => transition.at,
        // A Job that is adopted was made at another time.
        None => UNKNOWN,
    }
}

fn measure(transition: &Transition, since: Timestamp, metrics: &Metrics) {
    let (task, at) = (&transition.after, transition.at);
    let spent = |from: Timestamp| Duration::from_millis(at.since_ms(from));
    if let (State::Received(received), Event::Granted(_)) = (&task.state, &transition.event)
        && received.attempts == 1
    {
        metrics.waited(spent(task.spec.received_at));
    }
    if since == UNKNOWN {
        return;
    }
    let (from, to) = (transition.from, task.state.kind());
    if from == Some(StateKind::Received) && to == StateKind::Created {
        metrics.created(spent(since));
    }
    let mut run = (from == Some(StateKind::PodStarted)).then(|| spent(since));
    for notice in &transition.notices {
        match notice {
            Notice::Started { .. } if from == Some(StateKind::Created) => metrics.started(spent(since)),
            // A pod that was first seen ended: the Job knows how long it took.
            Notice::Completed { duration_secs } => {
                run = run.or(Some(Duration::from_secs(*duration_secs)));
            }
            Notice::Created { .. } | Notice::Started { .. } | Notice::Failed(_) | Notice::Exception(_) => {}
        }
    }
    if let (true, Some(time)) = (transition.gave_verdict(), run) {
        metrics.ran(to.name(), time);
    }
}
