//! Applies the files of an owner in order, each once, and remembers them in the owner's own schema (`SCHEMA.migration`), so
//! that a backup of that schema is whole.
//!
//! A file whose first line is `-- run: SCOPE` is run with a search path that names the schema which the owner's
//! [`Owner::scoped_schema`] query gives. Files of a scope that the owner calls repeatable come after all others, and a changed
//! one is applied again with those behind it; any other changed file is refused.

use std::{collections::HashSet, time::Duration};

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::{Manner, PostgresError, connect};

/// Key of the advisory lock that lets one process migrate at a time.
const LOCK: i64 = 0x6d_7974_6869_6301;
/// Longest wait for another process' migration.
const LOCK_PATIENCE: &str = "SET lock_timeout = '10min'";

/// A file of SQL.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its name, `NNNN_words.sql`.
    pub name: &'static str,
    pub sql: &'static str,
}

impl Migration {
    /// What its first line says after `-- run: `.
    pub fn scope(&self) -> Option<&'static str> {
        self.sql.lines().next()?.trim().strip_prefix("-- run: ")
    }
}

/// A file that was applied under another name, by another owner, before this one had a list of its own.
#[derive(Clone, Copy, Debug)]
pub struct Former {
    /// Schema whose list names it.
    pub schema: &'static str,
    /// The name in that list.
    pub name: &'static str,
    /// What it is called here.
    pub now: &'static str,
}

/// Whose files they are.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Schema of the list of applied files; made if it is missing.
    pub schema: &'static str,
    /// All files, in order.
    pub files: &'static [Migration],
    /// Files that were somebody else's.
    pub former: &'static [Former],
    /// Names in this list that are somebody else's now, or another file's.
    pub left: &'static [&'static str],
    /// Scopes whose files may change, and which need what all other files made.
    pub repeatable: &'static [&'static str],
    /// Query for the schema in which scoped files run, once the first file is applied.
    pub scoped_schema: &'static str,
}

/// Lists the files of a folder, relative to the manifest of the crate that names them, in the order to apply them.
#[macro_export]
macro_rules! migrations {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$($crate::Migration {
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $name)),
        }),+]
    };
}

fn digest(sql: &str) -> Vec<u8> {
    Sha256::digest(sql).to_vec()
}

/// Brings the database up to this build's files. Safe to run at every start and from several processes.
pub async fn migrate(url: &str, owner: &Owner) -> Result<(), PostgresError> {
    let laid_out = lay_out(url, owner).await;
    laid_out.map_err(|error| error.laying_out(owner.schema))
}

async fn lay_out(url: &str, owner: &Owner) -> Result<(), PostgresError> {
    let manner = Manner::named("mythic migrate").statement_timeout(Duration::ZERO);
    let (client, _guard) = connect(url, &manner).await?;
    client.batch_execute(LOCK_PATIENCE).await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK])
        .await?;
    let schema = owner.schema;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS {schema}.migration (
                 name text PRIMARY KEY, sha256 bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        ))
        .await?;
    adopt(&client, owner).await?;
    let current = current(&client, owner).await?;
    let repeatable = |m: &&Migration| m.scope().is_some_and(|s| owner.repeatable.contains(&s));
    let once = owner.files.iter().filter(|m| !repeatable(m));
    let in_order = once.chain(owner.files.iter().filter(repeatable));
    // What a repeatable file makes, one behind it may make anew: they follow when one is applied again.
    let mut again = false;
    for migration in in_order {
        if current.contains(migration.name) && !(again && repeatable(&migration)) {
            continue;
        }
        again |= repeatable(&migration);
        client.batch_execute("BEGIN").await?;
        if migration.scope().is_some() {
            let scoped: String = client.query_one(owner.scoped_schema, &[]).await?.get(0);
            client
                .batch_execute(&format!(
                    "CREATE SCHEMA IF NOT EXISTS {scoped}; SET LOCAL search_path = {scoped}, public"
                ))
                .await?;
        }
        client.batch_execute(migration.sql).await?;
        client
            .execute(
                &format!(
                    "INSERT INTO {schema}.migration (name, sha256) VALUES ($1, $2)
                     ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = now()"
                ),
                &[&migration.name, &digest(migration.sql)],
            )
            .await?;
        client.batch_execute("COMMIT").await?;
        tracing::info!(owner = schema, migration = migration.name, "applied");
    }
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await?;
    Ok(())
}

/// Takes over what another owner's list says was applied.
async fn adopt(client: &Client, owner: &Owner) -> Result<(), PostgresError> {
    for former in owner.former {
        let Some(file) = owner.files.iter().find(|m| m.name == former.now) else {
            continue;
        };
        let list = format!("{}.migration", former.schema);
        let there = client
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&list])
            .await?;
        if there.get(0) {
            client
                .execute(
                    &format!(
                        "INSERT INTO {}.migration (name, sha256, applied_at)
                         SELECT $1, $2, applied_at FROM {list} WHERE name = $3 ON CONFLICT DO NOTHING",
                        owner.schema
                    ),
                    &[&file.name, &digest(file.sql), &former.name],
                )
                .await?;
        }
    }
    Ok(())
}

/// Names of the files that are applied as they are.
async fn current(client: &Client, owner: &Owner) -> Result<HashSet<&'static str>, PostgresError> {
    let applied = client
        .query(
            &format!("SELECT name, sha256 FROM {}.migration", owner.schema),
            &[],
        )
        .await?;
    let mut current = HashSet::new();
    for row in &applied {
        let name: &str = row.get(0);
        if owner.left.contains(&name) {
            continue;
        }
        let Some(known) = owner.files.iter().find(|m| m.name == name) else {
            return Err(PostgresError::MigrationUnknown { name: name.into() });
        };
        if row.get::<_, &[u8]>(1) == digest(known.sql) {
            current.insert(known.name);
        } else if !known.scope().is_some_and(|s| owner.repeatable.contains(&s)) {
            return Err(PostgresError::MigrationChanged { name: name.into() });
        }
    }
    Ok(current)
}
