//! The usual record: fields in the order in which the store writes them, and the decision of today in the bytes of then.
//!
//! Nothing but the input is read. What was decided again is written over what stands in the record, and has to be the same. A record
//! that is different in any way is left to [`crate::Fields`].

use crate::pack::Cursor;
use engine::{StateKind, Transition};
use serde::Serialize;
use std::io::{self, Write};

/// A record up to its input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) task: &'a [u8],
    pub(crate) at: u64,
    pub(crate) event: &'a [u8],
    /// What stands behind the input: the outcome.
    outcome: Cursor<'a>,
}

impl<'a> Input<'a> {
    pub(crate) fn of(record: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(record);
        cursor.literal(b"\x82\xa1v\xa11\xaatransition\x87\xa4task")?;
        let task = cursor.text().ok()?;
        cursor.literal(b"\xa2at")?;
        let at = cursor.number().ok()?;
        cursor.literal(b"\xa5event")?;
        let event = cursor.value().ok()?;
        Some(Self {
            task,
            at,
            event,
            outcome: cursor,
        })
    }

    /// Returns the spec of an event that begins a task with what its message says.
    pub(crate) fn taken(&self) -> Option<&'a [u8]> {
        self.event.strip_prefix(b"\x81\xa5Taken")
    }

    /// Tells whether the outcome is this transition, whose spec has these bytes.
    pub(crate) fn came_to(&self, transition: &Transition, spec: &[u8]) -> bool {
        self.compare(transition, spec).is_some_and(|rest| rest.is_empty())
    }

    /// Returns what is left behind the outcome; `None` where it differs.
    fn compare(&self, transition: &Transition, spec: &[u8]) -> Option<&'a [u8]> {
        let mut outcome = self.outcome;
        outcome.literal(b"\xa4from")?;
        match transition.from.map(StateKind::name) {
            None => outcome.literal(b"\xc0")?,
            Some(name) if outcome.text() == Ok(name.as_bytes()) => {}
            Some(_) => return None,
        }
        outcome.literal(b"\xa5after\x83\xa3seq")?;
        if outcome.number() != Ok(transition.after.seq) {
            return None;
        }
        outcome.literal(b"\xa4spec")?;
        outcome.literal(spec)?;
        outcome.literal(b"\xa5state")?;
        let mut rest = Same(outcome.rest());
        rest.value(&transition.after.state)?;
        rest.write_all(b"\xa7notices").ok()?;
        rest.value(&transition.notices)?;
        rest.write_all(b"\xa6effect").ok()?;
        rest.value(&transition.recorded_effect())?;
        Some(rest.0)
    }
}

/// Takes only what stands there already.
struct Same<'a>(&'a [u8]);

impl Same<'_> {
    fn value<T: Serialize>(&mut self, value: &T) -> Option<()> {
        value
            .serialize(&mut rmp_serde::Serializer::new(self).with_struct_map())
            .ok()
    }
}

impl Write for Same<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.0.split_at_checked(bytes.len()) {
            Some((there, rest)) if equal(there, bytes) => {
                self.0 = rest;
                Ok(())
            }
            Some(_) | None => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compares two slices of one length; short ones, as most are, without a call.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    match a.len() {
        0 => true,
        1 => a[0] == b[0],
        2..4 => a[..2] == b[..2] && a.last() == b.last(),
        4..8 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        _ => a == b,
    }
}

/// Appends a value as the store writes it: named MessagePack.
pub(crate) fn append<T: Serialize>(value: &T, buffer: &mut Vec<u8>) {
    let mut serializer = rmp_serde::Serializer::new(buffer).with_struct_map();
    value
        .serialize(&mut serializer)
        .expect("the engine's own types have a MessagePack form");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_any_byte_of_a_slice_is_seen() {
        for length in 0..40 {
            let text: Vec<u8> = (0..length).collect();
            assert!(equal(&text, &text.clone()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 1;
                assert!(!equal(&text, &other), "byte {at} of {length}");
            }
        }
    }

    #[test]
    fn only_what_stands_there_is_taken() {
        let mut same = Same(b"abcd");
        assert!(same.write_all(b"ab").is_ok() && same.write_all(b"cx").is_err());
        assert!(same.write_all(b"cd").is_ok() && same.write_all(b"e").is_err());
    }
}
