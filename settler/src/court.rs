//! What is due of cases and of the output posted in them. Pure.

use mythic_interface::{
    state::{Job, JobStatus},
    window,
};
use solana_pubkey::Pubkey;

use crate::{
    crank::Crank,
    windows::{CaseWindow, JobWindow, Windows},
};

/// What cases and outputs need at finalized slot `now`: verdicts before payments, payments before closes. `close`: also
/// what is over.
pub(crate) fn due(now: u64, windows: &Windows, close: bool) -> Vec<Crank> {
    let mut due: Vec<Crank> = windows
        .cases
        .iter()
        .filter_map(|window| resolve(now, window))
        .collect();
    due.extend(windows.cases.iter().flat_map(collect));
    if close {
        let cases = windows.cases.iter().filter(|window| {
            let votes = window.case.false_count == 0 || window.votes.is_some();
            let from = window.case.closable_from().filter(|_| votes);
            from.is_some_and(|slot| !window::open(now, slot))
        });
        due.extend(cases.cloned().map(Crank::CloseCase));
        let outputs = windows.outputs.iter().filter(|window| {
            output_closable_from(window.job.as_ref()).is_some_and(|slot| !window::open(now, slot))
        });
        due.extend(outputs.cloned().map(Crank::CloseOutput));
    }
    due
}

/// A verdict is due when the case's own time has come.
fn resolve(now: u64, window: &CaseWindow) -> Option<Crank> {
    let job = window.job?;
    let slot = window.case.due_slot()?;
    let disputed = job.status() == Some(JobStatus::Disputed);
    (disputed && !window::open(now, slot)).then(|| Crank::Resolve {
        case: window.pubkey,
        state: window.case.clone(),
        job: JobWindow {
            pubkey: Pubkey::new_from_array(window.case.job),
            job,
        },
    })
}

/// One crank for each party of a resolved case with something to receive or to lose.
fn collect(window: &CaseWindow) -> Vec<Crank> {
    window
        .parties()
        .map(|authority| Crank::Collect {
            case: window.pubkey,
            authority,
            closed: window.closed.contains(&authority),
        })
        .collect()
}

/// Slot from which posted output of a job can be closed: at once when the job is gone; `None` while it runs.
pub(crate) fn output_closable_from(job: Option<&Job>) -> Option<u64> {
    let Some(job) = job else { return Some(0) };
    let over = job.status().is_some_and(JobStatus::is_terminal);
    let delay = u64::from(job.terms.rules.close_delay_slots.get());
    over.then(|| job.ended_slot.get().saturating_add(delay))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{due::Settler, windows::OutputWindow};
    use bytemuck::Zeroable;
    use mythic_interface::{
        params::Params,
        state::{Case, CaseStatus, ClaimKind, Output, Verdict, Votes},
    };

    const RULES: Settler = Settler {
        sweep_min_lamports: 1000,
        sweep_after_slots: 32,
        release_min_lamports: 1000,
        close: true,
    };
    const CLAIMANT: [u8; 32] = [7; 32];

    fn key(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    fn job(status: JobStatus) -> Job {
        let mut job = Job::zeroed();
        job.header.status = status as u8;
        job.terms.rules = Params::dev().rules;
        job
    }

    /// A case of an exact model with three seats, opened in slot 1000 by who says that the result is false.
    fn window(status: CaseStatus, change: impl FnOnce(&mut Case)) -> Windows {
        let mut case = Box::new(Case::zeroed());
        case.header.status = status as u8;
        case.rules = Params::dev().rules;
        case.job = [2; 32];
        case.opened_slot.set(1000);
        case.jury_seats = 3;
        case.commit_slots.set(100);
        case.exact = 1;
        (case.claim_count, case.false_count) = (1, 1);
        case.claims[0].claimant = CLAIMANT;
        case.claims[0].kind = ClaimKind::False as u8;
        if status != CaseStatus::Opening {
            case.shown_slot.set(1010);
            case.leaves_slot.set(1010);
        }
        if status == CaseStatus::Resolved {
            case.resolved_slot.set(1400);
        }
        change(&mut case);
        let ended = status == CaseStatus::Resolved;
        let job = job(match ended {
            true => JobStatus::Slashed,
            false => JobStatus::Disputed,
        });
        Windows {
            cases: vec![CaseWindow {
                pubkey: key(1),
                case,
                job: Some(job),
                votes: Some(Box::new(Votes::zeroed())),
                closed: Vec::new(),
            }],
            ..Windows::default()
        }
    }

    fn seat(case: &mut Case, seat: usize, juror: u8, revealed: u64) {
        case.seats[seat].juror = [juror; 32];
        case.seats[seat].revealed_slot.set(revealed);
    }

    /// The first slot at which something is due, and the names of all that is.
    fn first(windows: &Windows) -> Option<(u64, Vec<&'static str>)> {
        (0..10_000).find_map(|now| {
            let due = RULES.due(now, windows);
            (!due.is_empty()).then(|| (now, due.iter().map(Crank::name).collect()))
        })
    }

    #[test]
    fn what_is_not_shown_is_decided_when_its_time_ends() {
        let windows = window(CaseStatus::Opening, |_| {});
        assert_eq!(first(&windows), Some((1050, vec!["resolve"])));
        let [Crank::Resolve { case, job, .. }] = &RULES.due(1050, &windows)[..] else {
            panic!("one verdict is due");
        };
        assert_eq!((*case, job.pubkey), (key(1), key(2)));
        // Shown at 1010, joined until 1110; what the second named is due by 1160.
        let joined = window(CaseStatus::Joining, |case| {
            (case.claim_count, case.false_count) = (2, 2);
            case.claims[1] = case.claims[0];
            case.claims[1].named = 1;
        });
        assert_eq!(first(&joined), Some((1160, vec!["resolve"])));
    }

    #[test]
    fn a_case_in_which_nobody_says_false_ends_with_the_joining() {
        let windows = window(CaseStatus::Joining, |case| {
            case.claims[0].kind = ClaimKind::Withheld as u8;
            case.false_count = 0;
        });
        assert_eq!(first(&windows), Some((1110, vec!["resolve"])));
    }

    #[test]
    fn a_jury_is_counted_when_all_have_revealed_or_their_time_is_over() {
        // Joined until 1110: seats are drawn from 1118 on, commits last from 1130 to 1230, reveals to 1280.
        let silent = window(CaseStatus::Jury, |case| {
            seat(case, 0, 21, 1235);
            seat(case, 1, 22, 0);
        });
        assert_eq!(first(&silent), Some((1280, vec!["resolve"])));
        let all = window(CaseStatus::Jury, |case| {
            seat(case, 0, 21, 1235);
            seat(case, 1, 22, 1236);
        });
        assert_eq!(first(&all), Some((1230, vec!["resolve"])));
        let empty = window(CaseStatus::Joining, |_| {});
        assert_eq!(first(&empty), Some((1230, vec!["resolve"])));
    }

    #[test]
    fn every_party_with_something_due_is_served_once() {
        let mut windows = window(CaseStatus::Resolved, |case| {
            case.verdict = Verdict::Guilty as u8;
            // Who said two things collects both at once.
            case.claim_count = 2;
            case.claims[1] = case.claims[0];
            seat(case, 0, 21, 1235);
            seat(case, 1, 21, 1235);
            seat(case, 2, 22, 0);
            case.seats[0].reward.set(5);
            case.seats[2].penalty.set(9);
        });
        windows.cases[0].closed = vec![key(22)];
        let served = |windows: &Windows| -> Vec<(Pubkey, bool)> {
            let due = RULES.due(1400, windows).into_iter();
            due.map(|crank| match crank {
                Crank::Collect {
                    authority, closed, ..
                } => (authority, closed),
                other => panic!("{other:?}"),
            })
            .collect()
        };
        assert_eq!(
            served(&windows),
            [(key(7), false), (key(21), false), (key(22), true)]
        );
        assert_eq!(
            first(&windows).map(|(slot, _)| slot),
            Some(0),
            "payments wait for nothing"
        );
    }

    #[test]
    fn what_is_collected_is_due_no_more_and_closes_after_its_retention() {
        let collected = |case: &mut Case| {
            case.claims[0].collected = 1;
            seat(case, 0, 21, 1235);
            case.seats[0].reward.set(5);
            case.seats[0].collected = 1;
            // Neither paid nor penalised.
            seat(case, 1, 22, 1235);
        };
        let windows = window(CaseStatus::Resolved, collected);
        assert_eq!(first(&windows), Some((1400 + 2250, vec!["close_case"])));
        let keep = Settler {
            close: false,
            ..RULES
        };
        assert!(keep.due(100_000, &windows).is_empty());
        // Without the votes, whose rent goes elsewhere, it can't be closed.
        let mut unread = windows;
        unread.cases[0].votes = None;
        assert_eq!(first(&unread), None);
        unread.cases[0].case.false_count = 0;
        assert_eq!(first(&unread), Some((1400 + 2250, vec!["close_case"])));
    }

    #[test]
    fn fines_that_stay_uncollected_lapse_after_a_second_delay() {
        let fined = |case: &mut Case| {
            case.claims[0].collected = 1;
            seat(case, 0, 21, 0);
            case.seats[0].penalty.set(5);
        };
        let windows = window(CaseStatus::Resolved, fined);
        let names = |now| -> Vec<&str> {
            let due = RULES.due(now, &windows);
            due.iter().map(Crank::name).collect()
        };
        assert_eq!(names(1400 + 4499), ["collect"]);
        assert_eq!(names(1400 + 4500), ["collect", "close_case"]);
        // What is due to somebody never lapses.
        let unpaid = window(CaseStatus::Resolved, |case| {
            fined(case);
            case.seats[0].penalty.set(0);
            case.seats[0].reward.set(5);
        });
        let due = RULES.due(1_000_000, &unpaid);
        assert_eq!(due.iter().map(Crank::name).collect::<Vec<_>>(), ["collect"]);
    }

    #[test]
    fn output_is_closed_a_while_after_its_job_ended_or_with_it() {
        let output = |job: Option<Job>| Windows {
            outputs: vec![OutputWindow {
                pubkey: key(3),
                output: Box::new(Output::zeroed()),
                job,
            }],
            ..Windows::default()
        };
        let mut ended = job(JobStatus::Slashed);
        ended.ended_slot.set(1200);
        assert_eq!(
            first(&output(Some(ended))),
            Some((3450, vec!["close_output"]))
        );
        assert_eq!(first(&output(Some(job(JobStatus::Disputed)))), None);
        assert_eq!(first(&output(None)), Some((0, vec!["close_output"])));
    }

    #[test]
    fn unknown_bytes_are_left_alone() {
        let windows = window(CaseStatus::Resolved, |case| {
            case.header.status = 99;
            case.jury_seats = 255;
            case.claim_count = 255;
        });
        assert!(RULES.due(100_000, &windows).is_empty());
        let mut strange = window(CaseStatus::Opening, |_| {});
        let mut unknown = job(JobStatus::Disputed);
        unknown.header.status = 99;
        strange.cases[0].job = Some(unknown);
        assert!(RULES.due(100_000, &strange).is_empty());
        strange.cases[0].job = None;
        assert!(RULES.due(100_000, &strange).is_empty());
    }
}
