//! Account state of one chain of banks: a LiteSVM that holds the newest state, and an undo layer for every bank
//! above the root. A layer remembers what each account was before the bank first wrote it, so that a bank costs
//! only what it changes, older commitments can be read, and forks are taken back.

// LiteSVM reports a failure by value, with its logs.
#![allow(clippy::result_large_err)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use agave_reserved_account_keys::ReservedAccountKeys;
use litesvm::LiteSVM;
use litesvm::types::{FailedTransactionMetadata, SimulatedTransactionInfo};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_clock::{Clock, Slot};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_slot_hashes::SlotHashes;
use solana_transaction::sanitized::{MessageHash, SanitizedTransaction};
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::TransactionTokenBalance;

use super::ids::{
    CLOCK_ID, NATIVE_LOADER_ID, SLOT_HASHES_ID, SYSVAR_OWNER_ID, UPGRADEABLE_LOADER_ID,
};
use super::tokens;

/// What an account was before a bank first wrote it.
#[derive(Clone)]
struct Before {
    account: Option<AccountSharedData>,
    written: Slot,
}

struct Layer {
    slot: Slot,
    undo: HashMap<Pubkey, Before>,
}

/// Result of a transaction that was executed: it succeeded or failed, and paid its fee.
pub struct Outcome {
    /// Error of a transaction that failed in execution.
    pub err: Option<TransactionError>,
    /// Logs, compute units, fee, return data, inner instructions.
    pub meta: litesvm::types::TransactionMetadata,
    /// Balances of all account keys before and after, in lamports.
    pub balances: (Vec<u64>, Vec<u64>),
    /// Balances of the token accounts among them before and after.
    pub token_balances: (Vec<TransactionTokenBalance>, Vec<TransactionTokenBalance>),
    /// Accounts written, in the order of the transaction's keys; lamports 0 = gone.
    pub writes: Vec<(Pubkey, AccountSharedData)>,
}

pub struct Ledger {
    svm: LiteSVM,
    layers: VecDeque<Layer>,
    /// Slot of the last write; accounts of genesis that nobody wrote since are absent (slot 0).
    written: HashMap<Pubkey, Slot>,
    /// The accounts every fresh LiteSVM has: they need not be saved.
    base: HashMap<Pubkey, AccountSharedData>,
    reserved: HashSet<Pubkey>,
}

impl Ledger {
    /// A ledger over a LiteSVM that was just built, before anything was added to it.
    pub fn new(svm: LiteSVM) -> Self {
        let mut reserved = ReservedAccountKeys::default();
        reserved.update_active_set(&LiteSVM::mainnet_feature_set());
        let base = svm
            .accounts_db()
            .inner
            .iter()
            .map(|(key, account)| (*key, account.clone()))
            .collect();
        Self {
            svm,
            layers: VecDeque::new(),
            written: HashMap::new(),
            base,
            reserved: reserved.active,
        }
    }

    /// Newest state of an account.
    pub fn get(&self, key: &Pubkey) -> Option<AccountSharedData> {
        self.svm
            .accounts_db()
            .get_account(key)
            .filter(|account| account.lamports() > 0)
    }

    /// State of an account at the end of `slot` (a bank of this chain).
    pub fn get_at(&self, slot: Slot, key: &Pubkey) -> Option<AccountSharedData> {
        match self.before(slot, key) {
            Some(before) => before.account.clone(),
            None => self.get(key),
        }
    }

    fn before(&self, slot: Slot, key: &Pubkey) -> Option<&Before> {
        self.layers
            .iter()
            .filter(|layer| layer.slot > slot)
            .find_map(|layer| layer.undo.get(key))
    }

    /// Every account at the end of `slot` that `keep` accepts, with the slot of its last write.
    pub fn accounts_at(
        &self,
        slot: Slot,
        keep: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData, Slot)> {
        let before = self.merged_above(slot);
        let mut accounts: Vec<_> = self
            .svm
            .accounts_db()
            .inner
            .iter()
            .filter(|(key, account)| {
                account.lamports() > 0 && !before.contains_key(key) && keep(key, account)
            })
            .map(|(key, account)| (*key, account.clone(), self.written_slot(key)))
            .collect();
        accounts.extend(before.into_iter().filter_map(|(key, before)| {
            let account = before.account.filter(|account| keep(&key, account))?;
            Some((key, account, before.written))
        }));
        accounts
    }

    fn written_slot(&self, key: &Pubkey) -> Slot {
        self.written.get(key).copied().unwrap_or(0)
    }

    /// Whether the account is one that every fresh LiteSVM has, unchanged.
    pub fn is_base(&self, key: &Pubkey, account: &AccountSharedData) -> bool {
        self.base.get(key) == Some(account)
    }

    /// Number of accounts in the newest state.
    pub fn count(&self) -> usize {
        self.svm.accounts_db().inner.len()
    }

    pub fn minimum_balance(&self, data_len: usize) -> u64 {
        self.svm.minimum_balance_for_rent_exemption(data_len)
    }

    /// Opens the layer of a new bank.
    pub fn push_layer(&mut self, slot: Slot) {
        self.layers.push_back(Layer {
            slot,
            undo: HashMap::new(),
        });
    }

    /// Writes an account outside of any transaction (`None` removes it).
    pub fn set(&mut self, key: Pubkey, account: Option<AccountSharedData>) {
        let before = self.get(&key);
        self.remember(key, before);
        self.put(key, account);
    }

    /// Puts an account of saved state in place, below all layers.
    pub fn restore(&mut self, key: Pubkey, account: Option<AccountSharedData>, written: Slot) {
        self.put(key, account);
        self.written.insert(key, written);
    }

    fn put(&mut self, key: Pubkey, account: Option<AccountSharedData>) {
        let account: Account = account.map(Into::into).unwrap_or_default();
        if let Err(error) = self.svm.set_account(key, account) {
            tracing::error!(%key, %error, "an account could not be put in place");
        }
    }

    fn remember(&mut self, key: Pubkey, account: Option<AccountSharedData>) {
        let written = self.written_slot(&key);
        if let Some(layer) = self.layers.back_mut() {
            layer.undo.entry(key).or_insert(Before { account, written });
            self.written.insert(key, layer.slot);
        }
    }

    pub fn clock(&self) -> Clock {
        self.svm.get_sysvar()
    }

    pub fn slot_hashes(&self) -> SlotHashes {
        self.svm.get_sysvar()
    }

    /// Sets the Clock sysvar and returns its account.
    pub fn set_clock(&mut self, clock: &Clock) -> Option<AccountSharedData> {
        let before = self.get(&CLOCK_ID);
        self.remember(CLOCK_ID, before);
        self.svm.set_sysvar(clock);
        self.get(&CLOCK_ID)
    }

    /// Sets the SlotHashes sysvar and returns its account.
    pub fn set_slot_hashes(&mut self, hashes: &SlotHashes) -> Option<AccountSharedData> {
        let before = self.get(&SLOT_HASHES_ID);
        self.remember(SLOT_HASHES_ID, before);
        self.svm.set_sysvar(hashes);
        self.get(&SLOT_HASHES_ID)
    }

    /// What the newest bank wrote, each account once with its final state; lamports 0 = gone. Sorted by key.
    pub fn top_writes(&self) -> Vec<(Pubkey, AccountSharedData)> {
        let Some(layer) = self.layers.back() else {
            return Vec::new();
        };
        let mut writes: Vec<_> = layer
            .undo
            .keys()
            .map(|key| (*key, self.get(key).unwrap_or_default()))
            .collect();
        writes.sort_unstable_by_key(|(key, _)| *key);
        writes
    }

    /// Takes back every bank above `slot`.
    pub fn undo_above(&mut self, slot: Slot) {
        let before = self.merged_above(slot);
        self.layers.retain(|layer| layer.slot <= slot);
        for (key, before) in loader_data_first(before) {
            self.put(key, before.account);
            self.written.insert(key, before.written);
        }
    }

    /// Forgets how to take back the banks up to `slot`: they are rooted.
    pub fn forget_up_to(&mut self, slot: Slot) {
        self.layers.retain(|layer| layer.slot > slot);
    }

    fn merged_above(&self, slot: Slot) -> HashMap<Pubkey, Before> {
        let mut merged = HashMap::new();
        for layer in self.layers.iter().filter(|layer| layer.slot > slot) {
            for (key, before) in &layer.undo {
                merged.entry(*key).or_insert_with(|| before.clone());
            }
        }
        merged
    }

    /// Checks form, account locks and address tables against the newest state; not the signatures.
    pub fn sanitize(
        &self,
        tx: VersionedTransaction,
    ) -> Result<SanitizedTransaction, TransactionError> {
        SanitizedTransaction::try_create(
            tx,
            MessageHash::Compute,
            Some(false),
            self.svm.accounts_db(),
            &self.reserved,
        )
    }

    /// Executes into the newest bank. An `Err` left no trace: the transaction is in no block.
    pub fn execute(
        &mut self,
        tx: VersionedTransaction,
        sanitized: &SanitizedTransaction,
    ) -> Result<Outcome, TransactionError> {
        let message = sanitized.message();
        let keys: Vec<Pubkey> = message.account_keys().iter().copied().collect();
        let before: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        let tokens_before = self.token_balances(&keys, &before);
        let result = catch_unwind(AssertUnwindSafe(|| self.svm.send_transaction(tx)));
        let (err, meta) = match result {
            Ok(Ok(meta)) => (None, meta),
            // A transaction that failed before it ran has no signature in its metadata and paid nothing.
            Ok(Err(failed)) if failed.meta.signature == Signature::default() => {
                return Err(failed.err);
            }
            Ok(Err(failed)) => (Some(failed.err), failed.meta),
            Err(_) => {
                tracing::error!(signature = %sanitized.signature(), "the transaction broke the virtual machine; it is taken back");
                for (key, account) in keys.iter().zip(before) {
                    self.put(*key, account);
                }
                return Err(TransactionError::ClusterMaintenance);
            }
        };
        let mut writes = Vec::new();
        for (i, (key, before)) in keys.iter().zip(&before).enumerate() {
            // As Agave stores them: all writable accounts of a success (programs that are only invoked
            // excepted), the fee payer alone of a failure.
            let stored = match err {
                None => {
                    message.is_writable(i)
                        && (!message.is_invoked(i) || message.is_instruction_account(i))
                }
                Some(_) => i == 0,
            };
            if stored {
                self.remember(*key, before.clone());
                writes.push((*key, self.get(key).unwrap_or_default()));
            }
        }
        let lamports = |account: &Option<AccountSharedData>| {
            account.as_ref().map_or(0, ReadableAccount::lamports)
        };
        let pre = before.iter().map(lamports).collect();
        let after: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        let post = after.iter().map(lamports).collect();
        Ok(Outcome {
            err,
            meta,
            balances: (pre, post),
            token_balances: (tokens_before, self.token_balances(&keys, &after)),
            writes,
        })
    }

    fn token_balances(
        &self,
        keys: &[Pubkey],
        accounts: &[Option<AccountSharedData>],
    ) -> Vec<TransactionTokenBalance> {
        let unix_seconds = self.clock().unix_timestamp;
        tokens::balances(keys, accounts, |mint| {
            tokens::Mint::read(mint, self.get(mint).as_ref(), unix_seconds)
        })
    }

    /// Runs a transaction against the state at the end of `slot` and leaves nothing behind.
    pub fn simulate_at(
        &mut self,
        slot: Slot,
        tx: VersionedTransaction,
    ) -> Result<SimulatedTransactionInfo, FailedTransactionMetadata> {
        let older = self.merged_above(slot);
        let newest: HashMap<Pubkey, Before> = older
            .keys()
            .map(|key| {
                let before = Before {
                    account: self.get(key),
                    written: 0,
                };
                (*key, before)
            })
            .collect();
        for (key, before) in loader_data_first(older) {
            self.put(key, before.account);
        }
        let result = catch_unwind(AssertUnwindSafe(|| self.svm.simulate_transaction(tx)));
        for (key, before) in loader_data_first(newest) {
            self.put(key, before.account);
        }
        result.unwrap_or_else(|_| {
            Err(FailedTransactionMetadata {
                err: TransactionError::ClusterMaintenance,
                meta: Default::default(),
            })
        })
    }
}

/// A program's ELF must be there before the program account is put in place.
fn loader_data_first(accounts: HashMap<Pubkey, Before>) -> Vec<(Pubkey, Before)> {
    let mut accounts: Vec<_> = accounts.into_iter().collect();
    accounts.sort_by_key(|(_, before)| !before.account.as_ref().is_some_and(is_program_data));
    accounts
}

/// Whether an account is a ProgramData account of loader v3.
pub fn is_program_data(account: &AccountSharedData) -> bool {
    account.owner() == &UPGRADEABLE_LOADER_ID && account.data().first() == Some(&3)
}

/// Whether the chain itself keeps the account (sysvars, builtins).
pub fn is_kept_by_the_chain(account: &AccountSharedData) -> bool {
    account.owner() == &SYSVAR_OWNER_ID || account.owner() == &NATIVE_LOADER_ID
}
