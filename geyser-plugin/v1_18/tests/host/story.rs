//! What happens on a chain, made from a seed: forks, blocks that are dumped and replayed in another version, accounts that open, change and
//! close, transactions that call the program and others.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::collections::{BTreeMap, HashSet};

/// Threads that commit.
pub const THREADS: u8 = 4;
pub const OURS: [u8; 32] = [7; 32];
pub const OTHER: [u8; 32] = [8; 32];
pub const SYSTEM: [u8; 32] = [0; 32];

/// An account as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub key: [u8; 32],
    pub owner: [u8; 32],
    pub lamports: u64,
    pub data: Vec<u8>,
    /// It is ours, or was.
    pub passes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub signature: [u8; 64],
    /// The program of each instruction is ours.
    pub calls: Vec<bool>,
    pub is_vote: bool,
    pub custom_error: Option<u32>,
}

impl Transaction {
    pub fn is_ours(&self) -> bool {
        !self.is_vote && self.calls.contains(&true)
    }
}

#[derive(Clone, Debug)]
pub struct Bank {
    pub slot: u64,
    pub generation: u32,
    pub parent: u64,
    pub hash: [u8; 32],
    pub parent_hash: [u8; 32],
    /// By the thread that writes.
    pub writes: Vec<Vec<Write>>,
    pub transactions: Vec<Transaction>,
    /// So many transactions are told before the block is frozen, the others after it.
    pub early: usize,
    /// Slots that become confirmed, and final, before the next bank.
    pub confirmed: Option<u64>,
    pub rooted: Option<u64>,
}

pub struct Story {
    pub base: Vec<Vec<Write>>,
    /// Written while the validator catches up with its own ledger, and in the bank in whose middle it was: of no bank.
    pub before: Vec<(u64, Write)>,
    pub first: Bank,
    pub banks: Vec<Bank>,
}

struct Maker {
    rng: StdRng,
    next_key: u64,
    /// Open accounts by the thread that writes them.
    open: Vec<Vec<[u8; 32]>>,
    hashes: BTreeMap<u64, [u8; 32]>,
    next_hash: u64,
}

impl Maker {
    fn key(&mut self, thread: u8) -> [u8; 32] {
        self.next_key += 1;
        let mut key: [u8; 32] = self.rng.random();
        key[0] = thread;
        key[1..9].copy_from_slice(&self.next_key.to_le_bytes());
        key
    }

    fn data(&mut self) -> Vec<u8> {
        let size = self.rng.random_range(0..300);
        (0..size).map(|_| self.rng.random()).collect()
    }

    /// An account that is nobody's business.
    fn foreign(&mut self, thread: u8) -> Write {
        Write {
            key: self.key(thread),
            owner: OTHER,
            lamports: self.rng.random_range(0..100),
            data: self.data(),
            passes: false,
        }
    }

    fn ours(&mut self, thread: u8) -> Write {
        let open = &self.open[usize::from(thread)];
        let known = open.choose(&mut self.rng).copied();
        let new = known.is_none() || self.rng.random_bool(0.3);
        let key = match known {
            Some(key) if !new => key,
            _ => {
                let key = self.key(thread);
                self.open[usize::from(thread)].push(key);
                key
            }
        };
        Write {
            key,
            owner: OURS,
            lamports: self.rng.random_range(1..1_000_000),
            data: self.data(),
            passes: true,
        }
    }

    /// Ends an account that was ours; it is never written again.
    fn close(&mut self, thread: u8) -> Option<Write> {
        let open = &mut self.open[usize::from(thread)];
        let key = open.pop()?;
        Some(Write {
            key,
            owner: SYSTEM,
            lamports: self.rng.random_range(0..2),
            data: Vec::new(),
            passes: true,
        })
    }

    fn writes(&mut self, thread: u8) -> Vec<Write> {
        let count = self.rng.random_range(0..12);
        let mut writes = vec![self.foreign(thread)];
        for _ in 0..count {
            let write = match self.rng.random_range(0..10) {
                0..6 => self.ours(thread),
                6..9 => self.foreign(thread),
                _ => match self.close(thread) {
                    Some(write) => write,
                    None => continue,
                },
            };
            writes.push(write);
        }
        writes
    }

    fn transactions(&mut self) -> Vec<Transaction> {
        let count = self.rng.random_range(0..10);
        let one = |rng: &mut StdRng| {
            let mut signature = [0; 64];
            rng.fill(&mut signature[..]);
            let calls = (0..rng.random_range(1..4)).map(|_| rng.random_bool(0.4));
            Transaction {
                signature,
                calls: calls.collect(),
                is_vote: rng.random_bool(0.2),
                custom_error: rng.random_bool(0.2).then(|| rng.random_range(0..900)),
            }
        };
        (0..count).map(|_| one(&mut self.rng)).collect()
    }

    fn bank(&mut self, slot: u64, parent: u64) -> Bank {
        let again = self.hashes.contains_key(&slot);
        self.next_hash += 1;
        let mut hash = [slot as u8 + 1; 32];
        hash[..8].copy_from_slice(&self.next_hash.to_le_bytes());
        self.hashes.insert(slot, hash);
        let writes = (0..THREADS).map(|thread| self.writes(thread)).collect();
        let transactions = self.transactions();
        Bank {
            slot,
            generation: 1 + u32::from(again),
            parent,
            hash,
            parent_hash: self.hashes.get(&parent).copied().unwrap_or([9; 32]),
            writes,
            early: self.rng.random_range(0..=transactions.len()),
            transactions,
            confirmed: None,
            rooted: None,
        }
    }
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let mut maker = Maker {
            rng: StdRng::seed_from_u64(seed),
            next_key: 0,
            open: vec![Vec::new(); THREADS.into()],
            hashes: BTreeMap::new(),
            next_hash: 0,
        };
        let base = (0..THREADS).map(|thread| {
            let mut rows: Vec<Write> = Vec::new();
            for _ in 0..40 {
                let row = match maker.rng.random_bool(0.5) {
                    true => maker.ours(thread),
                    false => maker.foreign(thread),
                };
                // One row for each account; an empty one of somebody else's may be the end of one of ours.
                if !rows.iter().any(|known| known.key == row.key) {
                    let passes = row.passes || row.lamports == 0;
                    rows.push(Write { passes, ..row });
                }
            }
            rows
        });
        let base = base.collect();
        let before = (0..20).map(|n| (100 + n / 5, maker.ours(0))).collect();
        let first = maker.bank(104, 103);
        let (mut slot, mut tip, mut banks) = (104, 104, Vec::new());
        let mut main = vec![104];
        for n in 0..40 {
            slot += maker.rng.random_range(1..3);
            let fork = maker.rng.random_bool(0.15);
            // A fork is on a block above the root.
            let above = main.len().saturating_sub(3);
            let parent = match fork {
                true => *main[above..].choose(&mut maker.rng).unwrap(),
                false => tip,
            };
            banks.push(maker.bank(slot, parent));
            if maker.rng.random_bool(0.1) {
                banks.push(maker.bank(slot, parent));
            }
            if !fork {
                tip = slot;
                main.push(slot);
            }
            if let Some(last) = banks.last_mut() {
                last.confirmed = main.len().checked_sub(2).map(|at| main[at]);
                let final_at = main.len().checked_sub(6).filter(|_| n % 2 == 0);
                last.rooted = final_at.map(|at| main[at]);
            }
        }
        Self {
            base,
            before,
            first,
            banks,
        }
    }

    /// Blocks that are not on the way from the last one down.
    pub fn forks(&self) -> usize {
        let parents: HashSet<u64> = self.banks.iter().map(|bank| bank.parent).collect();
        let childless = self
            .banks
            .iter()
            .filter(|bank| !parents.contains(&bank.slot));
        childless.count().saturating_sub(1)
    }
}
