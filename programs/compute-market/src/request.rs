//! Requests: paid for, taken back, expired, closed.

use mythic_interface::error::MythicError;
use mythic_interface::market::params::MAX_LEASE_UNITS;
use mythic_interface::market::state::{
    Class, ClassStatus, Isolation, LeaseKind, MarketConfig, Request, RequestStatus,
};
use mythic_interface::market::{ix, meter, pda};
use mythic_interface::state::{ConfigStatus, NO_KEY};
use mythic_interface::window;
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut};

#[inline(never)]
pub fn request(accounts: &mut [AccountView], args: &ix::RequestCompute) -> Result<(), MythicError> {
    let [payer, tenant, config, class, request_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let config = load::<MarketConfig>(config)?;
    if config.header.status != ConfigStatus::Active as u8 {
        return Err(MythicError::Paused);
    }
    if config.rules_hash != args.rules_hash {
        return Err(MythicError::RulesChanged);
    }
    check_arguments(args, &config, slot)?;
    if load::<Class>(class)?.header.status != ClassStatus::Active as u8 {
        return Err(MythicError::ClassRetired);
    }
    let price = |seconds| meter::price_of(args.price.get(), args.units, seconds);
    let escrow = price(args.seconds.get().into())?;
    if price(config.grid.epoch_seconds.get().into())? < config.params.rules.min_epoch_price.get() {
        return Err(MythicError::EpochTooCheap);
    }
    // A start that is not acknowledged costs both sides as much, and units are not held for less.
    if escrow < config.params.rules.no_show.get() {
        return Err(MythicError::EscrowTooSmall);
    }

    let seeds = pda::request(key(tenant), &args.nonce);
    accounts::create_at::<Request>(payer, request_account, &seeds, args.bump)?;
    accounts::pay(payer, request_account, escrow)?;
    let mut request = load_mut::<Request>(request_account)?;
    request.header.status = RequestStatus::Open as u8;
    let terms = &mut request.terms;
    terms.tenant = *key(tenant);
    terms.nonce = args.nonce;
    terms.kind = args.kind;
    terms.spec_hash = args.spec_hash;
    terms.spec_source = args.spec_source;
    terms.model = args.model;
    terms.class = *key(class);
    terms.units = args.units;
    terms.region = args.region;
    terms.isolation = args.isolation;
    terms.provider = args.provider;
    terms.price = args.price;
    terms.seconds = args.seconds;
    terms.grid = config.grid;
    terms.rules = config.params.rules;
    request.terms_hash = request.terms.hash();
    request.rent_payer = *key(payer);
    request.requested_slot.set(slot);
    let deadline = slot.saturating_add(args.deadline_slots.get().into());
    request.deadline_slot.set(deadline);
    request.escrow.set(escrow);
    Ok(())
}

fn check_arguments(
    args: &ix::RequestCompute,
    config: &MarketConfig,
    slot: u64,
) -> Result<(), MythicError> {
    let params = &config.params;
    let kind = LeaseKind::from_u8(args.kind).ok_or(MythicError::UnknownLeaseKind)?;
    if (kind == LeaseKind::Endpoint) == (args.model == NO_KEY) {
        return Err(MythicError::InvalidLeaseModel);
    }
    if args.spec_hash == NO_KEY {
        return Err(MythicError::EmptyHash);
    }
    if !args.spec_source.is_valid() || !args.region.is_valid() {
        return Err(MythicError::InvalidText);
    }
    if !(1..=MAX_LEASE_UNITS).contains(&args.units) {
        return Err(MythicError::UnitsOutOfRange);
    }
    if Isolation::from_u8(args.isolation).is_none() {
        return Err(MythicError::UnknownIsolation);
    }
    let (least, most) = (config.grid.epoch_seconds, params.rules.max_lease_seconds);
    if !(least..=most).contains(&args.seconds) {
        return Err(MythicError::LeaseTimeOutOfRange);
    }
    if !(1..=params.max_request_slots.get()).contains(&args.deadline_slots.get()) {
        return Err(MythicError::DeadlineOutOfRange);
    }
    let expiry = window::nonce_expiry(&args.nonce);
    if slot > expiry {
        return Err(MythicError::NonceExpired);
    }
    if expiry > slot.saturating_add(params.max_nonce_life_slots.get().into()) {
        return Err(MythicError::NonceTooFar);
    }
    Ok(())
}

/// Ends an open request without a lease; what it held is returned, for the tenant. What the tenant's wallet is too empty to hold
/// stays.
fn refund(
    request: &mut Request,
    tenant: &AccountView,
    status: RequestStatus,
    slot: u64,
) -> Result<u64, MythicError> {
    if request.header.status != RequestStatus::Open as u8 {
        return Err(MythicError::WrongRequestStatus);
    }
    let amount = request.escrow.get();
    request.header.status = status as u8;
    request.ended_slot.set(slot);
    if !accounts::takes(tenant, amount)? {
        return Ok(0);
    }
    request.refunded.set(amount);
    request.escrow.set(0);
    Ok(amount)
}

#[inline(never)]
pub fn cancel(accounts: &mut [AccountView], _: &ix::CancelRequest) -> Result<(), MythicError> {
    let [tenant, request_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let amount = {
        let mut request = load_mut::<Request>(request_account)?;
        if request.terms.tenant != *key(tenant) {
            return Err(MythicError::NotTenant);
        }
        refund(&mut request, tenant, RequestStatus::Cancelled, slot)?
    };
    accounts::move_lamports(request_account, tenant, amount)
}

#[inline(never)]
pub fn expire(accounts: &mut [AccountView], _: &ix::ExpireRequest) -> Result<(), MythicError> {
    let [request_account, tenant] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let amount = {
        let mut request = load_mut::<Request>(request_account)?;
        if request.terms.tenant != *key(tenant) {
            return Err(MythicError::WrongTenant);
        }
        let amount = refund(&mut request, tenant, RequestStatus::Expired, slot)?;
        if window::open(slot, request.deadline_slot.get()) {
            return Err(MythicError::DeadlineNotPassed);
        }
        amount
    };
    accounts::move_lamports(request_account, tenant, amount)
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseRequest) -> Result<(), MythicError> {
    let [request_account, lease, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    {
        let request = load::<Request>(request_account)?;
        if request.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if request.header.status == RequestStatus::Open as u8 {
            return Err(MythicError::WrongRequestStatus);
        }
        let (address, _) =
            accounts::find(&pda::lease(key(request_account)), &accounts::PROGRAM_ID)?;
        if *key(lease) != address {
            return Err(MythicError::WrongAddress);
        }
        if accounts::is_of(lease, &accounts::PROGRAM_ID) {
            return Err(MythicError::LeaseExists);
        }
        let (ended, nonce) = (request.ended_slot.get(), &request.terms.nonce);
        let delay = request.terms.rules.close_delay_slots.get();
        if window::open(slot, window::stay_end(ended, nonce, delay)) {
            return Err(MythicError::TooEarlyToClose);
        }
    }
    accounts::close(request_account, rent_payer)
}
