//! The accounts that a producer started from: in memory while they are few, else in a file that has no name.

use std::io;
use std::sync::Arc;

use super::spill::{SpillReader, Spilled};
use crate::projection::Account;

/// The accounts of a base, sorted by pubkey. Cheap to clone, read in parts.
#[derive(Clone, Debug)]
pub struct BaseAccounts {
    place: Place,
    count: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Vec<Account>>),
    Disk(Arc<Spilled>),
    /// They were archived before.
    Archive,
}

impl BaseAccounts {
    pub(super) fn spilled(file: Spilled, count: usize) -> Self {
        let place = Place::Disk(Arc::new(file));
        Self { place, count }
    }

    /// So many, which the archive has.
    pub(crate) fn archived(count: usize) -> Self {
        let place = Place::Archive;
        Self { place, count }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, so many at a time; none of those that the archive has.
    pub fn parts(&self, size: usize) -> io::Result<Parts> {
        let from = match &self.place {
            Place::Memory(all) => Source::Memory(all.clone(), 0),
            Place::Disk(file) => Source::Disk(file.read_again()?),
            Place::Archive => Source::Memory(Arc::default(), 0),
        };
        Ok(Parts { from, size })
    }

    /// All of them at once.
    #[cfg(test)]
    pub fn all(&self) -> Vec<Account> {
        let parts = self.parts(self.count.max(1)).unwrap();
        parts.flat_map(Result::unwrap).collect()
    }
}

impl From<Vec<Account>> for BaseAccounts {
    fn from(all: Vec<Account>) -> Self {
        Self {
            count: all.len(),
            place: Place::Memory(Arc::new(all)),
        }
    }
}

/// Equal accounts, wherever they are; those that the archive has equal others that it has, if they are as many.
impl PartialEq for BaseAccounts {
    fn eq(&self, other: &Self) -> bool {
        let archived = |of: &Self| matches!(of.place, Place::Archive);
        if self.count != other.count || archived(self) != archived(other) {
            return false;
        }
        match (self.parts(1024), other.parts(1024)) {
            (Ok(ours), Ok(theirs)) => ours.zip(theirs).all(|pair| match pair {
                (Ok(ours), Ok(theirs)) => ours == theirs,
                _ => false,
            }),
            _ => false,
        }
    }
}

/// Accounts in parts.
#[derive(Debug)]
pub struct Parts {
    from: Source,
    size: usize,
}

#[derive(Debug)]
enum Source {
    Memory(Arc<Vec<Account>>, usize),
    Disk(SpillReader),
}

impl Iterator for Parts {
    type Item = io::Result<Vec<Account>>;

    fn next(&mut self) -> Option<Self::Item> {
        let part: io::Result<Vec<Account>> = match &mut self.from {
            Source::Memory(all, at) => {
                let part: Vec<_> = all.iter().skip(*at).take(self.size).cloned().collect();
                *at += part.len();
                Ok(part)
            }
            Source::Disk(file) => file.take(self.size).collect(),
        };
        match part {
            Ok(part) if part.is_empty() => None,
            part => Some(part),
        }
    }
}
