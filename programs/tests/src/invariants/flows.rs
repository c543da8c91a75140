//! Where money went between two states.

use mythic_interface::pda;
use mythic_interface::state::{
    Case, CaseStatus, Claim, Job, JobStatus, Key, Model, SpendGrant, Treasury, Validator,
};

use super::job::is_running;
use super::state::State;
use crate::keys::address;

/// What one transaction moved by a case.
struct Flow<'a> {
    old: Option<&'a Case>,
    new: &'a Case,
}

impl Flow<'_> {
    /// Whether it was resolved by the transaction.
    fn resolved(&self) -> bool {
        let done = |case: &Case| case.status() == Some(CaseStatus::Resolved);
        done(self.new) && !self.old.is_some_and(done)
    }

    /// Claims collected now.
    fn claims(&self) -> impl Iterator<Item = &Claim> {
        let now = self.new.claims().iter().enumerate().filter(|(i, claim)| {
            let before = self.old.is_some_and(|old| old.claims[*i].collected != 0);
            claim.collected != 0 && !before
        });
        now.map(|(_, claim)| claim)
    }

    /// Seats collected now: juror, reward, penalty.
    fn seats(&self) -> impl Iterator<Item = (&Key, u64, u64)> {
        let now = self.new.seats.iter().enumerate().filter(|(i, seat)| {
            let before = self.old.is_some_and(|old| old.seats[*i].collected != 0);
            seat.collected != 0 && !before
        });
        now.map(|(_, seat)| (&seat.juror, seat.reward.get(), seat.penalty.get()))
    }

    /// Who collected now what it got for a fault.
    fn prover(&self) -> Option<&Key> {
        let before = self.old.is_some_and(|old| old.prover_collected != 0);
        (self.new.prover_collected != 0 && !before).then_some(&self.new.prover)
    }

    fn earned(&self, authority: &Key) -> u64 {
        let mut earned = 0;
        if self.resolved() && self.new.submitter == *authority {
            earned += self.new.submitter_amount.get();
        }
        if self.prover() == Some(authority) {
            earned += self.new.prover_amount.get();
        }
        let claims = self.claims().filter(|claim| claim.claimant == *authority);
        for claim in claims {
            earned += claim.amount.get().saturating_sub(claim.bond());
        }
        let seats = self.seats().filter(|seat| seat.0 == authority);
        earned + seats.map(|seat| seat.1).sum::<u64>()
    }

    fn returned(&self, authority: &Key) -> u64 {
        let claims = self.claims().filter(|claim| claim.claimant == *authority);
        claims
            .map(|claim| claim.amount.get().min(claim.bond()))
            .sum()
    }

    fn slashed(&self, authority: &Key) -> u64 {
        let mut slashed = 0;
        if self.resolved() && self.new.submitter == *authority {
            slashed += self.new.slashed_amount.get();
        }
        let seats = self.seats().filter(|seat| seat.0 == authority);
        slashed + seats.map(|seat| seat.2).sum::<u64>()
    }

    /// Burned by verdict, by penalty, or because a juror or a prover has closed its account.
    fn burned(&self, exists: impl Fn(&Key) -> bool) -> u64 {
        let verdict = match self.resolved() {
            true => self.new.burned_amount.get(),
            false => 0,
        };
        let seats = self
            .seats()
            .map(|(juror, reward, penalty)| match exists(juror) {
                true => penalty,
                false => reward,
            });
        let prover = match self.prover() {
            Some(prover) if !exists(prover) => self.new.prover_amount.get(),
            _ => 0,
        };
        verdict + seats.sum::<u64>() + prover
    }
}

/// Jobs that ended.
struct Ended<'a> {
    settled: Vec<&'a Job>,
    /// Refunded; some of them at the cost of who had taken them.
    fined: Vec<&'a Job>,
}

/// Money goes where the protocol says, and only there.
pub fn flows(before: &State, after: &State) -> Result<(), String> {
    let settled: Vec<&Job> = after
        .jobs()
        .filter(|(address, job)| {
            let ran = before.get::<Job>(address).is_none_or(is_running);
            ran && job.status() == Some(JobStatus::Settled)
        })
        .map(|(_, job)| job)
        .collect();
    let fined: Vec<&Job> = after
        .jobs()
        .filter(|(address, job)| {
            let ran = before.get::<Job>(address).is_none_or(is_running);
            ran && job.status() == Some(JobStatus::Refunded)
        })
        .map(|(_, job)| job)
        .collect();
    let ended = Ended { settled, fined };
    let cases: Vec<Flow> = after
        .all::<Case>()
        .map(|(address, new)| Flow {
            old: before.get::<Case>(address),
            new,
        })
        .collect();
    earnings(before, after, &ended, &cases)?;
    shares(before, after, &ended, &cases)?;
    spendings(before, after)
}

/// Validators earn and lose what their jobs and cases say, and take no more jobs than their stake covers.
fn earnings(before: &State, after: &State, ended: &Ended, cases: &[Flow]) -> Result<(), String> {
    let settled = &ended.settled;
    for (address, new) in after.all::<Validator>() {
        let Some(old) = before.get::<Validator>(address) else {
            continue;
        };
        let due: u64 = settled
            .iter()
            .filter(|job| job.validator == new.authority)
            .map(|job| job.validator_amount.get())
            .sum();
        let from_cases: u64 = cases.iter().map(|flow| flow.earned(&new.authority)).sum();
        ensure!(
            new.earned.get() - old.earned.get() == due + from_cases,
            "a validator earned {}, its jobs paid {due} and cases {from_cases}",
            new.earned.get() - old.earned.get()
        );
        let returned: u64 = cases.iter().map(|flow| flow.returned(&new.authority)).sum();
        ensure!(
            new.returned.get() - old.returned.get() == returned,
            "a validator got {} of its bonds back, cases say {returned}",
            new.returned.get() - old.returned.get()
        );
        let slashed: u64 = cases.iter().map(|flow| flow.slashed(&new.authority)).sum();
        let fines = ended.fined.iter();
        let fined: u64 = fines
            .filter(|job| job.validator == new.authority)
            .map(|job| job.no_show_amount.get())
            .sum();
        let slashed = slashed + fined;
        ensure!(
            new.slashed.get() - old.slashed.get() == slashed,
            "a validator was slashed by {} and cases say {slashed}",
            new.slashed.get() - old.slashed.get()
        );
        if new.open_jobs > old.open_jobs {
            // Whatever rules the job carries, backing it needs stake per job.
            let rules = after
                .jobs()
                .filter(|(at, job)| {
                    job.validator == new.authority && before.get::<Job>(at) != Some(job)
                })
                .map(|(_, job)| job.terms.rules)
                .next();
            let capacity = rules.map_or(0, |rules| new.capacity(after.slot, &rules));
            let limit = rules.map_or(0, |rules| new.exposure_limit(after.slot, &rules));
            ensure!(
                new.exposure.get() <= limit,
                "a validator took jobs of {:?} lamports with stake for {limit}",
                new.exposure
            );
            ensure!(
                u64::from(new.open_jobs.get()) <= capacity,
                "a validator took job {:?} with stake for {capacity}",
                new.open_jobs
            );
        }
    }
    Ok(())
}

/// The foundation and the incinerator get their shares.
fn shares(before: &State, after: &State, ended: &Ended, cases: &[Flow]) -> Result<(), String> {
    let settled = &ended.settled;
    let foundation = |state: &State| {
        state.sum(|v: &Validator| v.owed_foundation.get())
            + state.sum(|t: &Treasury| t.received.get())
    };
    let due: i128 = settled
        .iter()
        .map(|job| i128::from(job.foundation_amount.get()))
        .sum();
    ensure!(
        foundation(after) - foundation(before) == due,
        "the foundation's share is not {due}"
    );
    let burned = |state: &State| {
        state.sum(|v: &Validator| v.owed_burn.get()) + i128::from(state.incinerator)
            - state.sum(|m: &Model| m.fee_burned.get())
    };
    let due: i128 = settled
        .iter()
        .map(|job| i128::from(job.burned_amount.get()))
        .sum();
    let exists = |authority: &Key| {
        let at = address(&pda::validator(authority));
        before.accounts.contains_key(&at)
    };
    let by_cases: u64 = cases.iter().map(|flow| flow.burned(exists)).sum();
    let by_silence: u64 = ended.fined.iter().map(|job| job.no_show_amount.get()).sum();
    let due = due + i128::from(by_cases) + i128::from(by_silence);
    ensure!(
        burned(after) - burned(before) == due,
        "what is burned is not {due}"
    );
    Ok(())
}

/// Grants count what their jobs cost.
fn spendings(before: &State, after: &State) -> Result<(), String> {
    for (address, new) in after.all::<SpendGrant>() {
        let Some(old) = before.get::<SpendGrant>(address) else {
            continue;
        };
        let cost = |state: &State| -> i128 {
            state
                .jobs()
                .filter(|(_, job)| job.grant == *address)
                .map(|(_, job)| match is_running(job) {
                    true => i128::from(job.ceiling.get()),
                    false => i128::from(job.fee.get()),
                })
                .sum()
        };
        let closed: i128 = before
            .jobs()
            .filter(|(at, job)| job.grant == *address && !after.accounts.contains_key(*at))
            .map(|(_, job)| i128::from(job.fee.get()))
            .sum();
        let spent = i128::from(new.lifetime_spent.get()) - i128::from(old.lifetime_spent.get());
        ensure!(
            spent == cost(after) + closed - cost(before),
            "a grant counted {spent} and its jobs cost another amount"
        );
    }
    Ok(())
}
