//! Signatures of Standard Webhooks 1.0.0.
//!
//! Owns the form of a secret and of the three headers. It never shows a secret: not in an error, not in `Debug`.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The most secrets that may be in force at once; each one adds about 50 bytes to a header.
pub const SECRETS_MAX: usize = 8;

const PREFIX: &str = "whsec_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const EITHER_PADDING: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secrets in force, at least one.
#[derive(Clone, Eq, PartialEq)]
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Reads secrets, one `whsec_<base64 of 24 to 64 bytes>` a line; blank lines are skipped.
    ///
    /// # Errors
    /// A [`Fault`] that names the line and the rule.
    pub fn parse(text: &str) -> Result<Secrets, Fault> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let number = index + 1;
            let encoded = line.strip_prefix(PREFIX).ok_or(Fault::Prefix { line: number })?;
            let key = EITHER_PADDING
                .decode(encoded)
                .map_err(|_| Fault::Base64 { line: number })?;
            if !KEY_BYTES.contains(&key.len()) {
                let bytes = key.len();
                return Err(Fault::Length { line: number, bytes });
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(Fault::Empty),
            1..=SECRETS_MAX => Ok(Secrets(keys)),
            count => Err(Fault::TooMany { count }),
        }
    }

    /// Returns the value of `webhook-signature` for one attempt: a `v1,<base64>` of every secret, separated by spaces.
    ///
    /// What is signed is `{id}.{timestamp}.{body}` with the timestamp in unix seconds.
    #[must_use]
    pub fn signature(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let sign = |key: &Vec<u8>| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} redacted)", self.0.len())
    }
}

/// Why a text holds no usable secrets.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// No line holds a secret.
    #[error("no secret is in it; one `whsec_…` a line is expected")]
    Empty,
    /// A line is not a symmetric secret of Standard Webhooks.
    #[error("line {line} does not begin with `whsec_`")]
    Prefix {
        /// Counted from 1.
        line: usize,
    },
    /// What follows the prefix cannot be decoded.
    #[error("line {line} is not base64 after `whsec_`")]
    Base64 {
        /// Counted from 1.
        line: usize,
    },
    /// The key is too short to be safe, or too long for the standard.
    #[error("line {line} holds a key of {bytes} bytes; 24 to 64 are allowed")]
    Length {
        /// Counted from 1.
        line: usize,
        /// Length of the decoded key.
        bytes: usize,
    },
    /// More secrets than [`SECRETS_MAX`].
    #[error("it holds {count} secrets; at most {SECRETS_MAX} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn published_example(secrets: &Secrets) -> String {
        let body = br#"{"test": 2432232314}"#;
        secrets.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    }

    #[test]
    fn the_published_example_of_standard_webhooks_is_met() {
        let secrets = Secrets::parse(PUBLISHED).unwrap();
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(published_example(&secrets), expected);
    }

    #[test]
    fn every_secret_signs_in_the_order_of_the_file() {
        let one = published_example(&Secrets::parse(PUBLISHED).unwrap());
        let two = published_example(&Secrets::parse(OTHER).unwrap());
        let both = Secrets::parse(&format!("{PUBLISHED}\r\n\n  {OTHER}\n")).unwrap();
        assert_eq!(published_example(&both), format!("{one} {two}"));
    }

    #[test]
    fn padding_is_optional() {
        let key = STANDARD.encode([7_u8; 32]);
        let padded = Secrets::parse(&format!("whsec_{key}")).unwrap();
        let bare = Secrets::parse(&format!("whsec_{}", key.trim_end_matches('='))).unwrap();
        assert_eq!(padded, bare);
    }

    #[test]
    fn every_fault_names_its_line() {
        let short = format!("{PUBLISHED}\nwhsec_{}", STANDARD.encode([1_u8; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1_u8; 65]));
        let many = format!("{PUBLISHED}\n").repeat(9);
        let cases = [
            (" \n\n", Fault::Empty),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Fault::Prefix { line: 1 }),
            ("\nwhsk_MfKQ9r8GKYqrTwjUPD8I", Fault::Prefix { line: 2 }),
            ("whsec_not base64", Fault::Base64 { line: 1 }),
            (&short, Fault::Length { line: 2, bytes: 23 }),
            (&long, Fault::Length { line: 1, bytes: 65 }),
            (&many, Fault::TooMany { count: 9 }),
        ];
        for (text, fault) in cases {
            assert_eq!(Secrets::parse(text), Err(fault));
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let shown = format!("{:?}", Secrets::parse(PUBLISHED).unwrap());
        assert_eq!(shown, "Secrets(1 redacted)");
    }
}
