//! A challenge and its answer: bond and sample, posted output, opened leaves.
//!
//! Whatever is posted is checked exactly when it arrives; what fails is refused and so not posted, and what
//! is not posted in time is an answer too.

use mythic_interface::dispute::{Bond, Challenged, chunks};
use mythic_interface::error::MythicError;
use mythic_interface::hash::{self, Hash};
use mythic_interface::ix;
use mythic_interface::le::{U32, U64};
use mythic_interface::leaf::{Leaf, check_leaf};
use mythic_interface::output::{self, OUTPUT_CHUNK};
use mythic_interface::sampler::Sampling;
use mythic_interface::sortition::{self, SAMPLE_HASHES};
use mythic_interface::state::{
    Dispute, DisputeStatus, FinishReason, Job, JobStatus, KernelProfile, Key, Model,
    NAMED_POSITIONS, OUTPUT_PAGE_TOKENS, Output, Validator, ValidatorStatus,
};
use mythic_interface::{merkle, money, pda, window};
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, raised};
use crate::config::STATUS_ACTIVE;
use crate::validator::check_operator;
use crate::{memory, slot_hashes};

/// Chunks on a page of output.
const PAGE_CHUNKS: u32 = (OUTPUT_PAGE_TOKENS / OUTPUT_CHUNK) as u32;
/// Bytes of a token id.
const ID: usize = 4;

/// Refuses a job that does not have the result which the instruction names.
pub fn check_fork(job: &Job, submitted_slot: U64, fingerprint: &Hash) -> Result<(), MythicError> {
    match job.submitted_slot == submitted_slot && job.fingerprint == *fingerprint {
        true => Ok(()),
        false => Err(MythicError::WrongFork),
    }
}

/// Refuses a dispute about another result than the one that the instruction names.
pub fn check_dispute_fork(
    dispute: &Dispute,
    submitted_slot: U64,
    fingerprint: &Hash,
) -> Result<(), MythicError> {
    match dispute.submitted_slot == submitted_slot && dispute.fingerprint == *fingerprint {
        true => Ok(()),
        false => Err(MythicError::WrongFork),
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
        challenger,
        job_account,
        submitter,
        model,
        dispute_account,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let (authority, whole_stake) = {
        let job = load::<Job>(job_account)?;
        check_fork(&job, args.submitted_slot, &args.fingerprint)?;
        if ![JobStatus::Submitted as u8, JobStatus::Disputed as u8].contains(&job.header.status) {
            return Err(MythicError::WrongJobStatus);
        }
        let end = window::challenge_end(job.submitted_slot.get(), &job.terms.rules);
        if !window::open(slot, end) {
            return Err(MythicError::WindowClosed);
        }
        let challenger = load::<Validator>(challenger)?;
        check_operator(&challenger, operator)?;
        if challenger.authority == job.validator {
            return Err(MythicError::SelfChallenge);
        }
        if challenger.header.status != ValidatorStatus::Active as u8 {
            return Err(MythicError::Jailed);
        }
        let rules = &job.terms.rules;
        if !challenger.is_mature(&job.terms.model, job.requested_slot.get(), rules) {
            return Err(MythicError::ChallengerTooYoung);
        }
        if challenger.active_stake(slot) < rules.min_stake.get() {
            return Err(MythicError::StakeBelowMinimum);
        }
        let submitter = load::<Validator>(submitter)?;
        if submitter.authority != job.validator {
            return Err(MythicError::WrongValidator);
        }
        if job.terms.model != *key(model) {
            return Err(MythicError::WrongModel);
        }
        (challenger.authority, submitter.whole_stake())
    };

    let job_key = *key(job_account);
    accounts::create::<Dispute>(payer, dispute_account, &pda::dispute(&job_key, &authority))?;
    let prepaid = {
        let mut job = load_mut::<Job>(job_account)?;
        let mut dispute = load_mut::<Dispute>(dispute_account)?;
        dispute.header.status = DisputeStatus::Openings as u8;
        dispute.job = job_key;
        dispute.challenger = authority;
        dispute.rent_payer = *key(payer);
        dispute.challenged_slot.set(slot);
        describe(&mut dispute, &job, &*load::<Model>(model)?);
        draw(&mut dispute, args)?;

        let rules = &job.terms.rules;
        let bond = Bond::of(
            rules,
            &Challenged {
                whole_stake,
                ceiling: job.ceiling.get(),
                checked: dispute.checked() as u32,
                output_tokens: job.output_tokens.get(),
            },
        )?;
        if bond.total > args.bond.get() {
            return Err(MythicError::BondTooSmall);
        }
        dispute.bond.set(bond.total);
        dispute.at_stake.set(bond.at_stake);
        dispute.answering_fee.set(bond.answering_fee);
        dispute.tariff.set(bond.tariff);
        dispute.held.set(bond.total);
        let pages = job.output_tokens.get().div_ceil(OUTPUT_PAGE_TOKENS as u32);
        let output_rent = money::checked_mul(accounts::rent(Output::LEN)?, u64::from(pages))
            .ok_or(MythicError::AmountTooLarge)?;
        dispute.output_rent.set(output_rent);

        job.header.status = JobStatus::Disputed as u8;
        if job.disputed_slot.get() == 0 {
            job.disputed_slot.set(slot);
        }
        let open = job
            .open_disputes
            .get()
            .checked_add(1)
            .ok_or(MythicError::CounterOverflow)?;
        job.open_disputes.set(open);
        for party in [challenger, submitter] {
            let mut party = load_mut::<Validator>(party)?;
            let open = raised(party.open_disputes.get())?;
            party.open_disputes.set(open);
        }
        money::add(bond.total, output_rent)?
    };
    accounts::pay(payer, dispute_account, prepaid)
}

/// Copies what a dispute must know of its job and its model.
pub fn describe(dispute: &mut Dispute, job: &Job, model: &Model) {
    dispute.model = job.terms.model;
    dispute.submitter = job.validator;
    dispute.fingerprint = job.fingerprint;
    dispute.requested_slot = job.requested_slot;
    dispute.submitted_slot = job.submitted_slot;
    dispute.finish_reason = job.finish_reason;
    dispute.output_tokens = job.output_tokens;
    dispute.rules = job.terms.rules;
    // At most 15, the room of a dispute.
    dispute.jury_seats = job.terms.rules.jury_seats.get().min(15) as u8;
    let spec = &model.spec;
    let profile = u8::try_from(spec.kernel_profile.get())
        .ok()
        .and_then(KernelProfile::from_u8);
    dispute.exact = profile.is_some_and(KernelProfile::is_exact).into();
    dispute.commit_slots = spec.commit_slots;
    dispute.error_ppm = spec.error_ppm;
    dispute.miss_ppm = spec.miss_ppm;
    dispute.eos_count = spec.eos_count;
    dispute.eos_ids = spec.eos_ids;
}

/// Draws the sample and adds the positions that the challenger names.
#[inline(never)]
fn draw(dispute: &mut Dispute, args: &ix::VerifyLogits) -> Result<(), MythicError> {
    let submitted = dispute.submitted_slot.get();
    for group in 0..SAMPLE_HASHES {
        dispute.sample_hashes[group] =
            slot_hashes::first_from(sortition::sample_slot(submitted, group))?;
    }
    let tokens = dispute.output_tokens.get();
    let sample = sortition::sample_positions(tokens, &dispute.fingerprint, &dispute.sample_hashes);
    let sampled = sample.positions();
    for (leaf, position) in dispute.leaves.iter_mut().zip(sampled) {
        leaf.position.set(*position);
    }
    dispute.sampled = sampled.len() as u8;

    let count = usize::from(args.position_count);
    if count > NAMED_POSITIONS {
        return Err(MythicError::PositionsInvalid);
    }
    let (named, unused) = args.positions.split_at(count);
    if unused.iter().any(|position| position.get() != 0) {
        return Err(MythicError::InvalidPadding);
    }
    if count > 0 && dispute.exact == 0 {
        return Err(MythicError::NotExactProfile);
    }
    let ascending = named.windows(2).all(|pair| pair[0] < pair[1]);
    let fresh = named
        .iter()
        .all(|position| position.get() < tokens && !sampled.contains(&position.get()));
    if !ascending || !fresh {
        return Err(MythicError::PositionsInvalid);
    }
    for (leaf, position) in dispute.leaves.iter_mut().skip(sampled.len()).zip(named) {
        leaf.position = *position;
    }
    dispute.named = count as u8;
    Ok(())
}

/// The dispute must await answers about this job, now.
fn check_answerable(
    dispute: &Dispute,
    job_account: &AccountView,
    slot: u64,
) -> Result<(), MythicError> {
    if dispute.job != *key(job_account) {
        return Err(MythicError::WrongDispute);
    }
    if dispute.header.status != DisputeStatus::Openings as u8 {
        return Err(MythicError::WrongDisputeStatus);
    }
    match window::open(slot, dispute.openings_end()) {
        true => Ok(()),
        false => Err(MythicError::OpeningsOver),
    }
}

#[inline(never)]
pub fn post_output(
    accounts: &mut [AccountView],
    args: &ix::PostOutput,
    tail: &[u8],
) -> Result<(), MythicError> {
    let [payer, dispute_account, job_account, first, page, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let job = load::<Job>(job_account)?;
    let tokens = job.output_tokens.get();
    let chunk = args.chunk.get();
    let (ids, rent_payer) = {
        let dispute = load::<Dispute>(dispute_account)?;
        // The chunk's path binds the rest of the result.
        if dispute.submitted_slot != args.submitted_slot {
            return Err(MythicError::WrongFork);
        }
        check_answerable(&dispute, job_account, slot)?;
        check_chunk(&job, &dispute, chunk, tail)?;
        (
            tail.get(..chunk_len(tokens, chunk) * ID),
            dispute.rent_payer,
        )
    };
    let ids = ids.ok_or(MythicError::InvalidInstructionData)?;

    let number = chunk / PAGE_CHUNKS;
    if (number == 0) != is_absent(page) {
        return Err(MythicError::WrongOutput);
    }
    let before = payer.lamports();
    let about = About {
        job: *key(job_account),
        fingerprint: job.fingerprint,
        rent_payer,
        tokens,
    };
    ensure_page(payer, first, 0, &about)?;
    if number > 0 {
        ensure_page(payer, page, number, &about)?;
    }

    let bit = 1u16 << (chunk % PAGE_CHUNKS);
    let fresh = {
        let mut page = load_mut::<Output>(match number {
            0 => &mut *first,
            _ => page,
        })?;
        let fresh = page.chunks.get() & bit == 0;
        if fresh {
            let posted = page.chunks.get() | bit;
            page.chunks.set(posted);
            page.updated_slot.set(slot);
            let start = (chunk % PAGE_CHUNKS) as usize * OUTPUT_CHUNK;
            let places = page
                .tokens
                .get_mut(start..)
                .ok_or(MythicError::OutputMismatch)?;
            memory::copy(bytemuck::cast_slice_mut(places), ids);
        }
        if fresh && number == 0 {
            count_chunk(&mut page, tokens, slot)?;
        }
        fresh
    };
    if fresh && number > 0 {
        count_chunk(&mut *load_mut::<Output>(first)?, tokens, slot)?;
    }

    // Whoever posts gets back what the pages cost, as long as the challenger's money lasts.
    let spent = before.saturating_sub(payer.lamports());
    if spent == 0 {
        return Ok(());
    }
    let refund = {
        let mut dispute = load_mut::<Dispute>(dispute_account)?;
        let refund = spent.min(dispute.output_rent.get());
        let rest = money::sub(dispute.output_rent.get(), refund)?;
        dispute.output_rent.set(rest);
        refund
    };
    accounts::move_lamports(dispute_account, payer, refund)
}

/// Tokens of a chunk; 0 where there is no such chunk.
fn chunk_len(tokens: u32, chunk: u32) -> usize {
    let start = chunk.saturating_mul(OUTPUT_CHUNK as u32);
    tokens.saturating_sub(start).min(OUTPUT_CHUNK as u32) as usize
}

/// The bytes that post a chunk must be its ids and its path, lead to the output root, and keep the rules of end
/// of sequence.
#[inline(never)]
fn check_chunk(job: &Job, dispute: &Dispute, chunk: u32, tail: &[u8]) -> Result<(), MythicError> {
    let tokens = job.output_tokens.get();
    let count = chunks(tokens);
    if chunk >= count {
        return Err(MythicError::OutputMismatch);
    }
    let (ids, path) = tail
        .split_at_checked(chunk_len(tokens, chunk) * ID)
        .ok_or(MythicError::InvalidInstructionData)?;
    let path: &[Hash] =
        bytemuck::try_cast_slice(path).map_err(|_| MythicError::InvalidInstructionData)?;
    if path.len() != merkle::path_len(chunk, count) {
        return Err(MythicError::InvalidInstructionData);
    }
    let leaf = output::output_leaf_bytes(chunk, ids);
    if !merkle::verify(&job.output_root, leaf, chunk, count, path) {
        return Err(MythicError::OutputMismatch);
    }
    let ids: &[U32] =
        bytemuck::try_cast_slice(ids).map_err(|_| MythicError::InvalidInstructionData)?;
    let eos = dispute.eos();
    let start = chunk.saturating_mul(OUTPUT_CHUNK as u32);
    for (position, id) in (start..).zip(ids) {
        if breaks_eos(eos, dispute, position, *id) {
            return Err(MythicError::OutputInvalid);
        }
    }
    Ok(())
}

/// An end-of-sequence id anywhere but at the end, or an end without one where the result says `eos`.
pub fn breaks_eos(eos: &[U32], dispute: &Dispute, position: u32, token: U32) -> bool {
    let ends = eos.contains(&token);
    match position.saturating_add(1) < dispute.output_tokens.get() {
        true => ends,
        false => !ends && dispute.finish_reason == FinishReason::Eos as u8,
    }
}

/// What a page of output belongs to.
struct About {
    job: [u8; 32],
    fingerprint: Hash,
    rent_payer: [u8; 32],
    tokens: u32,
}

/// Creates a page, or checks that it is the one wanted.
#[inline(never)]
fn ensure_page(
    payer: &AccountView,
    account: &mut AccountView,
    number: u32,
    about: &About,
) -> Result<(), MythicError> {
    if accounts::is_ours(account) {
        let page = load::<Output>(account)?;
        return match page.job == about.job && page.page.get() == number {
            true => Ok(()),
            false => Err(MythicError::WrongOutput),
        };
    }
    accounts::create::<Output>(
        payer,
        account,
        &pda::output(&about.job, &number.to_le_bytes()),
    )?;
    let mut page = load_mut::<Output>(account)?;
    page.header.status = STATUS_ACTIVE;
    page.job = about.job;
    page.fingerprint = about.fingerprint;
    page.rent_payer = about.rent_payer;
    page.page.set(number);
    let page_tokens = OUTPUT_PAGE_TOKENS as u32;
    // number * 2,048 <= tokens.
    page.count
        .set((about.tokens - number * page_tokens).min(page_tokens));
    Ok(())
}

/// Counts a chunk on the first page.
fn count_chunk(first: &mut Output, tokens: u32, slot: u64) -> Result<(), MythicError> {
    let posted = raised(first.posted.get())?;
    first.posted.set(posted);
    if posted == chunks(tokens) {
        first.completed_slot.set(slot);
    }
    Ok(())
}

#[inline(never)]
pub fn post_openings(
    accounts: &mut [AccountView],
    args: &ix::PostOpenings,
    tail: &[u8],
) -> Result<(), MythicError> {
    let [dispute, job_account, first, page] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut dispute = load_mut::<Dispute>(dispute)?;
    let job = load::<Job>(job_account)?;
    check_dispute_fork(&dispute, args.submitted_slot, &args.fingerprint)?;
    check_answerable(&dispute, job_account, slot)?;
    let first = load::<Output>(first)?;
    if first.job != dispute.job || first.page.get() != 0 {
        return Err(MythicError::WrongOutput);
    }
    if first.completed_slot.get() == 0 {
        return Err(MythicError::NotComplete);
    }
    if tail.is_empty() {
        return Err(MythicError::InvalidInstructionData);
    }
    let other = match is_absent(page) {
        true => None,
        false => Some(load::<Output>(page)?),
    };
    let page: &Output = other.as_deref().unwrap_or(&first);
    if page.job != dispute.job {
        return Err(MythicError::WrongOutput);
    }
    let mut rest = tail;
    while !rest.is_empty() {
        open_leaf(&mut dispute, &job, page, &mut rest)?;
    }
    if usize::from(dispute.opened) == dispute.checked() {
        dispute.header.status = DisputeStatus::Jury as u8;
        dispute.completed_slot.set(slot);
    }
    Ok(())
}

/// Takes one leaf from the front of the bytes and shows it.
#[inline(never)]
fn open_leaf(
    dispute: &mut Dispute,
    job: &Job,
    page: &Output,
    bytes: &mut &[u8],
) -> Result<(), MythicError> {
    let (content, rest) = bytes
        .split_first_chunk::<{ Leaf::LEN }>()
        .ok_or(MythicError::InvalidInstructionData)?;
    let leaf = Leaf::decode(content);
    let path_len = merkle::path_len(leaf.position, job.output_tokens.get());
    let (path, rest) = rest
        .split_at_checked(path_len * size_of::<Hash>())
        .ok_or(MythicError::InvalidInstructionData)?;
    let checked = dispute.checked();
    let place = dispute
        .leaves
        .iter()
        .take(checked)
        .position(|known| known.position.get() == leaf.position)
        .ok_or(MythicError::NotChecked)?;
    leads_to_fingerprint(job, &dispute.job, &leaf, path)?;
    if check_leaf(&leaf, &sampling(job)).is_err() {
        return Err(MythicError::OpeningInvalid);
    }
    if breaks_eos(dispute.eos(), dispute, leaf.position, U32::new(leaf.token)) {
        return Err(MythicError::OpeningInvalid);
    }
    match page.token(leaf.position) {
        None => return Err(MythicError::WrongOutput),
        Some(token) if token != leaf.token => return Err(MythicError::OutputMismatch),
        Some(_) => {}
    }
    let known = dispute
        .leaves
        .get_mut(place)
        .ok_or(MythicError::NotChecked)?;
    if known.present == 0 {
        known.show(&leaf);
        dispute.opened = dispute.opened.saturating_add(1);
    }
    *bytes = rest;
    Ok(())
}

/// The sampler of a job.
pub fn sampling(job: &Job) -> Sampling {
    Sampling {
        seed: job.terms.seed,
        temperature_milli: job.terms.temperature_milli.get(),
    }
}

/// A leaf and its path must lead to the job's fingerprint.
#[inline(never)]
pub fn leads_to_fingerprint(
    job: &Job,
    job_key: &Key,
    leaf: &Leaf,
    path: &[u8],
) -> Result<(), MythicError> {
    let path: &[Hash] =
        bytemuck::try_cast_slice(path).map_err(|_| MythicError::InvalidInstructionData)?;
    let count = job.output_tokens.get();
    let root = merkle::root_from_path(
        leaf.hash(job_key, &job.validator),
        leaf.position,
        count,
        path,
    )
    .ok_or(MythicError::OpeningMismatch)?;
    match hash::fingerprint(&root, count, &job.terms_hash, &job.output_root) == job.fingerprint {
        true => Ok(()),
        false => Err(MythicError::OpeningMismatch),
    }
}
