//! The message is ours, durably; its Job is not yet known to exist.

mod cancel;
mod refusal;

use super::{Created, Cx, Exception, StartClock};
use crate::code::{Code, Failure};
use crate::effect::{Effect, Notice};
use crate::event::{
    Granted, JobSeen, LookFailed, LookRefused, Looked, Refusal, RefusalKind, Released, SetAside, TookOver,
};
use crate::policy::{RETRY_MAX_MS, UNREADABLE_FINAL_MS, UNWATCHED_LOOK_MS};
use crate::time::Timestamp;
use crate::verdict;
use serde::{Deserialize, Serialize};

/// A task on its way to its Job.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// Create requests begun.
    pub attempts: u32,
    /// When the first create was begun that may have made a Job.
    pub begun_at: Option<Timestamp>,
    /// When a create was last left without an answer; a Job may have come of it.
    pub unknown_at: Option<Timestamp>,
    /// Since when, and how, the namespace refuses this task.
    pub refused: Option<Refused>,
    /// The Job can be stopped, and its TTL set later.
    pub stoppable: bool,
    /// What it waits for.
    pub phase: ReceivedPhase,
}

/// A refusal that may pass.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// What refuses.
    pub why: RefusalKind,
    /// Since when.
    pub since: Timestamp,
    /// The task's own create was refused; else it only waits for its namespace.
    pub tried: bool,
}

/// What a received task waits for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ReceivedPhase {
    /// A create slot.
    Queued,
    /// The answer of the create request.
    Creating,
    /// Its next turn.
    BackingOff {
        /// When that is.
        until: Timestamp,
        /// An ended Job of an earlier task with this id is still there.
        old_job: bool,
    },
    /// Its namespace refuses creates; one task at a time probes it.
    Gated,
    /// The create is refused for good, but an earlier one was never answered: a look has to show
    /// that no Job came of it.
    Confirming {
        /// The verdict, should there be no Job.
        failure: Failure,
        /// When to look; `None` while a look is under way.
        look_at: Option<Timestamp>,
        /// Since when the API server has refused every look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_since: Option<Timestamp>,
    },
}

impl ReceivedPhase {
    /// Returns the phase's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Creating => "creating",
            Self::BackingOff { .. } => "backing off",
            Self::Gated => "gated",
            Self::Confirming { .. } => "confirming",
        }
    }

    pub(crate) const fn waker(&self) -> &'static str {
        match self {
            Self::Queued => "a free create slot",
            Self::Gated => "a probe of its namespace",
            Self::Creating | Self::BackingOff { .. } | Self::Confirming { .. } => "its request",
        }
    }
}

impl Received {
    pub(crate) const fn taken() -> Self {
        Self {
            attempts: 0,
            begun_at: None,
            unknown_at: None,
            refused: None,
            stoppable: false,
            phase: ReceivedPhase::Queued,
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            ReceivedPhase::BackingOff { until, .. } => Some(until),
            ReceivedPhase::Confirming { look_at, .. } => look_at,
            ReceivedPhase::Queued | ReceivedPhase::Creating | ReceivedPhase::Gated => None,
        }
    }

    pub(crate) fn owed(&self) -> Option<Effect> {
        match self.phase {
            ReceivedPhase::Creating => Some(Effect::CreateJob {
                with_ttl: !self.stoppable,
            }),
            ReceivedPhase::Confirming { look_at: None, .. } => Some(Effect::Look),
            ReceivedPhase::Confirming { .. }
            | ReceivedPhase::Queued
            | ReceivedPhase::BackingOff { .. }
            | ReceivedPhase::Gated => None,
        }
    }

    // Slots.

    pub(crate) fn waits_for_slot(&self, _: &Granted, _: &Cx<'_>) -> bool {
        matches!(self.phase, ReceivedPhase::Queued | ReceivedPhase::Gated)
    }

    pub(crate) fn creating(mut self, e: Granted, cx: &mut Cx<'_>) -> Self {
        self.attempts = self.attempts.saturating_add(1);
        self.begun_at.get_or_insert(cx.now);
        self.stoppable = e.stoppable;
        self.phase = ReceivedPhase::Creating;
        self
    }

    pub(crate) fn is_queued<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Queued
    }

    pub(crate) fn held(mut self, e: Refusal, cx: &mut Cx<'_>) -> Self {
        self.note_refusal(e.why, false, cx.now);
        self.phase = ReceivedPhase::Gated;
        self
    }

    pub(crate) fn is_gated<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Gated
    }

    /// Room for others is not yet room for this task: its own refusal by quota goes on until its create works.
    pub(crate) fn released(mut self, _: Released, _: &mut Cx<'_>) -> Self {
        self.refused
            .take_if(|refused| refused.why != RefusalKind::Quota || !refused.tried);
        self.phase = ReceivedPhase::Queued;
        self
    }

    pub(crate) fn queued<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
        self.phase = ReceivedPhase::Queued;
        self
    }

    // A new leader.

    pub(crate) fn is_creating<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Creating
    }

    pub(crate) fn doubted<E>(mut self, _: E, cx: &mut Cx<'_>) -> Self {
        self.unknown_at = Some(cx.now);
        self
    }

    /// A Job that was made without our knowing may have run, and its TTL may have removed it: a second one must not be made.
    fn may_have_come_and_gone(&self, cx: &Cx<'_>) -> bool {
        let ttl_ms = cx.spec.ttl_secs.map(|secs| u64::from(secs) * 1000);
        match (self.begun_at, ttl_ms) {
            (Some(begun), Some(ttl_ms)) => !self.stoppable && cx.now.since_ms(begun) >= ttl_ms,
            (Some(_) | None, _) => false,
        }
    }

    pub(crate) fn lost_while_nobody_led<E>(&self, e: &E, cx: &Cx<'_>) -> bool {
        self.is_creating(e, cx) && self.may_have_come_and_gone(cx)
    }

    pub(crate) fn lost_while_in_doubt(&self, e: &Granted, cx: &Cx<'_>) -> bool {
        self.waits_for_slot(e, cx) && self.unknown_at.is_some() && self.may_have_come_and_gone(cx)
    }

    pub(crate) fn confirms_loss(self, _: Granted, cx: &mut Cx<'_>) -> Self {
        self.confirming(verdict::lost(cx.spec), cx)
    }

    pub(crate) fn doubted_and_lost(self, e: TookOver, cx: &mut Cx<'_>) -> Self {
        self.doubted(e, cx).confirming(verdict::lost(cx.spec), cx)
    }

    // Time.

    pub(crate) fn due_again<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
        matches!(self.phase, ReceivedPhase::BackingOff { until, .. } if until <= cx.now)
    }

    pub(crate) fn retried<E>(mut self, _: E, _: &mut Cx<'_>) -> Self {
        self.phase = ReceivedPhase::Queued;
        self
    }

    pub(crate) fn due_to_look<E>(&self, _: &E, cx: &Cx<'_>) -> bool {
        matches!(self.phase, ReceivedPhase::Confirming { look_at: Some(at), .. } if at <= cx.now)
    }

    pub(crate) fn looks<E>(self, _: E, _: &mut Cx<'_>) -> Self {
        self.looking_at(None)
    }

    fn looking_at(mut self, at: Option<Timestamp>) -> Self {
        if let ReceivedPhase::Confirming { look_at, .. } = &mut self.phase {
            *look_at = at;
        }
        self
    }

    // The Job.

    /// An ended Job of an earlier task with this id: by its digest, or since it ended so long ago that
    /// the dedup window of that task is as good as over.
    fn is_old(e: &JobSeen, cx: &Cx<'_>) -> bool {
        e.ended_at.is_some_and(|ended| {
            e.digest != cx.spec.digest
                || (e.received_at != cx.spec.received_at
                    && cx.now.since_ms(ended) > cx.policy.dedup_window_ms / 2)
        })
    }

    pub(crate) fn blocked(&self, e: &JobSeen, cx: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Creating && Self::is_old(e, cx)
    }

    pub(crate) fn waits_for_old<E>(mut self, _: E, cx: &mut Cx<'_>) -> Self {
        self.phase = ReceivedPhase::BackingOff {
            until: cx.now.plus_ms(RETRY_MAX_MS),
            old_job: true,
        };
        self
    }

    /// The Job is this task's. A pod proves that only with the time of our intake on it: it may be left
    /// of an earlier task.
    pub(crate) fn fits(&self, e: &JobSeen, cx: &Cx<'_>) -> bool {
        e.digest == cx.spec.digest
            && if e.by_pod {
                e.received_at == cx.spec.received_at
            } else {
                !Self::is_old(e, cx)
            }
    }

    /// Only while the create is under way: an older sight of that Job may be out of date.
    pub(crate) fn other_content(&self, e: &JobSeen, cx: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Creating
            && e.digest != cx.spec.digest
            && e.ended_at.is_none()
            && !e.by_pod
    }

    pub(crate) fn name_taken_by_other(self, _: JobSeen, cx: &mut Cx<'_>) -> Exception {
        self.ends(verdict::name_taken(cx.spec), cx)
    }

    pub(crate) fn created(self, e: JobSeen, cx: &mut Cx<'_>) -> Created {
        cx.notify(Notice::Created { job: e.uid.clone() });
        cx.incarnation = e.received_at;
        let created_at = if e.by_pod { cx.now } else { e.created_at };
        let start = StartClock::new(created_at, e.suspended, cx);
        let created = Created::new(e.uid, self.stoppable || e.stoppable, start);
        if e.by_pod {
            // Its labels may be gone: then no watch will ever tell of its end.
            created.unwatched_yet(cx.now)
        } else {
            created
        }
    }

    pub(crate) fn waits_for_deletion<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        matches!(self.phase, ReceivedPhase::BackingOff { old_job: true, .. })
    }

    // The look that confirms.

    pub(crate) fn absence_confirmed(&self, e: &Looked, _: &Cx<'_>) -> bool {
        e.job.is_none() && self.owed() == Some(Effect::Look)
    }

    pub(crate) fn confirmed(self, _: Looked, cx: &mut Cx<'_>) -> Exception {
        let failure = self.to_be_confirmed().clone();
        self.ends(failure, cx)
    }

    fn to_be_confirmed(&self) -> &Failure {
        let ReceivedPhase::Confirming { failure, .. } = &self.phase else {
            unreachable!("guarded: a look is under way to confirm a refusal");
        };
        failure
    }

    pub(crate) fn is_looking<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        self.owed() == Some(Effect::Look)
    }

    /// No look was allowed for so long that nothing will be known of the create any more.
    pub(crate) fn refused_to_look(&self, e: &LookRefused, cx: &Cx<'_>) -> bool {
        let ReceivedPhase::Confirming { refused_since, .. } = &self.phase else {
            return false;
        };
        self.is_looking(e, cx)
            && refused_since.is_some_and(|since| cx.now.since_ms(since) >= UNREADABLE_FINAL_MS)
    }

    pub(crate) fn unconfirmed(self, e: LookRefused, cx: &mut Cx<'_>) -> Exception {
        let failure = verdict::unconfirmed(self.to_be_confirmed(), &e.message, cx.spec);
        self.ends(failure, cx)
    }

    pub(crate) fn looks_later(mut self, _: LookRefused, cx: &mut Cx<'_>) -> Self {
        if let ReceivedPhase::Confirming { refused_since, .. } = &mut self.phase {
            refused_since.get_or_insert(cx.now);
        }
        self.looking_at(Some(cx.now.plus_ms(UNWATCHED_LOOK_MS)))
    }

    pub(crate) fn looks_again(self, _: LookFailed, cx: &mut Cx<'_>) -> Self {
        let at = cx.now.plus_ms(RETRY_MAX_MS / 10);
        self.looking_at(Some(at))
    }

    pub(crate) fn name_taken_after_all(self, _: Looked, cx: &mut Cx<'_>) -> Exception {
        self.ends(verdict::name_taken(cx.spec), cx)
    }

    /// A Job may come, or have come, of a create; a look tells. Should that fail the worker too, it is given up.
    pub(crate) fn in_doubt<E>(&self, _: &E, _: &Cx<'_>) -> bool {
        match &self.phase {
            ReceivedPhase::Creating => true,
            ReceivedPhase::Confirming { failure, .. } => failure.code != Code::InternalError,
            ReceivedPhase::Queued | ReceivedPhase::BackingOff { .. } | ReceivedPhase::Gated => {
                self.unknown_at.is_some()
            }
        }
    }

    pub(crate) fn confirms_absence(mut self, e: SetAside, cx: &mut Cx<'_>) -> Self {
        if self.phase == ReceivedPhase::Creating {
            self.unknown_at = Some(cx.now);
        }
        self.confirming(Failure::new(Code::InternalError, e.message), cx)
    }

    pub(crate) fn set_aside(self, e: SetAside, cx: &mut Cx<'_>) -> Exception {
        self.ends(Failure::new(Code::InternalError, e.message), cx)
    }

    pub(super) fn confirming(mut self, failure: Failure, cx: &Cx<'_>) -> Self {
        let look_at = self
            .unknown_at
            .map(|at| at.plus_ms(cx.policy.doubt_ms()).max(cx.now));
        self.phase = ReceivedPhase::Confirming {
            failure,
            look_at,
            refused_since: None,
        };
        self
    }

    pub(super) fn ends(self, failure: Failure, cx: &mut Cx<'_>) -> Exception {
        cx.notify(Notice::Exception(failure.clone()));
        Exception::without_job(failure)
    }
}
