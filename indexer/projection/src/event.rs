//! An event of the feed as it is told: by the gateway to its subscribers, by the indexer to Kafka.

use mythic_interface::state::Key;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;

use crate::feed::{Op, Topic};
use crate::{ARCHIVED, At, PLACE, Parcels, base58, tell};

/// The query for those rows `e` of the feed that `which` says (a condition, with an order and a limit where they are wanted), by their
/// numbers, for [`StoredEvent::all`]. Each comes with the parcel of the archive that its update lies in: what is packed once, in the first
/// row that is of it.
pub fn feed_entries(which: &str) -> String {
    let mut columns = ARCHIVED.to_owned();
    for column in ["keys", "body"] {
        let once =
            format!("CASE WHEN row_number() OVER parcel = 1 THEN a.{column} END AS {column}");
        columns = columns.replace(&format!("a.{column}"), &once);
    }
    // One look into the index for each row: parcels do not overlap, so the last one that begins before an update is the one.
    format!(
        r#"SELECT e.seq, e.topic, e.op, e.slot, e.first_seq, e.last_seq, e.count, e.blockhash, e.bank, e.ordinal, {columns},
       to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
  FROM (SELECT * FROM feed.entry e WHERE {which}) e
  LEFT JOIN LATERAL (SELECT * FROM archive.account a WHERE {PLACE} ORDER BY a.ordinal DESC LIMIT 1) a ON true
WINDOW parcel AS (PARTITION BY a.bank, a.ordinal ORDER BY e.seq)
 ORDER BY e.seq"#
    )
}

/// One row of the feed.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its number; gapless.
    pub seq: i64,
    pub topic: String,
    pub op: String,
    /// The account; `None` where the row speaks for a whole bank.
    pub entity: Option<String>,
    pub slot: i64,
    /// The block's hash; none of what a base told.
    pub block: Option<Key>,
    pub commitment: String,
    pub payload: Value,
    pub at: String,
}

/// An event of the feed as a subscriber sees it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = FeedEvent))]
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
pub struct Unread(i64, String);

fn broken(seq: i64, what: &str) -> Unread {
    Unread(seq, what.to_owned())
}

impl StoredEvent {
    /// The events of rows of [`feed_entries`]. One whose update is not archived any more is left out, which subscribers are told as a
    /// gap.
    pub fn all(rows: &[Row]) -> impl Iterator<Item = Result<Self, Unread>> {
        let mut parcels = Parcels::default();
        let there = |row: &&Row| {
            let of_update = row.get::<_, Option<i32>>("ordinal").is_some();
            !of_update || row.get::<_, Option<i32>>("first").is_some()
        };
        let rows = rows.iter().filter(there);
        rows.map(move |row| Self::of(row, &mut parcels))
    }

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
        let block: Option<Key> = row
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
