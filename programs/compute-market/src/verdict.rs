//! Disputes end: an answer is paid, a refuted proof ends its lease and costs stake, bonds return or burn.

use mythic_interface::error::MythicError;
use mythic_interface::market::state::{
    CloseReason, DisputeEnd, Lease, LeaseDispute, LeaseDisputeStatus, LeaseStatus, Provider,
};
use mythic_interface::market::{ix, meter};
use mythic_interface::window;
use mythic_interface::{money, money::sub};
use mythic_program::stake;
use pinocchio::AccountView;

use crate::accounts::{self, count, key, load, load_mut, lower, lowered, raise};
use crate::close::{end, refund_pending};
use crate::lease::check_provider;
use crate::provider::jail;

/// Lamports that a verdict moves.
#[derive(Default)]
struct Moves {
    dispute_to_provider: u64,
    provider_to_dispute: u64,
}

#[inline(never)]
pub fn resolve(
    accounts: &mut [AccountView],
    _: &ix::ResolveLeaseDispute,
) -> Result<(), MythicError> {
    let [provider_account, lease_account, dispute_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let moves = {
        let mut dispute = load_mut::<LeaseDispute>(dispute_account)?;
        if dispute.lease != *key(lease_account) {
            return Err(MythicError::WrongLease);
        }
        let mut lease = load_mut::<Lease>(lease_account)?;
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_provider(&lease, &provider)?;
        let how = decide(&dispute, &lease, slot)?;
        uncount(&dispute, &mut lease, &mut provider)?;
        dispute.header.status = LeaseDisputeStatus::Resolved as u8;
        dispute.end = how as u8;
        dispute.resolved_slot.set(slot);
        match how {
            DisputeEnd::Answered => answered(&mut dispute, &mut provider)?,
            DisputeEnd::Wrong | DisputeEnd::Unanswered => {
                refuted(&mut dispute, how, (&mut *lease, &mut *provider), slot)?
            }
            DisputeEnd::Void => {
                dispute.returned = dispute.held;
                Moves::default()
            }
        }
    };
    accounts::move_lamports(dispute_account, provider_account, moves.dispute_to_provider)?;
    accounts::move_lamports(provider_account, dispute_account, moves.provider_to_dispute)
}

/// How a dispute ends, if it can now.
fn decide(dispute: &LeaseDispute, lease: &Lease, slot: u64) -> Result<DisputeEnd, MythicError> {
    let status = LeaseDisputeStatus::from_u8(dispute.header.status);
    match status {
        Some(LeaseDisputeStatus::Open | LeaseDisputeStatus::Wrong) => {}
        _ => return Err(MythicError::WrongDisputeStatus),
    }
    // Who disputed first is rewarded, whichever answer comes first.
    if dispute.number.get() != lease.oldest_dispute() {
        return Err(MythicError::DisputeNotDue);
    }
    // What was answered is paid for, whatever another dispute has shown.
    if dispute.opened == dispute.all() {
        return Ok(DisputeEnd::Answered);
    }
    if lease.refuted_slot.get() != 0 {
        return Ok(DisputeEnd::Void);
    }
    if status == Some(LeaseDisputeStatus::Wrong) {
        return Ok(DisputeEnd::Wrong);
    }
    match window::open(slot, dispute.openings_end.get()) {
        true => Err(MythicError::DisputeNotDue),
        false => Ok(DisputeEnd::Unanswered),
    }
}

/// One open dispute less.
fn uncount(
    dispute: &LeaseDispute,
    lease: &mut Lease,
    provider: &mut Provider,
) -> Result<(), MythicError> {
    // The epoch keeps its place for as long as it is disputed.
    let entry = &mut lease.ring[Lease::place(dispute.epoch.get())];
    for open in [
        &mut entry.open_disputes,
        &mut lease.open_disputes,
        &mut provider.open_disputes,
    ] {
        open.set(lowered(open.get())?);
    }
    Ok(())
}

/// The provider is paid for its answer; the rest of the bond is burned.
fn answered(dispute: &mut LeaseDispute, provider: &mut Provider) -> Result<Moves, MythicError> {
    let (fee, at_stake) = (dispute.fee.get(), dispute.at_stake.get());
    stake::earn(provider, fee)?;
    stake::owe_burn(provider, at_stake)?;
    dispute.paid.set(fee);
    dispute.burned.set(at_stake);
    let both = money::add(fee, at_stake)?;
    lower(&mut dispute.held, both)?;
    Ok(Moves {
        dispute_to_provider: both,
        ..Moves::default()
    })
}

/// The lease ends, everything pending is the tenant's, the provider loses half of the stake behind its units and is jailed.
fn refuted(
    dispute: &mut LeaseDispute,
    how: DisputeEnd,
    (lease, provider): (&mut Lease, &mut Provider),
    slot: u64,
) -> Result<Moves, MythicError> {
    refund_pending(lease)?;
    lease.refuted_slot.set(slot);
    if lease.header.status != LeaseStatus::Ended as u8 {
        end(lease, provider, CloseReason::ProofRefuted, slot)?;
    }
    let terms = &lease.terms;
    let half = meter::refuted_stake(terms.probe.stake_per_unit.get(), terms.units)?;
    let slashed = stake::slash(provider, half, slot)?;
    let reward = match how {
        DisputeEnd::Unanswered => meter::unanswered_reward(slashed, dispute.held.get()),
        _ => meter::refuter_reward(slashed),
    };
    stake::owe_burn(provider, sub(slashed, reward)?)?;
    raise(&mut lease.slashed, slashed)?;
    let until = slot.saturating_add(lease.terms.rules.jail_slots.get().into());
    jail(provider, until, slot);
    count(&mut provider.refuted, 1)?;
    dispute.returned = dispute.held;
    dispute.slashed.set(slashed);
    dispute.reward.set(reward);
    raise(&mut dispute.held, reward)?;
    Ok(Moves {
        provider_to_dispute: reward,
        ..Moves::default()
    })
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseLeaseDispute) -> Result<(), MythicError> {
    let [dispute_account, disputer, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let due = {
        let dispute = load::<LeaseDispute>(dispute_account)?;
        if dispute.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if dispute.disputer != *key(disputer) {
            return Err(MythicError::WrongDisputer);
        }
        if dispute.header.status != LeaseDisputeStatus::Resolved as u8 {
            return Err(MythicError::WrongDisputeStatus);
        }
        if window::open(slot, dispute.retention_end()) {
            return Err(MythicError::TooEarlyToClose);
        }
        dispute.held.get()
    };
    if accounts::takes(disputer, due)? {
        accounts::move_lamports(dispute_account, disputer, due)?;
    }
    accounts::close(dispute_account, rent_payer)
}
