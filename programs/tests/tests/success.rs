//! Every instruction's success, with the amounts it must move. The invariants are checked by the
//! harness after each transaction.

use mythic_interface::error::MythicError::{DeadlinePassed, StakeBelowMinimum};
use mythic_interface::le::U64;
use mythic_interface::state::*;
use mythic_interface::{INCINERATOR, window};
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{World, jail, model, params, spec};

fn status_of<T: Account>(world: &World, address: &Key) -> u8 {
    world.chain.load::<T>(address).header().status
}

#[test]
fn the_network_is_initialized_and_its_admin_changes_in_two_steps() {
    let mut world = World::initialized();
    let chain = &mut world.chain;
    let config: Config = chain.load(&calls::config());
    assert_eq!(config.admin, key("admin"));
    assert_eq!(config.params, params());
    assert_eq!(config.header.status, ConfigStatus::Active as u8);

    let mut changed = params();
    changed.rules.window_slots.set(50);
    chain.must(calls::update_config(key("admin"), key("alice"), &changed));
    chain.must(calls::propose_admin(key("admin"), key("bob")));
    assert_eq!(chain.load::<Config>(&calls::config()).admin, key("admin"));
    chain.must(calls::accept_admin(key("bob")));
    let config: Config = chain.load(&calls::config());
    assert_eq!((config.admin, config.pending_admin), (key("bob"), NO_KEY));
    assert_eq!(config.foundation, key("alice"));
    assert_eq!(config.params, changed);
    assert_eq!(config.rules_hash, changed.rules.hash());
    chain.must(calls::pause(key("bob")));
    assert_eq!(
        status_of::<Config>(&world, &calls::config()),
        ConfigStatus::Paused as u8
    );
    world.chain.must(calls::unpause(key("bob")));
}

#[test]
fn a_model_burns_its_fee_and_starts_with_the_default_prices() {
    let mut world = World::initialized();
    let chain = &mut world.chain;
    let burned = chain.lamports(&INCINERATOR);
    chain.must(calls::register_model(
        key("payer"),
        key("registrant"),
        &spec(1),
        "smol",
    ));
    let fee = params().registration_fee.get();
    assert_eq!(chain.lamports(&INCINERATOR), burned + fee);
    let found: Model = chain.load(&model(1));
    assert_eq!(found.identity, spec(1).identity(&key("registrant")));
    assert_eq!(found.price_out, params().default_price_out);
    chain.must(calls::update_model(
        key("registrant"),
        model(1),
        (1, 2),
        "new name",
        1,
    ));
    let found: Model = chain.load(&model(1));
    assert_eq!((found.price_in.get(), found.price_out.get()), (1, 2));
    assert_eq!(found.name.as_str(), "new name");
    assert_eq!(found.header.status, ModelStatus::Retired as u8);
    assert_eq!(found.retired_slot.get(), chain.slot());
    chain.must(calls::update_model(
        key("registrant"),
        model(1),
        (1, 2),
        "new name",
        0,
    ));
    assert_eq!(chain.load::<Model>(&model(1)).retired_slot.get(), 0);
}

#[test]
fn stake_is_active_at_registration_and_waits_when_added_or_taken_out() {
    let mut world = World::new();
    let chain = &mut world.chain;
    let v1 = calls::validator(&key("v1"));
    let unbonding = u64::from(params().unbonding_slots.get());
    chain.must(calls::add_stake(key("payer"), key("v1"), SOL));
    let found: Validator = chain.load(&v1);
    assert_eq!((found.stake.get(), found.activating.get()), (2 * SOL, SOL));
    assert_eq!(found.active_stake(chain.slot() + unbonding - 1), 2 * SOL);
    assert_eq!(found.active_stake(chain.slot() + unbonding), 3 * SOL);

    chain.advance(unbonding);
    chain.must(calls::request_unstake(key("v1"), 2 * SOL));
    let found: Validator = chain.load(&v1);
    let amounts = [found.stake, found.activating, found.unbonding].map(|amount| amount.get());
    assert_eq!(amounts, [SOL, 0, 2 * SOL]);

    chain.advance(unbonding);
    let before = chain.lamports(&key("v1"));
    chain.must(calls::withdraw_stake(key("v1")));
    assert_eq!(chain.lamports(&key("v1")), before + 2 * SOL);
}

#[test]
fn added_stake_backs_jobs_and_ends_a_jail_once_its_time_has_come() {
    let mut world = World::new();
    let (v1, address) = (key("v1"), calls::validator(&key("v1")));
    world.chain.must(calls::request_unstake(v1, 2 * SOL));
    world.chain.must(calls::add_stake(key("payer"), v1, SOL));
    world
        .chain
        .advance(u64::from(params().activation_slots()) - 1);
    let early = world.cosigned("bob", "bob");
    world.chain.refuse(early.call(), StakeBelowMinimum);
    world.chain.advance(1);
    let counted = |world: &World| {
        let found: Validator = world.chain.load(&address);
        [found.stake, found.activating].map(|amount| amount.get())
    };
    let mut jailed = world.clone();
    jail(&mut jailed, "v1", 5);
    jailed.chain.advance(5);
    jailed.chain.must(calls::unjail(operator("v1"), v1));
    assert_eq!(counted(&jailed), [SOL, 0]);
    let request = world.cosigned("bob", "bob");
    world.must_request(&request);
    assert_eq!(counted(&world), [SOL, 0]);
}

#[test]
fn an_updated_validator_keeps_the_slot_of_the_models_it_served() {
    let mut world = World::new();
    let chain = &mut world.chain;
    let since = chain.slot();
    chain.advance(10);
    chain.must(calls::update_validator(
        key("v2"),
        key("new operator"),
        &[model(2), model(1)],
    ));
    let found: Validator = chain.load(&calls::validator(&key("v2")));
    assert_eq!(found.serves(&model(1)), Some(since));
    assert_eq!(found.serves(&model(2)), Some(since + 10));
    assert_eq!(found.operator, key("new operator"));
    assert_eq!(found.endpoint.as_str(), "https://node.example:8443");
}

#[test]
fn a_validator_that_holds_nothing_closes_and_its_rent_returns() {
    let mut world = World::new();
    let chain = &mut world.chain;
    chain.must(calls::request_unstake(key("v2"), 2 * SOL));
    chain.advance(u64::from(params().unbonding_slots.get()));
    chain.must(calls::withdraw_stake(key("v2")));
    let before = chain.lamports(&key("v2"));
    chain.must(calls::close_validator(key("v2"), key("v2")));
    assert_eq!(
        chain.lamports(&key("v2")),
        before + chain.rent(Validator::LEN)
    );
    assert!(chain.account(&calls::validator(&key("v2"))).is_none());
}

#[test]
fn a_jailed_validator_is_unjailed_after_its_time() {
    let mut world = World::new();
    let v1 = calls::validator(&key("v1"));
    jail(&mut world, "v1", 500);
    world.chain.advance(500);
    world.chain.must(calls::unjail(operator("v1"), key("v1")));
    assert_eq!(
        status_of::<Validator>(&world, &v1),
        ValidatorStatus::Active as u8
    );
}

#[test]
fn a_vault_takes_from_anyone_and_pays_its_owner() {
    let mut world = World::initialized();
    let chain = &mut world.chain;
    chain.must(calls::deposit_vault(key("bob"), key("carol"), 5 * SOL));
    chain.must(calls::deposit_vault(key("carol"), key("carol"), SOL));
    let vault = calls::vault(&key("carol"));
    assert_eq!(chain.load::<Vault>(&vault).balance.get(), 6 * SOL);
    chain.must(calls::withdraw_vault(key("carol"), 2 * SOL));
    let (carol, bob) = (chain.lamports(&key("carol")), chain.lamports(&key("bob")));
    chain.must(calls::close_vault(key("carol"), key("bob")));
    assert_eq!(chain.lamports(&key("carol")), carol + 4 * SOL);
    assert_eq!(chain.lamports(&key("bob")), bob + chain.rent(Vault::LEN));
}

#[test]
fn an_address_that_someone_prefunded_can_still_be_created() {
    for lamports in [1, 100 * SOL] {
        let mut world = World::initialized();
        let chain = &mut world.chain;
        chain.fund(calls::vault(&key("carol")), lamports);
        chain.must(calls::deposit_vault(key("carol"), key("carol"), SOL));
        let found: Vault = chain.load(&calls::vault(&key("carol")));
        assert_eq!(
            found.balance.get(),
            SOL,
            "what was sent there is no balance"
        );
    }
}

#[test]
fn a_grant_is_given_changed_revoked_and_closed() {
    let mut world = World::new();
    let chain = &mut world.chain;
    let address = calls::grant(&key("bob"), &key("gateway"));
    let mut limits = calls::wide_limits(chain.slot() + 10);
    limits.model_count = 1;
    limits.models[0] = model(2);
    chain.must(calls::grant_spend(
        key("payer"),
        key("bob"),
        key("gateway"),
        &limits,
    ));
    let found: SpendGrant = chain.load(&address);
    assert!(found.allows(&model(2)) && !found.allows(&model(1)));
    chain.must(calls::revoke_grant(key("bob"), key("gateway")));
    let status = |world: &World| status_of::<SpendGrant>(world, &address);
    assert_eq!(status(&world), GrantStatus::Revoked as u8);
    let chain = &mut world.chain;
    chain.must(calls::grant_spend(
        key("payer"),
        key("bob"),
        key("gateway"),
        &limits,
    ));
    assert_eq!(status(&world), GrantStatus::Active as u8);
    let chain = &mut world.chain;
    chain.advance(10);
    let before = chain.lamports(&key("payer"));
    chain.must(calls::close_grant(key("bob"), key("gateway"), key("payer")));
    assert_eq!(
        chain.lamports(&key("payer")),
        before + chain.rent(SpendGrant::LEN)
    );
}

#[test]
fn a_cosigned_job_is_paid_split_swept_and_closed() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let gateway = world.chain.lamports(&key("gateway"));
    let job = world.must_request(&request);
    let slot = world.chain.slot();
    let found = world.job(&job);
    assert_eq!(found.status(), Some(JobStatus::Accepted));
    assert_eq!(found.validator, key("v1"));
    assert_eq!(found.ceiling.get(), 12_500);
    assert_eq!(found.deadline_slot.get(), slot + 150);
    assert_eq!(
        found.terms.seed,
        mythic_interface::hash::job_seed(&job, &request.arguments.user_seed)
    );
    assert_eq!(found.grant, calls::grant(&key("alice"), &key("gateway")));
    let vault = calls::vault(&key("alice"));
    assert_eq!(
        world.chain.load::<Vault>(&vault).balance.get(),
        10 * SOL - 12_500
    );

    world.chain.advance(3);
    world.must_submit(&job, 101);
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    // 100 × 25 + 101 × 50 = 7,550 lamports.
    let found = world.job(&job);
    let amounts = [
        found.fee,
        found.validator_amount,
        found.foundation_amount,
        found.burned_amount,
        found.refunded_amount,
    ];
    assert_eq!(
        amounts.map(|amount| amount.get()),
        [7_550, 3_775, 755, 3_020, 4_950]
    );
    let chain = &mut world.chain;
    let found: Vault = chain.load(&vault);
    assert_eq!(found.balance.get(), 10 * SOL - 7_550);
    let found: SpendGrant = chain.load(&request.grant());
    assert_eq!(found.lifetime_spent.get(), 7_550);
    assert_eq!(found.window_spent.get(), 7_550);

    let burned = chain.lamports(&INCINERATOR);
    chain.must(calls::sweep(key("v1")));
    assert_eq!(chain.lamports(&INCINERATOR), burned + 3_020);
    chain.fund(key("foundation"), SOL);
    chain.must(calls::withdraw_foundation(key("foundation")));
    assert_eq!(chain.lamports(&key("foundation")), SOL + 755);
    let before = chain.lamports(&key("v1"));
    chain.must(calls::withdraw_claimable(operator("v1"), key("v1")));
    assert_eq!(chain.lamports(&key("v1")), before + 3_775);

    let delay = u64::from(params().rules.close_delay_slots.get());
    chain.advance(delay);
    chain.must(calls::close_job(job, key("gateway")));
    assert_eq!(
        chain.lamports(&key("gateway")),
        gateway,
        "rent is back, fees were others'"
    );
}

#[test]
fn an_open_job_is_accepted_by_whoever_serves_its_model() {
    let mut world = World::new();
    let request = world.request("bob", "bob");
    let job = world.must_request(&request);
    assert_eq!(world.job(&job).status(), Some(JobStatus::Open));
    let hash = world.job(&job).terms_hash;
    let call = calls::accept_inference(operator("v2"), key("v2"), job, hash);
    world.chain.must(call);
    assert_eq!(world.job(&job).validator, key("v2"));
    let result = world.result(&job, 200, FinishReason::Length);
    world.chain.must(calls::submit_result(
        operator("v2"),
        key("v2"),
        job,
        &result,
    ));
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    assert_eq!(world.job(&job).fee.get(), 12_500);
}

#[test]
fn a_nonce_is_good_in_its_last_slot_and_for_as_long_as_it_may_live() {
    let mut world = World::new();
    let (slot, life) = (world.chain.slot(), params().max_nonce_life_slots.get());
    for expiry in [slot, slot + u64::from(life)] {
        let mut request = world.request("bob", "bob");
        request.arguments.nonce = window::nonce(expiry, [9; 8]);
        world.must_request(&request);
    }
}

#[test]
fn several_results_share_a_transaction() {
    let mut world = World::new();
    let jobs: Vec<Key> = (0..3)
        .map(|_| {
            let request = world.cosigned("bob", "bob");
            world.must_request(&request)
        })
        .collect();
    let calls: Vec<_> = jobs
        .iter()
        .map(|job| {
            let result = world.result(job, 5, FinishReason::Eos);
            calls::submit_result(operator("v1"), key("v1"), *job, &result)
        })
        .collect();
    world.chain.send(&calls).expect("all three");
    for job in &jobs {
        assert_eq!(world.job(job).status(), Some(JobStatus::Submitted));
    }
}

#[test]
fn an_open_job_is_cancelled_at_once_by_owner_requester_or_canceller() {
    for who in ["alice", "gateway", "canceller"] {
        let mut world = World::new();
        let request = world.request("alice", "gateway");
        let job = world.must_request(&request);
        let call = calls::cancel(key(who), job, key("alice"), request.grant());
        world.chain.must(call);
        let found = world.job(&job);
        assert_eq!(found.status(), Some(JobStatus::Refunded));
        assert_eq!(found.end_reason, EndReason::Cancelled as u8);
        let vault: Vault = world.chain.load(&calls::vault(&key("alice")));
        assert_eq!(vault.balance.get(), 10 * SOL);
        let grant: SpendGrant = world.chain.load(&request.grant());
        assert_eq!(grant.lifetime_spent.get() + grant.window_spent.get(), 0);
    }
}

#[test]
fn a_cancelled_answer_is_paid_for_what_was_streamed() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    world.chain.advance(5);
    let call = calls::cancel(key("canceller"), job, key("alice"), request.grant());
    world.chain.must(call);
    assert_eq!(world.job(&job).status(), Some(JobStatus::Accepted));
    world.chain.advance(49);
    let result = world.result(&job, 1, FinishReason::Cancelled);
    world.chain.must(calls::submit_result(
        operator("v1"),
        key("v1"),
        job,
        &result,
    ));
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    assert_eq!(world.job(&job).fee.get(), 2_550);
}

#[test]
fn a_declined_job_is_refunded_at_once() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    let call = calls::decline(
        operator("v1"),
        key("v1"),
        job,
        key("alice"),
        request.grant(),
    );
    world.chain.must(call);
    assert_eq!(world.job(&job).end_reason, EndReason::Declined as u8);
    let found: Validator = world.chain.load(&calls::validator(&key("v1")));
    assert_eq!((found.jobs_declined.get(), found.open_jobs.get()), (1, 0));
}

#[test]
fn a_cancelled_job_is_declined_until_its_grace_ends() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let (job, grant) = (world.must_request(&request), request.grant());
    let cancel = calls::cancel(key("canceller"), job, key("alice"), grant);
    world.chain.must(cancel);
    let (end, deadline) = (
        world.job(&job).submit_end(),
        world.job(&job).deadline_slot.get(),
    );
    assert!(end < deadline);
    let decline = calls::decline(operator("v1"), key("v1"), job, key("alice"), grant);
    world.chain.warp_to(end - 1);
    let mut last = world.clone();
    last.chain.must(decline.clone());
    world.chain.warp_to(end);
    world.chain.refuse(decline, DeadlinePassed);
}

#[test]
fn a_job_without_a_result_expires_and_the_validator_missed_it() {
    let mut world = World::new();
    let open = world.request("bob", "bob");
    let open_job = world.must_request(&open);
    let taken = world.cosigned("alice", "gateway");
    let taken_job = world.must_request(&taken);
    world.chain.advance(150);
    world
        .chain
        .must(calls::expire(open_job, key("bob"), NONE, NONE));
    world.chain.must(calls::expire(
        taken_job,
        key("alice"),
        key("v1"),
        taken.grant(),
    ));
    for job in [open_job, taken_job] {
        assert_eq!(world.job(&job).end_reason, EndReason::Expired as u8);
    }
    let found: Validator = world.chain.load(&calls::validator(&key("v1")));
    assert_eq!(found.jobs_missed.get(), 1);
}

#[test]
fn a_revoked_grant_and_a_pause_are_no_obstacle_to_the_end_of_a_job() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    world.must_submit(&job, 10);
    world
        .chain
        .must(calls::revoke_grant(key("alice"), key("gateway")));
    world.chain.must(calls::pause(key("admin")));
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    assert_eq!(world.job(&job).status(), Some(JobStatus::Settled));
    world.chain.must(calls::withdraw_vault(key("alice"), SOL));
}

#[test]
fn a_change_of_the_rules_or_prices_does_not_reach_a_running_job() {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    let mut changed = params();
    changed.rules.window_slots.set(32);
    changed.rules.validator_bps.set(1);
    let call = calls::update_config(key("admin"), key("foundation"), &changed);
    world.chain.must(call);
    let call = calls::update_model(key("registrant"), model(1), (9, 9), "smol", 1);
    world.chain.must(call);
    world.must_submit(&job, 101);
    world.chain.advance(99);
    let claim = world.claim(&job);
    let error = mythic_interface::error::MythicError::WindowOpen;
    world.chain.refuse(claim.clone(), error);
    world.chain.advance(1);
    world.chain.must(claim);
    assert_eq!(world.job(&job).validator_amount.get(), 3_775);
}

#[test]
fn a_new_window_of_a_grant_starts_from_nothing() {
    let mut world = World::new();
    let mut limits = calls::wide_limits(world.chain.slot() + 100_000);
    limits.window_max = U64::new(12_500);
    limits.window_slots.set(20);
    let call = calls::grant_spend(key("alice"), key("alice"), key("gateway"), &limits);
    world.chain.must(call);
    let first = world.request("alice", "gateway");
    let first_job = world.must_request(&first);
    world.chain.advance(20);
    let second = world.request("alice", "gateway");
    world.must_request(&second);
    // A refund of the first window's job gives nothing back to the second.
    let call = calls::cancel(key("alice"), first_job, key("alice"), first.grant());
    world.chain.must(call);
    let found: SpendGrant = world.chain.load(&first.grant());
    assert_eq!(found.window_spent.get(), 12_500);
    assert_eq!(found.lifetime_spent.get(), 12_500);
}

#[test]
fn the_elf_says_whom_to_tell_of_a_hole() {
    let elf = std::fs::read(mythic_program_tests::chain::AI_PRECOMPILES.elf).expect("the ELF");
    let find = |mark: &str| {
        let mut windows = elf.windows(mark.len());
        windows.position(|window| window == mark.as_bytes())
    };
    let start = "=======BEGIN SECURITY.TXT V1=======\0";
    let begin = find(start).expect("its beginning") + start.len();
    let end = find("=======END SECURITY.TXT V1=======\0").expect("its end");
    let text = std::str::from_utf8(&elf[begin..end]).expect("text");
    let parts: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    let names: Vec<&str> = parts.iter().step_by(2).copied().collect();
    for needed in ["name", "project_url", "contacts", "policy"] {
        assert!(names.contains(&needed), "{names:?}");
    }
    assert!(parts.len().is_multiple_of(2) && parts.iter().all(|part| !part.is_empty()));
}
