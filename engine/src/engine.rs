//! Every task of one worker, advanced one event at a time.

use crate::admission::{Admission, Next, Place};
use crate::effect::Effect;
use crate::event::{
    Adopted, CreateFailed, CreateFailure, Event, Granted, JobSeen, Refusal, RefusalKind, Released,
};
use crate::id::{Digest, TaskId};
use crate::kind::StateKind;
use crate::policy::Policy;
use crate::spec::Spec;
use crate::state::{ReceivedPhase, State};
use crate::step::Step;
use crate::task::{Advance, Rejected, Task, Transition};
use crate::tasks::Tasks;
use crate::time::Timestamp;
use std::sync::Arc;

/// Every task that is not forgotten yet, and the queue for create slots.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    tasks: Tasks,
    admission: Admission,
    unprepared: Vec<String>,
    clock: Timestamp,
    unfinished: usize,
}

/// What an event did.
#[must_use]
#[derive(Debug)]
pub enum Outcome {
    /// One task moved, or more.
    Moved(Step),
    /// Nothing moved, for the reason given.
    Ignored(&'static str),
}

/// Why no task has this id.
pub const NO_TASK: &str = "no task has this id";

impl Engine {
    /// Builds an engine without tasks.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            tasks: Tasks::default(),
            admission: Admission::new(),
            unprepared: Vec::new(),
            clock: Timestamp(0),
            unfinished: 0,
        }
    }

    /// Puts back a task as it was stored. Its effects are owed again: see [`Engine::owed`].
    pub fn restore(&mut self, id: TaskId, task: Task) {
        self.settle(id, task);
    }

    /// Begins a task for a message. The caller has seen that neither a task nor a tombstone has its id.
    ///
    /// # Errors
    ///
    /// `Rejected` where a task has the id.
    pub fn take(&mut self, now: Timestamp, id: TaskId, spec: impl Into<Arc<Spec>>) -> Result<Step, Rejected> {
        self.begin(now, id, Event::Taken(spec.into()))
    }

    /// Begins a task for a Job of ours that has none. The caller has seen that no tombstone has its id.
    ///
    /// # Errors
    ///
    /// `Rejected` where a task has the id.
    pub fn adopt(
        &mut self,
        now: Timestamp,
        id: TaskId,
        spec: impl Into<Arc<Spec>>,
        job: JobSeen,
    ) -> Result<Step, Rejected> {
        let adopted = Adopted {
            spec: spec.into(),
            job,
        };
        self.begin(now, id, Event::Adopted(Box::new(adopted)))
    }

    /// Tells whether a Job without task and tombstone is adopted: it is unfinished, or ended so lately that
    /// its verdict may not have been told.
    pub fn adopts(&self, now: Timestamp, job: &JobSeen) -> bool {
        !job.by_pod
            && job
                .ended_at
                .is_none_or(|ended| now.since_ms(ended) < self.policy.dedup_window_ms / 2)
    }

    fn begin(&mut self, now: Timestamp, id: TaskId, event: Event) -> Result<Step, Rejected> {
        let now = self.tick(now);
        let on = event.kind();
        let from = self.tasks.get(&id).map(|task| task.state.kind());
        if from.is_some() {
            return Err(Rejected { from, on });
        }
        let Some(transition) = Task::begin(now, &id, event, &self.policy) else {
            return Err(Rejected { from, on });
        };
        self.settle(id, transition.after.clone());
        Ok(Step::of(transition))
    }

    /// Advances a task by one event. `now` never moves the engine's clock back.
    ///
    /// # Errors
    ///
    /// `Rejected` where the table has no row for the event.
    pub fn step(&mut self, now: Timestamp, id: &TaskId, event: Event) -> Result<Outcome, Rejected> {
        let now = self.tick(now);
        let Some(task) = self.tasks.get(id) else {
            return Ok(Outcome::Ignored(NO_TASK));
        };
        let transition = match task.advance(now, id, event, &self.policy)? {
            Advance::Ignored(why) => return Ok(Outcome::Ignored(why)),
            Advance::Moved(transition, _) => *transition,
        };
        let spec = Arc::clone(&transition.after.spec);
        let news = News::of(&transition);
        self.settle(id.clone(), transition.after.clone());
        let mut step = Step::of(transition);
        match news {
            News::None => {}
            News::Created => {
                let held = self.admission.created(&spec.namespace);
                self.tell(now, held, &Event::Released(Released), &mut step)?;
            }
            News::Refused(refusal) => {
                let mut held = self.admission.refused(now, &spec.namespace, refusal.clone());
                held.retain(|other| other != id);
                self.tell(now, held, &Event::StillRefused(refusal), &mut step)?;
            }
        }
        Ok(Outcome::Moved(step))
    }

    fn tell(
        &mut self,
        now: Timestamp,
        tasks: Vec<TaskId>,
        event: &Event,
        step: &mut Step,
    ) -> Result<(), Rejected> {
        for id in tasks {
            if let Outcome::Moved(later) = self.step(now, &id, event.clone())? {
                step.then(later);
            }
        }
        Ok(())
    }

    /// Gives the free create slots away, and holds tasks whose namespace is closed.
    ///
    /// # Errors
    ///
    /// `Rejected` where the queue and a task's state disagree.
    pub fn admit(&mut self, now: Timestamp) -> Result<Step, Rejected> {
        let now = self.tick(now);
        let mut step = Step::default();
        while let Some(next) = self.admission.next(now, self.policy.creates_max) {
            let (task, event) = match next {
                Next::Grant { task, stoppable } => (task, Event::Granted(Granted { stoppable })),
                Next::Hold { task, refusal } => {
                    self.ask_again(&task);
                    (task, Event::Held(refusal))
                }
            };
            match self.step(now, &task, event)? {
                Outcome::Moved(later) => step.then(later),
                Outcome::Ignored(_) => break,
            }
        }
        Ok(step)
    }

    /// A closed namespace that nobody asked for in a while may not be tried any more: a task that comes to it asks again.
    fn ask_again(&mut self, task: &TaskId) {
        if let Some(task) = self.tasks.get(task)
            && !self.unprepared.contains(&task.spec.namespace)
        {
            self.unprepared.push(task.spec.namespace.clone());
        }
    }

    /// Notes that a namespace may be used, and whether its Jobs can be stopped.
    ///
    /// # Errors
    ///
    /// `Rejected` where the queue and a task's state disagree.
    pub fn namespace_ready(
        &mut self,
        now: Timestamp,
        namespace: &str,
        stoppable: bool,
    ) -> Result<Step, Rejected> {
        let now = self.tick(now);
        let held = self.admission.ready(namespace, stoppable);
        let mut step = Step::default();
        self.tell(now, held, &Event::Released(Released), &mut step)?;
        Ok(step)
    }

    /// Notes that a namespace cannot be watched.
    ///
    /// # Errors
    ///
    /// `Rejected` where the queue and a task's state disagree.
    pub fn namespace_refused(
        &mut self,
        now: Timestamp,
        namespace: &str,
        refusal: Refusal,
    ) -> Result<Step, Rejected> {
        let now = self.tick(now);
        let mut held = self.admission.unwatchable(namespace, refusal.clone());
        let followed = self.tasks.iter().filter(|(_, task)| {
            task.spec.namespace == namespace
                && matches!(task.state.kind(), StateKind::Created | StateKind::PodStarted)
        });
        held.extend(followed.map(|(id, _)| id.clone()));
        let mut step = Step::default();
        self.tell(now, held, &Event::StillRefused(refusal), &mut step)?;
        Ok(step)
    }

    /// Returns the namespaces that have to be prepared: named for the first time, or closed and named anew.
    pub fn unprepared(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unprepared)
    }

    /// Forgets a finished task; the caller has made that durable.
    pub fn forget(&mut self, id: &TaskId) -> Option<Task> {
        self.tasks.remove(id)
    }

    /// Returns everything still owed to the world; it is run after a restart.
    pub fn owed(&self) -> impl Iterator<Item = (&TaskId, Effect)> {
        self.tasks.filter_map(|task| task.state.owed())
    }

    /// Returns a task.
    pub fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    /// Returns the digest of a task's message.
    pub fn digest(&self, id: &TaskId) -> Option<Digest> {
        Some(self.tasks.get(id)?.spec.digest)
    }

    /// Returns every task, by id.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &Task)> {
        self.tasks.iter()
    }

    /// Returns the number of tasks without a verdict.
    pub const fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns how many messages may be taken before the bound of tasks is reached.
    pub const fn room(&self) -> usize {
        self.policy.tasks_max.saturating_sub(self.unfinished)
    }

    /// Returns the number of namespaces that refuse creates or cannot be watched.
    pub fn closed_namespaces(&self) -> usize {
        self.admission.closed()
    }

    /// Returns when the queue for slots wants attention by itself.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.admission.next_probe(self.policy.creates_max)
    }

    /// Returns when a task wants attention.
    pub fn deadline(&self, id: &TaskId) -> Option<Timestamp> {
        self.tasks.get(id)?.state.deadline()
    }

    /// Returns the policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    fn tick(&mut self, now: Timestamp) -> Timestamp {
        self.clock = self.clock.max(now);
        self.clock
    }

    /// Takes a task as it is now: in the map, in the queue for slots, in the count.
    fn settle(&mut self, id: TaskId, task: Task) {
        let spec = Arc::clone(&task.spec);
        let (after, open) = (place(&task.state), usize::from(!task.state.kind().is_terminal()));
        let before = self.tasks.put(id.clone(), task);
        let was_open = before
            .as_ref()
            .map_or(0, |before| usize::from(!before.state.kind().is_terminal()));
        self.unfinished = self.unfinished + open - was_open;
        // Most moves are of tasks that have long left the queue.
        if after == Place::Elsewhere && before.is_some_and(|before| place(&before.state) == after) {
            return;
        }
        let namespace = &spec.namespace;
        if !self.admission.knows(namespace) {
            self.unprepared.push(namespace.clone());
            self.admission.learn(namespace);
        }
        self.admission.place(&id, namespace, spec.received_at, after);
    }
}

/// Where a task stands in the queue for slots.
const fn place(state: &State) -> Place {
    match state {
        State::Received(received) => match received.phase {
            ReceivedPhase::Queued => Place::Queued,
            ReceivedPhase::Creating => Place::Creating,
            ReceivedPhase::Gated => Place::Gated,
            ReceivedPhase::BackingOff { .. } | ReceivedPhase::Confirming { .. } => Place::Waiting,
        },
        State::Created(_)
        | State::PodStarted(_)
        | State::Completed(_)
        | State::Failed(_)
        | State::Exception(_) => Place::Elsewhere,
    }
}

/// What an event says of the whole namespace.
enum News {
    None,
    Created,
    Refused(Refusal),
}

impl News {
    fn of(transition: &Transition) -> Self {
        if transition.from != Some(StateKind::Received) {
            return Self::None;
        }
        match &transition.event {
            Event::JobSeen(_) => Self::Created,
            Event::CreateFailed(CreateFailed { why, message, .. }) => {
                let why = match why {
                    CreateFailure::Forbidden => RefusalKind::Forbidden,
                    CreateFailure::Quota => RefusalKind::Quota,
                    CreateFailure::Unknown
                    | CreateFailure::Deferred
                    | CreateFailure::Refused
                    | CreateFailure::NameTaken => return Self::None,
                };
                Self::Refused(Refusal {
                    why,
                    message: message.clone(),
                })
            }
            Event::Taken(_)
            | Event::Adopted(_)
            | Event::Granted(_)
            | Event::Held(_)
            | Event::Released(_)
            | Event::StillRefused(_)
            | Event::TookOver(_)
            | Event::Woke(_)
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
            | Event::SetAside(_)
            | Event::Cancelled(_) => Self::None,
        }
    }
}
