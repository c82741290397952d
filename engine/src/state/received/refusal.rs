//! What a refused create means for its task: patience, a look, or the end.

use super::{Received, ReceivedPhase, Refused};
use crate::event::{CreateFailed, CreateFailure, Refusal, RefusalKind};
use crate::policy::{FORBIDDEN_FINAL_MS, QUOTA_FINAL_MS, RETRY_MAX_MS, RETRY_MIN_MS, backoff_ms};
use crate::state::{Cx, Exception};
use crate::time::Timestamp;
use crate::verdict;

/// The longest wait that an API server may ask for.
const RETRY_AFTER_MAX_MS: u64 = 600_000;

impl Received {
    pub(crate) fn conclusive_in_doubt(&self, e: &CreateFailed, cx: &Cx<'_>) -> bool {
        e.why != CreateFailure::NameTaken && self.unknown_at.is_some() && self.conclusive(e, cx)
    }

    pub(crate) fn conclusive(&self, e: &CreateFailed, cx: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Creating
            && match e.why {
                CreateFailure::Refused | CreateFailure::NameTaken => true,
                CreateFailure::Forbidden => self.refused_too_long(RefusalKind::Forbidden, cx.now),
                CreateFailure::Quota => self.refused_too_long(RefusalKind::Quota, cx.now),
                CreateFailure::Unknown | CreateFailure::Deferred => false,
            }
    }

    pub(crate) fn confirms(self, e: CreateFailed, cx: &mut Cx<'_>) -> Self {
        let failure = verdict::create_failed(e.why, &e.message, cx.spec);
        self.confirming(failure, cx)
    }

    pub(crate) fn refused(self, e: CreateFailed, cx: &mut Cx<'_>) -> Exception {
        let failure = verdict::create_failed(e.why, &e.message, cx.spec);
        self.ends(failure, cx)
    }

    pub(crate) fn gates(&self, e: &CreateFailed, _: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Creating
            && matches!(e.why, CreateFailure::Forbidden | CreateFailure::Quota)
    }

    pub(crate) fn gated(mut self, e: CreateFailed, cx: &mut Cx<'_>) -> Self {
        let why = if e.why == CreateFailure::Quota {
            RefusalKind::Quota
        } else {
            RefusalKind::Forbidden
        };
        self.note_refusal(why, true, cx.now);
        self.not_made();
        self.phase = ReceivedPhase::Gated;
        self
    }

    pub(crate) fn backed_off(mut self, e: CreateFailed, cx: &mut Cx<'_>) -> Self {
        if e.why == CreateFailure::Unknown {
            self.unknown_at = Some(cx.now);
        } else {
            self.not_made();
        }
        let wait = backoff_ms(self.attempts, RETRY_MIN_MS, RETRY_MAX_MS);
        self.phase = ReceivedPhase::BackingOff {
            until: cx
                .now
                .plus_ms(wait.max(e.retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS))),
            old_job: false,
        };
        self
    }

    /// The create made no Job; an earlier one that was never answered may have.
    const fn not_made(&mut self) {
        if self.unknown_at.is_none() {
            self.begun_at = None;
        }
    }

    pub(crate) fn final_in_doubt(&self, e: &Refusal, cx: &Cx<'_>) -> bool {
        self.unknown_at.is_some() && self.final_refusal(e, cx)
    }

    pub(crate) fn final_refusal(&self, e: &Refusal, cx: &Cx<'_>) -> bool {
        self.phase == ReceivedPhase::Gated && self.refused_too_long(e.why, cx.now)
    }

    pub(crate) fn confirms_refusal(self, e: Refusal, cx: &mut Cx<'_>) -> Self {
        let failure = verdict::refused_too_long(&e, cx.spec);
        self.confirming(failure, cx)
    }

    pub(crate) fn refused_for_good(self, e: Refusal, cx: &mut Cx<'_>) -> Exception {
        let failure = verdict::refused_too_long(&e, cx.spec);
        self.ends(failure, cx)
    }

    pub(super) fn note_refusal(&mut self, why: RefusalKind, tried: bool, now: Timestamp) {
        match &mut self.refused {
            Some(refused) if refused.why == why => refused.tried |= tried,
            Some(_) | None => {
                self.refused = Some(Refused {
                    why,
                    since: now,
                    tried,
                })
            }
        }
    }

    fn refused_too_long(&self, why: RefusalKind, now: Timestamp) -> bool {
        let limit = match why {
            RefusalKind::Forbidden => FORBIDDEN_FINAL_MS,
            RefusalKind::Quota => QUOTA_FINAL_MS,
        };
        self.refused
            .as_ref()
            .is_some_and(|refused| refused.why == why && now.since_ms(refused.since) >= limit)
    }
}
