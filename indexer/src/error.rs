//! What can go wrong, and whether it can be waited out.

use mythic_postgres::PostgresError;
use mythic_stream::spool::SpoolError;

use crate::rpc::RpcError;

/// Errors of the indexer.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    #[error(transparent)]
    Database(#[from] PostgresError),
    #[error("spool: {0}")]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("another indexer took over (lease epoch is not {epoch} any more)")]
    LeaseLost { epoch: i64 },
    #[error("another indexer ({holder}) holds the lease")]
    LeaseHeld { holder: String },
    #[error("position of reader {reader} was moved by someone else")]
    PositionMoved { reader: String },
    #[error(
        "the database belongs to the chain with genesis {database}, what is followed to {spool}: use another database, or start over with --reset"
    )]
    OtherChain { database: String, spool: String },
    #[error("{0} (a bug: please report it)")]
    Broken(String),
    #[error("configuration: {0}")]
    Config(String),
    #[error("export: {0}")]
    Export(String),
    #[error("stopped by a test")]
    #[cfg(test)]
    Injected,
}

impl From<tokio_postgres::Error> for IndexerError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl IndexerError {
    /// The database refused the content of a row (SQLSTATE classes 22 and 23, and 54: too large).
    pub fn is_data(&self) -> bool {
        self.in_class(&["22", "23", "54"])
    }

    /// Trying again can't help.
    pub fn is_fatal(&self) -> bool {
        match self {
            // A server that restarts, a lost connection, a full disk pass; wrong SQL, data or settings don't.
            Self::Database(
                PostgresError::Url(_)
                | PostgresError::Tls(_)
                | PostgresError::MigrationChanged { .. }
                | PostgresError::MigrationUnknown { .. },
            ) => true,
            Self::Database(_) => self.in_class(&["22", "23", "42", "54", "0A", "3D", "28"]),
            Self::Spool(e) => matches!(e, SpoolError::Shared { .. } | SpoolError::BadName(_)),
            Self::Rpc(_)
            | Self::LeaseLost { .. }
            | Self::LeaseHeld { .. }
            | Self::PositionMoved { .. } => false,
            _ => true,
        }
    }

    /// The database refused something with a code of one of these classes.
    fn in_class(&self, classes: &[&str]) -> bool {
        match self {
            Self::Database(e) => {
                let class = e.sqlstate().and_then(|code| code.get(..2));
                class.is_some_and(|class| classes.contains(&class))
            }
            _ => false,
        }
    }
}
