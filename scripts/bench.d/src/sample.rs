//! Samples of one quantity, in microseconds.

/// The samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<i64>);

impl Samples {
    /// Adds one, in microseconds.
    pub(crate) fn add(&mut self, micros: i64) {
        self.0.push(micros);
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which so many of a thousand lie, in milliseconds; `NAN` where there is none.
    pub(crate) fn quantile(&self, of_thousand: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * of_thousand / 1_000).min(sorted.len().saturating_sub(1));
        sorted.get(place).map_or(f64::NAN, |micros| milliseconds(*micros))
    }

    /// The middle, in milliseconds.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(500)
    }
}

/// Microseconds of a benchmark fit a float.
fn milliseconds(micros: i64) -> f64 {
    std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
        * 1_000.0
        * if micros < 0 { -1.0 } else { 1.0 }
}

/// The middle of some times; zero where there are none.
pub(crate) fn median(times: &[std::time::Duration]) -> std::time::Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
