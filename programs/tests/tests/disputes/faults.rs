//! Faults: what the program itself can decide from one leaf.

use super::*;

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
