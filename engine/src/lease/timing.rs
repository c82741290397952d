//! The durations that follow from the lease duration. Pure arithmetic on monotonic milliseconds; called by the
//! lease machine, and by every adapter that asks how long a write may still take.

/// The shortest lease duration; a shorter one counts as this, so that no derived period is zero.
const DURATION_MS_MIN: u64 = 100;
/// Longest time one lease request may take, whatever the duration.
const CALL_MS_MAX: u64 = 5_000;
/// Time before the lease deadline at which a write to the API server has to have ended.
const MARGIN_MS_MAX: u64 = 1_000;
/// Time before the lease deadline at which no write to the API server begins any more.
const FLOOR_MS_MAX: u64 = 2_000;

/// The periods of one lease, all derived from its duration D as client-go's defaults are (15 s, 10 s, 2 s).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    duration_ms: u64,
}

impl Timing {
    /// Derives the periods from the lease duration D in milliseconds; below 100 counts as 100.
    pub fn new(duration_ms: u64) -> Self {
        Self {
            duration_ms: duration_ms.max(DURATION_MS_MIN),
        }
    }

    /// Returns D, the time after which others may take a lease that was not renewed.
    pub fn duration_ms(self) -> u64 {
        self.duration_ms
    }

    /// Returns ⅔ D, counted from before a successful renewal was sent, after which a leader gives up by itself.
    pub fn renew_ms(self) -> u64 {
        self.duration_ms.saturating_mul(2) / 3
    }

    /// Returns 2/15 D, the time from one attempt to the next.
    pub fn retry_ms(self) -> u64 {
        self.duration_ms.saturating_mul(2) / 15
    }

    /// Returns the longest time for one lease request: ⅓ D, at most 5 s.
    pub fn call_ms(self) -> u64 {
        CALL_MS_MAX.min(self.duration_ms / 3)
    }

    /// Returns D as `leaseDurationSeconds`: whole seconds, rounded up, at least 1 (the API server refuses 0).
    pub fn record_seconds(self) -> u32 {
        u32::try_from(self.duration_ms.div_ceil(1_000)).unwrap_or(u32::MAX)
    }

    /// Returns how long a write to the API server that begins now may take, in milliseconds, or `None` where none may begin.
    ///
    /// `deadline` is the lease deadline (see [`super::Machine::lease_deadline`]; 0 where this replica does not lead). A write
    /// ends 1 s before it and does not begin in its last 2 s; below D = 15 s both shrink in proportion (D/15, 2 D/15).
    pub fn write_timeout(self, now: u64, deadline: u64, client_timeout_ms: u64) -> Option<u64> {
        let margin = MARGIN_MS_MAX.min(self.duration_ms / 15);
        let floor = FLOOR_MS_MAX.min(self.retry_ms());
        let left = deadline.saturating_sub(now);
        (left > margin && left >= floor).then(|| client_timeout_ms.min(left - margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: Timing = Timing { duration_ms: 15_000 };

    fn periods(t: Timing) -> [u64; 5] {
        [
            t.duration_ms(),
            t.renew_ms(),
            t.retry_ms(),
            t.call_ms(),
            t.record_seconds().into(),
        ]
    }

    #[test]
    fn fifteen_seconds_give_the_numbers_of_client_go() {
        assert_eq!(periods(Timing::new(15_000)), [15_000, 10_000, 2_000, 5_000, 15]);
    }

    #[test]
    fn short_and_long_durations_keep_the_proportions() {
        assert_eq!(periods(Timing::new(1_000)), [1_000, 666, 133, 333, 1]);
        assert_eq!(periods(Timing::new(1_500)), [1_500, 1_000, 200, 500, 2]);
        assert_eq!(periods(Timing::new(60_000)), [60_000, 40_000, 8_000, 5_000, 60]);
        assert_eq!(periods(Timing::new(0)), [100, 66, 13, 33, 1]);
    }

    #[test]
    fn the_record_never_promises_less_than_the_leader_counts_on() {
        for ms in (0..20_000).step_by(7) {
            let t = Timing::new(ms);
            assert!(u64::from(t.record_seconds()) * 1_000 >= t.duration_ms(), "{ms}");
            assert!(t.renew_ms() + t.retry_ms() < t.duration_ms(), "{ms}");
        }
    }

    #[test]
    fn a_write_ends_one_second_before_the_deadline_and_begins_two_before_it() {
        let at = |now| DEFAULT.write_timeout(now, 100_000, 30_000);
        assert_eq!(at(0), Some(30_000));
        assert_eq!(at(69_000), Some(30_000));
        assert_eq!(at(87_000), Some(12_000));
        assert_eq!(at(98_000), Some(1_000));
        assert_eq!(at(98_001), None);
        assert_eq!(at(100_000), None);
        assert_eq!(at(200_000), None);
    }

    #[test]
    fn a_long_lease_keeps_one_and_two_seconds() {
        let at = |now| Timing::new(60_000).write_timeout(now, 100_000, 30_000);
        assert_eq!(at(98_000), Some(1_000));
        assert_eq!(at(98_001), None);
    }

    #[test]
    fn a_lease_of_one_second_leaves_room_to_write() {
        let at = |now| Timing::new(1_000).write_timeout(now, 10_000, 30_000);
        assert_eq!(at(9_000), Some(934));
        assert_eq!(at(9_867), Some(67));
        assert_eq!(at(9_868), None);
    }

    #[test]
    fn who_does_not_lead_may_not_write() {
        assert_eq!(DEFAULT.write_timeout(0, 0, 30_000), None);
        assert_eq!(DEFAULT.write_timeout(5_000, 0, 30_000), None);
    }
}
