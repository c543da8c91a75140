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
use crate::lease::{check_fork, check_provider, give_back};
use crate::proof::{Metered, record};
use crate::provider::{check_authority, check_either};

/// What an instruction to close does.
enum Step {
    /// The provider's notice begins.
    Notice,
    /// The lease ends before its start: the tenant gets everything back, and so many lamports of stake are burned.
    Undo(u64),
    /// The lease ends before its start is acknowledged: what was had of it is burned, and as much stake.
    Forfeit,
    /// The lease ends: the rest is metered, as far as no proof is overdue, and so many lamports of stake are burned.
    Burn(u64),
    /// The same, but that the stake is the tenant's.
    Compensate(u64),
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
        // What an end costs depends on it, and it may have changed since the closer read it.
        if lease.header.status != args.expected {
            return Err(MythicError::WrongLeaseStatus);
        }
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
        let step = step(&lease, &provider, &by)?;
        take(&mut lease, &mut provider, &by, step)?
    };
    accounts::move_lamports(lease_account, provider_account, moves.to_provider)?;
    accounts::move_lamports(provider_account, lease_account, moves.to_lease)
}

/// What closing for a reason does now; refused where the reason is not given.
fn step(lease: &Lease, provider: &Provider, by: &Closer) -> Result<Step, MythicError> {
    use LeaseStatus::{Accepted, Active, Closing, Ended, Started};
    let status = lease.status().ok_or(MythicError::WrongLeaseStatus)?;
    let running = matches!(status, Active | Closing);
    let (meter, rules) = (lease.meter(), &lease.terms.rules);
    let over = by.second >= meter.ends_at;
    let silent = meter.silent(by.second, by.slot) >= rules.max_missed.get().into();
    // Whoever ends the lease, silence costs what leaving costs.
    let silence = match silent {
        true => owed(lease, by, meter.mark)?,
        false => 0,
    };
    match by.reason {
        CloseReason::Completed if !running => Err(MythicError::WrongLeaseStatus),
        CloseReason::Completed if !over => Err(MythicError::LeaseRunning),
        CloseReason::Completed => Ok(Step::Burn(silence)),

        CloseReason::ClosedByTenant if lease.terms.tenant != *key(by.account) => {
            Err(MythicError::NotTenant)
        }
        CloseReason::ClosedByTenant => match status {
            Accepted => Ok(Step::Undo(0)),
            Started => Ok(Step::Forfeit),
            Active | Closing => Ok(Step::Burn(silence)),
            Ended => Err(MythicError::WrongLeaseStatus),
        },

        CloseReason::ClosedByProvider if !running => Err(MythicError::WrongLeaseStatus),
        CloseReason::ClosedByProvider if !leaves(lease, provider, by)? => Ok(Step::Notice),
        CloseReason::ClosedByProvider if silent => Ok(Step::Compensate(silence)),
        CloseReason::ClosedByProvider => Ok(Step::Compensate(owed(lease, by, by.second)?)),

        CloseReason::NeverStarted if status != Accepted => Err(MythicError::WrongLeaseStatus),
        CloseReason::NeverStarted if window::open(by.slot, lease.start_end()) => {
            Err(MythicError::DeadlineNotPassed)
        }
        CloseReason::NeverStarted => Ok(Step::Undo(rules.no_show.get())),

        CloseReason::NeverAcknowledged if status != Started => Err(MythicError::WrongLeaseStatus),
        CloseReason::NeverAcknowledged if !over && window::open(by.slot, lease.ack_end()) => {
            Err(MythicError::DeadlineNotPassed)
        }
        CloseReason::NeverAcknowledged => Ok(Step::Forfeit),

        CloseReason::MissedProofs if !running => Err(MythicError::WrongLeaseStatus),
        // Nobody proves what is not paid any more.
        CloseReason::MissedProofs if over => Err(MythicError::LeaseOver),
        CloseReason::MissedProofs if !silent => Err(MythicError::NotMissed),
        CloseReason::MissedProofs => Ok(Step::Burn(silence)),

        CloseReason::ProofRefuted => Err(MythicError::UnknownCloseReason),
    }
}

/// Whether a provider leaves now; else its notice begins. At once only the authority leaves, and when the notice is over, anyone
/// ends the lease.
fn leaves(lease: &Lease, provider: &Provider, by: &Closer) -> Result<bool, MythicError> {
    let noticed = lease.status() == Some(LeaseStatus::Closing);
    if noticed && epoch_of(by.slot, &lease.terms.grid) >= lease.notice_end() {
        return Ok(true);
    }
    match (by.now, noticed) {
        (true, _) => check_authority(provider, by.account).map(|()| true),
        (false, true) => Err(MythicError::NoticeRunning),
        (false, false) => check_either(provider, by.account).map(|()| false),
    }
}

/// Price of the epochs of notice that were not proved, as far as the lease has them after the second `from`.
fn owed(lease: &Lease, by: &Closer, from: u64) -> Result<u64, MythicError> {
    let notice = u64::from(lease.terms.rules.notice_epochs.get());
    let epochs = notice.saturating_sub(lease.notice_proved.get().into());
    lease
        .terms
        .price_of(lease.meter().owed(epochs, from, by.second))
}

/// Begins a notice, or ends a lease: the rest is metered, refunded or burned, the cost is taken out of stake.
fn take(
    lease: &mut Lease,
    provider: &mut Provider,
    by: &Closer,
    step: Step,
) -> Result<Moves, MythicError> {
    let (to_provider, cost) = match step {
        Step::Notice => {
            lease.header.status = LeaseStatus::Closing as u8;
            let epoch = epoch_of(by.slot, &lease.terms.grid);
            lease.notice_epoch.set(epoch);
            return Ok(Moves::default());
        }
        Step::Undo(cost) => (0, cost),
        Step::Forfeit => {
            let burned = forfeit(lease, by)?;
            stake::owe_burn(provider, burned)?;
            (burned, burned)
        }
        Step::Burn(cost) | Step::Compensate(cost) => (meter_rest(lease, provider, by)?, cost),
    };
    let taken = stake::slash(provider, cost, by.slot)?;
    raise(&mut lease.slashed, taken)?;
    let to_lease = match step {
        Step::Compensate(_) => {
            raise(&mut lease.compensated, taken)?;
            raise(&mut lease.refunded, taken)?;
            raise(&mut lease.tenant_due, taken)?;
            taken
        }
        _ => {
            stake::owe_burn(provider, taken)?;
            0
        }
    };
    end(lease, provider, by.reason, by.slot)?;
    Ok(Moves {
        to_provider,
        to_lease,
    })
}

/// Meters the seconds behind the last proof; lamports that this releases, for the provider, are returned.
fn meter_rest(lease: &mut Lease, provider: &mut Provider, by: &Closer) -> Result<u64, MythicError> {
    let meter = lease.meter();
    let missed = meter.silent(by.second, by.slot);
    count(&mut lease.missed, missed)?;
    count(&mut provider.missed, missed)?;
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

/// Burns what is pending and the seconds since, at least `no_show` as far as the lease holds it; the lamports, for the provider's
/// account to be swept, are returned.
fn forfeit(lease: &mut Lease, by: &Closer) -> Result<u64, MythicError> {
    let meter = lease.meter();
    let seconds = meter.metered(by.second, epoch_of(by.slot, &meter.grid));
    let pending = lease.pending.get();
    let least = lease.terms.rules.no_show.get().saturating_sub(pending);
    let rest = lease.terms.price_of(seconds)?.max(least);
    let rest = rest.min(lease.escrow.get());
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

/// Ends a lease: what was not metered is the tenant's, the units are free, and the stake behind them stays for what may still be
/// disputed.
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
    give_back(&mut provider.leased, lease.terms.units)?;
    if !lease.was_proved() {
        give_back(&mut provider.backed, lease.terms.units)?;
    }
    stake::oblige(provider, lease.obliged_until(slot));
    Ok(())
}
