//! Requests of capacity. In builders `state` is the request as read.

use super::*;
use crate::hash::Hash;
use crate::le::{Text, U32, U64};
use crate::market::state::{REGION_LEN, SPEC_SOURCE_LEN};

instructions! {
    /// Asks for capacity and pays the price of all its seconds into the request.
    RequestCompute = 40 {
        /// Expiry slot (8 bytes, little-endian) and 8 bytes that tell requests apart.
        nonce: [u8; 16],
        /// [`crate::market::state::LeaseKind`].
        kind: u8,
        /// [`crate::hash::spec_hash`].
        spec_hash: Hash,
        /// URL at which the spec is found.
        spec_source: Text<SPEC_SOURCE_LEN>,
        /// Address of the model of an endpoint; zero for a container.
        model: Key,
        /// Units, 1 to 8.
        units: u8,
        /// Where the provider must be; empty = anywhere.
        region: Text<REGION_LEN>,
        /// Least [`crate::market::state::Isolation`].
        isolation: u8,
        /// Authority of the provider that may accept; zero = any.
        provider: Key,
        /// Most lamports a second for each unit; of a named provider exactly its price.
        price: U64 = "price_lamports",
        /// Seconds.
        seconds: U32,
        /// Slots from the request to the deadline of its acceptance.
        deadline_slots: U32,
        /// [`crate::market::params::MarketRules::hash`] of the market's rules; must be those in force.
        rules_hash: Hash,
        /// Bump of the request's address. Clients give the canonical one.
        bump: u8,
    } [pays("payer"), signs("tenant"), read("config"), read("class"), write("request"), read("system_program")]

    /// Takes back a request that nobody has accepted; the tenant is refunded.
    CancelRequest = 41 {} [pays("tenant"), write("request")]

    /// Ends a request that nobody has accepted in time; the tenant is refunded. Anyone.
    ExpireRequest = 42 {} [write("request"), write("tenant")]

    /// Closes a request whose nonce has expired and whose lease has no account; the rent goes to who paid it, and with it a refund
    /// that the tenant's wallet was too empty to hold. Anyone.
    CloseRequest = 43 {} [write("request"), read("lease"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::{Call, Named, SYSTEM, fixed};
    use crate::market::state::Request;
    use crate::market::{address, pda};

    /// Asks for capacity of a class; the request's account is `address::request(tenant, nonce)`, whatever bump the arguments have.
    pub fn request_compute(
        payer: impl Named,
        tenant: impl Named,
        class: impl Named,
        args: &RequestCompute,
    ) -> Call {
        let (request, bump) = address::find(&pda::request(tenant.pubkey().as_array(), &args.nonce));
        let accounts = [
            payer.pubkey(),
            tenant.pubkey(),
            address::config(),
            class.pubkey(),
            request,
            SYSTEM,
        ];
        fixed(&RequestCompute { bump, ..*args }, accounts)
    }

    /// Takes a request back.
    pub fn cancel_request(tenant: impl Named, request: impl Named) -> Call {
        fixed(&CancelRequest {}, [tenant.pubkey(), request.pubkey()])
    }

    /// Refunds a request that nobody has accepted in time.
    pub fn expire_request(request: impl Named, state: &Request) -> Call {
        let accounts = [request.pubkey(), state.terms.tenant.pubkey()];
        fixed(&ExpireRequest {}, accounts)
    }

    /// Closes a request.
    pub fn close_request(request: impl Named, state: &Request) -> Call {
        let accounts = [
            request.pubkey(),
            address::lease(request),
            state.rent_payer.pubkey(),
        ];
        fixed(&CloseRequest {}, accounts)
    }
}
