//! What a file begins with, and the frames of which it consists.

use engine::Policy;
use serde::{Deserialize, Serialize};

/// What every event log begins with; no text and no file of another kind begins so.
pub const MAGIC: [u8; 8] = *b"\x89JWLOG\r\n";
/// The format that this program writes, the number behind [`MAGIC`].
pub const FORMAT: u32 = 1;
/// Most bytes of one frame's body.
pub const FRAME_MAX: usize = 16 * 1024 * 1024;
/// Bytes before a frame's body: checksum and length.
pub(crate) const HEAD: usize = 8;

/// What a frame holds: the first byte of its body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A [`Header`]; the first frame.
    Header,
    /// One record, as the store held it.
    Record,
    /// The policy of the records that follow.
    Policy,
    /// How many records there are, and the checksum of all frames before; the last frame.
    Trailer,
}

impl Kind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Header => b'h',
            Self::Record => b'r',
            Self::Policy => b'p',
            Self::Trailer => b't',
        }
    }

    pub(crate) const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'h' => Some(Self::Header),
            b'r' => Some(Self::Record),
            b'p' => Some(Self::Policy),
            b't' => Some(Self::Trailer),
            _ => None,
        }
    }
}

/// Says where a log comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Program and version that wrote the file.
    pub program: String,
    /// The instance whose log it is, as `<namespace>/<lock name>`.
    pub instance: String,
    /// When it was written, in ms since 1970.
    pub written_at: u64,
    /// What was asked for, such as `all` or `task a`.
    pub selection: String,
    /// The policy of the records up to the first frame that names another.
    pub policy: Policy,
}

/// The checksum of one frame: of its length and its body.
pub(crate) fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

/// Puts the checksums of all frames into one, so that frames that were moved or taken out are missed.
#[derive(Clone, Debug)]
pub(crate) struct Chain(u32);

impl Chain {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) const fn add(&mut self, checksum: u32) {
        // Odd, so that no bit is lost; the turn makes the order count.
        self.0 = (self.0.rotate_left(5) ^ checksum).wrapping_mul(0x9e37_79b1);
    }

    pub(crate) const fn sum(&self) -> u32 {
        self.0
    }
}

/// The body of a trailer, behind its kind: records, then the chain; little-endian.
pub(crate) fn trailer(records: u64, chain: &Chain) -> [u8; 12] {
    let mut body = [0; 12];
    body[..8].copy_from_slice(&records.to_le_bytes());
    body[8..].copy_from_slice(&chain.sum().to_le_bytes());
    body
}
