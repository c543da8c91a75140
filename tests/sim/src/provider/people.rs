//! Tenants, a provider that takes requests before ours does, a stranger that ends what is silent, and a settler. They see the chain as it
//! is.

use mythic_client::Commitment;
use mythic_interface::le::{U32, U64};
use mythic_interface::market::due::{self, DisputeStep};
use mythic_interface::market::ix::{self, RequestCompute};
use mythic_interface::market::state::{
    CloseReason, Lease, LeaseEpoch, LeaseKind, LeaseStatus, NamedElement, Request, RequestStatus,
};
use mythic_interface::market::{address, params::TOP_UP_SECONDS};
use mythic_interface::state::NO_KEY;
use mythic_interface::window;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls;
use mythic_program_tests::market::world::element;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::bench::{is_open, is_ours};
use super::cluster::{CLASS, DEADLINE_SLOTS, NONCE_SLOTS, OURS, RIVAL, Sight, params};
use super::outside::Outside;
use super::schedule::{Deed, Schedule, Tenancy};

/// How often somebody looks, and does again what the chain does not show.
const LOOK_MS: u64 = 1_000;
const AGAIN_MS: u64 = 5_000;

/// What a tenant asked for.
struct Asked {
    call: Instruction,
    request: Pubkey,
    lease: Pubkey,
    /// Last slot in which it can be asked.
    expiry: u64,
}

struct Tenant {
    plan: Tenancy,
    /// Tells its request from others.
    number: u64,
    asked: Option<Asked>,
    /// Milliseconds at which it was first seen started, and acknowledged.
    started: Option<u64>,
    active: Option<u64>,
    /// Nothing is sent before.
    next: u64,
}

pub struct People {
    tenants: Vec<Tenant>,
    stranger: bool,
    /// Somebody settles leases that their provider has lost.
    settler: bool,
    next_look: u64,
}

impl People {
    pub fn new(schedule: &Schedule) -> Self {
        let tenant = |(number, plan): (usize, &Tenancy)| Tenant {
            plan: plan.clone(),
            number: number as u64,
            asked: None,
            started: None,
            active: None,
            next: 0,
        };
        Self {
            tenants: schedule.tenancies.iter().enumerate().map(tenant).collect(),
            stranger: schedule.stranger,
            settler: schedule.loses(),
            next_look: 0,
        }
    }

    /// Whether nobody waits for anything but leases.
    pub fn are_done(&self, out: &Outside) -> bool {
        let sight = out.cluster.newest(Commitment::Finalized);
        let slot = out.cluster.slot(Commitment::Finalized);
        self.tenants.iter().all(|tenant| {
            let Some(asked) = &tenant.asked else {
                return false;
            };
            match sight.requests.get(&asked.request) {
                Some(state) => state.header.status != RequestStatus::Open as u8,
                None => slot > asked.expiry,
            }
        })
    }

    pub fn tick(&mut self, out: &mut Outside) {
        if out.now < self.next_look {
            return;
        }
        self.next_look = out.now + LOOK_MS;
        let sight = out.cluster.newest(Commitment::Processed);
        for tenant in &mut self.tenants {
            if out.now < tenant.next || out.now < tenant.plan.at {
                continue;
            }
            if let Some(call) = tenant.wants(&sight, out) {
                tenant.next = out.now + AGAIN_MS;
                out.post(call);
            }
        }
        let slot = out.cluster.slot(Commitment::Processed);
        for (dispute, state) in sight.disputes.iter().filter(|(_, state)| is_open(state)) {
            if slot >= state.openings_end.get() && out.rng.percent(20) {
                out.post(ix::resolve_lease_dispute(dispute, state));
            }
        }
        if self.settler && out.rng.percent(20) {
            let ended =
                |state: &Lease| is_ours(state) && state.status() == Some(LeaseStatus::Ended);
            for (lease, state) in sight.leases.iter().filter(|(_, state)| ended(state)) {
                out.post(match state.pending.get() {
                    0 => ix::close_lease_account(lease, state),
                    _ => ix::verify_and_release(lease, state),
                });
            }
        }
        if out.rng.percent(20) {
            for call in closable(&sight, slot) {
                out.post(call);
            }
        }
        if self.stranger && out.rng.percent(10) {
            let second = out.cluster.second();
            for (lease, state) in &sight.leases {
                let silent = state.meter().silent(second, slot);
                if is_running(state) && silent >= state.terms.rules.max_missed.get().into() {
                    let reason = CloseReason::MissedProofs;
                    out.post(ix::close_lease(
                        key("stranger"),
                        lease,
                        state,
                        reason,
                        false,
                    ));
                }
            }
        }
    }
}

/// Closes what nobody needs any more: requests, decided disputes, leases of the rival.
fn closable(sight: &Sight, slot: u64) -> Vec<Instruction> {
    let is_due = |end: Option<u64>| end.is_some_and(|end| !window::open(slot, end));
    let mut calls = Vec::new();
    for (lease, state) in &sight.leases {
        if !is_ours(state) && is_due(due::account_end(state)) {
            calls.push(ix::close_lease_account(lease, state));
        }
    }
    for (request, state) in &sight.requests {
        let is_open = state.header.status == RequestStatus::Open as u8;
        let has_lease = sight.leases.contains_key(&address::lease(request));
        if !is_open && !has_lease && is_due(due::request_slot(state)) {
            calls.push(ix::close_request(request, state));
        }
    }
    for (dispute, state) in &sight.disputes {
        let lease = sight.leases.get(&Pubkey::new_from_array(state.lease));
        if DisputeStep::of(state, lease, slot) == DisputeStep::Collect {
            calls.push(ix::close_lease_dispute(dispute, state));
        }
    }
    calls
}

fn is_running(state: &Lease) -> bool {
    matches!(
        state.status(),
        Some(LeaseStatus::Active | LeaseStatus::Closing)
    )
}

impl Tenant {
    /// What it does next, if anything.
    fn wants(&mut self, sight: &Sight, out: &mut Outside) -> Option<Instruction> {
        let slot = out.cluster.slot(Commitment::Processed);
        let asked = match &self.asked {
            Some(asked) => asked,
            None => {
                let asked = self.ask(slot);
                out.sources.insert(asked.request, self.plan.source);
                let call = asked.call.clone();
                self.asked = Some(asked);
                return Some(call);
            }
        };
        let (request, lease) = (asked.request, asked.lease);
        let Some(state) = sight.requests.get(&request) else {
            // It did not land, or its fork died.
            return (slot <= asked.expiry).then(|| asked.call.clone());
        };
        if state.header.status == RequestStatus::Open as u8 {
            return self.waits(&request, state, slot, out);
        }
        let state = sight.leases.get(&lease)?;
        self.uses(&lease, state, out)
    }

    fn ask(&self, slot: u64) -> Asked {
        let plan = &self.plan;
        let expiry = slot + u64::from(NONCE_SLOTS) - 100;
        let nonce = window::nonce(expiry, self.number.to_le_bytes());
        let args = RequestCompute {
            kind: match plan.container {
                true => LeaseKind::Container as u8,
                false => LeaseKind::Endpoint as u8,
            },
            model: match plan.container {
                true => NO_KEY,
                false => [9; 32],
            },
            units: plan.units,
            provider: match plan.named {
                true => key(OURS),
                false => [0; 32],
            },
            price: U64::new(calls::PRICE),
            seconds: U32::new(plan.seconds),
            deadline_slots: U32::new(DEADLINE_SLOTS),
            ..calls::asking(nonce, params().rules.hash())
        };
        let tenant = key(plan.tenant);
        let request = address::request(tenant, &nonce);
        Asked {
            call: ix::request_compute(tenant, tenant, calls::class(CLASS), &args),
            request,
            lease: address::lease(request),
            expiry,
        }
    }

    /// Its request is open.
    fn waits(
        &self,
        request: &Pubkey,
        state: &Request,
        slot: u64,
        out: &Outside,
    ) -> Option<Instruction> {
        if slot >= state.deadline_slot.get() {
            return Some(ix::expire_request(request, state));
        }
        let rival = self.plan.rival_ms?;
        let goes = out.now >= self.plan.at + rival;
        goes.then(|| ix::accept_job(operator(RIVAL), key(RIVAL), request, state))
    }

    /// Its request was taken.
    fn uses(&mut self, lease: &Pubkey, state: &Lease, out: &Outside) -> Option<Instruction> {
        let tenant = key(self.plan.tenant);
        let close = || {
            let reason = CloseReason::ClosedByTenant;
            ix::close_lease(tenant, lease, state, reason, false)
        };
        if !is_ours(state) {
            // The rival does nothing but take it.
            return (state.status() == Some(LeaseStatus::Accepted)).then(close);
        }
        match state.status()? {
            LeaseStatus::Accepted | LeaseStatus::Ended => None,
            LeaseStatus::Started => {
                let started = *self.started.get_or_insert(out.now);
                let waits = self.plan.acknowledges_ms?;
                let goes = out.now >= started + waits;
                goes.then(|| ix::acknowledge_start(lease, state))
            }
            LeaseStatus::Active | LeaseStatus::Closing => {
                let active = *self.active.get_or_insert(out.now);
                let is_due = |(after, _): &(u64, Deed)| out.now >= active + after;
                let at = self.plan.deeds.iter().position(is_due)?;
                let (_, deed) = self.plan.deeds.remove(at);
                match deed {
                    Deed::Close => {
                        // Until it is over.
                        self.plan.deeds.push((0, Deed::Close));
                        Some(close())
                    }
                    Deed::TopUp(seconds) => {
                        let left = state.ends_at.get().saturating_sub(out.second());
                        let goes = left > TOP_UP_SECONDS;
                        goes.then(|| ix::top_up(tenant, lease, state, seconds))
                    }
                    Deed::Unserved => {
                        let pending = state.ring.iter().filter(|entry| entry.is_pending());
                        let newest = pending.max_by_key(|entry| entry.epoch)?;
                        Some(ix::unserved_lease(tenant, (lease, state), newest))
                    }
                    Deed::Refute(more) => {
                        let proved =
                            |entry: &&LeaseEpoch| entry.is_pending() && entry.proof != NO_KEY;
                        let newest = state.ring.iter().filter(proved);
                        let newest = newest.max_by_key(|entry| entry.epoch)?;
                        let rows = 0..=u32::from(more);
                        let named = rows.map(|row| element(0, row % 2, row, 7));
                        let mut named: Vec<NamedElement> = named.collect();
                        named.sort_by_key(NamedElement::key);
                        let watcher = key("watcher");
                        let about = (lease, state);
                        Some(ix::refute_lease(
                            watcher,
                            watcher,
                            about,
                            newest,
                            &named,
                            u64::MAX,
                        ))
                    }
                    Deed::Notice => {
                        let reason = CloseReason::ClosedByProvider;
                        let goes = state.status() == Some(LeaseStatus::Active);
                        goes.then(|| ix::close_lease(operator(OURS), lease, state, reason, false))
                    }
                }
            }
        }
    }
}
