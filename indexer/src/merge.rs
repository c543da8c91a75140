//! Several producers, one index: which of their inputs are applied. Pure.
//!
//! Every bank is given on, with its statuses: the tree keeps the first whole one of a `(slot, blockhash)` and ignores repeats. What
//! one producer says about itself (it starts, opens a slot again, calls a block invalid) says nothing while another one holds the
//! bank. Two that disagree about an update or a root are an alarm; the first one stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alarms::Kind;
use crate::holder::{Input, SealedBank};
use crate::tree::{BankId, Hash};

/// Most producers of one index.
pub const MAX_PRODUCERS: usize = 16;
/// Slots behind the newest of all beyond which a producer counts as dead.
const ALIVE: u64 = 64;
/// Slots below the newest root of which banks and roots are remembered.
const MEMORY: u64 = 1024;
/// Banks remembered while no root comes.
const MAX_BANKS: usize = 8192;

/// See the module's description.
#[derive(Debug)]
pub struct Merge {
    producers: Vec<Producer>,
    banks: BTreeMap<BankId, Seen>,
    /// Slot -> hash, and who said so first.
    roots: BTreeMap<u64, (Hash, usize)>,
}

#[derive(Debug)]
struct Producer {
    name: Arc<str>,
    ended: bool,
    newest: u64,
    /// It roots another chain than the producer that was first; heard again from its next run on.
    astray: bool,
}

impl Producer {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            ended: false,
            newest: 0,
            astray: false,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// A bit for each producer that holds the bank.
    holders: u16,
    /// Of the first whole one: filter, digest, whose.
    content: Option<(Vec<u8>, Vec<u8>, usize)>,
}

impl Merge {
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            producers: names.into_iter().map(Producer::new).collect(),
            banks: BTreeMap::new(),
            roots: BTreeMap::new(),
        }
    }

    /// One more producer.
    pub fn add(&mut self, name: Arc<str>) {
        self.producers.push(Producer::new(name));
    }

    /// Newest slot that a producer sealed since this began; 0 before the first.
    pub fn newest(&self, producer: usize) -> u64 {
        self.producers.get(producer).map_or(0, |p| p.newest)
    }

    /// What is to be applied of an input of producer number `from`.
    pub fn take(&mut self, from: usize, input: Input) -> Vec<Input> {
        if self.producers.len() < 2 {
            if let (Input::Bank(bank), Some(one)) = (&input, self.producers.get_mut(from)) {
                one.newest = one.newest.max(bank.id.slot);
            }
            return vec![input];
        }
        let mut out = Vec::new();
        let applies = match &input {
            Input::RunStart { .. } => self.run_start(from),
            Input::RunEnd { .. } => {
                self.producers[from].ended = true;
                true
            }
            Input::Bank(bank) => {
                out.extend(self.bank(from, bank));
                true
            }
            Input::Reset { slot, .. } | Input::Dead { slot, .. } => self.given_up(from, *slot),
            Input::Confirmed { hash, .. } => hash.is_some() && !self.producers[from].astray,
            Input::Rooted {
                run, slot, hash, ..
            } => match hash {
                // Who has no hash has not sealed the bank; another one has, or a later root will say it.
                None => false,
                Some(hash) => self.root(from, *run, (*slot, *hash), &mut out),
            },
            Input::Base { .. }
            | Input::Calls { .. }
            | Input::Loss { .. }
            | Input::Refused { .. } => true,
        };
        if applies {
            out.insert(0, input);
        }
        out
    }

    /// A run begins: what the producer held unrooted may be gone, which matters if it was alone.
    fn run_start(&mut self, from: usize) -> bool {
        let newest = self.producers.iter().map(|p| p.newest).max().unwrap_or(0);
        let mut others = self
            .producers
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != from);
        let alone = !others
            .any(|(_, p)| !p.ended && p.newest > 0 && p.newest.saturating_add(ALIVE) >= newest);
        let producer = &mut self.producers[from];
        (producer.ended, producer.astray) = (false, false);
        for seen in self.banks.values_mut() {
            seen.holders &= !bit(from);
        }
        alone
    }

    fn bank(&mut self, from: usize, bank: &SealedBank) -> Option<Input> {
        let producer = &mut self.producers[from];
        producer.newest = producer.newest.max(bank.id.slot);
        let seen = self.banks.entry(bank.id).or_default();
        seen.holders |= bit(from);
        let other = match &seen.content {
            _ if !bank.whole => None,
            None => {
                seen.content = Some((bank.filter_hash.clone(), bank.digest.clone(), from));
                None
            }
            Some((filter, digest, first)) => {
                (*filter == bank.filter_hash && *digest != bank.digest).then_some(*first)
            }
        };
        while self.banks.len() > MAX_BANKS {
            self.banks.pop_first();
        }
        let other = other?;
        let (first, second) = (&self.producers[other].name, &self.producers[from].name);
        Some(Input::Refused {
            run: bank.run,
            kind: Kind::Digest,
            slot: bank.id.slot,
            detail: format!(
                "producers {first} and {second} have different updates of one block; those of {first} stand"
            ),
        })
    }

    /// A producer gave the banks of a slot up. Whether nobody else holds them.
    fn given_up(&mut self, from: usize, slot: u64) -> bool {
        let mut held = false;
        for (_, seen) in self.banks.range_mut(first_of(slot)..=last_of(slot)) {
            seen.holders &= !bit(from);
            held |= seen.holders != 0;
        }
        !held
    }

    fn root(
        &mut self,
        from: usize,
        run: [u8; 16],
        (slot, hash): (u64, Hash),
        out: &mut Vec<Input>,
    ) -> bool {
        if self.producers[from].astray {
            return false;
        }
        let (first, whose) = *self.roots.entry(slot).or_insert((hash, from));
        if first != hash {
            self.producers[from].astray = true;
            let (first, second) = (&self.producers[whose].name, &self.producers[from].name);
            out.push(Input::Refused {
                run,
                kind: Kind::RootConflict,
                slot,
                detail: format!(
                    "producer {second} finalizes another block than {first}: what it says of confirmation is not heard until it starts again"
                ),
            });
            return false;
        }
        let newest = self.roots.keys().next_back().copied().unwrap_or(0);
        let oldest = newest.saturating_sub(MEMORY);
        self.roots = self.roots.split_off(&oldest);
        self.banks = self.banks.split_off(&first_of(oldest));
        true
    }
}

fn bit(producer: usize) -> u16 {
    1 << producer
}

fn first_of(slot: u64) -> BankId {
    BankId {
        slot,
        hash: [0; 32],
    }
}

fn last_of(slot: u64) -> BankId {
    BankId {
        slot,
        hash: [0xff; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Merge {
        Merge::new(["a", "b"].map(Arc::from))
    }

    fn bank(slot: u64, digest: u8, whole: bool) -> Input {
        let id = |slot: u64| BankId {
            slot,
            hash: [slot as u8; 32],
        };
        Input::Bank(SealedBank {
            run: [1; 16],
            generation: 1,
            id: id(slot),
            parent: id(slot - 1),
            block_time: None,
            digest: vec![digest; 32],
            filter_hash: vec![3; 32],
            whole,
            accounts: Vec::new(),
            transactions: false,
        })
    }

    fn rooted(slot: u64, hash: Option<u8>) -> Input {
        Input::Rooted {
            run: [1; 16],
            slot,
            hash: hash.map(|hash| [hash; 32]),
            parent: None,
        }
    }

    fn reset(slot: u64) -> Input {
        Input::Reset {
            run: [1; 16],
            slot,
            generation: 2,
        }
    }

    fn run_start() -> Input {
        Input::RunStart {
            run: [1; 16],
            genesis: None,
            interface: String::new(),
            plugin: String::new(),
            primed: true,
        }
    }

    /// What was refused, if the input itself was given on.
    fn refused(inputs: &[Input]) -> Vec<Kind> {
        let kinds = inputs.iter().filter_map(|input| match input {
            Input::Refused { kind, .. } => Some(*kind),
            _ => None,
        });
        kinds.collect()
    }

    #[test]
    fn digests_are_compared_of_whole_banks_alone() {
        let mut merge = two();
        assert_eq!(merge.take(0, bank(5, 1, false)).len(), 1);
        assert_eq!(merge.take(1, bank(5, 2, true)).len(), 1);
        assert_eq!(merge.take(0, bank(5, 2, true)).len(), 1);
        let differ = merge.take(0, bank(5, 3, true));
        assert_eq!((differ.len(), refused(&differ)), (2, vec![Kind::Digest]));
        let Input::Refused { detail, .. } = &differ[1] else {
            panic!("{differ:?}")
        };
        assert!(detail.contains("those of b stand"), "{detail}");
    }

    #[test]
    fn a_bank_is_given_up_when_nobody_holds_it() {
        let mut merge = two();
        merge.take(0, bank(5, 1, true));
        merge.take(1, bank(5, 1, true));
        assert!(merge.take(0, reset(5)).is_empty());
        assert_eq!(merge.take(1, reset(5)).len(), 1);
        assert_eq!(merge.take(1, reset(6)).len(), 1, "nobody ever held it");
    }

    #[test]
    fn a_start_is_one_of_all_when_no_other_producer_lives() {
        let mut merge = two();
        assert_eq!(merge.take(0, run_start()).len(), 1);
        assert_eq!(merge.take(1, run_start()).len(), 1);
        merge.take(0, bank(5, 1, true));
        assert!(merge.take(1, run_start()).is_empty());
        merge.take(1, bank(200, 1, true));
        assert_eq!(
            merge.take(1, run_start()).len(),
            1,
            "the other is far behind"
        );
        merge.take(0, bank(201, 1, true));
        merge.take(0, Input::RunEnd { run: [1; 16] });
        assert_eq!(merge.take(1, run_start()).len(), 1, "the other has ended");
    }

    #[test]
    fn who_roots_another_chain_is_not_heard_until_it_starts_again() {
        let mut merge = two();
        assert_eq!(merge.take(0, rooted(5, Some(5))).len(), 1);
        assert_eq!(merge.take(1, rooted(5, Some(5))).len(), 1);
        assert!(merge.take(1, rooted(6, None)).is_empty());
        assert_eq!(merge.take(0, rooted(7, Some(7))).len(), 1);
        let conflict = merge.take(1, rooted(7, Some(9)));
        assert!(refused(&conflict) == [Kind::RootConflict] && conflict.len() == 1);
        assert!(merge.take(1, rooted(8, Some(9))).is_empty());
        assert_eq!(merge.take(0, rooted(8, Some(8))).len(), 1);
        merge.take(1, run_start());
        assert_eq!(merge.take(1, rooted(9, Some(9))).len(), 1);
    }

    #[test]
    fn one_producer_is_heard_in_everything() {
        let mut merge = Merge::new([Arc::from("a")]);
        merge.take(0, bank(5, 1, true));
        for input in [reset(5), run_start(), rooted(6, None), bank(5, 2, true)] {
            assert_eq!(merge.take(0, input.clone()), [input]);
        }
    }
}
