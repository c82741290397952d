//! A task before its Job is known, in every phase.

#![allow(
    clippy::too_many_lines,
    reason = "a list of samples is as long as the states are many"
)]

use super::states::{Named, failure};
use super::{FUTURE, LONG_AGO, PAST};
use engine::states::{Received, ReceivedPhase, Refused};
use engine::{Code, RefusalKind, State};

fn refused(why: RefusalKind) -> Option<Refused> {
    Some(Refused {
        why,
        since: LONG_AGO,
        tried: true,
    })
}

pub(super) fn received() -> Vec<Named> {
    let base = Received {
        begun_at: Some(LONG_AGO),
        attempts: 3,
        unknown_at: None,
        refused: None,
        stoppable: true,
        phase: ReceivedPhase::Queued,
    };
    let in_doubt = |phase| Received {
        unknown_at: Some(PAST),
        phase,
        ..base.clone()
    };
    let sure = |phase| Received {
        phase,
        ..base.clone()
    };
    let backing_off = |until, old_job| ReceivedPhase::BackingOff { until, old_job };
    let confirming = |code, look_at| ReceivedPhase::Confirming {
        failure: failure(code),
        look_at,
        refused_since: None,
    };
    let refused_for_long = |why, phase, unknown_at| Received {
        refused: refused(why),
        unknown_at,
        phase,
        ..base.clone()
    };
    let (forbidden, quota) = (RefusalKind::Forbidden, RefusalKind::Quota);
    let unreadable = ReceivedPhase::Confirming {
        failure: failure(Code::JobCreateFailed),
        look_at: None,
        refused_since: Some(LONG_AGO),
    };
    let list = vec![
        ("", in_doubt(ReceivedPhase::Queued)),
        ("sure", sure(ReceivedPhase::Queued)),
        ("", in_doubt(ReceivedPhase::Creating)),
        ("sure", sure(ReceivedPhase::Creating)),
        (
            "forbidden for long",
            refused_for_long(forbidden, ReceivedPhase::Creating, None),
        ),
        (
            "quota for long",
            refused_for_long(quota, ReceivedPhase::Creating, None),
        ),
        ("", in_doubt(backing_off(FUTURE, true))),
        ("due", sure(backing_off(PAST, false))),
        ("", refused_for_long(forbidden, ReceivedPhase::Gated, Some(PAST))),
        ("sure", refused_for_long(forbidden, ReceivedPhase::Gated, None)),
        ("not yet for long", sure(ReceivedPhase::Gated)),
        ("", in_doubt(confirming(Code::JobCreateFailed, Some(FUTURE)))),
        ("due", in_doubt(confirming(Code::JobCreateFailed, Some(PAST)))),
        ("looking", in_doubt(confirming(Code::JobCreateFailed, None))),
        ("refused for long, looking", in_doubt(unreadable)),
        (
            "looking after it was set aside",
            in_doubt(confirming(Code::InternalError, None)),
        ),
        (
            "cancelled",
            in_doubt(confirming(Code::TaskCancelled, Some(FUTURE))),
        ),
        (
            "cancelled, not stoppable",
            Received {
                stoppable: false,
                ..in_doubt(confirming(Code::TaskCancelled, None))
            },
        ),
    ];
    list.into_iter()
        .map(|(name, received)| (name, State::Received(received)))
        .collect()
}
