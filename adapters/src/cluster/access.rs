//! Asks what this worker may do, by `SelfSubjectAccessReview`.
//!
//! It never fails a task: where reviews are not possible, the answer is `None`. Called before a namespace's first Job, and at
//! the start to choose between one watch for all and one per namespace.

use super::client::{Client, Silence, Verb};
use super::wire::AccessReview;
use serde_json::json;

const PATH: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// A permission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permission<'a> {
    pub(super) verb: Verb,
    pub(super) group: &'a str,
    pub(super) resource: &'a str,
    /// `None` means every namespace.
    pub(super) namespace: Option<&'a str>,
}

/// Asks whether the permission is granted; `None` where the cluster does not say.
///
/// # Errors
/// Where no answer came, or one that asks for patience.
pub(super) async fn granted(client: &Client, permission: Permission<'_>) -> Result<Option<bool>, Silence> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "verb": permission.verb.as_str(),
            "group": permission.group,
            "resource": permission.resource,
            "namespace": permission.namespace.unwrap_or_default(),
        }},
    });
    let body = review.to_string().into_bytes();
    let answer = client.send(Verb::Create, PATH, body, client.timeout()).await?;
    match answer.code {
        200..=299 => Ok(serde_json::from_slice::<AccessReview>(&answer.body)
            .ok()
            .map(|review| review.status.allowed)),
        401 | 429 | 500.. => Err(Silence::Transport(answer.words())),
        _ => Ok(None),
    }
}
