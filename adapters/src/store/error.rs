//! What can be wrong with a write or a read, and what it means for the memory of whoever asked.

use crate::connection;

/// Says why a write or read was not done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The token is another leader's, or the store is empty.
    #[error("store: another leader has claimed it, or it is empty")]
    Fenced,
    /// The store has fewer writes than it had acknowledged to this leader.
    #[error("store: it lost acknowledged writes: it holds {found}, this leader knows of {known}")]
    Rollback {
        /// Writes that this leader knows of.
        known: u64,
        /// Writes that the store holds.
        found: String,
    },
    /// The store holds something else than the caller believed.
    #[error("store: conflict: {0}")]
    Conflict(Conflict),
    /// A task or outbox entry to be changed does not exist.
    #[error("store: {0} does not exist")]
    Gone(String),
    /// The keys belong to another pair of namespace and lock name.
    #[error("store: its keys belong to the instance {theirs}, not to {ours}")]
    Instance {
        /// This worker's pair.
        ours: String,
        /// The pair that came first.
        theirs: String,
    },
    /// The server did not answer in time.
    #[error("store: {error}{}", if *.unknown { " (it may have been written)" } else { "" })]
    Unavailable {
        /// Last error.
        error: connection::Error,
        /// Whether the write may have been done.
        unknown: bool,
    },
    /// The server refused; nothing was written.
    #[error("store: {0}")]
    Refused(connection::Error),
    /// A key of ours holds another type; nothing was written.
    #[error("store: the key {key} holds a value of another type")]
    WrongType {
        /// The key.
        key: String,
    },
    /// The login may not do what the store needs.
    #[error("store: the login may not run {command} on the key {key}")]
    Permission {
        /// Redis command.
        command: String,
        /// The key.
        key: String,
    },
    /// The server is older than 7.0.
    #[error("store: Redis {version} is too old: 7.0 or newer is needed")]
    TooOld {
        /// What the server says.
        version: String,
    },
    /// The batch breaks a rule of this page: a mistake of the caller, nothing was sent.
    #[error("store: not a valid batch: {0}")]
    Invalid(&'static str),
    /// The answer is not one of the script's.
    #[error("store: answer not understood: {0}")]
    Answer(String),
}

impl Error {
    /// Names the kind of failure, for metrics.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Error::Fenced => "fenced",
            Error::Rollback { .. } => "rollback",
            Error::Conflict(_) => "conflict",
            Error::Gone(_) => "gone",
            Error::Instance { .. } => "instance",
            Error::Unavailable { .. } => "unavailable",
            Error::Refused(_) => "refused",
            Error::WrongType { .. } => "wrong_type",
            Error::Permission { .. } => "permission",
            Error::TooOld { .. } => "too_old",
            Error::Invalid(_) => "invalid",
            Error::Answer(_) => "answer",
        }
    }

    /// Says whether the caller's memory may differ from the store: it has to drop it and load everything again.
    #[must_use]
    pub fn rebuild(&self) -> bool {
        match self {
            Error::Fenced | Error::Rollback { .. } | Error::Conflict(_) | Error::Gone(_) => true,
            Error::Unavailable { unknown, .. } => *unknown,
            Error::Answer(_) => true,
            Error::Instance { .. }
            | Error::Refused(_)
            | Error::WrongType { .. }
            | Error::Permission { .. }
            | Error::TooOld { .. }
            | Error::Invalid(_) => false,
        }
    }
}

/// Says what differs from the caller's belief.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// The task has another version.
    #[error("task {0} has another version")]
    Version(String),
    /// The task to be added exists.
    #[error("task {0} exists")]
    Exists(String),
    /// The task to be added has a tombstone.
    #[error("task {0} has a tombstone")]
    Tombstone(String),
    /// More was written under this leader's token than it knows of.
    #[error("the store holds {found} writes, this leader knows of {known}")]
    Ahead {
        /// Writes that this leader knows of.
        known: u64,
        /// Writes that the store holds.
        found: String,
    },
}
