//! What is to be healed, and who asked for it: rows of the database.

use std::time::Duration;

use crate::db::Session;
use crate::error::IndexerError;
use crate::tree::{BankId, Hash};

/// Finalized slots that were not seen, or not seen whole, and that no base has spoken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unhealed {
    /// Gaps and incomplete blocks.
    pub count: i64,
    pub first: u64,
    pub last: u64,
}

/// What an operator asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub id: i64,
    /// None: the one that is configured.
    pub rpc_url: Option<String>,
    pub left: Duration,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealProgress {
    /// `waiting`, `reading`, `linking`, `writing`, `done` or `failed`.
    pub state: String,
    pub slot: Option<u64>,
    pub detail: String,
}

fn slot(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// What is to be healed in the tables of `schema`.
pub(crate) async fn unhealed(
    session: &mut Session,
    schema: &str,
) -> Result<Unhealed, IndexerError> {
    let sql = format!(
        "SELECT count(*), COALESCE(min(slot), 0), COALESCE(max(last_slot), 0) FROM {schema}.slot
         WHERE NOT healed AND (status = 6 OR (status = 3 AND NOT whole))"
    );
    let rows = session.query(&sql, &[]).await?;
    Ok(rows.first().map_or_else(Unhealed::default, |row| Unhealed {
        count: row.get(0),
        first: slot(row.get(1)),
        last: slot(row.get(2)),
    }))
}

/// Slot of the newest rooted block.
pub(super) async fn root(session: &mut Session, schema: &str) -> Result<Option<u64>, IndexerError> {
    let sql = format!("SELECT finalized_slot FROM {schema}.head");
    let rows = session.query(&sql, &[]).await?;
    Ok(rows
        .first()
        .and_then(|row| row.get::<_, Option<i64>>(0))
        .map(slot))
}

/// The rooted block of a slot.
pub(super) async fn rooted_at(
    session: &mut Session,
    schema: &str,
    at: u64,
) -> Result<Option<BankId>, IndexerError> {
    let sql = format!("SELECT blockhash FROM {schema}.every_slot WHERE slot = $1 AND status = 3");
    let rows = session.query(&sql, &[&(at as i64)]).await?;
    let hash = rows
        .first()
        .and_then(|row| Hash::try_from(row.get::<_, &[u8]>(0)).ok());
    Ok(hash.map(|hash| BankId { slot: at, hash }))
}

/// The chain of the database.
pub(super) async fn genesis(session: &mut Session) -> Result<Option<Hash>, IndexerError> {
    let rows = session
        .query("SELECT genesis_hash FROM pipeline.chain", &[])
        .await?;
    Ok(rows
        .first()
        .and_then(|row| Hash::try_from(row.get::<_, &[u8]>(0)).ok()))
}

/// Asks for healing; the number of the request.
pub(crate) async fn ask(
    session: &mut Session,
    rpc_url: Option<&str>,
    patience: Duration,
) -> Result<i64, IndexerError> {
    let seconds = patience.as_secs_f64();
    let rows = session
        .query(
            "INSERT INTO pipeline.heal_request (rpc_url, expires_at) VALUES ($1, now() + make_interval(secs => $2)) RETURNING id",
            &[&rpc_url, &seconds],
        )
        .await?;
    rows.first()
        .map(|row| row.get(0))
        .ok_or_else(|| IndexerError::Broken("a request that was made is not there".into()))
}

/// The oldest request that is open; those whose time is over end.
pub(super) async fn next(session: &mut Session) -> Result<Option<Request>, IndexerError> {
    session
        .execute(
            "UPDATE pipeline.heal_request SET state = 'failed', rpc_url = NULL, changed_at = now(),
                 detail = 'its time was over: ' || COALESCE(detail, 'nobody took it')
             WHERE state NOT IN ('done', 'failed') AND expires_at <= now()",
            &[],
        )
        .await?;
    let rows = session
        .query(
            "SELECT id, rpc_url, extract(epoch FROM expires_at - now())::double precision FROM pipeline.heal_request
             WHERE state NOT IN ('done', 'failed') ORDER BY id LIMIT 1",
            &[],
        )
        .await?;
    Ok(rows.first().map(|row| Request {
        id: row.get(0),
        rpc_url: row.get(1),
        left: Duration::try_from_secs_f64(row.get(2)).unwrap_or_default(),
    }))
}

/// Says how far a request is; one that has ended stays as it is.
pub(crate) async fn tell(
    session: &mut Session,
    id: i64,
    progress: &HealProgress,
) -> Result<(), IndexerError> {
    let at = progress.slot.map(|slot| slot as i64);
    session
        .execute(
            "UPDATE pipeline.heal_request SET state = $2, slot = COALESCE($3, slot), detail = $4, changed_at = now(),
                 rpc_url = CASE WHEN $2 IN ('done', 'failed') THEN NULL ELSE rpc_url END
             WHERE id = $1 AND state NOT IN ('done', 'failed')",
            &[&id, &progress.state, &at, &progress.detail],
        )
        .await?;
    Ok(())
}

/// How far a request is.
pub(crate) async fn progress(session: &mut Session, id: i64) -> Result<HealProgress, IndexerError> {
    let sql = "SELECT state, slot, COALESCE(detail, '') FROM pipeline.heal_request WHERE id = $1";
    let rows = session.query(sql, &[&id]).await?;
    let row = rows
        .first()
        .ok_or_else(|| IndexerError::Broken(format!("request {id} is not there any more")))?;
    Ok(HealProgress {
        state: row.get(0),
        slot: row.get::<_, Option<i64>>(1).map(slot),
        detail: row.get(2),
    })
}
