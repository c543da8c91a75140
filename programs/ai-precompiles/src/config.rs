//! Config and treasury: parameters, admin, pause, the foundation's and the burned share.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::params::Params;
use mythic_interface::state::{Config, ConfigStatus, Key, NO_KEY, Treasury, Validator};
use mythic_interface::{INCINERATOR, UPGRADEABLE_LOADER, money, pda};
use pinocchio::account::RefMut;
use pinocchio::{AccountView, Address};

use crate::accounts::{self, key, load, load_mut};

const LOADER: Address = Address::new_from_array(UPGRADEABLE_LOADER);
/// Status of an account that has only one.
pub const STATUS_ACTIVE: u8 = 1;

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
    check_upgrade_authority(authority, program_data)?;
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

/// The signer must be the upgrade authority that the loader keeps in this program's program data:
/// `u32` 3, slot `u64`, option byte 1, key (solana-loader-v3-interface, `UpgradeableLoaderState::ProgramData`).
fn check_upgrade_authority(
    authority: &AccountView,
    program_data: &AccountView,
) -> Result<(), MythicError> {
    let (address, _) =
        Address::try_find_program_address(&[accounts::PROGRAM_ID.as_array()], &LOADER)
            .ok_or(MythicError::InvalidProgramData)?;
    if *program_data.address() != address || !program_data.owned_by(&LOADER) {
        return Err(MythicError::InvalidProgramData);
    }
    let data = program_data
        .try_borrow()
        .map_err(|_| MythicError::InvalidProgramData)?;
    let head = data.get(..45).ok_or(MythicError::InvalidProgramData)?;
    if head[..4] != [3, 0, 0, 0] {
        return Err(MythicError::InvalidProgramData);
    }
    if head[12] != 1 || head[13..] != *key(authority) {
        return Err(MythicError::NotUpgradeAuthority);
    }
    Ok(())
}

/// The config for a change by its admin.
fn by_admin<'a>(
    admin: &AccountView,
    config: &'a mut AccountView,
    slot: u64,
) -> Result<RefMut<'a, Config>, MythicError> {
    let mut config = load_mut::<Config>(config)?;
    if config.admin != *key(admin) {
        return Err(MythicError::NotAdmin);
    }
    config.updated_slot.set(slot);
    Ok(config)
}

#[inline(never)]
pub fn update(accounts: &mut [AccountView], args: &ix::UpdateConfig) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut config = by_admin(admin, config, accounts::slot()?)?;
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
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    by_admin(admin, config, accounts::slot()?)?.pending_admin = args.new_admin;
    Ok(())
}

#[inline(never)]
pub fn accept_admin(accounts: &mut [AccountView], _: &ix::AcceptAdmin) -> Result<(), MythicError> {
    let [new_admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut config = load_mut::<Config>(config)?;
    let pending: Key = config.pending_admin;
    if pending == NO_KEY || pending != *key(new_admin) {
        return Err(MythicError::NotPendingAdmin);
    }
    config.admin = pending;
    config.pending_admin = NO_KEY;
    config.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn pause(accounts: &mut [AccountView], _: &ix::Pause) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut config = by_admin(admin, config, accounts::slot()?)?;
    if config.header.status == ConfigStatus::Paused as u8 {
        return Err(MythicError::Paused);
    }
    config.header.status = ConfigStatus::Paused as u8;
    Ok(())
}

#[inline(never)]
pub fn unpause(accounts: &mut [AccountView], _: &ix::Unpause) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut config = by_admin(admin, config, accounts::slot()?)?;
    if config.header.status != ConfigStatus::Paused as u8 {
        return Err(MythicError::NotPaused);
    }
    config.header.status = ConfigStatus::Active as u8;
    Ok(())
}

#[inline(never)]
pub fn sweep(accounts: &mut [AccountView], _: &ix::Sweep) -> Result<(), MythicError> {
    let [validator_account, treasury_account, incinerator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    if *key(incinerator) != INCINERATOR {
        return Err(MythicError::InvalidIncinerator);
    }
    let slot = accounts::slot()?;
    let (foundation, burn) = {
        let mut validator = load_mut::<Validator>(validator_account)?;
        let owed = (validator.owed_foundation.get(), validator.owed_burn.get());
        if owed == (0, 0) {
            return Err(MythicError::NothingToSweep);
        }
        validator.owed_foundation.set(0);
        validator.owed_burn.set(0);
        owed
    };
    {
        let mut treasury = load_mut::<Treasury>(treasury_account)?;
        let balance = money::add(treasury.balance.get(), foundation)?;
        treasury.balance.set(balance);
        let received = money::add(treasury.received.get(), foundation)?;
        treasury.received.set(received);
        treasury.updated_slot.set(slot);
    }
    accounts::move_lamports(validator_account, treasury_account, foundation)?;
    accounts::move_lamports(validator_account, incinerator, burn)
}

#[inline(never)]
pub fn withdraw_foundation(
    accounts: &mut [AccountView],
    _: &ix::WithdrawFoundation,
) -> Result<(), MythicError> {
    let [config, treasury_account, foundation] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    if load::<Config>(config)?.foundation != *key(foundation) {
        return Err(MythicError::WrongFoundation);
    }
    if accounts::is_ours(foundation) {
        return Err(MythicError::InvalidAddress);
    }
    let slot = accounts::slot()?;
    let amount = {
        let mut treasury = load_mut::<Treasury>(treasury_account)?;
        let amount = treasury.balance.get();
        if amount == 0 {
            return Err(MythicError::NothingToWithdraw);
        }
        treasury.balance.set(0);
        let withdrawn = money::add(treasury.withdrawn.get(), amount)?;
        treasury.withdrawn.set(withdrawn);
        treasury.updated_slot.set(slot);
        amount
    };
    accounts::move_lamports(treasury_account, foundation, amount)
}
