//! Uids of the API server: nearly all of them are UUIDs, which are kept as their 16 bytes.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The uid that the API server gave to an object.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd)]
pub struct Uid(Form);

/// Any text has one form only, so that two uids are equal where their texts are.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd)]
enum Form {
    /// A UUID in its usual spelling: 32 lower-case hexadecimal digits in five groups.
    Uuid([u8; 16]),
    /// Whatever else an API server may say.
    Text(Arc<str>),
}

/// The length of a UUID's usual spelling.
const LENGTH: usize = 36;
/// The bytes before which a hyphen stands.
const HYPHENS: [usize; 4] = [4, 6, 8, 10];

impl Uid {
    /// Wraps a uid as read from `metadata.uid`.
    pub fn new(uid: impl AsRef<str>) -> Self {
        let text = uid.as_ref();
        Self(match packed(text.as_bytes()) {
            Some(bytes) => Form::Uuid(bytes),
            None => Form::Text(text.into()),
        })
    }

    /// Calls `read` with the uid as text.
    fn with_text<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Form::Text(text) => read(text),
            Form::Uuid(bytes) => {
                let text = spelled(*bytes);
                read(str::from_utf8(&text).expect("digits and hyphens are UTF-8"))
            }
        }
    }
}

/// Reads the usual spelling; `None` for any other text, so that what is read is spelled as it was.
fn packed(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != LENGTH {
        return None;
    }
    let mut bytes = [0; 16];
    let mut rest = text;
    for (place, byte) in bytes.iter_mut().enumerate() {
        if HYPHENS.contains(&place) {
            rest = rest.strip_prefix(b"-")?;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        rest = after;
    }
    Some(bytes)
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

fn spelled(bytes: [u8; 16]) -> [u8; LENGTH] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; LENGTH];
    let mut at = 0;
    for (place, byte) in bytes.into_iter().enumerate() {
        at += usize::from(HYPHENS.contains(&place));
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.debug_tuple("Uid").field(&text).finish())
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UidVisitor)
    }
}

struct UidVisitor;

impl Visitor<'_> for UidVisitor {
    type Value = Uid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a uid")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Uid, E> {
        Ok(Uid::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        let texts = [
            "31a89a91-43d8-4786-a195-9b25cec28a44",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "31A89A91-43d8-4786-a195-9b25cec28a44",
            "31a89a91043d8-4786-a195-9b25cec28a44",
            "31a89a9143d8-4786-a195-9b25cec28a444",
            "31a89a91-43d8-4786-a195-9b25cec28a4g",
            "u1",
            "",
            "ünï",
        ];
        for text in texts {
            let uid = Uid::new(text);
            assert_eq!(uid.to_string(), text);
            assert_eq!(format!("{uid:?}"), format!("Uid({text:?})"));
            let others = texts.iter().filter(|other| Uid::new(**other) == uid);
            assert_eq!(others.count(), 1, "{text} is equal to itself alone");
        }
        let packs = texts.map(|text| matches!(Uid::new(text).0, Form::Uuid(_)));
        assert_eq!(packs.iter().filter(|packed| **packed).count(), 3);
    }
}
