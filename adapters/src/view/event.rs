//! One record of the event log as it is shown.

use engine::{Ordered, StateKind, Transition};
use serde::Serialize;

use super::task::TaskView;
use super::{Moment, evidence};

/// A transition of a task: what moved it, and what came of it; or an order of an operator, which has no states.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its place in the event log.
    pub cursor: String,
    /// When it was decided.
    pub at: Moment,
    /// The task's id; empty for an order that concerns none.
    pub task: String,
    /// The number of the transition in the task's life, from 1; 0 for an order.
    pub transition: u64,
    /// The name of the event, or of the order.
    pub event: &'static str,
    /// What was seen, in words.
    pub evidence: String,
    /// The state before, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'static str>,
    /// The state after; empty for an order.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub to: &'static str,
    /// The phase after; empty for an order.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub phase: &'static str,
    /// The statuses of the callbacks that came to be owed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<u8>,
    /// What is asked of the cluster because of it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// The code of the verdict, where this gave one that is a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'static str>,
    /// The message of that verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl EventView {
    /// Describes a record.
    #[must_use]
    pub fn new(cursor: &str, transition: &Transition) -> Self {
        let verdict = transition
            .gave_verdict()
            .then(|| TaskView::new(transition.task.as_str(), &transition.after));
        Self {
            cursor: cursor.to_owned(),
            at: transition.at.into(),
            task: transition.task.as_str().to_owned(),
            transition: transition.after.seq,
            event: transition.event.kind().name(),
            evidence: evidence::line(&transition.event),
            from: transition.from.map(StateKind::name),
            to: transition.after.state.kind().name(),
            phase: transition.after.state.phase(),
            callbacks: transition.notices.iter().map(|notice| notice.status()).collect(),
            asks: transition.recorded_effect().map(evidence::asked),
            error_code: verdict.as_ref().and_then(|task| task.error_code),
            message: verdict.and_then(|task| task.message),
        }
    }

    /// Describes the record of an order.
    #[must_use]
    pub fn of_order(cursor: &str, order: &Ordered) -> Self {
        Self {
            cursor: cursor.to_owned(),
            at: order.at.into(),
            task: order
                .task
                .as_ref()
                .map_or_else(String::new, |task| task.as_str().to_owned()),
            transition: 0,
            event: order.verb.name(),
            evidence: evidence::order(order),
            from: None,
            to: "",
            phase: "",
            callbacks: Vec::new(),
            asks: None,
            error_code: None,
            message: None,
        }
    }

    /// Tells whether it is an order, which moved no task.
    #[must_use]
    pub const fn is_order(&self) -> bool {
        self.to.is_empty()
    }
}
