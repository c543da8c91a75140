//! The network's admin, its pause, the foundation's and the burned share: the same in both programs, whose configs and treasuries
//! differ.

use mythic_interface::error::MythicError;
use mythic_interface::le::U64;
use mythic_interface::market::state::{MarketConfig, MarketTreasury};
use mythic_interface::state::{Account, Config, ConfigStatus, Key, NO_KEY, Treasury};
use mythic_interface::{INCINERATOR, UPGRADEABLE_LOADER, money};
use pinocchio::account::RefMut;
use pinocchio::{AccountView, Address};

use crate::accounts::{self, key, load_mut};
use crate::stake::Staked;

const LOADER: Address = Address::new_from_array(UPGRADEABLE_LOADER);
/// Status of an account that has only one.
pub const STATUS_ACTIVE: u8 = 1;

/// A program's config.
pub trait Governed: Account {
    /// Key that sets parameters.
    fn admin(&mut self) -> &mut Key;
    /// Key that may take over as admin.
    fn pending_admin(&mut self) -> &mut Key;
    /// Address that receives the foundation's share.
    fn foundation(&self) -> &Key;
    /// Slot of the last change.
    fn updated_slot(&mut self) -> &mut U64;
}

/// A program's treasury.
pub trait Coffer: Account {
    /// Balance, withdrawn and received lamports, slot of the last change.
    fn balances(&mut self) -> [&mut U64; 4];
}

macro_rules! governed {
    ($($name:ident),*) => {
        $(impl Governed for $name {
            fn admin(&mut self) -> &mut Key {
                &mut self.admin
            }
            fn pending_admin(&mut self) -> &mut Key {
                &mut self.pending_admin
            }
            fn foundation(&self) -> &Key {
                &self.foundation
            }
            fn updated_slot(&mut self) -> &mut U64 {
                &mut self.updated_slot
            }
        })*
    };
}
governed!(Config, MarketConfig);

macro_rules! coffer {
    ($($name:ident),*) => {
        $(impl Coffer for $name {
            fn balances(&mut self) -> [&mut U64; 4] {
                [&mut self.balance, &mut self.withdrawn, &mut self.received, &mut self.updated_slot]
            }
        })*
    };
}
coffer!(Treasury, MarketTreasury);

/// The signer must be the upgrade authority that the loader keeps in the program's data:
/// `u32` 3, slot `u64`, option byte 1, key (solana-loader-v3-interface, `UpgradeableLoaderState::ProgramData`).
pub fn check_upgrade_authority(
    authority: &AccountView,
    program_data: &AccountView,
    program: &Key,
) -> Result<(), MythicError> {
    let (address, _) = Address::try_find_program_address(&[program], &LOADER)
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
pub fn by_admin<'a, C: Governed>(
    admin: &AccountView,
    config: &'a mut AccountView,
    slot: u64,
) -> Result<RefMut<'a, C>, MythicError> {
    let mut config = load_mut::<C>(config)?;
    if *config.admin() != *key(admin) {
        return Err(MythicError::NotAdmin);
    }
    config.updated_slot().set(slot);
    Ok(config)
}

/// Names who may take over as admin.
pub fn propose_admin<C: Governed>(
    accounts: &mut [AccountView],
    new_admin: &Key,
) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    *by_admin::<C>(admin, config, accounts::slot()?)?.pending_admin() = *new_admin;
    Ok(())
}

/// Takes over as admin.
pub fn accept_admin<C: Governed>(accounts: &mut [AccountView]) -> Result<(), MythicError> {
    let [new_admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut config = load_mut::<C>(config)?;
    let pending = *config.pending_admin();
    if pending == NO_KEY || pending != *key(new_admin) {
        return Err(MythicError::NotPendingAdmin);
    }
    *config.admin() = pending;
    *config.pending_admin() = NO_KEY;
    config.updated_slot().set(slot);
    Ok(())
}

/// Takes nothing new.
pub fn pause<C: Governed>(accounts: &mut [AccountView]) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut config = by_admin::<C>(admin, config, accounts::slot()?)?;
    if config.header().status == ConfigStatus::Paused as u8 {
        return Err(MythicError::Paused);
    }
    config.header_mut().status = ConfigStatus::Paused as u8;
    Ok(())
}

/// Takes what is new again.
pub fn unpause<C: Governed>(accounts: &mut [AccountView]) -> Result<(), MythicError> {
    let [admin, config] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut config = by_admin::<C>(admin, config, accounts::slot()?)?;
    if config.header().status != ConfigStatus::Paused as u8 {
        return Err(MythicError::NotPaused);
    }
    config.header_mut().status = ConfigStatus::Active as u8;
    Ok(())
}

/// Moves what an earner owes to the treasury and the incinerator.
pub fn sweep<E: Staked, T: Coffer>(accounts: &mut [AccountView]) -> Result<(), MythicError> {
    let [earner_account, treasury_account, incinerator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    if *key(incinerator) != INCINERATOR {
        return Err(MythicError::InvalidIncinerator);
    }
    let slot = accounts::slot()?;
    let (foundation, burn) = {
        let mut earner = load_mut::<E>(earner_account)?;
        let parts = earner.parts();
        let owed = (parts.owed_foundation.get(), parts.owed_burn.get());
        if owed == (0, 0) {
            return Err(MythicError::NothingToSweep);
        }
        parts.owed_foundation.set(0);
        parts.owed_burn.set(0);
        owed
    };
    {
        let mut treasury = load_mut::<T>(treasury_account)?;
        let [balance, _, received, updated_slot] = treasury.balances();
        balance.set(money::add(balance.get(), foundation)?);
        received.set(money::add(received.get(), foundation)?);
        updated_slot.set(slot);
    }
    accounts::move_lamports(earner_account, treasury_account, foundation)?;
    accounts::move_lamports(earner_account, incinerator, burn)
}

/// Pays the treasury's balance to the foundation's address.
pub fn withdraw_foundation<C: Governed, T: Coffer>(
    accounts: &mut [AccountView],
) -> Result<(), MythicError> {
    let [config, treasury_account, foundation] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    if *accounts::load::<C>(config)?.foundation() != *key(foundation) {
        return Err(MythicError::WrongFoundation);
    }
    if accounts::is_of(foundation, &C::PROGRAM) {
        return Err(MythicError::InvalidAddress);
    }
    let slot = accounts::slot()?;
    let amount = {
        let mut treasury = load_mut::<T>(treasury_account)?;
        let [balance, withdrawn, _, updated_slot] = treasury.balances();
        let amount = balance.get();
        if amount == 0 {
            return Err(MythicError::NothingToWithdraw);
        }
        balance.set(0);
        withdrawn.set(money::add(withdrawn.get(), amount)?);
        updated_slot.set(slot);
        amount
    };
    accounts::move_lamports(treasury_account, foundation, amount)
}
