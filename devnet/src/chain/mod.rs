//! The chain as a state machine without I/O: banks, forks, commitment, transactions, blockhashes.
//!
//! Calls change the state and queue [`Event`]s in the order in which an Agave validator would tell them; the
//! shell takes them ([`Chain::take_events`]) and does the telling. Time comes in as a value.
//!
//! A chain of frozen blocks stands on the root; on its tip one bank is open and takes transactions. `Processed`
//! is the newest frozen block, as on a validator that serves RPC.

mod block;
mod commands;
mod follow;
mod history;
mod ids;
mod ledger;
mod tokens;
mod view;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use litesvm::LiteSVM;
use mythic_interface::hash::domain;
use sha2::{Digest, Sha256};
use solana_account::AccountSharedData;
use solana_account::ReadableAccount;
use solana_clock::{Clock, Slot};
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_slot_hashes::SlotHashes;
use solana_transaction::sanitized::SanitizedTransaction;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{TransactionStatusMeta, map_inner_instructions};

pub use block::{Block, Executed};
pub use commands::{CommandError, Moved};
pub use follow::{After, Diverged, Made, Mark};
pub use history::SignatureStatus;
pub use ids::{
    CLOCK_ID, EPOCH_SCHEDULE_ID, INCINERATOR_ID, NATIVE_LOADER_ID, SLOT_HASHES_ID, SYSVAR_OWNER_ID,
    UPGRADEABLE_LOADER_ID,
};
pub use ledger::is_program_data;
pub use tokens::{Mint, TokenAccount, is_token_program, mint_of};
pub use view::{Landed, Level, Missing, Sample, Simulation};

use history::History;
use ledger::Ledger;
pub(crate) use ledger::is_kept_by_the_chain;

/// Blocks on which a recent blockhash may still be used (Agave's `MAX_PROCESSING_AGE`).
pub const MAX_BLOCKHASH_AGE: u64 = 150;
/// Blocks for which blockhashes and signatures are certainly held.
pub const HELD_BLOCKS: u64 = 301;
/// Slots in an epoch; there is no warm-up.
pub const SLOTS_PER_EPOCH: u64 = 432_000;
/// Most transactions in a block, and most bytes that they and their metadata hold: what a block may weigh in memory.
pub const MAX_BLOCK_TRANSACTIONS: usize = 10_000;
const MAX_BLOCK_BYTES: usize = 32 * 1024 * 1024;
/// Blocks whose slot, time and place are remembered: a day of slots of 400 ms.
const MAX_HEADERS: usize = 200_000;
/// Most blocks above the root: beyond them (the disk is full) the chain stands still.
const MAX_UNROOTED: usize = 1_000;
/// Length by which the Clock moves for a slot that is advanced by command, in milliseconds.
pub const NOMINAL_SLOT_MS: i64 = 400;

/// What is remembered of a block for longer than its content.
#[derive(Clone, Copy, Debug)]
struct Header {
    unix_ms: i64,
    transaction_count: u64,
}

/// What the chain tells, in order.
#[derive(Clone, Debug)]
pub enum Event {
    CreatedBank {
        slot: Slot,
        parent: Slot,
    },
    Account {
        slot: Slot,
        pubkey: Pubkey,
        /// State after the write; a closed account is all zeros.
        account: AccountSharedData,
        write_version: u64,
        /// The transaction that wrote it; none for sysvars, the incinerator and reverts.
        executed: Option<Arc<Executed>>,
    },
    Transaction {
        slot: Slot,
        executed: Arc<Executed>,
    },
    /// The bank is complete: block metadata.
    Frozen(Arc<Block>),
    Processed(Arc<Block>),
    Confirmed(Arc<Block>),
    /// The shell made the block durable before ([`Chain::rootable`], then [`Chain::root`]).
    Rooted(Arc<Block>),
    Dead {
        slot: Slot,
        parent: Slot,
        reason: String,
    },
}

/// Settings that never change in the life of a process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub confirmed_lag: u64,
    pub rooted_lag: u64,
    /// Mixed into blockhashes, so that no two processes make the same block out of the same slot.
    pub salt: [u8; 16],
}

/// Rooted state from which a chain starts or goes on.
#[derive(Debug)]
pub struct Resume {
    pub root: Block,
    pub slot_hashes: SlotHashes,
    /// Blockhashes up to and including the root's, with heights, ascending.
    pub blockhashes: Vec<(Hash, u64)>,
    pub statuses: Vec<(Signature, SignatureStatus)>,
    /// Accounts that differ from those of a fresh LiteSVM: key, state (lamports 0 = gone), slot of the last write.
    pub accounts: Vec<(Pubkey, AccountSharedData, Slot)>,
    /// Slot of the first bank.
    pub next_slot: Slot,
}

struct Open {
    slot: Slot,
    /// How many banks this process opened before: tells replays of a slot apart.
    number: u64,
    unix_ms: i64,
    transactions: Vec<Arc<Executed>>,
    /// About how many bytes the transactions hold.
    bytes: usize,
}

pub struct Chain {
    settings: Settings,
    ledger: Ledger,
    root: Arc<Block>,
    /// Frozen and not rooted, ascending, heights without gaps.
    blocks: VecDeque<Arc<Block>>,
    open: Open,
    banks_opened: u64,
    /// Height of the newest confirmed block.
    confirmed: u64,
    /// Blockhashes of this chain by hash, and in order of height.
    hashes: HashMap<Hash, u64>,
    hash_order: VecDeque<(Hash, u64)>,
    history: History,
    /// Blocks of this chain, the newest [`MAX_HEADERS`].
    headers: BTreeMap<Slot, Header>,
    /// How far the Clock runs ahead of the wall clock, milliseconds.
    ahead_ms: i64,
    write_version: u64,
    snapshots: BTreeMap<u64, HashMap<Pubkey, AccountSharedData>>,
    next_snapshot: u64,
    events: Vec<Event>,
}

/// A fresh virtual machine at slot 0 with the standard programs.
pub fn fresh_svm() -> LiteSVM {
    let mut svm = LiteSVM::default()
        .with_mainnet_features()
        .with_builtins()
        .with_sysvars();
    svm.set_sysvar(&Clock {
        leader_schedule_epoch: 1,
        ..Clock::default()
    });
    svm.set_sysvar(&SlotHashes::new(&[]));
    let mut schedule = Vec::with_capacity(33);
    schedule.extend_from_slice(&SLOTS_PER_EPOCH.to_le_bytes());
    schedule.extend_from_slice(&SLOTS_PER_EPOCH.to_le_bytes());
    schedule.extend_from_slice(&[0; 17]);
    let account = solana_account::Account {
        lamports: 1,
        data: schedule,
        owner: SYSVAR_OWNER_ID,
        executable: false,
        rent_epoch: u64::MAX,
    };
    if let Err(error) = svm.set_account(EPOCH_SCHEDULE_ID, account) {
        tracing::error!(%error, "the epoch schedule could not be set");
    }
    svm.with_default_programs()
        .with_sigverify(false)
        .with_blockhash_check(false)
        .with_transaction_history(0)
}

/// The entry of SlotHashes for a block: Agave puts the bank hash there, which is not the blockhash.
pub fn bank_hash(blockhash: &Hash) -> Hash {
    let digest = Sha256::new()
        .chain_update(domain::DEVNET_BANK)
        .chain_update(blockhash.to_bytes())
        .finalize();
    Hash::new_from_array(digest.into())
}

impl Chain {
    /// Starts on saved or genesis state and opens the first bank. `now_ms` is Unix time in milliseconds.
    pub fn new(settings: Settings, resume: Resume, now_ms: i64) -> Self {
        let next_slot = resume.next_slot;
        let mut chain = Self::standing(settings, resume, now_ms);
        chain.open(next_slot, now_ms);
        chain
    }

    /// Starts on saved state and opens no bank: which one is next another chain says ([`Chain::apply`]).
    pub fn standing(settings: Settings, resume: Resume, now_ms: i64) -> Self {
        let mut ledger = Ledger::new(fresh_svm());
        let Resume {
            root,
            slot_hashes,
            blockhashes,
            statuses,
            mut accounts,
            next_slot: _,
        } = resume;
        accounts.sort_by_key(|(_, account, _)| !is_program_data(account));
        for (key, account, written) in accounts {
            let account = Some(account).filter(|account| account.lamports() > 0);
            ledger.restore(key, account, written);
        }
        ledger.set_slot_hashes(&slot_hashes);
        ledger.set_clock(&clock_at(root.slot, root.unix_ms, 0));
        let mut history = History::default();
        for (signature, status) in statuses {
            history.restore(signature, status);
        }
        // Of a root that was saved only the outcome is known; genesis has no transactions.
        if root.height == 0 {
            history.root(&root);
        }
        let root = Arc::new(root);
        let header = Header {
            unix_ms: root.unix_ms,
            transaction_count: root.transaction_count,
        };
        Self {
            settings,
            ledger,
            blocks: VecDeque::new(),
            open: Open {
                slot: root.slot,
                number: 0,
                unix_ms: root.unix_ms,
                transactions: Vec::new(),
                bytes: 0,
            },
            banks_opened: 0,
            confirmed: root.height,
            hashes: blockhashes.iter().copied().collect(),
            hash_order: blockhashes.into(),
            history,
            headers: BTreeMap::from([(root.slot, header)]),
            ahead_ms: root.unix_ms.saturating_sub(now_ms).max(0),
            write_version: 0,
            snapshots: BTreeMap::new(),
            next_snapshot: 1,
            events: Vec::new(),
            root,
        }
    }

    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The newest frozen block.
    pub fn tip(&self) -> &Arc<Block> {
        self.blocks.back().unwrap_or(&self.root)
    }

    /// The newest rooted block.
    pub fn rooted(&self) -> &Arc<Block> {
        &self.root
    }

    /// Slot of the bank that takes transactions.
    pub fn open_slot(&self) -> Slot {
        self.open.slot
    }

    /// Freezes the open bank and opens the next slot's. A chain that can't root its blocks stands still in the end.
    pub fn advance(&mut self, now_ms: i64) {
        if self.is_full() {
            return;
        }
        self.freeze();
        self.open(self.open.slot.saturating_add(1), now_ms);
    }

    /// Whether so many blocks stand on the root that none is taken any more.
    pub fn is_full(&self) -> bool {
        self.blocks.len() >= MAX_UNROOTED
    }

    /// Makes the Clock run ahead of the wall clock by as much more.
    pub fn warp_clock(&mut self, milliseconds: i64) {
        self.ahead_ms = self.ahead_ms.saturating_add(milliseconds);
    }

    /// Executes a signed transaction into the open bank. `Ok` = it is in the block (see its status for an
    /// error in execution); `Err` = it is in no block and paid nothing.
    pub fn submit(&mut self, tx: VersionedTransaction) -> Result<Signature, TransactionError> {
        let sanitized = self.ledger.sanitize(tx.clone())?;
        sanitized.verify()?;
        self.execute(tx, sanitized)
    }

    /// Blocks deep enough to be rooted, ascending: make them durable, then call [`Chain::root`].
    pub fn rootable(&self) -> Vec<Arc<Block>> {
        let deep = (self.blocks.len() as u64).saturating_sub(self.settings.rooted_lag);
        self.blocks.iter().take(deep as usize).cloned().collect()
    }

    /// Blocks above the root up to a height, ascending: what another chain has finalized.
    pub fn rootable_to(&self, height: u64) -> Vec<Arc<Block>> {
        let deep = height.saturating_sub(self.root.height);
        self.blocks.iter().take(deep as usize).cloned().collect()
    }

    /// Confirmed blocks above the root, ascending: a chain that stops in order roots these too, so that none that
    /// somebody acted on is abandoned.
    pub fn rootable_at_stop(&self) -> Vec<Arc<Block>> {
        let confirmed = |block: &&Arc<Block>| block.height <= self.confirmed;
        self.blocks.iter().take_while(confirmed).cloned().collect()
    }

    /// Roots the `count` oldest blocks above the root.
    pub fn root(&mut self, count: usize) {
        for _ in 0..count {
            let Some(block) = self.blocks.pop_front() else {
                return;
            };
            self.ledger.forget_up_to(block.slot);
            self.history.root(&block);
            self.confirmed = self.confirmed.max(block.height);
            self.root = block.clone();
            self.events.push(Event::Rooted(block));
        }
        let oldest = self.root.height.saturating_sub(HELD_BLOCKS);
        while let Some((hash, height)) = self.hash_order.front().copied() {
            if height >= oldest {
                break;
            }
            self.hashes.remove(&hash);
            self.hash_order.pop_front();
        }
        self.history.prune(oldest);
        while self.headers.len() > MAX_HEADERS {
            self.headers.pop_first();
        }
    }

    fn execute(
        &mut self,
        tx: VersionedTransaction,
        sanitized: SanitizedTransaction,
    ) -> Result<Signature, TransactionError> {
        let signature = *sanitized.signature();
        if !self.blockhash_is_recent(sanitized.message().recent_blockhash(), self.tip().height) {
            return Err(TransactionError::BlockhashNotFound);
        }
        if self.history.contains(&signature) {
            return Err(TransactionError::AlreadyProcessed);
        }
        if self.open.transactions.len() >= MAX_BLOCK_TRANSACTIONS
            || self.open.bytes >= MAX_BLOCK_BYTES
        {
            return Err(TransactionError::WouldExceedMaxBlockCostLimit);
        }
        let outcome = self.ledger.execute(tx.clone(), &sanitized)?;
        let meta = status_meta(&outcome, &sanitized);
        let executed = Arc::new(Executed {
            signature,
            transaction: tx,
            sanitized,
            meta,
            index: self.open.transactions.len(),
        });
        self.history.insert(
            &executed,
            self.open.slot,
            self.tip().height.saturating_add(1),
        );
        self.open.bytes = self.open.bytes.saturating_add(executed.bytes());
        self.open.transactions.push(executed.clone());
        for (pubkey, account) in outcome.writes {
            self.tell_account(pubkey, account, Some(executed.clone()));
        }
        self.events.push(Event::Transaction {
            slot: self.open.slot,
            executed,
        });
        Ok(signature)
    }

    fn tell_account(
        &mut self,
        pubkey: Pubkey,
        account: AccountSharedData,
        executed: Option<Arc<Executed>>,
    ) {
        self.events.push(Event::Account {
            slot: self.open.slot,
            pubkey,
            account,
            write_version: self.write_version,
            executed,
        });
        self.write_version = self.write_version.saturating_add(1);
    }

    /// Opens a bank on the tip at this chain's time.
    fn open(&mut self, slot: Slot, now_ms: i64) {
        let unix_ms = now_ms.saturating_add(self.ahead_ms);
        self.open_at(slot, unix_ms.max(self.tip().unix_ms));
    }

    /// Opens a bank on the tip: CreatedBank, then the sysvars it sets.
    fn open_at(&mut self, slot: Slot, unix_ms: i64) {
        let parent = self.tip().clone();
        self.events.push(Event::CreatedBank {
            slot,
            parent: parent.slot,
        });
        self.ledger.push_layer(slot);
        self.banks_opened = self.banks_opened.saturating_add(1);
        self.open = Open {
            slot,
            number: self.banks_opened,
            unix_ms,
            transactions: Vec::new(),
            bytes: 0,
        };
        let before = self.ledger.clock();
        let epoch_start = if slot / SLOTS_PER_EPOCH == before.epoch {
            before.epoch_start_timestamp
        } else {
            unix_ms.div_euclid(1000)
        };
        let clock = clock_at(slot, unix_ms, epoch_start);
        if let Some(account) = self.ledger.set_clock(&clock) {
            self.tell_account(CLOCK_ID, account, None);
        }
        let mut hashes = self.ledger.slot_hashes();
        hashes.add(parent.slot, bank_hash(&parent.blockhash));
        if let Some(account) = self.ledger.set_slot_hashes(&hashes) {
            self.tell_account(SLOT_HASHES_ID, account, None);
        }
    }

    /// Completes the open bank; the caller opens the next one.
    fn freeze(&mut self) {
        let (writes, state) = self.complete();
        let blockhash = self.blockhash(&self.tip().blockhash, &self.open.transactions);
        self.freeze_as(blockhash, writes, state);
    }

    /// Ends the writes of the open bank; returns them and the hash of what it did. What the chain itself keeps is not in it: that
    /// follows from the block's head.
    fn complete(&mut self) -> (Vec<(Pubkey, AccountSharedData)>, Hash) {
        if self.ledger.get(&INCINERATOR_ID).is_some() {
            self.ledger.set(INCINERATOR_ID, None);
            self.tell_account(INCINERATOR_ID, AccountSharedData::default(), None);
        }
        let writes = self.ledger.top_writes();
        let kept = writes.iter();
        let kept = kept.filter(|(_, account)| !is_kept_by_the_chain(account));
        let state = block::state_hash(&self.open.transactions, kept);
        (writes, state)
    }

    /// Makes the open bank, which is complete, the block of this hash.
    fn freeze_as(
        &mut self,
        blockhash: Hash,
        writes: Vec<(Pubkey, AccountSharedData)>,
        state: Hash,
    ) {
        let parent = self.tip().clone();
        let transactions = std::mem::take(&mut self.open.transactions);
        let block = Arc::new(Block {
            slot: self.open.slot,
            parent_slot: parent.slot,
            height: parent.height.saturating_add(1),
            blockhash,
            parent_blockhash: parent.blockhash,
            unix_ms: self.open.unix_ms,
            transaction_count: parent
                .transaction_count
                .saturating_add(transactions.len() as u64),
            transactions,
            state,
            writes,
        });
        self.hashes.insert(block.blockhash, block.height);
        self.hash_order.push_back((block.blockhash, block.height));
        let header = Header {
            unix_ms: block.unix_ms,
            transaction_count: block.transaction_count,
        };
        self.headers.insert(block.slot, header);
        self.blocks.push_back(block.clone());
        self.events.push(Event::Frozen(block.clone()));
        self.events.push(Event::Processed(block.clone()));
        while self.confirmed.saturating_add(self.settings.confirmed_lag) < block.height {
            self.confirmed = self.confirmed.saturating_add(1);
            let confirmed = self.at_height(self.confirmed);
            self.events.push(Event::Confirmed(confirmed));
        }
    }

    fn blockhash(&self, parent: &Hash, transactions: &[Arc<Executed>]) -> Hash {
        let mut hasher = Sha256::new()
            .chain_update(domain::DEVNET_BLOCK)
            .chain_update(self.open.slot.to_le_bytes())
            .chain_update(self.open.number.to_le_bytes())
            .chain_update(self.settings.salt)
            .chain_update(parent.to_bytes())
            .chain_update((transactions.len() as u64).to_le_bytes());
        for executed in transactions {
            hasher.update(executed.signature.as_ref());
        }
        Hash::new_from_array(hasher.finalize().into())
    }

    /// The block of this chain at a height from the root's to the tip's.
    fn at_height(&self, height: u64) -> Arc<Block> {
        height
            .checked_sub(self.root.height.saturating_add(1))
            .and_then(|index| self.blocks.get(index as usize))
            .unwrap_or(&self.root)
            .clone()
    }

    fn blockhash_is_recent(&self, hash: &Hash, tip_height: u64) -> bool {
        self.hashes.get(hash).is_some_and(|height| {
            tip_height
                .checked_sub(*height)
                .is_some_and(|age| age <= MAX_BLOCKHASH_AGE)
        })
    }
}

fn clock_at(slot: Slot, unix_ms: i64, epoch_start_timestamp: i64) -> Clock {
    let epoch = slot / SLOTS_PER_EPOCH;
    Clock {
        slot,
        epoch_start_timestamp,
        epoch,
        leader_schedule_epoch: epoch.saturating_add(1),
        unix_timestamp: unix_ms.div_euclid(1000),
    }
}

/// The Clock sysvar's account as a block had it; the epoch's start is not known any more.
pub(crate) fn clock_account(slot: Slot, unix_ms: i64) -> AccountSharedData {
    let clock = clock_at(slot, unix_ms, 0);
    let data = [
        clock.slot.to_le_bytes(),
        clock.epoch_start_timestamp.to_le_bytes(),
        clock.epoch.to_le_bytes(),
        clock.leader_schedule_epoch.to_le_bytes(),
        clock.unix_timestamp.to_le_bytes(),
    ];
    let data = data.concat();
    solana_account::Account {
        lamports: solana_rent::Rent::default().minimum_balance(data.len()),
        data,
        owner: SYSVAR_OWNER_ID,
        executable: false,
        rent_epoch: u64::MAX,
    }
    .into()
}

fn status_meta(
    outcome: &ledger::Outcome,
    sanitized: &SanitizedTransaction,
) -> TransactionStatusMeta {
    let meta = &outcome.meta;
    TransactionStatusMeta {
        status: outcome.err.clone().map_or(Ok(()), Err),
        fee: meta.fee,
        pre_balances: outcome.balances.0.clone(),
        post_balances: outcome.balances.1.clone(),
        inner_instructions: Some(map_inner_instructions(meta.inner_instructions.clone()).collect()),
        log_messages: Some(meta.logs.clone()),
        pre_token_balances: Some(outcome.token_balances.0.clone()),
        post_token_balances: Some(outcome.token_balances.1.clone()),
        rewards: Some(Vec::new()),
        loaded_addresses: sanitized.get_loaded_addresses(),
        return_data: Some(meta.return_data.clone()).filter(|data| !data.data.is_empty()),
        compute_units_consumed: Some(meta.compute_units_consumed),
        cost_units: None,
    }
}

#[cfg(test)]
mod tests;
