//! Disputes about epochs of leases.

use super::*;
use crate::hash::Hash;
use crate::le::{U32, U64};
use crate::market::state::{NAMED_ELEMENTS, NamedElement};

instructions! {
    /// Says that a proof is false, naming elements of it, for a bond; or, as the tenant, that an epoch was not served, which burns
    /// its price and half as much of the tenant's.
    DisputeLease = 72 {
        /// [`crate::market::state::LeaseTerms::hash`] of the lease.
        terms_hash: Hash,
        /// The epoch.
        epoch: U64,
        /// Its proof; zero for the seconds behind the last one.
        proof: Hash,
        /// [`crate::market::state::DisputeKind`].
        kind: u8,
        /// Used part of `elements`; 0 for what was not served.
        count: u8,
        /// Elements, ascending by unit, round, row and column; the rest zero.
        elements: [NamedElement; NAMED_ELEMENTS],
        /// Most lamports of the bond, which grows with each dispute that is open before it.
        most: U64 = "most_lamports",
    } [
        pays("payer"), signs("disputer"), write("provider"), write("lease"), maybe(write("lease_dispute")), read("system_program"),
    ]

    /// Shows of a disputed proof the root of a round that a named element needs, or a named element. Anyone.
    OpenProof = 73 {
        /// [`crate::market::state::Shown`].
        kind: u8,
        /// Unit of the round; 0 for an element.
        unit: u8,
        /// Round of the unit, or place of the element in the dispute.
        index: U32,
    } [write("lease_dispute")]
        => "the root of the round, or the 64 bytes of the element's leaf, and its path"

    /// Decides the oldest open dispute of a lease: when everything is opened, when an element is wrong, when the time for openings
    /// is over. Anyone.
    ResolveLeaseDispute = 74 {} [write("provider"), write("lease"), write("lease_dispute")]

    /// Pays a decided dispute's disputer what is due to it, and closes it; the rent goes to who paid it, and with it what the
    /// disputer's wallet was too empty to hold. Anyone.
    CloseLeaseDispute = 75 {} [write("lease_dispute"), write("disputer"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use alloc::vec::Vec;
    use bytemuck::Zeroable;

    use crate::ix::build::{Call, Named, SYSTEM, build, fixed, with_tail};
    use crate::market::state::{DisputeKind, Lease, LeaseDispute, LeaseEpoch, Shown};
    use crate::market::{address, meter};

    /// Says that a proof is false, for a bond of at most `most` lamports; of more than eight elements the first are named.
    pub fn refute_lease(
        payer: impl Named,
        disputer: impl Named,
        (lease, state): (impl Named, &Lease),
        epoch: &LeaseEpoch,
        elements: &[NamedElement],
        most: u64,
    ) -> Call {
        let mut args = DisputeLease {
            terms_hash: state.terms_hash,
            epoch: epoch.epoch,
            proof: epoch.proof,
            kind: DisputeKind::Refute as u8,
            count: elements.len().min(NAMED_ELEMENTS) as u8,
            elements: Zeroable::zeroed(),
            most: U64::new(most),
        };
        for (place, element) in args.elements.iter_mut().zip(elements) {
            *place = *element;
        }
        let accounts = [
            payer.pubkey(),
            disputer.pubkey(),
            address::provider(state.terms.provider),
            lease.pubkey(),
            address::lease_dispute(lease, epoch.epoch.get(), disputer),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// Says as the tenant that an epoch was not served.
    pub fn unserved_lease(
        payer: impl Named,
        (lease, state): (impl Named, &Lease),
        epoch: &LeaseEpoch,
    ) -> Call {
        let args = DisputeLease {
            terms_hash: state.terms_hash,
            epoch: epoch.epoch,
            proof: epoch.proof,
            kind: DisputeKind::Unserved as u8,
            count: 0,
            elements: Zeroable::zeroed(),
            most: U64::new(meter::half(epoch.amount.get())),
        };
        let accounts = [
            Some(payer.pubkey()),
            Some(state.terms.tenant.pubkey()),
            Some(address::provider(state.terms.provider)),
            Some(lease.pubkey()),
            None,
            Some(SYSTEM),
        ];
        build(&args, &accounts, [])
    }

    /// What is shown, and its path.
    fn shown(content: &[u8], path: &[Hash]) -> Vec<u8> {
        [content, path.as_flattened()].concat()
    }

    /// Shows the root of a round.
    pub fn open_root(
        dispute: impl Named,
        (unit, round): (u8, u32),
        root: &Hash,
        path: &[Hash],
    ) -> Call {
        let args = OpenProof {
            kind: Shown::Root as u8,
            unit,
            index: U32::new(round),
        };
        with_tail(&args, &shown(root, path), &[Some(dispute.pubkey())])
    }

    /// Shows a named element by its place in the dispute.
    pub fn open_element(dispute: impl Named, place: u32, leaf: &[u8; 64], path: &[Hash]) -> Call {
        let args = OpenProof {
            kind: Shown::Element as u8,
            unit: 0,
            index: U32::new(place),
        };
        with_tail(&args, &shown(leaf, path), &[Some(dispute.pubkey())])
    }

    /// Decides a dispute; `state` is the dispute as read.
    pub fn resolve_lease_dispute(dispute: impl Named, state: &LeaseDispute) -> Call {
        let accounts = [
            address::provider(state.provider),
            state.lease.pubkey(),
            dispute.pubkey(),
        ];
        fixed(&ResolveLeaseDispute {}, accounts)
    }

    /// Pays and closes a decided dispute; `state` is the dispute as read.
    pub fn close_lease_dispute(dispute: impl Named, state: &LeaseDispute) -> Call {
        let accounts = [
            dispute.pubkey(),
            state.disputer.pubkey(),
            state.rent_payer.pubkey(),
        ];
        fixed(&CloseLeaseDispute {}, accounts)
    }
}
