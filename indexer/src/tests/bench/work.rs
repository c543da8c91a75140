//! What the benchmarks write: account updates, as a validator's spool and as rows of the archive.

use std::path::Path;

use bytes::Bytes;
use mythic_interface::AI_PRECOMPILES_ID;
use mythic_postgres::CopyBuffer;
use mythic_stream::proto::{AccountUpdate, Event};

use crate::entity::Entity;
use crate::plan::archived_rows;
use crate::projection::Account;
use crate::tests::chain::*;
use crate::tests::real::*;

/// Slots with content, and how far finality is behind.
pub const SLOTS: u64 = 48;
pub const BEHIND: u64 = 32;
pub const ROWS: u64 = 4_000;
/// Accounts that are written over and over.
#[derive(Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    data: fn(account: u64, slot: u64) -> Vec<u8>,
    /// Which account row `row` of a slot is of.
    account: fn(slot: u64, row: u64) -> u64,
    pub entities: &'static [Entity],
    pub history: Option<&'static str>,
}

/// A vault: one row, and one of its history, an update.
pub const VAULTS: Workload = Workload {
    name: "vaults",
    data: a_vault,
    account: in_turn,
    entities: &[Entity::Vault],
    history: Some("vault_balance"),
};

/// A job that changes its status: its row, a signature's, and an event of the feed an update.
pub const JOBS: Workload = Workload {
    name: "jobs",
    data: |account, slot| {
        let life = Life {
            requested: 1,
            accepted: slot,
            ..Life::default()
        };
        a_job(account, slot, life)
    },
    account: in_turn,
    entities: &[Entity::Job, Entity::JobSignature],
    history: None,
};

/// A vault that is named in a transaction and stays as it was: archived, and nothing more.
pub const REPEATS: Workload = Workload {
    name: "repeats",
    data: |account, _| a_vault(account, 1),
    account: |_, row| row,
    entities: &[],
    history: None,
};

/// Jobs as they live: requested in one slot, accepted, submitted and settled in the next ones, and never written again.
pub const LIVES: Workload = Workload {
    name: "lives",
    data: |account, slot| {
        let requested = account / NEW_JOBS;
        let stage = slot - requested;
        let reached = |at: u64| if stage >= at { requested + at } else { 0 };
        let life = Life {
            requested,
            accepted: reached(1),
            submitted: reached(2),
            ended: reached(3),
        };
        a_job(account, stage + 1, life)
    },
    account: |slot, row| (slot - row / NEW_JOBS) * NEW_JOBS + row % NEW_JOBS,
    entities: &[Entity::Job, Entity::JobSignature],
    history: None,
};
/// Of a slot, a quarter of its rows.
const NEW_JOBS: u64 = ROWS / 4;

/// Of 60,000 accounts the next ones.
fn in_turn(slot: u64, row: u64) -> u64 {
    (slot * ROWS + row) % 60_000
}

impl Workload {
    /// The updates of a slot, `rows` of them.
    pub fn accounts(self, slot: u64, rows: u64) -> impl Iterator<Item = Account> {
        (0..rows).map(move |row| {
            let entity = (self.account)(slot, row);
            Account {
                pubkey: noise(entity, 0),
                owner: AI_PRECOMPILES_ID,
                lamports: 1_000_000,
                data: (self.data)(entity, slot).into(),
                signature: Some(noise(slot, row)),
                write_version: slot * rows + row,
                slot,
            }
        })
    }

    /// A slot as the plugin tells it, with what becomes confirmed and rooted meanwhile.
    pub fn tell(self, chain: &mut Chain, slot: u64, rows: u64) {
        let generation = chain.create(slot);
        for account in self.accounts(slot, rows) {
            chain.push(Event::Account(AccountUpdate {
                slot,
                generation,
                write_version: account.write_version,
                pubkey: account.pubkey.to_vec().into(),
                owner: account.owner.to_vec().into(),
                lamports: account.lamports,
                data: account.data,
                is_startup: false,
                signature: account
                    .signature
                    .map(|s| s.to_vec())
                    .unwrap_or_default()
                    .into(),
            }));
        }
        chain.seal(slot, 0, (slot - 1, 0), generation, rows);
        if slot > 1 {
            chain.confirm(slot - 1, 0);
        }
        if slot > BEHIND {
            chain.root(slot - BEHIND, 0);
        }
        chain.sync();
    }

    /// All slots, and as many empty ones as it takes to root them.
    pub fn fill(self, dir: &Path) {
        let mut chain = Chain::start(dir, 1, 0, &[]);
        for slot in 1..=SLOTS + BEHIND {
            self.tell(&mut chain, slot, if slot <= SLOTS { ROWS } else { 0 });
        }
    }

    /// Updates for `COPY`, as the archive packs them.
    pub fn archive_parcels(self, slot: u64) -> Bytes {
        let mut rows = CopyBuffer::default();
        let accounts: Vec<Account> = self.accounts(slot, ROWS).collect();
        archived_rows(&mut rows, (slot as i64, slot as i64), 0, &accounts);
        rows.finish()
    }

    /// Updates for `COPY`, a row each.
    pub fn archive_rows(self, slot: u64) -> Bytes {
        let mut rows = CopyBuffer::default();
        for (ordinal, account) in (0i32..).zip(self.accounts(slot, ROWS)) {
            rows.row(10)
                .i64(slot as i64)
                .i64(slot as i64)
                .i32(ordinal)
                .i64(account.write_version as i64)
                .i64(slot as i64)
                .bytes(&account.pubkey)
                .bytes(&account.owner)
                .bytes(&account.lamports.to_le_bytes())
                .opt_bytes(account.signature.as_ref().map(|s| &s[..]))
                .bytes(&account.data);
        }
        rows.finish()
    }
}
