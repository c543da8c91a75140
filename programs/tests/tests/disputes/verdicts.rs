//! Verdicts and the money that each moves.

use super::*;

#[test]
fn a_false_answer_costs_half_of_the_stake_and_refunds_the_user() {
    for seats in [3, 5, 7, 15] {
        let mut world = court(2 + 3 * usize::from(seats), seats, |_| {});
        let answered = world.answered(EXACT, "n0", 512, Lie::OtherModel);
        world.reach_sample(&answered);
        let vault: Vault = world.chain.load(&calls::vault(&key("alice")));
        world.must_object(&answered, "n1", &[]);
        world.must_show(&answered);
        let all = everybody(&world, Ballot::Honest);
        let case = world.must_judge(&answered, &all);
        assert_eq!(verdict(&case), Some(Verdict::Guilty));
        assert_eq!(ground(&case), Some(Ground::Jury));
        assert_eq!(outcomes(&case), [Some(Outcome::Right)]);
        assert_eq!(case.slashed_amount.get(), HALF);

        let submitter = world.validator("n0");
        assert_eq!(submitter.header.status, ValidatorStatus::Jailed as u8);
        assert_eq!(submitter.jailed_until.get(), world.chain.slot() + 2_450);
        assert_eq!(submitter.whole_stake(), STAKE - HALF);
        let open = (submitter.open_jobs.get(), submitter.open_cases.get());
        assert_eq!(open, (0, 0));
        let job = world.job(&answered.job);
        assert_eq!(job.status(), Some(JobStatus::Slashed));
        assert_eq!(job.end_reason, EndReason::Guilty as u8);
        assert_eq!(job.refunded_amount, job.ceiling);
        let refunded: Vault = world.chain.load(&calls::vault(&key("alice")));
        assert_eq!(
            refunded.balance.get(),
            vault.balance.get() + job.ceiling.get()
        );

        world.collect_all(&answered);
        let claimant = world.validator("n1");
        assert_eq!(claimant.claimable.get(), REWARD + case.claims[0].bond());
        assert_eq!(claimant.earned.get(), REWARD);
        // A tariff for each juror, whatever seats it has; the rest is burned.
        let jurors = sitting(&case);
        let tariffs = jurors.len() as u64 * case.tariff.get();
        assert_eq!(case.jurors_amount.get(), tariffs);
        assert_eq!(case.burned_amount.get(), HALF - REWARD - tariffs);
        for juror in jurors {
            let earned = world.validator(&name_of(&juror)).earned;
            assert_eq!(earned, case.tariff);
        }
        // The claim, its answer and the reveals took a few slots; joining, draws and commits the rest.
        let took = world.chain.slot() - job.submitted_slot.get();
        assert_eq!(took, 21 + 100 + 8 + 4 * u64::from(seats) + 100);
    }
}

#[test]
fn a_false_claim_pays_the_answer_and_the_jury_and_burns_its_part_at_stake() {
    let (mut world, answered) = disputed(EXACT, 5, Lie::None);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    let case = world.must_judge(&answered, &all);
    assert_eq!(verdict(&case), Some(Verdict::NotGuilty));
    assert_eq!(outcomes(&case), [Some(Outcome::Wrong)]);
    // 10 % of a threatened SOL; 16 leaves by two, and 3 chunks.
    let claim = case.claims[0];
    assert_eq!(claim.at_stake.get(), SOL / 10);
    assert_eq!(case.submitter_amount.get(), 55_000);
    assert_eq!(case.burned_amount.get(), SOL / 10);
    let fee = world.job(&answered.job).fee.get();
    assert_eq!(case.tariff.get(), 20_000 + fee);
    let jurors = sitting(&case).len() as u64;
    assert_eq!(case.jurors_amount.get(), jurors * (20_000 + fee));
    let unused = (5 - jurors) * (20_000 + fee);
    assert_eq!(case.claimants_amount.get(), unused);
    // The job settles as if nobody had said anything.
    let job = world.job(&answered.job);
    assert_eq!(job.status(), Some(JobStatus::Settled));
    assert_eq!(job.end_reason, EndReason::NotGuilty as u8);
    let submitter = world.validator("n0");
    assert_eq!(submitter.whole_stake(), STAKE);
    assert_eq!(submitter.header.status, ValidatorStatus::Active as u8);
    assert_eq!(submitter.earned.get(), job.validator_amount.get() + 55_000);
    world.collect_all(&answered);
    let claimant = world.validator("n1");
    assert_eq!(
        (claimant.claimable.get(), claimant.earned.get()),
        (unused, 0)
    );
    assert_eq!(claimant.open_cases.get(), 0);
}

#[test]
fn a_divided_jury_is_void_pays_the_small_tariff_and_returns_the_part_at_stake() {
    let (mut world, answered) = disputed(EXACT, 5, Lie::None);
    world.must_show(&answered);
    // Every juror guesses for itself: no two agree, and too few approve.
    let guesses: Vec<_> = everybody(&world, Ballot::Honest)
        .into_iter()
        .enumerate()
        .map(|(i, (name, _))| (name, Ballot::Guess(i as u32)))
        .collect();
    let case = world.must_judge(&answered, &guesses);
    assert_eq!(verdict(&case), Some(Verdict::Void));
    assert_eq!(ground(&case), Some(Ground::NoQuorum));
    assert_eq!(outcomes(&case), [Some(Outcome::Undecided)]);
    let jurors = sitting(&case).len() as u64;
    assert_eq!(case.jurors_amount.get(), jurors * 20_000);
    let claim = case.claims[0];
    assert_eq!(case.submitter_amount, claim.answering_fee);
    let returned = claim.at_stake.get() + claim.tariffs.get() - jurors * 20_000;
    assert_eq!(claim.amount.get(), returned);
    assert_eq!(case.burned_amount.get(), 0);
    assert_eq!(world.job(&answered.job).end_reason, EndReason::Void as u8);
    world.collect_all(&answered);
    assert_eq!(world.validator("n1").claimable.get(), returned);
    assert_eq!(world.validator("n1").earned.get(), 0);
}

#[test]
fn nobody_who_commits_means_void_at_the_end_of_the_commits() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    world.must_show(&answered);
    let end = world.case(&answered).commit_end();
    world.chain.warp_to(end - 1);
    let call = world.resolve(&answered);
    world.chain.refuse(call.clone(), CaseNotDue);
    world.chain.warp_to(end);
    world.chain.must(call);
    let case = world.case(&answered);
    assert_eq!(
        (verdict(&case), ground(&case)),
        (Some(Verdict::Void), Some(Ground::TooFew))
    );
    assert_eq!(world.job(&answered.job).status(), Some(JobStatus::Settled));
}

#[test]
fn what_is_not_shown_in_time_is_guilty_and_a_tenth_is_rewarded() {
    for kind in [ClaimKind::Withheld, ClaimKind::False] {
        for step in 0..3 {
            let mut world = court(8, 3, |_| {});
            let answered = world.answered(EXACT, "n0", 300, Lie::None);
            world.reach_sample(&answered);
            let open = world.claiming(&answered, "n1", kind, &[]);
            world.chain.must(open);
            // Nothing; output but no leaf; all but the last leaf.
            if step > 0 {
                for call in world.outputs(&answered) {
                    world.chain.must(call);
                }
            }
            if step > 1 {
                let mut calls = world.openings(&answered, 1);
                calls.pop();
                for call in calls {
                    world.chain.must(call);
                }
            }
            let end = world.case(&answered).leaves_due();
            world.chain.warp_to(end - 1);
            let call = world.resolve(&answered);
            world.chain.refuse(call.clone(), CaseNotDue);
            world.chain.warp_to(end);
            world.chain.must(call);
            let case = world.case(&answered);
            assert_eq!(verdict(&case), Some(Verdict::Guilty));
            assert_eq!(ground(&case), Some(Ground::Unanswered));
            assert_eq!(case.slashed_amount.get(), HALF);
            assert_eq!(case.burned_amount.get(), HALF - HALF / 10);
            world.collect_all(&answered);
            let n1 = world.validator("n1");
            assert_eq!(n1.earned.get(), HALF / 10);
            assert_eq!(n1.returned.get(), case.claims[0].bond());
        }
    }
}

#[test]
fn a_model_without_thresholds_takes_no_false_and_shows_what_is_withheld() {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(1, "n0", 300, Lie::OtherModel);
    world.reach_sample(&answered);
    let call = world.objection(&answered, "n1", &[]);
    world.chain.refuse(call, NoRule);
    world.must_miss(&answered, "n1");
    world.must_show(&answered);
    let call = world.objection(&answered, "n2", &[]);
    world.chain.refuse(call, NoRule);
    let case = world.must_resolve(&answered);
    assert_eq!(ground(&case), Some(Ground::NoClaim));
}

#[test]
fn a_calibrated_jury_tolerates_noise_and_finds_other_models_and_hidden_ids() {
    for (lie, expected) in [
        (Lie::None, Verdict::NotGuilty),
        (Lie::Noise, Verdict::NotGuilty),
        (Lie::OtherModel, Verdict::Guilty),
        (Lie::WrongIds, Verdict::Guilty),
    ] {
        let (mut world, answered) = disputed(CALIBRATED, 7, lie);
        world.must_show(&answered);
        let all = everybody(&world, Ballot::Honest);
        let case = world.must_judge(&answered, &all);
        assert_eq!(verdict(&case), Some(expected), "{lie:?}");
    }
    // The exact profile tolerates nothing.
    let (mut world, answered) = disputed(EXACT, 3, Lie::Noise);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    let case = world.must_judge(&answered, &all);
    assert_eq!(verdict(&case), Some(Verdict::Guilty));
}

#[test]
fn an_exact_case_finds_the_one_altered_token_that_somebody_names() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::OneToken(400));
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[17, 400]);
    let case = world.case(&answered);
    let group: Vec<u32> = case.claims[0]
        .group()
        .iter()
        .map(|l| l.position.get())
        .collect();
    assert_eq!(group, [17, 400]);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
    assert_eq!(verdict(&case), Some(Verdict::Guilty));
}

#[test]
fn stake_that_activates_and_stake_that_unbonds_is_slashed_too_and_stays_until_the_end() {
    let mut world = court(11, 3, |_| {});
    world
        .chain
        .must(calls::add_stake(key("payer"), key("n0"), SOL));
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    // Bonds are of what had been there for long.
    let standing = world.job(&answered.job).stake_at_result.get();
    assert_eq!(standing, STAKE);
    world.chain.must(calls::request_unstake(key("n0"), STAKE));
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    // Long past the unbonding time the case still holds it.
    let mut late = world.clone();
    late.chain.advance(10_000);
    late.chain
        .refuse(calls::withdraw_stake(key("n0")), OpenCases);
    let case = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
    assert_eq!(case.slashed_amount.get(), (STAKE + SOL) / 2);
    let submitter = world.validator("n0");
    assert_eq!(submitter.activating.get(), 0);
    assert_eq!(submitter.unbonding.get(), (STAKE + SOL) / 2);
    world.chain.advance(10_000);
    world.chain.must(calls::withdraw_stake(key("n0")));
}

#[test]
fn a_submitter_without_stake_loses_nothing_and_blocks_nothing() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    let address = calls::validator(&key("n0"));
    world.chain.forge(&address, |v: &mut Validator| {
        v.stake.set(1);
        v.staked.set(1);
    });
    let mut account = world.chain.account(&address).expect("there");
    account.lamports -= STAKE - 1;
    world.chain.put(address, account);
    let case = world.must_resolve(&answered);
    assert_eq!(case.slashed_amount.get(), 0);
    assert_eq!(world.job(&answered.job).status(), Some(JobStatus::Slashed));
    world.collect_all(&answered);
}

#[test]
fn a_guilty_validator_is_jailed_for_its_time_and_comes_back_with_enough_stake() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    world.must_resolve(&answered);
    assert_eq!(world.job(&answered.job).status(), Some(JobStatus::Slashed));
    let unjail = || calls::unjail(operator("n0"), key("n0"));
    world.chain.advance(2_449);
    world.chain.refuse(unjail(), JailNotOver);
    world.chain.advance(1);
    // 1 SOL is left of 2.
    world.chain.must(unjail());
}

#[test]
fn a_second_conviction_under_milder_rules_shortens_no_jail() {
    let mut world = court(3, 3, |_| {});
    let first = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(9));
    let mut mild = mythic_program_tests::world::params();
    mild.rules.jail_slots.set(1);
    let change = calls::update_config(key("admin"), key("foundation"), &mild);
    world.chain.must(change);
    let second = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(9));
    let mut ends = Vec::new();
    for answered in [&first, &second] {
        let call = world.proof(answered, "n1", 9, calls::NONE);
        world.chain.must(call);
        ends.push(world.validator("n0").jailed_until.get());
    }
    assert_eq!(ends, [world.chain.slot() + 2_450; 2]);
}

#[test]
fn a_resolved_case_ends_its_job_and_nothing_follows() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    world.must_show(&answered);
    let case = world.must_resolve(&answered);
    assert_eq!(verdict(&case), Some(Verdict::Void));
    let again = world.objection(&answered, "n2", &[]);
    world.chain.refuse(again, WrongJobStatus);
    let claim = world.claim(&answered.job);
    world.chain.refuse(claim, WrongJobStatus);
    let resolve = world.resolve(&answered);
    world.chain.refuse(resolve, WrongCaseStatus);
}

#[test]
fn a_claim_of_the_fee_waits_for_an_open_case_whatever_its_window_says() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    world.chain.advance(1_000);
    let claim = world.claim(&answered.job);
    world.chain.refuse(claim, WrongJobStatus);
}
