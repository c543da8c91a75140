//! Account updates to rows: decodes what the program wrote, refuses what can't be stored. Pure.
//! Content is hostile until it has passed here; nothing that passes can fail in SQL.
//!
//! A file for each account: its table, the row of an account, what the feed is told. [`fields`] checks single values.

mod closure;
mod config;
mod dispute;
mod fields;
mod grant;
mod job;
mod juror;
mod model;
mod opening;
mod output;
mod treasury;
mod validator;
mod vault;

use std::collections::HashMap;

use bytes::Bytes;
use mythic_interface::{
    AI_PRECOMPILES_ID,
    state::{Config, Dispute, Job, Key, Model, Output, SpendGrant, Treasury, Validator, Vault},
};
use serde_json::Value as Json;

use crate::entity::{Entity, Row, Table, Value};
use crate::feed::{Add, Topic};

use fields::amount;
pub use fields::{Reject, base58};

/// What is known of each table.
macro_rules! tables {
    ($($entity:ident => $row:ty),* $(,)?) => {
        impl Entity {
            /// Name of the table; `_hot` and `_overlay` are its companions.
            pub const fn table(self) -> &'static str { match self { $(Entity::$entity => <$row>::NAME,)* } }

            /// Primary key of the table.
            pub const fn keys(self) -> &'static [&'static str] { match self { $(Entity::$entity => <$row>::KEYS,)* } }

            /// Columns after [`crate::entity::VERSION_COLUMNS`], in the order of [`Row::values`].
            pub const fn columns(self) -> &'static [&'static str] { match self { $(Entity::$entity => <$row>::COLUMNS,)* } }
        }
    };
}

tables! {
    Job => job::JobRow,
    JobSignature => job::SignatureRow,
    Validator => validator::ValidatorRow,
    ValidatorStake => validator::StakeRow,
    Model => model::ModelRow,
    Vault => vault::VaultRow,
    Grant => grant::GrantRow,
    Dispute => dispute::DisputeRow,
    Treasury => treasury::TreasuryRow,
    Config => config::ConfigRow,
    Closure => closure::ClosureRow,
    Juror => juror::JurorRow,
    Opening => opening::OpeningRow,
    Output => output::OutputRow,
}

/// An account as an update shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub pubkey: Key,
    pub owner: Key,
    pub lamports: u64,
    pub data: Bytes,
    /// Of the transaction; none at start-up.
    pub signature: Option<[u8; 64]>,
    pub write_version: u64,
    /// Slot the producer gave it: the bank's, or that of the last write for a base.
    pub slot: u64,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub pubkey: Key,
    pub ordinal: i32,
    pub reason: Reject,
}

/// What one bank changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BankChanges {
    /// The last row of each entity in the bank, and every row of histories.
    pub rows: Vec<Row>,
    /// In the order of the updates.
    pub adds: Vec<Add>,
    pub refused: Vec<Refused>,
    /// Accounts whose newest content in the bank is good.
    pub good: Vec<Key>,
}

impl BankChanges {
    /// Set of entities with rows, by [`Entity::bit`].
    pub fn entities(&self) -> u32 {
        self.rows.iter().fold(0, |set, row| set | row.entity.bit())
    }
}

/// Where rows of an account are written.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub slot: u64,
    pub ordinal: i32,
    pub exact: bool,
}

/// Projects a bank's updates, in their order. `slot` is the bank's. Updates whose ordinal is in `skip` are
/// refused unseen (the database would not take them).
pub fn project_bank(slot: u64, accounts: &[Account], skip: &HashMap<i32, String>) -> BankChanges {
    let mut changes = BankChanges::default();
    let mut places: HashMap<(Entity, Vec<u8>), usize> = HashMap::new();
    let mut adds: Vec<Option<Add>> = Vec::new();
    let mut last: HashMap<(Topic, Key), usize> = HashMap::new();
    let mut verdicts: HashMap<Key, bool> = HashMap::new();
    for (ordinal, account) in (0i32..).zip(accounts) {
        let at = At {
            slot,
            ordinal,
            exact: true,
        };
        let projected = match skip.get(&ordinal) {
            Some(reason) => Err(Reject::Database(reason.clone())),
            None => project(account, at),
        };
        verdicts.insert(account.pubkey, projected.is_ok());
        let projected = match projected {
            Ok(projected) => projected,
            Err(reason) => {
                changes.refused.push(Refused {
                    pubkey: account.pubkey,
                    ordinal,
                    reason,
                });
                continue;
            }
        };
        for row in projected.rows {
            let key = (row.entity, key_bytes(&row));
            match places.get(&key) {
                // The first update that shows a transition names its transaction; for the rest the last wins.
                Some(_) if row.entity == Entity::JobSignature => {}
                Some(place) => changes.rows[*place] = row,
                None => {
                    places.insert(key, changes.rows.len());
                    changes.rows.push(row);
                }
            }
        }
        for (last_only, add) in projected.adds {
            if last_only
                && let Some(earlier) = last.insert((add.topic, add.entity), adds.len())
                && let Some(place) = adds.get_mut(earlier)
            {
                *place = None;
            }
            adds.push(Some(add));
        }
    }
    changes.adds = adds.into_iter().flatten().collect();
    changes.good = verdicts
        .into_iter()
        .filter_map(|(key, good)| good.then_some(key))
        .collect();
    changes.good.sort_unstable();
    changes
}

/// The values of a row's primary key, as one string of bytes.
fn key_bytes(row: &Row) -> Vec<u8> {
    let mut out = row.pubkey.to_vec();
    for key in row.entity.keys() {
        match *key {
            "slot" => out.extend(row.slot.to_be_bytes()),
            "ordinal" => out.extend(row.ordinal.to_be_bytes()),
            column => {
                let place = row.entity.columns().iter().position(|c| *c == column);
                match place.and_then(|p| row.values.get(p)) {
                    Some(Value::I64(v)) => out.extend(v.to_be_bytes()),
                    Some(Value::I16(v)) => out.extend(v.to_be_bytes()),
                    _ => {}
                }
            }
        }
    }
    out
}

/// What one update says.
#[derive(Clone, Debug, Default)]
pub struct Projected {
    pub rows: Vec<Row>,
    /// `true`: only the last one of an account and topic in a bank is announced.
    pub adds: Vec<(bool, Add)>,
}

/// Projects one update.
pub fn project(account: &Account, at: At) -> Result<Projected, Reject> {
    let mut out = Projected::default();
    if account.lamports == 0 || account.owner != AI_PRECOMPILES_ID {
        out.closure(account, at);
        return Ok(out);
    }
    let lamports = amount("lamports", account.lamports)?;
    let data = &account.data;
    match *data.first().ok_or(Reject::Empty)? {
        Job::DISCRIMINATOR => out.job(account, at, Job::load(data)?, lamports)?,
        Validator::DISCRIMINATOR => out.validator(account, at, Validator::load(data)?, lamports)?,
        Model::DISCRIMINATOR => out.model(account, at, Model::load(data)?, lamports)?,
        Vault::DISCRIMINATOR => out.vault(account, at, Vault::load(data)?, lamports)?,
        SpendGrant::DISCRIMINATOR => out.grant(account, at, SpendGrant::load(data)?, lamports)?,
        Dispute::DISCRIMINATOR => out.dispute(account, at, Dispute::load(data)?, lamports)?,
        Treasury::DISCRIMINATOR => out.treasury(account, at, Treasury::load(data)?, lamports)?,
        Config::DISCRIMINATOR => out.config(account, at, Config::load(data)?, lamports)?,
        Output::DISCRIMINATOR => out.output(account, at, Output::load(data)?, lamports)?,
        other => return Err(Reject::Unknown(other)),
    }
    Ok(out)
}

impl Projected {
    /// Adds a row of an account.
    fn row<T: Table>(&mut self, account: &Account, at: At, write_seq: i64, row: T) {
        self.rows.push(Row {
            entity: T::ENTITY,
            pubkey: account.pubkey,
            slot: i64::try_from(at.slot).unwrap_or(i64::MAX),
            ordinal: at.ordinal,
            write_seq,
            exact: at.exact,
            values: row.values(),
        });
    }

    /// Announces the account's state; of several in a bank only the last.
    fn announce(&mut self, topic: Topic, account: &Account, payload: Json) {
        let entity = account.pubkey;
        self.adds.push((
            true,
            Add {
                topic,
                entity,
                payload,
            },
        ));
    }
}
