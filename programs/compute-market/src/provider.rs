//! Providers: registration, stake, earnings, jail.

use mythic_interface::error::MythicError;
use mythic_interface::le::{Text, U16, U64};
use mythic_interface::market::state::{
    Class, ClassStatus, Isolation, MarketConfig, Provider, ProviderStatus,
};
use mythic_interface::market::{ix, pda};
use mythic_interface::state::{Key, NO_KEY};
use mythic_interface::{money, window};
use mythic_program::stake;
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut};

/// What a provider says of itself.
struct Profile<'a, const R: usize, const E: usize> {
    operator: &'a Key,
    units: U16,
    price: U64,
    region: &'a Text<R>,
    isolation: u8,
    endpoint: &'a Text<E>,
}

impl<const R: usize, const E: usize> Profile<'_, R, E> {
    fn check(&self) -> Result<(), MythicError> {
        if *self.operator == NO_KEY {
            return Err(MythicError::InvalidAddress);
        }
        if !self.region.is_valid() || !self.endpoint.is_valid() {
            return Err(MythicError::InvalidText);
        }
        if Isolation::from_u8(self.isolation).is_none() {
            return Err(MythicError::UnknownIsolation);
        }
        if self.units.get() == 0 {
            return Err(MythicError::UnitsOutOfRange);
        }
        stake::nonzero(self.price.get())?;
        Ok(())
    }
}

#[inline(never)]
pub fn register(
    accounts: &mut [AccountView],
    args: &ix::RegisterProvider,
) -> Result<(), MythicError> {
    let [payer, authority, config, class, provider_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let profile = Profile {
        operator: &args.operator,
        units: args.units,
        price: args.price,
        region: &args.region,
        isolation: args.isolation,
        endpoint: &args.endpoint,
    };
    profile.check()?;
    let staked = money::amount(args.stake.get())?;
    if staked < load::<MarketConfig>(config)?.params.rules.min_stake.get() {
        return Err(MythicError::StakeBelowMinimum);
    }
    let stake_per_unit = {
        let class = load::<Class>(class)?;
        if class.header.status != ClassStatus::Active as u8 {
            return Err(MythicError::ClassRetired);
        }
        class.probe.stake_per_unit
    };
    let slot = accounts::slot()?;

    accounts::create::<Provider>(payer, provider_account, &pda::provider(key(authority)))?;
    accounts::pay(payer, provider_account, staked)?;
    let mut provider = load_mut::<Provider>(provider_account)?;
    provider.header.status = ProviderStatus::Active as u8;
    provider.authority = *key(authority);
    provider.rent_payer = *key(payer);
    provider.class = *key(class);
    provider.stake_per_unit = stake_per_unit;
    provider.stake.set(staked);
    provider.staked.set(staked);
    provider.registered_slot.set(slot);
    provider.updated_slot.set(slot);
    provider.operator = args.operator;
    provider.units = args.units;
    provider.price = args.price;
    provider.region = args.region;
    provider.isolation = args.isolation;
    provider.endpoint = args.endpoint;
    Ok(())
}

#[inline(never)]
pub fn update(accounts: &mut [AccountView], args: &ix::UpdateProvider) -> Result<(), MythicError> {
    let [authority, provider] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut provider = load_mut::<Provider>(provider)?;
    check_authority(&provider, authority)?;
    let profile = Profile {
        operator: &args.operator,
        units: args.units,
        price: args.price,
        region: &args.region,
        isolation: args.isolation,
        endpoint: &args.endpoint,
    };
    profile.check()?;
    if args.units < provider.leased {
        return Err(MythicError::UnitsOutOfRange);
    }
    provider.operator = args.operator;
    provider.units = args.units;
    provider.price = args.price;
    provider.region = args.region;
    provider.isolation = args.isolation;
    provider.endpoint = args.endpoint;
    provider.updated_slot.set(slot);
    Ok(())
}

/// Refuses another key than the authority.
pub fn check_authority(provider: &Provider, signer: &AccountView) -> Result<(), MythicError> {
    match provider.authority == *key(signer) {
        true => Ok(()),
        false => Err(MythicError::NotAuthority),
    }
}

/// Refuses another signer than the operator.
pub fn check_operator(provider: &Provider, signer: &AccountView) -> Result<(), MythicError> {
    match provider.operator == *key(signer) {
        true => Ok(()),
        false => Err(MythicError::NotOperator),
    }
}

/// Refuses another signer than authority or operator.
pub fn check_either(provider: &Provider, signer: &AccountView) -> Result<(), MythicError> {
    match provider.authority == *key(signer) {
        true => Ok(()),
        false => check_operator(provider, signer),
    }
}

#[inline(never)]
pub fn add_stake(accounts: &mut [AccountView], args: &ix::AddStake) -> Result<(), MythicError> {
    let [payer, authority, config, provider_account, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let amount = stake::nonzero(args.amount.get())?;
    let slot = accounts::slot()?;
    {
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_authority(&provider, authority)?;
        let wait = load::<MarketConfig>(config)?.params.unbonding_slots.get();
        stake::add(&mut *provider, amount, slot, wait)?;
    }
    accounts::pay(payer, provider_account, amount)
}

#[inline(never)]
pub fn request_unstake(
    accounts: &mut [AccountView],
    args: &ix::RequestUnstake,
) -> Result<(), MythicError> {
    let [authority, config, provider] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = stake::nonzero(args.amount.get())?;
    let slot = accounts::slot()?;
    let mut provider = load_mut::<Provider>(provider)?;
    check_authority(&provider, authority)?;
    let params = &load::<MarketConfig>(config)?.params;
    let (least, wait) = (params.rules.min_stake.get(), params.unbonding_slots.get());
    stake::request_unstake(&mut *provider, amount, least, slot, wait)?;
    match provider.stake.get() < provider.stake_in_use() {
        true => Err(MythicError::StakeInUse),
        false => Ok(()),
    }
}

#[inline(never)]
pub fn withdraw_stake(
    accounts: &mut [AccountView],
    _: &ix::WithdrawStake,
) -> Result<(), MythicError> {
    let [authority, provider_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let amount = {
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_authority(&provider, authority)?;
        let amount = stake::withdrawable(&mut *provider, slot)?;
        if provider.open_disputes.get() != 0 {
            return Err(MythicError::OpenDisputes);
        }
        stake::withdraw(&mut *provider, amount, slot)?;
        amount
    };
    accounts::move_lamports(provider_account, authority, amount)
}

#[inline(never)]
pub fn withdraw_claimable(
    accounts: &mut [AccountView],
    _: &ix::WithdrawClaimable,
) -> Result<(), MythicError> {
    let [signer, provider_account, authority] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = {
        let mut provider = load_mut::<Provider>(provider_account)?;
        check_either(&provider, signer)?;
        check_authority(&provider, authority)?;
        stake::take_claimable(&mut *provider)?
    };
    accounts::move_lamports(provider_account, authority, amount)
}

#[inline(never)]
pub fn unjail(accounts: &mut [AccountView], _: &ix::Unjail) -> Result<(), MythicError> {
    let [signer, config, provider] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut provider = load_mut::<Provider>(provider)?;
    check_either(&provider, signer)?;
    if provider.header.status != ProviderStatus::Jailed as u8 {
        return Err(MythicError::NotJailed);
    }
    if window::open(slot, provider.jailed_until.get()) {
        return Err(MythicError::JailNotOver);
    }
    stake::activate(&mut *provider, slot)?;
    if provider.stake < load::<MarketConfig>(config)?.params.rules.min_stake {
        return Err(MythicError::StakeBelowMinimum);
    }
    provider.header.status = ProviderStatus::Active as u8;
    provider.jailed_until.set(0);
    provider.updated_slot.set(slot);
    Ok(())
}

/// Jails a provider until a slot; an earlier, longer jail is not shortened.
pub fn jail(provider: &mut Provider, until: u64, slot: u64) {
    let until = until.max(provider.jailed_until.get());
    provider.header.status = ProviderStatus::Jailed as u8;
    provider.jailed_until.set(until);
    provider.updated_slot.set(slot);
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseProvider) -> Result<(), MythicError> {
    let [authority, provider_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    {
        let provider = load::<Provider>(provider_account)?;
        check_authority(&provider, authority)?;
        if provider.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        // Else its key would be back at once, without a past.
        if window::open(slot, provider.jailed_until.get()) {
            return Err(MythicError::JailNotOver);
        }
        // An open dispute keeps its lease's account open.
        if provider.open_leases.get() != 0 {
            return Err(MythicError::OpenLeases);
        }
        let held = [
            provider.stake,
            provider.activating,
            provider.unbonding,
            provider.claimable,
            provider.owed_foundation,
            provider.owed_burn,
        ];
        if held.iter().any(|amount| amount.get() != 0) {
            return Err(MythicError::ProviderNotEmpty);
        }
    }
    accounts::close(provider_account, rent_payer)
}
