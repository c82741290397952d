//! How long a leader waits for its store: as long as it leads; once it is told to stop, until its time for that is over.

use super::{Ended, Shared};
use crate::driver::Patience;
use crate::health::Beat;
use crate::store;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest try of a write that a stop finds under way.
const STOP: Duration = Duration::from_secs(2);
/// The wait between two tries.
const RETRY: Duration = Duration::from_millis(500);

/// The longest that one write is sent again before the loop looks around, so that its beat never falls silent.
const WRITE: Duration = Duration::from_secs(15);

/// Patience for one write.
pub(super) struct LeaderPatience<'a> {
    shared: &'a Shared,
    beat: &'a Beat,
    /// When everything has to be over, once the process is told to stop.
    drained_by: Option<Instant>,
}

impl<'a> LeaderPatience<'a> {
    pub(super) const fn new(shared: &'a Shared, beat: &'a Beat, drained_by: Option<Instant>) -> Self {
        Self {
            shared,
            beat,
            drained_by,
        }
    }
}

impl Patience for LeaderPatience<'_> {
    fn until(&mut self) -> Option<Instant> {
        self.beat.tick();
        let now = Instant::now();
        let until = match self.drained_by {
            // What was begun before the stop is still written: the answer to a create, to a callback.
            Some(end) => (now < end).then(|| end.min(now + WRITE)),
            None if self.shared.stop.load(Ordering::SeqCst) => Some(now + STOP),
            None => Some(now + WRITE),
        };
        until.filter(|_| self.shared.tenure.leads())
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
