//! A call of every instruction of the market that succeeds, each with the world in which it does.

use mythic_interface::le::{U16, U32, U64};
use mythic_interface::market::ix::{self, Tag};
use mythic_interface::market::probe::{
    BLOCK, Factors, PRODUCT_LEAF_LEN, Place, WholeProof, product_leaf, product_leaf_hash,
    product_leaves, round_seed,
};
use mythic_interface::market::state::{CloseReason, NamedElement};
use mythic_interface::merkle;
use mythic_interface::state::Key;
use solana_instruction::Instruction as Call;

use super::calls::{self, GRID};
use super::world::{Market, element, params};
use crate::chain::SOL;
use crate::keys::{key, operator};

/// One entry.
pub struct Scene {
    pub tag: Tag,
    /// What is special about this call, may be empty.
    pub variant: &'static str,
    /// The market before the call.
    pub market: Market,
    pub call: Call,
}

struct Scenes {
    base: Market,
    all: Vec<Scene>,
}

impl Scenes {
    fn add(&mut self, tag: Tag, variant: &'static str, make: impl FnOnce(&mut Market) -> Call) {
        let mut market = self.base.clone();
        let call = make(&mut market);
        assert_eq!(call.data.first(), Some(&(tag as u8)));
        self.all.push(Scene {
            tag,
            variant,
            market,
            call,
        });
    }
}

/// Every instruction, in the order of tags; some in several variants.
pub fn scenes() -> Vec<Scene> {
    let mut s = Scenes {
        base: Market::new(),
        all: Vec::new(),
    };
    network(&mut s);
    providers(&mut s);
    requests(&mut s);
    leases(&mut s);
    ends(&mut s);
    disputes(&mut s);
    s.all
}

fn close_delay() -> u64 {
    params().rules.close_delay_slots.get().into()
}

/// A lease with an epoch that was proved and can be released.
pub fn due(market: &mut Market) -> Key {
    let lease = market.usual();
    market.prove_until(&lease, 11);
    market.chain.advance(100);
    lease
}

/// The same, released.
fn released(market: &mut Market) -> Key {
    let lease = due(market);
    let call = market.release(&lease);
    market.chain.must(call);
    lease
}

/// A lease of which nothing is left.
pub fn emptied(market: &mut Market) -> Key {
    let lease = released(market);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    market.chain.advance(100);
    for call in [market.release(&lease), market.withdrawal(&lease)] {
        market.chain.must(call);
    }
    lease
}

fn network(s: &mut Scenes) {
    s.all.push(Scene {
        tag: Tag::Initialize,
        variant: "",
        market: Market::bare(),
        call: calls::initialize(GRID, &params()),
    });
    s.add(Tag::UpdateConfig, "", |_| {
        calls::update_config(key("admin"), key("foundation"), &params())
    });
    s.add(Tag::ProposeAdmin, "", |_| {
        calls::propose_admin(key("admin"), key("bob"))
    });
    s.add(Tag::AcceptAdmin, "", |market| {
        let propose = calls::propose_admin(key("admin"), key("bob"));
        market.chain.must(propose);
        calls::accept_admin(key("bob"))
    });
    s.add(Tag::Pause, "", |_| calls::pause(key("admin")));
    s.add(Tag::Unpause, "", |market| {
        market.chain.must(calls::pause(key("admin")));
        calls::unpause(key("admin"))
    });
    s.add(Tag::Sweep, "", |market| {
        released(market);
        calls::sweep(key("p1"))
    });
    s.add(Tag::WithdrawFoundation, "", |market| {
        released(market);
        market.chain.must(calls::sweep(key("p1")));
        market.chain.fund(key("foundation"), SOL);
        calls::withdraw_foundation(key("foundation"))
    });
    s.add(Tag::RegisterClass, "", |_| {
        calls::register_class("large", calls::probe(16_384, 4_096))
    });
    s.add(Tag::RetireClass, "", |_| {
        calls::retire_class(key("admin"), calls::class("cpu"))
    });
}

fn providers(s: &mut Scenes) {
    let unbonding = u64::from(params().unbonding_slots.get());
    s.add(Tag::RegisterProvider, "", |_| {
        calls::register_provider("p3", "cpu", &calls::registration("p3"))
    });
    s.add(Tag::UpdateProvider, "", |_| {
        let mut said = calls::profile("p1");
        said.units = U16::new(8);
        calls::update_provider("p1", &said)
    });
    s.add(Tag::AddStake, "", |_| {
        calls::add_stake(key("payer"), key("p1"), SOL)
    });
    s.add(Tag::RequestUnstake, "", |_| {
        calls::request_unstake(key("p1"), SOL)
    });
    s.add(Tag::WithdrawStake, "", |market| {
        market.chain.must(calls::request_unstake(key("p1"), SOL));
        market.chain.advance(unbonding);
        calls::withdraw_stake(key("p1"))
    });
    s.add(Tag::WithdrawClaimable, "", |market| {
        released(market);
        calls::withdraw_claimable(operator("p1"), key("p1"))
    });
    s.add(Tag::Unjail, "", |market| {
        refuted(market);
        let jail = u64::from(params().rules.jail_slots.get());
        market.chain.advance(jail);
        calls::unjail(operator("p1"), key("p1"))
    });
    s.add(Tag::CloseProvider, "", |market| {
        market
            .chain
            .must(calls::request_unstake(key("p2"), 2 * SOL));
        market.chain.advance(unbonding);
        market.chain.must(calls::withdraw_stake(key("p2")));
        calls::close_provider(key("p2"), key("p2"))
    });
}

fn requests(s: &mut Scenes) {
    s.add(Tag::RequestCompute, "", |market| {
        let args = market.asking();
        ix::request_compute(key("payer"), key("alice"), calls::class("small"), &args)
    });
    s.add(Tag::CancelRequest, "", |market| {
        let args = market.asking();
        let request = market.must_ask("alice", "small", &args);
        ix::cancel_request(key("alice"), request)
    });
    s.add(Tag::ExpireRequest, "", |market| {
        let args = market.asking();
        let request = market.must_ask("alice", "small", &args);
        market.chain.advance(100);
        ix::expire_request(request, &market.request(&request))
    });
    s.add(Tag::CloseRequest, "", |market| {
        let lease = emptied(market);
        let request = market.lease(&lease).terms.request;
        market.chain.advance(close_delay());
        let call = market.account_closing(&lease);
        market.chain.must(call);
        ix::close_request(request, &market.request(&request))
    });
}

fn leases(s: &mut Scenes) {
    s.add(Tag::AcceptJob, "of a named provider", |market| {
        let mut args = market.asking();
        args.provider = key("p1");
        let request = market.must_ask("alice", "small", &args);
        market.acceptance("p1", &request)
    });
    s.add(
        Tag::AcceptJob,
        "below the price that is offered",
        |market| {
            let mut args = market.asking();
            args.price = U64::new(2 * calls::PRICE);
            let request = market.must_ask("alice", "small", &args);
            market.acceptance("p2", &request)
        },
    );
    s.add(Tag::StartLease, "", |market| {
        let args = market.asking();
        let lease = market.accepted("alice", "p1", &args);
        market.start(&lease)
    });
    s.add(Tag::AcknowledgeStart, "", |market| {
        let args = market.asking();
        let lease = market.accepted("alice", "p1", &args);
        let call = market.start(&lease);
        market.chain.must(call);
        market.acknowledgement(&lease)
    });
    s.add(Tag::SubmitProof, "", |market| {
        let lease = market.usual();
        market.enter(11);
        market.proof(&lease)
    });
    s.add(
        Tag::SubmitProof,
        "in the place of one that is due",
        |market| {
            let args = ix::RequestCompute {
                seconds: U32::new(10_000),
                ..market.asking()
            };
            let lease = market.active("alice", "p1", &args);
            market.prove_until(&lease, 42);
            market.enter(43);
            market.proof(&lease)
        },
    );
    s.add(Tag::VerifyAndRelease, "one epoch", |market| {
        let lease = due(market);
        market.release(&lease)
    });
    s.add(Tag::VerifyAndRelease, "thirty-two epochs", |market| {
        let args = ix::RequestCompute {
            seconds: U32::new(10_000),
            ..market.asking()
        };
        let lease = market.active("alice", "p1", &args);
        market.prove_until(&lease, 42);
        market.chain.advance(100);
        market.release(&lease)
    });
    s.add(Tag::TopUp, "", |market| {
        let lease = market.usual();
        ix::top_up(key("bob"), lease, &market.lease(&lease), 60)
    });
}

fn ends(s: &mut Scenes) {
    s.add(Tag::CloseLease, "by the tenant, with a tail", |market| {
        let lease = market.usual();
        market.prove_until(&lease, 12);
        market.chain.advance(30);
        let tenant = key("alice");
        market.closing(tenant, &lease, CloseReason::ClosedByTenant, false)
    });
    s.add(Tag::CloseLease, "the provider's notice", |market| {
        let lease = market.usual();
        market.closing(operator("p1"), &lease, CloseReason::ClosedByProvider, false)
    });
    s.add(Tag::CloseLease, "by the provider, now", |market| {
        let lease = market.usual();
        market.closing(key("p1"), &lease, CloseReason::ClosedByProvider, true)
    });
    s.add(Tag::CloseLease, "never acknowledged", |market| {
        let args = market.asking();
        let lease = market.accepted("alice", "p1", &args);
        let call = market.start(&lease);
        market.chain.must(call);
        market.chain.advance(100);
        let anyone = key("stranger");
        market.closing(anyone, &lease, CloseReason::NeverAcknowledged, false)
    });
    s.add(Tag::WithdrawLease, "", |market| {
        let lease = market.usual();
        market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
        market.withdrawal(&lease)
    });
    s.add(Tag::CloseLeaseAccount, "", |market| {
        let lease = emptied(market);
        market.chain.advance(close_delay());
        market.account_closing(&lease)
    });
}

/// A lease whose epoch 11 is disputed by the watcher, with the true proof.
pub fn disputed(market: &mut Market, elements: &[NamedElement]) -> (Key, Key, WholeProof) {
    let lease = market.usual();
    market.enter(11);
    let proof = market.whole_proof(&lease);
    let call = market.proof_of(&lease, proof.root());
    market.chain.must(call);
    let dispute = market.must_refute("watcher", &lease, 11, elements);
    (lease, dispute, proof)
}

/// The last opening of a disputed element of a class of side `n` with one round, whose tree is made up around it; `off` is added
/// to the truth.
pub fn largest(market: &mut Market, n: u32, off: i32) -> (Key, Call) {
    let class = calls::register_class("wide", calls::probe(n, 1));
    market.chain.must(class);
    let call = calls::register_provider("p3", "wide", &calls::registration("p3"));
    market.chain.must(call);
    let args = market.asking();
    let request = market.must_ask("alice", "wide", &args);
    let call = market.acceptance("p3", &request);
    market.chain.must(call);
    let lease = calls::lease(&request);
    let call = market.start(&lease);
    market.chain.must(call);
    let call = market.acknowledgement(&lease);
    market.chain.must(call);
    market.enter(11);

    let hash = market.chain.first_from(150 * 11).1;
    let place = Place {
        lease: &lease,
        unit: 0,
        epoch: 11,
        round: 0,
    };
    let (row, column) = (n - 1, n - 1);
    let truth = Factors::new(&round_seed(&place, &hash)).element(n, row, column);
    let mut leaf = [0; PRODUCT_LEAF_LEN];
    leaf[4 * (BLOCK - 1)..].copy_from_slice(&(truth + off).to_le_bytes());
    let (index, count) = (product_leaf(n, row, column), product_leaves(n));
    let path = vec![[9; 32]; merkle::path_len(index, count)];
    let root = merkle::root_from_path(product_leaf_hash(&leaf), index, count, &path);
    let root = root.expect("a path of the right length");
    // One unit of one round: its root is the proof.
    let call = market.proof_of(&lease, root);
    market.chain.must(call);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, row, column)]);
    market
        .chain
        .must(ix::open_root(dispute, (0, 0), &root, &[]));
    let call = ix::open_element(dispute, 0, &leaf, &path);
    (dispute, call)
}

/// A dispute that nobody answered, resolved.
fn refuted(market: &mut Market) -> (Key, Key) {
    let (lease, dispute, _) = disputed(market, &[element(0, 0, 3, 4)]);
    market.chain.advance(50);
    market.must_resolve(&dispute);
    (lease, dispute)
}

fn disputes(s: &mut Scenes) {
    s.add(Tag::DisputeLease, "refutes, eight elements", |market| {
        let lease = market.usual();
        market.prove_until(&lease, 11);
        let elements: Vec<_> = (0..8).map(|i| element(0, i % 2, i, 31)).collect();
        let mut elements = elements;
        elements.sort_by_key(|element| element.key());
        market.refutation("watcher", &lease, 11, &elements)
    });
    s.add(Tag::DisputeLease, "unserved", |market| {
        let lease = market.usual();
        market.prove_until(&lease, 11);
        market.unserved(&lease, 11)
    });
    s.add(Tag::OpenProof, "a root", |market| {
        let (_, dispute, proof) = disputed(market, &[element(0, 1, 3, 4)]);
        market.answers(&dispute, &proof).swap_remove(0)
    });
    for (n, variant) in [
        (512, "an element, n = 512"),
        (4_096, "an element, n = 4,096"),
        (16_384, "an element, n = 16,384"),
    ] {
        s.add(Tag::OpenProof, variant, |market| largest(market, n, 0).1);
    }
    s.add(Tag::OpenProof, "an element, n = 32", |market| {
        let (_, dispute, proof) = disputed(market, &[element(0, 1, 3, 4)]);
        let mut calls = market.answers(&dispute, &proof);
        let last = calls.pop().expect("an element");
        for call in calls {
            market.chain.must(call);
        }
        last
    });
    s.add(Tag::ResolveLeaseDispute, "answered", |market| {
        let (_, dispute, proof) = disputed(market, &[element(0, 1, 3, 4)]);
        market.must_answer(&dispute, &proof);
        market.resolution(&dispute)
    });
    s.add(Tag::ResolveLeaseDispute, "unanswered", |market| {
        let (_, dispute, _) = disputed(market, &[element(0, 1, 3, 4)]);
        market.chain.advance(50);
        market.resolution(&dispute)
    });
    s.add(Tag::CloseLeaseDispute, "", |market| {
        let (_, dispute) = refuted(market);
        market.chain.advance(close_delay());
        market.dispute_closing(&dispute)
    });
}
