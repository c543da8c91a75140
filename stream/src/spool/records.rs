//! The two small files beside the segments: the durable mark and the readers' acknowledgements.
//! Both carry a checksum, since a reader may meet them half written.

use super::{
    error::SpoolError,
    position::{Position, u64_at},
};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const MARK_LEN: usize = 20;

/// Everything before this byte of this segment is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Segment number; lower segments are complete.
    pub segment: u64,
    /// Byte offset in it.
    pub offset: u64,
}

impl Mark {
    fn to_bytes(self) -> [u8; MARK_LEN] {
        let mut out = [0; MARK_LEN];
        out[..8].copy_from_slice(&self.segment.to_le_bytes());
        out[8..16].copy_from_slice(&self.offset.to_le_bytes());
        // Inverted, so that a file of zeros is no mark.
        let crc = !crc32c::crc32c(&out[..16]);
        out[16..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8; MARK_LEN]) -> Option<Self> {
        let crc = u32::from_le_bytes(bytes[16..].try_into().ok()?);
        (crc == !crc32c::crc32c(&bytes[..16])).then_some(Self {
            segment: u64_at(bytes, 0)?,
            offset: u64_at(bytes, 8)?,
        })
    }

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("durable")
    }

    pub(crate) fn write(self, file: &File, dir: &Path) -> Result<(), SpoolError> {
        file.write_all_at(&self.to_bytes(), 0)
            .map_err(SpoolError::io(Self::path(dir)))
    }

    /// The mark of the spool in `dir`; `None` while there is none, or it is being written.
    pub fn read(dir: &Path) -> Result<Option<Self>, SpoolError> {
        let path = Self::path(dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(SpoolError::io(path)(e)),
        };
        let mut bytes = [0; MARK_LEN];
        Ok(match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Self::from_bytes(&bytes),
            Err(_) => None,
        })
    }
}

/// What a reader has committed: segments below its position may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The reader's name.
    pub reader: String,
    /// Next envelope it wants; `None` when the file can't be read, which holds everything.
    pub position: Option<Position>,
    /// When it was last alive, by the clock of that moment; a living reader writes it anew several times a minute.
    pub beat: Option<SystemTime>,
}

impl Ack {
    pub(crate) fn dir(dir: &Path) -> PathBuf {
        dir.join("acks")
    }

    pub(crate) fn check_name(name: &str) -> Result<(), SpoolError> {
        let good = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        good.then_some(())
            .ok_or_else(|| SpoolError::BadName(name.into()))
    }

    /// Stores that `reader` has committed everything before `position`.
    pub fn write(dir: &Path, reader: &str, position: &Position) -> Result<(), SpoolError> {
        Self::check_name(reader)?;
        let path = Self::dir(dir).join(reader);
        let mut bytes = position.to_bytes().to_vec();
        bytes.extend_from_slice(&(!crc32c::crc32c(&bytes)).to_le_bytes());
        // In place, as the mark: on a full disk an acknowledgement is what makes room.
        OpenOptions::new()
            .create(true)
            .mode(0o600)
            .truncate(false)
            .write(true)
            .open(&path)
            .and_then(|file| {
                file.write_all_at(&bytes, 0)?;
                file.set_len(bytes.len() as u64)
            })
            .map_err(SpoolError::io(&path))
    }

    /// The acknowledgement of one reader, if it has one that reads.
    pub fn read(dir: &Path, reader: &str) -> Option<Position> {
        let bytes = fs::read(Self::dir(dir).join(reader)).ok()?;
        let (position, crc) = bytes.split_at_checked(40)?;
        (crc == (!crc32c::crc32c(position)).to_le_bytes())
            .then(|| Position::from_bytes(position))
            .flatten()
    }

    /// All acknowledgements of the spool in `dir`.
    pub fn list(dir: &Path) -> Result<Vec<Self>, SpoolError> {
        let acks = Self::dir(dir);
        let entries = match fs::read_dir(&acks) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(SpoolError::io(acks)(e)),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let Some(reader) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if Self::check_name(&reader).is_err() {
                continue;
            }
            let beat = entry.metadata().and_then(|meta| meta.modified()).ok();
            found.push(Self {
                position: Self::read(dir, &reader),
                reader,
                beat,
            });
        }
        Ok(found)
    }

    /// How long ago it was alive, as far as today's clock tells.
    pub(crate) fn age(&self) -> Duration {
        self.beat
            .and_then(|at| SystemTime::now().duration_since(at).ok())
            .unwrap_or_default()
    }
}
