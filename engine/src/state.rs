//! The six states of a task and what each of them waits for.

mod created;
mod followed;
mod phase;
mod pod_started;
mod received;
mod start_clock;
mod terminal;

pub use created::{Created, Wait};
pub use phase::{Overdue, Phase};
pub use pod_started::PodStarted;
pub use received::{Received, ReceivedPhase, Refused};
pub use start_clock::StartClock;
pub use terminal::{Closing, Completed, Exception, Failed, Ttl};

use crate::effect::{Effect, Notice};
use crate::kind::StateKind;
use crate::policy::Policy;
use crate::spec::Spec;
use crate::time::Timestamp;
use crate::uid::Uid;
use serde::{Deserialize, Serialize};

/// Where a task is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// The message is ours, durably; its Job is not yet known to exist.
    Received(Received),
    /// The Job exists; no container has started as far as we know.
    Created(Created),
    /// A container of one of its pods has started.
    PodStarted(PodStarted),
    /// The Job has condition Complete.
    Completed(Completed),
    /// The Job has condition Failed.
    Failed(Failed),
    /// Every other end.
    Exception(Exception),
}

impl State {
    /// Returns the name of the state.
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Received(_) => StateKind::Received,
            Self::Created(_) => StateKind::Created,
            Self::PodStarted(_) => StateKind::PodStarted,
            Self::Completed(_) => StateKind::Completed,
            Self::Failed(_) => StateKind::Failed,
            Self::Exception(_) => StateKind::Exception,
        }
    }

    /// Returns the name of what the state waits for.
    pub const fn phase(&self) -> &'static str {
        match self {
            Self::Received(s) => s.phase.name(),
            Self::Created(s) => s.phase_name(),
            Self::PodStarted(s) => s.phase.name(),
            Self::Completed(s) => s.closing.name(),
            Self::Failed(s) => s.closing.name(),
            Self::Exception(s) => s.closing.name(),
        }
    }

    /// Returns the uid of the Job, where it is known.
    pub const fn job(&self) -> Option<&Uid> {
        match self {
            Self::Received(_) => None,
            Self::Created(s) => Some(&s.uid),
            Self::PodStarted(s) => Some(&s.uid),
            Self::Completed(s) => s.closing.job(),
            Self::Failed(s) => s.closing.job(),
            Self::Exception(s) => s.closing.job(),
        }
    }

    /// Returns when the state wants attention.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Received(s) => s.deadline(),
            Self::Created(s) => s.deadline(),
            Self::PodStarted(s) => s.phase.deadline(),
            Self::Completed(s) => s.closing.deadline(),
            Self::Failed(s) => s.closing.deadline(),
            Self::Exception(s) => s.closing.deadline(),
        }
    }

    /// Returns who wakes a state that has no deadline.
    pub fn waker(&self) -> &'static str {
        if self.deadline().is_some() {
            return "its deadline";
        }
        if self.owed().is_some() {
            return "the answer of the request that it owes";
        }
        match self {
            Self::Received(s) => s.phase.waker(),
            Self::Created(_) | Self::PodStarted(_) => "the watch of Jobs and pods",
            Self::Completed(s) => s.closing.waker(),
            Self::Failed(s) => s.closing.waker(),
            Self::Exception(s) => s.closing.waker(),
        }
    }

    /// Returns what the world still owes an answer to; run again after a restart.
    pub fn owed(&self) -> Option<Effect> {
        match self {
            Self::Received(s) => s.owed(),
            Self::Created(s) => s.phase.owed(&s.uid),
            Self::PodStarted(s) => s.phase.owed(&s.uid),
            Self::Completed(s) => s.closing.owed(),
            Self::Failed(s) => s.closing.owed(),
            Self::Exception(s) => s.closing.owed(),
        }
    }
}

/// What a transition may look at and add to.
pub(crate) struct Cx<'a> {
    pub(crate) now: Timestamp,
    pub(crate) policy: &'a Policy,
    pub(crate) spec: &'a Spec,
    /// What the client is told.
    pub(crate) notices: Vec<Notice>,
    /// When the message was taken for which the Job was made: the Job knows better than a store that
    /// lost the task and took its message again.
    pub(crate) incarnation: Timestamp,
}

impl<'a> Cx<'a> {
    pub(crate) const fn new(now: Timestamp, policy: &'a Policy, spec: &'a Spec) -> Self {
        Self {
            now,
            policy,
            spec,
            notices: Vec::new(),
            incarnation: spec.received_at,
        }
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}
