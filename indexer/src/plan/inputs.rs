//! Inputs to archive rows and events of the fork tree.

use super::{EPOCH_SLOTS, NewSlot, Plan, Refusals, detail, kind, slot_i64, status};
use crate::alarms::{self, Alarm};
use crate::holder::{Input, SealedBank};
use crate::projection::{Account, parcels};
use crate::tree::{Bank, BankId, Event, Hash, PendingBase};
use mythic_postgres::CopyBuffer;
use mythic_stream::proto::LossReason;

/// What a row of the archive's log says of an input without content of its own.
#[derive(Default)]
struct Told<'a> {
    kind: i16,
    slot: u64,
    generation: u32,
    hash: Option<&'a Hash>,
    parent: Option<u64>,
    detail: Option<&'a str>,
}

fn bank_id(slot: u64, hash: Option<Hash>) -> Option<BankId> {
    hash.map(|hash| BankId { slot, hash })
}

/// Rows of `archive.account`: of a bank or base and the slot it is archived under, from an ordinal on. Up to 256 updates each.
pub fn archived_rows(
    out: &mut CopyBuffer,
    (number, slot): (i64, i64),
    from: i32,
    accounts: &[Account],
) {
    for parcel in parcels(from, accounts) {
        out.row(6)
            .i64(slot)
            .i64(number)
            .i32(parcel.first)
            .i32(parcel.updates)
            .bytes(&parcel.keys)
            .bytes(&parcel.body);
    }
}

impl Plan {
    pub(super) fn input(&mut self, number: i64, input: &Input, refusals: &Refusals) {
        match input {
            Input::RunStart {
                run,
                genesis,
                interface,
                plugin,
                primed,
            } => {
                let detail = format!("interface {interface}, plugin {plugin}, primed {primed}");
                let told = Told {
                    kind: kind::RUN_START,
                    hash: genesis.as_ref(),
                    detail: Some(&detail),
                    ..Told::default()
                };
                self.event(number, run, told);
                if let Some(genesis) = genesis
                    && self.state.genesis.is_none()
                {
                    self.genesis = Some(*genesis);
                    self.state.genesis = Some(*genesis);
                }
                self.apply(number, Event::RunStarted, None, refusals);
                self.state.fresh_run = Some(*run);
            }
            Input::RunEnd { run } => {
                let told = Told {
                    kind: kind::RUN_END,
                    ..Told::default()
                };
                self.event(number, run, told);
            }
            Input::Base { .. } => self.based(number, input, refusals),
            Input::Bank(bank) => {
                let held = Bank {
                    number,
                    id: bank.id,
                    parent: bank.parent,
                    whole: bank.whole,
                };
                if self.state.fresh_run.is_some_and(|run| run != bank.run) {
                    self.apply(number, Event::Accompanied(bank.id.slot), None, refusals);
                }
                self.apply(number, Event::Sealed(held), Some(bank), refusals);
                let fresh = self.state.tree.run_fresh();
                self.state.fresh_run = self.state.fresh_run.filter(|_| fresh);
            }
            Input::Reset {
                run,
                slot,
                generation,
                gone,
            } => {
                let told = Told {
                    kind: kind::RESET,
                    slot: *slot,
                    generation: *generation,
                    hash: gone.as_ref(),
                    ..Told::default()
                };
                self.event(number, run, told);
                self.gone(number, (*slot, *gone), refusals);
            }
            Input::Confirmed { run, slot, hash } => {
                let told = Told {
                    kind: kind::CONFIRMED,
                    slot: *slot,
                    hash: hash.as_ref(),
                    ..Told::default()
                };
                self.event(number, run, told);
                if let Some(id) = bank_id(*slot, *hash) {
                    self.apply(number, Event::Confirmed(id), None, refusals);
                }
            }
            Input::Rooted {
                run,
                slot,
                hash,
                parent,
            } => {
                let told = Told {
                    kind: kind::ROOTED,
                    slot: *slot,
                    hash: hash.as_ref(),
                    parent: *parent,
                    ..Told::default()
                };
                self.event(number, run, told);
                if let Some(id) = bank_id(*slot, *hash) {
                    self.apply(number, Event::Rooted(id), None, refusals);
                }
            }
            Input::Dead { .. } => self.died(number, input, refusals),
            Input::Calls { .. } => self.called(number, input),
            Input::Refused { .. } | Input::Loss { .. } => self.troubled(number, input),
        }
    }

    fn based(&mut self, number: i64, input: &Input, refusals: &Refusals) {
        let Input::Base {
            run,
            slot,
            as_of,
            accounts,
        } = input
        else {
            return;
        };
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
        let base_slot = slot_i64(*slot);
        self.note_updates(base_slot, accounts.len());
        self.bases.push((number, base_slot, accounts.clone()));
        let waiting = self.state.base.replace(base_slot);
        self.apply(number, Event::Base(base), None, refusals);
        if self.state.tree.base().is_some_and(|b| b.number != number) {
            self.state.base = waiting;
        }
    }

    fn died(&mut self, number: i64, input: &Input, refusals: &Refusals) {
        let Input::Dead {
            run,
            slot,
            generation,
            reason,
            gone,
        } = input
        else {
            return;
        };
        let reason: String = reason.chars().filter(|c| *c != '\0').take(500).collect();
        let told = Told {
            kind: kind::DEAD,
            slot: *slot,
            generation: *generation,
            hash: gone.as_ref(),
            detail: Some(&reason),
            ..Told::default()
        };
        self.event(number, run, told);
        self.new_slots.push(NewSlot {
            number,
            slot: slot_i64(*slot),
            last_slot: slot_i64(*slot),
            hash: None,
            parent: None,
            block_time: None,
            accounts: 0,
            whole: true,
            transactions: false,
            fixed: Some(status::DEAD),
        });
        self.gone(number, (*slot, *gone), refusals);
    }

    /// The bank that nobody holds any more, if there is one.
    fn gone(&mut self, number: i64, bank: (u64, Option<Hash>), refusals: &Refusals) {
        if let Some(id) = bank_id(bank.0, bank.1) {
            self.apply(number, Event::GivenUp(id), None, refusals);
        }
    }

    /// What was refused or lost: an event and an alarm.
    fn troubled(&mut self, number: i64, input: &Input) {
        let (run, kind, slot, text, alarm) = match input {
            Input::Refused {
                run,
                kind,
                slot,
                detail,
            } => {
                let alarm = Alarm {
                    kind: *kind,
                    slot: slot_i64(*slot),
                    last_slot: slot_i64(*slot),
                    count: 1,
                    banks: Vec::new(),
                    clears_itself: *kind == alarms::Kind::Base,
                    detail: detail.clone(),
                };
                let text = format!("{}: {detail}", kind.as_str());
                (run, kind::REFUSED, *slot, text, alarm)
            }
            Input::Loss {
                run,
                first,
                last,
                count,
                reason,
            } => {
                let alarm = Alarm {
                    kind: alarms::Kind::Loss,
                    slot: slot_i64(*first),
                    last_slot: slot_i64(*last),
                    count: i64::try_from(*count).unwrap_or(i64::MAX),
                    banks: Vec::new(),
                    // What is lost before its seal leaves the bank incomplete, which shows when that is mended.
                    clears_itself: [
                        LossReason::QueueFull,
                        LossReason::SpoolFull,
                        LossReason::SlotRecords,
                        LossReason::Transactions,
                    ]
                    .iter()
                    .any(|r| r.word() == reason),
                    detail: format!("the producer lost records: {reason}"),
                };
                let text = format!("{count} of slots {first} to {last}: {reason}");
                (run, kind::LOSS, *first, text, alarm)
            }
            _ => return,
        };
        let told = Told {
            kind,
            slot,
            detail: Some(&text),
            ..Told::default()
        };
        self.event(number, run, told);
        self.raise(alarm);
    }

    fn event(&mut self, number: i64, run: &[u8; 16], told: Told<'_>) {
        self.events
            .row(14)
            .i64(number)
            .i16(told.kind)
            .bytes(run)
            .i64(slot_i64(told.slot))
            .i64(told.generation.into())
            .opt_bytes(told.hash.map(|h| &h[..]))
            .opt_i64(told.parent.map(slot_i64))
            .null()
            .null()
            .i32(0)
            .bool(true)
            .null()
            .null()
            .opt_bytes(told.detail.map(str::as_bytes));
    }

    pub(super) fn archive(&mut self, number: i64, slot: u64, accounts: &[Account]) {
        let slot = slot_i64(slot);
        if self.watch.is_some() {
            archived_rows(&mut self.accounts, (number, slot), 0, accounts);
        }
        self.note_updates(slot, accounts.len());
    }

    fn note_updates(&mut self, slot: i64, updates: usize) {
        if updates > 0 {
            self.epochs.insert(slot / EPOCH_SLOTS);
        }
        self.updates += updates;
    }

    pub(super) fn seal_event(&mut self, number: i64, bank: &SealedBank, added: bool) {
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
        match (added, bank.transactions) {
            (false, _) => self.events.bytes(detail::REPEATED.as_bytes()),
            (true, true) => self.events.bytes(detail::TRANSACTIONS.as_bytes()),
            (true, false) => self.events.null(),
        };
    }
}
