//! A dispute about the proof of an epoch: which elements were named, what was shown of them, how it ended.

use super::*;
use crate::le::U32;

byte_enum! {
    /// What is said of an epoch.
    DisputeKind {
        /// Its proof is false.
        Refute = 1 "refute",
        /// It was not served: the tenant's word, final at once, for which there is no account.
        Unserved = 2 "unserved",
    }
}

byte_enum! {
    /// `header.status` of [`LeaseDispute`].
    LeaseDisputeStatus {
        /// What is named can be opened.
        Open = 1 "open",
        /// An element was opened and is wrong.
        Wrong = 2 "wrong",
        /// Decided.
        Resolved = 3 "resolved",
    }
}

byte_enum! {
    /// How a dispute ended: `LeaseDispute::end`, 0 while it is open.
    DisputeEnd {
        /// Everything was opened and is right.
        Answered = 1 "answered",
        /// An element was wrong.
        Wrong = 2 "wrong",
        /// Not everything was opened in time.
        Unanswered = 3 "unanswered",
        /// Another dispute had refuted a proof of the lease before.
        Void = 4 "void",
    }
}

byte_enum! {
    /// What an instruction shows of a proof.
    Shown {
        /// The root of a round.
        Root = 1 "root",
        /// A named element.
        Element = 2 "element",
    }
}

/// An element of C that a dispute names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct NamedElement {
    /// Unit of the lease.
    pub unit: u8,
    /// Round of the unit.
    pub round: U32,
    /// Row.
    pub row: U32,
    /// Column.
    pub column: U32,
}

impl NamedElement {
    /// The order in which a dispute names elements.
    pub fn key(&self) -> (u8, u32, u32, u32) {
        (
            self.unit,
            self.round.get(),
            self.row.get(),
            self.column.get(),
        )
    }

    /// Whether checking it needs the root of a round: its own, and that of the round before.
    pub fn needs(&self, unit: u8, round: u32) -> bool {
        self.unit == unit
            && (self.round.get() == round || self.round.get().checked_sub(1) == Some(round))
    }
}

/// A dispute that says that a proof is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LeaseDispute {
    /// Status: [`LeaseDisputeStatus`].
    pub header: Header,
    /// Address of the [`Lease`].
    pub lease: Key,
    /// The epoch.
    pub epoch: U64,
    /// Which dispute about the lease it is, from 0 on: they are decided in this order.
    pub number: U32,
    /// Who says so.
    pub disputer: Key,
    /// Authority of the provider.
    pub provider: Key,
    /// Who paid the rent and gets it back.
    pub rent_payer: Key,
    /// Hash of the epoch's first slot.
    pub hash: Hash,
    /// The proof.
    pub proof: Hash,
    /// Side of the matrices.
    pub n: U32,
    /// Rounds of each unit.
    pub rounds: U32,
    /// Units of the lease.
    pub units: u8,
    /// Used part of `elements`.
    pub count: u8,
    /// Bits of the elements that were opened and are right.
    pub opened: u8,
    /// Bits of the elements whose own root was shown.
    pub rooted: u8,
    /// Bits of the elements whose link, the root of the round before, was shown.
    pub linked: u8,
    /// [`DisputeEnd`], 0 while it is open.
    pub end: u8,
    /// The elements, ascending; the rest zero.
    pub elements: [NamedElement; NAMED_ELEMENTS],
    /// The root of each element's round, once shown.
    pub roots: [Hash; NAMED_ELEMENTS],
    /// What each element's seed is drawn from: the root of the round before, once shown, or `hash`.
    pub links: [Hash; NAMED_ELEMENTS],
    /// Part of the bond that pays for the answer.
    pub fee: U64,
    /// Part of the bond at stake.
    pub at_stake: U64,
    /// Slot of the dispute.
    pub opened_slot: U64,
    /// Slot from which nothing can be opened.
    pub openings_end: U64,
    /// Slot of the decision.
    pub resolved_slot: U64,
    /// Slots that it stays after the decision.
    pub close_delay_slots: U32,
    /// Lamports that lie here: the bond, then what is due to the disputer.
    pub held: U64,
    /// Lamports of the bond that are the disputer's again.
    pub returned: U64,
    /// Lamports of stake that are the disputer's.
    pub reward: U64,
    /// Lamports of stake slashed.
    pub slashed: U64,
    /// Lamports of the bond burned.
    pub burned: U64,
    /// Lamports of the bond that the provider got for its answer.
    pub paid: U64,
}
account!(LeaseDispute, 38);

impl LeaseDispute {
    /// The elements that are named.
    pub fn named(&self) -> &[NamedElement] {
        &self.elements[..usize::from(self.count).min(NAMED_ELEMENTS)]
    }

    /// A bit for each element that is named.
    pub fn all(&self) -> u8 {
        self.named().iter().fold(0, |bits, _| bits << 1 | 1)
    }

    /// Slot from which it can be closed, once it is resolved.
    pub fn retention_end(&self) -> u64 {
        self.resolved_slot
            .get()
            .saturating_add(self.close_delay_slots.get().into())
    }
}
