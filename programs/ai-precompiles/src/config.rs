//! Config and treasury: parameters, admin, pause, the foundation's and the burned share.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::params::Params;
use mythic_interface::pda;
use mythic_interface::state::{Config, ConfigStatus, NO_KEY, Treasury, Validator};
use mythic_program::governance::{self, STATUS_ACTIVE};
use pinocchio::AccountView;

use crate::accounts::{self, key, load_mut};

#[inline(never)]
pub fn initialize(accounts: &mut [AccountView], args: &ix::Initialize) -> Result<(), MythicError> {
    let [
        payer,
        authority,
        program_data,
        config_account,
        treasury_account,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    governance::check_upgrade_authority(authority, program_data, &accounts::PROGRAM_ID)?;
    if args.admin == NO_KEY || args.foundation == NO_KEY {
        return Err(MythicError::InvalidAddress);
    }
    args.params.validate()?;
    let slot = accounts::slot()?;

    accounts::create::<Config>(payer, config_account, &pda::CONFIG)?;
    accounts::create::<Treasury>(payer, treasury_account, &pda::TREASURY)?;
    let mut config = load_mut::<Config>(config_account)?;
    config.header.status = ConfigStatus::Active as u8;
    config.admin = args.admin;
    config.foundation = args.foundation;
    config.rent_payer = *key(payer);
    config.initialized_slot.set(slot);
    config.updated_slot.set(slot);
    set_params(&mut config, &args.params);
    let mut treasury = load_mut::<Treasury>(treasury_account)?;
    treasury.header.status = STATUS_ACTIVE;
    treasury.rent_payer = *key(payer);
    treasury.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn update(accounts: &mut [AccountView], args: &ix::UpdateConfig) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut config = governance::by_admin::<Config>(admin, config, accounts::slot()?)?;
    if args.foundation == NO_KEY {
        return Err(MythicError::InvalidAddress);
    }
    args.params.validate()?;
    config.foundation = args.foundation;
    set_params(&mut config, &args.params);
    Ok(())
}

/// Sets parameters and what requests must name of them.
fn set_params(config: &mut Config, params: &Params) {
    config.params = *params;
    config.rules_hash = params.rules.hash();
}

#[inline(never)]
pub fn propose_admin(
    accounts: &mut [AccountView],
    args: &ix::ProposeAdmin,
) -> Result<(), MythicError> {
    governance::propose_admin::<Config>(accounts, &args.new_admin)
}

#[inline(never)]
pub fn accept_admin(accounts: &mut [AccountView], _: &ix::AcceptAdmin) -> Result<(), MythicError> {
    governance::accept_admin::<Config>(accounts)
}

#[inline(never)]
pub fn pause(accounts: &mut [AccountView], _: &ix::Pause) -> Result<(), MythicError> {
    governance::pause::<Config>(accounts)
}

#[inline(never)]
pub fn unpause(accounts: &mut [AccountView], _: &ix::Unpause) -> Result<(), MythicError> {
    governance::unpause::<Config>(accounts)
}

#[inline(never)]
pub fn sweep(accounts: &mut [AccountView], _: &ix::Sweep) -> Result<(), MythicError> {
    governance::sweep::<Validator, Treasury>(accounts)
}

#[inline(never)]
pub fn withdraw_foundation(
    accounts: &mut [AccountView],
    _: &ix::WithdrawFoundation,
) -> Result<(), MythicError> {
    governance::withdraw_foundation::<Config, Treasury>(accounts)
}
