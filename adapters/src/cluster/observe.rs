//! From a Job on the wire to facts. Pure.
//!
//! It never concludes anything: it says what the object says, and only of objects of this instance.
//! Called by the watch, the look, the create (for a Job that is there already) and the stop.

use super::manifest::Limits;
use super::names::Instance;
use super::wire::{Condition, Job, Metadata};
use engine::Failure;
use engine::Spec;
use engine::Timestamp;
use engine::{Digest, TaskId, Uid};
use engine::{Event, JobEnd, JobEnded, JobJudged, JobSeen};

/// The longest id that a task may have, in bytes.
const ID_MAX: usize = 253;

/// Tells our objects from those of others: label and annotation have to agree.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    label: String,
    annotation: String,
}

impl Ours {
    /// Takes the values that the instance's objects carry.
    pub(super) fn new(instance: &Instance) -> Self {
        Self {
            label: instance.hash(),
            annotation: instance.to_string(),
        }
    }

    /// Returns the value of the instance label.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Reads whose the object is; `None` where it is not this instance's, or its annotations are damaged.
    pub(super) fn owner_of(&self, metadata: &Metadata) -> Option<Owner> {
        let annotations = &metadata.annotations;
        if metadata.labels.instance.as_deref() != Some(&self.label)
            || annotations.instance.as_deref() != Some(&self.annotation)
        {
            return None;
        }
        let owner = Self::read(metadata);
        if owner.is_none() {
            log::warn!(
                namespace = metadata.namespace, name = metadata.name;
                "an object carries this worker's labels, but no readable id and digest: ignored"
            );
        }
        owner
    }

    fn read(metadata: &Metadata) -> Option<Owner> {
        let annotations = &metadata.annotations;
        let id = annotations.id.as_deref()?;
        if id.is_empty() || id.len() > ID_MAX {
            return None;
        }
        let created_at = metadata.creation_timestamp.unwrap_or_default();
        let received_at = annotations
            .received_at
            .as_deref()
            .and_then(|text| text.parse().ok())
            .map_or(created_at, Timestamp);
        Some(Owner {
            task: TaskId::new(id),
            digest: Digest::from_hex(annotations.digest.as_deref()?)?,
            received_at,
        })
    }
}

/// The task that an object of ours belongs to.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) task: TaskId,
    pub(super) digest: Digest,
    pub(super) received_at: Timestamp,
}

/// What a Job says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Observed {
    pub(super) task: TaskId,
    /// `JobSeen`, then `JobJudged` where a verdict is on it, then `JobEnded` where it has ended.
    pub(super) facts: Vec<Event>,
    /// The task rebuilt from the annotations, where they hold enough.
    pub(super) adoption: Option<Box<Spec>>,
}

/// Reads a Job; `None` where it is not this instance's.
pub(super) fn job_facts(ours: &Ours, job: &Job) -> Option<Observed> {
    let owner = ours.owner_of(&job.metadata)?;
    if job.metadata.uid.is_empty() {
        return None;
    }
    let uid = Uid::new(job.metadata.uid.as_str());
    let created_at = job.metadata.creation_timestamp.unwrap_or_default();
    let end = terminal(job);
    let ended_at = end.map(|end| {
        end.last_transition_time
            .or(job.status.completion_time)
            .unwrap_or(created_at)
    });
    let mut facts = vec![Event::JobSeen(JobSeen {
        uid: uid.clone(),
        digest: owner.digest,
        received_at: owner.received_at,
        created_at,
        ended_at,
        suspended: job.spec.suspend.unwrap_or(false),
        by_pod: false,
    })];
    if let Some(failure) = verdict(job) {
        facts.push(Event::JobJudged(JobJudged {
            uid: uid.clone(),
            failure,
        }));
    }
    if let Some(condition) = end {
        let end = job_end(job, condition);
        facts.push(Event::JobEnded(JobEnded { uid, end }));
    }
    Some(Observed {
        adoption: adoption(job, &owner),
        task: owner.task,
        facts,
    })
}

/// Reads the verdict that a stop wrote to the Job; `None` where there is none that can be read.
pub(super) fn verdict(job: &Job) -> Option<Failure> {
    let text = job.metadata.annotations.verdict.as_deref()?;
    match serde_json::from_str::<Failure>(text) {
        Ok(failure) => Some(Failure::new(failure.code, failure.message)),
        Err(error) => {
            log::warn!(
                namespace = job.metadata.namespace, name = job.metadata.name;
                "the verdict on a Job cannot be read, it is ignored: {error}"
            );
            None
        }
    }
}

/// Returns the condition with which the Job ended.
///
/// `SuccessCriteriaMet` and `FailureTarget` come earlier, while pods may still end (KEP-3998, KEP-4368): they end nothing.
pub(super) fn terminal(job: &Job) -> Option<&Condition> {
    job.status
        .conditions
        .iter()
        .find(|condition| condition.holds("Complete") || condition.holds("Failed"))
}

fn job_end(job: &Job, condition: &Condition) -> JobEnd {
    if condition.r#type == "Failed" {
        return JobEnd::Failed {
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        };
    }
    let began = job.status.start_time.or(job.metadata.creation_timestamp);
    let ended = job.status.completion_time.or(condition.last_transition_time);
    JobEnd::Complete {
        duration_secs: match (began, ended) {
            (Some(began), Some(ended)) => ended.since_ms(began) / 1000,
            (None, _) | (_, None) => 0,
        },
    }
}

fn adoption(job: &Job, owner: &Owner) -> Option<Box<Spec>> {
    let annotations = &job.metadata.annotations;
    let limits: Limits = serde_json::from_str(annotations.limits.as_deref()?).ok()?;
    Some(Box::new(Spec {
        digest: owner.digest,
        namespace: job.metadata.namespace.clone(),
        job_name: job.metadata.name.clone(),
        service: annotations.service.clone()?,
        webhook: annotations.webhook.clone(),
        traceparent: annotations.traceparent.clone(),
        received_at: owner.received_at,
        start_timeout_secs: limits.start_timeout_seconds,
        active_deadline_secs: limits.active_deadline_seconds,
        ttl_secs: limits.ttl_seconds_after_finished,
    }))
}
