//! Reading the index and writing the settler's findings.

use mythic_postgres::PostgresError;
use serde_json::json;
use solana_pubkey::Pubkey;
use tokio_postgres::{Client, Row, types::ToSql};

use crate::reconcile::{Difference, IndexRow, Kind, Reconciliation};

/// Candidates taken in one look.
const PAGE: i64 = 2000;
/// Of cases and posted output, which are large accounts.
const COURT_PAGE: i64 = 200;
/// Differences that are kept with a result.
const DETAILS: usize = 20;

/// The kind under which differences are raised as alarms.
const ALARM: &str = "reconciliation";

/// Why the index can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("a key of {0} bytes in the index")]
    Key(usize),
}

impl From<tokio_postgres::Error> for IndexError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}

fn key(row: &Row, column: usize) -> Result<Pubkey, IndexError> {
    let bytes: &[u8] = row.try_get(column)?;
    Pubkey::try_from(bytes).map_err(|_| IndexError::Key(bytes.len()))
}

fn unsigned(row: &Row, column: usize) -> Result<u64, IndexError> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The index's root and whether gaps are open; `None` before its first root.
pub(crate) async fn root(client: &Client) -> Result<Option<(u64, bool)>, IndexError> {
    let row = client
        .query_one(
            "SELECT finalized_slot, gaps_open > 0 FROM analytics.pipeline_status",
            &[],
        )
        .await?;
    let slot: Option<i64> = row.try_get(0)?;
    let gaps: bool = row.try_get(1)?;
    Ok(slot.map(|slot| (u64::try_from(slot).unwrap_or(0), gaps)))
}

async fn keys(
    client: &Client,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Pubkey>, IndexError> {
    client
        .query(sql, params)
        .await?
        .iter()
        .map(|row| key(row, 0))
        .collect()
}

/// Jobs that may be claimed or expired at `now`.
pub(crate) async fn running_jobs(client: &Client, now: u64) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM analytics.jobs_finalized
         WHERE ended_slot IS NULL AND CASE WHEN submitted_slot IS NULL THEN deadline_slot <= $1 OR cancel_slot <= $1
                                           ELSE window_end_slot <= $1 AND disputed_slot IS NULL END
         ORDER BY requested_slot LIMIT $2",
        &[&signed(now), &PAGE],
    )
    .await
}

/// Jobs that ended first and are not closed, without those known to be gone.
pub(crate) async fn ended_jobs(
    client: &Client,
    now: u64,
    gone: &[Vec<u8>],
) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM analytics.jobs_finalized
         WHERE ended_slot <= $1 AND closed_slot IS NULL AND NOT id_key = ANY ($3) ORDER BY ended_slot LIMIT $2",
        &[&signed(now), &PAGE, &gone],
    )
    .await
}

/// Cases that may be resolved at `now`, and those that owe something.
pub(crate) async fn open_cases(client: &Client, now: u64) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM analytics.cases_finalized
         WHERE NOT collected AND closed_slot IS NULL AND (resolved_slot IS NOT NULL OR due_slot <= $1)
         ORDER BY opened_slot LIMIT $2",
        &[&signed(now), &COURT_PAGE],
    )
    .await
}

/// Cases that owe nothing and are not closed, those that can be closed first in front, without those known to be gone. Fines
/// that nobody took are left to take in some.
pub(crate) async fn ended_cases(
    client: &Client,
    gone: &[Vec<u8>],
) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT id_key FROM (
           (SELECT id_key, retention_end_slot AS from_slot FROM analytics.cases_finalized
             WHERE collected AND closed_slot IS NULL AND NOT id_key = ANY ($1) ORDER BY retention_end_slot LIMIT $2)
           UNION ALL
           (SELECT id_key, forfeit_end_slot FROM analytics.cases_finalized
             WHERE paid AND NOT collected AND closed_slot IS NULL AND NOT id_key = ANY ($1) ORDER BY forfeit_end_slot LIMIT $2)) c
         ORDER BY from_slot LIMIT $2",
        &[&gone, &COURT_PAGE],
    )
    .await
}

/// Pages of output whose jobs ended, oldest first, without those known to be gone.
pub(crate) async fn ended_outputs(
    client: &Client,
    gone: &[Vec<u8>],
) -> Result<Vec<Pubkey>, IndexError> {
    keys(
        client,
        "SELECT o.id_key FROM analytics.outputs_finalized o
           JOIN LATERAL (SELECT ended_slot FROM analytics.jobs_finalized j
                          WHERE j.id_key = o.job_key ORDER BY requested_slot DESC LIMIT 1) j ON j.ended_slot IS NOT NULL
         WHERE o.closed_slot IS NULL AND NOT o.id_key = ANY ($1) ORDER BY j.ended_slot LIMIT $2",
        &[&gone, &COURT_PAGE],
    )
    .await
}

/// Validators that owe something, with the slot of their last write.
pub(crate) async fn debtors(client: &Client) -> Result<Vec<(Pubkey, u64)>, IndexError> {
    let rows = client
        .query(
            "SELECT authority_key, slot FROM analytics.validators_finalized WHERE owed_foundation + owed_burn > 0
             ORDER BY owed_foundation + owed_burn DESC LIMIT $1",
            &[&PAGE],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((key(row, 0)?, unsigned(row, 1)?)))
        .collect()
}

/// All finalized rows of the kinds that are compared, with root and gaps, from one snapshot of the database.
pub(crate) async fn rows(
    client: &mut Client,
) -> Result<Option<(u64, bool, Vec<IndexRow>)>, IndexError> {
    let snapshot = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let Some((root, gaps)) = root(snapshot.client()).await? else {
        return Ok(None);
    };
    let sources = [
        (
            Kind::Treasury,
            "analytics.key(id)",
            "balance",
            "true",
            "analytics.treasury_finalized",
        ),
        (
            Kind::Model,
            "id_key",
            "0::bigint",
            "exact",
            "analytics.models_finalized",
        ),
        (
            Kind::Validator,
            "id_key",
            "stake + activating + unbonding + claimable + owed_foundation + owed_burn",
            "exact",
            "analytics.validators_finalized",
        ),
        (
            Kind::Vault,
            "id_key",
            "balance",
            "exact",
            "analytics.vaults_finalized",
        ),
        (
            Kind::Grant,
            "id_key",
            "0::bigint",
            "exact",
            "analytics.grants_finalized",
        ),
        (
            Kind::Job,
            "id_key",
            "CASE WHEN ended_slot IS NULL THEN ceiling_lamports ELSE 0 END",
            "exact",
            "analytics.jobs_finalized WHERE closed_slot IS NULL",
        ),
        (
            Kind::Case,
            "id_key",
            "held_lamports + output_rent_lamports",
            "exact",
            "analytics.cases_finalized WHERE closed_slot IS NULL",
        ),
        (
            Kind::Votes,
            "id_key",
            "0::bigint",
            "exact",
            "analytics.votes_finalized WHERE closed_slot IS NULL",
        ),
        (
            Kind::Output,
            "id_key",
            "0::bigint",
            "exact",
            "analytics.outputs_finalized WHERE closed_slot IS NULL",
        ),
    ];
    let mut out = Vec::new();
    for (kind, id, stored, exact, from) in sources {
        // The views of models and grants have no lamports.
        let sql = match kind {
            Kind::Model | Kind::Grant => {
                format!("SELECT {id}, slot, write_seq, NULL::bigint, {stored}, {exact} FROM {from}")
            }
            _ => format!("SELECT {id}, slot, write_seq, lamports, {stored}, {exact} FROM {from}"),
        };
        for row in snapshot.query(&sql, &[]).await? {
            out.push(IndexRow {
                pubkey: key(&row, 0)?,
                kind,
                slot: unsigned(&row, 1)?,
                seq: unsigned(&row, 2)?,
                lamports: row
                    .try_get::<_, Option<i64>>(3)?
                    .map(|lamports| u64::try_from(lamports).unwrap_or(0)),
                stored: unsigned(&row, 4)?,
                exact: row.try_get(5)?,
            });
        }
    }
    snapshot.commit().await?;
    Ok(Some((root, gaps, out)))
}

/// Replaces the stored result, and raises an alarm for what differs a second time.
pub(crate) async fn store(client: &mut Client, result: &Reconciliation) -> Result<(), IndexError> {
    let all: Vec<&Difference> = result
        .unbacked
        .iter()
        .chain(&result.differing)
        .take(DETAILS)
        .collect();
    let transaction = client.transaction().await?;
    transaction
        .execute(
            "INSERT INTO settler.reconciliation (ok, context_slot, accounts, differing, confirmed, unbacked, inexact,
                                                 stored_on_chain, stored_in_index, details, checked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now())
             ON CONFLICT (only_row) DO UPDATE SET (ok, context_slot, accounts, differing, confirmed, unbacked, inexact,
                                                   stored_on_chain, stored_in_index, details, checked_at)
             = ROW (excluded.ok, excluded.context_slot, excluded.accounts, excluded.differing, excluded.confirmed,
                    excluded.unbacked, excluded.inexact, excluded.stored_on_chain, excluded.stored_in_index,
                    excluded.details, excluded.checked_at)",
            &[
                &result.ok(),
                &signed(result.context_slot),
                &signed(result.accounts),
                &signed(result.differing.len() as u64),
                &signed(result.confirmed.len() as u64),
                &signed(result.unbacked.len() as u64),
                &signed(result.inexact),
                &json!(result.on_chain),
                &json!(result.in_index),
                &json!(all),
            ],
        )
        .await?;
    if result.ok() {
        let why = format!("index and chain agree at slot {}", result.context_slot);
        transaction
            .execute("SELECT pipeline.clear_alarms($1, $2)", &[&ALARM, &why])
            .await?;
    } else {
        for difference in result
            .confirmed
            .iter()
            .chain(&result.unbacked)
            .take(DETAILS)
        {
            let slot = signed(result.context_slot);
            let detail = format!("{}: {}", difference.account, difference.what);
            transaction
                .execute(
                    "SELECT pipeline.raise_alarm($1, $2, $2, 1, '{}', true, $3)",
                    &[&ALARM, &slot, &detail],
                )
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_postgres::{Cluster, ClusterConfig, Manner, connect};

    async fn shown(client: &Client) -> serde_json::Value {
        let row = client
            .query_one("SELECT to_jsonb(r) FROM settler.reconciliation r", &[])
            .await;
        row.unwrap().get(0)
    }

    #[tokio::test]
    async fn every_query_fits_the_schema_and_results_replace_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let config = ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        };
        let cluster = Cluster::start(config).await.unwrap();
        mythic_indexer::migrate(cluster.url()).await.unwrap();
        crate::migrate(cluster.url()).await.unwrap();
        let (mut client, _guard) = connect(cluster.url(), &Manner::named("test"))
            .await
            .unwrap();
        assert_eq!(root(&client).await.unwrap(), None);
        assert!(rows(&mut client).await.unwrap().is_none());
        let schema: String = client
            .query_one("SELECT projection FROM pipeline.lease", &[])
            .await
            .unwrap()
            .get(0);
        client
            .batch_execute(&format!("UPDATE {schema}.head SET finalized_slot = 7"))
            .await
            .unwrap();
        assert_eq!(root(&client).await.unwrap(), Some((7, false)));
        assert_eq!(
            rows(&mut client).await.unwrap().unwrap(),
            (7, false, vec![])
        );
        assert!(running_jobs(&client, 7).await.unwrap().is_empty());
        assert!(
            ended_jobs(&client, 7, &[vec![1; 32]])
                .await
                .unwrap()
                .is_empty()
        );
        assert!(debtors(&client).await.unwrap().is_empty());
        assert!(open_cases(&client, 7).await.unwrap().is_empty());
        let gone = [vec![1; 32]];
        assert!(ended_cases(&client, &gone).await.unwrap().is_empty());
        assert!(ended_outputs(&client, &gone).await.unwrap().is_empty());

        let bad = Difference {
            account: "x".into(),
            slot: Some(5),
            what: "differs".into(),
        };
        let mut result = Reconciliation {
            context_slot: 7,
            accounts: 3,
            ..Reconciliation::default()
        };
        result.on_chain.insert(Kind::Vault, 9);
        result.differing.push(bad.clone());
        result.confirmed.push(bad);
        store(&mut client, &result).await.unwrap();
        store(&mut client, &result).await.unwrap();
        let alarms = "SELECT count(*) FROM pipeline.alarm WHERE cleared_at IS NULL";
        assert_eq!(
            client
                .query_one(alarms, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
            1
        );
        let row = shown(&client).await;
        assert_eq!(
            (&row["ok"], &row["stored_on_chain"]["vault"]),
            (&json!(false), &json!(9))
        );
        store(
            &mut client,
            &Reconciliation {
                context_slot: 8,
                ..Reconciliation::default()
            },
        )
        .await
        .unwrap();
        assert_eq!(shown(&client).await["ok"], json!(true));
        assert_eq!(
            client
                .query_one(alarms, &[])
                .await
                .unwrap()
                .get::<_, i64>(0),
            0
        );
        let (reader, _guard) = connect(cluster.readonly_url(), &Manner::named("test"))
            .await
            .unwrap();
        assert_eq!(shown(&reader).await["context_slot"], json!(8));
        assert!(
            reader
                .batch_execute("DELETE FROM settler.reconciliation")
                .await
                .is_err()
        );
        cluster.stop().await.unwrap();
    }
}
