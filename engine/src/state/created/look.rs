//! What a fresh look at a Job without a started container decides, and the stop that may come of it.

use super::{Created, hopeless_after_ms};
use crate::code::{Code, Failure};
use crate::effect::Notice;
use crate::event::{LookFailed, Looked, SetAside, StopAnswered, Waiting};
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

    pub(crate) fn looked_failed(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx) && self.had_failed(e, cx)
    }

    pub(crate) fn failed(mut self, e: Looked, cx: &mut Cx<'_>) -> Failed {
        self.note_waiting(e.waiting, cx.now);
        self.fails(cx)
    }

    pub(crate) fn gone(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx) && e.job.as_ref() != Some(&self.uid)
    }

    pub(crate) fn vanished(self, _: Looked, cx: &mut Cx<'_>) -> Exception {
        let deleted = matches!(self.phase, Phase::Missing { deleted: true, .. });
        let failure = verdict::gone(deleted, cx.spec);
        cx.notify(Notice::Exception(failure.clone()));
        Exception::without_job(failure)
    }

    pub(crate) fn looked_present(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx) && matches!(self.phase, Phase::Missing { .. } | Phase::Unwatched { .. })
    }

    pub(crate) fn unwatched(mut self, _: Looked, cx: &mut Cx<'_>) -> Self {
        self.phase = Phase::unwatched(cx.now);
        self
    }

    pub(crate) fn still_overdue(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx)
            && match self.phase {
                Phase::Overdue {
                    why: Overdue::Timeout,
                    ..
                } => true,
                Phase::Overdue {
                    why: Overdue::Hopeless,
                    ..
                } => self.is_hopeless(e),
                Phase::Following
                | Phase::Settling { .. }
                | Phase::Missing { .. }
                | Phase::Unwatched { .. }
                | Phase::Stopping { .. } => false,
            }
    }

    fn is_hopeless(&self, e: &Looked) -> bool {
        e.waiting.as_ref().is_some_and(|now| {
            self.waiting
                .as_ref()
                .is_some_and(|(then, _)| then.kind == now.kind)
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

    pub(crate) fn is_looking<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase.is_looking()
    }

    pub(crate) fn follows(mut self, e: Looked, cx: &mut Cx<'_>) -> Self {
        self.waiting = None;
        self.note_waiting(e.waiting, cx.now);
        self.phase = Phase::Following;
        self
    }

    pub(crate) fn looks_again(mut self, _: LookFailed, cx: &mut Cx<'_>) -> Self {
        self.phase = self.phase.put_off(cx.now);
        self
    }

    // The stop.

    pub(crate) fn is_stopped(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
        *e == StopAnswered::Done && self.phase.verdict().is_some()
    }

    pub(crate) fn stopped(self, _: StopAnswered, cx: &mut Cx<'_>) -> Exception {
        let Phase::Stopping { failure, .. } = &self.phase else {
            unreachable!("guarded: a verdict is being written to the Job");
        };
        let failure = failure.clone();
        self.ends_as(failure, cx)
    }

    pub(crate) fn may_not_stop(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
        *e == StopAnswered::Forbidden && self.phase.verdict().is_some()
    }

    pub(crate) fn leaves(self, _: StopAnswered, cx: &mut Cx<'_>) -> Exception {
        let Phase::Stopping { failure, .. } = &self.phase else {
            unreachable!("guarded: a verdict is being written to the Job");
        };
        let failure = failure.clone();
        self.left_in_place(failure, cx)
    }

    pub(crate) fn stop_is_moot(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
        self.phase.verdict().is_some() && matches!(e, StopAnswered::Conflict | StopAnswered::Gone)
    }

    pub(crate) fn reconsiders(mut self, e: StopAnswered, _: &mut Cx<'_>) -> Self {
        self.phase = if e == StopAnswered::Gone {
            Phase::missing(false)
        } else {
            Phase::Overdue {
                why: self.why_stopped(),
                look_at: None,
            }
        };
        self
    }

    pub(crate) fn stop_unanswered(&self, _: &StopAnswered, _: &Cx<'_>) -> bool {
        self.phase.verdict().is_some()
    }

    pub(crate) fn stops_again(mut self, _: StopAnswered, cx: &mut Cx<'_>) -> Self {
        self.phase = self.phase.put_off(cx.now);
        self
    }

    pub(crate) fn set_aside(self, e: SetAside, cx: &mut Cx<'_>) -> Exception {
        self.left_in_place(Failure::new(Code::InternalError, e.message), cx)
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
            Some((then, since)) if then.kind == waiting.kind => *since,
            Some(_) | None => now,
        };
        self.waiting = Some((waiting, since));
    }

    fn start_failure(&self, e: &Looked, cx: &Cx<'_>) -> Failure {
        match self.phase {
            Phase::Overdue {
                why: Overdue::Hopeless,
                ..
            } => verdict::start_failed(e.waiting.as_ref()),
            Phase::Overdue { .. }
            | Phase::Following
            | Phase::Settling { .. }
            | Phase::Missing { .. }
            | Phase::Unwatched { .. }
            | Phase::Stopping { .. } => verdict::start_timeout(e, cx.spec),
        }
    }
}
