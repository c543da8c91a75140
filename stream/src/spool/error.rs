//! What can go wrong with a spool.

use std::{io, path::PathBuf};

use super::position::{MAX_PAYLOAD, Position};

/// What can go wrong with a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The operating system refused. A full disk arrives here too.
    #[error("spool {path}: {source}")]
    Io {
        /// File or directory concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes this spool.
    #[error("spool {0} is being written by another process: stop it or choose another spool_dir")]
    Locked(PathBuf),
    /// The byte bound is reached and no segment may be deleted.
    #[error(
        "spool is full: {bytes} of {max_bytes} bytes; a reader must catch up, or raise spool_max_bytes"
    )]
    Full {
        /// Bytes held.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// The start-up accounts of a run fill their own bound.
    #[error(
        "start-up accounts fill the spool: {bytes} of {max_bytes} bytes; a reader must catch up, or raise startup_max_bytes"
    )]
    StartupFull {
        /// Bytes that they take.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// An envelope larger than a frame may be.
    #[error("envelope of {0} bytes is larger than a spool frame ({MAX_PAYLOAD} bytes)")]
    TooLarge(usize),
    /// The directory holds other things than a spool, and is open to others.
    #[error(
        "spool directory {path} has mode {mode:o} and holds {stranger:?}, which is no spool's: give the spool a directory of its own, or run `chmod 700 {path}`"
    )]
    Shared {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// A name in it.
        stranger: String,
    },
    /// The position asked for is not in the spool (any more): what lies between it and `oldest` is
    /// a gap for this reader.
    #[error("spool position {wanted:?} is gone; the oldest left is {oldest:?}")]
    Lost {
        /// Where the reader wanted to go on.
        wanted: Position,
        /// Where it can, if anywhere.
        oldest: Option<Position>,
    },
    /// A reader's name that can't be a file name.
    #[error("reader name {0:?} is not allowed: use 1 to 64 of a-z, 0-9, - and _")]
    BadName(String),
}

impl SpoolError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
