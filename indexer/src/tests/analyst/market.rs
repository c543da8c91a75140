//! The leases of a made network: two a day, as facts and as what their accounts hold after each block.

use bytemuck::Zeroable;
use mythic_interface::COMPUTE_MARKET_ID;
use mythic_interface::le::Text;
use mythic_interface::market::params::{Grid, MarketParams};
use mythic_interface::market::state::{
    Class, CloseReason, EpochState, Lease, LeaseDispute, LeaseEpoch, LeaseStatus, MarketConfig,
    MarketTreasury, Provider, Request,
};
use mythic_interface::state::Key;

use super::world::key;
use crate::tests::chain::header;

pub const LEASES: u64 = 20;
pub const PROVIDERS: u64 = 3;
/// What an epoch costs, and how it is split.
pub const PRICE: u64 = 1_001;
pub const SHARES: (u64, u64, u64) = (500, 100, 401);
/// What a lease pays in: for twenty epochs.
pub const DEPOSIT: u64 = 20 * PRICE;
/// What a dispute puts at stake and loses.
pub const AT_STAKE: u64 = 70;

const PROVIDER: u8 = 20;
const AUTHORITY: u8 = 21;
const TENANT: u8 = 22;
const REQUEST: u8 = 23;
const LEASE: u8 = 24;
const DISPUTE: u8 = 25;
const CLASS: u8 = 26;
const CONFIG: u8 = 27;
const TREASURY: u8 = 28;
/// Slots of an epoch.
const EPOCH: u64 = 4;

/// A lease, as it ends. Slots are those of the finalized chain.
#[derive(Clone, Debug)]
pub struct Leased {
    pub n: u64,
    pub requested: u64,
    pub accepted: u64,
    pub started: u64,
    /// Of three proofs.
    pub proofs: [u64; 3],
    pub disputed: u64,
    pub resolved: u64,
    pub ended: u64,
    /// Everything that was pending is paid.
    pub released: u64,
}

impl Leased {
    pub fn provider(&self) -> u64 {
        self.n % PROVIDERS
    }

    pub fn authority(&self) -> Key {
        key(AUTHORITY, self.provider())
    }

    /// Epoch of the last proof by a slot, of the start before there is one.
    fn last_proved(&self, slot: u64) -> u64 {
        proofs(self, slot).last().unwrap_or(self.started) / EPOCH
    }

    /// Epochs that were missed by a slot: between proofs, and at the end since the last one.
    pub fn missed(&self, slot: u64) -> u64 {
        if slot < self.started {
            return 0;
        }
        let last = self.last_proved(slot);
        let silent = match slot >= self.ended {
            true => (self.ended / EPOCH).saturating_sub(last + 1),
            false => 0,
        };
        last - self.started / EPOCH - proofs(self, slot).count() as u64 + silent
    }

    fn slots(&self) -> [u64; 10] {
        let [first, second, third] = self.proofs;
        [
            self.requested,
            self.accepted,
            self.started,
            first,
            second,
            third,
            self.disputed,
            self.resolved,
            self.ended,
            self.released,
        ]
    }
}

/// The leases of a network of so many slots; `on_chain` is the next slot that is on the chain.
pub fn leases(slots: u64, on_chain: impl Fn(u64) -> u64) -> Vec<Leased> {
    let lease = |n| {
        let begin = 3 + n * (slots - 80) / LEASES;
        let at = |later| on_chain(begin + later);
        Leased {
            n,
            requested: at(0),
            accepted: at(2),
            started: at(4),
            proofs: [at(9), at(14), at(20)],
            disputed: at(21),
            resolved: at(23),
            ended: at(25),
            released: at(27),
        }
    };
    (0..LEASES).map(lease).collect()
}

/// The accounts that are written in a slot.
pub fn writes(leases: &[Leased], slot: u64) -> Vec<(Key, Vec<u8>)> {
    let mut out = Vec::new();
    if slot == 1 {
        out.push((key(CONFIG, 0), config()));
        out.push((key(CLASS, 0), class()));
        out.extend((0..PROVIDERS).map(|n| (key(PROVIDER, n), provider(leases, n, slot))));
    }
    for lease in leases.iter().filter(|lease| lease.slots().contains(&slot)) {
        if slot == lease.requested || slot == lease.accepted {
            out.push((key(REQUEST, lease.n), request(lease, slot)));
        }
        if slot == lease.disputed || slot == lease.resolved {
            out.push((key(DISPUTE, lease.n), dispute(lease, slot)));
        }
        if slot >= lease.accepted {
            out.push((key(LEASE, lease.n), state(lease, slot)));
            let of = lease.provider();
            out.push((key(PROVIDER, of), provider(leases, of, slot)));
        }
        if slot == lease.released {
            out.push((key(TREASURY, 0), treasury(leases, slot)));
        }
    }
    out
}

fn config() -> Vec<u8> {
    let mut config = MarketConfig::zeroed();
    config.header = header(MarketConfig::DISCRIMINATOR, 1, 1);
    config.grid = grid();
    config.params = MarketParams::dev();
    bytemuck::bytes_of(&config).to_vec()
}

fn grid() -> Grid {
    Grid {
        epoch_slots: (EPOCH as u32).into(),
        epoch_seconds: 60.into(),
    }
}

fn class() -> Vec<u8> {
    let mut class = Class::zeroed();
    class.header = header(Class::DISCRIMINATOR, 1, 1);
    class.name = Text::new("cpu").unwrap();
    class.probe.n = 512.into();
    class.probe.rounds = 8.into();
    class.registered_slot = 1.into();
    bytemuck::bytes_of(&class).to_vec()
}

/// Epochs of leases that are paid by a slot.
fn paid(leases: &[Leased], slot: u64) -> u64 {
    let done = leases.iter().filter(|lease| lease.released <= slot);
    done.count() as u64 * 3
}

fn treasury(leases: &[Leased], slot: u64) -> Vec<u8> {
    let mut treasury = MarketTreasury::zeroed();
    treasury.header = header(MarketTreasury::DISCRIMINATOR, 1, slot);
    treasury.balance = (paid(leases, slot) * SHARES.1).into();
    treasury.received = (paid(leases, slot) * SHARES.1).into();
    bytemuck::bytes_of(&treasury).to_vec()
}

fn provider(leases: &[Leased], n: u64, slot: u64) -> Vec<u8> {
    let of: Vec<Leased> = leases
        .iter()
        .filter(|lease| lease.provider() == n)
        .cloned()
        .collect();
    let mut provider = Provider::zeroed();
    provider.header = header(Provider::DISCRIMINATOR, 1, slot);
    provider.authority = key(AUTHORITY, n);
    provider.operator = key(AUTHORITY, n);
    provider.class = key(CLASS, 0);
    provider.stake = 1_000_000_000.into();
    provider.staked = 1_000_000_000.into();
    provider.units = 8.into();
    provider.price = 10.into();
    provider.region = Text::new("eu").unwrap();
    provider.endpoint = Text::new("http://127.0.0.1:8070").unwrap();
    provider.registered_slot = 1.into();
    let proved: usize = of.iter().map(|lease| proofs(lease, slot).count()).sum();
    let missed: u64 = of.iter().map(|lease| lease.missed(slot)).sum();
    let earned = paid(&of, slot) * SHARES.0;
    provider.proved = (proved as u64).into();
    provider.missed = missed.into();
    provider.earned = earned.into();
    provider.claimable = earned.into();
    provider.leases = (of.iter().filter(|lease| lease.accepted <= slot).count() as u64).into();
    bytemuck::bytes_of(&provider).to_vec()
}

fn proofs(lease: &Leased, slot: u64) -> impl Iterator<Item = u64> {
    lease.proofs.iter().copied().filter(move |at| *at <= slot)
}

fn request(lease: &Leased, slot: u64) -> Vec<u8> {
    let mut request = Request::zeroed();
    let taken = slot >= lease.accepted;
    request.header = header(Request::DISCRIMINATOR, 1 + u8::from(taken), slot);
    request.terms.tenant = key(TENANT, lease.n);
    request.terms.kind = 1;
    request.terms.model = key(super::world::MODEL, 0);
    request.terms.class = key(CLASS, 0);
    request.terms.units = 1;
    request.terms.price = 20.into();
    request.terms.seconds = 1_001.into();
    request.terms.rules = MarketParams::dev().rules;
    request.requested_slot = lease.requested.into();
    request.deadline_slot = (lease.requested + 100).into();
    if taken {
        request.ended_slot = lease.accepted.into();
    } else {
        request.escrow = DEPOSIT.into();
    }
    bytemuck::bytes_of(&request).to_vec()
}

fn state(of: &Leased, slot: u64) -> Vec<u8> {
    let mut lease = Lease::zeroed();
    let status = match slot {
        slot if slot >= of.ended => LeaseStatus::Ended,
        slot if slot >= of.started => LeaseStatus::Active,
        _ => LeaseStatus::Accepted,
    };
    lease.header = header(Lease::DISCRIMINATOR, status as u8, slot);
    lease.terms.request = key(REQUEST, of.n);
    lease.terms.tenant = key(TENANT, of.n);
    lease.terms.provider = of.authority();
    lease.terms.class = key(CLASS, 0);
    lease.terms.units = 1;
    lease.terms.price = 20.into();
    lease.terms.seconds = 1_001.into();
    lease.terms.grid = grid();
    lease.terms.rules = MarketParams::dev().rules;
    lease.accepted_slot = of.accepted.into();
    lease.deposited = DEPOSIT.into();
    let is_paid = slot >= of.released;
    let epochs = proofs(of, slot).count() as u64;
    for at in proofs(of, slot) {
        let entry = &mut lease.ring[Lease::place(at / EPOCH)];
        *entry = LeaseEpoch::zeroed();
        entry.epoch = (at / EPOCH).into();
        entry.hash = [1; 32];
        entry.proof = key(DISPUTE, at);
        entry.seconds = 50.into();
        entry.amount = PRICE.into();
        entry.slot = at.into();
        entry.state = match is_paid {
            true => EpochState::Released,
            false => EpochState::Pending,
        } as u8;
    }
    if slot >= of.started {
        lease.started_slot = of.started.into();
        lease.acknowledged_slot = of.started.into();
        lease.last_proved = of.last_proved(slot).into();
        lease.missed = of.missed(slot).into();
        lease.started_at = 1_767_300_000.into();
        lease.mark = (1_767_300_000 + 50 * epochs).into();
        lease.ends_at = 1_767_301_001.into();
    }
    if is_paid {
        lease.paid = (epochs * SHARES.0).into();
        lease.foundation = (epochs * SHARES.1).into();
        lease.burned = (epochs * SHARES.2).into();
    } else {
        lease.pending = (epochs * PRICE).into();
    }
    let rest = DEPOSIT - epochs * PRICE;
    if slot >= of.ended {
        lease.ended_slot = of.ended.into();
        lease.reason = CloseReason::ClosedByTenant as u8;
        lease.refunded = rest.into();
        lease.tenant_due = rest.into();
    } else {
        lease.escrow = rest.into();
    }
    bytemuck::bytes_of(&lease).to_vec()
}

/// Somebody says that the last proof is false, and is wrong.
fn dispute(of: &Leased, slot: u64) -> Vec<u8> {
    let mut dispute = LeaseDispute::zeroed();
    let resolved = slot >= of.resolved;
    dispute.header = header(
        LeaseDispute::DISCRIMINATOR,
        if resolved { 3 } else { 1 },
        slot,
    );
    dispute.lease = key(LEASE, of.n);
    dispute.epoch = (of.proofs[2] / EPOCH).into();
    dispute.disputer = key(TENANT, of.n);
    dispute.provider = of.authority();
    dispute.proof = key(DISPUTE, of.proofs[2]);
    dispute.count = 1;
    dispute.fee = 30.into();
    dispute.at_stake = AT_STAKE.into();
    dispute.opened_slot = of.disputed.into();
    dispute.openings_end = (of.disputed + 50).into();
    if resolved {
        dispute.opened = 1;
        dispute.end = 1;
        dispute.resolved_slot = of.resolved.into();
        dispute.paid = 30.into();
        dispute.burned = AT_STAKE.into();
    } else {
        dispute.held = (30 + AT_STAKE).into();
    }
    bytemuck::bytes_of(&dispute).to_vec()
}

/// The program whose accounts these are.
pub const PROGRAM: Key = COMPUTE_MARKET_ID;
