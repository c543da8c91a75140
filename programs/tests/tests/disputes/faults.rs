//! Faults: what the program itself can decide from one leaf.

use super::*;

#[test]
fn a_cheater_that_proves_itself_keeps_a_tenth_of_what_it_loses() {
    let mut world = court(4, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(20));
    let own = world.proof(&answered, "n0", 20, calls::NONE);
    world.chain.refuse(own, SelfChallenge);
    let call = world.proof(&answered, "n1", 20, calls::NONE);
    world.chain.must(call);
    assert_eq!(world.validator("n0").whole_stake(), STAKE - HALF);
    assert_eq!(world.validator("n1").earned.get(), HALF / 10);
    assert_eq!(world.validator("n0").owed_burn.get(), HALF - HALF / 10);
}

#[test]
fn each_fault_is_proved_by_one_leaf_without_a_case() {
    for (lie, position) in [
        (Lie::RepeatedId(7), 7),
        (Lie::NotOrdered(7), 7),
        (Lie::NotTheChoice(7), 7),
        (Lie::EosInside(7), 7),
        (Lie::NoEos, 39),
    ] {
        let mut world = court(4, 3, |_| {});
        let answered = world.answered(EXACT, "n0", 40, lie);
        let innocent = world.proof(&answered, "n1", 3, calls::NONE);
        world.chain.refuse(innocent, NoFault);
        let call = world.proof(&answered, "n1", position, calls::NONE);
        world.chain.must(call.clone());
        let case = world.case(&answered);
        assert_eq!(verdict(&case), Some(Verdict::Fault), "{lie:?}");
        assert_eq!(ground(&case), Some(Ground::Fault));
        assert_eq!((case.prover, case.claim_count), (key("n1"), 0));
        assert_eq!(case.fault.leaf(), answered.answer.leaves[position as usize]);
        assert_eq!(case.prover_amount.get(), HALF / 10);
        assert_eq!(case.slashed_amount.get(), HALF);
        assert!(case.all_collected());
        let job = world.job(&answered.job);
        assert_eq!(job.status(), Some(JobStatus::Slashed));
        assert_eq!(job.end_reason, EndReason::Fault as u8);
        world.chain.refuse(call, WrongJobStatus);
        world.chain.advance(2_250);
        let close = world.closing(&answered);
        world.chain.must(close);
    }
}

#[test]
fn a_fault_pays_who_had_said_false_before_it_and_not_who_proves_it() {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::NotTheOutput(150));
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    let page = calls::output(&answered.job, 0);
    let early = world.proof(&answered, "n2", 150, page);
    world.chain.refuse(early, WrongAccountOwner);
    for call in world.outputs(&answered) {
        world.chain.must(call);
    }
    let without = world.proof(&answered, "n2", 150, calls::NONE);
    world.chain.refuse(without, NoFault);
    let fine = world.proof(&answered, "n2", 151, page);
    world.chain.refuse(fine, NoFault);
    // Long after the window, because its case is open.
    world.chain.advance(1_000);
    let call = world.proof(&answered, "n2", 150, page);
    world.chain.must(call);
    let case = world.case(&answered);
    assert_eq!(verdict(&case), Some(Verdict::Fault));
    world.collect_all(&answered);
    assert_eq!(world.validator("n1").earned.get(), REWARD);
    assert_eq!(world.validator("n1").returned.get(), case.claims[0].bond());
    assert_eq!(world.validator("n2").earned.get(), 0);
    // Who only said that it was withheld gets a tenth.
    let answered = world.answered(EXACT, "n3", 300, Lie::NotTheChoice(150));
    world.reach_sample(&answered);
    world.must_miss(&answered, "n4");
    let call = world.proof(&answered, "n2", 150, calls::NONE);
    world.chain.must(call);
    world.collect_all(&answered);
    assert_eq!(world.validator("n4").earned.get(), HALF / 10);
}

/// A case that n1 opened with `false` and that is shown; a fault lies at 150, outside the sample.
fn shown(lie: Lie) -> (World, Answered) {
    let (mut world, answered) = disputed(EXACT, 3, lie);
    let case = world.case(&answered);
    assert!(unsampled(&case).any(|position| position == 150));
    world.must_show(&answered);
    (world, answered)
}

#[test]
fn a_fault_that_is_proved_while_somebody_says_false_is_noted_and_the_jury_goes_on() {
    let (mut world, answered) = shown(Lie::NotTheChoice(150));
    let all = everybody(&world, Ballot::Honest);
    world.commits(&answered, &all);
    let call = world.proof(&answered, "n2", 150, calls::NONE);
    world.chain.must(call);
    let case = world.case(&answered);
    assert_eq!(case.status(), Some(CaseStatus::Jury));
    assert_eq!((case.prover, case.verdict), (key("n2"), 0));
    // Who comes second proves nothing new.
    let again = world.proof(&answered, "n3", 150, calls::NONE);
    world.chain.refuse(again, FaultProved);
    let early = world.resolve(&answered);
    world.chain.refuse(early, CaseNotDue);
    world.reveals(&answered, &all[1..]);
    let case = world.must_resolve(&answered);
    assert_eq!(verdict(&case), Some(Verdict::Fault));
    assert_eq!(ground(&case), Some(Ground::Fault));
    assert_eq!(case.slashed_amount.get(), HALF);
    assert_eq!(world.job(&answered.job).end_reason, EndReason::Fault as u8);
    // The sample is true, and n1 named nothing: it was wrong, and who proved it has a tenth to collect.
    assert_eq!(outcomes(&case), [Some(Outcome::Wrong)]);
    assert_eq!(case.prover_amount.get(), HALF / 10);
    assert_eq!(world.validator("n2").earned.get(), 0);
    for seat in case.jury() {
        assert_eq!(seat.penalty.get() > 0, !seat.is_revealed());
    }
    let mut unpaid = world.clone();
    for name in case.due_parties() {
        if name != key("n2") {
            let collect = unpaid.collection(&answered, name);
            unpaid.chain.must(collect);
        }
    }
    unpaid.chain.advance(10_000);
    let close = unpaid.closing(&answered);
    unpaid.chain.refuse(close, NotCollected);
    world.collect_all(&answered);
    let earned = world.validator("n2").earned.get();
    let juror = case.jury().iter().find(|seat| seat.juror == key("n2"));
    assert_eq!(
        earned,
        HALF / 10 + juror.map_or(0, |seat| seat.reward.get())
    );
    let collect = world.collection(&answered, key("n2"));
    world.chain.refuse(collect, AlreadyCollected);
}

#[test]
fn a_fault_is_one_though_nobody_judges_or_the_jury_is_void() {
    for votes in [0, 1] {
        let (mut world, answered) = shown(Lie::NotTheChoice(150));
        // Proved before anybody can commit.
        let call = world.proof(&answered, "n2", 150, calls::NONE);
        world.chain.must(call);
        let all = everybody(&world, Ballot::Honest);
        world.commits(&answered, &all[..votes]);
        let case = world.must_resolve(&answered);
        assert_eq!(ground(&case), Some(Ground::Fault));
        assert_eq!(
            case.slashed_amount.get(),
            HALF,
            "no cap by what jurors brought"
        );
        assert_eq!(outcomes(&case), [Some(Outcome::Undecided)]);
        // Nobody found the claim wrong.
        world.collect_all(&answered);
        assert_eq!(world.validator("n1").earned.get(), REWARD);
        let fined = case.jury().iter().filter(|seat| seat.penalty.get() > 0);
        assert_eq!(fined.count(), if votes == 0 { 0 } else { 3 });
    }
}

#[test]
fn who_names_a_proven_fault_is_right_though_nobody_judges() {
    // n1 has said an empty `false`, of which nobody finds anything.
    let (mut world, answered) = shown(Lie::NotTheChoice(150));
    world.must_object(&answered, "n2", &[150]);
    let call = world.proof(&answered, "n2", 150, calls::NONE);
    world.chain.must(call);
    let case = world.must_resolve(&answered);
    assert_eq!(ground(&case), Some(Ground::Fault));
    use Outcome::{Right, Undecided};
    assert_eq!(outcomes(&case), [Undecided, Right].map(Some));
    world.collect_all(&answered);
    assert_eq!(world.validator("n1").earned.get(), 0);
    assert_eq!(world.validator("n2").earned.get(), REWARD);
}

#[test]
fn a_fault_overrules_a_jury_at_the_last_moment() {
    let (mut world, answered) = shown(Lie::NotTheChoice(150));
    let all = everybody(&world, Ballot::Honest);
    world.commits(&answered, &all);
    world.reveals(&answered, &all);
    let due = world.case(&answered).due_slot().expect("open");
    world.chain.warp_to(due + 1_000);
    let mut without = world.clone();
    let case = without.must_resolve(&answered);
    assert_eq!(verdict(&case), Some(Verdict::NotGuilty));
    let call = world.proof(&answered, "n2", 150, calls::NONE);
    world.chain.must(call);
    let case = world.must_resolve(&answered);
    assert_eq!(verdict(&case), Some(Verdict::Fault));
}

#[test]
fn who_names_a_fault_is_right_and_the_proof_shows_what_nobody_can_post() {
    for lie in [
        Lie::NotTheChoice(150),
        Lie::NotTheOutput(150),
        Lie::NotOrdered(150),
    ] {
        let mut world = court(12, 3, |_| {});
        let answered = world.answered(EXACT, "n0", 300, lie);
        world.reach_sample(&answered);
        // A friend opens; the honest one joins once it can.
        world.must_miss(&answered, "n2");
        world.must_show(&answered);
        world.must_object(&answered, "n3", &[]);
        world.must_object(&answered, "n1", &[150]);
        let refused = world.opening(&answered, &[150]);
        assert!(world.chain.send(&[refused]).is_err());
        assert!(!world.case(&answered).is_shown());
        let page = calls::output(&answered.job, 0);
        world.chain.advance(3);
        let call = world.proof(&answered, "n1", 150, page);
        world.chain.must(call);
        let case = world.case(&answered);
        assert!(case.is_shown() && case.claims[2].is_proved());
        assert_eq!(case.leaves_slot.get(), world.chain.slot());
        // Whoever names it later is shown by another proof.
        world.must_object(&answered, "n4", &[150]);
        let call = world.proof(&answered, "n5", 150, page);
        world.chain.must(call.clone());
        world.chain.refuse(call, FaultProved);
        let case = world.must_judge(&answered, &ballots(5..12, Ballot::Honest));
        assert_eq!(verdict(&case), Some(Verdict::Fault), "{lie:?}");
        use Outcome::{Right, Wrong};
        assert_eq!(outcomes(&case), [Wrong, Wrong, Right, Right].map(Some));
        assert_eq!(case.prover, key("n1"));
        world.collect_all(&answered);
        assert_eq!(world.validator("n1").earned.get(), REWARD);
        let others = ["n2", "n3", "n4"].map(|name| world.validator(name).earned.get());
        assert_eq!(others, [0; 3]);
    }
}

#[test]
fn a_claim_and_the_proof_of_its_fault_are_one_transaction() {
    for first in [None, Some(ClaimKind::Withheld), Some(ClaimKind::False)] {
        let mut world = court(12, 3, |_| {});
        let answered = world.answered(EXACT, "n0", 300, Lie::NotTheChoice(150));
        world.reach_sample(&answered);
        match first {
            None => {}
            Some(ClaimKind::Withheld) => world.must_miss(&answered, "n2"),
            Some(ClaimKind::False) => world.must_object(&answered, "n2", &[]),
        }
        if first.is_some() {
            world.must_show(&answered);
        }
        let claim = world.objection(&answered, "n1", &[150]);
        let proof = world.proof(&answered, "n1", 150, calls::NONE);
        let receipt = world.chain.send(&[claim, proof]).expect("taken");
        assert!(receipt.bytes <= 1_232, "{} bytes", receipt.bytes);
        let units = receipt.compute_units;
        assert!(units < 60_000, "{units} units");
        let mut case = world.case(&answered);
        let decided = case.status() == Some(CaseStatus::Resolved);
        assert_eq!(
            decided,
            first.is_none(),
            "at once where nobody else is heard"
        );
        if !decided {
            case = world.must_judge(&answered, &ballots(3..12, Ballot::Honest));
        }
        assert_eq!(verdict(&case), Some(Verdict::Fault));
        world.collect_all(&answered);
        assert_eq!(world.validator("n1").earned.get(), REWARD);
        assert_eq!(world.validator("n2").earned.get(), 0);
    }
}

#[test]
fn what_is_not_shown_in_time_goes_unanswered_though_a_fault_was_proved() {
    let (mut world, answered) = shown(Lie::NotTheChoice(150));
    let hidden = unsampled(&world.case(&answered)).find(|position| *position != 150);
    world.must_object(&answered, "n2", &[150]);
    world.must_object(&answered, "n3", &[hidden.expect("many")]);
    let due = world.case(&answered).leaves_due();
    world.chain.warp_to(due);
    let call = world.proof(&answered, "n4", 150, calls::NONE);
    world.chain.must(call);
    assert!(!world.case(&answered).claims[1].is_shown(), "too late");
    let case = world.must_resolve(&answered);
    assert_eq!(ground(&case), Some(Ground::Unanswered));
    assert_eq!(case.slashed_amount.get(), HALF);
    world.collect_all(&answered);
    assert_eq!(world.validator("n1").earned.get(), HALF / 10);
    assert_eq!(world.validator("n4").earned.get(), 0);
}

#[test]
fn what_a_closed_prover_would_get_is_burned() {
    let (mut world, answered) = shown(Lie::NotTheChoice(150));
    world.seat("prover", STAKE);
    let call = world.proof(&answered, "prover", 150, calls::NONE);
    world.chain.must(call);
    let all = everybody(&world, Ballot::Honest);
    let case = world.must_judge(&answered, &all);
    assert_eq!(case.prover_amount.get(), HALF / 10);
    let gone = key("prover");
    world.chain.must(calls::request_unstake(gone, STAKE));
    world.chain.advance(5_000);
    world.chain.must(calls::withdraw_stake(gone));
    world.chain.must(calls::close_validator(gone, gone));
    world.collect_all(&answered);
    let forfeited = world.case(&answered).forfeited_amount.get();
    assert_eq!(forfeited, HALF / 10);
    let close = world.closing(&answered);
    world.chain.must(close);
}

#[test]
fn a_faulty_leaf_cannot_be_posted_so_a_case_that_asks_for_it_goes_unanswered() {
    for lie in [
        Lie::NotTheOutput(150),
        Lie::NotTheChoice(150),
        Lie::RepeatedId(150),
        Lie::NotOrdered(150),
    ] {
        let mut world = court(3, 3, |_| {});
        let answered = world.answered(EXACT, "n0", 300, lie);
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[150]);
        for call in world.outputs(&answered) {
            world.chain.must(call);
        }
        let expected = match lie {
            Lie::NotTheOutput(_) => OutputMismatch,
            _ => OpeningInvalid,
        };
        let opening = world.opening(&answered, &[150]);
        world.chain.refuse(opening, expected);
    }
    for lie in [Lie::EosInside(150), Lie::NoEos] {
        let (mut world, answered) = disputed(EXACT, 3, lie);
        let chunk = match lie {
            Lie::NoEos => 2,
            _ => 1,
        };
        let call = world.outputs(&answered)[chunk].clone();
        world.chain.refuse(call, OutputInvalid);
    }
}
