//! Holds the transactions of banks until all of a bank were told.
//!
//! A validator tells them on another thread than accounts and blocks, so their seal is one of its own. Accounts never wait for it,
//! and nothing that goes wrong here makes them doubtful.

use std::collections::BTreeMap;

use bytes::Bytes;
use mythic_stream::proto::{TransactionSeal, TransactionUpdate};
use mythic_stream::spool::Position;
use mythic_stream::transactions;

use super::input::Input;
use crate::tree::BankId;

/// Most bytes of transactions that are held. A bank beyond has some of its calls at most.
const MAX_BYTES: usize = 64 << 20;
/// Most banks that wait, where no root ever comes.
const MAX_BANKS: usize = 4_096;

#[derive(Debug)]
struct Held {
    first: Position,
    /// The bank, once it is sealed.
    id: Option<BankId>,
    body: Vec<u8>,
    count: u64,
    /// Some were not taken.
    failed: bool,
}

/// Banks whose transactions are not all told, by slot and generation.
#[derive(Debug, Default)]
pub(super) struct HeldCalls {
    banks: BTreeMap<(u64, u32), Held>,
    bytes: usize,
}

impl HeldCalls {
    /// Where the log has to be read from to hold the same again.
    pub fn first(&self) -> impl Iterator<Item = Position> {
        self.banks.values().map(|held| held.first)
    }

    fn at(&mut self, at: Position, key: (u64, u32)) -> &mut Held {
        self.banks.entry(key).or_insert_with(|| Held {
            first: at,
            id: None,
            body: Vec::new(),
            count: 0,
            failed: false,
        })
    }

    pub fn hold(&mut self, at: Position, update: &TransactionUpdate) {
        let full = self.bytes >= MAX_BYTES;
        let held = self.at(at, (update.slot, update.generation));
        let before = held.body.len();
        if full || !is_well_formed(update) {
            held.failed = true;
        } else {
            transactions::push(&mut held.body, update);
            held.count += 1;
        }
        self.bytes += held.body.len() - before;
    }

    /// A bank whose transactions are streamed is sealed. What is to be said of the oldest if too many wait.
    pub fn sealed(&mut self, at: Position, key: (u64, u32), id: BankId) -> Option<Input> {
        self.at(at, key).id = Some(id);
        if self.banks.len() <= MAX_BANKS {
            return None;
        }
        let oldest = *self.banks.first_key_value()?.0;
        let held = self.take(oldest)?;
        input(at.run, oldest.1, held, false)
    }

    /// All transactions of a bank were told.
    pub fn told(&mut self, run: [u8; 16], seal: &TransactionSeal) -> Option<Input> {
        let held = self.take((seal.slot, seal.generation))?;
        let whole = seal.dropped == 0
            && held.count == seal.offered
            && seal.told >= seal.executed
            && held.id.is_some_and(|id| id.hash == *seal.blockhash)
            && !held.failed;
        input(run, seal.generation, held, whole)
    }

    /// The bank will not be sealed.
    pub fn forget(&mut self, key: (u64, u32)) {
        self.take(key);
    }

    /// Another bank of the slot takes the place of those before it.
    pub fn opened(&mut self, slot: u64, generation: u32) {
        let old = self.banks.range((slot, 0)..(slot, generation));
        for key in old.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.take(key);
        }
    }

    /// Nothing more is told of banks up to a slot: what is held of them is all there will be.
    pub fn give_up_through(&mut self, run: [u8; 16], slot: u64) -> Vec<Input> {
        let above = self.banks.split_off(&(slot.saturating_add(1), 0));
        let over = std::mem::replace(&mut self.banks, above);
        self.bytes = self.banks.values().map(|held| held.body.len()).sum();
        let over = over.into_iter();
        over.filter_map(|((_, generation), held)| input(run, generation, held, false))
            .collect()
    }

    fn take(&mut self, key: (u64, u32)) -> Option<Held> {
        let held = self.banks.remove(&key)?;
        self.bytes -= held.body.len();
        Some(held)
    }
}

/// What there is to say of a bank that is sealed: nothing where all its transactions are here and there are none.
fn input(run: [u8; 16], generation: u32, held: Held, whole: bool) -> Option<Input> {
    let id = held.id?;
    (!whole || held.count > 0).then(|| Input::Calls {
        run,
        generation,
        id,
        whole,
        body: Bytes::from(held.body),
    })
}

fn is_well_formed(update: &TransactionUpdate) -> bool {
    update.signature.len() == 64 && !update.keys.is_empty() && update.keys.len().is_multiple_of(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: [u8; 16] = [7; 16];

    fn at(seq: u64) -> Position {
        Position {
            run: RUN,
            segment: 1,
            offset: 100 * seq,
            seq,
        }
    }

    fn id(slot: u64) -> BankId {
        BankId {
            slot,
            hash: [slot as u8; 32],
        }
    }

    fn update(slot: u64, index: u64) -> TransactionUpdate {
        TransactionUpdate {
            slot,
            generation: 1,
            index,
            signature: vec![1; 64].into(),
            keys: vec![2; 32].into(),
            ..TransactionUpdate::default()
        }
    }

    fn seal(slot: u64, offered: u64) -> TransactionSeal {
        TransactionSeal {
            slot,
            generation: 1,
            blockhash: id(slot).hash.to_vec().into(),
            offered,
            ..TransactionSeal::default()
        }
    }

    /// Whether they are whole, and how many bytes.
    fn said(input: Option<Input>) -> Option<(bool, usize)> {
        match input? {
            Input::Calls { whole, body, .. } => Some((whole, body.len())),
            other => panic!("{other:?}"),
        }
    }

    /// A bank with transactions on both sides of its seal, which is number 2.
    fn held(slot: u64) -> HeldCalls {
        let mut calls = HeldCalls::default();
        calls.hold(at(1), &update(slot, 0));
        calls.sealed(at(2), (slot, 1), id(slot));
        calls.hold(at(3), &update(slot, 1));
        calls
    }

    #[test]
    fn transactions_are_whole_when_all_that_were_offered_are_here() {
        let mut calls = held(5);
        assert_eq!(calls.first().min_by_key(|p| p.seq).unwrap().seq, 1);
        let bytes = calls.bytes;
        assert_eq!(said(calls.told(RUN, &seal(5, 2))), Some((true, bytes)));
        assert_eq!((calls.bytes, calls.first().count()), (0, 0));
        let incomplete = [
            seal(5, 3),
            TransactionSeal {
                dropped: 1,
                ..seal(5, 2)
            },
            TransactionSeal {
                executed: 9,
                told: 8,
                ..seal(5, 2)
            },
            TransactionSeal {
                blockhash: vec![9; 32].into(),
                ..seal(5, 2)
            },
        ];
        for seal in incomplete {
            assert_eq!(said(held(5).told(RUN, &seal)), Some((false, bytes)));
        }
        let mut calls = held(5);
        let strange = TransactionUpdate {
            signature: vec![1; 63].into(),
            ..update(5, 2)
        };
        calls.hold(at(4), &strange);
        assert_eq!(said(calls.told(RUN, &seal(5, 3))), Some((false, bytes)));
    }

    #[test]
    fn a_bank_without_calls_says_nothing_unless_some_may_be_missing() {
        let mut calls = HeldCalls::default();
        calls.sealed(at(1), (5, 1), id(5));
        assert_eq!(said(calls.told(RUN, &seal(5, 0))), None);
        assert_eq!(calls.sealed(at(2), (6, 1), id(6)), None);
        assert_eq!(calls.first().next().unwrap().seq, 2);
        let given_up: Vec<_> = calls.give_up_through(RUN, 6).into_iter().collect();
        assert_eq!(given_up.len(), 1);
        assert_eq!(said(given_up.into_iter().next()), Some((false, 0)));
        // Of a bank that was never sealed there is nothing to say.
        calls.hold(at(3), &update(7, 0));
        assert_eq!(calls.give_up_through(RUN, 9), []);
        assert_eq!(calls.bytes, 0);
    }

    #[test]
    fn a_slot_opened_again_or_dead_forgets_what_was_held_and_memory_is_bounded() {
        let mut calls = held(5);
        calls.opened(5, 2);
        assert_eq!(said(calls.told(RUN, &seal(5, 2))), None);
        let mut calls = held(5);
        calls.forget((5, 1));
        assert_eq!((calls.bytes, calls.first().count()), (0, 0));
        let mut calls = HeldCalls {
            bytes: MAX_BYTES,
            ..HeldCalls::default()
        };
        calls.hold(at(1), &update(5, 0));
        calls.sealed(at(2), (5, 1), id(5));
        assert_eq!(calls.bytes, MAX_BYTES);
        assert_eq!(said(calls.told(RUN, &seal(5, 1))), Some((false, 0)));
        // Where no root comes, the oldest is not waited for.
        let mut calls = HeldCalls::default();
        for slot in 0..MAX_BANKS as u64 {
            assert_eq!(calls.sealed(at(1 + slot), (slot, 1), id(slot)), None);
        }
        let late = MAX_BANKS as u64;
        let oldest = calls.sealed(at(9_999), (late, 1), id(late));
        assert!(
            matches!(oldest, Some(Input::Calls { id, whole: false, .. }) if id.slot == 0),
            "{oldest:?}"
        );
    }
}
