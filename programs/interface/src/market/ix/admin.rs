//! The market's parameters, its admin, its treasury, its classes.

use super::*;
use crate::le::{Text, U32};
use crate::market::params::{Grid, MarketParams};
use crate::market::state::{CLASS_NAME_LEN, Probe};

instructions! {
    /// Creates config and treasury. Once, by the program's upgrade authority.
    Initialize = 1 {
        /// Key that sets parameters and registers classes.
        admin: Key,
        /// Address that receives the foundation's share.
        foundation: Key,
        /// The grid of epochs, for ever.
        grid: Grid,
        /// All parameters.
        params: MarketParams,
    } [pays("payer"), signs("upgrade_authority"), read("program_data"), write("config"), write("treasury"), read("system_program")]

    /// Sets all parameters and the foundation's address. What was requested keeps its own.
    UpdateConfig = 2 {
        /// Address that receives the foundation's share.
        foundation: Key,
        /// All parameters.
        params: MarketParams,
    } [signs("admin"), write("config")]

    /// Names who may take over as admin.
    ProposeAdmin = 3 {
        /// The next admin; zero takes a proposal back.
        new_admin: Key,
    } [signs("admin"), write("config")]

    /// Takes over as admin.
    AcceptAdmin = 4 {} [signs("new_admin"), write("config")]

    /// Stops new requests, and nothing else.
    Pause = 5 {} [signs("admin"), write("config")]

    /// Takes requests again.
    Unpause = 6 {} [signs("admin"), write("config")]

    /// Moves what a provider owes to the treasury and the incinerator. Anyone.
    Sweep = 7 {} [write("provider"), write("treasury"), write("incinerator")]

    /// Pays the treasury's balance to the foundation's address. Anyone.
    WithdrawFoundation = 8 {} [read("config"), write("treasury"), write("foundation")]

    /// Registers a class, for ever.
    RegisterClass = 16 {
        /// Name, which its address is made of.
        name: Text<CLASS_NAME_LEN>,
        /// What each unit proves.
        probe: Probe,
        /// GPU memory of a unit, MiB; 0 = CPU only.
        vram_mib: U32,
        /// 1 if the probe's time was measured on the device that the class is named after.
        calibrated: u8,
    } [pays("payer"), signs("admin"), read("config"), write("class"), read("system_program")]

    /// Retires a class: no new providers, no new requests.
    RetireClass = 17 {} [signs("admin"), read("config"), write("class")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::{Call, INCINERATOR, Named, SYSTEM, fixed};
    use crate::market::address;

    /// Creates config and treasury. Signed by `payer` and the program's upgrade authority.
    pub fn initialize(payer: impl Named, upgrade_authority: impl Named, args: &Initialize) -> Call {
        let accounts = [
            payer.pubkey(),
            upgrade_authority.pubkey(),
            crate::address::program_data(&address::PROGRAM_ID),
            address::config(),
            address::treasury(),
            SYSTEM,
        ];
        fixed(args, accounts)
    }

    /// Replaces all parameters and the foundation's address.
    pub fn update_config(admin: impl Named, foundation: impl Named, params: &MarketParams) -> Call {
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

    /// Stops new requests.
    pub fn pause(admin: impl Named) -> Call {
        fixed(&Pause {}, [admin.pubkey(), address::config()])
    }

    /// Takes new requests again.
    pub fn unpause(admin: impl Named) -> Call {
        fixed(&Unpause {}, [admin.pubkey(), address::config()])
    }

    /// Moves what a provider owes to foundation and burn; `provider` is its authority.
    pub fn sweep(provider: impl Named) -> Call {
        let accounts = [
            address::provider(provider),
            address::treasury(),
            INCINERATOR,
        ];
        fixed(&Sweep {}, accounts)
    }

    /// Pays the treasury to the foundation's address, as the config has it.
    pub fn withdraw_foundation(foundation: impl Named) -> Call {
        let accounts = [address::config(), address::treasury(), foundation.pubkey()];
        fixed(&WithdrawFoundation {}, accounts)
    }

    /// Registers a class.
    pub fn register_class(payer: impl Named, admin: impl Named, args: &RegisterClass) -> Call {
        let accounts = [
            payer.pubkey(),
            admin.pubkey(),
            address::config(),
            address::class(&args.name),
            SYSTEM,
        ];
        fixed(args, accounts)
    }

    /// Retires a class.
    pub fn retire_class(admin: impl Named, class: impl Named) -> Call {
        let accounts = [admin.pubkey(), address::config(), class.pubkey()];
        fixed(&RetireClass {}, accounts)
    }
}
