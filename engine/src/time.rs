//! Time as the engine knows it: an argument.

use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch.
///
/// It is stored and replayed, so it is wall-clock time; the driver reads the clock once a turn.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the moment `ms` milliseconds later; saturates.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the moment `secs` seconds later; saturates.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        self.plus_ms(secs.saturating_mul(1000))
    }

    /// Returns the milliseconds from `earlier` to `self`; 0 where `earlier` is the later one.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
