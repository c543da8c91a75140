//! What can go wrong, and whether it can be waited out.

use mythic_kafka::BrokerError;
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
    Kafka(#[from] BrokerError),
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
    #[error("archive: {0}")]
    Archive(String),
    #[error("the archive's partition of epoch {0} is on its way out: a late block of it waits")]
    PartitionBusy(i64),
    #[error("stopped by a test")]
    #[cfg(test)]
    Injected,
}

impl From<tokio_postgres::Error> for IndexerError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// What holds the indexer up, in one word: the same in `/health`, the log, `pipeline.heartbeat` and the operator's guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    DatabaseAway,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseRefuses,
    DatabaseVersion,
    SpoolUnreadable,
    SpoolShared,
    /// In the word that says what is wrong with the brokers.
    Kafka(mythic_kafka::Trouble),
    RpcAway,
    RpcRefuses,
    RpcClaim,
    LeaseHeld,
    LeaseLost,
    PositionMoved,
    OtherChain,
    Configuration,
    Export,
    Archive,
    PartitionBusy,
    Broken,
}

impl Trouble {
    /// All but those of Kafka, which are [`mythic_kafka::Trouble::ALL`].
    pub const ALL: [Trouble; 19] = [
        Trouble::DatabaseAway,
        Trouble::DatabaseFull,
        Trouble::DatabaseReadOnly,
        Trouble::DatabaseRefuses,
        Trouble::DatabaseVersion,
        Trouble::SpoolUnreadable,
        Trouble::SpoolShared,
        Trouble::RpcAway,
        Trouble::RpcRefuses,
        Trouble::RpcClaim,
        Trouble::LeaseHeld,
        Trouble::LeaseLost,
        Trouble::PositionMoved,
        Trouble::OtherChain,
        Trouble::Configuration,
        Trouble::Export,
        Trouble::Archive,
        Trouble::PartitionBusy,
        Trouble::Broken,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Trouble::DatabaseAway => "database_away",
            Trouble::DatabaseFull => "database_full",
            Trouble::DatabaseReadOnly => "database_read_only",
            Trouble::DatabaseRefuses => "database_refuses",
            Trouble::DatabaseVersion => "database_version",
            Trouble::SpoolUnreadable => "spool_unreadable",
            Trouble::SpoolShared => "spool_shared",
            Trouble::Kafka(trouble) => trouble.as_str(),
            Trouble::RpcAway => "rpc_away",
            Trouble::RpcRefuses => "rpc_refuses",
            Trouble::RpcClaim => "rpc_claim",
            Trouble::LeaseHeld => "lease_held",
            Trouble::LeaseLost => "lease_lost",
            Trouble::PositionMoved => "position_moved",
            Trouble::OtherChain => "other_chain",
            Trouble::Configuration => "configuration",
            Trouble::Export => "export",
            Trouble::Archive => "archive",
            Trouble::PartitionBusy => "partition_busy",
            Trouble::Broken => "broken",
        }
    }
}

impl IndexerError {
    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Database(
                PostgresError::MigrationChanged { .. } | PostgresError::MigrationUnknown { .. },
            ) => Trouble::DatabaseVersion,
            // A certificate is renewed without a restart of ours, so it is waited for.
            Self::Database(PostgresError::Certificate(_)) => Trouble::DatabaseRefuses,
            Self::Database(_) if self.is_fatal() || self.is_data() => Trouble::DatabaseRefuses,
            Self::Database(e) if e.is_read_only() => Trouble::DatabaseReadOnly,
            // Disk, memory or connections are used up.
            Self::Database(_) if self.in_class(&["53"]) => Trouble::DatabaseFull,
            Self::Database(_) => Trouble::DatabaseAway,
            Self::Spool(SpoolError::Shared { .. }) => Trouble::SpoolShared,
            Self::Spool(SpoolError::BadName(_)) | Self::Config(_) => Trouble::Configuration,
            Self::Spool(_) => Trouble::SpoolUnreadable,
            Self::Kafka(e) => Trouble::Kafka(e.trouble),
            Self::Rpc(
                RpcError::Unreachable { .. } | RpcError::Busy { .. } | RpcError::Behind { .. },
            ) => Trouble::RpcAway,
            Self::Rpc(
                RpcError::Http { .. }
                | RpcError::Refused { .. }
                | RpcError::TooLong { .. }
                | RpcError::TooMuch { .. },
            ) => Trouble::RpcRefuses,
            Self::Rpc(RpcError::Claim { .. }) => Trouble::RpcClaim,
            Self::LeaseLost { .. } => Trouble::LeaseLost,
            Self::LeaseHeld { .. } => Trouble::LeaseHeld,
            Self::PositionMoved { .. } => Trouble::PositionMoved,
            Self::OtherChain { .. } => Trouble::OtherChain,
            Self::Export(_) => Trouble::Export,
            Self::Archive(_) => Trouble::Archive,
            Self::PartitionBusy(_) => Trouble::PartitionBusy,
            Self::Broken(_) => Trouble::Broken,
            #[cfg(test)]
            Self::Injected => Trouble::Broken,
        }
    }

    /// The database refused the content of a row (SQLSTATE classes 22 and 23, and 54: too large).
    pub fn is_data(&self) -> bool {
        self.in_class(&["22", "23", "54"])
    }

    /// Somebody holds what a statement wanted to have, or for longer than it waits.
    pub fn is_busy(&self) -> bool {
        self.has_code(&["55P03", "57014", "55000"])
    }

    /// A table was taken away, or put in place, by somebody else at the same time.
    pub(crate) fn is_gone(&self) -> bool {
        self.has_code(&["42P01", "42P07", "42809", "55000"])
    }

    /// The archive has no partition for a row.
    pub(crate) fn lacks_partition(&self) -> bool {
        match self {
            Self::Database(e) => {
                e.sqlstate().is_some_and(|code| code == "23514")
                    && self.to_string().contains("no partition of relation")
            }
            _ => false,
        }
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        match self {
            Self::Database(e) => e.sqlstate().is_some_and(|code| codes.contains(&code)),
            _ => false,
        }
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
            | Self::Kafka(_)
            | Self::LeaseLost { .. }
            | Self::LeaseHeld { .. }
            | Self::PositionMoved { .. }
            | Self::PartitionBusy(_) => false,
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
