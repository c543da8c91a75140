//! The end of a lease: who may end it, what the seconds behind the last proof pay, what it costs.

use mythic_interface::error::MythicError;
use mythic_interface::market::ix;
use mythic_interface::market::meter::epoch_of;
use mythic_interface::market::state::{
    CloseReason, EpochState, Lease, LeaseStatus, Provider, RING,
};
use mythic_interface::state::NO_KEY;
use mythic_interface::window;
use mythic_program::stake;
use pinocchio::AccountView;

use crate::accounts::{self, count, key, load_mut, lower, raise};
use crate::lease::{check_fork, check_provider};
use crate::proof::{Metered, record};
use crate::provider::check_either;

/// What becomes of the seconds behind the last proof.
enum Rest {
    /// They are the tenant's.
    Refunded,
    /// They are metered, as far as no proof is overdue.
    Metered,
    /// They are burned, with everything that is pending.
    Forfeited,
}

/// What an end costs the provider.
enum Cost {
    Nothing,
    /// The rules' `no_show`, burned.
    NoShow,
    /// The price of so many seconds, for the tenant.
    Paid(u64),
    /// The price of so many seconds, burned.
    Burned(u64),
}

/// What an instruction to close does.
enum Step {
    /// The provider's notice begins.
    Notice,
    /// The lease ends.
    End(Rest, Cost),
}

/// Lamports that an end moves.
#[derive(Default)]
struct Moves {
    to_provider: u64,
    to_lease: u64,
}

/// Who closes, and when.
struct Closer<'a> {
    account: &'a AccountView,
    reason: CloseReason,
    /// The provider ends it now, at the price of its notice.
    now: bool,
    slot: u64,
    second: u64,
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], args: &ix::CloseLease) -> Result<(), MythicError> {
    let [closer, provider_account, lease_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let (slot, second) = accounts::clock()?;
    let moves = {
        let mut lease = load_mut::<Lease>(lease_account)?;
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_provider(&lease, &provider)?;
        check_fork(&lease, &args.terms_hash)?;
        let reason = CloseReason::from_u8(args.reason).ok_or(MythicError::UnknownCloseReason)?;
        if args.now > 1 {
            return Err(MythicError::InvalidFlag);
        }
        let by = Closer {
            account: closer,
            reason,
            now: args.now == 1,
            slot,
            second,
        };
        match step(&lease, &provider, &by)? {
            Step::Notice => {
                lease.header.status = LeaseStatus::Closing as u8;
                let epoch = epoch_of(slot, &lease.terms.grid);
                lease.notice_epoch.set(epoch);
                return Ok(());
            }
            Step::End(rest, cost) => finish(&mut lease, &mut provider, &by, (rest, cost))?,
        }
    };
    accounts::move_lamports(lease_account, provider_account, moves.to_provider)?;
    accounts::move_lamports(provider_account, lease_account, moves.to_lease)
}

/// What closing for a reason does now; refused where the reason is not given.
fn step(lease: &Lease, provider: &Provider, by: &Closer) -> Result<Step, MythicError> {
    use LeaseStatus::{Accepted, Active, Closing, Started};
    let status = lease.status().ok_or(MythicError::WrongLeaseStatus)?;
    let running = matches!(status, Active | Closing);
    let over = by.second >= lease.ends_at.get();
    match by.reason {
        CloseReason::Completed if !running => Err(MythicError::WrongLeaseStatus),
        CloseReason::Completed if !over => Err(MythicError::LeaseRunning),
        CloseReason::Completed => Ok(Step::End(Rest::Metered, Cost::Nothing)),

        CloseReason::ClosedByTenant if lease.terms.tenant != *key(by.account) => {
            Err(MythicError::NotTenant)
        }
        CloseReason::ClosedByTenant => match status {
            Accepted => Ok(Step::End(Rest::Refunded, Cost::Nothing)),
            Started => Ok(Step::End(Rest::Forfeited, Cost::Nothing)),
            Active | Closing => Ok(Step::End(Rest::Metered, Cost::Nothing)),
            LeaseStatus::Ended => Err(MythicError::WrongLeaseStatus),
        },

        CloseReason::ClosedByProvider => by_provider(lease, provider, by),

        CloseReason::NeverStarted if status != Accepted => Err(MythicError::WrongLeaseStatus),
        CloseReason::NeverStarted if window::open(by.slot, lease.start_end()) => {
            Err(MythicError::DeadlineNotPassed)
        }
        CloseReason::NeverStarted => Ok(Step::End(Rest::Refunded, Cost::NoShow)),

        CloseReason::NeverAcknowledged if status != Started => Err(MythicError::WrongLeaseStatus),
        CloseReason::NeverAcknowledged if window::open(by.slot, lease.ack_end()) => {
            Err(MythicError::DeadlineNotPassed)
        }
        CloseReason::NeverAcknowledged => Ok(Step::End(Rest::Forfeited, Cost::Nothing)),

        CloseReason::MissedProofs if !running => Err(MythicError::WrongLeaseStatus),
        // Nobody proves what is not paid any more.
        CloseReason::MissedProofs if over => Err(MythicError::LeaseOver),
        CloseReason::MissedProofs => {
            let (meter, rules) = (lease.meter(), &lease.terms.rules);
            let missed = meter.missed(epoch_of(by.slot, &meter.grid));
            if missed < rules.max_missed.get().into() {
                return Err(MythicError::NotMissed);
            }
            let seconds = meter.owed(rules.notice_epochs.get().into(), meter.mark);
            Ok(Step::End(Rest::Metered, Cost::Burned(seconds)))
        }

        CloseReason::ProofRefuted => Err(MythicError::UnknownCloseReason),
    }
}

/// A provider gives notice and goes on proving, or pays for the epochs of notice that it does not prove: at once, or when the
/// notice is over and anyone ends the lease.
fn by_provider(lease: &Lease, provider: &Provider, by: &Closer) -> Result<Step, MythicError> {
    let notice = u64::from(lease.terms.rules.notice_epochs.get());
    let meter = lease.meter();
    let end = |epochs| Step::End(Rest::Metered, Cost::Paid(meter.owed(epochs, by.second)));
    match lease.status() {
        Some(LeaseStatus::Active) => {
            check_either(provider, by.account)?;
            match by.now {
                true => Ok(end(notice)),
                false => Ok(Step::Notice),
            }
        }
        Some(LeaseStatus::Closing) => {
            if epoch_of(by.slot, &meter.grid) < lease.notice_end() {
                check_either(provider, by.account)?;
                if !by.now {
                    return Err(MythicError::NoticeRunning);
                }
            }
            Ok(end(notice.saturating_sub(lease.notice_proved.get().into())))
        }
        _ => Err(MythicError::WrongLeaseStatus),
    }
}

/// Ends a lease: the rest is metered, refunded or burned, the cost is taken out of stake.
fn finish(
    lease: &mut Lease,
    provider: &mut Provider,
    by: &Closer,
    (rest, cost): (Rest, Cost),
) -> Result<Moves, MythicError> {
    let mut moves = Moves::default();
    match rest {
        Rest::Refunded => {}
        Rest::Metered => moves.to_provider = meter_rest(lease, provider, by)?,
        Rest::Forfeited => {
            let seconds = lease.meter().unmetered(by.second);
            moves.to_provider = forfeit(lease, seconds)?;
            stake::owe_burn(provider, moves.to_provider)?;
        }
    }
    let (price, for_tenant) = match cost {
        Cost::Nothing => (0, false),
        Cost::NoShow => (lease.terms.rules.no_show.get(), false),
        Cost::Paid(seconds) => (lease.terms.price_of(seconds)?, true),
        Cost::Burned(seconds) => (lease.terms.price_of(seconds)?, false),
    };
    let taken = stake::slash(provider, price, by.slot)?;
    raise(&mut lease.slashed, taken)?;
    if for_tenant {
        raise(&mut lease.compensated, taken)?;
        raise(&mut lease.refunded, taken)?;
        raise(&mut lease.tenant_due, taken)?;
        moves.to_lease = taken;
    } else {
        stake::owe_burn(provider, taken)?;
    }
    end(lease, provider, by.reason, by.slot)?;
    Ok(moves)
}

/// Meters the seconds behind the last proof; lamports that this releases, for the provider, are returned.
fn meter_rest(lease: &mut Lease, provider: &mut Provider, by: &Closer) -> Result<u64, MythicError> {
    let meter = lease.meter();
    if by.reason == CloseReason::MissedProofs {
        let missed = meter.missed(epoch_of(by.slot, &meter.grid));
        count(&mut lease.missed, missed)?;
        count(&mut provider.missed, missed)?;
    }
    let seconds = meter.tail(by.second, by.slot);
    if seconds == 0 {
        return Ok(0);
    }
    let metered = Metered {
        epoch: meter.last_proved.saturating_add(1),
        hash: &NO_KEY,
        proof: &NO_KEY,
        seconds,
        now: by.second,
        slot: by.slot,
    };
    record(lease, provider, &metered)
}

/// Burns what is pending and so many seconds more; their lamports, for the provider's account to be swept, are returned.
fn forfeit(lease: &mut Lease, seconds: u64) -> Result<u64, MythicError> {
    let pending = lease.pending.get();
    let rest = lease.terms.price_of(seconds)?;
    settle_pending(lease, EpochState::Forfeited);
    lease.pending.set(0);
    lower(&mut lease.escrow, rest)?;
    raise(&mut lease.burned, pending)?;
    raise(&mut lease.burned, rest)?;
    mythic_interface::money::add(pending, rest)
}

/// Gives every pending epoch a state; the caller places what is pending.
fn settle_pending(lease: &mut Lease, state: EpochState) {
    for place in 0..RING {
        if lease.ring[place].is_pending() {
            lease.ring[place].state = state as u8;
        }
    }
}

/// Refunds what is pending, because a proof of the lease was refuted.
pub fn refund_pending(lease: &mut Lease) -> Result<(), MythicError> {
    let pending = lease.pending.get();
    settle_pending(lease, EpochState::Refuted);
    lease.pending.set(0);
    raise(&mut lease.refunded, pending)?;
    raise(&mut lease.tenant_due, pending)
}

/// Ends a lease: what was not metered is the tenant's, the units are free, and the stake stays for what may still be disputed.
pub fn end(
    lease: &mut Lease,
    provider: &mut Provider,
    reason: CloseReason,
    slot: u64,
) -> Result<(), MythicError> {
    let rest = lease.escrow.get();
    lease.escrow.set(0);
    raise(&mut lease.refunded, rest)?;
    raise(&mut lease.tenant_due, rest)?;
    lease.header.status = LeaseStatus::Ended as u8;
    lease.reason = reason as u8;
    lease.ended_slot.set(slot);
    let leased = provider.leased.get().checked_sub(lease.terms.units.into());
    provider
        .leased
        .set(leased.ok_or(MythicError::BalanceUnderflow)?);
    stake::oblige(provider, lease.obliged_until(slot));
    Ok(())
}
