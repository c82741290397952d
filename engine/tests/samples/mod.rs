//! A task in every state and phase, and every event in the forms that make a difference.

mod events;
mod received;
mod states;

use engine::{Digest, Spec, TaskId, Timestamp};
pub(crate) use events::events;
#[allow(unused_imports, reason = "the matrix names it")]
pub(crate) use states::{Sample, states};

/// The moment of every sample; what is due is due then.
pub(crate) const NOW: Timestamp = Timestamp(1_700_100_000_000);
/// A moment that has come.
pub(crate) const PAST: Timestamp = Timestamp(1_700_099_999_000);
/// A moment that is to come.
pub(crate) const FUTURE: Timestamp = Timestamp(1_700_100_060_000);
/// Longer ago than anything is waited for.
pub(crate) const LONG_AGO: Timestamp = Timestamp(1_700_000_000_000);

/// Returns the id of every sample.
pub(crate) fn id() -> TaskId {
    TaskId::new("31a89a91-43d8-4786-a195-9b25cec28a44")
}

/// Returns what every sample is.
pub(crate) fn spec() -> Spec {
    Spec {
        digest: Digest([0xab; 32]),
        namespace: "default".to_owned(),
        job_name: "my-job-abcdefghijklmnop".to_owned(),
        service: "example".to_owned(),
        webhook: Some("http://webhook.example.com/callback".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        received_at: LONG_AGO,
        start_timeout_secs: 600,
        active_deadline_secs: Some(6000),
        ttl_secs: Some(60),
    }
}
