//! Orders to send callbacks again: with the same bytes and the same `webhook-id`, and from the first attempt on.
//!
//! A verdict may be sent again at any time: nothing follows it, and one that arrived is known by its `webhook-id`. A status 0
//! or 1 only while it is the last that its task has told, or it would come after what follows it.

use super::callbacks::{Letter, owner};
use super::orders::{Callback, Done, Order};
use super::pending::read;
use super::{Driver, Patience};
use crate::store::{self, Fields, Op, Store};
use engine::outbox::{Key, Owner};
use engine::{Record, StateKind, TaskId, Timestamp, Verb};

/// What an order names was not found.
const UNKNOWN: &str = "no such callback";

impl<S: Store> Driver<S> {
    /// Sends callbacks again.
    pub(super) fn resend(
        &mut self,
        now: Timestamp,
        order: &Order,
        callbacks: &[Callback],
        patience: &mut dyn Patience,
    ) -> Result<Vec<Done>, store::Error> {
        let mut results = Vec::new();
        for callback in callbacks {
            results.push(match callback {
                Callback::Owed { key } => match Key::parse(key) {
                    Some(key) => Done::new(named(&key), self.hasten(now, order, &key)),
                    None => Done::new(key, Err(UNKNOWN.to_owned())),
                },
                Callback::Dead { place } => self.dead_again(now, order, place, patience)?,
                Callback::Told { record, status } => {
                    self.told_again(now, order, record, *status, patience)?
                }
            });
        }
        Ok(results)
    }

    /// Tries one at once that waits for its next attempt.
    fn hasten(&mut self, now: Timestamp, order: &Order, key: &Key) -> Result<String, String> {
        if self.callbacks.outbox.schedule(key).is_none() {
            return Err(UNKNOWN.to_owned());
        }
        let Some(decisions) = self.callbacks.outbox.hasten(now, key) else {
            return Err("it is being sent".to_owned());
        };
        let text = match self.callbacks.outbox.schedule(key) {
            Some(schedule) if schedule.due > now => "its receiver asked to wait: it is sent then",
            Some(_) | None => "is tried at once, after those before it",
        };
        if !decisions.is_empty() {
            self.callbacks.decided(now, decisions, &mut self.pending);
            self.note(now, order, Verb::Resend, &named(key), task_of(&key.owner));
        }
        Ok(text.to_owned())
    }

    fn dead_again(
        &mut self,
        now: Timestamp,
        order: &Order,
        place: &str,
        patience: &mut dyn Patience,
    ) -> Result<Done, store::Error> {
        let found = read(&mut self.store, patience, &self.metrics, |store| {
            store.dead_callbacks(&[place])
        })?;
        let subject = format!("callback/{place}");
        let outcome = match found.into_iter().flatten().next().and_then(of_dead) {
            Some((key, letter)) => self.owe_again(now, order, &subject, key, letter),
            None => Err(UNKNOWN.to_owned()),
        };
        if outcome.is_ok() {
            self.pending.push(Op::DropCallback {
                place: place.to_owned(),
            });
        }
        Ok(Done::new(subject, outcome))
    }

    fn told_again(
        &mut self,
        now: Timestamp,
        order: &Order,
        record: &str,
        status: u8,
        patience: &mut dyn Patience,
    ) -> Result<Done, store::Error> {
        let found = read(&mut self.store, patience, &self.metrics, |store| {
            store.record(record)
        })?;
        let transition = match found.map(|bytes| rmp_serde::from_slice(&bytes)) {
            Some(Ok(Record::V1 { transition, .. })) => Some(transition),
            Some(Ok(Record::Order { .. }) | Err(_)) | None => None,
        };
        let told = transition.and_then(|transition| {
            let notices = Letter::of_transition(&transition, &self.settings.instance);
            notices.into_iter().find(|(key, _)| key.rank == status)
        });
        Ok(match told {
            Some((key, letter)) => {
                let subject = named(&key);
                let outcome = self.owe_again(now, order, &subject, key, letter);
                Done::new(subject, outcome)
            }
            None => Done::new(record, Err(UNKNOWN.to_owned())),
        })
    }

    fn owe_again(
        &mut self,
        now: Timestamp,
        order: &Order,
        subject: &str,
        key: Key,
        letter: Letter,
    ) -> Result<String, String> {
        if self.callbacks.outbox.schedule(&key).is_some() {
            return Err("it is owed: it is not given up yet, or sent again already".to_owned());
        }
        if self.callbacks.outbox.is_closed(&key.owner) {
            return Err("its receiver wants nothing of this task: it answered 410".to_owned());
        }
        if !key.is_verdict() && !self.is_last_told(&key) {
            return Err(
                "its task has told more since: a status 0 or 1 is not sent after what follows it".to_owned(),
            );
        }
        let task = task_of(&key.owner);
        let resent = Letter {
            resent: true,
            ..letter
        };
        self.callbacks.push(now, key, resent, &mut self.pending);
        self.note(now, order, Verb::Resend, subject, task);
        Ok("is sent again".to_owned())
    }

    fn is_last_told(&self, key: &Key) -> bool {
        let Some(task) = task_of(&key.owner) else {
            return false;
        };
        self.engine.task(&task).is_some_and(|held| {
            let rank = match held.state.kind() {
                StateKind::Created => 0,
                StateKind::PodStarted => 1,
                StateKind::Received | StateKind::Completed | StateKind::Failed | StateKind::Exception => {
                    return false;
                }
            };
            owner(&task, &held.spec) == key.owner && key.rank == rank
        })
    }
}

/// Returns the task whose callbacks an owner has; `None` for the answer to a refused message.
pub(super) fn task_of(owner: &Owner) -> Option<TaskId> {
    let (task, _) = owner.as_str().strip_prefix("t:")?.rsplit_once('@')?;
    Some(TaskId::new(task))
}

/// Names a callback for people.
fn named(key: &Key) -> String {
    match task_of(&key.owner) {
        Some(task) => format!("{}/{}", task.as_str(), key.rank),
        None => key.to_string(),
    }
}

/// Reads what is kept of a dead callback.
fn of_dead(fields: Fields) -> Option<(Key, Letter)> {
    let mut fields: std::collections::BTreeMap<String, Vec<u8>> = fields.into_iter().collect();
    let body = fields.remove("body")?;
    let mut text = |name: &str| {
        fields
            .remove(name)
            .and_then(|value| String::from_utf8(value).ok())
    };
    let key = Key::parse(&text("key")?)?;
    let letter = Letter {
        task: task_of(&key.owner),
        url: text("url")?,
        webhook_id: text("webhook-id")?,
        body,
        traceparent: text("traceparent"),
        resent: false,
    };
    Some((key, letter))
}
