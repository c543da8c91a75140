//! Where money went between two states.

use mythic_interface::pda;
use mythic_interface::state::{
    Dispute, DisputeStatus, Job, JobStatus, Key, Model, SpendGrant, Treasury, Validator,
};

use super::job::is_running;
use super::state::State;
use crate::keys::address;

/// What one transaction moved by a dispute.
struct Flow<'a> {
    old: Option<&'a Dispute>,
    new: &'a Dispute,
}

impl Flow<'_> {
    /// Whether it was resolved by the transaction.
    fn resolved(&self) -> bool {
        let done = |dispute: &Dispute| dispute.status() == Some(DisputeStatus::Resolved);
        done(self.new) && !self.old.is_some_and(done)
    }

    /// The challenger's amount beyond its bond, if it was collected now.
    fn challenger(&self) -> u64 {
        let collected = |dispute: &Dispute| dispute.challenger_collected != 0;
        match collected(self.new) && !self.old.is_some_and(collected) {
            true => self
                .new
                .challenger_amount
                .get()
                .saturating_sub(self.new.bond.get()),
            false => 0,
        }
    }

    /// Seats collected now: juror, reward, penalty.
    fn seats(&self) -> impl Iterator<Item = (&Key, u64, u64)> {
        let now = self.new.seats.iter().enumerate().filter(|(i, seat)| {
            let before = self.old.is_some_and(|old| old.seats[*i].collected != 0);
            seat.collected != 0 && !before
        });
        now.map(|(_, seat)| (&seat.juror, seat.reward.get(), seat.penalty.get()))
    }

    fn earned(&self, authority: &Key) -> u64 {
        let mut earned = 0;
        if self.resolved() && self.new.submitter == *authority {
            earned += self.new.submitter_amount.get();
        }
        if self.new.challenger == *authority {
            earned += self.challenger();
        }
        let seats = self.seats().filter(|seat| seat.0 == authority);
        earned + seats.map(|seat| seat.1).sum::<u64>()
    }

    fn slashed(&self, authority: &Key) -> u64 {
        let mut slashed = 0;
        if self.resolved() && self.new.submitter == *authority {
            slashed += self.new.slashed_amount.get();
        }
        let seats = self.seats().filter(|seat| seat.0 == authority);
        slashed + seats.map(|seat| seat.2).sum::<u64>()
    }

    /// Burned by verdict, by penalty, or because a juror has closed its account.
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
        verdict + seats.sum::<u64>()
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
    let disputes: Vec<Flow> = after
        .all::<Dispute>()
        .map(|(address, new)| Flow {
            old: before.get::<Dispute>(address),
            new,
        })
        .collect();
    earnings(before, after, &ended, &disputes)?;
    shares(before, after, &ended, &disputes)?;
    spendings(before, after)
}

/// Validators earn and lose what their jobs and disputes say, and take no more jobs than their stake covers.
fn earnings(before: &State, after: &State, ended: &Ended, disputes: &[Flow]) -> Result<(), String> {
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
        let from_disputes: u64 = disputes
            .iter()
            .map(|flow| flow.earned(&new.authority))
            .sum();
        ensure!(
            new.earned.get() - old.earned.get() == due + from_disputes,
            "a validator earned {}, its jobs paid {due} and disputes {from_disputes}",
            new.earned.get() - old.earned.get()
        );
        let slashed: u64 = disputes
            .iter()
            .map(|flow| flow.slashed(&new.authority))
            .sum();
        let fines = ended.fined.iter();
        let fined: u64 = fines
            .filter(|job| job.validator == new.authority)
            .map(|job| job.no_show_amount.get())
            .sum();
        let slashed = slashed + fined;
        ensure!(
            new.slashed.get() - old.slashed.get() == slashed,
            "a validator was slashed by {} and disputes say {slashed}",
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
fn shares(before: &State, after: &State, ended: &Ended, disputes: &[Flow]) -> Result<(), String> {
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
    let by_disputes: u64 = disputes.iter().map(|flow| flow.burned(exists)).sum();
    let by_silence: u64 = ended.fined.iter().map(|job| job.no_show_amount.get()).sum();
    let due = due + i128::from(by_disputes) + i128::from(by_silence);
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
