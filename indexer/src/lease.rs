//! The lease: one indexer writes at a time. A session lock says who holds it, the epoch fences whoever
//! doesn't know yet that it was replaced, and a connection of its own says that the holder lives: a long transaction is not a
//! dead indexer.

use std::time::{Duration, Instant, SystemTime};

use mythic_postgres::PostgresError;
use mythic_support::Backoff;
use tokio::task::JoinHandle;

use crate::db::Session;
use crate::error::IndexerError;
use crate::telemetry::Telemetry;

/// Key of the session lock.
const LOCK: i64 = 0x6d_7974_6869_6302;

/// A lease taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub epoch: i64,
    /// Schema of the projection to write.
    pub schema: String,
}

/// How often a holder says that it lives, at most.
const RENEW: Duration = Duration::from_secs(4);
/// A server that does not answer a renewal for this long is asked on another connection.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause after a renewal that failed, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Says on a connection of its own that the holder of the lease lives, until it is dropped.
#[derive(Debug)]
pub struct Keeper(JoinHandle<()>);

impl Keeper {
    /// Renews several times within `ttl`, and beats for whoever watches the processes (`pipeline.heartbeat`).
    pub fn spawn(database_url: String, epoch: i64, ttl: Duration, telemetry: Telemetry) -> Self {
        let every = RENEW.min(ttl / 4);
        Self(tokio::spawn(async move {
            let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
            loop {
                let waits_for = || telemetry.waits_for();
                let error = renew(&database_url, (epoch, every), &waits_for, &mut backoff).await;
                tracing::warn!("the lease could not be renewed: {error}");
                tokio::time::sleep(backoff.pause()).await;
            }
        }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Renews until something fails.
async fn renew(
    database_url: &str,
    (epoch, every): (i64, Duration),
    waits_for: &(impl Fn() -> Option<String> + Sync),
    backoff: &mut Backoff,
) -> IndexerError {
    let mut session = match Session::open(database_url, "mythic indexer lease").await {
        Ok(session) => session,
        Err(e) => return e,
    };
    loop {
        let waits_for = waits_for();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&epoch, &waits_for];
        let renewed = session.execute(
            "WITH beat AS (SELECT pipeline.beat('indexer', $2::text IS NULL, $2))
                 UPDATE pipeline.renewal SET renewed_at = now() FROM beat WHERE epoch = $1",
            &params,
        );
        match tokio::time::timeout(ANSWER, renewed).await {
            Ok(Ok(_)) => backoff.reset(),
            Ok(Err(e)) => return e,
            Err(_) => return PostgresError::NoAnswer(ANSWER).into(),
        }
        tokio::time::sleep(every).await;
    }
}

/// Longest time between two looks that counts as watched: whoever was cut off from the database for longer, or waited so long for its
/// answer, does not know whether the holder could reach it meanwhile.
const WATCHED: Duration = Duration::from_secs(1);

/// What whoever waits for the lease saw of its holder: the clock of the database may leap, so only who watched it be silent calls
/// it dead. It outlives connections.
#[derive(Debug, Default)]
pub struct Rival(Option<Seen>);

/// The last sign of life.
#[derive(Clone, Copy, Debug)]
struct Seen {
    renewed_at: SystemTime,
    /// For how long it was watched to be the last.
    silent: Duration,
    looked: Instant,
}

impl Rival {
    /// For how long this has been watched to be the last sign.
    fn silent(&mut self, renewed_at: SystemTime, now: Instant) -> Duration {
        let same = self.0.filter(|seen| seen.renewed_at == renewed_at);
        let silent = same.map_or(Duration::ZERO, |seen| {
            seen.silent + now.duration_since(seen.looked).min(WATCHED)
        });
        self.0 = Some(Seen {
            renewed_at,
            silent,
            looked: now,
        });
        silent
    }
}

/// Takes the lease if nobody lives who holds it. A holder that was watched and did not renew for `ttl` is cut off, and the next
/// try succeeds.
pub async fn acquire(
    session: &mut Session,
    ttl: Duration,
    rival: &mut Rival,
) -> Result<Lease, IndexerError> {
    let free: bool = one(session, "SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?
        .get(0);
    if !free {
        let row = one(
            session,
            "SELECT holder, backend_pid, r.renewed_at FROM pipeline.lease, pipeline.renewal r",
            &[],
        )
        .await?;
        let holder: String = row.get("holder");
        if rival.silent(row.get("renewed_at"), Instant::now()) > ttl {
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
        "WITH mine AS (UPDATE pipeline.lease SET epoch = epoch + 1, holder = $1, backend_pid = pg_backend_pid(), renewed_at = now()
                       RETURNING epoch, projection),
              renewed AS (UPDATE pipeline.renewal r SET epoch = mine.epoch, renewed_at = now() FROM mine)
         SELECT epoch, projection FROM mine",
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_holder_is_silent_for_as_long_as_it_was_watched() {
        let (mut rival, now, sign) = (Rival::default(), Instant::now(), SystemTime::UNIX_EPOCH);
        assert_eq!(rival.silent(sign, now), Duration::ZERO);
        assert_eq!(rival.silent(sign, now + SECOND / 4), SECOND / 4);
        assert_eq!(rival.silent(sign, now + SECOND), SECOND);
        // Whichever way the database's clock went, it is a sign.
        let earlier = sign - SECOND;
        assert_eq!(rival.silent(earlier, now + SECOND), Duration::ZERO);
        assert_eq!(rival.silent(earlier, now + 2 * SECOND), SECOND);
    }

    #[test]
    fn time_that_nobody_watched_makes_no_holder_dead_and_hides_no_dead_one() {
        let (mut rival, now, sign) = (Rival::default(), Instant::now(), SystemTime::UNIX_EPOCH);
        rival.silent(sign, now);
        // The database was away for an hour, for the holder too.
        let back = now + 3_600 * SECOND;
        assert_eq!(rival.silent(sign, back), WATCHED);
        // Whoever sees it once in five seconds, between errors of its own, takes longer, but not for ever.
        for look in 1..=20u32 {
            let silent = rival.silent(sign, back + 5 * look * SECOND);
            assert_eq!(silent, (look + 1) * WATCHED);
        }
    }
}
