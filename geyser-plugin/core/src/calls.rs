//! The calls of our programs in a transaction, as the spool has them. What a transaction holds is hostile: what is looked at and
//! what is copied is bounded.

use crate::{
    lanes::Lanes,
    told::{Executed, Failure, Instruction},
};
use mythic_stream::proto::{Call, TransactionFailure, TransactionUpdate};

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

impl<'a> Seen<'a> {
    fn new(instruction: usize, inner: Option<usize>, seen: Instruction<'a>) -> Self {
        Self {
            instruction,
            inner,
            program: seen.program,
            accounts: seen.accounts,
            data: seen.data,
        }
    }
}

/// A transaction with a call of ours.
pub(crate) struct Transaction<'a, T> {
    info: &'a T,
    owners: &'a [[u8; 32]],
}

impl<'a, 'b: 'a, T: Executed<'b>> Transaction<'a, T> {
    /// `None` if none of our programs is called, or it is a vote.
    pub fn ours(info: &'a T, owners: &'a [[u8; 32]]) -> Option<Self> {
        let this = Self { info, owners };
        // Most transactions name none of them.
        let named = !info.is_vote() && info.keys().any(|key| owners.contains(key));
        let called = named && this.calls().next().is_some();
        called.then_some(this)
    }

    /// About how many bytes its copy takes.
    pub fn size(&self) -> usize {
        let calls = self.calls().take(MAX_CALLS);
        let bytes: usize = calls.map(|seen| bytes_of(&seen) + 96).sum();
        512 + bytes.min(MAX_BYTES)
    }

    fn key(&self, place: u8) -> Option<&'b [u8; 32]> {
        self.info.keys().nth(place.into())
    }

    fn is_ours(&self, program: u8) -> bool {
        self.key(program)
            .is_some_and(|key| self.owners.contains(key))
    }

    /// Instructions of the message, each before those that it led to.
    fn seen(&self) -> impl Iterator<Item = Seen<'b>> {
        let of_message = self.info.instructions().enumerate();
        let all = of_message.flat_map(|(instruction, own)| {
            let led_to = self.info.led_to(instruction).enumerate();
            let led_to =
                led_to.map(move |(inner, called)| Seen::new(instruction, Some(inner), called));
            std::iter::once(Seen::new(instruction, None, own)).chain(led_to)
        });
        all.take(MAX_SEEN)
    }

    fn calls(&self) -> impl Iterator<Item = Seen<'b>> {
        self.seen().filter(|seen| self.is_ours(seen.program))
    }

    /// The copy, without slot and generation.
    pub fn copy(&self) -> TransactionUpdate {
        let failure = self.info.failure();
        let mut keys = Keys::default();
        // The payer comes first.
        if let Some(payer) = self.key(0) {
            keys.place(payer);
        }
        let mut update = TransactionUpdate {
            index: self.info.index() as u64,
            signature: self.info.signature().to_vec().into(),
            fee: self.info.fee(),
            compute_units: self.info.compute_units(),
            failure: failure.as_ref().map(told),
            ..TransactionUpdate::default()
        };
        let failed = self.failed(failure.as_ref());
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
    fn failed(&self, failure: Option<&Failure>) -> Option<(usize, Option<usize>)> {
        let instruction = usize::from(failure?.instruction?);
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
        let line = format!("Program {} failed", bs58::encode(program).into_string());
        let tail = self.info.log().iter().rev().take(LOG_TAIL);
        tail.filter(|said| said.starts_with(&line)).count()
    }
}

fn bytes_of(seen: &Seen<'_>) -> usize {
    seen.data.len() + 2 * seen.accounts.len()
}

fn told(failure: &Failure) -> TransactionFailure {
    let name = failure.error.chars();
    TransactionFailure {
        instruction: failure.instruction.map(u32::from),
        code: failure.code,
        // The variant alone.
        name: name
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
