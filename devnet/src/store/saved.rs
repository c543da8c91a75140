//! What the store's files hold, and its way from and to the chain's types.

use serde::{Deserialize, Serialize};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_clock::Slot;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_slot_hashes::SlotHashes;

use crate::chain::{Block, Resume, SignatureStatus, is_kept_by_the_chain};

#[derive(Clone, Serialize, Deserialize)]
pub struct SavedBlock {
    pub slot: Slot,
    pub parent_slot: Slot,
    pub height: u64,
    pub blockhash: [u8; 32],
    pub parent_blockhash: [u8; 32],
    pub unix_ms: i64,
    pub transaction_count: u64,
}

#[derive(Serialize, Deserialize)]
pub struct SavedAccount {
    pub pubkey: [u8; 32],
    lamports: u64,
    owner: [u8; 32],
    executable: bool,
    rent_epoch: u64,
    written: Slot,
    data: Vec<u8>,
}

pub type SavedStatus = (Vec<u8>, SignatureStatus);

/// A record of the state file.
#[derive(Serialize, Deserialize)]
pub enum StateEntry {
    /// First and last record of the file, twice the same.
    Head(Head),
    Account(SavedAccount),
}

#[derive(Serialize, Deserialize)]
pub struct Head {
    pub genesis_hash: [u8; 32],
    pub root: SavedBlock,
    slot_hashes: Vec<(Slot, [u8; 32])>,
    blockhashes: Vec<([u8; 32], u64)>,
    statuses: Vec<SavedStatus>,
    next_slot: Slot,
    /// How many accounts the file holds.
    pub accounts: u64,
}

/// The state file of older builds: one record.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub struct OldState {
    genesis_hash: [u8; 32],
    root: SavedBlock,
    slot_hashes: Vec<(Slot, [u8; 32])>,
    blockhashes: Vec<([u8; 32], u64)>,
    statuses: Vec<SavedStatus>,
    accounts: Vec<SavedAccount>,
    next_slot: Slot,
}

impl OldState {
    #[cfg(test)]
    pub fn of(resume: &Resume, genesis_hash: &Hash) -> Self {
        let head = Head::new(resume, genesis_hash);
        Self {
            genesis_hash: head.genesis_hash,
            root: head.root,
            slot_hashes: head.slot_hashes,
            blockhashes: head.blockhashes,
            statuses: head.statuses,
            accounts: Vec::new(),
            next_slot: head.next_slot,
        }
    }

    pub fn split(self) -> (Head, Vec<SavedAccount>) {
        let head = Head {
            genesis_hash: self.genesis_hash,
            root: self.root,
            slot_hashes: self.slot_hashes,
            blockhashes: self.blockhashes,
            statuses: self.statuses,
            next_slot: self.next_slot,
            accounts: self.accounts.len() as u64,
        };
        (head, self.accounts)
    }
}

/// A record of the log.
#[derive(Serialize, Deserialize)]
pub enum LogEntry {
    /// Slots below this one may be in use.
    Next(Slot),
    Root {
        block: SavedBlock,
        statuses: Vec<SavedStatus>,
        accounts: Vec<SavedAccount>,
    },
}

impl LogEntry {
    pub fn root(block: &Block) -> Self {
        let status = |executed: &std::sync::Arc<crate::chain::Executed>| {
            let status = SignatureStatus {
                slot: block.slot,
                height: block.height,
                err: executed.meta.status.clone().err(),
            };
            (executed.signature.as_ref().to_vec(), status)
        };
        Self::Root {
            block: SavedBlock::from(block),
            statuses: block.transactions.iter().map(status).collect(),
            accounts: block
                .writes
                .iter()
                .filter(|(_, account)| !is_kept_by_the_chain(account))
                .map(|(key, account)| SavedAccount::new(key, account, block.slot))
                .collect(),
        }
    }
}

impl Head {
    pub fn new(resume: &Resume, genesis_hash: &Hash) -> Self {
        let slot_hashes = resume.slot_hashes.slot_hashes().iter();
        let blockhashes = resume.blockhashes.iter();
        let statuses = resume.statuses.iter();
        Self {
            genesis_hash: genesis_hash.to_bytes(),
            root: SavedBlock::from(&resume.root),
            slot_hashes: slot_hashes.map(|(s, hash)| (*s, hash.to_bytes())).collect(),
            blockhashes: blockhashes.map(|(hash, h)| (hash.to_bytes(), *h)).collect(),
            statuses: statuses
                .map(|(signature, status)| (signature.as_ref().to_vec(), status.clone()))
                .collect(),
            next_slot: resume.next_slot,
            accounts: resume.accounts.len() as u64,
        }
    }

    /// Without the accounts.
    pub fn load(self) -> Resume {
        let slot_hashes: Vec<_> = self
            .slot_hashes
            .iter()
            .map(|(slot, hash)| (*slot, Hash::new_from_array(*hash)))
            .collect();
        Resume {
            root: self.root.load(),
            slot_hashes: SlotHashes::new(&slot_hashes),
            blockhashes: self
                .blockhashes
                .iter()
                .map(|(hash, height)| (Hash::new_from_array(*hash), *height))
                .collect(),
            statuses: load_statuses(self.statuses).collect(),
            accounts: Vec::new(),
            next_slot: self.next_slot,
        }
    }
}

impl From<&Block> for SavedBlock {
    fn from(block: &Block) -> Self {
        Self {
            slot: block.slot,
            parent_slot: block.parent_slot,
            height: block.height,
            blockhash: block.blockhash.to_bytes(),
            parent_blockhash: block.parent_blockhash.to_bytes(),
            unix_ms: block.unix_ms,
            transaction_count: block.transaction_count,
        }
    }
}

impl SavedBlock {
    /// Without transactions, their state and writes.
    pub fn load(&self) -> Block {
        Block {
            slot: self.slot,
            parent_slot: self.parent_slot,
            height: self.height,
            blockhash: Hash::new_from_array(self.blockhash),
            parent_blockhash: Hash::new_from_array(self.parent_blockhash),
            unix_ms: self.unix_ms,
            transaction_count: self.transaction_count,
            transactions: Vec::new(),
            state: Hash::default(),
            writes: Vec::new(),
        }
    }
}

impl SavedAccount {
    pub fn new(key: &Pubkey, account: &AccountSharedData, written: Slot) -> Self {
        Self {
            pubkey: key.to_bytes(),
            lamports: account.lamports(),
            owner: account.owner().to_bytes(),
            executable: account.executable(),
            rent_epoch: account.rent_epoch(),
            written,
            data: account.data().to_vec(),
        }
    }

    pub fn load(self) -> (Pubkey, (AccountSharedData, Slot)) {
        let account = Account {
            lamports: self.lamports,
            data: self.data,
            owner: Pubkey::new_from_array(self.owner),
            executable: self.executable,
            rent_epoch: self.rent_epoch,
        };
        (
            Pubkey::new_from_array(self.pubkey),
            (account.into(), self.written),
        )
    }
}

pub fn load_statuses(
    saved: Vec<SavedStatus>,
) -> impl Iterator<Item = (Signature, SignatureStatus)> {
    saved
        .into_iter()
        .filter_map(|(signature, status)| Some((Signature::try_from(signature).ok()?, status)))
}
