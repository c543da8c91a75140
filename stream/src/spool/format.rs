//! Bytes on disk: segment names and headers, frames. No I/O beyond reading a directory.
//!
//! A frame is `len u32 | crc32c(len, payload) u32 | payload`, little-endian, and its payload is an envelope, which begins with its
//! run. So a flipped bit, in a length too, costs the frame that it hits: the next one is found by the run, which only the writer
//! and its readers know, and nothing that an account holds can pass for a frame. The node's journal keeps the same rule for its
//! own records; neither crate may import the other, and the rule is these few lines.

use super::{
    error::SpoolError,
    position::{MAX_PAYLOAD, Position, u64_at},
};
use crate::proto::Envelope;
use prost::Message;
use std::{fs, path::Path, path::PathBuf};

pub(crate) const FRAME_HEAD: usize = 8;
pub(crate) const HEADER_LEN: usize = 48;
pub(crate) const MAX_FRAME: usize = FRAME_HEAD + MAX_PAYLOAD;
/// What stands before the run in an envelope: its field's number and type, its length.
const RUN_FIELD: [u8; 2] = [0x0a, 16];

/// How the frames of a segment are summed. New segments have the newest; older ones are still read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The checksum is of the payload alone.
    One,
    Two,
}

impl Version {
    const ALL: [Self; 2] = [Self::One, Self::Two];

    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::One => b"MYSPOOL1",
            Self::Two => b"MYSPOOL2",
        }
    }

    fn checksum(self, len: [u8; 4], payload: &[u8]) -> u32 {
        match self {
            Self::One => crc32c::crc32c(payload),
            Self::Two => crc32c::crc32c_append(crc32c::crc32c(&len), payload),
        }
    }
}

/// First bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: Version,
    pub run: [u8; 16],
    pub segment: u64,
    pub first_seq: u64,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(self.version.magic());
        out[8..24].copy_from_slice(&self.run);
        out[24..32].copy_from_slice(&self.segment.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        let crc = crc32c::crc32c(&out[..40]);
        out[40..44].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LEN)?;
        let magic = bytes.get(..8)?;
        let version = Version::ALL.into_iter().find(|v| v.magic() == magic)?;
        if u32_at(bytes, 40)? != crc32c::crc32c(bytes.get(..40)?) {
            return None;
        }
        Some(Self {
            version,
            run: bytes.get(8..24)?.try_into().ok()?,
            segment: u64_at(bytes, 24)?,
            first_seq: u64_at(bytes, 32)?,
        })
    }

    /// The header that a segment had, from the first frame behind it.
    pub fn from_first_frame(segment: u64, bytes: &[u8]) -> Option<Self> {
        let Frame::Whole(payload) = frame(bytes, Version::Two) else {
            return None;
        };
        let envelope = Envelope::decode(payload).ok()?;
        Some(Self {
            version: Version::Two,
            run: envelope.run.as_ref().try_into().ok()?,
            segment,
            first_seq: envelope.seq,
        })
    }

    pub fn position(self) -> Position {
        Position {
            run: self.run,
            segment: self.segment,
            offset: HEADER_LEN as u64,
            seq: self.first_seq,
        }
    }
}

/// What the bytes at a frame's start are.
pub(crate) enum Frame<'a> {
    Whole(&'a [u8]),
    /// More bytes are needed: this many in all.
    Partial(usize),
    Bad(&'static str),
}

/// Reads the frame that `bytes` starts with.
pub(crate) fn frame(bytes: &[u8], version: Version) -> Frame<'_> {
    let (Some(len), Some(crc)) = (bytes.first_chunk::<4>(), u32_at(bytes, 4)) else {
        return Frame::Partial(FRAME_HEAD);
    };
    let size = u32::from_le_bytes(*len) as usize;
    // A run of zeros, as a crash may leave, is no frame.
    if size == 0 || size > MAX_PAYLOAD {
        return Frame::Bad("its length is out of range");
    }
    match bytes.get(FRAME_HEAD..FRAME_HEAD + size) {
        None => Frame::Partial(FRAME_HEAD + size),
        Some(payload) if version.checksum(*len, payload) == crc => Frame::Whole(payload),
        Some(_) => Frame::Bad("its checksum is another"),
    }
}

pub(crate) fn frame_head(payload: &[u8]) -> [u8; FRAME_HEAD] {
    let len = (payload.len() as u32).to_le_bytes();
    let mut head = [0; FRAME_HEAD];
    head[..4].copy_from_slice(&len);
    head[4..].copy_from_slice(&Version::Two.checksum(len, payload).to_le_bytes());
    head
}

/// The first whole frame of `run` that begins at `from` or behind, and the `seq` of its envelope, which is not below `min_seq`.
pub(crate) fn find_frame(
    bytes: &[u8],
    from: usize,
    header: &Header,
    min_seq: u64,
) -> Option<(usize, u64)> {
    let mut opening = RUN_FIELD.to_vec();
    opening.extend_from_slice(&header.run);
    let mut at = from;
    loop {
        let payloads = bytes.get(at + FRAME_HEAD..)?;
        at += payloads
            .windows(opening.len())
            .position(|window| window == opening)?;
        if let Frame::Whole(payload) = frame(bytes.get(at..)?, header.version)
            && let Ok(envelope) = Envelope::decode(payload)
            && envelope.run == header.run.as_slice()
            && envelope.seq >= min_seq
        {
            return Some((at, envelope.seq));
        }
        at += 1;
    }
}

pub(crate) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:012}.seg"))
}

/// Numbers and sizes of the segments in `dir`, rising.
pub(crate) fn segments(dir: &Path) -> Result<Vec<(u64, u64)>, SpoolError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(SpoolError::io(dir))? {
        let entry = entry.map_err(SpoolError::io(dir))?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_suffix(".seg"))
            .and_then(|stem| stem.parse::<u64>().ok());
        // A reader's listing may race the writer's deletion.
        if let (Some(number), Ok(meta)) = (number, entry.metadata()) {
            found.push((number, meta.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
