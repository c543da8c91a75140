//! The market's account layouts, by the rules of [`crate::state`]: the same header and the same version, discriminators of their own.

use bytemuck::{Pod, Zeroable};

use crate::hash::Hash;
use crate::le::U64;
use crate::state::{Account, Header, Key, LoadError};

/// The program whose accounts these are.
const PROGRAM: Key = crate::COMPUTE_MARKET_ID;

/// Room for the name of a class, bytes.
pub const CLASS_NAME_LEN: usize = 15;
/// Room for the name of a region, bytes.
pub const REGION_LEN: usize = 15;
/// Room for a provider's endpoint, bytes.
pub const PROVIDER_ENDPOINT_LEN: usize = 96;
/// Room for the URL at which a lease's spec is found, bytes.
pub const SPEC_SOURCE_LEN: usize = 96;
/// Epochs that a lease remembers.
pub const RING: usize = 32;
/// Elements that a dispute names at most.
pub const NAMED_ELEMENTS: usize = 8;

mod class;
mod config;
mod dispute;
mod lease;
mod provider;
mod request;

pub use class::{Class, ClassStatus, Probe};
pub use config::{MarketConfig, MarketTreasury};
pub use dispute::{DisputeEnd, DisputeKind, LeaseDispute, LeaseDisputeStatus, NamedElement, Shown};
pub use lease::{CloseReason, EpochState, Lease, LeaseEpoch, LeaseStatus, LeaseTerms};
pub use provider::{Isolation, Provider, ProviderStatus};
pub use request::{LeaseKind, Request, RequestStatus, RequestTerms};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_frozen() {
        let found = [
            MarketConfig::LEN,
            MarketTreasury::LEN,
            Class::LEN,
            Provider::LEN,
            Request::LEN,
            Lease::LEN,
            LeaseDispute::LEN,
        ];
        assert_eq!(found, FROZEN);
        assert!(
            found.iter().all(|len| *len <= 10_240),
            "one instruction can create it"
        );
        assert_eq!(RING as u32, crate::market::params::DISPUTE_EPOCHS + 2);
        assert_eq!(
            3 * NAMED_ELEMENTS as u32,
            crate::market::params::ANSWER_SLOTS
        );
    }

    const FROZEN: [usize; 7] = [284, 80, 105, 464, 504, 3_670, 942];

    #[test]
    fn no_account_of_the_market_is_taken_for_one_of_the_other_program() {
        let mut bytes = [0u8; MarketTreasury::LEN];
        bytes[0] = MarketTreasury::DISCRIMINATOR;
        bytes[1] = crate::state::VERSION;
        assert!(MarketTreasury::load(&bytes).is_ok());
        assert_eq!(MarketTreasury::LEN, crate::state::Treasury::LEN);
        assert!(crate::state::Treasury::load(&bytes).is_err());
        assert_eq!(
            <MarketTreasury as Account>::PROGRAM,
            crate::COMPUTE_MARKET_ID
        );
        assert_eq!(
            <crate::state::Treasury as Account>::PROGRAM,
            crate::AI_PRECOMPILES_ID
        );
    }
}
