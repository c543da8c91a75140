//! A chain whose blocks another one makes: what the maker tells of them, and how they are executed again here.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use solana_account::AccountSharedData;
use solana_clock::Slot;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use super::{Block, Chain, HELD_BLOCKS};

/// An account after a bank.
type Write = (Pubkey, AccountSharedData);

/// Most blocks told at once.
const MAX_TOLD: usize = 256;

/// Height and hash of a block.
pub type Mark = (u64, [u8; 32]);

/// A block as its maker tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    pub slot: Slot,
    pub height: u64,
    pub blockhash: [u8; 32],
    pub parent_blockhash: [u8; 32],
    /// The Clock's time, Unix milliseconds.
    pub unix_ms: i64,
    pub transactions: Vec<VersionedTransaction>,
    /// What became of the accounts; see [`Block::state`].
    pub state: [u8; 32],
}

impl Made {
    pub fn of(block: &Block) -> Self {
        let transactions = block.transactions.iter();
        Self {
            slot: block.slot,
            height: block.height,
            blockhash: block.blockhash.to_bytes(),
            parent_blockhash: block.parent_blockhash.to_bytes(),
            unix_ms: block.unix_ms,
            transactions: transactions.map(|tx| tx.transaction.clone()).collect(),
            state: block.state.to_bytes(),
        }
    }
}

/// What follows the blocks that somebody has.
#[derive(Debug)]
pub enum After {
    Blocks {
        /// The newest of those blocks that is on this chain.
        onto: Mark,
        /// The blocks on it, without gaps, as many as are told at once.
        blocks: Vec<Arc<Block>>,
        /// Height of the newest block that is finalized.
        rooted: u64,
    },
    /// What follows is no longer held, or the blocks are too old to be known.
    Gone,
    /// This chain has none of these blocks.
    Unknown,
}

/// Why a block is refused. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum Diverged {
    #[error(
        "slot {slot}: the leader's state is {theirs}, the same transactions come to {ours} here (block {blockhash}, {count} transactions)"
    )]
    State {
        slot: Slot,
        blockhash: Hash,
        count: usize,
        theirs: Hash,
        ours: Hash,
    },
    #[error(
        "slot {slot}: transaction {signature} is in the leader's block and can't be executed here: {error}"
    )]
    Transaction {
        slot: Slot,
        signature: Signature,
        error: TransactionError,
    },
    #[error("slot {slot}: the leader's block stands on {theirs}, the newest block here is {ours}")]
    Unlinked {
        slot: Slot,
        theirs: Hash,
        ours: Hash,
    },
}

impl Chain {
    /// The blocks of this chain from the tip down to the root.
    pub fn marks(&self) -> Vec<Mark> {
        let root = std::iter::once(&self.root);
        let blocks = root.chain(&self.blocks).rev();
        blocks
            .map(|block| (block.height, block.blockhash.to_bytes()))
            .collect()
    }

    /// What follows on the newest of the blocks that somebody has, whose [`Chain::marks`] these are; about `most` bytes of it.
    pub fn after(&self, marks: &[Mark], most: usize) -> After {
        let Some(onto) = marks.iter().find(|mark| self.has(mark)).copied() else {
            let newest = marks.iter().map(|(height, _)| *height).max().unwrap_or(0);
            return match newest.saturating_add(HELD_BLOCKS) < self.root.height {
                true => After::Gone,
                false => After::Unknown,
            };
        };
        let open = self.blocks.iter().filter(|block| block.height > onto.0);
        let mut bytes = 0;
        let room = |block: &&Arc<Block>| {
            let fits = bytes < most;
            bytes += block.bytes();
            fits
        };
        let held = self.history.above(onto.0).chain(open);
        let blocks: Vec<_> = held.take(MAX_TOLD).take_while(room).cloned().collect();
        let next = blocks.first().map(|block| block.height);
        match next {
            None if self.tip().height > onto.0 => After::Gone,
            Some(height) if height > onto.0.saturating_add(1) => After::Gone,
            _ => After::Blocks {
                onto,
                blocks,
                rooted: self.root.height,
            },
        }
    }

    fn has(&self, (height, hash): &Mark) -> bool {
        let known = self.hashes.get(&Hash::new_from_array(*hash));
        let held = || self.history.above(height.checked_sub(1)?).next();
        known == Some(height) || held().is_some_and(|block| block.blockhash.to_bytes() == *hash)
    }

    /// Gives up what stands on a block. False: it is not among [`Chain::marks`].
    pub fn give_up_above(&mut self, mark: &Mark) -> bool {
        let is = |block: &Arc<Block>| (block.height, block.blockhash.to_bytes()) == *mark;
        let kept = match self.blocks.iter().position(is) {
            Some(index) => index + 1,
            None if is(&self.root) => 0,
            None => return false,
        };
        if kept < self.blocks.len() {
            self.take_back(kept);
        }
        true
    }

    /// Executes a block of the chain that is followed, on the tip. The chain has no open bank before or after.
    pub fn apply(&mut self, made: &Made) -> Result<(), Diverged> {
        let (slot, tip) = (made.slot, self.tip().clone());
        let parent = Hash::new_from_array(made.parent_blockhash);
        let is_next = made.height == tip.height.saturating_add(1) && slot > tip.slot;
        if parent != tip.blockhash || !is_next {
            return Err(Diverged::Unlinked {
                slot,
                theirs: parent,
                ours: tip.blockhash,
            });
        }
        let told = self.events.len();
        self.open_at(slot, made.unix_ms);
        let executed = self.execute_again(made);
        match executed {
            Ok((writes, state)) => {
                let blockhash = Hash::new_from_array(made.blockhash);
                self.freeze_as(blockhash, writes, state);
                Ok(())
            }
            Err(diverged) => {
                self.events.truncate(told);
                let open = std::mem::take(&mut self.open.transactions);
                self.ledger.undo_above(tip.slot);
                self.forget_all(&open);
                Err(diverged)
            }
        }
    }

    fn execute_again(&mut self, made: &Made) -> Result<(Vec<Write>, Hash), Diverged> {
        let (slot, blockhash) = (made.slot, Hash::new_from_array(made.blockhash));
        for tx in &made.transactions {
            let signature = tx.signatures.first().copied().unwrap_or_default();
            let refused = |error| Diverged::Transaction {
                slot,
                signature,
                error,
            };
            self.submit(tx.clone()).map_err(refused)?;
        }
        let (writes, ours) = self.complete();
        let theirs = Hash::new_from_array(made.state);
        if ours != theirs {
            return Err(Diverged::State {
                slot,
                blockhash,
                count: made.transactions.len(),
                theirs,
                ours,
            });
        }
        Ok((writes, ours))
    }
}
