//! Initialization, configuration, treasury, models, validators.

use mythic_interface::error::MythicError::*;
use mythic_interface::ix::Tag;
use mythic_interface::params::Params;
use mythic_interface::state::*;
use mythic_program_tests::calls;
use mythic_program_tests::chain::{SOL, program_data};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{World, jail, model, params, spec};
use solana_pubkey::Pubkey;

use crate::seen::{Seen, patch, swap};

pub fn initialization(seen: &mut Seen) {
    let mut world = World::bare();
    let call = calls::initialize(&params());
    let other = swap(call.clone(), 2, key("stranger"));
    seen.refuse(&mut world, other, InvalidProgramData);
    let other = swap(call.clone(), 1, key("stranger"));
    seen.refuse(&mut world, other, NotUpgradeAuthority);
    let mut final_program = world.clone();
    final_program.chain.set_upgrade_authority(None);
    seen.refuse(&mut final_program, call.clone(), NotUpgradeAuthority);
    let mut closed = world.clone();
    let mut account = closed.chain.account(&program_data()).expect("there");
    account.data[0] = 1;
    closed.chain.put(program_data(), account);
    seen.refuse(&mut closed, call.clone(), InvalidProgramData);
    for at in [1, 33] {
        let mut zero = call.clone();
        zero.data[at..at + 32].fill(0);
        seen.refuse(&mut world, zero, InvalidAddress);
    }
    let mut bad = params();
    bad.rules.window_slots.set(401);
    seen.refuse(&mut world, calls::initialize(&bad), WindowOutOfRange);
    world.chain.must(call.clone());
    seen.refuse(&mut world, call, AccountExists);
}

pub fn config_and_treasury(seen: &mut Seen) {
    let mut world = World::new();
    let (admin, stranger) = (key("admin"), key("stranger"));
    for call in [
        calls::update_config(stranger, stranger, &params()),
        calls::propose_admin(stranger, stranger),
        calls::pause(stranger),
        calls::unpause(stranger),
    ] {
        seen.refuse(&mut world, call, NotAdmin);
    }
    let call = calls::update_config(admin, NO_KEY, &params());
    seen.refuse(&mut world, call, InvalidAddress);
    seen.refuse(&mut world, calls::accept_admin(stranger), NotPendingAdmin);
    world.chain.must(calls::propose_admin(admin, key("bob")));
    seen.refuse(&mut world, calls::accept_admin(stranger), NotPendingAdmin);
    world.chain.must(calls::propose_admin(admin, NO_KEY));
    seen.refuse(&mut world, calls::accept_admin(key("bob")), NotPendingAdmin);
    seen.refuse(&mut world, calls::unpause(admin), NotPaused);
    seen.refuse(&mut world, calls::sweep(key("v1")), NothingToSweep);
    let call = calls::withdraw_foundation(key("foundation"));
    seen.refuse(&mut world, call, NothingToWithdraw);
    let call = calls::withdraw_foundation(stranger);
    seen.refuse(&mut world, call, WrongFoundation);
    let call = calls::update_config(admin, calls::config(), &params());
    world.chain.must(call);
    let mut call = calls::withdraw_foundation(calls::config());
    call.accounts[0].is_writable = true;
    seen.refuse(&mut world, call, InvalidAddress);
    world.chain.must(calls::pause(admin));
    seen.refuse(&mut world, calls::pause(admin), Paused);
    let call = world.request("alice", "alice").call();
    seen.refuse(&mut world, call, Paused);

    let mut refuse = |change: fn(&mut Params), error| {
        let mut changed = params();
        change(&mut changed);
        let call = calls::update_config(admin, key("foundation"), &changed);
        seen.refuse(&mut world, call, error);
    };
    refuse(|p| p.rules.window_slots.set(31), WindowOutOfRange);
    refuse(|p| p.rules.reveal_slots.set(401), WindowOutOfRange);
    refuse(|p| p.rules.cancel_grace_slots.set(0), WindowOutOfRange);
    refuse(|p| p.rules.reveal_slots.set(31), WindowOutOfRange);
    refuse(|p| p.rules.openings_slots.set(49), WindowOutOfRange);
    refuse(|p| p.max_job_slots.set(0), DurationOutOfRange);
    refuse(|p| p.max_nonce_life_slots.set(u32::MAX), DurationOutOfRange);
    refuse(|p| p.rules.jail_slots.set(0), DurationOutOfRange);
    refuse(|p| p.rules.close_delay_slots.set(1_500), CloseDelayTooShort);
    refuse(|p| p.unbonding_slots.set(2_449), UnbondingOutOfRange);
    refuse(|p| p.rules.validator_bps.set(9_001), SharesOutOfRange);
    refuse(|p| p.rules.validator_bps.set(0), SharesOutOfRange);
    refuse(|p| p.rules.foundation_bps.set(0), SharesOutOfRange);
    refuse(|p| p.rules.slash_bps.set(10_001), SlashOutOfRange);
    refuse(|p| p.rules.slash_bps.set(999), SlashOutOfRange);
    refuse(|p| p.rules.bond_bps.set(49), SlashOutOfRange);
    refuse(|p| p.rules.jury_seats.set(2), JuryOutOfRange);
    refuse(|p| p.rules.stake_per_job.set(0), StakeOutOfRange);
    refuse(|p| p.rules.jury_stake.set(0), StakeOutOfRange);
    refuse(|p| p.rules.juror_tariff.set(0), ZeroAmount);
    refuse(|p| p.rules.juror_penalty.set(0), ZeroAmount);
    refuse(|p| p.rules.answering_fee.set(0), ZeroAmount);
    refuse(|p| p.registration_fee.set(0), ZeroAmount);
    refuse(|p| p.default_price_in.set(0), ZeroAmount);
    refuse(|p| p.registration_fee.set(1 << 63), AmountTooLarge);
}

pub fn models(seen: &mut Seen) {
    let mut world = World::new();
    let register = |change: fn(&mut ModelSpec)| {
        let mut spec = spec(9);
        change(&mut spec);
        calls::register_model(key("payer"), key("registrant"), &spec, "nine")
    };
    let mut refuse = |change, error| seen.refuse(&mut world, register(change), error);
    refuse(|s| s.kernel_profile.set(0), UnknownKernelProfile);
    refuse(|s| s.kernel_profile.set(2), UnknownKernelProfile);
    refuse(|s| s.kernel_profile.set(257), UnknownKernelProfile);
    refuse(|s| s.eos_count = 0, InvalidEosIds);
    refuse(|s| s.eos_count = 9, InvalidEosIds);
    refuse(|s| s.eos_count = 2, InvalidEosIds);
    refuse(|s| s.eos_ids[3].set(1), InvalidPadding);
    refuse(|s| s.context_length.set(0), InvalidContextLength);
    refuse(|s| s.max_job_tokens.set(1), InvalidJobTokens);
    refuse(|s| s.max_job_tokens.set(8_193), InvalidJobTokens);
    refuse(|s| s.error_ppm.set(1), ThresholdOutOfRange);
    refuse(|s| s.miss_ppm.set(1), ThresholdOutOfRange);
    refuse(
        |s| {
            s.error_ppm.set(10_001);
            s.miss_ppm.set(1);
        },
        ThresholdOutOfRange,
    );
    refuse(|s| s.commit_slots.set(99), CommitSlotsOutOfRange);
    refuse(|s| s.commit_slots.set(301), CommitSlotsOutOfRange);
    let call = calls::register_model(key("payer"), key("registrant"), &spec(9), "");
    seen.refuse(&mut world, call, EmptyName);
    let call = calls::register_model(key("payer"), key("registrant"), &spec(9), "nine");
    let name = call.data.len() - 49;
    for (at, byte) in [
        (name, 49),
        (name + 1, 0),
        (name + 1, 0xff),
        (name + 20, b'x'),
    ] {
        seen.refuse(&mut world, patch(call.clone(), at, byte), InvalidText);
    }
    let again = calls::register_model(key("payer"), key("registrant"), &spec(1), "again");
    seen.refuse(&mut world, again, AccountExists);

    let update = |who: &str, name: &str, retired| {
        calls::update_model(key(who), model(1), (1, 1), name, retired)
    };
    seen.refuse(&mut world, update("stranger", "n", 0), NotRegistrant);
    seen.refuse(&mut world, update("registrant", "", 0), EmptyName);
    seen.refuse(&mut world, update("registrant", "n", 2), InvalidFlag);
    let propose = |who: &str, next| calls::propose_registrant(key(who), model(1), next);
    let accept = |who: &str| calls::accept_registrant(key(who), model(1));
    seen.refuse(
        &mut world,
        propose("stranger", key("stranger")),
        NotRegistrant,
    );
    seen.refuse(&mut world, accept("bob"), NotPendingRegistrant);
    world.chain.must(propose("registrant", key("bob")));
    seen.refuse(&mut world, accept("stranger"), NotPendingRegistrant);
    seen.refuse(&mut world, update("bob", "n", 0), NotRegistrant);
    world.chain.must(propose("registrant", NO_KEY));
    seen.refuse(&mut world, accept("bob"), NotPendingRegistrant);
    world.chain.must(update("registrant", "n", 1));
    let call = world.request("alice", "alice").call();
    seen.refuse(&mut world, call, ModelRetired);
    let call = calls::register_validator(key("v3"), operator("v3"), SOL, &[model(1)]);
    seen.refuse(&mut world, call, ModelRetired);
    // Who serves it already may go on naming it.
    let call = calls::update_validator(key("v2"), operator("v2"), &[model(1)]);
    world.chain.must(call);
}

pub fn validators(seen: &mut Seen) {
    let mut world = World::new();
    let register =
        |stake, models: &[Key]| calls::register_validator(key("v3"), operator("v3"), stake, models);
    seen.refuse(&mut world, register(SOL - 1, &[]), StakeBelowMinimum);
    seen.refuse(&mut world, register(1 << 63, &[]), AmountTooLarge);
    let twice = [model(1), model(1)];
    seen.refuse(&mut world, register(SOL, &twice), DuplicateModel);
    seen.refuse(&mut world, register(SOL, &[model(1); 9]), TooManyModels);
    let strange = [calls::config()];
    let call = calls::update_validator(key("v1"), operator("v1"), &strange);
    seen.refuse(&mut world, call, WrongAccountType);
    let mut zero = register(SOL, &[]);
    zero.data[1..33].fill(0);
    seen.refuse(&mut world, zero, InvalidAddress);
    let texts = 1 + 32 + 8 + 4;
    seen.refuse(
        &mut world,
        patch(register(SOL, &[]), texts + 1, b'x'),
        InvalidText,
    );
    seen.refuse(
        &mut world,
        patch(register(SOL, &[]), texts + 49, 255),
        InvalidText,
    );
    let again = calls::register_validator(key("v1"), operator("v1"), SOL, &[]);
    seen.refuse(&mut world, again, AccountExists);

    for call in [
        calls::update_validator(key("v1"), operator("v1"), &[]),
        calls::add_stake(key("payer"), key("v1"), SOL),
        calls::request_unstake(key("v1"), SOL),
        calls::withdraw_stake(key("v1")),
        calls::close_validator(key("v1"), key("v1")),
        calls::propose_owner(key("v1"), key("v1"), key("bob")),
    ] {
        let at = call
            .accounts
            .iter()
            .rposition(|account| account.pubkey == Pubkey::from(key("v1")) && account.is_signer);
        // The operator's key is no authority; the last place of the authority that signs is its own.
        let call = swap(call, at.expect("signs"), operator("v1"));
        let call = match call.data[0] == Tag::CloseValidator as u8 {
            true => swap(call, 0, operator("v1")),
            false => call,
        };
        seen.refuse(&mut world, call, NotAuthority);
    }
    let call = calls::withdraw_claimable(key("stranger"), key("v1"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(
        calls::withdraw_claimable(operator("v1"), key("v1")),
        2,
        key("stranger"),
    );
    seen.refuse(&mut world, call, NotAuthority);
    let call = calls::withdraw_claimable(key("v1"), key("v1"));
    seen.refuse(&mut world, call, NothingToWithdraw);

    let accept = |who: &str| calls::accept_owner(key(who), key("v1"));
    seen.refuse(&mut world, accept("bob"), NotPendingOwner);
    let propose = |next| calls::propose_owner(key("v1"), key("v1"), next);
    world.chain.must(propose(key("bob")));
    seen.refuse(&mut world, accept("stranger"), NotPendingOwner);
    world.chain.must(propose(NO_KEY));
    seen.refuse(&mut world, accept("bob"), NotPendingOwner);

    let add = |amount| calls::add_stake(key("payer"), key("v1"), amount);
    seen.refuse(&mut world, add(0), ZeroAmount);
    seen.refuse(&mut world, add(1 << 63), AmountTooLarge);
    seen.refuse(&mut world, add(i64::MAX as u64), AmountTooLarge);
    let unstake = |amount| calls::request_unstake(key("v1"), amount);
    seen.refuse(&mut world, unstake(0), ZeroAmount);
    seen.refuse(&mut world, unstake(2 * SOL + 1), InsufficientStake);
    seen.refuse(&mut world, unstake(SOL + 1), StakeBelowMinimum);
    let withdraw = || calls::withdraw_stake(key("v1"));
    seen.refuse(&mut world, withdraw(), NothingToWithdraw);
    let close = || calls::close_validator(key("v1"), key("v1"));
    seen.refuse(&mut world, close(), ValidatorNotEmpty);
    let call = calls::close_validator(key("v1"), key("stranger"));
    seen.refuse(&mut world, call, WrongRentPayer);
    world.chain.must(unstake(SOL));
    let unbonding = u64::from(params().unbonding_slots.get());
    world.chain.advance(unbonding - 1);
    seen.refuse(&mut world, withdraw(), StakeLocked);
    world.chain.advance(1);
    let v1 = calls::validator(&key("v1"));
    let cases = |count| move |v: &mut Validator| v.open_cases.set(count);
    let until = world.chain.slot() + 1;
    let mut obliged = world.clone();
    obliged
        .chain
        .forge(&v1, |v: &mut Validator| v.obliged_until.set(until));
    seen.refuse(&mut obliged, withdraw(), StakeObliged);
    world.chain.forge(&v1, cases(1));
    seen.refuse_forged(&mut world, withdraw(), OpenCases);
    seen.refuse_forged(&mut world, close(), OpenCases);
    world.chain.forge(&v1, cases(0));
    world.chain.must(withdraw());
    let request = world.cosigned("bob", "bob");
    world.must_request(&request);
    seen.refuse(&mut world, close(), OpenJobs);
    jailed(seen, world);
    emptied(seen);
}

fn jailed(seen: &mut Seen, mut world: World) {
    let unjail = |who| calls::unjail(who, key("v1"));
    seen.refuse(&mut world, unjail(operator("v1")), NotJailed);
    seen.refuse(&mut world, unjail(key("stranger")), NotOperator);
    jail(&mut world, "v1", 10);
    world.chain.advance(9);
    seen.refuse(&mut world, unjail(key("v1")), JailNotOver);
    let call = world.cosigned("bob", "bob").call();
    seen.refuse(&mut world, call, Jailed);
    world.chain.must(calls::request_unstake(key("v1"), SOL));
    world.chain.advance(1);
    seen.refuse(&mut world, unjail(key("v1")), StakeBelowMinimum);
}

/// Whatever it still holds keeps a validator open, each by itself.
fn emptied(seen: &mut Seen) {
    let mut world = World::new();
    let v1 = key("v1");
    let request = world.cosigned("bob", "bob");
    let job = world.must_request(&request);
    world.must_submit(&job, 200);
    world.chain.advance(100);
    let claim = world.claim(&job);
    world.chain.must(claim);
    world.chain.must(calls::request_unstake(v1, 2 * SOL));
    let unbonding = u64::from(params().unbonding_slots.get());
    world.chain.advance(unbonding - 1);
    let close = || calls::close_validator(v1, v1);
    let (sweep, earnings) = (|| calls::sweep(v1), || calls::withdraw_claimable(v1, v1));
    // Stake that does not count yet.
    let mut added = world.clone();
    added.chain.must(calls::add_stake(key("payer"), v1, SOL));
    added.chain.advance(1);
    for call in [calls::withdraw_stake(v1), sweep(), earnings()] {
        added.chain.must(call);
    }
    seen.refuse(&mut added, close(), ValidatorNotEmpty);
    world.chain.advance(1);
    world.chain.must(calls::withdraw_stake(v1));
    // What it has earned, what it owes, nothing.
    let mut earned = world.clone();
    earned.chain.must(sweep());
    seen.refuse(&mut earned, close(), ValidatorNotEmpty);
    world.chain.must(earnings());
    seen.refuse(&mut world, close(), ValidatorNotEmpty);
    world.chain.must(sweep());
    world.chain.must(close());
}
