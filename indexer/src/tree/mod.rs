//! The fork tree: which banks exist, how they link, what is confirmed and rooted. Pure: events in,
//! effects out, no clock, no I/O. The shell persists its state as columns and restores it with
//! [`SlotTree::restore`].
//!
//! Facts it is built on (Agave 4.2): statuses come late and out of order with seals, `Confirmed` may
//! precede the seal or never come, an abandoned fork is never announced, a slot can be replayed with
//! another block, and a restart may abandon whatever was not rooted.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// A blockhash.
pub type Hash = [u8; 32];

/// How many rooted identities are remembered, to tell a repeated seal from an orphaned bank.
pub const ROOTED_MEMORY: usize = 1024;

/// How many confirmations may wait for their bank's seal; beyond it the lowest slots are dropped.
const PENDING_CONFIRMED_LIMIT: usize = 1024;

/// What tells one bank from every other: its slot and its blockhash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BankId {
    pub slot: u64,
    pub hash: Hash,
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

/// An unrooted bank in the tree.
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
    /// Open gaps: the missing bank that would close a gap from above, and the gap's first slot.
    pub missing: BTreeMap<BankId, u64>,
    /// The newest rooted banks, at most [`ROOTED_MEMORY`].
    pub rooted: BTreeMap<u64, Hash>,
}

/// What happened, in the order of the producer's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A run of the producer began; what it held unrooted before may be gone.
    RunStarted,
    /// The startup accounts of a run are complete, and are the rooted state at `slot`.
    Base(PendingBase),
    Sealed(Bank),
    /// The slot was opened again: banks sealed for it before are given up by the producer.
    Reset {
        slot: u64,
    },
    /// The slot's block is invalid.
    Dead {
        slot: u64,
    },
    Confirmed {
        slot: u64,
        hash: Option<Hash>,
    },
    Rooted {
        slot: u64,
        hash: Option<Hash>,
        parent: Option<u64>,
    },
}

/// What follows from an event, in the order it has to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The bank is new: its content is to be kept.
    Added {
        number: i64,
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
    /// Finality passed over `first..=last` without their banks. `top` is the newest missing bank.
    Gap {
        first: u64,
        last: u64,
        top: BankId,
    },
    /// A missing bank came late; what is still missing of that gap ends at `top`.
    GapShrunk {
        first: u64,
        top: BankId,
    },
    /// All missing banks of the gap have come.
    GapClosed {
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
    missing: BTreeMap<BankId, u64>,
    rooted: BTreeMap<u64, Hash>,
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
            missing: state.missing,
            rooted: state.rooted,
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
            missing: self.missing.clone(),
            rooted: self.rooted.clone(),
        }
    }

    pub fn root(&self) -> Option<Root> {
        self.root
    }

    /// The unrooted banks, by slot.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn run_fresh(&self) -> bool {
        self.run_fresh
    }

    pub fn base(&self) -> Option<PendingBase> {
        self.base
    }

    /// The unrooted part of the processed chain, oldest first: the way to the highest sealed slot (ties
    /// by first arrival) among the banks that the producer has not given up.
    pub fn processed_chain(&self) -> Vec<i64> {
        let mut eligible: BTreeSet<BankId> = BTreeSet::new();
        let mut tip: Option<&Node> = None;
        // Parents have lower slots, so they are decided before their children.
        for (id, node) in &self.nodes {
            let parent = node.bank.parent;
            if node.replaced || (self.nodes.contains_key(&parent) && !eligible.contains(&parent)) {
                continue;
            }
            eligible.insert(*id);
            let better = match tip {
                None => true,
                Some(best) => {
                    id.slot > best.bank.id.slot
                        || (id.slot == best.bank.id.slot && node.bank.number < best.bank.number)
                }
            };
            if better {
                tip = Some(node);
            }
        }
        self.chain_to(tip)
    }

    /// The unrooted part of the confirmed chain, oldest first.
    pub fn confirmed_chain(&self) -> Vec<i64> {
        self.chain_to(self.confirmed_tip())
    }

    /// Slot of the newest confirmed bank; the root's where nothing above it is confirmed.
    pub fn confirmed_slot(&self) -> Option<u64> {
        self.confirmed_tip()
            .map(|n| n.bank.id.slot)
            .or(self.root.map(|r| r.slot))
    }

    fn confirmed_tip(&self) -> Option<&Node> {
        self.nodes.values().rev().find(|n| n.confirmed)
    }

    fn chain_to(&self, tip: Option<&Node>) -> Vec<i64> {
        let Some(tip) = tip else { return Vec::new() };
        let mut chain: Vec<i64> = self
            .path(tip.bank.id)
            .0
            .iter()
            .filter_map(|id| self.nodes.get(id))
            .map(|n| n.bank.number)
            .collect();
        chain.reverse();
        chain
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

    /// The newest confirmed bank below a slot.
    fn confirmed_below(&self, slot: u64) -> Option<BankId> {
        self.nodes
            .range(
                ..BankId {
                    slot,
                    hash: [0; 32],
                },
            )
            .rev()
            .find(|(_, n)| n.confirmed)
            .map(|(id, _)| *id)
    }

    /// The one bank held at a slot; none if there are several.
    fn only_at(&self, slot: u64) -> Option<BankId> {
        let mut at = self.nodes.range(
            BankId {
                slot,
                hash: [0; 32],
            }..=BankId {
                slot,
                hash: [0xff; 32],
            },
        );
        match (at.next(), at.next()) {
            (Some((id, _)), None) => Some(*id),
            _ => None,
        }
    }

    /// Applies one event.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::RunStarted => self.run_fresh = true,
            Event::Base(base) => {
                if self.root.is_none() {
                    let known = base.as_of.filter(|bank| bank.slot == base.slot);
                    self.root = Some(Root {
                        slot: base.slot,
                        hash: known.map(|bank| bank.hash),
                    });
                }
                self.base = Some(base);
                self.base_due(&mut out);
            }
            Event::Sealed(bank) => self.sealed(bank, &mut out),
            Event::Reset { slot } | Event::Dead { slot } => {
                for (_, node) in self.nodes.range_mut(
                    BankId {
                        slot,
                        hash: [0; 32],
                    }..=BankId {
                        slot,
                        hash: [0xff; 32],
                    },
                ) {
                    node.replaced |= !node.confirmed;
                }
            }
            Event::Confirmed { slot, hash } => {
                if let Some(id) = hash
                    .map(|hash| BankId { slot, hash })
                    .or_else(|| self.only_at(slot))
                {
                    self.confirm(id, &mut out);
                }
            }
            Event::Rooted { slot, hash, parent } => {
                if let Some(id) = hash
                    .map(|hash| BankId { slot, hash })
                    .or_else(|| self.only_at(slot))
                {
                    self.advance_root(id, parent, &mut out);
                }
            }
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
            node.replaced = false;
            out.push(Effect::Ignored { number });
        } else if self.root.is_some_and(|root| id.slot <= root.slot) {
            self.sealed_below_root(bank, out);
        } else {
            self.nodes.insert(
                id,
                Node {
                    bank,
                    confirmed: false,
                    replaced: false,
                },
            );
            out.push(Effect::Added { number });
        }
        if std::mem::take(&mut self.run_fresh) {
            self.give_up_all_but(id);
        }
        if self.pending_confirmed.remove(&id) {
            self.confirm(id, out);
        }
    }

    /// A seal for a slot that finality has passed: missing until now, known, or on a dead fork.
    fn sealed_below_root(&mut self, bank: Bank, out: &mut Vec<Effect>) {
        let number = bank.number;
        if let Some(first) = self.missing.get(&bank.id).copied().filter(|_| bank.whole) {
            self.missing.remove(&bank.id);
            self.remember_rooted(bank.id);
            out.push(Effect::Added { number });
            out.push(Effect::Confirmed { number });
            out.push(Effect::Rooted { number });
            if bank.parent.slot >= first {
                self.missing.insert(bank.parent, first);
                out.push(Effect::GapShrunk {
                    first,
                    top: bank.parent,
                });
            } else {
                out.push(Effect::GapClosed { first });
            }
            return;
        }
        let known = self.rooted.get(&bank.id.slot) == Some(&bank.id.hash);
        let remembered = self
            .rooted
            .keys()
            .next()
            .is_some_and(|oldest| bank.id.slot >= *oldest);
        if known || !remembered || self.missing.contains_key(&bank.id) {
            out.push(Effect::Ignored { number });
        } else {
            out.push(Effect::Added { number });
            out.push(Effect::Orphaned { number });
        }
    }

    /// The first seal of a run: what it doesn't build on is not in the producer any more.
    fn give_up_all_but(&mut self, tip: BankId) {
        let kept: BTreeSet<BankId> = self.path(tip).0.into_iter().collect();
        for (id, node) in &mut self.nodes {
            node.replaced = !node.confirmed && !kept.contains(id);
        }
    }

    fn confirm(&mut self, id: BankId, out: &mut Vec<Effect>) {
        if self.root.is_some_and(|root| id.slot <= root.slot) {
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
        let tip = self.confirmed_tip().map(|n| n.bank.id);
        if let Some(tip) = tip.filter(|tip| !path.contains(tip) && !self.path(*tip).0.contains(&id))
        {
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

    fn advance_root(&mut self, id: BankId, parent: Option<u64>, out: &mut Vec<Effect>) {
        if let Some(root) = &mut self.root
            && id.slot <= root.slot
        {
            if id.slot == root.slot {
                match root.hash {
                    None => root.hash = Some(id.hash),
                    Some(hash) if hash != id.hash => {
                        out.push(Effect::Alarm(Anomaly::RootConflict {
                            root: id.slot,
                            other: id,
                        }));
                    }
                    Some(_) => {}
                }
                if root.hash == Some(id.hash) {
                    self.remember_rooted(id);
                }
            }
            return;
        }
        let held = self.nodes.contains_key(&id);
        let start = if held {
            Some(id)
        } else {
            parent
                .filter(|p| *p < id.slot)
                .and_then(|p| self.only_at(p))
                .or_else(|| self.confirmed_below(id.slot))
        };
        let (mut path, mut below) = match start {
            Some(start) => self.path(start),
            None => (Vec::new(), id),
        };
        // First slot that finality has not passed yet.
        let next = self.root.map_or(0, |root| root.slot + 1);
        // Down to the root, over whatever is missing: confirmed banks below a gap are on the chain too.
        while !path.is_empty() {
            if let Some(root) = self.root
                && below.slot <= root.slot
            {
                let same =
                    below.slot == root.slot && root.hash.is_none_or(|hash| hash == below.hash);
                if !same && root.hash.is_some() {
                    out.push(Effect::Alarm(Anomaly::RootConflict {
                        root: root.slot,
                        other: below,
                    }));
                }
                break;
            }
            match self.confirmed_below(below.slot) {
                Some(lower) => {
                    self.open_gap(lower.slot + 1, below, out);
                    let (more, bottom) = self.path(lower);
                    path.extend(more);
                    below = bottom;
                }
                None => {
                    self.open_gap(next, below, out);
                    break;
                }
            }
        }
        for step in path.iter().rev() {
            if let Some(node) = self.nodes.remove(step) {
                let number = node.bank.number;
                if !node.confirmed {
                    out.push(Effect::Confirmed { number });
                }
                out.push(Effect::Rooted { number });
                self.remember_rooted(*step);
            }
        }
        if !held {
            let first = path.first().map_or(next, |top| top.slot + 1);
            self.open_gap(first, id, out);
        }
        self.root = Some(Root {
            slot: id.slot,
            hash: Some(id.hash),
        });
        self.remember_rooted(id);
        self.orphan_beside(id, out);
        self.pending_confirmed = self.pending_confirmed.split_off(&BankId {
            slot: id.slot + 1,
            hash: [0; 32],
        });
        self.base_due(out);
    }

    fn open_gap(&mut self, first: u64, top: BankId, out: &mut Vec<Effect>) {
        self.missing.insert(top, first);
        out.push(Effect::Gap {
            first,
            last: top.slot,
            top,
        });
    }

    /// Removes what is neither ancestor nor descendant of the new root. A bank whose line to the root is
    /// interrupted above the root's slot may still turn out to descend from it.
    fn orphan_beside(&mut self, root: BankId, out: &mut Vec<Effect>) {
        let mut kept: BTreeSet<BankId> = BTreeSet::new();
        let mut orphans: Vec<BankId> = Vec::new();
        for (id, node) in &self.nodes {
            let parent = node.bank.parent;
            let keep = if self.nodes.contains_key(&parent) {
                kept.contains(&parent)
            } else {
                parent == root || parent.slot > root.slot
            };
            if keep {
                kept.insert(*id);
            } else {
                orphans.push(*id);
            }
        }
        for id in orphans {
            if let Some(node) = self.nodes.remove(&id) {
                out.push(Effect::Orphaned {
                    number: node.bank.number,
                });
            }
        }
    }

    fn base_due(&mut self, out: &mut Vec<Effect>) {
        if let (Some(base), Some(root)) = (self.base, self.root)
            && base
                .as_of
                .map_or(base.slot, |bank| bank.slot.max(base.slot))
                <= root.slot
        {
            self.base = None;
            let on_chain = |bank: &BankId| {
                self.rooted.get(&bank.slot) == Some(&bank.hash) || self.missing.contains_key(bank)
            };
            let slot = base
                .as_of
                .filter(on_chain)
                .map_or(base.slot, |bank| bank.slot.max(base.slot));
            out.push(Effect::BaseDue {
                number: base.number,
                slot,
            });
        }
    }

    fn remember_rooted(&mut self, id: BankId) {
        self.rooted.insert(id.slot, id.hash);
        while self.rooted.len() > ROOTED_MEMORY {
            self.rooted.pop_first();
        }
    }
}
