//! The names of states and events, written out by hand: greppable, and exhaustive.

use crate::event::Event;
use serde::{Deserialize, Serialize};

/// The names of the states.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
pub enum StateKind {
    /// See [`crate::State::Received`].
    Received,
    /// See [`crate::State::Created`].
    Created,
    /// See [`crate::State::PodStarted`].
    PodStarted,
    /// See [`crate::State::Completed`].
    Completed,
    /// See [`crate::State::Failed`].
    Failed,
    /// See [`crate::State::Exception`].
    Exception,
}

impl StateKind {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Received,
        Self::Created,
        Self::PodStarted,
        Self::Completed,
        Self::Failed,
        Self::Exception,
    ];

    /// Returns the name of the state.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "Received",
            Self::Created => "Created",
            Self::PodStarted => "PodStarted",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Exception => "Exception",
        }
    }

    /// Tells whether a task in this state has its verdict.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Received | Self::Created | Self::PodStarted => false,
            Self::Completed | Self::Failed | Self::Exception => true,
        }
    }
}

/// The names of the events.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is described at the event of its name")]
pub enum EventKind {
    Taken,
    Adopted,
    Granted,
    Held,
    Released,
    StillRefused,
    TookOver,
    Woke,
    JobSeen,
    CreateFailed,
    JobJudged,
    JobEnded,
    JobDeleted,
    JobMissing,
    PodStarted,
    PodWaiting,
    PodFailed,
    Looked,
    LookFailed,
    LookRefused,
    StopAnswered,
    TtlAnswered,
    SetAside,
}

impl EventKind {
    /// Every event, in the order of a life.
    pub const ALL: [Self; 23] = [
        Self::Taken,
        Self::Adopted,
        Self::Granted,
        Self::Held,
        Self::Released,
        Self::StillRefused,
        Self::TookOver,
        Self::Woke,
        Self::JobSeen,
        Self::CreateFailed,
        Self::JobJudged,
        Self::JobEnded,
        Self::JobDeleted,
        Self::JobMissing,
        Self::PodStarted,
        Self::PodWaiting,
        Self::PodFailed,
        Self::Looked,
        Self::LookFailed,
        Self::LookRefused,
        Self::StopAnswered,
        Self::TtlAnswered,
        Self::SetAside,
    ];

    /// Returns the name of the event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "Taken",
            Self::Adopted => "Adopted",
            Self::Granted => "Granted",
            Self::Held => "Held",
            Self::Released => "Released",
            Self::StillRefused => "StillRefused",
            Self::TookOver => "TookOver",
            Self::Woke => "Woke",
            Self::JobSeen => "JobSeen",
            Self::CreateFailed => "CreateFailed",
            Self::JobJudged => "JobJudged",
            Self::JobEnded => "JobEnded",
            Self::JobDeleted => "JobDeleted",
            Self::JobMissing => "JobMissing",
            Self::PodStarted => "PodStarted",
            Self::PodWaiting => "PodWaiting",
            Self::PodFailed => "PodFailed",
            Self::Looked => "Looked",
            Self::LookFailed => "LookFailed",
            Self::LookRefused => "LookRefused",
            Self::StopAnswered => "StopAnswered",
            Self::TtlAnswered => "TtlAnswered",
            Self::SetAside => "SetAside",
        }
    }
}

impl Event {
    /// Returns the name of the event.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Taken(_) => EventKind::Taken,
            Self::Adopted(_) => EventKind::Adopted,
            Self::Granted(_) => EventKind::Granted,
            Self::Held(_) => EventKind::Held,
            Self::Released(_) => EventKind::Released,
            Self::StillRefused(_) => EventKind::StillRefused,
            Self::TookOver(_) => EventKind::TookOver,
            Self::Woke(_) => EventKind::Woke,
            Self::JobSeen(_) => EventKind::JobSeen,
            Self::CreateFailed(_) => EventKind::CreateFailed,
            Self::JobJudged(_) => EventKind::JobJudged,
            Self::JobEnded(_) => EventKind::JobEnded,
            Self::JobDeleted(_) => EventKind::JobDeleted,
            Self::JobMissing(_) => EventKind::JobMissing,
            Self::PodStarted(_) => EventKind::PodStarted,
            Self::PodWaiting(_) => EventKind::PodWaiting,
            Self::PodFailed(_) => EventKind::PodFailed,
            Self::Looked(_) => EventKind::Looked,
            Self::LookFailed(_) => EventKind::LookFailed,
            Self::LookRefused(_) => EventKind::LookRefused,
            Self::StopAnswered(_) => EventKind::StopAnswered,
            Self::TtlAnswered(_) => EventKind::TtlAnswered,
            Self::SetAside(_) => EventKind::SetAside,
        }
    }
}
