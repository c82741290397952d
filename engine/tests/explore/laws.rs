//! What has to hold of every transition and of every Job that is made: the laws of DESIGN, section 3, and of the invariants those that one
//! task can break (one Job, one verdict, dense versions, an order, no invented state, determinism, bounds).

use super::node::{Held, Life};
use crate::story::{recorded, stored};
use engine::{Advance, Code, Notice, Policy, StateKind, Task, Transition};

/// The largest snapshot, in bytes.
const SNAPSHOT_MAX: usize = 64 * 1024;
/// Callbacks of one task: created, started, verdict.
const NOTICES_MAX: usize = 3;

/// Checks a transition of `life`, whose task is still as it was stored before, and notes what the client is told.
pub(super) fn transition(life: &mut Life, transition: &Transition, policy: &Policy) -> Result<(), String> {
    let before = life.task.as_ref().map(Held::task);
    versions(before, transition)?;
    runs_again(before, transition, policy)?;
    if stored(&transition.after).len() > SNAPSHOT_MAX {
        return Err("the snapshot is too large".to_owned());
    }
    if transition.gave_verdict() != transition.notices.iter().any(|notice| notice.status() > 1) {
        return Err("a verdict is told when a task ends, and only then".to_owned());
    }
    for notice in &transition.notices {
        in_order(&life.told, notice.status())?;
        was_true(life, notice)?;
        life.told.push(notice.status());
    }
    if life.told.len() > NOTICES_MAX {
        return Err(format!("{:?} is told to one client", life.told));
    }
    Ok(())
}

/// Checks that an incarnation has one Job, and none after its verdict, unless somebody deleted the one it had.
pub(super) fn made(life: &Life) -> Result<(), String> {
    if life.truth.deleted {
        return Ok(());
    }
    if life.truth.made > 1 {
        return Err("a second Job is made for one task".to_owned());
    }
    if life.truth.made == 1 && life.told.last().is_some_and(|status| *status > 1) {
        return Err(format!("a Job is made after {:?} was told", life.told));
    }
    Ok(())
}

fn versions(before: Option<&Task>, transition: &Transition) -> Result<(), String> {
    let expected = before.map_or(1, |task| task.seq + 1);
    if transition.after.seq != expected {
        return Err(format!(
            "version {} follows {}",
            transition.after.seq,
            expected - 1
        ));
    }
    let from = before.map(|task| task.state.kind());
    if transition.from != from {
        return Err(format!(
            "a transition from {:?} of a task in {from:?}",
            transition.from
        ));
    }
    let to = transition.after.state.kind();
    let stays = from.is_some_and(|from| from.is_terminal() && from != to);
    if stays || from.is_some_and(|from| rank(from) > rank(to)) {
        return Err(format!("{from:?} becomes {to:?}"));
    }
    Ok(())
}

const fn rank(kind: StateKind) -> u8 {
    match kind {
        StateKind::Received => 0,
        StateKind::Created => 1,
        StateKind::PodStarted => 2,
        StateKind::Completed | StateKind::Failed | StateKind::Exception => 3,
    }
}

/// From what was stored, the same event has to make the same line of the log, byte for byte.
fn runs_again(before: Option<&Task>, transition: &Transition, policy: &Policy) -> Result<(), String> {
    let (at, id, event) = (transition.at, &transition.task, transition.event.clone());
    let again = match before {
        None => Task::begin(at, id, event, policy),
        Some(task) => match task.advance(at, id, event, policy) {
            Ok(Advance::Moved(again, _)) => Some(*again),
            Ok(Advance::Ignored(_)) | Err(_) => None,
        },
    };
    let same = again.is_some_and(|again| recorded(&again) == recorded(transition));
    same.then_some(())
        .ok_or_else(|| "another worker would have decided otherwise".to_owned())
}

fn in_order(told: &[u8], status: u8) -> Result<(), String> {
    let before = told.last().copied();
    let fits = match status {
        0 => before.is_none(),
        1 => before == Some(0),
        2 | 3 => matches!(before, Some(0 | 1)),
        _ => before.is_none_or(|before| before < 2),
    };
    fits.then_some(())
        .ok_or_else(|| format!("{status} is told after {told:?}"))
}

/// Refuses what was never true.
fn was_true(life: &Life, notice: &Notice) -> Result<(), String> {
    let truth = life.truth;
    let is_gone = life.job.is_none();
    let holds = match notice {
        Notice::Created { .. } => truth.made > 0,
        Notice::Started { .. } => truth.started,
        Notice::Completed { .. } => truth.completed,
        Notice::Failed(_) => truth.failed && truth.judged.is_none(),
        Notice::Exception(failure) => match failure.code {
            Code::JobDeleted => truth.deleted,
            Code::JobResultUnknown => is_gone && (truth.deleted || truth.expired || truth.made == 0),
            // Either the Job carries it, or the message says that the Job was left in place.
            Code::PodStartTimeout | Code::PodStartFailed => {
                truth.judged == Some(failure.code.as_str())
                    || (truth.made > 0 && failure.message.contains("left in place"))
            }
            Code::JobCreateFailed => truth.made == 0 || truth.deleted,
            Code::InternalError => truth.set_aside,
            Code::JobExecutionFailed
            | Code::JobOutOfMemory
            | Code::JobDeadlineExceeded
            | Code::JobDisrupted
            | Code::JobFailed
            | Code::JobAlreadyExists
            | Code::InvalidMessage
            | Code::TaskCancelled => false,
        },
    };
    holds
        .then_some(())
        .ok_or_else(|| format!("{notice:?} was never true: {truth:?}"))
}
