//! Contents of banks and bases to archive rows, hot rows and announcements.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{
    BankInfo, BaseWork, Completed, DeadLetter, Healed, Marks, NewSlot, Plan, RowMark, slot_i64,
    status,
};
use crate::feed::{Add, FeedRow, Of, Op, Span};
use crate::holder::SealedBank;
use crate::projection::{base58, project_bank};
use crate::tree::BankId;

/// Updates that the database refused, by ordinal, with its reason.
type Skip = HashMap<i32, String>;

/// What a bank's content came to.
struct Content {
    entities: u32,
    spans: Vec<Span>,
}

impl Plan {
    pub(super) fn add_bank(&mut self, number: i64, bank: &SealedBank, skip: &Skip) {
        let content = self.content((number, number), bank, skip);
        let info = BankInfo {
            id: bank.id,
            entities: content.entities,
            spans: content.spans,
            whole: bank.whole,
            marks: Marks::of(status::PROCESSED),
        };
        self.state.banks.insert(number, info);
        let slot = slot_i64(bank.id.slot);
        self.new_slots.push(NewSlot {
            number,
            slot,
            last_slot: slot,
            hash: Some(bank.id.hash),
            parent: Some(bank.parent),
            block_time: bank.block_time,
            accounts: bank.accounts.len() as i32,
            whole: bank.whole,
            transactions: bank.transactions,
            fixed: None,
        });
    }

    /// Gives a bank that was not whole its content, from a later seal of it: (the bank, the seal).
    pub(super) fn complete_bank(
        &mut self,
        (number, by): (i64, i64),
        bank: &SealedBank,
        skip: &Skip,
    ) {
        let content = self.content((number, by), bank, skip);
        self.completed.push(Completed {
            number,
            accounts: bank.accounts.len() as i32,
            entities: content.entities,
        });
        let confirmed = self.state.tree.node(bank.id).map(|node| node.confirmed);
        // A rooted bank is taken up again for as long as it takes to root its content.
        let info = self.state.banks.entry(number).or_insert_with(|| {
            let ended = self.ended.get(&number).map(|(info, _)| info.clone());
            ended.unwrap_or_else(|| BankInfo {
                id: bank.id,
                entities: 0,
                spans: Vec::new(),
                whole: true,
                marks: Marks::of(status::FINALIZED),
            })
        });
        info.whole = true;
        info.entities = content.entities;
        info.spans = content.spans;
        match confirmed {
            Some(false) => {}
            Some(true) => self.speak_for(number, Op::Confirm),
            None => {
                self.exactness_changed = true;
                self.mended = true;
                self.speak_for(number, Op::Confirm);
                self.speak_for(number, Op::Finalize);
                self.end(number, status::FINALIZED);
            }
        }
    }

    /// Archives and projects the accounts that seal `by` has of bank `number`.
    fn content(&mut self, (number, by): (i64, i64), bank: &SealedBank, skip: &Skip) -> Content {
        self.archive(by, bank.id.slot, &bank.accounts);
        self.banks += 1;
        let known = std::mem::take(&mut self.known);
        let changes = {
            let lineage = self.state.lineage(by, bank, &known);
            project_bank(bank.id.slot, &bank.accounts, skip, |key| {
                lineage.before(key)
            })
        };
        self.known = known;
        let rows = self.rows.entry(number).or_default();
        for row in &changes.rows {
            row.write(number, rows.entry(row.entity).or_default());
            self.keys.extend(row.keys());
        }
        if self.watch.is_some() {
            let marks = changes.rows.iter().map(RowMark::of);
            self.marked.entry(number).or_default().extend(marks);
        }
        let entities = changes.entities();
        let slot = slot_i64(bank.id.slot);
        self.dead
            .extend(changes.refused.into_iter().map(|refused| DeadLetter {
                bank: by,
                slot,
                refused,
            }));
        if !changes.prints.is_empty() {
            self.state.prints.insert(number, Arc::new(changes.prints));
        }
        let spans = self.announce(by, bank.id, changes.adds);
        self.note_spans(number, bank.id, &spans);
        Content { entities, spans }
    }

    /// Feed rows of what a bank changed, whose accounts event `by` archived.
    fn announce(&mut self, by: i64, id: BankId, adds: Vec<Add>) -> Vec<Span> {
        let slot = slot_i64(id.slot);
        let mut spans: BTreeMap<_, Span> = BTreeMap::new();
        for add in adds {
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
                slot,
                blockhash: Some(id.hash),
                of: Of::Update {
                    bank: by,
                    slot,
                    ordinal: add.ordinal,
                },
            });
        }
        spans.into_values().collect()
    }

    fn note_spans(&mut self, number: i64, id: BankId, spans: &[Span]) {
        let blockhash = base58(&id.hash);
        for span in spans {
            self.bank_topics
                .row(7)
                .i64(number)
                .bytes(span.topic.as_str().as_bytes())
                .i64(slot_i64(id.slot))
                .bytes(blockhash.as_bytes())
                .i64(span.first_seq)
                .i64(span.last_seq)
                .i32(span.count);
        }
    }

    /// Prepares the comparison of all rows with a base, which is the state at `slot`.
    pub(super) fn base_work(&mut self, number: i64, slot: u64) {
        let base_slot = self.state.base.take().unwrap_or_default();
        let work = BaseWork {
            number,
            slot: slot_i64(slot),
            base_slot,
            healed_before: self.state.healed.map_or(-1, |healed| healed.through),
        };
        let healed = Healed {
            through: work.slot,
            event: number,
            base_slot,
        };
        if !self.state.is_healed(work.slot) {
            self.state.healed = Some(healed);
        }
        self.exactness_changed = true;
        self.base = Some(work);
    }
}
