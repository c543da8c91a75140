//! Output and leaves: who posts them, who pays for the room, and when it comes back.

use super::*;

#[test]
fn whoever_posts_first_pays_nothing_for_the_pages_and_repetition_changes_nothing() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    let page = world.chain.rent(Output::LEN);
    assert_eq!(world.case(&answered).output_rent.get(), page);
    let before = world.chain.lamports(&key("payer"));
    for call in world.outputs(&answered) {
        world.chain.must(call.clone());
        world.chain.must(call);
    }
    assert_eq!(world.chain.lamports(&key("payer")), before);
    let posted: Output = world.chain.load(&calls::output(&answered.job, 0));
    assert_eq!((posted.posted.get(), posted.count.get()), (3, 300));
    assert_eq!(posted.rent_payer, key("n1"));
    assert_eq!(world.case(&answered).output_rent.get(), 0);
    let openings = world.openings(&answered, 2);
    for call in &openings[1..] {
        world.chain.must(call.clone());
        world.chain.must(call.clone());
    }
    let case = world.case(&answered);
    assert_eq!((case.opened, case.shown_slot.get()), (14, 0));
    world.chain.advance(3);
    world.chain.must(openings[0].clone());
    let case = world.case(&answered);
    assert_eq!(case.status(), Some(CaseStatus::Joining));
    assert_eq!(case.shown_slot.get(), world.chain.slot());
    // What is there already neither prolongs anything nor calls the jury later.
    world.chain.advance(1);
    world.chain.must(openings[0].clone());
    assert_eq!(world.case(&answered).leaves_slot, case.leaves_slot);
    let output = world.outputs(&answered).remove(0);
    world.chain.must(output);
    // A joiner that names nothing prepays nothing.
    world.must_object(&answered, "n2", &[]);
    assert_eq!(world.case(&answered).output_rent.get(), 0);
}

#[test]
fn somebody_who_prefunds_a_page_a_case_or_its_votes_blocks_nothing() {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    let rent = world.chain.rent(Output::LEN);
    world.chain.fund(calls::output(&answered.job, 0), rent / 2);
    world.chain.fund(calls::case(&answered.job), 100 * SOL);
    world.chain.fund(calls::votes(&answered.job), 1);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    let before = world.chain.lamports(&key("payer"));
    world.must_show(&answered);
    assert_eq!(world.chain.lamports(&key("payer")), before);
    assert_eq!(world.case(&answered).output_rent.get(), rent - rent / 2);
}

#[test]
fn who_holds_no_more_than_fees_shows_an_answer_of_several_pages() {
    let (poor, fees) = (key("poor"), 1_000_000);
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 3_000, Lie::None);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.chain.fund(poor, fees);
    // The last chunk first, so that one transaction makes two pages.
    for mut call in world.outputs(&answered).into_iter().rev() {
        let payer = call.accounts.iter_mut().find(|meta| meta.is_signer);
        payer.unwrap().pubkey = poor.into();
        world.chain.must(call);
    }
    assert_eq!(world.chain.lamports(&poor), fees);
    assert_eq!(world.case(&answered).output_rent.get(), 0);
}

#[test]
fn an_answer_of_several_pages_is_posted_and_judged() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 3_000, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    let page = world.chain.rent(Output::LEN);
    assert_eq!(world.case(&answered).output_rent.get(), 2 * page);
    // The last chunk first: pages come in any order.
    let mut outputs = world.outputs(&answered);
    outputs.reverse();
    for call in outputs {
        world.chain.must(call);
    }
    assert_eq!(world.case(&answered).output_rent.get(), 0);
    for call in world.openings(&answered, 2) {
        world.chain.must(call);
    }
    let case = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
    assert_eq!(verdict(&case), Some(Verdict::Guilty));
    world.chain.advance(2_250);
    for page in [1, 0] {
        let close = calls::close_output(answered.job, page, key("n1"));
        world.chain.must(close);
    }
}

#[test]
fn the_longest_answer_has_time_to_be_shown_under_the_shortest_openings() {
    let mut world = court(4, 3, |_| {});
    let (short, long) = (127, 2_048);
    let ends = [short, long].map(|tokens| {
        let answered = world.answered(EXACT, "n0", tokens, Lie::None);
        world.reach_sample(&answered);
        world.must_miss(&answered, "n1");
        let case = world.case(&answered);
        case.leaves_due() - case.opened_slot.get()
    });
    assert_eq!(ends, [50, 50 + 16 / 4]);
}

#[test]
fn a_short_answer_is_checked_everywhere() {
    for tokens in [1, 2, 16, 17] {
        let mut world = court(11, 3, |_| {});
        let answered = world.answered(EXACT, "n0", tokens, Lie::OtherModel);
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[]);
        assert_eq!(world.case(&answered).sample().len() as u32, tokens.min(16));
        world.must_show(&answered);
        let case = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
        assert_eq!(verdict(&case), Some(Verdict::Guilty));
    }
}

#[test]
fn accounts_close_after_their_stay_and_all_rent_returns_to_who_paid_it() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    world.reach_sample(&answered);
    // One opens, another calls the jury and pays for its votes.
    world.must_miss(&answered, "n1");
    world.must_show(&answered);
    world.must_object(&answered, "n2", &[]);
    world.must_judge(&answered, &ballots(3..11, Ballot::Honest));
    let close = world.closing(&answered);
    world.chain.refuse(close.clone(), NotCollected);
    world.collect_all(&answered);
    world.chain.advance(2_249);
    world.chain.refuse(close.clone(), TooEarlyToClose);
    let output = calls::close_output(answered.job, 0, key("n1"));
    world.chain.refuse(output.clone(), JobRunning);
    world.chain.advance(1);
    let before = ["n1", "n2"].map(|name| world.chain.lamports(&key(name)));
    world.chain.must(close);
    // Once the job is gone, its pages may go as well.
    world
        .chain
        .must(calls::close_job(answered.job, key("gateway")));
    world.chain.must(output);
    let rent = |len| world.chain.rent(len);
    let after = ["n1", "n2"].map(|name| world.chain.lamports(&key(name)));
    assert_eq!(after[0] - before[0], rent(Case::LEN) + rent(Output::LEN));
    assert_eq!(after[1] - before[1], rent(Votes::LEN));
}
