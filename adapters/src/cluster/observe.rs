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
        stoppable: limits(job).is_some_and(|limits| limits.stoppable),
        by_pod: false,
    })];
    facts.extend(end_facts(job));
    Some(Observed {
        adoption: adoption(job, &owner),
        task: owner.task,
        facts,
    })
}

/// Reads a Job's verdict and end, whosever it is.
pub(super) fn end_facts(job: &Job) -> Vec<Event> {
    let uid = Uid::new(job.metadata.uid.as_str());
    let mut facts = Vec::new();
    if let Some(failure) = verdict(job) {
        facts.push(Event::JobJudged(JobJudged {
            uid: uid.clone(),
            failure,
        }));
    }
    if let Some(condition) = terminal(job) {
        let end = job_end(job, condition);
        facts.push(Event::JobEnded(JobEnded { uid, end }));
    }
    facts
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

fn limits(job: &Job) -> Option<Limits> {
    serde_json::from_str(job.metadata.annotations.limits.as_deref()?).ok()
}

fn adoption(job: &Job, owner: &Owner) -> Option<Box<Spec>> {
    let annotations = &job.metadata.annotations;
    let limits = limits(job)?;
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

#[cfg(test)]
mod tests {
    use super::super::names::{annotation, label};
    use super::*;
    use engine::Code;
    use serde_json::json;

    macro_rules! fixture {
        ($name:literal) => {
            serde_json::from_str::<Job>(include_str!(concat!(
                "../../../fixtures/cluster/",
                $name,
                ".json"
            )))
            .unwrap()
        };
    }

    fn ours() -> Ours {
        Ours::new(&Instance {
            namespace: "jobs".to_owned(),
            lock_name: "job-worker-lock".to_owned(),
        })
    }

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp(u64::try_from(time.as_millisecond()).unwrap())
    }

    /// What every fixture begins with: none of them is suspended, and all were made for one message.
    fn seen(job: &Job, ended_at: Option<Timestamp>) -> Event {
        let digest = job.metadata.annotations.digest.as_deref().unwrap();
        Event::JobSeen(JobSeen {
            uid: Uid::new(job.metadata.uid.as_str()),
            digest: Digest::from_hex(digest).unwrap(),
            received_at: Timestamp(1_795_502_400_123),
            created_at: at("2026-11-24T06:48:14Z"),
            ended_at,
            suspended: false,
            stoppable: false,
            by_pod: false,
        })
    }

    fn ended(job: &Job, end: JobEnd) -> Event {
        Event::JobEnded(JobEnded {
            uid: Uid::new(job.metadata.uid.as_str()),
            end,
        })
    }

    fn facts(job: &Job) -> Vec<Event> {
        job_facts(&ours(), job).unwrap().facts
    }

    #[test]
    fn an_unfinished_job_is_seen_and_no_more() {
        for job in [
            fixture!("job-created"),
            fixture!("job-running"),
            fixture!("job-success-criteria-met"),
            fixture!("job-failure-target"),
        ] {
            assert_eq!(facts(&job), [seen(&job, None)]);
        }
    }

    #[test]
    fn a_complete_job_took_whole_seconds() {
        let job = fixture!("job-complete");
        let seen = seen(&job, Some(at("2026-11-24T06:48:18Z")));
        let end = ended(&job, JobEnd::Complete { duration_secs: 4 });
        assert_eq!(facts(&job), [seen, end]);
    }

    #[test]
    fn a_failed_job_gives_its_reason_and_message() {
        let job = fixture!("job-failed-backoff-limit");
        let end = JobEnd::Failed {
            reason: "BackoffLimitExceeded".to_owned(),
            message: "Job has reached the specified backoff limit".to_owned(),
        };
        let seen_at = seen(&job, Some(at("2026-11-24T06:48:18Z")));
        assert_eq!(facts(&job), [seen_at, ended(&job, end)]);

        let job = fixture!("job-failed-deadline");
        let end = JobEnd::Failed {
            reason: "DeadlineExceeded".to_owned(),
            message: "Job was active longer than specified deadline".to_owned(),
        };
        let seen_at = seen(&job, Some(at("2026-11-24T06:48:49Z")));
        assert_eq!(facts(&job), [seen_at, ended(&job, end)]);
    }

    #[test]
    fn a_suspended_job_says_so() {
        let job = fixture!("job-suspended");
        let mut expected = seen(&job, None);
        if let Event::JobSeen(seen) = &mut expected {
            seen.suspended = true;
        }
        assert_eq!(facts(&job), [expected]);
    }

    #[test]
    fn an_old_cluster_that_leaves_fields_out_is_read_all_the_same() {
        let mut job = fixture!("job-complete");
        job.status.start_time = None;
        job.status.completion_time = None;
        job.spec.suspend = None;
        job.status.conditions.remove(0);
        let seen = seen(&job, Some(at("2026-11-24T06:48:18Z")));
        let end = ended(&job, JobEnd::Complete { duration_secs: 4 });
        assert_eq!(facts(&job), [seen, end]);
    }

    #[test]
    fn a_verdict_on_the_job_comes_before_its_end() {
        let mut job = fixture!("job-failed-deadline");
        job.metadata.annotations.verdict =
            Some(r#"{"code":"POD_START_TIMEOUT","message":"no node"}"#.to_owned());
        let facts = facts(&job);
        let judged = Event::JobJudged(JobJudged {
            uid: Uid::new(job.metadata.uid.as_str()),
            failure: Failure::new(Code::PodStartTimeout, "no node"),
        });
        assert_eq!(facts.len(), 3);
        assert_eq!(facts[1], judged);

        job.metadata.annotations.verdict = Some("POD_START_TIMEOUT".to_owned());
        assert_eq!(verdict(&job), None);
    }

    #[test]
    fn the_task_is_rebuilt_from_the_annotations() {
        let job = fixture!("job-created");
        let expected = Spec {
            digest: Digest([1; 32]),
            namespace: "default".to_owned(),
            job_name: "complete-aaaaaaaaaaaaaaaa".to_owned(),
            service: "example".to_owned(),
            webhook: Some("http://webhook.example.com/callback".to_owned()),
            traceparent: None,
            received_at: Timestamp(1_795_502_400_123),
            start_timeout_secs: 600,
            active_deadline_secs: Some(600),
            ttl_secs: Some(60),
        };
        let observed = job_facts(&ours(), &job).unwrap();
        assert_eq!(observed.task, TaskId::new("task-complete"));
        assert_eq!(observed.adoption, Some(Box::new(expected)));

        let mut job = job;
        job.metadata.annotations.limits = None;
        assert_eq!(job_facts(&ours(), &job).unwrap().adoption, None);
    }

    #[test]
    fn a_job_of_another_instance_says_nothing() {
        let mut job = fixture!("job-created");
        job.metadata.labels.instance = Some("qv6l3wzq5m2ra7xk".to_owned());
        assert_eq!(job_facts(&ours(), &job), None);
        let mut job = fixture!("job-created");
        job.metadata.annotations.instance = None;
        assert_eq!(job_facts(&ours(), &job), None);
    }

    #[test]
    fn a_job_with_damaged_annotations_says_nothing() {
        let mut job = fixture!("job-created");
        job.metadata.annotations.digest = Some("01".to_owned());
        assert_eq!(job_facts(&ours(), &job), None);
        let mut job = fixture!("job-created");
        job.metadata.annotations.id = Some(String::new());
        assert_eq!(job_facts(&ours(), &job), None);
    }

    #[test]
    fn every_name_is_read_under_the_key_that_the_manifest_writes() {
        let metadata: Metadata = serde_json::from_value(json!({
            "labels": {label::INSTANCE: "label"},
            "annotations": {
                annotation::INSTANCE: "instance",
                annotation::ID: "id",
                annotation::DIGEST: "digest",
                annotation::WEBHOOK: "webhook",
                annotation::SERVICE: "service",
                annotation::RECEIVED_AT: "received-at",
                annotation::LIMITS: "limits",
                annotation::TRACEPARENT: "traceparent",
                annotation::VERDICT: "verdict",
            },
        }))
        .unwrap();
        let read = metadata.annotations;
        assert_eq!(metadata.labels.instance.as_deref(), Some("label"));
        let values = [
            read.instance,
            read.id,
            read.digest,
            read.webhook,
            read.service,
            read.received_at,
            read.limits,
            read.traceparent,
            read.verdict,
        ];
        let expected = [
            "instance",
            "id",
            "digest",
            "webhook",
            "service",
            "received-at",
            "limits",
            "traceparent",
            "verdict",
        ];
        assert_eq!(values.map(Option::unwrap), expected);
    }
}
