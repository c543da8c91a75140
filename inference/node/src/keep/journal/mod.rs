//! The node's journal: what was accepted, prepared, finished and submitted, so that a kill at any moment loses no job.
//!
//! An append-only file: [`frames::MAGIC`], then frames `len u32 | crc32c(len, JSON) u32 | JSON`, little-endian. A write that was cut off is
//! cut when the file is opened; a damaged record in the middle costs itself alone, and is named. Opening rewrites the file with
//! what is still alive, and reads files of the first format, whose checksums are of the JSON alone.

mod frames;
mod record;

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use mythic_support::files;
use parking_lot::{RwLock, RwLockReadGuard};

use frames::{MAGIC, TooLong, frame, read};

pub use record::{JobRecord, JournalState, Money, Prompt, Record};

/// The file is rewritten when it has grown to this many bytes and mostly holds jobs that are over.
const COMPACT_AT: u64 = 32 << 20;
const FILE: &str = "journal";

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("journal {path}: {source}")]
    Io {
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// Another node uses the directory.
    #[error("{path} is locked: another node runs with this data directory")]
    Locked { path: PathBuf },
}

/// The open journal. Holds the data directory's lock.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    compact_at: u64,
    state: Arc<RwLock<JournalState>>,
    _lock: File,
}

impl Journal {
    /// Opens or makes the journal in `dir`, leaves out what is damaged and rewrites the file with what is alive.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        files::private_dir(dir).map_err(io)?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io)?;
        lock.try_lock()
            .map_err(|_| JournalError::Locked { path: lock_path })?;
        let state = match fs::read(&path) {
            Ok(bytes) => {
                let read = read(&bytes);
                read.report(&path);
                if !read.damage.is_empty() {
                    // For whoever wants to look at what was lost.
                    let copy = dir.join("journal.damaged");
                    files::create_private(&copy)
                        .and_then(|mut file| file.write_all(&bytes))
                        .map_err(io)?;
                }
                read.state
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => JournalState::default(),
            Err(error) => return Err(io(error)),
        };
        let new = rewrite(dir, &path, &state)?;
        if let Some(source) = new.unsure {
            return Err(io(source));
        }
        Ok(Self {
            path,
            file: new.file,
            bytes: new.bytes,
            compact_at: COMPACT_AT.max(new.bytes * 2),
            state: Arc::new(RwLock::new(state)),
            _lock: lock,
        })
    }

    /// What the journal says now.
    pub fn state(&self) -> RwLockReadGuard<'_, JournalState> {
        self.state.read()
    }

    /// Where what it says can be read while it is written.
    pub fn shared(&self) -> Arc<RwLock<JournalState>> {
        self.state.clone()
    }

    /// Appends a record and waits until it is on disk.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.append_soft(record)?;
        self.sync()
    }

    /// Waits until everything is on disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Appends a record; it survives the death of the process, not of the machine.
    pub fn append_soft(&mut self, record: &Record) -> Result<(), JournalError> {
        let frame = frame(record)?;
        if let Err(source) = self.file.write_all(&frame) {
            // Half a frame must not stay in the middle: back to where it began.
            let _ = self.file.set_len(self.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.bytes));
            return Err(JournalError::Io {
                path: self.path.clone(),
                source,
            });
        }
        self.bytes += frame.len() as u64;
        self.state.write().apply(record);
        if self.bytes > self.compact_at {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), JournalError> {
        let Some(dir) = self.path.parent() else {
            return Ok(());
        };
        let new = rewrite(dir, &self.path, &self.state.read())?;
        // From here on the old file has no name: what is written goes into the new one, whatever else fails.
        self.file = new.file;
        self.bytes = new.bytes;
        self.compact_at = COMPACT_AT.max(new.bytes * 2);
        match new.unsure {
            None => Ok(()),
            Some(source) => Err(JournalError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

/// A file that was written anew and has the journal's name.
struct New {
    file: File,
    bytes: u64,
    /// The directory could not be brought to disk: after a power cut the old file may be back.
    unsure: Option<std::io::Error>,
}

fn rewrite(dir: &Path, path: &Path, state: &JournalState) -> Result<New, JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_path_buf(),
        source,
    };
    let fresh = dir.join("journal.new");
    let mut bytes = MAGIC.len() as u64;
    let mut file = files::create_private(&fresh).map_err(io)?;
    file.write_all(MAGIC).map_err(io)?;
    for record in state.records() {
        let frame = frame(&record)?;
        file.write_all(&frame).map_err(io)?;
        bytes += frame.len() as u64;
    }
    file.sync_all().map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    let unsure = File::open(dir).and_then(|d| d.sync_all()).err();
    Ok(New {
        file,
        bytes,
        unsure,
    })
}
