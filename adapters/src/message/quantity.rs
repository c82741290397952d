//! Kubernetes quantities, such as `500m`, `512Mi` and `1e3`: their syntax, and which of two is larger.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource`, the grammar in the documentation of `Quantity`. A quantity is held in
//! thousandths, rounded up, as the API server does before it compares a request with its limit. The text itself goes to the
//! Job as it is.

use thiserror::Error;

/// The most significant digits: as many as the API server holds in 64 bits.
pub const DIGITS_MAX: usize = 18;

const THOUSAND: u128 = 1_000;

/// The documented limit, 2^63 - 1, in thousandths.
const MAX: u128 = (i64::MAX as u128) * THOUSAND;

/// A quantity that is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    thousandths: u128,
}

/// Why a text is not a quantity that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The text is not of the form `<number><suffix>`.
    #[error("must be a Kubernetes quantity such as 500m, 2 or 512Mi")]
    Syntax,
    /// The number is below zero.
    #[error("must not be negative")]
    Negative,
    /// More than [`DIGITS_MAX`] digits, leading zeros and trailing zeros of the fraction aside.
    #[error("must have at most 18 significant digits")]
    TooManyDigits,
    /// More than 2^63 - 1.
    #[error("must be at most 2^63 - 1")]
    TooLarge,
}

impl Quantity {
    /// Reads a quantity.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let whole_end = digits_end(unsigned, 0);
        let (fraction, end) = match unsigned.as_bytes().get(whole_end) {
            Some(b'.') => {
                let end = digits_end(unsigned, whole_end + 1);
                (&unsigned[whole_end + 1..end], end)
            }
            _ => ("", whole_end),
        };
        let whole = &unsigned[..whole_end];
        if whole.is_empty() && fraction.is_empty() {
            return Err(Malformed::Syntax);
        }
        let suffix = Suffix::parse(&unsigned[end..]).ok_or(Malformed::Syntax)?;
        let (mantissa, decimals) = mantissa(whole, fraction.trim_end_matches('0'))?;
        if negative && mantissa > 0 {
            return Err(Malformed::Negative);
        }
        let thousandths = scaled(mantissa << suffix.shift, suffix.exponent - decimals + 3)?;
        Ok(Self { thousandths })
    }
}

/// What a suffix multiplies by: 2^shift times 10^exponent.
struct Suffix {
    shift: u32,
    exponent: i64,
}

impl Suffix {
    fn parse(text: &str) -> Option<Self> {
        let decimal = |exponent| Some(Self { shift: 0, exponent });
        let binary = |shift| Some(Self { shift, exponent: 0 });
        match text {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => decimal(i64::from(text.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?)),
        }
    }
}

fn digits_end(text: &str, start: usize) -> usize {
    let digits = text.as_bytes()[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    start + digits.count()
}

/// The digits as one number, and how many of them are decimals.
fn mantissa(whole: &str, fraction: &str) -> Result<(u128, i64), Malformed> {
    let mut value: u128 = 0;
    let mut significant = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value * 10 + u128::from(digit - b'0');
        significant += usize::from(value > 0);
        if significant > DIGITS_MAX {
            return Err(Malformed::TooManyDigits);
        }
    }
    let decimals = i64::try_from(fraction.len()).map_err(|_| Malformed::TooManyDigits)?;
    Ok((value, decimals))
}

/// `value` times 10^`exponent`, rounded up, where that is at most [`MAX`].
fn scaled(value: u128, exponent: i64) -> Result<u128, Malformed> {
    if value == 0 {
        return Ok(0);
    }
    let power = u32::try_from(exponent.unsigned_abs())
        .ok()
        .and_then(|power| 10_u128.checked_pow(power));
    let result = match (exponent < 0, power) {
        (false, Some(power)) => value.checked_mul(power),
        (false, None) => None,
        (true, Some(power)) => Some(value.div_ceil(power)),
        (true, None) => Some(1),
    };
    result.filter(|value| *value <= MAX).ok_or(Malformed::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousandths(text: &str) -> Result<u128, Malformed> {
        Quantity::parse(text).map(|quantity| quantity.thousandths)
    }

    #[test]
    fn every_suffix_of_the_api_documentation_has_its_value() {
        let cases: [(&str, u128); 26] = [
            ("0", 0),
            ("-0", 0),
            ("1", 1_000),
            ("+1", 1_000),
            ("1.", 1_000),
            (".5", 500),
            ("0.5", 500),
            ("007", 7_000),
            ("2000000n", 2),
            ("2000u", 2),
            ("500m", 500),
            ("1k", 1_000 * THOUSAND),
            ("1M", 1_000_000 * THOUSAND),
            ("1G", 1_000_000_000 * THOUSAND),
            ("1T", 1_000_000_000_000 * THOUSAND),
            ("1P", 1_000_000_000_000_000 * THOUSAND),
            ("1E", 1_000_000_000_000_000_000 * THOUSAND),
            ("1Ki", 1024 * THOUSAND),
            ("1.5Gi", 1536 * 1024 * 1024 * THOUSAND),
            ("1Ti", (1 << 40) * THOUSAND),
            ("1Pi", (1 << 50) * THOUSAND),
            ("7Ei", 7 * (1 << 60) * THOUSAND),
            ("1e3", 1_000 * THOUSAND),
            ("1E3", 1_000 * THOUSAND),
            ("12e-1", 1_200),
            ("1E+2", 100 * THOUSAND),
        ];
        for (text, value) in cases {
            assert_eq!(thousandths(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn less_than_a_thousandth_is_rounded_up() {
        assert_eq!(thousandths("1n"), Ok(1));
        assert_eq!(thousandths("0.0001"), Ok(1));
        assert_eq!(thousandths("1e-2000000000"), Ok(1));
        assert_eq!(thousandths("1.0000000001"), Ok(1_001));
        assert_eq!(thousandths("0.0001Ki"), Ok(103));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_its_reason() {
        for text in [
            "", ".", "-", "+", "m", "Mi", "1 ", " 1", "1mi", "1KB", "1K", "1e", "1e1.5", "1e+", "0x1", "1_0",
            "--1", "１", "1i",
        ] {
            assert_eq!(thousandths(text), Err(Malformed::Syntax), "{text}");
        }
        assert_eq!(thousandths("-1m"), Err(Malformed::Negative));
        assert_eq!(thousandths("8Ei"), Err(Malformed::TooLarge));
        assert_eq!(thousandths("1e19"), Err(Malformed::TooLarge));
        assert_eq!(thousandths("1e2000000000"), Err(Malformed::TooLarge));
        assert_eq!(thousandths("1.234567890123456789"), Err(Malformed::TooManyDigits));
        assert_eq!(thousandths(&"9".repeat(10_000)), Err(Malformed::TooManyDigits));
    }

    #[test]
    fn quantities_of_different_notation_compare_by_value() {
        for (smaller, larger) in [
            ("999m", "1"),
            ("1G", "1Gi"),
            ("1000Mi", "1Gi"),
            ("1023Ki", "1Mi"),
            ("0", "1n"),
            ("1m", "1001u"),
        ] {
            let [smaller_value, larger_value] =
                [smaller, larger].map(|text| Quantity::parse(text).expect("well formed"));
            assert!(smaller_value < larger_value, "{smaller} < {larger}");
        }
        for (one, other) in [
            ("1", "1000m"),
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("106u", "811u"),
        ] {
            assert_eq!(Quantity::parse(one), Quantity::parse(other), "{one} = {other}");
        }
    }
}
