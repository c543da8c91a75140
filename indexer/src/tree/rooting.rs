//! What finality does: it roots what links to the new root, orphans what can't be on its chain, and leaves a gap where a link
//! is missing.

use std::collections::BTreeSet;

use super::{
    Anomaly, Bank, BankId, Effect, GAP_LIMIT, Node, ROOTED_MEMORY, Root, RootedBank, SlotTree,
    UNFINISHED_LIMIT, UNPLACED_LIMIT, from_slot,
};

impl SlotTree {
    /// Whether a new bank above the root can descend from it.
    pub(super) fn may_descend(&self, bank: &Bank) -> bool {
        let parent = bank.parent;
        match self.root {
            Some(root) if parent.slot <= root.slot => root.is(parent),
            _ => !self.dead.contains(&parent),
        }
    }

    pub(super) fn advance_root(&mut self, id: BankId, out: &mut Vec<Effect>) {
        if let Some(root) = self.root.filter(|root| id.slot <= root.slot) {
            self.rooted_again(root, id, out);
            return;
        }
        let (path, below) = self.path(id);
        // First slot that finality has not passed yet.
        let first = self.root.map_or(0, |root| root.slot + 1);
        let gap = below.slot >= first;
        if gap {
            self.open_gap(first, below, out);
        } else if let Some(root) = self.root.filter(|root| !root.is(below)) {
            // A base tells only a slot, which another run of the chain may have skipped.
            if root.hash.is_some() {
                let (root, other) = (root.slot, below);
                out.push(Effect::Alarm(Anomaly::RootConflict { root, other }));
            }
        }
        for step in path.iter().rev() {
            self.take_root(*step, out);
        }
        self.root = Some(Root {
            slot: id.slot,
            hash: Some(id.hash),
        });
        self.orphan_beside(first, gap.then_some(below), out);
        self.pending_confirmed = self.pending_confirmed.split_off(&from_slot(id.slot + 1));
        self.bound_unplaced(out);
        self.base_due(out);
    }

    /// A root that is not newer than ours.
    fn rooted_again(&mut self, root: Root, id: BankId, out: &mut Vec<Effect>) {
        if id.slot < root.slot {
            self.rooted_in_gap(id, out);
        } else if root.hash.is_none() {
            self.root = Some(Root {
                hash: Some(id.hash),
                ..root
            });
            self.orphan_beside(root.slot + 1, None, out);
        } else if !root.is(id) {
            let (root, other) = (id.slot, id);
            out.push(Effect::Alarm(Anomaly::RootConflict { root, other }));
        }
    }

    /// A bank of a slot that finality has passed is said to be final. If it is one of a gap, that is two gaps now: what is missing
    /// below it, and itself if it was not seen, and what is missing above it.
    fn rooted_in_gap(&mut self, id: BankId, out: &mut Vec<Effect>) {
        let Some((first, top)) = self.gap_at(id.slot).filter(|(_, top)| *top != id) else {
            return;
        };
        if id.slot == top.slot || self.dead.contains(&id) {
            let (root, other) = (id.slot, id);
            out.push(Effect::Alarm(Anomaly::RootConflict { root, other }));
            return;
        }
        let above = id.slot + 1;
        self.gaps.insert(first, id);
        self.gaps.insert(above, top);
        out.push(Effect::GapSplit { first: above, top });
        match self.nodes.contains_key(&id) {
            true => self.fill(first, out),
            false => out.push(Effect::GapShrunk { first, top: id }),
        }
        let beside = |(other, node): (&BankId, &Node)| {
            let fills = other.slot > id.slot && self.may_fill(above, node.bank.parent);
            (!fills).then_some(*other)
        };
        let waiting = self.nodes.range(from_slot(id.slot)..top);
        let beside: BTreeSet<BankId> = waiting.filter_map(beside).collect();
        self.orphan_line(beside, out);
        self.bound_gaps(out);
    }

    /// Takes a held bank to the rooted ones.
    fn take_root(&mut self, id: BankId, out: &mut Vec<Effect>) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        let number = node.bank.number;
        if !node.confirmed {
            out.push(Effect::Confirmed { number });
        }
        out.push(Effect::Rooted { number });
        let bank = RootedBank {
            hash: id.hash,
            incomplete: (!node.bank.whole).then_some(number),
        };
        self.rooted.insert(id.slot, bank);
        while self.rooted.len() > ROOTED_MEMORY
            && let Some((slot, bank)) = self.rooted.pop_first()
        {
            if bank.incomplete.is_some() {
                self.unfinished.insert(slot, bank);
            }
        }
        while self.unfinished.len() > UNFINISHED_LIMIT {
            self.unfinished.pop_first();
        }
    }

    fn open_gap(&mut self, first: u64, top: BankId, out: &mut Vec<Effect>) {
        self.gaps.insert(first, top);
        out.push(Effect::Gap {
            first,
            last: top.slot,
            top,
        });
        self.bound_gaps(out);
    }

    /// Gives up the lowest of too many gaps.
    fn bound_gaps(&mut self, out: &mut Vec<Effect>) {
        while self.gaps.len() > GAP_LIMIT
            && let Some((first, top)) = self.gaps.pop_first()
        {
            self.give_up_below(top.slot + 1, out);
            out.push(Effect::GapGivenUp { first });
        }
    }

    /// Removes what can't be on the chain of the new root, among the banks from slot `first` on. `hole` is the newest bank
    /// below the root that was not seen: banks below that one may still turn out to be its ancestors, as banks above the root
    /// whose line is interrupted there may turn out to descend from it.
    pub(super) fn orphan_beside(
        &mut self,
        first: u64,
        hole: Option<BankId>,
        out: &mut Vec<Effect>,
    ) {
        let Some(root) = self.root else { return };
        let mut orphans: BTreeSet<BankId> = BTreeSet::new();
        for (id, node) in self.nodes.range(from_slot(first)..) {
            let parent = node.bank.parent;
            let keep = if id.slot > root.slot {
                root.is(parent) || parent.slot > root.slot
            } else {
                hole.is_some_and(|hole| id.slot < hole.slot) && self.may_fill(first, parent)
            };
            if !keep || orphans.contains(&parent) || self.dead.contains(&parent) {
                orphans.insert(*id);
            }
        }
        for id in orphans {
            self.orphan(id, out);
        }
    }

    fn orphan(&mut self, id: BankId, out: &mut Vec<Effect>) {
        if let Some(node) = self.nodes.remove(&id) {
            let number = node.bank.number;
            out.push(Effect::Orphaned { number });
            self.bury(id);
        }
    }

    /// A new bank is on no chain, and with it what came before it and builds on it.
    pub(super) fn add_orphan(&mut self, bank: Bank, out: &mut Vec<Effect>) {
        let (number, id) = (bank.number, bank.id);
        self.bury(id);
        out.push(Effect::Added { number });
        out.push(Effect::Orphaned { number });
        self.orphan_line(BTreeSet::from([id]), out);
    }

    /// Orphans banks, and what builds on them.
    fn orphan_line(&mut self, mut gone: BTreeSet<BankId>, out: &mut Vec<Effect>) {
        let Some(lowest) = gone.first().copied() else {
            return;
        };
        // Parents have lower slots, so they are found before their children.
        for (id, node) in self.nodes.range(lowest..) {
            if gone.contains(&node.bank.parent) {
                gone.insert(*id);
            }
        }
        for id in gone {
            self.orphan(id, out);
        }
    }

    /// The gap that a slot lies in: its first slot and its newest missing bank.
    fn gap_at(&self, slot: u64) -> Option<(u64, BankId)> {
        let (first, top) = self.gaps.range(..=slot).next_back()?;
        (slot <= top.slot).then_some((*first, *top))
    }

    /// The rooted bank below a gap, if it is known.
    fn below_gap(&self, first: u64) -> Option<BankId> {
        let slot = first.checked_sub(1)?;
        let known = self.rooted.get(&slot).map(|bank| BankId {
            slot,
            hash: bank.hash,
        });
        known.or_else(|| self.gap_at(slot).map(|(_, top)| top))
    }

    /// Whether a bank of a gap can have this parent: another bank of the gap, or the rooted one below it.
    fn may_fill(&self, first: u64, parent: BankId) -> bool {
        parent.slot >= first
            || (parent.slot + 1 == first
                && self.below_gap(first).is_none_or(|known| known == parent))
    }

    /// A seal for a slot that finality has passed: missing until now, known, or on a dead fork.
    pub(super) fn sealed_below_root(&mut self, bank: Bank, out: &mut Vec<Effect>) {
        let (number, id) = (bank.number, bank.id);
        if let Some(known) = self
            .rooted
            .get_mut(&id.slot)
            .filter(|known| known.hash == id.hash)
        {
            out.push(match known.incomplete.take_if(|_| bank.whole) {
                Some(number) => Effect::Completed {
                    number,
                    by: bank.number,
                },
                None => Effect::Ignored { number },
            });
            return;
        }
        let unfinished = self.unfinished.get(&id.slot);
        let waiting = unfinished.filter(|known| bank.whole && known.hash == id.hash);
        if let Some(of) = waiting.and_then(|known| known.incomplete) {
            self.unfinished.remove(&id.slot);
            out.push(Effect::Completed {
                number: of,
                by: number,
            });
            return;
        }
        if let Some((first, top)) = self.gap_at(id.slot) {
            if id == top {
                self.hold(bank, out);
                self.fill(first, out);
                return;
            }
            let dead = self.dead.contains(&id) || self.dead.contains(&bank.parent);
            if !dead && id.slot < top.slot && self.may_fill(first, bank.parent) {
                self.hold(bank, out);
                self.bound_unplaced(out);
                return;
            }
        }
        // The bank whose state start-up accounts are: only its content is new.
        if self
            .root
            .is_some_and(|root| root.hash.is_some() && root.is(id))
            && !self.rooted.contains_key(&id.slot)
        {
            self.hold(bank, out);
            self.take_root(id, out);
            return;
        }
        let oldest = self.rooted.keys().next();
        let remembered = oldest.is_some_and(|oldest| id.slot >= *oldest);
        let new = !self.dead.contains(&id) && self.root.is_some_and(|root| !root.is(id));
        if remembered && new {
            self.add_orphan(bank, out);
        } else {
            out.push(Effect::Ignored { number });
        }
    }

    /// The newest bank of a gap has come: it is rooted, and with it the banks that waited for it.
    fn fill(&mut self, first: u64, out: &mut Vec<Effect>) {
        let Some(top) = self.gaps.remove(&first) else {
            return;
        };
        let (path, below) = self.path(top);
        let closed = below.slot < first;
        for step in path.iter().rev() {
            self.take_root(*step, out);
        }
        // What is left at these slots is not on the chain.
        let from = if closed { first } else { below.slot };
        let beside = from_slot(from)..from_slot(top.slot + 1);
        let ids: Vec<BankId> = self.nodes.range(beside).map(|(id, _)| *id).collect();
        for id in ids {
            self.orphan(id, out);
        }
        if !closed {
            self.gaps.insert(first, below);
            out.push(Effect::GapShrunk { first, top: below });
            return;
        }
        out.push(Effect::GapClosed { first });
        if self.below_gap(first).is_some_and(|known| known != below) {
            let (root, other) = (first - 1, below);
            out.push(Effect::Alarm(Anomaly::RootConflict { root, other }));
        }
    }

    /// Gives up the banks that wait for a link below a slot.
    pub(super) fn give_up_below(&mut self, slot: u64, out: &mut Vec<Effect>) {
        let kept = self.nodes.split_off(&from_slot(slot));
        let gone = std::mem::replace(&mut self.nodes, kept);
        out.extend(gone.values().map(|node| Effect::GivenUp {
            number: node.bank.number,
        }));
    }

    /// Gives up the lowest of too many banks that wait below the root.
    fn bound_unplaced(&mut self, out: &mut Vec<Effect>) {
        let Some(root) = self.root else { return };
        let above = from_slot(root.slot + 1);
        let waiting = self.nodes.range(..above).count();
        for _ in UNPLACED_LIMIT..waiting {
            if let Some((_, node)) = self.nodes.pop_first() {
                out.push(Effect::GivenUp {
                    number: node.bank.number,
                });
            }
        }
    }

    pub(super) fn base_due(&mut self, out: &mut Vec<Effect>) {
        let (Some(base), Some(root)) = (self.base, self.root) else {
            return;
        };
        let reaches = |bank: BankId| bank.slot.max(base.slot);
        if base.as_of.map_or(base.slot, reaches) > root.slot {
            return;
        }
        self.base = None;
        let on_chain = |bank: &BankId| {
            let rooted = self.rooted.get(&bank.slot);
            rooted.is_some_and(|rooted| rooted.hash == bank.hash)
                || self.gap_at(bank.slot).is_some_and(|(_, top)| top == *bank)
                || (root.hash.is_some() && root.is(*bank))
        };
        let slot = base.as_of.filter(on_chain).map_or(base.slot, reaches);
        out.push(Effect::BaseDue {
            number: base.number,
            slot,
        });
    }
}
