//! Vaults and the grants that let others spend from them.

use super::*;
use crate::le::{U32, U64};
use crate::state::{GRANT_MODELS, Key};

instructions! {
    /// Pays into a vault, which is created if need be. Anyone may pay for anyone.
    DepositVault = 40 {
        /// Lamports, from the payer.
        amount: U64 = "amount_lamports",
    } [pays("payer"), read("owner"), write("vault"), read("system_program")]

    /// Pays out of a vault to its owner.
    WithdrawVault = 41 {
        /// Lamports.
        amount: U64 = "amount_lamports",
    } [pays("owner"), write("vault")]

    /// Closes a vault without open jobs; the balance goes to the owner.
    CloseVault = 42 {} [pays("owner"), write("vault"), write("rent_payer")]

    /// Lets a delegate spend within limits, or changes the limits; what was spent stays counted. Revives a
    /// revoked grant.
    GrantSpend = 43 {
        /// Lamports spent and held ever, as the grant's account says; 0 where there is none.
        spent: U64 = "spent_lamports",
        /// Most lamports of one job.
        per_job_max: U64 = "per_job_max_lamports",
        /// Most lamports in one window.
        window_max: U64 = "window_max_lamports",
        /// Length of a window, slots.
        window_slots: U32,
        /// Most lamports ever.
        lifetime_cap: U64 = "lifetime_cap_lamports",
        /// Slot from which the grant is void.
        expiry_slot: U64,
        /// Used part of `models`; 0 = every model.
        model_count: u8,
        /// Addresses of models that may be used; the rest zero.
        models: [Key; GRANT_MODELS],
    } [pays("payer"), signs("owner"), read("delegate"), write("grant"), read("system_program")]

    /// Ends a grant; its running jobs go on.
    RevokeGrant = 44 {} [signs("owner"), write("grant")]

    /// Closes a grant that is revoked or expired and has no open jobs. Its owner; from `close_delay_slots` after its
    /// expiry on, anyone.
    CloseGrant = 45 {} [maybe(signs("owner")), read("config"), write("grant"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::*;

    /// Pays into a vault, making it if need be.
    pub fn deposit_vault(payer: impl Named, owner: impl Named, lamports: u64) -> Call {
        let args = DepositVault {
            amount: U64::new(lamports),
        };
        let accounts = [
            payer.pubkey(),
            owner.pubkey(),
            address::vault(owner),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// Pays out of a vault to its owner.
    pub fn withdraw_vault(owner: impl Named, lamports: u64) -> Call {
        let args = WithdrawVault {
            amount: U64::new(lamports),
        };
        fixed(&args, [owner.pubkey(), address::vault(owner)])
    }

    /// Closes a vault that holds nothing for open jobs.
    pub fn close_vault(owner: impl Named, rent_payer: impl Named) -> Call {
        let accounts = [owner.pubkey(), address::vault(owner), rent_payer.pubkey()];
        fixed(&CloseVault {}, accounts)
    }

    /// Lets a delegate spend from the owner's vault within limits.
    pub fn grant_spend(
        payer: impl Named,
        owner: impl Named,
        delegate: impl Named,
        args: &GrantSpend,
    ) -> Call {
        let accounts = [
            payer.pubkey(),
            owner.pubkey(),
            delegate.pubkey(),
            address::grant(owner, delegate),
            SYSTEM,
        ];
        fixed(args, accounts)
    }

    /// Revokes a grant.
    pub fn revoke_grant(owner: impl Named, delegate: impl Named) -> Call {
        let accounts = [owner.pubkey(), address::grant(owner, delegate)];
        fixed(&RevokeGrant {}, accounts)
    }

    /// Closes a grant that is over, as its owner.
    pub fn close_grant(owner: impl Named, delegate: impl Named, rent_payer: impl Named) -> Call {
        closing(
            Some(owner.pubkey()),
            address::grant(owner, delegate),
            rent_payer,
        )
    }

    /// Closes a grant that is long over, as anybody; `grant` is its account.
    pub fn close_old_grant(grant: impl Named, rent_payer: impl Named) -> Call {
        closing(None, grant, rent_payer)
    }

    fn closing(owner: Option<Pubkey>, grant: impl Named, rent_payer: impl Named) -> Call {
        let accounts = [
            owner,
            Some(address::config()),
            Some(grant.pubkey()),
            Some(rent_payer.pubkey()),
        ];
        build(&CloseGrant {}, &accounts, [])
    }
}
