//! Output and leaves: who posts them, who pays for the room, and when it comes back.

use super::*;

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
        world
            .chain
            .must(calls::close_output(case.job, page, key("n1")));
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
