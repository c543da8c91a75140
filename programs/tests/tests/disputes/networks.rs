//! Networks from one validator up, with juries of every size: what a verdict takes, and what it is worth.

use super::*;

const NETWORKS: [usize; 6] = [1, 2, 3, 5, 7, 30];
const SEATS: [u16; 4] = [3, 5, 7, 15];

/// A case of n0's answer, with everybody else who may judge voting so.
fn judged(validators: usize, seats: u16, lie: Lie, ballot: Ballot) -> (World, Case) {
    let mut world = court(validators, seats, |_| {});
    let answered = world.answered(EXACT, "n0", 40, lie);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    world.must_show(&answered);
    let case = world.must_judge(&answered, &ballots(2..validators, ballot));
    world.collect_all(&answered);
    (world, case)
}

#[test]
fn alone_nobody_can_claim() {
    for seats in SEATS {
        let mut world = court(1, seats, |_| {});
        let answered = world.answered(EXACT, "n0", 40, Lie::OtherModel);
        world.reach_sample(&answered);
        let own = world.objection(&answered, "n0", &[]);
        world.chain.refuse(own, SelfChallenge);
        let end = world.job(&answered.job).window_end().expect("submitted");
        world.chain.warp_to(end);
        let claim = world.claim(&answered.job);
        world.chain.must(claim);
    }
}

#[test]
fn of_two_nobody_can_judge_but_what_is_not_shown_is_guilty() {
    for seats in SEATS {
        for lie in [Lie::None, Lie::OtherModel] {
            let (world, case) = judged(2, seats, lie, Ballot::Honest);
            assert_eq!(verdict(&case), Some(Verdict::Void));
            assert_eq!(lost(&world, "n0"), 0);
        }
        let mut world = court(2, seats, |_| {});
        let answered = world.answered(EXACT, "n0", 40, Lie::None);
        world.reach_sample(&answered);
        world.must_miss(&answered, "n1");
        let case = world.must_resolve(&answered);
        assert_eq!(verdict(&case), Some(Verdict::Guilty));
    }
}

#[test]
fn honest_jurors_fill_every_seat_and_decide_rightly_once_they_are_enough() {
    for validators in NETWORKS.into_iter().filter(|count| *count >= 3) {
        for seats in SEATS {
            for (lie, expected) in [
                (Lie::None, Verdict::NotGuilty),
                (Lie::OtherModel, Verdict::Guilty),
            ] {
                let (world, case) = judged(validators, seats, lie, Ballot::Honest);
                assert!(case.jury().iter().all(JurySeat::is_revealed));
                let keys = sitting(&case).len();
                assert!(keys <= (validators - 2).min(usize::from(seats)));
                // Two keys where there are three seats, three otherwise.
                let enough = keys >= if seats == 3 { 2 } else { 3 };
                let verdict = verdict(&case);
                match enough {
                    true => assert_eq!(verdict, Some(expected), "{validators}, {seats}"),
                    false => assert_eq!(ground(&case), Some(Ground::TooFew)),
                }
                let slashed = match verdict {
                    Some(Verdict::Guilty) => HALF,
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
fn of_three_one_juror_decides_nothing_whatever_the_number_of_seats() {
    for seats in SEATS {
        for (lie, ballot) in [
            (Lie::OtherModel, Ballot::Approve),
            (Lie::None, Ballot::Guess(1)),
        ] {
            let (world, case) = judged(3, seats, lie, ballot);
            assert_eq!(verdict(&case), Some(Verdict::Void));
            assert_eq!(ground(&case), Some(Ground::TooFew));
            assert_eq!(lost(&world, "n0"), 0);
        }
    }
}
