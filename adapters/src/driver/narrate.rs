//! What the log and the metrics tell of a move, once it is durable.

use super::NO_STATE;
use crate::metrics::Metrics;
use crate::trace::trace_id;
use engine::{Event, State, StateKind, Transition};

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
