//! A point in time as it is shown: RFC 3339, in UTC, with milliseconds.

use std::fmt;

use engine::Timestamp;
use serde::{Serialize, Serializer};

/// A point in time, in ms since 1970.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub u64);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at.0)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = i64::try_from(self.0).map(jiff::Timestamp::from_millisecond);
        match at {
            Ok(Ok(at)) => write!(f, "{at:.3}"),
            Ok(Err(_)) | Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_with_milliseconds() {
        assert_eq!(Moment(1_764_000_000_120).to_string(), "2025-11-24T16:00:00.120Z");
        assert_eq!(Moment(u64::MAX).to_string(), "18446744073709551615 ms");
    }
}
