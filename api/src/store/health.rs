//! How index, alarms and settler are doing, as the database says.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;
use utoipa::ToSchema;

use super::Pool;

/// Where the index stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct IndexStatus {
    pub processed_slot: Option<u64>,
    confirmed_slot: Option<u64>,
    finalized_slot: Option<u64>,
    /// Last commit of the indexer.
    committed_at: Option<String>,
    /// Ranges of slots that are missing.
    pub gaps_open: Option<u64>,
    inexact_through: Option<i64>,
    dead_letters: Option<u64>,
    quarantined: Option<u64>,
    /// Open alarms.
    alarms: Option<u64>,
    feed_seq: Option<i64>,
    feed_oldest: Option<i64>,
    genesis_hash: Option<String>,
    /// Seconds since `committed_at`.
    pub silent_seconds: Option<i64>,
    /// What the indexer waits for: the word that the operator's guide explains, a colon, the message. Null while it works.
    pub waits_for: Option<String>,
    /// Seconds since the indexer said that it lives.
    pub beat_seconds: Option<i64>,
}

/// Open alarms of a kind.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AlarmKind {
    kind: String,
    open: i64,
    since: String,
    newest: Option<String>,
    newest_at: Option<String>,
    clears_itself: Option<bool>,
}

/// A comparison of the index with the chain.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reconciliation {
    pub ok: bool,
    context_slot: i64,
    accounts: i64,
    differing: i64,
    confirmed: i64,
    unbacked: i64,
    inexact: i64,
    /// Lamports that accounts store, by kind.
    stored_on_chain: HashMap<String, Value>,
    /// The same, as the index has it.
    stored_in_index: HashMap<String, Value>,
    /// What differs, for people.
    details: Value,
    checked_at: String,
    /// Seconds since `checked_at`.
    #[serde(default)]
    pub silent_seconds: Option<i64>,
}

async fn row<T: serde::de::DeserializeOwned>(client: &Client, sql: &str) -> Result<T, String> {
    let row = client
        .query_one(sql, &[])
        .await
        .map_err(|error| error.to_string())?;
    serde_json::from_value(row.get(0)).map_err(|error| error.to_string())
}

async fn reconciliation(client: &Client) -> Result<Option<Reconciliation>, String> {
    let exists = client
        .query_one(
            "SELECT to_regclass('settler.reconciliation') IS NOT NULL",
            &[],
        )
        .await
        .map_err(|error| error.to_string())?;
    if !exists.get::<_, bool>(0) {
        return Ok(None);
    }
    row(
        client,
        "SELECT COALESCE((SELECT to_jsonb(r) || jsonb_build_object('silent_seconds', extract(epoch FROM now() - checked_at)::bigint)
           FROM settler.reconciliation r LIMIT 1), 'null')",
    )
    .await
}

/// What the settler last said of itself; empty before it ever ran.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SettlerBeat {
    /// What it waits for: the word that the operator's guide explains, a colon, the message. Null while it works.
    pub waits_for: Option<String>,
    /// Seconds since it said that it lives.
    pub beat_seconds: Option<i64>,
}

/// What the database says, over one connection.
pub struct Stored {
    pub index: Result<IndexStatus, String>,
    pub settler: Result<SettlerBeat, String>,
    pub alarms: Result<Vec<AlarmKind>, String>,
    pub reconciliation: Result<Option<Reconciliation>, String>,
}

/// Asks for all of it at once; an error means that the database itself is away, or takes no writes.
pub async fn stored(pool: &Pool) -> Result<Stored, String> {
    let client = pool.get().await.map_err(|error| error.to_string())?;
    let writes = "SELECT current_setting('transaction_read_only') = 'off'";
    let writes = client.query_one(writes, &[]).await;
    if !writes.map_err(|error| error.to_string())?.get::<_, bool>(0) {
        // The primary may be elsewhere by now: what connects anew asks where the URL leads.
        drop(deadpool_postgres::Client::take(client));
        pool.retain(|_, _| false);
        return Err(
            "it takes no writes: database_url leads to a standby, let it lead to the primary"
                .into(),
        );
    }
    let (index, settler, alarms, reconciliation) = tokio::join!(
        row(
            &client,
            "SELECT to_jsonb(s) || jsonb_build_object('silent_seconds', extract(epoch FROM now() - committed_at)::bigint,
                    'waits_for', h.error, 'beat_seconds', extract(epoch FROM now() - h.beat_at)::bigint)
               FROM analytics.pipeline_status s LEFT JOIN pipeline.heartbeat h ON h.process = 'indexer'",
        ),
        row(
            &client,
            "SELECT COALESCE((SELECT jsonb_build_object('waits_for', error, 'beat_seconds', extract(epoch FROM now() - beat_at)::bigint)
               FROM pipeline.heartbeat WHERE process = 'settler'), '{}')",
        ),
        row(
            &client,
            "SELECT COALESCE(jsonb_agg(to_jsonb(k) ORDER BY k.since), '[]') FROM (
                 SELECT kind, count(*) AS open, min(since) AS since, (array_agg(detail ORDER BY newest_at DESC, id DESC))[1] AS newest,
                        max(newest_at) AS newest_at, bool_and(clears_itself) AS clears_itself
                   FROM analytics.alarms WHERE cleared_at IS NULL GROUP BY kind) k",
        ),
        reconciliation(&client),
    );
    Ok(Stored {
        index,
        settler,
        alarms,
        reconciliation,
    })
}

/// Whether the database answers.
pub async fn answers(pool: &Pool) -> Result<(), String> {
    let client = pool.get().await.map_err(|error| error.to_string())?;
    let answer = client.simple_query("SELECT 1").await;
    answer.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mythic_postgres::{Cluster, ClusterConfig, PoolSettings, pool};

    use super::*;

    #[tokio::test]
    async fn a_pool_leaves_a_standby_with_all_its_connections() {
        let dir = tempfile::tempdir().unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config).await.unwrap();
        let settings = PoolSettings {
            name: "standby".into(),
            size: 2,
            wait: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(10),
        };
        let other = pool(cluster.url(), &settings).unwrap();
        let primary = other.get().await.unwrap();
        let pool = pool(cluster.url(), &settings).unwrap();
        // What is connected now takes no writes, as a standby; what connects later does.
        let standby = "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on";
        primary.batch_execute(standby).await.unwrap();
        let both = [pool.get().await.unwrap(), pool.get().await.unwrap()];
        drop(both);
        let moved = "ALTER ROLE CURRENT_USER RESET default_transaction_read_only";
        primary.batch_execute(moved).await.unwrap();
        let refused = stored(&pool).await;
        assert!(refused.is_err_and(|error| error.contains("standby")));
        assert_eq!(pool.status().size, 0);
        assert!(stored(&pool).await.is_ok());
    }
}
