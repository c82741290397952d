//! A dead letter of the queue as it is shown.

use serde::Serialize;

use super::Moment;
use crate::message::parse;
use crate::source::letters::Kept;

/// A message that was refused.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterView {
    /// Its place among the dead letters.
    pub id: String,
    /// When it was refused.
    pub at: Moment,
    /// The code.
    pub reason: String,
    /// Every fault.
    pub detail: String,
    /// The task's id, where the message has one that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How long the message is.
    pub bytes: usize,
}

impl LetterView {
    /// Describes a letter without its message.
    #[must_use]
    pub fn new(kept: &Kept) -> Self {
        Self {
            id: kept.id.clone(),
            at: Moment(kept.at_ms),
            reason: kept.reason.clone(),
            detail: kept.detail.clone(),
            task: match parse(&kept.raw) {
                Ok(parsed) => Some(parsed.message.id),
                Err(refused) => refused.id,
            },
            bytes: kept.raw.len(),
        }
    }
}
