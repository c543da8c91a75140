//! Spend grants: limits under which a delegate requests jobs from an owner's vault.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::state::{Config, GRANT_MODELS, GrantStatus, Key, NO_KEY, SpendGrant};
use mythic_interface::{money, pda, window};
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, lowered, raised};

#[inline(never)]
pub fn grant(accounts: &mut [AccountView], args: &ix::GrantSpend) -> Result<(), MythicError> {
    let [payer, owner, delegate, grant_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    if key(owner) == key(delegate) {
        return Err(MythicError::SelfDelegation);
    }
    if *key(delegate) == NO_KEY {
        return Err(MythicError::InvalidAddress);
    }
    let slot = accounts::slot()?;
    check_limits(args, slot)?;

    let is_new = !accounts::is_ours(grant_account);
    if is_new {
        accounts::create::<SpendGrant>(
            payer,
            grant_account,
            &pda::grant(key(owner), key(delegate)),
        )?;
    }
    let mut grant = load_mut::<SpendGrant>(grant_account)?;
    if is_new {
        grant.owner = *key(owner);
        grant.delegate = *key(delegate);
        grant.rent_payer = *key(payer);
        grant.created_slot.set(slot);
        grant.window_start.set(slot);
    } else if grant.owner != *key(owner) || grant.delegate != *key(delegate) {
        return Err(MythicError::WrongAddress);
    }
    if grant.lifetime_spent != args.spent {
        return Err(MythicError::GrantSpentChanged);
    }
    grant.header.status = GrantStatus::Active as u8;
    grant.revoked_slot.set(0);
    grant.per_job_max = args.per_job_max;
    grant.window_max = args.window_max;
    grant.window_slots = args.window_slots;
    grant.lifetime_cap = args.lifetime_cap;
    grant.expiry_slot = args.expiry_slot;
    grant.model_count = args.model_count;
    grant.models = args.models;
    grant.updated_slot.set(slot);
    Ok(())
}

fn check_limits(args: &ix::GrantSpend, slot: u64) -> Result<(), MythicError> {
    for amount in [
        args.per_job_max,
        args.window_max,
        args.lifetime_cap,
        args.expiry_slot,
    ] {
        if money::amount(amount.get())? == 0 {
            return Err(MythicError::GrantLimitsInvalid);
        }
    }
    if args.window_slots.get() == 0 || !window::open(slot, args.expiry_slot.get()) {
        return Err(MythicError::GrantLimitsInvalid);
    }
    let count = usize::from(args.model_count);
    if count > GRANT_MODELS {
        return Err(MythicError::TooManyModels);
    }
    let (used, unused) = args.models.split_at(count);
    if unused.iter().any(|model| *model != NO_KEY) {
        return Err(MythicError::InvalidPadding);
    }
    for (index, model) in used.iter().enumerate() {
        if *model == NO_KEY {
            return Err(MythicError::WrongModel);
        }
        if used.iter().take(index).any(|earlier| earlier == model) {
            return Err(MythicError::DuplicateModel);
        }
    }
    Ok(())
}

/// Counts a job of `ceiling` lamports for `model` against the grant; the window it falls in is returned.
pub fn spend(
    grant: &mut SpendGrant,
    model: &Key,
    ceiling: u64,
    slot: u64,
) -> Result<u64, MythicError> {
    if grant.header.status != GrantStatus::Active as u8 {
        return Err(MythicError::GrantRevoked);
    }
    if !window::open(slot, grant.expiry_slot.get()) {
        return Err(MythicError::GrantExpired);
    }
    if !grant.allows(model) {
        return Err(MythicError::GrantModelNotAllowed);
    }
    if ceiling > grant.per_job_max.get() {
        return Err(MythicError::GrantPerJobExceeded);
    }
    if !window_runs(grant, slot) {
        grant.window_start.set(slot);
        grant.window_spent.set(0);
    }
    let window_spent = money::add(grant.window_spent.get(), ceiling)?;
    if window_spent > grant.window_max.get() {
        return Err(MythicError::GrantWindowExceeded);
    }
    let lifetime_spent = money::add(grant.lifetime_spent.get(), ceiling)?;
    if lifetime_spent > grant.lifetime_cap.get() {
        return Err(MythicError::GrantLifetimeExceeded);
    }
    grant.window_spent.set(window_spent);
    grant.lifetime_spent.set(lifetime_spent);
    grant.open_jobs.set(raised(grant.open_jobs.get())?);
    grant.updated_slot.set(slot);
    Ok(grant.window_start.get())
}

/// Gives a job's refund back to the grant: to its lifetime, and to its window if that still runs.
pub fn release(
    grant: &mut SpendGrant,
    refund: u64,
    window_start: u64,
    slot: u64,
) -> Result<(), MythicError> {
    let lifetime = money::sub(grant.lifetime_spent.get(), refund)?;
    grant.lifetime_spent.set(lifetime);
    if grant.window_start.get() == window_start && window_runs(grant, slot) {
        let spent = money::sub(grant.window_spent.get(), refund)?;
        grant.window_spent.set(spent);
    }
    grant.open_jobs.set(lowered(grant.open_jobs.get())?);
    grant.updated_slot.set(slot);
    Ok(())
}

fn window_runs(grant: &SpendGrant, slot: u64) -> bool {
    let end = grant
        .window_start
        .get()
        .saturating_add(u64::from(grant.window_slots.get()));
    window::open(slot, end)
}

#[inline(never)]
pub fn revoke(accounts: &mut [AccountView], _: &ix::RevokeGrant) -> Result<(), MythicError> {
    let [owner, grant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut grant = load_mut::<SpendGrant>(grant)?;
    if grant.owner != *key(owner) {
        return Err(MythicError::NotOwner);
    }
    if grant.header.status == GrantStatus::Revoked as u8 {
        return Err(MythicError::GrantRevoked);
    }
    grant.header.status = GrantStatus::Revoked as u8;
    grant.revoked_slot.set(slot);
    grant.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseGrant) -> Result<(), MythicError> {
    let [owner, config, grant_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let delay = load::<Config>(config)?.params.rules.close_delay_slots.get();
    {
        let grant = load::<SpendGrant>(grant_account)?;
        if grant.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        let active = grant.header.status == GrantStatus::Active as u8;
        let expiry = grant.expiry_slot.get();
        if active && window::open(slot, expiry) {
            return Err(MythicError::GrantActive);
        }
        // Whoever closes it, the next grant counts from nothing: that is the owner's to decide, until it is long forgotten.
        if is_absent(owner) {
            if window::open(slot, expiry.saturating_add(u64::from(delay))) {
                return Err(MythicError::TooEarlyToClose);
            }
        } else if grant.owner != *key(owner) {
            return Err(MythicError::NotOwner);
        }
        if grant.open_jobs.get() != 0 {
            return Err(MythicError::OpenJobs);
        }
    }
    accounts::close(grant_account, rent_payer)
}
