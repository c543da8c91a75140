//! A call of every instruction that succeeds, each with the world in which it does.

use mythic_interface::instruction::Tag;
use mythic_interface::state::{FinishReason, Key};
use solana_instruction::Instruction as Call;

use crate::calls::{self, NONE, Request};
use crate::world::{SOL, World, jail, key, model, operator, params, spec};

/// One entry.
pub struct Entry {
    /// The instruction.
    pub tag: Tag,
    /// What is special about this call, may be empty.
    pub variant: &'static str,
    /// The world before the call.
    pub world: World,
    /// The call.
    pub call: Call,
}

struct Catalogue {
    base: World,
    entries: Vec<Entry>,
}

impl Catalogue {
    fn add(&mut self, tag: Tag, variant: &'static str, make: impl FnOnce(&mut World) -> Call) {
        let mut world = self.base.clone();
        let call = make(&mut world);
        assert_eq!(call.data.first(), Some(&(tag as u8)));
        self.entries.push(Entry {
            tag,
            variant,
            world,
            call,
        });
    }
}

/// A job of alice by the gateway, co-signed by v1.
fn taken(world: &mut World) -> (Request, Key) {
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    (request, job)
}

/// The same, settled.
fn settled(world: &mut World) -> Key {
    let (_, job) = taken(world);
    world.must_submit(&job, 100);
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    job
}

/// Every instruction, in the order of tags; some in several variants.
pub fn catalogue() -> Vec<Entry> {
    let mut c = Catalogue {
        base: World::new(),
        entries: Vec::new(),
    };
    let unbonding = u64::from(params().unbonding_slots.get());
    let close_delay = u64::from(params().rules.close_delay_slots.get());
    c.entries.push(Entry {
        tag: Tag::Initialize,
        variant: "",
        world: World::bare(),
        call: calls::initialize(&params()),
    });
    c.add(Tag::UpdateConfig, "", |_| {
        calls::update_config(key("admin"), key("foundation"), &params())
    });
    c.add(Tag::ProposeAdmin, "", |_| {
        calls::propose_admin(key("admin"), key("bob"))
    });
    c.add(Tag::AcceptAdmin, "", |world| {
        world
            .chain
            .must(calls::propose_admin(key("admin"), key("bob")));
        calls::accept_admin(key("bob"))
    });
    c.add(Tag::Pause, "", |_| calls::pause(key("admin")));
    c.add(Tag::Unpause, "", |world| {
        world.chain.must(calls::pause(key("admin")));
        calls::unpause(key("admin"))
    });
    c.add(Tag::Sweep, "", |world| {
        settled(world);
        calls::sweep(&key("v1"))
    });
    c.add(Tag::WithdrawFoundation, "", |world| {
        settled(world);
        world.chain.must(calls::sweep(&key("v1")));
        world.chain.fund(key("foundation"), SOL);
        calls::withdraw_foundation(key("foundation"))
    });
    c.add(Tag::RegisterModel, "", |_| {
        calls::register_model(key("payer"), key("registrant"), &spec(3), "third")
    });
    c.add(Tag::UpdateModel, "", |_| {
        calls::update_model(key("registrant"), model(1), (1, 2), "renamed", 0)
    });
    c.add(Tag::RegisterValidator, "two models", |_| {
        calls::register_validator(key("v3"), operator("v3"), SOL, &[model(1), model(2)])
    });
    c.add(Tag::UpdateValidator, "two models", |_| {
        calls::update_validator(key("v1"), key("new operator"), &[model(2), model(1)])
    });
    c.add(Tag::AddStake, "", |_| {
        calls::add_stake(key("payer"), key("v1"), SOL)
    });
    c.add(Tag::RequestUnstake, "", |_| {
        calls::request_unstake(key("v1"), SOL)
    });
    c.add(Tag::WithdrawStake, "", |world| {
        world.chain.must(calls::request_unstake(key("v1"), SOL));
        world.chain.advance(unbonding);
        calls::withdraw_stake(key("v1"))
    });
    c.add(Tag::WithdrawClaimable, "", |world| {
        settled(world);
        calls::withdraw_claimable(operator("v1"), key("v1"))
    });
    c.add(Tag::Unjail, "", |world| {
        jail(world, "v1", 10);
        world.chain.advance(10);
        calls::unjail(operator("v1"), key("v1"))
    });
    c.add(Tag::CloseValidator, "", |world| {
        world.chain.must(calls::request_unstake(key("v2"), 2 * SOL));
        world.chain.advance(unbonding);
        world.chain.must(calls::withdraw_stake(key("v2")));
        calls::close_validator(key("v2"), key("v2"))
    });
    c.add(Tag::DepositVault, "new vault", |_| {
        calls::deposit(key("payer"), key("carol"), SOL)
    });
    c.add(Tag::DepositVault, "", |_| {
        calls::deposit(key("payer"), key("alice"), SOL)
    });
    c.add(Tag::WithdrawVault, "", |_| {
        calls::withdraw_vault(key("alice"), SOL)
    });
    c.add(Tag::CloseVault, "", |_| {
        calls::close_vault(key("alice"), key("alice"))
    });
    c.add(Tag::GrantSpend, "new grant", |world| {
        let limits = calls::wide_limits(world.chain.slot() + 1_000);
        calls::grant_spend(key("payer"), key("bob"), key("gateway"), &limits)
    });
    c.add(Tag::GrantSpend, "", |world| {
        let limits = calls::wide_limits(world.chain.slot() + 1_000);
        calls::grant_spend(key("payer"), key("alice"), key("gateway"), &limits)
    });
    c.add(Tag::RevokeGrant, "", |_| {
        calls::revoke_grant(key("alice"), key("gateway"))
    });
    c.add(Tag::CloseGrant, "", |world| {
        world
            .chain
            .must(calls::revoke_grant(key("alice"), key("gateway")));
        calls::close_grant(key("alice"), key("gateway"), key("alice"))
    });
    c.add(Tag::RequestInference, "by the owner, open", |world| {
        world.request("bob", "bob").call()
    });
    c.add(Tag::RequestInference, "by a delegate, co-signed", |world| {
        world.cosigned("alice", "gateway").call()
    });
    c.add(Tag::AcceptInference, "", |world| {
        let request = world.request("bob", "bob");
        let job = world.must_request(&request);
        let hash = world.job(&job).terms_hash;
        calls::accept(operator("v1"), key("v1"), job, hash)
    });
    c.add(Tag::DeclineJob, "under a grant", |world| {
        let (request, job) = taken(world);
        calls::decline(
            operator("v1"),
            key("v1"),
            job,
            key("alice"),
            request.grant(),
        )
    });
    c.add(Tag::CancelJob, "open", |world| {
        let request = world.request("alice", "gateway");
        let job = world.must_request(&request);
        calls::cancel(key("canceller"), job, key("alice"), request.grant())
    });
    c.add(Tag::CancelJob, "accepted", |world| {
        let (request, job) = taken(world);
        calls::cancel(key("canceller"), job, key("alice"), request.grant())
    });
    c.add(Tag::ExpireJob, "open", |world| {
        let request = world.request("bob", "bob");
        let job = world.must_request(&request);
        world.chain.advance(150);
        calls::expire(job, key("bob"), NONE, NONE)
    });
    c.add(Tag::ExpireJob, "accepted, under a grant", |world| {
        let (request, job) = taken(world);
        world.chain.advance(150);
        calls::expire(job, key("alice"), key("v1"), request.grant())
    });
    c.add(Tag::SubmitResult, "", |world| {
        let (_, job) = taken(world);
        let result = world.result(&job, 100, FinishReason::Eos);
        calls::submit(operator("v1"), key("v1"), job, &result)
    });
    c.add(Tag::ClaimInferenceFee, "under a grant", |world| {
        let (_, job) = taken(world);
        world.must_submit(&job, 100);
        world.chain.advance(100);
        world.claim(&job)
    });
    c.add(Tag::CloseJob, "", |world| {
        let job = settled(world);
        world.chain.advance(close_delay);
        calls::close_job(job, key("gateway"))
    });
    c.entries
}
