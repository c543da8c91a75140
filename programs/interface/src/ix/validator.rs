//! Validators: registration, stake, earnings, jail. `authority` is the validator's name, never the address of its account;
//! `owner` is its cold key: the authority, until it hands over.

use super::*;
use crate::le::{Text, U32, U64};
use crate::state::{ENDPOINT_LEN, GPU_NAME_LEN, Key};

instructions! {
    /// Registers a validator with stake, which is active at once. The models it serves follow as accounts.
    RegisterValidator = 24 {
        /// Hot key.
        operator: Key,
        /// Lamports of stake, from the payer.
        stake: U64 = "stake_lamports",
        /// GPU memory, MiB; 0 = CPU only.
        vram_mib: U32,
        /// Name of the GPU; empty = CPU only.
        gpu_name: Text<GPU_NAME_LEN>,
        /// URL at which gateways reach the node.
        endpoint: Text<ENDPOINT_LEN>,
    } [pays("payer"), signs("authority"), read("config"), write("validator"), read("system_program")] + "model"

    /// Replaces a validator's operator, endpoint, GPU and models. The models it serves follow as accounts;
    /// those it served before keep their slot.
    UpdateValidator = 25 {
        /// Hot key.
        operator: Key,
        /// GPU memory, MiB; 0 = CPU only.
        vram_mib: U32,
        /// Name of the GPU; empty = CPU only.
        gpu_name: Text<GPU_NAME_LEN>,
        /// URL at which gateways reach the node.
        endpoint: Text<ENDPOINT_LEN>,
    } [signs("owner"), write("validator")] + "model"

    /// Adds stake, which counts after the unbonding time or the maturity, whichever is longer; stake that is activating already waits with it.
    AddStake = 26 {
        /// Lamports, from the payer.
        amount: U64 = "amount_lamports",
    } [pays("payer"), signs("owner"), read("config"), write("validator"), read("system_program")]

    /// Takes stake out of the active one; stake that is unbonding already waits with it.
    RequestUnstake = 27 {
        /// Lamports; what stays must be the minimum stake or nothing.
        amount: U64 = "amount_lamports",
    } [signs("owner"), read("config"), write("validator")]

    /// Pays out unbonded stake, once nothing that the validator accepted or judged can ask for it.
    WithdrawStake = 28 {} [pays("owner"), write("validator")]

    /// Pays what was earned to the owner. Signed by owner or operator.
    WithdrawClaimable = 29 {} [signs("signer"), write("validator"), write("owner")]

    /// Ends a jail time that is over. Signed by owner or operator.
    Unjail = 30 {} [signs("signer"), read("config"), write("validator")]

    /// Closes a validator that holds nothing and is not in jail.
    CloseValidator = 31 {} [signs("owner"), write("validator"), write("rent_payer")]

    /// Names who may take over a validator from its owner.
    ProposeOwner = 32 {
        /// The next owner; zero takes a proposal back.
        new_owner: Key,
    } [signs("owner"), write("validator")]

    /// Takes over a validator: stake, earnings and settings. Its name stays.
    AcceptOwner = 33 {} [signs("new_owner"), write("validator")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::*;

    /// Registers a validator for the accounts of the models it serves.
    pub fn register_validator(
        payer: impl Named,
        authority: impl Named,
        args: &RegisterValidator,
        models: &[impl Named],
    ) -> Call {
        let accounts = [
            payer.pubkey(),
            authority.pubkey(),
            address::config(),
            address::validator(authority),
            SYSTEM,
        ];
        build(args, &accounts.map(Some), keys(models))
    }

    /// Replaces a validator's settings and the models it serves.
    pub fn update_validator(
        owner: impl Named,
        authority: impl Named,
        args: &UpdateValidator,
        models: &[impl Named],
    ) -> Call {
        let accounts = [owner.pubkey(), address::validator(authority)];
        build(args, &accounts.map(Some), keys(models))
    }

    /// Adds stake.
    pub fn add_stake(
        payer: impl Named,
        owner: impl Named,
        authority: impl Named,
        lamports: u64,
    ) -> Call {
        let args = AddStake {
            amount: U64::new(lamports),
        };
        let accounts = [
            payer.pubkey(),
            owner.pubkey(),
            address::config(),
            address::validator(authority),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// Begins to unbond stake.
    pub fn request_unstake(owner: impl Named, authority: impl Named, lamports: u64) -> Call {
        let args = RequestUnstake {
            amount: U64::new(lamports),
        };
        let accounts = [
            owner.pubkey(),
            address::config(),
            address::validator(authority),
        ];
        fixed(&args, accounts)
    }

    /// Pays out unbonded stake.
    pub fn withdraw_stake(owner: impl Named, authority: impl Named) -> Call {
        let accounts = [owner.pubkey(), address::validator(authority)];
        fixed(&WithdrawStake {}, accounts)
    }

    /// Pays a validator's earnings to its owner. `signer` is owner or operator.
    pub fn withdraw_claimable(
        signer: impl Named,
        owner: impl Named,
        authority: impl Named,
    ) -> Call {
        let accounts = [
            signer.pubkey(),
            address::validator(authority),
            owner.pubkey(),
        ];
        fixed(&WithdrawClaimable {}, accounts)
    }

    /// Ends a jail time that is over. `signer` is owner or operator.
    pub fn unjail(signer: impl Named, authority: impl Named) -> Call {
        let accounts = [
            signer.pubkey(),
            address::config(),
            address::validator(authority),
        ];
        fixed(&Unjail {}, accounts)
    }

    /// Closes an empty validator.
    pub fn close_validator(
        owner: impl Named,
        authority: impl Named,
        rent_payer: impl Named,
    ) -> Call {
        let accounts = [
            owner.pubkey(),
            address::validator(authority),
            rent_payer.pubkey(),
        ];
        fixed(&CloseValidator {}, accounts)
    }
    /// Proposes another owner.
    pub fn propose_owner(owner: impl Named, authority: impl Named, new_owner: impl Named) -> Call {
        let args = ProposeOwner {
            new_owner: new_owner.pubkey().to_bytes(),
        };
        fixed(&args, [owner.pubkey(), address::validator(authority)])
    }

    /// Takes over as owner.
    pub fn accept_owner(new_owner: impl Named, authority: impl Named) -> Call {
        let accounts = [new_owner.pubkey(), address::validator(authority)];
        fixed(&AcceptOwner {}, accounts)
    }
}
