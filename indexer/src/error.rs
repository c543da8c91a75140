//! What can go wrong, and whether it can be waited out.

/// Errors of the indexer.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    #[error("database: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error("spool: {0}")]
    Spool(#[from] mythic_stream::spool::SpoolError),
    #[error("another indexer took over (lease epoch is not {epoch} any more)")]
    LeaseLost { epoch: i64 },
    #[error("another indexer ({holder}) holds the lease")]
    LeaseHeld { holder: String },
    #[error("position of reader {reader} was moved by someone else")]
    PositionMoved { reader: String },
    #[error(
        "the database belongs to the chain with genesis {database}, the spool to {spool}: use another database, or start over with --reset"
    )]
    OtherChain { database: String, spool: String },
    #[error(
        "migration {name} was changed after it had been applied: restore the file, or use a new database"
    )]
    MigrationChanged { name: String },
    #[error("the database has migration {name}, which this build does not know: use a newer build")]
    MigrationUnknown { name: String },
    #[error("{0} (a bug: please report it)")]
    Broken(String),
    #[error("configuration: {0}")]
    Config(String),
    #[error("listening on {addr}: {source}")]
    Listen {
        addr: std::net::SocketAddr,
        source: std::io::Error,
    },
    #[error("stopped by a test")]
    #[cfg(test)]
    Injected,
}

/// Postgres' own message with its code; the library's text hides it.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            text
        }
    }
}

impl IndexerError {
    /// The database refused the content of a row (SQLSTATE classes 22 and 23, and 54: too large).
    pub fn is_data(&self) -> bool {
        match self {
            Self::Database(e) => e
                .code()
                .is_some_and(|c| ["22", "23", "54"].contains(&&c.code()[..2])),
            _ => false,
        }
    }

    /// Trying again can't help.
    pub fn is_fatal(&self) -> bool {
        match self {
            // A server that restarts, a lost connection, a full disk pass; wrong SQL or data doesn't.
            Self::Database(e) => e.code().is_some_and(|c| {
                ["22", "23", "42", "54", "0A", "3D", "28"].contains(&&c.code()[..2])
            }),
            Self::Spool(e) => matches!(
                e,
                mythic_stream::spool::SpoolError::Corrupt { .. }
                    | mythic_stream::spool::SpoolError::BadName(_)
            ),
            Self::LeaseLost { .. } | Self::LeaseHeld { .. } | Self::PositionMoved { .. } => false,
            _ => true,
        }
    }
}
