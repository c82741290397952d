//! Looks at a Job and its pods, fresh from the API server.
//!
//! It never says that something is absent unless a consistent read said so. Called by the pump.

use super::Shared;
use super::client::{self, Verb};
use super::events;
use super::names::{self, label};
use super::observe::{Ours, end_facts, job_facts};
use super::pods::{job_of, pod_facts, started, waiting};
use super::watch::{Trouble, pages};
use super::wire::{Job, Pod};
use engine::{Event, LookFailed, LookRefused, Looked, Waiting};
use engine::{TaskId, Uid};

/// Why there is nothing to tell.
enum Unseen {
    /// The API server does not allow it.
    Refused(String),
    /// There was no answer that says anything.
    Failed(String),
}

impl From<Trouble> for Unseen {
    fn from(trouble: Trouble) -> Self {
        if let Trouble::Refused { message } = trouble {
            Self::Refused(message)
        } else {
            Self::Failed(trouble.to_string())
        }
    }
}

/// Returns the facts of the Job and of its pods, oldest first, and `Looked`; or `LookRefused` or `LookFailed` alone.
///
/// A Job of the uid `known` is the task's whatever its labels say: they may have been taken off.
pub(super) async fn look(
    shared: &Shared,
    task: &TaskId,
    namespace: &str,
    job_name: &str,
    known: Option<&Uid>,
) -> Vec<Event> {
    match facts(shared, task, namespace, job_name, known).await {
        Ok(facts) => facts,
        Err(Unseen::Refused(message)) => {
            log::warn!(namespace, job = job_name; "a look at the Job was refused: {message}");
            vec![Event::LookRefused(LookRefused { message })]
        }
        Err(Unseen::Failed(reason)) => {
            log::warn!(namespace, job = job_name; "a look at the Job was not possible: {reason}");
            vec![Event::LookFailed(LookFailed)]
        }
    }
}

async fn facts(
    shared: &Shared,
    task: &TaskId,
    namespace: &str,
    job_name: &str,
    known: Option<&Uid>,
) -> Result<Vec<Event>, Unseen> {
    let path = client::job(namespace, job_name);
    let answer = shared
        .client
        .read(Verb::Get, &path)
        .await
        .map_err(|silence| Unseen::Failed(silence.to_string()))?;
    let job = match answer.code {
        200 => Some(
            serde_json::from_slice::<Job>(&answer.body)
                .map_err(|error| Unseen::Failed(format!("the Job cannot be read: {error}")))?,
        ),
        404 if is_absence(&answer) => None,
        403 => return Err(Unseen::Refused(answer.words())),
        _ => return Err(Unseen::Failed(answer.words())),
    };
    let mut pods = pods_of(shared, task, namespace).await?;
    let seen = seen(&shared.ours, task, known, job.as_ref(), &mut pods);
    let mut facts = seen.facts;
    let waiting = match &seen.job {
        Some(uid) if !seen.has_pods => events::refusal(shared, namespace, uid).await,
        Some(_) | None => seen.waiting,
    };
    facts.push(Event::Looked(Looked {
        waiting,
        has_pods: seen.has_pods,
        job: seen.job,
    }));
    Ok(facts)
}

/// What was read of a Job and its pods.
pub(super) struct Seen {
    /// The facts of the Job, then of its pods, the oldest first.
    pub(super) facts: Vec<Event>,
    /// The uid of the Job that has the name.
    pub(super) job: Option<Uid>,
    /// It has a pod.
    pub(super) has_pods: bool,
    /// What its newest pod waits for that has not started.
    pub(super) waiting: Option<Waiting>,
}

/// Reads a Job and its pods. Pure.
pub(super) fn seen(
    ours: &Ours,
    task: &TaskId,
    known: Option<&Uid>,
    job: Option<&Job>,
    pods: &mut [Pod],
) -> Seen {
    pods.sort_by(|a, b| {
        (a.metadata.creation_timestamp, &a.metadata.name)
            .cmp(&(b.metadata.creation_timestamp, &b.metadata.name))
    });

    let mut facts = Vec::new();
    if let Some(job) = job {
        match job_facts(ours, job) {
            Some(observed) if observed.task == *task => facts.extend(observed.facts),
            Some(_) | None if known.is_some_and(|uid| *uid == Uid::new(&job.metadata.uid)) => {
                facts.extend(end_facts(job));
            }
            Some(_) | None => {}
        }
    }
    for pod in &*pods {
        if let Some((owner, seen)) = pod_facts(ours, pod)
            && owner == *task
        {
            facts.extend(seen);
        }
    }
    let job = job.map(|job| Uid::new(job.metadata.uid.as_str()));
    let owned: Vec<&Pod> = pods
        .iter()
        .filter(|pod| job.is_none() || job_of(pod) == job)
        .collect();
    let unstarted = owned.iter().rev().find(|pod| !started(pod));
    Seen {
        waiting: unstarted.and_then(|pod| waiting(pod)),
        has_pods: !owned.is_empty(),
        facts,
        job,
    }
}

/// A proxy's 404, or that of an API group that is not served yet, proves nothing.
fn is_absence(answer: &client::Answer) -> bool {
    super::wire::Status::read(&answer.body).is_some_and(|status| status.details.kind == "jobs")
}

async fn pods_of(shared: &Shared, task: &TaskId, namespace: &str) -> Result<Vec<Pod>, Trouble> {
    let hash = names::task_hash(&shared.settings.instance, namespace, task.as_str());
    let selector = format!(
        "{}={},{}={hash}",
        label::INSTANCE,
        shared.ours.label(),
        label::TASK
    );
    let mut pods = Vec::new();
    pages(&shared.client, Some(namespace), &selector, |page| {
        pods.extend(page);
    })
    .await?;
    Ok(pods)
}
