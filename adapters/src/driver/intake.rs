//! Messages: which becomes a task, which is a copy, which is refused.

use super::pending::{Patience, read};
use super::{Driver, Input};
use crate::cluster::names::job_name;
use crate::message::{Message, Parsed, Refused, parse};
use crate::source::{DeadLetter, Delivery, Receipt};
use crate::store::{self, Store};
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

/// What an answer to a refused message is made of.
pub(super) struct Refusal<'a> {
    pub(super) instance: &'a str,
    pub(super) digest: [u8; 32],
    pub(super) traceparent: Option<&'a str>,
}

/// What the store remembers of finished tasks, for the ids of one turn.
pub(super) type Tombstones = BTreeMap<TaskId, Tombstone>;

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
                Input::Webhook(..) => {}
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
                Some(Ok(tombstone)) => drop(tombstones.insert(id.clone(), tombstone)),
                Some(Err(error)) => {
                    log::error!(task = id.as_str(); "its tombstone cannot be read, the id stays taken: {error}");
                    self.unreadable.insert(id.clone());
                }
            }
        }
        Ok(tombstones)
    }

    pub(super) fn message(&mut self, now: Timestamp, taken: Taken, tombstones: &Tombstones) {
        let receipt = taken.delivery.receipt.clone();
        self.pending.begin();
        match taken.parsed {
            None => {
                log::error!(
                    "a message made the worker fail {} times and is set aside",
                    engine::PANICS_MAX
                );
                let detail = format!("The message made the worker fail {} times.", engine::PANICS_MAX);
                self.bury(now, taken.delivery, Code::InternalError.as_str(), detail);
            }
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
            log::warn!(task = id.as_str(); "{warning}");
        }
        if let Some(namespace) = self.not_listed(&message) {
            let refused = Refused::not_listed(&message, namespace);
            return self.refuse(now, delivery, &refused, tombstones);
        }
        let owner = self
            .engine
            .digest(&id)
            .or_else(|| Some(tombstones.get(&id)?.digest()));
        match owner {
            Some(owner) if owner == digest => self.copy(&id, delivery.receipt),
            Some(_) => self.duplicate(now, &id, delivery),
            None if self.unreadable.contains(&id) => self.duplicate(now, &id, delivery),
            None => self.begin(now, id, message, digest, delivery),
        }
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
            self.pending.keep(delivery.raw, None);
            self.receipts
                .entry(id.clone())
                .or_default()
                .push(delivery.receipt);
        }
        self.messages.insert(id.clone(), message);
        let step = self.engine.take(now, id, spec);
        self.moved(now, step);
    }

    /// Drops a message that asks for what a task does or did.
    fn copy(&mut self, id: &TaskId, receipt: Receipt) {
        let waits = self
            .engine
            .task(id)
            .is_some_and(|task| task.state.kind() == engine::StateKind::Received);
        if waits && !self.store.joint() {
            // It may be the very message of the task, met again by a new leader.
            self.receipts.entry(id.clone()).or_default().push(receipt);
            return;
        }
        log::info!(task = id.as_str(); "a copy of its message is dropped");
        self.metrics.message_duplicate();
        self.pending.settle(self.store.joint(), receipt);
    }

    fn duplicate(&mut self, now: Timestamp, id: &TaskId, delivery: Delivery) {
        log::warn!(task = id.as_str(); "a message with other content has its id; it is in the dead letters");
        let detail = format!("The id {:?} belongs to a task with other content.", id.as_str());
        self.bury(now, delivery, DUPLICATE_ID, detail);
    }

    fn refuse(&mut self, now: Timestamp, delivery: Delivery, refused: &Refused, tombstones: &Tombstones) {
        let faults: Vec<String> = refused.faults.iter().map(ToString::to_string).collect();
        let detail = faults.join("; ");
        let id = refused.id.as_deref().map(TaskId::new);
        log::warn!(task = id.as_ref().map_or("", TaskId::as_str); "a message is refused: {detail}");
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
    fn not_listed(&self, message: &Message) -> Option<&[String]> {
        let listed = self.settings.namespaces.as_deref()?;
        (!listed.contains(&message.job.namespace)).then_some(listed)
    }
}
