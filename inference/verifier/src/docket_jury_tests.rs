//! Who commits to a jury, and who proves what nobody can post.

use super::*;

/// A case whose jury can be committed to, and a docket of `JUROR` that holds its vote.
fn called() -> (World, Docket) {
    let mut world = World::new(40);
    let case = world.case();
    case.header.status = CaseStatus::Joining as u8;
    case.shown_slot.set(OPENED + 5);
    case.leaves_slot.set(OPENED + 5);
    let sampled = usize::from(case.sampled);
    for leaf in &mut case.leaves[..sampled] {
        leaf.present = 1;
    }
    world.slot = world.case().commit_start();
    let (mut disk, mut docket) = (Disk::default(), Docket::default());
    for (number, expected) in [(1, Kind::Fetch), (3, Kind::Compute)] {
        let duties = world.look(&mut docket, &me(JUROR), number);
        assert_eq!(duties[0].kind(), expected);
        let outcome = world.perform(&me(JUROR), &mut disk, &duties[0]);
        docket.done(expected, outcome);
    }
    (world, docket)
}

/// Whether it would commit, to a seat or not.
fn commits(world: &World, docket: &Docket, me: &Me) -> Option<bool> {
    match &world.look(&mut docket.clone(), me, 1_000)[..] {
        [Duty::Commit(_, wins)] => Some(*wins),
        _ => None,
    }
}

/// Others have the seats, of more stake than there is.
fn taken(case: &mut Case) {
    let seats = usize::from(case.jury_seats);
    for seat in &mut case.seats[..seats] {
        seat.juror = [9; 32];
        seat.slot_hash = [6; 32];
        seat.rank.set(i32::MAX);
    }
    case.header.status = CaseStatus::Jury as u8;
}

#[test]
fn who_has_committed_does_not_come_again_unless_a_fork_dropped_it() {
    let (mut world, mut docket) = called();
    let who = me(JUROR);
    assert!(matches!(
        world.look(&mut docket, &who, 5)[..],
        [Duty::Commit(_, true)]
    ));
    assert!(world.look(&mut docket, &who, 6).is_empty(), "one at a time");
    let jury = world.case().jury_slot();
    docket.done(Kind::Commit, Outcome::Committed(jury));
    // The slot that carried it is gone.
    assert_eq!(commits(&world, &docket, &who), Some(true));
    world.case().count(&JUROR);
    assert_eq!(commits(&world, &docket, &who), None);
    let again = Docket::new(docket.held.clone(), Some(jury), false);
    assert_eq!(commits(&world, &again, &who), None, "after a restart");
    // Another jury of the same case.
    world.case().shown_slot.set(OPENED + 6);
    world.slot += 1;
    assert_eq!(commits(&world, &docket, &who), Some(true));
}

#[test]
fn who_shares_anothers_bit_commits_all_the_same() {
    let (mut world, docket) = called();
    // A key whose bit is ours has committed, and has one of the seats.
    let case = world.case();
    case.seats[0].juror = [9; 32];
    case.count(&JUROR);
    assert!(world.case().counts(&JUROR));
    assert_eq!(commits(&world, &docket, &me(JUROR)), Some(true));
    // A lost journal is no reason to believe that we were displaced: the program knows.
    let jury = world.case().jury_slot();
    let mut told = docket;
    told.done(Kind::Commit, Outcome::Committed(jury));
    assert_eq!(commits(&world, &told, &me(JUROR)), None);
}

#[test]
fn who_wins_no_seat_commits_as_long_as_its_stake_is_of_use() {
    let (mut world, docket) = called();
    world.case().stake_at_result.set(10_000_000_000);
    assert_eq!(commits(&world, &docket, &me(JUROR)), Some(true));
    taken(world.case());
    assert_eq!(commits(&world, &docket, &me(JUROR)), Some(false));
    let keeps = Me {
        lends: false,
        ..me(JUROR)
    };
    assert_eq!(commits(&world, &docket, &keeps), None);
    // Others have brought what a guilty verdict takes.
    world.case().committed_stake.set(5_000_000_000);
    assert_eq!(commits(&world, &docket, &me(JUROR)), None);
    // Nothing is computed for it either.
    let fresh = Docket::default();
    assert!(world.look(&mut fresh.clone(), &me(JUROR), 1).is_empty());
}

#[test]
fn what_breaks_a_rule_is_proved_by_who_claims_and_by_others_once_the_rest_is_shown() {
    let mut world = World::new(40);
    let who = |case: &Case| [SUBMITTER, CLAIMANT, JUROR].map(|key| proves(&key, case));
    assert_eq!(who(world.case()), [false, true, false]);
    world.case().shown_slot.set(OPENED + 5);
    assert_eq!(who(world.case()), [false, true, true]);
}
