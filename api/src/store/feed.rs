//! The feed of changes, as the indexer writes it.

use std::ops::Deref;

use mythic_projection::{StoredEvent, feed_entries};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::Row;

use super::Pool;
use crate::error::ApiResult;

pub use mythic_projection::ShownEvent;

/// Rows read from the database at once.
const PAGE: i64 = 500;

/// One row of the feed.
#[derive(Debug)]
pub struct FeedEvent {
    pub stored: StoredEvent,
    /// Entities that a row of a whole bank speaks for, with what filters look at in their payloads, once somebody asked.
    pub members: OnceCell<Vec<(String, Value)>>,
}

impl Deref for FeedEvent {
    type Target = StoredEvent;

    fn deref(&self) -> &StoredEvent {
        &self.stored
    }
}

/// Members of a bank read at once.
const MEMBERS: i64 = 5_000;

/// The events of rows. One that can't be read is left out, so that it holds up no other; subscribers are told a gap.
fn read(rows: &[Row]) -> Vec<FeedEvent> {
    let stored = StoredEvent::all(rows);
    let stored = stored.filter_map(|e| e.inspect_err(|error| tracing::warn!("{error}")).ok());
    let fresh = |stored| FeedEvent {
        stored,
        members: OnceCell::new(),
    };
    stored.map(fresh).collect()
}

/// What filters look at in a payload.
const SOUGHT: [&str; 14] = [
    "job",
    "validator",
    "submitter",
    "prover",
    "claimants",
    "jurors",
    "owner",
    "model",
    "object",
    "authority",
    "lease",
    "request",
    "tenant",
    "provider",
];

/// Every entity that a row of a whole bank speaks for, with what filters look at in its payload.
pub async fn members(pool: &Pool, event: &FeedEvent) -> ApiResult<Vec<(String, Value)>> {
    let bound = |name: &str| event.payload.get(name).and_then(Value::as_i64);
    let (Some(first), Some(last)) = (bound("first_seq"), bound("last_seq")) else {
        return Ok(Vec::new());
    };
    let hash = event.block.as_ref().map(|hash| &hash[..]);
    let sql = feed_entries(
        "e.seq BETWEEN $1 AND $2 AND e.op = 'add' AND e.topic = $3 AND e.slot = $4 AND e.blockhash = $5 ORDER BY e.seq LIMIT $6",
    );
    let mut members = Vec::new();
    let mut next = first;
    loop {
        let client = pool.get().await?;
        let statement = client.prepare_cached(&sql).await?;
        let rows = client
            .query(
                &statement,
                &[&next, &last, &event.topic, &event.slot, &hash, &MEMBERS],
            )
            .await?;
        let full = rows.len() as i64 == MEMBERS;
        next = rows.last().map_or(last, |row| row.get::<_, i64>(0)) + 1;
        for told in read(&rows) {
            let StoredEvent {
                entity,
                mut payload,
                ..
            } = told.stored;
            if let Some(fields) = payload.as_object_mut() {
                fields.retain(|name, _| SOUGHT.contains(&name.as_str()));
            }
            members.extend(entity.map(|entity| (entity, payload)));
        }
        if !full {
            return Ok(members);
        }
    }
}

/// Some events, and how far they were read: what is missing up to there can't be had any more.
pub struct FeedPage {
    pub events: Vec<FeedEvent>,
    pub through: i64,
}

/// The next events after one, up to another; at most a page of them.
pub async fn events(pool: &Pool, after: i64, through: i64) -> ApiResult<FeedPage> {
    let client = pool.get().await?;
    let sql = feed_entries("e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3");
    let statement = client.prepare_cached(&sql).await?;
    let rows = client.query(&statement, &[&after, &through, &PAGE]).await?;
    let last = rows.last().filter(|_| rows.len() as i64 == PAGE);
    Ok(FeedPage {
        events: read(&rows),
        through: last.map_or(through, |row| row.get("seq")),
    })
}

/// Where the feed stands: number of the newest event, number of the oldest that is kept.
pub async fn bounds(pool: &Pool) -> ApiResult<(i64, i64)> {
    let client = pool.get().await?;
    let row = client
        .query_one("SELECT next - 1, oldest FROM feed.counter", &[])
        .await?;
    Ok((row.get(0), row.get(1)))
}
