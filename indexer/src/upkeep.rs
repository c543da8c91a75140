//! What keeps the database from growing for ever, done beside the writer in small transactions on a connection of its own: older
//! events are packed, spans of the archive go into files, blocks without content are rolled up, the feed and what only operators
//! read have an end. None of it holds a commit up, and no load holds it up; whatever fails is tried again, and is an alarm.

use std::time::{Duration, Instant};

use mythic_support::{Backoff, Throttle};
use tokio::task::JoinHandle;

use crate::alarms::{self, Kind};
use crate::archive::{self, Spans};
use crate::config::IndexerConfig;
use crate::db::Session;
use crate::error::IndexerError;

/// Key of the session lock: one at a time, also while an indexer that was replaced still lives.
const LOCK: i64 = 0x6d_7974_6869_6303;
/// Pause while there is nothing to do, and between two steps while there is.
const IDLE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(20);
/// How often partitions are looked at that may go.
const RELEASE: Duration = Duration::from_secs(60);
/// Pause after a failure, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same trouble is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(60);
/// Failures in a row from which on it is an alarm.
const FAILURES: u32 = 3;

const CLEAR: &str = "SELECT pipeline.clear_alarms($1, $2)";

/// What stays, and how much is done at once.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub spans: Spans,
    /// Events in a pack, and those that stay rows.
    pub pack_events: i64,
    pub unpacked_events: i64,
    /// Newest finalized blocks that are not rolled up. More than the fork tree remembers.
    pub recent_blocks: i64,
    /// Rows that one transaction moves or removes.
    pub batch: i64,
    /// Hours that the feed keeps its events, and how many one transaction removes.
    pub feed_hours: i32,
    pub feed_events: i64,
    pub dead_letters: i64,
    /// Cleared alarms: how many, and for how long. Ended requests to heal stay as long.
    pub alarms: i64,
    pub alarm_days: i32,
}

impl Bounds {
    pub fn of(config: &IndexerConfig) -> Self {
        Self {
            spans: Spans {
                dir: config.archive_dir.clone(),
                keep_slots: i64::try_from(config.archive_keep_slots).unwrap_or(i64::MAX),
                file_bytes: 2 << 30,
            },
            pack_events: 4_096,
            unpacked_events: 32_768,
            recent_blocks: 8_192,
            batch: 2_000,
            feed_hours: i32::try_from(config.feed_retention_h).unwrap_or(i32::MAX),
            feed_events: 10_000,
            dead_letters: 100_000,
            alarms: 10_000,
            alarm_days: 90,
        }
    }
}

/// Keeps up until it is dropped.
#[derive(Debug)]
pub(crate) struct Upkeep(JoinHandle<()>);

impl Upkeep {
    /// Works while the lease has this epoch.
    pub fn spawn(database_url: String, epoch: i64, bounds: Bounds) -> Self {
        Self(tokio::spawn(async move {
            let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
            let mut failing = Failing::default();
            let warnings = Throttle::new(WARNINGS);
            loop {
                let ended = keep_up(&database_url, (epoch, &bounds), &mut backoff, &mut failing);
                let error = match ended.await {
                    Err(IndexerError::LeaseLost { .. }) | Ok(()) => return,
                    Err(e) => e,
                };
                if let Some(more) = warnings.allow() {
                    tracing::warn!(more, "upkeep of the database is tried again: {error}");
                }
                failing.failed(&database_url, &error).await;
                tokio::time::sleep(backoff.pause()).await;
            }
        }))
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How the upkeep fails, and what is said of it in the alarms.
#[derive(Debug, Default)]
struct Failing {
    /// In a row.
    times: u32,
    raised: bool,
    /// No alarm of it is open, also none of an earlier process.
    clean: bool,
}

impl Failing {
    /// It failed. What hinders the files is an alarm of its own.
    async fn failed(&mut self, database_url: &str, error: &IndexerError) {
        if matches!(error, IndexerError::Archive(_)) {
            return;
        }
        self.times += 1;
        if self.times < FAILURES || self.raised {
            return;
        }
        self.clean = false;
        match raise(database_url, error).await {
            Ok(()) => self.raised = true,
            Err(e) => tracing::debug!("no alarm of the upkeep: {e}"),
        }
    }

    /// It does its work.
    async fn works(&mut self, session: &mut Session) -> Result<(), IndexerError> {
        if !self.clean {
            let why = "the upkeep does its work again";
            session
                .query(CLEAR, &[&Kind::Upkeep.as_str(), &why])
                .await?;
        }
        *self = Self {
            clean: true,
            ..Self::default()
        };
        Ok(())
    }
}

/// Raises the alarm that the upkeep fails, with the word for the reason.
async fn raise(database_url: &str, error: &IndexerError) -> Result<(), IndexerError> {
    let mut session = Session::open(database_url, "mythic indexer upkeep").await?;
    let what = format!("{}: {error}", error.trouble().as_str());
    raise_alarm(&mut session, Kind::Upkeep, &what).await
}

async fn keep_up(
    database_url: &str,
    (epoch, bounds): (i64, &Bounds),
    backoff: &mut Backoff,
    failing: &mut Failing,
) -> Result<(), IndexerError> {
    let mut session = Session::open(database_url, "mythic indexer upkeep").await?;
    while !one(&mut session, "SELECT pg_try_advisory_lock($1)", &[&LOCK]).await? {
        tokio::time::sleep(IDLE).await;
    }
    let mut released = None;
    loop {
        let mut more = step(&mut session, epoch, bounds).await?;
        let mut files = Ok(());
        if !more && released.is_none_or(|at: Instant| at.elapsed() > RELEASE) {
            match archive_step(&mut session, epoch, bounds).await {
                Ok(again) => more = again,
                Err(e @ IndexerError::Archive(_)) => files = Err(e),
                Err(e) => return Err(e),
            }
            released = (!more).then(Instant::now);
        }
        failing.works(&mut session).await?;
        files?;
        backoff.reset();
        tokio::time::sleep(if more { STEP } else { IDLE }).await;
    }
}

/// One bounded step of everything but the files. Says whether there is more to do.
pub(crate) async fn step(
    session: &mut Session,
    epoch: i64,
    bounds: &Bounds,
) -> Result<bool, IndexerError> {
    let schema = fence(session, epoch).await?;
    let told = trim_feed(session, &schema, bounds).await?;
    let packed = archive::pack(session, bounds.pack_events, bounds.unpacked_events).await?;
    let rolled = roll_up(session, &schema, bounds).await?;
    let filed = archive::forget_filed(session, bounds.batch).await?;
    let letters = trim_letters(session, bounds).await?;
    let alarms = trim_alarms(session, bounds).await?;
    let requests = trim_requests(session, bounds).await?;
    Ok(told || packed || rolled || filed || letters || alarms || requests)
}

/// Files one span, and lets partitions go; trouble with the files is an alarm. Says whether there is more to do.
pub(crate) async fn archive_step(
    session: &mut Session,
    epoch: i64,
    bounds: &Bounds,
) -> Result<bool, IndexerError> {
    let schema = fence(session, epoch).await?;
    let spans = &bounds.spans;
    let done = match archive::file_span(session, &schema, spans).await {
        Ok(true) => Ok(true),
        Ok(false) => archive::release(session, &schema, spans)
            .await
            .map(|n| n > 0),
        Err(e) => Err(e),
    };
    match &done {
        Ok(_) => {
            let why = "the files of the archive are written and there again";
            session
                .query(CLEAR, &[&Kind::Archive.as_str(), &why])
                .await?;
        }
        Err(IndexerError::Archive(what)) => raise_alarm(session, Kind::Archive, what).await?,
        Err(_) => {}
    }
    done
}

/// Raises an alarm about no slot, which is cleared when what it is about works again.
async fn raise_alarm(session: &mut Session, kind: Kind, what: &str) -> Result<(), IndexerError> {
    let (none, once, banks): (Option<i64>, i64, Vec<i64>) = (None, 1, Vec::new());
    let kind = kind.as_str();
    session
        .query(
            alarms::RAISE,
            &[&kind, &none, &none, &once, &banks, &true, &what],
        )
        .await?;
    Ok(())
}

/// The schema of the projection, if the lease is still ours.
async fn fence(session: &mut Session, epoch: i64) -> Result<String, IndexerError> {
    let rows = session
        .query(
            "SELECT projection FROM pipeline.lease WHERE epoch = $1",
            &[&epoch],
        )
        .await?;
    match rows.first() {
        Some(row) => Ok(row.get(0)),
        None => Err(IndexerError::LeaseLost { epoch }),
    }
}

async fn one(
    session: &mut Session,
    sql: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<bool, IndexerError> {
    let rows = session.query(sql, params).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Moves finalized blocks without content, which link to the block before them, into the narrow table of such blocks.
pub(crate) async fn roll_up(
    session: &mut Session,
    schema: &str,
    bounds: &Bounds,
) -> Result<bool, IndexerError> {
    let sql = format!(
        "WITH due AS (
             SELECT s.bank FROM {schema}.slot s
              WHERE s.status = 3 AND s.accounts = 0 AND s.whole AND NOT s.healed AND NOT s.replaced AND s.last_slot = s.slot
                AND COALESCE(s.calls, 1) = 1
                AND s.slot < (SELECT b.slot FROM {schema}.slot b WHERE b.status = 3 ORDER BY b.slot DESC OFFSET $1 LIMIT 1)
                AND s.parent_blockhash = COALESCE((SELECT p.blockhash FROM {schema}.empty_slot p WHERE p.slot = s.parent_slot),
                    (SELECT p.blockhash FROM {schema}.slot p WHERE p.slot = s.parent_slot AND p.status = 3 LIMIT 1))
              ORDER BY s.slot LIMIT $2),
         gone AS (DELETE FROM {schema}.slot s USING due WHERE s.bank = due.bank AND COALESCE(s.calls, 1) = 1 RETURNING s.*)
         INSERT INTO {schema}.empty_slot (bank, slot, block_time, parent_slot, blockhash, calls)
         SELECT bank, slot, block_time, nullif(parent_slot, slot - 1), blockhash, calls FROM gone"
    );
    let moved = session
        .execute(&sql, &[&bounds.recent_blocks, &bounds.batch])
        .await?;
    Ok(moved as i64 == bounds.batch)
}

/// Removes feed events older than the retention. Says whether there may be more.
async fn trim_feed(
    session: &mut Session,
    schema: &str,
    bounds: &Bounds,
) -> Result<bool, IndexerError> {
    let old = "SELECT COALESCE((SELECT at < now() - make_interval(hours => $1) FROM feed.entry ORDER BY seq LIMIT 1), false)";
    if !one(session, old, &[&bounds.feed_hours]).await? {
        return Ok(false);
    }
    session.batch("BEGIN").await?;
    let done = forget_told(session, schema, bounds).await;
    match done {
        Ok(_) => session.batch("COMMIT").await?,
        Err(_) => session.rollback().await,
    }
    done.map(|removed| removed == bounds.feed_events)
}

/// Removes the oldest events; says how many. The counter's row, which each commit of the writer needs, is locked last.
async fn forget_told(
    session: &mut Session,
    schema: &str,
    bounds: &Bounds,
) -> Result<i64, IndexerError> {
    let rows = session
        .query(
            "WITH oldest AS (SELECT seq, at FROM feed.entry ORDER BY seq LIMIT $2),
                  gone AS (DELETE FROM feed.entry e USING oldest o WHERE e.seq = o.seq
                              AND o.at < now() - make_interval(hours => $1) RETURNING e.seq)
             SELECT count(*), COALESCE(max(seq), 0) FROM gone",
            &[&bounds.feed_hours, &bounds.feed_events],
        )
        .await?;
    let (removed, last): (i64, i64) = rows.first().map_or((0, 0), |row| (row.get(0), row.get(1)));
    if removed > 0 {
        // Of a bank that is not final yet more is to be told.
        let spans = format!(
            "DELETE FROM feed.bank_topic t WHERE t.last_seq <= $1
                AND NOT EXISTS (SELECT FROM {schema}.slot s WHERE s.bank = t.bank AND s.status IN (1, 2))"
        );
        session.execute(&spans, &[&last]).await?;
        session
            .execute("UPDATE feed.counter SET oldest = $1::bigint + 1", &[&last])
            .await?;
    }
    Ok(removed)
}

/// Removes the oldest dead letters beyond the bound. Those that the database refused stay: a rebuild has to know of them.
async fn trim_letters(session: &mut Session, bounds: &Bounds) -> Result<bool, IndexerError> {
    let removed = session
        .execute(
            "DELETE FROM pipeline.dead_letter WHERE id IN (
                 SELECT id FROM pipeline.dead_letter WHERE NOT starts_with(reason, 'refused by the database: ')
                    AND id < (SELECT id FROM pipeline.dead_letter ORDER BY id DESC OFFSET $1 LIMIT 1) ORDER BY id LIMIT $2)",
            &[&(bounds.dead_letters - 1).max(0), &bounds.batch],
        )
        .await?;
    Ok(removed as i64 == bounds.batch)
}

/// Removes cleared alarms that are old, or beyond the bound. Open ones stay.
async fn trim_alarms(session: &mut Session, bounds: &Bounds) -> Result<bool, IndexerError> {
    let removed = session
        .execute(
            "DELETE FROM pipeline.alarm WHERE id IN (
                 SELECT id FROM pipeline.alarm WHERE cleared_at < now() - make_interval(days => $1)
                    OR (cleared_at IS NOT NULL AND id < (SELECT id FROM pipeline.alarm WHERE cleared_at IS NOT NULL ORDER BY id DESC OFFSET $2 LIMIT 1))
                 LIMIT $3)",
            &[&bounds.alarm_days, &(bounds.alarms - 1).max(0), &bounds.batch],
        )
        .await?;
    Ok(removed as i64 == bounds.batch)
}

/// Removes requests to heal that ended long ago.
async fn trim_requests(session: &mut Session, bounds: &Bounds) -> Result<bool, IndexerError> {
    let removed = session
        .execute(
            "DELETE FROM pipeline.heal_request WHERE id IN (
                 SELECT id FROM pipeline.heal_request WHERE state IN ('done', 'failed') AND changed_at < now() - make_interval(days => $1) LIMIT $2)",
            &[&bounds.alarm_days, &bounds.batch],
        )
        .await?;
    Ok(removed as i64 == bounds.batch)
}
