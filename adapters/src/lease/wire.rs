//! The Lease object as the machine's record, and the machine's draft as the object to send. Pure; called by the lease thread.

use engine::lease::{Draft, Record};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// Translates a Lease; what is absent, or negative against the API's rules, reads as empty or 0.
pub(super) fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let unsigned = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let micros = |time: Option<MicroTime>| time.map(|MicroTime(at)| at.as_microsecond());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        seconds: unsigned(spec.lease_duration_seconds),
        transitions: unsigned(spec.lease_transitions),
        acquired_us: micros(spec.acquire_time),
        renewed_us: micros(spec.renew_time),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Builds the object to create.
pub(super) fn created(namespace: &str, name: &str, draft: &Draft, wall: Timestamp) -> Lease {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    };
    filled(metadata, LeaseSpec::default(), draft, wall)
}

/// Builds the object that replaces `seen`, with what others put into it (labels, annotations, other spec fields) kept.
///
/// The API server refuses it with 409 unless `version` still is the object's `resourceVersion`.
pub(super) fn replaced(seen: &Lease, draft: &Draft, version: String, wall: Timestamp) -> Lease {
    let metadata = ObjectMeta {
        resource_version: Some(version),
        managed_fields: None,
        ..seen.metadata.clone()
    };
    filled(metadata, seen.spec.clone().unwrap_or_default(), draft, wall)
}

fn filled(metadata: ObjectMeta, spec: LeaseSpec, draft: &Draft, wall: Timestamp) -> Lease {
    let signed = |n: u32| Some(i32::try_from(n).unwrap_or(i32::MAX));
    let acquired = draft
        .acquired_us
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    let spec = LeaseSpec {
        holder_identity: Some(draft.holder.clone()),
        lease_duration_seconds: signed(draft.seconds),
        lease_transitions: signed(draft.transitions),
        acquire_time: Some(MicroTime(acquired.unwrap_or(wall))),
        renew_time: Some(MicroTime(wall)),
        ..spec
    };
    Lease {
        metadata,
        spec: Some(spec),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wall() -> Timestamp {
        "2026-11-24T06:33:20.123456789Z".parse().expect("a timestamp")
    }

    fn draft() -> Draft {
        Draft {
            holder: "pod-1_a".to_owned(),
            seconds: 15,
            transitions: 3,
            acquired_us: None,
        }
    }

    fn read(value: serde_json::Value) -> Lease {
        serde_json::from_value(value).expect("a Lease")
    }

    #[test]
    fn a_created_lease_has_microseconds_and_no_version() {
        let sent = serde_json::to_value(created("ns", "lock", &draft(), wall())).expect("JSON");
        assert_eq!(
            sent,
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "name": "lock", "namespace": "ns" },
                "spec": {
                    "holderIdentity": "pod-1_a",
                    "leaseDurationSeconds": 15,
                    "leaseTransitions": 3,
                    "acquireTime": "2026-11-24T06:33:20.123456Z",
                    "renewTime": "2026-11-24T06:33:20.123456Z",
                },
            })
        );
    }

    #[test]
    fn a_replaced_lease_keeps_what_others_wrote() {
        let seen = read(json!({
            "metadata": {
                "name": "lock", "namespace": "ns", "resourceVersion": "7", "uid": "u",
                "labels": { "team": "a" }, "managedFields": [{ "manager": "kubectl" }],
            },
            "spec": {
                "holderIdentity": "pod-2_b", "strategy": "OldestEmulationVersion",
                "acquireTime": "2026-01-01T00:00:00.000001Z",
            },
        }));
        let draft = Draft {
            acquired_us: record(&seen).acquired_us,
            ..draft()
        };
        let sent = serde_json::to_value(replaced(&seen, &draft, "8".to_owned(), wall()));
        assert_eq!(
            sent.expect("JSON"),
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": "lock", "namespace": "ns", "resourceVersion": "8", "uid": "u",
                    "labels": { "team": "a" },
                },
                "spec": {
                    "holderIdentity": "pod-1_a",
                    "leaseDurationSeconds": 15,
                    "leaseTransitions": 3,
                    "acquireTime": "2026-01-01T00:00:00.000001Z",
                    "renewTime": "2026-11-24T06:33:20.123456Z",
                    "strategy": "OldestEmulationVersion",
                },
            })
        );
    }

    #[test]
    fn a_lease_is_read_field_by_field() {
        let lease = read(json!({
            "metadata": { "name": "lock", "resourceVersion": "7" },
            "spec": {
                "holderIdentity": "pod-2_b", "leaseDurationSeconds": 15, "leaseTransitions": 4,
                "acquireTime": "1970-01-01T00:00:01.000002Z", "renewTime": "1970-01-01T00:00:03Z",
            },
        }));
        assert_eq!(
            record(&lease),
            Record {
                holder: "pod-2_b".to_owned(),
                seconds: 15,
                transitions: 4,
                acquired_us: Some(1_000_002),
                renewed_us: Some(3_000_000),
                version: "7".to_owned(),
            }
        );
    }

    #[test]
    fn absent_and_negative_fields_read_as_nothing() {
        let nothing = Record {
            holder: String::new(),
            seconds: 0,
            transitions: 0,
            acquired_us: None,
            renewed_us: None,
            version: "7".to_owned(),
        };
        for spec in [
            json!(null),
            json!({}),
            json!({ "leaseDurationSeconds": -5, "leaseTransitions": -1 }),
        ] {
            let lease = json!({ "metadata": { "resourceVersion": "7" }, "spec": spec });
            assert_eq!(record(&read(lease)), nothing);
        }
    }
}
