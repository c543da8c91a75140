//! What can go wrong with a database.

use std::time::Duration;

/// Errors of connections and migrations.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("database: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
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

impl PostgresError {
    /// The server's code for what it refused, if it was the server.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(|code| code.code()),
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
