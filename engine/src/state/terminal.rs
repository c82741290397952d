//! The three ends. A terminal state is never left; it may still owe the Job its TTL.

use super::Cx;
use crate::code::Failure;
use crate::effect::Effect;
use crate::event::{JobEnded, TtlAnswered};
use crate::policy::RETRY_MAX_MS;
use crate::time::Timestamp;
use crate::uid::Uid;
use serde::{Deserialize, Serialize};

/// The Job has condition Complete.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// What is left to do.
    pub closing: Closing,
}

/// The Job has condition Failed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// The verdict.
    pub failure: Failure,
    /// What is left to do.
    pub closing: Closing,
}

/// Every other end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Exception {
    /// The verdict.
    pub failure: Failure,
    /// What is left to do.
    pub closing: Closing,
}

/// What a finished task is kept for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Closing {
    /// Nothing; it is forgotten once its callbacks are delivered.
    Done,
    /// The Job's TTL is set only after the verdict is durable.
    Ttl(Ttl),
    /// The verdict came before the Job's end and the Job could not be stopped: it may still run, so
    /// the id stays taken until the Job has ended or is gone.
    LeftInPlace {
        /// The Job's uid.
        uid: Uid,
        /// Its TTL can be set later, and so was not set at creation.
        stoppable: bool,
    },
}

/// A TTL that is owed to a Job.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ttl {
    /// The Job's uid.
    pub uid: Uid,
    /// Seconds.
    pub seconds: u32,
    /// When to ask again; `None` while a request is under way.
    pub retry_at: Option<Timestamp>,
}

impl Closing {
    /// Closes a task whose Job has ended or was stopped: the TTL is owed where it was not set at creation.
    pub(crate) fn of_ended(uid: Uid, stoppable: bool, cx: &Cx<'_>) -> Self {
        match cx.spec.ttl_secs {
            Some(seconds) if stoppable => Self::Ttl(Ttl {
                uid,
                seconds,
                retry_at: None,
            }),
            Some(_) | None => Self::Done,
        }
    }

    /// Returns the name of what is left to do.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Ttl(_) => "setting the TTL",
            Self::LeftInPlace { .. } => "Job left in place",
        }
    }

    pub(crate) const fn job(&self) -> Option<&Uid> {
        match self {
            Self::Done => None,
            Self::Ttl(ttl) => Some(&ttl.uid),
            Self::LeftInPlace { uid, .. } => Some(uid),
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Ttl(ttl) => ttl.retry_at,
            Self::Done | Self::LeftInPlace { .. } => None,
        }
    }

    pub(crate) fn owed(&self) -> Option<Effect> {
        match self {
            Self::Ttl(ttl) => ttl.retry_at.is_none().then(|| Effect::SetTtl {
                uid: ttl.uid.clone(),
                seconds: ttl.seconds,
            }),
            Self::Done | Self::LeftInPlace { .. } => None,
        }
    }

    pub(crate) const fn waker(&self) -> &'static str {
        match self {
            Self::Done | Self::Ttl(_) => "nobody: it is finished",
            Self::LeftInPlace { .. } => "the end of its Job",
        }
    }

    fn until(self, at: Option<Timestamp>) -> Self {
        match self {
            Self::Ttl(ttl) => Self::Ttl(Ttl { retry_at: at, ..ttl }),
            Self::Done | Self::LeftInPlace { .. } => self,
        }
    }
}

/// The rows of the table that the three ends share.
macro_rules! closing_rows {
    ($state:ident) => {
        impl $state {
            pub(crate) fn due<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
                self.closing.deadline().is_some_and(|at| at <= cx.now)
            }

            pub(crate) fn asks_again<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
                self.closing = self.closing.until(None);
                self
            }

            pub(crate) fn settles(&self, e: &TtlAnswered, _: &Cx<'_>) -> bool {
                *e == TtlAnswered::Settled && matches!(self.closing, Closing::Ttl(_))
            }

            pub(crate) fn owes_ttl<E>(&self, _: &E, _: &Cx<'_>) -> bool {
                matches!(self.closing, Closing::Ttl(_))
            }

            pub(crate) fn put_off<E>(mut self, _: E, cx: &mut Cx<'_>) -> Self {
                self.closing = self.closing.until(Some(cx.now.plus_ms(RETRY_MAX_MS)));
                self
            }

            pub(crate) fn open<E>(&self, _: &E, _: &Cx<'_>) -> bool {
                self.closing != Closing::Done
            }

            pub(crate) fn closed<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
                self.closing = Closing::Done;
                self
            }
        }
    };
}

closing_rows!(Completed);
closing_rows!(Failed);
closing_rows!(Exception);

impl Exception {
    pub(crate) fn left_in_place<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        matches!(self.closing, Closing::LeftInPlace { .. })
    }

    /// It no longer runs: what is left is what is left of any Job that has ended.
    pub(crate) fn ended_after_all(self, _: JobEnded, cx: &mut Cx<'_>) -> Self {
        let Closing::LeftInPlace { uid, stoppable } = self.closing else {
            unreachable!("guarded: the Job was left in place");
        };
        Self {
            closing: Closing::of_ended(uid, stoppable, cx),
            ..self
        }
    }

    /// The verdict stands without a Job, or with one that is gone.
    pub(crate) const fn without_job(failure: Failure) -> Self {
        Self {
            failure,
            closing: Closing::Done,
        }
    }
}
