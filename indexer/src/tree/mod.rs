//! The fork tree: which banks exist, how they link, what is confirmed and rooted. Pure: events in,
//! effects out, no clock, no I/O. The shell persists its state as columns and restores it with
//! [`SlotTree::restore`].
//!
//! Facts it is built on (Agave 4.2): statuses come late and out of order with seals, `Confirmed` may
//! precede the seal or never come, an abandoned fork is never announced, a slot can be replayed with
//! another block, and a restart may abandon whatever was not rooted.
//!
//! A status without a blockhash is of a block that the run which says it has not sealed, so it names no bank that is held: what
//! an earlier run sealed for that slot may be another block. The next named one speaks for it.
//!
//! Nothing becomes final without a link by blockhash. Where finality passes over banks that were not seen there is a gap, and
//! banks of its slots wait in the tree ("unplaced") until the chain above links them or they are said to be final by name, whatever
//! order they come in.
//! [`chains`] says which banks a view shows, [`rooting`] what finality does.

mod chains;
mod rooting;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// A blockhash.
pub type Hash = [u8; 32];

/// How many rooted banks are remembered, to tell a repeated seal from an orphaned bank.
pub const ROOTED_MEMORY: usize = 4096;

/// How many rooted banks that are not whole are remembered beyond that, so that their content is still taken when it comes; beyond
/// it the lowest slots are forgotten. Their rows stay inexact until a base heals them.
pub const UNFINISHED_LIMIT: usize = 4096;

/// How many confirmations may wait for their bank's seal; beyond it the lowest slots are dropped.
const PENDING_CONFIRMED_LIMIT: usize = 1024;

/// How many banks may wait below the root for their link; beyond it the lowest slots are given up.
pub const UNPLACED_LIMIT: usize = 1024;

/// How many orphaned banks are remembered, to tell a repeated seal from a new bank; beyond it the lowest slots are forgotten.
pub const DEAD_MEMORY: usize = 4096;

/// How many gaps are kept open for late banks; beyond it the lowest is given up.
pub const GAP_LIMIT: usize = 1024;

/// What tells one bank from every other: its slot and its blockhash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BankId {
    pub slot: u64,
    pub hash: Hash,
}

/// The lowest bank that a slot can have, as a bound.
fn from_slot(slot: u64) -> BankId {
    BankId {
        slot,
        hash: [0; 32],
    }
}

/// A sealed bank. `number` is given in order of arrival and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    pub number: i64,
    pub id: BankId,
    pub parent: BankId,
    /// Every update the validator offered is held; a bank that isn't whole links the chain but has no
    /// content.
    pub whole: bool,
}

/// A bank of the tree: above the root, or unplaced in a gap below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub bank: Bank,
    pub confirmed: bool,
    /// The producer gave this bank up (replayed its slot, restarted elsewhere, called it dead): never the
    /// processed tip, though it may still be confirmed or rooted.
    pub replaced: bool,
}

/// The newest rooted bank. The hash is unknown while all that is known is a base's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    pub slot: u64,
    pub hash: Option<Hash>,
}

impl Root {
    /// Whether `id` may be this bank.
    fn is(&self, id: BankId) -> bool {
        self.slot == id.slot && self.hash.is_none_or(|hash| hash == id.hash)
    }
}

/// A bank on the rooted chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootedBank {
    pub hash: Hash,
    /// Its number, while it is not whole.
    pub incomplete: Option<i64>,
}

/// The unrooted part of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Numbers of its banks, oldest first.
    pub banks: Vec<i64>,
    /// Newest slot of it whose bank was not seen, or is not whole: what was last written there or before may have changed.
    pub inexact_through: Option<u64>,
}

/// Startup accounts that wait for our root to reach their slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingBase {
    pub number: i64,
    /// Rooted slot that the producer started from.
    pub slot: u64,
    /// The bank that the run's first seal builds on, where nothing we follow changed in between: if it
    /// becomes rooted, the base is the state at its slot.
    pub as_of: Option<BankId>,
}

/// Everything a tree holds, to persist and to restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeState {
    pub root: Option<Root>,
    pub nodes: Vec<Node>,
    pub pending_confirmed: BTreeSet<BankId>,
    /// A run began and has sealed nothing yet.
    pub run_fresh: bool,
    pub base: Option<PendingBase>,
    /// Open gaps: first slot, and the newest missing bank.
    pub gaps: BTreeMap<u64, BankId>,
    /// The newest rooted banks, at most [`ROOTED_MEMORY`].
    pub rooted: BTreeMap<u64, RootedBank>,
    /// Older rooted banks that are not whole, at most [`UNFINISHED_LIMIT`].
    pub unfinished: BTreeMap<u64, RootedBank>,
    /// The highest orphaned banks, at most [`DEAD_MEMORY`].
    pub dead: BTreeSet<BankId>,
}

/// What happened, in the order of the producer's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A run of the producer began; what it held unrooted before may be gone.
    RunStarted,
    /// A bank of this slot comes from another producer than the one whose run began: what is held is not gone with that one.
    Accompanied(u64),
    /// The startup accounts of a run are complete, and are the rooted state at `slot`.
    Base(PendingBase),
    Sealed(Bank),
    /// The producer gave the bank up: it opened the slot again, or found its block invalid.
    GivenUp(BankId),
    Confirmed(BankId),
    Rooted(BankId),
}

/// What follows from an event, in the order it has to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The bank is new: its content is to be kept.
    Added {
        number: i64,
    },
    /// Bank `number` was not whole; seal `by` has its content.
    Completed {
        number: i64,
        by: i64,
    },
    /// A seal of a bank that is held or rooted already, or that can't be placed.
    Ignored {
        number: i64,
    },
    Confirmed {
        number: i64,
    },
    Rooted {
        number: i64,
    },
    /// On no chain any more, for good.
    Orphaned {
        number: i64,
    },
    /// It waited below the root for a link, and there is no room to wait on.
    GivenUp {
        number: i64,
    },
    /// Finality passed over `first..=last` without their banks. `top` is the newest missing bank.
    Gap {
        first: u64,
        last: u64,
        top: BankId,
    },
    /// A bank within a gap is final: what is missing above it, from slot `first` to `top`, is a gap of its own, and what is missing
    /// below it is said after this.
    GapSplit {
        first: u64,
        top: BankId,
    },
    /// Missing banks came late; what is still missing of that gap ends at `top`.
    GapShrunk {
        first: u64,
        top: BankId,
    },
    /// All missing banks of the gap have come.
    GapClosed {
        first: u64,
    },
    /// Late banks of this gap are not waited for any more.
    GapGivenUp {
        first: u64,
    },
    /// Our root has reached the base's slot: compare and mend.
    BaseDue {
        number: i64,
        slot: u64,
    },
    Alarm(Anomaly),
}

/// What can't be on an honest chain; shown to the operator, never fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Two confirmed banks are not on one chain.
    ConfirmedFork { confirmed: BankId, other: BankId },
    /// A rooted bank does not descend from the root before it.
    RootConflict { root: u64, other: BankId },
    /// A bank whose parent is not older than itself.
    Malformed { bank: BankId },
}

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotTree {
    nodes: BTreeMap<BankId, Node>,
    root: Option<Root>,
    pending_confirmed: BTreeSet<BankId>,
    run_fresh: bool,
    base: Option<PendingBase>,
    gaps: BTreeMap<u64, BankId>,
    rooted: BTreeMap<u64, RootedBank>,
    unfinished: BTreeMap<u64, RootedBank>,
    dead: BTreeSet<BankId>,
}

impl SlotTree {
    /// A tree as it was when `state` was taken.
    pub fn restore(state: TreeState) -> Self {
        Self {
            nodes: state.nodes.into_iter().map(|n| (n.bank.id, n)).collect(),
            root: state.root,
            pending_confirmed: state.pending_confirmed,
            run_fresh: state.run_fresh,
            base: state.base,
            gaps: state.gaps,
            rooted: state.rooted,
            unfinished: state.unfinished,
            dead: state.dead,
        }
    }

    /// The whole state; `restore(state())` is the same tree.
    pub fn state(&self) -> TreeState {
        TreeState {
            root: self.root,
            nodes: self.nodes.values().copied().collect(),
            pending_confirmed: self.pending_confirmed.clone(),
            run_fresh: self.run_fresh,
            base: self.base,
            gaps: self.gaps.clone(),
            rooted: self.rooted.clone(),
            unfinished: self.unfinished.clone(),
            dead: self.dead.clone(),
        }
    }

    pub fn root(&self) -> Option<Root> {
        self.root
    }

    /// The banks that are neither rooted nor orphaned, by slot: those above the root, and unplaced ones below it.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn node(&self, id: BankId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub fn pending_confirmed(&self) -> &BTreeSet<BankId> {
        &self.pending_confirmed
    }

    pub fn run_fresh(&self) -> bool {
        self.run_fresh
    }

    pub fn base(&self) -> Option<PendingBase> {
        self.base
    }

    /// Held ancestors of `id`, itself first (newest first), and the first one that isn't held.
    fn path(&self, id: BankId) -> (Vec<BankId>, BankId) {
        let mut path = Vec::new();
        let mut at = id;
        while let Some(node) = self.nodes.get(&at) {
            path.push(at);
            at = node.bank.parent;
        }
        (path, at)
    }

    fn above_root(&self, slot: u64) -> bool {
        self.root.is_none_or(|root| slot > root.slot)
    }

    /// Applies one event.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::RunStarted => self.run_fresh = true,
            Event::Accompanied(slot) => self.run_fresh &= !self.above_root(slot),
            Event::Base(base) => {
                if self.root.is_none() {
                    let known = base.as_of.filter(|bank| bank.slot == base.slot);
                    self.root = Some(Root {
                        slot: base.slot,
                        hash: known.map(|bank| bank.hash),
                    });
                    self.give_up_below(base.slot + 1, &mut out);
                    self.orphan_beside(base.slot + 1, None, &mut out);
                }
                // One of a higher slot, which still waits, will speak for this one's slot too.
                if self.base.is_none_or(|waiting| waiting.slot <= base.slot) {
                    self.base = Some(base);
                }
                self.base_due(&mut out);
            }
            Event::Sealed(bank) => self.sealed(bank, &mut out),
            Event::GivenUp(id) => {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.replaced |= !node.confirmed;
                }
            }
            Event::Confirmed(id) => self.confirm(id, &mut out),
            Event::Rooted(id) => self.advance_root(id, &mut out),
        }
        out
    }

    fn sealed(&mut self, bank: Bank, out: &mut Vec<Effect>) {
        let (number, id) = (bank.number, bank.id);
        if bank.parent.slot >= id.slot {
            out.push(Effect::Ignored { number });
            out.push(Effect::Alarm(Anomaly::Malformed { bank: id }));
            return;
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            if bank.whole && !node.bank.whole {
                node.bank.whole = true;
                let (number, by) = (node.bank.number, number);
                out.push(Effect::Completed { number, by });
            } else {
                out.push(Effect::Ignored { number });
            }
        } else if !self.above_root(id.slot) {
            self.sealed_below_root(bank, out);
        } else if self.dead.contains(&id) {
            out.push(Effect::Ignored { number });
        } else if self.may_descend(&bank) {
            self.hold(bank, out);
        } else {
            self.add_orphan(bank, out);
        }
        // Whoever seals it has what it builds on.
        for step in self.path(id).0 {
            if let Some(node) = self.nodes.get_mut(&step) {
                node.replaced = false;
            }
        }
        // What a run replays below our root says nothing about what is above it.
        if self.run_fresh && self.above_root(id.slot) && self.nodes.contains_key(&id) {
            self.run_fresh = false;
            self.give_up_beside(id);
        }
        if self.pending_confirmed.remove(&id) {
            self.confirm(id, out);
        }
    }

    fn hold(&mut self, bank: Bank, out: &mut Vec<Effect>) {
        let node = Node {
            bank,
            confirmed: false,
            replaced: false,
        };
        self.nodes.insert(bank.id, node);
        out.push(Effect::Added {
            number: bank.number,
        });
    }

    /// The first seal of a run above the root: what can't be on one chain with it is not in the producer any more. What builds on
    /// it is kept, since a producer that started again comes to it once more; where banks were not seen, nothing is known.
    fn give_up_beside(&mut self, tip: BankId) {
        let (path, below) = self.path(tip);
        let path: BTreeSet<BankId> = path.into_iter().collect();
        let hole = self.above_root(below.slot).then_some(below.slot);
        let mut kept: BTreeSet<BankId> = BTreeSet::new();
        // Parents have lower slots, so they are decided before their children.
        for node in self.unrooted() {
            let (id, parent) = (node.bank.id, node.bank.parent);
            let keep = if id.slot <= tip.slot {
                path.contains(&id) || hole.is_some_and(|hole| id.slot < hole)
            } else {
                let unseen = !self.nodes.contains_key(&parent);
                parent == tip || parent.slot > tip.slot && (unseen || kept.contains(&parent))
            };
            if keep {
                kept.insert(id);
            }
        }
        let first = self.root.map_or(0, |root| root.slot + 1);
        for (id, node) in self.nodes.range_mut(from_slot(first)..) {
            if !path.contains(id) && !kept.contains(id) {
                node.replaced = !node.confirmed;
            }
        }
    }

    /// Remembers an orphaned bank.
    fn bury(&mut self, id: BankId) {
        self.dead.insert(id);
        while self.dead.len() > DEAD_MEMORY {
            self.dead.pop_first();
        }
    }

    fn confirm(&mut self, id: BankId, out: &mut Vec<Effect>) {
        if !self.above_root(id.slot) || self.dead.contains(&id) {
            return;
        }
        if !self.nodes.contains_key(&id) {
            self.pending_confirmed.insert(id);
            while self.pending_confirmed.len() > PENDING_CONFIRMED_LIMIT {
                self.pending_confirmed.pop_first();
            }
            return;
        }
        let (path, _) = self.path(id);
        let tip = self.confirmed_tip();
        if let Some(tip) = tip.filter(|tip| self.beside(*tip, id)) {
            out.push(Effect::Alarm(Anomaly::ConfirmedFork {
                confirmed: tip,
                other: id,
            }));
        }
        for step in path.into_iter().rev() {
            if let Some(node) = self.nodes.get_mut(&step) {
                node.replaced = false;
                if !std::mem::replace(&mut node.confirmed, true) {
                    out.push(Effect::Confirmed {
                        number: node.bank.number,
                    });
                }
            }
        }
    }
}
