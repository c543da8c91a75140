//! The state as a validator has it on disk: accounts by the slot that wrote them, and a snapshot now and then, behind which it executes
//! its ledger again when it starts.

use std::collections::{BTreeMap, HashSet};

use solana_account::AccountSharedData;
use solana_clock::Slot;
use solana_pubkey::Pubkey;

/// Slots between two snapshots.
const SNAPSHOT_EVERY: Slot = 100;

/// Accounts as a slot wrote them, without lamports where it closed them.
pub type Written = Vec<(Pubkey, AccountSharedData)>;

/// What one slot wrote.
pub type Storage<'a> = (Slot, &'a Written);

/// What a validator finds when it starts.
#[derive(Debug)]
pub struct Storages {
    /// Slot of the oldest state that is still there; 0: the genesis.
    state: Slot,
    by_slot: BTreeMap<Slot, Written>,
}

impl Storages {
    pub fn new(state: Slot) -> Self {
        Self {
            state,
            by_slot: BTreeMap::new(),
        }
    }

    pub fn state(&self) -> Slot {
        self.state
    }

    /// An account as a slot wrote it.
    pub fn add(&mut self, slot: Slot, key: Pubkey, account: AccountSharedData) {
        self.by_slot.entry(slot).or_default().push((key, account));
    }

    /// Accounts that no slot wrote: they are of the genesis.
    pub fn add_unwritten(&mut self, accounts: impl Iterator<Item = (Pubkey, AccountSharedData)>) {
        let written = self.by_slot.values().flatten();
        let written: HashSet<Pubkey> = written.map(|(key, _)| *key).collect();
        let unwritten = accounts.filter(|(key, _)| !written.contains(key));
        self.by_slot.entry(0).or_default().extend(unwritten);
    }

    /// What is read from the newest snapshot, and what is executed again: everything where there is no snapshot.
    pub fn split(&self) -> (Option<Vec<Storage<'_>>>, Vec<Storage<'_>>) {
        let newest = self.by_slot.last_key_value();
        let due = newest.map_or(0, |(slot, _)| slot - slot % SNAPSHOT_EVERY);
        let snapshot = due.max(self.state);
        let (read, again): (Vec<_>, Vec<_>) = self
            .by_slot
            .iter()
            .map(|(slot, written)| (*slot, written))
            .partition(|(slot, _)| snapshot > 0 && *slot <= snapshot);
        ((snapshot > 0).then_some(read), again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(of: &[Storage<'_>]) -> Vec<Slot> {
        of.iter().map(|(slot, _)| *slot).collect()
    }

    fn written_in(state: Slot, all: &[Slot]) -> Storages {
        let mut storages = Storages::new(state);
        for slot in all {
            storages.add(*slot, Pubkey::new_unique(), AccountSharedData::default());
        }
        storages
    }

    #[test]
    fn what_stands_behind_the_newest_snapshot_is_executed_again() {
        let storages = written_in(0, &[0, 99, 100, 101, 199]);
        let (read, again) = storages.split();
        assert_eq!(slots(&read.unwrap()), [0, 99, 100]);
        assert_eq!(slots(&again), [101, 199]);
        // A state that is newer than the last snapshot is one.
        let storages = written_in(150, &[0, 99, 150, 199]);
        let (read, again) = storages.split();
        assert_eq!(slots(&read.unwrap()), [0, 99, 150]);
        assert_eq!(slots(&again), [199]);
    }

    #[test]
    fn without_a_snapshot_the_genesis_is_executed_too() {
        let storages = written_in(0, &[0, 1, 99]);
        let (read, again) = storages.split();
        assert!(read.is_none());
        assert_eq!(slots(&again), [0, 1, 99]);
    }
}
