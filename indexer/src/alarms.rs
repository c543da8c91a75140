//! Alarms: what an operator should see, in `pipeline.alarm`. Raised in the transaction of what they are about, and
//! cleared in the transaction that heals it; the rest an operator clears. A cleared alarm stays as history.

use mythic_postgres::{Manner, connect};
use tokio_postgres::Row;

use crate::entity::Entity;
use crate::error::IndexerError;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Finality passed over slots whose banks were not seen.
    Gap,
    /// The producer lost records on their way to the spool.
    Loss,
    /// Two confirmed banks are not on one chain.
    ConfirmedFork,
    /// A rooted bank does not descend from the root before it.
    RootConflict,
    /// A bank whose parent is not older than itself.
    MalformedBank,
    /// Index and chain differ twice in a row.
    Reconciliation,
    /// The accounts that a producer started from can't be used.
    Base,
    /// A producer streams other accounts than those of the program.
    Filter,
    /// The updates of a bank are not those that its seal sums up.
    Digest,
    /// A block waited in a gap for its link until there was no room for it.
    GivenUp,
    /// The files of the archive can't be written, or are not there.
    Archive,
    /// What an RPC says contradicts itself, or what is final.
    Rpc,
    /// The brokers do not have what was to be read next.
    Kafka,
    /// What keeps the database small fails again and again.
    Upkeep,
}

impl Kind {
    pub const ALL: [Kind; 14] = [
        Kind::Gap,
        Kind::Loss,
        Kind::ConfirmedFork,
        Kind::RootConflict,
        Kind::MalformedBank,
        Kind::Reconciliation,
        Kind::Base,
        Kind::Filter,
        Kind::Digest,
        Kind::GivenUp,
        Kind::Archive,
        Kind::Rpc,
        Kind::Kafka,
        Kind::Upkeep,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Gap => "gap",
            Kind::Loss => "loss",
            Kind::ConfirmedFork => "confirmed_fork",
            Kind::RootConflict => "root_conflict",
            Kind::MalformedBank => "malformed_bank",
            Kind::Reconciliation => "reconciliation",
            Kind::Base => "base",
            Kind::Filter => "filter",
            Kind::Digest => "digest",
            Kind::GivenUp => "given_up",
            Kind::Archive => "archive",
            Kind::Rpc => "rpc",
            Kind::Kafka => "kafka",
            Kind::Upkeep => "upkeep",
        }
    }
}

/// An alarm to raise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub kind: Kind,
    /// First and last slot it is about.
    pub slot: i64,
    pub last_slot: i64,
    /// How many times, or how many records.
    pub count: i64,
    /// The banks it is about.
    pub banks: Vec<i64>,
    /// Finality heals it; otherwise an operator has to look.
    pub clears_itself: bool,
    pub detail: String,
}

/// Raises an alarm, or counts one up that is open with the same kind and detail. Parameters: kind, slot, last slot,
/// count, banks, clears itself, detail.
pub const RAISE: &str = "SELECT pipeline.raise_alarm($1, $2, $3, $4, $5, $6, $7)";

/// Of the open alarms that heal by themselves: their lowest last slot, and the lowest one above slot `$1`.
pub const WATCHED: &str =
    "SELECT min(last_slot), min(last_slot) FILTER (WHERE last_slot > $1) FROM pipeline.alarm
      WHERE cleared_at IS NULL AND clears_itself AND kind IN ('gap', 'loss', 'confirmed_fork')";

/// Clears what the transaction healed, once the root has passed the last slot concerned. `$1` = slot of a base that was
/// compared with all rows in this transaction, or null.
///
/// A gap or a loss is healed when no bank of its slots is missing or incomplete any more. A confirmed fork is healed when
/// finality has decided between the banks, and nothing is left of the one that lost: rows only get into the final
/// tables from rooted banks, so hot rows and overlays are all there is to look at. A base that could not be used is healed by
/// one that is.
pub fn clear_healed(schema: &str) -> String {
    let rows: String = Entity::ALL
        .iter()
        .flat_map(|e| ["hot", "overlay"].map(|part| (e.table(), part)))
        .map(|(table, part)| {
            format!(" AND NOT EXISTS (SELECT FROM {schema}.{table}_{part} r WHERE r.bank = ANY(a.banks))")
        })
        .collect();
    format!(
        "UPDATE pipeline.alarm a SET cleared_at = now(), cleared_reason = CASE
             WHEN a.kind = 'confirmed_fork' THEN 'slot ' || h.finalized_slot || ' is finalized: one of the banks is orphaned, and no row rests on it'
             WHEN a.kind = 'base' OR a.last_slot <= $1::bigint THEN 'all rows were compared with the accounts that a producer started from at slot ' || $1::bigint
             ELSE 'slot ' || h.finalized_slot || ' is finalized, and no bank of these slots is missing or incomplete' END
         FROM {schema}.head h
         WHERE a.cleared_at IS NULL AND a.last_slot <= h.finalized_slot
           AND CASE
             WHEN a.kind = 'base' THEN $1::bigint IS NOT NULL
             WHEN a.kind IN ('gap', 'loss', 'given_up') THEN a.last_slot <= $1::bigint IS TRUE OR (a.clears_itself AND NOT EXISTS (
                 SELECT FROM {schema}.slot s WHERE NOT s.healed AND s.slot <= a.last_slot AND s.last_slot >= a.slot
                    AND (s.status = 6 OR (s.status = 3 AND NOT s.whole))))
             WHEN a.kind = 'confirmed_fork' THEN a.clears_itself
                 AND NOT EXISTS (SELECT FROM {schema}.slot s WHERE s.bank = ANY(a.banks) AND s.status IN (1, 2)){rows}
             ELSE false END
         RETURNING a.id, a.kind, a.cleared_reason"
    )
}

/// An alarm as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    pub id: i64,
    pub kind: String,
    pub slot: Option<i64>,
    pub last_slot: Option<i64>,
    pub count: i64,
    pub detail: String,
    pub clears_itself: bool,
    /// UTC, RFC 3339.
    pub since: String,
    pub newest_at: String,
    pub cleared_at: Option<String>,
    pub cleared_reason: Option<String>,
}

impl From<&Row> for Shown {
    fn from(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            kind: row.get("kind"),
            slot: row.get("slot"),
            last_slot: row.get("last_slot"),
            count: row.get("count"),
            detail: row.get("detail"),
            clears_itself: row.get("clears_itself"),
            since: row.get("since"),
            newest_at: row.get("newest_at"),
            cleared_at: row.get("cleared_at"),
            cleared_reason: row.get("cleared_reason"),
        }
    }
}

/// The open alarms, oldest first; with `history` the cleared ones too.
pub async fn list(database_url: &str, history: bool) -> Result<Vec<Shown>, IndexerError> {
    let (client, _guard) = connect(database_url, &Manner::named("mythic alarms")).await?;
    let time = |column: &str| {
        format!(r#"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS {column}"#)
    };
    let sql = format!(
        "SELECT id, kind, slot, last_slot, count, detail, clears_itself, {}, {}, {}, cleared_reason
         FROM analytics.alarms WHERE $1 OR cleared_at IS NULL ORDER BY id",
        time("since"),
        time("newest_at"),
        time("cleared_at")
    );
    Ok(client
        .query(&sql, &[&history])
        .await?
        .iter()
        .map(Shown::from)
        .collect())
}

/// Which open alarms to clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    Ids(Vec<i64>),
}

/// What became of a wish to clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Cleared(Vec<i64>),
    /// These are not open; nothing was cleared.
    NotOpen(Vec<i64>),
}

/// Clears open alarms in an operator's name, all that are named or none.
pub async fn clear(
    database_url: &str,
    which: &Which,
    reason: &str,
) -> Result<Outcome, IndexerError> {
    let (mut client, _guard) = connect(database_url, &Manner::named("mythic alarms")).await?;
    let transaction = client.transaction().await?;
    let (all, ids) = match which {
        Which::All => (true, Vec::new()),
        Which::Ids(ids) => (false, ids.clone()),
    };
    let cleared: Vec<i64> = transaction
        .query(
            "UPDATE pipeline.alarm SET cleared_at = now(), cleared_reason = $3
             WHERE cleared_at IS NULL AND ($1 OR id = ANY($2)) RETURNING id",
            &[&all, &ids, &reason],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let mut missing = ids;
    missing.retain(|id| !cleared.contains(id));
    if !missing.is_empty() {
        transaction.rollback().await?;
        return Ok(Outcome::NotOpen(missing));
    }
    transaction.commit().await?;
    Ok(Outcome::Cleared(cleared))
}
