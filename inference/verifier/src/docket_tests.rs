use super::*;
use bytemuck::Zeroable;
use mythic_interface::{le::U32, params::Params, state::Verdict};

const JOB: Key = [1; 32];
const ADDRESS: Key = [2; 32];
const SUBMITTER: Key = [3; 32];
const CHALLENGER: Key = [4; 32];
const JUROR: Key = [5; 32];
const CHALLENGED: u64 = 1_000;

fn me(authority: Key) -> Me {
    Me {
        authority,
        payers: [[authority[0] + 100; 32], authority],
        active: true,
        judges: true,
        mature: true,
    }
}

/// What outlives a crash beside the chain.
#[derive(Clone, Default)]
struct Disk {
    held: Option<Held>,
    booked: bool,
}

/// A dispute on chain: what each instruction does to it, and how often it was done.
#[derive(Clone)]
struct World {
    slot: u64,
    dispute: Option<Dispute>,
    job: Job,
    pages: Vec<Option<Page>>,
    /// The submitter's evidence can be had.
    shown: bool,
    written: BTreeMap<Kind, u32>,
}

impl World {
    fn new(tokens: u32) -> Self {
        let mut dispute = Dispute::zeroed();
        dispute.header.status = DisputeStatus::Openings as u8;
        dispute.job = JOB;
        dispute.challenger = CHALLENGER;
        dispute.submitter = SUBMITTER;
        dispute.rent_payer = me(CHALLENGER).payers[0];
        dispute.fingerprint = [7; 32];
        dispute.requested_slot.set(900);
        dispute.submitted_slot.set(950);
        dispute.challenged_slot.set(CHALLENGED);
        dispute.output_tokens.set(tokens);
        dispute.rules = Params::dev().rules;
        dispute.jury_seats = 3;
        dispute.exact = 1;
        dispute.commit_slots.set(100);
        dispute.sampled = tokens.min(16) as u8;
        for (i, leaf) in dispute.leaves.iter_mut().enumerate() {
            leaf.position.set((i as u32 * 7) % tokens);
        }
        let mut job = Job::zeroed();
        job.header.status = JobStatus::Disputed as u8;
        job.open_disputes.set(1);
        Self {
            slot: CHALLENGED,
            dispute: Some(dispute),
            job,
            pages: vec![None; pages(tokens) as usize],
            shown: true,
            written: BTreeMap::new(),
        }
    }

    fn look(&self, case: &mut Case, me: &Me, number: u64) -> Vec<Duty> {
        let Some(dispute) = &self.dispute else {
            return Vec::new();
        };
        case.look(
            me,
            &Look {
                number,
                slot: self.slot,
                address: &ADDRESS,
                dispute,
                job: Some(&self.job),
                pages: &self.pages,
                final_: dispute.status() == Some(DisputeStatus::Resolved),
            },
        )
    }

    /// Does a duty as the program, the disk and the engine would.
    fn perform(&mut self, me: &Me, disk: &mut Disk, duty: &Duty) -> Outcome {
        *self.written.entry(duty.kind()).or_default() += 1;
        let slot = self.slot;
        let Some(dispute) = &mut self.dispute else {
            return Outcome::Failed;
        };
        match duty {
            Duty::Fetch => {
                let data = if self.shown {
                    Data::Evidence
                } else {
                    Data::None
                };
                return Outcome::Found(dispute.fingerprint, data);
            }
            Duty::Output(chunks) => {
                for chunk in chunks {
                    let page = self.pages[(chunk / PAGE_CHUNKS) as usize].get_or_insert(Page {
                        chunks: 0,
                        rent_payer: dispute.rent_payer,
                    });
                    let bit = 1 << (chunk % PAGE_CHUNKS);
                    assert_eq!(page.chunks & bit, 0, "posted once");
                    page.chunks |= bit;
                }
            }
            Duty::Openings(positions) => {
                assert!(!positions.is_empty());
                let checked = dispute.checked();
                for leaf in &mut dispute.leaves[..checked] {
                    assert_eq!(leaf.present, 0);
                    leaf.present = 1;
                }
                dispute.header.status = DisputeStatus::Jury as u8;
                dispute.completed_slot.set(slot);
            }
            Duty::Compute => {
                let held = Held {
                    fingerprint: dispute.fingerprint,
                    positions: dispute.positions_hash(),
                    salt: [8; 32],
                    vector: vec![9; 20 * dispute.checked()],
                };
                disk.held = Some(held.clone());
                return Outcome::Computed(held);
            }
            Duty::Commit(held) => {
                assert_eq!(
                    disk.held.as_ref(),
                    Some(held),
                    "written down before it is sent"
                );
                assert!(slot >= dispute.commit_start() && slot < dispute.commit_end());
                let seat = &mut dispute.seats[1];
                assert!(!seat.is_taken(), "committed once");
                seat.juror = me.authority;
                seat.commitment = held.commitment(&ADDRESS, &me.authority);
            }
            Duty::Reveal(held) => {
                assert!(slot >= dispute.commit_end() && slot < dispute.reveal_end());
                let seat = &mut dispute.seats[1];
                assert_eq!(seat.commitment, held.commitment(&ADDRESS, &me.authority));
                assert!(!seat.is_revealed());
                seat.revealed_slot.set(slot);
            }
            Duty::Resolve => {
                assert!(slot >= dispute.due_slot().unwrap());
                dispute.header.status = DisputeStatus::Resolved as u8;
                dispute.resolved_slot.set(slot);
                dispute.verdict = Verdict::Guilty as u8;
                dispute.seats[1]
                    .reward
                    .set(u64::from(dispute.seats[1].is_taken()));
                self.job.header.status = JobStatus::Slashed as u8;
                self.job.open_disputes.set(0);
                self.job.ended_slot.set(slot);
            }
            Duty::Collect => {
                if me.authority == CHALLENGER {
                    dispute.challenger_collected = 1;
                }
                if dispute.seats[1].juror == me.authority {
                    dispute.seats[1].collected = 1;
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
                self.dispute = None;
            }
        }
        Outcome::Done
    }

    /// Runs validators side by side until `end`, each with its disk. `crash` breaks the `n`-th duty of the first one off: before
    /// it is done, or before its outcome is known.
    fn run(&mut self, who: &[Me], disks: &mut [Disk], end: u64, crash: Option<(u32, bool)>) {
        let fresh = |disk: &Disk| Case::new(disk.held.clone(), disk.booked);
        let mut cases: Vec<Case> = disks.iter().map(fresh).collect();
        let (mut count, mut number) = (0, 0);
        while self.slot < end {
            number += 1;
            for (at, me) in who.iter().enumerate() {
                for duty in self.look(&mut cases[at], me, number) {
                    let crashes = at == 0 && crash.is_some_and(|(n, _)| n == count);
                    count += u32::from(at == 0);
                    if crashes && crash.is_some_and(|(_, before)| before) {
                        cases[at] = fresh(&disks[at]);
                        break;
                    }
                    let outcome = self.perform(me, &mut disks[at], &duty);
                    if crashes {
                        cases[at] = fresh(&disks[at]);
                        break;
                    }
                    cases[at].done(duty.kind(), outcome);
                }
            }
            self.slot += 1;
        }
    }

    fn count(&self, kind: Kind) -> u32 {
        self.written.get(&kind).copied().unwrap_or(0)
    }

    fn status(&self) -> Option<DisputeStatus> {
        self.dispute.as_ref().and_then(Dispute::status)
    }
}

/// Long enough for everything.
const LATER: u64 = CHALLENGED + 6_000;

#[test]
fn a_submitter_answers_at_once_a_juror_judges_and_the_challenger_winds_up() {
    let mut world = World::new(300);
    let mut disks = vec![Disk::default(); 3];
    let who = [me(SUBMITTER), me(JUROR), me(CHALLENGER)];
    world.run(&who, &mut disks, CHALLENGED + 8, None);
    assert_eq!(
        world.status(),
        Some(DisputeStatus::Jury),
        "within a few looks"
    );
    assert_eq!(
        (world.count(Kind::Output), world.count(Kind::Openings)),
        (1, 1)
    );
    world.run(&who, &mut disks, LATER, None);
    assert!(world.dispute.is_none(), "closed");
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
    for first in [SUBMITTER, JUROR, CHALLENGER] {
        let mut who = vec![me(first)];
        who.extend(
            [SUBMITTER, JUROR, CHALLENGER]
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
                assert!(world.dispute.is_none(), "{first:?} {n} {before}");
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
fn a_vector_that_was_written_down_is_not_computed_again() {
    let mut world = World::new(40);
    let mut disks = vec![Disk::default(); 2];
    let who = [me(JUROR), me(SUBMITTER)];
    world.run(&who, &mut disks, CHALLENGED + 12, None);
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
    let commits = CHALLENGED + 60;
    world.run(&who, &mut disks, commits, None);
    assert_eq!(world.count(Kind::Commit), 1);
    disks[0] = Disk::default();
    world.run(&who, &mut disks, LATER, None);
    assert_eq!(
        (world.count(Kind::Compute), world.count(Kind::Reveal)),
        (2, 1)
    );
}

#[test]
fn a_fork_that_draws_other_positions_is_answered_and_judged_anew() {
    let mut world = World::new(300);
    let mut disks = vec![Disk::default(); 2];
    let who = [me(JUROR), me(SUBMITTER)];
    world.run(&who, &mut disks, CHALLENGED + 60, None);
    assert_eq!(world.count(Kind::Commit), 1);
    // The slots that carried answer and commitment are abandoned; the challenge draws another sample.
    let fork = World::new(300);
    world.dispute = fork.dispute;
    world.pages = fork.pages;
    if let Some(dispute) = &mut world.dispute {
        dispute.challenged_slot.set(CHALLENGED + 61);
        for leaf in &mut dispute.leaves {
            leaf.position = U32::new(leaf.position.get() + 1);
        }
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
    assert_eq!(world.status(), Some(DisputeStatus::Resolved));
}

#[test]
fn a_result_of_another_fork_is_looked_for_anew() {
    let mut world = World::new(40);
    let mut case = Case::default();
    let who = me(SUBMITTER);
    assert_eq!(world.look(&mut case, &who, 1), [Duty::Fetch]);
    case.done(Kind::Fetch, Outcome::Found([7; 32], Data::Evidence));
    assert!(matches!(
        world.look(&mut case, &who, 2)[..],
        [Duty::Output(_)]
    ));
    if let Some(dispute) = &mut world.dispute {
        dispute.fingerprint = [6; 32];
    }
    assert_eq!(world.look(&mut case, &who, 3), [Duty::Fetch]);
}

#[test]
fn others_answer_only_when_the_submitter_had_its_time_and_the_challenger_never() {
    let mut world = World::new(40);
    let mut disks = vec![Disk::default(); 1];
    let third = CHALLENGED + 16;
    world.run(&[me(JUROR)], &mut disks, third, None);
    assert_eq!(
        (world.count(Kind::Fetch), world.count(Kind::Output)),
        (1, 0)
    );
    world.run(&[me(JUROR)], &mut disks, CHALLENGED + 40, None);
    assert_eq!(world.status(), Some(DisputeStatus::Jury));
    let mut world = World::new(40);
    world.run(&[me(CHALLENGER)], &mut disks, CHALLENGED + 49, None);
    assert!(world.written.is_empty());
}

#[test]
fn what_is_not_answered_is_resolved_by_the_challenger_after_the_settler_had_its_time() {
    let mut world = World::new(40);
    world.shown = false;
    let mut disks = vec![Disk::default(); 2];
    let who = [me(CHALLENGER), me(JUROR)];
    world.run(&who, &mut disks, CHALLENGED + 50 + PARTY_DELAY, None);
    assert_eq!(world.count(Kind::Resolve), 0);
    world.run(&who, &mut disks, CHALLENGED + 50 + PARTY_DELAY + 20, None);
    assert_eq!(world.count(Kind::Resolve), 1);
    let fetched = world.count(Kind::Fetch);
    assert!(
        (2..12).contains(&fetched),
        "asked again, ever more seldom: {fetched}"
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
    world.run(
        &stranger,
        &mut disks,
        CHALLENGED + 50 + STRANGER_DELAY,
        None,
    );
    assert!(world.written.is_empty());
    world.run(
        &stranger,
        &mut disks,
        CHALLENGED + 50 + STRANGER_DELAY + 20,
        None,
    );
    assert_eq!(world.count(Kind::Resolve), 1);
}

#[test]
fn only_who_may_judge_does() {
    let dispute = World::new(40).dispute.unwrap();
    assert!(eligible(&me(JUROR), &dispute));
    for other in [
        me(SUBMITTER),
        me(CHALLENGER),
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
        assert!(!eligible(&other, &dispute), "{other:?}");
    }
}

#[test]
fn a_jury_without_a_seat_for_us_is_left_alone_until_it_is_called_anew() {
    let mut world = World::new(40);
    let who = me(JUROR);
    if let Some(dispute) = &mut world.dispute {
        dispute.header.status = DisputeStatus::Jury as u8;
        dispute.completed_slot.set(CHALLENGED + 5);
        world.slot = dispute.commit_start();
    }
    let mut disk = Disk::default();
    let mut case = Case::default();
    for (number, expected) in [(1, Kind::Fetch), (3, Kind::Compute)] {
        let duties = world.look(&mut case, &who, number);
        assert_eq!(duties[0].kind(), expected);
        let outcome = world.perform(&who, &mut disk, &duties[0]);
        case.done(expected, outcome);
    }
    assert!(matches!(
        world.look(&mut case, &who, 5)[..],
        [Duty::Commit(_)]
    ));
    assert!(world.look(&mut case, &who, 6).is_empty(), "one at a time");
    case.done(Kind::Commit, Outcome::NotSeated);
    assert!(world.look(&mut case, &who, 60).is_empty());
    if let Some(dispute) = &mut world.dispute {
        dispute.completed_slot.set(CHALLENGED + 6);
        world.slot += 1;
    }
    assert!(matches!(
        world.look(&mut case, &who, 61)[..],
        [Duty::Commit(_)]
    ));
}

#[test]
fn what_fails_is_tried_again_ever_more_seldom() {
    let world = World::new(40);
    let (mut case, who) = (Case::default(), me(SUBMITTER));
    let mut tried = Vec::new();
    for number in 1..200 {
        if !world.look(&mut case, &who, number).is_empty() {
            tried.push(number);
            case.done(Kind::Fetch, Outcome::Failed);
        }
    }
    let gaps: Vec<u64> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps[..6], [2, 4, 8, 16, 32, 32]);
}

#[test]
fn a_job_decided_elsewhere_is_resolved_and_nothing_is_posted_for_it() {
    let mut world = World::new(40);
    world.job.header.status = JobStatus::Slashed as u8;
    world.job.ended_slot.set(CHALLENGED + 2);
    let mut disks = vec![Disk::default(); 2];
    world.run(
        &[me(SUBMITTER), me(JUROR)],
        &mut disks,
        CHALLENGED + 10,
        None,
    );
    assert!(world.written.is_empty());
    world.dispute.as_mut().unwrap().header.status = DisputeStatus::Openings as u8;
    let look_late = |slot| {
        let mut world = world.clone();
        world.slot = slot;
        world.look(&mut Case::default(), &me(CHALLENGER), 1)
    };
    assert_eq!(look_late(CHALLENGED + 40), [Duty::Resolve]);
}
