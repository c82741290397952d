//! Reads an event log whatever became of its bytes: what is sound is handed out, what is not is named by its offset.

use crate::frame::{Chain, FORMAT, FRAME_MAX, HEAD, Header, Kind, MAGIC, checksum, trailer};
use engine::Policy;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes asked for at once.
const READ: usize = 256 * 1024;

/// What is wrong, and where: the offset of the frame in question, from the start of the file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("offset {offset}: {fault}")]
pub struct Damage {
    /// From the start of the file.
    pub offset: u64,
    /// What it is.
    pub fault: Fault,
}

/// The ways in which a file is not what was written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It begins otherwise.
    #[error("not an event log of job-worker")]
    NotALog,
    /// It is of a format that a later program wrote.
    #[error("format {0}, this program reads format {FORMAT}: use the program that wrote it, or a later one")]
    Later(u32),
    /// It ends within a frame.
    #[error("the file ends here, in the middle of a frame")]
    Cut,
    /// It ends between two frames, before the trailer.
    #[error("the file ends here, before its trailer: events may be missing")]
    NoTrailer,
    /// A frame differs from its checksum.
    #[error("damaged: the checksum does not fit")]
    Checksum,
    /// A frame's length cannot be.
    #[error("damaged: a length that cannot be")]
    Length,
    /// A sound frame whose meaning this program does not know.
    #[error("a frame of a kind that this program does not know: a later one wrote it")]
    UnknownKind,
    /// A sound frame whose content cannot be read.
    #[error("a frame that cannot be read: {0}")]
    Content(String),
    /// Frames were taken out, added or moved.
    #[error("the trailer does not fit: frames are missing, added or out of order")]
    Trailer,
    /// Something follows the trailer.
    #[error("bytes behind the trailer")]
    Behind,
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// What a log holds, in order.
#[derive(Debug)]
pub enum Item<'a> {
    /// A record, as the store held it.
    Record {
        /// Where its frame begins.
        offset: u64,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The records from here on were decided with this policy.
    Policy(Policy),
}

/// Reads one event log from its start to its end.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
    /// What of the buffer is read and not handed out yet.
    held: Range<usize>,
    /// Where `held` begins in the file.
    offset: u64,
    header: Header,
    records: u64,
    chain: Chain,
    /// The last frame was unsound: where the next one is too, its length was wrong.
    lost: bool,
    /// No trailer can fit any more.
    damaged: bool,
    ended: bool,
}

/// A sound frame; its content begins behind the kind.
struct Frame {
    kind: Option<Kind>,
    offset: u64,
    content: Range<usize>,
}

impl<R: Read> Reader<R> {
    /// Reads what a log begins with.
    ///
    /// # Errors
    /// Whatever keeps every record from being read.
    pub fn new(from: R) -> Result<Self, Damage> {
        let mut reader = Self {
            from,
            buffer: Vec::new(),
            held: 0..0,
            offset: 0,
            header: Header {
                program: String::new(),
                instance: String::new(),
                written_at: 0,
                selection: String::new(),
                policy: Policy::default(),
            },
            records: 0,
            chain: Chain::new(),
            lost: false,
            damaged: false,
            ended: false,
        };
        reader.begin()?;
        let Some(frame) = reader.frame()? else {
            return Err(Damage {
                offset: reader.offset,
                fault: Fault::NoTrailer,
            });
        };
        if frame.kind != Some(Kind::Header) {
            return Err(Damage {
                offset: frame.offset,
                fault: Fault::NotALog,
            });
        }
        reader.header = reader.unpacked(&frame)?;
        Ok(reader)
    }

    /// Returns what the log says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns how many bytes were handed out.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns what comes next; `None` at the end.
    ///
    /// # Errors
    /// What is wrong there. Asked again, it goes on behind the damage where something sound follows, else it ends.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it returns lives in its buffer"
    )]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Damage> {
        if self.ended {
            return Ok(None);
        }
        let before = self.chain.clone();
        let Some(frame) = self.frame()? else {
            self.ended = true;
            let offset = self.offset;
            return Err(Damage {
                offset,
                fault: Fault::NoTrailer,
            });
        };
        match frame.kind {
            Some(Kind::Record) => {
                self.records += 1;
                Ok(Some(Item::Record {
                    offset: frame.offset,
                    bytes: &self.buffer[frame.content],
                }))
            }
            Some(Kind::Policy) => Ok(Some(Item::Policy(self.unpacked(&frame)?))),
            Some(Kind::Trailer) => self.end(&frame, &before),
            Some(Kind::Header) | None => Err(Damage {
                offset: frame.offset,
                fault: Fault::UnknownKind,
            }),
        }
    }

    fn begin(&mut self) -> Result<(), Damage> {
        const LENGTH: usize = MAGIC.len() + 4;
        let damage = |offset, fault| Err(Damage { offset, fault });
        let whole = self.fill(LENGTH)?;
        let held = &self.buffer[self.held.clone()];
        if held.is_empty() || !held.iter().zip(MAGIC).all(|(is, wanted)| *is == wanted) {
            return damage(0, Fault::NotALog);
        }
        if !whole {
            return damage(0, Fault::Cut);
        }
        let format = u32::from_le_bytes([held[8], held[9], held[10], held[11]]);
        if format != FORMAT {
            return damage(8, Fault::Later(format));
        }
        self.pass(LENGTH);
        Ok(())
    }

    /// Reads the next frame; `None` where the file ends before it.
    fn frame(&mut self) -> Result<Option<Frame>, Damage> {
        let offset = self.offset;
        let damage = |fault| Err(Damage { offset, fault });
        if !self.fill(HEAD)? {
            if self.held.is_empty() {
                return Ok(None);
            }
            self.ended = true;
            return damage(Fault::Cut);
        }
        let at = self.held.start;
        let [a, b, c, d, e, f, g, h] = *self.buffer[at..].first_chunk().expect("it was filled");
        let (wanted, length_bytes) = (u32::from_le_bytes([a, b, c, d]), [e, f, g, h]);
        let length = usize::try_from(u32::from_le_bytes(length_bytes)).unwrap_or(usize::MAX);
        if length == 0 || length > FRAME_MAX {
            self.ended = true;
            return damage(Fault::Length);
        }
        if !self.fill(HEAD + length)? {
            self.ended = true;
            return damage(Fault::Cut);
        }
        let body = self.held.start + HEAD..self.held.start + HEAD + length;
        let found = checksum(length_bytes, &self.buffer[body.clone()]);
        self.pass(HEAD + length);
        if found != wanted {
            // Where only the body is damaged, a sound frame follows.
            self.ended = std::mem::replace(&mut self.lost, true);
            self.damaged = true;
            return damage(Fault::Checksum);
        }
        self.lost = false;
        self.chain.add(found);
        Ok(Some(Frame {
            kind: Kind::of(self.buffer[body.start]),
            offset,
            content: body.start + 1..body.end,
        }))
    }

    fn end(&mut self, frame: &Frame, before: &Chain) -> Result<Option<Item<'_>>, Damage> {
        self.ended = true;
        let fits = self.buffer[frame.content.clone()] == trailer(self.records, before);
        if !fits && !self.damaged {
            return Err(Damage {
                offset: frame.offset,
                fault: Fault::Trailer,
            });
        }
        if self.fill(1)? {
            return Err(Damage {
                offset: self.offset,
                fault: Fault::Behind,
            });
        }
        Ok(None)
    }

    fn unpacked<T: serde::de::DeserializeOwned>(&self, frame: &Frame) -> Result<T, Damage> {
        rmp_serde::from_slice(&self.buffer[frame.content.clone()]).map_err(|error| Damage {
            offset: frame.offset,
            fault: Fault::Content(error.to_string()),
        })
    }

    fn pass(&mut self, length: usize) {
        self.held.start += length;
        self.offset += length as u64;
    }

    /// Reads until `length` bytes are held; false where the file ends before.
    fn fill(&mut self, length: usize) -> Result<bool, Damage> {
        while self.held.len() < length {
            if self.held.start > 0 {
                self.buffer.copy_within(self.held.clone(), 0);
                self.held = 0..self.held.len();
            }
            if self.buffer.len() < self.held.end + READ {
                self.buffer.resize(self.held.end + READ, 0);
            }
            match self.from.read(&mut self.buffer[self.held.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.held.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    return Err(Damage {
                        offset: self.offset + self.held.len() as u64,
                        fault: Fault::Unreadable(error.to_string()),
                    });
                }
            }
        }
        Ok(true)
    }
}
