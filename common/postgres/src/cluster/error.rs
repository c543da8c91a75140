//! Why a private cluster can't be had.

use std::{io, path::PathBuf};

use super::config::OLDEST_VERSION;

/// Why a private cluster can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No server binaries.
    #[error(
        "no PostgreSQL {OLDEST_VERSION} or later found under /usr/lib/postgresql or on PATH: install it (Debian, Ubuntu: \
         `apt-get install postgresql`), or name a database by URL"
    )]
    NotFound,
    /// The data directory was made by another release.
    #[error(
        "{dir} was made by PostgreSQL {version}, whose binaries are not here: install postgresql-{version}, or remove the \
         directory (the index can be rebuilt from the chain's archive only while it exists)"
    )]
    Version { dir: PathBuf, version: u32 },
    /// No user to drop to.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as: add one"
    )]
    NoUser,
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The socket's path is too long.
    #[error("socket path {0} is longer than 107 bytes: set XDG_RUNTIME_DIR to a shorter directory")]
    SocketPath(PathBuf),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Failed {
        program: &'static str,
        output: String,
    },
    /// The server ended or did not answer.
    #[error("PostgreSQL did not start: {reason}; its log is {log}:\n{tail}")]
    Start {
        reason: String,
        log: PathBuf,
        tail: String,
    },
    /// SQL on the fresh server failed.
    #[error("preparing the database: {0}")]
    Sql(#[from] tokio_postgres::Error),
}

/// The error of a file operation on `path`.
pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.into();
    move |source| ClusterError::Io { path, source }
}
