//! Whether a term still holds its lease.

use crate::clock::Clock;
use crate::lease::Watch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The hold of one term on the lease. It ends for good with the first loss, even if the lease is gained again at once.
#[derive(Clone)]
pub struct Tenure {
    lease: Watch,
    losses: Arc<AtomicU64>,
    begun_at: u64,
}

impl Tenure {
    /// Begins a term; `losses` counts how often the lease was lost.
    pub fn begin(lease: Watch, losses: Arc<AtomicU64>) -> Self {
        let begun_at = losses.load(Ordering::SeqCst);
        Self {
            lease,
            losses,
            begun_at,
        }
    }

    /// Returns until when no other replica can lead, in monotonic milliseconds; 0 where the term is over.
    pub fn deadline_ms(&self) -> u64 {
        let deadline = self.lease.deadline_ms();
        if self.losses.load(Ordering::SeqCst) == self.begun_at {
            deadline
        } else {
            0
        }
    }

    /// Tells whether this term still leads.
    pub fn leads(&self) -> bool {
        self.deadline_ms() > Clock.monotonic_ms()
    }
}
