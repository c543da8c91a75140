//! A market to start from: a small class and a class `cpu`, two providers, three tenants; and a lease's life step by step.

use mythic_interface::COMPUTE_MARKET_ID;
use mythic_interface::hash::{access_hash, sha256};
use mythic_interface::le::U64;
use mythic_interface::market::address;
use mythic_interface::market::ix::{self, RequestCompute, SubmitProof, Tag};
use mythic_interface::market::params::MarketParams;
use mythic_interface::market::probe::WholeProof;
use mythic_interface::market::state::{
    CloseReason, Lease, LeaseDispute, LeaseEpoch, MarketConfig, NamedElement, Provider, Request,
};
use mythic_interface::state::Key;
use mythic_interface::window;
use solana_instruction::Instruction as Call;

use super::calls::{self, GRID};
use super::rules;
use crate::chain::{Chain, Program, Receipt, SOL};
use crate::keys::{key, operator};

/// The Compute Market program.
pub const COMPUTE_MARKET: Program = Program {
    id: COMPUTE_MARKET_ID,
    elf: concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../elf/mythic_compute_market.so"
    ),
    check: rules::check,
    name: |byte| Tag::from_u8(byte).map(Tag::name),
    asks: |byte| (byte == Tag::OpenProof as u8).then_some(1_400_000),
};

/// Everybody who has lamports of their own.
const PEOPLE: [&str; 12] = [
    "payer",
    "upgrade_authority",
    "admin",
    "alice",
    "bob",
    "carol",
    "p1",
    "p2",
    "p3",
    "watcher",
    "friend",
    "stranger",
];

/// Parameters of the tests' market.
pub fn params() -> MarketParams {
    MarketParams::dev()
}

/// The chain and what was set up on it.
#[derive(Clone)]
pub struct Market {
    pub chain: Chain,
    nonces: u64,
}

impl Market {
    /// The program deployed, everybody funded, nothing initialized.
    pub fn bare() -> Self {
        let mut chain = Chain::of(COMPUTE_MARKET);
        for name in PEOPLE {
            chain.fund(key(name), 1_000 * SOL);
            chain.fund(operator(name), 1_000 * SOL);
        }
        Market { chain, nonces: 0 }
    }

    /// Classes `small` (side 32, two rounds) and `cpu` (side 512, eight rounds); providers p1 and p2 of `small`, with four units
    /// and 2 SOL each. It is the beginning of epoch 10.
    pub fn new() -> Self {
        let mut market = Self::bare();
        let chain = &mut market.chain;
        chain.must(calls::initialize(GRID, &params()));
        chain.must(calls::register_class("small", calls::probe(32, 2)));
        chain.must(calls::register_class("cpu", calls::probe(512, 8)));
        for name in ["p1", "p2"] {
            let said = calls::registration(name);
            chain.must(calls::register_provider(name, "small", &said));
        }
        chain.warp_to(10 * 150 + 5);
        market
    }

    /// A nonce that nobody used, good for 1,000 slots.
    pub fn nonce(&mut self) -> [u8; 16] {
        self.nonces += 1;
        window::nonce(self.chain.slot() + 1_000, self.nonces.to_le_bytes())
    }

    /// A request as [`calls::asking`] has it.
    pub fn asking(&mut self) -> RequestCompute {
        let config: MarketConfig = self.chain.load(&calls::config());
        calls::asking(self.nonce(), config.rules_hash)
    }

    /// Sends a request of a class that must succeed; its address.
    pub fn must_ask(&mut self, tenant: &str, class: &str, args: &RequestCompute) -> Key {
        let call = ix::request_compute(key(tenant), key(tenant), calls::class(class), args);
        self.chain.must(call);
        address::request(key(tenant), &args.nonce).to_bytes()
    }

    pub fn request(&self, address: &Key) -> Request {
        self.chain.load(address)
    }

    pub fn lease(&self, address: &Key) -> Lease {
        self.chain.load(address)
    }

    pub fn provider(&self, name: &str) -> Provider {
        self.chain.load(&calls::provider(name))
    }

    pub fn dispute(&self, address: &Key) -> LeaseDispute {
        self.chain.load(address)
    }

    pub fn acceptance(&self, provider: &str, request: &Key) -> Call {
        let state = self.request(request);
        ix::accept_job(operator(provider), key(provider), request, &state)
    }

    /// A lease that a provider has accepted.
    pub fn accepted(&mut self, tenant: &str, provider: &str, args: &RequestCompute) -> Key {
        let request = self.must_ask(tenant, "small", args);
        let call = self.acceptance(provider, &request);
        self.chain.must(call);
        calls::lease(&request)
    }

    pub fn start(&self, lease: &Key) -> Call {
        let state = self.lease(lease);
        let operator = self.operator_of(&state);
        ix::start_lease(operator, lease, &state, access_hash(b"ssh"))
    }

    fn operator_of(&self, lease: &Lease) -> Key {
        let provider: Provider = self
            .chain
            .load(&address::provider(lease.terms.provider).to_bytes());
        provider.operator
    }

    pub fn acknowledgement(&self, lease: &Key) -> Call {
        ix::acknowledge_start(lease, &self.lease(lease))
    }

    /// A lease that has started and whose tenant has said so.
    pub fn active(&mut self, tenant: &str, provider: &str, args: &RequestCompute) -> Key {
        let lease = self.accepted(tenant, provider, args);
        let call = self.start(&lease);
        self.chain.must(call);
        let call = self.acknowledgement(&lease);
        self.chain.must(call);
        lease
    }

    /// An active lease of alice by p1: one unit for ten minutes.
    pub fn usual(&mut self) -> Key {
        let args = self.asking();
        self.active("alice", "p1", &args)
    }

    /// The current epoch.
    pub fn epoch(&self) -> u64 {
        self.chain.slot() / 150
    }

    /// Goes to the fifth slot of an epoch.
    pub fn enter(&mut self, epoch: u64) {
        self.chain.warp_to(150 * epoch + 5);
    }

    /// What a proof of the current epoch says.
    pub fn proving(&self, lease: &Key, proof: [u8; 32]) -> SubmitProof {
        let epoch = self.epoch();
        let (first_slot, hash) = self.chain.first_from(150 * epoch);
        SubmitProof {
            terms_hash: self.lease(lease).terms_hash,
            epoch: U64::new(epoch),
            first_slot: U64::new(first_slot),
            hash,
            proof,
        }
    }

    /// A proof of the current epoch that nobody will look into.
    pub fn proof(&self, lease: &Key) -> Call {
        let root = sha256(&[b"proof", lease, &self.epoch().to_le_bytes()]);
        self.proof_of(lease, root)
    }

    pub fn proof_of(&self, lease: &Key, root: [u8; 32]) -> Call {
        let state = self.lease(lease);
        let args = self.proving(lease, root);
        ix::submit_proof(self.operator_of(&state), state.terms.provider, lease, &args)
    }

    pub fn must_prove(&mut self, lease: &Key) -> Receipt {
        let call = self.proof(lease);
        self.chain.must(call)
    }

    /// Enters the epochs up to one and proves each.
    pub fn prove_until(&mut self, lease: &Key, epoch: u64) {
        for epoch in self.epoch() + 1..=epoch {
            self.enter(epoch);
            self.must_prove(lease);
        }
    }

    /// The true proof of the current epoch.
    pub fn whole_proof(&self, lease: &Key) -> WholeProof {
        let terms = self.lease(lease).terms;
        let epoch = self.epoch();
        let (_, hash) = self.chain.first_from(150 * epoch);
        let size = (terms.units, terms.probe.rounds.get(), terms.probe.n.get());
        WholeProof::new(lease, epoch, &hash, size)
    }

    pub fn release(&self, lease: &Key) -> Call {
        ix::verify_and_release(lease, &self.lease(lease))
    }

    pub fn closing(&self, closer: Key, lease: &Key, reason: CloseReason, now: bool) -> Call {
        ix::close_lease(closer, lease, &self.lease(lease), reason, now)
    }

    pub fn must_close(&mut self, closer: Key, lease: &Key, reason: CloseReason, now: bool) {
        let call = self.closing(closer, lease, reason, now);
        self.chain.must(call);
    }

    pub fn withdrawal(&self, lease: &Key) -> Call {
        ix::withdraw_lease(lease, &self.lease(lease))
    }

    pub fn account_closing(&self, lease: &Key) -> Call {
        ix::close_lease_account(lease, &self.lease(lease))
    }

    /// An epoch of a lease, as its ring has it.
    pub fn entry(&self, lease: &Key, epoch: u64) -> LeaseEpoch {
        *self.lease(lease).epoch(epoch).expect("an epoch")
    }

    /// Somebody says that the proof of an epoch is false.
    pub fn refutation(
        &self,
        disputer: &str,
        lease: &Key,
        epoch: u64,
        elements: &[NamedElement],
    ) -> Call {
        let (state, entry) = (self.lease(lease), self.entry(lease, epoch));
        ix::refute_lease(
            key(disputer),
            key(disputer),
            (lease, &state),
            &entry,
            elements,
            u64::MAX,
        )
    }

    pub fn must_refute(
        &mut self,
        disputer: &str,
        lease: &Key,
        epoch: u64,
        elements: &[NamedElement],
    ) -> Key {
        let call = self.refutation(disputer, lease, epoch, elements);
        self.chain.must(call);
        calls::dispute(lease, epoch, disputer)
    }

    /// The tenant says that an epoch was not served.
    pub fn unserved(&self, lease: &Key, epoch: u64) -> Call {
        let (state, entry) = (self.lease(lease), self.entry(lease, epoch));
        ix::unserved_lease(state.terms.tenant, (lease, &state), &entry)
    }

    /// Shows every root that a dispute needs, then every element, of a proof that is true or not.
    pub fn answers(&self, dispute: &Key, proof: &WholeProof) -> Vec<Call> {
        let state = self.dispute(dispute);
        let mut roots: Vec<(u8, u32)> = Vec::new();
        let mut elements = Vec::new();
        for (place, element) in state.named().iter().enumerate() {
            let (unit, round) = (element.unit, element.round.get());
            roots.push((unit, round));
            roots.extend(round.checked_sub(1).map(|before| (unit, before)));
            let whole = &proof.all[(u32::from(unit) * proof.rounds + round) as usize];
            let (leaf, path) = whole.opening(element.row.get(), element.column.get());
            elements.push(ix::open_element(dispute, place as u32, &leaf, &path));
        }
        roots.sort_unstable();
        roots.dedup();
        let shown = |(unit, round): (u8, u32)| {
            let (root, path) = proof.round(unit, round);
            ix::open_root(dispute, (unit, round), &root, &path)
        };
        roots.into_iter().map(shown).chain(elements).collect()
    }

    pub fn must_answer(&mut self, dispute: &Key, proof: &WholeProof) {
        for call in self.answers(dispute, proof) {
            self.chain.must(call);
        }
    }

    pub fn resolution(&self, dispute: &Key) -> Call {
        ix::resolve_lease_dispute(dispute, &self.dispute(dispute))
    }

    pub fn must_resolve(&mut self, dispute: &Key) -> LeaseDispute {
        let call = self.resolution(dispute);
        self.chain.must(call);
        self.dispute(dispute)
    }

    pub fn dispute_closing(&self, dispute: &Key) -> Call {
        ix::close_lease_dispute(dispute, &self.dispute(dispute))
    }

    /// Lamports of somebody's own.
    pub fn wallet(&self, name: &str) -> u64 {
        self.chain.lamports(&key(name))
    }
}

impl Default for Market {
    fn default() -> Self {
        Self::new()
    }
}

/// An element that a dispute names.
pub fn element(unit: u8, round: u32, row: u32, column: u32) -> NamedElement {
    NamedElement {
        unit,
        round: round.into(),
        row: row.into(),
        column: column.into(),
    }
}
