//! Holds the transactions of banks until all of a bank were told.
//!
//! A validator tells them on another thread than accounts and blocks, so their seal is one of its own. Accounts never wait for it,
//! and nothing that goes wrong here makes them doubtful.

use std::collections::BTreeMap;

use bytes::Bytes;
use mythic_stream::proto::{TransactionSeal, TransactionUpdate};
use mythic_stream::spool::Position;
use mythic_stream::transactions;

use super::Input;
use crate::tree::BankId;

/// Most bytes of transactions that are held. A bank beyond has some of its calls at most.
const MAX_BYTES: usize = 64 << 20;

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

    /// A bank of a run that streams transactions is sealed.
    pub fn sealed(&mut self, at: Position, key: (u64, u32), id: BankId) {
        self.at(at, key).id = Some(id);
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
