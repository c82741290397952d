//! When one callback is tried: the stored part of an entry, and the arithmetic of its next attempt.

use serde::{Deserialize, Serialize};

use super::Key;
use crate::time::Timestamp;

/// Milliseconds between a failed attempt and the next one, before jitter (CONTRACT, section 5); after the
/// last of them the callback is given up, so there are eleven attempts.
pub const WAITS_MS: [u64; 10] = [
    1_000, 5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000,
];

/// The longest `Retry-After` that is obeyed; a longer one counts as this.
pub const RETRY_AFTER_MAX_MS: u64 = 24 * 3_600_000;

/// The stored form of a callback's times.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Attempts that failed.
    pub attempts: u32,
    /// When it came to be owed; the oldest is the first to go where a receiver has too many.
    pub owed_at: Timestamp,
    /// When the next attempt is due, once everything before it is settled.
    pub due: Timestamp,
    /// The time that the last answer's `Retry-After` named; zero where it named none.
    pub not_before: Timestamp,
}

impl Schedule {
    /// Returns the schedule of a callback that came to be owed at `now`.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            attempts: 0,
            owed_at: now,
            due: now,
            not_before: Timestamp(0),
        }
    }

    /// Returns the schedule after one more failed attempt; `due` means nothing where it is spent.
    pub(super) fn failed(self, now: Timestamp, key: &Key, retry_after_ms: Option<u64>) -> Self {
        let wait = WAITS_MS.get(self.attempts as usize).copied().unwrap_or_default();
        let attempts = self.attempts.saturating_add(1);
        let not_before = retry_after_ms.map_or(Timestamp(0), |ms| now.plus_ms(ms.min(RETRY_AFTER_MAX_MS)));
        Self {
            attempts,
            due: now.plus_ms(jittered(wait, key, attempts)).max(not_before),
            not_before,
            ..self
        }
    }

    /// Tells whether every attempt was made.
    pub(super) const fn is_spent(&self) -> bool {
        self.attempts as usize > WAITS_MS.len()
    }

    /// Returns the schedule of a head that a new callback waits for.
    pub(super) fn pulled(self, now: Timestamp) -> Self {
        Self {
            due: self.due.min(now.max(self.not_before)),
            ..self
        }
    }

    /// Returns the schedule of a callback whose predecessor was told to wait.
    pub(super) fn held(self, not_before: Timestamp) -> Self {
        Self {
            due: self.due.max(not_before),
            not_before: self.not_before.max(not_before),
            ..self
        }
    }

    /// Returns the schedule without times farther away than any that is given out, as a clock that was
    /// wrong may have left them.
    pub(super) fn bounded(self, now: Timestamp) -> Self {
        let latest = now.plus_ms(RETRY_AFTER_MAX_MS);
        Self {
            due: self.due.min(latest),
            not_before: self.not_before.min(latest),
            ..self
        }
    }
}

/// Spreads `wait` over ±20 %, always alike for one key and attempt.
///
/// FNV-1a over the key and the attempt, then the finalizer of SplitMix64, since FNV alone moves close
/// inputs little. Callbacks that failed together thus come back apart, and a replay comes out the same.
fn jittered(wait: u64, key: &Key, attempt: u32) -> u64 {
    let bytes = key
        .owner
        .as_str()
        .bytes()
        .chain([key.rank])
        .chain(attempt.to_le_bytes());
    let mut mix = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix = (mix ^ (mix >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mix = (mix ^ (mix >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mix ^= mix >> 31;
    let fifth = wait / 5;
    wait - fifth + mix % (2 * fifth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Owner;

    #[test]
    fn jitter_fills_its_fifth_on_both_sides_and_no_more() {
        let waits: Vec<u64> = (0..10_000)
            .map(|n| {
                let owner = Owner::new(format!("t:{n}"));
                jittered(1_000, &Key { owner, rank: 0 }, 1)
            })
            .collect();
        assert_eq!(waits.iter().min(), Some(&800));
        assert_eq!(waits.iter().max(), Some(&1_200));
        let mean = waits.iter().sum::<u64>() / 10_000;
        assert!((990..=1_010).contains(&mean), "{mean}");
    }

    #[test]
    fn a_stored_schedule_reads_as_it_was_written() {
        let stored = Schedule {
            attempts: 3,
            owed_at: Timestamp(1),
            due: Timestamp(2),
            not_before: Timestamp(3),
        };
        let bytes = rmp_serde::to_vec_named(&stored).unwrap();
        assert_eq!(rmp_serde::from_slice::<Schedule>(&bytes).unwrap(), stored);
    }

    #[test]
    fn a_time_left_by_a_wrong_clock_is_pulled_back() {
        let wild = Timestamp(u64::MAX);
        let stored = Schedule {
            attempts: 1,
            owed_at: Timestamp(0),
            due: wild,
            not_before: wild,
        };
        let latest = Timestamp(5 + RETRY_AFTER_MAX_MS);
        let expected = Schedule {
            due: latest,
            not_before: latest,
            ..stored
        };
        assert_eq!(stored.bounded(Timestamp(5)), expected);
    }
}
