//! Callbacks: from notices to outbox entries, from decisions of the outbox machine to operations of the store.

use super::pending::{Pending, encode};
use super::{Driver, Output};
use crate::cluster::names::Instance;
use crate::metrics::Metrics;
use crate::store::{Op, Store};
use crate::trace::trace_id;
use crate::webhook::{self, Callback};
use engine::outbox::{Answer, Decision, Key, Limits, Outbox, Owner, Schedule};
use engine::{Notice, Spec, TaskId, Timestamp, Transition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How the outbox shares the delivery threads.
pub(super) const LIMITS: Limits = Limits {
    threads: webhook::THREADS,
    per_receiver: 8,
    pending_per_receiver: 10_000,
};

/// A callback as the store holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "v")]
pub(crate) enum Stored {
    /// The first format.
    #[serde(rename = "1")]
    V1 {
        /// Which callback.
        key: Key,
        /// The task; `None` for the answer to a refused message.
        task: Option<TaskId>,
        /// Where it goes.
        url: String,
        /// Its `webhook-id`.
        webhook_id: String,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
        /// The trace context.
        traceparent: Option<String>,
        /// When it is tried.
        schedule: Schedule,
        /// An operator had it sent again: its task may be forgotten.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resent: bool,
    },
    /// No more callbacks of this owner are sent.
    #[serde(rename = "1-closed")]
    Closed {
        /// Whose.
        owner: Owner,
    },
}

/// What is sent, and why.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) task: Option<TaskId>,
    pub(super) url: String,
    pub(super) webhook_id: String,
    pub(super) body: Vec<u8>,
    pub(super) traceparent: Option<String>,
    pub(super) resent: bool,
}

impl Letter {
    /// Returns what the client is told of a transition, each under its key.
    pub(super) fn of_transition(transition: &Transition, instance: &Instance) -> Vec<(Key, Letter)> {
        let (task, spec) = (&transition.task, &transition.after.spec);
        let Some(url) = &spec.webhook else {
            return Vec::new();
        };
        let letter = |notice: &Notice| {
            let key = Key {
                owner: owner(task, spec),
                rank: notice.status(),
            };
            let (instance, received_at) = (instance.to_string(), spec.received_at.0);
            let letter = Letter {
                task: Some(task.clone()),
                url: url.clone(),
                webhook_id: webhook::webhook_id(&instance, task.as_str(), received_at, key.rank),
                body: body(notice, spec, &uid(notice)).body(task.as_str()),
                traceparent: spec.traceparent.clone(),
                resent: false,
            };
            (key, letter)
        };
        transition.notices.iter().map(letter).collect()
    }

    /// Returns the task's id for a log line; empty for the answer to a refused message.
    fn named(&self) -> &str {
        self.task.as_ref().map_or("", TaskId::as_str)
    }

    fn trace(&self) -> String {
        trace_id(self.traceparent.as_deref(), self.named())
    }

    fn stored(&self, key: &Key, schedule: Schedule) -> Vec<u8> {
        encode(&Stored::V1 {
            key: key.clone(),
            task: self.task.clone(),
            url: self.url.clone(),
            webhook_id: self.webhook_id.clone(),
            body: self.body.clone(),
            traceparent: self.traceparent.clone(),
            schedule,
            resent: self.resent,
        })
    }
}

/// Every callback that is owed, with its bytes.
pub(super) struct Callbacks {
    pub(super) outbox: Outbox,
    letters: BTreeMap<Key, Letter>,
    metrics: Arc<Metrics>,
}

/// The owner of a task's callbacks: one incarnation of the id.
pub(super) fn owner(task: &TaskId, spec: &Spec) -> Owner {
    Owner::new(format!("t:{}@{}", task.as_str(), spec.received_at.0))
}

impl Callbacks {
    pub(super) fn new(outbox: Outbox, letters: BTreeMap<Key, Letter>, metrics: Arc<Metrics>) -> Self {
        Self {
            outbox,
            letters,
            metrics,
        }
    }

    pub(super) fn owes(&self, task: &TaskId, spec: &Spec) -> bool {
        self.outbox.owes(&owner(task, spec))
    }

    /// Puts the notices of a transition into the outbox.
    pub(super) fn notify(
        &mut self,
        now: Timestamp,
        transition: &Transition,
        instance: &Instance,
        pending: &mut Pending,
    ) {
        for (key, letter) in Letter::of_transition(transition, instance) {
            self.push(now, key, letter, pending);
        }
    }

    /// Answers a refused message, once.
    pub(super) fn refuse(
        &mut self,
        now: Timestamp,
        id: &str,
        url: &str,
        message: &str,
        refusal: &super::intake::Refusal<'_>,
        pending: &mut Pending,
    ) {
        let key = Key {
            owner: Owner::new(format!("r:{}", engine::Digest(refusal.digest))),
            rank: 99,
        };
        let callback = Callback::Exception {
            code: engine::Code::InvalidMessage.as_str(),
            message,
        };
        let letter = Letter {
            task: None,
            url: url.to_owned(),
            webhook_id: webhook::refusal_webhook_id(refusal.instance, &refusal.digest),
            body: callback.body(id),
            traceparent: refusal.traceparent.map(str::to_owned),
            resent: false,
        };
        self.push(now, key, letter, pending);
    }

    pub(super) fn push(&mut self, now: Timestamp, key: Key, letter: Letter, pending: &mut Pending) {
        let receiver = webhook::receiver(&letter.url);
        self.letters.entry(key.clone()).or_insert(letter);
        let decisions = self.outbox.push(now, key, &receiver);
        self.decided(now, decisions, pending);
    }

    pub(super) fn decided(&mut self, now: Timestamp, decisions: Vec<Decision>, pending: &mut Pending) {
        for decision in decisions {
            match decision {
                Decision::Owed(key, schedule) => {
                    if let Some(letter) = self.letters.get(&key) {
                        let entry = letter.stored(&key, schedule);
                        pending.push(Op::OutPush {
                            key: key.to_string(),
                            entry,
                        });
                    }
                }
                Decision::Acknowledge(key) => {
                    pending.push(Op::OutAck { key: key.to_string() });
                    self.end(&key, pending);
                }
                Decision::Dead(key, reason) => self.dead(now, &key, &reason.to_string(), pending),
                Decision::Close(owner) => pending.push(Op::OutPush {
                    key: closed_key(&owner),
                    entry: encode(&Stored::Closed { owner }),
                }),
                Decision::Forget(owner) => pending.push(Op::OutAck {
                    key: closed_key(&owner),
                }),
            }
        }
    }

    fn dead(&mut self, now: Timestamp, key: &Key, reason: &str, pending: &mut Pending) {
        let Some(letter) = self.letters.get(key) else {
            return;
        };
        log::error!(
            task = letter.named(),
            trace = letter.trace(),
            status = key.rank,
            url = webhook::shown_url(&letter.url).to_string();
            "a callback is given up and is in the dead letters: {reason}"
        );
        self.metrics.callback("dead");
        self.metrics.dead_letter("callback");
        // A callback that is dead on arrival was never in the outbox.
        let entry = letter.stored(key, Schedule::new(now));
        pending.push(Op::OutPush {
            key: key.to_string(),
            entry,
        });
        let mut dead = vec![
            ("key".to_owned(), key.to_string().into_bytes()),
            ("url".to_owned(), letter.url.clone().into_bytes()),
            ("webhook-id".to_owned(), letter.webhook_id.clone().into_bytes()),
            ("body".to_owned(), letter.body.clone()),
            ("reason".to_owned(), reason.as_bytes().to_vec()),
        ];
        let context = letter.traceparent.clone().map(String::into_bytes);
        dead.extend(context.map(|context| ("traceparent".to_owned(), context)));
        pending.push(Op::OutDead {
            key: key.to_string(),
            dead,
        });
        self.end(key, pending);
    }

    /// Shows how long the oldest callback waits, and how many receivers fail.
    pub(super) fn show(&self, now: Timestamp) {
        let age_ms = self.outbox.oldest_owed().map_or(0, |at| now.since_ms(at));
        let failing = self.outbox.receivers().filter(|(_, load)| load.failing).count();
        self.metrics
            .set_callbacks_oldest(Duration::from_millis(age_ms), failing);
    }

    fn end(&mut self, key: &Key, pending: &mut Pending) {
        if let Some(letter) = self.letters.remove(key)
            && let Some(task) = letter.task
        {
            pending.ending.insert(task);
        }
    }

    fn delivery(&self, key: &Key) -> Option<webhook::Delivery> {
        let letter = self.letters.get(key)?;
        Some(webhook::Delivery {
            key: key.to_string(),
            url: letter.url.clone(),
            webhook_id: letter.webhook_id.clone(),
            body: letter.body.clone(),
            traceparent: letter.traceparent.clone(),
            begin_by: None,
        })
    }
}

fn closed_key(owner: &Owner) -> String {
    format!("{owner}/closed")
}

/// Returns the uid that a notice tells; empty where it tells none.
fn uid(notice: &Notice) -> String {
    match notice {
        Notice::Created { job } => job.to_string(),
        Notice::Started { pod, .. } => pod.to_string(),
        Notice::Completed { .. } | Notice::Failed(_) | Notice::Exception(_) => String::new(),
    }
}

fn body<'a>(notice: &'a Notice, spec: &'a Spec, uid: &'a str) -> Callback<'a> {
    match notice {
        Notice::Created { .. } => Callback::Created {
            job_id: uid,
            job_name: &spec.job_name,
        },
        Notice::Started { name, .. } => Callback::Started {
            pod_id: uid,
            pod_name: name,
        },
        Notice::Completed { duration_secs } => Callback::Completed {
            duration_seconds: *duration_secs,
        },
        Notice::Failed(failure) => Callback::Failed {
            code: failure.code.as_str(),
            message: &failure.message,
        },
        Notice::Exception(failure) => Callback::Exception {
            code: failure.code.as_str(),
            message: &failure.message,
        },
    }
}

impl<S: Store> Driver<S> {
    /// Takes in what became of an attempt.
    pub(super) fn answered(&mut self, now: Timestamp, key: &Key, answer: &webhook::Answer) {
        let (answer, result) = match answer {
            webhook::Answer::Delivered { .. } => (Answer::Delivered, "delivered"),
            webhook::Answer::Gone => (Answer::Gone, "gone"),
            webhook::Answer::NotBegun => (Answer::NotBegun, "not_begun"),
            webhook::Answer::Failed {
                retry_after, reason, ..
            } => {
                let letter = self.callbacks.letters.get(key);
                log::warn!(
                    task = letter.map_or("", Letter::named), trace = letter.map_or_else(String::new, Letter::trace), status = key.rank;
                    "a callback was not delivered, it is tried again: {reason}"
                );
                let retry_after_ms =
                    retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                (Answer::Failed { retry_after_ms }, "failed")
            }
        };
        self.metrics.callback(result);
        if let (Answer::Delivered, Some(owed)) = (answer, self.callbacks.outbox.schedule(key)) {
            let delay = Duration::from_millis(now.since_ms(owed.owed_at));
            self.metrics.callback_delivered(delay);
        }
        self.pending.begin();
        match self.callbacks.outbox.answered(now, key, answer) {
            Ok(decisions) => self.callbacks.decided(now, decisions, &mut self.pending),
            Err(late) => log::debug!("ignored: {late}"),
        }
    }

    /// Takes back an attempt that could not be begun.
    pub fn not_sent(&mut self, now: Timestamp, key: &Key) {
        self.holds_until = now.plus_ms(super::HOLD_MS);
        self.answered(now, key, &webhook::Answer::NotBegun);
    }

    /// Begins the attempts that are due.
    pub(super) fn send(&mut self, now: Timestamp) {
        for key in self.callbacks.outbox.start(now) {
            if let Some(delivery) = self.callbacks.delivery(&key) {
                self.outputs.push(Output::Send(key, delivery));
            }
        }
    }
}
