//! Validators: registration, what they serve, earnings, jail.

use bytemuck::Zeroable;
use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::le::Text;
use mythic_interface::money;
use mythic_interface::pda;
use mythic_interface::state::{
    Config, Job, Key, Model, ModelStatus, NO_KEY, ServedModel, VALIDATOR_MODELS, Validator,
    ValidatorStatus,
};
use mythic_interface::window;
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut, raised};
use crate::stake;

#[inline(never)]
pub fn register(
    accounts: &mut [AccountView],
    args: &ix::RegisterValidator,
) -> Result<(), MythicError> {
    let [
        payer,
        authority,
        config,
        validator_account,
        system,
        models @ ..,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    check_profile(&args.operator, &args.gpu_name, &args.endpoint)?;
    let stake = money::amount(args.stake.get())?;
    if stake < load::<Config>(config)?.params.rules.min_stake.get() {
        return Err(MythicError::StakeBelowMinimum);
    }
    let slot = accounts::slot()?;

    accounts::create::<Validator>(payer, validator_account, &pda::validator(key(authority)))?;
    accounts::pay(payer, validator_account, stake)?;
    let mut validator = load_mut::<Validator>(validator_account)?;
    validator.header.status = ValidatorStatus::Active as u8;
    validator.authority = *key(authority);
    validator.owner = *key(authority);
    validator.rent_payer = *key(payer);
    validator.stake.set(stake);
    validator.staked.set(stake);
    validator.registered_slot.set(slot);
    validator.updated_slot.set(slot);
    validator.operator = args.operator;
    validator.vram_mib = args.vram_mib;
    validator.gpu_name = args.gpu_name;
    validator.endpoint = args.endpoint;
    serve(&mut validator, models, slot)
}

#[inline(never)]
pub fn update(accounts: &mut [AccountView], args: &ix::UpdateValidator) -> Result<(), MythicError> {
    let [owner, validator, models @ ..] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut validator = load_mut::<Validator>(validator)?;
    check_owner(&validator, owner)?;
    check_profile(&args.operator, &args.gpu_name, &args.endpoint)?;
    validator.operator = args.operator;
    validator.vram_mib = args.vram_mib;
    validator.gpu_name = args.gpu_name;
    validator.endpoint = args.endpoint;
    validator.updated_slot.set(slot);
    serve(&mut validator, models, slot)
}

fn check_profile<const G: usize, const E: usize>(
    operator: &Key,
    gpu_name: &Text<G>,
    endpoint: &Text<E>,
) -> Result<(), MythicError> {
    if *operator == NO_KEY {
        return Err(MythicError::InvalidAddress);
    }
    if !gpu_name.is_valid() || !endpoint.is_valid() {
        return Err(MythicError::InvalidText);
    }
    Ok(())
}

/// Replaces the list of served models; a model that was served before keeps its slot.
fn serve(validator: &mut Validator, models: &[AccountView], slot: u64) -> Result<(), MythicError> {
    if models.len() > VALIDATOR_MODELS {
        return Err(MythicError::TooManyModels);
    }
    let mut list = [ServedModel::zeroed(); VALIDATOR_MODELS];
    let mut count = 0u8;
    for (account, entry) in models.iter().zip(list.iter_mut()) {
        let known = validator.serves(key(account));
        let model = load::<Model>(account)?;
        if known.is_none() && model.header.status == ModelStatus::Retired as u8 {
            return Err(MythicError::ModelRetired);
        }
        let earlier = models.iter().take(usize::from(count));
        if earlier
            .into_iter()
            .any(|other| other.address() == account.address())
        {
            return Err(MythicError::DuplicateModel);
        }
        entry.model = *key(account);
        entry.since_slot.set(known.unwrap_or(slot));
        count = count.saturating_add(1);
    }
    validator.models = list;
    validator.model_count = count;
    Ok(())
}

/// Refuses another key than the owner's.
pub fn check_owner(validator: &Validator, signer: &AccountView) -> Result<(), MythicError> {
    match validator.owner == *key(signer) {
        true => Ok(()),
        false => Err(MythicError::NotAuthority),
    }
}

/// Refuses another signer than the operator.
pub fn check_operator(validator: &Validator, signer: &AccountView) -> Result<(), MythicError> {
    match validator.operator == *key(signer) {
        true => Ok(()),
        false => Err(MythicError::NotOperator),
    }
}

fn check_either(validator: &Validator, signer: &AccountView) -> Result<(), MythicError> {
    match validator.owner == *key(signer) {
        true => Ok(()),
        false => check_operator(validator, signer),
    }
}

/// Takes one more job, if the validator may.
pub fn take_job(validator: &mut Validator, job: &Job, slot: u64) -> Result<(), MythicError> {
    let rules = &job.terms.rules;
    if validator.header.status != ValidatorStatus::Active as u8 {
        return Err(MythicError::Jailed);
    }
    if validator.serves(&job.terms.model).is_none() {
        return Err(MythicError::ModelNotServed);
    }
    stake::activate(validator, slot)?;
    if validator.stake < rules.min_stake {
        return Err(MythicError::StakeBelowMinimum);
    }
    let open = validator.open_jobs.get();
    if u64::from(open) >= validator.capacity(slot, rules) {
        return Err(MythicError::NoCapacity);
    }
    let ceiling = job.ceiling.get();
    if ceiling > validator.largest_ceiling(slot, rules) {
        return Err(MythicError::ExposureExceeded);
    }
    validator.open_jobs.set(raised(open)?);
    let exposure = money::add(validator.exposure.get(), ceiling)?;
    validator.exposure.set(exposure);
    // Its result may come in the last slot before the deadline.
    stake::oblige(
        validator,
        window::challenge_end(job.deadline_slot.get(), rules),
    );
    Ok(())
}

#[inline(never)]
pub fn withdraw_claimable(
    accounts: &mut [AccountView],
    _: &ix::WithdrawClaimable,
) -> Result<(), MythicError> {
    let [signer, validator_account, owner] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let amount = {
        let mut validator = load_mut::<Validator>(validator_account)?;
        check_either(&validator, signer)?;
        check_owner(&validator, owner)?;
        stake::take_claimable(&mut *validator)?
    };
    accounts::move_lamports(validator_account, owner, amount)
}

#[inline(never)]
pub fn unjail(accounts: &mut [AccountView], _: &ix::Unjail) -> Result<(), MythicError> {
    let [signer, config, validator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut validator = load_mut::<Validator>(validator)?;
    check_either(&validator, signer)?;
    if validator.header.status != ValidatorStatus::Jailed as u8 {
        return Err(MythicError::NotJailed);
    }
    if window::open(slot, validator.jailed_until.get()) {
        return Err(MythicError::JailNotOver);
    }
    stake::activate(&mut *validator, slot)?;
    if validator.stake < load::<Config>(config)?.params.rules.min_stake {
        return Err(MythicError::StakeBelowMinimum);
    }
    validator.header.status = ValidatorStatus::Active as u8;
    validator.jailed_until.set(0);
    validator.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn propose_owner(
    accounts: &mut [AccountView],
    args: &ix::ProposeOwner,
) -> Result<(), MythicError> {
    let [owner, validator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut validator = load_mut::<Validator>(validator)?;
    check_owner(&validator, owner)?;
    validator.pending_owner = args.new_owner;
    validator.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn accept_owner(accounts: &mut [AccountView], _: &ix::AcceptOwner) -> Result<(), MythicError> {
    let [new_owner, validator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut validator = load_mut::<Validator>(validator)?;
    let pending = validator.pending_owner;
    if pending == NO_KEY || pending != *key(new_owner) {
        return Err(MythicError::NotPendingOwner);
    }
    validator.owner = pending;
    validator.pending_owner = NO_KEY;
    validator.updated_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseValidator) -> Result<(), MythicError> {
    let [owner, validator_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    {
        let validator = load::<Validator>(validator_account)?;
        check_owner(&validator, owner)?;
        if validator.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        // Else its key would be back at once, without a past.
        if window::open(slot, validator.jailed_until.get()) {
            return Err(MythicError::JailNotOver);
        }
        if validator.open_jobs.get() != 0 {
            return Err(MythicError::OpenJobs);
        }
        if validator.open_cases.get() != 0 {
            return Err(MythicError::OpenCases);
        }
        let held = [
            validator.stake,
            validator.activating,
            validator.unbonding,
            validator.claimable,
            validator.owed_foundation,
            validator.owed_burn,
        ];
        if held.iter().any(|amount| amount.get() != 0) {
            return Err(MythicError::ValidatorNotEmpty);
        }
    }
    accounts::close(validator_account, rent_payer)
}
