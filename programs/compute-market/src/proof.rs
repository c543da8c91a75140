//! The ring of a lease: proofs that meter it, and what is paid of them.

use mythic_interface::error::MythicError;
use mythic_interface::hash::Hash;
use mythic_interface::le::{U32, U64};
use mythic_interface::market::state::{EpochState, Lease, LeaseEpoch, LeaseStatus, Provider, RING};
use mythic_interface::market::{ix, meter};
use mythic_interface::money;
use mythic_interface::state::NO_KEY;
use mythic_interface::window;
use mythic_program::{slot_hashes, stake};
use pinocchio::AccountView;

use crate::accounts::{self, count, load_mut, lower, raise};
use crate::lease::{check_fork, check_provider};
use crate::provider::check_operator;

/// Seconds that are metered.
pub struct Metered<'a> {
    /// The epoch under which the ring has them.
    pub epoch: u64,
    /// Hash of the epoch's first slot.
    pub hash: &'a Hash,
    /// The proof; zero for the seconds behind the last one.
    pub proof: &'a Hash,
    /// How many.
    pub seconds: u64,
    /// The current second.
    pub now: u64,
    /// The current slot.
    pub slot: u64,
}

/// Puts metered seconds into the ring. What had their place is released; the lamports of that, for the provider, are returned.
pub fn record(
    lease: &mut Lease,
    provider: &mut Provider,
    metered: &Metered,
) -> Result<u64, MythicError> {
    let place = Lease::place(metered.epoch);
    let old = &lease.ring[place];
    // The rules let every dispute end before its epoch's place is needed.
    if old.state != 0 && old.epoch.get() >= lease.held_from() {
        return Err(MythicError::OpenDisputes);
    }
    let released = match old.is_pending() {
        true => pay(lease, provider, place)?,
        false => 0,
    };
    let amount = lease.terms.price_of(metered.seconds)?;
    let seconds = u32::try_from(metered.seconds).map_err(|_| MythicError::AmountTooLarge)?;
    lower(&mut lease.escrow, amount)?;
    raise(&mut lease.pending, amount)?;
    lease.ring[place] = LeaseEpoch {
        epoch: U64::new(metered.epoch),
        hash: *metered.hash,
        proof: *metered.proof,
        seconds: U32::new(seconds),
        amount: U64::new(amount),
        slot: U64::new(metered.slot),
        open_disputes: U32::new(0),
        state: EpochState::Pending as u8,
    };
    let mark = metered.now.min(lease.ends_at.get()).max(lease.mark.get());
    lease.mark.set(mark);
    stake::oblige(provider, lease.obliged_until(metered.slot));
    Ok(released)
}

/// Pays a pending epoch; its lamports, for the provider's account, are returned.
fn pay(lease: &mut Lease, provider: &mut Provider, place: usize) -> Result<u64, MythicError> {
    let rules = &lease.terms.rules;
    let (provider_bps, foundation_bps) = (rules.provider_bps.get(), rules.foundation_bps.get());
    let entry = &mut lease.ring[place];
    let amount = entry.amount.get();
    entry.state = EpochState::Released as u8;
    let split = money::split_by(amount, provider_bps, foundation_bps);
    lower(&mut lease.pending, amount)?;
    raise(&mut lease.paid, split.earner)?;
    raise(&mut lease.foundation, split.foundation)?;
    raise(&mut lease.burned, split.burned)?;
    stake::earn(provider, split.earner)?;
    stake::owe_foundation(provider, split.foundation)?;
    stake::owe_burn(provider, split.burned)?;
    Ok(amount)
}

#[inline(never)]
pub fn submit(accounts: &mut [AccountView], args: &ix::SubmitProof) -> Result<(), MythicError> {
    let [operator, provider_account, lease_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let (slot, now) = accounts::clock()?;
    let released = {
        let mut lease = load_mut::<Lease>(lease_account)?;
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_operator(&provider, operator)?;
        check_provider(&lease, &provider)?;
        check_fork(&lease, &args.terms_hash)?;
        check_running(&lease, slot)?;
        if args.proof == NO_KEY {
            return Err(MythicError::EmptyHash);
        }
        check_epoch(&lease, args, slot)?;
        let (epoch, meter) = (args.epoch.get(), lease.meter());
        let missed = meter.missed(epoch);
        let metered = Metered {
            epoch,
            hash: &args.hash,
            proof: &args.proof,
            seconds: meter.metered(now, epoch),
            now,
            slot,
        };
        let released = record(&mut lease, &mut provider, &metered)?;
        lease.last_proved.set(epoch);
        count(&mut lease.missed, missed)?;
        count(&mut provider.missed, missed)?;
        count(&mut provider.proved, 1)?;
        let closing = lease.header.status == LeaseStatus::Closing as u8;
        if closing && epoch > lease.notice_epoch.get() {
            let proved = accounts::raised(lease.notice_proved.get())?;
            lease.notice_proved.set(proved);
        }
        released
    };
    accounts::move_lamports(lease_account, provider_account, released)
}

/// A lease takes proofs from its start on; while the start is not acknowledged, no longer than it may be.
fn check_running(lease: &Lease, slot: u64) -> Result<(), MythicError> {
    match lease.status() {
        Some(LeaseStatus::Active | LeaseStatus::Closing) => Ok(()),
        Some(LeaseStatus::Started) if window::open(slot, lease.ack_end()) => Ok(()),
        Some(LeaseStatus::Started) => Err(MythicError::DeadlinePassed),
        _ => Err(MythicError::WrongLeaseStatus),
    }
}

/// The proof must be of the current epoch, in its time, and begin with the hash that this fork has for it: a proof that was made on
/// another one is refused here, so that it is no false one.
fn check_epoch(lease: &Lease, args: &ix::SubmitProof, slot: u64) -> Result<(), MythicError> {
    let (epoch, meter) = (args.epoch.get(), lease.meter());
    if epoch != meter::epoch_of(slot, &meter.grid) {
        return Err(MythicError::WrongEpoch);
    }
    if epoch <= meter.last_proved {
        return Err(MythicError::EpochProved);
    }
    if !window::open(slot, meter.proof_end(epoch)) {
        return Err(MythicError::ProofsClosed);
    }
    if meter.mark >= meter.ends_at {
        return Err(MythicError::LeaseOver);
    }
    let first = slot_hashes::first_from(meter::epoch_start(epoch, &meter.grid))
        .map_err(|_| MythicError::EpochUnknown)?;
    match first == (args.first_slot.get(), args.hash) {
        true => Ok(()),
        false => Err(MythicError::WrongFork),
    }
}

#[inline(never)]
pub fn release(accounts: &mut [AccountView], _: &ix::VerifyAndRelease) -> Result<(), MythicError> {
    let [provider_account, lease_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let released = {
        let mut lease = load_mut::<Lease>(lease_account)?;
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_provider(&lease, &provider)?;
        // Nothing is paid before the tenant has reached it.
        if lease.acknowledged_slot.get() == 0 {
            return Err(MythicError::WrongLeaseStatus);
        }
        let held_from = lease.held_from();
        let (mut released, mut any) = (0, false);
        for place in 0..RING {
            if lease.ring[place].is_due(&lease.terms.rules, held_from, slot) {
                released += pay(&mut lease, &mut provider, place)?;
                any = true;
            }
        }
        if !any {
            return Err(MythicError::NothingToRelease);
        }
        released
    };
    accounts::move_lamports(lease_account, provider_account, released)
}
