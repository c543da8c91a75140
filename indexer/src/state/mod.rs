//! Reads back from the database what a writer knows between two transactions.

pub(crate) mod alive;
pub(crate) mod heard;
pub(crate) mod prints;

use std::collections::{BTreeMap, BTreeSet};

use mythic_stream::spool::Position;
use tokio_postgres::Row;

use crate::db::Session;
use crate::error::IndexerError;
use crate::feed::{Span, Topic};
use crate::plan::{BankInfo, Healed, Marks, Reached, State, kind, status};
use crate::projection::{Account, archived};
use crate::tree::{
    Bank, BankId, DEAD_MEMORY, Hash, Node, PendingBase, ROOTED_MEMORY, Root, RootedBank, SlotTree,
    TreeState, UNFINISHED_LIMIT,
};

fn broken(what: &str) -> IndexerError {
    IndexerError::Broken(format!("stored {what} is not what was written"))
}

fn hash(row: &Row, column: &str) -> Result<Hash, IndexerError> {
    row.get::<_, &[u8]>(column)
        .try_into()
        .map_err(|_| broken(column))
}

fn slot(row: &Row, column: &str) -> u64 {
    u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
}

fn bank_id(row: &Row, slot_column: &str, hash_column: &str) -> Result<BankId, IndexerError> {
    Ok(BankId {
        slot: slot(row, slot_column),
        hash: hash(row, hash_column)?,
    })
}

/// Restores the state of the projection in `schema`: what an uninterrupted writer holds.
pub async fn restore(session: &mut Session, schema: &str) -> Result<State, IndexerError> {
    let head = session
        .query(&format!("SELECT * FROM {schema}.head"), &[])
        .await?;
    let head = head.first().ok_or_else(|| broken("head"))?;
    let (nodes, mut banks) = nodes(session, schema).await?;
    spans(session, &mut banks).await?;
    let base = pending_base(head)?;
    let root = root(head)?;
    let rooted = rooted(session, schema).await?;
    let unfinished = unfinished(session, schema, &rooted).await?;
    let tree = SlotTree::restore(TreeState {
        root,
        nodes,
        pending_confirmed: bank_ids(head.get("pending_confirmed"))?,
        run_fresh: head.get("run_fresh"),
        base,
        gaps: gaps(session, schema).await?,
        rooted,
        unfinished,
        dead: dead(session, schema).await?,
    });
    let numbers: Vec<i64> = banks.keys().copied().collect();
    let prints = prints::of_banks(session, schema, &numbers).await?;
    let genesis = session
        .query("SELECT genesis_hash FROM pipeline.chain", &[])
        .await?;
    let genesis = genesis.first().map(|row| hash(row, "genesis_hash"));
    let feed = session.query("SELECT next FROM feed.counter", &[]).await?;
    let next_feed = feed
        .first()
        .ok_or_else(|| broken("feed counter"))?
        .get("next");
    let last_event: i64 = head.get("last_event");
    let fresh_run = match tree.run_fresh() {
        true => newest_run(session).await?,
        false => None,
    };
    Ok(State {
        processed: tree.processed_chain(),
        confirmed: tree.confirmed_chain(),
        tree,
        next_event: last_event + 1,
        next_feed,
        fresh_run,
        banks,
        prints,
        healed: healed(head),
        doubt_through: head.get("doubt_through"),
        base: base.map(|base| base.slot as i64),
        genesis: genesis.transpose()?,
        positions: positions(session).await?,
    })
}

/// The run that began last.
async fn newest_run(session: &mut Session) -> Result<Option<[u8; 16]>, IndexerError> {
    let rows = session
        .query(
            "SELECT run FROM archive.event WHERE kind = $1 ORDER BY id DESC LIMIT 1",
            &[&kind::RUN_START],
        )
        .await?;
    let run = |row: &Row| row.get::<_, &[u8]>("run").try_into();
    let run = rows.first().map(run).transpose();
    run.map_err(|_| broken("run"))
}

fn root(head: &Row) -> Result<Option<Root>, IndexerError> {
    if head.get::<_, Option<i64>>("finalized_slot").is_none() {
        return Ok(None);
    }
    let hash = head.get::<_, Option<&[u8]>>("root_hash");
    Ok(Some(Root {
        slot: slot(head, "finalized_slot"),
        hash: hash
            .map(|h| h.try_into().map_err(|_| broken("root_hash")))
            .transpose()?,
    }))
}

fn healed(head: &Row) -> Option<Healed> {
    Some(Healed {
        through: head.get::<_, Option<i64>>("healed_through")?,
        event: head.get::<_, Option<i64>>("healed_event")?,
        base_slot: head.get::<_, Option<i64>>("healed_base_slot")?,
    })
}

fn pending_base(head: &Row) -> Result<Option<PendingBase>, IndexerError> {
    let Some(number) = head.get::<_, Option<i64>>("base_event") else {
        return Ok(None);
    };
    let as_of = match head.get::<_, Option<i64>>("base_as_of_slot") {
        Some(_) => Some(bank_id(head, "base_as_of_slot", "base_as_of_hash")?),
        None => None,
    };
    Ok(Some(PendingBase {
        number,
        slot: slot(head, "base_slot"),
        as_of,
    }))
}

/// The banks that are neither rooted nor orphaned.
async fn nodes(
    session: &mut Session,
    schema: &str,
) -> Result<(Vec<Node>, BTreeMap<i64, BankInfo>), IndexerError> {
    let sql = format!("SELECT * FROM {schema}.slot WHERE status IN (1, 2) ORDER BY slot");
    let (mut nodes, mut banks) = (Vec::new(), BTreeMap::new());
    for row in &session.query(&sql, &[]).await? {
        let bank = Bank {
            number: row.get("bank"),
            id: bank_id(row, "slot", "blockhash")?,
            parent: bank_id(row, "parent_slot", "parent_blockhash")?,
            whole: row.get("whole"),
        };
        let marks = Marks {
            status: row.get("status"),
            on_processed: row.get("on_processed"),
            on_confirmed: row.get("on_confirmed"),
            replaced: row.get("replaced"),
        };
        nodes.push(Node {
            bank,
            confirmed: marks.status == status::CONFIRMED,
            replaced: marks.replaced,
        });
        let info = BankInfo {
            id: bank.id,
            entities: row.get::<_, i32>("entities") as u32,
            spans: Vec::new(),
            whole: bank.whole,
            marks,
        };
        banks.insert(bank.number, info);
    }
    Ok((nodes, banks))
}

/// Adds what the banks announced.
async fn spans(
    session: &mut Session,
    banks: &mut BTreeMap<i64, BankInfo>,
) -> Result<(), IndexerError> {
    let numbers: Vec<i64> = banks.keys().copied().collect();
    let rows = session
        .query(
            "SELECT * FROM feed.bank_topic WHERE bank = ANY($1) ORDER BY bank, first_seq",
            &[&numbers],
        )
        .await?;
    for row in &rows {
        let topic = Topic::from_name(row.get("topic")).ok_or_else(|| broken("topic"))?;
        let span = Span {
            topic,
            first_seq: row.get("first_seq"),
            last_seq: row.get("last_seq"),
            count: row.get("count"),
        };
        if let Some(info) = banks.get_mut(&row.get::<_, i64>("bank")) {
            info.spans.push(span);
            info.spans.sort_by_key(|s| s.topic);
        }
    }
    Ok(())
}

async fn gaps(session: &mut Session, schema: &str) -> Result<BTreeMap<u64, BankId>, IndexerError> {
    let sql = format!(
        "SELECT slot, parent_slot, parent_blockhash FROM {schema}.slot WHERE status = 6 AND parent_blockhash IS NOT NULL"
    );
    let rows = session.query(&sql, &[]).await?;
    let gap = |row| {
        Ok((
            slot(row, "slot"),
            bank_id(row, "parent_slot", "parent_blockhash")?,
        ))
    };
    rows.iter().map(gap).collect()
}

async fn rooted(
    session: &mut Session,
    schema: &str,
) -> Result<BTreeMap<u64, RootedBank>, IndexerError> {
    let sql = format!(
        "SELECT bank, slot, blockhash, whole FROM {schema}.every_slot WHERE status = 3 ORDER BY slot DESC LIMIT $1"
    );
    let mut rooted = BTreeMap::new();
    for row in &session.query(&sql, &[&(ROOTED_MEMORY as i64)]).await? {
        let whole: bool = row.get("whole");
        let bank = RootedBank {
            hash: hash(row, "blockhash")?,
            incomplete: (!whole).then(|| row.get("bank")),
        };
        rooted.insert(slot(row, "slot"), bank);
    }
    Ok(rooted)
}

/// Rooted banks that are not whole, older than those in `rooted`.
async fn unfinished(
    session: &mut Session,
    schema: &str,
    rooted: &BTreeMap<u64, RootedBank>,
) -> Result<BTreeMap<u64, RootedBank>, IndexerError> {
    let Some(oldest) = rooted.keys().next() else {
        return Ok(BTreeMap::new());
    };
    let below = i64::try_from(*oldest).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT bank, slot, blockhash FROM {schema}.slot WHERE status = 3 AND NOT whole AND slot < $1 ORDER BY slot DESC LIMIT $2"
    );
    let rows = session
        .query(&sql, &[&below, &(UNFINISHED_LIMIT as i64)])
        .await?;
    let bank = |row| {
        let bank = RootedBank {
            hash: hash(row, "blockhash")?,
            incomplete: Some(row.get("bank")),
        };
        Ok((slot(row, "slot"), bank))
    };
    rows.iter().map(bank).collect()
}

async fn dead(session: &mut Session, schema: &str) -> Result<BTreeSet<BankId>, IndexerError> {
    let sql = format!(
        "SELECT DISTINCT slot, blockhash FROM {schema}.slot WHERE status = 4 ORDER BY slot DESC, blockhash DESC LIMIT $1"
    );
    let rows = session.query(&sql, &[&(DEAD_MEMORY as i64)]).await?;
    rows.iter()
        .map(|row| bank_id(row, "slot", "blockhash"))
        .collect()
}

/// How far the log of each producer is read.
async fn positions(session: &mut Session) -> Result<BTreeMap<String, Reached>, IndexerError> {
    let rows = session
        .query("SELECT * FROM pipeline.position WHERE partition = 0", &[])
        .await?;
    let reached = |row| {
        Ok::<_, IndexerError>(Reached {
            resume: position(row, "resume")?,
            applied: position(row, "applied")?,
        })
    };
    rows.iter()
        .map(|row| Ok((row.get("producer"), reached(row)?)))
        .collect()
}

/// Banks as bytes of one column: 8 of slot and 32 of hash each.
pub fn bank_bytes<'a>(banks: impl IntoIterator<Item = &'a BankId>) -> Vec<u8> {
    let bytes = |id: &BankId| [&id.slot.to_be_bytes()[..], &id.hash].concat();
    banks.into_iter().flat_map(bytes).collect()
}

fn bank_ids(bytes: &[u8]) -> Result<BTreeSet<BankId>, IndexerError> {
    let (banks, rest) = bytes.as_chunks::<40>();
    if !rest.is_empty() {
        return Err(broken("pending_confirmed"));
    }
    let one = |bytes: &[u8; 40]| {
        let (slot, hash) = bytes.split_first_chunk::<8>()?;
        Some(BankId {
            slot: u64::from_be_bytes(*slot),
            hash: hash.try_into().ok()?,
        })
    };
    let all: Option<BTreeSet<BankId>> = banks.iter().map(one).collect();
    all.ok_or_else(|| broken("pending_confirmed"))
}

fn position(row: &Row, which: &str) -> Result<Position, IndexerError> {
    let run: &[u8] = row.get(format!("{which}_run").as_str());
    Ok(Position {
        run: run.try_into().map_err(|_| broken("run"))?,
        segment: slot(row, &format!("{which}_segment")),
        offset: slot(row, &format!("{which}_offset")),
        seq: slot(row, &format!("{which}_seq")),
    })
}

/// The account updates of a row of the archive.
pub fn accounts(row: &Row) -> Result<Vec<Account>, IndexerError> {
    archived(row).map_err(|e| IndexerError::Broken(e.to_string()))
}
