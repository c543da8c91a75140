//! Inputs to archive rows and events of the fork tree.

use std::sync::Arc;

use super::{EPOCH_SLOTS, NewSlot, Plan, Refusals, kind, slot_i64, status};
use crate::alarms::{self, Alarm};
use crate::holder::{Input, SealedBank};
use crate::projection::Account;
use crate::tree::{Bank, Event, Hash, PendingBase};
use mythic_stream::proto::LossReason;

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
                self.state.base = Some((slot_i64(*slot), Arc::new(accounts.clone())));
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
            Input::Refused {
                run,
                kind,
                slot,
                detail,
            } => {
                let text = format!("{}: {detail}", kind.as_str());
                self.event(
                    number,
                    kind::REFUSED,
                    run,
                    *slot,
                    0,
                    None,
                    None,
                    Some(&text),
                );
                self.alarms.push(Alarm {
                    kind: *kind,
                    slot: slot_i64(*slot),
                    last_slot: slot_i64(*slot),
                    count: 1,
                    banks: Vec::new(),
                    clears_itself: *kind == alarms::Kind::Base,
                    detail: detail.clone(),
                });
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
                self.alarms.push(Alarm {
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
                    ]
                    .iter()
                    .any(|r| r.as_str_name().eq_ignore_ascii_case(reason)),
                    detail: format!("the producer lost records: {reason}"),
                });
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

    pub(super) fn archive(&mut self, number: i64, slot: u64, accounts: &[Account]) {
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
        match added {
            true => self.events.null(),
            false => self.events.bytes(b"repeated"),
        };
    }
}
