//! The two writes to a Job that exists: its verdict with its end, and its TTL.
//!
//! It never writes to another Job than the one named by uid, nor over a change that it has not seen. Called by the pump, only
//! where `patch` is granted.

use super::Shared;
use super::client::{self, Verb};
use super::names::annotation;
use super::observe::{job_facts, terminal, verdict};
use super::wire::{Job, Status};
use engine::Failure;
use engine::Uid;
use engine::{Event, JobJudged, StopAnswered, TtlAnswered};
use serde_json::json;

/// Writes the verdict and `activeDeadlineSeconds: 1`; returns the answer, after what was
/// found or written on the Job.
pub(super) async fn stop(
    shared: &Shared,
    namespace: &str,
    job_name: &str,
    uid: &Uid,
    failure: &Failure,
) -> Vec<Event> {
    let path = client::job(namespace, job_name);
    let job = match shared.client.read(Verb::Get, &path).await {
        Ok(answer) if answer.code == 200 => match serde_json::from_slice::<Job>(&answer.body) {
            Ok(job) => job,
            Err(_) => return stopped(Vec::new(), StopAnswered::Unknown),
        },
        Ok(answer) => return stopped(Vec::new(), of_code(&answer)),
        Err(_) => return stopped(Vec::new(), StopAnswered::Unknown),
    };
    if Uid::new(&job.metadata.uid) != *uid {
        return stopped(Vec::new(), StopAnswered::Gone);
    }
    let facts = || job_facts(&shared.ours, &job).map_or_else(Vec::new, |observed| observed.facts);
    if terminal(&job).is_some() {
        return stopped(facts(), StopAnswered::Conflict);
    }
    if let Some(earlier) = verdict(&job) {
        let answered = if earlier == *failure {
            StopAnswered::Done
        } else {
            StopAnswered::Conflict
        };
        return stopped(facts(), answered);
    }
    let verdict = json!({"code": failure.code, "message": failure.message}).to_string();
    let patch = json!({
        "metadata": {
            "uid": uid,
            "resourceVersion": job.metadata.resource_version,
            "annotations": {annotation::VERDICT: verdict},
        },
        "spec": {"activeDeadlineSeconds": 1},
    });
    let Some(limit) = shared.write_timeout() else {
        return stopped(Vec::new(), StopAnswered::Unknown);
    };
    let body = patch.to_string().into_bytes();
    let answered = match shared.client.send(Verb::Patch, &path, body, limit).await {
        Ok(answer) => of_code(&answer),
        Err(_) => StopAnswered::Unknown,
    };
    // The task may want another verdict by now: what counts is the one that is on the Job.
    let written = (answered == StopAnswered::Done).then(|| {
        Event::JobJudged(JobJudged {
            uid: uid.clone(),
            failure: failure.clone(),
        })
    });
    stopped(written.into_iter().collect(), answered)
}

/// Sets `ttlSecondsAfterFinished`; a uid that differs is a conflict, and so nothing is left to set it on.
pub(super) async fn set_ttl(
    shared: &Shared,
    namespace: &str,
    job_name: &str,
    uid: &Uid,
    seconds: u32,
) -> Event {
    let Some(limit) = shared.write_timeout() else {
        return Event::TtlAnswered(TtlAnswered::Unknown);
    };
    let patch = json!({
        "metadata": {"uid": uid},
        "spec": {"ttlSecondsAfterFinished": seconds},
    });
    let path = client::job(namespace, job_name);
    let body = patch.to_string().into_bytes();
    let answered = match shared.client.send(Verb::Patch, &path, body, limit).await {
        Ok(answer) => match (answer.code, Status::read(&answer.body)) {
            (200..=299, _) => TtlAnswered::Settled,
            (403 | 404 | 409 | 422, Some(status)) => {
                log::debug!(namespace, job = job_name; "the TTL of a Job was not set: {}", status.message);
                TtlAnswered::Settled
            }
            (_, _) => TtlAnswered::Unknown,
        },
        Err(_) => TtlAnswered::Unknown,
    };
    Event::TtlAnswered(answered)
}

fn of_code(answer: &client::Answer) -> StopAnswered {
    let said = Status::read(&answer.body).is_some();
    match answer.code {
        200..=299 => StopAnswered::Done,
        404 if said => StopAnswered::Gone,
        403 if said => StopAnswered::Forbidden,
        409 if said => StopAnswered::Conflict,
        _ => StopAnswered::Unknown,
    }
}

fn stopped(mut facts: Vec<Event>, answered: StopAnswered) -> Vec<Event> {
    facts.push(Event::StopAnswered(answered));
    facts
}
