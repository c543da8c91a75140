//! The feed of changes, as the indexer writes it.

use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;
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
    pub blockhash: String,
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

impl FeedEvent {
    /// As it is shown, for one of the entities that it speaks for.
    pub fn shown(&self, entity: Option<&str>) -> Value {
        serde_json::json!(ShownEvent {
            seq: self.seq,
            topic: self.topic.clone(),
            op: self.op.clone(),
            entity: entity.map(str::to_owned).or_else(|| self.entity.clone()),
            slot: self.slot,
            blockhash: self.blockhash.clone(),
            commitment: self.commitment.clone(),
            payload: self.payload.clone(),
            at: self.at.clone(),
        })
    }
}

/// Members of a bank read at once.
const MEMBERS: i64 = 5_000;

/// Every entity that a row of a whole bank speaks for, with what filters look at in its payload.
pub async fn members(pool: &Pool, event: &FeedEvent) -> ApiResult<Vec<(String, Value)>> {
    let bound = |name: &str| event.payload.get(name).and_then(Value::as_i64);
    let (Some(first), Some(last)) = (bound("first_seq"), bound("last_seq")) else {
        return Ok(Vec::new());
    };
    let mut members = Vec::new();
    let mut next = first;
    loop {
        let client = pool.get().await?;
        let rows = client
            .query(
                "SELECT seq, entity, jsonb_strip_nulls(jsonb_build_object(
                        'job', payload->'job', 'validator', payload->'validator', 'submitter', payload->'submitter',
                        'challenger', payload->'challenger', 'jurors', payload->'jurors', 'owner', payload->'owner',
                        'model', payload->'model'))
                   FROM feed.event
                  WHERE seq BETWEEN $1 AND $2 AND op = 'add' AND topic = $3 AND slot = $4 AND blockhash = $5 AND entity IS NOT NULL
                  ORDER BY seq LIMIT $6",
                &[&next, &last, &event.topic, &event.slot, &event.blockhash, &MEMBERS],
            )
            .await?;
        let full = rows.len() as i64 == MEMBERS;
        next = rows.last().map_or(last, |row| row.get::<_, i64>(0)) + 1;
        members.extend(rows.iter().map(|row| (row.get(1), row.get(2))));
        if !full {
            return Ok(members);
        }
    }
}

/// The next events after one, up to another; at most a page of them.
pub async fn events(pool: &Pool, after: i64, through: i64) -> ApiResult<Vec<FeedEvent>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            r#"SELECT seq, topic, op, entity, slot, blockhash, commitment, payload,
                      to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
                 FROM feed.event WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3"#,
            &[&after, &through, &PAGE],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| FeedEvent {
            seq: row.get(0),
            topic: row.get(1),
            op: row.get(2),
            entity: row.get(3),
            slot: row.get(4),
            blockhash: row.get(5),
            commitment: row.get(6),
            payload: row.get::<_, Option<Value>>(7).unwrap_or(Value::Null),
            at: row.get(8),
            members: OnceCell::new(),
        })
        .collect())
}

/// Where the feed stands: number of the newest event, number of the oldest that is kept.
pub async fn bounds(pool: &Pool) -> ApiResult<(i64, i64)> {
    let client = pool.get().await?;
    let row = client
        .query_one("SELECT next - 1, oldest FROM feed.counter", &[])
        .await?;
    Ok((row.get(0), row.get(1)))
}
