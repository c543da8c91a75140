//! Networks from one validator up, with juries of every size: what a verdict takes, and what it is worth.

use super::*;

const NETWORKS: [usize; 6] = [1, 2, 3, 5, 7, 30];
const SEATS: [u16; 4] = [3, 5, 7, 15];

/// A dispute of n0's answer, with everybody else who may judge voting so.
fn judged(validators: usize, seats: u16, lie: Lie, vote: Vote) -> (World, Dispute) {
    let mut world = court(validators, seats, |_| {});
    let case = world.answered(EXACT, "n0", 40, lie);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    world.must_answer(&case, &dispute);
    let found = world.must_judge(&case, &dispute, &votes(2..validators, vote));
    world.collect_all(&dispute);
    (world, found)
}

#[test]
fn alone_nobody_can_challenge() {
    for seats in SEATS {
        let mut world = court(1, seats, |_| {});
        let case = world.answered(EXACT, "n0", 40, Lie::OtherModel);
        world.reach_sample(&case);
        let own = world.challenge(&case, "n0", &[]);
        world.chain.refuse(own, SelfChallenge);
        let end = world.job(&case.job).window_end().expect("submitted");
        world.chain.warp_to(end);
        let claim = world.claim(&case.job);
        world.chain.must(claim);
    }
}

#[test]
fn of_two_nobody_can_judge_but_what_is_not_shown_is_guilty() {
    for seats in SEATS {
        for lie in [Lie::None, Lie::OtherModel] {
            let (world, found) = judged(2, seats, lie, Vote::Honest);
            assert_eq!(verdict(&found), Some(Verdict::Void));
            assert_eq!(lost(&world, "n0"), 0);
        }
        let mut world = court(2, seats, |_| {});
        let case = world.answered(EXACT, "n0", 40, Lie::None);
        world.reach_sample(&case);
        let dispute = world.must_challenge(&case, "n1");
        let end = world.dispute(&dispute).openings_end();
        world.chain.warp_to(end);
        let call = world.resolve(&dispute);
        world.chain.must(call);
        assert_eq!(verdict(&world.dispute(&dispute)), Some(Verdict::Guilty));
    }
}

#[test]
fn from_three_on_honest_jurors_fill_every_seat_and_decide_rightly() {
    for validators in NETWORKS.into_iter().filter(|count| *count >= 3) {
        for seats in SEATS {
            for (lie, expected) in [
                (Lie::None, Verdict::NotGuilty),
                (Lie::OtherModel, Verdict::Guilty),
            ] {
                let (world, found) = judged(validators, seats, lie, Vote::Honest);
                assert_eq!(verdict(&found), Some(expected), "{validators}, {seats}");
                assert!(found.jury().iter().all(JurySeat::is_revealed));
                let mut sitting: Vec<Key> = found.jury().iter().map(|seat| seat.juror).collect();
                sitting.sort_unstable();
                sitting.dedup();
                assert!(sitting.len() <= (validators - 2).min(usize::from(seats)));
                let slashed = match expected {
                    Verdict::Guilty => STAKE / 2,
                    _ => 0,
                };
                assert_eq!(lost(&world, "n0"), slashed);
                // Nobody honest loses anything.
                assert!((1..validators).all(|i| lost(&world, &juror(i)) == 0));
            }
        }
    }
}

#[test]
fn of_three_one_juror_decides_alone_whatever_the_number_of_seats() {
    for seats in SEATS {
        let (world, found) = judged(3, seats, Lie::OtherModel, Vote::Approve);
        assert_eq!(verdict(&found), Some(Verdict::NotGuilty));
        assert_eq!(lost(&world, "n0"), 0);
        let (world, found) = judged(3, seats, Lie::None, Vote::Guess(1));
        assert_eq!(verdict(&found), Some(Verdict::Guilty));
        assert_eq!(lost(&world, "n0"), STAKE / 2);
    }
}
