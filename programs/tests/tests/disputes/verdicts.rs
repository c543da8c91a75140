//! Verdicts and the money that each moves.

use super::*;

#[test]
fn a_false_answer_costs_half_of_the_stake_and_refunds_the_user() {
    for seats in [3, 5, 7, 15] {
        let mut world = court(2 + 3 * usize::from(seats), seats, |_| {});
        let case = world.answered(EXACT, "n0", 512, Lie::OtherModel);
        world.reach_sample(&case);
        let vault: Vault = world.chain.load(&calls::vault(&key("alice")));
        let dispute = world.must_challenge(&case, "n1");
        world.must_answer(&case, &dispute);
        let everybody = jurors(&world);
        let found = world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
        assert_eq!(verdict(&found), Some(Verdict::Guilty));
        assert_eq!(ground(&found), Some(Ground::Jury));
        assert_eq!(found.slashed_amount.get(), STAKE / 2);

        let submitter = world.validator("n0");
        assert_eq!(submitter.header.status, ValidatorStatus::Jailed as u8);
        assert_eq!(submitter.jailed_until.get(), world.chain.slot() + 2_450);
        assert_eq!(submitter.whole_stake(), STAKE / 2);
        let open = (submitter.open_jobs.get(), submitter.open_disputes.get());
        assert_eq!(open, (0, 0));
        let job = world.job(&case.job);
        assert_eq!(job.status(), Some(JobStatus::Slashed));
        assert_eq!(job.end_reason, EndReason::Guilty as u8);
        assert_eq!(job.refunded_amount, job.ceiling);
        let refunded: Vault = world.chain.load(&calls::vault(&key("alice")));
        assert_eq!(
            refunded.balance.get(),
            vault.balance.get() + job.ceiling.get()
        );

        world.collect_all(&dispute);
        let challenger = world.validator("n1");
        assert_eq!(challenger.claimable.get(), STAKE / 4 + found.bond.get());
        assert_eq!(challenger.earned.get(), STAKE / 4);
        let earned = (2..everybody).map(|i| world.validator(&juror(i)).earned.get());
        assert_eq!(earned.sum::<u64>() + found.burned_amount.get(), STAKE / 4);
        assert!(found.burned_amount.get() < u64::from(seats));
        // Everything ends within 300 slots of the answer.
        assert!(world.chain.slot() - job.submitted_slot.get() < 300);
    }
}

#[test]
fn a_false_challenge_pays_the_answer_and_the_jury_and_burns_the_stake_of_the_bond() {
    let (mut world, case, dispute) = challenged(EXACT, 5, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    let found = world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
    assert_eq!(verdict(&found), Some(Verdict::NotGuilty));
    // 10 % of a threatened SOL; 16 positions and 3 chunks.
    assert_eq!(found.at_stake.get(), SOL / 10);
    assert_eq!(found.submitter_amount.get(), 190_000);
    assert_eq!(found.burned_amount.get(), SOL / 10);
    let ceiling = world.job(&case.job).ceiling.get();
    assert_eq!(found.jurors_amount.get(), 5 * (20_000 + ceiling));
    assert_eq!(found.challenger_amount.get(), 0);
    // The job settles as if unchallenged.
    let job = world.job(&case.job);
    assert_eq!(job.status(), Some(JobStatus::Settled));
    assert_eq!(job.end_reason, EndReason::NotGuilty as u8);
    let submitter = world.validator("n0");
    assert_eq!(submitter.whole_stake(), STAKE);
    assert_eq!(submitter.header.status, ValidatorStatus::Active as u8);
    assert_eq!(submitter.earned.get(), job.validator_amount.get() + 190_000);
    world.collect_all(&dispute);
    assert_eq!(world.validator("n1").claimable.get(), 0);
    assert_eq!(world.validator("n1").open_disputes.get(), 0);
}

#[test]
fn a_divided_jury_is_void_and_returns_the_stake_of_the_bond() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    // Every juror guesses for itself: no two agree, and too few approve.
    let guesses: Vec<_> = (2..everybody)
        .map(|i| (juror(i), Vote::Guess(i as u32)))
        .collect();
    let found = world.must_judge(&case, &dispute, &guesses);
    assert_eq!(verdict(&found), Some(Verdict::Void));
    let tariffs = 3 * found.tariff.get();
    assert_eq!(found.jurors_amount.get(), tariffs);
    assert_eq!(found.submitter_amount, found.answering_fee);
    assert_eq!(found.challenger_amount, found.at_stake);
    assert_eq!(found.burned_amount.get(), 0);
    assert_eq!(world.job(&case.job).end_reason, EndReason::Void as u8);
    world.collect_all(&dispute);
    assert_eq!(world.validator("n1").claimable.get(), found.at_stake.get());
    assert_eq!(world.validator("n1").earned.get(), 0);
}

#[test]
fn nobody_who_commits_means_void_at_the_end_of_the_commits() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    world.must_answer(&case, &dispute);
    let end = world.dispute(&dispute).commit_end();
    world.chain.warp_to(end - 1);
    let call = world.resolve(&dispute);
    world.chain.refuse(call.clone(), DisputeNotDue);
    world.chain.warp_to(end);
    world.chain.must(call);
    let found = world.dispute(&dispute);
    assert_eq!(
        (verdict(&found), ground(&found)),
        (Some(Verdict::Void), Some(Ground::Jury))
    );
    assert_eq!(world.job(&case.job).status(), Some(JobStatus::Settled));
}

#[test]
fn what_is_not_shown_in_time_is_guilty_and_the_jurys_half_is_burned() {
    for step in 0..3 {
        let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
        let outputs = world.outputs(&case, &dispute);
        // Nothing; output but no leaf; all but the last leaf.
        if step > 0 {
            for call in outputs {
                world.chain.must(call);
            }
        }
        if step > 1 {
            let mut calls = world.openings(&case, &dispute, 1);
            calls.pop();
            for call in calls {
                world.chain.must(call);
            }
        }
        let end = world.dispute(&dispute).openings_end();
        world.chain.warp_to(end - 1);
        let call = world.resolve(&dispute);
        world.chain.refuse(call.clone(), DisputeNotDue);
        world.chain.warp_to(end);
        world.chain.must(call);
        let found = world.dispute(&dispute);
        assert_eq!(verdict(&found), Some(Verdict::Guilty));
        assert_eq!(ground(&found), Some(Ground::Unanswered));
        assert_eq!(found.burned_amount.get(), STAKE / 4);
        world.collect_all(&dispute);
        assert_eq!(world.validator("n1").earned.get(), STAKE / 4);
    }
}

#[test]
fn a_model_without_thresholds_has_no_jury_and_its_window_stays_open() {
    let (mut world, case, dispute) = challenged(1, 3, Lie::OtherModel);
    world.must_answer(&case, &dispute);
    let start = world.dispute(&dispute).commit_start();
    let call = world.resolve(&dispute);
    let mut later = world.clone();
    later.chain.warp_to(start);
    let commit = later.commit(&case, &dispute, "n2", Vote::Honest);
    later.chain.refuse(commit, CommitClosed);
    world.chain.must(call);
    let found = world.dispute(&dispute);
    assert_eq!(ground(&found), Some(Ground::NoThresholds));
    assert_eq!(found.submitter_amount, found.answering_fee);
    // A friend who is quick closes nothing: others may still challenge, and the claim waits for the window.
    let job = world.job(&case.job);
    assert_eq!(job.status(), Some(JobStatus::Disputed));
    assert_eq!(job.open_disputes.get(), 0);
    let claim = world.claim(&case.job);
    world.chain.refuse(claim.clone(), WindowOpen);
    let mut again = world.clone();
    again.must_challenge(&case, "n2");
    again.chain.refuse(claim.clone(), WindowOpen);
    again.chain.warp_to(job.window_end().expect("submitted"));
    again.chain.refuse(claim.clone(), OpenDisputes);
    world.chain.warp_to(job.window_end().expect("submitted"));
    world.chain.must(claim);
    assert_eq!(world.job(&case.job).end_reason, EndReason::Claimed as u8);
}

#[test]
fn a_calibrated_jury_tolerates_noise_and_finds_other_models_and_hidden_ids() {
    for (lie, expected) in [
        (Lie::None, Verdict::NotGuilty),
        (Lie::Noise, Verdict::NotGuilty),
        (Lie::OtherModel, Verdict::Guilty),
        (Lie::WrongIds, Verdict::Guilty),
    ] {
        let (mut world, case, dispute) = challenged(CALIBRATED, 7, lie);
        world.must_answer(&case, &dispute);
        let everybody = jurors(&world);
        let found = world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
        assert_eq!(verdict(&found), Some(expected), "{lie:?}");
    }
    // The exact profile tolerates nothing.
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::Noise);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    let found = world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
    assert_eq!(verdict(&found), Some(Verdict::Guilty));
}

#[test]
fn an_exact_model_has_a_jury_without_thresholds() {
    let spec = mythic_program_tests::world::spec(EXACT);
    assert_eq!((spec.error_ppm.get(), spec.miss_ppm.get()), (0, 0));
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    world.must_answer(&case, &dispute);
    let rule = world.dispute(&dispute).rule();
    assert_eq!(rule, Some(mythic_interface::comparison::Rule::Exact));
    // It waits for its jury, where a calibrated model without thresholds is void at once.
    let call = world.resolve(&dispute);
    world.chain.refuse(call, DisputeNotDue);
    let everybody = jurors(&world);
    let found = world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
    assert_eq!(verdict(&found), Some(Verdict::Guilty));
}

#[test]
fn an_exact_dispute_finds_the_one_altered_token_that_the_challenger_names() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 512, Lie::OneToken(400));
    world.reach_sample(&case);
    let call = world.challenge(&case, "n1", &[17, 400]);
    world.chain.must(call);
    let dispute = calls::dispute(&case.job, &key("n1"));
    assert_eq!(world.positions(&dispute)[16..], [17, 400]);
    world.must_answer(&case, &dispute);
    let found = world.must_judge(&case, &dispute, &votes(2..11, Vote::Honest));
    assert_eq!(verdict(&found), Some(Verdict::Guilty));
}

#[test]
fn stake_that_activates_and_stake_that_unbonds_is_slashed_too_and_stays_until_the_end() {
    let mut world = court(11, 3, |_| {});
    world
        .chain
        .must(calls::add_stake(key("payer"), key("n0"), SOL));
    let case = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    world.chain.must(calls::request_unstake(key("n0"), STAKE));
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    world.must_answer(&case, &dispute);
    // Long past the unbonding time the dispute still holds it.
    let mut late = world.clone();
    late.chain.advance(10_000);
    late.chain
        .refuse(calls::withdraw_stake(key("n0")), OpenDisputes);
    let found = world.must_judge(&case, &dispute, &votes(2..11, Vote::Honest));
    assert_eq!(found.slashed_amount.get(), (STAKE + SOL) / 2);
    let submitter = world.validator("n0");
    assert_eq!(submitter.activating.get(), 0);
    assert_eq!(submitter.unbonding.get(), (STAKE + SOL) / 2);
    world.chain.advance(10_000);
    world.chain.must(calls::withdraw_stake(key("n0")));
}

#[test]
fn a_submitter_without_stake_loses_nothing_and_blocks_nothing() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    let address = calls::validator(&key("n0"));
    world.chain.forge(&address, |v: &mut Validator| {
        v.stake.set(1);
        v.staked.set(1);
    });
    let mut account = world.chain.account(&address).expect("there");
    account.lamports -= STAKE - 1;
    world.chain.put(address, account);
    let end = world.dispute(&dispute).openings_end();
    world.chain.warp_to(end);
    let call = world.resolve(&dispute);
    world.chain.must(call);
    assert_eq!(world.dispute(&dispute).slashed_amount.get(), 0);
    assert_eq!(world.job(&case.job).status(), Some(JobStatus::Slashed));
    world.collect_all(&dispute);
}

#[test]
fn a_guilty_validator_is_jailed_for_its_time_and_comes_back_with_enough_stake() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    let end = world.dispute(&dispute).openings_end();
    world.chain.warp_to(end);
    let call = world.resolve(&dispute);
    world.chain.must(call);
    assert_eq!(world.job(&case.job).status(), Some(JobStatus::Slashed));
    let unjail = || calls::unjail(operator("n0"), key("n0"));
    world.chain.advance(2_449);
    world.chain.refuse(unjail(), JailNotOver);
    world.chain.advance(1);
    // 1 SOL is left of 2.
    world.chain.must(unjail());
}

#[test]
fn a_friend_who_challenges_first_shields_nothing() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::OneToken(150));
    world.reach_sample(&case);
    // The friend names nothing, and the sample happens to miss the altered token.
    let friend = world.must_challenge(&case, "n1");
    assert!(!world.positions(&friend).contains(&150));
    let call = world.challenge(&case, "n2", &[150]);
    world.chain.must(call);
    let honest = calls::dispute(&case.job, &key("n2"));
    world.must_answer(&case, &friend);
    for call in world.openings(&case, &honest, 2) {
        world.chain.must(call);
    }
    let judges = votes(3..11, Vote::Honest);
    for dispute in [friend, honest] {
        world.commits(&case, &dispute, &judges);
    }
    for (dispute, expected, status) in [
        (friend, Verdict::NotGuilty, JobStatus::Disputed),
        (honest, Verdict::Guilty, JobStatus::Slashed),
    ] {
        world.reveals(&case, &dispute, &judges);
        let call = world.resolve(&dispute);
        world.chain.must(call);
        assert_eq!(verdict(&world.dispute(&dispute)), Some(expected));
        assert_eq!(world.job(&case.job).status(), Some(status));
    }
    assert_eq!(lost(&world, "n0"), STAKE / 2);
}

#[test]
fn the_first_guilty_verdict_decides_and_the_other_disputes_end_void() {
    let mut world = court(12, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    world.reach_sample(&case);
    let disputes = ["n1", "n2", "n3"].map(|name| world.must_challenge(&case, name));
    world.must_answer(&case, &disputes[0]);
    for dispute in &disputes[1..] {
        for call in world.openings(&case, dispute, 2) {
            world.chain.must(call);
        }
    }
    // In the second dispute one of the jury has revealed when the first is decided; in the third nobody.
    let judges = votes(4..12, Vote::Honest);
    for dispute in &disputes {
        world.commits(&case, dispute, &judges);
    }
    let end = world.dispute(&disputes[2]).commit_end();
    world.chain.warp_to(end);
    let (name, vote) = judges
        .iter()
        .find(|(name, _)| world.sits(&disputes[1], name))
        .expect("somebody")
        .clone();
    let call = world.reveal(&case, &disputes[1], &name, vote);
    world.chain.must(call);
    world.reveals(&case, &disputes[0], &judges);
    let call = world.resolve(&disputes[0]);
    world.chain.must(call);
    assert_eq!(lost(&world, "n0"), STAKE / 2);

    for dispute in &disputes[1..] {
        let call = world.resolve(dispute);
        world.chain.must(call);
        let found = world.dispute(dispute);
        assert_eq!(verdict(&found), Some(Verdict::Void));
        assert_eq!(ground(&found), Some(Ground::Overtaken));
        let revealed = found
            .jury()
            .iter()
            .filter(|seat| seat.is_revealed())
            .count();
        assert_eq!(
            found.jurors_amount.get(),
            revealed as u64 * found.tariff.get()
        );
        // A guilty submitter is owed nothing for its answers, and silence costs nobody anything.
        assert_eq!(found.submitter_amount.get(), 0);
        assert!(found.seats.iter().all(|seat| seat.penalty.get() == 0));
        world.collect_all(dispute);
    }
    assert_eq!(
        world.dispute(&disputes[2]).challenger_amount,
        world.dispute(&disputes[2]).bond
    );
    assert_eq!(lost(&world, "n0"), STAKE / 2, "slashed once");
    assert_eq!(world.validator("n0").open_disputes.get(), 0);
}

#[test]
fn a_cheater_that_challenges_itself_still_loses_a_quarter_of_its_stake() {
    // n1 is n0's other key.
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
    world.collect_all(&dispute);
    let both = |world: &World| {
        let [a, b] = ["n0", "n1"].map(|name| world.validator(name));
        a.whole_stake() + b.whole_stake() + b.earned.get()
    };
    assert_eq!(both(&world), 2 * STAKE - STAKE / 4);
}

#[test]
fn spam_costs_the_spammer_and_earns_the_node() {
    let mut world = court(8, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::None);
    world.reach_sample(&case);
    let spam: Vec<Key> = (1..5)
        .map(|i| world.must_challenge(&case, &juror(i)))
        .collect();
    world.must_answer(&case, &spam[0]);
    for dispute in &spam[1..] {
        for call in world.openings(&case, dispute, 2) {
            world.chain.must(call);
        }
    }
    for dispute in &spam {
        world.commits(&case, dispute, &votes(5..8, Vote::Honest));
    }
    for dispute in &spam {
        world.reveals(&case, dispute, &votes(5..8, Vote::Honest));
        let call = world.resolve(dispute);
        world.chain.must(call);
        world.collect_all(dispute);
    }
    let job = world.job(&case.job);
    assert_eq!(job.status(), Some(JobStatus::Settled));
    assert_eq!(
        world.validator("n0").earned.get(),
        job.validator_amount.get() + 4 * 190_000
    );
    for i in 1..5 {
        assert_eq!(world.validator(&juror(i)).claimable.get(), 0);
    }
}
