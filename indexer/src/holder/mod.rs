//! Holds a run's envelopes until their bank is sealed and whole, and turns the log into what the
//! projection is fed with: items in, inputs out.
//!
//! Nothing is given on before its seal, so a restart may read again from [`Holder::resume`], the first
//! envelope of anything still held; what was applied before is recognised by position and only
//! fills the holder. Beyond a bound of memory what is held waits on disk.

mod accounts;
mod calls;
mod fields;
mod held;
mod input;
pub(crate) mod loss;
mod run;
mod spill;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use mythic_stream::digest::BankDigest;
use mythic_stream::proto::{
    AccountUpdate, BaseEnd, Envelope, Event, LossReason, SlotSeal, SlotStatus, SlotUpdate, Start,
};
use mythic_stream::spool::{Position, Unreadable};

use crate::alarms::Kind;
use crate::projection::Account;
use crate::tree::BankId;

pub use accounts::{BaseAccounts, Parts};
use calls::HeldCalls;
pub use fields::Malformed;
use fields::{hash, opt_hash};
use held::{Newest, Updates};
pub use input::{Input, Missing, SealedBank};
use run::Run;
pub(crate) use run::expected_filter;

use spill::SpillDir;

#[derive(Debug)]
struct HeldBank {
    first: Position,
    updates: Updates,
    /// Why updates were given up.
    failed: Option<String>,
}

#[derive(Debug, Default)]
struct HeldBase {
    newest: Newest,
    offered: u64,
    /// Slot, and how many there should be.
    ended: Option<(u64, u64)>,
    failed: Option<String>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Holder {
    banks: BTreeMap<(u64, u32), HeldBank>,
    base: Option<HeldBase>,
    calls: HeldCalls,
    run: Option<Run>,
    max_bytes: usize,
    spill: SpillDir,
}

impl Holder {
    /// What is held beyond `max_bytes` lies in files in `spill_dir`.
    pub fn new(max_bytes: usize, spill_dir: &Path) -> Self {
        Self {
            banks: BTreeMap::new(),
            base: None,
            calls: HeldCalls::default(),
            run: None,
            max_bytes,
            spill: SpillDir::new(spill_dir),
        }
    }

    /// Bytes of account data held in memory.
    pub fn bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| base.newest.bytes());
        base + self
            .banks
            .values()
            .map(|b| b.updates.bytes())
            .sum::<usize>()
    }

    /// Bytes held on disk.
    pub fn spilled(&self) -> u64 {
        let base = self.base.as_ref().map_or(0, |base| base.newest.spilled());
        base + self
            .banks
            .values()
            .map(|b| b.updates.spilled())
            .sum::<u64>()
    }

    /// Where a restart has to read from; `next` is where the log is read up to.
    pub fn resume(&self, next: Position) -> Position {
        // What opens the run decides whether its base may be believed.
        let run = self.run.as_ref();
        let opening = run.filter(|run| self.base.is_some() || run.awaits_base());
        let banks = self.banks.values().map(|b| b.first);
        banks
            .chain(opening.map(|run| run.first))
            .chain(self.calls.first())
            .min_by_key(|p| (p.segment, p.offset))
            .unwrap_or(next)
    }

    /// Takes one envelope. `replayed`: it was applied before a restart, so it may only fill the holder.
    pub fn apply(
        &mut self,
        at: Position,
        envelope: Envelope,
        replayed: bool,
    ) -> Result<Vec<Input>, Malformed> {
        let mut out = Vec::new();
        let opens = matches!(envelope.event, Some(Event::Start(_)));
        self.enter(at, opens, &mut out);
        let taken = match envelope.event {
            None => Err(Malformed::Empty),
            Some(event) => self.event(at, event, &mut out),
        };
        if let (Err(_), Some(run)) = (taken, &mut self.run) {
            run.lossy = true;
        }
        if replayed {
            out.clear();
        }
        taken.map(|()| out)
    }

    /// Takes notice of records that can't be read.
    pub fn unreadable(&mut self, at: Position, what: &Unreadable, replayed: bool) -> Vec<Input> {
        let mut out = Vec::new();
        if what.records == Some(0) {
            return out;
        }
        self.enter(at, false, &mut out);
        self.damaged(what.records, loss::SPOOL_DAMAGED, &mut out);
        if replayed {
            out.clear();
        }
        out
    }

    /// So many records of the run can't be read, or nobody knows how many.
    fn damaged(&mut self, records: Option<u64>, reason: &str, out: &mut Vec<Input>) {
        if let Some(run) = &mut self.run {
            run.lossy = true;
            out.push(Input::Loss {
                run: run.id,
                first: run.newest,
                last: run.newest,
                count: records.unwrap_or(1),
                reason: reason.into(),
            });
        }
    }

    /// Takes notice of records of a run that can't be had.
    pub fn missing(&mut self, at: Position, missing: &Missing, replayed: bool) -> Vec<Input> {
        let mut out = Vec::new();
        if missing.records == Some(0) {
            return out;
        }
        self.enter(at, false, &mut out);
        self.damaged(missing.records, missing.reason, &mut out);
        if replayed {
            out.clear();
        }
        out
    }

    /// Turns to the run of a position; `opens`: its first record is at hand.
    fn enter(&mut self, at: Position, opens: bool, out: &mut Vec<Input>) {
        if self.run.as_ref().is_some_and(|run| run.id == at.run) {
            return;
        }
        // What an earlier run left unsealed will never be sealed.
        out.extend(self.give_up());
        self.banks.clear();
        self.base = None;
        let mut run = Run::new(at);
        // After a restart the holder meets a run in its middle.
        let missed = !opens && (self.run.is_some() || at.seq <= 1);
        run.lossy = missed;
        self.run = Some(run);
        if missed {
            out.push(Input::RunStart {
                run: at.run,
                genesis: None,
                interface: String::new(),
                plugin: String::new(),
                primed: false,
            });
        }
    }

    /// What is to be said when the log does not go on from here: of some sealed banks not all transactions came.
    pub fn give_up(&mut self) -> Vec<Input> {
        match &self.run {
            Some(run) => self.calls.give_up_through(run.id, u64::MAX),
            None => Vec::new(),
        }
    }

    fn event(&mut self, at: Position, event: Event, out: &mut Vec<Input>) -> Result<(), Malformed> {
        let run = at.run;
        match event {
            Event::Start(start) => self.start(run, start, out)?,
            Event::End(_) => out.push(Input::RunEnd { run }),
            Event::Account(update) => self.hold(at, update)?,
            Event::BaseEnd(BaseEnd { slot, count }) => {
                self.base.get_or_insert_default().ended = Some((slot, count));
            }
            Event::Slot(update) => self.slot(run, update, out)?,
            Event::Seal(seal) => self.seal(at, seal, out)?,
            Event::Transaction(update) => self.calls.hold(at, &update),
            Event::TransactionSeal(seal) => out.extend(self.calls.told(run, &seal)),
            Event::Damage(damage) if damage.records == Some(0) => {}
            Event::Damage(damage) => self.damaged(damage.records, loss::SPOOL_DAMAGED, out),
            Event::Loss(loss) => {
                // A lost transaction is no account that changed unseen.
                if let Some(run) = &mut self.run
                    && loss.reason() != LossReason::Transactions
                {
                    run.lossy = true;
                }
                out.push(Input::Loss {
                    run,
                    first: loss.first_slot,
                    last: loss.last_slot,
                    count: loss.count,
                    reason: loss.reason().word().into(),
                });
            }
        }
        Ok(())
    }

    fn start(&mut self, id: [u8; 16], start: Start, out: &mut Vec<Input>) -> Result<(), Malformed> {
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let genesis = run.open(&start)?;
        let filter = run.check_filter(&start.filter_hash);
        out.push(Input::RunStart {
            run: id,
            genesis,
            interface: start.interface,
            plugin: start.plugin,
            primed: start.primed,
        });
        self.refuse_filter(filter, 0, out);
        Ok(())
    }

    /// Says that a producer streams other accounts than those that are indexed. `false`: it does.
    fn refuse_filter(
        &self,
        checked: Result<(), Option<String>>,
        slot: u64,
        out: &mut Vec<Input>,
    ) -> bool {
        if let (Err(Some(detail)), Some(run)) = (&checked, &self.run) {
            out.push(Input::Refused {
                run: run.id,
                kind: Kind::Filter,
                slot,
                detail: detail.clone(),
            });
        }
        checked.is_ok()
    }

    fn slot(
        &mut self,
        run: [u8; 16],
        update: SlotUpdate,
        out: &mut Vec<Input>,
    ) -> Result<(), Malformed> {
        let (slot, generation) = (update.slot, update.generation);
        match update.status() {
            SlotStatus::CreatedBank => {
                if let Some(run) = &mut self.run {
                    run.bank(slot);
                }
                // An earlier bank of the slot will not be sealed any more.
                self.banks
                    .retain(|key, _| key.0 != slot || key.1 >= generation);
                self.calls.opened(slot, generation);
                if generation > 1 {
                    out.push(Input::Reset {
                        run,
                        slot,
                        generation,
                        gone: None,
                    });
                }
            }
            SlotStatus::Dead => {
                self.banks.remove(&(slot, generation));
                self.calls.forget((slot, generation));
                let reason = update.dead_reason.unwrap_or_default();
                out.push(Input::Dead {
                    run,
                    slot,
                    generation,
                    reason,
                    gone: None,
                });
            }
            SlotStatus::Confirmed => {
                let hash = opt_hash(&update.blockhash)?;
                out.push(Input::Confirmed { run, slot, hash });
            }
            SlotStatus::Rooted => {
                let hash = opt_hash(&update.blockhash)?;
                self.banks = self.banks.split_off(&(slot.saturating_add(1), 0));
                out.extend(self.calls.give_up_through(run, slot));
                out.push(Input::Rooted {
                    run,
                    slot,
                    hash,
                    parent: update.parent,
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn seal(
        &mut self,
        at: Position,
        seal: SlotSeal,
        out: &mut Vec<Input>,
    ) -> Result<(), Malformed> {
        let id = BankId {
            slot: seal.slot,
            hash: hash(&seal.blockhash)?,
        };
        let parent = BankId {
            slot: seal.parent_slot,
            hash: hash(&seal.parent_blockhash)?,
        };
        let run = at.run;
        let held = self.banks.remove(&(seal.slot, seal.generation));
        self.end_base(run, parent, out);
        let mut filter = Ok(());
        if let Some(run) = &mut self.run {
            run.bank(seal.slot);
            filter = run.check_filter(&seal.filter_hash);
        }
        let ours = self.refuse_filter(filter, seal.slot, out);
        let accounts = match held {
            _ if !ours || seal.dropped > 0 => None,
            Some(held) => self.content(held, &seal, out),
            None => (seal.offered == 0).then(Vec::new),
        };
        if seal.transactions {
            out.extend(self.calls.sealed(at, (seal.slot, seal.generation), id));
        }
        out.push(Input::Bank(SealedBank {
            run,
            generation: seal.generation,
            id,
            parent,
            block_time: seal.block_time,
            digest: seal.digest.to_vec(),
            filter_hash: seal.filter_hash.to_vec(),
            whole: accounts.is_some(),
            accounts: accounts.unwrap_or_default(),
            transactions: seal.transactions,
        }));
        Ok(())
    }

    /// The updates of a bank, if they are all here and are those that its seal sums up.
    fn content(
        &self,
        held: HeldBank,
        seal: &SlotSeal,
        out: &mut Vec<Input>,
    ) -> Option<Vec<Account>> {
        let count = held.updates.count();
        let taken = match held.failed {
            Some(reason) => Err(reason),
            None if count != seal.offered => return None,
            None => held.updates.take().map_err(|e| e.to_string()),
        };
        let run = self.run.as_ref()?.id;
        let accounts = match taken {
            Ok(accounts) => accounts,
            Err(reason) => {
                tracing::error!(
                    slot = seal.slot,
                    "the updates of a bank are given up: {reason}"
                );
                out.push(Input::Loss {
                    run,
                    first: seal.slot,
                    last: seal.slot,
                    count,
                    reason: loss::SPILL_FAILED.into(),
                });
                return None;
            }
        };
        let mut digest = BankDigest::default();
        for account in &accounts {
            digest.push(
                account.pubkey,
                &account.owner,
                account.lamports,
                &account.data,
            );
        }
        if digest.finish() == seal.digest.as_ref() {
            return Some(accounts);
        }
        out.push(Input::Refused {
            run,
            kind: Kind::Digest,
            slot: seal.slot,
            detail: "the updates of a block are not those that its seal sums up: the plugin or the disk under its spool is broken".into(),
        });
        None
    }

    /// The base is given on with the first seal: only then is it known which bank the run goes on from.
    fn end_base(&mut self, id: [u8; 16], parent: BankId, out: &mut Vec<Input>) {
        let (Some(base), Some(run)) = (self.base.take(), &self.run) else {
            return;
        };
        let (slot, count) = base.ended.unwrap_or((0, 0));
        let refused = if base.ended.is_none() {
            Some("their end did not come through".into())
        } else if let Some(reason) = run.distrust() {
            Some(reason)
        } else if base.offered != count {
            // A base with holes would close accounts that exist; it is as good as none.
            Some(format!("{} of {count} came", base.offered))
        } else {
            base.failed
        };
        let accounts = match refused {
            Some(reason) => Err(reason),
            None => base.newest.end(&self.spill).map_err(|e| spill_failed(&e)),
        };
        out.push(match accounts {
            Ok(accounts) => Input::Base {
                run: id,
                slot,
                as_of: run.base_as_of(slot, parent),
                accounts,
            },
            Err(reason) => Input::Refused {
                run: id,
                kind: Kind::Base,
                slot,
                detail: format!(
                    "the accounts that the producer started from can't be used: {reason}"
                ),
            },
        });
    }

    fn hold(&mut self, at: Position, update: AccountUpdate) -> Result<(), Malformed> {
        let (slot, generation, startup) = (update.slot, update.generation, update.is_startup);
        let account = account(update);
        if startup {
            let base = self.base.get_or_insert_default();
            // What can't be used is not offered, so that the base has a hole.
            let account = account?;
            base.offered += 1;
            if base.failed.is_none() {
                base.newest.push(account);
            }
        } else if generation == 0 {
            if let Some(run) = &mut self.run {
                run.unsealed_replay = true;
            }
            account?;
        } else {
            if let Some(run) = &mut self.run {
                run.bank(slot);
            }
            let held = self.banks.entry((slot, generation));
            let held = held.or_insert_with(|| HeldBank {
                first: at,
                updates: Updates::default(),
                failed: None,
            });
            let account = account?;
            if held.failed.is_none() {
                held.updates.push(account);
            }
        }
        if self.bytes() > self.max_bytes {
            self.spill();
        }
        Ok(())
    }

    /// Moves the largest part of what is held to the disk.
    fn spill(&mut self) {
        let base = self.base.as_ref().map_or(0, |base| base.newest.bytes());
        let bank = self
            .banks
            .values_mut()
            .max_by_key(|bank| bank.updates.bytes());
        match (&mut self.base, bank) {
            (_, Some(bank)) if bank.updates.bytes() >= base => {
                if let Err(e) = bank.updates.spill(&self.spill) {
                    bank.failed = Some(spill_failed(&e));
                    bank.updates = Updates::default();
                }
            }
            (Some(base), _) => {
                if let Err(e) = base.newest.spill(&self.spill) {
                    base.failed = Some(spill_failed(&e));
                    base.newest = Newest::default();
                }
            }
            (None, _) => {}
        }
    }
}

fn spill_failed(e: &io::Error) -> String {
    format!("more than max_held_bytes had to wait, and the disk did not take it: {e}")
}

fn account(update: AccountUpdate) -> Result<Account, Malformed> {
    Ok(Account {
        pubkey: hash(&update.pubkey)?,
        owner: hash(&update.owner)?,
        lamports: update.lamports,
        // A copy: the envelope's bytes are a slice of a whole block of the spool.
        data: update.data.to_vec().into(),
        signature: match update.signature.len() {
            0 => None,
            _ => Some(
                update
                    .signature
                    .as_ref()
                    .try_into()
                    .map_err(|_| Malformed::Length)?,
            ),
        },
        write_version: update.write_version,
        slot: update.slot,
    })
}
