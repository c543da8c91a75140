//! Providers: registration, stake, earnings, jail. `authority` is the provider's name, never the address of its account.

use super::*;
use crate::le::{Text, U16, U64};
use crate::market::state::{PROVIDER_ENDPOINT_LEN, REGION_LEN};

instructions! {
    /// Registers a provider of a class with stake, which is active at once.
    RegisterProvider = 24 {
        /// Hot key.
        operator: Key,
        /// Lamports of stake, from the payer.
        stake: U64 = "stake_lamports",
        /// Units that it offers.
        units: U16,
        /// Lamports a second for each unit.
        price: U64 = "price_lamports",
        /// Where it is.
        region: Text<REGION_LEN>,
        /// [`crate::market::state::Isolation`].
        isolation: u8,
        /// URL at which tenants reach it.
        endpoint: Text<PROVIDER_ENDPOINT_LEN>,
    } [pays("payer"), signs("authority"), read("config"), read("class"), write("provider"), read("system_program")]

    /// Replaces what a provider says of itself; leases keep their price.
    UpdateProvider = 25 {
        /// Hot key.
        operator: Key,
        /// Units that it offers; at least those that are leased.
        units: U16,
        /// Lamports a second for each unit.
        price: U64 = "price_lamports",
        /// Where it is.
        region: Text<REGION_LEN>,
        /// [`crate::market::state::Isolation`].
        isolation: u8,
        /// URL at which tenants reach it.
        endpoint: Text<PROVIDER_ENDPOINT_LEN>,
    } [signs("authority"), write("provider")]

    /// Adds stake, which counts after the unbonding time; stake that is activating already waits with it.
    AddStake = 26 {
        /// Lamports, from the payer.
        amount: U64 = "amount_lamports",
    } [pays("payer"), signs("authority"), read("config"), write("provider"), read("system_program")]

    /// Takes stake out of the active one; stake that is unbonding already waits with it. What stays covers the units that it backs.
    RequestUnstake = 27 {
        /// Lamports; what stays must be the minimum stake or nothing.
        amount: U64 = "amount_lamports",
    } [signs("authority"), read("config"), write("provider")]

    /// Pays out unbonded stake, once no proof can ask for it.
    WithdrawStake = 28 {} [pays("authority"), write("provider")]

    /// Pays what was earned to the authority. Signed by authority or operator.
    WithdrawClaimable = 29 {} [signs("signer"), write("provider"), write("authority")]

    /// Ends a jail time that is over. Signed by authority or operator.
    Unjail = 30 {} [signs("signer"), read("config"), write("provider")]

    /// Closes a provider that holds nothing, has no leases and is not in jail.
    CloseProvider = 31 {} [signs("authority"), write("provider"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::{Call, Named, SYSTEM, fixed};
    use crate::market::address;

    /// Registers a provider of a class.
    pub fn register_provider(
        payer: impl Named,
        authority: impl Named,
        class: impl Named,
        args: &RegisterProvider,
    ) -> Call {
        let accounts = [
            payer.pubkey(),
            authority.pubkey(),
            address::config(),
            class.pubkey(),
            address::provider(authority),
            SYSTEM,
        ];
        fixed(args, accounts)
    }

    /// Replaces what a provider says of itself.
    pub fn update_provider(authority: impl Named, args: &UpdateProvider) -> Call {
        fixed(args, [authority.pubkey(), address::provider(authority)])
    }

    /// Adds stake.
    pub fn add_stake(payer: impl Named, authority: impl Named, lamports: u64) -> Call {
        let args = AddStake {
            amount: U64::new(lamports),
        };
        let accounts = [
            payer.pubkey(),
            authority.pubkey(),
            address::config(),
            address::provider(authority),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// Begins to unbond stake.
    pub fn request_unstake(authority: impl Named, lamports: u64) -> Call {
        let args = RequestUnstake {
            amount: U64::new(lamports),
        };
        let accounts = [
            authority.pubkey(),
            address::config(),
            address::provider(authority),
        ];
        fixed(&args, accounts)
    }

    /// Pays out unbonded stake.
    pub fn withdraw_stake(authority: impl Named) -> Call {
        let accounts = [authority.pubkey(), address::provider(authority)];
        fixed(&WithdrawStake {}, accounts)
    }

    /// Pays a provider's earnings to its authority. `signer` is authority or operator.
    pub fn withdraw_claimable(signer: impl Named, authority: impl Named) -> Call {
        let accounts = [
            signer.pubkey(),
            address::provider(authority),
            authority.pubkey(),
        ];
        fixed(&WithdrawClaimable {}, accounts)
    }

    /// Ends a jail time that is over. `signer` is authority or operator.
    pub fn unjail(signer: impl Named, authority: impl Named) -> Call {
        let accounts = [
            signer.pubkey(),
            address::config(),
            address::provider(authority),
        ];
        fixed(&Unjail {}, accounts)
    }

    /// Closes an empty provider.
    pub fn close_provider(authority: impl Named, rent_payer: impl Named) -> Call {
        let accounts = [
            authority.pubkey(),
            address::provider(authority),
            rent_payer.pubkey(),
        ];
        fixed(&CloseProvider {}, accounts)
    }
}
