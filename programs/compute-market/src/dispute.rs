//! Disputes begin: somebody names what is false of a proof, or the tenant says that an epoch was not served.

use mythic_interface::error::MythicError;
use mythic_interface::market::state::{
    DisputeKind, EpochState, Lease, LeaseDispute, LeaseDisputeStatus, LeaseEpoch, LeaseTerms,
    NAMED_ELEMENTS, NamedElement, Provider,
};
use mythic_interface::market::{ix, meter, pda};
use mythic_interface::money;
use mythic_interface::state::NO_KEY;
use mythic_interface::window;
use mythic_program::stake;
use pinocchio::AccountView;

use crate::accounts::{self, count, is_absent, key, load_mut, lower, raise, raised};
use crate::lease::{check_fork, check_provider};

#[inline(never)]
pub fn dispute(accounts: &mut [AccountView], args: &ix::DisputeLease) -> Result<(), MythicError> {
    let [
        payer,
        disputer,
        provider_account,
        lease_account,
        dispute_account,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    match DisputeKind::from_u8(args.kind).ok_or(MythicError::UnknownDisputeKind)? {
        DisputeKind::Refute => {
            let about = [provider_account, lease_account, dispute_account];
            refute(payer, disputer, about, args)
        }
        DisputeKind::Unserved => {
            if !is_absent(dispute_account) {
                return Err(MythicError::UnexpectedDispute);
            }
            unserved(payer, disputer, [provider_account, lease_account], args)
        }
    }
}

/// The epoch that is disputed: in one of these states, as this fork has it, in its time.
fn disputed<'a>(
    lease: &'a Lease,
    args: &ix::DisputeLease,
    states: &[EpochState],
    slot: u64,
) -> Result<&'a LeaseEpoch, MythicError> {
    let entry = lease
        .epoch(args.epoch.get())
        .filter(|entry| states.iter().any(|state| entry.state == *state as u8))
        .ok_or(MythicError::EpochNotPending)?;
    if entry.proof != args.proof {
        return Err(MythicError::WrongFork);
    }
    match window::open(slot, entry.dispute_end(&lease.terms.rules)) {
        true => Ok(entry),
        false => Err(MythicError::DisputeClosed),
    }
}

fn refute(
    payer: &AccountView,
    disputer: &AccountView,
    [provider_account, lease_account, dispute_account]: [&mut AccountView; 3],
    args: &ix::DisputeLease,
) -> Result<(), MythicError> {
    let slot = accounts::slot()?;
    let address = *key(lease_account);
    let mut lease = load_mut::<Lease>(lease_account)?;
    let mut provider = load_mut::<Provider>(provider_account)?;
    check_provider(&lease, &provider)?;
    check_fork(&lease, &args.terms_hash)?;
    // What the tenant says of an epoch shields no false proof of it.
    let states = [EpochState::Pending, EpochState::Unserved];
    let hash = disputed(&lease, args, &states, slot)?.hash;
    if args.proof == NO_KEY {
        return Err(MythicError::ProofMissing);
    }
    let elements = named(args)?;
    check_elements(elements, &lease.terms)?;
    let bond = meter::refute_bond(
        &lease.terms.rules,
        transactions(elements),
        lease.terms.epoch_price()?,
        lease.open_disputes.get(),
    )?;
    let held = money::add(bond.fee, bond.at_stake)?;
    check_bond(held, args)?;

    let epoch = args.epoch.get().to_le_bytes();
    let seeds = pda::lease_dispute(&address, &epoch, key(disputer));
    accounts::create::<LeaseDispute>(payer, dispute_account, &seeds)?;
    accounts::pay(payer, dispute_account, held)?;
    let mut dispute = load_mut::<LeaseDispute>(dispute_account)?;
    dispute.header.status = LeaseDisputeStatus::Open as u8;
    dispute.lease = address;
    dispute.epoch = args.epoch;
    dispute.number = lease.disputes;
    dispute.disputer = *key(disputer);
    dispute.provider = lease.terms.provider;
    dispute.rent_payer = *key(payer);
    dispute.hash = hash;
    dispute.proof = args.proof;
    dispute.n = lease.terms.probe.n;
    dispute.rounds = lease.terms.probe.rounds;
    dispute.units = lease.terms.units;
    dispute.count = args.count;
    dispute.elements = args.elements;
    // The first round's seed is drawn from the epoch's first slot, which is known.
    for (place, element) in elements.iter().enumerate() {
        if element.round.get() == 0 {
            dispute.links[place] = hash;
            dispute.linked |= 1 << place;
        }
    }
    dispute.fee.set(bond.fee);
    dispute.at_stake.set(bond.at_stake);
    dispute.held.set(held);
    dispute.opened_slot.set(slot);
    dispute.openings_end.set(lease.openings_end(slot));
    dispute.close_delay_slots = lease.terms.rules.close_delay_slots;

    let lease = &mut *lease;
    let entry = &mut lease.ring[Lease::place(args.epoch.get())];
    for disputes in [
        &mut entry.open_disputes,
        &mut lease.open_disputes,
        &mut lease.disputes,
        &mut provider.open_disputes,
    ] {
        disputes.set(raised(disputes.get())?);
    }
    Ok(())
}

/// Refuses a bond that is more than the disputer means to pay: others may have disputed since it looked.
fn check_bond(lamports: u64, args: &ix::DisputeLease) -> Result<(), MythicError> {
    match lamports <= args.most.get() {
        true => Ok(()),
        false => Err(MythicError::BondTooHigh),
    }
}

/// The elements that are named; the rest must be zero.
fn named(args: &ix::DisputeLease) -> Result<&[NamedElement], MythicError> {
    let count = usize::from(args.count);
    if !(1..=NAMED_ELEMENTS).contains(&count) {
        return Err(MythicError::ElementsInvalid);
    }
    let (elements, rest) = args.elements.split_at(count);
    match rest
        .iter()
        .all(|element| *element == NamedElement::default())
    {
        true => Ok(elements),
        false => Err(MythicError::ElementsInvalid),
    }
}

fn check_elements(elements: &[NamedElement], terms: &LeaseTerms) -> Result<(), MythicError> {
    let n = terms.probe.n;
    let inside = |element: &NamedElement| {
        element.unit < terms.units
            && element.round < terms.probe.rounds
            && element.row < n
            && element.column < n
    };
    let ascend = elements
        .windows(2)
        .all(|pair| pair[0].key() < pair[1].key());
    match ascend && elements.iter().all(inside) {
        true => Ok(()),
        false => Err(MythicError::ElementsInvalid),
    }
}

/// Transactions that answer: one for each element, and one for each root that is needed for any.
fn transactions(elements: &[NamedElement]) -> u8 {
    let mut all = 0;
    for (place, element) in elements.iter().enumerate() {
        let round = element.round.get();
        let earlier = &elements[..place];
        let is_new = |round| !earlier.iter().any(|other| other.needs(element.unit, round));
        let link = round.checked_sub(1);
        all += 1 + u8::from(is_new(round)) + u8::from(link.is_some_and(is_new));
    }
    all
}

/// The tenant's word: the epoch's price is burned, and half as much of the tenant's, so that a lie costs what it harms.
fn unserved(
    payer: &AccountView,
    disputer: &AccountView,
    [provider_account, lease_account]: [&mut AccountView; 2],
    args: &ix::DisputeLease,
) -> Result<(), MythicError> {
    let slot = accounts::slot()?;
    if args.count != 0
        || args
            .elements
            .iter()
            .any(|element| *element != NamedElement::default())
    {
        return Err(MythicError::ElementsInvalid);
    }
    let (amount, bond) = {
        let mut lease = load_mut::<Lease>(lease_account)?;
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_provider(&lease, &provider)?;
        check_fork(&lease, &args.terms_hash)?;
        if lease.terms.tenant != *key(disputer) {
            return Err(MythicError::NotTenant);
        }
        let amount = disputed(&lease, args, &[EpochState::Pending], slot)?
            .amount
            .get();
        let bond = meter::half(amount);
        check_bond(bond, args)?;
        lease.ring[Lease::place(args.epoch.get())].state = EpochState::Unserved as u8;
        lower(&mut lease.pending, amount)?;
        raise(&mut lease.burned, amount)?;
        stake::owe_burn(&mut *provider, money::add(amount, bond)?)?;
        count(&mut provider.unserved, amount)?;
        (amount, bond)
    };
    accounts::pay(payer, provider_account, bond)?;
    accounts::move_lamports(lease_account, provider_account, amount)
}
