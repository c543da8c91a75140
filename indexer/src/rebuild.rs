//! Projects the archive again, into a shadow schema, compares it with the live one and swaps them.

use std::path::Path;
use std::time::Duration;

use mythic_postgres::{Manner, connect};

use crate::archive::Reader;
use crate::db::Session;
use crate::error::IndexerError;
use crate::migrate::{PROJECTION, VIEWS, run_scope};
use crate::tables::{differences, hash_tables};
use crate::writer::{Mode, Writer};

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
/// only for the last events, the comparison and the swap, after which it starts over on the new schema.
async fn project_again(
    database_url: &str,
    dir: Option<&Path>,
    swap: Swap,
) -> Result<RebuildReport, IndexerError> {
    let mut reader = Reader::open(database_url, "mythic rebuild reader", dir).await?;
    let manner = Manner::named("mythic rebuild")
        .statement_timeout(Duration::ZERO)
        .idle_in_transaction(Duration::ZERO);
    let (lock, _guard) = connect(database_url, &manner).await?;
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
    lock.batch_execute("COMMIT").await?;

    let session = Session::open(database_url, "mythic rebuild writer").await?;
    let mut writer = Writer::open(session, &shadow, Mode::Rebuild).await?;
    writer.files = dir.map(Path::to_path_buf);
    let mut events = catch_up(&mut reader, &mut writer).await?;
    writer.lay_overlays().await?;
    // From here on the live writer waits at its fence.
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
    events += catch_up(&mut reader, &mut writer).await?;
    let (old, new) = (
        hash_tables(&lock, &live).await?,
        hash_tables(&lock, &shadow).await?,
    );
    let different = differences(&old, &new);
    let swapped = match swap {
        Swap::Never => false,
        Swap::IfEqual => different.is_empty(),
        Swap::Always => true,
    };
    if swapped {
        run_scope(&lock, VIEWS, &shadow).await?;
        lock.execute(
            "UPDATE pipeline.lease SET projection = $1, epoch = epoch + 1",
            &[&shadow],
        )
        .await?;
        lock.batch_execute(&format!("DROP SCHEMA {live} CASCADE"))
            .await?;
    } else {
        lock.batch_execute(&format!("DROP SCHEMA {shadow} CASCADE"))
            .await?;
    }
    lock.batch_execute("COMMIT").await?;
    Ok(RebuildReport {
        events,
        different,
        rows: new.values().map(|t| t.rows).sum(),
        swapped,
    })
}

/// Projects what the archive holds beyond the writer; returns how many events.
async fn catch_up(reader: &mut Reader, writer: &mut Writer) -> Result<u64, IndexerError> {
    let mut total = 0;
    loop {
        let inputs = reader.inputs(writer.state().next_event).await?;
        if inputs.is_empty() {
            return Ok(total);
        }
        total += inputs.len() as u64;
        writer.replay(&inputs).await?;
    }
}
