//! The chains before and after a batch: what joined, what left, and how each bank's row is marked.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChainChange, Marks, Plan, slot_i64, status};
use crate::calls::promised;
use crate::tree::Line;

impl Plan {
    /// Compares the chains and marks before and after, once for the whole batch.
    pub(super) fn finish(&mut self) {
        let processed = self.state.tree.processed_chain();
        let confirmed = self.state.tree.confirmed_chain();
        self.chains = [
            self.change(&self.state.processed, &processed),
            self.change(&self.state.confirmed, &confirmed),
        ];
        self.mark(&processed, &confirmed);
        self.state.processed = processed;
        self.state.confirmed = confirmed;
    }

    fn change(&self, before: &Line, after: &Line) -> ChainChange {
        let old: BTreeSet<i64> = before.banks.iter().copied().collect();
        let new: BTreeSet<i64> = after.banks.iter().copied().collect();
        let rooted: BTreeSet<i64> = self.rooted.iter().copied().collect();
        let gone: Vec<i64> = old.difference(&new).copied().collect();
        let filled = self.completed.iter().map(|done| done.number);
        let joined: Vec<i64> = (new.difference(&old).copied())
            .chain(filled.filter(|number| old.contains(number) && new.contains(number)))
            .collect();
        let switched = gone.iter().any(|number| !rooted.contains(number));
        let info = |number: &i64| {
            let ended = self.ended.get(number).map(|(info, _)| info);
            self.state.banks.get(number).or(ended)
        };
        let entities = gone
            .iter()
            .chain(&joined)
            .filter_map(info)
            .fold(0, |set, info| set | info.entities);
        ChainChange {
            gone,
            joined,
            now: after.banks.clone(),
            switched,
            entities,
        }
    }

    /// How the rows of all banks are marked now: those that differ are updated, new ones written.
    fn mark(&mut self, processed: &Line, confirmed: &Line) {
        let processed: BTreeSet<i64> = processed.banks.iter().copied().collect();
        let confirmed: BTreeSet<i64> = confirmed.banks.iter().copied().collect();
        let mut marks: BTreeMap<i64, Marks> = BTreeMap::new();
        for node in self.state.tree.nodes() {
            let number = node.bank.number;
            let now = Marks {
                status: match node.confirmed {
                    true => status::CONFIRMED,
                    false => status::PROCESSED,
                },
                on_processed: processed.contains(&number),
                on_confirmed: confirmed.contains(&number),
                replaced: node.replaced,
            };
            marks.insert(number, now);
        }
        for (number, (_, status)) in &self.ended {
            marks.insert(*number, Marks::of(*status));
        }
        let new: BTreeSet<i64> = self.new_slots.iter().map(|s| s.number).collect();
        for (number, now) in &marks {
            let written = match self.state.banks.get_mut(number) {
                Some(info) => std::mem::replace(&mut info.marks, *now),
                None => match self.ended.get(number) {
                    Some((info, _)) => info.marks,
                    None => continue,
                },
            };
            if !new.contains(number) && written != *now {
                self.marks.push((*number, *now));
            }
        }
        self.write_slots(&marks);
    }

    fn write_slots(&mut self, marks: &BTreeMap<i64, Marks>) {
        for slot in std::mem::take(&mut self.new_slots) {
            let decided = Marks::of(slot.fixed.unwrap_or(status::PROCESSED));
            let marks = match slot.fixed {
                Some(_) => decided,
                None => marks.get(&slot.number).copied().unwrap_or(decided),
            };
            let ended = self.ended.get(&slot.number).map(|(info, _)| info);
            let info = self.state.banks.get(&slot.number).or(ended);
            // A base of this transaction speaks for its slots itself, when it is compared: what it heals must be seen as open.
            let healed = !slot.whole
                && match &self.base {
                    Some(base) => slot.last_slot <= base.healed_before,
                    None => self.state.is_healed(slot.last_slot),
                };
            self.slots
                .row(16)
                .i64(slot.number)
                .i64(slot.slot)
                .i64(slot.last_slot)
                .opt_bytes(slot.hash.as_ref().map(|h| &h[..]))
                .opt_i64(slot.parent.map(|p| slot_i64(p.slot)))
                .opt_bytes(slot.parent.as_ref().map(|p| &p.hash[..]))
                .unix_seconds(slot.block_time)
                .i16(marks.status)
                .bool(marks.on_processed)
                .bool(marks.on_confirmed)
                .bool(marks.replaced)
                .i32(slot.accounts)
                .i32(info.map_or(0, |info| info.entities) as i32)
                .bool(slot.whole)
                .bool(healed);
            match promised(slot.transactions) {
                Some(calls) => self.slots.i16(calls),
                None => self.slots.null(),
            };
        }
    }

    /// Slot of the processed head.
    pub fn processed_head(&self) -> (Option<i64>, Option<i64>) {
        let tip = self.state.processed.banks.last().copied();
        let slot = tip
            .and_then(|n| self.state.banks.get(&n))
            .map(|info| slot_i64(info.id.slot));
        (
            tip,
            slot.or(self.state.tree.root().map(|r| slot_i64(r.slot))),
        )
    }
}
