//! A walk over MessagePack that touches what it looks for and copies nothing.

/// Bytes that are not MessagePack, or end too early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// What a value holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inside {
    /// No other value.
    Nothing,
    /// As many values.
    Values(usize),
    /// As many pairs of a name and a value.
    Pairs(usize),
}

/// A place in a run of MessagePack values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns how many bytes lie behind.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Reads the head of a map, and returns how many pairs follow.
    pub(crate) fn map(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            head @ 0x80..=0x8f => Ok(usize::from(head & 0x0f)),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => Err(Malformed),
        }
    }

    /// Reads a string, unchecked for UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = match self.byte()? {
            head @ 0xa0..=0xbf => usize::from(head & 0x1f),
            0xd9 => self.length(1)?,
            0xda => self.length(2)?,
            0xdb => self.length(4)?,
            _ => return Err(Malformed),
        };
        self.take(length)
    }

    /// Reads a number that is not negative.
    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let width = match self.byte()? {
            head @ 0x00..=0x7f => return Ok(u64::from(head)),
            0xcc => 1,
            0xcd => 2,
            0xce => 4,
            0xcf => 8,
            _ => return Err(Malformed),
        };
        self.big_endian(width)
    }

    /// Passes over one value, and returns its bytes.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let from = self.at;
        // A count instead of a call for each level: no input can exhaust the stack.
        let mut open: usize = 1;
        while open > 0 {
            open = open - 1 + self.shallow()?;
        }
        self.bytes.get(from..self.at).ok_or(Malformed)
    }

    /// Passes over the head of a map or array, or over the whole of any other value.
    pub(crate) fn open(&mut self) -> Result<Inside, Malformed> {
        let is_map = matches!(self.bytes.get(self.at), Some(0x80..=0x8f | 0xde | 0xdf));
        match self.shallow()? {
            0 => Ok(Inside::Nothing),
            count if is_map => Ok(Inside::Pairs(count / 2)),
            count => Ok(Inside::Values(count)),
        }
    }

    /// Passes over one value without those inside, and returns how many are inside.
    fn shallow(&mut self) -> Result<usize, Malformed> {
        let (skip, inside) = match self.byte()? {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0),
            head @ 0x80..=0x8f => (0, 2 * usize::from(head & 0x0f)),
            head @ 0x90..=0x9f => (0, usize::from(head & 0x0f)),
            head @ 0xa0..=0xbf => (usize::from(head & 0x1f), 0),
            0xc1 => return Err(Malformed),
            0xc4 | 0xd9 => (self.length(1)?, 0),
            0xc5 | 0xda => (self.length(2)?, 0),
            0xc6 | 0xdb => (self.length(4)?, 0),
            0xc7 => (self.length(1)? + 1, 0),
            0xc8 => (self.length(2)? + 1, 0),
            0xc9 => (self.length(4)? + 1, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 | 0xd4 => (2, 0),
            0xd5 => (3, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xd6 => (5, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xd7 => (9, 0),
            0xd8 => (17, 0),
            0xdc => (0, self.length(2)?),
            0xdd => (0, self.length(4)?),
            0xde => (0, 2 * self.length(2)?),
            0xdf => (0, 2 * self.length(4)?),
        };
        self.take(skip)?;
        // What is inside has a byte each: no count can be larger than what is left.
        if inside > self.bytes.len() - self.at {
            return Err(Malformed);
        }
        Ok(inside)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn length(&mut self, width: usize) -> Result<usize, Malformed> {
        usize::try_from(self.big_endian(width)?).map_err(|_| Malformed)
    }

    fn big_endian(&mut self, width: usize) -> Result<u64, Malformed> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_passed_over_whole() {
        let values: [&[u8]; 22] = [
            &[0x05],
            &[0xff],
            &[0xc0],
            &[0xc3],
            &[0xcc, 200],
            &[0xcd, 1, 2],
            &[0xce, 1, 2, 3, 4],
            &[0xcf, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xd3, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xca, 1, 2, 3, 4],
            &[0xcb, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xa2, b'a', b'b'],
            &[0xd9, 2, b'a', b'b'],
            &[0xda, 0, 1, b'a'],
            &[0xdb, 0, 0, 0, 1, b'a'],
            &[0xc4, 1, 9],
            &[0xc7, 1, 0, 9],
            &[0xd4, 0, 9],
            &[0x92, 0x01, 0xa1, b'a'],
            &[0xdc, 0, 1, 0x01],
            &[0x81, 0xa1, b'a', 0x91, 0x80],
            &[0xde, 0, 1, 0xa1, b'a', 0xc0],
        ];
        for value in values {
            let mut cursor = Cursor::new(value);
            assert_eq!(cursor.value(), Ok(value));
            assert!(cursor.is_done());
            for end in 0..value.len() {
                assert_eq!(
                    Cursor::new(&value[..end]).value(),
                    Err(Malformed),
                    "{value:?} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn a_count_larger_than_what_is_left_is_refused_at_once() {
        for head in [0xdd, 0xdf] {
            let value = [head, 0xff, 0xff, 0xff, 0xff, 0x01];
            assert_eq!(Cursor::new(&value).value(), Err(Malformed));
        }
    }
}
