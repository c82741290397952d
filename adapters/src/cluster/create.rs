//! Creates a Job: one POST, and one GET where the name is taken.
//!
//! It never repeats a POST and never touches a Job that is not ours. Called by the pump, with a create slot held.

use super::client::{self, Verb, cut};
use super::observe::{Ours, job_facts};
use super::outcome::{self, Outcome};
use super::wire;
use super::{Shared, client::Answer};
use crate::trace::trace_id;
use engine::Spec;
use engine::{CreateFailed, CreateFailure, Event, JobSeen};
use engine::{TaskId, Uid};
use k8s_openapi::api::batch::v1::Job;

/// Shortest env value, argument or command word that is looked for in a refusal, in bytes: shorter ones would take words of the
/// API server away, and give nothing away.
const REDACT_MIN: usize = 8;

/// Sends the request and returns what came of it.
pub(super) async fn create(shared: &Shared, task: &TaskId, spec: &Spec, job: &Job) -> Vec<Event> {
    let Some(limit) = shared.write_timeout() else {
        return vec![failed(
            CreateFailure::Deferred,
            "the create was not begun: too little of the lease is left".to_owned(),
        )];
    };
    let body = match serde_json::to_vec(job) {
        Ok(body) => body,
        Err(error) => {
            return vec![failed(
                CreateFailure::Refused,
                format!("the Job has no JSON form: {error}"),
            )];
        }
    };
    let path = client::objects("/apis/batch/v1", Some(&spec.namespace), "jobs");
    let answer = match shared.client.send(Verb::Create, &path, body, limit).await {
        Ok(answer) => answer,
        Err(silence) => return vec![Event::CreateFailed(outcome::of_silence(&silence))],
    };
    match outcome::of_answer(&answer) {
        Outcome::Made => made(shared, task, spec, &answer),
        Outcome::Exists => exists(shared, task, spec).await,
        Outcome::Failed(mut failed) => {
            failed.message = redacted(failed.message, job);
            vec![Event::CreateFailed(failed)]
        }
    }
}

fn made(shared: &Shared, task: &TaskId, spec: &Spec, answer: &Answer) -> Vec<Event> {
    let job: wire::Job = match serde_json::from_slice(&answer.body) {
        Ok(job) => job,
        Err(error) => {
            let message = format!("the API server's answer cannot be read: {error}");
            return vec![failed(CreateFailure::Unknown, message)];
        }
    };
    match job_facts(&shared.ours, &job) {
        Some(observed) if observed.task == *task => observed.facts,
        Some(_) | None if !job.metadata.uid.is_empty() => {
            log::warn!(
                task = task.as_str(), trace = trace_id(spec.traceparent.as_deref(), task.as_str()),
                namespace = spec.namespace, job = spec.job_name;
                "the cluster took this worker's labels or annotations off a new Job (an admission webhook does that): it cannot be followed"
            );
            vec![Event::JobSeen(JobSeen {
                uid: Uid::new(job.metadata.uid),
                digest: spec.digest,
                received_at: spec.received_at,
                created_at: job.metadata.creation_timestamp.unwrap_or_default(),
                ended_at: None,
                suspended: job.spec.suspend.unwrap_or(false),
                stoppable: false,
                by_pod: false,
            })]
        }
        Some(_) | None => vec![failed(
            CreateFailure::Unknown,
            "the API server's answer holds no Job".to_owned(),
        )],
    }
}

async fn exists(shared: &Shared, task: &TaskId, spec: &Spec) -> Vec<Event> {
    let path = client::job(&spec.namespace, &spec.job_name);
    let answer = match shared.client.read(Verb::Get, &path).await {
        Ok(answer) => answer,
        Err(silence) => {
            let message = format!("a Job of this name exists, but cannot be read: {silence}");
            return vec![failed(CreateFailure::Unknown, message)];
        }
    };
    let read = serde_json::from_slice::<wire::Job>(&answer.body);
    let job = match (answer.code, read) {
        (200, Ok(job)) => job,
        (404, _) => {
            let message = "a Job of this name existed and is gone".to_owned();
            return vec![failed(CreateFailure::Unknown, message)];
        }
        (_, _) => {
            let words = answer.words();
            let message = format!("a Job of this name exists, but cannot be read: {words}");
            return vec![Event::CreateFailed(CreateFailed {
                why: CreateFailure::Unknown,
                message: cut(&message),
                retry_after_ms: answer.retry_after_ms,
            })];
        }
    };
    of_existing(&shared.ours, task, spec, &job)
}

/// Says whose the Job is that has the name.
pub(super) fn of_existing(ours: &Ours, task: &TaskId, spec: &Spec, job: &wire::Job) -> Vec<Event> {
    match job_facts(ours, job) {
        Some(observed) if observed.task == *task => observed.facts,
        Some(_) | None => vec![failed(
            CreateFailure::NameTaken,
            format!(
                "Job {} in namespace {} exists and is not this worker's (uid {}); delete it, or send another id or prefixName",
                spec.job_name, spec.namespace, job.metadata.uid
            ),
        )],
    }
}

fn failed(why: CreateFailure, message: String) -> Event {
    Event::CreateFailed(CreateFailed {
        why,
        message: cut(&message),
        retry_after_ms: None,
    })
}

/// Takes the message's env values, arguments and command out of a refusal, where the API server repeats them.
fn redacted(mut message: String, job: &Job) -> String {
    let containers = job
        .spec
        .iter()
        .flat_map(|spec| spec.template.spec.iter())
        .flat_map(|pod| pod.containers.iter());
    let mut secrets: Vec<&str> = containers
        .flat_map(|container| {
            let env = container.env.iter().flatten();
            let words = container.command.iter().chain(&container.args).flatten();
            env.filter_map(|env| env.value.as_deref())
                .chain(words.map(String::as_str))
        })
        .filter(|text| text.len() >= REDACT_MIN)
        .collect();
    // A value that holds another one goes first.
    secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
    for secret in secrets {
        if message.contains(secret) {
            message = message.replace(secret, "[redacted]");
        }
    }
    message
}
