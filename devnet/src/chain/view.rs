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
    Block, Chain, Executed, HELD_BLOCKS, Resume, SignatureStatus, bank_hash, is_kept_by_the_chain,
};

/// A commitment level, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Processed,
    Confirmed,
    Finalized,
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

    /// Signatures of transactions that name an account, newest first, from blocks up to `newest`.
    pub fn signatures_for(
        &self,
        key: &Pubkey,
        newest: &Block,
    ) -> Vec<(Signature, SignatureStatus)> {
        let unrooted = self
            .blocks
            .iter()
            .rev()
            .filter(|block| block.height <= newest.height)
            .flat_map(|block| block.transactions.iter().rev())
            .filter_map(|executed| {
                Some((
                    &executed.signature,
                    self.history.status(&executed.signature)?,
                ))
            });
        unrooted
            .chain(self.history.rooted_newest_first())
            .filter(|(signature, _)| {
                self.history.executed(signature).is_some_and(|executed| {
                    let message = executed.sanitized.message();
                    message.account_keys().iter().any(|used| used == key)
                })
            })
            .map(|(signature, status)| (*signature, status.clone()))
            .collect()
    }

    /// Time of a block of this chain, Unix seconds; none if there is no such block, or it is no longer known.
    pub fn block_time(&self, slot: Slot) -> Option<i64> {
        self.times.get(&slot).map(|ms| ms.div_euclid(1000))
    }

    /// Slots with a known block, ascending.
    pub fn known_slots(&self, from: Slot, to: Slot) -> impl Iterator<Item = Slot> {
        // A range that ends before it begins is empty here, and a panic in a map.
        let times = (from <= to).then(|| self.times.range(from..=to));
        times.into_iter().flatten().map(|(slot, _)| *slot)
    }

    /// The oldest slot whose block is known.
    pub fn first_slot(&self) -> Slot {
        self.times.first_key_value().map_or(0, |(slot, _)| *slot)
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
