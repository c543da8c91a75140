//! Juries: who sits, who is paid, who loses.

use mythic_interface::params::Params;
use mythic_program_tests::chain::slot_hash;

use super::*;

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
        let held = found
            .jury()
            .iter()
            .filter(|s| s.juror == seat.juror)
            .count();
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
    assert_eq!(
        world.dispute(&dispute).penalties_amount.get(),
        3 * 50_000_000
    );
    assert_eq!(
        world.validator("n1").claimable.get(),
        found.bond.get() - found.answering_fee.get()
    );
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
        v.staked.set(12);
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
    let seats = found
        .jury()
        .iter()
        .filter(|seat| seat.juror == gone)
        .count() as u64;
    assert_eq!(
        world.chain.lamports(&mythic_interface::INCINERATOR),
        burned + seats * found.tariff.get(),
        "{name}"
    );
    // The challenger cannot close before it has collected, and did.
    world.chain.must(calls::close_dispute(dispute, key("n1")));
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
fn a_seat_goes_to_the_highest_rank_whatever_the_order_of_commitments() {
    let (mut world, case, dispute) = challenged(EXACT, 5, Lie::None);
    world.must_answer(&case, &dispute);
    let everybody = jurors(&world);
    let mut ballot = votes(2..everybody, Vote::Honest);
    let mut backwards = world.clone();
    world.commits(&case, &dispute, &ballot);
    ballot.reverse();
    backwards.commits(&case, &dispute, &ballot);
    let seats = |world: &World| {
        world
            .dispute(&dispute)
            .seats
            .map(|seat| (seat.juror, seat.rank))
    };
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

#[test]
fn samples_and_seats_are_drawn_by_the_first_slot_that_was_not_skipped() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::OtherModel);
    let submitted = world.job(&case.job).submitted_slot.get();
    // The second group's slot and the two after it are skipped, and the last group's until the present.
    world
        .chain
        .skip([submitted + 12, submitted + 13, submitted + 14]);
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
