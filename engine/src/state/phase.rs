//! What a Job that exists is waited for: its end, an answer, a second look.

use crate::code::{Code, Failure};
use crate::effect::Effect;
use crate::event::JobEnd;
use crate::policy::{
    FORBIDDEN_FINAL_MS, REFUSED_LOOK_MS, RETRY_MAX_MS, SETTLE_MS, UNREADABLE_FINAL_MS, UNWATCHED_LOOK_MS,
};
use crate::time::Timestamp;
use crate::uid::Uid;
use serde::{Deserialize, Serialize};

/// What the next fact about a Job is needed for.
///
/// `look_at` is when a fresh look is due; `None` while one is under way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// The watches tell.
    Following,
    /// The Job has ended; what its pods say of it is still to come.
    Settling {
        /// How the Job ended.
        end: JobEnd,
        /// When its pods are looked up, should they say nothing.
        look_at: Option<Timestamp>,
        /// Since when the API server has refused every look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<Timestamp>,
    },
    /// The Job is said to be gone; a look by name has to confirm it.
    Missing {
        /// The watch said DELETED; else a consistent list did not hold it.
        deleted: bool,
        /// When to look (again).
        look_at: Option<Timestamp>,
        /// Since when the API server has refused every look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<Timestamp>,
    },
    /// The Job exists but no watch shows it, since its labels hide it or its namespace may not be watched: it is looked up now
    /// and then.
    Unwatched {
        /// When to look again.
        look_at: Option<Timestamp>,
        /// Since when the API server has refused every look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<Timestamp>,
    },
    /// The start is overdue (in Created only); a fresh look decides.
    Overdue {
        /// Why the patience is over.
        why: Overdue,
        /// When to look (again).
        look_at: Option<Timestamp>,
        /// Since when the API server has refused every look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<Timestamp>,
    },
    /// The verdict is being written to the Job, which ends it.
    Stopping {
        /// The verdict.
        failure: Failure,
        /// When to ask again; `None` while a request is under way.
        retry_at: Option<Timestamp>,
    },
}

/// Why a start is overdue.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Overdue {
    /// `POD_START_TIMEOUT` has passed.
    Timeout,
    /// The pod waits for what never comes.
    Hopeless,
}

impl Phase {
    pub(crate) const fn settling(end: JobEnd, now: Timestamp) -> Self {
        Self::Settling {
            end,
            look_at: Some(now.plus_ms(SETTLE_MS)),
            refused_since: None,
        }
    }

    /// The Job is said to be gone. A look that is under way may be older than that: another one has to tell.
    pub(crate) fn lost(&self, deleted: bool, now: Timestamp) -> Self {
        Self::Missing {
            deleted,
            look_at: self.is_looking().then(|| now.plus_ms(RETRY_MAX_MS / 10)),
            refused_since: None,
        }
    }

    pub(crate) const fn unwatched(now: Timestamp) -> Self {
        Self::Unwatched {
            look_at: Some(now.plus_ms(UNWATCHED_LOOK_MS)),
            refused_since: None,
        }
    }

    /// Returns the phase's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::Settling { .. } => "settling",
            Self::Missing { .. } => "missing",
            Self::Unwatched { .. } => "unwatched",
            Self::Overdue { .. } => "overdue",
            Self::Stopping { .. } => "stopping",
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Following => None,
            Self::Settling { look_at, .. }
            | Self::Missing { look_at, .. }
            | Self::Unwatched { look_at, .. }
            | Self::Overdue { look_at, .. } => *look_at,
            Self::Stopping { retry_at, .. } => *retry_at,
        }
    }

    pub(crate) fn owed(&self, uid: &Uid) -> Option<Effect> {
        match self {
            Self::Following => None,
            Self::Settling { look_at, .. }
            | Self::Missing { look_at, .. }
            | Self::Unwatched { look_at, .. }
            | Self::Overdue { look_at, .. } => look_at.is_none().then_some(Effect::Look),
            Self::Stopping { failure, retry_at } => retry_at.is_none().then(|| Effect::StopJob {
                uid: uid.clone(),
                failure: failure.clone(),
            }),
        }
    }

    /// Returns the verdict that is being written to the Job.
    pub(crate) const fn verdict(&self) -> Option<&Failure> {
        match self {
            Self::Stopping { failure, .. } => Some(failure),
            Self::Following
            | Self::Settling { .. }
            | Self::Missing { .. }
            | Self::Unwatched { .. }
            | Self::Overdue { .. } => None,
        }
    }

    /// Tells whether the verdict that is being written is an operator's order.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.verdict()
            .is_some_and(|failure| failure.code == Code::TaskCancelled)
    }

    /// Returns how the Job ended, while what its pods say of it is still to come.
    pub(crate) const fn end(&self) -> Option<&JobEnd> {
        match self {
            Self::Settling { end, .. } => Some(end),
            Self::Following
            | Self::Missing { .. }
            | Self::Unwatched { .. }
            | Self::Overdue { .. }
            | Self::Stopping { .. } => None,
        }
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    pub(crate) fn is_looking(&self) -> bool {
        match self {
            Self::Following | Self::Stopping { .. } => false,
            Self::Settling { .. } | Self::Missing { .. } | Self::Unwatched { .. } | Self::Overdue { .. } => {
                self.deadline().is_none()
            }
        }
    }

    /// Returns since when every look was refused.
    const fn refused_since(&self) -> Option<Timestamp> {
        match self {
            Self::Settling { refused_since, .. }
            | Self::Missing { refused_since, .. }
            | Self::Unwatched { refused_since, .. }
            | Self::Overdue { refused_since, .. } => *refused_since,
            Self::Following | Self::Stopping { .. } => None,
        }
    }

    /// Tells whether looks were refused for so long that what is known has to do.
    pub(crate) fn is_refused_for_good(&self, now: Timestamp) -> bool {
        let patience = match self {
            Self::Settling { .. } | Self::Missing { deleted: true, .. } => FORBIDDEN_FINAL_MS,
            Self::Missing { deleted: false, .. } | Self::Unwatched { .. } | Self::Overdue { .. } => {
                UNREADABLE_FINAL_MS
            }
            Self::Following | Self::Stopping { .. } => return false,
        };
        self.refused_since()
            .is_some_and(|since| now.since_ms(since) >= patience)
    }

    /// Notes that a look was refused, and puts the next one off.
    #[must_use]
    pub(crate) fn refused(self, now: Timestamp) -> Self {
        let wait = match self {
            Self::Settling { .. } | Self::Missing { .. } => REFUSED_LOOK_MS,
            Self::Unwatched { .. } | Self::Overdue { .. } | Self::Following | Self::Stopping { .. } => {
                UNWATCHED_LOOK_MS
            }
        };
        let mut phase = self.until(Some(now.plus_ms(wait)));
        match &mut phase {
            Self::Settling { refused_since, .. }
            | Self::Missing { refused_since, .. }
            | Self::Unwatched { refused_since, .. }
            | Self::Overdue { refused_since, .. } => {
                refused_since.get_or_insert(now);
            }
            Self::Following | Self::Stopping { .. } => {}
        }
        phase
    }

    /// Begins what was put off until the deadline.
    #[must_use]
    pub(crate) fn begun(self) -> Self {
        self.until(None)
    }

    /// Puts off what could not be done now.
    #[must_use]
    pub(crate) fn put_off(self, now: Timestamp) -> Self {
        self.until(Some(now.plus_ms(RETRY_MAX_MS / 10)))
    }

    fn until(self, at: Option<Timestamp>) -> Self {
        match self {
            Self::Following => Self::Following,
            Self::Settling {
                end, refused_since, ..
            } => Self::Settling {
                end,
                look_at: at,
                refused_since,
            },
            Self::Missing {
                deleted,
                refused_since,
                ..
            } => Self::Missing {
                deleted,
                look_at: at,
                refused_since,
            },
            Self::Unwatched { refused_since, .. } => Self::Unwatched {
                look_at: at,
                refused_since,
            },
            Self::Overdue {
                why, refused_since, ..
            } => Self::Overdue {
                why,
                look_at: at,
                refused_since,
            },
            Self::Stopping { failure, .. } => Self::Stopping {
                failure,
                retry_at: at,
            },
        }
    }
}
