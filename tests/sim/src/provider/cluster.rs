//! The chain of a schedule: the market's own program in slots of 400 ms, with forks that die, halts, skipped slots and a clock that leaps;
//! and what it shows at each commitment.

use std::collections::BTreeMap;
use std::rc::Rc;

use mythic_client::Commitment;
use mythic_interface::hash::Hash;
use mythic_interface::market::params::MarketParams;
use mythic_interface::market::state::{Lease, LeaseDispute, Provider, Request};
use mythic_program_tests::keys::operator;
use mythic_program_tests::market::calls::{self, GRID};
use mythic_program_tests::market::world::Market;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use crate::rng::Rng;

/// Milliseconds of a slot.
pub const SLOT_MS: u64 = 400;
/// Slots that a request's nonce lives.
pub const NONCE_SLOTS: u32 = 400;
/// Slots from a request to its deadline.
pub const DEADLINE_SLOTS: u32 = 100;
/// The provider whose process is killed.
pub const OURS: &str = "p1";
/// Another one, which takes requests before it.
pub const RIVAL: &str = "p2";
/// The class of both.
pub const CLASS: &str = "small";
/// Slots behind the newest one until a slot is confirmed, and until it is final.
const CONFIRMED: u64 = 2;
const FINAL: u64 = 32;
/// Slots below the final ones of which it is known what they showed.
const SHOWN: u64 = 200;
/// Of a hundred slots.
const SKIPPED: usize = 4;

/// A development network's rules, with accounts that are closed soon.
pub fn params() -> MarketParams {
    let mut params = MarketParams::dev();
    params.max_nonce_life_slots.set(NONCE_SLOTS);
    params.rules.close_delay_slots.set(NONCE_SLOTS + 1);
    params
}

/// What there is in a slot.
#[derive(Clone, Debug)]
pub struct Sight {
    pub leases: BTreeMap<Pubkey, Lease>,
    pub requests: BTreeMap<Pubkey, Request>,
    pub disputes: BTreeMap<Pubkey, LeaseDispute>,
    pub provider: Provider,
    /// Lamports of its operator.
    pub operator: u64,
}

/// The branch that lives on when the newest one dies.
struct Fork {
    /// The last slot of both.
    from: u64,
    /// Slot in which the newest branch dies.
    until: u64,
    other: Market,
    /// What the branch that dies has taken.
    landed: Vec<Instruction>,
}

pub struct Cluster {
    market: Market,
    /// The newest slot.
    head: u64,
    /// Milliseconds of the next slot that are over.
    part_ms: u64,
    /// Milliseconds by which its clock is behind everybody's.
    behind_ms: u64,
    /// What there was after each instruction, and in which slot.
    sights: Vec<(u64, Rc<Sight>)>,
    fork: Option<Fork>,
    /// Slots until it dies of a branch that begins with the next slot.
    splits: Option<u64>,
    forks: u64,
    /// Instructions that the program took, and refused.
    pub taken: usize,
    pub refused: usize,
}

impl Cluster {
    /// A market with two providers, at the beginning of epoch 10.
    pub fn begin() -> Self {
        let mut market = Market::bare();
        let chain = &mut market.chain;
        chain.must(calls::initialize(GRID, &params()));
        chain.must(calls::register_class(CLASS, calls::probe(32, 2)));
        for name in [OURS, RIVAL] {
            let said = calls::registration(name);
            chain.must(calls::register_provider(name, CLASS, &said));
        }
        chain.warp_to(u64::from(10 * GRID.epoch_slots.get()) + 5);
        let head = chain.slot();
        let mut cluster = Self {
            market,
            head,
            part_ms: 0,
            behind_ms: 0,
            sights: Vec::new(),
            fork: None,
            splits: None,
            forks: 0,
            taken: 0,
            refused: 0,
        };
        cluster.look();
        cluster
    }

    /// Second of its clock (Unix).
    pub fn second(&self) -> u64 {
        self.market.chain.second()
    }

    /// Time passes; what a branch that died has taken along is handed back.
    pub fn pass(&mut self, ms: u64, halted: bool, rng: &mut Rng) -> Vec<Instruction> {
        if halted {
            self.behind_ms += ms;
            return Vec::new();
        }
        self.part_ms += ms;
        while self.part_ms >= SLOT_MS {
            self.part_ms -= SLOT_MS;
            self.head += 1;
            if let Some(slots) = self.splits.take() {
                self.branch(slots);
            }
            if rng.percent(SKIPPED) {
                self.market.chain.skip([self.head]);
            }
        }
        // Validators agree on the time again some while after a halt.
        if self.behind_ms >= 1_000 && rng.percent(5) {
            let seconds = self.behind_ms / 1_000;
            self.behind_ms %= 1_000;
            self.leap(seconds);
        }
        self.die()
    }

    /// The clock leaps ahead.
    pub fn leap(&mut self, seconds: u64) {
        self.market.chain.wait(seconds);
        if let Some(fork) = &mut self.fork {
            fork.other.chain.wait(seconds);
        }
    }

    /// From the next slot on the newest branch is one that dies in so many slots, if none is already.
    pub fn split(&mut self, slots: u64) {
        if self.fork.is_none() {
            self.splits = Some(slots);
        }
    }

    fn branch(&mut self, slots: u64) {
        self.forks += 1;
        let mut other = self.market.clone();
        other.chain.fork_from(self.head, self.forks);
        self.fork = Some(Fork {
            from: self.head - 1,
            until: self.head + slots,
            other,
            landed: Vec::new(),
        });
    }

    fn die(&mut self) -> Vec<Instruction> {
        let head = self.head;
        let Some(fork) = self.fork.take_if(|fork| head >= fork.until) else {
            return Vec::new();
        };
        self.market = fork.other;
        self.sights.retain(|(slot, _)| *slot <= fork.from);
        self.look();
        fork.landed
    }

    /// Runs an instruction in the newest slot; whether the program took it.
    ///
    /// # Panics
    /// If an invariant of the market is broken.
    pub fn land(&mut self, call: &Instruction) -> bool {
        if self.market.chain.slot() < self.head {
            self.market.chain.warp_to(self.head);
        }
        let sent = self.market.chain.send(std::slice::from_ref(call));
        match sent {
            Ok(_) => {
                self.taken += 1;
                if let Some(fork) = &mut self.fork {
                    fork.landed.push(call.clone());
                }
                self.look();
                true
            }
            Err(_) => {
                self.refused += 1;
                false
            }
        }
    }

    /// Notes what there is now.
    fn look(&mut self) {
        let chain = &self.market.chain;
        let state = chain.state();
        let provider = state.get::<Provider>(&calls::provider(OURS));
        let sight = Sight {
            leases: state
                .all::<Lease>()
                .map(|(address, lease)| (Pubkey::from(*address), *lease))
                .collect(),
            requests: state
                .all::<Request>()
                .map(|(address, request)| (Pubkey::from(*address), *request))
                .collect(),
            disputes: state
                .all::<LeaseDispute>()
                .map(|(address, dispute)| (Pubkey::from(*address), *dispute))
                .collect(),
            provider: *provider.expect("a provider that never leaves"),
            operator: chain.lamports(&operator(OURS)),
        };
        self.sights.push((self.head, Rc::new(sight)));
        let oldest = self.slot(Commitment::Finalized).saturating_sub(SHOWN);
        while self.sights.get(1).is_some_and(|(slot, _)| *slot <= oldest) {
            self.sights.remove(0);
        }
    }

    /// The newest slot of a commitment.
    pub fn slot(&self, held: Commitment) -> u64 {
        let behind = |slots: u64| {
            let slot = self.head.saturating_sub(slots);
            self.fork.as_ref().map_or(slot, |fork| slot.min(fork.from))
        };
        match held {
            Commitment::Processed => self.head,
            Commitment::Confirmed => behind(CONFIRMED),
            Commitment::Finalized => behind(FINAL),
        }
    }

    /// What there was in a slot.
    pub fn at(&self, slot: u64) -> Rc<Sight> {
        let shown = self.sights.iter().rev().find(|(from, _)| *from <= slot);
        let (_, sight) = shown.unwrap_or(&self.sights[0]);
        Rc::clone(sight)
    }

    /// What there is in the newest slot of a commitment.
    pub fn newest(&self, held: Commitment) -> Rc<Sight> {
        self.at(self.slot(held))
    }

    /// What became final behind a slot, step by step.
    pub fn finalized_since(&self, slot: u64) -> Vec<(u64, Rc<Sight>)> {
        let last = self.slot(Commitment::Finalized);
        let new = |(from, _): &&(u64, Rc<Sight>)| *from > slot && *from <= last;
        self.sights.iter().filter(new).cloned().collect()
    }

    /// The first slot from one on that was not skipped, and its hash, on the newest branch.
    pub fn first_from(&self, slot: u64) -> (u64, Hash) {
        self.market.chain.first_from(slot)
    }
}
