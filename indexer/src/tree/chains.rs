//! Which banks a view shows: one chain for each commitment, also where banks of it were not seen.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{BankId, Line, Node, SlotTree, from_slot};

impl SlotTree {
    /// The processed chain: the way to the highest sealed slot (ties by first arrival) among the banks that the producer has not
    /// given up.
    pub fn processed_chain(&self) -> Line {
        let standing = self.standing();
        let tip = standing.first().copied();
        self.chain(tip, |hole| self.standing_below(&standing, hole))
    }

    /// The confirmed chain.
    pub fn confirmed_chain(&self) -> Line {
        self.chain(self.confirmed_tip(), |hole| self.confirmed_below(hole))
    }

    /// Slot of the newest confirmed bank; the root's where nothing above it is confirmed.
    pub fn confirmed_slot(&self) -> Option<u64> {
        self.confirmed_tip()
            .map(|id| id.slot)
            .or(self.root.map(|r| r.slot))
    }

    pub(super) fn confirmed_tip(&self) -> Option<BankId> {
        self.unrooted().rev().find(|n| n.confirmed).map(id_of)
    }

    /// Whether two held banks can't be on one chain: neither is the other's ancestor, and no bank that was not seen may lie
    /// between them.
    pub(super) fn beside(&self, a: BankId, b: BankId) -> bool {
        let (high, low) = if a.slot >= b.slot { (a, b) } else { (b, a) };
        let (path, below) = self.path(high);
        !path.contains(&low) && (below.slot <= low.slot || !self.above_root(below.slot))
    }

    /// The held banks above the root, by slot.
    pub(super) fn unrooted(&self) -> impl DoubleEndedIterator<Item = &Node> {
        let first = self.root.map_or(0, |root| root.slot + 1);
        self.nodes.range(from_slot(first)..).map(|(_, node)| node)
    }

    /// Unrooted banks that neither themselves nor with an ancestor were given up, best first.
    fn standing(&self) -> Vec<BankId> {
        let mut standing: BTreeSet<BankId> = BTreeSet::new();
        let mut order: Vec<(Reverse<u64>, i64, BankId)> = Vec::new();
        // Parents have lower slots, so they are decided before their children.
        for node in self.unrooted() {
            let parent = node.bank.parent;
            if !node.replaced && (!self.nodes.contains_key(&parent) || standing.contains(&parent)) {
                standing.insert(node.bank.id);
                order.push((Reverse(node.bank.id.slot), node.bank.number, node.bank.id));
            }
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, id)| id).collect()
    }

    /// The best bank below a hole that may be on one chain with the newest confirmed one there.
    fn standing_below(&self, standing: &[BankId], hole: u64) -> Option<BankId> {
        let confirmed = self.confirmed_below(hole);
        let fits = |id: &&BankId| {
            id.slot < hole && confirmed.is_none_or(|confirmed| !self.beside(**id, confirmed))
        };
        standing.iter().find(fits).copied()
    }

    fn confirmed_below(&self, slot: u64) -> Option<BankId> {
        self.unrooted()
            .rev()
            .find(|n| n.confirmed && n.bank.id.slot < slot)
            .map(id_of)
    }

    /// The chain down from `tip`; `next` says where it goes on below a bank that was not seen.
    fn chain(&self, tip: Option<BankId>, next: impl Fn(u64) -> Option<BankId>) -> Line {
        let mut chain = Line::default();
        let mut at = tip;
        while let Some(id) = at.take() {
            let (path, below) = self.path(id);
            for node in path.iter().filter_map(|id| self.nodes.get(id)) {
                chain.banks.push(node.bank.number);
                if !node.bank.whole {
                    chain.inexact_through = chain.inexact_through.max(Some(node.bank.id.slot));
                }
            }
            if self.above_root(below.slot) {
                chain.inexact_through = chain.inexact_through.max(Some(below.slot));
                at = next(below.slot);
            }
        }
        chain.banks.reverse();
        chain
    }
}

fn id_of(node: &Node) -> BankId {
    node.bank.id
}
