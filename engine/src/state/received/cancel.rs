//! An operator's order for a task that has no Job as far as is known.

use super::{Received, ReceivedPhase};
use crate::code::{Code, Failure};
use crate::event::{Cancelled, JobSeen};
use crate::state::{Created, Cx, Exception};
use crate::verdict;

impl Received {
    fn is_confirming(&self) -> bool {
        matches!(self.phase, ReceivedPhase::Confirming { .. })
    }

    /// A Job may come, or have come, of a create.
    pub(crate) fn cancelled_in_doubt(&self, _: &Cancelled, _: &Cx<'_>) -> bool {
        !self.is_confirming() && (self.phase == ReceivedPhase::Creating || self.unknown_at.is_some())
    }

    pub(crate) fn confirms_cancellation(mut self, e: Cancelled, cx: &mut Cx<'_>) -> Self {
        if self.phase == ReceivedPhase::Creating {
            self.unknown_at = Some(cx.now);
        }
        self.confirming(verdict::cancelled(&e), cx)
    }

    pub(crate) fn has_no_job(&self, _: &Cancelled, _: &Cx<'_>) -> bool {
        !self.is_confirming()
    }

    pub(crate) fn cancelled(self, e: Cancelled, cx: &mut Cx<'_>) -> Exception {
        self.ends(verdict::cancelled(&e), cx)
    }

    /// The verdict of an order that waits for the look.
    const fn cancellation(&self) -> Option<&Failure> {
        match &self.phase {
            ReceivedPhase::Confirming { failure, .. } if matches!(failure.code, Code::TaskCancelled) => {
                Some(failure)
            }
            ReceivedPhase::Confirming { .. }
            | ReceivedPhase::Queued
            | ReceivedPhase::Creating
            | ReceivedPhase::BackingOff { .. }
            | ReceivedPhase::Gated => None,
        }
    }

    /// The Job came after all. One that has ended gives the verdict itself.
    pub(crate) fn fits_but_was_cancelled(&self, e: &JobSeen, cx: &Cx<'_>) -> bool {
        self.cancellation().is_some() && e.ended_at.is_none() && self.fits(e, cx)
    }

    pub(crate) fn fits_and_is_unwanted(&self, e: &JobSeen, cx: &Cx<'_>) -> bool {
        (self.stoppable || e.stoppable) && self.fits_but_was_cancelled(e, cx)
    }

    pub(crate) fn created_to_stop(self, e: JobSeen, cx: &mut Cx<'_>) -> Created {
        let failure = self.unwanted();
        self.created(e, cx).stopping(failure)
    }

    pub(crate) fn created_and_left(self, e: JobSeen, cx: &mut Cx<'_>) -> Exception {
        let failure = self.unwanted();
        self.created(e, cx).left_in_place(failure, cx)
    }

    fn unwanted(&self) -> Failure {
        let Some(failure) = self.cancellation() else {
            unreachable!("guarded: an order waits for the look");
        };
        failure.clone()
    }
}
