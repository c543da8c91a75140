//! From blocks and reads to sealed banks. Pure.
//!
//! A block says which accounts it may have changed, a read says what they are in some block that is not older. An account's state
//! in a block is known if no later block up to that of its read touched it. A block is sealed once each account that it touched
//! has been read in it or later: what is known goes with it; what a later block has changed again is gone for good, and the
//! later state says so ([`UNSEEN_BEFORE`]).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::claim::{Block, Content, Read};
use crate::holder::{SealedBank, expected_filter};
use crate::projection::{Account, UNSEEN_BEFORE};
use crate::tree::{BankId, Hash};
use mythic_interface::state::Key;

/// Blocks that may wait for reads.
pub(super) const MAX_PENDING: usize = 256;
/// Sealed blocks that are remembered above the newest rooted one, where another fork may branch off.
const MAX_SEALED: usize = 4096;

/// What a block does to an account.
#[derive(Debug)]
enum Seen {
    /// It was not read since.
    No,
    /// Its state after the block.
    State(Option<Content>),
    /// A later block has changed it before it was read.
    Gone,
}

#[derive(Debug)]
struct Change {
    key: Key,
    signature: [u8; 64],
    transactions: u32,
    seen: Seen,
}

#[derive(Debug)]
struct Pending {
    id: BankId,
    parent: BankId,
    time: Option<i64>,
    changes: Vec<Change>,
}

/// How a block fits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is the next one now.
    Taken,
    /// Its parent is missing.
    Needs(BankId),
    /// It branches off below what is remembered.
    Stray,
}

/// Where to go on.
#[derive(Debug)]
pub(crate) struct Start {
    /// The newest rooted block and the confirmed ones on it, oldest first; at least one.
    pub chain: Vec<BankId>,
    /// The program's accounts.
    pub tracked: HashSet<Key>,
    /// Up to this slot writes may have been missed before.
    pub doubt: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Window {
    run: [u8; 16],
    /// Sealed, oldest first; never empty.
    sealed: VecDeque<BankId>,
    pending: VecDeque<Pending>,
    reads: Vec<Read<(Key, Option<Content>)>>,
    /// Accounts of ours, and where one was closed: another fork may not know of it.
    tracked: HashMap<Key, Option<u64>>,
    /// What was closed, by slot.
    closed: BTreeMap<u64, Vec<Key>>,
    /// Accounts of which a write was sealed without its content.
    missed: HashSet<Key>,
    doubt: u64,
}

impl Window {
    pub fn new(run: [u8; 16], start: Start) -> Self {
        Self {
            run,
            sealed: start.chain.into(),
            pending: VecDeque::new(),
            reads: Vec::new(),
            tracked: start.tracked.into_iter().map(|key| (key, None)).collect(),
            closed: BTreeMap::new(),
            missed: HashSet::new(),
            doubt: start.doubt,
        }
    }

    /// The newest block.
    pub fn newest(&self) -> BankId {
        let pending = self.pending.back().map(|pending| pending.id);
        pending.or(self.sealed.back().copied()).unwrap_or(BankId {
            slot: 0,
            hash: [0; 32],
        })
    }

    /// How many more blocks may come.
    pub fn room(&self) -> usize {
        MAX_PENDING.saturating_sub(self.pending.len())
    }

    /// Takes a block of the confirmed chain. One that branches off below the newest ends what was above its parent: what was
    /// read of it says nothing any more.
    pub fn take(&mut self, block: Block) -> Fit {
        let newest = self.newest();
        if block.parent != newest {
            let in_pending = self.pending.iter().position(|p| p.id == block.parent);
            let in_sealed = self.sealed.iter().rposition(|id| *id == block.parent);
            match (in_pending, in_sealed) {
                (Some(place), _) => self.pending.truncate(place + 1),
                (None, Some(place)) => {
                    self.pending.clear();
                    self.sealed.truncate(place + 1);
                }
                (None, None) => {
                    let oldest = self.sealed.front().map_or(0, |id| id.slot);
                    return match block.parent.slot > oldest {
                        true => Fit::Needs(block.parent),
                        false => Fit::Stray,
                    };
                }
            }
            self.reads.clear();
            // What was closed there may live on here.
            for key in self
                .closed
                .split_off(&(block.parent.slot + 1))
                .into_values()
                .flatten()
            {
                self.tracked.insert(key, None);
            }
            for change in self.pending.iter_mut().flat_map(|p| &mut p.changes) {
                change.seen = Seen::No;
            }
            self.doubt = self.doubt.max(newest.slot);
        }
        let change = |touch: super::claim::Touch| Change {
            key: touch.key,
            signature: touch.signature,
            transactions: touch.transactions,
            seen: Seen::No,
        };
        self.pending.push_back(Pending {
            id: block.id,
            parent: block.parent,
            time: block.time,
            changes: block.touched.into_iter().map(change).collect(),
        });
        Fit::Taken
    }

    /// What has to be read, as it is in the newest block or later.
    pub fn unread(&self) -> Vec<Key> {
        let held: HashSet<&Key> = self.reads.iter().map(|read| &read.value.0).collect();
        let changes = self.pending.iter().flat_map(|pending| &pending.changes);
        let keys: HashSet<Key> = changes
            .filter(|change| matches!(change.seen, Seen::No) && !held.contains(&change.key))
            .map(|change| change.key)
            .collect();
        keys.into_iter().collect()
    }

    /// Takes accounts as they were in the block of `slot`.
    pub fn read(&mut self, slot: u64, accounts: impl Iterator<Item = (Key, Option<Content>)>) {
        self.reads
            .extend(accounts.map(|value| Read { slot, value }));
    }

    /// The newest block that a read speaks of and that has not come.
    pub fn wanted(&self) -> Option<u64> {
        let newest = self.newest().slot;
        let slots = self.reads.iter().map(|read| read.slot);
        slots.max().filter(|slot| *slot > newest)
    }

    /// Gives the reads to their blocks, and seals what can be. An error: reads of a block that is not on the chain; they are
    /// forgotten.
    pub fn seal(&mut self) -> (Vec<SealedBank>, Result<(), String>) {
        let newest = self.newest().slot;
        let mut stray = None;
        for read in std::mem::take(&mut self.reads) {
            if read.slot > newest {
                self.reads.push(read);
            } else if self.pending.iter().any(|p| p.id.slot == read.slot) {
                self.settle(read);
            } else {
                stray = Some(read.slot);
            }
        }
        let whole = |pending: &Pending| {
            let seen = |change: &Change| !matches!(change.seen, Seen::No);
            pending.changes.iter().all(seen)
        };
        let mut banks = Vec::new();
        while let Some(pending) = self.pending.pop_front_if(|pending| whole(pending)) {
            banks.push(self.sealed_bank(pending));
        }
        let checked = match stray {
            None => Ok(()),
            Some(slot) => Err(format!(
                "accounts as they were in slot {slot}, which has no block on the chain that it shows"
            )),
        };
        (banks, checked)
    }

    fn settle(&mut self, read: Read<(Key, Option<Content>)>) {
        let (key, mut content) = (read.value.0, Some(read.value.1));
        let older = self
            .pending
            .iter_mut()
            .rev()
            .filter(|pending| pending.id.slot <= read.slot);
        for change in older.flat_map(|pending| &mut pending.changes) {
            if change.key != key {
                continue;
            }
            match (content.take(), &change.seen) {
                (Some(state), _) => change.seen = Seen::State(state),
                (None, Seen::No) => change.seen = Seen::Gone,
                (None, _) => {}
            }
        }
    }

    fn sealed_bank(&mut self, pending: Pending) -> SealedBank {
        let id = pending.id;
        self.sealed.push_back(id);
        if self.sealed.len() > MAX_SEALED {
            self.sealed.pop_front();
        }
        let mut accounts = Vec::new();
        for change in pending.changes {
            let Seen::State(content) = change.seen else {
                self.missed.insert(change.key);
                continue;
            };
            let alone = change.transactions == 1 && id.slot > self.doubt;
            let exact = !self.missed.remove(&change.key) && alone;
            let content = content.filter(Content::is_ours);
            match (self.tracked.get(&change.key), &content) {
                // Somebody else's.
                (None, None) => continue,
                (Some(_), None) => {
                    self.tracked.insert(change.key, Some(id.slot));
                    self.closed.entry(id.slot).or_default().push(change.key);
                }
                (_, Some(_)) => {
                    self.tracked.insert(change.key, None);
                }
            }
            let content = content.unwrap_or(Content {
                owner: Hash::default(),
                lamports: 0,
                data: Default::default(),
            });
            accounts.push(Account {
                pubkey: change.key,
                owner: content.owner,
                lamports: content.lamports,
                data: content.data,
                // Of several transactions nobody knows which one made the state that is seen.
                signature: exact.then_some(change.signature),
                write_version: if exact { 0 } else { UNSEEN_BEFORE },
                slot: id.slot,
            });
        }
        SealedBank {
            run: self.run,
            generation: 1,
            id,
            parent: pending.parent,
            block_time: pending.time,
            // Nobody sums up what was not all seen.
            digest: Vec::new(),
            filter_hash: expected_filter().to_vec(),
            whole: true,
            accounts,
            transactions: false,
        }
    }

    /// The newest sealed block up to a slot.
    pub fn sealed_at(&self, slot: u64) -> Option<BankId> {
        self.sealed.iter().rev().find(|id| id.slot <= slot).copied()
    }

    /// Forgets what is below a rooted block.
    pub fn rooted(&mut self, slot: u64) {
        while self.sealed.len() > 1 && self.sealed.front().is_some_and(|id| id.slot < slot) {
            self.sealed.pop_front();
        }
        let above = self.closed.split_off(&(slot + 1));
        for (slot, keys) in std::mem::replace(&mut self.closed, above) {
            for key in keys {
                if self.tracked.get(&key) == Some(&Some(slot)) {
                    self.tracked.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
