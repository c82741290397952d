//! A container of one of the Job's pods has started.

use super::{Closing, Completed, Cx, Exception, Failed, Phase};
use crate::code::{Code, Failure};
use crate::effect::Notice;
use crate::event::{
    JobDeleted, JobEnd, JobEnded, JobJudged, LookFailed, Looked, PodEnd, PodFailed, SetAside, StopAnswered,
};
use crate::id::Uid;
use crate::verdict;
use serde::{Deserialize, Serialize};

/// A task whose Job runs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodStarted {
    /// The Job's uid.
    pub uid: Uid,
    /// The Job can be stopped, and its TTL set later.
    pub stoppable: bool,
    /// The last pod that failed.
    pub pod: Option<PodEnd>,
    /// What it waits for.
    pub phase: Phase,
}

impl PodStarted {
    pub(crate) fn judged(self, e: JobJudged, cx: &mut Cx<'_>) -> Exception {
        self.ends_as(e.failure, cx)
    }

    // Pods.

    pub(crate) fn had_failed<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        matches!(self.phase.end(), Some(JobEnd::Failed { .. }))
    }

    pub(crate) fn explained(mut self, e: PodFailed, cx: &mut Cx<'_>) -> Failed {
        let Phase::Settling { end, .. } = self.phase.clone() else {
            unreachable!("guarded: the Job is known to have failed");
        };
        self.pod = Some(e.end);
        self.fails(&end, cx)
    }

    pub(crate) fn news(&self, e: &PodFailed, _: &Cx<'_>) -> bool {
        self.pod.as_ref() != Some(&e.end)
    }

    pub(crate) fn pod_failed(mut self, e: PodFailed, _: &mut Cx<'_>) -> Self {
        self.pod = Some(e.end);
        self
    }

    // The Job's end.

    pub(crate) fn complete(&self, e: &JobEnded, _: &Cx<'_>) -> bool {
        matches!(e.end, JobEnd::Complete { .. })
    }

    pub(crate) fn completed(self, e: JobEnded, cx: &mut Cx<'_>) -> Completed {
        let JobEnd::Complete { duration_secs } = e.end else {
            unreachable!("guarded: the Job is complete");
        };
        cx.notify(Notice::Completed { duration_secs });
        Completed {
            closing: Closing::of_ended(self.uid, self.stoppable, cx),
        }
    }

    /// The end needs no pod to explain it, or a pod has done so.
    pub(crate) fn clear(&self, e: &JobEnded, _: &Cx<'_>) -> bool {
        match &e.end {
            JobEnd::Complete { .. } => true,
            JobEnd::Failed { reason, .. } => self.pod.is_some() || reason == verdict::DEADLINE_EXCEEDED,
        }
    }

    pub(crate) fn failed(self, e: JobEnded, cx: &mut Cx<'_>) -> Failed {
        self.fails(&e.end, cx)
    }

    pub(crate) fn unsettled<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase.end().is_none()
    }

    pub(crate) fn settles(mut self, e: JobEnded, cx: &mut Cx<'_>) -> Self {
        self.phase = Phase::settling(e.end, cx.now);
        self
    }

    pub(crate) fn may_be_missing<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        !matches!(self.phase, Phase::Settling { .. } | Phase::Missing { .. })
    }

    pub(crate) fn deleted(mut self, _: JobDeleted, _: &mut Cx<'_>) -> Self {
        self.phase = Phase::missing(true);
        self
    }

    pub(crate) fn missing<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
        self.phase = Phase::missing(false);
        self
    }

    // Time.

    pub(crate) fn due<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
        self.phase.is_due(cx.now)
    }

    pub(crate) fn acts<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
        self.phase = self.phase.begun();
        self
    }

    // A fresh look.

    pub(crate) fn is_looking<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase.is_looking()
    }

    pub(crate) fn looked_failed(&self, e: &Looked, cx: &Cx<'_>) -> bool {
        self.is_looking(e, cx) && self.had_failed(e, cx)
    }

    pub(crate) fn unexplained(self, _: Looked, cx: &mut Cx<'_>) -> Failed {
        let Phase::Settling { end, .. } = self.phase.clone() else {
            unreachable!("guarded: the Job is known to have failed");
        };
        self.fails(&end, cx)
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

    pub(crate) fn unwatched(mut self, _: Looked, cx: &mut Cx<'_>) -> Self {
        self.phase = Phase::unwatched(cx.now);
        self
    }

    pub(crate) fn looks_again(mut self, _: LookFailed, cx: &mut Cx<'_>) -> Self {
        self.phase = self.phase.put_off(cx.now);
        self
    }

    // A stop that was begun before the start was seen.

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

    pub(crate) fn stop_unanswered(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
        *e == StopAnswered::Unknown && self.phase.verdict().is_some()
    }

    pub(crate) fn stops_again(mut self, _: StopAnswered, cx: &mut Cx<'_>) -> Self {
        self.phase = self.phase.put_off(cx.now);
        self
    }

    pub(crate) fn is_stopping<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase.verdict().is_some()
    }

    /// It started after all, and the verdict did not reach the Job.
    pub(crate) fn runs_on(mut self, e: StopAnswered, _: &mut Cx<'_>) -> Self {
        self.phase = if e == StopAnswered::Gone {
            Phase::missing(false)
        } else {
            Phase::Following
        };
        self
    }

    pub(crate) fn set_aside(self, e: SetAside, cx: &mut Cx<'_>) -> Exception {
        let failure = Failure::new(Code::InternalError, e.message);
        let failure = verdict::left_in_place(failure, cx.spec);
        cx.notify(Notice::Exception(failure.clone()));
        Exception {
            failure,
            closing: Closing::LeftInPlace { uid: self.uid },
        }
    }

    // Ends.

    fn fails(self, end: &JobEnd, cx: &mut Cx<'_>) -> Failed {
        let JobEnd::Failed { reason, message } = end else {
            unreachable!("guarded: the Job has failed");
        };
        let evidence = verdict::Evidence {
            started: true,
            pod: self.pod.as_ref(),
            waiting: None,
        };
        let failure = verdict::job_failed(reason, message, &evidence, cx.spec);
        cx.notify(Notice::Failed(failure.clone()));
        Failed {
            failure,
            closing: Closing::of_ended(self.uid, self.stoppable, cx),
        }
    }

    fn ends_as(self, failure: Failure, cx: &mut Cx<'_>) -> Exception {
        cx.notify(Notice::Exception(failure.clone()));
        Exception {
            failure,
            closing: Closing::of_ended(self.uid, self.stoppable, cx),
        }
    }
}
