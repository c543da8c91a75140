//! Validators: registration, stake, earnings, jail. `authority` is the validator's cold key, never the address of its
//! account.

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
    } [signs("authority"), write("validator")] + "model"

    /// Adds stake, which counts after the unbonding time; stake that is activating already waits with it.
    AddStake = 26 {
        /// Lamports, from the payer.
        amount: U64 = "amount_lamports",
    } [pays("payer"), signs("authority"), read("config"), write("validator"), read("system_program")]

    /// Takes stake out of the active one; stake that is unbonding already waits with it.
    RequestUnstake = 27 {
        /// Lamports; what stays must be the minimum stake or nothing.
        amount: U64 = "amount_lamports",
    } [signs("authority"), read("config"), write("validator")]

    /// Pays out unbonded stake.
    WithdrawStake = 28 {} [pays("authority"), write("validator")]

    /// Pays what was earned to the authority. Signed by authority or operator.
    WithdrawClaimable = 29 {} [signs("signer"), write("validator"), write("authority")]

    /// Ends a jail time that is over. Signed by authority or operator.
    Unjail = 30 {} [signs("signer"), read("config"), write("validator")]

    /// Closes a validator that holds nothing.
    CloseValidator = 31 {} [signs("authority"), write("validator"), write("rent_payer")]
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
        authority: impl Named,
        args: &UpdateValidator,
        models: &[impl Named],
    ) -> Call {
        let accounts = [authority.pubkey(), address::validator(authority)];
        build(args, &accounts.map(Some), keys(models))
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
            address::validator(authority),
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
            address::validator(authority),
        ];
        fixed(&args, accounts)
    }

    /// Pays out unbonded stake.
    pub fn withdraw_stake(authority: impl Named) -> Call {
        let accounts = [authority.pubkey(), address::validator(authority)];
        fixed(&WithdrawStake {}, accounts)
    }

    /// Pays a validator's earnings to its authority. `signer` is authority or operator.
    pub fn withdraw_claimable(signer: impl Named, authority: impl Named) -> Call {
        let accounts = [
            signer.pubkey(),
            address::validator(authority),
            authority.pubkey(),
        ];
        fixed(&WithdrawClaimable {}, accounts)
    }

    /// Ends a jail time that is over. `signer` is authority or operator.
    pub fn unjail(signer: impl Named, authority: impl Named) -> Call {
        let accounts = [
            signer.pubkey(),
            address::config(),
            address::validator(authority),
        ];
        fixed(&Unjail {}, accounts)
    }

    /// Closes an empty validator.
    pub fn close_validator(authority: impl Named, rent_payer: impl Named) -> Call {
        let accounts = [
            authority.pubkey(),
            address::validator(authority),
            rent_payer.pubkey(),
        ];
        fixed(&CloseValidator {}, accounts)
    }
}
