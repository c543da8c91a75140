//! A job's end: claim, decline, cancel, expiry, closing.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::state::{EndReason, Job, JobStatus, NO_KEY, SpendGrant, Validator, Vault};
use mythic_interface::{money, window};
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, lowered};
use crate::{grant, stake, validator};

/// How a job ends.
pub struct End {
    /// The final status.
    pub status: JobStatus,
    /// Why.
    pub reason: EndReason,
    /// What of the ceiling is paid.
    pub fee: u64,
    /// When.
    pub slot: u64,
}

/// Records a job's end in job, vault and grant; the refund, for the vault, is returned. The caller moves
/// the lamports.
fn finish(
    job: &mut Job,
    vault: &mut AccountView,
    grant: &mut AccountView,
    end: &End,
) -> Result<u64, MythicError> {
    let ceiling = job.escrow.get();
    let refund = money::sub(ceiling, end.fee)?;
    job.header.status = end.status as u8;
    job.end_reason = end.reason as u8;
    job.ended_slot.set(end.slot);
    job.escrow.set(0);
    job.fee.set(end.fee);
    job.refunded_amount.set(refund);

    let mut vault = load_mut::<Vault>(vault)?;
    if vault.owner != job.terms.owner {
        return Err(MythicError::WrongVault);
    }
    let held = money::sub(vault.held.get(), ceiling)?;
    vault.held.set(held);
    let balance = money::add(vault.balance.get(), refund)?;
    vault.balance.set(balance);
    let spent = money::add(vault.spent.get(), end.fee)?;
    vault.spent.set(spent);
    let open = lowered(vault.open_jobs.get())?;
    vault.open_jobs.set(open);
    vault.updated_slot.set(end.slot);

    if job.grant == NO_KEY {
        if !is_absent(grant) {
            return Err(MythicError::UnexpectedGrant);
        }
        return Ok(refund);
    }
    if *key(grant) != job.grant {
        return Err(match is_absent(grant) {
            true => MythicError::MissingGrant,
            false => MythicError::WrongGrant,
        });
    }
    let mut grant = load_mut::<SpendGrant>(grant)?;
    grant::release(&mut grant, refund, job.grant_window_start.get(), end.slot)?;
    Ok(refund)
}

/// One open job less.
fn lighten(job: &Job, validator: &mut Validator) -> Result<(), MythicError> {
    let open = lowered(validator.open_jobs.get())?;
    validator.open_jobs.set(open);
    let exposure = money::sub(validator.exposure.get(), job.ceiling.get())?;
    validator.exposure.set(exposure);
    Ok(())
}

/// The job's validator, one open job less.
fn free<'a>(
    job: &Job,
    validator: &'a mut AccountView,
) -> Result<pinocchio::account::RefMut<'a, Validator>, MythicError> {
    let mut validator = load_mut::<Validator>(validator)?;
    if validator.authority != job.validator {
        return Err(MythicError::WrongValidator);
    }
    lighten(job, &mut validator)?;
    Ok(validator)
}

/// Counts a job that its validator let down; who chose it itself loses stake.
fn let_down(job: &mut Job, validator: &mut Validator, slot: u64) -> Result<(), MythicError> {
    let missed = counted(validator.jobs_missed.get())?;
    validator.jobs_missed.set(missed);
    if job.open == 0 {
        return Ok(());
    }
    let lost = stake::slash(validator, job.terms.rules.no_show.get(), slot)?;
    stake::owe_burn(validator, lost)?;
    job.no_show_amount.set(lost);
    validator.updated_slot.set(slot);
    Ok(())
}

fn counted(counter: u64) -> Result<u64, MythicError> {
    counter.checked_add(1).ok_or(MythicError::CounterOverflow)
}

/// Pays a job's fee by its rules and ends it; `job.refunded_amount` is for the vault.
pub fn pay(
    job: &mut Job,
    validator: &mut Validator,
    vault: &mut AccountView,
    grant: &mut AccountView,
    end: &End,
) -> Result<(), MythicError> {
    let split = money::split(end.fee, &job.terms.rules);
    job.validator_amount.set(split.earner);
    job.foundation_amount.set(split.foundation);
    job.burned_amount.set(split.burned);
    stake::earn(validator, split.earner)?;
    stake::owe_burn(validator, split.burned)?;
    stake::owe_foundation(validator, split.foundation)?;
    lighten(job, validator)?;
    let settled = counted(validator.jobs_settled.get())?;
    validator.jobs_settled.set(settled);
    finish(job, vault, grant, end)?;
    Ok(())
}

/// Ends a job whose result was found false; `job.refunded_amount`, all of it, is for the vault.
pub fn condemn(
    job: &mut Job,
    validator: &mut Validator,
    vault: &mut AccountView,
    grant: &mut AccountView,
    end: &End,
) -> Result<(), MythicError> {
    lighten(job, validator)?;
    finish(job, vault, grant, end)?;
    Ok(())
}

#[inline(never)]
pub fn claim(accounts: &mut [AccountView], _: &ix::ClaimInferenceFee) -> Result<(), MythicError> {
    let [job_account, validator_account, vault, grant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let (fee, refund) = {
        let mut job = load_mut::<Job>(job_account)?;
        // A case ends its job itself.
        if job.header.status != JobStatus::Submitted as u8 {
            return Err(MythicError::WrongJobStatus);
        }
        if window::open(
            slot,
            window::challenge_end(job.submitted_slot.get(), &job.terms.rules),
        ) {
            return Err(MythicError::WindowOpen);
        }
        let mut validator = load_mut::<Validator>(validator_account)?;
        if validator.authority != job.validator {
            return Err(MythicError::WrongValidator);
        }
        let end = End {
            status: JobStatus::Settled,
            reason: EndReason::Claimed,
            fee: job.due_fee()?,
            slot,
        };
        pay(&mut job, &mut validator, vault, grant, &end)?;
        (end.fee, job.refunded_amount.get())
    };
    accounts::move_lamports(job_account, validator_account, fee)?;
    accounts::move_lamports(job_account, vault, refund)
}

#[inline(never)]
pub fn decline(accounts: &mut [AccountView], _: &ix::DeclineJob) -> Result<(), MythicError> {
    let [operator, validator_account, job_account, vault, grant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let refund = {
        let mut job = load_mut::<Job>(job_account)?;
        if job.header.status != JobStatus::Accepted as u8 {
            return Err(MythicError::WrongJobStatus);
        }
        let mut validator = free(&job, validator_account)?;
        validator::check_operator(&validator, operator)?;
        if !window::open(slot, job.submit_end()) {
            return Err(MythicError::DeadlinePassed);
        }
        let declined = counted(validator.jobs_declined.get())?;
        validator.jobs_declined.set(declined);
        let late = job.open != 0 && !window::open(slot, job.decline_end());
        if late && !job.is_excused() {
            let_down(&mut job, &mut validator, slot)?;
        }
        let end = End {
            status: JobStatus::Refunded,
            reason: EndReason::Declined,
            fee: 0,
            slot,
        };
        finish(&mut job, vault, grant, &end)?
    };
    accounts::move_lamports(job_account, vault, refund)
}

#[inline(never)]
pub fn cancel(accounts: &mut [AccountView], _: &ix::CancelJob) -> Result<(), MythicError> {
    let [canceller, job_account, vault, grant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let refund = {
        let mut job = load_mut::<Job>(job_account)?;
        let terms = &job.terms;
        if ![terms.owner, terms.requester, terms.canceller].contains(key(canceller)) {
            return Err(MythicError::NotCanceller);
        }
        match job.status() {
            Some(JobStatus::Open) => {
                let end = End {
                    status: JobStatus::Refunded,
                    reason: EndReason::Cancelled,
                    fee: 0,
                    slot,
                };
                finish(&mut job, vault, grant, &end)?
            }
            Some(JobStatus::Accepted) => {
                if job.cancel_slot.get() != 0 {
                    return Err(MythicError::AlreadyCancelled);
                }
                if !window::open(slot, job.deadline_slot.get()) {
                    return Err(MythicError::DeadlinePassed);
                }
                job.cancel_slot.set(slot);
                return Ok(());
            }
            _ => return Err(MythicError::WrongJobStatus),
        }
    };
    accounts::move_lamports(job_account, vault, refund)
}

#[inline(never)]
pub fn expire(accounts: &mut [AccountView], _: &ix::ExpireJob) -> Result<(), MythicError> {
    let [job_account, vault, validator_account, grant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let refund = {
        let mut job = load_mut::<Job>(job_account)?;
        let accepted = match job.status() {
            Some(JobStatus::Open) => false,
            Some(JobStatus::Accepted) => true,
            _ => return Err(MythicError::WrongJobStatus),
        };
        if window::open(slot, job.submit_end()) {
            return Err(MythicError::DeadlineNotPassed);
        }
        match (accepted, is_absent(validator_account)) {
            (true, true) => return Err(MythicError::MissingValidator),
            (false, false) => return Err(MythicError::UnexpectedValidator),
            (false, true) => {}
            (true, false) => {
                let mut validator = free(&job, validator_account)?;
                if !job.is_excused() {
                    let_down(&mut job, &mut validator, slot)?;
                }
            }
        }
        let end = End {
            status: JobStatus::Refunded,
            reason: EndReason::Expired,
            fee: 0,
            slot,
        };
        finish(&mut job, vault, grant, &end)?
    };
    accounts::move_lamports(job_account, vault, refund)
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseJob) -> Result<(), MythicError> {
    let [job_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    {
        let job = load::<Job>(job_account)?;
        if job.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if !job.status().is_some_and(JobStatus::is_terminal) {
            return Err(MythicError::WrongJobStatus);
        }
        if window::open(
            slot,
            window::retention_end(job.ended_slot.get(), &job.terms.nonce, &job.terms.rules),
        ) {
            return Err(MythicError::TooEarlyToClose);
        }
    }
    accounts::close(job_account, rent_payer)
}
