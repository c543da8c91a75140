//! Tests against a real PostgreSQL, fed through a real spool.

mod alarms;
mod analyst;
mod bad_days;
mod bench;
mod cases;
mod chain;
mod disk;
mod full_disk;
mod gaps;
mod hostile;
mod kafka;
mod live;
mod market;
mod postgres;
mod producers;
mod real;
mod retention;
mod rpc;
mod steps;
mod tallies;
mod upkeep;

use std::path::Path;
use std::time::Duration;

use mythic_stream::spool::{Reader, ReaderConfig};

use crate::IndexerError;
use crate::db::Session;
use crate::feed::Topic;
use crate::holder::Holder;
use crate::lease;
use crate::plan::Reached;
use crate::projection::{ARCHIVED, At, PLACE, Parcels, tell};
use crate::source::{Content, Entry};
use crate::state;
use crate::writer::{Mode, Step, Writer};

/// Applies everything in the spool, `chunk` inputs a batch, as the service does; `fail_after` stops it before
/// that statement. Returns how many statements are left of `fail_after`.
async fn drain(
    url: &str,
    spool: &Path,
    chunk: usize,
    fail_after: Option<usize>,
) -> Result<Option<usize>, IndexerError> {
    drain_with(url, spool, chunk, fail_after, None).await
}

/// The same, with the archive's files at hand.
async fn drain_from(
    url: &str,
    spool: &Path,
    chunk: usize,
    files: &Path,
) -> Result<Option<usize>, IndexerError> {
    drain_with(url, spool, chunk, None, Some(files)).await
}

async fn drain_with(
    url: &str,
    spool: &Path,
    chunk: usize,
    fail_after: Option<usize>,
    files: Option<&Path>,
) -> Result<Option<usize>, IndexerError> {
    let mut session = Session::open(url, "test").await?;
    let mut rival = lease::Rival::default();
    let lease = loop {
        match lease::acquire(&mut session, Duration::from_secs(5), &mut rival).await {
            Err(IndexerError::LeaseHeld { .. }) => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            lease => break lease?,
        }
    };
    let mode = Mode::Live { epoch: lease.epoch };
    let mut writer = Writer::open(session, &lease.schema, mode).await?;
    writer.session.fail_after = fail_after;
    writer.files = files.map(Path::to_path_buf);
    let position = writer.state().positions.get("test").copied();
    let mut reader = Reader::open(ReaderConfig {
        dir: spool.into(),
        name: "test".into(),
        start: position.map(|p| p.resume),
    })?;
    let mut holder = Holder::new(64 << 20, &spool.join("spill"));
    let mut merge = writer.merge(&["test".into()]).await?;
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let items = reader.poll(100)?;
        if items.is_empty() {
            break;
        }
        for item in items {
            let item = Entry::from(item);
            let replayed = position.is_some_and(|p| item.position < p.applied);
            let inputs = match item.content {
                Content::Envelope(envelope) => {
                    holder.apply(item.position, envelope, replayed).unwrap()
                }
                Content::Missing(missing) => holder.missing(item.position, &missing, replayed),
                other => panic!("{other:?}"),
            };
            let merged = inputs.into_iter().flat_map(|input| merge.take(0, input));
            let inputs: Vec<_> = merged.collect();
            let last = inputs.len();
            let reached = Reached {
                resume: holder.resume(item.next),
                applied: item.next,
            };
            for (index, input) in inputs.into_iter().enumerate() {
                steps.push(Step {
                    producer: "test".into(),
                    input,
                    reached: (index + 1 == last).then_some(reached),
                    places: None,
                });
            }
            if steps.len() >= chunk && steps.last().is_some_and(|s| s.reached.is_some()) {
                writer.apply(std::mem::take(&mut steps)).await?;
            }
        }
    }
    if !steps.is_empty() {
        writer.apply(steps).await?;
    }
    let left = writer.session.fail_after.take();
    // Whoever starts here goes on as this writer would.
    let restored = state::restore(&mut writer.session, &lease.schema).await?;
    assert_eq!(&restored, writer.state());
    Ok(left)
}

/// What the feed tells of each account that changed, where `of` holds, by number.
async fn told(db: &postgres::Database, of: &str) -> Vec<serde_json::Value> {
    let sql = format!(
        "SELECT {ARCHIVED}, e.bank, e.ordinal, e.topic, e.slot AS told_slot FROM feed.entry e
           JOIN archive.account a ON {PLACE} WHERE {of} ORDER BY e.seq"
    );
    let rows = db.client.query(&sql, &[]).await.unwrap();
    let mut parcels = Parcels::default();
    rows.iter()
        .map(|row| {
            let at = At {
                slot: row.get::<_, i64>("told_slot") as u64,
                ordinal: row.get("ordinal"),
                exact: true,
            };
            let topic = Topic::from_name(row.get("topic")).unwrap();
            tell(parcels.update(row).unwrap(), at, topic).unwrap()
        })
        .collect()
}
