//! The bounded queue between the callbacks and the drain thread. Account updates and transactions are refused when
//! as many records or bytes wait as the configuration allows; slot records have room of their own.

use crate::{calls::Told, startup::Startup};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use mythic_stream::proto::{SlotStatus, TransactionUpdate};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Room that only slot records may use.
const SLOT_ROOM: usize = 4096;

/// What a callback hands to the drain thread.
#[derive(Debug)]
pub(crate) enum Record {
    Account(AccountRecord),
    Transaction(TransactionRecord),
    Slot(SlotRecord),
    Seal(SealRecord),
    BaseEnd { slot: u64, count: u64 },
}

#[derive(Debug)]
pub(crate) struct AccountRecord {
    pub slot: u64,
    pub write_version: u64,
    pub pubkey: [u8; 32],
    pub owner: [u8; 32],
    pub lamports: u64,
    pub data: Bytes,
    pub signature: Option<[u8; 64]>,
    pub is_startup: bool,
    /// Owned by one of our programs and not empty; otherwise the end of a tracked account.
    pub live: bool,
    /// The tracked set learned of this account here.
    pub newly_tracked: bool,
}

#[derive(Debug)]
pub(crate) struct TransactionRecord {
    /// Without its generation.
    pub update: Box<TransactionUpdate>,
    /// Bytes that were reserved for it.
    pub size: usize,
}

#[derive(Debug)]
pub(crate) struct SlotRecord {
    pub slot: u64,
    pub parent: Option<u64>,
    pub status: SlotStatus,
    pub dead_reason: Option<String>,
    /// All transactions of the bank were told.
    pub told: Option<Told>,
}

#[derive(Debug)]
pub(crate) struct SealRecord {
    pub slot: u64,
    pub blockhash: [u8; 32],
    pub parent_slot: u64,
    pub parent_blockhash: [u8; 32],
    pub block_time: Option<i64>,
    pub block_height: Option<u64>,
    /// Updates that passed the filter, and those of them that found the queue full.
    pub offered: u64,
    pub dropped: u64,
    /// Transactions of the block.
    pub executed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Depth {
    pub records: AtomicUsize,
    pub bytes: AtomicUsize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    sender: Sender<Record>,
    depth: Arc<Depth>,
    max_records: usize,
    max_bytes: usize,
}

/// The drain thread's end.
#[derive(Debug)]
pub(crate) struct Drained {
    pub receiver: Receiver<Record>,
    depth: Arc<Depth>,
    startup: Arc<Startup>,
}

pub(crate) fn queue(
    max_records: usize,
    max_bytes: usize,
    startup: Arc<Startup>,
) -> (Queue, Drained) {
    let (sender, receiver) = bounded(max_records.saturating_add(SLOT_ROOM));
    let depth = Arc::new(Depth::default());
    (
        Queue {
            sender,
            depth: depth.clone(),
            max_records,
            max_bytes,
        },
        Drained {
            receiver,
            depth,
            startup,
        },
    )
}

impl Queue {
    /// Reserves room for an update before its data are copied. `false`: full.
    fn reserve(&self, size: usize) -> bool {
        let records = self.depth.records.fetch_add(1, Relaxed);
        let bytes = self.depth.bytes.fetch_add(size, Relaxed);
        // One update alone may pass the byte bound, so that none is too large for ever.
        let fits = records < self.max_records && (bytes == 0 || bytes + size <= self.max_bytes);
        if !fits {
            self.depth.records.fetch_sub(1, Relaxed);
            self.depth.bytes.fetch_sub(size, Relaxed);
        }
        fits
    }

    /// Offers an account update or a transaction of `size` bytes, which is built only if there is room.
    pub fn offer(&self, size: usize, build: impl FnOnce() -> Record) -> bool {
        if !self.reserve(size) {
            return false;
        }
        let taken = self.sender.try_send(build()).is_ok();
        if !taken {
            self.depth.records.fetch_sub(1, Relaxed);
            self.depth.bytes.fetch_sub(size, Relaxed);
        }
        taken
    }

    /// Offers a slot record. `false`: even the reserved room is full.
    pub fn offer_slot(&self, record: Record) -> bool {
        self.sender.try_send(record).is_ok()
    }

    pub fn depth(&self) -> Arc<Depth> {
        self.depth.clone()
    }
}

impl Drained {
    /// Gives back the room of a record that left the queue.
    pub fn release(&self, record: &Record) {
        let size = match record {
            Record::Account(account) => account.data.len(),
            Record::Transaction(transaction) => transaction.size,
            Record::Slot(_) | Record::Seal(_) | Record::BaseEnd { .. } => return,
        };
        self.depth.records.fetch_sub(1, Relaxed);
        self.depth.bytes.fetch_sub(size, Relaxed);
        self.startup.room();
    }
}
