//! The lease: one indexer writes at a time. A session lock says who lives, the epoch fences whoever
//! doesn't know yet that it was replaced.

use std::time::Duration;

use crate::db::Session;
use crate::error::IndexerError;

/// Key of the session lock.
const LOCK: i64 = 0x6d_7974_6869_6302;

/// A lease taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub epoch: i64,
    /// Schema of the projection to write.
    pub schema: String,
}

/// Takes the lease if nobody lives who holds it. A holder that has not renewed for `ttl` is cut off, and the next
/// try succeeds.
pub async fn acquire(session: &mut Session, ttl: Duration) -> Result<Lease, IndexerError> {
    let free: bool = one(session, "SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?
        .get(0);
    if !free {
        let row = one(
            session,
            "SELECT holder, backend_pid, renewed_at < now() - make_interval(secs => $1) AS stale FROM pipeline.lease",
            &[&ttl.as_secs_f64()],
        )
        .await?;
        let holder: String = row.get("holder");
        if row.get("stale") {
            tracing::warn!(
                holder,
                "the lease holder has not renewed for {ttl:?}: ending its connection"
            );
            let pid: i32 = row.get("backend_pid");
            // Only a backend that holds the lock itself: its number may belong to someone else by now.
            session
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = $1
                     AND classid = ($2::bigint >> 32)::oid AND objid = ($2::bigint & 4294967295)::oid",
                    &[&pid, &LOCK],
                )
                .await?;
        }
        return Err(IndexerError::LeaseHeld { holder });
    }
    let holder = format!("process {}", std::process::id());
    let row = one(
        session,
        "UPDATE pipeline.lease SET epoch = epoch + 1, holder = $1, backend_pid = pg_backend_pid(), renewed_at = now()
         RETURNING epoch, projection",
        &[&holder],
    )
    .await?;
    let schema: String = row.get("projection");
    if !schema
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    {
        return Err(IndexerError::Broken(format!(
            "projection schema {schema:?}"
        )));
    }
    Ok(Lease {
        epoch: row.get("epoch"),
        schema,
    })
}

async fn one(
    session: &mut Session,
    sql: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<tokio_postgres::Row, IndexerError> {
    let rows = session.query(sql, params).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| IndexerError::Broken("pipeline.lease is empty".into()))
}
