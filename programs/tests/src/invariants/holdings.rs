//! What accounts say of each other.

use std::collections::BTreeMap;

use mythic_interface::pda;
use mythic_interface::state::{Dispute, DisputeStatus, Key, NO_KEY, SpendGrant, Validator, Vault};

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
    for (_, dispute) in state.all::<Dispute>() {
        if dispute.status() == Some(DisputeStatus::Resolved) {
            continue;
        }
        for seat in dispute.jury().iter().filter(|seat| seat.is_taken()) {
            let end = dispute.juror_obliged_until();
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
    let mut disputed: BTreeMap<Key, u32> = BTreeMap::new();
    let mut at_stake: BTreeMap<Key, u32> = BTreeMap::new();
    for (_, dispute) in state.all::<Dispute>() {
        if dispute.status() != Some(DisputeStatus::Resolved) {
            *disputed.entry(dispute.job).or_default() += 1;
            *at_stake.entry(dispute.submitter).or_default() += 1;
        }
        if dispute.challenger_collected == 0 {
            *at_stake.entry(dispute.challenger).or_default() += 1;
        }
    }
    for (address, job) in state.jobs() {
        let expected = disputed.remove(address).unwrap_or_default();
        ensure!(
            expected == u32::from(job.open_disputes.get()),
            "a job says {:?} open disputes, there are {expected}",
            job.open_disputes
        );
    }
    for (_, validator) in state.all::<Validator>() {
        let expected = at_stake.remove(&validator.authority).unwrap_or_default();
        ensure!(
            expected == validator.open_disputes.get(),
            "a validator says {:?} open disputes, there are {expected}",
            validator.open_disputes
        );
    }
    ensure!(
        disputed.is_empty() && at_stake.is_empty(),
        "a dispute refers to a closed job or validator"
    );
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
