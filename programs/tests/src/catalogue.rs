//! A call of every instruction that succeeds, each with the world in which it does.

use mythic_interface::ix::Tag;
use mythic_interface::state::{ClaimKind, FinishReason, Key, SamplingProfile};
use solana_instruction::Instruction as Call;

use crate::answer::Lie;
use crate::calls::{self, NONE, Request};
use crate::chain::SOL;
use crate::court::{Answered, Ballot, ballots, court, juror};
use crate::keys::{key, operator};
use crate::world::{CALIBRATED, EXACT, World, jail, model, params, spec};

/// The proof of a fault that ends nothing.
pub const NOTED: &str = "a leaf of 512, while somebody says false";

/// One entry.
pub struct Entry {
    pub tag: Tag,
    /// What is special about this call, may be empty.
    pub variant: &'static str,
    /// The world before the call.
    pub world: World,
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
    network(&mut c);
    validators(&mut c);
    wallets(&mut c);
    jobs(&mut c);
    claims(&mut c);
    verdicts(&mut c);
    c.entries
}

fn close_delay() -> u64 {
    params().rules.close_delay_slots.get().into()
}

fn network(c: &mut Catalogue) {
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
        calls::sweep(key("v1"))
    });
    c.add(Tag::WithdrawFoundation, "", |world| {
        settled(world);
        world.chain.must(calls::sweep(key("v1")));
        world.chain.fund(key("foundation"), SOL);
        calls::withdraw_foundation(key("foundation"))
    });
    c.add(Tag::RegisterModel, "", |_| {
        calls::register_model(key("payer"), key("registrant"), &spec(3), "third")
    });
    c.add(Tag::UpdateModel, "", |_| {
        calls::update_model(key("registrant"), model(1), (1, 2), "renamed", 0)
    });
    c.add(Tag::ProposeRegistrant, "", |_| {
        calls::propose_registrant(key("registrant"), model(1), key("bob"))
    });
    c.add(Tag::AcceptRegistrant, "", |world| {
        let propose = calls::propose_registrant(key("registrant"), model(1), key("bob"));
        world.chain.must(propose);
        calls::accept_registrant(key("bob"), model(1))
    });
}

fn validators(c: &mut Catalogue) {
    let unbonding = u64::from(params().unbonding_slots.get());
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
    c.add(Tag::ProposeOwner, "", |_| {
        calls::propose_owner(key("v1"), key("v1"), key("bob"))
    });
    c.add(Tag::AcceptOwner, "", |world| {
        let propose = calls::propose_owner(key("v1"), key("v1"), key("bob"));
        world.chain.must(propose);
        calls::accept_owner(key("bob"), key("v1"))
    });
}

fn wallets(c: &mut Catalogue) {
    c.add(Tag::DepositVault, "new vault", |_| {
        calls::deposit_vault(key("payer"), key("carol"), SOL)
    });
    c.add(Tag::DepositVault, "", |_| {
        calls::deposit_vault(key("payer"), key("alice"), SOL)
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
    c.add(Tag::CloseGrant, "by anyone", |world| {
        let (bob, gateway) = (key("bob"), key("gateway"));
        let limits = calls::wide_limits(world.chain.slot() + 1);
        let grant = calls::grant_spend(bob, bob, gateway, &limits);
        world.chain.must(grant);
        world.chain.advance(1 + close_delay());
        calls::close_old_grant(calls::grant(&bob, &gateway), bob)
    });
    c.add(Tag::CloseGrant, "", |world| {
        world
            .chain
            .must(calls::revoke_grant(key("alice"), key("gateway")));
        calls::close_grant(key("alice"), key("gateway"), key("alice"))
    });
}

fn jobs(c: &mut Catalogue) {
    c.add(Tag::RequestInference, "by the owner, open", |world| {
        world.request("bob", "bob").call()
    });
    c.add(Tag::RequestInference, "by a delegate, co-signed", |world| {
        world.cosigned("alice", "gateway").call()
    });
    c.add(
        Tag::RequestInference,
        "by the owner, open, by options",
        |world| {
            let exact = spec(EXACT);
            let register = calls::register_model(key("payer"), key("registrant"), &exact, "exact");
            world.chain.must(register);
            let mut request = world.request("bob", "bob");
            request.model = model(EXACT);
            request.arguments.sampling_profile = SamplingProfile::SeededFull as u8;
            request.arguments.options_hash = [1; 32];
            request.call()
        },
    );
    c.add(Tag::AcceptInference, "", |world| {
        let request = world.request("bob", "bob");
        let job = world.must_request(&request);
        let hash = world.job(&job).terms_hash;
        calls::accept_inference(operator("v1"), key("v1"), job, hash)
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
        calls::submit_result(operator("v1"), key("v1"), job, &result)
    });
    c.add(Tag::ClaimInferenceFee, "under a grant", |world| {
        let (_, job) = taken(world);
        world.must_submit(&job, 100);
        world.chain.advance(100);
        world.claim(&job)
    });
    c.add(Tag::CloseJob, "", |world| {
        let job = settled(world);
        world.chain.advance(close_delay());
        calls::close_job(job, key("gateway"))
    });
}

/// A false answer of 512 tokens, of which n1 says so two slots after its sample was known.
fn disputed(world: &mut World, n: u8, named: &[u32]) -> Answered {
    let answered = world.answered(n, "n0", 512, Lie::OneToken(200));
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", named);
    answered
}

/// The same, shown, with a jury that has committed.
fn committed(world: &mut World, n: u8, named: &[u32], seats: usize) -> Answered {
    let answered = disputed(world, n, named);
    world.must_show(&answered);
    world.commits(&answered, &ballots(2..2 + 3 * seats, Ballot::Guess(1)));
    let end = world.case(&answered).commit_end();
    world.chain.warp_to(end);
    answered
}

/// What shows the last leaves, when all else is shown.
fn last_opening(world: &mut World, answered: &Answered) -> Call {
    for call in world.outputs(answered) {
        world.chain.must(call);
    }
    let mut calls = world.openings(answered, 2);
    let last = calls.pop().expect("some");
    for call in calls {
        world.chain.must(call);
    }
    last
}

/// The last juror that sits, when all others have revealed.
fn last_juror(world: &mut World, answered: &Answered) -> String {
    let mut sitting: Vec<String> = (2..50).map(juror).collect();
    sitting.retain(|name| world.sits(answered, name));
    let last = sitting.pop().expect("somebody");
    for name in sitting {
        let call = world.reveal(answered, &name, Ballot::Guess(1));
        world.chain.must(call);
    }
    last
}

/// Two positions that a claim can name: even the sample of every position would leave these out of a case that
/// is always the same.
fn unsampled(world: &mut World) -> [u32; 2] {
    let mut world = world.clone();
    let answered = disputed(&mut world, EXACT, &[]);
    let case = world.case(&answered);
    let sampled = |position: &u32| {
        let mut leaves = case.sample().iter();
        leaves.any(|leaf| leaf.position.get() == *position)
    };
    let mut free = (0..512).filter(|position| !sampled(position));
    [free.next().expect("many"), free.next().expect("many")]
}

fn claims(c: &mut Catalogue) {
    c.base = court(47, 15, |_| {});
    c.add(Tag::VerifyLogits, "withheld, opens", |world| {
        let answered = world.answered(EXACT, "n0", 512, Lie::OneToken(200));
        world.reach_sample(&answered);
        world.claiming(&answered, "n1", ClaimKind::Withheld, &[])
    });
    c.add(
        Tag::VerifyLogits,
        "false, 18 of 512 positions, opens",
        |world| {
            let named = unsampled(world);
            let answered = world.answered(EXACT, "n0", 512, Lie::OneToken(200));
            world.reach_sample(&answered);
            world.objection(&answered, "n1", &named)
        },
    );
    c.add(Tag::VerifyLogits, "false, joins", |world| {
        let named = unsampled(world);
        let answered = disputed(world, EXACT, &[]);
        world.must_show(&answered);
        world.objection(&answered, "n2", &named)
    });
    c.add(Tag::PostOutput, "new page", |world| {
        let answered = disputed(world, EXACT, &[]);
        world.outputs(&answered).remove(0)
    });
    c.add(Tag::PostOutput, "", |world| {
        let answered = disputed(world, EXACT, &[]);
        let mut calls = world.outputs(&answered);
        world.chain.must(calls.remove(0));
        calls.remove(0)
    });
    c.add(Tag::PostOpenings, "two leaves of 512, the last", |world| {
        let answered = disputed(world, EXACT, &[]);
        last_opening(world, &answered)
    });
    let variant = "two leaves of 512 by options, the last";
    c.add(Tag::PostOpenings, variant, |world| {
        let request = world.by_options("n0", 512);
        let job = world.must_request(&request);
        let answered = world.answer(&job, "n0", 512, Lie::OneToken(200));
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[]);
        last_opening(world, &answered)
    });
    c.add(Tag::CommitJuror, "15 seats, the first", |world| {
        let answered = disputed(world, EXACT, &[]);
        world.must_show(&answered);
        let start = world.case(&answered).commit_start();
        world.chain.warp_to(start);
        world.commit(&answered, "n2", Ballot::Honest)
    });
    c.add(Tag::CommitJuror, "15 seats", |world| {
        let answered = disputed(world, EXACT, &[]);
        world.must_show(&answered);
        world.commits(&answered, &ballots(2..3, Ballot::Honest));
        world.commit(&answered, "n3", Ballot::Honest)
    });
    let named = |world: &mut World| {
        let named = unsampled(world);
        let answered = committed(world, EXACT, &named, 15);
        let name = last_juror(world, &answered);
        world.reveal(&answered, &name, Ballot::Guess(1))
    };
    let variant = "exact, 18 positions, last of 15 seats";
    c.add(Tag::RevealJuror, variant, named);
    c.add(Tag::RevealJuror, "calibrated, last of 15 seats", |world| {
        let answered = committed(world, CALIBRATED, &[], 15);
        let name = last_juror(world, &answered);
        world.reveal(&answered, &name, Ballot::Guess(1))
    });
    c.add(Tag::ProveFault, "a leaf of 512, no case", |world| {
        let answered = world.answered(EXACT, "n0", 512, Lie::NotTheChoice(300));
        world.proof(&answered, "n1", 300, NONE)
    });
    c.add(Tag::ProveFault, NOTED, |world| {
        let answered = world.answered(EXACT, "n0", 512, Lie::NotTheChoice(300));
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[]);
        world.must_show(&answered);
        world.proof(&answered, "n1", 300, NONE)
    });
}

fn verdicts(c: &mut Catalogue) {
    c.add(Tag::ResolveCase, "guilty, 15 seats", |world| {
        let answered = committed(world, EXACT, &[], 15);
        let name = last_juror(world, &answered);
        let call = world.reveal(&answered, &name, Ballot::Guess(1));
        world.chain.must(call);
        world.resolve(&answered)
    });
    c.base = court(11, 3, |_| {});
    let variant = "not guilty, 3 seats, settles the job";
    c.add(Tag::ResolveCase, variant, |world| {
        let answered = world.answered(EXACT, "n0", 512, Lie::None);
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[]);
        world.must_show(&answered);
        world.commits(&answered, &ballots(2..11, Ballot::Honest));
        world.reveals(&answered, &ballots(2..11, Ballot::Honest));
        world.resolve(&answered)
    });
    c.add(Tag::ResolveCase, "unanswered", |world| {
        let answered = disputed(world, EXACT, &[]);
        let end = world.case(&answered).leaves_due();
        world.chain.warp_to(end);
        world.resolve(&answered)
    });
    c.add(Tag::CollectCase, "claimant", |world| {
        let answered = judged(world);
        calls::collect_case(calls::case(&answered.job), key("n1"), false)
    });
    c.add(Tag::CollectCase, "juror", |world| {
        let answered = judged(world);
        let seat = world.case(&answered).seats[0];
        calls::collect_case(calls::case(&answered.job), seat.juror, false)
    });
    c.add(Tag::CloseCase, "", |world| {
        let answered = judged(world);
        world.collect_all(&answered);
        world.chain.advance(close_delay());
        world.closing(&answered)
    });
    c.add(Tag::CloseOutput, "", |world| {
        let answered = judged(world);
        world.chain.advance(close_delay());
        calls::close_output(answered.job, 0, key("n1"))
    });
}

/// A case that a jury of 3 has found guilty.
fn judged(world: &mut World) -> Answered {
    let answered = disputed(world, EXACT, &[]);
    world.must_show(&answered);
    world.must_judge(&answered, &ballots(2..11, Ballot::Guess(1)));
    answered
}
