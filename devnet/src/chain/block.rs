//! Blocks and the transactions in them.

use std::sync::Arc;

use mythic_interface::hash::domain;
use sha2::{Digest, Sha256};
use solana_account::{AccountSharedData, ReadableAccount};
use solana_clock::Slot;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::sanitized::SanitizedTransaction;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status::TransactionStatusMeta;

/// A transaction in a block (it succeeded, or failed and paid its fee).
#[derive(Debug)]
pub struct Executed {
    pub signature: Signature,
    pub transaction: VersionedTransaction,
    pub sanitized: SanitizedTransaction,
    pub meta: TransactionStatusMeta,
    /// Place in its block.
    pub index: usize,
}

impl Executed {
    /// About how many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        let meta = &self.meta;
        let logs = meta.log_messages.iter().flatten().map(|log| log.len() + 24);
        let inner = meta.inner_instructions.iter().flatten();
        let inner = inner
            .flat_map(|inner| &inner.instructions)
            .map(|inner| inner.instruction.data.len() + inner.instruction.accounts.len() + 80);
        let message = &self.transaction.message;
        let keys = self.sanitized.message().account_keys().len();
        let data: usize = message.instructions().iter().map(|ix| ix.data.len()).sum();
        // The transaction is held twice: as sent, and sanitized.
        1_024 + 2 * data + keys * 128 + logs.sum::<usize>() + inner.sum::<usize>()
    }
}

/// A frozen block.
#[derive(Debug)]
pub struct Block {
    pub slot: Slot,
    pub parent_slot: Slot,
    /// Number of blocks below it.
    pub height: u64,
    pub blockhash: Hash,
    pub parent_blockhash: Hash,
    /// The Clock's time, Unix milliseconds.
    pub unix_ms: i64,
    /// Transactions in this chain up to and including this block.
    pub transaction_count: u64,
    pub transactions: Vec<Arc<Executed>>,
    /// See [`state_hash`]; zeros where only the head is known.
    pub state: Hash,
    /// Final state of each account the bank wrote; lamports 0 = gone.
    pub writes: Vec<(Pubkey, AccountSharedData)>,
}

impl Block {
    /// About how many bytes its transactions hold.
    pub(super) fn bytes(&self) -> usize {
        self.transactions.iter().map(|tx| tx.bytes()).sum()
    }

    /// The block as it is kept for lookups.
    pub(super) fn without_writes(&self) -> Self {
        Self {
            slot: self.slot,
            parent_slot: self.parent_slot,
            height: self.height,
            blockhash: self.blockhash,
            parent_blockhash: self.parent_blockhash,
            unix_ms: self.unix_ms,
            transaction_count: self.transaction_count,
            transactions: self.transactions.clone(),
            state: self.state,
            writes: Vec::new(),
        }
    }
}

/// Sums up what a bank did: how its transactions ended, and what `kept` of the accounts it wrote are. Two processes that executed
/// the same block come to the same.
pub fn state_hash<'a>(
    transactions: &[Arc<Executed>],
    kept: impl Iterator<Item = &'a (Pubkey, AccountSharedData)>,
) -> Hash {
    let mut hasher = Sha256::new()
        .chain_update(domain::DEVNET_STATE)
        .chain_update((transactions.len() as u64).to_le_bytes());
    for executed in transactions {
        let meta = &executed.meta;
        // Its error's words: every kind has its own.
        let end = match &meta.status {
            Ok(()) => String::new(),
            Err(error) => format!("{error:?}"),
        };
        hasher.update(executed.signature.as_ref());
        hasher.update(meta.fee.to_le_bytes());
        hasher.update((end.len() as u64).to_le_bytes());
        hasher.update(end.as_bytes());
    }
    for (key, account) in kept {
        hasher.update(key.to_bytes());
        hasher.update(account.lamports().to_le_bytes());
        hasher.update(account.owner().to_bytes());
        hasher.update([u8::from(account.executable())]);
        hasher.update((account.data().len() as u64).to_le_bytes());
        hasher.update(account.data());
    }
    Hash::new_from_array(hasher.finalize().into())
}
