//! What accounts say of each other.

use std::collections::BTreeMap;

use mythic_interface::pda;
use mythic_interface::state::{
    Case, CaseStatus, JobStatus, Key, NO_KEY, SpendGrant, Validator, Vault,
};

use super::job::is_running;
use super::state::State;
use crate::keys::address;

/// Stake stays for as long as what was accepted or judged can ask for it.
pub fn obligations(state: &State) -> Result<(), String> {
    let until = |authority: &Key| {
        state
            .get::<Validator>(&address(&pda::validator(authority)))
            .map(|validator| validator.obliged_until.get())
    };
    for (_, job) in state.jobs().filter(|(_, job)| is_running(job)) {
        if job.validator == NO_KEY {
            continue;
        }
        let window = u64::from(job.terms.rules.window_slots.get());
        let end = job.deadline_slot.get() + window;
        ensure!(
            until(&job.validator).is_some_and(|until| until >= end),
            "the stake behind a job is free before {end}"
        );
    }
    for (_, case) in state.all::<Case>() {
        if case.status() == Some(CaseStatus::Resolved) {
            continue;
        }
        for seat in case.jury().iter().filter(|seat| seat.is_taken()) {
            let end = case.juror_obliged_until();
            // A juror may be closed once it has lost everything.
            ensure!(
                until(&seat.juror).is_none_or(|until| until >= end),
                "the stake behind a seat is free before {end}"
            );
        }
    }
    Ok(())
}

/// What vanishes held its rent and nothing else, and no jail is left by closing.
pub fn closings(before: &State, after: &State) -> Result<(), String> {
    for (address, validator) in before.all::<Validator>() {
        if after.accounts.contains_key(address) {
            continue;
        }
        let held = [
            validator.claimable,
            validator.owed_foundation,
            validator.owed_burn,
        ];
        let held: u64 = held.iter().map(|amount| amount.get()).sum();
        ensure!(
            validator.whole_stake() + held == 0,
            "a closed validator held money"
        );
        ensure!(
            validator.jailed_until.get() <= after.slot,
            "a jail was left by closing"
        );
    }
    Ok(())
}

/// Vaults, grants and validators count exactly the jobs that refer to them, and exist while any does.
pub fn holdings(state: &State) -> Result<(), String> {
    let mut held: BTreeMap<Key, (u64, u32)> = BTreeMap::new();
    let mut granted: BTreeMap<Key, u32> = BTreeMap::new();
    let mut taken: BTreeMap<Key, (u32, u64)> = BTreeMap::new();
    for (_, job) in state.jobs().filter(|(_, job)| is_running(job)) {
        let vault = held
            .entry(address(&pda::vault(&job.terms.owner)))
            .or_default();
        vault.0 += job.escrow.get();
        vault.1 += 1;
        if job.grant != NO_KEY {
            *granted.entry(job.grant).or_default() += 1;
        }
        if job.validator != NO_KEY {
            let taken = taken
                .entry(address(&pda::validator(&job.validator)))
                .or_default();
            taken.0 += 1;
            taken.1 += job.ceiling.get();
        }
    }
    for (address, vault) in state.all::<Vault>() {
        let expected = held.remove(address).unwrap_or_default();
        ensure!(
            expected == (vault.held.get(), vault.open_jobs.get()),
            "a vault says {:?} lamports in {:?} jobs, its jobs say {expected:?}",
            vault.held,
            vault.open_jobs
        );
    }
    for (address, grant) in state.all::<SpendGrant>() {
        let expected = granted.remove(address).unwrap_or_default();
        ensure!(
            expected == grant.open_jobs.get(),
            "a grant says {:?} open jobs, there are {expected}",
            grant.open_jobs
        );
    }
    cases(state)?;
    for (address, validator) in state.all::<Validator>() {
        let expected = taken.remove(address).unwrap_or_default();
        ensure!(
            expected == (validator.open_jobs.get(), validator.exposure.get()),
            "a validator says {:?} open jobs of {:?} lamports, there are {expected:?}",
            validator.open_jobs,
            validator.exposure
        );
    }
    ensure!(
        held.is_empty() && granted.is_empty() && taken.is_empty(),
        "a job refers to a closed vault, grant or validator"
    );
    Ok(())
}

/// Disputed jobs and open cases belong to each other, and validators count the cases in which they have something open.
fn cases(state: &State) -> Result<(), String> {
    let mut open: BTreeMap<Key, u32> = BTreeMap::new();
    for (at, case) in state.all::<Case>() {
        let resolved = case.status() == Some(CaseStatus::Resolved);
        ensure!(
            *at == address(&pda::case(&case.job)),
            "a case lies where nobody looks for it"
        );
        if !resolved {
            let job = state.jobs().find(|(job, _)| **job == case.job);
            ensure!(
                job.is_some_and(|(_, job)| job.status() == Some(JobStatus::Disputed)),
                "an open case of a job that is not disputed"
            );
            *open.entry(case.submitter).or_default() += 1;
        }
        for claim in case.claims().iter().filter(|claim| claim.collected == 0) {
            *open.entry(claim.claimant).or_default() += 1;
        }
    }
    for (at, job) in state.jobs() {
        if job.status() == Some(JobStatus::Disputed) {
            let case = state.get::<Case>(&address(&pda::case(at)));
            ensure!(
                case.is_some_and(|case| case.status() != Some(CaseStatus::Resolved)),
                "a disputed job without an open case"
            );
        }
    }
    for (_, validator) in state.all::<Validator>() {
        let expected = open.remove(&validator.authority).unwrap_or_default();
        ensure!(
            expected == validator.open_cases.get(),
            "a validator says {:?} open cases, there are {expected}",
            validator.open_cases
        );
    }
    ensure!(open.is_empty(), "a case refers to a closed validator");
    Ok(())
}
