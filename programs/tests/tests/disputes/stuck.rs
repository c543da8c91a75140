//! Whatever happens to the accounts of those concerned, a case ends, and by anyone's hand.

use mythic_interface::INCINERATOR;
use mythic_interface::params::Params;

use super::*;

/// How far a case has come, and what it must end in from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was shown.
    Opened,
    /// All is shown, nobody commits.
    Shown,
    /// What somebody who joined named is not shown.
    Joined,
    /// Jurors have committed and stay silent.
    Committed,
    /// Jurors have revealed.
    Revealed,
}

const STAGES: [(Stage, Lie, Verdict); 6] = [
    (Stage::Opened, Lie::None, Verdict::Guilty),
    (Stage::Shown, Lie::OtherModel, Verdict::Void),
    (Stage::Joined, Lie::None, Verdict::Guilty),
    (Stage::Committed, Lie::OtherModel, Verdict::Void),
    (Stage::Revealed, Lie::OtherModel, Verdict::Guilty),
    (Stage::Revealed, Lie::None, Verdict::NotGuilty),
];
const VALIDATORS: usize = 12;

fn reach(stage: Stage, lie: Lie) -> (World, Answered) {
    let mut world = court(VALIDATORS, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, lie);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    if stage == Stage::Opened {
        return (world, answered);
    }
    world.must_show(&answered);
    if stage == Stage::Joined {
        let named = unsampled(&world.case(&answered)).next().expect("many");
        world.must_object(&answered, "n2", &[named]);
    }
    if matches!(stage, Stage::Shown | Stage::Joined) {
        return (world, answered);
    }
    let all = ballots(3..VALIDATORS, Ballot::Honest);
    world.commits(&answered, &all);
    if stage == Stage::Revealed {
        world.reveals(&answered, &all);
    }
    (world, answered)
}

/// Everything that anybody can do to an account behind a case's back: keys and rules change, the model is retired,
/// the grant revoked, the vault emptied, and all stake leaves that may.
fn havoc(world: &mut World, answered: &Answered) {
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
    let used = calls::model(&mythic_program_tests::world::spec(answered.model));
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
fn a_case_ends_whatever_happened_to_the_accounts_of_those_concerned() {
    for (stage, lie, expected) in STAGES {
        let (mut world, answered) = reach(stage, lie);
        havoc(&mut world, &answered);
        // What a verdict needs cannot be closed.
        let vault = calls::close_vault(key("alice"), key("alice"));
        world.chain.refuse(vault, FundsHeld);
        let grant = calls::close_grant(key("alice"), key("gateway"), key("alice"));
        world.chain.refuse(grant, OpenJobs);
        for name in ["n0", "n1"] {
            let withdraw = calls::withdraw_stake(key(name));
            world.chain.refuse(withdraw, OpenCases);
        }
        let close = calls::close_validator(key("n1"), key("n1"));
        world.chain.refuse(close, OpenCases);
        let call = world.resolve(&answered);
        world.chain.must(call);
        let case = world.case(&answered);
        assert_eq!(verdict(&case), Some(expected), "{stage:?}");
        if expected == Verdict::Guilty {
            // By the rules of the job, not by those of today; unbonding stake is stake.
            assert_eq!(case.slashed_amount.get(), HALF, "{stage:?}");
        }
        let before = world.chain.lamports(&INCINERATOR);
        world.collect_all(&answered);
        // Nobody of the jury is there any more: its pay is burned.
        let burned = world.chain.lamports(&INCINERATOR) - before;
        assert_eq!(burned, case.jurors_amount.get(), "{stage:?}");
        assert_eq!(burned > 0, stage == Stage::Revealed, "{stage:?}");
        let job = world.job(&answered.job);
        assert!(job.status().is_some_and(JobStatus::is_terminal));
        world.chain.advance(2_250);
        let close = world.closing(&answered);
        world.chain.must(close);
        for name in ["n0", "n1"] {
            world.chain.must(calls::withdraw_stake(key(name)));
        }
    }
}

#[test]
fn a_juror_that_comes_back_under_the_same_key_takes_its_penalty_with_it() {
    let (mut world, answered) = reach(Stage::Committed, Lie::OtherModel);
    let silent = world.case(&answered).seats[0].juror;
    world.chain.must(calls::request_unstake(silent, STAKE));
    world.chain.advance(100_000);
    world.chain.must(calls::withdraw_stake(silent));
    world.chain.must(calls::close_validator(silent, silent));
    let case = world.must_resolve(&answered);
    let models = [calls::model(&mythic_program_tests::world::spec(EXACT))];
    let again = calls::register_validator(silent, operator("another"), STAKE, &models);
    world.chain.must(again);
    let seats = case.jury().iter().filter(|seat| seat.juror == silent);
    let seats = seats.count() as u64;
    let collect = world.collection(&answered, silent);
    world.chain.must(collect);
    let back: Validator = world.chain.load(&calls::validator(&silent));
    assert_eq!(back.slashed.get(), seats * 50_000_000);
}

/// The exits of every step, each by somebody who is no party: the calls name no signer but who pays the fee.
#[test]
fn what_follows_a_deadline_needs_no_signature_of_a_party() {
    for (stage, lie, _) in STAGES {
        let (mut world, answered) = reach(stage, lie);
        world.chain.advance(100_000);
        let resolve = world.resolve(&answered);
        let collect = world.collection(&answered, key("n1"));
        let close = world.closing(&answered);
        let output = calls::close_output(answered.job, 0, key("n1"));
        for call in [&resolve, &collect, &close, &output] {
            assert!(call.accounts.iter().all(|account| !account.is_signer));
        }
        world.chain.must(resolve);
        world.collect_all(&answered);
        world.chain.advance(100_000);
        world.chain.must(close);
        if stage != Stage::Opened {
            world.chain.must(output);
        }
    }
}
