//! What a dispute names is opened: roots of rounds, then elements, each against the program's own arithmetic.

use mythic_interface::error::MythicError;
use mythic_interface::hash::Hash;
use mythic_interface::market::ix;
use mythic_interface::market::probe::{
    Factors, PRODUCT_LEAF_LEN, Place, element_of, leads_to_proof, leads_to_round, product_leaf,
    round_index, round_seed,
};
use mythic_interface::market::state::{LeaseDispute, LeaseDisputeStatus, Shown};
use mythic_interface::window;
use pinocchio::AccountView;

use crate::accounts::{self, load_mut};

#[inline(never)]
pub fn open(
    accounts: &mut [AccountView],
    args: &ix::OpenProof,
    tail: &[u8],
) -> Result<(), MythicError> {
    let [dispute] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut dispute = load_mut::<LeaseDispute>(dispute)?;
    if dispute.header.status != LeaseDisputeStatus::Open as u8 {
        return Err(MythicError::WrongDisputeStatus);
    }
    if !window::open(slot, dispute.openings_end.get()) {
        return Err(MythicError::OpeningsOver);
    }
    let index = args.index.get();
    match Shown::from_u8(args.kind).ok_or(MythicError::UnknownDisputeKind)? {
        Shown::Root => {
            let (root, path) = shown::<32>(tail)?;
            open_root(&mut dispute, (args.unit, index), root, path)
        }
        Shown::Element if args.unit != 0 => Err(MythicError::InvalidInstructionData),
        Shown::Element => {
            let (leaf, path) = shown::<PRODUCT_LEAF_LEN>(tail)?;
            open_element(&mut dispute, index, leaf, path)
        }
    }
}

/// What is shown, and its path.
fn shown<const N: usize>(tail: &[u8]) -> Result<(&[u8; N], &[Hash]), MythicError> {
    let (content, path) = tail
        .split_first_chunk()
        .ok_or(MythicError::InvalidInstructionData)?;
    let path = bytemuck::try_cast_slice(path).map_err(|_| MythicError::InvalidInstructionData)?;
    Ok((content, path))
}

/// Notes the root of a round with every element that needs it.
fn open_root(
    dispute: &mut LeaseDispute,
    (unit, round): (u8, u32),
    root: &Hash,
    path: &[Hash],
) -> Result<(), MythicError> {
    if !dispute
        .named()
        .iter()
        .any(|element| element.needs(unit, round))
    {
        return Err(MythicError::NotNamed);
    }
    let rounds = dispute.rounds.get();
    let index = round_index(rounds, unit, round);
    if !leads_to_proof(&dispute.proof, (dispute.units, rounds), index, root, path) {
        return Err(MythicError::PathMismatch);
    }
    let before = (dispute.rooted, dispute.linked);
    for place in 0..usize::from(dispute.count) {
        let element = dispute.elements[place];
        if !element.needs(unit, round) {
            continue;
        }
        if element.round.get() == round {
            dispute.roots[place] = *root;
            dispute.rooted |= 1 << place;
        } else {
            dispute.links[place] = *root;
            dispute.linked |= 1 << place;
        }
    }
    match (dispute.rooted, dispute.linked) == before {
        true => Err(MythicError::AlreadyOpened),
        false => Ok(()),
    }
}

/// Opens an element. Its leaf must lead to its round's root; whether it is right, the program computes.
fn open_element(
    dispute: &mut LeaseDispute,
    index: u32,
    leaf: &[u8; PRODUCT_LEAF_LEN],
    path: &[Hash],
) -> Result<(), MythicError> {
    if index >= dispute.count.into() {
        return Err(MythicError::NotNamed);
    }
    let place = index as usize;
    let bit = 1 << place;
    if dispute.opened & bit != 0 {
        return Err(MythicError::AlreadyOpened);
    }
    if dispute.rooted & dispute.linked & bit == 0 {
        return Err(MythicError::RootNotShown);
    }
    let element = dispute.elements[place];
    let (n, row, column) = (dispute.n.get(), element.row.get(), element.column.get());
    let at = product_leaf(n, row, column);
    if !leads_to_round(&dispute.roots[place], n, at, leaf, path) {
        return Err(MythicError::PathMismatch);
    }
    let seed = round_seed(
        &Place {
            lease: &dispute.lease,
            unit: element.unit,
            epoch: dispute.epoch.get(),
            round: element.round.get(),
        },
        &dispute.links[place],
    );
    match Factors::new(&seed).element(n, row, column) == element_of(leaf, column) {
        true => dispute.opened |= bit,
        false => dispute.header.status = LeaseDisputeStatus::Wrong as u8,
    }
    Ok(())
}
