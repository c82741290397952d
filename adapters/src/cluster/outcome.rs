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
        code if status.as_ref().is_some_and(is_denial) => denial(code),
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

/// An admission webhook has said no, under whatever code and reason it chose: nothing was made (`k8s.io/apiserver`, webhook
/// `errors.ToStatusErr`).
fn is_denial(status: &Status) -> bool {
    status.message.starts_with("admission webhook \"") && status.message.contains("\" denied the request")
}

/// Webhooks say so, too, when they are busy or out of order themselves.
const fn denial(code: u16) -> CreateFailure {
    match code {
        429 | 500.. => CreateFailure::Deferred,
        _ => CreateFailure::Refused,
    }
}

/// Only the namespace's absence is final; a missing API group may be an API server that still starts.
fn not_found(status: Option<&Status>) -> CreateFailure {
    match status {
        Some(status) if status.details.kind == "namespaces" => CreateFailure::Refused,
        Some(_) | None => CreateFailure::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    macro_rules! answer {
        ($code:literal, $name:literal) => {
            Answer {
                code: $code,
                retry_after_ms: None,
                body: include_bytes!(concat!("../../../fixtures/cluster/", $name, ".json")).to_vec(),
            }
        };
    }

    fn failed(answer: &Answer) -> (CreateFailure, String) {
        match of_answer(answer) {
            Outcome::Failed(failed) => (failed.why, failed.message),
            outcome @ (Outcome::Made | Outcome::Exists) => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn a_201_is_a_job_and_an_existing_name_a_question() {
        assert_eq!(of_answer(&answer!(201, "job-created")), Outcome::Made);
        assert_eq!(of_answer(&answer!(409, "status-409-exists")), Outcome::Exists);
    }

    #[test]
    fn each_refusal_has_its_class_and_the_words_of_the_api_server() {
        let cases = [
            (
                answer!(400, "status-400-decode"),
                CreateFailure::Refused,
                "Job in version \"v1\" cannot be handled as a Job: json: cannot unmarshal string into Go struct field JobSpec.spec.backoffLimit of type int32 (HTTP 400)",
            ),
            (
                answer!(401, "status-401-unauthorized"),
                CreateFailure::Deferred,
                "Unauthorized (HTTP 401)",
            ),
            (
                answer!(403, "status-403-quota"),
                CreateFailure::Quota,
                "jobs.batch \"q-aaaaaaaaaaaaaaaa\" is forbidden: exceeded quota: no-jobs, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0 (HTTP 403)",
            ),
            (
                answer!(403, "status-403-rbac"),
                CreateFailure::Forbidden,
                "jobs.batch is forbidden: User \"system:serviceaccount:default:default\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"default\" (HTTP 403)",
            ),
            (
                answer!(403, "status-403-terminating"),
                CreateFailure::Refused,
                "jobs.batch \"q-aaaaaaaaaaaaaaaa\" is forbidden: unable to create new content in namespace term because it is being terminated (HTTP 403)",
            ),
            (
                answer!(403, "status-403-admission"),
                CreateFailure::Refused,
                "admission webhook \"validation.gatekeeper.sh\" denied the request: [registries] image busybox:latest comes from a registry that is not allowed (HTTP 403)",
            ),
            (
                answer!(404, "status-404-namespace"),
                CreateFailure::Refused,
                "namespaces \"nowhere\" not found (HTTP 404)",
            ),
            (
                answer!(409, "status-409-conflict"),
                CreateFailure::Deferred,
                "Operation cannot be fulfilled on resourcequotas \"compute\": the object has been modified; please apply your changes to the latest version and try again (HTTP 409)",
            ),
            (
                answer!(422, "status-422-invalid"),
                CreateFailure::Refused,
                "Job.batch \"bad-aaaaaaaaaaaaaaaa\" is invalid: spec.template.spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1 (HTTP 422)",
            ),
            (
                answer!(422, "status-422-policy"),
                CreateFailure::Refused,
                "jobs.batch \"q-aaaaaaaaaaaaaaaa\" is forbidden: ValidatingAdmissionPolicy 'no-jobs' with binding 'no-jobs' denied request: Jobs here are named ok (HTTP 422)",
            ),
            (
                answer!(429, "status-429-too-many"),
                CreateFailure::Deferred,
                "too many requests, please try again later (HTTP 429)",
            ),
            (
                answer!(500, "status-500-webhook"),
                CreateFailure::Unknown,
                "Internal error occurred: failed calling webhook \"dead.example.com\": failed to call webhook: Post \"https://127.0.0.1:1/x?timeout=2s\": dial tcp 127.0.0.1:1: connect: connection refused (HTTP 500)",
            ),
            (
                answer!(504, "status-504-timeout"),
                CreateFailure::Unknown,
                "request did not complete within requested timeout - context deadline exceeded (HTTP 504)",
            ),
        ];
        for (answer, why, message) in cases {
            assert_eq!(failed(&answer), (why, message.to_owned()));
        }
    }

    #[test]
    fn what_is_not_the_api_server_refuses_nothing_for_good() {
        let page = |code| Answer {
            code,
            retry_after_ms: None,
            body: b"<html>no</html>".to_vec(),
        };
        let classes = [400, 403, 404, 409, 413, 502].map(|code| failed(&page(code)).0);
        let expected = [
            CreateFailure::Unknown,
            CreateFailure::Forbidden,
            CreateFailure::Unknown,
            CreateFailure::Deferred,
            CreateFailure::Refused,
            CreateFailure::Unknown,
        ];
        assert_eq!(classes, expected);
        // A 404 for the Job's API, as a server that still starts gives it, is not one for the namespace.
        let (why, _) = failed(&answer!(404, "status-404-job"));
        assert_eq!(why, CreateFailure::Unknown);
    }

    #[test]
    fn a_denial_of_an_admission_webhook_is_one_whatever_its_code() {
        let denied = |code: u16| {
            let message =
                "admission webhook \"images.example.com\" denied the request: images of example.com only";
            let body = json!({"kind": "Status", "status": "Failure", "message": message, "code": code});
            let answer = Answer {
                code,
                retry_after_ms: None,
                body: body.to_string().into_bytes(),
            };
            failed(&answer).0
        };
        for code in [400, 401, 403, 404, 409, 418, 422] {
            assert_eq!(denied(code), CreateFailure::Refused, "{code}");
        }
        for code in [429, 500, 503] {
            assert_eq!(denied(code), CreateFailure::Deferred, "{code}");
        }
    }

    #[test]
    fn a_long_refusal_is_cut_to_2_kib() {
        let answer = Answer {
            code: 502,
            retry_after_ms: Some(3000),
            body: "é".repeat(3000).into_bytes(),
        };
        let Outcome::Failed(failed) = of_answer(&answer) else {
            panic!("a 502 made a Job");
        };
        assert!(failed.message.len() <= 2048, "{}", failed.message.len());
        assert_eq!(failed.retry_after_ms, Some(3000));
    }

    #[test]
    fn silence_proves_nothing() {
        let expected = CreateFailed {
            why: CreateFailure::Unknown,
            message: "no answer from the API server within 2.5 s; the Job may have been made".to_owned(),
            retry_after_ms: None,
        };
        assert_eq!(
            of_silence(&Silence::Timeout(Duration::from_millis(2500))),
            expected
        );
    }
}
