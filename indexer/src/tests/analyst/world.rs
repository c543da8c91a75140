//! A network's life, made from a seed: what its validators' banks hold, block by block, with forks that lose; and beside it the
//! plain facts, from which a test computes figures without SQL. Any number of jobs; the days are always ten.

use std::collections::HashMap;

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{accounts, calls, market};
use crate::holder::{Input, SealedBank};
use crate::projection::Account;
use crate::tests::chain::{GENESIS, hash};
use crate::tree::BankId;
use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::state::Key;

const RUN: [u8; 16] = [1; 16];
/// Block time of slot 0: 2026-01-01 00:00 UTC.
pub const START: i64 = 1_767_225_600;
const SPAN: u64 = 10 * 86_400;
pub const MODELS: u64 = 20;
pub const VALIDATORS: u64 = 200;
pub const PRICE_CHANGES: u64 = 4;
/// Slots after the last request.
const TAIL: u64 = 40;
/// Slots above the root at the end.
const UNROOTED: u64 = 32;
/// One slot in so many belongs to a fork that loses.
const FORK_EVERY: u64 = 500;
const FORK_PLACE: u64 = 7;

/// How a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Settled,
    Refunded,
    Slashed,
}

/// A job, as it ends if the chain gets so far. Slots are those of the finalized chain.
#[derive(Clone, Debug)]
pub struct Fact {
    pub key: Key,
    pub owner: u64,
    pub model: u64,
    pub validator: u64,
    pub outcome: Outcome,
    pub requested: u64,
    pub accepted: u64,
    pub submitted: u64,
    pub disputed: u64,
    pub ended: u64,
    pub output_tokens: u32,
    pub fee: u64,
}

impl Fact {
    pub fn validator_lamports(&self) -> u64 {
        self.fee / 2
    }

    pub fn foundation_lamports(&self) -> u64 {
        self.fee / 10
    }

    pub fn burned_lamports(&self) -> u64 {
        self.fee - self.validator_lamports() - self.foundation_lamports()
    }
}

/// What an account was last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Balances {
    pub seq: u64,
    pub held: u64,
    pub spent: u64,
    pub earned: u64,
    pub settled: u64,
    pub slashed: u64,
}

/// What happens to a job.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Request,
    Accept,
    Submit,
    Dispute,
    End,
    Price(u64),
}

#[derive(Debug)]
pub struct World {
    pub jobs: Vec<Fact>,
    pub slots: u64,
    pub owners: u64,
    /// Jobs in blocks that lost.
    pub undone: usize,
    pub leases: Vec<market::Leased>,
    vaults: HashMap<u64, Balances>,
    validators: HashMap<u64, Balances>,
    foundation: Balances,
    /// Slot, what happens, to which job; by slot.
    agenda: Vec<(u64, Act, usize)>,
    next: u64,
}

/// The key of the `n`th thing of a kind.
pub fn key(kind: u8, n: u64) -> Key {
    StdRng::seed_from_u64((u64::from(kind) << 56) ^ n).random()
}

pub const OWNER: u8 = 1;
pub const MODEL: u8 = 2;
pub const VALIDATOR: u8 = 3;
pub const VAULT: u8 = 4;
const JOB: u8 = 5;
const CASE: u8 = 6;
const TREASURY: u8 = 7;

/// The next slot that is not a losing fork's.
fn on_chain(slot: u64) -> u64 {
    if slot % FORK_EVERY == FORK_PLACE {
        slot + 1
    } else {
        slot
    }
}

impl World {
    pub fn new(jobs: u64, seed: u64) -> Self {
        let owners = (jobs / 20).clamp(1, 5_000);
        let mut random = StdRng::seed_from_u64(seed);
        let slots = 2 * jobs + TAIL;
        let mut agenda: Vec<(u64, Act, usize)> = (0..PRICE_CHANGES)
            .map(|change| {
                (
                    on_chain(2 + change * (slots - TAIL) / PRICE_CHANGES),
                    Act::Price(change),
                    0,
                )
            })
            .collect();
        let facts = (0..jobs).map(|n| {
            let outcome = match n {
                n if n % 25 == 3 => Outcome::Refunded,
                n if n % 1_000 == 5 => Outcome::Slashed,
                _ => Outcome::Settled,
            };
            let requested = on_chain(2 * n + 3);
            let accepted = on_chain(requested + random.random_range(1..6));
            let submitted = on_chain(accepted + random.random_range(10..50));
            let disputed = on_chain(submitted + 10);
            let ended = match outcome {
                Outcome::Refunded => on_chain(requested + 40),
                _ => on_chain(submitted + 150),
            };
            Fact {
                key: key(JOB, n),
                owner: random.random_range(0..owners),
                model: random.random_range(0..MODELS),
                validator: random.random_range(0..VALIDATORS),
                outcome,
                requested,
                accepted: if outcome == Outcome::Refunded {
                    0
                } else {
                    accepted
                },
                submitted: if outcome == Outcome::Refunded {
                    0
                } else {
                    submitted
                },
                disputed: if outcome == Outcome::Slashed {
                    disputed
                } else {
                    0
                },
                ended,
                output_tokens: random.random_range(1..500),
                fee: if outcome == Outcome::Settled {
                    random.random_range(1_000..11_000)
                } else {
                    0
                },
            }
        });
        let jobs: Vec<Fact> = facts.collect();
        for (n, job) in jobs.iter().enumerate() {
            let life = [
                (job.requested, Act::Request),
                (job.accepted, Act::Accept),
                (job.submitted, Act::Submit),
                (job.disputed, Act::Dispute),
                (job.ended, Act::End),
            ];
            agenda.extend(
                life.into_iter()
                    .filter(|(slot, _)| *slot != 0)
                    .map(|(slot, act)| (slot, act, n)),
            );
        }
        agenda.sort_by_key(|(slot, _, n)| (*slot, *n));
        Self {
            jobs,
            slots,
            owners,
            undone: 0,
            leases: market::leases(slots, on_chain),
            vaults: HashMap::new(),
            validators: HashMap::new(),
            foundation: Balances::default(),
            agenda,
            next: 0,
        }
    }

    /// The newest slot that is rooted at the end.
    pub fn root(&self) -> u64 {
        on_chain(self.slots - UNROOTED)
    }

    /// Block time of a slot.
    pub fn time(&self, slot: u64) -> i64 {
        START + (slot * SPAN / self.slots) as i64
    }

    /// Jobs that a finalized view shows as ended.
    pub fn ended(&self) -> impl Iterator<Item = &Fact> {
        self.jobs.iter().filter(|job| job.ended <= self.root())
    }

    /// What happens in the next slots, at most so many; none when all is told.
    pub fn next(&mut self, slots: u64) -> Vec<Input> {
        let mut inputs = Vec::new();
        if self.next == 0 {
            inputs.push(Input::RunStart {
                run: RUN,
                genesis: Some(GENESIS),
                interface: String::new(),
                plugin: String::new(),
                primed: true,
            });
            inputs.push(Input::Base {
                run: RUN,
                slot: 0,
                as_of: None,
                accounts: Vec::new().into(),
            });
            self.next = 1;
        }
        let last = (self.next + slots - 1).min(self.slots);
        for slot in self.next..=last {
            self.slot(slot, &mut inputs);
        }
        if self.next <= self.slots && last == self.slots {
            let slot = on_chain(self.slots - UNROOTED / 2);
            inputs.push(Input::Confirmed {
                run: RUN,
                slot,
                hash: Some(hash(slot, 0)),
            });
        }
        self.next = last + 1;
        inputs
    }

    fn slot(&mut self, slot: u64, inputs: &mut Vec<Input>) {
        if slot % FORK_EVERY == FORK_PLACE {
            // What the block that wins will hold, a slot earlier; the accounts beside jobs are left out.
            let acts = self.acts(slot + 1);
            let accounts: Vec<Account> = acts
                .iter()
                .filter_map(|(act, n)| self.job(slot, *act, *n))
                .collect();
            if slot < self.root() {
                self.undone += accounts.len();
            }
            inputs.push(self.bank(slot, 1, accounts));
            inputs.extend(self.calls(slot, 1, &acts));
            return;
        }
        let mut accounts = Vec::new();
        if slot == 1 {
            self.registrations(&mut accounts);
        }
        let acts = self.acts(slot);
        for (act, n) in &acts {
            self.act(slot, *act, *n, &mut accounts);
        }
        let leased = market::writes(&self.leases, slot).into_iter();
        accounts.extend(leased.map(|(key, data)| Account {
            owner: market::PROGRAM,
            ..account(slot, key, data)
        }));
        inputs.push(self.bank(slot, 0, accounts));
        inputs.extend(self.calls(slot, 0, &acts));
        if (slot.is_multiple_of(32) && slot < self.root()) || slot == self.root() {
            inputs.push(Input::Rooted {
                run: RUN,
                slot,
                hash: Some(hash(slot, 0)),
                parent: None,
            });
        }
    }

    /// What happens in a slot.
    fn acts(&self, slot: u64) -> Vec<(Act, usize)> {
        let first = self.agenda.partition_point(|(at, _, _)| *at < slot);
        let due = self.agenda[first..]
            .iter()
            .take_while(|(at, _, _)| *at == slot);
        due.map(|(_, act, n)| (*act, *n)).collect()
    }

    fn bank(&self, slot: u64, fork: u8, accounts: Vec<Account>) -> Input {
        let parent = match (slot - 1) % FORK_EVERY {
            FORK_PLACE if slot > 1 => slot - 2,
            _ => slot - 1,
        };
        Input::Bank(SealedBank {
            run: RUN,
            generation: 1,
            id: BankId {
                slot,
                hash: hash(slot, fork),
            },
            parent: BankId {
                slot: parent,
                hash: hash(parent, 0),
            },
            block_time: Some(self.time(slot)),
            digest: Vec::new(),
            filter_hash: Vec::new(),
            whole: true,
            accounts,
            transactions: true,
        })
    }

    /// The transactions of a block, if it has some.
    fn calls(&self, slot: u64, fork: u8, acts: &[(Act, usize)]) -> Option<Input> {
        let body = calls::body(&self.jobs, acts);
        (!body.is_empty()).then(|| Input::Calls {
            run: RUN,
            generation: 1,
            id: BankId {
                slot,
                hash: hash(slot, fork),
            },
            whole: true,
            body,
        })
    }

    fn registrations(&mut self, out: &mut Vec<Account>) {
        for n in 0..MODELS {
            out.push(account(1, key(MODEL, n), accounts::model(n, 0)));
        }
        for n in 0..VALIDATORS {
            out.push(account(
                1,
                key(VALIDATOR, n),
                accounts::validator(n, &Balances::default()),
            ));
        }
        for n in 0..self.owners {
            out.push(account(
                1,
                key(VAULT, n),
                accounts::vault(n, &Balances::default()),
            ));
        }
    }

    fn act(&mut self, slot: u64, act: Act, n: usize, out: &mut Vec<Account>) {
        if let Act::Price(change) = act {
            out.extend(
                (0..MODELS).map(|n| account(slot, key(MODEL, n), accounts::model(n, change + 1))),
            );
            return;
        }
        out.extend(self.job(slot, act, n));
        let job = self.jobs[n].clone();
        match act {
            Act::Request => self.vault(slot, &job, out, |vault| vault.held += accounts::CEILING),
            Act::Accept | Act::Submit | Act::Price(_) => {}
            Act::Dispute => out.push(account(
                slot,
                key(CASE, n as u64),
                accounts::case(&job, false),
            )),
            Act::End => {
                self.vault(slot, &job, out, |vault| {
                    vault.held -= accounts::CEILING;
                    vault.spent += job.fee;
                });
                self.settle(slot, &job, out);
                if job.outcome == Outcome::Slashed {
                    out.push(account(
                        slot,
                        key(CASE, n as u64),
                        accounts::case(&job, true),
                    ));
                }
            }
        }
    }

    fn settle(&mut self, slot: u64, job: &Fact, out: &mut Vec<Account>) {
        if job.outcome == Outcome::Refunded {
            return;
        }
        let validator = self.validators.entry(job.validator).or_default();
        validator.seq += 1;
        validator.earned += job.validator_lamports();
        validator.settled += u64::from(job.outcome == Outcome::Settled);
        validator.slashed += if job.outcome == Outcome::Slashed {
            accounts::SLASH
        } else {
            0
        };
        out.push(account(
            slot,
            key(VALIDATOR, job.validator),
            accounts::validator(job.validator, validator),
        ));
        self.foundation.earned += job.foundation_lamports();
        self.foundation.settled += 1;
        if self.foundation.settled.is_multiple_of(50) {
            self.foundation.seq += 1;
            out.push(account(
                slot,
                key(TREASURY, 0),
                accounts::treasury(&self.foundation),
            ));
        }
    }

    fn vault(
        &mut self,
        slot: u64,
        job: &Fact,
        out: &mut Vec<Account>,
        change: impl FnOnce(&mut Balances),
    ) {
        let vault = self.vaults.entry(job.owner).or_default();
        vault.seq += 1;
        change(vault);
        out.push(account(
            slot,
            key(VAULT, job.owner),
            accounts::vault(job.owner, vault),
        ));
    }

    /// The job's account after what happened to it in a slot.
    fn job(&self, slot: u64, act: Act, n: usize) -> Option<Account> {
        let mut job = self.jobs.get(n)?.clone();
        let status = match (act, job.outcome) {
            (Act::Price(_), _) => return None,
            (Act::Request, _) => 1,
            (Act::Accept, _) => 2,
            (Act::Submit, _) => 3,
            (Act::Dispute, _) => 4,
            (Act::End, Outcome::Settled) => 5,
            (Act::End, Outcome::Refunded) => 6,
            (Act::End, Outcome::Slashed) => 7,
        };
        // On a fork it happens in the fork's slot.
        for at in [
            &mut job.requested,
            &mut job.accepted,
            &mut job.submitted,
            &mut job.disputed,
            &mut job.ended,
        ] {
            *at = match *at {
                at if at == slot + 1 && slot % FORK_EVERY == FORK_PLACE => slot,
                at if at > slot => 0,
                at => at,
            };
        }
        Some(account(slot, job.key, accounts::job(&job, status)))
    }
}

fn account(slot: u64, pubkey: Key, data: Vec<u8>) -> Account {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&pubkey);
    signature[32..40].copy_from_slice(&slot.to_le_bytes());
    Account {
        pubkey,
        owner: AI_PRECOMPILES_ID,
        lamports: 1_000_000,
        data: data.into(),
        signature: Some(signature),
        write_version: slot,
        slot,
    }
}
