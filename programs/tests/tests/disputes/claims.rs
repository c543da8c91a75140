//! Who says what, when: opening a case, joining it, and what each claim is judged by.

use mythic_interface::dispute::{Bond, Standing};
use mythic_interface::ix::{self, Statement};
use mythic_program_tests::court::party;
use mythic_program_tests::world::{model, spec};

use super::*;

#[test]
fn withholding_costs_the_answering_fee_and_calls_no_jury() {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    world.reach_sample(&answered);
    world.must_miss(&answered, "n1");
    let case = world.case(&answered);
    // 16 leaves by two, and 3 chunks, at 5,000.
    assert_eq!(case.held.get(), 55_000);
    assert_eq!((case.false_count, case.claim_count), (0, 1));
    assert!(world.chain.account(&calls::votes(&answered.job)).is_none());
    world.must_show(&answered);
    let joining = world.case(&answered).joining_end();
    world.chain.warp_to(joining - 1);
    let call = world.resolve(&answered);
    world.chain.refuse(call, CaseNotDue);
    let case = world.must_resolve(&answered);
    assert_eq!(
        (verdict(&case), ground(&case)),
        (Some(Verdict::Void), Some(Ground::NoClaim))
    );
    assert_eq!(outcomes(&case), [Some(Outcome::Wrong)]);
    assert_eq!(case.submitter_amount.get(), 55_000);
    let job = world.job(&answered.job);
    assert_eq!(job.status(), Some(JobStatus::Settled));
    assert_eq!(job.end_reason, EndReason::Void as u8);
    world.collect_all(&answered);
    assert_eq!(world.validator("n1").claimable.get(), 0);
    world.chain.advance(2_250);
    let close = world.closing(&answered);
    world.chain.must(close);
}

#[test]
fn who_opened_for_want_of_evidence_may_say_false_once_it_is_there() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_miss(&answered, "n1");
    world.must_show(&answered);
    world.must_object(&answered, "n1", &[]);
    let again = world.objection(&answered, "n1", &[]);
    world.chain.refuse(again, AlreadyClaimed);
    assert_eq!(world.validator("n1").open_cases.get(), 2);
    let case = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
    assert_eq!(
        outcomes(&case),
        [Some(Outcome::Wrong), Some(Outcome::Right)]
    );
    world.collect_all(&answered);
    let n1 = world.validator("n1");
    assert_eq!((n1.earned.get(), n1.open_cases.get()), (REWARD, 0));
    assert_eq!(
        n1.returned.get(),
        case.claims[0].bond() + case.claims[1].bond()
    );
}

#[test]
fn nobody_joins_before_everything_is_shown_and_nobody_prolongs_the_time_for_it() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    let early = world.objection(&answered, "n2", &[]);
    world.chain.refuse(early, NotJoinable);
    world.must_show(&answered);
    let shown = world.case(&answered).shown_slot.get();
    let end = world.case(&answered).joining_end();
    assert_eq!(end, shown + 100);
    let late = world.claiming(&answered, "n2", ClaimKind::Withheld, &[]);
    world.chain.refuse(late, NotJoinable);
    let named = unsampled(&world.case(&answered)).next().expect("many");
    world.chain.warp_to(end - 1);
    world.must_object(&answered, "n2", &[named]);
    let case = world.case(&answered);
    assert_eq!(case.shown_slot.get(), shown);
    assert_eq!(case.leaves_due(), end + 50);
    world.chain.warp_to(end);
    let late = world.objection(&answered, "n3", &[]);
    world.chain.refuse(late, JoinClosed);
    world.must_show(&answered);
    // The jury is drawn after the last leaf.
    let case = world.case(&answered);
    assert_eq!(case.jury_slot(), world.chain.slot() + 8);
    assert_eq!(case.claims[1].group()[0].position.get(), named);
}

#[test]
fn what_a_joiner_names_and_nobody_shows_is_guilty_and_pays_the_first_that_said_false() {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    world.reach_sample(&answered);
    world.must_miss(&answered, "n1");
    world.must_show(&answered);
    let named = unsampled(&world.case(&answered)).next().expect("many");
    world.must_object(&answered, "n2", &[]);
    world.must_object(&answered, "n3", &[named]);
    let due = world.case(&answered).leaves_due();
    assert_eq!(world.case(&answered).due_slot(), Some(due));
    let case = world.must_resolve(&answered);
    assert_eq!(world.chain.slot(), due);
    assert_eq!(ground(&case), Some(Ground::Unanswered));
    assert_eq!(outcomes(&case), [Some(Outcome::Right); 3]);
    world.collect_all(&answered);
    let earned = ["n1", "n2", "n3"].map(|name| world.validator(name).earned.get());
    assert_eq!(earned, [0, HALF / 10, 0]);
    assert_eq!(case.burned_amount.get(), HALF - HALF / 10);
}

#[test]
fn sixteen_say_false_and_no_more_and_each_pays_for_its_place() {
    let mut world = court(24, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    world.reach_sample(&answered);
    world.must_miss(&answered, "n1");
    world.must_show(&answered);
    for i in 2..18 {
        world.must_object(&answered, &juror(i), &[]);
    }
    let full = world.objection(&answered, "n18", &[]);
    world.chain.refuse(full, CaseFull);
    let case = world.case(&answered);
    // 10 % of a threatened SOL, times the place.
    for (place, claim) in case.claims()[1..].iter().enumerate() {
        assert_eq!(claim.at_stake.get(), HALF / 10 * (place as u64 + 1));
        assert_eq!(claim.tariffs.get() > 0, place == 0);
        assert_eq!(claim.answering_fee.get(), 0);
    }
    let case = world.must_judge(&answered, &ballots(18..24, Ballot::Honest));
    assert_eq!(verdict(&case), Some(Verdict::NotGuilty));
    // 136 places.
    assert_eq!(case.burned_amount.get(), 136 * HALF / 10);
    world.collect_all(&answered);
}

#[test]
fn each_claim_is_judged_by_itself_and_the_earliest_right_one_is_paid() {
    let mut world = court(12, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 512, Lie::OneToken(400));
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let case = world.case(&answered);
    assert!(unsampled(&case).any(|position| position == 400));
    let good = unsampled(&case).find(|p| *p != 400).expect("many");
    world.must_object(&answered, "n2", &[good]);
    world.must_object(&answered, "n3", &[good.min(400), good.max(400)]);
    world.must_object(&answered, "n4", &[400]);
    // A leaf that two ask for is posted once.
    assert_eq!(world.openings(&answered, 1).len(), 2);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(5..12, Ballot::Honest));
    use Outcome::{Right, Wrong};
    assert_eq!(outcomes(&case), [Wrong, Wrong, Right, Right].map(Some));
    assert_eq!(verdict(&case), Some(Verdict::Guilty));
    world.collect_all(&answered);
    let earned = ["n1", "n2", "n3", "n4"].map(|name| world.validator(name).earned.get());
    assert_eq!(earned, [0, 0, REWARD, 0]);
    // Who was wrong loses what it had at stake, though another was right; the first gets its tariffs back.
    let returned = ["n1", "n2", "n4"].map(|name| world.validator(name).returned.get());
    let [first, second, _, fourth, ..] = case.claims;
    assert_eq!(returned[0], first.bond() - HALF / 10);
    assert_eq!(returned[1], second.bond() - HALF / 5);
    assert_eq!(returned[2], fourth.bond());
}

#[test]
fn the_price_of_a_claim_is_what_the_interface_says_of_the_case_as_it_stands() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    world.reach_sample(&answered);
    let price = |world: &World, kind, named| {
        let job = world.job(&answered.job);
        let case = world.chain.account(&calls::case(&answered.job));
        let case = case
            .as_ref()
            .and_then(|account| Case::load(&account.data).ok());
        let standing = Standing::of(&job, case, kind, named).expect("small");
        Bond::of(&job.terms.rules, &standing).expect("small").total
    };
    let offer = |world: &World, name: &str, bond, positions: &[u32]| {
        let statement = Statement {
            kind: ClaimKind::False,
            bond,
            positions,
            served: None,
        };
        let job = world.job(&answered.job);
        ix::verify_logits(&party(name), answered.job, &job, &statement)
    };
    for (name, named) in [("n1", 0), ("n2", 1), ("n3", 2)] {
        let bond = price(&world, ClaimKind::False, named);
        let positions: Vec<u32> = match named {
            0 => Vec::new(),
            _ => unsampled(&world.case(&answered))
                .take(named as usize)
                .collect(),
        };
        let less = offer(&world, name, bond - 1, &positions);
        world.chain.refuse(less, BondTooSmall);
        let before = world.validator(name).open_cases.get();
        let enough = offer(&world, name, bond, &positions);
        world.chain.must(enough);
        assert_eq!(world.validator(name).open_cases.get(), before + 1);
        if name == "n1" {
            world.must_show(&answered);
        }
        // Whoever is quick makes the next one dearer, who then signs for what it reads.
        let stale = offer(&world, "n4", bond, &[]);
        world.chain.refuse(stale, BondTooSmall);
    }
}

/// Stake that is rented for a slot would price verifiers out of claims that cost a part of it.
#[test]
fn stake_that_comes_right_before_the_result_makes_no_bond_dearer_and_what_leaves_makes_none_cheaper()
 {
    for (add, leave) in [(250 * SOL, 0), (0, STAKE / 2), (250 * SOL, STAKE / 2)] {
        let mut world = court(11, 3, |_| {});
        if leave > 0 {
            world.chain.must(calls::request_unstake(key("n0"), leave));
        }
        let job = {
            let request = world.brief(EXACT, "n0", 300);
            world.must_request(&request)
        };
        if add > 0 {
            let rented = calls::add_stake(key("payer"), key("n0"), add);
            world.chain.must(rented);
        }
        let answered = world.answer(&job, "n0", 300, Lie::OtherModel);
        assert_eq!(world.job(&job).stake_at_result.get(), STAKE);
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[]);
        assert_eq!(
            world.case(&answered).claims[0].at_stake.get(),
            HALF / 10,
            "{add} {leave}"
        );
    }
    // Once it counts, it does.
    let mut world = court(11, 3, |_| {});
    let add = calls::add_stake(key("payer"), key("n0"), 250 * SOL);
    world.chain.must(add);
    world.chain.advance(10_000);
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    let stake = world.job(&answered.job).stake_at_result.get();
    assert_eq!(stake, STAKE + 250 * SOL);
}

#[test]
fn stake_that_comes_after_the_result_changes_no_bond() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    assert_eq!(world.job(&answered.job).stake_at_result.get(), STAKE);
    world
        .chain
        .must(calls::add_stake(key("payer"), key("n0"), 10 * SOL));
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    let claim = world.case(&answered).claims[0];
    assert_eq!(claim.at_stake.get(), HALF / 10);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(2..11, Ballot::Honest));
    // The slash is of what there is at the verdict, as far as who committed brought as much.
    let committed = case.committed_stake.get();
    assert_eq!(
        case.slashed_amount.get(),
        committed.min(STAKE / 2 + 5 * SOL)
    );
}

#[test]
fn any_registration_of_the_same_file_and_profile_counts_as_serving() {
    let mut world = court(8, 3, |_| {});
    // Somebody registers the file under an identity of its own, and n9 serves only that.
    let mut dear = spec(EXACT);
    dear.commit_slots.set(300);
    let own = calls::register_model(key("payer"), key("stranger"), &dear, "mine");
    world.chain.must(own);
    let theirs = calls::model_of(&key("stranger"), &dear);
    world.chain.fund(key("n9"), 1_000 * SOL);
    for name in ["n9", "n8"] {
        world.chain.fund(key(name), 1_000 * SOL);
        let call = calls::register_validator(key(name), operator(name), STAKE, &[theirs]);
        world.chain.must(call);
    }
    world.mature();
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    world.reach_sample(&answered);
    let with = |world: &World, name: &str, served| {
        let statement = Statement {
            kind: ClaimKind::False,
            bond: SOL,
            positions: &[],
            served,
        };
        let job = world.job(&answered.job);
        ix::verify_logits(&party(name), answered.job, &job, &statement)
    };
    let silent = with(&world, "n9", None);
    world.chain.refuse(silent, ChallengerTooYoung);
    let another = with(&world, "n9", Some(model(1).into()));
    world.chain.refuse(another, WrongModel);
    let call = with(&world, "n9", Some(theirs.into()));
    world.chain.must(call);
    world.must_show(&answered);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    let commit = world.commit(&answered, "n8", Ballot::Honest);
    world.chain.refuse(commit.clone(), NotEligibleJuror);
    let mut other = commit.clone();
    other.accounts[3].pubkey = model(CALIBRATED).into();
    world.chain.refuse(other, WrongModel);
    let mut served = commit;
    served.accounts[3].pubkey = theirs.into();
    world.chain.must(served);
    let case = world.must_judge(&answered, &ballots(2..8, Ballot::Honest));
    assert_eq!(case.committed_stake.get() % STAKE, 0);
}
