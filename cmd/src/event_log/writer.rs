//! Writes an event log, frame by frame.

use crate::frame::{Chain, FORMAT, FRAME_MAX, Header, Kind, MAGIC, checksum, trailer};
use engine::Policy;
use std::io::{self, Write};

/// Writes one event log. Without [`Writer::finish`] the file has no trailer, and readers say that it ends too early.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    records: u64,
    chain: Chain,
}

impl<W: Write> Writer<W> {
    /// Begins a log.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn new(mut to: W, header: &Header) -> io::Result<Self> {
        to.write_all(&MAGIC)?;
        to.write_all(&FORMAT.to_le_bytes())?;
        let mut writer = Self {
            to,
            records: 0,
            chain: Chain::new(),
        };
        writer.packed(Kind::Header, header)?;
        Ok(writer)
    }

    /// Adds a record, as the store held it.
    ///
    /// # Errors
    /// Those of `to`; a record that is too large for a frame.
    pub fn record(&mut self, record: &[u8]) -> io::Result<()> {
        self.frame(Kind::Record, record)?;
        self.records += 1;
        Ok(())
    }

    /// Says that the records from here on were decided with another policy.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn policy(&mut self, policy: &Policy) -> io::Result<()> {
        self.packed(Kind::Policy, policy)
    }

    /// Ends the log.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn finish(mut self) -> io::Result<W> {
        let body = trailer(self.records, &self.chain);
        self.frame(Kind::Trailer, &body)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn packed<T: serde::Serialize>(&mut self, kind: Kind, value: &T) -> io::Result<()> {
        let body = rmp_serde::to_vec_named(value).map_err(io::Error::other)?;
        self.frame(kind, &body)
    }

    fn frame(&mut self, kind: Kind, rest: &[u8]) -> io::Result<()> {
        let mut body = Vec::with_capacity(1 + rest.len());
        body.push(kind.byte());
        body.extend_from_slice(rest);
        let length = match u32::try_from(body.len()) {
            Ok(length) if body.len() <= FRAME_MAX => length.to_le_bytes(),
            Ok(_) | Err(_) => return Err(io::Error::other("a record is too large for a frame")),
        };
        let checksum = checksum(length, &body);
        self.chain.add(checksum);
        self.to.write_all(&checksum.to_le_bytes())?;
        self.to.write_all(&length)?;
        self.to.write_all(&body)
    }
}
