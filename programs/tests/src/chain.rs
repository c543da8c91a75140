//! The built program in LiteSVM. Signatures are not verified: whoever a test names as signer signs.

use std::collections::{BTreeMap, BTreeSet};

use litesvm::LiteSVM;
use mythic_interface::error::MythicError;
use mythic_interface::hash::sha256;
use mythic_interface::ix::Tag;
use mythic_interface::state::Key;
use mythic_interface::{AI_PRECOMPILES_ID, INCINERATOR, UPGRADEABLE_LOADER};
use solana_account::{Account, ReadableAccount};
use solana_clock::Clock;
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

/// The built program.
pub const ELF: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../elf/mythic_ai_precompiles.so"
);

/// Lamports of a SOL.
pub const SOL: u64 = 1_000_000_000;

/// Slot of a fresh chain.
pub const FIRST_SLOT: u64 = 1_000;

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

/// A chain with the program deployed and nothing else.
#[derive(Clone)]
pub struct Chain {
    svm: LiteSVM,
    donated: BTreeSet<Key>,
    skipped: BTreeSet<u64>,
}

/// Hash of a slot on the tests' chain.
pub fn slot_hash(slot: u64) -> [u8; 32] {
    sha256(&[b"slot hash", &slot.to_le_bytes()])
}

/// Address of the program.
pub fn program() -> Pubkey {
    Pubkey::from(AI_PRECOMPILES_ID)
}

/// Address of the program's data under the upgradeable loader.
pub fn program_data() -> Key {
    let loader = Pubkey::from(UPGRADEABLE_LOADER);
    Pubkey::find_program_address(&[&AI_PRECOMPILES_ID], &loader)
        .0
        .to_bytes()
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// Deploys the program with `upgrade_authority` (see [`key`]) as its upgrade authority.
    ///
    /// # Panics
    /// If the ELF is missing or refused by the loader.
    pub fn new() -> Self {
        let elf = std::fs::read(ELF)
            .unwrap_or_else(|error| panic!("{ELF}: {error}; build it with `make sbf`"));
        let mut svm = LiteSVM::default()
            .with_mainnet_features()
            .with_builtins()
            .with_lamports(1_000_000 * SOL)
            .with_sysvars()
            .with_sigverify(false)
            .with_blockhash_check(false)
            .with_transaction_history(0);
        svm.add_program(program(), &elf).expect("the ELF loads");
        let mut chain = Chain {
            svm,
            donated: BTreeSet::new(),
            skipped: BTreeSet::new(),
        };
        chain.set_upgrade_authority(Some(key("upgrade_authority")));
        chain.warp_to(FIRST_SLOT);
        chain.fund(key("fees"), 1_000_000 * SOL);
        chain
    }

    /// Deploys a copy of the program under another address.
    pub fn deploy_at(&mut self, address: Key) {
        let elf = std::fs::read(ELF).expect("read before");
        self.svm
            .add_program(Pubkey::from(address), &elf)
            .expect("the ELF loads");
    }

    /// Rewrites the head of the program data as the loader lays it out: tag 3 (u32), slot (u64),
    /// an optional key.
    pub fn set_upgrade_authority(&mut self, authority: Option<Key>) {
        let address = Pubkey::from(program_data());
        let mut account = self.svm.get_account(&address).expect("program data");
        account.data[..4].copy_from_slice(&3u32.to_le_bytes());
        account.data[12] = authority.is_some().into();
        account.data[13..45].copy_from_slice(&authority.unwrap_or_default());
        self.put(program_data(), account);
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

    /// Goes to a slot. The runtime keeps the hashes of the last 512 slots that were not skipped.
    pub fn warp_to(&mut self, slot: u64) {
        self.svm.warp_to_slot(slot);
        let hashes: Vec<(u64, Hash)> = (0..slot)
            .rev()
            .filter(|slot| !self.skipped.contains(slot))
            .take(512)
            .map(|slot| (slot, Hash::new_from_array(slot_hash(slot))))
            .collect();
        self.svm.set_sysvar(&SlotHashes::new(&hashes));
    }

    /// Lets slots be skipped: they never have a hash.
    pub fn skip(&mut self, slots: impl IntoIterator<Item = u64>) {
        self.skipped.extend(slots);
        self.warp_to(self.slot());
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
        assert_eq!(account.owner, program());
        *T::load(&account.data).expect(T::NAME)
    }

    /// Lamports that keep an account of `len` bytes alive.
    pub fn rent(&self, len: usize) -> u64 {
        self.svm.minimum_balance_for_rent_exemption(len)
    }

    fn state(&self) -> State {
        let accounts: BTreeMap<Key, Stored> = self
            .svm
            .get_program_accounts(&program())
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

    /// Runs one transaction; its result and fee.
    fn execute(&mut self, instructions: &[Instruction]) -> (Result<Receipt, Refusal>, u64) {
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
        if let Err(broken) = invariants::check(&before, &after, fee) {
            let names: Vec<_> = instructions.iter().map(name).collect();
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
                name(&instruction),
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
            Ok(_) => panic!("{} not refused with {error}", name(&instruction)),
            Err(refusal) => assert_eq!(
                refusal.mythic(),
                Some(error),
                "{}: {:?}\n{}",
                name(&instruction),
                refusal.error,
                refusal.logs.join("\n")
            ),
        }
    }
}

fn name(instruction: &Instruction) -> &'static str {
    let tag = instruction.data.first().copied().and_then(Tag::from_u8);
    tag.map_or("an unknown instruction", Tag::name)
}
