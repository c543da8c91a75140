//! Bytes on disk: segment names and headers, frames. No I/O beyond reading a directory.

use super::{
    error::SpoolError,
    position::{MAX_PAYLOAD, Position, u64_at},
};
use std::{fs, path::Path, path::PathBuf};

pub(crate) const FRAME_HEAD: usize = 8;
pub(crate) const HEADER_LEN: usize = 48;
const MAGIC: &[u8; 8] = b"MYSPOOL1";

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// First bytes of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub run: [u8; 16],
    pub segment: u64,
    pub first_seq: u64,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..24].copy_from_slice(&self.run);
        out[24..32].copy_from_slice(&self.segment.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        let crc = crc32c::crc32c(&out[..40]);
        out[40..44].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_LEN)?;
        if bytes.get(..8)? != MAGIC || u32_at(bytes, 40)? != crc32c::crc32c(bytes.get(..40)?) {
            return None;
        }
        Some(Self {
            run: bytes.get(8..24)?.try_into().ok()?,
            segment: u64_at(bytes, 24)?,
            first_seq: u64_at(bytes, 32)?,
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
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    let (Some(len), Some(crc)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else {
        return Frame::Partial(FRAME_HEAD);
    };
    let len = len as usize;
    // A run of zeros, as a crash may leave, must not read as an empty frame with its right checksum.
    if len == 0 || len > MAX_PAYLOAD {
        return Frame::Bad("frame length out of range");
    }
    match bytes.get(FRAME_HEAD..FRAME_HEAD + len) {
        None => Frame::Partial(FRAME_HEAD + len),
        Some(payload) if crc32c::crc32c(payload) == crc => Frame::Whole(payload),
        Some(_) => Frame::Bad("checksum mismatch"),
    }
}

pub(crate) fn frame_head(payload: &[u8]) -> [u8; FRAME_HEAD] {
    let mut head = [0; FRAME_HEAD];
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    head
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
