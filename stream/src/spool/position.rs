//! Where envelopes lie in a spool, and how large they may be.

use serde::{Deserialize, Serialize};

/// Largest payload of a frame: an account may hold 10 MiB.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// Where an envelope lies in a spool. Positions of one spool compare by `(segment, offset)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The run that the segment belongs to.
    pub run: [u8; 16],
    /// Segment number, rising over all runs.
    pub segment: u64,
    /// Byte offset of the frame in the segment file.
    pub offset: u64,
    /// `seq` that the envelope there has, or will have.
    pub seq: u64,
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.segment, self.offset, self.seq, self.run).cmp(&(
            other.segment,
            other.offset,
            other.seq,
            other.run,
        ))
    }
}

impl Position {
    /// Fixed form, 40 bytes, integers little-endian.
    pub fn to_bytes(self) -> [u8; 40] {
        let mut out = [0; 40];
        out[..16].copy_from_slice(&self.run);
        out[16..24].copy_from_slice(&self.segment.to_le_bytes());
        out[24..32].copy_from_slice(&self.offset.to_le_bytes());
        out[32..].copy_from_slice(&self.seq.to_le_bytes());
        out
    }

    /// Reads [`Self::to_bytes`] back; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 40] = bytes.try_into().ok()?;
        Some(Self {
            run: bytes[..16].try_into().ok()?,
            segment: u64_at(bytes, 16)?,
            offset: u64_at(bytes, 24)?,
            seq: u64_at(bytes, 32)?,
        })
    }
}

/// A little-endian integer at a place.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
