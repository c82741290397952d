//! Orders of operators: taken from the store, carried out by the engine, answered in the same write.
//!
//! An order that a leader has read and not answered is read again by the next one. What moves no task is one write with its
//! answer and its record in the event log, so it is done once. The tasks of a cancellation may be several writes: the second
//! time it does no more, and finds the first ones cancelled.

use super::{Driver, Input, Patience};
use crate::store::{self, Op, Store};
use engine::{Cancelled, Event, NO_TASK, Ordered, Outcome, TaskId, Timestamp, Verb};
use serde::{Deserialize, Serialize};

/// Most tasks that one order names.
pub const TASKS_MAX: usize = 1_000;
/// Most dead letters or callbacks that one order names: all of them are one write with its answer.
pub const THINGS_MAX: usize = 100;
/// Longest name of an operator, and longest reason, in characters.
pub const WORDS_MAX: usize = 200;

/// An order as an operator gave it; stored as JSON.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Who gave it.
    pub by: String,
    /// Why, in the operator's words; may be empty.
    #[serde(default)]
    pub reason: String,
    /// What is to be done.
    pub what: What,
}

/// What an operator may order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// To end these tasks.
    Cancel {
        /// Their ids.
        tasks: Vec<String>,
    },
    /// To take no messages.
    Pause,
    /// To take messages again.
    Resume,
    /// To end every task of a service that has no verdict.
    CancelService {
        /// The service.
        service: String,
    },
    /// To put refused messages back into the queue, and to forget what is remembered of their ids.
    Requeue {
        /// The messages.
        letters: Vec<Letter>,
    },
    /// To drop dead letters.
    Drop {
        /// The places of refused messages.
        messages: Vec<String>,
        /// The places of callbacks that were given up.
        callbacks: Vec<String>,
    },
    /// To send callbacks again.
    Resend {
        /// The callbacks.
        callbacks: Vec<Callback>,
    },
}

/// A refused message, as an order names it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Its place among the dead letters of the queue.
    pub place: String,
    /// The id that it has; looked at only where the leader cannot read the message itself.
    pub task: Option<String>,
}

/// A callback, as an order names it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Callback {
    /// One that waits for its next attempt.
    Owed {
        /// Its key in the outbox.
        key: String,
    },
    /// One that was given up.
    Dead {
        /// Its place among the dead callbacks.
        place: String,
    },
    /// One that was told.
    Told {
        /// The place of the record of the event log by which it came to be owed.
        record: String,
        /// Its status.
        status: u8,
    },
}

impl What {
    /// Returns the places in streams that the order names.
    fn places(&self) -> Vec<&str> {
        match self {
            Self::Cancel { .. } | Self::Pause | Self::Resume | Self::CancelService { .. } => Vec::new(),
            Self::Requeue { letters } => letters.iter().map(|letter| letter.place.as_str()).collect(),
            Self::Drop { messages, callbacks } => {
                messages.iter().chain(callbacks).map(String::as_str).collect()
            }
            Self::Resend { callbacks } => callbacks
                .iter()
                .filter_map(|callback| match callback {
                    Callback::Owed { .. } => None,
                    Callback::Dead { place } | Callback::Told { record: place, .. } => Some(place.as_str()),
                })
                .collect(),
        }
    }

    /// Says what is wrong with it, whatever there is in the store.
    fn fault(&self) -> Option<String> {
        let places = self.places();
        let count = match self {
            Self::Resend { callbacks } => callbacks.len(),
            Self::Cancel { .. }
            | Self::Pause
            | Self::Resume
            | Self::CancelService { .. }
            | Self::Requeue { .. }
            | Self::Drop { .. } => places.len(),
        };
        if count > THINGS_MAX {
            return Some(format!(
                "an order names at most {THINGS_MAX} dead letters or callbacks"
            ));
        }
        let wrong = places.iter().find(|place| !is_place(place));
        wrong.map(|place| format!("{place:?} is no place in a stream"))
    }
}

/// Tells whether a text is the place of an entry of a stream: `<ms>-<number>`.
pub fn is_place(text: &str) -> bool {
    let is_number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u64>().is_ok();
    text.split_once('-')
        .is_some_and(|(ms, number)| is_number(ms) && is_number(number))
}

/// What became of an order; stored as JSON.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What became of each thing that it named.
    pub results: Vec<Done>,
    /// Why nothing was done at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What became of one thing that an order named.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The thing, such as a task's id.
    pub subject: String,
    /// The order is carried out, or under way.
    pub done: bool,
    /// What became of it, or why nothing did.
    pub text: String,
}

impl Answer {
    const fn refused(why: String) -> Self {
        Self {
            results: Vec::new(),
            refused: Some(why),
        }
    }
}

impl From<Done> for Answer {
    fn from(done: Done) -> Self {
        vec![done].into()
    }
}

impl From<Vec<Done>> for Answer {
    fn from(results: Vec<Done>) -> Self {
        Self {
            results,
            refused: None,
        }
    }
}

impl Done {
    /// Says what became of a thing: what was done, or why it was not.
    pub(super) fn new(subject: impl Into<String>, outcome: Result<String, String>) -> Self {
        let done = outcome.is_ok();
        Self {
            subject: subject.into(),
            done,
            text: outcome.unwrap_or_else(|why| why),
        }
    }
}

/// An order with its place in the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Placed {
    /// Its place.
    pub place: String,
    /// Its bytes.
    pub order: Vec<u8>,
}

/// Tells whether an order says who gives it, in words that a log line can hold.
fn is_signed(order: &Order) -> bool {
    let holds = |text: &str| text.chars().count() <= WORDS_MAX && !text.chars().any(char::is_control);
    !order.by.trim().is_empty() && holds(&order.by) && holds(&order.reason)
}

impl<S: Store> Driver<S> {
    /// Returns the orders that wait; none before the first lists are complete, and none while nothing new is begun.
    ///
    /// A store that cannot be read is met by the next write as well, which judges it.
    pub fn orders(&mut self) -> Vec<Input> {
        if !self.watching || self.draining {
            return Vec::new();
        }
        match self.store.orders() {
            Ok(orders) => orders
                .into_iter()
                .map(|(place, order)| Input::Order(Box::new(Placed { place, order })))
                .collect(),
            Err(error) => {
                self.metrics.store_error(error.class());
                log::debug!("orders cannot be read: {error}");
                Vec::new()
            }
        }
    }

    /// Carries out an order, and leaves its answer.
    ///
    /// # Errors
    /// The store refused or cannot be reached.
    pub(super) fn ordered(
        &mut self,
        now: Timestamp,
        placed: Placed,
        patience: &mut dyn Patience,
    ) -> Result<(), store::Error> {
        // What is read of the store for it must not be older than what this turn has decided.
        self.commit(patience)?;
        self.pending.begin();
        let answer = match serde_json::from_slice::<Order>(&placed.order) {
            Ok(order) if is_signed(&order) => match order.what.fault() {
                None => self.carry_out(now, &order, patience)?,
                Some(fault) => Answer::refused(fault),
            },
            Ok(_) => Answer::refused(format!(
                "an order says who gives it, and why, in at most {WORDS_MAX} characters each, none of them a control character"
            )),
            Err(error) => Answer::refused(format!("this leader cannot read the order: {error}")),
        };
        self.pending.push(Op::Answer {
            place: placed.place,
            order: placed.order,
            answer: serde_json::to_vec(&answer).expect("an answer has a JSON form"),
        });
        Ok(())
    }

    fn carry_out(
        &mut self,
        now: Timestamp,
        order: &Order,
        patience: &mut dyn Patience,
    ) -> Result<Answer, store::Error> {
        log::info!(by = order.by, reason = order.reason, order:serde = order.what; "an operator gives an order");
        let tasks: Vec<TaskId> = match &order.what {
            What::Cancel { tasks } => tasks
                .iter()
                .take(TASKS_MAX)
                .map(|task| TaskId::new(task.as_str()))
                .collect(),
            What::Pause => return Ok(self.pause(now, order).into()),
            What::Resume => return Ok(self.go_on(now, order).into()),
            What::Requeue { letters } => return Ok(self.requeue(now, order, letters, patience)?.into()),
            What::Drop { messages, callbacks } => {
                let mut results = self.drop_letters(now, order, messages, patience)?;
                results.extend(self.drop_callbacks(now, order, callbacks, patience)?);
                return Ok(results.into());
            }
            What::Resend { callbacks } => return Ok(self.resend(now, order, callbacks, patience)?.into()),
            What::CancelService { service } => self
                .engine
                .tasks()
                .filter(|(_, task)| task.spec.service == *service && !task.state.kind().is_terminal())
                .map(|(id, _)| id.clone())
                .collect(),
        };
        let results: Vec<Done> = tasks
            .into_iter()
            .map(|task| self.cancel(now, &task, order))
            .collect();
        Ok(results.into())
    }

    /// Says in the event log what was done by order, in the write that does it.
    pub(super) fn note(
        &mut self,
        now: Timestamp,
        order: &Order,
        verb: Verb,
        subject: &str,
        task: Option<TaskId>,
    ) {
        self.pending.note_order(Ordered {
            at: now,
            by: order.by.clone(),
            reason: order.reason.clone(),
            verb,
            subject: subject.to_owned(),
            task,
        });
    }

    fn cancel(&mut self, now: Timestamp, task: &TaskId, order: &Order) -> Done {
        let event = Event::Cancelled(Cancelled {
            by: order.by.clone(),
            reason: order.reason.clone(),
        });
        let (done, text) = match self.engine.step(now, task, event) {
            Ok(Outcome::Moved(step)) => {
                self.moved(now, Ok(step));
                let text = self.engine.task(task).map_or_else(String::new, |held| {
                    format!("{}, {}", held.state.kind().name(), held.state.phase())
                });
                (true, text)
            }
            Ok(Outcome::Ignored(NO_TASK)) => (false, "no task has this id, or it is finished".to_owned()),
            Ok(Outcome::Ignored(why)) => (false, why.to_owned()),
            Err(rejected) => (false, rejected.to_string()),
        };
        Done {
            subject: task.as_str().to_owned(),
            done,
            text,
        }
    }
}
