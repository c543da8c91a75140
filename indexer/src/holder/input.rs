//! What the projection is fed with.

use bytes::Bytes;

use super::accounts::BaseAccounts;
use crate::alarms::Kind;
use crate::projection::Account;
use crate::tree::{BankId, Hash};

/// Something to apply, in the order of the producer's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    RunStart {
        run: [u8; 16],
        genesis: Option<Hash>,
        interface: String,
        plugin: String,
        primed: bool,
    },
    RunEnd {
        run: [u8; 16],
    },
    /// Startup accounts, newest per pubkey, sorted by pubkey.
    Base {
        run: [u8; 16],
        slot: u64,
        as_of: Option<BankId>,
        accounts: BaseAccounts,
    },
    Bank(SealedBank),
    /// The transactions of a sealed bank that call our program, see [`mythic_stream::transactions`].
    Calls {
        run: [u8; 16],
        generation: u32,
        id: BankId,
        /// They are all here.
        whole: bool,
        body: Bytes,
    },
    /// The slot was opened again.
    Reset {
        run: [u8; 16],
        slot: u64,
        generation: u32,
        /// The sealed bank of the slot that no producer holds any more; who holds what is not for the holder to say.
        gone: Option<Hash>,
    },
    /// The slot's block is invalid.
    Dead {
        run: [u8; 16],
        slot: u64,
        generation: u32,
        reason: String,
        gone: Option<Hash>,
    },
    Confirmed {
        run: [u8; 16],
        slot: u64,
        hash: Option<Hash>,
    },
    Rooted {
        run: [u8; 16],
        slot: u64,
        hash: Option<Hash>,
        parent: Option<u64>,
    },
    Loss {
        run: [u8; 16],
        first: u64,
        last: u64,
        count: u64,
        reason: String,
    },
    /// Something that the producer sent can't be used.
    Refused {
        run: [u8; 16],
        kind: Kind,
        slot: u64,
        detail: String,
    },
}

/// Records of a run that can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// How many; none: nobody knows.
    pub records: Option<u64>,
    /// One word, see the operator's guide.
    pub reason: &'static str,
    /// For people.
    pub what: String,
}

/// A bank at its seal.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedBank {
    pub run: [u8; 16],
    pub generation: u32,
    pub id: BankId,
    pub parent: BankId,
    pub block_time: Option<i64>,
    pub digest: Vec<u8>,
    pub filter_hash: Vec<u8>,
    /// As many updates are here as the producer offered, and they are the ones that it summed up; if not, `accounts` is empty.
    pub whole: bool,
    pub accounts: Vec<Account>,
    /// Its transactions are streamed too: an [`Input::Calls`] says if there are any, or if some are missing.
    pub transactions: bool,
}
