//! Whose callback it is, and which one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names whose callbacks are kept in order: one incarnation of a task, or the answer to one refused message.
///
/// Two tasks that use one id one after the other are two owners: callbacks of the first may still be
/// owed when the id is free again.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(Box<str>);

impl Owner {
    /// Wraps a name that the driver chose; it is stored and never parsed here.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one callback.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub struct Key {
    /// Whose it is.
    pub owner: Owner,
    /// Its status (0, 1, 2, 3 or 99), which is also its place in the owner's order.
    pub rank: u8,
}

impl Key {
    /// Reads a key as it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, rank) = text.rsplit_once('/')?;
        Some(Self {
            owner: Owner::new(owner),
            rank: rank.parse().ok()?,
        })
    }

    /// Tells whether it is a verdict; nothing of its owner follows one.
    pub const fn is_verdict(&self) -> bool {
        self.rank >= 2
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.rank)
    }
}
