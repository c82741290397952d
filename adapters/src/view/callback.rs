//! Callbacks as they are shown: those that are owed, and those that were given up.

use std::collections::BTreeMap;

use engine::outbox::WAITS_MS;
use serde::Serialize;

use super::Moment;
use crate::driver::StoredCallback;
use crate::webhook::shown_url;

/// A callback that is owed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackView {
    /// Its key in the outbox.
    pub key: String,
    /// The task's id; none for the answer to a refused message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its status.
    pub status: u8,
    /// Where it goes, without the query.
    pub url: String,
    /// Its `webhook-id`.
    pub webhook_id: String,
    /// Attempts that failed.
    pub attempts: u32,
    /// Attempts in all before it is given up.
    pub attempts_max: usize,
    /// Since when it is owed.
    pub owed_at: Moment,
    /// When it is tried next, once those before it are settled.
    pub due: Moment,
    /// The status of the task's callback that has to be settled first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u8>,
}

impl CallbackView {
    pub(super) fn new(stored: StoredCallback) -> Option<Self> {
        match stored {
            StoredCallback::V1 {
                key,
                task,
                url,
                webhook_id,
                schedule,
                ..
            } => Some(Self {
                status: key.rank,
                key: key.to_string(),
                task: task.map(|task| task.as_str().to_owned()),
                url: shown_url(&url),
                webhook_id,
                attempts: schedule.attempts,
                attempts_max: WAITS_MS.len() + 1,
                owed_at: schedule.owed_at.into(),
                due: schedule.due.into(),
                after: None,
            }),
            StoredCallback::Closed { .. } => None,
        }
    }
}

/// Notes for each callback which one of the same owner goes before it: the next lower status.
pub(super) fn line_up(callbacks: &mut [CallbackView]) {
    let mut statuses: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for callback in callbacks.iter() {
        let of_owner = statuses.entry(owner(&callback.key).to_owned()).or_default();
        of_owner.push(callback.status);
    }
    for callback in callbacks {
        let of_owner = statuses.get(owner(&callback.key)).into_iter().flatten();
        callback.after = of_owner.copied().filter(|status| *status < callback.status).max();
    }
}

/// Returns a key without its status.
fn owner(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(owner, _)| owner)
}

/// A callback that was given up.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadCallbackView {
    /// Its place among the dead callbacks.
    pub id: String,
    /// When it was given up.
    pub at: Moment,
    /// The key that it had in the outbox.
    pub key: String,
    /// The task's id; none for the answer to a refused message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Where it was to go, without the query.
    pub url: String,
    /// Its `webhook-id`.
    pub webhook_id: String,
    /// Why it was given up.
    pub reason: String,
}

impl DeadCallbackView {
    pub(super) fn new(id: String, fields: &BTreeMap<String, Vec<u8>>) -> Self {
        let text = |name: &str| {
            fields
                .get(name)
                .map_or_else(String::new, |value| String::from_utf8_lossy(value).into_owned())
        };
        let key = text("key");
        Self {
            at: at(&id),
            id,
            task: task_of(&key),
            key,
            url: shown_url(&text("url")),
            webhook_id: text("webhook-id"),
            reason: text("reason"),
        }
    }

    /// Returns its status; 99 where its key does not say one.
    #[must_use]
    pub fn status(&self) -> u8 {
        let rank = self.key.rsplit('/').next().and_then(|rank| rank.parse().ok());
        rank.unwrap_or(99)
    }
}

/// Reads the time at which Redis added an entry of a stream.
pub(super) fn at(id: &str) -> Moment {
    let ms = id.split('-').next().and_then(|ms| ms.parse().ok());
    Moment(ms.unwrap_or_default())
}

/// Reads the task's id in a key of the outbox: `t:<id>@<received at>/<status>`.
fn task_of(key: &str) -> Option<String> {
    let (owner, _) = key.strip_prefix("t:")?.rsplit_once('/')?;
    let (task, _) = owner.rsplit_once('@')?;
    Some(task.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_of_a_key_may_hold_its_separators() {
        assert_eq!(task_of("t:a@b/c@17/99").as_deref(), Some("a@b/c"));
        assert_eq!(task_of("r:00ff/99"), None);
    }
}
