//! What the log and the metrics tell of a move, once it is durable.

use super::NO_STATE;
use crate::metrics::Metrics;
use engine::{Event, State, StateKind, TaskId, Transition};
use sha2::{Digest as _, Sha256};

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
    let before = from.map_or(NO_STATE, StateKind::name);
    metrics.transition(before, event.kind().name(), state.kind().name());
    log::info!(
        task = task.as_str(),
        trace = trace_id(&after.spec, task),
        from = before,
        to = state.kind().name(),
        phase = state.phase(),
        event = event.kind().name(),
        namespace = after.spec.namespace,
        job = after.spec.job_name;
        "task moved"
    );
    // Without these words nobody learns why a namespace is gated; those of a verdict are told with it.
    if let (Event::CreateFailed(refused), false) = (event, transition.gave_verdict()) {
        log::warn!(
            task = task.as_str(),
            trace = trace_id(&after.spec, task),
            namespace = after.spec.namespace;
            "no Job yet, the create is tried again: {}", refused.message
        );
    }
    if let (true, Some(failure)) = (transition.gave_verdict(), failure(state)) {
        metrics.task_failed(failure.code.as_str());
        log::warn!(
            task = task.as_str(),
            trace = trace_id(&after.spec, task),
            code = failure.code.as_str();
            "task ended: {}", failure.message
        );
    }
}

/// The trace id of the message's trace context, else one that is derived from the task's id.
fn trace_id(spec: &engine::Spec, task: &TaskId) -> String {
    spec.traceparent
        .as_deref()
        .and_then(|context| context.split('-').nth(1))
        .map_or_else(|| derived_trace_id(task), str::to_owned)
}

fn derived_trace_id(task: &TaskId) -> String {
    let digest: [u8; 32] = Sha256::digest(task.as_str().as_bytes()).into();
    data_encoding::HEXLOWER.encode(&digest[..16])
}

const fn failure(state: &State) -> Option<&engine::Failure> {
    match state {
        State::Failed(end) => Some(&end.failure),
        State::Exception(end) => Some(&end.failure),
        State::Received(_) | State::Created(_) | State::PodStarted(_) | State::Completed(_) => None,
    }
}
