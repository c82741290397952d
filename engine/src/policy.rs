//! The numbers that shape decisions. They are arguments, so a replay uses those of its log.

use serde::{Deserialize, Serialize};

/// Settings of the daemon that the engine decides by.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Create requests in flight, at most (`QUEUE_WORKER_POOL_SIZE`).
    pub creates_max: usize,
    /// Tasks without a durable verdict, at most (`MAX_TASKS_IN_FLIGHT`).
    pub tasks_max: usize,
    /// Milliseconds that one API request may take (`KUBERNETES_CLIENT_TIMEOUT`).
    pub request_timeout_ms: u64,
    /// Milliseconds that a lease lasts (`LEADER_ELECTION_LEASE_SECONDS`).
    pub lease_ms: u64,
    /// Milliseconds that a finished task's id is remembered (`DEDUP_WINDOW_SECONDS`).
    pub dedup_window_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            creates_max: 10,
            tasks_max: 1000,
            request_timeout_ms: 30_000,
            lease_ms: 15_000,
            dedup_window_ms: 86_400_000,
        }
    }
}

impl Policy {
    /// Returns how long after an unknown create a Job may still appear: a request sent by this or a
    /// former leader has ended by then.
    pub const fn doubt_ms(&self) -> u64 {
        self.request_timeout_ms + self.lease_ms
    }
}

/// A refusal by RBAC is final for a task once it lasted this long.
pub const FORBIDDEN_FINAL_MS: u64 = 60_000;
/// A Job that may not be looked at is given up after this time, where nothing said how it ended or whether it was made.
pub const UNREADABLE_FINAL_MS: u64 = 24 * 3_600_000;
/// A refused look at a Job that is said to have ended or to be gone is repeated after this time.
pub const REFUSED_LOOK_MS: u64 = 20_000;
/// A refusal by quota is final for a task once it lasted this long.
pub const QUOTA_FINAL_MS: u64 = 24 * 3_600_000;
/// An image name that cannot be parsed ends the task after this time.
pub const INVALID_IMAGE_MS: u64 = 30_000;
/// A missing ConfigMap, Secret or an invalid container configuration ends the task after this time.
pub const INVALID_CONFIG_MS: u64 = 60_000;
/// A Job whose end is known waits this long for what its pods say, then they are looked up.
pub const SETTLE_MS: u64 = 1_000;
/// The first wait after an API request that did not work; doubles up to `RETRY_MAX_MS`.
pub const RETRY_MIN_MS: u64 = 500;
/// The longest wait between two tries of an API request.
pub const RETRY_MAX_MS: u64 = 30_000;
/// A Job that is no longer watched is looked up again after this time.
pub const UNWATCHED_LOOK_MS: u64 = 60_000;
/// A closed namespace is probed after this time at first; doubles up to `PROBE_MAX_MS`.
pub const PROBE_MIN_MS: u64 = 2_000;
/// The longest wait between two probes of a closed namespace.
pub const PROBE_MAX_MS: u64 = 60_000;
/// A task whose step failed by a panic this often is set aside for good.
pub const PANICS_MAX: u32 = 3;

/// Returns the wait before try number `attempt` (from 1): doubling from `min` to `max`.
pub const fn backoff_ms(attempt: u32, min: u64, max: u64) -> u64 {
    let doublings = if attempt > 20 {
        20
    } else {
        attempt.saturating_sub(1)
    };
    let wait = min.saturating_mul(1 << doublings);
    if wait > max { max } else { wait }
}
