//! Attacks on the game of a case. What each brought on the first program stands beside it.

use mythic_interface::dispute::{Bond, Standing};
use mythic_interface::ix::{self, Statement};
use mythic_interface::params::Params;
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Answered, Ballot, ballots, court, juror, party};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{EXACT, World, model, spec};

const STAKE: u64 = 2 * SOL;
const HALF: u64 = STAKE / 2;
/// Two fifths of what a guilty validator of 2 SOL loses.
const REWARD: u64 = HALF / 5 * 2;

/// Thirty-two validators of 2 SOL, juries of 15, and prices as on a network in earnest.
fn network() -> World {
    court(32, 15, |params| {
        *params = Params::mainnet();
        params.rules.maturity_slots.set(1);
    })
}

fn answered(world: &mut World, lie: Lie) -> Answered {
    let answered = world.answered(EXACT, "n0", 512, lie);
    world.reach_sample(&answered);
    answered
}

/// Who among `names` gained or lost what since `before`.
fn change(world: &World, before: &World, names: &[&str]) -> i64 {
    world.wealth(names) as i64 - before.wealth(names) as i64
}

fn unsampled(world: &World, answered: &Answered) -> Vec<u32> {
    let case = world.case(answered);
    let sampled: Vec<u32> = case
        .sample()
        .iter()
        .map(|leaf| leaf.position.get())
        .collect();
    (0..512)
        .filter(|position| !sampled.contains(position))
        .collect()
}

/// Some that will sit, with at most `most` seats together where all of n`first` and on commit.
fn sitting(world: &World, answered: &Answered, first: usize, most: usize) -> Vec<String> {
    let mut trial = world.clone();
    trial.commits(answered, &ballots(first..32, Ballot::Honest));
    let mut left = most;
    let names = (first..32).map(juror);
    names
        .filter(|name| {
            let seats = trial.seats(answered, name);
            let fits = seats > 0 && seats <= left;
            if fits {
                left -= seats;
            }
            fits
        })
        .collect()
}

/// H1. Before: the cheater lost 0.5 SOL instead of 1, the honest challenger 0.0007 (of a dear job 7.7 SOL).
#[test]
fn a_planted_fault_saves_nothing_and_takes_nothing_from_who_was_right() {
    let mut world = network();
    let answered = answered(&mut world, Lie::Planted(300));
    let before = world.clone();
    world.must_object(&answered, "n1", &[]);
    assert!(
        unsampled(&world, &answered).contains(&300),
        "it lies outside the sample"
    );
    world.must_show(&answered);
    // One friend stays silent so that nobody counts the jury, another approves; then the other key proves the fault.
    let friends = sitting(&world, &answered, 3, 2);
    let all: Vec<_> = ballots(3..32, Ballot::Honest)
        .into_iter()
        .map(|(name, ballot)| match friends.contains(&name) {
            true => (name, Ballot::Approve),
            false => (name, ballot),
        })
        .collect();
    world.commits(&answered, &all);
    world.reveals(&answered, &all[..1]);
    let quiet = friends.last().expect("some").clone();
    let loud: Vec<_> = all[1..]
        .iter()
        .filter(|(name, _)| *name != quiet)
        .cloned()
        .collect();
    world.reveals(&answered, &loud);
    let call = world.proof(&answered, "n2", 300, NONE);
    world.chain.must(call);
    // It is noted, and the jury goes on: who approved is fined, and who was silent as well.
    let case = world.must_resolve(&answered);
    assert_eq!(case.verdict, Verdict::Fault as u8);
    for seat in case.jury().iter().filter(|seat| seat.is_taken()) {
        let theirs = friends.iter().any(|name| seat.juror == key(name));
        assert_eq!(seat.penalty.get() > 0, theirs);
    }
    world.wind_up(&answered);
    assert_eq!(change(&world, &before, &["n1"]), REWARD as i64);
    assert_eq!(change(&world, &before, &["n2"]), 0);
    assert!(change(&world, &before, &["n0"]) == -(HALF as i64));
    for (name, _) in loud.iter().filter(|(name, _)| !friends.contains(name)) {
        assert!(change(&world, &before, &[name]) >= 0);
    }
}

/// The same with a friend who says an empty `false` first. When a fault ended a case at once, nobody had judged that claim, so it
/// had the reward: liar and friends −0.6 of the slash, who had named the altered token nothing, silent friends on the jury nothing.
#[test]
fn a_planted_fault_pays_no_friend_whose_false_names_nothing() {
    for (late, hides) in [(false, false), (true, false), (true, true)] {
        let mut world = network();
        let answered = answered(&mut world, Lie::PlantedBeside(400, 300));
        let before = world.clone();
        world.must_object(&answered, "n2", &[]);
        let free = unsampled(&world, &answered);
        assert!(free.contains(&300) && free.contains(&400));
        world.must_show(&answered);
        world.must_object(&answered, "n1", &[400]);
        let mut gang = vec!["n0", "n2", "n3"];
        if hides {
            // Another friend names what nobody can post, and the honest one proves that.
            world.must_object(&answered, "n4", &[300]);
            gang.push("n4");
        }
        for call in world.openings(&answered, 1) {
            let _ = world.chain.send(&[call]);
        }
        if hides {
            assert!(!world.case(&answered).is_shown());
            let call = world.proof(&answered, "n1", 300, NONE);
            world.chain.must(call);
        } else if !late {
            let call = world.proof(&answered, "n3", 300, NONE);
            world.chain.must(call);
        }
        assert!(world.case(&answered).is_shown());
        let silent = sitting(&world, &answered, 5, 4);
        let all = ballots(5..32, Ballot::Honest);
        world.commits(&answered, &all);
        let loud: Vec<_> = all
            .into_iter()
            .filter(|(name, _)| !silent.contains(name))
            .collect();
        world.reveals(&answered, &loud);
        if late && !hides {
            let call = world.proof(&answered, "n3", 300, NONE);
            world.chain.must(call);
        }
        let case = world.must_resolve(&answered);
        assert_eq!(case.verdict, Verdict::Fault as u8);
        let quiet = silent.iter().map(|name| world.seats(&answered, name));
        let fined = 50_000_000 * quiet.sum::<usize>() as i64;
        let burned = case.claims[0].at_stake.get() as i64;
        world.wind_up(&answered);
        assert_eq!(change(&world, &before, &["n1"]), REWARD as i64);
        assert_eq!(change(&world, &before, &gang), -(HALF as i64) - burned);
        let silent: Vec<&str> = silent.iter().map(String::as_str).collect();
        assert_eq!(change(&world, &before, &silent), -fined);
        for (name, _) in &loud {
            assert!(change(&world, &before, &[name]) >= 0, "{name}");
        }
    }
}

/// H2. Before: a later friend's challenge, never answered, overtook the honest one: cheater −0.5 SOL, honest 0.
#[test]
fn answering_one_and_not_the_other_makes_it_worse() {
    for first in [true, false] {
        let mut world = network();
        let answered = answered(&mut world, Lie::OtherModel);
        let before = world.clone();
        if first {
            world.must_object(&answered, "n1", &[]);
            world.must_show(&answered);
        } else {
            world.must_object(&answered, "n2", &[]);
            world.must_show(&answered);
            world.must_object(&answered, "n1", &[]);
        }
        // The friend names what the cheater alone has and never shows.
        let hidden = unsampled(&world, &answered)[0];
        let friend = if first { "n2" } else { "n3" };
        world.must_object(&answered, friend, &[hidden]);
        let mut shown = world.clone();
        let case = world.must_resolve(&answered);
        assert_eq!(case.ground, Ground::Unanswered as u8);
        world.wind_up(&answered);
        let honest = change(&world, &before, &["n1"]);
        assert!(honest == if first { HALF as i64 / 10 } else { 0 });
        // It cost the cheater nine tenths of the slash at least; a jury would have cost it three fifths.
        assert!(change(&world, &before, &["n0", "n2", "n3"]) <= -(HALF as i64 / 10 * 9));
        // And whoever has the evidence shows it, in its own case too, and gets the jury's reward.
        shown.must_show(&answered);
        shown.must_judge(&answered, &ballots(4..32, Ballot::Honest));
        shown.wind_up(&answered);
        let honest = change(&shown, &before, &["n1"]);
        assert_eq!(honest, if first { REWARD as i64 } else { 0 });
    }
}

/// H4. Before: the bait earned 15 ceilings a challenge from whoever asked for the data.
#[test]
fn a_withheld_bait_earns_what_the_answer_costs_to_post() {
    let mut world = network();
    let answered = answered(&mut world, Lie::None);
    let before = world.clone();
    world.must_miss(&answered, "n1");
    world.must_show(&answered);
    let case = world.must_resolve(&answered);
    assert_eq!(case.ground, Ground::NoClaim as u8);
    let pay = world.job(&answered.job).validator_amount.get() as i64;
    world.wind_up(&answered);
    // 5,000 for each of 4 chunks and 8 pairs of leaves: a transaction's fee each.
    assert_eq!(change(&world, &before, &["n0"]), pay + 60_000);
    assert_eq!(change(&world, &before, &["n1"]), -60_000);
    assert_eq!(world.validator("n1").whole_stake(), STAKE);
}

/// M5. Before: 7.5 SOL of bond for a job of 0.5 SOL, and a void jury took all of it.
#[test]
fn a_dear_job_is_claimed_for_little_and_a_void_jury_takes_little() {
    let mut world = network();
    let dear = calls::update_model(key("registrant"), model(EXACT), (1, 190_000_000), "dear", 0);
    world.chain.must(dear);
    let mut request = world.brief(EXACT, "n0", 512);
    request.arguments.price_in.set(1);
    request.arguments.price_out.set(190_000_000);
    let job = world.must_request(&request);
    let answered = world.answer(&job, "n0", 512, Lie::OtherModel);
    world.reach_sample(&answered);
    assert!(world.job(&job).ceiling.get() > 97_000_000);
    let before = world.clone();
    world.must_object(&answered, "n1", &[]);
    // 15 tariffs of at most 0.01002 SOL, 1.5 % of the slash, the answer.
    let bond = world.case(&answered).claims[0].bond();
    assert_eq!(bond, 15 * 10_020_000 + HALF / 200 * 3 + 60_000);
    world.must_show(&answered);
    // Six of fifteen seats approve, and the jury is void.
    let friends = sitting(&world, &answered, 2, 7);
    let all: Vec<_> = ballots(2..32, Ballot::Honest)
        .into_iter()
        .map(|(name, ballot)| match friends.contains(&name) {
            true => (name, Ballot::Approve),
            false => (name, ballot),
        })
        .collect();
    let case = world.must_judge(&answered, &all);
    assert_eq!(case.verdict, Verdict::Void as u8);
    world.wind_up(&answered);
    // The answer and 20,000 a juror.
    let lost = -change(&world, &before, &["n1"]);
    assert!((60_000..=60_000 + 15 * 20_000).contains(&lost), "{lost}");
    let seats: Vec<&str> = friends.iter().map(String::as_str).collect();
    assert!(change(&world, &before, &seats) <= 15 * 20_000);
}

/// M6. Before: two keys of 1 SOL took 250 SOL from an honest node of 500.
#[test]
fn one_or_two_keys_convict_nobody() {
    for keys in [1, 2] {
        let mut world = network();
        let answered = answered(&mut world, Lie::None);
        world.must_object(&answered, "n1", &[]);
        world.must_show(&answered);
        let case = world.must_judge(&answered, &ballots(2..2 + keys, Ballot::Guess(1)));
        assert_eq!(case.ground, Ground::TooFew as u8);
        assert_eq!(world.validator("n0").whole_stake(), STAKE);
    }
    // Where three seats judge, two keys are enough, and one is not.
    let mut world = court(5, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::None);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(2..3, Ballot::Guess(1)));
    assert_eq!(case.ground, Ground::TooFew as u8);
}

/// A cabal among few jurors takes from a whale what it brings at most; a network that comes to judge takes the half.
#[test]
fn a_whale_among_small_jurors_loses_no_more_than_they_bring() {
    let mut world = network();
    world.seat("whale", 500 * SOL);
    world.chain.advance(10);
    let honest = world.answered(EXACT, "whale", 512, Lie::None);
    world.reach_sample(&honest);
    world.must_object(&honest, "n1", &[]);
    world.must_show(&honest);
    let case = world.must_judge(&honest, &ballots(2..5, Ballot::Guess(1)));
    assert_eq!(
        case.verdict,
        Verdict::Guilty as u8,
        "the third that colludes is everybody here"
    );
    assert_eq!(case.slashed_amount.get(), 3 * STAKE);
    world.collect_all(&honest);
    assert!(world.validator("n1").earned.get() < 3 * STAKE / 2);

    let mut world = network();
    let guilty = answered(&mut world, Lie::OtherModel);
    world.must_object(&guilty, "n1", &[]);
    world.must_show(&guilty);
    let case = world.must_judge(&guilty, &ballots(2..32, Ballot::Honest));
    assert_eq!(case.slashed_amount.get(), HALF);
}

/// A whale whose small keys commit first, so that they sit where the honest come.
#[test]
fn a_whale_does_not_shrink_its_slash_by_committing_first_with_many_small_keys() {
    let mut world = network();
    world.seat("whale", 500 * SOL);
    let small: Vec<String> = (0..64).map(|i| format!("s{i}")).collect();
    for name in &small {
        world.seat(name, SOL);
    }
    let honest: Vec<String> = (0..16).map(|i| format!("h{i}")).collect();
    for name in &honest {
        world.seat(name, 100 * SOL);
    }
    world.chain.advance(10);
    let answered = world.answered(EXACT, "whale", 512, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let votes = |names: &[String]| -> Vec<(String, Ballot)> {
        let names = names.iter().cloned();
        names.map(|name| (name, Ballot::Honest)).collect()
    };
    world.commits(&answered, &votes(&small));
    world.commits(&answered, &votes(&honest));
    world.reveals(&answered, &votes(&small));
    world.reveals(&answered, &votes(&honest));
    let case = world.must_resolve(&answered);
    assert_eq!(case.verdict, Verdict::Guilty as u8);
    assert_eq!(case.slashed_amount.get(), 250 * SOL);
}

/// Many small jurors against a whale. When only those counted who had won a seat, some sixty of two hundred did, and took 120 SOL.
#[test]
fn whoever_comes_to_judge_counts_with_a_seat_or_without() {
    const JURORS: usize = 200;
    let mut world = court(2 + JURORS, 15, |params| {
        *params = Params::mainnet();
        params.rules.maturity_slots.set(1);
    });
    world.seat("whale", 500 * SOL);
    world.chain.advance(10);
    let answered = world.answered(EXACT, "whale", 512, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(2..2 + JURORS, Ballot::Honest));
    assert_eq!(case.verdict, Verdict::Guilty as u8);
    let counted: u32 = case.committers.iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(case.committed_stake.get(), u64::from(counted) * STAKE);
    // A few share a bit.
    assert!(counted as usize > JURORS - 20, "{counted}");
    assert_eq!(case.slashed_amount.get(), 250 * SOL);
}

/// L2. Before: who challenged in one dispute judged the rival one.
#[test]
fn no_claimant_sits_on_the_jury() {
    let mut world = network();
    let answered = answered(&mut world, Lie::OtherModel);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    world.must_object(&answered, "n2", &[]);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    for name in ["n1", "n2"] {
        let commit = world.commit(&answered, name, Ballot::Honest);
        let error = mythic_interface::error::MythicError::SeatOfClaimant;
        world.chain.refuse(commit, error);
    }
}

/// Friends who come first: they burn more than they keep, and the honest claim is paid all the same.
#[test]
fn friends_who_fill_a_case_burn_more_than_the_slash() {
    let mut world = network();
    let answered = answered(&mut world, Lie::OneToken(400));
    let before = world.clone();
    let friends: Vec<String> = (2..12).map(juror).collect();
    for friend in &friends {
        world.must_object(&answered, friend, &[]);
        if friend == "n2" {
            world.must_show(&answered);
        }
    }
    let job = world.job(&answered.job);
    let case = world.case(&answered);
    let standing = Standing::of(&job, Some(&case), ClaimKind::False, 1).expect("small");
    let front = Bond::of(&case.rules, &standing).expect("small").total;
    // The eleventh fronts 16.5 % of the slash, which returns.
    assert_eq!(front, HALF / 1_000 * 165 + 5_000);
    world.must_object(&answered, "n1", &[400]);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(12..32, Ballot::Honest));
    assert_eq!(case.verdict, Verdict::Guilty as u8);
    world.wind_up(&answered);
    assert_eq!(change(&world, &before, &["n1"]), REWARD as i64);
    let keys: Vec<&str> = friends.iter().map(String::as_str).chain(["n0"]).collect();
    // The slash, and 0.825 of it beside.
    assert_eq!(
        change(&world, &before, &keys),
        -(HALF as i64) - HALF as i64 / 1_000 * 825
    );

    // All sixteen places: the honest one is shut out, and the cheater has burned two slashes to keep one.
    let mut world = before;
    for i in 2..18 {
        world.must_object(&answered, &juror(i), &[]);
        if i == 2 {
            world.must_show(&answered);
        }
    }
    let late = world.objection(&answered, "n1", &[400]);
    world
        .chain
        .refuse(late, mythic_interface::error::MythicError::CaseFull);
    let case = world.must_judge(&answered, &ballots(18..32, Ballot::Honest));
    assert!(case.burned_amount.get() > 2 * HALF);
}

/// A friend who opens by saying `withheld` delays, and shields nothing.
#[test]
fn a_withheld_friend_first_leaves_the_reward_to_who_is_right() {
    let mut world = network();
    let answered = answered(&mut world, Lie::OneToken(400));
    let before = world.clone();
    world.must_miss(&answered, "n2");
    // The cheater shows everything in the last slot; the honest one joins after it, past the first window.
    let due = world.case(&answered).leaves_due();
    world.chain.warp_to(due - 1);
    world.must_show(&answered);
    world.must_object(&answered, "n1", &[400]);
    world.must_show(&answered);
    world.must_judge(&answered, &ballots(3..32, Ballot::Honest));
    world.wind_up(&answered);
    assert_eq!(change(&world, &before, &["n1"]), REWARD as i64);
    assert_eq!(change(&world, &before, &["n0", "n2"]), -(HALF as i64));
}

/// A cheater that has itself convicted in other jobs first, to leave nothing for who is right.
#[test]
fn slashing_itself_in_other_jobs_costs_more_than_it_saves() {
    let mut world = network();
    let honest = world.answered(EXACT, "n0", 512, Lie::OtherModel);
    let own = world.answered(EXACT, "n0", 512, Lie::OtherModel);
    world.reach_sample(&own);
    let before = world.clone();
    world.must_object(&honest, "n1", &[]);
    world.must_object(&own, "n2", &[]);
    world.must_show(&own);
    world.must_show(&honest);
    let all = ballots(3..32, Ballot::Honest);
    for case in [&own, &honest] {
        world.commits(case, &all);
    }
    for case in [&own, &honest] {
        world.reveals(case, &all);
        world.must_resolve(case);
    }
    world.wind_up(&own);
    world.wind_up(&honest);
    // Half of the stake, and half of the rest; two fifths of the first came back.
    let lost = -change(&world, &before, &["n0", "n2"]);
    assert_eq!(lost, (HALF + HALF / 2 - REWARD) as i64);
    assert!(lost > HALF as i64, "more than without its own claim");
    assert_eq!(change(&world, &before, &["n1"]), REWARD as i64 / 2);
}

/// A fault outside what jurors saw: they were right, and are paid.
#[test]
fn a_fault_outside_the_sample_costs_no_juror_anything() {
    let mut world = network();
    let answered = answered(&mut world, Lie::NotTheChoice(400));
    let before = world.clone();
    world.must_object(&answered, "n1", &[]);
    assert!(unsampled(&world, &answered).contains(&400));
    world.must_show(&answered);
    let all = ballots(3..32, Ballot::Honest);
    world.commits(&answered, &all);
    world.reveals(&answered, &all);
    let call = world.proof(&answered, "n2", 400, NONE);
    world.chain.must(call);
    let case = world.must_resolve(&answered);
    assert!(case.jury().iter().all(|seat| seat.penalty.get() == 0));
    assert!(case.jurors_amount.get() > 0);
    // The sample is true, so what n1 said of it was wrong, and the prover is paid.
    assert_eq!(case.claims[0].outcome, Outcome::Wrong as u8);
    world.wind_up(&answered);
    assert_eq!(change(&world, &before, &["n2"]), HALF as i64 / 10);
    assert_eq!(
        change(&world, &before, &["n1"]),
        -(case.claims[0].at_stake.get() as i64)
    );
}

/// Who registers a file for itself, so that nobody else serves "the model" and judges.
#[test]
fn an_own_registration_of_a_file_has_the_same_judges() {
    let mut world = network();
    let mut own = spec(EXACT);
    own.commit_slots.set(120);
    let register = calls::register_model(key("payer"), key("n0"), &own, "mine");
    world.chain.must(register);
    let theirs = calls::model_of(&key("n0"), &own);
    let serve = calls::update_validator(key("n0"), operator("n0"), &[theirs]);
    world.chain.must(serve);
    world.chain.advance(10);
    let mut request = world.brief(EXACT, "n0", 512);
    request.model = theirs;
    let job = world.must_request(&request);
    let found = world.job(&job);
    let answer = mythic_program_tests::answer::Answer::new(
        &job,
        &found,
        512,
        FinishReason::Eos,
        Lie::OtherModel,
    );
    let call = calls::submit_result(operator("n0"), key("n0"), job, &answer.result);
    world.chain.must(call);
    let answered = Answered {
        job,
        answer,
        submitter: key("n0"),
        model: EXACT,
    };
    world.reach_sample(&answered);
    let statement = Statement {
        kind: ClaimKind::False,
        bond: SOL,
        positions: &[],
        served: Some(model(EXACT).into()),
    };
    let call = ix::verify_logits(&party("n1"), job, &world.job(&job), &statement);
    world.chain.must(call);
    world.must_show(&answered);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    let mut judges = Vec::new();
    for (name, ballot) in ballots(2..32, Ballot::Honest) {
        let mut commit = world.commit(&answered, &name, ballot);
        commit.accounts[3].pubkey = model(EXACT).into();
        if world.chain.send(&[commit]).is_ok() {
            judges.push((name, ballot));
        }
    }
    world.reveals(&answered, &judges);
    let case = world.must_resolve(&answered);
    assert_eq!(case.verdict, Verdict::Guilty as u8);
}

/// Jurors who copy what is shown instead of computing it.
#[test]
fn lazy_jurors_are_fined_like_silent_ones_whatever_the_verdict() {
    for lie in [Lie::None, Lie::OtherModel] {
        let mut world = network();
        let answered = answered(&mut world, lie);
        let before = world.clone();
        world.must_object(&answered, "n1", &[]);
        world.must_show(&answered);
        let lazy = sitting(&world, &answered, 2, 4);
        let all: Vec<_> = ballots(2..32, Ballot::Honest)
            .into_iter()
            .map(|(name, ballot)| match lazy.contains(&name) {
                true => (name, Ballot::Lazy),
                false => (name, ballot),
            })
            .collect();
        let case = world.must_judge(&answered, &all);
        let expected = match lie {
            Lie::None => Verdict::NotGuilty,
            _ => Verdict::Guilty,
        };
        assert_eq!(case.verdict, expected as u8);
        world.wind_up(&answered);
        for name in &lazy {
            assert!(change(&world, &before, &[name]) <= -50_000_000, "{name}");
        }
    }
}
