//! Messages: which becomes a task, which is a copy, which is refused.

use super::pending::{Patience, read};
use super::{Driver, Input};
use crate::cluster::names::job_name;
use crate::message::{Message, Parsed, Refused, parse};
use crate::source::{DeadLetter, Delivery};
use crate::store::{self, Store};
use crate::trace::trace_id;
use engine::{Code, Digest, Spec, TaskId, Timestamp, Tombstone};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The reason of dead letters whose id belongs to a task with other content (CONTRACT, section 3).
pub const DUPLICATE_ID: &str = "DUPLICATE_ID";

/// A taken message, read where it was taken so that the driver need not.
#[derive(Debug)]
pub struct Taken {
    /// The message as its producer wrote it.
    pub delivery: Delivery,
    /// What it says; `None` where reading it made the worker fail too often.
    pub parsed: Option<Result<Parsed, Refused>>,
}

impl Taken {
    /// Reads a taken message.
    pub fn read(delivery: Delivery) -> Self {
        let parsed = Some(parse(&delivery.raw));
        Self { delivery, parsed }
    }

    /// Sets aside a message that nobody may read again.
    pub const fn poison(delivery: Delivery) -> Self {
        Self {
            delivery,
            parsed: None,
        }
    }

    fn id(&self) -> Option<&str> {
        match self.parsed.as_ref()? {
            Ok(parsed) => Some(&parsed.message.id),
            Err(refused) => refused.id.as_deref(),
        }
    }
}

/// Whose an id is.
enum Owner {
    /// That of the task whose message has this digest, alive or remembered.
    Known(Digest),
    /// Somebody's, but what is stored of it cannot be read.
    Unreadable,
    Nobody,
}

/// What an answer to a refused message is made of.
pub(super) struct Refusal<'a> {
    pub(super) instance: &'a str,
    pub(super) digest: [u8; 32],
    pub(super) traceparent: Option<&'a str>,
}

/// What the store remembers of finished tasks, for the ids of one turn; `None` where it cannot be read: the id is taken.
pub(super) type Tombstones = BTreeMap<TaskId, Option<Tombstone>>;

impl<S: Store> Driver<S> {
    /// Asks the store once for every id of a turn that no task has.
    pub(super) fn tombstones(
        &mut self,
        inputs: &[Input],
        patience: &mut dyn Patience,
    ) -> Result<Tombstones, store::Error> {
        let mut ids = BTreeSet::new();
        for input in inputs {
            match input {
                Input::Message(taken) => ids.extend(taken.id().map(TaskId::new)),
                Input::Cluster(report) => ids.extend(report.adoptable().cloned()),
                Input::Webhook(..) | Input::Order(_) => {}
            }
        }
        ids.retain(|id| self.engine.task(id).is_none());
        if ids.is_empty() {
            return Ok(Tombstones::new());
        }
        let names: Vec<&str> = ids.iter().map(TaskId::as_str).collect();
        let found = read(&mut self.store, patience, &self.metrics, |store| {
            store.tombstones(&names)
        })?;
        let mut tombstones = Tombstones::new();
        for (id, bytes) in ids.iter().zip(found) {
            match bytes.map(|bytes| rmp_serde::from_slice(&bytes)) {
                None => {}
                Some(Ok(tombstone)) => drop(tombstones.insert(id.clone(), Some(tombstone))),
                Some(Err(error)) => {
                    log::error!(task = id.as_str(), trace = self.trace(id); "its tombstone cannot be read, the id stays taken: {error}");
                    tombstones.insert(id.clone(), None);
                }
            }
        }
        Ok(tombstones)
    }

    pub(super) fn message(&mut self, now: Timestamp, taken: Taken, tombstones: &Tombstones) {
        let receipt = taken.delivery.receipt.clone();
        self.pending.begin();
        match taken.parsed {
            None => self.poison(now, taken.delivery),
            Some(Err(refused)) => self.refuse(now, taken.delivery, &refused, tombstones),
            Some(Ok(parsed)) => self.accept(now, taken.delivery, parsed, tombstones),
        }
        if self.store.joint() {
            self.pending.outputs.push(super::Output::Handled(receipt));
        }
    }

    fn accept(&mut self, now: Timestamp, delivery: Delivery, parsed: Parsed, tombstones: &Tombstones) {
        let Parsed {
            message,
            digest,
            warnings,
        } = parsed;
        let id = TaskId::new(message.id.as_str());
        for warning in &warnings {
            log::warn!(task = id.as_str(), trace = trace_id(message.traceparent.as_deref(), id.as_str()); "{warning}");
        }
        match self.owner(&id, tombstones) {
            Owner::Known(owner) if owner == digest => self.copy(&id, delivery),
            Owner::Known(_) | Owner::Unreadable => self.duplicate(now, &id, delivery),
            Owner::Nobody => match self.not_listed(&message) {
                Some(listed) => {
                    let refused = Refused::not_listed(&message, listed);
                    self.refuse(now, delivery, &refused, tombstones);
                }
                None => self.begin(now, id, message, digest, delivery),
            },
        }
    }

    /// Finds out whose an id is.
    fn owner(&self, id: &TaskId, tombstones: &Tombstones) -> Owner {
        if let Some(digest) = self.engine.digest(id) {
            return Owner::Known(digest);
        }
        match tombstones.get(id) {
            Some(Some(tombstone)) => Owner::Known(tombstone.digest()),
            Some(None) => Owner::Unreadable,
            None if self.unreadable.contains(id) => Owner::Unreadable,
            None => Owner::Nobody,
        }
    }

    /// Sets aside a message that nobody may read again; unless it is one that became a task and waits for its Job, where
    /// every new leader meets it.
    fn poison(&mut self, now: Timestamp, delivery: Delivery) {
        let digest: [u8; 32] = Sha256::digest(&delivery.raw).into();
        let known = self.raws.iter().find(|(_, raw)| **raw == digest);
        if let Some(task) = known.map(|(task, _)| task.clone()) {
            return self.copy(&task, delivery);
        }
        log::error!(
            "a message made the worker fail {} times and is set aside",
            engine::PANICS_MAX
        );
        let detail = format!("The message made the worker fail {} times.", engine::PANICS_MAX);
        self.bury(now, delivery, Code::InternalError.as_str(), detail);
    }

    fn begin(&mut self, now: Timestamp, id: TaskId, message: Message, digest: Digest, delivery: Delivery) {
        self.metrics.message_became_task();
        let job = &message.job;
        let spec = Spec {
            digest,
            namespace: job.namespace.clone(),
            job_name: job_name(
                &self.settings.instance,
                &job.namespace,
                &message.id,
                &job.prefix_name,
            ),
            service: message.service.clone(),
            webhook: message.webhook.clone(),
            traceparent: message.traceparent.clone(),
            received_at: now,
            start_timeout_secs: self.settings.start_timeout_secs,
            active_deadline_secs: job.active_deadline_seconds,
            ttl_secs: job.ttl_seconds_after_finished,
        };
        if self.store.joint() {
            self.pending.keep(delivery.raw, Some(delivery.receipt));
        } else {
            self.raws.insert(id.clone(), Sha256::digest(&delivery.raw).into());
            self.pending.keep(delivery.raw, None);
            self.receipts.insert(id.clone(), delivery.receipt);
        }
        self.messages.insert(id.clone(), message);
        let step = self.engine.take(now, id, spec);
        self.moved(now, step);
    }

    /// Drops a message that asks for what a task does or did.
    fn copy(&mut self, id: &TaskId, delivery: Delivery) {
        let waits = self
            .engine
            .task(id)
            .is_some_and(|task| task.state.kind() == engine::StateKind::Received);
        if waits && !self.store.joint() && !self.receipts.contains_key(id) {
            // It may be the very message of the task, met again by a new leader: one has to stay in the queue.
            self.receipts.insert(id.clone(), delivery.receipt);
            return;
        }
        log::info!(task = id.as_str(), trace = self.trace(id); "a copy of its message is dropped");
        self.metrics.message_duplicate();
        self.pending.settle(self.store.joint(), delivery.receipt);
    }

    fn duplicate(&mut self, now: Timestamp, id: &TaskId, delivery: Delivery) {
        log::warn!(task = id.as_str(), trace = self.trace(id); "a message with other content has its id; it is in the dead letters");
        let detail = format!("The id {:?} belongs to a task with other content.", id.as_str());
        self.bury(now, delivery, DUPLICATE_ID, detail);
    }

    fn refuse(&mut self, now: Timestamp, delivery: Delivery, refused: &Refused, tombstones: &Tombstones) {
        let faults: Vec<String> = refused.faults.iter().map(ToString::to_string).collect();
        let detail = faults.join("; ");
        let id = refused.id.as_deref().map(TaskId::new);
        let named = id.as_ref().map_or("", TaskId::as_str);
        log::warn!(
            task = named, trace = trace_id(refused.traceparent.as_deref(), named);
            "a message is refused: {detail}"
        );
        if let (Some(id), Some(url)) = (&id, &refused.webhook) {
            let owned =
                self.engine.task(id).is_some() || tombstones.contains_key(id) || self.unreadable.contains(id);
            if !owned {
                let instance = self.settings.instance.to_string();
                let refusal = Refusal {
                    instance: &instance,
                    digest: Sha256::digest(&delivery.raw).into(),
                    traceparent: refused.traceparent.as_deref(),
                };
                self.callbacks
                    .refuse(now, id.as_str(), url, &detail, &refusal, &mut self.pending);
            }
        }
        self.bury(now, delivery, Code::InvalidMessage.as_str(), detail);
    }

    fn bury(&mut self, now: Timestamp, delivery: Delivery, reason: &'static str, detail: String) {
        self.metrics.message_refused(reason);
        self.metrics.dead_letter("message");
        let letter = DeadLetter {
            receipt: delivery.receipt,
            raw: delivery.raw,
            reason: reason.to_owned(),
            detail,
            at_ms: now.0,
        };
        self.pending.dead_letter(self.store.joint(), letter);
    }

    /// Returns the list of namespaces that messages may name, where this one names another.
    pub(super) fn not_listed(&self, message: &Message) -> Option<&[String]> {
        let listed = self.settings.namespaces.as_deref()?;
        (!listed.contains(&message.job.namespace)).then_some(listed)
    }
}
