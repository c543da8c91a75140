//! What the benchmarks write: account updates, as a validator's spool and as rows of the archive.

use std::path::Path;

use bytes::Bytes;
use mythic_interface::AI_PRECOMPILES_ID;
use mythic_postgres::CopyBuffer;
use mythic_stream::proto::{AccountUpdate, Event};

use crate::entity::Entity;
use crate::projection::Account;
use crate::tests::chain::*;

/// Slots with content, and how far finality is behind.
pub const SLOTS: u64 = 48;
pub const BEHIND: u64 = 32;
pub const ROWS: u64 = 4_000;
/// Accounts that are written over and over.
#[derive(Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    data: fn(slot: u64) -> Vec<u8>,
    /// How many there are.
    accounts: u64,
    pub entities: &'static [Entity],
    pub history: Option<&'static str>,
}

/// A vault: one row, and one of its history, an update.
pub const VAULTS: Workload = Workload {
    name: "vaults",
    data: |slot| vault(slot, slot),
    accounts: 60_000,
    entities: &[Entity::Vault],
    history: Some("vault_balance"),
};

/// A job that changes its status: its row, a signature's, and an event of the feed an update.
pub const JOBS: Workload = Workload {
    name: "jobs",
    data: |slot| {
        job(
            slot,
            Life {
                requested: 1,
                accepted: slot,
                ..Life::default()
            },
        )
    },
    accounts: 60_000,
    entities: &[Entity::Job, Entity::JobSignature],
    history: None,
};

/// A vault that is named in a transaction and stays as it was: archived, and nothing more.
pub const REPEATS: Workload = Workload {
    name: "repeats",
    data: |_| vault(1, 1),
    accounts: ROWS,
    entities: &[],
    history: None,
};

impl Workload {
    /// The updates of a slot, `rows` of them.
    pub fn accounts(self, slot: u64, rows: u64) -> impl Iterator<Item = Account> {
        (0..rows).map(move |row| {
            let entity = (slot * rows + row) % self.accounts;
            let mut pubkey = [5; 32];
            // Spread over the index.
            pubkey[..8].copy_from_slice(&entity.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            Account {
                pubkey,
                owner: AI_PRECOMPILES_ID,
                lamports: 1_000_000,
                data: (self.data)(slot).into(),
                signature: Some(signature(slot, 0, row as u8)),
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

    /// Rows of the archive for `COPY`.
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
