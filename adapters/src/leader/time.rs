//! The time of one term: wall-clock milliseconds that never go back and never stand still.

use crate::clock::Clock;
use engine::Timestamp;
use std::sync::{Mutex, PoisonError};

/// Follows the wall clock, its jumps to the front included; where it is set back, time goes on from where it was at the
/// pace of the monotonic clock. Deadlines would else wait until the wall clock has caught up.
#[derive(Debug)]
pub(super) struct Time(Mutex<Reading>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    monotonic_ms: u64,
    given_ms: u64,
}

impl Time {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Reading {
            monotonic_ms: Clock.monotonic_ms(),
            given_ms: Clock.now_ms(),
        }))
    }

    /// Gives the time.
    pub(super) fn now(&self) -> Timestamp {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = last.next(Clock.monotonic_ms(), Clock.now_ms());
        Timestamp(last.given_ms)
    }
}

impl Reading {
    fn next(self, monotonic_ms: u64, wall_ms: u64) -> Self {
        let passed = monotonic_ms.saturating_sub(self.monotonic_ms);
        Self {
            monotonic_ms,
            given_ms: wall_ms.max(self.given_ms + passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_where_the_wall_clock_is_set_back() {
        let start = Reading {
            monotonic_ms: 50,
            given_ms: 1_000,
        };
        let given = |reading: Reading| reading.given_ms;
        assert_eq!(given(start.next(60, 1_010)), 1_010);
        assert_eq!(given(start.next(60, 5_000)), 5_000);
        assert_eq!(given(start.next(60, 5_000).next(70, 1_020)), 5_010);
        assert_eq!(
            given(start.next(60, 5_000).next(70, 1_020).next(9_060, 10_010)),
            14_000
        );
    }
}
