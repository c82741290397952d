//! What the cluster adapter saw, and what it is asked.

use super::intake::Tombstones;
use super::{ASK_MS, Driver, Output};
use crate::cluster::manifest::{Identity, Ttl, job};
use crate::cluster::{Report, Request, Scope};
use crate::store::Store;
use crate::trace::trace_id;
use engine::{
    Closing, Effect, Event, JobMissing, JobSeen, SetAside, Spec, StateKind, Task, TaskId, Timestamp,
};
use std::collections::BTreeSet;
use std::sync::Arc;

impl<S: Store> Driver<S> {
    pub(super) fn report(&mut self, now: Timestamp, report: Report, tombstones: &Tombstones) {
        match report {
            Report::Facts { task, facts } => self.facts(now, &task, facts),
            Report::Job {
                task,
                facts,
                adoption,
            } => {
                if self.engine.task(&task).is_none()
                    && !self.adopted(now, &task, &facts, adoption, tombstones)
                {
                    return;
                }
                self.facts(now, &task, facts);
            }
            Report::Relisted {
                scope,
                jobs,
                began_at,
            } => self.relisted(now, &scope, &jobs, began_at),
            Report::NamespaceReady { namespace, stoppable } => {
                self.refused.remove(&namespace);
                let step = self.engine.namespace_ready(now, &namespace, stoppable);
                self.moved(now, step);
            }
            Report::NamespaceRefused { namespace, refusal } => {
                log::warn!(namespace = namespace; "the namespace is refused: {}", refusal.message);
                self.refused.entry(namespace.clone()).or_insert(now);
                let step = self.engine.namespace_refused(now, &namespace, refusal);
                self.moved(now, step);
            }
            Report::Synced => {
                log::info!("the first lists of Jobs and pods are complete");
                self.watching = true;
                self.resuming = true;
            }
            Report::ApiServer(_) => {}
        }
    }

    fn facts(&mut self, now: Timestamp, task: &TaskId, facts: Vec<Event>) {
        for fact in facts {
            self.step(now, task, fact);
        }
    }

    /// Begins a task for a Job of ours that has none, where nobody has its verdict yet.
    fn adopted(
        &mut self,
        now: Timestamp,
        task: &TaskId,
        facts: &[Event],
        adoption: Option<Box<Spec>>,
        tombstones: &Tombstones,
    ) -> bool {
        let Some(spec) = adoption else { return false };
        if tombstones.contains_key(task) || self.unreadable.contains(task) {
            return false;
        }
        let Some(seen) = alive(facts) else { return false };
        if !self.engine.adopts(now, seen) {
            log::debug!(task = task.as_str(), trace = trace_id(spec.traceparent.as_deref(), task.as_str()), job = spec.job_name; "a Job without a task ended long ago; it is left alone");
            self.metrics.orphan_job("left");
            return false;
        }
        log::warn!(task = task.as_str(), trace = trace_id(spec.traceparent.as_deref(), task.as_str()), job = spec.job_name; "a Job of ours has no task in the store: adopted");
        self.metrics.orphan_job("adopted");
        let step = self.engine.adopt(now, task.clone(), spec, seen.clone());
        self.moved(now, step);
        true
    }

    /// Finds the tasks whose Job a complete list does not hold.
    fn relisted(&mut self, now: Timestamp, scope: &Scope, jobs: &BTreeSet<TaskId>, began_at: Timestamp) {
        let missing: Vec<TaskId> = self
            .engine
            .tasks()
            .filter(|(id, task)| {
                let awaited = match task.state.kind() {
                    StateKind::Created | StateKind::PodStarted => true,
                    StateKind::Exception => {
                        matches!(super::closing(&task.state), Closing::LeftInPlace { .. })
                    }
                    StateKind::Received | StateKind::Completed | StateKind::Failed => false,
                };
                let in_scope = match scope {
                    Scope::All => true,
                    Scope::Namespace(namespace) => *namespace == task.spec.namespace,
                };
                let since = self
                    .known_since
                    .get(*id)
                    .copied()
                    .unwrap_or(task.spec.received_at);
                awaited && in_scope && since < began_at && !jobs.contains(id)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for task in missing {
            self.step(now, &task, Event::JobMissing(JobMissing));
        }
    }

    /// Asks again for the refused namespaces that tasks wait for: the adapter gives up what nobody asks for, and tells
    /// once where it does not even try.
    pub(super) fn ask_again(&mut self, now: Timestamp) {
        for (namespace, asked_at) in &mut self.refused {
            if now.since_ms(*asked_at) < ASK_MS {
                continue;
            }
            *asked_at = now;
            let waits =
                |task: &Task| task.state.kind() == StateKind::Received && task.spec.namespace == *namespace;
            if self.engine.tasks().any(|(_, task)| waits(task)) {
                let namespace = namespace.clone();
                self.outputs.push(Output::Cluster(Request::Prepare { namespace }));
            }
        }
    }

    /// Asks the world for what a task is owed.
    pub(super) fn request(&mut self, task: &TaskId, effect: Effect) {
        let Some(held) = self.engine.task(task) else {
            return;
        };
        let (namespace, job_name) = (held.spec.namespace.clone(), held.spec.job_name.clone());
        let task = task.clone();
        let request = match effect {
            Effect::CreateJob { with_ttl } => {
                let Some(message) = self.messages.get(&task) else {
                    log::error!(task = task.as_str(), trace = self.trace(&task); "its message is lost, so no Job can be made");
                    let message = "The message is lost, so no Job can be made of it.".to_owned();
                    self.again.push((task, Event::SetAside(SetAside { message })));
                    return;
                };
                let identity = Identity {
                    instance: &self.settings.instance,
                    digest: &held.spec.digest,
                    received_at_ms: held.spec.received_at.0,
                    start_timeout_seconds: held.spec.start_timeout_secs,
                    ttl: if with_ttl {
                        Ttl::AtCreation
                    } else {
                        Ttl::AfterVerdict
                    },
                };
                Request::Create {
                    task,
                    spec: Arc::clone(&held.spec),
                    job: Box::new(job(message, &identity)),
                }
            }
            Effect::Look => Request::Look {
                uid: held.state.job().cloned(),
                task,
                namespace,
                job_name,
            },
            Effect::StopJob { uid, failure } => Request::Stop {
                task,
                namespace,
                job_name,
                uid,
                failure,
            },
            Effect::SetTtl { uid, seconds } => Request::SetTtl {
                task,
                namespace,
                job_name,
                uid,
                seconds,
            },
        };
        self.outputs.push(Output::Cluster(request));
    }
}

/// Returns what was seen of a Job that exists: not the last object of a deleted one.
fn alive(facts: &[Event]) -> Option<&JobSeen> {
    if facts.iter().any(|fact| matches!(fact, Event::JobDeleted(_))) {
        return None;
    }
    facts.iter().find_map(|fact| {
        if let Event::JobSeen(seen) = fact {
            Some(seen)
        } else {
            None
        }
    })
}
