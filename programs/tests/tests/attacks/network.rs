//! Attacks on grants, registrations, stake and prices.

use mythic_interface::error::MythicError::*;
use mythic_interface::le::U64;
use mythic_interface::params::Params;
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Ballot, ballots, court};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{EXACT, World, jail, model, params, spec};

#[test]
fn a_delegate_does_not_get_its_lifetime_anew_by_closing_the_grant_before_it_is_extended() {
    let mut world = World::new();
    let (bob, gateway) = (key("bob"), key("gateway"));
    let grant = calls::grant(&bob, &gateway);
    let mut limits = calls::wide_limits(world.chain.slot() + 100);
    // One job's ceiling, ever.
    limits.lifetime_cap.set(12_500);
    world
        .chain
        .must(calls::grant_spend(bob, bob, gateway, &limits));
    let request = world.cosigned("bob", "gateway");
    let job = world.must_request(&request);
    world.must_submit(&job, 200);
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    let spent = world.chain.load::<SpendGrant>(&grant).lifetime_spent;
    assert_eq!(spent.get(), 12_500);

    // The owner signs an extension; the delegate closes the expired account in front of it.
    let mut extension = calls::wide_limits(world.chain.slot() + 100_000);
    (extension.lifetime_cap, extension.spent) = (limits.lifetime_cap, spent);
    let extend = calls::grant_spend(bob, bob, gateway, &extension);
    let close = calls::close_old_grant(grant, bob);
    world.chain.refuse(close.clone(), TooEarlyToClose);
    let mut as_owner = calls::close_grant(bob, gateway, bob);
    as_owner.accounts[0].pubkey = gateway.into();
    world.chain.refuse(as_owner, NotOwner);
    let delay = u64::from(params().rules.close_delay_slots.get());
    let mut forgotten = world.clone();
    forgotten
        .chain
        .warp_to(limits.expiry_slot.get() + delay - 1);
    forgotten.chain.refuse(close.clone(), TooEarlyToClose);
    forgotten.chain.advance(1);
    forgotten.chain.must(close);
    // Even then what was signed for the old account makes no new one.
    forgotten.chain.refuse(extend.clone(), GrantSpentChanged);

    world.chain.must(extend);
    let more = world.request("bob", "gateway").call();
    world.chain.refuse(more, GrantLifetimeExceeded);
    // The owner may begin anew, knowing it.
    world.chain.must(calls::revoke_grant(bob, gateway));
    world.chain.must(calls::close_grant(bob, gateway, bob));
    extension.spent = U64::new(0);
    world
        .chain
        .must(calls::grant_spend(bob, bob, gateway, &extension));
}

#[test]
fn who_registers_a_file_first_has_nobodys_model() {
    let mut world = World::new();
    let squat = calls::register_model(key("payer"), key("stranger"), &spec(9), "squat");
    world.chain.must(squat);
    let own = calls::register_model(key("payer"), key("registrant"), &spec(9), "nine");
    world.chain.must(own);
    let theirs = calls::model_of(&key("stranger"), &spec(9));
    assert_ne!(theirs, model(9));
    let grab = calls::update_model(key("stranger"), model(9), (u32::MAX, u32::MAX), "mine", 1);
    world.chain.refuse(grab, NotRegistrant);
    let found: Model = world.chain.load(&model(9));
    assert_eq!(found.identity, spec(9).identity(&key("registrant")));
    assert_eq!(found.price_out, params().default_price_out);
}

#[test]
fn nobody_is_bound_by_rules_that_come_while_its_request_is_on_its_way() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let mut harsh: Params = params();
    harsh.rules.slash_bps.set(10_000);
    harsh.rules.validator_bps.set(1);
    let change = calls::update_config(key("admin"), key("foundation"), &harsh);
    world.chain.must(change);
    world.chain.refuse(request.call(), RulesChanged);
    let mut back = world.clone();
    let change = calls::update_config(key("admin"), key("foundation"), &params());
    back.chain.must(change);
    back.must_request(&request);
    let agreed = world.cosigned("alice", "gateway");
    world.must_request(&agreed);
}

#[test]
fn a_model_and_a_validator_are_handed_over_and_the_old_keys_rule_no_more() {
    let mut world = World::new();
    let (old, new, v1) = (key("registrant"), key("carol"), key("v1"));
    let chain = &mut world.chain;
    chain.must(calls::propose_registrant(old, model(1), new));
    chain.must(calls::accept_registrant(new, model(1)));
    let update = |who| calls::update_model(who, model(1), (25_000, 50_000), "carols", 0);
    chain.refuse(update(old), NotRegistrant);
    chain.must(update(new));
    let found: Model = chain.load(&model(1));
    assert_eq!(
        (found.creator, found.registrant, found.pending_registrant),
        (old, new, NO_KEY)
    );
    assert_eq!(found.identity, spec(1).identity(&old));

    chain.must(calls::propose_owner(v1, v1, new));
    let address = calls::validator(&v1);
    assert_eq!(chain.load::<Validator>(&address).owner, v1);
    chain.must(calls::accept_owner(new, v1));
    let found: Validator = chain.load(&address);
    assert_eq!(
        (found.authority, found.owner, found.pending_owner),
        (v1, new, NO_KEY)
    );
    // Its name stays, and so does its work.
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    world.must_submit(&job, 100);
    world.chain.advance(100);
    let claim = world.claim(&job);
    let chain = &mut world.chain;
    chain.must(claim);
    chain.refuse(calls::request_unstake(v1, 2 * SOL), NotAuthority);
    chain.refuse(calls::withdraw_claimable(v1, v1), NotOperator);
    let misled = calls::withdraw_claimable(operator("v1"), v1);
    chain.refuse(misled, NotAuthority);
    chain.must(mythic_interface::ix::withdraw_claimable(
        operator("v1"),
        new,
        v1,
    ));
    chain.must(calls::sweep(v1));
    chain.must(mythic_interface::ix::request_unstake(new, v1, 2 * SOL));
    chain.advance(params().unbonding_slots.get().into());
    let before = chain.lamports(&new);
    chain.must(mythic_interface::ix::withdraw_stake(new, v1));
    assert_eq!(chain.lamports(&new), before + 2 * SOL);
    chain.must(mythic_interface::ix::close_validator(new, v1, v1));
}

#[test]
fn jail_is_not_left_by_closing_and_registering_again() {
    let mut world = World::new();
    let v2 = key("v2");
    let unbonding = u64::from(params().unbonding_slots.get());
    world.chain.must(calls::request_unstake(v2, 2 * SOL));
    world.chain.advance(unbonding - 10);
    jail(&mut world, "v2", 100);
    world.chain.advance(10);
    world.chain.must(calls::withdraw_stake(v2));
    let close = calls::close_validator(v2, v2);
    world.chain.refuse(close.clone(), JailNotOver);
    let again = calls::register_validator(v2, operator("v2"), 2 * SOL, &[model(1)]);
    world.chain.refuse(again.clone(), AccountExists);
    world.chain.advance(89);
    world.chain.refuse(close.clone(), JailNotOver);
    world.chain.advance(1);
    world.chain.must(close);
    world.chain.must(again);
    // And the way out is as long as the jail.
    let mut short = params();
    short.rules.jail_slots.set(2_451);
    let change = calls::update_config(key("admin"), key("foundation"), &short);
    world.chain.refuse(change, UnbondingOutOfRange);
}

#[test]
fn stake_behind_a_running_job_stays_when_unbonding_is_shortened() {
    let mut world = court(5, 3, |_| {});
    let mut request = world.request("alice", "gateway");
    request.model = model(EXACT);
    request.arguments.deadline_slots.set(1_500);
    request.validator = Some((key("n0"), operator("n0")));
    let job = world.must_request(&request);
    let found: Job = world.chain.load(&job);
    let until = found.deadline_slot.get() + u64::from(found.terms.rules.window_slots.get());
    let n0 = calls::validator(&key("n0"));
    assert_eq!(
        world.chain.load::<Validator>(&n0).obliged_until.get(),
        until
    );

    let mut short = params();
    short.max_job_slots.set(1);
    short.rules.jail_slots.set(1);
    short.rules.window_slots.set(32);
    short.unbonding_slots.set(883);
    let change = calls::update_config(key("admin"), key("foundation"), &short);
    world.chain.must(change);
    world.chain.must(calls::request_unstake(key("n0"), 2 * SOL));
    world.chain.advance(883);
    let withdraw = calls::withdraw_stake(key("n0"));
    world.chain.refuse(withdraw.clone(), StakeObliged);
    // A false answer in the last slot, and its proof, still find the stake.
    world.chain.warp_to(found.deadline_slot.get() - 1);
    let answered = world.answer(&job, "n0", 200, Lie::NotTheChoice(20));
    world.chain.refuse(withdraw.clone(), StakeObliged);
    let call = world.proof(&answered, "n1", 20, calls::NONE);
    world.chain.must(call);
    assert_eq!(world.job(&job).slashed_amount.get(), SOL);
    world.chain.warp_to(until);
    world.chain.must(withdraw);
}

#[test]
fn a_jurors_stake_stays_until_its_fine_can_be_collected_and_an_uncollected_one_lapses() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::None);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    world.commits(&answered, &ballots(2..11, Ballot::Honest));
    let found = world.case(&answered);
    let silent = found.seats[0].juror;
    let until = found.juror_obliged_until();
    let delay = u64::from(params().rules.close_delay_slots.get());
    assert_eq!(until, found.reveal_end() + delay);
    let stake = world
        .chain
        .load::<Validator>(&calls::validator(&silent))
        .obliged_until;
    assert_eq!(stake.get(), until);
    // Whoever sits there says nothing; it is due a fine that nobody collects.
    world.chain.warp_to(found.reveal_end());
    let call = world.resolve(&answered);
    world.chain.must(call);
    let resolved = world.case(&answered);
    assert!(resolved.seats[0].penalty.get() > 0);
    world.chain.must(calls::collect_case(
        calls::case(&answered.job),
        key("n1"),
        false,
    ));
    let close = world.closing(&answered);
    world.chain.warp_to(resolved.retention_end());
    world.chain.refuse(close.clone(), NotCollected);
    let mut collected = world.clone();
    collected.chain.must(calls::collect_case(
        calls::case(&answered.job),
        silent,
        false,
    ));
    world.chain.warp_to(resolved.forfeit_end() - 1);
    world.chain.refuse(close.clone(), NotCollected);
    world.chain.advance(1);
    world.chain.must(close);
}

#[test]
fn a_cancel_in_the_slot_after_acceptance_leaves_the_time_that_the_prompt_takes() {
    let mut world = World::new();
    let mut request = world.cosigned("alice", "gateway");
    request.arguments.prompt_tokens.set(3_800);
    request.arguments.deadline_slots.set(1_500);
    let job = world.must_request(&request);
    world.chain.advance(1);
    let cancelled = world.chain.slot();
    let cancel = calls::cancel(key("canceller"), job, key("alice"), request.grant());
    world.chain.must(cancel);
    // 50 slots, and 3,800 tokens at 40 a slot.
    let end = cancelled + 50 + 95;
    assert_eq!(world.job(&job).submit_end(), end);
    let expire = calls::expire(job, key("alice"), key("v1"), request.grant());
    world.chain.warp_to(end - 1);
    world.chain.refuse(expire, DeadlineNotPassed);
    let result = world.result(&job, 1, FinishReason::Cancelled);
    let submit = calls::submit_result(operator("v1"), key("v1"), job, &result);
    world.chain.must(submit);
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    // The prompt's price and one token's.
    assert_eq!(world.job(&job).fee.get(), 95_050);
}

/// An open job of bob that v1 has accepted.
fn taken(world: &mut World) -> Key {
    let request = world.request("bob", "bob");
    let job = world.must_request(&request);
    let hash = world.job(&job).terms_hash;
    let accept = calls::accept_inference(operator("v1"), key("v1"), job, hash);
    world.chain.must(accept);
    job
}

/// Jobs missed, lamports slashed, ceilings open.
fn record(world: &World) -> [u64; 3] {
    let v1: Validator = world.chain.load(&calls::validator(&key("v1")));
    [v1.jobs_missed, v1.slashed, v1.exposure].map(|number| number.get())
}

#[test]
fn taking_open_jobs_and_staying_silent_costs_stake() {
    let mut world = World::new();
    let job = taken(&mut world);
    assert_eq!(record(&world), [0, 0, 12_500]);
    world.chain.advance(150);
    let expire = calls::expire(job, key("bob"), key("v1"), calls::NONE);
    world.chain.must(expire);
    assert_eq!(record(&world), [1, 1_000_000, 0]);
    assert_eq!(world.job(&job).no_show_amount.get(), 1_000_000);
    let v1: Validator = world.chain.load(&calls::validator(&key("v1")));
    assert_eq!(v1.owed_burn.get(), 1_000_000);
    world.chain.must(calls::sweep(key("v1")));

    // In time it declines for nothing, later as if it had been silent.
    for (after, expected) in [(49, [1, 1_000_000, 0]), (50, [2, 2_000_000, 0])] {
        let job = taken(&mut world);
        world.chain.advance(after);
        let decline = calls::decline(operator("v1"), key("v1"), job, key("bob"), calls::NONE);
        world.chain.must(decline);
        assert_eq!(record(&world), expected);
    }
    // A cancel excuses it right after acceptance, and never later.
    for (after, expected) in [(49, [2, 2_000_000, 0]), (50, [3, 3_000_000, 0])] {
        let job = taken(&mut world);
        world.chain.advance(after);
        let cancel = calls::cancel(key("bob"), job, key("bob"), calls::NONE);
        world.chain.must(cancel);
        let end = world.job(&job).submit_end();
        world.chain.warp_to(end);
        let expire = calls::expire(job, key("bob"), key("v1"), calls::NONE);
        world.chain.must(expire);
        assert_eq!(record(&world), expected);
    }
    // Who was given a job by a gateway has it counted and loses nothing; a cancel at once is no miss of it.
    for (cancels, missed) in [(false, 4), (true, 4)] {
        let request = world.cosigned("bob", "bob");
        let job = world.must_request(&request);
        if cancels {
            let cancel = calls::cancel(key("bob"), job, key("bob"), calls::NONE);
            world.chain.must(cancel);
        }
        let end = world.job(&job).submit_end();
        world.chain.warp_to(end);
        let expire = calls::expire(job, key("bob"), key("v1"), calls::NONE);
        world.chain.must(expire);
        assert_eq!(record(&world), [missed, 3_000_000, 0]);
    }
}

#[test]
fn stake_backs_what_a_false_answer_can_win() {
    let mut world = World::new();
    let dear = calls::update_model(key("registrant"), model(1), (1, 500_000_000), "smol", 0);
    world.chain.must(dear);
    // 2 SOL back 0.2 SOL of ceilings, and 0.1 SOL of one.
    let ask = |world: &mut World, milli_sol: u64| {
        let mut request = world.cosigned("bob", "bob");
        request.arguments.prompt_tokens.set(1);
        request.arguments.price_in.set(1);
        request.arguments.price_out.set(500_000_000);
        let tokens = u32::try_from(milli_sol * 2).expect("few");
        request.arguments.max_output_tokens.set(tokens);
        request
    };
    let over = ask(&mut world, 100).call();
    // One lamport for the prompt is too much.
    world.chain.refuse(over, ExposureExceeded);
    let mut jobs = Vec::new();
    for milli_sol in [99, 99] {
        let request = ask(&mut world, milli_sol);
        jobs.push(world.must_request(&request));
    }
    let more = ask(&mut world, 2).call();
    world.chain.refuse(more, ExposureExceeded);
    let open = {
        let mut request = ask(&mut world, 2);
        request.validator = None;
        world.must_request(&request)
    };
    let hash = world.job(&open).terms_hash;
    let accept = calls::accept_inference(operator("v1"), key("v1"), open, hash);
    world.chain.refuse(accept.clone(), ExposureExceeded);
    let decline = calls::decline(operator("v1"), key("v1"), jobs[0], key("bob"), calls::NONE);
    world.chain.must(decline);
    world.chain.must(accept);
    assert_eq!(record(&world)[2], 99_000_001 + 2_000_001);
}

#[test]
fn juries_are_not_rented_for_one_request() {
    let mut world = court(5, 3, |params| params.rules.maturity_slots.set(500));
    // The attacker is the requester: it registers right before its own request, with more stake than all others have.
    for name in ["x0", "x1", "x2"] {
        world.seat(name, 20 * SOL);
    }
    world.chain.advance(1);
    let answered = world.answered(EXACT, "n0", 512, Lie::None);
    world.reach_sample(&answered);
    let young = world.objection(&answered, "x0", &[]);
    world.chain.refuse(young, ChallengerTooYoung);
    // An old key of its own may claim; the new ones don't judge.
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    for name in ["x0", "x1", "x2"] {
        let commit = world.commit(&answered, name, Ballot::Guess(1));
        world.chain.refuse(commit, NotEligibleJuror);
    }
    world.must_judge(&answered, &ballots(2..5, Ballot::Honest));
    let resolved = world.case(&answered);
    assert_eq!(resolved.verdict, Verdict::NotGuilty as u8);
    assert_eq!(resolved.slashed_amount.get(), 0);
    // Nor is old stake made larger for it: what is added waits as long as who is new.
    world
        .chain
        .must(calls::add_stake(key("payer"), key("n2"), 50 * SOL));
    let n2 = world.validator("n2");
    let unbonding = u64::from(params().unbonding_slots.get());
    assert_eq!(n2.active_stake(world.chain.slot() + unbonding - 1), 2 * SOL);
    let mut days = Params::dev();
    days.rules.maturity_slots.set(432_000);
    let change = calls::update_config(key("admin"), key("foundation"), &days);
    world.chain.must(change);
    world
        .chain
        .must(calls::add_stake(key("payer"), key("n3"), 50 * SOL));
    let n3 = world.validator("n3");
    assert_eq!(n3.active_stake(world.chain.slot() + 431_999), 2 * SOL);
    assert_eq!(n3.active_stake(world.chain.slot() + 432_000), 52 * SOL);
}

#[test]
fn who_has_nothing_to_lose_neither_claims_nor_judges() {
    let mut world = court(5, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::None);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    // All of its stake is on the way out, and its account stays.
    for name in ["n2", "n3"] {
        world.chain.must(calls::request_unstake(key(name), 2 * SOL));
    }
    let empty = world.objection(&answered, "n2", &[]);
    world.chain.refuse(empty, StakeBelowMinimum);
    world.must_show(&answered);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    let commit = world.commit(&answered, "n3", Ballot::Honest);
    world.chain.refuse(commit, StakeBelowMinimum);
}

#[test]
fn what_was_paid_out_returned_and_forfeited_stays_in_the_accounts() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let resolved = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
    world.chain.must(calls::collect_case(
        calls::case(&answered.job),
        key("n1"),
        false,
    ));
    let n1 = world.validator("n1");
    assert_eq!(n1.returned.get(), resolved.claims[0].bond());
    assert_eq!(n1.claimable, resolved.claims[0].amount);
    world
        .chain
        .must(calls::withdraw_claimable(key("n1"), key("n1")));
    let n1 = world.validator("n1");
    assert_eq!(
        (n1.claimable.get(), n1.withdrawn),
        (0, resolved.claims[0].amount)
    );
    // A juror leaves before it collects.
    let juror = resolved.seats[0].juror;
    let due: u64 = resolved.seats.iter().map(|seat| seat.reward.get()).sum();
    let own = resolved.seats.iter().filter(|seat| seat.juror == juror);
    let own: u64 = own.map(|seat| seat.reward.get()).sum();
    assert!(own > 0 && own <= due);
    world.chain.must(calls::request_unstake(juror, 2 * SOL));
    world.chain.advance(params().unbonding_slots.get().into());
    let validator = calls::validator(&juror);
    let until = world
        .chain
        .load::<Validator>(&validator)
        .obliged_until
        .get();
    world.chain.warp_to(until.max(world.chain.slot()));
    world.chain.must(calls::withdraw_stake(juror));
    let found: Validator = world.chain.load(&validator);
    assert_eq!(found.withdrawn_stake.get(), 2 * SOL);
    world.chain.must(calls::close_validator(juror, juror));
    world
        .chain
        .must(calls::collect_case(calls::case(&answered.job), juror, true));
    assert_eq!(world.case(&answered).forfeited_amount.get(), own);
}
