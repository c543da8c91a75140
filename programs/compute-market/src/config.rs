//! Config, treasury and classes.

use mythic_interface::error::MythicError;
use mythic_interface::market::ix;
use mythic_interface::market::params::MarketParams;
use mythic_interface::market::state::{Class, ClassStatus, MarketConfig, MarketTreasury, Provider};
use mythic_interface::state::{ConfigStatus, NO_KEY};
use mythic_interface::{market, pda};
use mythic_program::governance::{self, STATUS_ACTIVE};
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut};

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
    args.grid.validate()?;
    args.params.validate(&args.grid)?;
    let slot = accounts::slot()?;

    accounts::create::<MarketConfig>(payer, config_account, &pda::CONFIG)?;
    accounts::create::<MarketTreasury>(payer, treasury_account, &pda::TREASURY)?;
    let mut config = load_mut::<MarketConfig>(config_account)?;
    config.header.status = ConfigStatus::Active as u8;
    config.admin = args.admin;
    config.foundation = args.foundation;
    config.rent_payer = *key(payer);
    config.initialized_slot.set(slot);
    config.updated_slot.set(slot);
    config.grid = args.grid;
    set_params(&mut config, &args.params);
    let mut treasury = load_mut::<MarketTreasury>(treasury_account)?;
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
    let mut config = governance::by_admin::<MarketConfig>(admin, config, accounts::slot()?)?;
    if args.foundation == NO_KEY {
        return Err(MythicError::InvalidAddress);
    }
    args.params.validate(&config.grid)?;
    config.foundation = args.foundation;
    set_params(&mut config, &args.params);
    Ok(())
}

/// Sets parameters and what requests must name of them.
fn set_params(config: &mut MarketConfig, params: &MarketParams) {
    config.params = *params;
    config.rules_hash = params.rules.hash();
}

#[inline(never)]
pub fn propose_admin(
    accounts: &mut [AccountView],
    args: &ix::ProposeAdmin,
) -> Result<(), MythicError> {
    governance::propose_admin::<MarketConfig>(accounts, &args.new_admin)
}

#[inline(never)]
pub fn accept_admin(accounts: &mut [AccountView], _: &ix::AcceptAdmin) -> Result<(), MythicError> {
    governance::accept_admin::<MarketConfig>(accounts)
}

#[inline(never)]
pub fn pause(accounts: &mut [AccountView], _: &ix::Pause) -> Result<(), MythicError> {
    governance::pause::<MarketConfig>(accounts)
}

#[inline(never)]
pub fn unpause(accounts: &mut [AccountView], _: &ix::Unpause) -> Result<(), MythicError> {
    governance::unpause::<MarketConfig>(accounts)
}

#[inline(never)]
pub fn sweep(accounts: &mut [AccountView], _: &ix::Sweep) -> Result<(), MythicError> {
    governance::sweep::<Provider, MarketTreasury>(accounts)
}

#[inline(never)]
pub fn withdraw_foundation(
    accounts: &mut [AccountView],
    _: &ix::WithdrawFoundation,
) -> Result<(), MythicError> {
    governance::withdraw_foundation::<MarketConfig, MarketTreasury>(accounts)
}

/// Refuses another key than the admin's.
fn check_admin(config: &MarketConfig, signer: &AccountView) -> Result<(), MythicError> {
    match config.admin == *key(signer) {
        true => Ok(()),
        false => Err(MythicError::NotAdmin),
    }
}

#[inline(never)]
pub fn register_class(
    accounts: &mut [AccountView],
    args: &ix::RegisterClass,
) -> Result<(), MythicError> {
    let [payer, admin, config, class_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let grid = {
        let config = load::<MarketConfig>(config)?;
        check_admin(&config, admin)?;
        config.grid
    };
    if !args.name.is_valid() {
        return Err(MythicError::InvalidText);
    }
    if args.name.is_empty() {
        return Err(MythicError::EmptyName);
    }
    if args.calibrated > 1 {
        return Err(MythicError::InvalidFlag);
    }
    args.probe.validate(&grid)?;
    let slot = accounts::slot()?;

    let seeds = market::pda::class(bytemuck::cast_ref(&args.name));
    accounts::create::<Class>(payer, class_account, &seeds)?;
    let mut class = load_mut::<Class>(class_account)?;
    class.header.status = ClassStatus::Active as u8;
    class.name = args.name;
    class.probe = args.probe;
    class.vram_mib = args.vram_mib;
    class.calibrated = args.calibrated;
    class.rent_payer = *key(payer);
    class.registered_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn retire_class(accounts: &mut [AccountView], _: &ix::RetireClass) -> Result<(), MythicError> {
    let [admin, config, class] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    check_admin(&*load::<MarketConfig>(config)?, admin)?;
    let slot = accounts::slot()?;
    let mut class = load_mut::<Class>(class)?;
    if class.header.status == ClassStatus::Retired as u8 {
        return Err(MythicError::ClassRetired);
    }
    class.header.status = ClassStatus::Retired as u8;
    class.retired_slot.set(slot);
    Ok(())
}
