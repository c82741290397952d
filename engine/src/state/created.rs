//! The Job exists; no container has started as far as we know.

mod look;

use super::followed::followed_rows;
use super::{Closing, Completed, Cx, Exception, Failed, Overdue, Phase, PodStarted, StartClock};
use crate::code::{Code, Failure};
use crate::effect::Notice;
use crate::event::{
    self, Cancelled, JobDeleted, JobEnd, JobEnded, JobJudged, JobMissing, JobSeen, LookFailed, LookRefused,
    Looked, PodEnd, PodFailed, PodWaiting, Refusal, SetAside, StopAnswered, Waiting, WaitingKind,
};
use crate::policy::{INVALID_CONFIG_MS, INVALID_IMAGE_MS};
use crate::time::Timestamp;
use crate::uid::Uid;
use crate::verdict;
use serde::{Deserialize, Serialize};

/// A task whose Job has no started container yet.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// The Job's uid.
    pub uid: Uid,
    /// The Job can be stopped, and its TTL set later.
    pub stoppable: bool,
    /// How long it may take to start.
    pub start: StartClock,
    /// What its pod waits for.
    pub waiting: Option<Box<Wait>>,
    /// A pod that failed, the last one that was seen.
    pub pod: Option<Box<PodEnd>>,
    /// There were several pods: which of them was the last, only a look tells.
    pub retried: bool,
    /// What it waits for.
    pub phase: Phase,
}

/// What a pod waits for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// What it is.
    pub what: Waiting,
    /// Since when it is something of this kind.
    pub since: Timestamp,
}

followed_rows!(Created);

impl Created {
    pub(crate) const fn new(uid: Uid, stoppable: bool, start: StartClock) -> Self {
        Self {
            uid,
            stoppable,
            start,
            waiting: None,
            pod: None,
            retried: false,
            phase: Phase::Following,
        }
    }

    /// The Job was not seen yet, only a pod of it: it is looked up, should no watch show it.
    pub(crate) fn unwatched_yet(mut self, now: Timestamp) -> Self {
        self.phase = Phase::unwatched(now);
        self
    }

    /// Returns the phase's name.
    pub const fn phase_name(&self) -> &'static str {
        match (&self.phase, self.start.is_suspended()) {
            (Phase::Following, true) => "suspended",
            (Phase::Following, false) => "waiting for a pod",
            (phase, _) => phase.name(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Following => self.patience_ends_at().map(|(at, _)| at),
            Phase::Settling { .. }
            | Phase::Missing { .. }
            | Phase::Unwatched { .. }
            | Phase::Overdue { .. }
            | Phase::Stopping { .. } => self.phase.deadline(),
        }
    }

    fn patience_ends_at(&self) -> Option<(Timestamp, Overdue)> {
        let timeout = match self.start {
            StartClock::Running { by } => Some((by, Overdue::Timeout)),
            StartClock::Unarmed { .. } | StartClock::Stopped { .. } => None,
        };
        let hopeless = self
            .waiting
            .as_ref()
            .and_then(|wait| {
                Some(
                    wait.since
                        .plus_ms(hopeless_after_ms(wait.what.kind, self.stoppable)?),
                )
            })
            .map(|at| (at, Overdue::Hopeless));
        match (timeout, hopeless) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (one, other) => one.or(other),
        }
    }

    // The Job as it is seen.

    pub(crate) fn suspension_changed(&self, e: &JobSeen, _: &Cx<'_>) -> bool {
        !e.by_pod && e.suspended != self.start.is_suspended()
    }

    pub(crate) fn suspension(mut self, _: JobSeen, cx: &mut Cx<'_>) -> Self {
        self.start = self.start.switched(cx.now);
        self.waiting = None;
        if matches!(self.phase, Phase::Overdue { .. }) {
            self.phase = Phase::Following;
        }
        self
    }

    // Pods.

    pub(crate) fn had_completed<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        matches!(
            &self.phase,
            Phase::Settling {
                end: JobEnd::Complete { .. },
                ..
            }
        )
    }

    pub(crate) fn started_and_completed(self, e: event::PodStarted, cx: &mut Cx<'_>) -> Completed {
        notify_started(e, cx);
        self.completes(cx)
    }

    /// A stop that is under way because nothing started is not asked again: should it have come through, the Job says so.
    pub(crate) fn started(self, e: event::PodStarted, cx: &mut Cx<'_>) -> PodStarted {
        let another = self.pod.as_ref().is_some_and(|pod| pod.uid != e.uid);
        notify_started(e, cx);
        PodStarted {
            uid: self.uid,
            stoppable: self.stoppable,
            retried: self.retried || another,
            pod: self.pod,
            phase: match self.phase {
                phase @ Phase::Stopping { .. } if phase.is_cancelled() => phase,
                Phase::Overdue { .. } | Phase::Stopping { .. } => Phase::Following,
                phase @ (Phase::Following
                | Phase::Settling { .. }
                | Phase::Missing { .. }
                | Phase::Unwatched { .. }) => phase,
            },
        }
    }

    pub(crate) fn waits_for_other(&self, e: &PodWaiting, _: &Cx<'_>) -> bool {
        self.waiting
            .as_ref()
            .is_none_or(|wait| wait.what.kind != e.waiting.kind)
    }

    pub(crate) fn waits(mut self, e: PodWaiting, cx: &mut Cx<'_>) -> Self {
        self.waiting = Some(Box::new(Wait {
            what: e.waiting,
            since: cx.now,
        }));
        self
    }

    // Time.

    pub(crate) fn overdue<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
        self.phase == Phase::Following && self.patience_ends_at().is_some_and(|(at, _)| at <= cx.now)
    }

    pub(crate) fn looks<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
        if let Some((_, why)) = self.patience_ends_at() {
            self.phase = Phase::Overdue {
                why,
                look_at: None,
                refused_since: None,
            };
        }
        self
    }

    // Ends.

    fn completes(self, cx: &mut Cx<'_>) -> Completed {
        let Phase::Settling {
            end: JobEnd::Complete { duration_secs },
            ..
        } = self.phase
        else {
            unreachable!("guarded: the Job is known to be complete");
        };
        self.completes_after(duration_secs, cx)
    }
}

fn notify_started(e: event::PodStarted, cx: &mut Cx<'_>) {
    cx.notify(Notice::Started {
        pod: e.uid,
        name: e.name,
    });
}

/// How long a pod may wait for what never comes (CONTRACT, section 5, `POD_START_FAILED`).
const fn hopeless_after_ms(kind: WaitingKind, stoppable: bool) -> Option<u64> {
    match kind {
        WaitingKind::ImageName => Some(INVALID_IMAGE_MS),
        WaitingKind::Config if stoppable => Some(INVALID_CONFIG_MS),
        WaitingKind::Config | WaitingKind::Scheduling | WaitingKind::Image | WaitingKind::Other => None,
    }
}
