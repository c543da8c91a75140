//! The dispute game from challenge to verdict, with the amounts it must move, and what each lie costs the
//! liar. The invariants are checked by the harness after each transaction.

use mythic_interface::error::MythicError::{self, *};
use mythic_interface::params::Params;
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls;
use mythic_program_tests::chain::slot_hash;
use mythic_program_tests::court::{Case, Vote, court, juror, votes};
use mythic_program_tests::world::{CALIBRATED, EXACT, SOL, World, key, model, operator};

const STAKE: u64 = 2 * SOL;

/// A court of `seats` seats and enough validators, and a challenged answer of n0 by n1.
fn challenged(n: u8, seats: u16, lie: Lie) -> (World, Case, Key) {
    let mut world = court(2 + 3 * usize::from(seats), seats, |_| {});
    let case = world.answered(n, "n0", 300, lie);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    (world, case, dispute)
}

/// The jurors of such a court.
fn jurors(world: &World) -> usize {
    let params: Config = world.chain.load(&calls::config());
    2 + 3 * usize::from(params.params.rules.jury_seats.get())
}

fn verdict(dispute: &Dispute) -> Option<Verdict> {
    Verdict::from_u8(dispute.verdict)
}

fn ground(dispute: &Dispute) -> Option<Ground> {
    Ground::from_u8(dispute.ground)
}

fn lost(world: &World, name: &str) -> u64 {
    world.validator(name).slashed.get()
}

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
        assert_eq!(submitter.jailed_until.get(), world.chain.slot() + 9_000);
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
    assert_eq!(
        submitter.earned.get(),
        job.validator_amount.get() + 190_000
    );
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
    assert_eq!((verdict(&found), ground(&found)), (Some(Verdict::Void), Some(Ground::Jury)));
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
    let found = world.must_judge(&case, &friend, &judges);
    assert_eq!(verdict(&found), Some(Verdict::NotGuilty));
    assert_eq!(world.job(&case.job).status(), Some(JobStatus::Disputed));
    let found = world.must_judge(&case, &honest, &judges);
    assert_eq!(verdict(&found), Some(Verdict::Guilty));
    assert_eq!(world.job(&case.job).status(), Some(JobStatus::Slashed));
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
        let revealed = found.jury().iter().filter(|seat| seat.is_revealed()).count();
        assert_eq!(found.jurors_amount.get(), revealed as u64 * found.tariff.get());
        // A guilty submitter is owed nothing for its answers, and silence costs nobody anything.
        assert_eq!(found.submitter_amount.get(), 0);
        assert!(found.seats.iter().all(|seat| seat.penalty.get() == 0));
        world.collect_all(dispute);
    }
    assert_eq!(world.dispute(&disputes[2]).challenger_amount, world.dispute(&disputes[2]).bond);
    assert_eq!(lost(&world, "n0"), STAKE / 2, "slashed once");
    assert_eq!(world.validator("n0").open_disputes.get(), 0);
}

/// A jury of 5 where two honest seats at most are against the rest: votes by seat.
fn split_jury(lie: Lie, against: Vote, most: usize) -> (World, Key, Dispute) {
    // The draw decides who sits; the first seats' jurors are told to vote against.
    let (mut world, case, dispute) = challenged(EXACT, 5, lie);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    // Commitments must be made before seats are known for good: find out in a copy.
    let mut trial = world.clone();
    trial.commits(&case, &dispute, &votes(2..everybody, Vote::Honest));
    let found = trial.dispute(&dispute);
    let mut liars: Vec<Key> = Vec::new();
    let mut seats = 0;
    for seat in found.jury() {
        let held = found.jury().iter().filter(|s| s.juror == seat.juror).count();
        if !liars.contains(&seat.juror) && seats + held <= most {
            liars.push(seat.juror);
            seats += held;
        }
    }
    let ballot: Vec<_> = (2..everybody)
        .map(|i| {
            let name = juror(i);
            let vote = match liars.contains(&key(&name)) {
                true => against,
                false => Vote::Honest,
            };
            (name, vote)
        })
        .collect();
    let found = world.must_judge(&case, &dispute, &ballot);
    (world, dispute, found)
}

#[test]
fn false_jurors_in_the_minority_lose_and_change_nothing() {
    for (lie, against, expected) in [
        (Lie::OtherModel, Vote::Approve, Verdict::Guilty),
        (Lie::None, Vote::Guess(1), Verdict::NotGuilty),
        // A guesser who happens to side with the truth does not agree with those who computed it.
        (Lie::OtherModel, Vote::Guess(1), Verdict::Guilty),
    ] {
        let (mut world, dispute, found) = split_jury(lie, against, 1);
        assert_eq!(verdict(&found), Some(expected));
        let liars: Vec<&JurySeat> = found
            .jury()
            .iter()
            .filter(|seat| seat.penalty.get() > 0)
            .collect();
        assert_eq!(liars.len(), 1, "{against:?}");
        assert_eq!(liars[0].reward.get(), 0);
        world.collect_all(&dispute);
        let loser = (2..17)
            .map(juror)
            .find(|name| key(name) == liars[0].juror)
            .expect("a juror");
        let loser = world.validator(&loser);
        assert_eq!(loser.slashed.get(), 50_000_000);
        assert_eq!(loser.whole_stake(), STAKE - 50_000_000);
        assert!(loser.owed_burn.get() >= 50_000_000);
    }
}

#[test]
fn two_false_jurors_of_five_prevent_a_verdict_and_gain_a_tariff_only() {
    let (world, _, found) = split_jury(Lie::OtherModel, Vote::Approve, 2);
    assert_eq!(verdict(&found), Some(Verdict::Void));
    assert!(found.jury().iter().all(|seat| seat.reward == found.tariff));
    assert_eq!(lost(&world, "n0"), 0);
}

#[test]
fn a_copied_commitment_cannot_be_opened_and_counts_as_silence() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    let start = world.dispute(&dispute).commit_start();
    world.chain.warp_to(start);
    let original = world.commit(&case, &dispute, "n2", Vote::Honest);
    world.chain.must(original.clone());
    let mut copies = Vec::new();
    for i in 3..everybody {
        let mut copy = world.commit(&case, &dispute, &juror(i), Vote::Honest);
        copy.data = original.data.clone();
        if world.chain.send(&[copy]).is_ok() {
            copies.push(juror(i));
        }
    }
    copies.retain(|name| world.sits(&dispute, name));
    assert!(!copies.is_empty());
    let end = world.dispute(&dispute).commit_end();
    world.chain.warp_to(end);
    for name in &copies {
        let own = world.reveal(&case, &dispute, name, Vote::Honest);
        world.chain.refuse(own.clone(), CommitmentMismatch);
        let mut stolen = own;
        stolen.data = world.reveal(&case, &dispute, "n2", Vote::Honest).data;
        world.chain.refuse(stolen, CommitmentMismatch);
    }
    let end = world.dispute(&dispute).reveal_end();
    world.chain.warp_to(end);
    let call = world.resolve(&dispute);
    world.chain.must(call);
    world.collect_all(&dispute);
    for name in &copies {
        assert!(lost(&world, name) >= 50_000_000, "{name}");
    }
}

#[test]
fn jurors_who_do_not_show_up_lose_whatever_the_verdict() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    world.commits(&case, &dispute, &votes(2..everybody, Vote::Honest));
    let end = world.dispute(&dispute).reveal_end();
    world.chain.warp_to(end - 1);
    let call = world.resolve(&dispute);
    world.chain.refuse(call.clone(), DisputeNotDue);
    world.chain.warp_to(end);
    world.chain.must(call);
    let found = world.dispute(&dispute);
    assert_eq!(verdict(&found), Some(Verdict::Void));
    world.collect_all(&dispute);
    assert_eq!(world.dispute(&dispute).penalties_amount.get(), 3 * 50_000_000);
    assert_eq!(world.validator("n1").claimable.get(), found.bond.get() - found.answering_fee.get());
}

#[test]
fn a_penalty_takes_what_is_left_and_no_more() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    world.commits(&case, &dispute, &votes(2..everybody, Vote::Honest));
    let end = world.dispute(&dispute).reveal_end();
    world.chain.warp_to(end);
    let call = world.resolve(&dispute);
    world.chain.must(call);
    let silent = world.dispute(&dispute).seats[0].juror;
    let name = (2..everybody)
        .map(juror)
        .find(|name| key(name) == silent)
        .expect("a juror");
    let address = calls::validator(&silent);
    world.chain.forge(&address, |v: &mut Validator| {
        v.stake.set(7);
        v.unbonding.set(5);
    });
    let mut account = world.chain.account(&address).expect("there");
    account.lamports -= STAKE - 12;
    world.chain.put(address, account);
    world.chain.must(calls::collect_dispute(dispute, silent));
    assert_eq!(world.validator(&name).whole_stake(), 0);
    assert_eq!(lost(&world, &name), 12);
    let again = calls::collect_dispute(dispute, silent);
    world.chain.refuse(again, AlreadyCollected);
}

#[test]
fn what_is_due_to_a_validator_that_was_closed_is_burned() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    let found = world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
    let gone = found.seats[0].juror;
    let name = (2..everybody)
        .map(juror)
        .find(|name| key(name) == gone)
        .expect("a juror");
    world.chain.must(calls::request_unstake(gone, STAKE));
    world.chain.advance(5_000);
    world.chain.must(calls::withdraw_stake(gone));
    world.chain.must(calls::close_validator(gone, gone));
    let wrong = calls::collect_dispute(dispute, gone);
    let mut wrong = wrong;
    wrong.accounts[1].pubkey = calls::validator(&key("nobody")).into();
    world.chain.refuse(wrong, WrongAddress);
    let burned = world.chain.lamports(&mythic_interface::INCINERATOR);
    world.collect_all(&dispute);
    let seats = found.jury().iter().filter(|seat| seat.juror == gone).count() as u64;
    assert_eq!(
        world.chain.lamports(&mythic_interface::INCINERATOR),
        burned + seats * found.tariff.get(),
        "{name}"
    );
    // The challenger cannot close before it has collected, and did.
    world.chain.must(calls::close_dispute(dispute, key("n1")));
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
fn a_cheater_that_proves_itself_loses_a_quarter_of_its_stake() {
    let mut world = court(4, 3, |_| {});
    let case = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(20));
    let own = world.proof(&case, "n0", 20, calls::NONE);
    world.chain.refuse(own, SelfChallenge);
    let call = world.proof(&case, "n1", 20, calls::NONE);
    world.chain.must(call);
    assert_eq!(world.validator("n0").whole_stake(), STAKE / 2);
    assert_eq!(world.validator("n1").earned.get(), STAKE / 4);
    assert!(world.validator("n0").owed_burn.get() == STAKE / 4);
}

#[test]
fn each_fault_is_proved_by_one_leaf_without_a_dispute() {
    for (lie, position) in [
        (Lie::RepeatedId(7), 7),
        (Lie::NotOrdered(7), 7),
        (Lie::NotTheChoice(7), 7),
        (Lie::EosInside(7), 7),
        (Lie::NoEos, 39),
    ] {
        let mut world = court(4, 3, |_| {});
        let case = world.answered(EXACT, "n0", 40, lie);
        let innocent = world.proof(&case, "n1", 3, calls::NONE);
        world.chain.refuse(innocent, NoFault);
        let call = world.proof(&case, "n1", position, calls::NONE);
        world.chain.must(call.clone());
        let fault = world.dispute(&calls::fault(&case.job));
        assert_eq!(verdict(&fault), Some(Verdict::Fault), "{lie:?}");
        assert_eq!(ground(&fault), Some(Ground::Fault));
        assert_eq!(fault.challenger, key("n1"));
        assert_eq!(fault.slashed_amount.get(), STAKE / 2);
        assert!(fault.all_collected());
        let job = world.job(&case.job);
        assert_eq!(job.status(), Some(JobStatus::Slashed));
        assert_eq!(job.end_reason, EndReason::Fault as u8);
        world.chain.refuse(call, WrongJobStatus);
        world.chain.advance(2_250);
        world
            .chain
            .must(calls::close_dispute(calls::fault(&case.job), key("n1")));
    }
}

#[test]
fn a_leaf_that_contradicts_the_posted_output_is_a_fault_and_ends_the_dispute() {
    let mut world = court(8, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::NotTheOutput(150));
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    let page = calls::output(&case.job, 0);
    let early = world.proof(&case, "n2", 150, page);
    world.chain.refuse(early, WrongAccountOwner);
    for call in world.outputs(&case, &dispute) {
        world.chain.must(call);
    }
    let without = world.proof(&case, "n2", 150, calls::NONE);
    world.chain.refuse(without, NoFault);
    let fine = world.proof(&case, "n2", 151, page);
    world.chain.refuse(fine, NoFault);
    // Long after the window, because a dispute is open.
    world.chain.advance(1_000);
    let call = world.proof(&case, "n2", 150, page);
    world.chain.must(call);
    assert_eq!(world.validator("n2").earned.get(), STAKE / 4);
    let call = world.resolve(&dispute);
    world.chain.must(call);
    let found = world.dispute(&dispute);
    assert_eq!(ground(&found), Some(Ground::Overtaken));
    assert_eq!(found.challenger_amount, found.bond);
}

#[test]
fn such_a_leaf_cannot_be_posted_so_a_dispute_that_checks_it_goes_unanswered() {
    for lie in [
        Lie::NotTheOutput(150),
        Lie::NotTheChoice(150),
        Lie::RepeatedId(150),
        Lie::NotOrdered(150),
    ] {
        let mut world = court(3, 3, |_| {});
        let case = world.answered(EXACT, "n0", 300, lie);
        world.reach_sample(&case);
        let call = world.challenge(&case, "n1", &[150]);
        world.chain.must(call);
        let dispute = calls::dispute(&case.job, &key("n1"));
        for call in world.outputs(&case, &dispute) {
            world.chain.must(call);
        }
        let expected = match lie {
            Lie::NotTheOutput(_) => OutputMismatch,
            _ => OpeningInvalid,
        };
        let openings = world.openings(&case, &dispute, 1);
        world.chain.refuse(openings[16].clone(), expected);
    }
    for lie in [Lie::EosInside(150), Lie::NoEos] {
        let (mut world, case, dispute) = challenged(EXACT, 3, lie);
        let chunk = match lie {
            Lie::NoEos => 2,
            _ => 1,
        };
        let call = world.outputs(&case, &dispute)[chunk].clone();
        world.chain.refuse(call, OutputInvalid);
    }
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
    world.chain.must(calls::add_stake(key("payer"), key("n0"), SOL));
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
    world
        .chain
        .forge(&address, |v: &mut Validator| v.stake.set(1));
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
fn a_jailed_validator_answers_and_reveals_but_takes_nothing_on() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
    let jail = |world: &mut World, name: &str| {
        mythic_program_tests::world::jail(world, name, 100_000);
    };
    let second = world.answered(EXACT, "n2", 20, Lie::None);
    world.reach_sample(&second);
    jail(&mut world, "n1");
    let call = world.challenge(&second, "n1", &[]);
    world.chain.refuse(call, Jailed);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    world.commits(&case, &dispute, &votes(2..everybody, Vote::Honest));
    for i in 0..everybody {
        jail(&mut world, &juror(i));
    }
    let outsider = (2..everybody)
        .map(juror)
        .find(|name| !world.sits(&dispute, name))
        .expect("not everybody");
    let call = world.commit(&case, &dispute, &outsider, Vote::Honest);
    world.chain.refuse(call, Jailed);
    let mut request = world.brief(EXACT, "n0", 10);
    request.validator = Some((key("n0"), operator("n0")));
    world.chain.refuse(request.call(), Jailed);
    world.reveals(&case, &dispute, &votes(2..everybody, Vote::Honest));
    let call = world.resolve(&dispute);
    world.chain.must(call);
    assert_eq!(verdict(&world.dispute(&dispute)), Some(Verdict::NotGuilty));
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
    world.chain.advance(8_999);
    world.chain.refuse(unjail(), JailNotOver);
    world.chain.advance(1);
    // 1 SOL is left of 2.
    world.chain.must(unjail());
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

#[test]
fn whoever_posts_first_pays_nothing_for_the_pages_and_repetition_changes_nothing() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::None);
    let page = world.chain.rent(Output::LEN);
    let prepaid = world.dispute(&dispute).output_rent.get();
    assert_eq!(prepaid, page);
    let before = world.chain.lamports(&key("payer"));
    for call in world.outputs(&case, &dispute) {
        world.chain.must(call.clone());
        world.chain.must(call);
    }
    assert_eq!(world.chain.lamports(&key("payer")), before);
    let posted: Output = world.chain.load(&calls::output(&case.job, 0));
    assert_eq!((posted.posted.get(), posted.count.get()), (3, 300));
    assert_eq!(posted.rent_payer, key("n1"));
    assert_eq!(world.dispute(&dispute).output_rent.get(), 0);
    // A second challenger prepays too, and gets all of it back at the end.
    let second = world.must_challenge(&case, "n2");
    assert_eq!(world.dispute(&second).output_rent.get(), page);
    let openings = world.openings(&case, &dispute, 2);
    for call in &openings[1..] {
        world.chain.must(call.clone());
        world.chain.must(call.clone());
    }
    assert_eq!(world.dispute(&dispute).opened, 14);
    world.chain.must(openings[0].clone());
    assert_eq!(world.dispute(&dispute).status(), Some(DisputeStatus::Jury));
    world.chain.refuse(openings[0].clone(), WrongDisputeStatus);
}

#[test]
fn somebody_who_prefunds_a_page_or_a_dispute_blocks_nothing() {
    let mut world = court(8, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::None);
    let rent = world.chain.rent(Output::LEN);
    world.chain.fund(calls::output(&case.job, 0), rent / 2);
    world
        .chain
        .fund(calls::dispute(&case.job, &key("n1")), 100 * SOL);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    let before = world.chain.lamports(&key("payer"));
    world.must_answer(&case, &dispute);
    assert_eq!(world.chain.lamports(&key("payer")), before);
    assert_eq!(world.dispute(&dispute).output_rent.get(), rent - rent / 2);
}

#[test]
fn an_answer_of_several_pages_is_posted_and_judged() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 3_000, Lie::OtherModel);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    let page = world.chain.rent(Output::LEN);
    assert_eq!(world.dispute(&dispute).output_rent.get(), 2 * page);
    // The last chunk first: pages come in any order.
    let mut outputs = world.outputs(&case, &dispute);
    outputs.reverse();
    for call in outputs {
        world.chain.must(call);
    }
    assert_eq!(world.dispute(&dispute).output_rent.get(), 0);
    for call in world.openings(&case, &dispute, 2) {
        world.chain.must(call);
    }
    let found = world.must_judge(&case, &dispute, &votes(2..11, Vote::Honest));
    assert_eq!(verdict(&found), Some(Verdict::Guilty));
    world.chain.advance(2_250);
    for page in [1, 0] {
        world.chain.must(calls::close_output(case.job, page, key("n1")));
    }
}

#[test]
fn a_short_answer_is_checked_everywhere() {
    for tokens in [1, 2, 16, 17] {
        let mut world = court(11, 3, |_| {});
        let case = world.answered(EXACT, "n0", tokens, Lie::OtherModel);
        world.reach_sample(&case);
        let dispute = world.must_challenge(&case, "n1");
        assert_eq!(world.positions(&dispute).len() as u32, tokens.min(16));
        world.must_answer(&case, &dispute);
        let found = world.must_judge(&case, &dispute, &votes(2..11, Vote::Honest));
        assert_eq!(verdict(&found), Some(Verdict::Guilty));
    }
}

#[test]
fn accounts_close_after_their_stay_and_all_rent_returns() {
    let (mut world, case, dispute) = challenged(EXACT, 3, Lie::OtherModel);
    let challenger = key("n1");
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    world.must_judge(&case, &dispute, &votes(2..everybody, Vote::Honest));
    let call = calls::close_dispute(dispute, challenger);
    world.chain.refuse(call.clone(), NotCollected);
    world.collect_all(&dispute);
    world.chain.advance(2_249);
    world.chain.refuse(call.clone(), TooEarlyToClose);
    let output = calls::close_output(case.job, 0, challenger);
    world.chain.refuse(output.clone(), JobRunning);
    world.chain.advance(1);
    let before = world.chain.lamports(&challenger);
    world.chain.must(call);
    // Once the job is gone, its pages may go as well.
    world.chain.must(calls::close_job(case.job, key("gateway")));
    world.chain.must(output);
    let rent = world.chain.rent(Dispute::LEN) + world.chain.rent(Output::LEN);
    assert_eq!(world.chain.lamports(&challenger), before + rent);
}

#[test]
fn samples_and_seats_are_drawn_by_the_first_slot_that_was_not_skipped() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    let submitted = world.job(&case.job).submitted_slot.get();
    // The second group's slot and the two after it are skipped, and the last group's until the present.
    world.chain.skip([submitted + 12, submitted + 13, submitted + 14]);
    world.chain.skip([submitted + 20, submitted + 21]);
    world.chain.warp_to(submitted + 22);
    let call = world.challenge(&case, "n1", &[]);
    world.chain.refuse(call.clone(), SampleNotKnown);
    world.chain.warp_to(submitted + 23);
    world.chain.must(call);
    let dispute = calls::dispute(&case.job, &key("n1"));
    let expected = [8, 15, 16, 22].map(|ahead| slot_hash(submitted + ahead));
    assert_eq!(world.dispute(&dispute).sample_hashes, expected);

    world.must_answer(&case, &dispute);
    let found = world.dispute(&dispute);
    let first = found.jury_slot();
    world.chain.skip([first + 4]);
    world.chain.skip(first + 8..first + 40);
    world.chain.warp_to(found.commit_start());
    let commit = world.commit(&case, &dispute, "n2", Vote::Honest);
    world.chain.refuse(commit.clone(), SampleNotKnown);
    world.chain.warp_to(first + 41);
    world.chain.must(commit);
    let found = world.dispute(&dispute);
    let drawn: Vec<_> = found.jury().iter().map(|seat| seat.slot_hash).collect();
    assert_eq!(drawn, [0, 5, 40].map(|ahead| slot_hash(first + ahead)));
    // Every seat is n2's, so it decides alone.
    assert!(found.jury().iter().all(|seat| seat.juror == key("n2")));
    world.reveals(&case, &dispute, &votes(2..3, Vote::Honest));
    let call = world.resolve(&dispute);
    world.chain.must(call);
    assert_eq!(verdict(&world.dispute(&dispute)), Some(Verdict::Guilty));
}

#[test]
fn a_seat_goes_to_the_highest_rank_whatever_the_order_of_commitments() {
    let (mut world, case, dispute) = challenged(EXACT, 5, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    let mut ballot = votes(2..everybody, Vote::Honest);
    let mut backwards = world.clone();
    world.commits(&case, &dispute, &ballot);
    ballot.reverse();
    backwards.commits(&case, &dispute, &ballot);
    let seats = |world: &World| world.dispute(&dispute).seats.map(|seat| (seat.juror, seat.rank));
    assert_eq!(seats(&world), seats(&backwards));
    // Who sits cannot commit again.
    let sitting = (2..everybody)
        .map(juror)
        .find(|name| world.sits(&dispute, name))
        .expect("somebody");
    let call = world.commit(&case, &dispute, &sitting, Vote::Approve);
    world.chain.refuse(call, AlreadyCommitted);
}

#[test]
fn stake_under_the_floor_gets_no_seat() {
    let floor = |params: &mut Params| params.rules.jury_stake.set(1 << 62);
    let mut world = court(6, 3, floor);
    let case = world.answered(EXACT, "n0", 20, Lie::OtherModel);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    world.must_answer(&case, &dispute);
    let start = world.dispute(&dispute).commit_start();
    world.chain.warp_to(start);
    for i in 2..6 {
        let call = world.commit(&case, &dispute, &juror(i), Vote::Honest);
        world.chain.refuse(call, NotSeated);
    }
}

/// Each phase: refused one slot before its first, possible in its first and in its last, refused after it.
#[test]
fn every_phase_is_half_open() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 40, Lie::OtherModel);
    let submitted = world.job(&case.job).submitted_slot.get();
    let refuse = |world: &World, slot: u64, call: &solana_instruction::Instruction, error: MythicError| {
        let mut world = world.clone();
        world.chain.warp_to(slot);
        world.chain.refuse(call.clone(), error);
    };
    let allow = |world: &World, slot: u64, call: &solana_instruction::Instruction| {
        let mut world = world.clone();
        world.chain.warp_to(slot);
        world.chain.must(call.clone());
    };
    let challenge = world.challenge(&case, "n1", &[]);
    refuse(&world, submitted + 20, &challenge, SampleNotKnown);
    allow(&world, submitted + 21, &challenge);
    allow(&world, submitted + 99, &challenge);
    refuse(&world, submitted + 100, &challenge, WindowClosed);

    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    let end = world.dispute(&dispute).openings_end();
    assert_eq!(end, world.chain.slot() + 50);
    let output = world.outputs(&case, &dispute).remove(0);
    allow(&world, end - 1, &output);
    refuse(&world, end, &output, OpeningsOver);
    world.chain.must(output);
    let mut openings = world.openings(&case, &dispute, 2);
    let last = openings.pop().expect("eight");
    for call in openings {
        world.chain.must(call);
    }
    allow(&world, end - 1, &last);
    refuse(&world, end, &last, OpeningsOver);
    let resolve = world.resolve(&dispute);
    refuse(&world, end - 1, &resolve, DisputeNotDue);
    allow(&world, end, &resolve);
    world.chain.must(last);

    let found = world.dispute(&dispute);
    assert_eq!(found.commit_start(), world.chain.slot() + 8 + 12);
    assert_eq!(found.commit_end(), found.commit_start() + 100);
    assert_eq!(found.reveal_end(), found.commit_end() + 50);
    let commit = world.commit(&case, &dispute, "n2", Vote::Honest);
    refuse(&world, found.commit_start() - 1, &commit, CommitClosed);
    allow(&world, found.commit_start(), &commit);
    allow(&world, found.commit_end() - 1, &commit);
    refuse(&world, found.commit_end(), &commit, CommitClosed);
    world.chain.warp_to(found.commit_start());
    world.chain.must(commit);
    let reveal = world.reveal(&case, &dispute, "n2", Vote::Honest);
    refuse(&world, found.commit_end() - 1, &reveal, RevealClosed);
    allow(&world, found.commit_end(), &reveal);
    allow(&world, found.reveal_end() - 1, &reveal);
    refuse(&world, found.reveal_end(), &reveal, RevealClosed);
    refuse(&world, found.reveal_end() - 1, &resolve, DisputeNotDue);
    allow(&world, found.reveal_end(), &resolve);
    world.chain.warp_to(found.commit_end());
    world.chain.must(reveal);
    world.chain.must(resolve);

    let proof = court(3, 3, |_| {});
    let mut world = proof;
    let case = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(9));
    let end = world.job(&case.job).window_end().expect("submitted");
    let call = world.proof(&case, "n1", 9, calls::NONE);
    allow(&world, end - 1, &call);
    refuse(&world, end, &call, WindowClosed);
    assert_eq!(model(EXACT), world.job(&case.job).terms.model);
}
