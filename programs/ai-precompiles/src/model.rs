//! Models: registration against a burned fee, prices, retirement.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::state::{Config, KernelProfile, Model, ModelSpec, ModelStatus, NO_KEY};
use mythic_interface::{INCINERATOR, pda};
use pinocchio::AccountView;
use pinocchio::account::RefMut;

use crate::accounts::{self, key, load, load_mut};

/// Most that the threshold of the relative error may be, parts per million: the promised 1 %.
const MAX_ERROR_PPM: u32 = 10_000;

#[inline(never)]
pub fn register(accounts: &mut [AccountView], args: &ix::RegisterModel) -> Result<(), MythicError> {
    let [
        payer,
        registrant,
        config,
        model_account,
        incinerator,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    if *key(incinerator) != INCINERATOR {
        return Err(MythicError::InvalidIncinerator);
    }
    check_spec(&args.spec)?;
    check_name(&args.name)?;
    let slot = accounts::slot()?;
    let (fee, price_in, price_out) = {
        let config = load::<Config>(config)?;
        let params = &config.params;
        (
            params.registration_fee.get(),
            params.default_price_in,
            params.default_price_out,
        )
    };

    let identity = args.spec.identity(key(registrant));
    accounts::create::<Model>(payer, model_account, &pda::model(&identity))?;
    if fee > 0 {
        accounts::pay(payer, incinerator, fee)?;
    }
    let mut model = load_mut::<Model>(model_account)?;
    model.header.status = ModelStatus::Active as u8;
    model.identity = identity;
    model.creator = *key(registrant);
    model.registrant = *key(registrant);
    model.rent_payer = *key(payer);
    model.name = args.name;
    model.price_in = price_in;
    model.price_out = price_out;
    model.fee_burned.set(fee);
    model.registered_slot.set(slot);
    model.updated_slot.set(slot);
    model.spec = args.spec;
    Ok(())
}

fn check_name<const N: usize>(name: &mythic_interface::le::Text<N>) -> Result<(), MythicError> {
    if !name.is_valid() {
        return Err(MythicError::InvalidText);
    }
    if name.is_empty() {
        return Err(MythicError::EmptyName);
    }
    Ok(())
}

fn check_spec(spec: &ModelSpec) -> Result<(), MythicError> {
    let profile = u8::try_from(spec.kernel_profile.get())
        .ok()
        .and_then(KernelProfile::from_u8);
    if profile.is_none() {
        return Err(MythicError::UnknownKernelProfile);
    }
    let eos = spec.eos();
    if eos.is_empty() || eos.len() != usize::from(spec.eos_count) {
        return Err(MythicError::InvalidEosIds);
    }
    if !eos.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(MythicError::InvalidEosIds);
    }
    if spec.eos_ids.iter().skip(eos.len()).any(|id| id.get() != 0) {
        return Err(MythicError::InvalidPadding);
    }
    if spec.context_length.get() == 0 {
        return Err(MythicError::InvalidContextLength);
    }
    if !(2..=spec.context_length.get()).contains(&spec.max_job_tokens.get()) {
        return Err(MythicError::InvalidJobTokens);
    }
    let (error, miss) = (spec.error_ppm.get(), spec.miss_ppm.get());
    if error > MAX_ERROR_PPM || miss > 1_000_000 || (error == 0) != (miss == 0) {
        return Err(MythicError::ThresholdOutOfRange);
    }
    if !(100..=300).contains(&spec.commit_slots.get()) {
        return Err(MythicError::CommitSlotsOutOfRange);
    }
    Ok(())
}

/// The model for a change by its registrant.
fn by_registrant<'a>(
    registrant: &AccountView,
    model: &'a mut AccountView,
    slot: u64,
) -> Result<RefMut<'a, Model>, MythicError> {
    let mut model = load_mut::<Model>(model)?;
    if model.registrant != *key(registrant) {
        return Err(MythicError::NotRegistrant);
    }
    model.updated_slot.set(slot);
    Ok(model)
}

#[inline(never)]
pub fn propose_registrant(
    accounts: &mut [AccountView],
    args: &ix::ProposeRegistrant,
) -> Result<(), MythicError> {
    let [registrant, model] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    by_registrant(registrant, model, accounts::slot()?)?.pending_registrant = args.new_registrant;
    Ok(())
}

#[inline(never)]
pub fn accept_registrant(
    accounts: &mut [AccountView],
    _: &ix::AcceptRegistrant,
) -> Result<(), MythicError> {
    let [new_registrant, model] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut model = load_mut::<Model>(model)?;
    let pending = model.pending_registrant;
    if pending == NO_KEY || pending != *key(new_registrant) {
        return Err(MythicError::NotPendingRegistrant);
    }
    model.registrant = pending;
    model.pending_registrant = NO_KEY;
    model.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn update(accounts: &mut [AccountView], args: &ix::UpdateModel) -> Result<(), MythicError> {
    let [registrant, model] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut model = by_registrant(registrant, model, slot)?;
    check_name(&args.name)?;
    let was_retired = model.header.status == ModelStatus::Retired as u8;
    match args.retired {
        0 => {
            model.header.status = ModelStatus::Active as u8;
            model.retired_slot.set(0);
        }
        1 if !was_retired => {
            model.header.status = ModelStatus::Retired as u8;
            model.retired_slot.set(slot);
        }
        1 => {}
        _ => return Err(MythicError::InvalidFlag),
    }
    model.price_in = args.price_in;
    model.price_out = args.price_out;
    model.name = args.name;
    Ok(())
}
