#[path = "docket_jury_tests.rs"]
mod jury;

use super::*;
use bytemuck::Zeroable;
use mythic_interface::{
    le::U32,
    params::Params,
    state::{ClaimKind, JobStatus, Verdict},
};

const JOB: Key = [1; 32];
const ADDRESS: Key = [2; 32];
const SUBMITTER: Key = [3; 32];
const CLAIMANT: Key = [4; 32];
const JUROR: Key = [5; 32];
const OPENED: u64 = 1_000;
/// Slots in which others join.
const JOINING: u64 = 100;

fn me(authority: Key) -> Me {
    Me {
        authority,
        payers: [[authority[0] + 100; 32], authority],
        active: true,
        judges: true,
        mature: true,
        stake: 1_000_000_000,
        lends: true,
    }
}

/// What outlives a crash beside the chain.
#[derive(Clone, Default)]
struct Disk {
    held: Option<Held>,
    committed: Option<u64>,
    booked: bool,
}

impl Disk {
    fn docket(&self) -> Docket {
        Docket::new(self.held.clone(), self.committed, self.booked)
    }
}

/// Shows leaves: they must be all that are hidden.
fn show(case: &mut Case, slot: u64, positions: &[u32]) {
    assert!(!positions.is_empty());
    let sample = case.leaves[..usize::from(case.sampled)].iter_mut();
    let named = case.claims.iter_mut().flat_map(|claim| {
        let named = usize::from(claim.named);
        claim.leaves[..named].iter_mut()
    });
    for leaf in sample.chain(named).filter(|leaf| leaf.present == 0) {
        assert!(positions.contains(&leaf.position.get()));
        leaf.present = 1;
    }
    case.leaves_slot.set(slot);
    if case.status() == Some(CaseStatus::Opening) {
        case.header.status = CaseStatus::Joining as u8;
        case.shown_slot.set(slot);
    }
}

/// A case on chain: what each instruction does to it, and how often it was done.
#[derive(Clone)]
struct World {
    slot: u64,
    case: Option<Case>,
    job: Job,
    pages: Vec<Option<Page>>,
    /// The submitter's evidence can be had.
    shown: bool,
    written: BTreeMap<Kind, u32>,
}

impl World {
    /// A case that `CLAIMANT` opened with `false`, naming nothing.
    fn new(tokens: u32) -> Self {
        let mut case = Case::zeroed();
        case.header.status = CaseStatus::Opening as u8;
        case.job = JOB;
        case.submitter = SUBMITTER;
        case.rent_payer = me(CLAIMANT).payers[0];
        case.fingerprint = [7; 32];
        case.requested_slot.set(900);
        case.submitted_slot.set(950);
        case.opened_slot.set(OPENED);
        case.output_tokens.set(tokens);
        case.rules = Params::dev().rules;
        case.jury_seats = 3;
        case.exact = 1;
        case.commit_slots.set(100);
        case.sampled = tokens.min(16) as u8;
        for (i, leaf) in case.leaves.iter_mut().enumerate() {
            leaf.position.set((i as u32 * 7) % tokens);
        }
        let mut job = Job::zeroed();
        job.header.status = JobStatus::Disputed as u8;
        let mut world = Self {
            slot: OPENED,
            case: Some(case),
            job,
            pages: vec![None; pages(tokens) as usize],
            shown: true,
            written: BTreeMap::new(),
        };
        world.claim(CLAIMANT, ClaimKind::False, &[]);
        world
    }

    fn case(&mut self) -> &mut Case {
        self.case.as_mut().expect("a case")
    }

    fn claim(&mut self, claimant: Key, kind: ClaimKind, named: &[u32]) {
        let slot = self.slot;
        let case = self.case();
        let claim = &mut case.claims[usize::from(case.claim_count)];
        claim.claimant = claimant;
        claim.kind = kind as u8;
        claim.claimed_slot.set(slot);
        claim.named = named.len() as u8;
        for (leaf, position) in claim.leaves.iter_mut().zip(named) {
            leaf.position.set(*position);
        }
        case.claim_count += 1;
        case.false_count += u8::from(kind == ClaimKind::False);
    }

    fn look(&self, docket: &mut Docket, me: &Me, number: u64) -> Vec<Duty> {
        let Some(case) = &self.case else {
            return Vec::new();
        };
        docket.look(
            me,
            &Look {
                number,
                slot: self.slot,
                address: &ADDRESS,
                case,
                job: Some(&self.job),
                pages: &self.pages,
                final_: case.status() == Some(CaseStatus::Resolved),
            },
        )
    }

    /// Does a duty as the program, the disk and the engine would.
    fn perform(&mut self, me: &Me, disk: &mut Disk, duty: &Duty) -> Outcome {
        *self.written.entry(duty.kind()).or_default() += 1;
        let slot = self.slot;
        let Some(case) = &mut self.case else {
            return Outcome::Failed;
        };
        match duty {
            Duty::Fetch => {
                let data = if self.shown {
                    Data::Evidence
                } else {
                    Data::None
                };
                return Outcome::Found(case.fingerprint, data);
            }
            Duty::Output(chunks) => {
                for chunk in chunks {
                    let page = self.pages[(chunk / PAGE_CHUNKS) as usize].get_or_insert(Page {
                        chunks: 0,
                        rent_payer: case.rent_payer,
                    });
                    let bit = 1 << (chunk % PAGE_CHUNKS);
                    assert_eq!(page.chunks & bit, 0, "posted once");
                    page.chunks |= bit;
                }
            }
            Duty::Openings(positions) => show(case, slot, positions),
            Duty::Compute => {
                let held = Held {
                    fingerprint: case.fingerprint,
                    positions: case.positions_hash(),
                    salt: [8; 32],
                    vote: vec![9; case.vote_len()],
                };
                disk.held = Some(held.clone());
                return Outcome::Computed(held);
            }
            Duty::Commit(held, _) => {
                assert_eq!(
                    disk.held.as_ref(),
                    Some(held),
                    "written down before it is sent"
                );
                assert!(slot >= case.commit_start() && slot < case.commit_end());
                let seat = &mut case.seats[1];
                assert!(!seat.is_taken(), "committed once");
                seat.juror = me.authority;
                seat.commitment = held.commitment(&ADDRESS, &me.authority);
                case.header.status = CaseStatus::Jury as u8;
                case.count(&me.authority);
                disk.committed = Some(case.jury_slot());
                return Outcome::Committed(case.jury_slot());
            }
            Duty::Reveal(held) => {
                assert!(slot >= case.commit_end() && slot < case.reveal_end());
                let seat = &mut case.seats[1];
                assert_eq!(seat.commitment, held.commitment(&ADDRESS, &me.authority));
                assert!(!seat.is_revealed());
                seat.revealed_slot.set(slot);
            }
            Duty::Resolve => {
                assert!(slot >= case.due_slot().unwrap());
                case.header.status = CaseStatus::Resolved as u8;
                case.resolved_slot.set(slot);
                case.verdict = Verdict::Guilty as u8;
                case.seats[1]
                    .reward
                    .set(u64::from(case.seats[1].is_taken()));
                self.job.header.status = JobStatus::Slashed as u8;
                self.job.ended_slot.set(slot);
            }
            Duty::Collect(whose) => {
                for key in whose {
                    let mut claims = case.claims.iter_mut();
                    if let Some(claim) = claims.find(|claim| claim.claimant == *key) {
                        claim.collected = 1;
                    }
                    let mut seats = case.seats.iter_mut();
                    if let Some(seat) = seats.find(|seat| seat.juror == *key) {
                        seat.collected = 1;
                    }
                }
            }
            Duty::Book => {
                assert!(!disk.booked, "counted once");
                disk.booked = true;
            }
            Duty::CloseOutput(numbers) => {
                for number in numbers {
                    assert!(self.pages[*number as usize].take().is_some());
                }
            }
            Duty::Close => {
                assert!(self.pages.iter().all(Option::is_none), "its pages go first");
                self.case = None;
            }
        }
        Outcome::Done
    }

    /// Runs validators side by side until `end`, each with its disk. `crash` breaks the `n`-th duty of the first one off: before
    /// it is done, or before its outcome is known.
    fn run(&mut self, who: &[Me], disks: &mut [Disk], end: u64, crash: Option<(u32, bool)>) {
        let mut dockets: Vec<Docket> = disks.iter().map(Disk::docket).collect();
        let (mut count, mut number) = (0, 0);
        while self.slot < end {
            number += 1;
            for (at, me) in who.iter().enumerate() {
                for duty in self.look(&mut dockets[at], me, number) {
                    let crashes = at == 0 && crash.is_some_and(|(n, _)| n == count);
                    count += u32::from(at == 0);
                    if crashes && crash.is_some_and(|(_, before)| before) {
                        dockets[at] = disks[at].docket();
                        break;
                    }
                    let outcome = self.perform(me, &mut disks[at], &duty);
                    if crashes {
                        dockets[at] = disks[at].docket();
                        break;
                    }
                    dockets[at].done(duty.kind(), outcome);
                }
            }
            self.slot += 1;
        }
    }

    fn count(&self, kind: Kind) -> u32 {
        self.written.get(&kind).copied().unwrap_or(0)
    }

    fn status(&self) -> Option<CaseStatus> {
        self.case.as_ref().and_then(Case::status)
    }
}

/// Long enough for everything.
const LATER: u64 = OPENED + 6_000;
/// When jurors commit, if everything is shown within a few slots.
const COMMITS: u64 = OPENED + JOINING + 30;

#[test]
fn a_submitter_answers_at_once_a_juror_judges_and_the_claimant_winds_up() {
    let mut world = World::new(300);
    let mut disks = vec![Disk::default(); 3];
    let who = [me(SUBMITTER), me(JUROR), me(CLAIMANT)];
    world.run(&who, &mut disks, OPENED + 8, None);
    assert_eq!(
        world.status(),
        Some(CaseStatus::Joining),
        "within a few looks"
    );
    assert_eq!(
        (world.count(Kind::Output), world.count(Kind::Openings)),
        (1, 1)
    );
    world.run(&who, &mut disks, LATER, None);
    assert!(world.case.is_none(), "closed");
    for kind in [
        Kind::Compute,
        Kind::Commit,
        Kind::Reveal,
        Kind::Resolve,
        Kind::CloseOutput,
        Kind::Close,
    ] {
        assert_eq!(world.count(kind), 1, "{kind:?}");
    }
    assert_eq!(world.count(Kind::Collect), 2);
    assert!(disks.iter().all(|disk| disk.booked));
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_repeats_nothing_that_counts() {
    for first in [SUBMITTER, JUROR, CLAIMANT] {
        let mut who = vec![me(first)];
        who.extend(
            [SUBMITTER, JUROR, CLAIMANT]
                .into_iter()
                .filter(|k| *k != first)
                .map(me),
        );
        for n in 0..10 {
            for before in [true, false] {
                let mut world = World::new(300);
                let mut disks = vec![Disk::default(); 3];
                // `perform` asserts that nothing is done twice.
                world.run(&who, &mut disks, LATER, Some((n, before)));
                assert!(world.case.is_none(), "{first:?} {n} {before}");
                assert!(disks.iter().all(|disk| disk.booked));
                assert_eq!(
                    (world.count(Kind::Commit), world.count(Kind::Reveal)),
                    (1, 1)
                );
            }
        }
    }
}

#[test]
fn a_vote_that_was_written_down_is_not_computed_again() {
    let mut world = World::new(40);
    let mut disks = vec![Disk::default(); 2];
    let who = [me(JUROR), me(SUBMITTER)];
    world.run(&who, &mut disks, OPENED + 20, None);
    assert_eq!(
        (world.count(Kind::Compute), world.count(Kind::Commit)),
        (1, 0)
    );
    // Everything but disk and chain is gone, the evidence too.
    world.shown = false;
    world.run(&who, &mut disks, LATER, None);
    assert_eq!(
        (
            world.count(Kind::Compute),
            world.count(Kind::Commit),
            world.count(Kind::Reveal)
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_lost_journal_loses_no_seat() {
    let mut world = World::new(40);
    let mut disks = vec![Disk::default(); 2];
    let who = [me(JUROR), me(SUBMITTER)];
    world.run(&who, &mut disks, COMMITS + 20, None);
    assert_eq!(world.count(Kind::Commit), 1);
    disks[0] = Disk::default();
    world.run(&who, &mut disks, LATER, None);
    assert_eq!(
        (world.count(Kind::Compute), world.count(Kind::Reveal)),
        (2, 1)
    );
}

#[test]
fn who_joins_is_answered_and_judged_with_the_others() {
    let mut world = World::new(300);
    let mut disks = vec![Disk::default(); 2];
    let who = [me(JUROR), me(SUBMITTER)];
    world.run(&who, &mut disks, OPENED + 20, None);
    assert_eq!(world.count(Kind::Compute), 1);
    // Two name the same position: it is shown once for both, and the vote is about more than before.
    world.claim([8; 32], ClaimKind::False, &[201, 203]);
    world.claim([9; 32], ClaimKind::False, &[203]);
    world.run(&who, &mut disks, OPENED + 40, None);
    assert_eq!(world.count(Kind::Openings), 2);
    assert!(world.case().is_shown());
    assert_eq!(world.count(Kind::Compute), 2);
    world.run(&who, &mut disks, LATER, None);
    assert_eq!(
        (world.count(Kind::Commit), world.count(Kind::Reveal)),
        (1, 1)
    );
}

#[test]
fn evidence_that_is_gone_is_looked_for_again() {
    let world = World::new(40);
    let me = me(SUBMITTER);
    let mut docket = Docket::default();
    let fetch = world.look(&mut docket, &me, 1);
    assert_eq!(fetch, [Duty::Fetch]);
    docket.done(Kind::Fetch, Outcome::Found([7; 32], Data::Evidence));
    assert!(matches!(
        world.look(&mut docket, &me, 2)[..],
        [Duty::Output(_)]
    ));
    // Whoever was to post it found nothing on the disk.
    docket.done(Kind::Output, Outcome::Found([7; 32], Data::None));
    assert_eq!(world.look(&mut docket, &me, 40), [Duty::Fetch]);
    // A search that finds less than is known changes nothing.
    docket.done(Kind::Fetch, Outcome::Found([7; 32], Data::Prompt));
    docket.done(Kind::Fetch, Outcome::Found([7; 32], Data::None));
    assert_eq!(docket.data, Data::Prompt);
}

#[test]
fn where_nobody_says_false_nothing_is_judged() {
    let mut world = World::new(40);
    world.case().claims[0].kind = ClaimKind::Withheld as u8;
    world.case().false_count = 0;
    let mut disks = vec![Disk::default(); 3];
    let who = [me(SUBMITTER), me(JUROR), me(CLAIMANT)];
    world.run(&who, &mut disks, OPENED + JOINING + 60, None);
    assert_eq!(world.status(), Some(CaseStatus::Resolved));
    assert_eq!(
        (world.count(Kind::Compute), world.count(Kind::Commit)),
        (0, 0)
    );
}

#[test]
fn a_fork_that_draws_other_positions_is_answered_and_judged_anew() {
    let mut world = World::new(300);
    let mut disks = vec![Disk::default(); 2];
    let who = [me(JUROR), me(SUBMITTER)];
    world.run(&who, &mut disks, COMMITS + 20, None);
    assert_eq!(world.count(Kind::Commit), 1);
    // The slots that carried answer and commitment are abandoned; the case draws another sample.
    let fork = World::new(300);
    let opened = world.slot;
    world.case = fork.case;
    world.pages = fork.pages;
    let case = world.case();
    case.opened_slot.set(opened);
    for leaf in &mut case.leaves {
        leaf.position = U32::new(leaf.position.get() + 1);
    }
    world.run(&who, &mut disks, LATER, None);
    assert_eq!(
        (
            world.count(Kind::Compute),
            world.count(Kind::Commit),
            world.count(Kind::Reveal)
        ),
        (2, 2, 1)
    );
    assert_eq!(world.status(), Some(CaseStatus::Resolved));
}

#[test]
fn a_result_of_another_fork_is_looked_for_anew() {
    let mut world = World::new(40);
    let mut docket = Docket::default();
    let who = me(SUBMITTER);
    assert_eq!(world.look(&mut docket, &who, 1), [Duty::Fetch]);
    docket.done(Kind::Fetch, Outcome::Found([7; 32], Data::Evidence));
    assert!(matches!(
        world.look(&mut docket, &who, 2)[..],
        [Duty::Output(_)]
    ));
    world.case().fingerprint = [6; 32];
    assert_eq!(world.look(&mut docket, &who, 3), [Duty::Fetch]);
}

#[test]
fn a_claimant_shows_what_it_holds_before_others_do_and_after_the_submitter_had_its_time() {
    let sixth = OPENED + 8;
    let third = OPENED + 16;
    for (who, from, until) in [(CLAIMANT, sixth, sixth + 8), (JUROR, third, third + 24)] {
        let mut world = World::new(40);
        let mut disks = vec![Disk::default(); 1];
        world.run(&[me(who)], &mut disks, from, None);
        assert_eq!(
            (world.count(Kind::Fetch), world.count(Kind::Output)),
            (1, 0)
        );
        world.run(&[me(who)], &mut disks, until, None);
        assert_eq!(world.status(), Some(CaseStatus::Joining));
    }
    // Of an hour nobody waits more than minutes.
    let mut world = World::new(40);
    world.case().rules.openings_slots.set(9_000);
    let mut disks = vec![Disk::default(); 1];
    world.run(&[me(CLAIMANT)], &mut disks, OPENED + 90, None);
    assert_eq!(world.status(), Some(CaseStatus::Joining));
}

#[test]
fn what_is_not_answered_is_resolved_by_the_claimant_after_the_settler_had_its_time() {
    let mut world = World::new(40);
    world.shown = false;
    let mut disks = vec![Disk::default(); 2];
    let who = [me(CLAIMANT), me(JUROR)];
    world.run(&who, &mut disks, OPENED + 50 + PARTY_DELAY, None);
    assert_eq!(world.count(Kind::Resolve), 0);
    world.run(&who, &mut disks, OPENED + 50 + PARTY_DELAY + 20, None);
    assert_eq!(world.count(Kind::Resolve), 1);
    let fetched = world.count(Kind::Fetch);
    assert!(
        (4..20).contains(&fetched),
        "asked again by both, ever more seldom: {fetched}"
    );
}

#[test]
fn a_stranger_resolves_what_nobody_else_does() {
    let mut world = World::new(40);
    world.shown = false;
    let mut disks = vec![Disk::default(); 1];
    let stranger = [Me {
        judges: false,
        ..me([9; 32])
    }];
    world.run(&stranger, &mut disks, OPENED + 50 + STRANGER_DELAY, None);
    assert!(world.written.is_empty());
    world.run(
        &stranger,
        &mut disks,
        OPENED + 50 + STRANGER_DELAY + 20,
        None,
    );
    assert_eq!(world.count(Kind::Resolve), 1);
}

#[test]
fn whoever_has_a_part_collects_for_those_who_do_not_and_closes_what_lapsed() {
    let resolved = |owed: &dyn Fn(&mut Case)| {
        let mut world = World::new(40);
        let case = world.case();
        case.header.status = CaseStatus::Resolved as u8;
        case.resolved_slot.set(OPENED);
        case.claims[0].collected = 1;
        case.seats[0].juror = JUROR;
        owed(case);
        world.job.header.status = JobStatus::Slashed as u8;
        world
    };
    let claimant = [me(CLAIMANT)];
    let mut world = resolved(&|case| case.seats[0].penalty.set(5));
    let mut disks = vec![Disk::default(); 1];
    world.run(&claimant, &mut disks, OPENED + STRANGER_DELAY, None);
    assert_eq!(world.count(Kind::Collect), 0);
    world.run(&claimant, &mut disks, LATER, None);
    assert_eq!(
        (world.count(Kind::Collect), world.count(Kind::Close)),
        (1, 1)
    );
    // A fine that can't be collected keeps nobody's rent for ever; pay does.
    type Owed = fn(&mut Case);
    let owed: [(Owed, bool); 2] = [
        (|case| case.seats[0].penalty.set(5), true),
        (|case| case.seats[0].reward.set(5), false),
    ];
    for (owed, lapses) in owed {
        let mut world = resolved(&owed);
        let case = *world.case();
        let closes = |slot: u64| {
            world.slot = slot;
            let mut docket = Docket::new(None, None, true);
            let duties = world.look(&mut docket, &claimant[0], 1);
            duties.contains(&Duty::Close)
        };
        let mut closes = closes;
        assert!(!closes(case.forfeit_end()));
        assert_eq!(closes(case.forfeit_end() + PARTY_DELAY), lapses);
    }
}

#[test]
fn only_who_may_judge_does() {
    let mut world = World::new(40);
    world.claim([8; 32], ClaimKind::False, &[]);
    let case = world.case.unwrap();
    assert!(eligible(&me(JUROR), &case));
    for other in [
        me(SUBMITTER),
        me(CLAIMANT),
        me([8; 32]),
        Me {
            active: false,
            ..me(JUROR)
        },
        Me {
            judges: false,
            ..me(JUROR)
        },
        Me {
            mature: false,
            ..me(JUROR)
        },
    ] {
        assert!(!eligible(&other, &case), "{other:?}");
    }
}

#[test]
fn what_fails_is_tried_again_ever_more_seldom() {
    let world = World::new(40);
    let (mut docket, who) = (Docket::default(), me(SUBMITTER));
    let mut tried = Vec::new();
    for number in 1..200 {
        if !world.look(&mut docket, &who, number).is_empty() {
            tried.push(number);
            docket.done(Kind::Fetch, Outcome::Failed);
        }
    }
    let gaps: Vec<u64> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..6], [2, 4, 8, 16, 32, 32]);
}

#[test]
fn cases_that_wait_for_what_a_friend_named_keep_no_other_from_its_jury() {
    let key = |n: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        key
    };
    let shown = |n: usize| {
        let mut case = Case::zeroed();
        case.header.status = CaseStatus::Joining as u8;
        case.shown_slot.set(OPENED + 5);
        (case.claim_count, case.false_count) = (1, 1);
        case.submitter = key(n);
        case
    };
    // One who joined names a leaf that nobody shows.
    let waiting = |n: usize| {
        let mut case = shown(n);
        case.claims[0].named = 1;
        Place::of(&case)
    };
    let taken: Vec<Place> = (0..MOST_CASES).map(waiting).collect();
    let is_free = |place: Place, taken: &[Place]| place.is_free(taken.iter().copied());
    assert!(!is_free(waiting(9_000), &taken));
    assert!(is_free(Place::of(&shown(9_000)), &taken));
    // One submitter has a part of the places.
    let whale = vec![Place::of(&shown(1)); MOST_OF_ONE];
    assert!(!is_free(Place::of(&shown(1)), &whale));
    assert!(is_free(Place::of(&shown(2)), &whale));
    assert!(is_free(waiting(1), &whale), "they are counted apart");
}

#[test]
fn a_vote_is_of_use_until_commits_end_and_a_seats_until_reveals_do() {
    let mut world = World::new(40);
    let case = world.case();
    case.shown_slot.set(OPENED + 5);
    assert_eq!(vote_due(&JUROR, case), case.commit_end());
    case.seats[0].juror = JUROR;
    assert_eq!(vote_due(&JUROR, case), case.reveal_end());
}
