//! Start-up rows of addresses that may have been ours. They come in any order, older versions of an account beside its newest, and
//! a closed account to which somebody sent lamports belongs to the system program: its row must not be passed over when an older
//! version that was ours comes after it.

use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

const SHARDS: usize = 256;
/// Entries of one shard: 16 million in all, about 400 MB. A whole cluster has fewer.
const SHARD_ENTRIES: usize = 1 << 16;
const SYSTEM_PROGRAM: [u8; 32] = [0; 32];

/// Hash of a pubkey, keyed so that nobody can aim at another's -> highest slot.
type Shard = Mutex<HashMap<u64, u64>>;

#[derive(Debug)]
pub(crate) struct Foreign {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

impl Default for Foreign {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Foreign {
    /// Takes a start-up row that is not ours. Only an address without a private key can have been: ours are derived.
    pub fn see(&self, pubkey: &[u8; 32], owner: &[u8; 32], data: &[u8], slot: u64) {
        if *owner != SYSTEM_PROGRAM
            || !data.is_empty()
            || Pubkey::new_from_array(*pubkey).is_on_curve()
        {
            return;
        }
        let (hash, shard) = self.shard(pubkey);
        let mut shard = shard.lock();
        if shard.len() < SHARD_ENTRIES || shard.contains_key(&hash) {
            let newest = shard.entry(hash).or_default();
            *newest = slot.max(*newest);
        }
    }

    /// A row that is ours and of `slot` is an older version.
    pub fn ended(&self, pubkey: &[u8; 32], slot: u64) -> bool {
        let (hash, shard) = self.shard(pubkey);
        shard.lock().get(&hash).is_some_and(|&newest| newest > slot)
    }

    /// Start-up is over. `false`: there were more rows than could be remembered.
    pub fn forget(&self) -> bool {
        let taken = self
            .shards
            .iter()
            .map(|shard| std::mem::take(&mut *shard.lock()));
        taken.fold(true, |all, shard| all & (shard.len() < SHARD_ENTRIES))
    }

    fn shard(&self, pubkey: &[u8; 32]) -> (u64, &Shard) {
        let hash = self.hasher.hash_one(pubkey);
        (hash, &self.shards[(hash >> 56) as usize])
    }
}
