//! The `webhook-id` of a callback: the idempotency key of its receiver.
//!
//! Pure. An id is the same for every attempt and every replica, and holds nothing that a producer chose in readable
//! form (Standard Webhooks: no `.` and no user-controlled text).

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Bytes of the digest that are kept: 160 bits, 32 characters of base32.
const KEPT: usize = 20;

/// Returns the id of the callback with this status of this task: `msg_` and 32 lower-case base32 characters.
///
/// `incarnation_ms` tells apart two tasks that had the same name at different times: a task id is free again after
/// the dedup window.
#[must_use]
pub fn webhook_id(instance: &str, task: &str, incarnation_ms: u64, status: u8) -> String {
    message_id(&[
        b"job-worker callback 1",
        instance.as_bytes(),
        task.as_bytes(),
        &incarnation_ms.to_be_bytes(),
        &[status],
    ])
}

/// Returns the id of the answer to a refused message: it differs from that of any callback of a task.
///
/// `raw_digest` is the SHA-256 of the message's raw bytes, so that the same message refused twice has one id.
#[must_use]
pub fn refusal_webhook_id(instance: &str, raw_digest: &[u8; 32]) -> String {
    message_id(&[b"job-worker refusal 1", instance.as_bytes(), raw_digest])
}

fn message_id(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let text = BASE32_NOPAD.encode(&digest[..KEPT]);
    format!("msg_{}", text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_never_change() {
        assert_eq!(
            webhook_id(
                "jobs/job-worker-lock",
                "31a89a91-43d8-4786-a195-9b25cec28a44",
                1_767_225_600_000,
                2
            ),
            "msg_s3rpxd42esbg6kq2jq7ruvljp2lat2gx"
        );
        assert_eq!(
            refusal_webhook_id("jobs/job-worker-lock", &[7; 32]),
            "msg_kbuxxe3nm4lfvpqer3wycttdamstqwur"
        );
    }

    #[test]
    fn every_part_tells_two_ids_apart() {
        let mut ids = BTreeSet::from([
            webhook_id("a", "bc", 1, 0),
            webhook_id("ab", "c", 1, 0),
            webhook_id("a", "bd", 1, 0),
            webhook_id("a", "bc", 2, 0),
            refusal_webhook_id("a", &[0; 32]),
            refusal_webhook_id("b", &[0; 32]),
            refusal_webhook_id("a", &[1; 32]),
        ]);
        ids.extend([1, 2, 3, 99].map(|status| webhook_id("a", "bc", 1, status)));
        assert_eq!(ids.len(), 11);
    }
}
