//! Claims against a result: they open its case or join it, with a bond.

use mythic_interface::dispute::{self as game, Bond, Standing};
use mythic_interface::error::MythicError;
use mythic_interface::hash::Hash;
use mythic_interface::ix;
use mythic_interface::le::U64;
use mythic_interface::params::{MAX_JURY_SEATS, Rules};
use mythic_interface::sortition::{self, SAMPLE_HASHES};
use mythic_interface::state::{
    Case, CaseStatus, Claim, ClaimKind, Job, JobStatus, Key, MAX_FALSE, Model, ModelSpec,
    NAMED_POSITIONS, OUTPUT_PAGE_TOKENS, Output, Validator, ValidatorStatus, Votes,
};
use mythic_interface::{money, pda, window};
use mythic_program::governance::STATUS_ACTIVE;
use mythic_program::slot_hashes;
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, raised};
use crate::validator::check_operator;

/// Refuses a job that does not have the result which the instruction names.
pub fn check_fork(job: &Job, submitted_slot: U64, fingerprint: &Hash) -> Result<(), MythicError> {
    match job.submitted_slot == submitted_slot && job.fingerprint == *fingerprint {
        true => Ok(()),
        false => Err(MythicError::WrongFork),
    }
}

/// Refuses a case about another result than the one that the instruction names.
pub fn check_case_fork(
    case: &Case,
    submitted_slot: U64,
    fingerprint: &Hash,
) -> Result<(), MythicError> {
    match case.submitted_slot == submitted_slot && case.fingerprint == *fingerprint {
        true => Ok(()),
        false => Err(MythicError::WrongFork),
    }
}

/// Refuses the votes of another case.
pub fn check_votes(votes: &Votes, case: &Key) -> Result<(), MythicError> {
    match votes.case == *case {
        true => Ok(()),
        false => Err(MythicError::WrongVotes),
    }
}

/// The registration of a file by which a validator is known to serve it: the job's model itself, or, where another account is
/// passed, any other one of the same file and kernel profile.
pub fn served_model(
    served: &AccountView,
    model: &Key,
    weights_hash: &Hash,
    kernel_profile: u16,
) -> Result<Key, MythicError> {
    if is_absent(served) {
        return Ok(*model);
    }
    let spec: ModelSpec = load::<Model>(served)?.spec;
    match spec.weights_hash == *weights_hash && spec.kernel_profile.get() == kernel_profile {
        true => Ok(*key(served)),
        false => Err(MythicError::WrongModel),
    }
}

#[inline(never)]
pub fn verify_logits(
    accounts: &mut [AccountView],
    args: &ix::VerifyLogits,
) -> Result<(), MythicError> {
    let [
        payer,
        operator,
        claimant,
        job_account,
        submitter,
        model,
        served,
        case_account,
        votes,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let kind = ClaimKind::from_u8(args.kind).ok_or(MythicError::InvalidClaimKind)?;
    let (authority, opens) = {
        let job = load::<Job>(job_account)?;
        check_fork(&job, args.submitted_slot, &args.fingerprint)?;
        let opens = match job.status() {
            Some(JobStatus::Submitted) => true,
            Some(JobStatus::Disputed) => false,
            _ => return Err(MythicError::WrongJobStatus),
        };
        if job.terms.model != *key(model) {
            return Err(MythicError::WrongModel);
        }
        let spec = load::<Model>(model)?.spec;
        let known = served_model(
            served,
            &job.terms.model,
            &spec.weights_hash,
            spec.kernel_profile.get(),
        )?;
        let claimant = load::<Validator>(claimant)?;
        check_operator(&claimant, operator)?;
        check_claimant(&claimant, &job, &known, slot)?;
        if load::<Validator>(submitter)?.authority != job.validator {
            return Err(MythicError::WrongValidator);
        }
        (claimant.authority, opens)
    };
    let by = By {
        authority,
        kind,
        slot,
    };
    let job_key = *key(job_account);
    if opens {
        accounts::create::<Case>(payer, case_account, &pda::case(&job_key))?;
        count(submitter)?;
    }
    let (due, calls) = {
        let mut case = load_mut::<Case>(case_account)?;
        if opens {
            case.job = job_key;
            case.rent_payer = *key(payer);
            open(&mut case, &mut *load_mut::<Job>(job_account)?, model, slot)?;
        }
        if case.job != job_key {
            return Err(MythicError::WrongCase);
        }
        let bond = say(&mut case, &*load::<Job>(job_account)?, args, &by)?;
        let prepaid = if opens { case.output_rent.get() } else { 0 };
        let calls = kind == ClaimKind::False && case.false_count == 1;
        (money::add(bond, prepaid)?, calls)
    };
    match (kind, calls) {
        (ClaimKind::False, true) => call_jury(payer, case_account, votes)?,
        (ClaimKind::False, false) => check_votes(&*load::<Votes>(votes)?, key(case_account))?,
        (ClaimKind::Withheld, _) if is_absent(votes) => {}
        (ClaimKind::Withheld, _) => return Err(MythicError::WrongVotes),
    }
    count(claimant)?;
    accounts::pay(payer, case_account, due)
}

/// Who claims, and what.
struct By {
    authority: Key,
    kind: ClaimKind,
    slot: u64,
}

/// One open case more.
fn count(validator: &mut AccountView) -> Result<(), MythicError> {
    let mut validator = load_mut::<Validator>(validator)?;
    let open = raised(validator.open_cases.get())?;
    validator.open_cases.set(open);
    Ok(())
}

/// Who claims has been there for long, has something to lose, and is not the submitter.
fn check_claimant(
    claimant: &Validator,
    job: &Job,
    served: &Key,
    slot: u64,
) -> Result<(), MythicError> {
    let rules: &Rules = &job.terms.rules;
    if claimant.authority == job.validator {
        return Err(MythicError::SelfChallenge);
    }
    if claimant.header.status != ValidatorStatus::Active as u8 {
        return Err(MythicError::Jailed);
    }
    if !claimant.is_mature(served, job.requested_slot.get(), rules) {
        return Err(MythicError::ChallengerTooYoung);
    }
    match claimant.active_stake(slot) < rules.min_stake.get() {
        true => Err(MythicError::StakeBelowMinimum),
        false => Ok(()),
    }
}

/// Opens the case of a result.
#[inline(never)]
fn open(case: &mut Case, job: &mut Job, model: &AccountView, slot: u64) -> Result<(), MythicError> {
    let end = window::challenge_end(job.submitted_slot.get(), &job.terms.rules);
    if !window::open(slot, end) {
        return Err(MythicError::WindowClosed);
    }
    case.header.status = CaseStatus::Opening as u8;
    case.opened_slot.set(slot);
    describe(case, job, &*load::<Model>(model)?)?;
    draw(case)?;
    let pages = job.output_tokens.get().div_ceil(OUTPUT_PAGE_TOKENS as u32);
    let output_rent = money::checked_mul(accounts::rent(Output::LEN)?, u64::from(pages))
        .ok_or(MythicError::AmountTooLarge)?;
    case.output_rent.set(output_rent);
    job.header.status = JobStatus::Disputed as u8;
    job.case_slot.set(slot);
    Ok(())
}

/// Copies what a case must know of its job and its model.
#[inline(never)]
pub fn describe(case: &mut Case, job: &Job, model: &Model) -> Result<(), MythicError> {
    case.model = job.terms.model;
    case.submitter = job.validator;
    case.fingerprint = job.fingerprint;
    case.requested_slot = job.requested_slot;
    case.submitted_slot = job.submitted_slot;
    case.finish_reason = job.finish_reason;
    case.output_tokens = job.output_tokens;
    case.stake_at_result = job.stake_at_result;
    case.rules = job.terms.rules;
    let tariff = game::tariff(&job.terms.rules, job.due_fee()?)?;
    case.tariff.set(tariff);
    // At most 15, the room of a case.
    let seats = job.terms.rules.jury_seats.get();
    case.jury_seats = seats.min(MAX_JURY_SEATS as u16) as u8;
    let spec = &model.spec;
    case.exact = spec.is_exact().into();
    case.weights_hash = spec.weights_hash;
    case.kernel_profile = spec.kernel_profile;
    case.commit_slots = spec.commit_slots;
    case.error_ppm = spec.error_ppm;
    case.miss_ppm = spec.miss_ppm;
    case.eos_count = spec.eos_count;
    case.eos_ids = spec.eos_ids;
    Ok(())
}

/// Draws the sample.
#[inline(never)]
fn draw(case: &mut Case) -> Result<(), MythicError> {
    let submitted = case.submitted_slot.get();
    for group in 0..SAMPLE_HASHES {
        case.sample_hashes[group] =
            slot_hashes::first_from(sortition::sample_slot(submitted, group))?.1;
    }
    let tokens = case.output_tokens.get();
    let sample = sortition::sample_positions(tokens, &case.fingerprint, &case.sample_hashes);
    let sampled = sample.positions();
    for (leaf, position) in case.leaves.iter_mut().zip(sampled) {
        leaf.position.set(*position);
    }
    case.sampled = sampled.len() as u8;
    Ok(())
}

/// Adds a claim to a case; its bond is returned.
#[inline(never)]
fn say(case: &mut Case, job: &Job, args: &ix::VerifyLogits, by: &By) -> Result<u64, MythicError> {
    let opens = case.claim_count == 0;
    if !opens {
        check_joins(case, by)?;
    }
    let mut claim: Claim = bytemuck::Zeroable::zeroed();
    name(&mut claim, case, args, by.kind)?;
    let before: Option<&Case> = if opens { None } else { Some(case) };
    let standing = Standing::of(job, before, by.kind, claim.named.into())?;
    let bond = Bond::of(&case.rules, &standing)?;
    if bond.total > args.bond.get() {
        return Err(MythicError::BondTooSmall);
    }
    claim.claimant = by.authority;
    claim.kind = by.kind as u8;
    claim.claimed_slot.set(by.slot);
    claim.at_stake.set(bond.at_stake);
    claim.answering_fee.set(bond.answering_fee);
    claim.tariffs.set(bond.tariffs);
    let held = money::add(case.held.get(), bond.total)?;
    case.held.set(held);
    let index = usize::from(case.claim_count);
    *case.claims.get_mut(index).ok_or(MythicError::CaseFull)? = claim;
    case.claim_count = case.claim_count.saturating_add(1);
    if by.kind == ClaimKind::False {
        case.false_count = case.false_count.saturating_add(1);
    }
    Ok(bond.total)
}

/// A case is joined by saying `false`, once everybody can know what was shown.
fn check_joins(case: &Case, by: &By) -> Result<(), MythicError> {
    let joining = case.header.status == CaseStatus::Joining as u8;
    if by.kind == ClaimKind::Withheld || case.header.status == CaseStatus::Opening as u8 {
        return Err(MythicError::NotJoinable);
    }
    if !joining || !window::open(by.slot, case.joining_end()) {
        return Err(MythicError::JoinClosed);
    }
    let mut falses = case.claims().iter().filter(|claim| claim.is_false());
    if falses.any(|claim| claim.claimant == by.authority) {
        return Err(MythicError::AlreadyClaimed);
    }
    match usize::from(case.false_count) >= MAX_FALSE {
        true => Err(MythicError::CaseFull),
        false => Ok(()),
    }
}

/// Checks what a claim says and names, and notes its positions.
fn name(
    claim: &mut Claim,
    case: &Case,
    args: &ix::VerifyLogits,
    kind: ClaimKind,
) -> Result<(), MythicError> {
    let count = usize::from(args.position_count);
    if count > NAMED_POSITIONS {
        return Err(MythicError::PositionsInvalid);
    }
    let (named, unused) = args.positions.split_at(count);
    if unused.iter().any(|position| position.get() != 0) {
        return Err(MythicError::InvalidPadding);
    }
    if kind == ClaimKind::False && case.rule().is_none() {
        return Err(MythicError::NoRule);
    }
    if count == 0 {
        return Ok(());
    }
    if kind == ClaimKind::Withheld {
        return Err(MythicError::NothingNamed);
    }
    if case.exact == 0 {
        return Err(MythicError::NotExactProfile);
    }
    let tokens = case.output_tokens.get();
    let ascending = named.windows(2).all(|pair| pair[0] < pair[1]);
    let sampled = |position| case.sample().iter().any(|leaf| leaf.position == position);
    let fresh = named
        .iter()
        .all(|position| position.get() < tokens && !sampled(*position));
    if !ascending || !fresh {
        return Err(MythicError::PositionsInvalid);
    }
    for (leaf, position) in claim.leaves.iter_mut().zip(named) {
        leaf.position = *position;
    }
    claim.named = args.position_count;
    Ok(())
}

/// Makes room for the votes of the jury that the first `false` calls.
#[inline(never)]
fn call_jury(
    payer: &AccountView,
    case_account: &AccountView,
    votes_account: &mut AccountView,
) -> Result<(), MythicError> {
    if is_absent(votes_account) {
        return Err(MythicError::WrongVotes);
    }
    let case = *key(case_account);
    accounts::create::<Votes>(payer, votes_account, &pda::votes(&case))?;
    let mut votes = load_mut::<Votes>(votes_account)?;
    votes.header.status = STATUS_ACTIVE;
    votes.case = case;
    votes.rent_payer = *key(payer);
    Ok(())
}
