//! The clocks of the process: the only place that asks the machine for the time a decision is made with.
//!
//! It never sleeps and never formats. The driver reads it once per turn; the lease and the health checks read
//! the monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Reads the wall clock and a monotonic clock, both in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Gives the milliseconds since the Unix epoch, 0 where the wall clock stands before it.
    ///
    /// It may jump in both directions; the engine clamps it to the largest time seen.
    pub fn now_ms(self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Gives the milliseconds of a clock that never goes back and counts the time a suspended machine slept.
    ///
    /// Its zero is arbitrary (Linux: the boot), so that only differences mean something, and only within one
    /// machine. A clock that stood still while the machine slept would let a stale leader believe in its lease.
    pub fn monotonic_ms(self) -> u64 {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: ClockId = ClockId::Boottime;
        // Darwin's CLOCK_MONOTONIC counts sleep; elsewhere there is nothing better that is portable.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: ClockId = ClockId::Monotonic;

        let time = clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).expect("time since boot is not negative");
        let nanos = u64::try_from(time.tv_nsec).expect("a fraction of a second is not negative");
        seconds * 1000 + nanos / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_counts_from_the_epoch_in_milliseconds() {
        // 2025-01-01 and 2100-01-01: seconds or nanoseconds would be outside.
        assert!((1_735_689_600_000..4_102_444_800_000).contains(&Clock.now_ms()));
    }

    #[test]
    fn the_monotonic_clock_advances_in_milliseconds() {
        let (started, first) = (std::time::Instant::now(), Clock.monotonic_ms());
        // Over the end of a second, which is where a wrong factor shows.
        std::thread::sleep(std::time::Duration::from_millis(1_050));
        let (elapsed, advanced) = (started.elapsed().as_millis(), Clock.monotonic_ms() - first);
        let difference = u128::from(advanced).abs_diff(elapsed);
        assert!(difference < 500, "{advanced} ms in {elapsed} ms");
    }
}
