//! What the log and the metrics tell: of a move once it is durable, and of every turn.

use super::{Driver, NO_STATE};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::trace::trace_id;
use engine::{Event, State, StateKind, TaskId, Timestamp, Transition};

/// The wait between two looks at every callback, for the metrics.
const SHOW_MS: u64 = 1_000;

impl<S: Store> Driver<S> {
    /// Tells the metrics of a turn, and the log where receivers have begun or ceased to hold up the intake.
    pub(super) fn show(&mut self, now: Timestamp) {
        let crowded = self.callbacks.outbox.is_crowded();
        if crowded != std::mem::replace(&mut self.crowded, crowded) {
            if crowded {
                log::warn!(
                    "a receiver of callbacks answers too slowly: no message is taken until it catches up"
                );
            } else {
                log::info!("the receivers of callbacks have caught up: messages are taken again");
            }
        }
        self.metrics
            .set_gated_namespaces(self.engine.closed_namespaces() as u64);
        self.metrics
            .set_callbacks_pending(self.callbacks.outbox.pending() as u64);
        if now.since_ms(self.shown_at) >= SHOW_MS {
            self.shown_at = now;
            self.callbacks.show(now);
        }
    }

    /// Returns the trace id of a task, for log lines.
    pub(super) fn trace(&self, task: &TaskId) -> String {
        let held = self.engine.task(task);
        let context = held.and_then(|task| task.spec.traceparent.as_deref());
        trace_id(context, task.as_str())
    }

    /// Returns the name of a task's state, as the metrics have it.
    pub(super) fn state_name(&self, task: &TaskId) -> &'static str {
        let held = self.engine.task(task);
        held.map_or(NO_STATE, |task| task.state.kind().name())
    }
}

/// Tells the log of a move, one line, always with the same fields.
pub(super) fn narrate(transition: &Transition, metrics: &Metrics) {
    let Transition {
        task,
        after,
        event,
        from,
        ..
    } = transition;
    let state = &after.state;
    let trace = trace_id(after.spec.traceparent.as_deref(), task.as_str());
    let trace = trace.as_str();
    let before = from.map_or(NO_STATE, StateKind::name);
    metrics.transition(before, event.kind().name(), state.kind().name());
    log::info!(
        task = task.as_str(),
        trace,
        from = before,
        to = state.kind().name(),
        phase = state.phase(),
        event = event.kind().name(),
        namespace = after.spec.namespace,
        job = after.spec.job_name;
        "task moved"
    );
    if matches!(event, Event::LookFailed(_) | Event::LookRefused(_)) {
        log::warn!(task = task.as_str(), trace; "a look at its Job was not possible, it is tried again");
    }
    // Without these words nobody learns why a namespace is gated; those of a verdict are told with it.
    if let (Event::CreateFailed(refused), false) = (event, transition.gave_verdict()) {
        log::warn!(
            task = task.as_str(),
            trace,
            namespace = after.spec.namespace;
            "no Job yet, the create is tried again: {}", refused.message
        );
    }
    if let (true, Some(failure)) = (transition.gave_verdict(), failure(state)) {
        metrics.task_failed(failure.code.as_str());
        log::warn!(
            task = task.as_str(),
            trace,
            code = failure.code.as_str();
            "task ended: {}", failure.message
        );
    }
}

const fn failure(state: &State) -> Option<&engine::Failure> {
    match state {
        State::Failed(end) => Some(&end.failure),
        State::Exception(end) => Some(&end.failure),
        State::Received(_) | State::Created(_) | State::PodStarted(_) | State::Completed(_) => None,
    }
}
