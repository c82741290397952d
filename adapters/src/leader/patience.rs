//! How long a leader waits for its store: as long as it leads and is not told to stop.

use super::{Ended, Shared};
use crate::driver::Patience;
use crate::health::Beat;
use crate::store;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The wait between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// Patience for one write.
pub(super) struct LeaderPatience<'a> {
    shared: &'a Shared,
    beat: &'a Beat,
    lease: Duration,
}

impl<'a> LeaderPatience<'a> {
    pub(super) const fn new(shared: &'a Shared, beat: &'a Beat, lease_ms: u64) -> Self {
        Self {
            shared,
            beat,
            lease: Duration::from_millis(lease_ms),
        }
    }
}

impl Patience for LeaderPatience<'_> {
    fn until(&mut self) -> Option<Instant> {
        self.beat.tick();
        goes_on(self.shared)
            .is_none()
            .then(|| Instant::now() + self.lease)
    }
}

/// Does `ask` until it works, for as long as this replica leads.
///
/// # Errors
/// The term is over, or trying again is of no use.
pub(super) fn insist<T>(
    shared: &Shared,
    beat: &Beat,
    mut ask: impl FnMut() -> Result<T, store::Error>,
) -> Result<T, Ended> {
    let mut last = None;
    loop {
        beat.tick();
        if let Some(ended) = goes_on(shared) {
            return Err(ended);
        }
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error @ (store::Error::Instance { .. } | store::Error::TooOld { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                shared.metrics.store_error(error.class());
                if last.as_ref() != Some(&error) {
                    log::error!("the store cannot be claimed, it is tried again: {error}");
                }
                last = Some(error);
                std::thread::sleep(RETRY);
            }
        }
    }
}

/// Returns why not, where the term is over.
fn goes_on(shared: &Shared) -> Option<Ended> {
    if shared.stop.load(Ordering::SeqCst) {
        Some(Ended::Stopped)
    } else {
        (!shared.tenure.leads()).then_some(Ended::LeaseLost)
    }
}
