//! Projects the archive again, into a shadow schema, compares it with the live one and swaps them.

use std::path::Path;
use std::time::Duration;

use mythic_postgres::{Manner, connect};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use crate::archive::Reader;
use crate::bare::Bare;
use crate::db::Session;
use crate::error::IndexerError;
use crate::migrate::{PROJECTION, VIEWS, run_scope};
use crate::tables::{differences, hash_tables};
use crate::writer::{Mode, Writer};

/// Key of the session lock: one at a time.
const LOCK: i64 = 0x6d_7974_6869_6304;

/// What to do with the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Compare only.
    Never,
    /// Take the rebuilt tables if they equal the live ones.
    IfEqual,
    /// Take the rebuilt tables whatever the live ones hold.
    Always,
}

/// What a rebuild found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildReport {
    /// Events projected.
    pub events: u64,
    /// Tables that differ from the live ones at the same event.
    pub different: Vec<String>,
    /// Rows in all tables.
    pub rows: i64,
    /// The rebuilt schema is the live one now.
    pub swapped: bool,
}

/// Rebuilds from an archive that is wholly in the database.
pub async fn rebuild(database_url: &str, swap: Swap) -> Result<RebuildReport, IndexerError> {
    project_again(database_url, None, swap).await
}

/// Rebuilds from an archive of which older spans are files in `dir`.
pub async fn rebuild_from(
    database_url: &str,
    dir: &Path,
    swap: Swap,
) -> Result<RebuildReport, IndexerError> {
    project_again(database_url, Some(dir), swap).await
}

/// Projects the whole archive into a shadow schema. The live indexer goes on meanwhile; it is held up
/// only for the last events, before the comparison and before the swap, after which it starts over on the new schema.
async fn project_again(
    database_url: &str,
    dir: Option<&Path>,
    swap: Swap,
) -> Result<RebuildReport, IndexerError> {
    let reader = Reader::open(database_url, "mythic rebuild reader", dir).await?;
    let manner = Manner::named("mythic rebuild")
        .statement_timeout(Duration::ZERO)
        .idle_in_transaction(Duration::ZERO);
    let (lock, _guard) = connect(database_url, &manner).await?;
    let (second, _second_guard) = connect(database_url, &manner).await?;
    let alone: bool = lock
        .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
        .await?
        .get(0);
    if !alone {
        return Err(IndexerError::LeaseHeld {
            holder: "mythic indexer rebuild".into(),
        });
    }
    let live: String = lock
        .query_one("SELECT projection FROM pipeline.lease", &[])
        .await?
        .get(0);
    let number: u64 = live
        .rsplit('_')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let shadow = format!("projection_{}", number + 1);
    lock.batch_execute(&format!(
        "BEGIN; DROP SCHEMA IF EXISTS {shadow} CASCADE; CREATE SCHEMA {shadow}"
    ))
    .await?;
    run_scope(&lock, PROJECTION, &shadow).await?;
    let bare = Bare::strip(&lock, &shadow).await?;
    lock.batch_execute("COMMIT").await?;

    let mut session = Session::open(database_url, "mythic rebuild writer").await?;
    // What a crash takes of a shadow is nothing that anybody waits for. The swap waits for the disk, and for all before it.
    session.batch("SET synchronous_commit = off").await?;
    let mut writer = Writer::open(session, &shadow, Mode::Rebuild).await?;
    writer.files = dir.map(Path::to_path_buf);
    let (reader, mut events) = catch_up(reader, &mut writer).await?;
    bare.dress(&lock).await?;
    writer.lay_overlays().await?;
    let (reader, last) = hold(&lock, &live, reader, &mut writer).await?;
    events += last;
    // Both are at the same event; the live tables go on, and this connection sees them as they are now.
    second
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT FROM pipeline.lease",
        )
        .await?;
    lock.batch_execute("COMMIT").await?;
    let (old, new) = tokio::try_join!(hash_tables(&second, &live), hash_tables(&lock, &shadow))?;
    second.batch_execute("COMMIT").await?;
    let different = differences(&old, &new);
    let swapped = match swap {
        Swap::Never => false,
        Swap::IfEqual => different.is_empty(),
        Swap::Always => true,
    };
    if swapped {
        let (_reader, last) = hold(&lock, &live, reader, &mut writer).await?;
        events += last;
        run_scope(&lock, VIEWS, &shadow).await?;
        lock.execute(
            "UPDATE pipeline.lease SET projection = $1, epoch = epoch + 1",
            &[&shadow],
        )
        .await?;
        lock.batch_execute(&format!("DROP SCHEMA {live} CASCADE; COMMIT"))
            .await?;
    } else {
        lock.batch_execute(&format!("DROP SCHEMA {shadow} CASCADE"))
            .await?;
    }
    Ok(RebuildReport {
        events,
        different,
        rows: new.values().map(|t| t.rows).sum(),
        swapped,
    })
}

/// Holds the live writer up at its fence, in a transaction that it leaves open, and projects what that one has written meanwhile.
async fn hold(
    lock: &Client,
    live: &str,
    reader: Reader,
    writer: &mut Writer,
) -> Result<(Reader, u64), IndexerError> {
    lock.batch_execute("BEGIN").await?;
    let now: String = lock
        .query_one("SELECT projection FROM pipeline.lease FOR UPDATE", &[])
        .await?
        .get(0);
    if now != live {
        return Err(IndexerError::Broken(format!(
            "another rebuild replaced {live} by {now} meanwhile"
        )));
    }
    catch_up(reader, writer).await
}

/// Projects what the archive holds beyond the writer; returns how many events. What comes next is read and unpacked meanwhile.
async fn catch_up(mut reader: Reader, writer: &mut Writer) -> Result<(Reader, u64), IndexerError> {
    let (sender, mut parts) = mpsc::channel(1);
    let mut next = writer.state().next_event;
    let reading = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let inputs = reader.inputs(next).await?;
            let Some((last, _)) = inputs.last() else {
                return Ok(reader);
            };
            next = last + 1;
            if sender.send(inputs).await.is_err() {
                return Ok(reader);
            }
        }
    }));
    let mut total = 0;
    while let Some(inputs) = parts.recv().await {
        total += inputs.len() as u64;
        writer.replay(&inputs).await?;
    }
    let reader: Result<Reader, IndexerError> = reading
        .await
        .map_err(|e| IndexerError::Broken(format!("the reader of the archive ended: {e}")))?;
    Ok((reader?, total))
}
