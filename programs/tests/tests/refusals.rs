//! Every refusal with its exact error. The last test checks that no error of the program is missing.

use std::collections::BTreeSet;

use mythic_interface::error::MythicError::{self, *};
use mythic_interface::ix::{self, Tag};
use mythic_interface::params::{MAX_OUTPUT_TOKENS, Params};
use mythic_interface::state::*;
use mythic_interface::{AI_PRECOMPILES_ID, SYSTEM_PROGRAM, window};
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE, Request};
use mythic_program_tests::catalogue::catalogue;
use mythic_program_tests::chain::{SOL, program_data};
use mythic_program_tests::court::{Case, Vote, court, party, votes};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, World, jail, model, params, spec};
use solana_instruction::{AccountMeta, Instruction as Call};
use solana_pubkey::Pubkey;

/// Errors that were provoked.
#[derive(Default)]
struct Seen(BTreeSet<u32>);

impl Seen {
    fn refuse(&mut self, world: &mut World, call: Call, error: MythicError) {
        world.chain.refuse(call, error);
        self.0.insert(error.code());
    }

    /// As [`Seen::refuse`], in a state that was forged past the invariants.
    fn refuse_forged(&mut self, world: &mut World, call: Call, error: MythicError) {
        let refused = world.chain.send_unchecked(call).expect_err("a refusal");
        assert_eq!(refused.mythic(), Some(error), "{refused:?}");
        self.0.insert(error.code());
    }
}

/// The call with another account at `index`, its flags kept.
fn swap(mut call: Call, index: usize, account: Key) -> Call {
    call.accounts[index].pubkey = Pubkey::from(account);
    call
}

fn patch(mut call: Call, at: usize, byte: u8) -> Call {
    call.data[at] = byte;
    call
}

fn flag(mut call: Call, index: usize, change: fn(&mut AccountMeta)) -> Call {
    // Flags of one key are joined in a message, so they change wherever the key stands.
    let key = call.accounts[index].pubkey;
    call.accounts
        .iter_mut()
        .filter(|account| account.pubkey == key)
        .for_each(change);
    call
}

fn the_call_itself(seen: &mut Seen) {
    for entry in catalogue() {
        let (mut world, call, spec) = (entry.world, entry.call, entry.tag.spec());
        let mut shorter = call.clone();
        shorter.data.pop();
        let expected = match shorter.data.is_empty() {
            true => UnknownInstruction,
            false => InvalidInstructionData,
        };
        seen.refuse(&mut world, shorter, expected);
        let mut longer = call.clone();
        longer.data.push(0);
        seen.refuse(&mut world, longer, InvalidInstructionData);
        let mut fewer = call.clone();
        fewer.accounts.truncate(spec.accounts.len() - 1);
        seen.refuse(&mut world, fewer, NotEnoughAccounts);
        if spec.trailing.is_none() {
            let mut more = call.clone();
            more.accounts.push(AccountMeta::new_readonly(
                Pubkey::from(key("stranger")),
                false,
            ));
            seen.refuse(&mut world, more, TooManyAccounts);
        }
        for (i, account) in spec.accounts.iter().enumerate() {
            if call.accounts[i].pubkey == Pubkey::from(NONE) {
                continue;
            }
            if account.signer {
                let unsigned = flag(call.clone(), i, |account| account.is_signer = false);
                seen.refuse(&mut world, unsigned, MissingSignature);
            }
            if account.writable {
                let read_only = flag(call.clone(), i, |account| account.is_writable = false);
                seen.refuse(&mut world, read_only, AccountNotWritable);
            }
            if account.name == "system_program" {
                let other = swap(call.clone(), i, key("stranger"));
                seen.refuse(&mut world, other, InvalidSystemProgram);
            }
            if account.name == "incinerator" {
                let other = swap(call.clone(), i, key("stranger"));
                seen.refuse(&mut world, other, InvalidIncinerator);
            }
        }
        world.chain.must(call);
    }
    let mut world = World::new();
    for byte in [0, 9, 255] {
        let call = patch(calls::pause(key("admin")), 0, byte);
        seen.refuse(&mut world, call, UnknownInstruction);
    }
    let other = key("another program");
    world.chain.deploy_at(other);
    let mut call = calls::pause(key("admin"));
    call.program_id = Pubkey::from(other);
    seen.refuse(&mut world, call, WrongProgramId);
    let vault = calls::vault(&key("alice"));
    let forge = |vault: &mut Vault| vault.header.seq.set(u64::MAX);
    world.chain.forge(&vault, forge);
    seen.refuse(
        &mut world,
        calls::withdraw_vault(key("alice"), 1),
        CounterOverflow,
    );
}

/// Accounts of the program in each call replaced by a stranger's, by one of another type, and by
/// one of the same type that belongs to somebody else.
fn other_accounts(seen: &mut Seen) {
    let created = [
        "config",
        "treasury",
        "model",
        "validator",
        "vault",
        "grant",
        "job",
        "challenger",
        "submitter",
        "prover",
        "dispute",
        "fault",
        "first_page",
        "page",
    ];
    for entry in catalogue() {
        let (mut world, call) = (entry.world, entry.call);
        for (i, account) in entry.tag.spec().accounts.iter().enumerate() {
            let absent = call.accounts[i].pubkey == Pubkey::from(NONE);
            if !created.contains(&account.name) || absent {
                continue;
            }
            let exists = world
                .chain
                .account(&call.accounts[i].pubkey.to_bytes())
                .is_some();
            // A recorded cancel touches neither vault nor grant.
            if (entry.tag, entry.variant) == (Tag::CancelJob, "accepted") && i >= 2 {
                continue;
            }
            let strange = swap(call.clone(), i, key("a key without an account"));
            let refused = world.chain.send(&[strange]).expect_err("a stranger's");
            let error = refused.mythic().unwrap_or_else(|| panic!("{refused:?}"));
            let expected: &[MythicError] = match (exists, account.name) {
                (false, _) => &[WrongAddress],
                (true, "vault" | "grant") => &[WrongAccountOwner, WrongAddress, WrongGrant],
                // Where an account must be the one that another names, that is said first.
                (true, "model") => &[WrongAccountOwner, WrongModel],
                (true, "job") => &[WrongAccountOwner, WrongDispute],
                // A page may be new, and a juror's account closed: then only the address can be wrong.
                (true, "first_page" | "validator") => &[WrongAccountOwner, WrongAddress],
                (true, _) => &[WrongAccountOwner],
            };
            assert!(
                expected.contains(&error),
                "{}: {error} for {}",
                entry.tag.name(),
                account.name
            );
            seen.0.insert(error.code());
            let (config, treasury) = (calls::config(), calls::treasury());
            let type_swap = match account.name {
                "config" => treasury,
                _ => config,
            };
            if call
                .accounts
                .iter()
                .any(|a| a.pubkey == Pubkey::from(type_swap))
            {
                continue;
            }
            let other = swap(call.clone(), i, type_swap);
            let Err(refused) = world.chain.send(&[other]) else {
                panic!("{} took another type", entry.tag.name());
            };
            let error = refused.mythic().unwrap_or_else(|| panic!("{refused:?}"));
            let expected = [
                WrongAccountType,
                WrongAddress,
                AccountExists,
                WrongGrant,
                WrongModel,
                WrongDispute,
            ];
            assert!(
                expected.contains(&error),
                "{}: {error} for {}",
                entry.tag.name(),
                account.name
            );
            seen.0.insert(error.code());
        }
    }
}

fn initialization(seen: &mut Seen) {
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

fn config_and_treasury(seen: &mut Seen) {
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
    refuse(|p| p.rules.openings_slots.set(0), WindowOutOfRange);
    refuse(|p| p.max_job_slots.set(0), DurationOutOfRange);
    refuse(|p| p.max_nonce_life_slots.set(u32::MAX), DurationOutOfRange);
    refuse(|p| p.rules.jail_slots.set(0), DurationOutOfRange);
    refuse(|p| p.rules.close_delay_slots.set(1_500), CloseDelayTooShort);
    refuse(|p| p.unbonding_slots.set(2_449), UnbondingOutOfRange);
    refuse(|p| p.rules.validator_bps.set(9_001), SharesOutOfRange);
    refuse(|p| p.rules.slash_bps.set(10_001), SlashOutOfRange);
    refuse(|p| p.rules.jury_seats.set(0), JuryOutOfRange);
    refuse(|p| p.rules.stake_per_job.set(0), StakeOutOfRange);
    refuse(|p| p.registration_fee.set(1 << 63), AmountTooLarge);
}

fn models(seen: &mut Seen) {
    let mut world = World::new();
    let register = |change: fn(&mut ModelSpec)| {
        let mut spec = spec(9);
        change(&mut spec);
        calls::register_model(key("payer"), key("registrant"), &spec, "nine")
    };
    let mut refuse = |change, error| seen.refuse(&mut world, register(change), error);
    refuse(|s| s.kernel_profile.set(0), UnknownKernelProfile);
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
    let again = calls::register_model(key("payer"), key("stranger"), &spec(1), "squat");
    seen.refuse(&mut world, again, AccountExists);

    let update = |who: &str, name: &str, retired| {
        calls::update_model(key(who), model(1), (1, 1), name, retired)
    };
    seen.refuse(&mut world, update("stranger", "n", 0), NotRegistrant);
    seen.refuse(&mut world, update("registrant", "", 0), EmptyName);
    seen.refuse(&mut world, update("registrant", "n", 2), InvalidFlag);
    world.chain.must(update("registrant", "n", 1));
    let call = world.request("alice", "alice").call();
    seen.refuse(&mut world, call, ModelRetired);
    let call = calls::register_validator(key("v3"), operator("v3"), SOL, &[model(1)]);
    seen.refuse(&mut world, call, ModelRetired);
    // Who serves it already may go on naming it.
    let call = calls::update_validator(key("v2"), operator("v2"), &[model(1)]);
    world.chain.must(call);
}

fn validators(seen: &mut Seen) {
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
    let disputes = |count| move |v: &mut Validator| v.open_disputes.set(count);
    world.chain.forge(&v1, disputes(1));
    seen.refuse_forged(&mut world, withdraw(), OpenDisputes);
    seen.refuse_forged(&mut world, close(), OpenDisputes);
    world.chain.forge(&v1, disputes(0));
    world.chain.must(withdraw());
    let request = world.cosigned("bob", "bob");
    world.must_request(&request);
    seen.refuse(&mut world, close(), OpenJobs);

    let unjail = |who| calls::unjail(who, key("v1"));
    seen.refuse(&mut world, unjail(operator("v1")), NotJailed);
    seen.refuse(&mut world, unjail(key("stranger")), NotOperator);
    jail(&mut world, "v1", 10);
    world.chain.advance(9);
    seen.refuse(&mut world, unjail(key("v1")), JailNotOver);
    let call = world.cosigned("bob", "bob").call();
    seen.refuse(&mut world, call, Jailed);
    world.chain.must(unstake(SOL));
    world.chain.advance(1);
    seen.refuse(&mut world, unjail(key("v1")), StakeBelowMinimum);
}

fn vaults_and_grants(seen: &mut Seen) {
    let mut world = World::new();
    let (alice, bob, gateway) = (key("alice"), key("bob"), key("gateway"));
    let stranger = key("stranger");
    seen.refuse(&mut world, calls::deposit_vault(bob, alice, 0), ZeroAmount);
    let call = calls::deposit_vault(bob, alice, 1 << 63);
    seen.refuse(&mut world, call, AmountTooLarge);
    let call = swap(calls::deposit_vault(bob, alice, 1), 2, calls::vault(&bob));
    seen.refuse(&mut world, call, WrongAddress);
    let call = swap(calls::withdraw_vault(alice, 1), 0, stranger);
    seen.refuse(&mut world, call, NotOwner);
    seen.refuse(&mut world, calls::withdraw_vault(alice, 0), ZeroAmount);
    let call = calls::withdraw_vault(alice, 1 << 63);
    seen.refuse(&mut world, call, AmountTooLarge);
    let call = calls::withdraw_vault(alice, 10 * SOL + 1);
    seen.refuse(&mut world, call, InsufficientFunds);
    let call = swap(calls::close_vault(alice, alice), 0, stranger);
    seen.refuse(&mut world, call, NotOwner);
    let call = calls::close_vault(alice, stranger);
    seen.refuse(&mut world, call, WrongRentPayer);

    let now = world.chain.slot();
    let wide = calls::wide_limits(now + 1_000);
    let give = |limits: &_| calls::grant_spend(bob, bob, gateway, limits);
    let call = calls::grant_spend(bob, bob, bob, &wide);
    seen.refuse(&mut world, call, SelfDelegation);
    let call = calls::grant_spend(bob, bob, NO_KEY, &wide);
    seen.refuse(&mut world, call, InvalidAddress);
    let mut refuse = |change: fn(&mut ix::GrantSpend), error| {
        let mut limits = wide;
        change(&mut limits);
        seen.refuse(&mut world, give(&limits), error);
    };
    refuse(|l| l.per_job_max.set(0), GrantLimitsInvalid);
    refuse(|l| l.window_max.set(0), GrantLimitsInvalid);
    refuse(|l| l.window_slots.set(0), GrantLimitsInvalid);
    refuse(|l| l.lifetime_cap.set(0), GrantLimitsInvalid);
    refuse(|l| l.expiry_slot.set(1), GrantLimitsInvalid);
    refuse(|l| l.per_job_max.set(1 << 63), AmountTooLarge);
    refuse(|l| l.model_count = 5, TooManyModels);
    refuse(|l| l.models[0] = [1; 32], InvalidPadding);
    refuse(|l| l.model_count = 1, WrongModel);
    refuse(
        |l| {
            l.model_count = 2;
            l.models[..2].fill([1; 32]);
        },
        DuplicateModel,
    );
    let other = swap(give(&wide), 3, calls::grant(&alice, &gateway));
    seen.refuse(&mut world, other, WrongAddress);

    let revoke = || calls::revoke_grant(alice, gateway);
    seen.refuse(&mut world, swap(revoke(), 0, stranger), NotOwner);
    let close = |payer| calls::close_grant(alice, gateway, payer);
    seen.refuse(&mut world, close(alice), GrantActive);
    seen.refuse(&mut world, close(stranger), WrongRentPayer);
    let request = world.request("alice", "gateway");
    world.must_request(&request);
    let call = calls::close_vault(alice, alice);
    seen.refuse(&mut world, call, FundsHeld);
    world.chain.must(revoke());
    seen.refuse(&mut world, revoke(), GrantRevoked);
    seen.refuse(&mut world, close(alice), OpenJobs);
    let call = world.request("alice", "gateway").call();
    seen.refuse(&mut world, call, GrantRevoked);
}

fn spending_under_a_grant(seen: &mut Seen) {
    // A job's ceiling is 12,500 lamports.
    let mut refuse = |change: fn(&mut ix::GrantSpend), earlier, error| {
        let mut world = World::new();
        let mut limits = calls::wide_limits(world.chain.slot() + 100);
        change(&mut limits);
        let (alice, gateway) = (key("alice"), key("gateway"));
        let call = calls::grant_spend(alice, alice, gateway, &limits);
        world.chain.must(call);
        for _ in 0..earlier {
            let request = world.request("alice", "gateway");
            world.must_request(&request);
        }
        if error == GrantExpired {
            world.chain.advance(100);
        }
        let call = world.request("alice", "gateway").call();
        seen.refuse(&mut world, call, error);
    };
    refuse(|_| {}, 1, GrantExpired);
    refuse(|l| l.per_job_max.set(12_499), 0, GrantPerJobExceeded);
    refuse(|l| l.window_max.set(24_999), 1, GrantWindowExceeded);
    refuse(|l| l.lifetime_cap.set(24_999), 1, GrantLifetimeExceeded);
    refuse(
        |l| {
            l.model_count = 1;
            l.models[0] = model(2);
        },
        0,
        GrantModelNotAllowed,
    );
}

fn requests(seen: &mut Seen) {
    let mut world = World::new();
    let mut refuse = |change: fn(&mut Request), error| {
        let mut request = world.cosigned("alice", "alice");
        change(&mut request);
        seen.refuse(&mut world, request.call(), error);
    };
    refuse(|r| r.arguments.prompt_tokens.set(0), EmptyPrompt);
    refuse(|r| r.arguments.max_output_tokens.set(0), EmptyOutput);
    refuse(|r| r.arguments.prompt_tokens.set(3_897), TooManyTokens);
    refuse(|r| r.arguments.prompt_tokens.set(u32::MAX), TooManyTokens);
    refuse(
        |r| r.arguments.temperature_milli.set(2_001),
        TemperatureOutOfRange,
    );
    refuse(|r| r.arguments.sampling_profile = 0, UnknownSamplingProfile);
    refuse(|r| r.arguments.sampling_profile = 2, UnknownSamplingProfile);
    refuse(|r| r.arguments.deadline_slots.set(0), DeadlineOutOfRange);
    refuse(
        |r| r.arguments.deadline_slots.set(1_501),
        DeadlineOutOfRange,
    );
    refuse(|r| r.arguments.price_in.set(1), PriceChanged);
    refuse(|r| r.arguments.price_out.set(1), PriceChanged);
    refuse(
        |r| r.arguments.nonce = window::nonce(999, [0; 8]),
        NonceExpired,
    );
    refuse(
        |r| r.arguments.nonce = window::nonce(2_501, [0; 8]),
        NonceTooFar,
    );
    refuse(
        |r| r.arguments.nonce = window::nonce(u64::MAX, [0; 8]),
        NonceTooFar,
    );
    // Somebody else's vault, under a grant that does not exist.
    refuse(|r| r.owner = key("bob"), WrongAccountOwner);
    refuse(
        |r| r.validator = Some((key("v1"), operator("v2"))),
        NotOperator,
    );
    refuse(
        |r| {
            r.validator = Some((key("v2"), operator("v2")));
            r.model = model(2);
        },
        ModelNotServed,
    );
    let source = world.request("alice", "alice").call();
    let at = source.data.len() - 4 - 97;
    let call = patch(source.clone(), at + 90, b'x');
    seen.refuse(&mut world, call, InvalidText);

    // The accounts that say who pays and who works.
    let bare = swap(source.clone(), 0, key("payer"));
    let mut call = swap(
        bare.clone(),
        5,
        calls::grant(&key("alice"), &key("gateway")),
    );
    call.accounts[5].is_writable = true;
    seen.refuse(&mut world, call, UnexpectedGrant);
    let stranger = swap(bare.clone(), 1, key("stranger"));
    seen.refuse(&mut world, stranger.clone(), NotRequester);
    let mut call = swap(stranger, 5, calls::grant(&key("alice"), &key("gateway")));
    call.accounts[5].is_writable = true;
    seen.refuse(&mut world, call, WrongGrant);
    let mut call = swap(bare.clone(), 7, calls::validator(&key("v1")));
    call.accounts[7].is_writable = true;
    seen.refuse(&mut world, call, MissingOperator);
    let mut call = swap(bare, 8, operator("v1"));
    call.accounts[8].is_signer = true;
    seen.refuse(&mut world, call, UnexpectedValidator);

    let mut poor = world.clone();
    let call = calls::withdraw_vault(key("alice"), 10 * SOL - 12_499);
    poor.chain.must(call);
    let call = poor.request("alice", "alice").call();
    seen.refuse(&mut poor, call, InsufficientFunds);

    let request = world.request("alice", "alice");
    world.must_request(&request);
    seen.refuse(&mut world, request.call(), AccountExists);

    // Whatever the model allows, an output must fit the transactions that show it.
    let mut long = World::new();
    long.chain.forge(&model(1), |m: &mut Model| {
        m.spec.max_job_tokens.set(u32::MAX)
    });
    let mut request = long.request("alice", "alice");
    request
        .arguments
        .max_output_tokens
        .set(MAX_OUTPUT_TOKENS + 1);
    seen.refuse_forged(&mut long, request.call(), TooManyTokens);
    request.arguments.max_output_tokens.set(MAX_OUTPUT_TOKENS);
    long.chain
        .send_unchecked(request.call())
        .expect("the longest output");
}

fn capacity(seen: &mut Seen) {
    let mut world = World::new();
    // 2 SOL back 40 jobs.
    for _ in 0..40 {
        let request = world.cosigned("bob", "bob");
        world.must_request(&request);
    }
    let call = world.cosigned("bob", "bob").call();
    seen.refuse(&mut world, call, NoCapacity);
    let request = world.request("bob", "bob");
    let job = world.must_request(&request);
    let hash = world.job(&job).terms_hash;
    let call = calls::accept_inference(operator("v1"), key("v1"), job, hash);
    seen.refuse(&mut world, call, NoCapacity);
    let call = calls::request_unstake(key("v2"), 2 * SOL);
    world.chain.must(call);
    let call = calls::accept_inference(operator("v2"), key("v2"), job, hash);
    seen.refuse(&mut world, call, StakeBelowMinimum);
}

fn acceptance(seen: &mut Seen) {
    let mut world = World::new();
    let request = world.request("alice", "alice");
    let job = world.must_request(&request);
    let hash = world.job(&job).terms_hash;
    let accept = |operator, hash| calls::accept_inference(operator, key("v1"), job, hash);
    let call = accept(operator("v2"), hash);
    seen.refuse(&mut world, call, NotOperator);
    let call = accept(operator("v1"), [0; 32]);
    seen.refuse(&mut world, call, WrongFork);
    world.chain.advance(149);
    let mut late = world.clone();
    late.chain.advance(1);
    let call = accept(operator("v1"), hash);
    seen.refuse(&mut late, call.clone(), DeadlinePassed);
    world.chain.must(call);
}

fn results(seen: &mut Seen) {
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    let fine = world.result(&job, 200, FinishReason::Eos);
    let submit = |result: &_| calls::submit_result(operator("v1"), key("v1"), job, result);
    let call = calls::submit_result(operator("v2"), key("v1"), job, &fine);
    seen.refuse(&mut world, call, NotOperator);
    let call = calls::submit_result(operator("v2"), key("v2"), job, &fine);
    seen.refuse(&mut world, call, WrongValidator);
    let mut refuse = |tokens, reason: u8, error| {
        let mut result = fine;
        result.output_tokens.set(tokens);
        result.finish_reason = reason;
        seen.refuse(&mut world, submit(&result), error);
    };
    refuse(0, 1, OutputTokensOutOfRange);
    refuse(201, 1, OutputTokensOutOfRange);
    refuse(1, 0, InvalidFinishReason);
    refuse(1, 5, InvalidFinishReason);
    refuse(199, FinishReason::Length as u8, FinishNotLength);
    refuse(1, FinishReason::Stopped as u8, FinishNotStopped);
    refuse(1, FinishReason::Cancelled as u8, FinishNotCancelled);
    let mut other = fine;
    other.terms_hash = [0; 32];
    seen.refuse(&mut world, submit(&other), WrongFork);

    let mut late = world.clone();
    late.chain.advance(150);
    seen.refuse(&mut late, submit(&fine), DeadlinePassed);
    late.chain.warp_to(world.chain.slot() + 149);
    late.chain.must(submit(&fine));
    let mut cancelled = world.clone();
    let call = calls::cancel(key("alice"), job, key("alice"), request.grant());
    cancelled.chain.must(call.clone());
    seen.refuse(&mut cancelled, call, AlreadyCancelled);
    cancelled.chain.advance(50);
    seen.refuse(&mut cancelled, submit(&fine), DeadlinePassed);
}

fn endings(seen: &mut Seen) {
    let mut world = World::new();
    let grant = calls::grant(&key("alice"), &key("gateway"));
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    let alice = key("alice");

    let call = calls::cancel(key("stranger"), job, alice, grant);
    seen.refuse(&mut world, call, NotCanceller);
    let decline = calls::decline(operator("v1"), key("v1"), job, alice, grant);
    let call = calls::decline(operator("v2"), key("v1"), job, alice, grant);
    seen.refuse(&mut world, call, NotOperator);
    let call = calls::decline(operator("v2"), key("v2"), job, alice, grant);
    seen.refuse(&mut world, call, WrongValidator);
    let call = calls::decline(operator("v1"), key("v1"), job, key("bob"), grant);
    seen.refuse(&mut world, call, WrongVault);
    let call = calls::decline(operator("v1"), key("v1"), job, alice, NONE);
    seen.refuse(&mut world, call, MissingGrant);
    let expire = calls::expire(job, alice, key("v1"), grant);
    world.chain.advance(149);
    seen.refuse(&mut world, expire.clone(), DeadlineNotPassed);
    let mut late = world.clone();
    late.chain.advance(1);
    seen.refuse(&mut late, decline, DeadlinePassed);
    let call = calls::cancel(key("alice"), job, alice, grant);
    seen.refuse(&mut late, call, DeadlinePassed);
    let call = calls::expire(job, alice, NONE, grant);
    seen.refuse(&mut late, call, MissingValidator);
    let call = calls::expire(job, alice, key("v2"), grant);
    seen.refuse(&mut late, call, WrongValidator);
    late.chain.must(expire);

    let open = world.request("bob", "bob");
    let open_job = world.must_request(&open);
    let mut expired = world.clone();
    expired.chain.advance(150);
    let call = calls::expire(open_job, key("bob"), key("v1"), NONE);
    seen.refuse(&mut expired, call, UnexpectedValidator);
    let mut call = calls::expire(open_job, key("bob"), NONE, grant);
    call.accounts[3].is_writable = true;
    seen.refuse(&mut expired, call, UnexpectedGrant);

    world.must_submit(&job, 20);
    world.chain.advance(99);
    let claim = world.claim(&job);
    seen.refuse(&mut world, claim.clone(), WindowOpen);
    world.chain.advance(1);
    let call = calls::claim(job, key("v2"), alice, grant);
    seen.refuse(&mut world, call, WrongValidator);
    let call = calls::claim(job, key("v1"), key("bob"), grant);
    seen.refuse(&mut world, call, WrongVault);
    let call = calls::claim(job, key("v1"), alice, NONE);
    seen.refuse(&mut world, call, MissingGrant);
    let limits = calls::wide_limits(world.chain.slot() + 1_000);
    let call = calls::grant_spend(key("bob"), key("bob"), key("gateway"), &limits);
    world.chain.must(call);
    let wrong = calls::grant(&key("bob"), &key("gateway"));
    let call = calls::claim(job, key("v1"), alice, wrong);
    seen.refuse(&mut world, call, WrongGrant);
    let mut disputed = world.clone();
    disputed
        .chain
        .forge(&job, |job: &mut Job| job.open_disputes.set(1));
    seen.refuse_forged(&mut disputed, claim.clone(), OpenDisputes);
    world.chain.must(claim.clone());
    seen.refuse(&mut world, claim, WrongJobStatus);

    let close = calls::close_job(job, key("gateway"));
    let call = calls::close_job(job, key("stranger"));
    seen.refuse(&mut world, call, WrongRentPayer);
    let delay = u64::from(params().rules.close_delay_slots.get());
    world.chain.advance(delay - 1);
    seen.refuse(&mut world, close.clone(), TooEarlyToClose);
    world.chain.advance(1);
    world.chain.must(close);
}

/// Each instruction of a job's life in each status that does not allow it.
fn statuses(seen: &mut Seen) {
    use JobStatus::{Accepted, Disputed, Open, Refunded, Settled, Slashed, Submitted};
    let mut world = World::new();
    let request = world.cosigned("alice", "gateway");
    let job = world.must_request(&request);
    world.chain.advance(5_000);
    let (alice, grant) = (key("alice"), request.grant());
    let found = world.job(&job);
    let result = world.result(&job, 5, FinishReason::Eos);
    let calls: [(Call, &[JobStatus]); 7] = [
        (
            calls::accept_inference(operator("v1"), key("v1"), job, found.terms_hash),
            &[Open],
        ),
        (
            calls::submit_result(operator("v1"), key("v1"), job, &result),
            &[Accepted],
        ),
        (
            calls::decline(operator("v1"), key("v1"), job, alice, grant),
            &[Accepted],
        ),
        (calls::cancel(alice, job, alice, grant), &[Open, Accepted]),
        (
            calls::expire(job, alice, key("v1"), grant),
            &[Open, Accepted],
        ),
        (
            calls::claim(job, key("v1"), alice, grant),
            &[Submitted, Disputed],
        ),
        (
            calls::close_job(job, key("gateway")),
            &[Settled, Refunded, Slashed],
        ),
    ];
    for status in [
        Open, Accepted, Submitted, Disputed, Settled, Refunded, Slashed,
    ] {
        for (call, allowed) in &calls {
            if allowed.contains(&status) {
                continue;
            }
            let mut world = world.clone();
            world
                .chain
                .forge(&job, |job: &mut Job| job.header.status = status as u8);
            let refused = world.chain.send_unchecked(call.clone());
            let error = refused.expect_err("a wrong status").mythic();
            assert_eq!(error, Some(WrongJobStatus), "{status:?} {call:?}");
            seen.0.insert(WrongJobStatus.code());
        }
    }
}

/// A job of n0 in a court, challenged by n1, and its dispute.
fn disputed(lie: Lie) -> (World, Case, Key) {
    let mut world = court(6, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, lie);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    (world, case, dispute)
}

fn challenges(seen: &mut Seen) {
    let mut world = court(4, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::None);
    let unanswered = world.brief(EXACT, "n0", 10);
    let unanswered = world.must_request(&unanswered);
    let early = world.challenge(&case, "n1", &[]);
    seen.refuse(&mut world, early, SampleNotKnown);
    world.reach_sample(&case);
    let fine = world.challenge(&case, "n1", &[]);

    for at in [1, 9] {
        let mut other = fine.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    seen.refuse(&mut world, swap(fine.clone(), 3, unanswered), WrongFork);
    let own = world.challenge(&case, "n0", &[]);
    seen.refuse(&mut world, own, SelfChallenge);
    let call = swap(fine.clone(), 1, operator("n2"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(fine.clone(), 4, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(&mut world, swap(fine.clone(), 5, model(1)), WrongModel);
    let call = swap(fine.clone(), 6, calls::dispute(&case.job, &key("n2")));
    seen.refuse(&mut world, call, WrongAddress);
    let requested = world.job(&case.job).requested_slot.get();
    for (slot, error) in [(requested, Some(ChallengerTooYoung)), (requested - 1, None)] {
        let mut world = world.clone();
        let address = calls::validator(&key("n1"));
        world
            .chain
            .forge(&address, |v: &mut Validator| v.registered_slot.set(slot));
        match error {
            Some(error) => seen.refuse(&mut world, fine.clone(), error),
            None => drop(world.chain.must(fine.clone())),
        }
    }

    // Positions: 300 tokens, some of them sampled.
    let mut trial = world.clone();
    let dispute = trial.must_challenge(&case, "n1");
    let sampled = trial.positions(&dispute);
    let free: Vec<u32> = (0..300).filter(|p| !sampled.contains(p)).take(2).collect();
    for named in [
        &[sampled[3]][..],
        &[300],
        &[free[1], free[0]],
        &[free[0], free[0]],
    ] {
        let call = world.challenge(&case, "n1", named);
        seen.refuse(&mut world, call, PositionsInvalid);
    }
    let at = fine.data.len() - 9;
    let call = patch(fine.clone(), at, 3);
    seen.refuse(&mut world, call, PositionsInvalid);
    let call = patch(fine.clone(), at + 1, 1);
    seen.refuse(&mut world, call, InvalidPadding);
    let calibrated = world.answered(CALIBRATED, "n0", 300, Lie::None);
    let mut other = world.clone();
    other.reach_sample(&calibrated);
    let call = other.challenge(&calibrated, "n1", &[0]);
    seen.refuse(&mut other, call, NotExactProfile);

    let bond = trial.dispute(&dispute).bond.get();
    let offer = |bond| {
        let state = world.job(&case.job);
        ix::verify_logits(&party("n1"), case.job, &state, bond, &[])
    };
    let (less, enough) = (offer(bond - 1), offer(bond));
    seen.refuse(&mut world, less, BondTooSmall);
    world.chain.must(enough.clone());
    seen.refuse(&mut world, enough, AccountExists);

    // A window so long ago that the runtime has forgotten the slots cannot be had by the rules; by force it can.
    let mut late = world.clone();
    late.chain.advance(1_000);
    late.chain.forge(&case.job, |job: &mut Job| {
        job.terms.rules.window_slots.set(5_000)
    });
    let call = late.challenge(&case, "n2", &[]);
    seen.refuse_forged(&mut late, call, SlotHashExpired);

    // Once the job has ended there is nothing to challenge.
    let mut ended = world.clone();
    let dispute = calls::dispute(&case.job, &key("n1"));
    let end = ended.dispute(&dispute).openings_end();
    ended.chain.warp_to(end);
    let call = ended.resolve(&dispute);
    ended.chain.must(call);
    let call = ended.challenge(&case, "n2", &[]);
    seen.refuse(&mut ended, call, WrongJobStatus);
    let window = world.job(&case.job).window_end().expect("submitted");
    world.chain.warp_to(window);
    let call = world.challenge(&case, "n2", &[]);
    seen.refuse(&mut world, call, WindowClosed);
}

fn postings(seen: &mut Seen) {
    let (mut world, case, dispute) = disputed(Lie::None);
    let other_case = world.answered(EXACT, "n2", 300, Lie::None);
    let output = world.outputs(&case, &dispute).remove(0);
    for at in [1, 9] {
        let mut other = output.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(output.clone(), 2, other_case.job);
    seen.refuse(&mut world, call, WrongDispute);
    let mut altered = output.clone();
    altered.data[60] ^= 1;
    seen.refuse(&mut world, altered, OutputMismatch);
    let mut beyond = output.clone();
    beyond.data[41] = 3;
    seen.refuse(&mut world, beyond, OutputMismatch);
    let call = swap(output.clone(), 3, calls::output(&case.job, 1));
    seen.refuse(&mut world, call, WrongAddress);
    let mut page = swap(output.clone(), 4, calls::output(&case.job, 1));
    page.accounts[4].is_writable = true;
    seen.refuse(&mut world, page, WrongOutput);

    let openings = world.openings(&case, &dispute, 1);
    let early = openings[0].clone();
    seen.refuse(&mut world, early.clone(), WrongAccountOwner);
    world.chain.must(output.clone());
    seen.refuse(&mut world, early.clone(), NotComplete);
    for call in world.outputs(&case, &dispute) {
        world.chain.must(call);
    }
    for at in [1, 9] {
        let mut other = early.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(early.clone(), 1, other_case.job);
    seen.refuse(&mut world, call, WrongDispute);
    let checked = world.positions(&dispute);
    let unchecked = (0..300).find(|p| !checked.contains(p)).expect("many");
    let named = world.named(&case);
    let tail = case.answer.opening(unchecked);
    let call = ix::post_openings(&named, dispute, 0, &tail);
    seen.refuse(&mut world, call, NotChecked);
    let last = early.data.len() - 1;
    let call = patch(early.clone(), last, !early.data[last]);
    seen.refuse(&mut world, call, OpeningMismatch);
    let empty = ix::post_openings(&named, dispute, 0, &[]);
    seen.refuse(&mut world, empty, InvalidInstructionData);
    // The other job's page.
    world.reach_sample(&other_case);
    let second = world.must_challenge(&other_case, "n1");
    for call in world.outputs(&other_case, &second) {
        world.chain.must(call);
    }
    let wrong = swap(early.clone(), 2, calls::output(&other_case.job, 0));
    seen.refuse(&mut world, wrong, WrongOutput);
    let wrong = swap(early.clone(), 3, calls::output(&other_case.job, 0));
    seen.refuse(&mut world, wrong, WrongOutput);
    let end = world.dispute(&dispute).openings_end();
    world.chain.warp_to(end);
    seen.refuse(&mut world, early, OpeningsOver);
    seen.refuse(&mut world, output, OpeningsOver);

    for (lie, leaf, error) in [
        (Lie::NotTheChoice(150), 150, OpeningInvalid),
        (Lie::NotTheOutput(150), 150, OutputMismatch),
    ] {
        let mut world = court(4, 3, |_| {});
        let case = world.answered(EXACT, "n0", 300, lie);
        world.reach_sample(&case);
        let call = world.challenge(&case, "n1", &[leaf]);
        world.chain.must(call);
        let dispute = calls::dispute(&case.job, &key("n1"));
        for call in world.outputs(&case, &dispute) {
            world.chain.must(call);
        }
        let call = world.openings(&case, &dispute, 1).remove(16);
        seen.refuse(&mut world, call, error);
    }
    let (mut world, case, dispute) = disputed(Lie::EosInside(7));
    let call = world.outputs(&case, &dispute).remove(0);
    seen.refuse(&mut world, call, OutputInvalid);
}

fn juries(seen: &mut Seen) {
    let (mut world, case, dispute) = disputed(Lie::OtherModel);
    let early = world.commit(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, early.clone(), WrongDisputeStatus);
    let reveal = world.reveal(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, reveal, WrongDisputeStatus);
    world.must_answer(&case, &dispute);
    let found = world.dispute(&dispute);
    let commit = world.commit(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, commit.clone(), CommitClosed);
    world.chain.warp_to(found.commit_start());
    for at in [1, 9, 41] {
        let mut other = commit.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(commit.clone(), 0, operator("n3"));
    seen.refuse(&mut world, call, NotOperator);
    for side in ["n0", "n1"] {
        let call = world.commit(&case, &dispute, side, Vote::Honest);
        seen.refuse(&mut world, call, NotEligibleJuror);
    }
    let call = world.commit(&case, &dispute, "v1", Vote::Honest);
    seen.refuse(&mut world, call, NotEligibleJuror);
    // Support of the model must be older than the request.
    let mut young = world.clone();
    let requested = world.job(&case.job).requested_slot.get();
    let address = calls::validator(&key("n2"));
    young.chain.forge(&address, |v: &mut Validator| {
        for served in &mut v.models {
            served.since_slot.set(requested);
        }
    });
    seen.refuse(&mut young, commit.clone(), NotEligibleJuror);
    let mut jailed = world.clone();
    jail(&mut jailed, "n2", 10);
    seen.refuse(&mut jailed, commit.clone(), Jailed);
    let mut poor = world.clone();
    poor.chain.must(calls::request_unstake(key("n2"), 2 * SOL));
    seen.refuse(&mut poor, commit.clone(), NotSeated);
    world.chain.must(commit.clone());
    seen.refuse(&mut world, commit, AlreadyCommitted);

    let reveal = world.reveal(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, reveal.clone(), RevealClosed);
    world.chain.warp_to(found.commit_end());
    for at in [1, 9] {
        let mut other = reveal.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(reveal.clone(), 0, operator("n3"));
    seen.refuse(&mut world, call, NotOperator);
    let call = world.reveal(&case, &dispute, "n3", Vote::Honest);
    seen.refuse(&mut world, call, NotSeated);
    let call = world.reveal(&case, &dispute, "n2", Vote::Approve);
    seen.refuse(&mut world, call, CommitmentMismatch);
    let mut short = reveal.clone();
    short.data.truncate(reveal.data.len() - 20);
    seen.refuse(&mut world, short, InvalidInstructionData);
    world.chain.must(reveal.clone());
    seen.refuse(&mut world, reveal, AlreadyRevealed);
}

fn verdicts(seen: &mut Seen) {
    let (mut world, case, dispute) = disputed(Lie::OtherModel);
    let collect = |name: &str| calls::collect_dispute(dispute, key(name));
    seen.refuse(&mut world, collect("n1"), DisputeNotResolved);
    let close = calls::close_dispute(dispute, key("n1"));
    seen.refuse(&mut world, close.clone(), DisputeNotResolved);
    let other_case = world.answered(EXACT, "n2", 300, Lie::None);
    let resolve = world.resolve(&dispute);
    seen.refuse(&mut world, resolve.clone(), DisputeNotDue);
    let call = swap(resolve.clone(), 1, other_case.job);
    seen.refuse(&mut world, call, WrongDispute);
    let call = swap(resolve.clone(), 2, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    world.must_answer(&case, &dispute);
    world.commits(&case, &dispute, &votes(2..6, Vote::Honest));
    world.reveals(&case, &dispute, &votes(2..6, Vote::Honest));
    let call = swap(resolve.clone(), 3, calls::vault(&key("bob")));
    seen.refuse(&mut world, call, WrongVault);
    let call = swap(resolve.clone(), 4, NONE);
    let mut call = call;
    call.accounts[4].is_writable = false;
    seen.refuse(&mut world, call, MissingGrant);
    world.chain.must(resolve.clone());
    seen.refuse(&mut world, resolve, WrongDisputeStatus);
    seen.refuse(&mut world, collect("n0"), NothingToCollect);
    let call = swap(collect("n1"), 1, calls::validator(&key("n0")));
    seen.refuse(&mut world, call, WrongValidator);
    let call = swap(collect("n1"), 1, key("stranger"));
    seen.refuse(&mut world, call, WrongAddress);
    seen.refuse(&mut world, close.clone(), NotCollected);
    world.chain.must(collect("n1"));
    seen.refuse(&mut world, collect("n1"), AlreadyCollected);
    world.collect_all(&dispute);
    seen.refuse(&mut world, close.clone(), TooEarlyToClose);
    let call = swap(close, 1, key("stranger"));
    seen.refuse(&mut world, call, WrongRentPayer);
    let output = calls::close_output(case.job, 0, key("n1"));
    seen.refuse(&mut world, output.clone(), JobRunning);
    seen.refuse(
        &mut world,
        swap(output.clone(), 1, other_case.job),
        WrongDispute,
    );
    seen.refuse(&mut world, swap(output, 2, key("stranger")), WrongRentPayer);
}

fn faults(seen: &mut Seen) {
    let mut world = court(4, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::NotTheChoice(150));
    let other = world.answered(EXACT, "n2", 300, Lie::None);
    let proof = world.proof(&case, "n1", 150, NONE);
    for at in [1, 9] {
        let mut call = proof.clone();
        call.data[at] ^= 1;
        seen.refuse(&mut world, call, WrongFork);
    }
    let call = world.proof(&case, "n0", 150, NONE);
    seen.refuse(&mut world, call, SelfChallenge);
    let call = swap(proof.clone(), 1, operator("n2"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(proof.clone(), 4, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(&mut world, swap(proof.clone(), 7, model(1)), WrongModel);
    let call = world.proof(&case, "n1", 151, NONE);
    seen.refuse(&mut world, call, NoFault);
    // The token's bytes in the leaf.
    let mut call = proof.clone();
    call.data[1 + 40 + 4] ^= 1;
    seen.refuse(&mut world, call, OpeningMismatch);
    let mut call = proof.clone();
    call.data.truncate(proof.data.len() - 32);
    seen.refuse(&mut world, call, OpeningMismatch);
    world.reach_sample(&other);
    let dispute = world.must_challenge(&other, "n1");
    for call in world.outputs(&other, &dispute) {
        world.chain.must(call);
    }
    let mut call = world.proof(&case, "n1", 151, calls::output(&other.job, 0));
    call.accounts[8].is_writable = false;
    seen.refuse(&mut world, call, WrongOutput);
    world.chain.must(proof.clone());
    seen.refuse(&mut world, proof, WrongJobStatus);
}

macro_rules! groups {
    ($($group:ident,)*) => {
        $(mod $group {
            #[test]
            fn is_refused() {
                super::$group(&mut super::Seen::default());
            }
        })*
        const GROUPS: &[fn(&mut Seen)] = &[$($group),*];
    };
}
groups! {
    the_call_itself, other_accounts, initialization, config_and_treasury, models, validators,
    vaults_and_grants, spending_under_a_grant, requests, capacity, acceptance, results, endings,
    statuses, challenges, postings, juries, verdicts, faults,
}

#[test]
fn no_error_is_missing() {
    /// What no caller can bring about.
    const OUT_OF_REACH: &[MythicError] = &[
        // Stored balances only break if the program does.
        BalanceUnderflow,
        // The runtime always gives the clock, and aborts itself on a failed transfer.
        ClockUnavailable,
        SystemCallFailed,
    ];
    let mut seen = Seen::default();
    GROUPS.iter().for_each(|group| group(&mut seen));
    let missing: Vec<&str> = MythicError::ALL
        .iter()
        .filter(|error| !OUT_OF_REACH.contains(error))
        .filter(|error| !seen.0.contains(&error.code()))
        .map(|error| error.name())
        .collect();
    assert!(missing.is_empty(), "no test provokes {missing:?}");
    assert_eq!((AI_PRECOMPILES_ID, SYSTEM_PROGRAM), (NONE, [0; 32]));
}
