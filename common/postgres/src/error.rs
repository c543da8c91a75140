//! What can go wrong with a database.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// Errors of connections and migrations.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("database: {}", describe(.0))]
    Database(#[source] tokio_postgres::Error),
    #[error(
        "TLS to the database: {0}; with the sslmode of database_url the server's certificate must be valid today (look at both clocks), \
         signed by what sslrootcert names and, with verify-full, made for the URL's host; one in sslcert must be valid too"
    )]
    Certificate(String),
    #[error(
        "database: {}; the role in database_url can't lay out schema {schema}: it must own it, or be allowed to make it (GRANT CREATE ON \
         DATABASE … TO …)", describe(.error)
    )]
    Rights {
        schema: &'static str,
        #[source]
        error: tokio_postgres::Error,
    },
    #[error("database URL: {0}")]
    Url(String),
    #[error("TLS to the database: {0}")]
    Tls(String),
    #[error("database: no answer in {} s", .0.as_secs())]
    NoAnswer(Duration),
    #[error(
        "migration {name} was changed after it had been applied: restore the file, or use a new database"
    )]
    MigrationChanged { name: String },
    #[error("the database has migration {name}, which this build does not know: use a newer build")]
    MigrationUnknown { name: String },
    #[error("connection pool: {0}")]
    Pool(String),
}

/// The only traces that TLS leaves of a refused certificate, the server's or ours, below several layers of boxed errors.
const REFUSED: [&str; 4] = [
    "invalid peer certificate",
    "fatal alert: Certificate",
    "fatal alert: BadCertificate",
    "fatal alert: UnknownCA",
];

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        let said = describe(&error);
        match error.code().is_none() && REFUSED.iter().any(|trace| said.contains(trace)) {
            true => Self::Certificate(said),
            false => Self::Database(error),
        }
    }
}

impl PostgresError {
    /// The server takes no writes: it is a standby, or the primary that was before a failover.
    pub fn is_read_only(&self) -> bool {
        self.sqlstate() == Some("25006")
    }

    /// Of laying a schema out.
    pub(crate) fn laying_out(self, schema: &'static str) -> Self {
        match self {
            Self::Database(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                Self::Rights { schema, error }
            }
            other => other,
        }
    }

    /// The server's code for what it refused, if it was the server.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) | Self::Rights { error, .. } => {
                error.code().map(|code| code.code())
            }
            _ => None,
        }
    }
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
