//! One task and its advance by one event.

use crate::effect::{Effect, Notice};
use crate::event::{Adopted, Event};
use crate::id::TaskId;
use crate::kind::{EventKind, StateKind};
use crate::policy::Policy;
use crate::spec::Spec;
use crate::state::{Created, Cx, Received, StartClock, State};
use crate::table::{self, Dispatch, Move};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// A task: what it is, where it is, and how often it has moved.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Transitions so far, dense from 1; the version that the store compares.
    pub seq: u64,
    /// What it is.
    pub spec: Arc<Spec>,
    /// Where it is.
    pub state: State,
}

/// One move of one task: the line of the event log.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The task.
    pub task: TaskId,
    /// When it was decided.
    pub at: Timestamp,
    /// What moved it.
    pub event: Event,
    /// Where it was; `None` for its first transition.
    pub from: Option<StateKind>,
    /// The task afterwards.
    pub after: Task,
    /// What the client is told, in order.
    pub notices: Vec<Notice>,
    /// What is asked of the world once the transition is durable.
    pub(crate) effect: Option<Effect>,
}

impl Transition {
    /// Tells whether this transition gave the task its verdict.
    pub fn gave_verdict(&self) -> bool {
        self.after.state.kind().is_terminal() && !self.from.is_some_and(StateKind::is_terminal)
    }

    /// Returns the effect, to be recorded; it is carried out by whoever commits the step.
    pub const fn recorded_effect(&self) -> Option<&Effect> {
        self.effect.as_ref()
    }
}

/// What an event did to a task.
#[derive(Debug)]
pub enum Advance {
    /// It moved, through this row of the table.
    Moved(Box<Transition>, &'static Move),
    /// It stays as it is, for the reason that the table gives.
    Ignored(&'static str),
}

/// An event that means nothing in the task's state: the worker itself is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Error)]
#[error("event {} means nothing in state {}", .on.name(), .from.map_or("(none)", StateKind::name))]
pub struct Rejected {
    /// The state; `None` where there is no task.
    pub from: Option<StateKind>,
    /// The event.
    pub on: EventKind,
}

impl Task {
    /// Begins a task; `None` for an event that begins none.
    pub fn begin(now: Timestamp, id: &TaskId, event: Event, policy: &Policy) -> Option<Transition> {
        let (spec, state, notices) = match &event {
            Event::Taken(spec) => (Arc::clone(spec), State::Received(Received::taken()), Vec::new()),
            Event::Adopted(adopted) => {
                let Adopted { spec, job } = &**adopted;
                let mut cx = Cx::new(now, policy, spec);
                let start = StartClock::new(job.created_at, job.suspended, &cx);
                cx.notify(Notice::Created { job: job.uid.clone() });
                let created = Created::new(job.uid.clone(), job.stoppable, start);
                (Arc::clone(spec), State::Created(created), cx.notices)
            }
            Event::Granted(_)
            | Event::Held(_)
            | Event::Released(_)
            | Event::StillRefused(_)
            | Event::TookOver(_)
            | Event::Woke(_)
            | Event::JobSeen(_)
            | Event::CreateFailed(_)
            | Event::JobJudged(_)
            | Event::JobEnded(_)
            | Event::JobDeleted(_)
            | Event::JobMissing(_)
            | Event::PodStarted(_)
            | Event::PodWaiting(_)
            | Event::PodFailed(_)
            | Event::Looked(_)
            | Event::LookFailed(_)
            | Event::LookRefused(_)
            | Event::StopAnswered(_)
            | Event::TtlAnswered(_)
            | Event::SetAside(_) => return None,
        };
        let effect = state.owed();
        Some(Transition {
            task: id.clone(),
            at: now,
            event,
            from: None,
            after: Self { seq: 1, spec, state },
            notices,
            effect,
        })
    }

    /// Advances the task by one event. The task itself is not changed: the transition holds what comes after.
    ///
    /// # Errors
    ///
    /// `Rejected` where the table has no row for the event in this state.
    pub fn advance(
        &self,
        now: Timestamp,
        id: &TaskId,
        event: Event,
        policy: &Policy,
    ) -> Result<Advance, Rejected> {
        if let (Some(about), Some(ours)) = (event.job(), self.state.job())
            && about != ours
        {
            return Ok(Advance::Ignored(table::ANOTHER_JOB));
        }
        let (from, on) = (self.state.kind(), event.kind());
        let mut cx = Cx::new(now, policy, &self.spec);
        match table::dispatch(&self.state, &event, &mut cx) {
            Dispatch::Moved(state, row) => {
                let (owed, owed_before) = (state.owed(), self.state.owed());
                let spec = if cx.incarnation == self.spec.received_at {
                    Arc::clone(&self.spec)
                } else {
                    Arc::new(Spec {
                        received_at: cx.incarnation,
                        ..Spec::clone(&self.spec)
                    })
                };
                let transition = Transition {
                    task: id.clone(),
                    at: now,
                    event,
                    from: Some(from),
                    notices: cx.notices,
                    after: Self {
                        seq: self.seq + 1,
                        spec,
                        state,
                    },
                    effect: if owed == owed_before { None } else { owed },
                };
                Ok(Advance::Moved(Box::new(transition), row))
            }
            Dispatch::Ignored(why) => Ok(Advance::Ignored(why)),
            Dispatch::Rejected => Err(Rejected { from: Some(from), on }),
        }
    }
}
