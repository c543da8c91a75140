//! The updates of a bank, and the accounts of a base: in memory up to a bound, the rest on disk.

use std::collections::{BinaryHeap, HashMap};
use std::io;

use super::accounts::BaseAccounts;
use super::spill::{SpillDir, SpillReader, Spilled};
use crate::projection::Account;
use crate::tree::Hash;

/// Files of a base that are read at once; before there are more, they become one.
const FILES: usize = 32;

/// Memory that an account takes.
fn size(account: &Account) -> usize {
    account.data.len() + std::mem::size_of::<Account>()
}

/// Updates in their order.
#[derive(Debug, Default)]
pub(super) struct Updates {
    file: Option<Spilled>,
    memory: Vec<Account>,
    count: u64,
    bytes: usize,
}

impl Updates {
    pub fn push(&mut self, account: Account) {
        self.count += 1;
        self.bytes += size(&account);
        self.memory.push(account);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn spilled(&self) -> u64 {
        self.file.as_ref().map_or(0, Spilled::bytes)
    }

    /// Moves what is in memory to the disk.
    pub fn spill(&mut self, dir: &SpillDir) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(dir.file()?),
        };
        self.bytes = 0;
        file.append(std::mem::take(&mut self.memory).into_iter().map(Ok))
    }

    pub fn take(self) -> io::Result<Vec<Account>> {
        let Some(file) = self.file else {
            return Ok(self.memory);
        };
        let mut all: Vec<Account> = file.read()?.collect::<io::Result<_>>()?;
        all.extend(self.memory);
        Ok(all)
    }
}

/// The newest row of each account, whatever the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Sorted by pubkey, one row each.
    files: Vec<Spilled>,
    memory: HashMap<Hash, Account>,
    bytes: usize,
}

impl Newest {
    pub fn push(&mut self, account: Account) {
        match self.memory.get_mut(&account.pubkey) {
            Some(held) if version(&account) < version(held) => {}
            Some(held) => {
                self.bytes = self.bytes + size(&account) - size(held);
                *held = account;
            }
            None => {
                self.bytes += size(&account);
                self.memory.insert(account.pubkey, account);
            }
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn spilled(&self) -> u64 {
        self.files.iter().map(Spilled::bytes).sum()
    }

    /// Moves what is in memory to the disk.
    pub fn spill(&mut self, dir: &SpillDir) -> io::Result<()> {
        if self.files.len() >= FILES {
            let mut one = dir.file()?;
            one.append(merge(std::mem::take(&mut self.files), Vec::new())?)?;
            self.files.push(one);
        }
        let mut file = dir.file()?;
        file.append(self.sorted().into_iter().map(Ok))?;
        self.files.push(file);
        Ok(())
    }

    fn sorted(&mut self) -> Vec<Account> {
        self.bytes = 0;
        let mut sorted: Vec<Account> = std::mem::take(&mut self.memory).into_values().collect();
        sorted.sort_unstable_by_key(|account| account.pubkey);
        sorted
    }

    /// All of them, as one file if some are on disk.
    pub fn end(self, dir: &SpillDir) -> io::Result<BaseAccounts> {
        if self.files.is_empty() {
            return Ok(self.take()?.collect::<io::Result<Vec<_>>>()?.into());
        }
        let (mut file, mut count) = (dir.file()?, 0);
        file.append(self.take()?.inspect(|_| count += 1))?;
        Ok(BaseAccounts::spilled(file, count))
    }

    /// One row per account, sorted by pubkey.
    pub fn take(mut self) -> io::Result<Merged> {
        let memory = self.sorted();
        merge(self.files, memory)
    }
}

fn version(account: &Account) -> (u64, u64) {
    (account.slot, account.write_version)
}

fn merge(files: Vec<Spilled>, memory: Vec<Account>) -> io::Result<Merged> {
    let mut merged = Merged {
        files: files
            .into_iter()
            .map(Spilled::read)
            .collect::<io::Result<_>>()?,
        memory: memory.into_iter(),
        heads: BinaryHeap::new(),
    };
    for source in 0..=merged.files.len() {
        merged.advance(source)?;
    }
    Ok(merged)
}

/// Sorted sources as one, with the newest row of each account.
#[derive(Debug)]
pub(super) struct Merged {
    files: Vec<SpillReader>,
    memory: std::vec::IntoIter<Account>,
    heads: BinaryHeap<Head>,
}

impl Merged {
    /// Takes the next row of a source; the last source is the memory.
    fn advance(&mut self, source: usize) -> io::Result<()> {
        let next = match self.files.get_mut(source) {
            Some(file) => file.next().transpose()?,
            None => self.memory.next(),
        };
        if let Some(account) = next {
            self.heads.push(Head { account, source });
        }
        Ok(())
    }
}

impl Iterator for Merged {
    type Item = io::Result<Account>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.heads.pop()?;
        if let Err(e) = self.advance(first.source) {
            return Some(Err(e));
        }
        // The newest of an account comes first; its other rows are over.
        while let Some(other) = self
            .heads
            .peek()
            .filter(|other| other.account.pubkey == first.account.pubkey)
            .map(|other| other.source)
        {
            self.heads.pop();
            if let Err(e) = self.advance(other) {
                return Some(Err(e));
            }
        }
        Some(Ok(first.account))
    }
}

/// The next row of a source: of all of them the lowest pubkey comes first, and of its rows the newest, which of equals is
/// the one that came last.
#[derive(Debug)]
struct Head {
    account: Account,
    source: usize,
}

impl Head {
    fn order(&self) -> (std::cmp::Reverse<Hash>, (u64, u64), usize) {
        let account = &self.account;
        (
            std::cmp::Reverse(account.pubkey),
            version(account),
            self.source,
        )
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(key: u8, slot: u64, version: u64, data: usize) -> Account {
        Account {
            pubkey: [key; 32],
            owner: [key ^ 1; 32],
            lamports: slot * 3,
            data: vec![key; data].into(),
            signature: version.is_multiple_of(2).then_some([version as u8; 64]),
            write_version: version,
            slot,
        }
    }

    proptest! {
        #[test]
        fn the_disk_changes_nothing(
            rows in proptest::collection::vec((0u8..20, 0u64..5, 0usize..50, any::<bool>()), 0..200)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let dir = SpillDir::new(&dir.path().join("spill"));
            let (mut plain, mut spilling) = (Newest::default(), Newest::default());
            let (mut all, mut updates) = (Vec::new(), Updates::default());
            for (number, (key, slot, data, spill)) in rows.into_iter().enumerate() {
                let account = account(key, slot, number as u64 / 3, data);
                all.push(account.clone());
                plain.push(account.clone());
                spilling.push(account.clone());
                updates.push(account);
                if spill {
                    spilling.spill(&dir).unwrap();
                    updates.spill(&dir).unwrap();
                    prop_assert_eq!((spilling.bytes(), updates.bytes()), (0, 0));
                }
            }
            let taken = |newest: Newest| newest.take().unwrap().collect::<io::Result<Vec<_>>>();
            let (plain, spilling) = (taken(plain).unwrap(), taken(spilling).unwrap());
            prop_assert!(plain.is_sorted_by_key(|account| account.pubkey));
            prop_assert_eq!(plain, spilling);
            prop_assert_eq!(updates.take().unwrap(), all);
        }
    }
}
