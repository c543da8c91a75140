//! What a dispute still asks for. Pure.

use std::collections::BTreeSet;

use mythic_interface::market::{
    ix,
    probe::{WholeProof, round_index},
    state::{LeaseDispute, NAMED_ELEMENTS, NamedElement},
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

/// Rounds whose roots are not shown yet: of each named element its own, and the one before.
pub fn missing_roots(dispute: &LeaseDispute) -> BTreeSet<(u8, u32)> {
    let mut missing = BTreeSet::new();
    for (place, element) in dispute.named().iter().enumerate() {
        let (unit, round, ..) = element.key();
        if dispute.rooted & 1 << place == 0 {
            missing.insert((unit, round));
        }
        if let Some(before) = round.checked_sub(1)
            && dispute.linked & 1 << place == 0
        {
            missing.insert((unit, before));
        }
    }
    missing
}

/// Transactions that answer a dispute about these elements: one for each root that is needed, and one for each element. The bond of
/// the dispute pays for them.
pub fn transactions(elements: &[NamedElement]) -> u8 {
    let named = &elements[..elements.len().min(NAMED_ELEMENTS)];
    let rounds = named.iter().flat_map(|element| {
        let (unit, round, ..) = element.key();
        let before = round.checked_sub(1);
        [Some(round), before]
            .into_iter()
            .flatten()
            .map(move |round| (unit, round))
    });
    let rounds: BTreeSet<(u8, u32)> = rounds.collect();
    // Twenty-four at most.
    u8::try_from(rounds.len() + named.len()).unwrap_or(u8::MAX)
}

/// Places of the elements that are not shown yet.
pub fn missing_elements(dispute: &LeaseDispute) -> Vec<usize> {
    let places = 0..dispute.named().len();
    places
        .filter(|place| dispute.opened & 1 << place == 0)
        .collect()
}

/// Shows the roots that are missing, one a call.
pub fn roots(address: &Pubkey, dispute: &LeaseDispute, proof: &WholeProof) -> Vec<Instruction> {
    let show = |(unit, round): (u8, u32)| {
        let (root, path) = proof.round(unit, round);
        ix::open_root(address, (unit, round), &root, &path)
    };
    missing_roots(dispute).into_iter().map(show).collect()
}

/// Shows the elements that are missing, one a call.
pub fn elements(address: &Pubkey, dispute: &LeaseDispute, proof: &WholeProof) -> Vec<Instruction> {
    let show = |place: usize| {
        let (unit, round, row, column) = dispute.named().get(place)?.key();
        let index = round_index(proof.rounds, unit, round) as usize;
        let (leaf, path) = proof.all.get(index)?.opening(row, column);
        let place = u32::try_from(place).ok()?;
        Some(ix::open_element(address, place, &leaf, &path))
    };
    missing_elements(dispute)
        .into_iter()
        .filter_map(show)
        .collect()
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::le::U32;

    use super::*;

    #[test]
    fn what_is_shown_already_is_not_shown_again() {
        let mut dispute = LeaseDispute::zeroed();
        let named = |unit: u8, round: u32| NamedElement {
            unit,
            round: U32::new(round),
            ..NamedElement::default()
        };
        dispute.count = 3;
        dispute.elements[..3].copy_from_slice(&[named(0, 0), named(0, 2), named(1, 3)]);
        // The first element's link is the hash of the epoch's first slot.
        dispute.linked = 0b001;
        assert_eq!(transactions(dispute.named()), 5 + 3);
        assert_eq!(transactions(&dispute.named()[..1]), 2);
        assert_eq!(transactions(&[]), 0);
        let roots = |dispute: &LeaseDispute| missing_roots(dispute).into_iter().collect::<Vec<_>>();
        assert_eq!(roots(&dispute), [(0, 0), (0, 1), (0, 2), (1, 2), (1, 3)]);
        dispute.rooted = 0b011;
        assert_eq!(roots(&dispute), [(0, 1), (1, 2), (1, 3)]);
        dispute.rooted = 0b111;
        dispute.linked = 0b111;
        assert!(roots(&dispute).is_empty());
        assert_eq!(missing_elements(&dispute), [0, 1, 2]);
        dispute.opened = 0b101;
        assert_eq!(missing_elements(&dispute), [1]);
        let address = Pubkey::new_from_array([9; 32]);
        let proof = WholeProof::new(&[1; 32], 4, &[2; 32], (2, 4, 16));
        assert_eq!(elements(&address, &dispute, &proof).len(), 1);
        dispute.rooted = 0;
        assert_eq!(super::roots(&address, &dispute, &proof).len(), 3);
    }
}
