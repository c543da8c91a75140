//! Juries: who sits, who is paid, who loses.

use mythic_interface::params::Params;
use mythic_program_tests::chain::slot_hash;

use super::*;

/// Who of the jury votes otherwise: jurors who together take `most` seats at most, and one at least, where everybody commits.
fn some(world: &World, answered: &Answered, all: &[(String, Ballot)], most: usize) -> Vec<String> {
    // Commitments must be made before seats are known for good: find out in a copy.
    let mut trial = world.clone();
    trial.commits(answered, all);
    let mut left = most;
    let mut some = Vec::new();
    for (name, _) in all {
        let seats = trial.seats(answered, name);
        if seats > 0 && seats <= left {
            left -= seats;
            some.push(name.clone());
        }
    }
    assert!(!some.is_empty());
    some
}

/// A jury of 5 of which at most `most` seats are against the rest; they are returned.
fn split_jury(lie: Lie, against: Ballot, most: usize) -> (World, Answered, Vec<String>) {
    let (mut world, answered) = disputed(EXACT, 5, lie);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    let liars = some(&world, &answered, &all, most);
    let ballots: Vec<_> = all
        .into_iter()
        .map(|(name, ballot)| match liars.contains(&name) {
            true => (name, against),
            false => (name, ballot),
        })
        .collect();
    world.must_judge(&answered, &ballots);
    (world, answered, liars)
}

#[test]
fn false_jurors_in_the_minority_lose_and_change_nothing() {
    for (lie, against, expected) in [
        (Lie::OtherModel, Ballot::Approve, Verdict::Guilty),
        (Lie::None, Ballot::Guess(1), Verdict::NotGuilty),
        // A guesser who happens to side with the truth does not agree with those who computed it.
        (Lie::OtherModel, Ballot::Guess(1), Verdict::Guilty),
        // Who has not done the work counts as silent, on either side.
        (Lie::OtherModel, Ballot::Lazy, Verdict::Guilty),
        (Lie::None, Ballot::Lazy, Verdict::NotGuilty),
    ] {
        let (mut world, answered, liars) = split_jury(lie, against, 1);
        let case = world.case(&answered);
        assert_eq!(verdict(&case), Some(expected), "{lie:?} {against:?}");
        let fined: Vec<&JurySeat> = case
            .jury()
            .iter()
            .filter(|seat| seat.penalty.get() > 0)
            .collect();
        assert_eq!(fined.len(), 1, "{against:?}");
        assert_eq!(fined[0].juror, key(&liars[0]));
        assert_eq!(fined[0].reward.get(), 0);
        world.collect_all(&answered);
        let loser = world.validator(&liars[0]);
        assert_eq!(loser.slashed.get(), 50_000_000);
        assert_eq!(loser.whole_stake(), STAKE - 50_000_000);
        assert!(loser.owed_burn.get() >= 50_000_000);
    }
}

#[test]
fn two_false_seats_of_five_prevent_a_verdict_and_gain_the_small_tariff_only() {
    let (world, answered, liars) = split_jury(Lie::OtherModel, Ballot::Approve, 2);
    let case = world.case(&answered);
    assert_eq!(verdict(&case), Some(Verdict::Void));
    assert_eq!(ground(&case), Some(Ground::NoQuorum));
    let paid = case.jury().iter().filter(|seat| seat.reward.get() > 0);
    assert_eq!(paid.count(), sitting(&case).len());
    assert!(case.jury().iter().all(|seat| seat.reward.get() <= 20_000));
    assert_eq!((lost(&world, "n0"), lost(&world, &liars[0])), (0, 0));
}

#[test]
fn lazy_jurors_decide_nothing_though_they_are_all() {
    // None of them did the work, and each made up its own: nobody can tell, so nothing is decided.
    let (mut world, answered) = disputed(EXACT, 5, Lie::OtherModel);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    let lazy: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(i, (name, _))| match i % 2 {
            0 => (name.clone(), Ballot::Lazy),
            _ => (name.clone(), Ballot::Honest),
        })
        .collect();
    let honest: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    world.commits(&answered, &lazy);
    world.reveals(&answered, &lazy);
    let seats = |world: &World, ballot| {
        let of = lazy.iter().filter(|(_, b)| *b == ballot);
        of.map(|(name, _)| world.seats(&answered, name))
            .sum::<usize>()
    };
    let (idle, working) = (seats(&world, Ballot::Lazy), seats(&world, Ballot::Honest));
    let case = world.must_resolve(&answered);
    assert_eq!(idle + working, 5);
    // Whoever is the quorum by its own work decides; else nobody is fined.
    match (idle >= 4, working >= 4) {
        (false, false) => {
            assert_eq!(ground(&case), Some(Ground::NoQuorum));
            assert!(case.jury().iter().all(|seat| seat.penalty.get() == 0));
        }
        _ => assert!(honest.len() >= 5),
    }
}

#[test]
fn a_copied_commitment_cannot_be_opened_and_counts_as_silence() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    let original = world.commit(&answered, "n2", Ballot::Honest);
    world.chain.must(original.clone());
    let mut copies = Vec::new();
    for (name, ballot) in &all[1..] {
        let mut copy = world.commit(&answered, name, *ballot);
        copy.data = original.data.clone();
        if world.chain.send(&[copy]).is_ok() {
            copies.push(name.clone());
        }
    }
    copies.retain(|name| world.sits(&answered, name));
    assert!(!copies.is_empty());
    let end = world.case(&answered).commit_end();
    world.chain.warp_to(end);
    for name in &copies {
        let own = world.reveal(&answered, name, Ballot::Honest);
        world.chain.refuse(own.clone(), CommitmentMismatch);
        let mut stolen = own;
        stolen.data = world.reveal(&answered, "n2", Ballot::Honest).data;
        world.chain.refuse(stolen, CommitmentMismatch);
    }
    world.must_resolve(&answered);
    world.collect_all(&answered);
    for name in &copies {
        assert!(lost(&world, name) >= 50_000_000, "{name}");
    }
}

#[test]
fn jurors_who_do_not_show_up_lose_whatever_the_verdict() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    world.commits(&answered, &all);
    let end = world.case(&answered).reveal_end();
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
    world.collect_all(&answered);
    assert_eq!(world.case(&answered).penalties_amount.get(), 3 * 50_000_000);
    let claim = case.claims[0];
    assert_eq!(
        world.validator("n1").claimable.get(),
        claim.bond() - claim.answering_fee.get()
    );
}

#[test]
fn a_penalty_takes_what_is_left_and_no_more() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    world.commits(&answered, &all);
    let case = world.must_resolve(&answered);
    let silent = case.seats[0].juror;
    let address = calls::validator(&silent);
    world.chain.forge(&address, |v: &mut Validator| {
        v.stake.set(7);
        v.staked.set(12);
        v.unbonding.set(5);
    });
    let mut account = world.chain.account(&address).expect("there");
    account.lamports -= STAKE - 12;
    world.chain.put(address, account);
    let collect = world.collection(&answered, silent);
    world.chain.must(collect.clone());
    assert_eq!(world.validator(&name_of(&silent)).whole_stake(), 0);
    assert_eq!(lost(&world, &name_of(&silent)), 12);
    world.chain.refuse(collect, AlreadyCollected);
}

#[test]
fn what_is_due_to_a_validator_that_was_closed_is_burned_and_needs_the_incinerator() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    let case = world.must_judge(&answered, &all);
    let gone = case.seats[0].juror;
    let address = calls::case(&answered.job);
    let here = calls::collect_case(address, gone, false);
    world.chain.must(calls::request_unstake(gone, STAKE));
    world.chain.advance(5_000);
    world.chain.must(calls::withdraw_stake(gone));
    world.chain.must(calls::close_validator(gone, gone));
    world.chain.refuse(here, InvalidIncinerator);
    let mut wrong = calls::collect_case(address, gone, true);
    wrong.accounts[1].pubkey = calls::validator(&key("nobody")).into();
    world.chain.refuse(wrong, WrongAddress);
    let burned = world.chain.lamports(&mythic_interface::INCINERATOR);
    world.collect_all(&answered);
    assert_eq!(
        world.chain.lamports(&mythic_interface::INCINERATOR),
        burned + case.tariff.get()
    );
    let close = world.closing(&answered);
    world.chain.must(close);
}

#[test]
fn a_jailed_validator_answers_and_reveals_but_takes_nothing_on() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::None);
    let jail = |world: &mut World, name: &str| {
        mythic_program_tests::world::jail(world, name, 100_000);
    };
    let second = world.answered(EXACT, "n2", 20, Lie::None);
    world.reach_sample(&second);
    jail(&mut world, "n1");
    let call = world.objection(&second, "n1", &[]);
    world.chain.refuse(call, Jailed);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    world.commits(&answered, &all);
    for i in 0..2 + all.len() {
        jail(&mut world, &juror(i));
    }
    let outsider = all.iter().find(|(name, _)| !world.sits(&answered, name));
    let (outsider, _) = outsider.expect("not everybody");
    let call = world.commit(&answered, outsider, Ballot::Honest);
    world.chain.refuse(call, Jailed);
    let mut request = world.brief(EXACT, "n0", 10);
    request.validator = Some((key("n0"), operator("n0")));
    world.chain.refuse(request.call(), Jailed);
    world.reveals(&answered, &all);
    let case = world.must_resolve(&answered);
    assert_eq!(verdict(&case), Some(Verdict::NotGuilty));
}

#[test]
fn a_seat_goes_to_the_highest_rank_whatever_the_order_of_commitments() {
    let (mut world, answered) = disputed(EXACT, 5, Lie::None);
    world.must_show(&answered);
    let mut all = everybody(&world, Ballot::Honest);
    let mut backwards = world.clone();
    world.commits(&answered, &all);
    let forwards = world.case(&answered);
    all.reverse();
    backwards.commits(&answered, &all);
    let seats = |case: &Case| case.seats.map(|seat| (seat.juror, seat.rank));
    assert_eq!(seats(&forwards), seats(&backwards.case(&answered)));
    // Everybody counts, once, whether it sits, was displaced or never won a seat.
    assert_eq!(forwards.committed_stake.get(), all.len() as u64 * STAKE);
    assert_eq!(
        forwards.committed_stake,
        backwards.case(&answered).committed_stake
    );
    for (name, _) in &all {
        let call = world.commit(&answered, name, Ballot::Approve);
        world.chain.refuse(call, AlreadyCommitted);
    }
}

#[test]
fn who_wins_no_seat_gets_nothing_owes_nothing_and_its_stake_stays_as_long() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    world.must_show(&answered);
    let all = everybody(&world, Ballot::Honest);
    world.commits(&answered, &all);
    let mut names = all.iter().map(|(name, _)| name.clone());
    let idle = names
        .find(|name| !world.sits(&answered, name))
        .expect("more than seats");
    let held = world.case(&answered).juror_obliged_until();
    assert_eq!(world.validator(&idle).obliged_until.get(), held);
    world.chain.must(calls::request_unstake(key(&idle), STAKE));
    let end = world.case(&answered).commit_end();
    world.chain.warp_to(end);
    let call = world.reveal(&answered, &idle, Ballot::Honest);
    world.chain.refuse(call, NotSeated);
    world.reveals(&answered, &all);
    let case = world.must_resolve(&answered);
    assert_eq!(verdict(&case), Some(Verdict::Guilty));
    assert!(!case.due_parties().contains(&key(&idle)));
    let collect = world.collection(&answered, key(&idle));
    world.chain.refuse(collect, NothingToCollect);
    assert_eq!(world.validator(&idle).whole_stake(), STAKE);
}

#[test]
fn who_shares_a_bit_with_another_sits_all_the_same_and_does_not_count() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    world.must_show(&answered);
    world.commits(&answered, &ballots(2..3, Ballot::Honest));
    let address = calls::case(&answered.job);
    world.chain.forge(&address, |case: &mut Case| {
        case.committers.fill(u8::MAX);
    });
    let mut seated = false;
    for (name, ballot) in ballots(3..11, Ballot::Honest) {
        let call = world.commit(&answered, &name, ballot);
        match world.chain.send(&[call]) {
            Ok(_) => seated |= world.sits(&answered, &name),
            Err(refusal) => assert_eq!(refusal.mythic(), Some(AlreadyCommitted)),
        }
    }
    assert!(seated);
    assert_eq!(world.case(&answered).committed_stake.get(), STAKE);
}

#[test]
fn stake_under_the_floor_judges_nothing() {
    let floor = |params: &mut Params| params.rules.jury_stake.set(STAKE + 1);
    let mut world = court(6, 3, floor);
    let answered = world.answered(EXACT, "n0", 20, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    for i in 2..6 {
        let call = world.commit(&answered, &juror(i), Ballot::Honest);
        world.chain.refuse(call, StakeBelowMinimum);
    }
}

#[test]
fn added_stake_neither_judges_nor_counts_before_its_time() {
    let floor = |params: &mut Params| params.rules.jury_stake.set(STAKE);
    let mut world = court(4, 3, floor);
    world.seat("small", STAKE - 1);
    world.mature();
    let answered = world.answered(EXACT, "n0", 20, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    for name in ["small", "n2"] {
        let add = calls::add_stake(key("payer"), key(name), 50 * SOL);
        world.chain.must(add);
    }
    let start = world.case(&answered).commit_start();
    world.chain.warp_to(start);
    let call = world.commit(&answered, "small", Ballot::Honest);
    world.chain.refuse(call, StakeBelowMinimum);
    let call = world.commit(&answered, "n2", Ballot::Honest);
    world.chain.must(call);
    assert_eq!(world.case(&answered).committed_stake.get(), STAKE);
}

#[test]
fn samples_and_seats_are_drawn_by_the_first_slot_that_was_not_skipped() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    let submitted = world.job(&answered.job).submitted_slot.get();
    // The second group's slot and the two after it are skipped, and the last group's until the present.
    world
        .chain
        .skip([submitted + 12, submitted + 13, submitted + 14]);
    world.chain.skip([submitted + 20, submitted + 21]);
    world.chain.warp_to(submitted + 22);
    let call = world.objection(&answered, "n1", &[]);
    world.chain.refuse(call.clone(), SampleNotKnown);
    world.chain.warp_to(submitted + 23);
    world.chain.must(call);
    let expected = [8, 15, 16, 22].map(|ahead| slot_hash(submitted + ahead));
    assert_eq!(world.case(&answered).sample_hashes, expected);

    world.must_show(&answered);
    let case = world.case(&answered);
    let first = case.jury_slot();
    world.chain.skip([first + 4]);
    world.chain.skip(first + 8..first + 40);
    world.chain.warp_to(case.commit_start());
    let commit = world.commit(&answered, "n2", Ballot::Honest);
    world.chain.refuse(commit.clone(), SampleNotKnown);
    world.chain.warp_to(first + 41);
    world.chain.must(commit);
    let case = world.case(&answered);
    let drawn: Vec<_> = case.jury().iter().map(|seat| seat.slot_hash).collect();
    assert_eq!(drawn, [0, 5, 40].map(|ahead| slot_hash(first + ahead)));
    // Every seat is n2's, and one key decides nothing.
    assert_eq!(sitting(&case), [key("n2")]);
    world.reveals(&answered, &ballots(2..3, Ballot::Honest));
    let case = world.must_resolve(&answered);
    assert_eq!(ground(&case), Some(Ground::TooFew));
}

#[test]
fn the_largest_jury_is_drawn_in_the_last_slot_of_the_longest_time_to_commit() {
    let mut world = court(8, 15, |_| {});
    let longest = |model: &mut Model| model.spec.commit_slots.set(300);
    world.chain.forge(&model(EXACT), longest);
    let answered = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let case = world.case(&answered);
    // The program finds hashes of the last 512 slots.
    world.chain.warp_to(case.commit_end() - 1);
    for name in (2..8).map(juror) {
        let commit = world.commit(&answered, &name, Ballot::Honest);
        world.chain.must(commit);
    }
    let drawn = world.case(&answered);
    let drawn = drawn.jury().iter().map(|seat| seat.slot_hash);
    let expected = (0..15).map(|seat| slot_hash(case.jury_slot() + 4 * seat));
    assert!(drawn.eq(expected));
    world.reveals(&answered, &ballots(2..8, Ballot::Honest));
    assert_eq!(
        verdict(&world.must_resolve(&answered)),
        Some(Verdict::Guilty)
    );
}
