//! What is due. Pure: a slot and the accounts in, cranks out.

use std::collections::HashSet;

use mythic_interface::{
    state::{Job, JobStatus},
    window,
};
use solana_pubkey::Pubkey;

use crate::{
    chain::Candidates,
    config::SettlerConfig,
    court,
    crank::Crank,
    windows::{JobWindow, Windows},
};

/// Accounts that are looked at beside the index's in one turn.
pub(crate) const MAX_UNINDEXED: usize = 2_000;

/// Rules of the settler itself; the protocol's are in the jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settler {
    /// Lamports owed that are swept at once.
    pub sweep_min_lamports: u64,
    /// Slots without a write after which less is swept too.
    pub sweep_after_slots: u64,
    /// Lamports of epochs of a running lease that are paid at once.
    pub release_min_lamports: u64,
    /// Whether what is over is closed.
    pub close: bool,
}

impl Settler {
    /// The rules of a configuration.
    pub fn new(config: &SettlerConfig) -> Self {
        Self {
            sweep_min_lamports: config.sweep_min_lamports,
            sweep_after_slots: config.sweep_after_slots,
            release_min_lamports: config.release_min_lamports,
            close: config.close_jobs,
        }
    }

    /// What is due at finalized slot `now`: claims, expiries, sweeps, verdicts, payments, closes. The chain is ahead of
    /// `now`, so that what is due here is due there.
    pub fn due(&self, now: u64, windows: &Windows) -> Vec<Crank> {
        let mut due: Vec<Crank> = windows
            .jobs
            .iter()
            .filter_map(|job| self.job_due(now, job))
            .collect();
        due.extend(windows.validators.iter().filter_map(|validator| {
            let sweep = self.sweeps(now, validator.owed, validator.written_slot);
            sweep.then_some(Crank::Sweep(validator.authority))
        }));
        due.extend(court::due(now, windows, self.close));
        due
    }

    /// Whether what an account owes is moved: much at once, little when it rests.
    pub(crate) fn sweeps(&self, now: u64, owed: u64, written_slot: u64) -> bool {
        let quiet = now >= written_slot.saturating_add(self.sweep_after_slots);
        owed > 0 && (quiet || owed >= self.sweep_min_lamports)
    }

    /// Accounts that something is due for at `now` and that are not `known` to the index: it may have missed them for good.
    pub(crate) fn unindexed(
        &self,
        now: u64,
        windows: &Windows,
        known: &HashSet<Pubkey>,
    ) -> Candidates {
        let mut out = Candidates::default();
        let due = self.due(now, windows).into_iter();
        for crank in due
            .filter(|crank| !known.contains(&crank.account()))
            .take(MAX_UNINDEXED)
        {
            match &crank {
                Crank::Claim(_) | Crank::Expire(_) | Crank::Close(_) => {
                    out.jobs.push(crank.account());
                }
                Crank::Sweep(authority) => out.validators.push((*authority, u64::MAX)),
                Crank::Resolve { .. } | Crank::Collect { .. } | Crank::CloseCase(_) => {
                    out.cases.push(crank.account());
                }
                Crank::CloseOutput(_) => out.outputs.push(crank.account()),
                // Looked for by itself.
                Crank::Market(_) => {}
            }
        }
        out.cases.dedup();
        out
    }

    fn job_due(&self, now: u64, window: &JobWindow) -> Option<Crank> {
        let job = &window.job;
        match job.status()? {
            JobStatus::Open | JobStatus::Accepted => {
                (!window::open(now, job.submit_end())).then(|| Crank::Expire(window.clone()))
            }
            JobStatus::Submitted => {
                let end = job.window_end()?;
                (!window::open(now, end)).then(|| Crank::Claim(window.clone()))
            }
            // Its case ends it.
            JobStatus::Disputed => None,
            JobStatus::Settled | JobStatus::Refunded | JobStatus::Slashed => {
                let closable = !window::open(now, retention_end(job));
                (self.close && closable).then(|| Crank::Close(window.clone()))
            }
        }
    }
}

/// Slot from which an ended job can be closed.
pub(crate) fn retention_end(job: &Job) -> u64 {
    window::retention_end(job.ended_slot.get(), &job.terms.nonce, &job.terms.rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::ValidatorWindow;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const RULES: Settler = Settler {
        sweep_min_lamports: 1000,
        sweep_after_slots: 32,
        release_min_lamports: 1000,
        close: true,
    };

    #[test]
    fn what_is_due_and_not_in_the_index_is_looked_at_too() {
        let windows = job(JobStatus::Accepted, |job| job.deadline_slot.set(100));
        let address = windows.jobs[0].pubkey;
        let late = 1_000_000;
        let found = RULES.unindexed(late, &windows, &HashSet::new());
        assert_eq!(found.jobs, vec![address]);
        let known = HashSet::from([address]);
        assert_eq!(
            RULES.unindexed(late, &windows, &known),
            Candidates::default()
        );
        assert_eq!(
            RULES.unindexed(1, &windows, &HashSet::new()),
            Candidates::default()
        );
    }

    fn job(status: JobStatus, change: impl FnOnce(&mut Job)) -> Windows {
        let mut job = Job::zeroed();
        job.header.status = status as u8;
        job.terms.rules = Params::dev().rules;
        job.terms.nonce = window::nonce(500, [0; 8]);
        job.deadline_slot.set(1000);
        change(&mut job);
        Windows {
            jobs: vec![JobWindow {
                pubkey: Pubkey::new_from_array([1; 32]),
                job,
            }],
            ..Windows::default()
        }
    }

    /// The first slot at which a crank is due, and its name.
    fn first(windows: &Windows) -> Option<(u64, &'static str)> {
        (0..10_000).find_map(|now| Some((now, RULES.due(now, windows).first()?.name())))
    }

    #[test]
    fn a_result_is_claimed_when_its_window_ends() {
        let submitted = job(JobStatus::Submitted, |job| job.submitted_slot.set(700));
        assert_eq!(first(&submitted), Some((800, "claim")));
    }

    #[test]
    fn a_job_with_a_case_waits_for_it() {
        let disputed = job(JobStatus::Disputed, |job| {
            job.submitted_slot.set(700);
            job.case_slot.set(730);
        });
        assert_eq!(first(&disputed), None);
    }

    #[test]
    fn a_job_without_a_result_expires_at_its_deadline_or_after_its_cancel() {
        assert_eq!(first(&job(JobStatus::Open, |_| {})), Some((1000, "expire")));
        assert_eq!(
            first(&job(JobStatus::Accepted, |_| {})),
            Some((1000, "expire"))
        );
        assert_eq!(
            first(&job(JobStatus::Accepted, |job| job.cancel_slot.set(100))),
            Some((150, "expire"))
        );
    }

    #[test]
    fn an_ended_job_is_closed_after_its_retention_where_that_is_wanted() {
        let ended = job(JobStatus::Settled, |job| job.ended_slot.set(600));
        assert_eq!(first(&ended), Some((2850, "close")));
        let keep = Settler {
            close: false,
            ..RULES
        };
        assert!(keep.due(100_000, &ended).is_empty());
        let unknown = job(JobStatus::Settled, |job| job.header.status = 99);
        assert!(RULES.due(100_000, &unknown).is_empty());
    }

    #[test]
    fn a_validator_is_swept_when_it_owes_much_or_rests() {
        let owes = |owed, written_slot| Windows {
            validators: vec![ValidatorWindow {
                authority: Pubkey::new_from_array([2; 32]),
                owed,
                written_slot,
            }],
            ..Windows::default()
        };
        assert_eq!(RULES.due(100, &owes(1000, 100)).len(), 1);
        assert_eq!(RULES.due(131, &owes(999, 100)).len(), 0);
        assert_eq!(RULES.due(132, &owes(1, 100)).len(), 1);
        assert_eq!(RULES.due(1000, &owes(0, 100)).len(), 0);
    }
}
