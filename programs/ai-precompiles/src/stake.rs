//! A validator's stake. Its withdrawal depends on time and cases: what the validator itself accepted and judged says until when,
//! whatever the config says later.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::state::{Config, Validator};
pub use mythic_program::stake::*;
use pinocchio::AccountView;

use crate::accounts::{self, load, load_mut};
use crate::validator::check_owner;

#[inline(never)]
pub fn add_stake(accounts: &mut [AccountView], args: &ix::AddStake) -> Result<(), MythicError> {
    let [payer, owner, config, validator_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let amount = nonzero(args.amount.get())?;
    let slot = accounts::slot()?;
    {
        let mut validator = load_mut::<Validator>(validator_account)?;
        check_owner(&validator, owner)?;
        let wait = load::<Config>(config)?.params.activation_slots();
        add(&mut *validator, amount, slot, wait)?;
    }
    accounts::pay(payer, validator_account, amount)
}

#[inline(never)]
pub fn unstake(accounts: &mut [AccountView], args: &ix::RequestUnstake) -> Result<(), MythicError> {
    let [owner, config, validator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = nonzero(args.amount.get())?;
    let slot = accounts::slot()?;
    let mut validator = load_mut::<Validator>(validator)?;
    check_owner(&validator, owner)?;
    let params = &load::<Config>(config)?.params;
    let (least, wait) = (params.rules.min_stake.get(), params.unbonding_slots.get());
    request_unstake(&mut *validator, amount, least, slot, wait)
}

#[inline(never)]
pub fn withdraw_stake(
    accounts: &mut [AccountView],
    _: &ix::WithdrawStake,
) -> Result<(), MythicError> {
    let [owner, validator_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let amount = {
        let mut validator = load_mut::<Validator>(validator_account)?;
        check_owner(&validator, owner)?;
        let amount = withdrawable(&mut *validator, slot)?;
        if validator.open_cases.get() != 0 {
            return Err(MythicError::OpenCases);
        }
        withdraw(&mut *validator, amount, slot)?;
        amount
    };
    accounts::move_lamports(validator_account, owner, amount)
}
