//! What a task waits for, in words for an operator.

use engine::states::{Created, Overdue, Phase, Received, ReceivedPhase, StartClock};
use engine::{Closing, RefusalKind, Spec, State, Task, WaitingKind};

use super::Moment;

/// Says what a task waits for.
pub(super) fn sentence(task: &Task) -> String {
    match &task.state {
        State::Received(received) => waits_for_job(received),
        State::Created(created) => waits_for_start(created, &task.spec),
        State::PodStarted(started) => follows(&started.phase, || {
            let limit = task.spec.active_deadline_secs.map_or_else(String::new, |secs| {
                format!(", which its activeDeadlineSeconds ends after {secs} s")
            });
            format!("the end of its Job{limit}")
        }),
        State::Completed(end) => left(&end.closing),
        State::Failed(end) => left(&end.closing),
        State::Exception(end) => left(&end.closing),
    }
}

fn waits_for_job(received: &Received) -> String {
    match &received.phase {
        ReceivedPhase::Queued => "a free create slot, and its namespace to be ready".to_owned(),
        ReceivedPhase::Creating => {
            format!("the API server's answer to create request {}", received.attempts)
        }
        ReceivedPhase::BackingOff { old_job: true, .. } => {
            "the Job of an earlier task with this id to be removed".to_owned()
        }
        ReceivedPhase::BackingOff { old_job: false, .. } => format!(
            "its next create request; {} did not yield a Job",
            received.attempts
        ),
        ReceivedPhase::Gated => {
            let (why, since) = received.refused.as_ref().map_or_else(
                || ("refuses creates", String::new()),
                |refused| {
                    let why = match refused.why {
                        RefusalKind::Forbidden => "refuses creates for want of a permission",
                        RefusalKind::Quota => "has no quota left",
                    };
                    (why, format!(" since {}", Moment::from(refused.since)))
                },
            );
            format!("its namespace, which {why}{since}; one task at a time probes it")
        }
        ReceivedPhase::Confirming { failure, .. } => format!(
            "a look that shows that no Job came of an unanswered create; then it ends with {}",
            failure.code
        ),
    }
}

fn waits_for_start(created: &Created, spec: &Spec) -> String {
    follows(&created.phase, || {
        let pod = created.waiting.as_ref().map_or_else(
            || "a container of its pod to start".to_owned(),
            |wait| {
                format!(
                    "a container of its pod to start; since {} the pod waits for {} ({})",
                    Moment::from(wait.since),
                    subject(wait.what.kind),
                    wait.what.reason
                )
            },
        );
        match created.start {
            StartClock::Running { .. } => {
                format!("{pod}; after {} s it is given up", spec.start_timeout_secs)
            }
            StartClock::Stopped { .. } | StartClock::Unarmed { suspended: true } => {
                "its Job to be resumed: it is suspended".to_owned()
            }
            StartClock::Unarmed { suspended: false } => {
                format!("{pod}; the Job's own activeDeadlineSeconds ends it")
            }
        }
    })
}

fn follows(phase: &Phase, watched: impl FnOnce() -> String) -> String {
    match phase {
        Phase::Following => watched(),
        Phase::Settling { look_at, .. } => look(look_at.is_none(), "what its pods say of the end of its Job"),
        Phase::Missing { deleted, look_at, .. } => look(
            look_at.is_none(),
            if *deleted {
                "a look that confirms that its Job was deleted"
            } else {
                "a look that tells whether its Job is gone"
            },
        ),
        Phase::Unwatched { look_at, .. } => look(
            look_at.is_none(),
            "a look at its Job, which no watch shows (are its labels as they were?)",
        ),
        Phase::Overdue { why, look_at, .. } => look(
            look_at.is_none(),
            match why {
                Overdue::Timeout => "a last look at its Job: the start is overdue",
                Overdue::Hopeless => "a last look at its Job: its pod can never start",
            },
        ),
        Phase::Stopping { failure, retry_at } => look(
            retry_at.is_none(),
            &format!("its Job to be stopped; then it ends with {}", failure.code),
        ),
    }
}

/// Adds that the request was sent.
fn look(under_way: bool, what: &str) -> String {
    if under_way {
        format!("{what} (asked, not answered yet)")
    } else {
        what.to_owned()
    }
}

const fn subject(kind: WaitingKind) -> &'static str {
    match kind {
        WaitingKind::Scheduling => "a node",
        WaitingKind::Image => "its image",
        WaitingKind::ImageName => "a valid image name",
        WaitingKind::Config => "its configuration",
        WaitingKind::Other => "its container",
    }
}

fn left(closing: &Closing) -> String {
    match closing {
        Closing::Done => "the delivery of its callbacks; then it is forgotten".to_owned(),
        Closing::Ttl(_) => "the TTL of its Job to be set".to_owned(),
        Closing::LeftInPlace { .. } => {
            "the end of its Job, which was left in place and may still run".to_owned()
        }
    }
}
