//! What can be read of the chain, at a commitment.

use std::sync::Arc;

use solana_account::AccountSharedData;
use solana_clock::Slot;
use solana_hash::Hash;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_slot_hashes::SlotHashes;
use solana_transaction::sanitized::SanitizedTransaction;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use super::{
    Block, Chain, Executed, HELD_BLOCKS, Mint, Resume, SignatureStatus, bank_hash,
    is_kept_by_the_chain,
};

/// A commitment level, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Processed,
    Confirmed,
    Finalized,
}

/// A transaction and where it landed.
pub struct Landed {
    pub executed: Arc<Executed>,
    pub slot: Slot,
    pub unix_seconds: i64,
    pub level: Option<Level>,
}

/// Why there is no block to show for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Its content is no longer held; the oldest held slot.
    CleanedUp(Slot),
    /// The slot has no block.
    Skipped,
    /// There is no block yet, or it did not reach the commitment.
    NotYet,
}

/// What happened in a stretch of the chain's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The last slot in it.
    pub slot: Slot,
    pub slots: u64,
    pub transactions: u64,
    /// Its length: one minute, or more where minutes had no block.
    pub seconds: i64,
}

/// Result of a simulation.
pub struct Simulation {
    pub err: Option<TransactionError>,
    pub meta: litesvm::types::TransactionMetadata,
    /// Accounts that a successful transaction would write.
    pub post_accounts: Vec<(Pubkey, AccountSharedData)>,
}

impl Chain {
    /// The newest block at a commitment.
    pub fn block_at(&self, level: Level) -> Arc<Block> {
        match level {
            Level::Processed => self.tip().clone(),
            Level::Confirmed => self.at_height(self.confirmed),
            Level::Finalized => self.root.clone(),
        }
    }

    /// An account at the end of a block of this chain from the root on.
    pub fn account(&self, block: &Block, key: &Pubkey) -> Option<AccountSharedData> {
        self.ledger.get_at(block.slot, key)
    }

    /// All accounts at the end of a block that `keep` accepts, with the slot of their last write.
    pub fn accounts(
        &self,
        block: &Block,
        keep: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData, Slot)> {
        self.ledger.accounts_at(block.slot, keep)
    }

    /// A mint at the end of a block; none if the account is no mint.
    pub fn mint(&self, block: &Block, key: &Pubkey) -> Option<Mint> {
        let account = self.account(block, key);
        Mint::read(key, account.as_ref(), block.unix_ms.div_euclid(1000))
    }

    /// Number of accounts in the newest state.
    pub fn account_count(&self) -> usize {
        self.ledger.count()
    }

    /// Rent-exempt minimum in lamports.
    pub fn minimum_balance(&self, data_len: usize) -> u64 {
        self.ledger.minimum_balance(data_len)
    }

    /// Status of a transaction in a frozen block, and its commitment.
    pub fn status(&self, signature: &Signature) -> Option<(SignatureStatus, Level)> {
        let status = self.history.status(signature)?;
        let level = self.level(status.height)?;
        Some((status.clone(), level))
    }

    /// Whether a transaction landed, if only in the open bank.
    pub fn knows(&self, signature: &Signature) -> bool {
        self.history.contains(signature)
    }

    fn level(&self, height: u64) -> Option<Level> {
        if height <= self.root.height {
            Some(Level::Finalized)
        } else if height <= self.confirmed {
            Some(Level::Confirmed)
        } else if height <= self.tip().height {
            Some(Level::Processed)
        } else {
            None
        }
    }

    /// A transaction that landed since this process started.
    pub fn executed(&self, signature: &Signature) -> Option<Arc<Executed>> {
        self.history.executed(signature).cloned()
    }

    /// Transactions that name an account, newest first, from blocks up to `newest`; at most `limit` of them, older
    /// than `before` and newer than `until`. The two say places in the ledger and need not name the account. An
    /// unknown `before` finds nothing, an unknown `until` bounds nothing, as on a validator.
    pub fn signatures_for(
        &self,
        key: &Pubkey,
        newest: &Block,
        (before, until): (Option<Signature>, Option<Signature>),
        limit: usize,
    ) -> Vec<Landed> {
        let unrooted = self.blocks.iter().rev();
        let blocks = unrooted
            .filter(|block| block.height <= newest.height)
            .chain(self.history.blocks().iter().rev());
        let mut started = before.is_none();
        let mut found = Vec::new();
        for block in blocks {
            for executed in block.transactions.iter().rev() {
                let signature = Some(executed.signature);
                if signature == until || found.len() == limit {
                    return found;
                }
                let message = executed.sanitized.message();
                if started && message.account_keys().iter().any(|used| used == key) {
                    found.push(Landed {
                        executed: executed.clone(),
                        slot: block.slot,
                        unix_seconds: block.unix_ms.div_euclid(1000),
                        level: self.level(block.height),
                    });
                }
                started |= signature == before;
            }
        }
        found
    }

    /// The block of a slot with its transactions, if it reached `least` (confirmed or finalized).
    pub fn block(&self, slot: Slot, least: Level) -> Result<Arc<Block>, Missing> {
        if slot <= self.root.slot {
            return match self.history.block(slot) {
                Some(block) => Ok(block.clone()),
                None if slot < self.first_slot() => Err(Missing::CleanedUp(self.first_slot())),
                None => Err(Missing::Skipped),
            };
        }
        let newest = self.block_at(least);
        self.blocks
            .iter()
            .find(|block| block.slot == slot && block.height <= newest.height)
            .cloned()
            .ok_or(Missing::NotYet)
    }

    /// The newest `count` frozen blocks whose content is held, oldest first.
    pub fn newest_blocks(&self, count: usize) -> Vec<Arc<Block>> {
        let rooted = self.history.blocks().iter().rev();
        let newest = self.blocks.iter().rev().chain(rooted);
        let mut blocks: Vec<_> = newest.take(count).cloned().collect();
        blocks.reverse();
        blocks
    }

    /// Time of a block of this chain, Unix seconds.
    pub fn block_time(&self, slot: Slot) -> Result<i64, Missing> {
        match self.headers.get(&slot) {
            Some(header) => Ok(header.unix_ms.div_euclid(1000)),
            None if slot > self.root.slot => Err(Missing::NotYet),
            None => match self.headers.first_key_value() {
                Some((first, _)) if slot < *first => Err(Missing::CleanedUp(*first)),
                _ => Err(Missing::Skipped),
            },
        }
    }

    /// Slots with a block whose content is held, ascending.
    pub fn known_slots(&self, from: Slot, to: Slot) -> impl Iterator<Item = Slot> {
        let from = from.max(self.first_slot());
        // A range that ends before it begins is empty here, and a panic in a map.
        let headers = (from <= to).then(|| self.headers.range(from..=to));
        headers.into_iter().flatten().map(|(slot, _)| *slot)
    }

    /// The oldest slot whose block's content is held; the open one's if there is none.
    pub fn first_slot(&self) -> Slot {
        let first = self.history.blocks().front().or(self.blocks.front());
        first.map_or(self.open.slot, |block| block.slot)
    }

    /// The oldest slot of which it is known whether it has a block.
    pub fn first_header(&self) -> Slot {
        let first = self.headers.first_key_value();
        first.map_or(self.root.slot, |(slot, _)| *slot)
    }

    /// How many blocks are in the slots `from..=to`, content held or not.
    pub fn count_blocks(&self, from: Slot, to: Slot) -> usize {
        if from > to {
            return 0;
        }
        self.headers.range(from..=to).count()
    }

    /// Transactions and slots of the newest `limit` whole minutes of this chain's time, newest first.
    pub fn samples(&self, limit: usize) -> Vec<Sample> {
        let minute = |header: &super::Header| header.unix_ms.div_euclid(60_000);
        let mut samples = Vec::new();
        // The last block of the minute that is looked at, if the minute is whole.
        let mut last: Option<(Slot, u64, i64)> = None;
        let mut newer = i64::MAX;
        for (slot, header) in self.headers.iter().rev() {
            let of = minute(header);
            if of == newer {
                continue;
            }
            if let Some((last_slot, count, last_minute)) = last {
                if samples.len() == limit {
                    break;
                }
                samples.push(Sample {
                    slot: last_slot,
                    slots: last_slot.saturating_sub(*slot),
                    transactions: count.saturating_sub(header.transaction_count),
                    seconds: last_minute.saturating_sub(of).saturating_mul(60),
                });
            }
            // The newest block's minute still runs.
            last = (newer != i64::MAX).then_some((*slot, header.transaction_count, of));
            newer = of;
        }
        samples
    }

    /// Whether a transaction with this blockhash could land on top of `block`.
    pub fn blockhash_is_valid(&self, hash: &Hash, block: &Block) -> bool {
        self.blockhash_is_recent(hash, block.height)
    }

    /// Checks the form of a transaction and looks up its address tables; signatures are not checked.
    pub fn sanitize(
        &self,
        tx: VersionedTransaction,
    ) -> Result<SanitizedTransaction, TransactionError> {
        self.ledger.sanitize(tx)
    }

    /// Checks form and signatures of a transaction.
    pub fn verify(&self, tx: &VersionedTransaction) -> Result<(), TransactionError> {
        self.sanitize(tx.clone())?.verify()
    }

    /// Runs a transaction on top of `block` and leaves nothing behind. Signatures are not checked here; whether its
    /// blockhash is recent and its signature new only if `as_sent` (not when the blockhash was replaced).
    pub fn simulate(
        &mut self,
        block: &Block,
        tx: VersionedTransaction,
        as_sent: bool,
    ) -> Simulation {
        let refused = |err| Simulation {
            err: Some(err),
            meta: Default::default(),
            post_accounts: Vec::new(),
        };
        if as_sent {
            if !self.blockhash_is_recent(tx.message.recent_blockhash(), block.height) {
                return refused(TransactionError::BlockhashNotFound);
            }
            let signature = tx.signatures.first();
            let landed = signature.and_then(|signature| self.history.status(signature));
            if landed.is_some_and(|status| status.height <= block.height) {
                return refused(TransactionError::AlreadyProcessed);
            }
        }
        match self.ledger.simulate_at(block.slot, tx) {
            Ok(info) => Simulation {
                err: None,
                meta: info.meta,
                post_accounts: info.post_accounts,
            },
            Err(failed) => Simulation {
                err: Some(failed.err),
                meta: failed.meta,
                post_accounts: Vec::new(),
            },
        }
    }

    /// Fee of a message in lamports; none if its form is wrong or its blockhash is not valid on `block`.
    pub fn fee(&mut self, block: &Block, message: VersionedMessage) -> Option<u64> {
        if !self.blockhash_is_recent(message.recent_blockhash(), block.height) {
            return None;
        }
        let signatures = usize::from(message.header().num_required_signatures);
        let tx = VersionedTransaction {
            signatures: vec![Signature::default(); signatures],
            message,
        };
        self.ledger.sanitize(tx.clone()).ok()?;
        match self.ledger.simulate_at(block.slot, tx) {
            Ok(info) => Some(info.meta.fee),
            Err(failed) => Some(failed.meta.fee).filter(|fee| *fee > 0),
        }
    }

    /// The rooted state, from which a later process goes on. `next_slot` is above every slot used so far.
    pub fn rooted_state(&self) -> Resume {
        let root = &self.root;
        let oldest = root.height.saturating_sub(HELD_BLOCKS);
        let statuses = self
            .history
            .rooted_newest_first()
            .take_while(|(_, status)| status.height >= oldest)
            .map(|(signature, status)| (*signature, status.clone()))
            .collect::<Vec<_>>();
        let mut slot_hashes = self.slot_hashes_at(root);
        slot_hashes.add(root.slot, bank_hash(&root.blockhash));
        Resume {
            root: Block {
                slot: root.slot,
                parent_slot: root.parent_slot,
                height: root.height,
                blockhash: root.blockhash,
                parent_blockhash: root.parent_blockhash,
                unix_ms: root.unix_ms,
                transaction_count: root.transaction_count,
                transactions: Vec::new(),
                state: root.state,
                writes: Vec::new(),
            },
            slot_hashes,
            blockhashes: self
                .hash_order
                .iter()
                .filter(|(_, height)| *height <= root.height)
                .copied()
                .collect(),
            statuses: statuses.into_iter().rev().collect(),
            accounts: self.ledger.accounts_at(root.slot, |key, account| {
                !is_kept_by_the_chain(account) && !self.ledger.is_base(key, account)
            }),
            next_slot: self.open.slot.saturating_add(1),
        }
    }

    /// SlotHashes as the chain above `block` sees them, without the entries of later blocks.
    fn slot_hashes_at(&self, block: &Block) -> SlotHashes {
        let hashes: Vec<_> = self
            .ledger
            .slot_hashes()
            .slot_hashes()
            .iter()
            .filter(|(slot, _)| *slot <= block.slot)
            .copied()
            .collect();
        SlotHashes::new(&hashes)
    }
}
