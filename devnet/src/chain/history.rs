//! Transactions of this chain by signature: for refusing a second landing, for statuses and for lookups.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use solana_clock::Slot;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

use super::{Block, Executed};

/// Rooted transactions kept beyond the blocks in which they could be repeated.
const MAX_KEPT: usize = 20_000;

/// Where a transaction landed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureStatus {
    pub slot: Slot,
    pub height: u64,
    pub err: Option<TransactionError>,
}

struct Record {
    status: SignatureStatus,
    /// Absent for what landed before a restart.
    executed: Option<Arc<Executed>>,
}

#[derive(Default)]
pub struct History {
    records: HashMap<Signature, Record>,
    /// Rooted ones, oldest first.
    rooted: VecDeque<Signature>,
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

    pub fn root(&mut self, block: &Block) {
        let signatures = block.transactions.iter().map(|executed| executed.signature);
        self.rooted.extend(signatures);
    }

    /// Forgets the oldest that are too many and landed below the height `oldest`.
    pub fn prune(&mut self, oldest: u64) {
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

    /// Rooted transactions, newest first.
    pub fn rooted_newest_first(&self) -> impl Iterator<Item = (&Signature, &SignatureStatus)> {
        self.rooted
            .iter()
            .rev()
            .filter_map(|signature| Some((signature, self.status(signature)?)))
    }
}
