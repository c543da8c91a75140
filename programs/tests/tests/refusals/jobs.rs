//! Jobs from request to end.

use mythic_interface::error::MythicError::*;
use mythic_interface::params::MAX_OUTPUT_TOKENS;
use mythic_interface::state::*;
use mythic_interface::window;
use mythic_program_tests::calls::{self, NONE, Request};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{World, model, params};
use solana_instruction::Instruction as Call;

use crate::seen::{Seen, patch, swap};

pub fn requests(seen: &mut Seen) {
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
    refuse(|r| r.arguments.sampling_profile = 3, UnknownSamplingProfile);
    refuse(|r| r.arguments.sampling_profile = 2, SamplingNeedsExact);
    refuse(|r| r.arguments.deadline_slots.set(0), DeadlineOutOfRange);
    refuse(
        |r| r.arguments.deadline_slots.set(1_501),
        DeadlineOutOfRange,
    );
    refuse(|r| r.arguments.price_in.set(1), PriceChanged);
    refuse(|r| r.arguments.rules_hash[31] ^= 1, RulesChanged);
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
    let at = source.data.len() - 1 - 32 - 4 - 97;
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

pub fn capacity(seen: &mut Seen) {
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

    // 2 SOL back a ceiling of 0.1 SOL.
    let mut world = World::new();
    let dear = calls::update_model(key("registrant"), model(1), (1, 500_000_000), "smol", 0);
    world.chain.must(dear);
    let mut request = world.cosigned("bob", "bob");
    request.arguments.price_in.set(1);
    request.arguments.price_out.set(500_000_000);
    seen.refuse(&mut world, request.call(), ExposureExceeded);
}

pub fn acceptance(seen: &mut Seen) {
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

pub fn results(seen: &mut Seen) {
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
    // 50 slots, and two in which its hundred tokens are read.
    cancelled.chain.advance(51);
    cancelled.clone().chain.must(submit(&fine));
    cancelled.chain.advance(1);
    seen.refuse(&mut cancelled, submit(&fine), DeadlinePassed);
}

pub fn endings(seen: &mut Seen) {
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
pub fn statuses(seen: &mut Seen) {
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
        (calls::claim(job, key("v1"), alice, grant), &[Submitted]),
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
            seen.note(WrongJobStatus);
        }
    }
}
