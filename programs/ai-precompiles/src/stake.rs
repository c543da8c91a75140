//! Stake: added, activated, taken out. Its withdrawal depends on time and cases: what the validator itself accepted and
//! judged says until when, whatever the config says later.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::state::{Config, Validator};
use mythic_interface::{money, window};
use pinocchio::AccountView;

use crate::accounts::{self, load, load_mut};
use crate::validator::check_owner;

/// Counts added stake whose time has come.
pub fn activate(validator: &mut Validator, slot: u64) -> Result<(), MythicError> {
    if validator.activating.get() == 0 || window::open(slot, validator.activating_slot.get()) {
        return Ok(());
    }
    let stake = money::add(validator.stake.get(), validator.activating.get())?;
    validator.stake.set(stake);
    validator.activating.set(0);
    validator.activating_slot.set(0);
    Ok(())
}

/// Takes up to `amount` out of the whole stake: active first, then activating, then unbonding. What was there
/// to take is returned; its lamports stay in the account for the caller to place.
pub fn slash(validator: &mut Validator, amount: u64, slot: u64) -> Result<u64, MythicError> {
    activate(validator, slot)?;
    let mut left = amount;
    for part in [
        &mut validator.stake,
        &mut validator.activating,
        &mut validator.unbonding,
    ] {
        let taken = part.get().min(left);
        part.set(money::sub(part.get(), taken)?);
        left = money::sub(left, taken)?;
    }
    let taken = money::sub(amount, left)?;
    let slashed = money::add(validator.slashed.get(), taken)?;
    validator.slashed.set(slashed);
    Ok(taken)
}

fn nonzero(amount: u64) -> Result<u64, MythicError> {
    match amount {
        0 => Err(MythicError::ZeroAmount),
        amount => money::amount(amount),
    }
}

/// The slot in which an unbonding time that starts now is over.
fn unbonded_slot(config: &AccountView, slot: u64) -> Result<u64, MythicError> {
    Ok(slot.saturating_add(u64::from(
        load::<Config>(config)?.params.unbonding_slots.get(),
    )))
}

#[inline(never)]
pub fn add(accounts: &mut [AccountView], args: &ix::AddStake) -> Result<(), MythicError> {
    let [payer, owner, config, validator_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let amount = nonzero(args.amount.get())?;
    let slot = accounts::slot()?;
    {
        let mut validator = load_mut::<Validator>(validator_account)?;
        check_owner(&validator, owner)?;
        activate(&mut validator, slot)?;
        let activating = money::add(validator.activating.get(), amount)?;
        money::add(validator.whole_stake(), amount)?;
        validator.activating.set(activating);
        let staked = money::add(validator.staked.get(), amount)?;
        validator.staked.set(staked);
        let wait = load::<Config>(config)?.params.activation_slots();
        validator
            .activating_slot
            .set(slot.saturating_add(u64::from(wait)));
        validator.updated_slot.set(slot);
    }
    accounts::pay(payer, validator_account, amount)
}

#[inline(never)]
pub fn request_unstake(
    accounts: &mut [AccountView],
    args: &ix::RequestUnstake,
) -> Result<(), MythicError> {
    let [owner, config, validator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = nonzero(args.amount.get())?;
    let slot = accounts::slot()?;
    let mut validator = load_mut::<Validator>(validator)?;
    check_owner(&validator, owner)?;
    activate(&mut validator, slot)?;
    let rest = validator
        .stake
        .get()
        .checked_sub(amount)
        .ok_or(MythicError::InsufficientStake)?;
    if rest != 0 && rest < load::<Config>(config)?.params.rules.min_stake.get() {
        return Err(MythicError::StakeBelowMinimum);
    }
    validator.stake.set(rest);
    let unbonding = money::add(validator.unbonding.get(), amount)?;
    validator.unbonding.set(unbonding);
    validator.unbonding_slot.set(unbonded_slot(config, slot)?);
    validator.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn withdraw(accounts: &mut [AccountView], _: &ix::WithdrawStake) -> Result<(), MythicError> {
    let [owner, validator_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let amount = {
        let mut validator = load_mut::<Validator>(validator_account)?;
        check_owner(&validator, owner)?;
        let amount = validator.unbonding.get();
        if amount == 0 {
            return Err(MythicError::NothingToWithdraw);
        }
        if window::open(slot, validator.unbonding_slot.get()) {
            return Err(MythicError::StakeLocked);
        }
        if window::open(slot, validator.obliged_until.get()) {
            return Err(MythicError::StakeObliged);
        }
        if validator.open_cases.get() != 0 {
            return Err(MythicError::OpenCases);
        }
        activate(&mut validator, slot)?;
        validator.unbonding.set(0);
        let withdrawn = money::add(validator.withdrawn_stake.get(), amount)?;
        validator.withdrawn_stake.set(withdrawn);
        validator.unbonding_slot.set(0);
        validator.updated_slot.set(slot);
        amount
    };
    accounts::move_lamports(validator_account, owner, amount)
}
