//! Holds a run's envelopes until their bank is sealed and whole, and turns the log into what the
//! projection is fed with. Pure: items in, inputs out.
//!
//! Nothing is given on before its seal, so a restart may read again from [`Holder::resume`], the first
//! envelope of anything still held; what was applied before is recognised by position and only
//! fills the holder.

use std::collections::{BTreeMap, HashMap};

use mythic_stream::{
    proto::{AccountUpdate, Envelope, Event, SlotStatus},
    spool::Position,
};

use crate::projection::Account;
use crate::tree::{BankId, Hash};

/// Something to apply, in the order of the producer's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    RunStart {
        run: [u8; 16],
        genesis: Option<Hash>,
        interface: String,
        plugin: String,
        primed: bool,
    },
    RunEnd {
        run: [u8; 16],
    },
    /// Startup accounts, newest per pubkey, sorted by pubkey.
    Base {
        run: [u8; 16],
        slot: u64,
        as_of: Option<BankId>,
        accounts: Vec<Account>,
    },
    Bank(SealedBank),
    Reset {
        run: [u8; 16],
        slot: u64,
        generation: u32,
    },
    Dead {
        run: [u8; 16],
        slot: u64,
        generation: u32,
        reason: String,
    },
    Confirmed {
        run: [u8; 16],
        slot: u64,
        hash: Option<Hash>,
    },
    Rooted {
        run: [u8; 16],
        slot: u64,
        hash: Option<Hash>,
        parent: Option<u64>,
    },
    Loss {
        run: [u8; 16],
        first: u64,
        last: u64,
        count: u64,
        reason: String,
    },
}

/// A bank at its seal.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedBank {
    pub run: [u8; 16],
    pub generation: u32,
    pub id: BankId,
    pub parent: BankId,
    pub block_time: Option<i64>,
    pub digest: Vec<u8>,
    pub filter_hash: Vec<u8>,
    /// As many updates are here as the producer offered; if not, `accounts` is empty.
    pub whole: bool,
    pub accounts: Vec<Account>,
}

#[derive(Debug)]
struct Held {
    first: Position,
    accounts: Vec<Account>,
    bytes: usize,
    /// Updates that were given up for want of room.
    dropped: bool,
}

#[derive(Debug)]
struct HeldBase {
    first: Position,
    newest: HashMap<[u8; 32], Account>,
    offered: u64,
    bytes: usize,
    /// Slot and whether it is whole, once it ended.
    ended: Option<(u64, bool)>,
    dropped: bool,
}

/// See the module's description.
#[derive(Debug)]
pub struct Holder {
    banks: BTreeMap<(u64, u32), Held>,
    base: Option<HeldBase>,
    run: Option<[u8; 16]>,
    /// Updates of this run that no seal will speak for: replay at boot.
    unsealed_replay: bool,
    bytes: usize,
    max_bytes: usize,
}

/// What an envelope that can't be used was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a key, hash or signature of another length")]
    Length,
    #[error("an envelope without an event")]
    Empty,
}

impl Holder {
    /// `max_bytes` bounds what is held; a bank that would pass it loses its content and becomes a gap.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            banks: BTreeMap::new(),
            base: None,
            run: None,
            unsealed_replay: false,
            bytes: 0,
            max_bytes,
        }
    }

    /// Bytes of account data held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a restart has to read from; `next` is where the log is read up to.
    pub fn resume(&self, next: Position) -> Position {
        let base = self.base.as_ref().map(|b| b.first);
        let banks = self.banks.values().map(|b| b.first);
        banks
            .chain(base)
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
        let run = at.run;
        if self.run != Some(run) {
            // What an earlier run left unsealed will never be sealed.
            self.banks.clear();
            self.base = None;
            self.unsealed_replay = false;
            self.bytes = 0;
            self.run = Some(run);
        }
        let mut out = Vec::new();
        match envelope.event.ok_or(Malformed::Empty)? {
            Event::Start(start) => out.push(Input::RunStart {
                run,
                genesis: opt_hash(&start.genesis_hash)?,
                interface: start.interface,
                plugin: start.plugin,
                primed: start.primed,
            }),
            Event::End(_) => out.push(Input::RunEnd { run }),
            Event::Account(update) => self.hold(at, update)?,
            Event::BaseEnd(end) => {
                let base = self.base.get_or_insert_with(|| HeldBase::new(at));
                base.ended = Some((end.slot, base.offered == end.count && !base.dropped));
            }
            Event::Slot(update) => {
                let (slot, generation) = (update.slot, update.generation);
                match update.status() {
                    SlotStatus::CreatedBank => {
                        // An earlier bank of the slot will not be sealed any more.
                        let earlier: Vec<_> = self
                            .banks
                            .range((slot, 0)..(slot, generation))
                            .map(|(key, _)| *key)
                            .collect();
                        for key in earlier {
                            self.drop_bank(key);
                        }
                        if generation > 1 {
                            out.push(Input::Reset {
                                run,
                                slot,
                                generation,
                            });
                        }
                    }
                    SlotStatus::Dead => {
                        self.drop_bank((slot, generation));
                        let reason = update.dead_reason.unwrap_or_default();
                        out.push(Input::Dead {
                            run,
                            slot,
                            generation,
                            reason,
                        });
                    }
                    SlotStatus::Confirmed => {
                        out.push(Input::Confirmed {
                            run,
                            slot,
                            hash: opt_hash(&update.blockhash)?,
                        });
                    }
                    SlotStatus::Rooted => {
                        let passed: Vec<_> = self
                            .banks
                            .range(..=(slot, u32::MAX))
                            .map(|(key, _)| *key)
                            .collect();
                        for key in passed {
                            self.drop_bank(key);
                        }
                        let hash = opt_hash(&update.blockhash)?;
                        out.push(Input::Rooted {
                            run,
                            slot,
                            hash,
                            parent: update.parent,
                        });
                    }
                    _ => {}
                }
            }
            Event::Seal(seal) => {
                let id = BankId {
                    slot: seal.slot,
                    hash: hash(&seal.blockhash)?,
                };
                let parent = BankId {
                    slot: seal.parent_slot,
                    hash: hash(&seal.parent_blockhash)?,
                };
                let held = self.drop_bank((seal.slot, seal.generation));
                let (mut accounts, dropped) =
                    held.map_or((Vec::new(), false), |h| (h.accounts, h.dropped));
                let whole = seal.dropped == 0 && !dropped && accounts.len() as u64 == seal.offered;
                if !whole {
                    accounts = Vec::new();
                }
                self.end_base(run, parent, &mut out);
                out.push(Input::Bank(SealedBank {
                    run,
                    generation: seal.generation,
                    id,
                    parent,
                    block_time: seal.block_time,
                    digest: seal.digest.to_vec(),
                    filter_hash: seal.filter_hash.to_vec(),
                    whole,
                    accounts,
                }));
            }
            Event::Loss(loss) => out.push(Input::Loss {
                run,
                first: loss.first_slot,
                last: loss.last_slot,
                count: loss.count,
                reason: loss.reason().as_str_name().to_ascii_lowercase(),
            }),
        }
        if replayed {
            out.clear();
        }
        Ok(out)
    }

    /// The base is given on with the first seal: only then is it known which bank the run goes on from.
    fn end_base(&mut self, run: [u8; 16], parent: BankId, out: &mut Vec<Input>) {
        let Some(base) = self.base.take_if(|b| b.ended.is_some()) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(base.bytes);
        // A base with holes would close accounts that exist; it is as good as none.
        if let Some((slot, true)) = base.ended {
            let mut accounts: Vec<Account> = base.newest.into_values().collect();
            accounts.sort_unstable_by_key(|a| a.pubkey);
            let as_of = (!self.unsealed_replay && parent.slot >= slot).then_some(parent);
            out.push(Input::Base {
                run,
                slot,
                as_of,
                accounts,
            });
        }
    }

    fn hold(&mut self, at: Position, update: AccountUpdate) -> Result<(), Malformed> {
        let account = Account {
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
        };
        let size = account.data.len() + std::mem::size_of::<Account>();
        let room = self.bytes + size <= self.max_bytes;
        if update.is_startup {
            let base = self.base.get_or_insert_with(|| HeldBase::new(at));
            base.offered += 1;
            if !room {
                base.dropped = true;
                return Ok(());
            }
            base.bytes += size;
            self.bytes += size;
            let newer = |old: &Account| {
                (account.slot, account.write_version) >= (old.slot, old.write_version)
            };
            if base.newest.get(&account.pubkey).is_none_or(newer) {
                base.newest.insert(account.pubkey, account);
            }
        } else if update.generation == 0 {
            self.unsealed_replay = true;
        } else {
            let held = self
                .banks
                .entry((update.slot, update.generation))
                .or_insert_with(|| Held {
                    first: at,
                    accounts: Vec::new(),
                    bytes: 0,
                    dropped: false,
                });
            if room && !held.dropped {
                held.accounts.push(account);
                held.bytes += size;
                self.bytes += size;
            } else {
                held.dropped = true;
                self.bytes = self.bytes.saturating_sub(std::mem::take(&mut held.bytes));
                held.accounts = Vec::new();
            }
        }
        Ok(())
    }

    fn drop_bank(&mut self, key: (u64, u32)) -> Option<Held> {
        let held = self.banks.remove(&key)?;
        self.bytes = self.bytes.saturating_sub(held.bytes);
        Some(held)
    }
}

impl HeldBase {
    fn new(first: Position) -> Self {
        Self {
            first,
            newest: HashMap::new(),
            offered: 0,
            bytes: 0,
            ended: None,
            dropped: false,
        }
    }
}

fn hash(bytes: &[u8]) -> Result<Hash, Malformed> {
    bytes.try_into().map_err(|_| Malformed::Length)
}

fn opt_hash(bytes: &[u8]) -> Result<Option<Hash>, Malformed> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        hash(bytes).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_stream::proto::{BaseEnd, SlotSeal, SlotUpdate};

    const RUN: [u8; 16] = [7; 16];

    fn at(seq: u64) -> Position {
        Position {
            run: RUN,
            segment: 1,
            offset: 100 * seq,
            seq,
        }
    }

    struct Log {
        holder: Holder,
        seq: u64,
    }

    impl Log {
        fn new() -> Self {
            Self {
                holder: Holder::new(1 << 20),
                seq: 0,
            }
        }

        fn push(&mut self, event: Event) -> Vec<Input> {
            self.seq += 1;
            let envelope = Envelope {
                run: RUN.to_vec().into(),
                seq: self.seq,
                time_unix_nanos: 0,
                event: Some(event),
            };
            self.holder.apply(at(self.seq), envelope, false).unwrap()
        }

        fn resume(&self) -> u64 {
            self.holder.resume(at(self.seq + 1)).seq
        }
    }

    fn account(slot: u64, generation: u32, key: u8, startup: bool) -> Event {
        Event::Account(AccountUpdate {
            slot,
            generation,
            write_version: 1,
            pubkey: vec![key; 32].into(),
            owner: vec![2; 32].into(),
            lamports: 5,
            data: vec![1, 2, 3].into(),
            is_startup: startup,
            signature: Default::default(),
        })
    }

    fn seal(slot: u64, generation: u32, offered: u64, dropped: u64) -> Event {
        Event::Seal(SlotSeal {
            slot,
            generation,
            blockhash: vec![slot as u8; 32].into(),
            parent_slot: slot - 1,
            parent_blockhash: vec![slot as u8 - 1; 32].into(),
            offered,
            dropped,
            ..Default::default()
        })
    }

    fn status(slot: u64, generation: u32, status: SlotStatus) -> Event {
        Event::Slot(SlotUpdate {
            slot,
            generation,
            status: status.into(),
            ..Default::default()
        })
    }

    fn sealed(inputs: &[Input]) -> &SealedBank {
        match inputs.last() {
            Some(Input::Bank(bank)) => bank,
            other => panic!("no bank: {other:?}"),
        }
    }

    #[test]
    fn nothing_before_the_seal_then_all_of_it_in_order() {
        let mut log = Log::new();
        assert!(log.push(account(5, 1, 1, false)).is_empty());
        assert!(log.push(account(5, 1, 2, false)).is_empty());
        assert_eq!(log.resume(), 1);
        let inputs = log.push(seal(5, 1, 2, 0));
        let bank = sealed(&inputs);
        assert!(bank.whole);
        assert_eq!(
            bank.accounts
                .iter()
                .map(|a| a.pubkey[0])
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(log.resume(), log.seq + 1);
        assert_eq!(log.holder.bytes(), 0);
    }

    #[test]
    fn a_bank_with_a_loss_is_not_whole_and_has_no_content() {
        for (offered, dropped) in [(3, 0), (2, 1), (1, 0)] {
            let mut log = Log::new();
            log.push(account(5, 1, 1, false));
            log.push(account(5, 1, 2, false));
            let inputs = log.push(seal(5, 1, offered, dropped));
            assert!(!sealed(&inputs).whole && sealed(&inputs).accounts.is_empty());
        }
    }

    #[test]
    fn a_slot_created_again_starts_empty_and_says_so() {
        let mut log = Log::new();
        log.push(status(5, 1, SlotStatus::CreatedBank));
        log.push(account(5, 1, 1, false));
        let inputs = log.push(status(5, 2, SlotStatus::CreatedBank));
        assert_eq!(
            inputs,
            [Input::Reset {
                run: RUN,
                slot: 5,
                generation: 2
            }]
        );
        log.push(account(5, 2, 9, false));
        let inputs = log.push(seal(5, 2, 1, 0));
        assert_eq!(sealed(&inputs).accounts[0].pubkey[0], 9);
    }

    #[test]
    fn what_will_never_be_sealed_does_not_hold_the_position() {
        let mut log = Log::new();
        log.push(account(5, 1, 1, false));
        log.push(account(6, 1, 1, false));
        log.push(account(8, 1, 1, false));
        log.push(status(5, 1, SlotStatus::Dead));
        assert_eq!(log.resume(), 2);
        log.push(status(7, 1, SlotStatus::Rooted));
        assert_eq!(log.resume(), 3, "6 was passed by the root, 8 not");
    }

    #[test]
    fn a_base_comes_with_the_first_seal_newest_per_account() {
        let mut log = Log::new();
        log.push(account(3, 0, 1, true));
        log.push(account(4, 0, 1, true));
        log.push(account(2, 0, 1, true));
        assert!(
            log.push(Event::BaseEnd(BaseEnd { slot: 4, count: 3 }))
                .is_empty()
        );
        assert_eq!(log.resume(), 1);
        let inputs = log.push(seal(9, 1, 0, 0));
        let Some(Input::Base {
            slot: 4,
            as_of: Some(parent),
            accounts,
            ..
        }) = inputs.first()
        else {
            panic!("{inputs:?}")
        };
        assert_eq!(parent.slot, 8);
        assert_eq!(accounts.iter().map(|a| a.slot).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_base_after_which_blocks_were_replayed_unseen_speaks_for_its_own_slot() {
        let mut log = Log::new();
        log.push(account(4, 0, 1, true));
        log.push(Event::BaseEnd(BaseEnd { slot: 4, count: 1 }));
        log.push(account(6, 0, 1, false));
        let inputs = log.push(seal(9, 1, 0, 0));
        assert!(matches!(
            inputs.first(),
            Some(Input::Base {
                slot: 4,
                as_of: None,
                ..
            })
        ));
    }

    #[test]
    fn a_base_with_holes_is_not_used() {
        let mut log = Log::new();
        log.push(account(4, 0, 1, true));
        log.push(Event::BaseEnd(BaseEnd { slot: 4, count: 2 }));
        let inputs = log.push(seal(9, 1, 0, 0));
        assert!(matches!(inputs.as_slice(), [Input::Bank(_)]));
    }

    #[test]
    fn a_new_run_forgets_what_the_old_one_left_open() {
        let mut log = Log::new();
        log.push(account(5, 1, 1, false));
        let other = Position {
            run: [8; 16],
            segment: 2,
            offset: 32,
            seq: 1,
        };
        let envelope = Envelope {
            run: vec![8; 16].into(),
            seq: 1,
            time_unix_nanos: 0,
            event: Some(Event::Start(Default::default())),
        };
        assert_eq!(log.holder.apply(other, envelope, false).unwrap().len(), 1);
        assert_eq!(log.holder.resume(other), other);
    }

    #[test]
    fn replayed_envelopes_fill_the_holder_and_nothing_else() {
        let mut holder = Holder::new(1 << 20);
        let mut feed = |seq, event, replayed| {
            let envelope = Envelope {
                run: RUN.to_vec().into(),
                seq,
                time_unix_nanos: 0,
                event: Some(event),
            };
            holder.apply(at(seq), envelope, replayed).unwrap()
        };
        assert!(feed(1, account(5, 1, 1, false), true).is_empty());
        assert!(feed(2, seal(4, 1, 0, 0), true).is_empty());
        assert!(feed(3, status(4, 1, SlotStatus::Rooted), true).is_empty());
        let inputs = feed(4, seal(5, 1, 1, 0), false);
        assert!(sealed(&inputs).whole);
    }

    #[test]
    fn a_bank_larger_than_the_bound_becomes_a_gap() {
        let mut log = Log::new();
        log.holder.max_bytes = 250;
        log.push(account(5, 1, 1, false));
        log.push(account(5, 1, 2, false));
        let inputs = log.push(seal(5, 1, 2, 0));
        assert!(!sealed(&inputs).whole);
        assert_eq!(log.holder.bytes(), 0);
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        let mut holder = Holder::new(1 << 20);
        let update = AccountUpdate {
            pubkey: vec![1; 31].into(),
            ..Default::default()
        };
        let envelope = Envelope {
            event: Some(Event::Account(update)),
            ..Default::default()
        };
        assert_eq!(holder.apply(at(1), envelope, false), Err(Malformed::Length));
    }
}
