//! The newest writes of accounts, as the tables have them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mythic_interface::state::Key;
use tokio_postgres::Row;

use crate::db::Session;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::plan::{Known, RootedPrint};
use crate::projection::{Account, Print, Prints, entity_of};

/// Tables with the writes of accounts.
fn tables() -> impl Iterator<Item = Entity> {
    let others = [Entity::Closure, Entity::Unreadable];
    Entity::ALL
        .iter()
        .copied()
        .filter(move |e| e.is_account() || others.contains(e))
}

/// Columns of a write; of a row that says only that an account can be read again, none.
fn columns(entity: Entity) -> &'static str {
    match entity {
        Entity::Closure => {
            "pubkey, slot, ordinal, 0::bigint AS write_seq, 0::bigint AS lamports, NULL AS reason"
        }
        Entity::Unreadable => {
            "pubkey, slot, ordinal, 0::bigint AS write_seq, 0::bigint AS lamports, reason"
        }
        _ => "pubkey, slot, ordinal, write_seq, lamports, NULL AS reason",
    }
}

fn only(entity: Entity) -> &'static str {
    match entity {
        Entity::Unreadable => " AND reason IS NOT NULL",
        _ => "",
    }
}

fn broken() -> IndexerError {
    IndexerError::Broken("a stored account is not what was written".into())
}

fn print(entity: Entity, row: &Row) -> Result<(Key, RootedPrint), IndexerError> {
    let print = match entity {
        Entity::Closure => Print::Closed,
        Entity::Unreadable => Print::Unreadable(row.get("reason")),
        entity => Print::Readable {
            entity,
            seq: row.get("write_seq"),
            lamports: u64::try_from(row.get::<_, i64>("lamports")).map_err(|_| broken())?,
        },
    };
    let write = RootedPrint {
        slot: row.get("slot"),
        ordinal: row.get("ordinal"),
        print,
    };
    let key = row.get::<_, &[u8]>("pubkey");
    Ok((key.try_into().map_err(|_| broken())?, write))
}

/// What unrooted banks wrote.
pub async fn of_banks(
    session: &mut Session,
    schema: &str,
    banks: &[i64],
) -> Result<BTreeMap<i64, Arc<Prints>>, IndexerError> {
    let mut newest: BTreeMap<i64, Known> = BTreeMap::new();
    for entity in tables() {
        let sql = format!(
            "SELECT bank, {} FROM {schema}.{}_hot WHERE bank = ANY($1){}",
            columns(entity),
            entity.table(),
            only(entity)
        );
        for row in &session.query(&sql, &[&banks]).await? {
            let (key, write) = print(entity, row)?;
            newest.entry(row.get("bank")).or_default().learn(key, write);
        }
    }
    let all = newest.into_iter();
    Ok(all
        .map(|(bank, known)| (bank, Arc::new(known.into_prints())))
        .collect())
}

/// The tables that may hold the newest write of an account before one that is written now: those of its kind, closings and
/// what can't be read; a row of another kind is older than a closing. Of content that can't be read nobody knows the kind.
pub fn asked_of(account: &Account) -> u32 {
    let kind = entity_of(&account.owner, &account.data).filter(|_| account.lamports > 0);
    let asked =
        tables().filter(|entity| !entity.is_account() || kind.is_none_or(|kind| kind == *entity));
    asked.fold(0, |set, entity| set | entity.bit())
}

/// The newest rooted writes of accounts, in the tables of [`asked_of`].
pub async fn rooted(
    session: &mut Session,
    schema: &str,
    accounts: &[&Account],
) -> Result<Known, IndexerError> {
    let mut keys: BTreeMap<Entity, HashSet<&[u8]>> = BTreeMap::new();
    for account in accounts {
        let asked = asked_of(account);
        for entity in tables().filter(|entity| asked & entity.bit() != 0) {
            keys.entry(entity).or_default().insert(&account.pubkey);
        }
    }
    let mut known = Known::default();
    for (entity, keys) in keys {
        let keys: Vec<&[u8]> = keys.into_iter().collect();
        let sql = format!(
            "SELECT {} FROM {schema}.{} WHERE pubkey = ANY($1){}",
            columns(entity),
            entity.table(),
            only(entity)
        );
        for row in &session.query(&sql, &[&keys]).await? {
            let (key, write) = print(entity, row)?;
            known.learn(key, write);
        }
    }
    Ok(known)
}
