//! Reading program accounts out of raw ones.

use mythic_interface::{SYSTEM_PROGRAM, state::Account as ProgramAccountLayout};
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

/// Reads a `T` that may be there. Anybody can send lamports to the address of an account that does not exist yet: what the system program
/// owns is no `T`, and none is there.
pub fn found<T: ProgramAccount>(
    pubkey: &Pubkey,
    account: Option<&Account>,
) -> Result<Option<T>, ClientError> {
    account
        .filter(|account| account.owner.to_bytes() != SYSTEM_PROGRAM)
        .map(|account| decode(pubkey, account))
        .transpose()
}

#[cfg(test)]
mod tests {
    use mythic_interface::market::state::Lease;

    use super::*;

    #[test]
    fn lamports_that_somebody_sent_to_an_address_are_no_account() {
        let address = Pubkey::new_from_array([7; 32]);
        let mut account = Account {
            lamports: 890_880,
            owner: Pubkey::new_from_array(SYSTEM_PROGRAM),
            ..Account::default()
        };
        assert!(found::<Lease>(&address, None).is_ok_and(|lease| lease.is_none()));
        let sent = found::<Lease>(&address, Some(&account));
        assert!(sent.is_ok_and(|lease| lease.is_none()));
        // Another program's account is never there by somebody's will, and is told.
        account.owner = address;
        assert!(found::<Lease>(&address, Some(&account)).is_err());
    }
}
