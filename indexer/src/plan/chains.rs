//! The chains before and after a batch: what joined, what left, and how each bank's row is marked.

use std::collections::{BTreeMap, BTreeSet};

use super::{Marks, Plan, slot_i64, status};

impl Plan {
    /// Compares the chains and marks before and after, once for the whole batch.
    pub(super) fn finish(&mut self) {
        let before = [
            std::mem::take(&mut self.state.processed),
            std::mem::take(&mut self.state.confirmed),
        ];
        let after = [
            self.state.tree.processed_chain(),
            self.state.tree.confirmed_chain(),
        ];
        let rooted: BTreeSet<i64> = self.rooted.iter().copied().collect();
        for (change, (before, after)) in self.chains.iter_mut().zip(before.iter().zip(&after)) {
            let old: BTreeSet<i64> = before.iter().copied().collect();
            let new: BTreeSet<i64> = after.iter().copied().collect();
            change.gone = before
                .iter()
                .copied()
                .filter(|n| !new.contains(n))
                .collect();
            change.joined = after.iter().copied().filter(|n| !old.contains(n)).collect();
            change.switched = change.gone.iter().any(|n| !rooted.contains(n));
            change.now = after.clone();
            for number in change.gone.iter().chain(&change.joined) {
                let info = self
                    .state
                    .banks
                    .get(number)
                    .or(self.ended.get(number).map(|(info, _)| info));
                change.entities |= info.map_or(0, |info| info.entities);
            }
        }
        let [processed, confirmed] = after;
        let on_processed: BTreeSet<i64> = processed.iter().copied().collect();
        let mut marks: BTreeMap<i64, Marks> = BTreeMap::new();
        for node in self.state.tree.nodes() {
            let number = node.bank.number;
            let status = if node.confirmed {
                status::CONFIRMED
            } else {
                status::PROCESSED
            };
            let on_processed = on_processed.contains(&number);
            marks.insert(
                number,
                Marks {
                    status,
                    on_processed,
                    replaced: node.replaced,
                },
            );
        }
        for (number, (_, status)) in &self.ended {
            marks.insert(
                *number,
                Marks {
                    status: *status,
                    on_processed: false,
                    replaced: false,
                },
            );
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
        for slot in std::mem::take(&mut self.new_slots) {
            let decided = Marks {
                status: slot.fixed.unwrap_or(status::PROCESSED),
                on_processed: false,
                replaced: false,
            };
            let marks = match slot.fixed {
                Some(_) => decided,
                None => marks.get(&slot.number).copied().unwrap_or(decided),
            };
            let entities = self
                .state
                .banks
                .get(&slot.number)
                .or(self.ended.get(&slot.number).map(|(info, _)| info))
                .map_or(0, |info| info.entities);
            self.slots
                .row(14)
                .i64(slot.number)
                .i64(slot.slot)
                .i64(slot.last_slot)
                .opt_bytes(slot.hash.as_ref().map(|h| &h[..]))
                .opt_i64(slot.parent.map(|p| slot_i64(p.slot)))
                .opt_bytes(slot.parent.as_ref().map(|p| &p.hash[..]))
                .unix_seconds(slot.block_time)
                .i16(marks.status)
                .bool(marks.on_processed)
                .bool(marks.replaced)
                .i32(slot.accounts)
                .i32(entities as i32)
                .bool(slot.whole)
                .bool(false);
        }
        self.state.processed = processed;
        self.state.confirmed = confirmed;
    }

    /// Slot of the processed head.
    pub fn processed_head(&self) -> (Option<i64>, Option<i64>) {
        let tip = self.state.processed.last().copied();
        let slot = tip
            .and_then(|n| self.state.banks.get(&n))
            .map(|info| slot_i64(info.id.slot));
        (
            tip,
            slot.or(self.state.tree.root().map(|r| slot_i64(r.slot))),
        )
    }
}
