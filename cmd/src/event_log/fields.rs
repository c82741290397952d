//! The parts of a record, found in its bytes without reading what they mean.

use crate::pack::{Cursor, Malformed};

/// A record's parts, each the MessagePack that the store held.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fields<'a> {
    /// The task's id.
    pub task: &'a [u8],
    /// When it was decided, in ms since 1970.
    pub at: u64,
    /// What moved it.
    pub event: &'a [u8],
    /// Where it was; nil for a first transition.
    pub from: &'a [u8],
    /// The version afterwards.
    pub seq: u64,
    /// What the task is, afterwards.
    pub spec: &'a [u8],
    /// Where it is, afterwards.
    pub state: &'a [u8],
    /// What the client is told.
    pub notices: &'a [u8],
    /// What is asked of the world; nil for nothing.
    pub effect: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotARecord {
    /// They are not MessagePack, or not of a record's shape.
    #[error("not a record")]
    Malformed,
    /// A record of a format that a later program wrote.
    #[error("a record of format {0:?}, this program reads format \"1\"")]
    Later(String),
    /// A part of it cannot be read.
    #[error("a record that cannot be read: {0}")]
    Content(String),
}

impl From<Malformed> for NotARecord {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl<'a> Fields<'a> {
    /// Finds the parts of a record. Fields that a later release added are passed over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(record: &'a [u8]) -> Result<Self, NotARecord> {
        let mut cursor = Cursor::new(record);
        let mut fields = None;
        let mut known = false;
        for _ in 0..cursor.map()? {
            match cursor.text()? {
                b"v" => {
                    let format = cursor.text()?;
                    if format != b"1" {
                        return Err(NotARecord::Later(String::from_utf8_lossy(format).into_owned()));
                    }
                    known = true;
                }
                b"transition" => fields = Some(Self::transition(&mut cursor)?),
                _ => {
                    cursor.value()?;
                }
            }
        }
        match fields {
            Some(fields) if known && cursor.is_done() => Ok(fields),
            Some(_) | None => Err(NotARecord::Malformed),
        }
    }

    fn transition(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for _ in 0..cursor.map()? {
            match cursor.text()? {
                b"task" => fields.task = cursor.text()?,
                b"at" => fields.at = cursor.number()?,
                b"event" => fields.event = cursor.value()?,
                b"from" => fields.from = cursor.value()?,
                b"after" => fields.after(cursor)?,
                b"notices" => fields.notices = cursor.value()?,
                b"effect" => fields.effect = cursor.value()?,
                _ => {
                    cursor.value()?;
                }
            }
        }
        let parts = [
            fields.event,
            fields.from,
            fields.spec,
            fields.state,
            fields.notices,
            fields.effect,
        ];
        if parts.iter().any(|part| part.is_empty()) || fields.seq == 0 {
            return Err(Malformed);
        }
        Ok(fields)
    }

    fn after(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        for _ in 0..cursor.map()? {
            match cursor.text()? {
                b"seq" => self.seq = cursor.number()?,
                b"spec" => self.spec = cursor.value()?,
                b"state" => self.state = cursor.value()?,
                _ => {
                    cursor.value()?;
                }
            }
        }
        Ok(())
    }
}
