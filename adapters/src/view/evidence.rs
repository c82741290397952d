//! What an event says, in a line.

use engine::{
    CreateFailed, CreateFailure, Effect, Event, JobEnd, JobSeen, Looked, Ordered, PodEnd, Refusal,
    RefusalKind, StopAnswered, TtlAnswered, Waiting,
};

use super::Moment;

/// Says what was seen.
pub(super) fn line(event: &Event) -> String {
    match event {
        Event::Taken(spec) => format!(
            "message of service {} for namespace {}",
            spec.service, spec.namespace
        ),
        Event::Adopted(adopted) => format!(
            "Job {} of ours had no task: {}",
            adopted.spec.job_name,
            job(&adopted.job)
        ),
        Event::Granted(granted) if granted.stoppable => "a create slot; its Job can be stopped".to_owned(),
        Event::Granted(_) => "a create slot".to_owned(),
        Event::Held(it) => format!("its namespace is closed: {}", refusal(it)),
        Event::StillRefused(it) => format!("its namespace is still closed: {}", refusal(it)),
        Event::Released(_) => "its namespace is open again".to_owned(),
        Event::TookOver(_) => "a new leader loaded it".to_owned(),
        Event::Woke(_) => "its deadline passed".to_owned(),
        Event::JobSeen(seen) => job(seen),
        Event::CreateFailed(failed) => create(failed),
        Event::JobJudged(judged) => format!(
            "its Job holds the verdict {}: {}",
            judged.failure.code, judged.failure.message
        ),
        Event::JobEnded(ended) => match &ended.end {
            JobEnd::Complete { duration_secs } => format!("the Job is complete after {duration_secs} s"),
            JobEnd::Failed { reason, message } => format!("the Job has failed: {reason}: {message}"),
        },
        Event::JobDeleted(deleted) => format!("the watch says that Job {} was deleted", deleted.uid),
        Event::JobMissing(_) => "a complete list does not hold its Job".to_owned(),
        Event::PodStarted(pod) => format!("pod {} runs", pod.name),
        Event::PodWaiting(pod) => format!("its pod waits: {}", waiting(&pod.waiting)),
        Event::PodFailed(failed) => pod(&failed.end),
        Event::Looked(it) => looked(it),
        Event::LookFailed(_) => "the look was not answered".to_owned(),
        Event::LookRefused(refused) => format!("the look was refused: {}", refused.message),
        Event::StopAnswered(answer) => match answer {
            StopAnswered::Done => "the Job is stopped",
            StopAnswered::Conflict => "the Job changed meanwhile (409)",
            StopAnswered::Gone => "there is no such Job (404)",
            StopAnswered::Forbidden => "the permission to stop it is missing (403)",
            StopAnswered::Unknown => "the stop was not answered",
        }
        .to_owned(),
        Event::TtlAnswered(TtlAnswered::Settled) => "the TTL is settled".to_owned(),
        Event::TtlAnswered(TtlAnswered::Unknown) => "the request for the TTL was not answered".to_owned(),
        Event::SetAside(aside) => aside.message.clone(),
        Event::Cancelled(order) if order.reason.is_empty() => format!("by order of {}", order.by),
        Event::Cancelled(order) => format!("by order of {}: {}", order.by, order.reason),
    }
}

/// Says what was done by whose order.
pub(super) fn order(order: &Ordered) -> String {
    let Ordered {
        subject, by, reason, ..
    } = order;
    if reason.is_empty() {
        format!("{subject}, by order of {by}")
    } else {
        format!("{subject}, by order of {by}: {reason}")
    }
}

/// Says what is asked of the world.
pub(super) fn asked(effect: &Effect) -> String {
    match effect {
        Effect::CreateJob { .. } => "create the Job".to_owned(),
        Effect::Look => "look at the Job and its pods".to_owned(),
        Effect::StopJob { failure, .. } => format!("stop the Job with {}", failure.code),
        Effect::SetTtl { seconds, .. } => format!("set the Job's TTL to {seconds} s"),
    }
}

fn job(seen: &JobSeen) -> String {
    if seen.by_pod {
        return format!("a pod of Job {} is there", seen.uid);
    }
    let suspended = if seen.suspended { ", suspended" } else { "" };
    let ended = seen
        .ended_at
        .map_or_else(String::new, |at| format!(", ended at {}", Moment::from(at)));
    format!(
        "Job {} exists, created at {}{suspended}{ended}",
        seen.uid,
        Moment::from(seen.created_at)
    )
}

fn refusal(refusal: &Refusal) -> String {
    let what = match refusal.why {
        RefusalKind::Forbidden => "a permission is missing",
        RefusalKind::Quota => "the quota is spent",
    };
    format!("{what}: {}", refusal.message)
}

fn create(failed: &CreateFailed) -> String {
    let what = match failed.why {
        CreateFailure::Unknown => "the create was not answered, the Job may exist",
        CreateFailure::Deferred => "not created, to be tried later",
        CreateFailure::Refused => "the API server refuses the Job",
        CreateFailure::Forbidden => "a permission is missing",
        CreateFailure::Quota => "the quota is spent",
        CreateFailure::NameTaken => "the name is taken by a Job that is not ours",
    };
    let wait = failed.retry_after_ms.map_or_else(String::new, |ms| {
        format!(" (Retry-After {} s)", ms.div_ceil(1000))
    });
    format!("{what}{wait}: {}", failed.message)
}

fn waiting(waiting: &Waiting) -> String {
    if waiting.message.is_empty() {
        waiting.reason.clone()
    } else {
        format!("{}: {}", waiting.reason, waiting.message)
    }
}

fn pod(end: &PodEnd) -> String {
    let mut parts = Vec::new();
    if let Some(disruption) = &end.disruption {
        parts.push(format!("disrupted: {disruption}"));
    }
    if let Some(container) = &end.container {
        parts.push(format!(
            "container {} ended with exit code {} ({})",
            container.name, container.exit_code, container.reason
        ));
        if !container.message.is_empty() {
            parts.push(container.message.trim_end().to_owned());
        }
    }
    parts.extend(end.pod_reason.clone());
    let told = if parts.is_empty() {
        "it says nothing of its end".to_owned()
    } else {
        parts.join("; ")
    };
    format!("pod {} failed: {told}", end.uid)
}

fn looked(looked: &Looked) -> String {
    let Some(job) = &looked.job else {
        return "no Job of that name".to_owned();
    };
    match (&looked.waiting, looked.has_pods) {
        (Some(it), _) => format!("Job {job} is there, its pod waits: {}", waiting(it)),
        (None, true) => format!("Job {job} is there, with a pod"),
        (None, false) => format!("Job {job} is there, without a pod"),
    }
}
