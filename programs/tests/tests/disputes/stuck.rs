//! Whatever happens to the accounts of those concerned, a dispute ends, and by anyone's hand.

use mythic_interface::INCINERATOR;
use mythic_interface::params::Params;

use super::*;

/// How far a dispute has come, and what it must end in from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was shown.
    Challenged,
    /// All is shown, nobody commits.
    Answered,
    /// Jurors have committed and stay silent.
    Committed,
    /// Jurors have revealed.
    Revealed,
    /// Another dispute has decided the job, jurors of this one have revealed.
    Overtaken,
}

const STAGES: [(Stage, Lie, Verdict); 6] = [
    (Stage::Challenged, Lie::None, Verdict::Guilty),
    (Stage::Answered, Lie::OtherModel, Verdict::Void),
    (Stage::Committed, Lie::OtherModel, Verdict::Void),
    (Stage::Revealed, Lie::OtherModel, Verdict::Guilty),
    (Stage::Revealed, Lie::None, Verdict::NotGuilty),
    (Stage::Overtaken, Lie::OtherModel, Verdict::Void),
];
const VALIDATORS: usize = 12;

fn reach(stage: Stage, lie: Lie) -> (World, Case, Key) {
    let mut world = court(VALIDATORS, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, lie);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    let other = match stage {
        Stage::Overtaken => Some(world.must_challenge(&case, "n2")),
        _ => None,
    };
    if stage == Stage::Challenged {
        return (world, case, dispute);
    }
    world.must_answer(&case, &dispute);
    if stage == Stage::Answered {
        return (world, case, dispute);
    }
    let ballot = votes(3..VALIDATORS, Vote::Honest);
    world.commits(&case, &dispute, &ballot);
    if stage == Stage::Committed {
        return (world, case, dispute);
    }
    world.reveals(&case, &dispute, &ballot);
    if let Some(other) = other {
        // The second dispute is never answered, and that decides the job.
        let end = world.dispute(&other).openings_end();
        world.chain.warp_to(end.max(world.chain.slot()));
        let call = world.resolve(&other);
        world.chain.must(call);
    }
    (world, case, dispute)
}

/// Everything that anybody can do to an account behind a dispute's back: keys and rules change, the model is retired,
/// the grant revoked, the vault emptied, and all stake leaves that may.
fn havoc(world: &mut World, case: &Case) {
    let chain = &mut world.chain;
    let mut params = Params::dev();
    params.rules.slash_bps.set(1_000);
    params.rules.jury_seats.set(15);
    params.rules.juror_penalty.set(1);
    chain.must(calls::update_config(
        key("admin"),
        key("foundation"),
        &params,
    ));
    chain.must(calls::pause(key("admin")));
    let used = calls::model(&mythic_program_tests::world::spec(case.model));
    chain.must(calls::update_model(
        key("registrant"),
        used,
        (1, 1),
        "gone",
        1,
    ));
    chain.must(calls::revoke_grant(key("alice"), key("gateway")));
    let vault: Vault = chain.load(&calls::vault(&key("alice")));
    chain.must(calls::withdraw_vault(key("alice"), vault.balance.get()));
    for i in 0..VALIDATORS {
        let authority = key(&juror(i));
        let active = chain
            .load::<Validator>(&calls::validator(&authority))
            .active_stake(chain.slot());
        if active > 0 {
            chain.must(calls::request_unstake(authority, active));
        }
        chain.must(calls::update_validator(authority, operator("another"), &[]));
    }
    chain.advance(100_000);
    for i in 3..VALIDATORS {
        let authority = key(&juror(i));
        chain.must(calls::withdraw_stake(authority));
        chain.must(calls::close_validator(authority, authority));
    }
}

#[test]
fn a_dispute_ends_whatever_happened_to_the_accounts_of_those_concerned() {
    for (stage, lie, expected) in STAGES {
        let (mut world, case, dispute) = reach(stage, lie);
        havoc(&mut world, &case);
        // What a verdict needs cannot be closed.
        let job = world.job(&case.job);
        if job.status() == Some(JobStatus::Disputed) {
            let vault = calls::close_vault(key("alice"), key("alice"));
            world.chain.refuse(vault, FundsHeld);
            let grant = calls::close_grant(key("alice"), key("gateway"), key("alice"));
            world.chain.refuse(grant, OpenJobs);
        }
        for name in ["n0", "n1"] {
            world
                .chain
                .refuse(calls::withdraw_stake(key(name)), OpenDisputes);
        }
        let close = calls::close_validator(key("n1"), key("n1"));
        world.chain.refuse(close, OpenDisputes);
        let call = world.resolve(&dispute);
        world.chain.must(call);
        let found = world.dispute(&dispute);
        assert_eq!(verdict(&found), Some(expected), "{stage:?}");
        let guilty = expected == Verdict::Guilty;
        if guilty {
            // By the rules of the job, not by those of today; unbonding stake is stake.
            assert_eq!(found.slashed_amount.get(), STAKE / 2, "{stage:?}");
        }
        let before = world.chain.lamports(&INCINERATOR);
        world.collect_all(&dispute);
        // Nobody of the jury is there any more: its pay is burned.
        let burned = world.chain.lamports(&INCINERATOR) - before;
        assert_eq!(burned, found.jurors_amount.get(), "{stage:?}");
        let paid = matches!(stage, Stage::Revealed | Stage::Overtaken);
        assert_eq!(burned > 0, paid, "{stage:?}");
        assert!(
            world
                .job(&case.job)
                .status()
                .is_some_and(JobStatus::is_terminal)
        );
        world.chain.advance(2_250);
        world.chain.must(calls::close_dispute(dispute, key("n1")));
        for name in ["n0", "n1"] {
            world.chain.must(calls::withdraw_stake(key(name)));
        }
    }
}

#[test]
fn a_juror_that_comes_back_under_the_same_key_takes_its_penalty_with_it() {
    let (mut world, _, dispute) = reach(Stage::Committed, Lie::OtherModel);
    let silent = world.dispute(&dispute).seats[0].juror;
    world.chain.must(calls::request_unstake(silent, STAKE));
    world.chain.advance(100_000);
    world.chain.must(calls::withdraw_stake(silent));
    world.chain.must(calls::close_validator(silent, silent));
    let call = world.resolve(&dispute);
    world.chain.must(call);
    let models = [calls::model(&mythic_program_tests::world::spec(EXACT))];
    let again = calls::register_validator(silent, operator("another"), STAKE, &models);
    world.chain.must(again);
    let found = world.dispute(&dispute);
    let seats = found.jury().iter().filter(|seat| seat.juror == silent);
    let seats = seats.count() as u64;
    world.chain.must(calls::collect_dispute(dispute, silent));
    let back: Validator = world.chain.load(&calls::validator(&silent));
    assert_eq!(back.slashed.get(), seats * 50_000_000);
}

/// The exits of every step, each by somebody who is no party: the calls name no signer but who pays the fee.
#[test]
fn what_follows_a_deadline_needs_no_signature_of_a_party() {
    for (stage, lie, _) in STAGES {
        let (mut world, case, dispute) = reach(stage, lie);
        world.chain.advance(100_000);
        let resolve = world.resolve(&dispute);
        let collect = calls::collect_dispute(dispute, key("n1"));
        let close = calls::close_dispute(dispute, key("n1"));
        let output = calls::close_output(case.job, 0, key("n1"));
        for call in [&resolve, &collect, &close, &output] {
            assert!(call.accounts.iter().all(|account| !account.is_signer));
        }
        world.chain.must(resolve);
        world.collect_all(&dispute);
        world.chain.advance(100_000);
        world.chain.must(close);
        if stage != Stage::Challenged {
            world.chain.must(output);
        }
    }
}
