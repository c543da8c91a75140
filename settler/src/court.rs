//! What is due of disputes and of the output posted under them. Pure.

use mythic_interface::{
    state::{Dispute, DisputeStatus, Job, JobStatus, NO_KEY},
    window,
};
use solana_pubkey::Pubkey;

use crate::{
    crank::Crank,
    windows::{DisputeWindow, JobWindow, Windows},
};

/// What disputes and outputs need at finalized slot `now`: verdicts before payments, payments before closes. `close`: also
/// what is over.
pub(crate) fn due(now: u64, windows: &Windows, close: bool) -> Vec<Crank> {
    let mut due: Vec<Crank> = windows
        .disputes
        .iter()
        .filter_map(|window| resolve(now, window))
        .collect();
    due.extend(windows.disputes.iter().flat_map(collect));
    if close {
        let disputes = windows.disputes.iter().filter(|window| {
            closable_from(&window.dispute).is_some_and(|slot| !window::open(now, slot))
        });
        due.extend(disputes.cloned().map(Crank::CloseDispute));
        let outputs = windows.outputs.iter().filter(|window| {
            output_closable_from(window.job.as_ref()).is_some_and(|slot| !window::open(now, slot))
        });
        due.extend(outputs.cloned().map(Crank::CloseOutput));
    }
    due
}

/// A verdict is due when the dispute's own time has come, or at once where the job was decided otherwise.
fn resolve(now: u64, window: &DisputeWindow) -> Option<Crank> {
    let job = window.job?;
    let slot = window.dispute.due_slot()?;
    let overtaken = job.status()?.is_terminal();
    (overtaken || !window::open(now, slot)).then(|| Crank::Resolve {
        dispute: window.pubkey,
        job: JobWindow {
            pubkey: Pubkey::new_from_array(window.dispute.job),
            job,
        },
    })
}

/// One crank for each party of a resolved dispute with something to receive or to lose.
fn collect(window: &DisputeWindow) -> Vec<Crank> {
    let dispute = &window.dispute;
    if dispute.status() != Some(DisputeStatus::Resolved) {
        return Vec::new();
    }
    let challenger = (dispute.challenger_collected == 0).then_some(dispute.challenger);
    let jurors = dispute.jury().iter().filter(|seat| seat.is_due());
    let mut parties: Vec<_> = challenger
        .into_iter()
        .chain(jurors.map(|seat| seat.juror))
        .filter(|party| *party != NO_KEY)
        .collect();
    parties.sort_unstable();
    parties.dedup();
    parties
        .into_iter()
        .map(|party| Crank::Collect {
            dispute: window.pubkey,
            authority: Pubkey::new_from_array(party),
        })
        .collect()
}

/// Slot from which a dispute can be closed; `None` while it is not resolved or owes something.
pub(crate) fn closable_from(dispute: &Dispute) -> Option<u64> {
    let over = dispute.status() == Some(DisputeStatus::Resolved) && dispute.all_collected();
    over.then(|| dispute.retention_end())
}

/// Slot from which posted output of a job can be closed: at once when the job is gone; `None` while it runs.
pub(crate) fn output_closable_from(job: Option<&Job>) -> Option<u64> {
    let Some(job) = job else { return Some(0) };
    let over = job.status().is_some_and(JobStatus::is_terminal) && job.open_disputes.get() == 0;
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
        state::{Output, Verdict},
    };

    const RULES: Settler = Settler {
        sweep_min_lamports: 1000,
        sweep_after_slots: 32,
        close: true,
    };
    const CHALLENGER: [u8; 32] = [7; 32];

    fn key(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    fn job(status: JobStatus) -> Job {
        let mut job = Job::zeroed();
        job.header.status = status as u8;
        job.terms.rules = Params::dev().rules;
        job.open_disputes.set(1);
        job
    }

    /// A dispute of an exact model with three seats, challenged in slot 1000.
    fn window(status: DisputeStatus, change: impl FnOnce(&mut Dispute)) -> Windows {
        let mut dispute = Box::new(Dispute::zeroed());
        dispute.header.status = status as u8;
        dispute.rules = Params::dev().rules;
        dispute.challenger = CHALLENGER;
        dispute.job = [2; 32];
        dispute.challenged_slot.set(1000);
        dispute.jury_seats = 3;
        dispute.commit_slots.set(100);
        dispute.exact = 1;
        if status != DisputeStatus::Openings {
            dispute.completed_slot.set(1010);
        }
        if status == DisputeStatus::Resolved {
            dispute.resolved_slot.set(1200);
        }
        change(&mut dispute);
        Windows {
            disputes: vec![DisputeWindow {
                pubkey: key(1),
                dispute,
                job: Some(job(JobStatus::Disputed)),
            }],
            ..Windows::default()
        }
    }

    fn seat(dispute: &mut Dispute, seat: usize, juror: u8, revealed: u64) {
        dispute.seats[seat].juror = [juror; 32];
        dispute.seats[seat].revealed_slot.set(revealed);
    }

    /// The first slot at which something is due, and the names of all that is.
    fn first(windows: &Windows) -> Option<(u64, Vec<&'static str>)> {
        (0..10_000).find_map(|now| {
            let due = RULES.due(now, windows);
            (!due.is_empty()).then(|| (now, due.iter().map(Crank::name).collect()))
        })
    }

    #[test]
    fn an_unanswered_challenge_is_resolved_when_the_time_for_openings_ends() {
        let windows = window(DisputeStatus::Openings, |_| {});
        assert_eq!(first(&windows), Some((1050, vec!["resolve"])));
        let [Crank::Resolve { dispute, job }] = &RULES.due(1050, &windows)[..] else {
            panic!("one verdict is due");
        };
        assert_eq!((*dispute, job.pubkey), (key(1), key(2)));
    }

    #[test]
    fn a_jury_is_counted_when_all_have_revealed_or_their_time_is_over() {
        // Completed at 1010: seats are drawn from 1018 on, commits last from 1030 to 1130, reveals to 1180.
        let silent = window(DisputeStatus::Jury, |dispute| {
            seat(dispute, 0, 21, 1135);
            seat(dispute, 1, 22, 0);
        });
        assert_eq!(first(&silent), Some((1180, vec!["resolve"])));
        let all = window(DisputeStatus::Jury, |dispute| {
            seat(dispute, 0, 21, 1135);
            seat(dispute, 1, 22, 1136);
        });
        assert_eq!(first(&all), Some((1130, vec!["resolve"])));
        let empty = window(DisputeStatus::Jury, |_| {});
        assert_eq!(first(&empty), Some((1130, vec!["resolve"])));
    }

    #[test]
    fn what_no_jury_can_judge_is_resolved_as_soon_as_all_is_shown() {
        let windows = window(DisputeStatus::Jury, |dispute| dispute.exact = 0);
        assert_eq!(first(&windows), Some((1010, vec!["resolve"])));
    }

    #[test]
    fn a_dispute_of_a_decided_job_is_resolved_at_once() {
        for status in [DisputeStatus::Openings, DisputeStatus::Jury] {
            let mut windows = window(status, |_| {});
            windows.disputes[0].job = Some(job(JobStatus::Slashed));
            assert_eq!(first(&windows), Some((0, vec!["resolve"])));
        }
    }

    #[test]
    fn every_party_with_something_due_is_served_once() {
        let windows = window(DisputeStatus::Resolved, |dispute| {
            dispute.verdict = Verdict::Guilty as u8;
            seat(dispute, 0, 21, 1135);
            seat(dispute, 1, 21, 1135);
            seat(dispute, 2, 22, 0);
            for index in [0, 1] {
                dispute.seats[index].reward.set(5);
            }
            dispute.seats[2].penalty.set(9);
        });
        let due = RULES.due(1200, &windows);
        let served: Vec<Pubkey> = due
            .iter()
            .map(|crank| match crank {
                Crank::Collect { dispute, authority } if *dispute == key(1) => *authority,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(served, [key(7), key(21), key(22)]);
        assert_eq!(
            first(&windows).map(|(slot, _)| slot),
            Some(0),
            "payments wait for nothing"
        );
    }

    #[test]
    fn what_is_collected_is_due_no_more_and_closes_after_its_retention() {
        let collected = |dispute: &mut Dispute| {
            dispute.challenger_collected = 1;
            seat(dispute, 0, 21, 1135);
            dispute.seats[0].reward.set(5);
            dispute.seats[0].collected = 1;
            // Neither paid nor penalised.
            seat(dispute, 1, 22, 1135);
        };
        let windows = window(DisputeStatus::Resolved, collected);
        assert_eq!(first(&windows), Some((1200 + 2250, vec!["close_dispute"])));
        let keep = Settler {
            close: false,
            ..RULES
        };
        assert!(keep.due(100_000, &windows).is_empty());
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
        let ended = |open: u16| {
            let mut job = job(JobStatus::Slashed);
            job.ended_slot.set(1200);
            job.open_disputes.set(open);
            Some(job)
        };
        assert_eq!(first(&output(ended(1))), None);
        assert_eq!(first(&output(ended(0))), Some((3450, vec!["close_output"])));
        assert_eq!(first(&output(Some(job(JobStatus::Disputed)))), None);
        assert_eq!(first(&output(None)), Some((0, vec!["close_output"])));
    }

    #[test]
    fn unknown_bytes_are_left_alone() {
        let windows = window(DisputeStatus::Resolved, |dispute| {
            dispute.header.status = 99;
            dispute.jury_seats = 255;
        });
        assert!(RULES.due(100_000, &windows).is_empty());
        let mut strange = window(DisputeStatus::Openings, |_| {});
        let mut unknown = job(JobStatus::Disputed);
        unknown.header.status = 99;
        strange.disputes[0].job = Some(unknown);
        assert!(RULES.due(100_000, &strange).is_empty());
        strange.disputes[0].job = None;
        assert!(RULES.due(100_000, &strange).is_empty());
    }
}
