//! Transactions to rows, one for each instruction of our program. Pure. What a transaction holds is hostile: what can't be read
//! becomes a row with less in it, never an error, and every size is bounded.

mod arguments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::ix::{Tag, split};
use mythic_interface::state::Key;
use mythic_postgres::CopyBuffer;
use mythic_stream::proto::{Call, TransactionUpdate};
use mythic_stream::transactions;

use crate::tree::BankId;

/// Most instructions of a transaction, and accounts of one, that are kept.
const MAX_CALLS: usize = 64;
const MAX_ACCOUNTS: usize = 256;
/// Longest name of an error, in characters.
const MAX_NAME: usize = 64;

/// `calls` of table `slot`. Null: they are not streamed.
pub mod state {
    /// Some are missing.
    pub const INCOMPLETE: i16 = 0;
    /// None are missing, and there are none, unless it is said yet.
    pub const PROMISED: i16 = 1;
    /// All are here.
    pub const WHOLE: i16 = 2;
}

/// What a seal says of a bank's calls.
pub fn promised(streamed: bool) -> Option<i16> {
    streamed.then_some(state::PROMISED)
}

/// An instruction of our program, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Place of the transaction in the block.
    pub transaction: i32,
    /// Place among the instructions of ours in the transaction.
    pub call: i16,
    pub instruction: i16,
    pub inner: Option<i16>,
    pub signature: [u8; 64],
    pub signer: Key,
    /// `None`: it can't be read, and `data` says what it was.
    pub tag: Option<Tag>,
    /// In their order, 32 bytes each.
    pub accounts: Vec<u8>,
    pub job: Option<Key>,
    /// JSON.
    pub arguments: Option<String>,
    pub data: Option<Vec<u8>>,
    pub success: bool,
    pub error_code: Option<i64>,
    pub error: Option<String>,
    pub fee_lamports: Option<i64>,
    pub compute_units: Option<i64>,
}

/// The calls of a bank. Whether they are its first is for the database to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankCalls {
    pub id: BankId,
    /// They are all here.
    pub whole: bool,
    pub rows: Vec<CallRow>,
}

/// Columns of a row, in the order of [`CallRow::write`].
pub const COLUMNS: &str = "slot, bank, transaction, call, instruction, inner_instruction, signature, signer, tag, accounts, job, \
     arguments, data, success, error_code, error, fee_lamports, compute_units";

impl CallRow {
    /// Writes it as a row of the table.
    pub fn write(&self, slot: i64, bank: i64, out: &mut CopyBuffer) {
        let out = out
            .row(18)
            .i64(slot)
            .i64(bank)
            .i32(self.transaction)
            .i16(self.call)
            .i16(self.instruction);
        opt_i16(out, self.inner)
            .bytes(&self.signature)
            .bytes(&self.signer);
        opt_i16(out, self.tag.map(|tag| i16::from(tag as u8)))
            .bytes(&self.accounts)
            .opt_bytes(self.job.as_ref().map(|job| &job[..]));
        match &self.arguments {
            Some(json) => out.json(json),
            None => out.null(),
        };
        out.opt_bytes(self.data.as_deref())
            .bool(self.success)
            .opt_i64(self.error_code)
            .opt_bytes(self.error.as_deref().map(str::as_bytes))
            .opt_i64(self.fee_lamports)
            .opt_i64(self.compute_units);
    }

    /// The keys in it whose texts views show.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let (accounts, _) = self.accounts.as_chunks::<32>();
        accounts.iter().copied().chain([self.signer])
    }
}

fn opt_i16(out: &mut CopyBuffer, value: Option<i16>) -> &mut CopyBuffer {
    match value {
        Some(value) => out.i16(value),
        None => out.null(),
    }
}

/// The rows of a bank's transactions, and whether all of the transactions could be read to their end.
pub fn rows(body: &[u8]) -> (Vec<CallRow>, bool) {
    let mut whole = true;
    // A transaction has its place once in a block.
    let mut by_place: BTreeMap<i32, TransactionUpdate> = BTreeMap::new();
    for update in transactions::read(body) {
        match update.map(|update| (i32::try_from(update.index), update)) {
            Ok((Ok(place), update)) => {
                whole &= !update.cut;
                by_place.insert(place, update);
            }
            _ => whole = false,
        }
    }
    let mut out = Vec::new();
    for (place, update) in &by_place {
        match of_transaction(*place, update) {
            Some(rows) => out.extend(rows),
            None => whole = false,
        }
    }
    (out, whole)
}

fn of_transaction(place: i32, update: &TransactionUpdate) -> Option<Vec<CallRow>> {
    let (keys, []) = update.keys.as_chunks::<32>() else {
        return None;
    };
    let transaction = Transaction {
        place,
        signature: update.signature.as_ref().try_into().ok()?,
        keys,
        update,
    };
    let calls = update.calls.iter().take(MAX_CALLS);
    let rows: Option<Vec<Option<CallRow>>> = (0i16..)
        .zip(calls)
        .map(|(number, call)| transaction.row(number, call))
        .collect();
    (update.calls.len() <= MAX_CALLS).then_some(())?;
    rows.map(|rows| rows.into_iter().flatten().collect())
}

struct Transaction<'a> {
    place: i32,
    signature: [u8; 64],
    keys: &'a [Key],
    update: &'a TransactionUpdate,
}

impl Transaction<'_> {
    /// The row of a call; `Some(None)` if it is another program's.
    fn row(&self, number: i16, call: &Call) -> Option<Option<CallRow>> {
        if *self.keys.get(call.program as usize)? != AI_PRECOMPILES_ID {
            return Some(None);
        }
        let (places, []) = call.accounts.as_chunks::<2>() else {
            return None;
        };
        let accounts: Option<Vec<Key>> = places
            .iter()
            .take(MAX_ACCOUNTS)
            .map(|place| {
                self.keys
                    .get(usize::from(u16::from_le_bytes(*place)))
                    .copied()
            })
            .collect();
        let accounts = accounts?;
        let read = read(&call.data);
        let job = read.as_ref().and_then(|(tag, _)| job_of(*tag, &accounts));
        let (tag, arguments) = read.unzip();
        let failure = self.update.failure.as_ref();
        // Where no instruction is to blame, each shows what went wrong.
        let shown = failure.filter(|failure| call.failed || failure.instruction.is_none());
        let is_custom = |name: &str| name == "Custom";
        Some(Some(CallRow {
            transaction: self.place,
            call: number,
            instruction: i16::try_from(call.instruction).ok()?,
            inner: call.inner.map(i16::try_from).transpose().ok()?,
            signature: self.signature,
            signer: *self.keys.first()?,
            tag,
            accounts: accounts.concat(),
            job,
            arguments: arguments.map(|json| json.to_string()),
            data: tag.is_none().then(|| {
                call.data
                    .iter()
                    .take(arguments::MAX_DATA)
                    .copied()
                    .collect()
            }),
            success: failure.is_none(),
            error_code: shown.and_then(|failure| failure.code).map(i64::from),
            error: shown
                .filter(|failure| failure.code.is_none() || !is_custom(&failure.name))
                .map(|failure| plain(&failure.name)),
            fee_lamports: i64::try_from(self.update.fee).ok(),
            compute_units: self
                .update
                .compute_units
                .and_then(|n| i64::try_from(n).ok()),
        }))
    }
}

/// The instruction and its arguments, if the data are one's.
fn read(data: &[u8]) -> Option<(Tag, serde_json::Value)> {
    let (tag, bytes) = split(data).ok()?;
    let json = arguments::json(tag, bytes)?;
    Some((tag, json))
}

/// The account that an instruction calls its job.
fn job_of(tag: Tag, accounts: &[Key]) -> Option<Key> {
    let place = tag
        .spec()
        .accounts
        .iter()
        .position(|spec| spec.name == "job")?;
    accounts.get(place).copied()
}

fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(MAX_NAME)
        .collect()
}
