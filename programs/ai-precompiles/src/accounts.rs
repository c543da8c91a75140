//! Accounts, as both programs handle them, and what is this program's.

use mythic_interface::AI_PRECOMPILES_ID;
use mythic_interface::state::Key;
pub use mythic_program::accounts::*;
use pinocchio::AccountView;

/// This program's address.
pub const PROGRAM_ID: Key = AI_PRECOMPILES_ID;

/// Whether an optional account is absent: the program's own address stands for it.
pub fn is_absent(account: &AccountView) -> bool {
    *key(account) == PROGRAM_ID
}

/// Whether the account is this program's.
pub fn is_ours(account: &AccountView) -> bool {
    is_of(account, &PROGRAM_ID)
}
