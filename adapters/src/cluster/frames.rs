//! The lines of a watch, cut out of its chunks on one buffer.
//!
//! It never reads what a line says. Called by the watch alone.

use super::client::chain;
use http_body_util::BodyExt as _;
use kube::client::Body;

/// Longest line, in bytes: etcd's largest object (1.5 MiB) with room for its JSON form.
const LINE_MAX: usize = 8 << 20;

/// Capacity that the buffer falls back to once a long line is gone, in bytes.
const KEEP: usize = 64 << 10;

/// A step of the stream.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// A line without its break.
    Whole(&'a [u8]),
    /// The stream ended as it should; a piece of a line that was left is dropped, the next watch sends it whole.
    End,
    /// The stream broke.
    Broken(String),
}

/// Reads lines.
pub(super) struct Frames {
    stream: Body,
    buffer: Vec<u8>,
    /// Begin of what has not been given out.
    begin: usize,
    /// Up to here there is no line break.
    scanned: usize,
}

impl Frames {
    /// Reads lines from the body of an answer.
    pub(super) const fn new(stream: Body) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            begin: 0,
            scanned: 0,
        }
    }

    /// Returns the next line.
    ///
    /// May be dropped between two chunks without losing any.
    pub(super) async fn next(&mut self) -> Line<'_> {
        loop {
            if let Some(at) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
                let line = self.begin..self.scanned + at;
                self.begin = line.end + 1;
                self.scanned = self.begin;
                return Line::Whole(&self.buffer[line]);
            }
            self.buffer.drain(..self.begin);
            self.begin = 0;
            self.scanned = self.buffer.len();
            if self.buffer.is_empty() {
                self.buffer.shrink_to(KEEP);
            }
            if self.buffer.len() > LINE_MAX {
                return Line::Broken(format!("a line is longer than {LINE_MAX} bytes"));
            }
            match self.stream.frame().await {
                None => return Line::End,
                Some(Err(error)) => return Line::Broken(chain(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
