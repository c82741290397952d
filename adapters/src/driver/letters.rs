//! Orders about dead letters: refused messages that go back into the queue, and whatever is dropped.
//!
//! Where queue and store are one server, a message moves in the write that answers the order. Where they are two, the queue
//! moves it once that write is durable; should the leader die in between, it stays among the dead letters.

use super::orders::{Done, Letter, Order};
use super::pending::read;
use super::resend::task_of;
use super::{Driver, Output, Patience};
use crate::message::{Refused as Faults, parse};
use crate::store::{self, Op, Refused, Store};
use engine::outbox::Key;
use engine::{Code, TaskId, Timestamp, Verb};
use std::collections::BTreeSet;
use std::panic::catch_unwind;

/// Characters of the faults of a message that are told; the letter itself has all of them.
const FAULTS_MAX: usize = 400;
/// What is told where a name names nothing.
const NO_LETTER: &str = "no dead letter has this name";

impl<S: Store> Driver<S> {
    /// Puts refused messages back into the queue, each as one that was never seen.
    pub(super) fn requeue(
        &mut self,
        now: Timestamp,
        order: &Order,
        letters: &[Letter],
        patience: &mut dyn Patience,
    ) -> Result<Vec<Done>, store::Error> {
        let places: Vec<&str> = letters.iter().map(|letter| letter.place.as_str()).collect();
        let found = self.letters(&places, patience)?;
        let mut ids = BTreeSet::new();
        let mut results = Vec::new();
        for (letter, found) in letters.iter().zip(found) {
            let subject = format!("message/{}", letter.place);
            let outcome = self.free_id(letter, found, &mut ids).map(|task| {
                self.pending.push(Op::FreeId {
                    task: task.as_str().to_owned(),
                });
                let place = letter.place.clone();
                if self.store.joint() {
                    self.pending.push(Op::Requeue { place });
                } else {
                    self.pending.outputs.push(Output::Requeue(place));
                }
                let text = format!("back in the queue, task {}", task.as_str());
                self.note(now, order, Verb::Requeue, &subject, Some(task));
                text
            });
            results.push(Done::new(subject, outcome));
        }
        Ok(results)
    }

    /// Returns the id of a message that may go back, or why it may not.
    fn free_id(
        &self,
        letter: &Letter,
        found: Option<Refused>,
        ids: &mut BTreeSet<TaskId>,
    ) -> Result<TaskId, String> {
        let task = self.id_of(letter, found)?;
        if self.engine.task(&task).is_some() {
            return Err(format!(
                "a task with its id {} is still there; see `job-worker why`",
                task.as_str()
            ));
        }
        if self.unreadable.contains(&task) {
            return Err(format!(
                "the snapshot of the task with its id {} cannot be read",
                task.as_str()
            ));
        }
        if !ids.insert(task.clone()) {
            return Err("another message with its id goes back before it".to_owned());
        }
        Ok(task)
    }

    fn id_of(&self, letter: &Letter, found: Option<Refused>) -> Result<TaskId, String> {
        let named = || {
            let task = letter.task.as_deref().map(TaskId::new);
            task.ok_or_else(|| "no id can be read in it".to_owned())
        };
        if !self.store.joint() {
            return named();
        }
        let refused = found.ok_or_else(|| NO_LETTER.to_owned())?;
        // Reading it may be what made the worker fail: the taker counts how often that is tried.
        if refused.reason == Code::InternalError.as_str() {
            return named();
        }
        let again = |faults: &Faults| {
            let faults: Vec<String> = faults.faults.iter().map(ToString::to_string).collect();
            let faults: String = faults.join("; ").chars().take(FAULTS_MAX).collect();
            format!("it would be refused again: {faults}")
        };
        match catch_unwind(|| parse(&refused.raw)) {
            Ok(Ok(parsed)) => match self.not_listed(&parsed.message) {
                Some(listed) => Err(again(&Faults::not_listed(&parsed.message, listed))),
                None => Ok(TaskId::new(parsed.message.id)),
            },
            Ok(Err(faults)) => Err(again(&faults)),
            Err(_) => Err("reading it makes the worker fail".to_owned()),
        }
    }

    /// Drops refused messages.
    pub(super) fn drop_letters(
        &mut self,
        now: Timestamp,
        order: &Order,
        places: &[String],
        patience: &mut dyn Patience,
    ) -> Result<Vec<Done>, store::Error> {
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let found = self.letters(&places, patience)?;
        let mut dropped = BTreeSet::new();
        let mut results = Vec::new();
        for (place, found) in places.into_iter().zip(found) {
            let subject = format!("message/{place}");
            let known = found.is_some() || !self.store.joint();
            let outcome = if known && dropped.insert(place) {
                let place = place.to_owned();
                if self.store.joint() {
                    self.pending.push(Op::DropLetter { place });
                } else {
                    self.pending.outputs.push(Output::DropLetter(place));
                }
                self.note(now, order, Verb::Drop, &subject, None);
                Ok("dropped".to_owned())
            } else {
                Err(NO_LETTER.to_owned())
            };
            results.push(Done::new(subject, outcome));
        }
        Ok(results)
    }

    /// Drops callbacks that were given up.
    pub(super) fn drop_callbacks(
        &mut self,
        now: Timestamp,
        order: &Order,
        places: &[String],
        patience: &mut dyn Patience,
    ) -> Result<Vec<Done>, store::Error> {
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let found = read(&mut self.store, patience, &self.metrics, |store| {
            store.dead_callbacks(&places)
        })?;
        let mut dropped = BTreeSet::new();
        let mut results = Vec::new();
        for (place, found) in places.into_iter().zip(found) {
            let subject = format!("callback/{place}");
            let outcome = match found {
                Some(fields) if dropped.insert(place) => {
                    let key = fields.iter().find(|(name, _)| name == "key");
                    let key = key.and_then(|(_, key)| Key::parse(&String::from_utf8_lossy(key)));
                    self.pending.push(Op::DropCallback {
                        place: place.to_owned(),
                    });
                    let task = key.and_then(|key| task_of(&key.owner));
                    self.note(now, order, Verb::Drop, &subject, task);
                    Ok("dropped".to_owned())
                }
                Some(_) | None => Err(NO_LETTER.to_owned()),
            };
            results.push(Done::new(subject, outcome));
        }
        Ok(results)
    }

    fn letters(
        &mut self,
        places: &[&str],
        patience: &mut dyn Patience,
    ) -> Result<Vec<Option<Refused>>, store::Error> {
        read(&mut self.store, patience, &self.metrics, |store| {
            store.letters(places)
        })
    }
}
