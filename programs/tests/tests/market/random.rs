//! Random instructions by many tenants, providers and disputers, some of them malformed: whatever happens, the invariants hold after
//! each (the harness checks), refusals are the program's own, the rules that clients go by say the same, and in the end nobody's money
//! is stuck.

use std::collections::BTreeMap;

use mythic_interface::le::{U16, U32, U64};
use mythic_interface::market::due::{self, DisputeStep, Moment};
use mythic_interface::market::ix::{self, ALL, RequestCompute, Tag, UpdateProvider};
use mythic_interface::market::probe::WholeProof;
use mythic_interface::market::state::*;
use mythic_interface::state::Key;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::draw::Draw;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls::{self, NONE, PRICE};
use mythic_program_tests::market::world::{Market, element, params};
use proptest::test_runner::{Config as Runs, TestCaseError, TestRunner};
use solana_instruction::Instruction as Call;
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;

const TENANTS: [&str; 3] = ["alice", "bob", "carol"];
const PROVIDERS: [&str; 3] = ["p1", "p2", "p3"];
/// Tenants and providers dispute too, so that roles mix.
const DISPUTERS: [&str; 4] = ["watcher", "friend", "alice", "p2"];

struct Simulation {
    market: Market,
    requests: Vec<Key>,
    disputes: Vec<Key>,
    /// The true proofs that were submitted, or nearly: of each the lease and the epoch.
    proofs: BTreeMap<(Key, u64), WholeProof>,
    succeeded: BTreeMap<u8, u64>,
}

fn provider_of(lease: &Lease) -> &'static str {
    let named = |name: &&str| key(name) == lease.terms.provider;
    PROVIDERS.into_iter().find(named).expect("one of ours")
}

impl Simulation {
    fn step(&mut self, seed: u64) -> Result<(), TestCaseError> {
        let mut d = Draw(seed);
        if d.chance(7) {
            self.go_on(&mut d);
            return Ok(());
        }
        let Some(mut call) = self.call(&mut d) else {
            return Ok(());
        };
        let tampered = d.chance(10);
        if tampered {
            self.tamper(&mut call, &mut d);
        }
        let Some(tag) = call.data.first().copied() else {
            return Ok(());
        };
        let said = (!tampered).then(|| self.said(&call)).flatten();
        let outcome = self.market.chain.send(std::slice::from_ref(&call));
        if said.is_some_and(|goes| goes != outcome.is_ok()) {
            let text = format!(
                "of {:?} the rules say {said:?}: {outcome:?}",
                Tag::from_u8(tag)
            );
            return Err(TestCaseError::fail(text));
        }
        match outcome {
            Ok(_) => {
                *self.succeeded.entry(tag).or_default() += 1;
                if tag == Tag::RequestCompute as u8 {
                    self.requests.push(call.accounts[4].pubkey.to_bytes());
                }
                if tag == Tag::DisputeLease as u8 && call.accounts[4].pubkey != Pubkey::from(NONE) {
                    self.disputes.push(call.accounts[4].pubkey.to_bytes());
                }
            }
            Err(refusal) => {
                let aborted = matches!(
                    refusal.error,
                    TransactionError::InstructionError(
                        _,
                        InstructionError::ProgramFailedToComplete
                    )
                );
                // A tampered call may have set a price or a fee that nobody can pay: then the system program refuses.
                let unpayable = TransactionError::InstructionError(0, InstructionError::Custom(1));
                let own = refusal.mythic().is_some() || refusal.error == unpayable;
                if aborted || !(own || tampered) {
                    let text = format!(
                        "{:?} fails with {:?}\n{}",
                        Tag::from_u8(tag),
                        refusal.error,
                        refusal.logs.join("\n")
                    );
                    return Err(TestCaseError::fail(text));
                }
            }
        }
        Ok(())
    }

    /// Whether a call that anyone may send goes through, as the rules for clients say; `None` where they leave it open.
    fn said(&self, call: &Call) -> Option<bool> {
        let at = |place: usize| call.accounts[place].pubkey.to_bytes();
        let chain = &self.market.chain;
        let now = Moment {
            slot: chain.slot(),
            second: chain.second(),
        };
        let reached = |slot: Option<u64>| slot.is_some_and(|slot| slot <= now.slot);
        // A list of what is due by its slot, or by the second of its end, leaves nothing out.
        let of_lease = |address: Key, goes: &dyn Fn(&Lease) -> bool| {
            let lease = self.market.lease(&address);
            let over = lease.started_slot.get() != 0 && now.second >= lease.ends_at.get();
            let goes = goes(&lease);
            assert!(!goes || over || reached(due::lease_slot(&lease)));
            Some(goes)
        };
        let of_dispute = |address: Key, step: DisputeStep| {
            let dispute = self.market.dispute(&address);
            let lease = self.exists(&dispute.lease);
            let lease = lease.then(|| self.market.lease(&dispute.lease));
            let goes = DisputeStep::of(&dispute, lease.as_ref(), now.slot) == step;
            let convicted = lease.is_some_and(|lease| lease.refuted_slot.get() != 0);
            assert!(!goes || convicted || reached(due::dispute_slot(&dispute)));
            Some(goes)
        };
        let of_request = |address: Key, open: bool| {
            let request = self.market.request(&address);
            let is_open = request.header.status == RequestStatus::Open as u8;
            let kept = !open && self.exists(&calls::lease(&address));
            Some(is_open == open && !kept && reached(due::request_slot(&request)))
        };
        match Tag::from_u8(*call.data.first()?)? {
            Tag::CloseLease if at(0) == key("stranger") => {
                let lease = self.market.lease(&at(2));
                let reason = due::close_reason(&lease, now);
                // Where another is given too, the rules name the one that anyone should take.
                let named = reason.is_none_or(|reason| reason as u8 == call.data[33]);
                named.then(|| of_lease(at(2), &|_| reason.is_some()))?
            }
            Tag::VerifyAndRelease => of_lease(at(1), &|lease| {
                due::releasable(lease, now.slot).next().is_some()
            }),
            Tag::WithdrawLease => of_lease(at(0), &|lease| lease.tenant_due.get() > 0),
            Tag::CloseLeaseAccount => of_lease(at(0), &|lease| reached(due::account_end(lease))),
            Tag::ResolveLeaseDispute => of_dispute(at(2), DisputeStep::Resolve),
            Tag::CloseLeaseDispute => of_dispute(at(0), DisputeStep::Collect),
            Tag::ExpireRequest => of_request(at(0), true),
            Tag::CloseRequest => of_request(at(0), false),
            _ => None,
        }
    }

    /// Time goes on: by slots, to the next epoch, and now and then the clock runs ahead.
    fn go_on(&mut self, d: &mut Draw) {
        match d.below(20) {
            0..7 => {
                let next = self.market.epoch() + 1;
                self.market.enter(next);
            }
            7..16 => self.market.chain.advance(d.pick(&[1, 5, 10, 45])),
            16..18 => self
                .market
                .chain
                .advance(d.pick(&[50, 100, 150, 950, 2_250])),
            _ => self.market.chain.wait(d.pick(&[1, 20, 90, 600])),
        }
    }

    /// Another account somewhere, a flag dropped, or a byte of the data changed.
    fn tamper(&self, call: &mut Call, d: &mut Draw) {
        let at = d.below(call.accounts.len() as u64) as usize;
        match d.below(3) {
            0 => {
                let mut others = vec![
                    calls::config(),
                    calls::treasury(),
                    calls::class("cpu"),
                    key("stranger"),
                    NONE,
                ];
                others.extend(PROVIDERS.map(calls::provider));
                others.extend(&self.requests);
                others.extend(self.requests.iter().map(calls::lease));
                others.extend(&self.disputes);
                call.accounts[at].pubkey = Pubkey::from(d.pick(&others));
            }
            1 => match d.chance(2) {
                true => call.accounts[at].is_signer = false,
                false => call.accounts[at].is_writable = false,
            },
            _ => {
                let byte = d.below(call.data.len() as u64) as usize;
                call.data[byte] ^= 1 << d.below(8);
            }
        }
    }

    fn exists(&self, address: &Key) -> bool {
        self.market.chain.account(address).is_some()
    }

    /// One of the latest addresses that still have an account.
    fn alive(&self, all: &[Key], d: &mut Draw) -> Option<Key> {
        let alive: Vec<Key> = all
            .iter()
            .rev()
            .filter(|a| self.exists(a))
            .take(8)
            .copied()
            .collect();
        (!alive.is_empty()).then(|| d.pick(&alive))
    }

    fn request(&mut self, d: &mut Draw) -> Call {
        let tenant = d.pick(&TENANTS);
        let mut args = RequestCompute {
            units: d.pick(&[1, 1, 2, 4]),
            seconds: U32::new(d.pick(&[61, 101, 200, 600, 3_000])),
            price: U64::new(d.pick(&[PRICE, 2 * PRICE, 2 * PRICE])),
            isolation: d.pick(&[0, 0, 0, 0, 0, 1, 1, 2]),
            deadline_slots: U32::new(d.pick(&[1, 100, 1_500, 1_500])),
            ..self.market.asking()
        };
        if d.chance(3) {
            let name = d.pick(&PROVIDERS);
            args.provider = key(name);
            if self.exists(&calls::provider(name)) {
                args.price = self.market.provider(name).price;
            }
        }
        let payer = key(d.pick(&["payer", tenant]));
        ix::request_compute(payer, key(tenant), calls::class("small"), &args)
    }

    /// An instruction about some request.
    fn about_a_request(&mut self, d: &mut Draw) -> Option<Call> {
        // Mostly one that is open.
        let over = d.chance(3);
        let open = |address: &&Key| {
            let status = self.market.request(address).header.status;
            over || status == RequestStatus::Open as u8
        };
        let some: Vec<Key> = self
            .left(&self.requests)
            .iter()
            .filter(open)
            .copied()
            .collect();
        let address = self.alive(&some, d)?;
        let state = self.market.request(&address);
        if state.header.status != RequestStatus::Open as u8 && !d.chance(3) {
            return Some(ix::close_request(address, &state));
        }
        Some(match d.below(12) {
            0..9 => {
                let named = |name: &&str| key(name) == state.terms.provider;
                let name = PROVIDERS.into_iter().find(named);
                let name = name.unwrap_or(d.pick(&PROVIDERS));
                ix::accept_job(operator(name), key(name), address, &state)
            }
            9 => ix::cancel_request(state.terms.tenant, address),
            10 => ix::expire_request(address, &state),
            _ => ix::close_request(address, &state),
        })
    }

    /// An instruction about some lease: mostly what may come next, now and then anything.
    fn about_a_lease(&mut self, d: &mut Draw) -> Option<Call> {
        let leases: Vec<Key> = self.requests.iter().map(calls::lease).collect();
        let address = self.alive(&leases, d)?;
        let state = self.market.lease(&address);
        let next: &[u64] = match state.status()? {
            LeaseStatus::Accepted => &[0, 0, 0, 0, 5],
            LeaseStatus::Started => &[1, 1, 1, 1, 1, 1, 2, 4, 5],
            LeaseStatus::Active | LeaseStatus::Closing => &[2, 2, 2, 2, 2, 2, 3, 4, 5, 8, 8, 8, 9],
            LeaseStatus::Ended => &[3, 6, 7, 8, 9],
        };
        let kind = match d.chance(6) {
            true => d.below(10),
            false => d.pick(next),
        };
        let name = provider_of(&state);
        Some(match kind {
            0 => self.market.start(&address),
            1 => self.market.acknowledgement(&address),
            2 => {
                let root = match d.chance(3) {
                    true => [1 + d.below(255) as u8; 32],
                    false => {
                        let proof = self.market.whole_proof(&address);
                        let about = (address, self.market.epoch());
                        self.proofs.entry(about).or_insert(proof).root()
                    }
                };
                self.market.proof_of(&address, root)
            }
            3 => self.market.release(&address),
            4 => ix::top_up(
                key(d.pick(&TENANTS)),
                address,
                &state,
                d.pick(&[1, 60, 600]),
            ),
            5 => {
                let reason = d.pick(&[
                    CloseReason::Completed,
                    CloseReason::ClosedByTenant,
                    CloseReason::ClosedByProvider,
                    CloseReason::ClosedByProvider,
                    CloseReason::NeverStarted,
                    CloseReason::NeverAcknowledged,
                    CloseReason::MissedProofs,
                    CloseReason::ProofRefuted,
                ]);
                let closer = match reason {
                    CloseReason::ClosedByTenant => state.terms.tenant,
                    CloseReason::ClosedByProvider => d.pick(&[key(name), operator(name)]),
                    _ => key("stranger"),
                };
                self.market.closing(closer, &address, reason, d.chance(2))
            }
            6 => self.market.withdrawal(&address),
            7 => self.market.account_closing(&address),
            _ => return self.dispute(d, &address, &state, kind == 8),
        })
    }

    /// Somebody disputes one of a lease's latest epochs.
    fn dispute(&self, d: &mut Draw, address: &Key, lease: &Lease, refute: bool) -> Option<Call> {
        let mut entries: Vec<&LeaseEpoch> = lease.ring.iter().filter(|e| e.state != 0).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.epoch));
        entries.truncate(3);
        let entry = d.pick(&(!entries.is_empty()).then_some(entries)?);
        if !refute {
            return Some(ix::unserved_lease(
                lease.terms.tenant,
                (address, lease),
                entry,
            ));
        }
        let units = u64::from(lease.terms.units);
        let mut named: Vec<NamedElement> = (0..1 + d.below(4))
            .map(|_| {
                element(
                    d.below(units) as u8,
                    d.below(2) as u32,
                    d.below(32) as u32,
                    7,
                )
            })
            .collect();
        named.sort_by_key(NamedElement::key);
        let disputer = key(d.pick(&DISPUTERS));
        Some(ix::refute_lease(
            disputer,
            disputer,
            (address, lease),
            entry,
            &named,
            d.pick(&[u64::MAX, u64::MAX, u64::MAX, PRICE]),
        ))
    }

    /// The next step of some dispute; only who has the true proof can answer.
    fn about_a_dispute(&mut self, d: &mut Draw) -> Option<Call> {
        let address = self.alive(&self.disputes.clone(), d)?;
        let state = self.market.dispute(&address);
        let known = self.proofs.get(&(state.lease, state.epoch.get()));
        if state.header.status == LeaseDisputeStatus::Open as u8 && !d.chance(4) {
            let proof = known.filter(|proof| proof.root() == state.proof)?;
            let answers = self.market.answers(&address, proof);
            return Some(answers[d.below(answers.len() as u64) as usize].clone());
        }
        Some(match d.chance(3) {
            true => self.market.dispute_closing(&address),
            false => self.market.resolution(&address),
        })
    }

    fn about_a_provider(&mut self, d: &mut Draw) -> Call {
        let name = d.pick(&PROVIDERS);
        let authority = key(name);
        match d.below(14) {
            0..2 => {
                let mut said = calls::registration(name);
                said.stake = U64::new(d.pick(&[SOL, 3 * SOL]));
                calls::register_provider(name, "small", &said)
            }
            2 => {
                let said = UpdateProvider {
                    units: U16::new(d.pick(&[1, 4, 8, 30])),
                    price: U64::new(d.pick(&[PRICE, PRICE, PRICE + 1, 2 * PRICE])),
                    ..calls::profile(name)
                };
                calls::update_provider(name, &said)
            }
            3 => calls::add_stake(key("payer"), authority, d.pick(&[1, SOL / 10, SOL])),
            4 => calls::request_unstake(authority, d.pick(&[1, SOL / 2, SOL, 2 * SOL])),
            5 => calls::withdraw_stake(authority),
            6 => calls::withdraw_claimable(d.pick(&[authority, operator(name)]), authority),
            7..9 => calls::unjail(authority, authority),
            9 => calls::sweep(authority),
            _ => self.going("p3"),
        }
    }

    /// The next step of a provider on its way out.
    fn going(&self, name: &str) -> Call {
        let authority = key(name);
        if !self.exists(&calls::provider(name)) {
            return calls::close_provider(authority, authority);
        }
        let found = self.market.provider(name);
        match () {
            _ if found.stake.get() > 0 => calls::request_unstake(authority, found.stake.get()),
            _ if found.unbonding.get() > 0 => calls::withdraw_stake(authority),
            _ if found.claimable.get() > 0 => calls::withdraw_claimable(authority, authority),
            _ if found.owed_burn.get() > 0 => calls::sweep(authority),
            _ => calls::close_provider(authority, found.rent_payer),
        }
    }

    fn about_the_network(&mut self, d: &mut Draw) -> Call {
        let admin = key("admin");
        match d.below(10) {
            0 | 8 | 9 => calls::withdraw_foundation(key("foundation")),
            1 => {
                let mut changed = params();
                changed.rules.provider_bps = U16::new(d.pick(&[1, 3_333, 5_000, 9_000]));
                changed.rules.dispute_slots = U32::new(d.pick(&[32, 100]));
                changed.rules.notice_epochs = U32::new(d.pick(&[1, 2, 4]));
                calls::update_config(admin, key("foundation"), &changed)
            }
            2 => match d.chance(4) {
                true => calls::pause(admin),
                false => calls::unpause(admin),
            },
            3 => calls::propose_admin(admin, admin),
            4 => calls::accept_admin(admin),
            5 => calls::register_class("extra", calls::probe(64, 1)),
            6 => calls::retire_class(admin, calls::class("extra")),
            _ => calls::unpause(admin),
        }
    }

    fn call(&mut self, d: &mut Draw) -> Option<Call> {
        match d.below(64) {
            0..5 => Some(self.request(d)),
            5..12 => self.about_a_request(d),
            12..42 => self.about_a_lease(d),
            42..55 => self.about_a_dispute(d),
            55..62 => Some(self.about_a_provider(d)),
            _ => Some(self.about_the_network(d)),
        }
    }

    /// Those addresses that still have an account.
    fn left(&self, all: &[Key]) -> Vec<Key> {
        all.iter()
            .filter(|address| self.exists(address))
            .copied()
            .collect()
    }

    fn must(&mut self, call: Call) {
        self.market.chain.must(call);
    }

    /// With everything due done by strangers, and providers and tenants taking what is theirs, nothing is left behind.
    fn wind_down(&mut self) {
        /// Longer than any duration that parameters allow.
        const LONG: u64 = 50_000_000;
        let leases: Vec<Key> = self.requests.iter().map(calls::lease).collect();
        self.market.chain.advance(LONG);
        let mut disputes = self.left(&self.disputes);
        disputes.sort_by_key(|address| self.market.dispute(address).number);
        for address in disputes {
            let state = self.market.dispute(&address);
            if state.header.status != LeaseDisputeStatus::Resolved as u8 {
                self.market.must_resolve(&address);
            }
        }
        for address in self.left(&leases) {
            let reason = match self.market.lease(&address).status() {
                Some(LeaseStatus::Accepted) => CloseReason::NeverStarted,
                Some(LeaseStatus::Started) => CloseReason::NeverAcknowledged,
                Some(LeaseStatus::Active | LeaseStatus::Closing) => CloseReason::Completed,
                _ => continue,
            };
            self.market
                .must_close(key("stranger"), &address, reason, false);
        }
        self.market.chain.advance(LONG);
        for address in self.left(&leases) {
            let state = self.market.lease(&address);
            if state.ring.iter().any(LeaseEpoch::is_pending) {
                self.must(self.market.release(&address));
            }
            if state.tenant_due.get() > 0 {
                self.must(self.market.withdrawal(&address));
            }
            self.must(self.market.account_closing(&address));
        }
        for address in self.left(&self.disputes) {
            self.must(self.market.dispute_closing(&address));
        }
        for address in self.left(&self.requests) {
            let state = self.market.request(&address);
            if state.header.status == RequestStatus::Open as u8 {
                self.must(ix::expire_request(address, &state));
            }
        }
        self.market.chain.advance(LONG);
        for address in self.left(&self.requests) {
            let state = self.market.request(&address);
            self.must(ix::close_request(address, &state));
        }
        for name in PROVIDERS {
            if self.exists(&calls::provider(name)) {
                self.leave(name, LONG);
            }
        }
    }

    /// A provider takes out everything that is its own.
    fn leave(&mut self, name: &str, long: u64) {
        let authority = key(name);
        // Whatever has activated since is counted by the first instruction that touches stake.
        self.must(calls::add_stake(key("payer"), authority, 1));
        self.market.chain.advance(long);
        let found = self.market.provider(name);
        let all = found.stake.get() + found.activating.get();
        self.must(calls::request_unstake(authority, all));
        self.market.chain.advance(long);
        self.must(calls::withdraw_stake(authority));
        if found.claimable.get() > 0 {
            self.must(calls::withdraw_claimable(authority, authority));
        }
        if found.owed_foundation.get() + found.owed_burn.get() > 0 {
            self.must(calls::sweep(authority));
        }
        self.must(calls::close_provider(authority, found.rent_payer));
    }
}

#[test]
fn invariants_hold_under_random_instructions_by_many_parties() {
    let mut start = Market::new();
    start.chain.fund(key("foundation"), SOL);
    let mut succeeded: BTreeMap<u8, u64> = BTreeMap::new();
    let runs = Runs {
        cases: 128,
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Runs::default()
    };
    let strategy = proptest::collection::vec(proptest::num::u64::ANY, 200..500);
    let total = std::cell::RefCell::new(&mut succeeded);
    let result = TestRunner::new(runs).run(&strategy, |seeds| {
        let mut simulation = Simulation {
            market: start.clone(),
            requests: Vec::new(),
            disputes: Vec::new(),
            proofs: BTreeMap::new(),
            succeeded: BTreeMap::new(),
        };
        for seed in seeds {
            simulation.step(seed)?;
        }
        simulation.wind_down();
        for (tag, count) in simulation.succeeded {
            *total.borrow_mut().entry(tag).or_default() += count;
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // What cannot succeed here: a second initialization.
    let never: Vec<Tag> = ALL
        .iter()
        .copied()
        .filter(|tag| !succeeded.contains_key(&(*tag as u8)))
        .collect();
    assert_eq!(never, [Tag::Initialize], "{succeeded:?}");
    let sum: u64 = succeeded.values().sum();
    println!("{sum} instructions succeeded: {succeeded:?}");
}
