//! Effects of the fork tree to feed events, endings of banks, gaps and alarms.

use std::collections::HashMap;

use super::{GapChange, NewSlot, Plan, Refusals, slot_i64, status};
use crate::alarms;
use crate::feed::{FeedRow, Of, Op};
use crate::holder::SealedBank;
use crate::projection::base58;
use crate::tree::{BankId, Effect, Event};

impl Plan {
    pub(super) fn apply(
        &mut self,
        number: i64,
        event: Event,
        bank: Option<&SealedBank>,
        refusals: &Refusals,
    ) {
        let effects = self.state.tree.apply(event);
        let none = HashMap::new();
        let refusals = refusals.get(&number).unwrap_or(&none);
        if let Some(bank) = bank {
            let kept = effects.iter().any(|effect| {
                matches!(effect, Effect::Added { number: n } | Effect::Completed { by: n, .. } if *n == number)
            });
            self.seal_event(number, bank, kept);
        }
        for effect in effects {
            match (effect, bank) {
                (Effect::Added { .. }, Some(bank)) => self.add_bank(number, bank, refusals),
                (Effect::Completed { number: of, .. }, Some(bank)) => {
                    self.complete_bank((of, number), bank, refusals);
                }
                (effect, _) => self.effect(effect),
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            // Only a seal has these.
            Effect::Added { .. } | Effect::Completed { .. } | Effect::Ignored { .. } => {}
            Effect::Confirmed { number } => self.speak_for(number, Op::Confirm),
            Effect::Rooted { number } => {
                self.speak_for(number, Op::Finalize);
                self.end(number, status::FINALIZED);
            }
            Effect::Orphaned { number } => {
                self.speak_for(number, Op::Retract);
                self.end(number, status::ORPHANED);
            }
            Effect::GivenUp { number } => {
                self.given_up(number);
                self.speak_for(number, Op::Retract);
                self.end(number, status::GIVEN_UP);
            }
            Effect::Gap { first, last, top } => self.open_gap(first, last, top),
            Effect::GapSplit { first, top } => self.gap(first, top),
            Effect::GapShrunk { first, top } => self.change_gap(first, GapChange::Top(top)),
            Effect::GapClosed { first } => self.change_gap(first, GapChange::Closed),
            Effect::GapGivenUp { first } => self.change_gap(first, GapChange::GivenUp),
            Effect::BaseDue { number, slot } => self.base_work(number, slot),
            Effect::Alarm(anomaly) => self.anomaly(anomaly),
        }
    }

    fn open_gap(&mut self, first: u64, last: u64, top: BankId) {
        self.state.doubt_through = self.state.doubt_through.max(slot_i64(last));
        self.gap(first, top);
        self.raise(alarms::Alarm {
            kind: alarms::Kind::Gap,
            slot: slot_i64(first),
            last_slot: slot_i64(last),
            count: 1,
            banks: Vec::new(),
            clears_itself: true,
            detail: format!("slots {first} to {last} were not seen"),
        });
    }

    /// The row of a gap.
    fn gap(&mut self, first: u64, top: BankId) {
        self.exactness_changed = true;
        self.new_slots.push(NewSlot {
            number: -slot_i64(first) - 1,
            slot: slot_i64(first),
            last_slot: slot_i64(top.slot),
            hash: None,
            parent: Some(top),
            block_time: None,
            accounts: 0,
            whole: false,
            transactions: false,
            fixed: Some(status::GAP),
        });
    }

    fn change_gap(&mut self, first: u64, change: GapChange) {
        self.exactness_changed = true;
        self.mended = true;
        self.gaps.push((slot_i64(first), change));
    }

    /// A bank of a gap that there is no room to wait for: a base can still tell the state after it.
    fn given_up(&mut self, number: i64) {
        self.mended = true;
        let Some(info) = self.state.banks.get(&number) else {
            return;
        };
        let (slot, hash) = (slot_i64(info.id.slot), info.id.hash);
        self.raise(alarms::Alarm {
            kind: alarms::Kind::GivenUp,
            slot,
            last_slot: slot,
            count: 1,
            banks: vec![number],
            clears_itself: false,
            detail: format!(
                "block {slot} ({}) waited in a gap for the blocks above it, and there is no room to wait on",
                base58(&hash)
            ),
        });
    }

    /// Gives the next feed number.
    pub fn number_feed(&mut self) -> i64 {
        let seq = self.state.next_feed;
        self.state.next_feed += 1;
        seq
    }

    /// One feed row per topic for a whole bank.
    pub(super) fn speak_for(&mut self, number: i64, op: Op) {
        let Some(info) = self.state.banks.get(&number).cloned() else {
            return;
        };
        for span in info.spans {
            let seq = self.number_feed();
            self.feed.push(FeedRow {
                seq,
                topic: span.topic,
                op,
                slot: slot_i64(info.id.slot),
                blockhash: Some(info.id.hash),
                of: Of::Span { bank: number, span },
            });
        }
    }

    pub(super) fn end(&mut self, number: i64, status: i16) {
        let Some(info) = self.state.banks.remove(&number) else {
            return;
        };
        self.ended_entities |= info.entities;
        if status == status::FINALIZED {
            let slot = slot_i64(info.id.slot);
            self.rooted.push(number);
            self.rooted_entities |= info.entities;
            self.root_prints(number, slot);
            if !info.whole {
                self.exactness_changed = true;
                self.state.doubt_through = self.state.doubt_through.max(slot);
            }
            if self.state.is_healed(slot) {
                self.late.push(number);
                self.late_entities |= info.entities;
            }
        } else {
            self.state.prints.remove(&number);
            self.orphaned.push(number);
        }
        self.ended.insert(number, (info, status));
    }
}
