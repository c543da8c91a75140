//! What a stream of records means: which generation of a slot an update belongs to, what a seal
//! says, which closings are final. A state machine without I/O, driven by the drain thread.

use crate::{
    calls::Told,
    queue::{AccountRecord, SealRecord, SlotRecord},
};
use mythic_stream::{
    digest::BankDigest,
    proto::{SlotSeal, SlotStatus, SlotUpdate, TransactionSeal},
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Slots remembered below the root, since Confirmed may come after Rooted.
const BELOW_ROOT: u64 = 512;
/// Slots remembered where no root ever comes (a validator without RPC).
const MAX_SLOTS: usize = 8192;
/// Start-up tombstones remembered; beyond it some closed accounts stay tracked, which does no harm.
const MAX_BASE_CLOSINGS: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    filter_hash: [u8; 32],
    /// Transactions are streamed too.
    transactions: bool,
    banks: BTreeMap<u64, Bank>,
    /// Slot -> accounts that closed in it and were not seen alive in it afterwards.
    closings: BTreeMap<u64, HashSet<[u8; 32]>>,
    base_closings: HashMap<[u8; 32], u64>,
}

#[derive(Debug, Default)]
struct Bank {
    generation: u32,
    open: bool,
    digest: BankDigest,
    dropped: u64,
    blockhash: Option<[u8; 32]>,
    /// Transactions of the block, once it is sealed.
    executed: u64,
    transactions: Transactions,
}

/// How far a bank's transactions are.
#[derive(Debug)]
enum Transactions {
    /// Being told; so many found no room in the spool.
    Open(u64),
    /// All told, and the seal is awaited.
    Told(Told),
    Sealed,
}

impl Default for Transactions {
    fn default() -> Self {
        Self::Open(0)
    }
}

impl Sequencer {
    pub fn new(filter_hash: [u8; 32], transactions: bool) -> Self {
        Self {
            filter_hash,
            transactions,
            ..Self::default()
        }
    }

    /// The generation that an update belongs to: 0 without a bank, `None` when its bank is sealed.
    pub fn generation(&self, update: &AccountRecord) -> Option<u32> {
        if update.is_startup {
            return Some(0);
        }
        match self.banks.get(&update.slot) {
            None => Some(0),
            Some(bank) if bank.open => Some(bank.generation),
            Some(_) => None,
        }
    }

    /// The update is in the spool.
    pub fn stored(&mut self, update: &AccountRecord) {
        self.close_or_open(update);
        if let Some(bank) = self.open_bank(update) {
            let AccountRecord {
                pubkey,
                owner,
                lamports,
                data,
                ..
            } = update;
            bank.digest.push(*pubkey, owner, *lamports, data);
        }
    }

    /// The update found no room in the spool.
    pub fn lost(&mut self, update: &AccountRecord) {
        self.close_or_open(update);
        if let Some(bank) = self.open_bank(update) {
            bank.dropped += 1;
        }
    }

    /// The generation that a transaction belongs to. `Ok(None)`: of no bank that this run saw created; `Err`: all were told.
    pub fn generation_of_transaction(&self, slot: u64) -> Result<Option<u32>, ()> {
        match self.banks.get(&slot) {
            None => Ok(None),
            Some(bank) => match bank.transactions {
                Transactions::Open(_) => Ok(Some(bank.generation)),
                Transactions::Told(_) | Transactions::Sealed => Err(()),
            },
        }
    }

    /// A transaction found no room in the spool.
    pub fn lost_transaction(&mut self, slot: u64) {
        if let Some(Bank {
            transactions: Transactions::Open(lost),
            ..
        }) = self.banks.get_mut(&slot)
        {
            *lost += 1;
        }
    }

    /// All transactions of the newest bank of a slot were told.
    pub fn told(&mut self, slot: u64, mut told: Told) {
        if let Some(bank) = self.banks.get_mut(&slot)
            && let Transactions::Open(lost) = bank.transactions
        {
            told.dropped += lost;
            bank.transactions = Transactions::Told(told);
        }
    }

    /// The seal of a bank's transactions, once the bank is sealed and all of them were told.
    pub fn transaction_seal(&mut self, slot: u64) -> Option<TransactionSeal> {
        let bank = self.banks.get_mut(&slot)?;
        let (Transactions::Told(told), Some(blockhash)) = (&bank.transactions, bank.blockhash)
        else {
            return None;
        };
        let seal = TransactionSeal {
            slot,
            generation: bank.generation,
            blockhash: blockhash.to_vec().into(),
            offered: told.offered,
            dropped: told.dropped,
            executed: bank.executed,
            told: told.all,
        };
        bank.transactions = Transactions::Sealed;
        Some(seal)
    }

    fn open_bank(&mut self, update: &AccountRecord) -> Option<&mut Bank> {
        let bank = self.banks.get_mut(&update.slot);
        bank.filter(|bank| bank.open && !update.is_startup)
    }

    fn close_or_open(&mut self, update: &AccountRecord) {
        let AccountRecord { slot, pubkey, .. } = update;
        match (update.live, update.is_startup) {
            (true, _) => {
                if let Some(closed) = self.closings.get_mut(slot) {
                    closed.remove(pubkey);
                }
            }
            (false, false) => {
                self.closings.entry(*slot).or_default().insert(*pubkey);
            }
            (false, true) => {
                let known = self.base_closings.contains_key(pubkey);
                if known || self.base_closings.len() < MAX_BASE_CLOSINGS {
                    let newest = self.base_closings.entry(*pubkey).or_default();
                    *newest = (*slot).max(*newest);
                }
            }
        }
    }

    /// A slot status, and the accounts whose closing it makes final: `(pubkey, closing slot)`.
    pub fn slot(&mut self, record: SlotRecord) -> (SlotUpdate, Vec<([u8; 32], u64)>) {
        let slot = record.slot;
        let mut closed = Vec::new();
        match record.status {
            SlotStatus::CreatedBank => {
                let bank = self.banks.entry(slot).or_default();
                *bank = Bank {
                    generation: bank.generation.saturating_add(1),
                    open: true,
                    ..Bank::default()
                };
                // What the bank before it closed is open again.
                self.closings.remove(&slot);
                while self.banks.len() > MAX_SLOTS {
                    self.banks.pop_first();
                }
            }
            SlotStatus::Rooted => {
                let accounts = self.closings.remove(&slot).unwrap_or_default();
                closed.extend(accounts.into_iter().map(|pubkey| (pubkey, slot)));
                // Roots come in order: what is left below closed on abandoned forks only.
                self.closings = self.closings.split_off(&slot);
                self.banks = self.banks.split_off(&slot.saturating_sub(BELOW_ROOT));
            }
            _ => {}
        }
        let bank = self.banks.get(&slot);
        let blockhash = match record.status {
            SlotStatus::Processed | SlotStatus::Confirmed | SlotStatus::Rooted => {
                bank.and_then(|bank| bank.blockhash)
            }
            _ => None,
        };
        let update = SlotUpdate {
            slot,
            generation: bank.map_or(0, |bank| bank.generation),
            status: record.status.into(),
            parent: record.parent,
            blockhash: blockhash
                .map(|hash| hash.to_vec().into())
                .unwrap_or_default(),
            dead_reason: record.dead_reason,
        };
        (update, closed)
    }

    /// The seal of a bank; `None` when its creation never came through.
    pub fn seal(&mut self, record: &SealRecord) -> Option<SlotSeal> {
        let bank = self.banks.get_mut(&record.slot).filter(|bank| bank.open)?;
        bank.open = false;
        bank.blockhash = Some(record.blockhash);
        bank.executed = record.executed;
        // The ordinals of a sealed bank are not needed again.
        let digest = std::mem::take(&mut bank.digest);
        Some(SlotSeal {
            slot: record.slot,
            generation: bank.generation,
            blockhash: record.blockhash.to_vec().into(),
            parent_slot: record.parent_slot,
            parent_blockhash: record.parent_blockhash.to_vec().into(),
            block_time: record.block_time,
            offered: record.offered,
            dropped: record.dropped + bank.dropped,
            digest: digest.finish().to_vec().into(),
            filter_hash: self.filter_hash.to_vec().into(),
            block_height: record.block_height,
            transactions: self.transactions,
        })
    }

    /// Start-up accounts are through: the accounts that were closed by then.
    pub fn base_end(&mut self) -> Vec<([u8; 32], u64)> {
        let closings = std::mem::take(&mut self.base_closings).into_iter();
        // Within one slot start-up rows have no order: such an account stays tracked.
        closings
            .filter_map(|(pubkey, slot)| Some((pubkey, slot.checked_sub(1)?)))
            .collect()
    }
}
