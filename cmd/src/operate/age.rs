//! Spans of time as operators write and read them.

use std::time::Duration;

use adapters::clock::Clock;
use adapters::view::Moment;

/// The units that may be written, each with its seconds.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// Returns how long ago a moment is, in one or two units: `42s`, `5m10s`, `3h`, `2d4h`.
pub(super) fn since(moment: Moment) -> String {
    span(Clock.now_ms().saturating_sub(moment.0) / 1000)
}

/// Returns when a moment comes: `in 40s`, or `due` once it has passed.
pub(super) fn until(moment: Moment) -> String {
    match moment.0.saturating_sub(Clock.now_ms()) {
        0 => "due".to_owned(),
        ms => format!("in {}", span(ms.div_ceil(1000))),
    }
}

/// Writes a number of seconds: the second unit only while the first one is small, as kubectl does.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |first: u64, unit: char, second: u64, other: char| {
        if second == 0 {
            format!("{first}{unit}")
        } else {
            format!("{first}{unit}{second}{other}")
        }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

/// Reads a span such as `90s`, `5m`, `1h30m` or `2d`.
///
/// # Errors
/// The rule, where it is none.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let rule = || format!("must be a span such as 90s, 5m, 1h30m or 2d, not {text:?}");
    let mut seconds: u64 = 0;
    let mut number = String::new();
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let (_, unit) = UNITS
            .iter()
            .find(|(unit, _)| *unit == character)
            .ok_or_else(rule)?;
        let count: u64 = number.parse().map_err(|_| rule())?;
        seconds = count
            .checked_mul(*unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(rule)?;
        number.clear();
    }
    if text.is_empty() || !number.is_empty() {
        return Err(rule());
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_second_unit_while_the_first_is_small() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (310, "5m10s"),
            (3_600, "60m"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (190_000, "2d4h"),
            (864_000, "10d"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn a_span_is_read_with_its_units() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "5", "m", "5x", "5m3", "99999999999999999999s", "-1s"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
