//! What a fresh look at a Job without a started container decides, and the stop that may come of it.

use super::{Created, Wait, hopeless_after_ms};
use crate::code::{Code, Failure};
use crate::event::{LookRefused, Looked, StopAnswered, Waiting};
use crate::policy::SETTLE_MS;
use crate::state::{Completed, Cx, Exception, Failed, Overdue, Phase};
use crate::time::Timestamp;
use crate::verdict;

impl Created {
    // A fresh look.

    pub(crate) fn looked_completed(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx) && self.had_completed(e, cx)
    }

    /// The pods are gone, so nobody knows which one it was: status 1 is left out.
    pub(crate) fn completed(self, _: Looked, cx: &mut Cx<'_>) -> Completed {
        self.completes(cx)
    }

    pub(crate) fn failed(mut self, e: Looked, cx: &mut Cx<'_>) -> Failed {
        self.note_waiting(e.waiting, cx.now);
        let Phase::Settling { end, .. } = self.phase.clone() else {
            unreachable!("guarded: the Job is known to have failed");
        };
        let waiting = self.waiting.take().map(|wait| wait.what);
        self.fails_by(&end, false, waiting.as_ref(), cx)
    }

    pub(crate) fn blindly_completed(&self, e: &LookRefused, cx: &Cx<'_>) -> bool {
        self.refused_for_good(e, cx) && self.had_completed(e, cx)
    }

    pub(crate) fn completed_unseen(self, _: LookRefused, cx: &mut Cx<'_>) -> Completed {
        self.completes(cx)
    }

    pub(crate) fn failed_unseen(mut self, _: LookRefused, cx: &mut Cx<'_>) -> Failed {
        let Phase::Settling { end, .. } = self.phase.clone() else {
            unreachable!("guarded: the Job is known to have failed");
        };
        let waiting = self.waiting.take().map(|wait| wait.what);
        self.fails_by(&end, false, waiting.as_ref(), cx)
    }

    /// Nobody said that the Job is gone: the watch may be about to, and to show how it ended.
    pub(crate) fn gone_unsaid(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.gone(e, cx) && matches!(self.phase, Phase::Overdue { .. })
    }

    pub(crate) fn not_found(mut self, _: Looked, cx: &mut Cx<'_>) -> Self {
        self.phase = Phase::Missing {
            deleted: false,
            look_at: Some(cx.now.plus_ms(SETTLE_MS)),
            refused_since: None,
        };
        self
    }

    pub(crate) fn looked_present(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx) && matches!(self.phase, Phase::Missing { .. } | Phase::Unwatched { .. })
    }

    pub(crate) fn still_overdue(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx)
            && match self.overdue_why(cx.now) {
                Some(Overdue::Timeout) => true,
                Some(Overdue::Hopeless) => self.is_hopeless(e),
                None => false,
            }
    }

    /// A look for another reason may find that the patience has ended meanwhile.
    fn overdue_why(&self, now: Timestamp) -> Option<Overdue> {
        match self.phase {
            Phase::Overdue { why, .. } => Some(why),
            Phase::Missing { .. } | Phase::Unwatched { .. } => {
                let (at, why) = self.patience_ends_at()?;
                (at <= now).then_some(why)
            }
            Phase::Following | Phase::Settling { .. } | Phase::Stopping { .. } => None,
        }
    }

    fn is_hopeless(&self, e: &Looked) -> bool {
        e.waiting.as_ref().is_some_and(|now| {
            self.waiting
                .as_ref()
                .is_some_and(|then| then.what.kind == now.kind)
                && hopeless_after_ms(now.kind, self.stoppable).is_some()
        })
    }

    pub(crate) fn overdue_and_stoppable(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.stoppable && self.still_overdue(e, cx)
    }

    pub(crate) fn stops(mut self, e: Looked, cx: &mut Cx<'_>) -> Self {
        let failure = self.start_failure(&e, cx);
        self.phase = Phase::Stopping {
            failure,
            retry_at: None,
        };
        self
    }

    pub(crate) fn gives_up(self, e: Looked, cx: &mut Cx<'_>) -> Exception {
        let failure = self.start_failure(&e, cx);
        self.left_in_place(failure, cx)
    }

    pub(crate) fn follows(mut self, e: Looked, cx: &mut Cx<'_>) -> Self {
        self.waiting = None;
        self.note_waiting(e.waiting, cx.now);
        self.phase = Phase::Following;
        self
    }

    // The stop.

    pub(crate) fn stop_is_moot(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
        match e {
            StopAnswered::Gone => self.phase.verdict().is_some(),
            // An order stands, whatever became of the Job meanwhile.
            StopAnswered::Conflict => self.phase.verdict().is_some() && !self.phase.is_cancelled(),
            StopAnswered::Done | StopAnswered::Forbidden | StopAnswered::Unknown => false,
        }
    }

    pub(crate) fn reconsiders(mut self, e: StopAnswered, cx: &mut Cx<'_>) -> Self {
        self.phase = if e == StopAnswered::Gone {
            self.phase.lost(false, cx.now)
        } else {
            Phase::Overdue {
                why: self.why_stopped(),
                look_at: None,
                refused_since: None,
            }
        };
        self
    }

    fn why_stopped(&self) -> Overdue {
        match self.phase.verdict() {
            Some(failure) if failure.code == Code::PodStartFailed => Overdue::Hopeless,
            Some(_) | None => Overdue::Timeout,
        }
    }

    fn note_waiting(&mut self, waiting: Option<Waiting>, now: Timestamp) {
        let Some(waiting) = waiting else { return };
        let since = match &self.waiting {
            Some(then) if then.what.kind == waiting.kind => then.since,
            Some(_) | None => now,
        };
        self.waiting = Some(Box::new(Wait { what: waiting, since }));
    }

    fn start_failure(&self, e: &Looked, cx: &Cx<'_>) -> Failure {
        match self.overdue_why(cx.now) {
            Some(Overdue::Hopeless) => verdict::start_failed(e.waiting.as_ref()),
            Some(Overdue::Timeout) | None => verdict::start_timeout(e, cx.spec),
        }
    }
}
