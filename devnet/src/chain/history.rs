//! Transactions of this chain by signature: for refusing a second landing, for statuses and for lookups; and the
//! newest rooted blocks with their content.
//!
//! Statuses are held for the blocks in which a transaction could be repeated, whatever they weigh. Content (of
//! transactions and blocks) is held up to a number and a weight, oldest first out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use solana_clock::Slot;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use super::block::{Block, Executed};

/// Rooted transactions kept beyond the blocks in which they could be repeated, and the most whose content is kept.
const MAX_KEPT: usize = 20_000;
/// Most rooted blocks whose content is kept.
const MAX_BLOCKS: usize = 200_000;
/// Most bytes of content that are kept.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Where a transaction landed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureStatus {
    pub slot: Slot,
    pub height: u64,
    pub err: Option<TransactionError>,
}

struct Record {
    status: SignatureStatus,
    /// Absent for what landed before a restart or is too old to be kept.
    executed: Option<Arc<Executed>>,
}

#[derive(Default)]
pub struct History {
    records: HashMap<Signature, Record>,
    /// Rooted ones, oldest first.
    rooted: VecDeque<Signature>,
    /// Rooted blocks with their transactions and without their writes, oldest first.
    blocks: VecDeque<Arc<Block>>,
    /// Transactions in `blocks`, and about how many bytes they hold.
    transactions: usize,
    bytes: usize,
}

impl History {
    pub fn contains(&self, signature: &Signature) -> bool {
        self.records.contains_key(signature)
    }

    pub fn insert(&mut self, executed: &Arc<Executed>, slot: Slot, height: u64) {
        let record = Record {
            status: SignatureStatus {
                slot,
                height,
                err: executed.meta.status.clone().err(),
            },
            executed: Some(executed.clone()),
        };
        self.records.insert(executed.signature, record);
    }

    pub fn restore(&mut self, signature: Signature, status: SignatureStatus) {
        let record = Record {
            status,
            executed: None,
        };
        if self.records.insert(signature, record).is_none() {
            self.rooted.push_back(signature);
        }
    }

    pub fn remove(&mut self, signature: &Signature) {
        self.records.remove(signature);
    }

    /// Takes a rooted block in.
    pub fn root(&mut self, block: &Block) {
        let signatures = block.transactions.iter().map(|executed| executed.signature);
        self.rooted.extend(signatures);
        self.transactions += block.transactions.len();
        self.bytes += block.bytes();
        self.blocks.push_back(Arc::new(block.without_writes()));
    }

    /// Forgets content that is too much, and the oldest statuses that are too many and landed below the height
    /// `oldest`.
    pub fn prune(&mut self, oldest: u64) {
        while self.transactions > MAX_KEPT
            || self.bytes > MAX_BYTES
            || self.blocks.len() > MAX_BLOCKS
        {
            let Some(block) = self.blocks.pop_front() else {
                break;
            };
            self.transactions = self.transactions.saturating_sub(block.transactions.len());
            self.bytes = self.bytes.saturating_sub(block.bytes());
            for executed in &block.transactions {
                if let Some(record) = self.records.get_mut(&executed.signature) {
                    record.executed = None;
                }
            }
        }
        while self.rooted.len() > MAX_KEPT {
            let Some(signature) = self.rooted.front() else {
                return;
            };
            let old = self
                .records
                .get(signature)
                .is_none_or(|record| record.status.height < oldest);
            if !old {
                return;
            }
            self.records.remove(signature);
            self.rooted.pop_front();
        }
    }

    pub fn status(&self, signature: &Signature) -> Option<&SignatureStatus> {
        self.records.get(signature).map(|record| &record.status)
    }

    pub fn executed(&self, signature: &Signature) -> Option<&Arc<Executed>> {
        self.records.get(signature)?.executed.as_ref()
    }

    /// Rooted blocks whose content is held, oldest first.
    pub fn blocks(&self) -> &VecDeque<Arc<Block>> {
        &self.blocks
    }

    /// The rooted block of a slot.
    pub fn block(&self, slot: Slot) -> Option<&Arc<Block>> {
        let index = self
            .blocks
            .binary_search_by_key(&slot, |block| block.slot)
            .ok()?;
        self.blocks.get(index)
    }

    /// The rooted blocks above a height.
    pub fn above(&self, height: u64) -> impl Iterator<Item = &Arc<Block>> {
        let from = self.blocks.partition_point(|block| block.height <= height);
        self.blocks.range(from..)
    }

    /// Statuses of rooted transactions, newest first.
    pub fn rooted_newest_first(&self) -> impl Iterator<Item = (&Signature, &SignatureStatus)> {
        self.rooted
            .iter()
            .rev()
            .filter_map(|signature| Some((signature, self.status(signature)?)))
    }
}
