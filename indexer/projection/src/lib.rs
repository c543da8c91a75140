//! Account updates to rows: decodes what the program wrote, refuses what can't be stored. Pure.
//! Content is hostile until it has passed here; nothing that passes can fail in SQL.
//!
//! A file for each account: its table, the row of an account, what the feed is told. [`fields`] checks single values.

#![recursion_limit = "256"]
#![forbid(unsafe_code)]

mod archived;
mod case;
mod claim;
mod closure;
mod config;
pub mod entity;
mod event;
pub mod feed;
mod fields;
mod grant;
mod job;
mod juror;
mod market;
mod model;
mod opening;
mod output;
mod print;
mod treasury;
mod unreadable;
mod validator;
pub mod varint;
mod vault;
mod votes;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mythic_interface::market::state::{
    Class, Lease, LeaseDispute, MarketConfig, MarketTreasury, Provider, Request,
};
use mythic_interface::{
    AI_PRECOMPILES_ID, COMPUTE_MARKET_ID, PROGRAMS,
    state::{Case, Config, Job, Key, Model, Output, SpendGrant, Treasury, Validator, Vault, Votes},
};
use serde_json::Value as Json;

use crate::entity::{Entity, Row, Table};
use crate::feed::{Add, Topic};

pub use archived::{ARCHIVED, Damaged, PARCEL_UPDATES, PLACE, Parcel, Parcels, archived, parcels};
pub use event::{ShownEvent, StoredEvent, Unread, feed_entries};
use fields::amount;
pub use fields::{Reject, base58};
pub use print::{Before, Print, Prints};

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
    Case => case::CaseRow,
    Treasury => treasury::TreasuryRow,
    Config => config::ConfigRow,
    Closure => closure::ClosureRow,
    Juror => juror::JurorRow,
    Opening => opening::OpeningRow,
    Output => output::OutputRow,
    Unreadable => unreadable::UnreadableRow,
    Claim => claim::ClaimRow,
    Votes => votes::VotesRow,
    MarketConfig => market::config::MarketConfigRow,
    MarketTreasury => market::treasury::MarketTreasuryRow,
    Class => market::class::ClassRow,
    Provider => market::provider::ProviderRow,
    Request => market::request::RequestRow,
    Lease => market::lease::LeaseRow,
    LeaseEpoch => market::lease::EpochRow,
    LeaseDispute => market::dispute::DisputeRow,
    LeaseSignature => market::signature::LeaseSignatureRow,
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

/// `write_version` of an update before which the account may have been written unseen: a producer that asks what accounts are
/// sees them now and then.
pub const UNSEEN_BEFORE: u64 = u64::MAX;

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
    /// The newest write of each account that the bank changes.
    pub prints: Prints,
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
/// refused unseen (the database would not take them). An update that leaves the account as it was `before` changes nothing, and
/// one that only sends it lamports changes these alone: anyone may name an account of the program in a transaction, or send it some.
pub fn project_bank<'a>(
    slot: u64,
    accounts: &[Account],
    skip: &HashMap<i32, String>,
    before: impl Fn(&Key) -> Before<'a>,
) -> BankChanges {
    let mut changes = BankChanges::default();
    let mut folded = Folded::default();
    for (ordinal, account) in (0i32..).zip(accounts) {
        let at = At {
            slot,
            ordinal,
            exact: account.write_version != UNSEEN_BEFORE,
        };
        let projected = match skip.get(&ordinal) {
            Some(reason) => Err(Reject::Database(reason.clone())),
            None => project(account, at),
        };
        let print = print(account, &projected);
        let known = match changes.prints.get(&account.pubkey) {
            Some(print) => Before {
                print: Some(print),
                certain: true,
            },
            None => before(&account.pubkey),
        };
        // What the database refused, a rebuild knows by its place: each time is noted.
        let repeatable = !matches!(projected, Err(Reject::Database(_)));
        if repeatable && known.certain && known.print == Some(&print) {
            continue;
        }
        let is_gift = known.certain
            && known
                .print
                .is_some_and(|before| before.is_same_write(&print));
        let was_unreadable = matches!(known.print, Some(Print::Unreadable(_)));
        let mut projected = projected.unwrap_or_else(|reason| {
            let mut unreadable = Projected::default();
            unreadable.unreadable(account, at, Some(reason.to_string()));
            changes.refused.push(Refused {
                pubkey: account.pubkey,
                ordinal,
                reason,
            });
            unreadable
        });
        if was_unreadable
            && projected
                .rows
                .iter()
                .all(|r| r.entity != Entity::Unreadable)
        {
            projected.unreadable(account, at, None);
            // What stood in it when it was closed is not known.
            let mut rows = projected.rows.iter_mut();
            if let Some(closure) = rows.find(|row| row.entity == Entity::Closure) {
                closure.exact = false;
            }
        }
        if is_gift {
            projected.rows.retain(|row| row.entity.is_account());
            projected.adds.clear();
        }
        changes.prints.insert(account.pubkey, print);
        folded.take(projected);
    }
    changes.adds = std::mem::take(&mut folded.adds)
        .into_iter()
        .flatten()
        .collect();
    changes.rows = folded.rows();
    changes
}

fn print(account: &Account, projected: &Result<Projected, Reject>) -> Print {
    let projected = match projected {
        Ok(projected) => projected,
        Err(reason) => return Print::Unreadable(reason.to_string()),
    };
    let state = projected.rows.iter().find(|row| row.entity.is_account());
    state.map_or(Print::Closed, |row| Print::Readable {
        entity: row.entity,
        seq: row.write_seq,
        lamports: account.lamports,
    })
}

/// Rows and announcements of a bank so far.
#[derive(Default)]
struct Folded {
    rows: Vec<Row>,
    places: HashMap<(Entity, Vec<u8>), usize>,
    adds: Vec<Option<Add>>,
    /// Place of the announcement that a later one of its account and topic replaces.
    last: HashMap<(Topic, Key), usize>,
}

impl Folded {
    fn take(&mut self, projected: Projected) {
        for row in projected.rows {
            let key = (row.entity, row.key_bytes());
            match self.places.get(&key) {
                // The first update that shows a transition names its transaction; for the rest the last wins.
                Some(_) if matches!(row.entity, Entity::JobSignature | Entity::LeaseSignature) => {}
                Some(place) => {
                    let before = self.rows[*place].exact;
                    self.rows[*place] = row;
                    // Closings of one slot are one row: it is no surer than the least sure of them.
                    if key.0 == Entity::Closure {
                        self.rows[*place].exact &= before;
                    }
                }
                None => {
                    self.places.insert(key, self.rows.len());
                    self.rows.push(row);
                }
            }
        }
        for (last_only, add) in projected.adds {
            let place = self.adds.len();
            if last_only
                && let Some(earlier) = self.last.insert((add.topic, add.entity), place)
                && let Some(earlier) = self.adds.get_mut(earlier)
            {
                *earlier = None;
            }
            self.adds.push(Some(add));
        }
    }

    /// The rows, without the parts of cases that were closed and made again: a new case has its own.
    fn rows(mut self) -> Vec<Row> {
        let closings = self.rows.iter().filter(|r| r.entity == Entity::Closure);
        let closed: HashMap<Key, i32> = closings.map(|r| (r.pubkey, r.ordinal)).collect();
        let is_after = |row: &Row| closed.get(&row.pubkey).is_some_and(|at| row.ordinal > *at);
        let cases = self.rows.iter().filter(|r| r.entity == Entity::Case);
        let again: HashSet<Key> = cases.filter(|r| is_after(r)).map(|r| r.pubkey).collect();
        self.rows.retain(|row| {
            let is_part = matches!(row.entity, Entity::Juror | Entity::Opening | Entity::Claim);
            !is_part || !again.contains(&row.pubkey) || is_after(row)
        });
        self.rows
    }
}

/// What one update says.
#[derive(Clone, Debug, Default)]
pub struct Projected {
    pub rows: Vec<Row>,
    /// `true`: only the last one of an account and topic in a bank is announced.
    pub adds: Vec<(bool, Add)>,
    /// The topic whose payload is wanted, and the payload.
    told: Option<(Topic, Option<Json>)>,
}

/// What kind of account its owner and its first byte say it is.
pub fn entity_of(owner: &Key, data: &[u8]) -> Option<Entity> {
    let first = *data.first()?;
    match *owner {
        AI_PRECOMPILES_ID => of_ai_precompiles(first),
        COMPUTE_MARKET_ID => of_compute_market(first),
        _ => None,
    }
}

fn of_ai_precompiles(discriminator: u8) -> Option<Entity> {
    Some(match discriminator {
        Job::DISCRIMINATOR => Entity::Job,
        Validator::DISCRIMINATOR => Entity::Validator,
        Model::DISCRIMINATOR => Entity::Model,
        Vault::DISCRIMINATOR => Entity::Vault,
        SpendGrant::DISCRIMINATOR => Entity::Grant,
        Case::DISCRIMINATOR => Entity::Case,
        Treasury::DISCRIMINATOR => Entity::Treasury,
        Config::DISCRIMINATOR => Entity::Config,
        Output::DISCRIMINATOR => Entity::Output,
        Votes::DISCRIMINATOR => Entity::Votes,
        _ => return None,
    })
}

fn of_compute_market(discriminator: u8) -> Option<Entity> {
    Some(match discriminator {
        MarketConfig::DISCRIMINATOR => Entity::MarketConfig,
        MarketTreasury::DISCRIMINATOR => Entity::MarketTreasury,
        Class::DISCRIMINATOR => Entity::Class,
        Provider::DISCRIMINATOR => Entity::Provider,
        Request::DISCRIMINATOR => Entity::Request,
        Lease::DISCRIMINATOR => Entity::Lease,
        LeaseDispute::DISCRIMINATOR => Entity::LeaseDispute,
        _ => return None,
    })
}

/// Projects one update.
pub fn project(account: &Account, at: At) -> Result<Projected, Reject> {
    let mut out = Projected::default();
    out.take(account, at)?;
    Ok(out)
}

/// What the feed tells of an update under a topic; `None` where that topic says nothing of it. What writes the feed notes only
/// which update an event is of, and whoever reads it makes the payload here.
pub fn tell(account: &Account, at: At, topic: Topic) -> Option<Json> {
    let mut out = Projected {
        told: Some((topic, None)),
        ..Projected::default()
    };
    out.take(account, at).ok()?;
    out.told?.1
}

impl Projected {
    fn take(&mut self, account: &Account, at: At) -> Result<(), Reject> {
        if account.lamports == 0 || !PROGRAMS.contains(&account.owner) {
            self.closure(account, at);
            return Ok(());
        }
        let lamports = amount("lamports", account.lamports)?;
        let data = &account.data;
        let first = *data.first().ok_or(Reject::Empty)?;
        match entity_of(&account.owner, data).ok_or(Reject::Unknown(first))? {
            Entity::Job => self.job(account, at, Job::load(data)?, lamports),
            Entity::Validator => self.validator(account, at, Validator::load(data)?, lamports),
            Entity::Model => self.model(account, at, Model::load(data)?, lamports),
            Entity::Vault => self.vault(account, at, Vault::load(data)?, lamports),
            Entity::Grant => self.grant(account, at, SpendGrant::load(data)?, lamports),
            Entity::Case => self.case(account, at, Case::load(data)?, lamports),
            Entity::Treasury => self.treasury(account, at, Treasury::load(data)?, lamports),
            Entity::Config => self.config(account, at, Config::load(data)?, lamports),
            Entity::Output => self.output(account, at, Output::load(data)?, lamports),
            Entity::Votes => self.votes(account, at, Votes::load(data)?, lamports),
            entity => self.market(account, at, entity, lamports),
        }
    }

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
    fn announce(
        &mut self,
        topic: Topic,
        account: &Account,
        at: At,
        payload: impl FnOnce() -> Json,
    ) {
        self.add(true, topic, (account, at), payload);
    }

    /// Announces the account's state; of several in a bank each.
    fn announce_each(
        &mut self,
        topic: Topic,
        account: &Account,
        at: At,
        payload: impl FnOnce() -> Json,
    ) {
        self.add(false, topic, (account, at), payload);
    }

    fn add(
        &mut self,
        last_only: bool,
        topic: Topic,
        (account, at): (&Account, At),
        payload: impl FnOnce() -> Json,
    ) {
        if let Some(told) = &mut self.told
            && told.0 == topic
        {
            told.1 = Some(payload());
        }
        self.adds.push((
            last_only,
            Add {
                topic,
                entity: account.pubkey,
                ordinal: at.ordinal,
            },
        ));
    }
}
