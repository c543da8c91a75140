//! Sampling profile 2: what the program checks of an answer by options, and what it leaves to the jury.

use mythic_interface::leaf::NO_TOKEN;

use super::*;

/// Seats of the jury: enough that they fall to as many keys as a verdict needs.
const SEATS: usize = 7;

/// A court, and an answer of n0 by options.
fn answered(tokens: u32, finish: FinishReason, lie: Lie) -> (World, Answered) {
    let mut world = court(2 + 3 * SEATS, SEATS as u16, |_| {});
    let request = world.by_options("n0", tokens);
    let job = world.must_request(&request);
    let answered = world.answer_until(&job, "n0", (tokens, finish), lie);
    world.reach_sample(&answered);
    (world, answered)
}

/// An answer that lies at a position which its case does not sample.
fn lying(lie: fn(u32) -> Lie) -> (World, Answered, u32) {
    let mut found = (100..200).filter_map(|position| {
        let (world, answered) = answered(300, FinishReason::Eos, lie(position));
        let mut trial = world.clone();
        trial.must_object(&answered, "n1", &[]);
        let free = unsampled(&trial.case(&answered)).any(|p| p == position);
        free.then_some((world, answered, position))
    });
    found.next().expect("most are not sampled")
}

/// The case once n1 has said `false`, and honest jurors have judged.
fn judged(world: &mut World, answered: &Answered, named: &[u32]) -> Case {
    world.must_object(answered, "n1", named);
    world.must_show(answered);
    world.must_judge(answered, &ballots(2..2 + 3 * SEATS, Ballot::Honest))
}

#[test]
fn an_honest_answer_by_options_is_shown_and_found_good_though_no_leaf_replays_it() {
    let (mut world, answered) = answered(300, FinishReason::Eos, Lie::None);
    let leaf = answered.answer.leaves[7];
    assert!(leaf.top4.iter().all(|(id, _)| *id != leaf.token));
    let proof = world.proof(&answered, "n1", 7, calls::NONE);
    world.chain.refuse(proof, NoFault);
    let case = judged(&mut world, &answered, &[]);
    assert_eq!(verdict(&case), Some(Verdict::NotGuilty));
}

#[test]
fn a_token_that_the_options_do_not_choose_is_no_fault_and_convicts_where_it_is_named() {
    let (mut world, answered, position) = lying(Lie::NotTheChoice);
    let proof = world.proof(&answered, "n1", position, calls::NONE);
    world.chain.refuse(proof, NoFault);
    let mut unnamed = world.clone();
    let case = judged(&mut unnamed, &answered, &[]);
    assert_eq!(verdict(&case), Some(Verdict::NotGuilty));
    let case = judged(&mut world, &answered, &[position]);
    assert_eq!(verdict(&case), Some(Verdict::Guilty));
    assert_eq!(outcomes(&case), [Some(Outcome::Right)]);
}

#[test]
fn order_distinct_ids_and_ends_bind_an_answer_by_options_too() {
    for (lie, position) in [
        (Lie::RepeatedId(7), 7),
        (Lie::NotOrdered(7), 7),
        (Lie::EosInside(7), 7),
        (Lie::NoEos, 39),
    ] {
        let (mut world, answered) = answered(40, FinishReason::Eos, lie);
        let proof = world.proof(&answered, "n1", position, calls::NONE);
        world.chain.must(proof);
        let case = world.case(&answered);
        assert_eq!(verdict(&case), Some(Verdict::Fault), "{lie:?}");
    }
    let (mut world, answered) = answered(300, FinishReason::Eos, Lie::EosInside(150));
    world.must_object(&answered, "n1", &[]);
    let chunk = world.outputs(&answered)[1].clone();
    world.chain.refuse(chunk, OutputInvalid);
}

#[test]
fn a_leaf_by_options_that_breaks_a_rule_is_not_shown() {
    let lies: [fn(u32) -> Lie; 4] = [
        Lie::RepeatedId,
        Lie::NotOrdered,
        Lie::NoToken,
        Lie::NotTheOutput,
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let (mut world, answered, position) = lying(lie);
        world.must_object(&answered, "n1", &[position]);
        for call in world.outputs(&answered) {
            world.chain.must(call);
        }
        let opening = world.opening(&answered, &[position]);
        let expected = match index {
            3 => OutputMismatch,
            _ => OpeningInvalid,
        };
        world.chain.refuse(opening, expected);
        let page = calls::output(&answered.job, 0);
        let proof = world.proof(&answered, "n2", position, page);
        world.chain.must(proof);
        assert_eq!(verdict(&world.case(&answered)), Some(Verdict::Fault));
    }
}

#[test]
fn no_answer_holds_the_number_by_which_jurors_say_that_no_token_may_stand_there() {
    // Where a result says `stopped` and has no stop string none may stand at its end: it would say so itself, and be found true.
    let (mut world, answered) = answered(12, FinishReason::Stopped, Lie::NoToken(11));
    assert_eq!(answered.answer.tokens[11], NO_TOKEN);
    let proof = world.proof(&answered, "n1", 11, calls::NONE);
    world.chain.must(proof);
    assert_eq!(verdict(&world.case(&answered)), Some(Verdict::Fault));
}

#[test]
fn an_answer_that_leaves_its_grammar_or_runs_over_its_end_is_false_wherever_one_looks_behind_that()
{
    for lie in [Lie::Astray(0), Lie::RunsOn(0)] {
        let (mut world, answered) = answered(300, FinishReason::Eos, lie);
        let case = judged(&mut world, &answered, &[]);
        assert_eq!(verdict(&case), Some(Verdict::Guilty), "{lie:?}");
    }
}

#[test]
fn who_says_stopped_has_a_stop_string_that_ends_the_answer() {
    for (lie, expected) in [
        (Lie::None, Verdict::NotGuilty),
        (Lie::Unstopped, Verdict::Guilty),
    ] {
        // So short that every position is sampled.
        let (mut world, answered) = answered(12, FinishReason::Stopped, lie);
        let case = judged(&mut world, &answered, &[]);
        assert_eq!(verdict(&case), Some(expected), "{lie:?}");
    }
}

#[test]
fn only_a_model_whose_arithmetic_is_exact_takes_options() {
    let mut world = court(4, 3, |_| {});
    let mut request = world.by_options("n0", 40);
    let hash = request.arguments.options_hash;
    for inexact in [1, CALIBRATED] {
        request.model = model(inexact);
        world.chain.refuse(request.call(), SamplingNeedsExact);
    }
    request.model = model(EXACT);
    let job = world.must_request(&request);
    let terms = world.job(&job).terms;
    assert_eq!(terms.options_hash, hash);
    assert_eq!(
        SamplingProfile::from_u8(terms.sampling_profile),
        Some(SamplingProfile::SeededFull)
    );
}

#[test]
fn options_that_say_nothing_end_no_answer_by_a_stop_string() {
    let mut world = court(4, 3, |_| {});
    let mut request = world.by_options("n0", 40);
    request.arguments.options_hash = NO_KEY;
    let job = world.must_request(&request);
    let mut result = world.result(&job, 20, FinishReason::Stopped);
    let call = calls::submit_result(operator("n0"), key("n0"), job, &result);
    world.chain.refuse(call, FinishNotStopped);
    result.finish_reason = FinishReason::Eos as u8;
    let call = calls::submit_result(operator("n0"), key("n0"), job, &result);
    world.chain.must(call);
}
