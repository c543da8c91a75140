//! The answer to a case: posted output, opened leaves.
//!
//! Whatever is posted is checked exactly when it arrives; what fails is refused and so not posted, and what
//! is not posted in time is an answer too.

use mythic_interface::dispute::shown_digest;
use mythic_interface::error::MythicError;
use mythic_interface::hash::{self, Hash};
use mythic_interface::ix;
use mythic_interface::le::U32;
use mythic_interface::leaf::Leaf;
use mythic_interface::output::{self, OUTPUT_CHUNK, chunks};
use mythic_interface::state::{
    Case, CaseStatus, Claim, FinishReason, Job, Key, OUTPUT_PAGE_TOKENS, OpenedLeaf, Output,
};
use mythic_interface::{merkle, pda, window};
use mythic_program::governance::STATUS_ACTIVE;
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, raised};
use crate::claim::check_case_fork;
use crate::memory;

/// Chunks on a page of output.
const PAGE_CHUNKS: u32 = (OUTPUT_PAGE_TOKENS / OUTPUT_CHUNK) as u32;
/// Bytes of a token id.
const ID: usize = 4;

/// The case must be about this job and await leaves or output, now.
fn check_answerable(case: &Case, job_account: &AccountView, slot: u64) -> Result<(), MythicError> {
    if case.job != *key(job_account) {
        return Err(MythicError::WrongCase);
    }
    let awaits = [CaseStatus::Opening as u8, CaseStatus::Joining as u8];
    if !awaits.contains(&case.header.status) {
        return Err(MythicError::WrongCaseStatus);
    }
    match window::open(slot, case.leaves_due()) {
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
    let [payer, case_account, job_account, first, page, system] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let job = load::<Job>(job_account)?;
    let tokens = job.output_tokens.get();
    let chunk = args.chunk.get();
    let (ids, rent_payer, prepaid) = {
        let case = load::<Case>(case_account)?;
        // The chunk's path binds the rest of the result.
        if case.submitted_slot != args.submitted_slot {
            return Err(MythicError::WrongFork);
        }
        check_answerable(&case, job_account, slot)?;
        check_chunk(&job, &case, chunk, tail)?;
        let ids = tail.get(..chunk_len(tokens, chunk) * ID);
        (ids, case.rent_payer, case.output_rent.get())
    };
    let ids = ids.ok_or(MythicError::InvalidInstructionData)?;

    let number = chunk / PAGE_CHUNKS;
    if (number == 0) != is_absent(page) {
        return Err(MythicError::WrongOutput);
    }
    let about = About {
        job: *key(job_account),
        fingerprint: job.fingerprint,
        rent_payer,
        tokens,
    };
    // The opener paid for all pages: who posts has no more to lay out than a signature.
    let mut rent = Rent {
        case: case_account,
        left: prepaid,
    };
    ensure_page(payer, first, 0, &about, &mut rent)?;
    if number > 0 {
        ensure_page(payer, page, number, &about, &mut rent)?;
    }
    if rent.left != prepaid {
        let left = rent.left;
        load_mut::<Case>(case_account)?.output_rent.set(left);
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

    Ok(())
}

/// Tokens of a chunk; 0 where there is no such chunk.
fn chunk_len(tokens: u32, chunk: u32) -> usize {
    let start = chunk.saturating_mul(OUTPUT_CHUNK as u32);
    tokens.saturating_sub(start).min(OUTPUT_CHUNK as u32) as usize
}

/// The bytes that post a chunk must be its ids and its path, lead to the output root, and keep the rules of end
/// of sequence.
#[inline(never)]
fn check_chunk(job: &Job, case: &Case, chunk: u32, tail: &[u8]) -> Result<(), MythicError> {
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
    let eos = case.eos();
    let start = chunk.saturating_mul(OUTPUT_CHUNK as u32);
    for (position, id) in (start..).zip(ids) {
        if breaks_eos(eos, case, position, *id) {
            return Err(MythicError::OutputInvalid);
        }
    }
    Ok(())
}

/// An end-of-sequence id anywhere but at the end, or an end without one where the result says `eos`.
pub fn breaks_eos(eos: &[U32], case: &Case, position: u32, token: U32) -> bool {
    let ends = eos.contains(&token);
    match position.saturating_add(1) < case.output_tokens.get() {
        true => ends,
        false => !ends && case.finish_reason == FinishReason::Eos as u8,
    }
}

/// What a page of output belongs to.
struct About {
    job: [u8; 32],
    fingerprint: Hash,
    rent_payer: [u8; 32],
    tokens: u32,
}

/// What is left of the rent that the opener paid for pages.
struct Rent<'a> {
    case: &'a mut AccountView,
    left: u64,
}

/// Creates a page, or checks that it is the one wanted. `payer` pays what the opener's money lacks.
#[inline(never)]
fn ensure_page(
    payer: &AccountView,
    account: &mut AccountView,
    number: u32,
    about: &About,
    rent: &mut Rent,
) -> Result<(), MythicError> {
    if accounts::is_ours(account) {
        let page = load::<Output>(account)?;
        return match page.job == about.job && page.page.get() == number {
            true => Ok(()),
            false => Err(MythicError::WrongOutput),
        };
    }
    let wanted = accounts::rent(Output::LEN)?.saturating_sub(account.lamports());
    let given = wanted.min(rent.left);
    if wanted > given {
        accounts::pay(payer, account, wanted - given)?;
    }
    accounts::create_unpaid::<Output>(account, &pda::output(&about.job, &number.to_le_bytes()))?;
    accounts::move_lamports(rent.case, account, given)?;
    rent.left -= given;
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
    let [case, job_account, first, page] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let mut case = load_mut::<Case>(case)?;
    let job = load::<Job>(job_account)?;
    check_case_fork(&case, args.submitted_slot, &args.fingerprint)?;
    check_answerable(&case, job_account, slot)?;
    let first = load::<Output>(first)?;
    if first.job != case.job || first.page.get() != 0 {
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
    if page.job != case.job {
        return Err(MythicError::WrongOutput);
    }
    let mut fresh = false;
    let mut rest = tail;
    while !rest.is_empty() {
        fresh |= open_leaf(&mut case, &job, page, &mut rest)?;
    }
    if !fresh {
        return Ok(());
    }
    case.leaves_slot.set(slot);
    // The output is complete, or no leaf would be taken.
    let all = case.opened == case.sampled && case.claims().iter().all(Claim::is_shown);
    if all && case.header.status == CaseStatus::Opening as u8 {
        case.header.status = CaseStatus::Joining as u8;
        case.shown_slot.set(slot);
    }
    Ok(())
}

/// Takes one leaf from the front of the bytes and shows it wherever it is asked for; whether that was new.
#[inline(never)]
fn open_leaf(
    case: &mut Case,
    job: &Job,
    page: &Output,
    bytes: &mut &[u8],
) -> Result<bool, MythicError> {
    let (content, rest) = bytes
        .split_first_chunk::<{ Leaf::LEN }>()
        .ok_or(MythicError::InvalidInstructionData)?;
    let leaf = Leaf::decode(content);
    let path_len = merkle::path_len(leaf.position, job.output_tokens.get());
    let (path, rest) = rest
        .split_at_checked(path_len * size_of::<Hash>())
        .ok_or(MythicError::InvalidInstructionData)?;
    leads_to_fingerprint(job, &case.job, &leaf, path)?;
    if job.terms.check_leaf(&leaf).is_err() {
        return Err(MythicError::OpeningInvalid);
    }
    if breaks_eos(case.eos(), case, leaf.position, U32::new(leaf.token)) {
        return Err(MythicError::OpeningInvalid);
    }
    match page.token(leaf.position) {
        None => return Err(MythicError::WrongOutput),
        Some(token) if token != leaf.token => return Err(MythicError::OutputMismatch),
        Some(_) => {}
    }
    *bytes = rest;
    show(case, &leaf)
}

/// Fills in a leaf in the sample and in each claim that names its position; whether anything was new.
#[inline(never)]
fn show(case: &mut Case, leaf: &Leaf) -> Result<bool, MythicError> {
    let exact = case.exact != 0;
    let sampled = usize::from(case.sampled).min(case.leaves.len());
    let (sample, _) = case.leaves.split_at_mut(sampled);
    let in_sample = fill(sample, leaf, OpenedLeaf::show);
    if in_sample == Some(true) {
        case.opened = case.opened.saturating_add(1);
        if exact && case.opened == case.sampled {
            case.sample_digest = shown_digest(sample);
        }
    }
    let named = show_named(case, leaf, OpenedLeaf::show);
    match in_sample.max(named) {
        Some(fresh) => Ok(fresh),
        None => Err(MythicError::NotChecked),
    }
}

/// Fills in a leaf among some places; whether that is new, `None` if nobody asks for it there.
fn fill(
    places: &mut [OpenedLeaf],
    leaf: &Leaf,
    put: impl Fn(&mut OpenedLeaf, &Leaf),
) -> Option<bool> {
    let mut places = places.iter_mut();
    let place = places.find(|place| place.position.get() == leaf.position)?;
    let fresh = place.present == 0;
    if fresh {
        put(place, leaf);
    }
    Some(fresh)
}

/// [`fill`] in each claim that names its position.
pub fn show_named(
    case: &mut Case,
    leaf: &Leaf,
    put: impl Fn(&mut OpenedLeaf, &Leaf),
) -> Option<bool> {
    let mut any = None;
    let count = usize::from(case.claim_count);
    for claim in case.claims.iter_mut().take(count) {
        let named = usize::from(claim.named).min(claim.leaves.len());
        let (group, _) = claim.leaves.split_at_mut(named);
        let here = fill(group, leaf, &put);
        if here == Some(true) && claim.is_shown() {
            claim.digest = shown_digest(claim.group());
        }
        any = any.max(here);
    }
    any
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
