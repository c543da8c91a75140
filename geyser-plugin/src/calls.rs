//! The calls of our programs in a transaction, as the spool has them. What a transaction holds is hostile: what is looked at and
//! what is copied is bounded.

use agave_geyser_plugin_interface::geyser_plugin_interface::ReplicaTransactionInfoV3;
use mythic_stream::proto::{Call, TransactionFailure, TransactionUpdate};
use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError;

use crate::lanes::Lanes;

/// Most calls of a transaction that are copied. The runtime executes at most 64 instructions a transaction.
const MAX_CALLS: usize = 64;
/// Most bytes of data and account lists of a transaction that are copied.
const MAX_BYTES: usize = 32 << 10;
/// Most instructions of a transaction that are looked at.
const MAX_SEEN: usize = 1_024;
/// Lines at the end of the log among which failures are looked for; a call is at most 9 deep.
const LOG_TAIL: usize = 32;
/// Longest name of an error, in characters.
const MAX_NAME: usize = 64;

/// Counts of the transactions of banks: ours with those dropped, and all that were told.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    ours: Lanes,
    all: Lanes,
}

/// What was told of a bank's transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub offered: u64,
    pub dropped: u64,
    /// Of any kind.
    pub all: u64,
}

impl Counts {
    pub fn open(&self, slot: u64) {
        self.ours.open(slot);
        self.all.open(slot);
    }

    pub fn seen(&self, slot: u64) {
        self.all.offered(slot);
    }

    pub fn offered(&self, slot: u64) {
        self.ours.offered(slot);
    }

    pub fn dropped(&self, slot: u64) {
        self.ours.dropped(slot);
    }

    /// Ends the counting of a bank.
    pub fn close(&self, slot: u64) -> Option<Told> {
        let ((offered, dropped), (all, _)) = (self.ours.close(slot)?, self.all.close(slot)?);
        Some(Told {
            offered,
            dropped,
            all,
        })
    }
}

/// An instruction, of the message or of a program.
struct Seen<'a> {
    instruction: usize,
    inner: Option<usize>,
    program: u8,
    accounts: &'a [u8],
    data: &'a [u8],
}

/// A transaction with a call of ours.
pub(crate) struct Transaction<'a> {
    info: &'a ReplicaTransactionInfoV3<'a>,
    owners: &'a [[u8; 32]],
}

impl<'a> Transaction<'a> {
    /// `None` if none of our programs is called, or it is a vote.
    pub fn ours(info: &'a ReplicaTransactionInfoV3<'a>, owners: &'a [[u8; 32]]) -> Option<Self> {
        let this = Self { info, owners };
        let loaded = &info.transaction_status_meta.loaded_addresses;
        let keys = info.transaction.message.static_account_keys().iter();
        let mut keys = keys.chain(&loaded.writable).chain(&loaded.readonly);
        // Most transactions name none of them.
        let named = !info.is_vote && keys.any(|key| owners.contains(key.as_array()));
        let called = named && this.calls().next().is_some();
        called.then_some(this)
    }

    /// About how many bytes its copy takes.
    pub fn size(&self) -> usize {
        let calls = self.calls().take(MAX_CALLS);
        let bytes: usize = calls.map(|seen| bytes_of(&seen) + 96).sum();
        512 + bytes.min(MAX_BYTES)
    }

    fn key(&self, place: u8) -> Option<&'a [u8; 32]> {
        let fixed = self.info.transaction.message.static_account_keys();
        let loaded = &self.info.transaction_status_meta.loaded_addresses;
        let mut keys = fixed.iter().chain(&loaded.writable).chain(&loaded.readonly);
        keys.nth(place.into()).map(|key| key.as_array())
    }

    fn is_ours(&self, program: u8) -> bool {
        self.key(program)
            .is_some_and(|key| self.owners.contains(key))
    }

    /// Instructions of the message, each before those that it led to.
    fn seen(&self) -> impl Iterator<Item = Seen<'a>> {
        let groups = self
            .info
            .transaction_status_meta
            .inner_instructions
            .as_deref();
        let groups = groups.unwrap_or_default();
        let of_message = self.info.transaction.message.instructions().iter();
        let all = of_message.enumerate().flat_map(move |(instruction, own)| {
            let own = Seen {
                instruction,
                inner: None,
                program: own.program_id_index,
                accounts: &own.accounts,
                data: &own.data,
            };
            let led_to = groups
                .iter()
                .filter(move |group| usize::from(group.index) == instruction)
                .flat_map(|group| &group.instructions)
                .enumerate()
                .map(move |(inner, called)| Seen {
                    instruction,
                    inner: Some(inner),
                    program: called.instruction.program_id_index,
                    accounts: &called.instruction.accounts,
                    data: &called.instruction.data,
                });
            std::iter::once(own).chain(led_to)
        });
        all.take(MAX_SEEN)
    }

    fn calls(&self) -> impl Iterator<Item = Seen<'a>> {
        self.seen().filter(|seen| self.is_ours(seen.program))
    }

    /// The copy, without slot and generation.
    pub fn copy(&self) -> TransactionUpdate {
        let meta = self.info.transaction_status_meta;
        let mut keys = Keys::default();
        // The payer comes first.
        if let Some(payer) = self.key(0) {
            keys.place(payer);
        }
        let mut update = TransactionUpdate {
            index: self.info.index as u64,
            signature: self.info.signature.as_array().to_vec().into(),
            fee: meta.fee,
            compute_units: meta.compute_units_consumed,
            failure: meta.status.as_ref().err().map(failure),
            ..TransactionUpdate::default()
        };
        let failed = self.failed();
        let mut bytes = 0;
        for seen in self.calls() {
            bytes += bytes_of(&seen);
            let (Some(program), true) = (
                self.key(seen.program),
                bytes <= MAX_BYTES && update.calls.len() < MAX_CALLS,
            ) else {
                update.cut = true;
                break;
            };
            let program = keys.place(program).into();
            let mut accounts = Vec::with_capacity(2 * seen.accounts.len());
            for place in seen.accounts {
                // The runtime checked the places.
                let Some(key) = self.key(*place) else {
                    update.cut = true;
                    continue;
                };
                accounts.extend_from_slice(&keys.place(key).to_le_bytes());
            }
            update.calls.push(Call {
                instruction: seen.instruction as u32,
                inner: seen.inner.map(|inner| inner as u32),
                accounts: accounts.into(),
                data: seen.data.to_vec().into(),
                program,
                failed: failed == Some((seen.instruction, seen.inner))
                    || (seen.inner.is_none() && failed.is_some_and(|(n, _)| n == seen.instruction)),
            });
        }
        update.keys = keys.bytes.into();
        update
    }

    /// The deepest call of ours in which the transaction failed: instruction, inner.
    fn failed(&self) -> Option<(usize, Option<usize>)> {
        let Err(TransactionError::InstructionError(instruction, _)) =
            &self.info.transaction_status_meta.status
        else {
            return None;
        };
        let instruction = usize::from(*instruction);
        let inside = self.calls().filter(|seen| seen.instruction == instruction);
        let (mut own, mut last) = (false, None);
        for seen in inside {
            match seen.inner {
                None => own = true,
                Some(inner) => last = Some((inner, self.key(seen.program)?)),
            }
        }
        // A failure ends everything, so of the calls of a program only the last can have failed; that it did, the runtime's log says.
        let inner = last.and_then(|(inner, program)| {
            let needed = 1 + usize::from(own);
            (self.failures_in_log(program) >= needed).then_some(inner)
        });
        (own || inner.is_some()).then_some((instruction, inner))
    }

    /// How many calls of a program failed, as the end of the log has it. What programs print has another beginning.
    fn failures_in_log(&self, program: &[u8; 32]) -> usize {
        let logs = self.info.transaction_status_meta.log_messages.as_deref();
        let logs = logs.unwrap_or_default();
        let line = format!("Program {} failed", bs58::encode(program).into_string());
        let tail = logs.iter().rev().take(LOG_TAIL);
        tail.filter(|said| said.starts_with(&line)).count()
    }
}

fn bytes_of(seen: &Seen<'_>) -> usize {
    seen.data.len() + 2 * seen.accounts.len()
}

fn failure(error: &TransactionError) -> TransactionFailure {
    let (instruction, code, name) = match error {
        TransactionError::InstructionError(at, InstructionError::Custom(code)) => {
            (Some(u32::from(*at)), Some(*code), "Custom".into())
        }
        TransactionError::InstructionError(at, error) => {
            (Some(u32::from(*at)), None, format!("{error:?}"))
        }
        error => (None, None, format!("{error:?}")),
    };
    TransactionFailure {
        instruction,
        code,
        // The variant alone.
        name: name
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(MAX_NAME)
            .collect(),
    }
}

/// Keys without repeats, in the order in which they were met.
#[derive(Default)]
struct Keys {
    bytes: Vec<u8>,
}

impl Keys {
    fn place(&mut self, key: &[u8; 32]) -> u16 {
        let (keys, _) = self.bytes.as_chunks::<32>();
        let next = keys.len();
        let place = keys.iter().position(|known| known == key).unwrap_or(next);
        if place == next {
            self.bytes.extend_from_slice(key);
        }
        // A transaction names at most 256 keys.
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}
