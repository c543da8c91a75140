//! Models: registration, prices, retirement.

use super::*;
use crate::le::{Text, U32};
use crate::state::{Key, MODEL_NAME_LEN, ModelSpec};

instructions! {
    /// Registers a model and burns the registration fee. Prices start at the config's defaults.
    RegisterModel = 16 {
        /// What never changes.
        spec: ModelSpec,
        /// Name.
        name: Text<MODEL_NAME_LEN>,
    } [pays("payer"), signs("registrant"), read("config"), write("model"), write("incinerator"), read("system_program")]

    /// Changes prices, name and retirement.
    UpdateModel = 17 {
        /// Lamports per 1,000 prompt tokens.
        price_in: U32 = "price_in_lamports",
        /// Lamports per 1,000 output tokens.
        price_out: U32 = "price_out_lamports",
        /// Name.
        name: Text<MODEL_NAME_LEN>,
        /// 1 = no new jobs, 0 = jobs.
        retired: u8,
    } [signs("registrant"), write("model")]

    /// Names who may take over a model from its registrant.
    ProposeRegistrant = 18 {
        /// The next registrant; zero takes a proposal back.
        new_registrant: Key,
    } [signs("registrant"), write("model")]

    /// Takes over a model.
    AcceptRegistrant = 19 {} [signs("new_registrant"), write("model")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::*;

    /// Registers a model.
    pub fn register_model(payer: impl Named, registrant: impl Named, args: &RegisterModel) -> Call {
        let accounts = [
            payer.pubkey(),
            registrant.pubkey(),
            address::config(),
            address::model(&args.spec.identity(registrant.pubkey().as_array())),
            INCINERATOR,
            SYSTEM,
        ];
        fixed(args, accounts)
    }

    /// Changes a model's prices, name or retirement; `model` is its account.
    pub fn update_model(registrant: impl Named, model: impl Named, args: &UpdateModel) -> Call {
        fixed(args, [registrant.pubkey(), model.pubkey()])
    }

    /// Proposes another registrant; `model` is the model's account.
    pub fn propose_registrant(
        registrant: impl Named,
        model: impl Named,
        new_registrant: impl Named,
    ) -> Call {
        let args = ProposeRegistrant {
            new_registrant: new_registrant.pubkey().to_bytes(),
        };
        fixed(&args, [registrant.pubkey(), model.pubkey()])
    }

    /// Takes over as registrant.
    pub fn accept_registrant(new_registrant: impl Named, model: impl Named) -> Call {
        fixed(
            &AcceptRegistrant {},
            [new_registrant.pubkey(), model.pubkey()],
        )
    }
}
