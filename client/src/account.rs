//! Reading program accounts out of raw ones.

use mythic_interface::state::Account as ProgramAccountLayout;
use solana_account::Account;
use solana_pubkey::Pubkey;

use crate::error::ClientError;

/// An account type of one of the two programs.
pub trait ProgramAccount: ProgramAccountLayout + Send + Sync + 'static {}

impl<T: ProgramAccountLayout + Send + Sync + 'static> ProgramAccount for T {}

/// Reads a `T` out of an account; checks owner, length, discriminator and version.
pub fn decode<T: ProgramAccount>(pubkey: &Pubkey, account: &Account) -> Result<T, ClientError> {
    let refuse = |reason: String| ClientError::Account {
        pubkey: *pubkey,
        kind: T::NAME,
        reason,
    };
    if account.owner.to_bytes() != T::PROGRAM {
        return Err(refuse(format!("owned by {}", account.owner)));
    }
    <T as ProgramAccountLayout>::load(&account.data)
        .copied()
        .map_err(|error| refuse(error.to_string()))
}
