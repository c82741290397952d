//! Times as people name them.

use jiff::{Span, SpanRelativeTo, Timestamp};

/// Reads a time of RFC 3339, or how long ago it was.
///
/// # Errors
/// Where it is neither.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let rule =
        || "must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 90m, 2h or 3d".to_owned();
    let ago: Span = text.parse().map_err(|_| rule())?;
    let ago = ago
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| rule())?;
    if ago.is_negative() {
        return Err(rule());
    }
    Timestamp::now().checked_sub(ago).map_err(|_| rule())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:02Z").unwrap().as_millisecond(), 2000);
        assert_eq!(moment("1970-01-01T02:00:00+02:00").unwrap().as_millisecond(), 0);
        let long_ago = moment("3d").unwrap();
        assert!(long_ago < moment("2h").unwrap());
        for wrong in ["", "yesterday", "12", "-2h", "1mo", "2026-13-01T00:00:00Z"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
