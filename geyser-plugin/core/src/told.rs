//! What a validator tells, in types of no release: the adapters (`agave`, `v1_18`) read what theirs hands them into these.

use mythic_stream::proto::SlotStatus;

/// The interface that an adapter speaks.
#[derive(Debug, Clone, Copy)]
pub struct Interface {
    /// Release of the interface crate; the validator's must be the same.
    pub version: &'static str,
    pub banks: Banks,
}

/// How a validator tells of its banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Banks {
    /// It says when it creates one (`CreatedBank`), and `Processed` when it has told all transactions of one.
    Told,
    /// It says neither: a bank begins with the first account that is written in it, and its transactions are all told when
    /// it is rooted.
    Implied,
}

/// An account update.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    pub pubkey: &'a [u8; 32],
    pub owner: &'a [u8; 32],
    pub lamports: u64,
    pub data: &'a [u8],
    pub write_version: u64,
    /// The first of the transaction that wrote it.
    pub signature: Option<[u8; 64]>,
}

/// What is told of a slot.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a> {
    pub status: SlotStatus,
    pub dead_reason: Option<&'a str>,
}

impl From<SlotStatus> for Status<'_> {
    fn from(status: SlotStatus) -> Self {
        Self {
            status,
            dead_reason: None,
        }
    }
}

/// A frozen block. Hashes are base58.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    pub slot: u64,
    pub blockhash: &'a str,
    pub parent_slot: u64,
    pub parent_blockhash: &'a str,
    pub block_time: Option<i64>,
    pub block_height: Option<u64>,
    /// 0: not told, nothing is known to be missing.
    pub executed_transactions: u64,
}

/// An executed transaction. What it holds is anybody's: the core bounds what it looks at and what it copies.
pub trait Executed<'a> {
    fn signature(&self) -> [u8; 64];
    fn is_vote(&self) -> bool;
    /// Its place in the block.
    fn index(&self) -> usize;
    /// Keys of the message, then those that it loaded from tables: writable ones, then the others.
    fn keys(&self) -> impl Iterator<Item = &'a [u8; 32]>;
    fn instructions(&self) -> impl Iterator<Item = Instruction<'a>>;
    /// What the instruction of the message at this place led to.
    fn led_to(&self, instruction: usize) -> impl Iterator<Item = Instruction<'a>>;
    fn fee(&self) -> u64;
    fn compute_units(&self) -> Option<u64>;
    fn failure(&self) -> Option<Failure>;
    fn log(&self) -> &'a [String];
}

/// An instruction, of a message or of a program. Program and accounts are places among the keys.
#[derive(Debug, Clone, Copy)]
pub struct Instruction<'a> {
    pub program: u8,
    pub accounts: &'a [u8],
    pub data: &'a [u8],
}

/// Why a transaction failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub instruction: Option<u8>,
    /// The program's own code.
    pub code: Option<u32>,
    /// The error as Rust shows it; only the name of its variant is kept.
    pub error: String,
}
