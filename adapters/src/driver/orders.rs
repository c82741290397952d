//! Orders of operators: taken from the store, carried out by the engine, answered in the same write.
//!
//! An order that a leader has read and not answered is read again by the next one, so each may be carried out twice; none
//! does more the second time.

use super::{Driver, Input};
use crate::store::{Op, Store};
use engine::{Cancelled, Event, NO_TASK, Outcome, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

/// Most tasks that one order names.
pub const TASKS_MAX: usize = 1_000;
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

impl From<Done> for Answer {
    fn from(done: Done) -> Self {
        Self {
            results: vec![done],
            refused: None,
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
    pub(super) fn ordered(&mut self, now: Timestamp, placed: Placed) {
        let answer = match serde_json::from_slice::<Order>(&placed.order) {
            Ok(order) => self.carry_out(now, &order),
            Err(error) => Answer {
                results: Vec::new(),
                refused: Some(format!("this leader cannot read the order: {error}")),
            },
        };
        self.pending.begin();
        self.pending.push(Op::Answer {
            place: placed.place,
            order: placed.order,
            answer: serde_json::to_vec(&answer).expect("an answer has a JSON form"),
        });
    }

    fn carry_out(&mut self, now: Timestamp, order: &Order) -> Answer {
        log::info!(by = order.by, reason = order.reason, order:serde = order.what; "an operator gives an order");
        self.pending.begin();
        let tasks: Vec<TaskId> = match &order.what {
            What::Cancel { tasks } => tasks
                .iter()
                .take(TASKS_MAX)
                .map(|task| TaskId::new(task.as_str()))
                .collect(),
            What::Pause => return self.pause(now, order).into(),
            What::Resume => return self.go_on().into(),
            What::CancelService { service } => self
                .engine
                .tasks()
                .filter(|(_, task)| task.spec.service == *service && !task.state.kind().is_terminal())
                .map(|(id, _)| id.clone())
                .collect(),
        };
        Answer {
            results: tasks
                .into_iter()
                .map(|task| self.cancel(now, &task, order))
                .collect(),
            refused: None,
        }
    }

    fn cancel(&mut self, now: Timestamp, task: &TaskId, order: &Order) -> Done {
        let cut = |text: &str| text.chars().take(WORDS_MAX).collect();
        let event = Event::Cancelled(Cancelled {
            by: cut(&order.by),
            reason: cut(&order.reason),
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
