//! A lease's life but for its proofs and its end: acceptance, start, acknowledgement, more seconds, what is the tenant's.

use mythic_interface::error::MythicError;
use mythic_interface::le::U16;
use mythic_interface::market::params::TOP_UP_SECONDS;
use mythic_interface::market::state::{
    Class, Lease, LeaseStatus, Provider, ProviderStatus, RING, Request, RequestStatus, RequestTerms,
};
use mythic_interface::market::{ix, meter, pda};
use mythic_interface::money::{checked_mul, sub};
use mythic_interface::state::NO_KEY;
use mythic_interface::window;
use mythic_program::stake;
use pinocchio::AccountView;

use crate::accounts::{self, count, key, load, load_mut, lower, lowered, raise, raised};
use crate::provider::check_operator;

#[inline(never)]
pub fn accept(accounts: &mut [AccountView], args: &ix::AcceptJob) -> Result<(), MythicError> {
    let [
        operator,
        provider_account,
        class,
        request_account,
        lease_account,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let escrow = {
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_operator(&provider, operator)?;
        let address = *key(request_account);
        let mut request = load_mut::<Request>(request_account)?;
        if request.header.status != RequestStatus::Open as u8 {
            return Err(MythicError::WrongRequestStatus);
        }
        if request.terms_hash != args.terms_hash {
            return Err(MythicError::WrongFork);
        }
        if !window::open(slot, request.deadline_slot.get()) {
            return Err(MythicError::DeadlinePassed);
        }
        if *key(class) != request.terms.class {
            return Err(MythicError::WrongClass);
        }
        stake::activate(&mut *provider, slot)?;
        fits(&provider, &request.terms)?;

        accounts::create::<Lease>(operator, lease_account, &pda::lease(&address))?;
        let mut lease = load_mut::<Lease>(lease_account)?;
        lease.header.status = LeaseStatus::Accepted as u8;
        let terms = &mut lease.terms;
        terms.request = address;
        terms.request_hash = request.terms_hash;
        terms.tenant = request.terms.tenant;
        terms.provider = provider.authority;
        terms.class = request.terms.class;
        terms.probe = load::<Class>(class)?.probe;
        terms.units = request.terms.units;
        terms.price = provider.price;
        terms.seconds = request.terms.seconds;
        terms.grid = request.terms.grid;
        terms.rules = request.terms.rules;
        lease.terms_hash = lease.terms.hash();
        lease.rent_payer = *key(operator);
        lease.accepted_slot.set(slot);

        // What the request paid beyond this provider's price is the tenant's again.
        let escrow = request.escrow.get();
        let price = lease.terms.price_of(lease.terms.seconds.get().into())?;
        let rest = sub(escrow, price)?;
        lease.deposited.set(escrow);
        lease.escrow.set(price);
        lease.tenant_due.set(rest);
        lease.refunded.set(rest);

        request.header.status = RequestStatus::Accepted as u8;
        request.ended_slot.set(slot);
        request.escrow.set(0);

        let provider = &mut *provider;
        for units in [&mut provider.leased, &mut provider.backed] {
            let more = units.get().checked_add(request.terms.units.into());
            units.set(more.ok_or(MythicError::CounterOverflow)?);
        }
        let open = raised(provider.open_leases.get())?;
        provider.open_leases.set(open);
        count(&mut provider.leases, 1)?;
        escrow
    };
    accounts::move_lamports(request_account, lease_account, escrow)
}

/// Whether a provider is what a request asks for, and its stake covers it.
fn fits(provider: &Provider, asked: &RequestTerms) -> Result<(), MythicError> {
    if provider.header.status != ProviderStatus::Active as u8 {
        return Err(MythicError::Jailed);
    }
    let named = asked.provider != NO_KEY;
    if named && asked.provider != provider.authority {
        return Err(MythicError::WrongProvider);
    }
    if asked.class != provider.class {
        return Err(MythicError::WrongClass);
    }
    if !asked.region.is_empty() && asked.region != provider.region {
        return Err(MythicError::WrongRegion);
    }
    if provider.isolation < asked.isolation {
        return Err(MythicError::WeakIsolation);
    }
    if named && provider.price != asked.price {
        return Err(MythicError::PriceChanged);
    }
    if provider.price > asked.price {
        return Err(MythicError::PriceTooHigh);
    }
    let seconds = asked.grid.epoch_seconds.get();
    let epoch_price = meter::price_of(provider.price.get(), asked.units, seconds.into())?;
    if epoch_price < asked.rules.min_epoch_price.get() {
        return Err(MythicError::EpochTooCheap);
    }
    let all = meter::price_of(
        provider.price.get(),
        asked.units,
        asked.seconds.get().into(),
    )?;
    if all < asked.rules.no_show.get() {
        return Err(MythicError::EscrowTooSmall);
    }
    if provider.free_units() < asked.units.into() {
        return Err(MythicError::NoUnits);
    }
    if provider.stake < asked.rules.min_stake {
        return Err(MythicError::StakeBelowMinimum);
    }
    let behind = |units: u64| checked_mul(provider.stake_per_unit.get(), units);
    let units = u64::from(asked.units);
    let all = behind(u64::from(provider.backed.get()) + units);
    if all.is_none_or(|all| provider.stake.get() < all) {
        return Err(MythicError::NoCapacity);
    }
    // The ring may hold as many epochs that nobody has checked.
    let pending = checked_mul(epoch_price, RING as u64);
    match behind(units).zip(pending) {
        Some((behind, pending)) if pending <= behind => Ok(()),
        _ => Err(MythicError::EpochsUnbacked),
    }
}

/// Takes units of a lease out of a provider's count.
pub fn give_back(count: &mut U16, units: u8) -> Result<(), MythicError> {
    let rest = count.get().checked_sub(units.into());
    count.set(rest.ok_or(MythicError::BalanceUnderflow)?);
    Ok(())
}

/// Refuses another provider than the lease's.
pub fn check_provider(lease: &Lease, provider: &Provider) -> Result<(), MythicError> {
    match lease.terms.provider == provider.authority {
        true => Ok(()),
        false => Err(MythicError::WrongProvider),
    }
}

/// Refuses terms that are not the lease's: it is another fork's.
pub fn check_fork(lease: &Lease, terms_hash: &[u8; 32]) -> Result<(), MythicError> {
    match lease.terms_hash == *terms_hash {
        true => Ok(()),
        false => Err(MythicError::WrongFork),
    }
}

#[inline(never)]
pub fn start(accounts: &mut [AccountView], args: &ix::StartLease) -> Result<(), MythicError> {
    let [operator, provider, lease] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let (slot, now) = accounts::clock()?;
    let mut lease = load_mut::<Lease>(lease)?;
    let provider = load::<Provider>(provider)?;
    check_operator(&provider, operator)?;
    check_provider(&lease, &provider)?;
    check_fork(&lease, &args.terms_hash)?;
    if lease.header.status != LeaseStatus::Accepted as u8 {
        return Err(MythicError::WrongLeaseStatus);
    }
    if !window::open(slot, lease.start_end()) {
        return Err(MythicError::DeadlinePassed);
    }
    if args.access_hash == NO_KEY {
        return Err(MythicError::EmptyHash);
    }
    lease.header.status = LeaseStatus::Started as u8;
    lease.access_hash = args.access_hash;
    lease.started_slot.set(slot);
    lease.started_at.set(now);
    lease.mark.set(now);
    let end = now.saturating_add(lease.terms.seconds.get().into());
    lease.ends_at.set(end);
    // The epoch of the start needs no proof.
    let epoch = meter::epoch_of(slot, &lease.terms.grid);
    lease.last_proved.set(epoch);
    Ok(())
}

#[inline(never)]
pub fn acknowledge(
    accounts: &mut [AccountView],
    args: &ix::AcknowledgeStart,
) -> Result<(), MythicError> {
    let [tenant, lease] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut lease = load_mut::<Lease>(lease)?;
    if lease.terms.tenant != *key(tenant) {
        return Err(MythicError::NotTenant);
    }
    check_fork(&lease, &args.terms_hash)?;
    if lease.header.status != LeaseStatus::Started as u8 {
        return Err(MythicError::WrongLeaseStatus);
    }
    if lease.access_hash != args.access_hash {
        return Err(MythicError::WrongFork);
    }
    if !window::open(slot, lease.ack_end()) {
        return Err(MythicError::DeadlinePassed);
    }
    lease.header.status = LeaseStatus::Active as u8;
    lease.acknowledged_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn top_up(accounts: &mut [AccountView], args: &ix::TopUp) -> Result<(), MythicError> {
    let [payer, lease_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let (_, now) = accounts::clock()?;
    let amount = {
        let mut lease = load_mut::<Lease>(lease_account)?;
        check_fork(&lease, &args.terms_hash)?;
        let running = [LeaseStatus::Started as u8, LeaseStatus::Active as u8];
        if !running.contains(&lease.header.status) {
            return Err(MythicError::WrongLeaseStatus);
        }
        if now.saturating_add(TOP_UP_SECONDS) > lease.ends_at.get() {
            return Err(MythicError::LeaseOver);
        }
        let seconds = u64::from(args.seconds.get());
        if seconds == 0 {
            return Err(MythicError::ZeroAmount);
        }
        let end = lease.ends_at.get().saturating_add(seconds);
        let most = lease.terms.rules.max_lease_seconds.get();
        if end > lease.started_at.get().saturating_add(most.into()) {
            return Err(MythicError::LeaseTimeOutOfRange);
        }
        let amount = lease.terms.price_of(seconds)?;
        raise(&mut lease.deposited, amount)?;
        raise(&mut lease.escrow, amount)?;
        lease.ends_at.set(end);
        amount
    };
    accounts::pay(payer, lease_account, amount)
}

#[inline(never)]
pub fn withdraw(accounts: &mut [AccountView], _: &ix::WithdrawLease) -> Result<(), MythicError> {
    let [lease_account, tenant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = {
        let mut lease = load_mut::<Lease>(lease_account)?;
        if lease.terms.tenant != *key(tenant) {
            return Err(MythicError::WrongTenant);
        }
        let amount = lease.tenant_due.get();
        if amount == 0 {
            return Err(MythicError::NothingToWithdraw);
        }
        lower(&mut lease.tenant_due, amount)?;
        amount
    };
    accounts::move_lamports(lease_account, tenant, amount)
}

#[inline(never)]
pub fn close_account(
    accounts: &mut [AccountView],
    _: &ix::CloseLeaseAccount,
) -> Result<(), MythicError> {
    let [lease_account, provider_account, tenant, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let (due, taken) = {
        let lease = load::<Lease>(lease_account)?;
        if lease.terms.tenant != *key(tenant) {
            return Err(MythicError::WrongTenant);
        }
        if lease.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if lease.header.status != LeaseStatus::Ended as u8 {
            return Err(MythicError::WrongLeaseStatus);
        }
        if lease.open_disputes.get() != 0 {
            return Err(MythicError::OpenDisputes);
        }
        if lease.pending.get() != 0 {
            return Err(MythicError::LeaseNotEmpty);
        }
        // What the tenant called unserved is not pending, but may be disputed.
        let rules = &lease.terms.rules;
        let delay = rules.close_delay_slots.get().max(rules.dispute_slots.get());
        if window::open(slot, lease.ended_slot.get().saturating_add(delay.into())) {
            return Err(MythicError::TooEarlyToClose);
        }
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_provider(&lease, &provider)?;
        let open = lowered(provider.open_leases.get())?;
        provider.open_leases.set(open);
        if lease.was_proved() {
            give_back(&mut provider.backed, lease.terms.units)?;
        }
        // A tenant that can't be paid keeps nobody's stake and rent.
        let due = lease.tenant_due.get();
        let taken = accounts::takes(tenant, due)?;
        if !taken {
            stake::owe_burn(&mut *provider, due)?;
        }
        (due, taken)
    };
    let receiver = if taken { tenant } else { provider_account };
    accounts::move_lamports(lease_account, receiver, due)?;
    accounts::close(lease_account, rent_payer)
}
