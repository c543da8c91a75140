//! Vaults: prepaid balances from which every job is paid.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::state::Vault;
use mythic_interface::{money, pda};
use mythic_program::governance::STATUS_ACTIVE;
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut};

#[inline(never)]
pub fn deposit(accounts: &mut [AccountView], args: &ix::DepositVault) -> Result<(), MythicError> {
    let [payer, owner, vault_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let amount = money::amount(args.amount.get())?;
    if amount == 0 {
        return Err(MythicError::ZeroAmount);
    }
    let slot = accounts::slot()?;
    let is_new = !accounts::is_ours(vault_account);
    if is_new {
        accounts::create::<Vault>(payer, vault_account, &pda::vault(key(owner)))?;
    }
    accounts::pay(payer, vault_account, amount)?;
    let mut vault = load_mut::<Vault>(vault_account)?;
    if is_new {
        vault.header.status = STATUS_ACTIVE;
        vault.owner = *key(owner);
        vault.rent_payer = *key(payer);
        vault.created_slot.set(slot);
    } else if vault.owner != *key(owner) {
        return Err(MythicError::WrongAddress);
    }
    let balance = money::add(vault.balance.get(), amount)?;
    money::add(balance, vault.held.get())?;
    vault.balance.set(balance);
    let deposited = money::add(vault.deposited.get(), amount)?;
    vault.deposited.set(deposited);
    vault.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn withdraw(accounts: &mut [AccountView], args: &ix::WithdrawVault) -> Result<(), MythicError> {
    let [owner, vault_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = money::amount(args.amount.get())?;
    if amount == 0 {
        return Err(MythicError::ZeroAmount);
    }
    let slot = accounts::slot()?;
    {
        let mut vault = load_mut::<Vault>(vault_account)?;
        if vault.owner != *key(owner) {
            return Err(MythicError::NotOwner);
        }
        let rest = vault
            .balance
            .get()
            .checked_sub(amount)
            .ok_or(MythicError::InsufficientFunds)?;
        vault.balance.set(rest);
        let withdrawn = money::add(vault.withdrawn.get(), amount)?;
        vault.withdrawn.set(withdrawn);
        vault.updated_slot.set(slot);
    }
    accounts::move_lamports(vault_account, owner, amount)
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseVault) -> Result<(), MythicError> {
    let [owner, vault_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let balance = {
        let vault = load::<Vault>(vault_account)?;
        if vault.owner != *key(owner) {
            return Err(MythicError::NotOwner);
        }
        if vault.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if vault.open_jobs.get() != 0 || vault.held.get() != 0 {
            return Err(MythicError::FundsHeld);
        }
        vault.balance.get()
    };
    accounts::move_lamports(vault_account, owner, balance)?;
    accounts::close(vault_account, rent_payer)
}
