//! How long the adapter's own reads pause after trouble. It knows nothing of tasks: their patience is the engine's.

use std::time::Duration;

/// client-go's first pause of a list (`reflector`).
const FIRST: Duration = Duration::from_millis(800);

/// client-go's longest.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Returns the next pause: between half of it and the whole, as `chance` (0 to 1) has it.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let pause = self.next.mul_f64(0.5 + chance / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        pause
    }

    /// Begins anew.
    pub(super) const fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(pauses, [800, 1600, 3200, 6400, 12800, 25600, 30000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(400));
    }
}
