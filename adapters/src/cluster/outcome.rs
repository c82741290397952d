//! What the answer to a create request means. Pure.
//!
//! It sorts answers by what they prove: that the Job was made, that it was not, or neither. It never repeats a request.
//! Called by the create alone.

use super::client::{Answer, Silence, cut};
use super::wire::Status;
use engine::{CreateFailed, CreateFailure};

/// The meaning of an answer.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The Job was made; its object is the body.
    Made,
    /// A Job of that name is there already; whose, a GET will tell.
    Exists,
    /// No Job.
    Failed(CreateFailed),
}

/// Reads an answer.
pub(super) fn of_answer(answer: &Answer) -> Outcome {
    let status = Status::read(&answer.body);
    let reason = status.as_ref().map_or("", |status| status.reason.as_str());
    let why = match answer.code {
        200..=299 => return Outcome::Made,
        409 if reason == "AlreadyExists" => return Outcome::Exists,
        // The quota was being written by another create (apiserver's quota admission), or the object is locked.
        409 => CreateFailure::Deferred,
        401 | 429 => CreateFailure::Deferred,
        403 => forbidden(status.as_ref()),
        404 => not_found(status.as_ref()),
        413 => CreateFailure::Refused,
        400 | 405 | 406 | 415 | 422 if status.is_some() => CreateFailure::Refused,
        _ => CreateFailure::Unknown,
    };
    Outcome::Failed(CreateFailed {
        why,
        message: cut(&format!("{} (HTTP {})", answer.words(), answer.code)),
        retry_after_ms: answer.retry_after_ms,
    })
}

/// Says that no answer came: the Job may exist.
pub(super) fn of_silence(silence: &Silence) -> CreateFailed {
    CreateFailed {
        why: CreateFailure::Unknown,
        message: cut(&format!("{silence}; the Job may have been made")),
        retry_after_ms: None,
    }
}

/// Four authorities answer 403: the quota, the namespace's end, admission, and RBAC; only their words tell them apart.
fn forbidden(status: Option<&Status>) -> CreateFailure {
    let Some(status) = status else {
        return CreateFailure::Forbidden;
    };
    let message = status.message.as_str();
    if message.contains("exceeded quota:") || message.contains("status unknown for quota:") {
        return CreateFailure::Quota;
    }
    // `k8s.io/apiserver` responsewriters: `User %q cannot %s resource …`; admission names the object, authorisation has none.
    if message.contains(" cannot create resource ") || status.reason != "Forbidden" {
        return CreateFailure::Forbidden;
    }
    CreateFailure::Refused
}

/// Only the namespace's absence is final; a missing API group may be an API server that still starts.
fn not_found(status: Option<&Status>) -> CreateFailure {
    match status {
        Some(status) if status.details.kind == "namespaces" => CreateFailure::Refused,
        Some(_) | None => CreateFailure::Unknown,
    }
}
