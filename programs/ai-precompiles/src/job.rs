//! A job's work: request, acceptance, result.

use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::le::U64;
use mythic_interface::params::{MAX_OUTPUT_TOKENS, MAX_TEMPERATURE_MILLI, Params};
use mythic_interface::state::{
    Config, ConfigStatus, FinishReason, Job, JobStatus, Model, ModelStatus, NO_KEY,
    SamplingProfile, SpendGrant, Validator, Vault,
};
use mythic_interface::{hash, money, pda, window};
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, raised};
use crate::{grant, validator};

#[inline(never)]
pub fn request(
    accounts: &mut [AccountView],
    args: &ix::RequestInference,
) -> Result<(), MythicError> {
    let [
        payer,
        requester,
        config,
        model,
        vault,
        grant,
        job_account,
        validator,
        operator,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let config = load::<Config>(config)?;
    if config.header.status != ConfigStatus::Active as u8 {
        return Err(MythicError::Paused);
    }
    if config.rules_hash != args.rules_hash {
        return Err(MythicError::RulesChanged);
    }
    check_arguments(args, &config.params, slot)?;
    check_model(args, model)?;
    let ceiling = money::price(
        args.prompt_tokens.get(),
        args.max_output_tokens.get(),
        args.price_in.get(),
        args.price_out.get(),
    )?;

    let owner = {
        let mut vault = load_mut::<Vault>(vault)?;
        hold(&mut vault, ceiling, slot)?;
        vault.owner
    };
    let mut grant_window = 0;
    if owner == *key(requester) {
        if !is_absent(grant) {
            return Err(MythicError::UnexpectedGrant);
        }
    } else {
        if is_absent(grant) {
            return Err(MythicError::NotRequester);
        }
        let mut grant = load_mut::<SpendGrant>(grant)?;
        if grant.owner != owner || grant.delegate != *key(requester) {
            return Err(MythicError::WrongGrant);
        }
        grant_window = grant::spend(&mut grant, key(model), ceiling, slot)?;
    }

    let seeds = pda::job(&owner, &args.nonce);
    accounts::create_at::<Job>(payer, job_account, &seeds, args.bump)?;
    {
        let address = *key(job_account);
        let mut job = load_mut::<Job>(job_account)?;
        job.header.status = JobStatus::Open as u8;
        let terms = &mut job.terms;
        terms.owner = owner;
        terms.requester = *key(requester);
        terms.canceller = args.canceller;
        terms.nonce = args.nonce;
        terms.model = *key(model);
        terms.prompt_hash = args.prompt_hash;
        terms.prompt_tokens = args.prompt_tokens;
        terms.max_output_tokens = args.max_output_tokens;
        terms.price_in = args.price_in;
        terms.price_out = args.price_out;
        terms.seed = hash::job_seed(&address, &args.user_seed);
        terms.temperature_milli = args.temperature_milli;
        terms.sampling_profile = args.sampling_profile;
        terms.options_hash = args.options_hash;
        terms.prompt_source = args.prompt_source;
        terms.deadline_slots = args.deadline_slots;
        terms.rules = config.params.rules;
        job.terms_hash = job.terms.hash();
        job.rent_payer = *key(payer);
        if !is_absent(grant) {
            job.grant = *key(grant);
            job.grant_window_start.set(grant_window);
        }
        job.requested_slot.set(slot);
        job.deadline_slot
            .set(slot.saturating_add(u64::from(args.deadline_slots.get())));
        job.ceiling.set(ceiling);
        job.escrow.set(ceiling);
        take_at_once(&mut job, validator, operator, slot)?;
    }
    accounts::move_lamports(vault, job_account, ceiling)
}

fn check_arguments(
    args: &ix::RequestInference,
    params: &Params,
    slot: u64,
) -> Result<(), MythicError> {
    if args.prompt_tokens.get() == 0 {
        return Err(MythicError::EmptyPrompt);
    }
    if args.max_output_tokens.get() == 0 {
        return Err(MythicError::EmptyOutput);
    }
    if args.temperature_milli.get() > MAX_TEMPERATURE_MILLI {
        return Err(MythicError::TemperatureOutOfRange);
    }
    if !args.prompt_source.is_valid() {
        return Err(MythicError::InvalidText);
    }
    if !(1..=params.max_job_slots.get()).contains(&args.deadline_slots.get()) {
        return Err(MythicError::DeadlineOutOfRange);
    }
    let expiry = window::nonce_expiry(&args.nonce);
    if slot > expiry {
        return Err(MythicError::NonceExpired);
    }
    if expiry > slot.saturating_add(u64::from(params.max_nonce_life_slots.get())) {
        return Err(MythicError::NonceTooFar);
    }
    Ok(())
}

fn check_model(args: &ix::RequestInference, model: &AccountView) -> Result<(), MythicError> {
    let model = load::<Model>(model)?;
    if model.header.status != ModelStatus::Active as u8 {
        return Err(MythicError::ModelRetired);
    }
    if model.price_in != args.price_in || model.price_out != args.price_out {
        return Err(MythicError::PriceChanged);
    }
    let profile = SamplingProfile::from_u8(args.sampling_profile)
        .ok_or(MythicError::UnknownSamplingProfile)?;
    // A choice that no leaf replays is judged by jurors' digests, and a calibrated profile has none.
    if !profile.is_replayed() && !model.spec.is_exact() {
        return Err(MythicError::SamplingNeedsExact);
    }
    let tokens = args
        .prompt_tokens
        .get()
        .checked_add(args.max_output_tokens.get());
    if tokens.is_none_or(|tokens| tokens > model.spec.max_job_tokens.get())
        || args.max_output_tokens.get() > MAX_OUTPUT_TOKENS
    {
        return Err(MythicError::TooManyTokens);
    }
    Ok(())
}

fn hold(vault: &mut Vault, ceiling: u64, slot: u64) -> Result<(), MythicError> {
    let balance = vault
        .balance
        .get()
        .checked_sub(ceiling)
        .ok_or(MythicError::InsufficientFunds)?;
    vault.balance.set(balance);
    let held = money::add(vault.held.get(), ceiling)?;
    vault.held.set(held);
    vault.open_jobs.set(raised(vault.open_jobs.get())?);
    vault.updated_slot.set(slot);
    Ok(())
}

/// Gives a new job to the validator that has co-signed it; without one it is open.
fn take_at_once(
    job: &mut Job,
    validator: &mut AccountView,
    operator: &AccountView,
    slot: u64,
) -> Result<(), MythicError> {
    if is_absent(validator) {
        if !is_absent(operator) {
            return Err(MythicError::UnexpectedValidator);
        }
        job.open = 1;
        return Ok(());
    }
    if is_absent(operator) {
        return Err(MythicError::MissingOperator);
    }
    let mut validator = load_mut::<Validator>(validator)?;
    validator::check_operator(&validator, operator)?;
    assign(job, &mut validator, slot)
}

/// Gives a job to a validator whose operator has signed.
fn assign(job: &mut Job, validator: &mut Validator, slot: u64) -> Result<(), MythicError> {
    validator::take_job(validator, job, slot)?;
    job.header.status = JobStatus::Accepted as u8;
    job.validator = validator.authority;
    job.accepted_slot.set(slot);
    Ok(())
}

#[inline(never)]
pub fn accept(accounts: &mut [AccountView], args: &ix::AcceptInference) -> Result<(), MythicError> {
    let [operator, validator, job] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut job = load_mut::<Job>(job)?;
    let mut validator = load_mut::<Validator>(validator)?;
    validator::check_operator(&validator, operator)?;
    if job.header.status != JobStatus::Open as u8 {
        return Err(MythicError::WrongJobStatus);
    }
    if job.terms_hash != args.terms_hash {
        return Err(MythicError::WrongFork);
    }
    if !window::open(slot, job.deadline_slot.get()) {
        return Err(MythicError::DeadlinePassed);
    }
    assign(&mut job, &mut validator, slot)
}

#[inline(never)]
pub fn submit(accounts: &mut [AccountView], args: &ix::SubmitResult) -> Result<(), MythicError> {
    let [operator, validator, job] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let mut job = load_mut::<Job>(job)?;
    let validator = load::<Validator>(validator)?;
    validator::check_operator(&validator, operator)?;
    if job.validator != validator.authority {
        return Err(MythicError::WrongValidator);
    }
    if job.terms_hash != args.terms_hash {
        return Err(MythicError::WrongFork);
    }
    if job.header.status != JobStatus::Accepted as u8 {
        return Err(MythicError::WrongJobStatus);
    }
    let slot = accounts::slot()?;
    if !window::open(slot, job.submit_end()) {
        return Err(MythicError::DeadlinePassed);
    }
    let tokens = args.output_tokens.get();
    if tokens == 0 || tokens > job.terms.max_output_tokens.get() {
        return Err(MythicError::OutputTokensOutOfRange);
    }
    match FinishReason::from_u8(args.finish_reason).ok_or(MythicError::InvalidFinishReason)? {
        FinishReason::Eos => {}
        FinishReason::Length if args.output_tokens != job.terms.max_output_tokens => {
            return Err(MythicError::FinishNotLength);
        }
        // Under profile 2 this is of all options. Whether a stop string was met jurors say.
        FinishReason::Stopped if job.terms.options_hash == NO_KEY => {
            return Err(MythicError::FinishNotStopped);
        }
        FinishReason::Cancelled if job.cancel_slot == U64::new(0) => {
            return Err(MythicError::FinishNotCancelled);
        }
        FinishReason::Length | FinishReason::Stopped | FinishReason::Cancelled => {}
    }
    job.header.status = JobStatus::Submitted as u8;
    job.submitted_slot.set(slot);
    job.stake_at_result.set(validator.standing_stake(slot));
    job.output_root = args.output_root;
    job.output_tokens = args.output_tokens;
    job.fingerprint = args.fingerprint;
    job.finish_reason = args.finish_reason;
    Ok(())
}
