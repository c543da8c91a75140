//! Accounts, as both programs handle them, and what is this program's.

use mythic_interface::COMPUTE_MARKET_ID;
use mythic_interface::error::MythicError;
use mythic_interface::le::U64;
use mythic_interface::money;
use mythic_interface::state::Key;
pub use mythic_program::accounts::*;
use pinocchio::AccountView;

/// This program's address.
pub const PROGRAM_ID: Key = COMPUTE_MARKET_ID;

/// Whether an optional account is absent: the program's own address stands for it.
pub fn is_absent(account: &AccountView) -> bool {
    *key(account) == PROGRAM_ID
}

/// Whether an account can be given lamports: the runtime lets no wallet hold less than its rent, nor a program get more.
pub fn takes(account: &AccountView, lamports: u64) -> Result<bool, MythicError> {
    let sum = account.lamports().saturating_add(lamports);
    Ok(sum >= rent(account.data_len())? && !account.executable())
}

/// Adds to a stored amount.
pub fn raise(amount: &mut U64, by: u64) -> Result<(), MythicError> {
    amount.set(money::add(amount.get(), by)?);
    Ok(())
}

/// Takes from a stored amount.
pub fn lower(amount: &mut U64, by: u64) -> Result<(), MythicError> {
    amount.set(money::sub(amount.get(), by)?);
    Ok(())
}

/// Counts.
pub fn count(counter: &mut U64, by: u64) -> Result<(), MythicError> {
    let sum = counter.get().checked_add(by);
    counter.set(sum.ok_or(MythicError::CounterOverflow)?);
    Ok(())
}
