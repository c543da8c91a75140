//! Projects the archive again, into a shadow schema, compares it with the live one and swaps them.

use std::time::Duration;

use mythic_postgres::{Manner, connect};
use tokio_postgres::Row;

use crate::alarms::Kind;
use crate::db::Session;
use crate::error::IndexerError;
use crate::holder::{Input, SealedBank};
use crate::migrate::{PROJECTION, VIEWS, run_scope};
use crate::plan::{detail, kind};
use crate::projection::Account;
use crate::state;
use crate::tables::{differences, hash_tables};
use crate::tree::{BankId, Hash};
use crate::writer::{Mode, Writer};

/// Account updates read at once.
const CHUNK_UPDATES: i64 = 50_000;
/// Events read at once.
const CHUNK_EVENTS: usize = 2_000;

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

/// Projects the whole archive into a shadow schema. The live indexer goes on meanwhile; it is held up
/// only for the last events, the comparison and the swap, after which it starts over on the new schema.
pub async fn rebuild(database_url: &str, swap: Swap) -> Result<RebuildReport, IndexerError> {
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

    let mut reader = Session::open(database_url, "mythic rebuild reader").await?;
    let session = Session::open(database_url, "mythic rebuild writer").await?;
    let mut writer = Writer::open(session, &shadow, Mode::Rebuild).await?;
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
async fn catch_up(reader: &mut Session, writer: &mut Writer) -> Result<u64, IndexerError> {
    let mut total = 0;
    loop {
        let inputs = read_events(reader, writer.state().next_event).await?;
        if inputs.is_empty() {
            return Ok(total);
        }
        total += inputs.len() as u64;
        writer.replay(&inputs).await?;
    }
}

async fn read_events(reader: &mut Session, from: i64) -> Result<Vec<(i64, Input)>, IndexerError> {
    let mut rows = reader
        .query(
            &format!(
                "SELECT *, extract(epoch FROM block_time)::bigint AS block_seconds FROM archive.event WHERE id >= $1 ORDER BY id LIMIT {CHUNK_EVENTS}"
            ),
            &[&from],
        )
        .await?;
    let mut updates = 0;
    let fitting = rows.iter().take_while(|row| {
        let fits = updates == 0 || updates < CHUNK_UPDATES;
        updates += i64::from(row.get::<_, i32>("accounts"));
        fits
    });
    let count = fitting.count();
    rows.truncate(count);
    let with_content: Vec<&Row> = rows
        .iter()
        .filter(|row| row.get::<_, i32>("accounts") > 0)
        .collect();
    let banks: Vec<i64> = with_content.iter().map(|row| row.get("id")).collect();
    let slots = with_content.iter().map(|row| row.get::<_, i64>("slot"));
    let (low, high) = (slots.clone().min().unwrap_or(0), slots.max().unwrap_or(-1));
    let mut accounts: std::collections::HashMap<i64, Vec<Account>> = Default::default();
    if !banks.is_empty() {
        let found = reader
            .query(
                "SELECT bank, pubkey, owner, lamports, data, signature, write_version, account_slot FROM archive.account
                 WHERE slot BETWEEN $1 AND $2 AND bank = ANY($3) ORDER BY bank, ordinal",
                &[&low, &high, &banks],
            )
            .await?;
        for row in &found {
            accounts
                .entry(row.get("bank"))
                .or_default()
                .push(state::account(row)?);
        }
    }
    let mut bodies = bodies(reader, &rows).await?;
    rows.iter()
        .map(|row| event(row, &mut accounts, &mut bodies))
        .collect()
}

/// The transactions of those events that have some.
async fn bodies(
    reader: &mut Session,
    rows: &[Row],
) -> Result<std::collections::HashMap<i64, Vec<u8>>, IndexerError> {
    let calls = rows
        .iter()
        .filter(|row| row.get::<_, i16>("kind") == kind::CALLS);
    let events: Vec<i64> = calls.map(|row| row.get("id")).collect();
    if events.is_empty() {
        return Ok(Default::default());
    }
    let found = reader
        .query(
            "SELECT event, body FROM archive.transactions WHERE event = ANY($1)",
            &[&events],
        )
        .await?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What an event of this kind says: `kind: detail`.
fn refused(run: [u8; 16], slot: u64, text: &str) -> Option<Input> {
    let (word, detail) = text.split_once(": ")?;
    Some(Input::Refused {
        run,
        kind: Kind::ALL.into_iter().find(|kind| kind.as_str() == word)?,
        slot,
        detail: detail.to_owned(),
    })
}

/// The account updates of an event, if the archive has them all.
fn content_of(
    row: &Row,
    id: i64,
    accounts: &mut std::collections::HashMap<i64, Vec<Account>>,
) -> Result<Vec<Account>, IndexerError> {
    let content = accounts.remove(&id).unwrap_or_default();
    if content.len() as i64 != i64::from(row.get::<_, i32>("accounts")) {
        return Err(IndexerError::Broken(format!(
            "archived event {id} has {} account updates, not {}: the archive is incomplete",
            content.len(),
            row.get::<_, i32>("accounts")
        )));
    }
    Ok(content)
}

fn broken(what: &str) -> IndexerError {
    IndexerError::Broken(format!("archived event {what}"))
}

fn opt_hash(row: &Row, column: &str) -> Result<Option<Hash>, IndexerError> {
    row.get::<_, Option<&[u8]>>(column)
        .map(|h| h.try_into().map_err(|_| broken(column)))
        .transpose()
}

fn slot_of(row: &Row, column: &str) -> u64 {
    u64::try_from(row.get::<_, Option<i64>>(column).unwrap_or(0)).unwrap_or(0)
}

fn bank_id(row: &Row, slot: &str, hash: &str) -> Result<BankId, IndexerError> {
    Ok(BankId {
        slot: slot_of(row, slot),
        hash: opt_hash(row, hash)?.ok_or_else(|| broken(hash))?,
    })
}

fn event(
    row: &Row,
    accounts: &mut std::collections::HashMap<i64, Vec<Account>>,
    bodies: &mut std::collections::HashMap<i64, Vec<u8>>,
) -> Result<(i64, Input), IndexerError> {
    let opt_hash = |column: &str| opt_hash(row, column);
    let slot_of = |column: &str| slot_of(row, column);
    let id: i64 = row.get("id");
    let run: [u8; 16] = row
        .get::<_, &[u8]>("run")
        .try_into()
        .map_err(|_| broken("run"))?;
    let slot = slot_of("slot");
    let generation = row.get::<_, i64>("generation") as u32;
    let said: Option<String> = row.get("detail");
    let mut content = content_of(row, id, accounts)?;
    let input = match row.get("kind") {
        kind::RUN_START => Input::RunStart {
            run,
            genesis: opt_hash("blockhash")?,
            interface: String::new(),
            plugin: String::new(),
            primed: false,
        },
        kind::BASE => {
            let as_of = opt_hash("parent_blockhash")?.map(|hash| BankId {
                slot: slot_of("parent_slot"),
                hash,
            });
            Input::Base {
                run,
                slot,
                as_of,
                accounts: std::mem::take(&mut content),
            }
        }
        kind::BANK => Input::Bank(SealedBank {
            run,
            generation,
            id: bank_id(row, "slot", "blockhash")?,
            parent: bank_id(row, "parent_slot", "parent_blockhash")?,
            block_time: row.get("block_seconds"),
            digest: Vec::new(),
            filter_hash: Vec::new(),
            whole: row.get("whole"),
            accounts: content,
            transactions: said.as_deref() == Some(detail::TRANSACTIONS),
        }),
        kind::CALLS => Input::Calls {
            run,
            generation,
            id: bank_id(row, "slot", "blockhash")?,
            whole: row.get("whole"),
            body: bodies.remove(&id).unwrap_or_default().into(),
        },
        kind::CONFIRMED => Input::Confirmed {
            run,
            slot,
            hash: opt_hash("blockhash")?,
        },
        kind::ROOTED => Input::Rooted {
            run,
            slot,
            hash: opt_hash("blockhash")?,
            parent: row
                .get::<_, Option<i64>>("parent_slot")
                .map(|_| slot_of("parent_slot")),
        },
        kind::DEAD => Input::Dead {
            run,
            slot,
            generation,
            reason: said.unwrap_or_default(),
        },
        kind::RESET => Input::Reset {
            run,
            slot,
            generation,
        },
        kind::LOSS => Input::Loss {
            run,
            first: slot,
            last: slot,
            count: 0,
            reason: said.unwrap_or_default(),
        },
        kind::RUN_END => Input::RunEnd { run },
        kind::REFUSED => {
            refused(run, slot, &said.unwrap_or_default()).ok_or_else(|| broken("detail"))?
        }
        other => {
            return Err(IndexerError::Broken(format!(
                "archived event {id} is of unknown kind {other}"
            )));
        }
    };
    Ok((id, input))
}
