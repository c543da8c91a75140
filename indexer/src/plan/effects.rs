//! Effects of the fork tree to hot rows, feed events, endings of banks and alarms.

use std::collections::{BTreeMap, HashMap};

use super::{BankInfo, BaseWork, DeadLetter, Marks, NewSlot, Plan, Refusals, slot_i64, status};
use crate::alarms;
use crate::entity::Entity;
use crate::feed::{FeedRow, Op, Span};
use crate::holder::SealedBank;
use crate::projection::{At, Refused, project, project_bank};
use crate::tree::{Anomaly, BankId, Effect, Event};
use mythic_interface::state::Key;

impl Plan {
    pub(super) fn apply(
        &mut self,
        number: i64,
        event: Event,
        bank: Option<&SealedBank>,
        refusals: &Refusals,
    ) {
        let effects = self.state.tree.apply(event);
        if let Some(bank) = bank {
            let added = effects.contains(&Effect::Added { number });
            self.seal_event(number, bank, added);
        }
        for effect in effects {
            match effect {
                Effect::Added { .. } => {
                    if let Some(bank) = bank {
                        self.add_bank(number, bank, refusals.get(&number));
                    }
                }
                Effect::Ignored { .. } => {}
                Effect::Confirmed { number } => self.speak_for(number, Op::Confirm),
                Effect::Rooted { number } => {
                    self.speak_for(number, Op::Finalize);
                    self.end(number, status::FINALIZED);
                }
                Effect::Orphaned { number } => {
                    self.speak_for(number, Op::Retract);
                    self.end(number, status::ORPHANED);
                }
                Effect::Gap { first, last, top } => {
                    self.exactness_changed = true;
                    self.new_slots.push(NewSlot {
                        number: -slot_i64(first) - 1,
                        slot: slot_i64(first),
                        last_slot: slot_i64(last),
                        hash: None,
                        parent: Some(top),
                        block_time: None,
                        accounts: 0,
                        whole: false,
                        fixed: Some(status::GAP),
                    });
                    self.alarms.push(alarms::Alarm {
                        kind: alarms::Kind::Gap,
                        slot: slot_i64(first),
                        last_slot: slot_i64(last),
                        count: 1,
                        banks: Vec::new(),
                        clears_itself: true,
                        detail: format!("slots {first} to {last} were not seen"),
                    });
                }
                Effect::GapShrunk { first, top } => {
                    self.gap_tops.push((slot_i64(first), Some(top)))
                }
                Effect::GapClosed { first } => {
                    self.exactness_changed = true;
                    self.gap_tops.push((slot_i64(first), None));
                }
                Effect::BaseDue { number, slot } => self.base_work(number, slot),
                Effect::Alarm(alarm) => self.alarm(alarm),
            }
        }
    }

    fn add_bank(
        &mut self,
        number: i64,
        bank: &SealedBank,
        refusals: Option<&HashMap<i32, String>>,
    ) {
        self.archive(number, bank.id.slot, &bank.accounts);
        self.banks += 1;
        let none = HashMap::new();
        let changes = project_bank(bank.id.slot, &bank.accounts, refusals.unwrap_or(&none));
        for row in &changes.rows {
            row.write(number, self.hot.entry(row.entity).or_default());
            self.keys.extend(row.keys());
        }
        let slot = slot_i64(bank.id.slot);
        for key in &changes.good {
            if self.state.quarantine.remove(key) {
                self.quarantined.remove(key);
                self.released.insert(*key);
            }
        }
        let entities = changes.entities();
        self.refuse(number, slot, changes.refused, &changes.good);
        let mut spans: BTreeMap<_, Span> = BTreeMap::new();
        for add in changes.adds {
            let seq = self.number_feed();
            let span = spans.entry(add.topic).or_insert(Span {
                topic: add.topic,
                first_seq: seq,
                last_seq: seq,
                count: 0,
            });
            span.last_seq = seq;
            span.count += 1;
            self.feed.push(FeedRow {
                seq,
                topic: add.topic,
                op: Op::Add,
                entity: Some(add.entity),
                slot,
                blockhash: Some(bank.id.hash),
                payload: Some(add.payload),
            });
        }
        let spans: Vec<Span> = spans.into_values().collect();
        let blockhash = bs58::encode(bank.id.hash).into_string();
        for span in &spans {
            self.bank_topics
                .row(7)
                .i64(number)
                .bytes(span.topic.as_str().as_bytes())
                .i64(slot)
                .bytes(blockhash.as_bytes())
                .i64(span.first_seq)
                .i64(span.last_seq)
                .i32(span.count);
        }
        let marks = Marks {
            status: status::PROCESSED,
            on_processed: false,
            replaced: false,
        };
        self.state.banks.insert(
            number,
            BankInfo {
                id: bank.id,
                entities,
                spans,
                whole: bank.whole,
                marks,
            },
        );
        self.new_slots.push(NewSlot {
            number,
            slot,
            last_slot: slot,
            hash: Some(bank.id.hash),
            parent: Some(bank.parent),
            block_time: bank.block_time,
            accounts: bank.accounts.len() as i32,
            whole: bank.whole,
            fixed: None,
        });
    }

    fn refuse(&mut self, bank: i64, slot: i64, refused: Vec<Refused>, good: &[Key]) {
        for refused in refused {
            if good.binary_search(&refused.pubkey).is_err() {
                self.released.remove(&refused.pubkey);
                self.state.quarantine.insert(refused.pubkey);
                self.quarantined
                    .insert(refused.pubkey, (slot, refused.reason.to_string()));
            }
            self.dead.push(DeadLetter {
                bank,
                slot,
                refused,
            });
        }
    }

    /// Gives the next feed number.
    pub fn number_feed(&mut self) -> i64 {
        let seq = self.state.next_feed;
        self.state.next_feed += 1;
        seq
    }

    /// One feed row per topic for a whole bank.
    fn speak_for(&mut self, number: i64, op: Op) {
        let Some(info) = self.state.banks.get(&number).cloned() else {
            return;
        };
        for span in info.spans {
            let seq = self.number_feed();
            self.feed.push(FeedRow {
                seq,
                topic: span.topic,
                op,
                entity: None,
                slot: slot_i64(info.id.slot),
                blockhash: Some(info.id.hash),
                payload: Some(serde_json::json!({
                    "first_seq": span.first_seq, "last_seq": span.last_seq, "count": span.count
                })),
            });
        }
    }

    fn end(&mut self, number: i64, status: i16) {
        let Some(info) = self.state.banks.remove(&number) else {
            return;
        };
        self.ended_entities |= info.entities;
        if status == status::FINALIZED {
            self.rooted.push(number);
            self.rooted_entities |= info.entities;
            self.exactness_changed |= !info.whole;
        } else {
            self.orphaned.push(number);
        }
        self.ended.insert(number, (info, status));
    }

    fn base_work(&mut self, number: i64, slot: u64) {
        let accounts = self.state.base.take().unwrap_or_default();
        let mut work = BaseWork {
            number,
            slot: slot_i64(slot),
            ..BaseWork::default()
        };
        let at = At {
            slot,
            ordinal: i32::MAX,
            exact: false,
        };
        let (mut refused, mut good) = (Vec::new(), Vec::new());
        for account in accounts.iter() {
            match project(account, at) {
                Ok(projected) if projected.rows.iter().any(|r| r.entity == Entity::Closure) => {}
                Ok(projected) => {
                    for row in &projected.rows {
                        row.write(number, self.hot.entry(row.entity).or_default());
                        self.keys.extend(row.keys());
                        work.entities |= row.entity.bit();
                    }
                    work.adds
                        .extend(projected.adds.into_iter().map(|(_, add)| add));
                    work.present.push(account.pubkey);
                    good.push(account.pubkey);
                }
                Err(reason) => {
                    work.present.push(account.pubkey);
                    refused.push(Refused {
                        pubkey: account.pubkey,
                        ordinal: i32::MAX,
                        reason,
                    });
                }
            }
        }
        good.sort_unstable();
        self.refuse(number, work.slot, refused, &good);
        self.exactness_changed = true;
        self.base = Some(work);
    }

    fn alarm(&mut self, alarm: Anomaly) {
        let name = |id: BankId| format!("{} ({})", id.slot, bs58::encode(id.hash).into_string());
        let (kind, about, detail) = match alarm {
            Anomaly::ConfirmedFork { confirmed, other } => (
                alarms::Kind::ConfirmedFork,
                vec![other, confirmed],
                format!(
                    "confirmed bank {} is not on the chain of confirmed bank {}",
                    name(other),
                    name(confirmed)
                ),
            ),
            Anomaly::RootConflict { root, other } => (
                alarms::Kind::RootConflict,
                vec![other],
                format!(
                    "rooted chain leads through {} beside the root at slot {root}",
                    name(other)
                ),
            ),
            Anomaly::Malformed { bank } => (
                alarms::Kind::MalformedBank,
                vec![bank],
                format!("bank {} is not newer than its parent", name(bank)),
            ),
        };
        let slots = || about.iter().map(|id| slot_i64(id.slot));
        let banks = self
            .state
            .banks
            .iter()
            .filter(|(_, info)| about.contains(&info.id));
        self.alarms.push(alarms::Alarm {
            kind,
            slot: slots().min().unwrap_or(0),
            last_slot: slots().max().unwrap_or(0),
            count: 1,
            banks: banks.map(|(number, _)| *number).collect(),
            clears_itself: kind == alarms::Kind::ConfirmedFork,
            detail,
        });
    }
}
