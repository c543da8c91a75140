//! From inputs to everything one transaction has to write. Pure: the fork tree decides, the projection
//! decodes, feed numbers are given; nothing here waits or fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::copy::CopyBuffer;
use crate::entity::Entity;
use crate::feed::{Add, FeedRow, Op, Span};
use crate::holder::{Input, SealedBank};
use crate::projection::{Account, At, Refused, project, project_bank};
use crate::tree::{Alarm, Bank, BankId, Effect, Event, Hash, PendingBase, SlotTree};
use mythic_interface::state::Key;
use mythic_stream::spool::Position;

/// Slots per archive partition.
pub const EPOCH_SLOTS: i64 = 432_000;

/// `status` of table `slot`.
pub mod status {
    pub const PROCESSED: i16 = 1;
    pub const CONFIRMED: i16 = 2;
    pub const FINALIZED: i16 = 3;
    pub const ORPHANED: i16 = 4;
    pub const DEAD: i16 = 5;
    pub const GAP: i16 = 6;
}

/// `kind` of table `archive.event`.
pub mod kind {
    pub const RUN_START: i16 = 1;
    pub const BASE: i16 = 2;
    pub const BANK: i16 = 3;
    pub const CONFIRMED: i16 = 5;
    pub const ROOTED: i16 = 6;
    pub const DEAD: i16 = 7;
    pub const RESET: i16 = 8;
    pub const LOSS: i16 = 9;
    pub const RUN_END: i16 = 10;
}

/// What the database says about a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    pub status: i16,
    pub on_processed: bool,
    pub replaced: bool,
}

/// An unrooted bank: what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankInfo {
    pub id: BankId,
    /// Tables it has rows in, by [`Entity::bit`].
    pub entities: u32,
    pub spans: Vec<Span>,
    pub whole: bool,
    pub marks: Marks,
}

/// What a writer knows between two transactions; a function of the database's content.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub tree: SlotTree,
    pub next_event: i64,
    pub next_feed: i64,
    pub banks: BTreeMap<i64, BankInfo>,
    pub quarantine: BTreeSet<Key>,
    /// The unrooted chains as the overlays have them.
    pub processed: Vec<i64>,
    pub confirmed: Vec<i64>,
    /// Accounts of the base that the tree waits to apply.
    pub base: Option<Arc<Vec<Account>>>,
    pub genesis: Option<Hash>,
    pub position: Option<Reached>,
}

/// How far a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Where a restart reads from.
    pub resume: Position,
    /// Everything before it is applied.
    pub applied: Position,
}

impl State {
    /// Some content is on its way to finality, so its progress is worth a transaction of its own.
    pub fn busy(&self) -> bool {
        self.banks.values().any(|b| b.entities != 0) || self.tree.base().is_some()
    }
}

/// How an overlay changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainChange {
    /// Banks that left the unrooted chain: rooted, or on another fork now.
    pub gone: Vec<i64>,
    pub joined: Vec<i64>,
    pub now: Vec<i64>,
    /// Some left without being rooted: entities they changed show an older bank's row again.
    pub switched: bool,
    /// Tables concerned.
    pub entities: u32,
}

/// A base whose time has come.
#[derive(Clone, Debug, Default)]
pub struct BaseWork {
    pub number: i64,
    pub slot: i64,
    pub adds: Vec<Add>,
    /// Every account that exists in the base.
    pub present: Vec<Key>,
    pub entities: u32,
}

/// Content that could not be projected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub bank: i64,
    pub slot: i64,
    pub refused: Refused,
}

/// Everything one transaction writes.
#[derive(Debug, Default)]
pub struct Plan {
    pub state: State,
    /// Inputs taken; fewer than given when a base has to be applied before the rest.
    pub used: usize,
    pub events: CopyBuffer,
    pub accounts: CopyBuffer,
    pub slots: CopyBuffer,
    pub hot: BTreeMap<Entity, CopyBuffer>,
    pub epochs: BTreeSet<i64>,
    pub feed: Vec<FeedRow>,
    pub bank_topics: CopyBuffer,
    pub rooted: Vec<i64>,
    pub orphaned: Vec<i64>,
    pub rooted_entities: u32,
    pub ended_entities: u32,
    /// Processed, confirmed.
    pub chains: [ChainChange; 2],
    pub marks: Vec<(i64, Marks)>,
    pub gap_tops: Vec<(i64, Option<BankId>)>,
    pub exactness_changed: bool,
    pub base: Option<BaseWork>,
    pub alarms: Vec<(&'static str, Option<i64>, String)>,
    pub dead: Vec<DeadLetter>,
    pub quarantined: BTreeMap<Key, (i64, String)>,
    pub released: BTreeSet<Key>,
    pub genesis: Option<Hash>,
    pub updates: usize,
    pub banks: usize,
    new_slots: Vec<NewSlot>,
    ended: BTreeMap<i64, (BankInfo, i16)>,
}

#[derive(Debug)]
struct NewSlot {
    number: i64,
    slot: i64,
    last_slot: i64,
    hash: Option<Hash>,
    parent: Option<BankId>,
    block_time: Option<i64>,
    accounts: i32,
    whole: bool,
    /// Set for rows that are no bank; a bank's is decided at the end.
    fixed: Option<i16>,
}

/// Updates the database itself refused, by bank and ordinal, with its reason.
pub type Refusals = HashMap<i64, HashMap<i32, String>>;

/// Plans the inputs, numbered in the order of the archive.
pub fn plan(state: &State, inputs: &[(i64, Input)], refusals: &Refusals) -> Plan {
    let mut plan = Plan {
        state: state.clone(),
        ..Plan::default()
    };
    for (number, input) in inputs {
        // A base is compared with what was rooted before it. The seal that made it known may follow (it
        // came in the same envelope), nothing else.
        if plan.base.is_some()
            && !(matches!(input, Input::Bank(_))
                && matches!(inputs.get(plan.used - 1), Some((_, Input::Base { .. }))))
        {
            break;
        }
        plan.used += 1;
        plan.state.next_event = number + 1;
        plan.input(*number, input, refusals);
    }
    plan.finish();
    plan
}

fn slot_i64(slot: u64) -> i64 {
    i64::try_from(slot).unwrap_or(i64::MAX)
}

impl Plan {
    fn input(&mut self, number: i64, input: &Input, refusals: &Refusals) {
        match input {
            Input::RunStart {
                run,
                genesis,
                interface,
                plugin,
                primed,
            } => {
                let detail = format!("interface {interface}, plugin {plugin}, primed {primed}");
                let hash = genesis.as_ref();
                self.event(
                    number,
                    kind::RUN_START,
                    run,
                    0,
                    0,
                    hash,
                    None,
                    Some(&detail),
                );
                if let Some(genesis) = genesis
                    && self.state.genesis.is_none()
                {
                    self.genesis = Some(*genesis);
                    self.state.genesis = Some(*genesis);
                }
                self.apply(number, Event::RunStarted, None, refusals);
            }
            Input::RunEnd { run } => self.event(number, kind::RUN_END, run, 0, 0, None, None, None),
            Input::Base {
                run,
                slot,
                as_of,
                accounts,
            } => {
                let base = PendingBase {
                    number,
                    slot: *slot,
                    as_of: *as_of,
                };
                self.events
                    .row(14)
                    .i64(number)
                    .i16(kind::BASE)
                    .bytes(run)
                    .i64(slot_i64(*slot))
                    .i64(0)
                    .null()
                    .opt_i64(as_of.map(|b| slot_i64(b.slot)))
                    .opt_bytes(as_of.as_ref().map(|b| &b.hash[..]))
                    .null()
                    .i32(accounts.len() as i32)
                    .bool(true)
                    .null()
                    .null()
                    .null();
                self.archive(number, *slot, accounts);
                self.state.base = Some(Arc::new(accounts.clone()));
                self.apply(number, Event::Base(base), None, refusals);
            }
            Input::Bank(bank) => {
                let held = Bank {
                    number,
                    id: bank.id,
                    parent: bank.parent,
                    whole: bank.whole,
                };
                self.apply(number, Event::Sealed(held), Some(bank), refusals);
            }
            Input::Reset {
                run,
                slot,
                generation,
            } => {
                self.event(
                    number,
                    kind::RESET,
                    run,
                    *slot,
                    *generation,
                    None,
                    None,
                    None,
                );
                self.apply(number, Event::Reset { slot: *slot }, None, refusals);
            }
            Input::Dead {
                run,
                slot,
                generation,
                reason,
            } => {
                let reason: String = reason.chars().filter(|c| *c != '\0').take(500).collect();
                self.event(
                    number,
                    kind::DEAD,
                    run,
                    *slot,
                    *generation,
                    None,
                    None,
                    Some(&reason),
                );
                self.new_slots.push(NewSlot {
                    number,
                    slot: slot_i64(*slot),
                    last_slot: slot_i64(*slot),
                    hash: None,
                    parent: None,
                    block_time: None,
                    accounts: 0,
                    whole: true,
                    fixed: Some(status::DEAD),
                });
                self.apply(number, Event::Dead { slot: *slot }, None, refusals);
            }
            Input::Confirmed { run, slot, hash } => {
                self.event(
                    number,
                    kind::CONFIRMED,
                    run,
                    *slot,
                    0,
                    hash.as_ref(),
                    None,
                    None,
                );
                self.apply(
                    number,
                    Event::Confirmed {
                        slot: *slot,
                        hash: *hash,
                    },
                    None,
                    refusals,
                );
            }
            Input::Rooted {
                run,
                slot,
                hash,
                parent,
            } => {
                self.event(
                    number,
                    kind::ROOTED,
                    run,
                    *slot,
                    0,
                    hash.as_ref(),
                    *parent,
                    None,
                );
                self.apply(
                    number,
                    Event::Rooted {
                        slot: *slot,
                        hash: *hash,
                        parent: *parent,
                    },
                    None,
                    refusals,
                );
            }
            Input::Loss {
                run,
                first,
                last,
                count,
                reason,
            } => {
                let detail = format!("{count} of slots {first} to {last}: {reason}");
                self.event(
                    number,
                    kind::LOSS,
                    run,
                    *first,
                    0,
                    None,
                    None,
                    Some(&detail),
                );
                self.alarms.push(("loss", Some(slot_i64(*first)), detail));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one archive row")]
    fn event(
        &mut self,
        number: i64,
        kind: i16,
        run: &[u8; 16],
        slot: u64,
        generation: u32,
        hash: Option<&Hash>,
        parent: Option<u64>,
        detail: Option<&str>,
    ) {
        self.events
            .row(14)
            .i64(number)
            .i16(kind)
            .bytes(run)
            .i64(slot_i64(slot))
            .i64(generation.into())
            .opt_bytes(hash.map(|h| &h[..]))
            .opt_i64(parent.map(slot_i64))
            .null()
            .null()
            .i32(0)
            .bool(true)
            .null()
            .null()
            .opt_bytes(detail.map(str::as_bytes));
    }

    fn archive(&mut self, number: i64, slot: u64, accounts: &[Account]) {
        let slot = slot_i64(slot);
        for (ordinal, account) in (0i32..).zip(accounts) {
            self.accounts
                .row(10)
                .i64(slot)
                .i64(number)
                .i32(ordinal)
                .i64(account.write_version as i64)
                .i64(slot_i64(account.slot))
                .bytes(&account.pubkey)
                .bytes(&account.owner)
                .bytes(&account.lamports.to_le_bytes())
                .opt_bytes(account.signature.as_ref().map(|s| &s[..]))
                .bytes(&account.data);
        }
        if !accounts.is_empty() {
            self.epochs.insert(slot / EPOCH_SLOTS);
        }
        self.updates += accounts.len();
    }

    fn apply(&mut self, number: i64, event: Event, bank: Option<&SealedBank>, refusals: &Refusals) {
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
                    self.alarms.push((
                        "gap",
                        Some(slot_i64(first)),
                        format!("slots {first} to {last} were not seen"),
                    ));
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

    fn seal_event(&mut self, number: i64, bank: &SealedBank, added: bool) {
        self.events
            .row(14)
            .i64(number)
            .i16(kind::BANK)
            .bytes(&bank.run)
            .i64(slot_i64(bank.id.slot))
            .i64(bank.generation.into())
            .bytes(&bank.id.hash)
            .i64(slot_i64(bank.parent.slot))
            .bytes(&bank.parent.hash)
            .unix_seconds(bank.block_time)
            .i32(if added { bank.accounts.len() as i32 } else { 0 })
            .bool(bank.whole)
            .bytes(&bank.digest)
            .bytes(&bank.filter_hash);
        match added {
            true => self.events.null(),
            false => self.events.bytes(b"repeated"),
        };
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
            self.hot
                .entry(row.entity)
                .or_default()
                .entity_row(number, row);
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
                        self.hot
                            .entry(row.entity)
                            .or_default()
                            .entity_row(number, row);
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

    fn alarm(&mut self, alarm: Alarm) {
        let name = |id: BankId| format!("{} ({})", id.slot, bs58::encode(id.hash).into_string());
        self.alarms.push(match alarm {
            Alarm::ConfirmedFork { confirmed, other } => (
                "confirmed_fork",
                Some(slot_i64(other.slot)),
                format!(
                    "confirmed bank {} is not on the chain of confirmed bank {}",
                    name(other),
                    name(confirmed)
                ),
            ),
            Alarm::RootConflict { root, other } => (
                "root_conflict",
                Some(slot_i64(root)),
                format!(
                    "rooted chain leads through {} beside the root at slot {root}",
                    name(other)
                ),
            ),
            Alarm::Malformed { bank } => (
                "malformed_bank",
                Some(slot_i64(bank.slot)),
                format!("bank {} is not newer than its parent", name(bank)),
            ),
        });
    }

    /// Compares the chains and marks before and after, once for the whole batch.
    fn finish(&mut self) {
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
