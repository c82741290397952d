//! The pause of intake: nothing is taken from the queue while an operator wants it so, whoever leads.
//!
//! Tasks go on, callbacks too. A message that a take under way brings is held: it stays in the queue's list of taken
//! messages, so a crash loses nothing of it.

use super::orders::{Done, Order};
use super::{Driver, Input};
use crate::store::{self, Op, Store};
use engine::{Timestamp, Verb};
use serde::{Deserialize, Serialize};

/// What these orders are about.
const INTAKE: &str = "intake";

/// Who paused the intake; stored as JSON.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    /// Who.
    pub by: String,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Since when, in ms since 1970.
    pub since_ms: u64,
}

/// Whether messages are taken.
#[derive(Debug, Default)]
pub(super) struct Intake {
    paused: bool,
    held: Vec<Input>,
}

impl Intake {
    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Holds the messages among the inputs while paused, and gives them back once it is not.
    pub(super) fn sift(&mut self, inputs: Vec<Input>) -> Vec<Input> {
        if !self.paused {
            let mut all = std::mem::take(&mut self.held);
            all.extend(inputs);
            return all;
        }
        let (messages, others): (Vec<Input>, Vec<Input>) = inputs
            .into_iter()
            .partition(|input| matches!(input, Input::Message(_)));
        self.held.extend(messages);
        others
    }

    /// Tells whether messages that were held may go on.
    pub(super) const fn has_news(&self) -> bool {
        !self.paused && !self.held.is_empty()
    }
}

impl<S: Store> Driver<S> {
    /// Reads whether a former leader was told to pause. What cannot be understood pauses too: somebody wrote it.
    pub(super) fn read_pause(&mut self) -> Result<(), store::Error> {
        let paused = self.store.paused()?.is_some();
        self.pause_is(paused);
        Ok(())
    }

    pub(super) fn pause(&mut self, now: Timestamp, order: &Order) -> Done {
        let paused = Paused {
            by: order.by.clone(),
            reason: order.reason.clone(),
            since_ms: now.0,
        };
        let was = self.intake.paused;
        if !was {
            let by = serde_json::to_vec(&paused).expect("a pause has a JSON form");
            self.pending.push(Op::Pause { by: Some(by) });
            self.note(now, order, Verb::Pause, INTAKE, None);
            self.pause_is(true);
        }
        done(if was { "was paused before" } else { "paused" })
    }

    pub(super) fn go_on(&mut self, now: Timestamp, order: &Order) -> Done {
        let was = self.intake.paused;
        if was {
            self.pending.push(Op::Pause { by: None });
            self.note(now, order, Verb::Resume, INTAKE, None);
            self.pause_is(false);
        }
        done(if was { "goes on" } else { "was not paused" })
    }

    fn pause_is(&mut self, paused: bool) {
        if paused {
            log::warn!("the intake of messages is paused by an operator");
        }
        self.intake.paused = paused;
        self.metrics.set_intake_paused(paused);
    }
}

fn done(text: &str) -> Done {
    Done {
        subject: INTAKE.to_owned(),
        done: true,
        text: text.to_owned(),
    }
}
