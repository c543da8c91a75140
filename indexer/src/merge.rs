//! Several producers, one index: which of their inputs are applied. Pure.
//!
//! Every bank is given on, with its statuses: the tree keeps the first whole one of a `(slot, blockhash)` and ignores repeats. A
//! producer holds one bank of a slot, the one that its run sealed last. When it opens the slot again or calls it dead, it gives
//! up that bank and no other: not what another producer holds, and not what an earlier run sealed, which may be another block.
//! Who holds what follows from the archive, so that it is known after a restart too ([`Merge::remember`]).
//! Two that disagree about an update or a root are an alarm; the first one stands.

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
pub(crate) const MEMORY: u64 = 1024;
/// Banks remembered while no root comes.
const MAX_BANKS: usize = 8192;

/// See the module's description.
#[derive(Debug)]
pub struct Merge {
    producers: Vec<Producer>,
    banks: BTreeMap<BankId, Seen>,
    /// Slot -> hash, and who said so first, if that is known.
    roots: BTreeMap<u64, (Hash, Option<usize>)>,
}

#[derive(Debug)]
struct Producer {
    name: Arc<str>,
    ended: bool,
    /// Newest bank of its run.
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
    /// Of the first whole one.
    content: Option<Content>,
}

/// The updates of a bank, as its seal sums them up.
#[derive(Debug)]
struct Content {
    filter: Vec<u8>,
    digest: Vec<u8>,
    /// Whose they are, if that is known.
    from: Option<usize>,
}

/// What the archive tells of an input that was applied before.
#[derive(Debug)]
pub enum Remembered {
    /// A seal: filter and digest, if it was whole.
    Bank(BankId, Option<(Vec<u8>, Vec<u8>)>),
    GivenUp(u64),
    Rooted(u64, Hash),
    /// It rooted another chain.
    Astray,
    RunEnd,
}

/// What giving up a slot comes to.
struct GivenUp {
    /// The bank that nobody holds any more.
    gone: Option<Hash>,
    /// The producer held a bank of the slot.
    had: bool,
    /// Another producer holds one.
    held: bool,
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

    /// Takes notice of what was applied before a restart, in its order. `from`: the producer whose run goes on, none of runs that are over.
    pub fn remember(&mut self, from: Option<usize>, past: Remembered) {
        match (past, from) {
            (Remembered::Bank(id, content), _) => {
                if let Some(from) = from {
                    self.note_bank(from, id, None);
                }
                let seen = self.banks.entry(id).or_default();
                if let (None, Some((filter, digest))) = (&seen.content, content) {
                    seen.content = Some(Content {
                        filter,
                        digest,
                        from,
                    });
                }
            }
            (Remembered::Rooted(slot, hash), _) => self.note_root(slot, hash, from),
            (Remembered::GivenUp(slot), Some(from)) => drop(self.give_up(from, slot, None)),
            (Remembered::Astray, Some(from)) => self.producers[from].astray = true,
            (Remembered::RunEnd, Some(from)) => self.producers[from].ended = true,
            (_, None) => {}
        }
    }

    /// What is to be applied of an input of producer number `from`.
    pub fn take(&mut self, from: usize, input: Input) -> Vec<Input> {
        let alone = self.producers.len() < 2;
        let mut input = match input {
            Input::Bank(bank) => return self.bank(from, bank),
            other => other,
        };
        let mut out = Vec::new();
        let applies = match &mut input {
            Input::RunStart { .. } => self.run_start(from),
            Input::RunEnd { .. } => {
                self.producers[from].ended = true;
                true
            }
            Input::Reset { slot, gone, .. } => {
                *gone = self.give_up(from, *slot, None).gone;
                true
            }
            Input::Dead {
                run,
                slot,
                generation,
                gone,
                ..
            } => {
                let given_up = self.give_up(from, *slot, None);
                *gone = given_up.gone;
                if given_up.held && given_up.had {
                    // The slot is not dead, and yet this producer has no bank of it any more.
                    return vec![Input::Reset {
                        run: *run,
                        slot: *slot,
                        generation: *generation,
                        gone: given_up.gone,
                    }];
                }
                !given_up.held
            }
            Input::Confirmed { hash, .. } => {
                alone || hash.is_some() && !self.producers[from].astray
            }
            Input::Rooted {
                run, slot, hash, ..
            } => match hash {
                // Who has no hash has not sealed the bank; another one has, or a later root will say it.
                None => alone,
                Some(hash) => self.root(from, *run, (*slot, *hash), &mut out),
            },
            Input::Bank(_)
            | Input::Base { .. }
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
        (producer.ended, producer.astray, producer.newest) = (false, false, 0);
        for seen in self.banks.values_mut() {
            seen.holders &= !bit(from);
        }
        alone
    }

    fn bank(&mut self, from: usize, bank: SealedBank) -> Vec<Input> {
        let mut out = Vec::new();
        // It missed that the slot was opened again, or that was lost.
        let given_up = self.note_bank(from, bank.id, Some(bank.id.hash));
        if given_up.gone.is_some() {
            out.push(Input::Reset {
                run: bank.run,
                slot: bank.id.slot,
                generation: bank.generation,
                gone: given_up.gone,
            });
        }
        let differs = self.compare(from, &bank);
        out.push(Input::Bank(bank));
        out.extend(differs);
        out
    }

    /// Compares the updates of a bank with those of another producer.
    fn compare(&mut self, from: usize, bank: &SealedBank) -> Option<Input> {
        if !bank.whole || self.producers.len() < 2 {
            return None;
        }
        let seen = self.banks.get_mut(&bank.id)?;
        let Some(known) = &seen.content else {
            seen.content = Some(Content {
                filter: bank.filter_hash.clone(),
                digest: bank.digest.clone(),
                from: Some(from),
            });
            return None;
        };
        if known.filter != bank.filter_hash || known.digest == bank.digest {
            return None;
        }
        let name = |from: usize| &*self.producers[from].name;
        let (first, second) = (known.from.map_or("an earlier run", name), name(from));
        Some(Input::Refused {
            run: bank.run,
            kind: Kind::Digest,
            slot: bank.id.slot,
            detail: format!(
                "producers {first} and {second} have different updates of one block; those of {first} stand"
            ),
        })
    }

    /// A producer holds a bank, and with it no other of the slot.
    fn note_bank(&mut self, from: usize, id: BankId, but: Option<Hash>) -> GivenUp {
        let given_up = self.give_up(from, id.slot, but);
        let producer = &mut self.producers[from];
        producer.newest = producer.newest.max(id.slot);
        self.banks.entry(id).or_default().holders |= bit(from);
        while self.banks.len() > MAX_BANKS {
            self.banks.pop_first();
        }
        given_up
    }

    /// A producer gave the bank of a slot up, unless it is the one called `but`.
    fn give_up(&mut self, from: usize, slot: u64, but: Option<Hash>) -> GivenUp {
        let mut given_up = GivenUp {
            gone: None,
            had: false,
            held: false,
        };
        let banks = self.banks.range_mut(first_of(slot)..=last_of(slot));
        for (id, seen) in banks.filter(|(id, _)| but != Some(id.hash)) {
            if seen.holders & bit(from) != 0 {
                seen.holders &= !bit(from);
                given_up.had = true;
                if seen.holders == 0 {
                    given_up.gone = Some(id.hash);
                }
            }
            given_up.held |= seen.holders != 0;
        }
        given_up
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
        let several = self.producers.len() > 1;
        let other = self.roots.get(&slot).filter(|(known, _)| *known != hash);
        if let Some((_, whose)) = other.filter(|_| several) {
            let name = |from: usize| &*self.producers[from].name;
            let (first, second) = (whose.map_or("an earlier run", name), name(from));
            out.push(Input::Refused {
                run,
                kind: Kind::RootConflict,
                slot,
                detail: format!(
                    "producer {second} finalizes another block than {first}: what it says of confirmation is not heard until it starts again"
                ),
            });
            self.producers[from].astray = true;
            return false;
        }
        self.note_root(slot, hash, Some(from));
        true
    }

    fn note_root(&mut self, slot: u64, hash: Hash, from: Option<usize>) {
        self.roots.entry(slot).or_insert((hash, from));
        let newest = self.roots.keys().next_back().copied().unwrap_or(0);
        let oldest = newest.saturating_sub(MEMORY);
        self.roots = self.roots.split_off(&oldest);
        self.banks = self.banks.split_off(&first_of(oldest));
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

    fn id(slot: u64) -> BankId {
        BankId {
            slot,
            hash: [slot as u8; 32],
        }
    }

    fn bank(slot: u64, digest: u8, whole: bool) -> Input {
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

    fn of_fork(input: Input, hash: u8) -> Input {
        match input {
            Input::Bank(mut bank) => {
                bank.id.hash = [hash; 32];
                Input::Bank(bank)
            }
            other => other,
        }
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
            gone: None,
        }
    }

    fn dead(slot: u64) -> Input {
        Input::Dead {
            run: [1; 16],
            slot,
            generation: 1,
            reason: String::new(),
            gone: None,
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

    /// The bank that an input says is held by nobody any more.
    fn gone(inputs: &[Input]) -> Option<BankId> {
        inputs.iter().find_map(|input| match input {
            Input::Reset { slot, gone, .. } | Input::Dead { slot, gone, .. } => {
                gone.map(|hash| BankId { slot: *slot, hash })
            }
            _ => None,
        })
    }

    #[test]
    fn a_bank_is_given_up_when_nobody_holds_it() {
        let mut merge = two();
        merge.take(0, bank(5, 1, true));
        merge.take(1, bank(5, 1, true));
        assert_eq!(gone(&merge.take(0, reset(5))), None);
        assert_eq!(gone(&merge.take(1, reset(5))), Some(id(5)));
        assert_eq!(gone(&merge.take(1, reset(6))), None, "nobody ever held it");
    }

    #[test]
    fn what_one_gives_up_is_its_own_bank_and_not_the_other_ones_of_the_slot() {
        let mut merge = two();
        merge.take(0, bank(5, 1, true));
        merge.take(1, of_fork(bank(5, 1, true), 77));
        assert_eq!(gone(&merge.take(0, dead(5))), Some(id(5)));
        assert!(merge.take(0, dead(5)).is_empty(), "the other one lives");
        assert_eq!(gone(&merge.take(0, reset(5))), None);
        assert_eq!(
            gone(&merge.take(1, reset(5))),
            Some(BankId {
                slot: 5,
                hash: [77; 32]
            })
        );
    }

    #[test]
    fn a_run_gives_up_nothing_that_an_earlier_one_sealed() {
        for mut merge in [two(), Merge::new([Arc::from("a")])] {
            merge.take(0, bank(5, 1, true));
            merge.take(0, run_start());
            assert_eq!(gone(&merge.take(0, reset(5))), None);
            merge.take(0, bank(5, 1, true));
            assert_eq!(gone(&merge.take(0, dead(5))), Some(id(5)));
        }
    }

    #[test]
    fn who_seals_another_bank_of_a_slot_gave_up_the_one_before() {
        let mut merge = two();
        merge.take(0, bank(5, 1, true));
        let inputs = merge.take(0, of_fork(bank(5, 1, true), 77));
        assert_eq!((gone(&inputs), inputs.len()), (Some(id(5)), 2));
        assert_eq!(merge.take(0, of_fork(bank(5, 1, true), 77)).len(), 1);
    }

    #[test]
    fn what_is_remembered_is_as_if_it_was_taken() {
        let content = |digest| Some((vec![3; 32], vec![digest; 32]));
        let mut merge = two();
        merge.remember(None, Remembered::Bank(id(4), content(1)));
        merge.remember(Some(0), Remembered::Bank(id(5), content(1)));
        merge.remember(Some(1), Remembered::Bank(id(5), content(1)));
        merge.remember(Some(1), Remembered::Bank(id(6), None));
        merge.remember(Some(0), Remembered::Rooted(5, id(5).hash));
        merge.remember(Some(1), Remembered::Astray);
        assert!(merge.take(1, rooted(5, Some(5))).is_empty());
        assert_eq!(gone(&merge.take(0, reset(5))), None);
        merge.remember(Some(1), Remembered::GivenUp(5));
        assert_eq!(
            gone(&merge.take(1, reset(5))),
            None,
            "it was given up before"
        );
        let differ = merge.take(0, bank(4, 2, true));
        assert_eq!(refused(&differ), [Kind::Digest]);
        assert!(merge.take(0, run_start()).is_empty(), "b lives");
        merge.remember(Some(1), Remembered::RunEnd);
        assert_eq!(merge.take(0, run_start()).len(), 1);
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
        for input in [run_start(), rooted(6, None), dead(6), bank(5, 2, true)] {
            assert_eq!(merge.take(0, input.clone()), [input]);
        }
    }
}
