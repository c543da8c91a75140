//! Reads back from the database what a writer knows between two transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mythic_stream::spool::Position;
use tokio_postgres::Row;

use crate::db::Session;
use crate::error::IndexerError;
use crate::feed::{Span, Topic};
use crate::plan::{BankInfo, Marks, Reached, State, status};
use crate::projection::Account;
use crate::tree::{
    Bank, BankId, Hash, Node, PendingBase, ROOTED_MEMORY, Root, SlotTree, TreeState,
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

/// Restores the state of the projection in `schema`.
pub async fn restore(session: &mut Session, schema: &str) -> Result<State, IndexerError> {
    let head = session
        .query(&format!("SELECT * FROM {schema}.head"), &[])
        .await?;
    let head = head.first().ok_or_else(|| broken("head"))?;
    let root = match head.get::<_, Option<i64>>("finalized_slot") {
        Some(_) => Some(Root {
            slot: slot(head, "finalized_slot"),
            hash: head
                .get::<_, Option<&[u8]>>("root_hash")
                .map(|h| h.try_into().map_err(|_| broken("root_hash")))
                .transpose()?,
        }),
        None => None,
    };
    let above = root.map_or(-1, |r| r.slot as i64);
    let (mut nodes, mut banks) = (Vec::new(), BTreeMap::new());
    let rows = session
        .query(
            &format!(
                "SELECT * FROM {schema}.slot WHERE slot > $1 AND status IN (1, 2) ORDER BY slot"
            ),
            &[&above],
        )
        .await?;
    for row in &rows {
        let bank = Bank {
            number: row.get("bank"),
            id: bank_id(row, "slot", "blockhash")?,
            parent: bank_id(row, "parent_slot", "parent_blockhash")?,
            whole: row.get("whole"),
        };
        let marks = Marks {
            status: row.get("status"),
            on_processed: row.get("on_processed"),
            replaced: row.get("replaced"),
        };
        nodes.push(Node {
            bank,
            confirmed: marks.status == status::CONFIRMED,
            replaced: marks.replaced,
        });
        let entities = row.get::<_, i32>("entities") as u32;
        banks.insert(
            bank.number,
            BankInfo {
                id: bank.id,
                entities,
                spans: Vec::new(),
                whole: bank.whole,
                marks,
            },
        );
    }
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
    let known: BTreeSet<BankId> = nodes.iter().map(|n: &Node| n.bank.id).collect();
    let last_event: i64 = head.get("last_event");
    let rows = session
        .query(
            "SELECT DISTINCT slot, blockhash FROM archive.event
             WHERE kind = 5 AND slot > $1 AND id <= $2 AND blockhash IS NOT NULL",
            &[&above, &last_event],
        )
        .await?;
    let mut pending_confirmed = BTreeSet::new();
    for row in &rows {
        pending_confirmed.insert(bank_id(row, "slot", "blockhash")?);
    }
    let pending_confirmed = pending_confirmed.difference(&known).copied().collect();
    let memory = ROOTED_MEMORY as i64;
    let sql = format!(
        "SELECT slot, blockhash FROM {schema}.slot WHERE status = 3 AND slot <= $1 ORDER BY slot DESC LIMIT $2"
    );
    let mut rooted = BTreeMap::new();
    for row in &session.query(&sql, &[&above, &memory]).await? {
        rooted.insert(slot(row, "slot"), hash(row, "blockhash")?);
    }
    if let Some(Root {
        slot,
        hash: Some(hash),
    }) = root
    {
        rooted.insert(slot, hash);
    }
    let sql = format!(
        "SELECT slot, parent_slot, parent_blockhash FROM {schema}.slot WHERE status = 6 AND parent_blockhash IS NOT NULL"
    );
    let mut missing = BTreeMap::new();
    for row in &session.query(&sql, &[]).await? {
        missing.insert(
            bank_id(row, "parent_slot", "parent_blockhash")?,
            slot(row, "slot"),
        );
    }
    let base = match head.get::<_, Option<i64>>("base_event") {
        Some(number) => Some(PendingBase {
            number,
            slot: slot(head, "base_slot"),
            as_of: match head.get::<_, Option<i64>>("base_as_of_slot") {
                Some(_) => Some(bank_id(head, "base_as_of_slot", "base_as_of_hash")?),
                None => None,
            },
        }),
        None => None,
    };
    let base_accounts = match base {
        Some(base) => Some(Arc::new(
            archived_accounts(session, base.number, base.slot as i64).await?,
        )),
        None => None,
    };
    let run_fresh = head.get("run_fresh");
    let tree = SlotTree::restore(TreeState {
        root,
        nodes,
        pending_confirmed,
        run_fresh,
        base,
        missing,
        rooted,
    });
    let mut quarantine = BTreeSet::new();
    for row in &session
        .query("SELECT pubkey FROM pipeline.quarantine", &[])
        .await?
    {
        quarantine.insert(hash(row, "pubkey")?);
    }
    let genesis = match session
        .query("SELECT genesis_hash FROM pipeline.chain", &[])
        .await?
        .first()
    {
        Some(row) => Some(hash(row, "genesis_hash")?),
        None => None,
    };
    let feed = session.query("SELECT next FROM feed.counter", &[]).await?;
    let next_feed = feed
        .first()
        .ok_or_else(|| broken("feed counter"))?
        .get("next");
    let mut positions = BTreeMap::new();
    for row in &session
        .query("SELECT * FROM pipeline.position WHERE partition = 0", &[])
        .await?
    {
        let reached = Reached {
            resume: position(row, "resume")?,
            applied: position(row, "applied")?,
        };
        positions.insert(row.get("producer"), reached);
    }
    Ok(State {
        processed: tree.processed_chain(),
        confirmed: tree.confirmed_chain(),
        tree,
        next_event: last_event + 1,
        next_feed,
        banks,
        quarantine,
        base: base_accounts,
        genesis,
        positions,
    })
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

/// The accounts of a bank or base as they were archived, in their order.
pub async fn archived_accounts(
    session: &mut Session,
    bank: i64,
    slot_of_bank: i64,
) -> Result<Vec<Account>, IndexerError> {
    let rows = session
        .query(
            "SELECT pubkey, owner, lamports, data, signature, write_version, account_slot FROM archive.account
             WHERE slot = $1 AND bank = $2 ORDER BY ordinal",
            &[&slot_of_bank, &bank],
        )
        .await?;
    rows.iter().map(account).collect()
}

/// An archived account update.
pub fn account(row: &Row) -> Result<Account, IndexerError> {
    let lamports: &[u8] = row.get("lamports");
    let signature: Option<&[u8]> = row.get("signature");
    Ok(Account {
        pubkey: hash(row, "pubkey")?,
        owner: hash(row, "owner")?,
        lamports: u64::from_le_bytes(lamports.try_into().map_err(|_| broken("lamports"))?),
        data: row.get::<_, Vec<u8>>("data").into(),
        signature: signature
            .map(|s| s.try_into().map_err(|_| broken("signature")))
            .transpose()?,
        write_version: row.get::<_, i64>("write_version") as u64,
        slot: slot(row, "account_slot"),
    })
}
