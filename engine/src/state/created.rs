//! The Job exists; no container has started as far as we know.

mod look;

use super::{Closing, Completed, Cx, Exception, Failed, Overdue, Phase, PodStarted, StartClock};
use crate::code::Failure;
use crate::effect::Notice;
use crate::event::{
    self, JobDeleted, JobEnd, JobEnded, JobJudged, JobSeen, PodEnd, PodFailed, PodWaiting, Waiting,
    WaitingKind,
};
use crate::id::Uid;
use crate::policy::{INVALID_CONFIG_MS, INVALID_IMAGE_MS};
use crate::time::Timestamp;
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
    /// What its pod waits for, and since when.
    pub waiting: Option<(Waiting, Timestamp)>,
    /// The last pod that failed.
    pub pod: Option<PodEnd>,
    /// What it waits for.
    pub phase: Phase,
}

impl Created {
    pub(crate) const fn new(uid: Uid, stoppable: bool, start: StartClock) -> Self {
        Self {
            uid,
            stoppable,
            start,
            waiting: None,
            pod: None,
            phase: Phase::Following,
        }
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
            .and_then(|(waiting, since)| {
                Some(since.plus_ms(hopeless_after_ms(waiting.kind, self.stoppable)?))
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
        if matches!(self.phase, Phase::Overdue { .. }) {
            self.phase = Phase::Following;
        }
        self
    }

    pub(crate) fn judged(self, e: JobJudged, cx: &mut Cx<'_>) -> Exception {
        self.ends_as(e.failure, cx)
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

    pub(crate) fn started(self, e: event::PodStarted, cx: &mut Cx<'_>) -> PodStarted {
        notify_started(e, cx);
        PodStarted {
            uid: self.uid,
            stoppable: self.stoppable,
            pod: self.pod,
            phase: match self.phase {
                Phase::Overdue { .. } => Phase::Following,
                phase @ (Phase::Following
                | Phase::Settling { .. }
                | Phase::Missing { .. }
                | Phase::Unwatched { .. }
                | Phase::Stopping { .. }) => phase,
            },
        }
    }

    pub(crate) fn waits_for_other(&self, e: &PodWaiting, _: &Cx<'_>) -> bool {
        self.waiting
            .as_ref()
            .is_none_or(|(waiting, _)| waiting.kind != e.waiting.kind)
    }

    pub(crate) fn waits(mut self, e: PodWaiting, cx: &mut Cx<'_>) -> Self {
        self.waiting = Some((e.waiting, cx.now));
        self
    }

    pub(crate) fn had_failed<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        matches!(
            &self.phase,
            Phase::Settling {
                end: JobEnd::Failed { .. },
                ..
            }
        )
    }

    pub(crate) fn explained(mut self, e: PodFailed, cx: &mut Cx<'_>) -> Failed {
        self.pod = Some(e.end);
        self.fails(cx)
    }

    pub(crate) fn news(&self, e: &PodFailed, _: &Cx<'_>) -> bool {
        self.pod.as_ref() != Some(&e.end)
    }

    pub(crate) fn pod_failed(mut self, e: PodFailed, _: &mut Cx<'_>) -> Self {
        self.pod = Some(e.end);
        self
    }

    // The Job's end.

    pub(crate) fn unsettled<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        !matches!(self.phase, Phase::Settling { .. })
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

    pub(crate) fn overdue<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
        self.phase == Phase::Following && self.patience_ends_at().is_some_and(|(at, _)| at <= cx.now)
    }

    pub(crate) fn looks<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
        if let Some((_, why)) = self.patience_ends_at() {
            self.phase = Phase::Overdue { why, look_at: None };
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
        cx.notify(Notice::Completed { duration_secs });
        Completed {
            closing: Closing::of_ended(self.uid, self.stoppable, cx),
        }
    }

    fn fails(self, cx: &mut Cx<'_>) -> Failed {
        let Phase::Settling {
            end: JobEnd::Failed { reason, message },
            ..
        } = &self.phase
        else {
            unreachable!("guarded: the Job is known to have failed");
        };
        let evidence = verdict::Evidence {
            started: false,
            pod: self.pod.as_ref(),
            waiting: self.waiting.as_ref().map(|(waiting, _)| waiting),
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

    fn left_in_place(self, failure: Failure, cx: &mut Cx<'_>) -> Exception {
        let failure = verdict::left_in_place(failure, cx.spec);
        cx.notify(Notice::Exception(failure.clone()));
        Exception {
            failure,
            closing: Closing::LeftInPlace { uid: self.uid },
        }
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
