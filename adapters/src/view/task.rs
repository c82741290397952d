//! One task as it is shown.

use engine::{Closing, Failure, State, Task};
use serde::Serialize;

use super::{Moment, waiting};
use crate::webhook::shown_url;

/// The name of the state of a task whose snapshot cannot be read.
const UNREADABLE: &str = "Unreadable";

/// A task and what it waits for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskView {
    /// Its id.
    pub id: String,
    /// The message's `service`.
    pub service: String,
    /// The Job's namespace.
    pub namespace: String,
    /// The name of its state.
    pub state: &'static str,
    /// The name of its phase.
    pub phase: &'static str,
    /// The Job's name.
    pub job_name: String,
    /// The Job's uid, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_uid: Option<String>,
    /// When its message was taken.
    pub received_at: Moment,
    /// Create requests begun, until there is a Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// What it waits for, in words.
    pub waits_for: String,
    /// Until when, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// The code of its verdict, where that is a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'static str>,
    /// The message of its verdict, where that is a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where its callbacks go, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The trace context of its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The Job can be stopped: `patch` is granted in its namespace.
    pub stoppable: bool,
    /// Transitions so far.
    pub transitions: u64,
}

impl TaskView {
    /// Describes a task.
    #[must_use]
    pub fn new(id: &str, task: &Task) -> Self {
        let failure = failure(&task.state);
        Self {
            id: id.to_owned(),
            service: task.spec.service.clone(),
            namespace: task.spec.namespace.clone(),
            state: task.state.kind().name(),
            phase: task.state.phase(),
            job_name: task.spec.job_name.clone(),
            job_uid: task.state.job().map(ToString::to_string),
            received_at: task.spec.received_at.into(),
            attempts: attempts(&task.state),
            waits_for: waiting::sentence(task),
            until: task.state.deadline().map(Moment::from),
            error_code: failure.map(|failure| failure.code.as_str()),
            message: failure.map(|failure| failure.message.clone()),
            webhook: task.spec.webhook.as_deref().map(shown_url),
            traceparent: task.spec.traceparent.clone(),
            stoppable: stoppable(&task.state),
            transitions: task.seq,
        }
    }

    /// Describes a task whose snapshot cannot be read.
    #[must_use]
    pub fn unreadable(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            service: String::new(),
            namespace: String::new(),
            state: UNREADABLE,
            phase: "left alone",
            job_name: String::new(),
            job_uid: None,
            received_at: Moment::default(),
            attempts: None,
            waits_for: "a release that reads its snapshot: the store holds one that this program cannot read"
                .to_owned(),
            until: None,
            error_code: None,
            message: None,
            webhook: None,
            traceparent: None,
            stoppable: false,
            transitions: 0,
        }
    }
}

const fn failure(state: &State) -> Option<&Failure> {
    match state {
        State::Failed(end) => Some(&end.failure),
        State::Exception(end) => Some(&end.failure),
        State::Received(_) | State::Created(_) | State::PodStarted(_) | State::Completed(_) => None,
    }
}

const fn attempts(state: &State) -> Option<u32> {
    match state {
        State::Received(received) => Some(received.attempts),
        State::Created(_)
        | State::PodStarted(_)
        | State::Completed(_)
        | State::Failed(_)
        | State::Exception(_) => None,
    }
}

const fn stoppable(state: &State) -> bool {
    match state {
        State::Received(received) => received.stoppable,
        State::Created(created) => created.stoppable,
        State::PodStarted(started) => started.stoppable,
        State::Exception(end) => matches!(end.closing, Closing::LeftInPlace { stoppable: true, .. }),
        State::Completed(_) | State::Failed(_) => false,
    }
}
