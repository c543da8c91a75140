//! Applies sql/migrations in order, each once. A file whose first line is `-- run: projection` or
//! `-- run: views` is written for a search_path that names the projection's schema; a rebuild runs these again
//! for its shadow schema. Views hold nothing, so a changed file of them is applied again.

use std::collections::HashSet;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::db;
use crate::error::IndexerError;

#[derive(Debug)]
pub(crate) struct Migration {
    pub name: &'static str,
    pub sql: &'static str,
}

static MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Key of the advisory lock that lets one process migrate at a time.
const LOCK: i64 = 0x6d_7974_6869_6301;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Once,
    Projection,
    Views,
}

impl Migration {
    pub(crate) fn scope(&self) -> Scope {
        match self.sql.lines().next().map(str::trim) {
            Some("-- run: projection") => Scope::Projection,
            Some("-- run: views") => Scope::Views,
            _ => Scope::Once,
        }
    }
}

/// Brings the database up to this build's schema. Safe to run at every start and from several processes.
pub async fn migrate(database_url: &str) -> Result<(), IndexerError> {
    let (client, _guard) = db::connect(database_url, "mythic migrate").await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await?;
    client
        .batch_execute(
            "CREATE SCHEMA IF NOT EXISTS pipeline;
             CREATE TABLE IF NOT EXISTS pipeline.migration (
                 name text PRIMARY KEY, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let applied = client
        .query(
            "SELECT name, sha256 FROM pipeline.migration WHERE name < '0500'",
            &[],
        )
        .await?;
    let mut current: HashSet<&str> = HashSet::new();
    for row in &applied {
        let name: &str = row.get(0);
        let Some(known) = MIGRATIONS.iter().find(|m| m.name == name) else {
            return Err(IndexerError::MigrationUnknown {
                name: name.to_owned(),
            });
        };
        if row.get::<_, &[u8]>(1) == Sha256::digest(known.sql).as_slice() {
            current.insert(known.name);
        } else if known.scope() != Scope::Views {
            return Err(IndexerError::MigrationChanged {
                name: name.to_owned(),
            });
        }
    }
    for migration in MIGRATIONS.iter().filter(|m| !current.contains(m.name)) {
        client.batch_execute("BEGIN").await?;
        if migration.scope() != Scope::Once {
            let schema: String = client
                .query_one("SELECT projection FROM pipeline.lease", &[])
                .await?
                .get(0);
            client
                .batch_execute(&format!(
                    "CREATE SCHEMA IF NOT EXISTS {schema}; SET LOCAL search_path = {schema}, public"
                ))
                .await?;
        }
        client.batch_execute(migration.sql).await?;
        client
            .execute(
                "INSERT INTO pipeline.migration (name, sha256) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = now()",
                &[&migration.name, &Sha256::digest(migration.sql).as_slice()],
            )
            .await?;
        client.batch_execute("COMMIT").await?;
        tracing::info!(migration = migration.name, "applied");
    }
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    Ok(())
}

/// Runs the files of one scope for a schema, inside the caller's transaction.
pub(crate) async fn run_scope(
    client: &Client,
    scope: Scope,
    schema: &str,
) -> Result<(), IndexerError> {
    client
        .batch_execute(&format!("SET LOCAL search_path = {schema}, public"))
        .await?;
    for migration in MIGRATIONS.iter().filter(|m| m.scope() == scope) {
        client.batch_execute(migration.sql).await?;
    }
    client
        .batch_execute("SET LOCAL search_path = DEFAULT")
        .await?;
    Ok(())
}
