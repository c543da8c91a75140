//! A built program in LiteSVM. Signatures are not verified: whoever a test names as signer signs.

use std::collections::{BTreeMap, BTreeSet};

use litesvm::LiteSVM;
use mythic_interface::error::MythicError;
use mythic_interface::hash::sha256;
use mythic_interface::ix::Tag;
use mythic_interface::state::Key;
use mythic_interface::{AI_PRECOMPILES_ID, INCINERATOR, UPGRADEABLE_LOADER};
use solana_account::{Account, ReadableAccount};
use solana_clock::Clock;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_instruction::error::InstructionError;
use solana_message::{Message, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_slot_hashes::SlotHashes;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;

use crate::invariants::{self, State, Stored};
use crate::keys::key;

/// A program, and what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its address.
    pub id: Key,
    /// The built ELF.
    pub elf: &'static str,
    /// What must hold between the states before and after a transaction, whose fee is the third argument.
    pub check: fn(&State, &State, u128) -> Result<(), String>,
    /// The name of an instruction by the first byte of its data.
    pub name: fn(u8) -> Option<&'static str>,
    /// The compute units that it must ask for, if the usual ones are too few.
    pub asks: fn(u8) -> Option<u32>,
}

/// The AI Precompiles program.
pub const AI_PRECOMPILES: Program = Program {
    id: AI_PRECOMPILES_ID,
    elf: concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../elf/mythic_ai_precompiles.so"
    ),
    check: invariants::check,
    name: |byte| Tag::from_u8(byte).map(Tag::name),
    asks: |_| None,
};

/// Lamports of a SOL.
pub const SOL: u64 = 1_000_000_000;

/// Slot of a fresh chain.
pub const FIRST_SLOT: u64 = 1_000;
/// Second of slot 0 (Unix).
const GENESIS_SECOND: u64 = 1_700_000_000;
/// Milliseconds of a slot.
const SLOT_MS: u64 = 400;

/// Most bytes of a transaction.
pub const MAX_TRANSACTION: usize = 1_232;

/// What a transaction cost.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Compute units of the whole transaction.
    pub compute_units: u64,
    /// Bytes on the wire, paid for by its first signer.
    pub bytes: usize,
}

/// Why a transaction was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The runtime's error.
    pub error: TransactionError,
    /// The program's log.
    pub logs: Vec<String>,
}

impl Refusal {
    /// The program's own error, if it is one.
    pub fn mythic(&self) -> Option<MythicError> {
        match self.error {
            TransactionError::InstructionError(_, InstructionError::Custom(code)) => {
                MythicError::from_code(code)
            }
            _ => None,
        }
    }
}

/// A chain with a program deployed and nothing else.
#[derive(Clone)]
pub struct Chain {
    svm: LiteSVM,
    program: Program,
    /// Seconds by which its clock is ahead of its slots, or behind.
    ahead: i64,
    donated: BTreeSet<Key>,
    skipped: BTreeSet<u64>,
    /// Slots from which it is another fork, and that fork's name.
    forks: BTreeMap<u64, u64>,
}

/// Second of a slot (Unix), where the clock goes with them.
fn second_of(slot: u64) -> i64 {
    (GENESIS_SECOND + slot * SLOT_MS / 1_000) as i64
}

/// Hash of a slot on the tests' chain.
pub fn slot_hash(slot: u64) -> [u8; 32] {
    sha256(&[b"slot hash", &slot.to_le_bytes()])
}

/// Address of the AI Precompiles program's data under the upgradeable loader.
pub fn program_data() -> Key {
    data_of(&AI_PRECOMPILES_ID)
}

/// Address of a program's data under the upgradeable loader.
pub fn data_of(program: &Key) -> Key {
    let loader = Pubkey::from(UPGRADEABLE_LOADER);
    Pubkey::find_program_address(&[program], &loader)
        .0
        .to_bytes()
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// The AI Precompiles program on a chain of its own.
    ///
    /// # Panics
    /// If the ELF is missing or refused by the loader.
    pub fn new() -> Self {
        Self::of(AI_PRECOMPILES)
    }

    /// Deploys a program with `upgrade_authority` (see [`key`]) as its upgrade authority.
    ///
    /// # Panics
    /// If the ELF is missing or refused by the loader.
    pub fn of(program: Program) -> Self {
        let svm = LiteSVM::default()
            .with_mainnet_features()
            .with_builtins()
            .with_lamports(1_000_000 * SOL)
            .with_sysvars()
            .with_sigverify(false)
            .with_blockhash_check(false)
            .with_transaction_history(0);
        let mut chain = Chain {
            svm,
            program,
            ahead: 0,
            donated: BTreeSet::new(),
            skipped: BTreeSet::new(),
            forks: BTreeMap::new(),
        };
        chain.deploy_at(program.id);
        chain.set_upgrade_authority(Some(key("upgrade_authority")));
        chain.warp_to(FIRST_SLOT);
        chain.fund(key("fees"), 1_000_000 * SOL);
        chain
    }

    /// Deploys a copy of the program under an address.
    pub fn deploy_at(&mut self, address: Key) {
        let path = self.program.elf;
        let elf = std::fs::read(path)
            .unwrap_or_else(|error| panic!("{path}: {error}; build it with `make sbf`"));
        self.svm
            .add_program(Pubkey::from(address), &elf)
            .expect("the ELF loads");
    }

    /// Rewrites the head of the program data as the loader lays it out: tag 3 (u32), slot (u64),
    /// an optional key.
    pub fn set_upgrade_authority(&mut self, authority: Option<Key>) {
        let address = data_of(&self.program.id);
        let mut account = self.account(&address).expect("program data");
        account.data[..4].copy_from_slice(&3u32.to_le_bytes());
        account.data[12] = authority.is_some().into();
        account.data[13..45].copy_from_slice(&authority.unwrap_or_default());
        self.put(address, account);
    }

    /// Sets an account as it is, past every rule; the invariants see it as the state before the
    /// next transaction.
    pub fn put(&mut self, address: Key, account: Account) {
        self.svm
            .set_account(Pubkey::from(address), account)
            .expect("a plain account");
    }

    /// Changes an account of the program past every rule.
    ///
    /// # Panics
    /// If it does not exist or is another.
    pub fn forge<T: mythic_interface::state::Account>(
        &mut self,
        address: &Key,
        change: impl FnOnce(&mut T),
    ) {
        let mut account = self.account(address).expect(T::NAME);
        change(T::load_mut(&mut account.data).expect(T::NAME));
        self.put(*address, account);
    }

    /// Gives lamports to an address out of nothing.
    pub fn fund(&mut self, address: Key, lamports: u64) {
        let mut account = self.account(&address).unwrap_or_default();
        account.lamports += lamports;
        self.donated.insert(address);
        self.put(address, account);
    }

    /// The current slot.
    pub fn slot(&self) -> u64 {
        self.svm.get_sysvar::<Clock>().slot
    }

    /// The current second (Unix).
    pub fn second(&self) -> u64 {
        self.svm.get_sysvar::<Clock>().unix_timestamp as u64
    }

    /// Lets the clock run ahead of the slots by some seconds more.
    pub fn wait(&mut self, seconds: u64) {
        self.ahead += seconds as i64;
        self.warp_to(self.slot());
    }

    /// Goes on by some slots while the clock stands still.
    pub fn hold(&mut self, slots: u64) {
        let slot = self.slot() + slots;
        self.ahead = self.second() as i64 - second_of(slot);
        self.warp_to(slot);
    }

    /// Goes to a slot, and to its second. The runtime keeps the hashes of the last 512 slots that were not skipped.
    pub fn warp_to(&mut self, slot: u64) {
        self.svm.warp_to_slot(slot);
        let mut clock = self.svm.get_sysvar::<Clock>();
        clock.unix_timestamp = second_of(slot) + self.ahead;
        self.svm.set_sysvar(&clock);
        let hashes: Vec<(u64, Hash)> = (0..slot)
            .rev()
            .filter(|slot| !self.skipped.contains(slot))
            .take(512)
            .map(|slot| (slot, Hash::new_from_array(self.hash_of(slot))))
            .collect();
        self.svm.set_sysvar(&SlotHashes::new(&hashes));
    }

    /// Lets slots be skipped: they never have a hash.
    pub fn skip(&mut self, slots: impl IntoIterator<Item = u64>) {
        self.skipped.extend(slots);
        self.warp_to(self.slot());
    }

    /// From a slot on this is another fork: its slots have other hashes.
    pub fn fork_from(&mut self, slot: u64, name: u64) {
        self.forks.insert(slot, name);
    }

    /// Hash of a slot on this fork.
    fn hash_of(&self, slot: u64) -> [u8; 32] {
        match self.forks.range(..=slot).next_back() {
            Some((_, fork)) => sha256(&[b"slot hash", &slot.to_le_bytes(), &fork.to_le_bytes()]),
            None => slot_hash(slot),
        }
    }

    /// The first slot from one on that was not skipped, and its hash.
    pub fn first_from(&self, slot: u64) -> (u64, [u8; 32]) {
        let first = (slot..)
            .find(|slot| !self.skipped.contains(slot))
            .expect("some");
        (first, self.hash_of(first))
    }

    /// Goes on by `slots`.
    pub fn advance(&mut self, slots: u64) {
        self.warp_to(self.slot() + slots);
    }

    /// An account, if it exists.
    pub fn account(&self, address: &Key) -> Option<Account> {
        self.svm.get_account(&Pubkey::from(*address))
    }

    /// Lamports of an address, 0 where there is no account.
    pub fn lamports(&self, address: &Key) -> u64 {
        self.account(address).map_or(0, |account| account.lamports)
    }

    /// Reads an account of the program.
    ///
    /// # Panics
    /// If it does not exist or is another.
    pub fn load<T: mythic_interface::state::Account>(&self, address: &Key) -> T {
        let account = self
            .account(address)
            .unwrap_or_else(|| panic!("there is no {}", T::NAME));
        assert_eq!(account.owner.to_bytes(), T::PROGRAM);
        *T::load(&account.data).expect(T::NAME)
    }

    /// Lamports that keep an account of `len` bytes alive.
    pub fn rent(&self, len: usize) -> u64 {
        self.svm.minimum_balance_for_rent_exemption(len)
    }

    /// The program's world as it is.
    pub fn state(&self) -> State {
        let accounts: BTreeMap<Key, Stored> = self
            .svm
            .get_program_accounts(&Pubkey::from(self.program.id))
            .into_iter()
            .map(|(address, account)| {
                let stored = Stored {
                    rent: self.rent(account.data.len()),
                    lamports: account.lamports,
                    donated: self.donated.contains(&address.to_bytes()),
                    data: account.data,
                };
                (address.to_bytes(), stored)
            })
            .collect();
        let all = self.svm.accounts_db().inner.values();
        State {
            slot: self.slot(),
            total: all.map(|account| u128::from(account.lamports())).sum(),
            incinerator: self.lamports(&INCINERATOR),
            accounts,
        }
    }

    /// Runs one instruction without checking invariants, for states that were forged to break them.
    ///
    /// # Errors
    /// The runtime's error where the transaction failed.
    pub fn send_unchecked(&mut self, instruction: Instruction) -> Result<Receipt, Refusal> {
        self.execute(&[instruction]).0
    }

    /// Bytes of a legacy transaction on the wire, with the first signer as its payer.
    fn wire_size(instructions: &[Instruction]) -> usize {
        let accounts = instructions.iter().flat_map(|call| &call.accounts);
        let payer = accounts
            .filter(|account| account.is_signer)
            .map(|account| account.pubkey)
            .next();
        let message = Message::new(
            instructions,
            Some(&payer.unwrap_or(Pubkey::from(key("fees")))),
        );
        // A compact-u16 takes two bytes from 128 on.
        let counted = |len: usize| len + if len < 128 { 1 } else { 2 };
        let calls: usize = message
            .instructions
            .iter()
            .map(|call| 1 + counted(call.accounts.len()) + counted(call.data.len()))
            .sum();
        let keys = 1 + 32 * message.account_keys.len();
        let signatures = 1 + 64 * usize::from(message.header.num_required_signatures);
        signatures + 3 + keys + 32 + 1 + calls
    }

    /// The instructions of a transaction, behind the one that asks for compute units if they need it.
    fn asked(&self, instructions: &[Instruction]) -> Vec<Instruction> {
        let first = |call: &Instruction| call.data.first().copied();
        let asks = instructions
            .iter()
            .filter_map(first)
            .filter_map(self.program.asks);
        let budget = asks
            .max()
            .map(ComputeBudgetInstruction::set_compute_unit_limit);
        budget
            .into_iter()
            .chain(instructions.iter().cloned())
            .collect()
    }

    /// Runs one transaction; its result and fee.
    fn execute(&mut self, instructions: &[Instruction]) -> (Result<Receipt, Refusal>, u64) {
        let instructions = &self.asked(instructions);
        let message = Message::new(instructions, Some(&Pubkey::from(key("fees"))));
        let signatures = usize::from(message.header.num_required_signatures);
        let transaction = VersionedTransaction {
            signatures: vec![Signature::default(); signatures],
            message: VersionedMessage::Legacy(message),
        };
        match self.svm.send_transaction(transaction) {
            Ok(meta) => {
                let receipt = Receipt {
                    compute_units: meta.compute_units_consumed,
                    bytes: Self::wire_size(instructions),
                };
                assert!(receipt.bytes <= MAX_TRANSACTION, "{} bytes", receipt.bytes);
                (Ok(receipt), meta.fee)
            }
            Err(failed) => {
                let refusal = Refusal {
                    error: failed.err,
                    logs: failed.meta.logs,
                };
                (Err(refusal), 0)
            }
        }
    }

    /// Runs one transaction and checks every invariant between the states before and after it.
    ///
    /// # Errors
    /// The runtime's error where the transaction failed.
    ///
    /// # Panics
    /// If an invariant is broken.
    pub fn send(&mut self, instructions: &[Instruction]) -> Result<Receipt, Refusal> {
        let before = self.state();
        let (result, fee) = self.execute(instructions);
        let after = self.state();
        // LiteSVM may or may not take the fee of a failed transaction; the program gets none of it.
        let fee = match result {
            Ok(_) => u128::from(fee),
            Err(_) => before.total - after.total,
        };
        if let Err(broken) = (self.program.check)(&before, &after, fee) {
            let names: Vec<_> = instructions.iter().map(|call| self.name(call)).collect();
            panic!("invariant broken by {names:?}: {broken}");
        }
        if result.is_err() {
            assert_eq!(before.accounts, after.accounts, "a failure changed state");
        }
        result
    }

    /// Runs one instruction that must succeed.
    ///
    /// # Panics
    /// If it is refused.
    pub fn must(&mut self, instruction: Instruction) -> Receipt {
        match self.send(std::slice::from_ref(&instruction)) {
            Ok(receipt) => receipt,
            Err(refusal) => panic!(
                "{} refused: {:?} {:?}\n{}",
                self.name(&instruction),
                refusal.mythic(),
                refusal.error,
                refusal.logs.join("\n")
            ),
        }
    }

    /// Runs one instruction that must be refused with `error`.
    ///
    /// # Panics
    /// If it succeeds or is refused otherwise.
    pub fn refuse(&mut self, instruction: Instruction, error: MythicError) {
        match self.send(std::slice::from_ref(&instruction)) {
            Ok(_) => panic!("{} not refused with {error}", self.name(&instruction)),
            Err(refusal) => assert_eq!(
                refusal.mythic(),
                Some(error),
                "{}: {:?}\n{}",
                self.name(&instruction),
                refusal.error,
                refusal.logs.join("\n")
            ),
        }
    }

    fn name(&self, instruction: &Instruction) -> &'static str {
        let byte = instruction.data.first().copied();
        byte.and_then(self.program.name)
            .unwrap_or("an unknown instruction")
    }
}
