//! A container of one of the Job's pods has started.

use super::followed::followed_rows;
use super::{Closing, Completed, Cx, Exception, Failed, Phase};
use crate::code::{Code, Failure};
use crate::effect::Notice;
use crate::event::{
    self, Cancelled, JobDeleted, JobEnd, JobEnded, JobJudged, JobMissing, JobSeen, LookFailed, LookRefused,
    Looked, PodEnd, PodFailed, Refusal, SetAside, StopAnswered, Waiting,
};
use crate::uid::Uid;
use crate::verdict;
use serde::{Deserialize, Serialize};

/// A task whose Job runs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodStarted {
    /// The Job's uid.
    pub uid: Uid,
    /// The Job can be stopped, and its TTL set later.
    pub stoppable: bool,
    /// A pod that failed, the last one that was seen.
    pub pod: Option<Box<PodEnd>>,
    /// There were several pods: which of them was the last, only a look tells.
    pub retried: bool,
    /// What it waits for; never an overdue start, and a stop only by an operator's order.
    pub phase: Phase,
}

followed_rows!(PodStarted);

impl PodStarted {
    // Pods.

    pub(crate) fn another(&self, e: &event::PodStarted, _: &Cx<'_>) -> bool {
        !self.retried && self.pod.as_ref().is_some_and(|pod| pod.uid != e.uid)
    }

    pub(crate) fn retried(mut self, _: event::PodStarted, _: &mut Cx<'_>) -> Self {
        self.retried = true;
        self
    }

    // The stop.

    pub(crate) fn found_nothing_to_stop(&self, e: &StopAnswered, _: &Cx<'_>) -> bool {
        *e == StopAnswered::Gone && self.phase.verdict().is_some()
    }

    pub(crate) fn lost_meanwhile(mut self, _: StopAnswered, cx: &mut Cx<'_>) -> Self {
        self.phase = self.phase.lost(false, cx.now);
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
        self.completes_after(duration_secs, cx)
    }

    /// The end needs no pod to explain it, or its only pod has done so before anything was to be gathered.
    pub(crate) fn clear(&self, e: &JobEnded, _: &Cx<'_>) -> bool {
        match &e.end {
            JobEnd::Complete { .. } => false,
            JobEnd::Failed { reason, .. } => {
                reason == verdict::DEADLINE_EXCEEDED
                    || (self.phase.end().is_none() && self.pod.is_some() && !self.retried)
            }
        }
    }

    pub(crate) fn failed(self, e: JobEnded, cx: &mut Cx<'_>) -> Failed {
        self.fails_by(&e.end, true, None, cx)
    }

    /// The look named the pods from the oldest on, so the last one seen is the last one.
    pub(crate) fn settled(self, _: Looked, cx: &mut Cx<'_>) -> Failed {
        let Phase::Settling { end, .. } = self.phase.clone() else {
            unreachable!("guarded: the Job is known to have failed");
        };
        self.fails_by(&end, true, None, cx)
    }

    pub(crate) fn failed_unseen(self, _: LookRefused, cx: &mut Cx<'_>) -> Failed {
        let Phase::Settling { end, .. } = self.phase.clone() else {
            unreachable!("guarded: the Job is known to have failed");
        };
        self.fails_by(&end, true, None, cx)
    }
}
