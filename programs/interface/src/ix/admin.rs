//! The network's parameters, its admin, the treasury.

use super::*;
use crate::params::Params;
use crate::state::Key;

instructions! {
    /// Creates config and treasury. Once, by the program's upgrade authority.
    Initialize = 1 {
        /// Key that sets parameters.
        admin: Key,
        /// Address that receives the foundation's share.
        foundation: Key,
        /// All parameters.
        params: Params,
    } [pays("payer"), signs("upgrade_authority"), read("program_data"), write("config"), write("treasury"), read("system_program")]

    /// Sets all parameters and the foundation's address. Running jobs keep theirs.
    UpdateConfig = 2 {
        /// Address that receives the foundation's share.
        foundation: Key,
        /// All parameters.
        params: Params,
    } [signs("admin"), write("config")]

    /// Names who may take over as admin.
    ProposeAdmin = 3 {
        /// The next admin; zero takes a proposal back.
        new_admin: Key,
    } [signs("admin"), write("config")]

    /// Takes over as admin.
    AcceptAdmin = 4 {} [signs("new_admin"), write("config")]

    /// Stops new jobs, and nothing else.
    Pause = 5 {} [signs("admin"), write("config")]

    /// Takes jobs again.
    Unpause = 6 {} [signs("admin"), write("config")]

    /// Moves what a validator owes to the treasury and the incinerator. Anyone.
    Sweep = 7 {} [write("validator"), write("treasury"), write("incinerator")]

    /// Pays the treasury's balance to the foundation's address. Anyone.
    WithdrawFoundation = 8 {} [read("config"), write("treasury"), write("foundation")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::*;

    /// Creates Config and Treasury. Signed by `payer` and the program's upgrade authority.
    pub fn initialize(
        payer: impl Named,
        upgrade_authority: impl Named,
        admin: impl Named,
        foundation: impl Named,
        params: &Params,
    ) -> Call {
        let args = Initialize {
            admin: admin.pubkey().to_bytes(),
            foundation: foundation.pubkey().to_bytes(),
            params: *params,
        };
        let accounts = [
            payer.pubkey(),
            upgrade_authority.pubkey(),
            address::program_data(&address::PROGRAM_ID),
            address::config(),
            address::treasury(),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// Replaces all parameters and the foundation's address.
    pub fn update_config(admin: impl Named, foundation: impl Named, params: &Params) -> Call {
        let args = UpdateConfig {
            foundation: foundation.pubkey().to_bytes(),
            params: *params,
        };
        fixed(&args, [admin.pubkey(), address::config()])
    }

    /// Proposes another admin.
    pub fn propose_admin(admin: impl Named, new_admin: impl Named) -> Call {
        let args = ProposeAdmin {
            new_admin: new_admin.pubkey().to_bytes(),
        };
        fixed(&args, [admin.pubkey(), address::config()])
    }

    /// Takes over as admin.
    pub fn accept_admin(new_admin: impl Named) -> Call {
        fixed(&AcceptAdmin {}, [new_admin.pubkey(), address::config()])
    }

    /// Stops new jobs.
    pub fn pause(admin: impl Named) -> Call {
        fixed(&Pause {}, [admin.pubkey(), address::config()])
    }

    /// Takes new jobs again.
    pub fn unpause(admin: impl Named) -> Call {
        fixed(&Unpause {}, [admin.pubkey(), address::config()])
    }

    /// Moves what a validator owes to foundation and burn; `validator` is its authority.
    pub fn sweep(validator: impl Named) -> Call {
        let accounts = [
            address::validator(validator),
            address::treasury(),
            INCINERATOR,
        ];
        fixed(&Sweep {}, accounts)
    }

    /// Pays the treasury to the foundation's address, as Config has it.
    pub fn withdraw_foundation(foundation: impl Named) -> Call {
        let accounts = [address::config(), address::treasury(), foundation.pubkey()];
        fixed(&WithdrawFoundation {}, accounts)
    }
}
