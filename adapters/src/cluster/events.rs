//! Why a Job has no pod: the Job controller says so in an event, and nowhere else.
//!
//! Read only at a look that found no pod, and only where `list` on events is granted; without it the verdict names the command
//! that shows the reason. It never fails a look.

use super::Shared;
use super::access::{self, Permission};
use super::client::{self, Verb, cut};
use super::wire::List;
use engine::{Uid, Waiting, WaitingKind};
use serde::Deserialize;

/// The reason of the Job controller's event when a pod was refused.
const FAILED_CREATE: &str = "FailedCreate";

/// What matters of an event (core/v1).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Refused {
    message: String,
    last_timestamp: Option<String>,
    event_time: Option<String>,
}

impl Refused {
    /// RFC 3339 in UTC, as the API server writes it, is ordered as text.
    fn at(&self) -> &str {
        let times = (self.last_timestamp.as_deref(), self.event_time.as_deref());
        times.0.or(times.1).unwrap_or_default()
    }
}

/// Returns why the last try to create a pod of the Job was refused, where that is known.
pub(super) async fn refusal(shared: &Shared, namespace: &str, job: &Uid) -> Option<Waiting> {
    let permission = Permission {
        verb: Verb::List,
        group: "",
        resource: "events",
        namespace: Some(namespace),
    };
    if !matches!(access::granted(&shared.client, permission).await, Ok(Some(true))) {
        return None;
    }
    let selector = format!("involvedObject.uid={job},reason={FAILED_CREATE}");
    let path = client::objects("/api/v1", Some(namespace), "events");
    let path = client::with_query(&path, &[("fieldSelector", &selector), ("limit", "500")]);
    let answer = shared.client.read(Verb::List, &path).await.ok()?;
    if answer.code != 200 {
        return None;
    }
    let list: List<Refused> = serde_json::from_slice(&answer.body).ok()?;
    last_refusal(&list.items)
}

/// Returns what the last of these events says.
pub(super) fn last_refusal(events: &[Refused]) -> Option<Waiting> {
    let last = events.iter().max_by(|a, b| a.at().cmp(b.at()))?;
    Some(Waiting {
        kind: WaitingKind::Other,
        reason: FAILED_CREATE.to_owned(),
        message: cut(&last.message),
    })
}
