//! The feed of changes, as the indexer writes it.

use mythic_projection::{
    ARCHIVED, At, PLACE, Parcels, base58,
    feed::{Op, Topic},
    tell,
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::Pool;
use crate::error::ApiResult;

/// Rows read from the database at once.
const PAGE: i64 = 500;

/// One row of the feed.
#[derive(Debug)]
pub struct FeedEvent {
    /// Its number; gapless.
    pub seq: i64,
    pub topic: String,
    pub op: String,
    /// The account; `None` where the row speaks for a whole bank.
    pub entity: Option<String>,
    pub slot: i64,
    /// The block's hash; none of what a base told.
    pub block: Option<[u8; 32]>,
    pub commitment: String,
    pub payload: Value,
    pub at: String,
    /// Entities that a row of a whole bank speaks for, with what filters look at in their payloads, once somebody asked.
    pub members: OnceCell<Vec<(String, Value)>>,
}

/// An event of the feed as a subscriber sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedEvent)]
pub struct ShownEvent {
    /// Its number; gapless. `after` of whoever comes again.
    seq: i64,
    /// `jobs`, `results`, `disputes`, `validators`, `settlements`, `leases` or `network`.
    topic: String,
    /// `add`, or what became of added ones: `confirm`, `finalize` or `retract`.
    op: String,
    /// The account that changed, base58; null where an event speaks for a whole bank.
    entity: Option<String>,
    slot: i64,
    /// Of the slot's block, base58.
    blockhash: String,
    /// `processed`, `confirmed` or `finalized`.
    commitment: String,
    /// What changed; its fields are those of the topic's list.
    payload: Value,
    /// When the index wrote it, RFC 3339.
    at: String,
}

/// A row of the feed that the indexer did not write, or another release of it.
#[derive(Debug, thiserror::Error)]
#[error("event {0} of the feed is left out: {1} is not what this release's indexer writes")]
struct Unread(i64, String);

fn broken(seq: i64, what: &str) -> Unread {
    Unread(seq, what.to_owned())
}

impl FeedEvent {
    /// As a row of [`entries`] says it.
    fn of(row: &Row, parcels: &mut Parcels) -> Result<Self, Unread> {
        let seq: i64 = row.get("seq");
        let slot: i64 = row.get("slot");
        let topic: String = row.get("topic");
        let op: String = row.get("op");
        let (entity, payload) = match row.get::<_, Option<i64>>("first_seq") {
            Some(first) => {
                let (last, count): (i64, i32) = (row.get("last_seq"), row.get("count"));
                let span =
                    serde_json::json!({"first_seq": first, "last_seq": last, "count": count});
                (None, span)
            }
            None => {
                let account = parcels.update(row);
                let account = account.map_err(|error| broken(seq, &error.to_string()))?;
                let of = Topic::from_name(&topic).ok_or_else(|| broken(seq, "topic"))?;
                let at = At {
                    slot: u64::try_from(slot).map_err(|_| broken(seq, "slot"))?,
                    ordinal: row.get("ordinal"),
                    exact: true,
                };
                let payload = tell(account, at, of).ok_or_else(|| broken(seq, "update"))?;
                (Some(base58(&account.pubkey)), payload)
            }
        };
        let block: Option<[u8; 32]> = row
            .get::<_, Option<&[u8]>>("blockhash")
            .map(|hash| hash.try_into().map_err(|_| broken(seq, "blockhash")))
            .transpose()?;
        Ok(Self {
            seq,
            commitment: Op::from_name(&op)
                .ok_or_else(|| broken(seq, "op"))?
                .commitment()
                .to_owned(),
            topic,
            op,
            entity,
            slot,
            block,
            payload,
            at: row.get("at"),
            members: OnceCell::new(),
        })
    }

    /// As it is shown, for one of the entities that it speaks for.
    pub fn shown(&self, entity: Option<&str>) -> Value {
        serde_json::json!(ShownEvent {
            seq: self.seq,
            topic: self.topic.clone(),
            op: self.op.clone(),
            entity: entity.map(str::to_owned).or_else(|| self.entity.clone()),
            slot: self.slot,
            blockhash: self.block.as_ref().map(base58).unwrap_or_default(),
            commitment: self.commitment.clone(),
            payload: self.payload.clone(),
            at: self.at.clone(),
        })
    }
}

/// Members of a bank read at once.
const MEMBERS: i64 = 5_000;

/// The query for some rows of the feed, each with the parcel of the archive that its update lies in: what is in the parcel once, in the
/// first row that is of it.
fn entries(which: &str) -> String {
    let mut columns = ARCHIVED.to_owned();
    for column in ["keys", "body"] {
        let once =
            format!("CASE WHEN row_number() OVER parcel = 1 THEN a.{column} END AS {column}");
        columns = columns.replace(&format!("a.{column}"), &once);
    }
    format!(
        r#"SELECT e.seq, e.topic, e.op, e.slot, e.first_seq, e.last_seq, e.count, e.blockhash, e.bank, e.ordinal, {columns},
                to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
           FROM (SELECT * FROM feed.entry e WHERE {which}) e LEFT JOIN archive.account a ON {PLACE}
         WINDOW parcel AS (PARTITION BY a.bank, a.ordinal ORDER BY e.seq) ORDER BY e.seq"#
    )
}

/// The events of rows. One whose update is not archived any more is left out, and one that can't be read, so that it holds up no
/// other; subscribers are told a gap.
fn read(rows: &[Row]) -> Vec<FeedEvent> {
    let mut parcels = Parcels::default();
    let there = |row: &&Row| {
        let of_update = row.get::<_, Option<i32>>("ordinal").is_some();
        !of_update || row.get::<_, Option<i32>>("first").is_some()
    };
    let events = rows.iter().filter(there).filter_map(|row| {
        let event = FeedEvent::of(row, &mut parcels);
        event.inspect_err(|error| tracing::warn!("{error}")).ok()
    });
    events.collect()
}

/// What filters look at in a payload.
const SOUGHT: [&str; 7] = [
    "job",
    "validator",
    "submitter",
    "challenger",
    "jurors",
    "owner",
    "model",
];

/// Every entity that a row of a whole bank speaks for, with what filters look at in its payload.
pub async fn members(pool: &Pool, event: &FeedEvent) -> ApiResult<Vec<(String, Value)>> {
    let bound = |name: &str| event.payload.get(name).and_then(Value::as_i64);
    let (Some(first), Some(last)) = (bound("first_seq"), bound("last_seq")) else {
        return Ok(Vec::new());
    };
    let hash = event.block.as_ref().map(|hash| &hash[..]);
    let sql = entries(
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
            let mut payload = told.payload;
            if let Some(fields) = payload.as_object_mut() {
                fields.retain(|name, _| SOUGHT.contains(&name.as_str()));
            }
            members.extend(told.entity.map(|entity| (entity, payload)));
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
    let sql = entries("e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3");
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
