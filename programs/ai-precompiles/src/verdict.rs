//! The end of a case: verdict, proven fault, amounts, closing.
//!
//! Nothing here depends on the good will or the state of anybody concerned: amounts are bounded by what is
//! there, accounts that are needed cannot have been closed, and those that may have been are not needed.

use mythic_interface::dispute::{self as game, Decision, Deposit, Findings, Money, Shares};
use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::le::U32;
use mythic_interface::leaf::Leaf;
use mythic_interface::state::{
    Case, CaseStatus, EndReason, Ground, Job, JobStatus, JurySeat, Key, MAX_CLAIMS, Model, NO_KEY,
    OpenedLeaf, Output, Validator, ValidatorStatus, Verdict, Votes,
};
use mythic_interface::{INCINERATOR, money, pda, window};
use pinocchio::AccountView;

use crate::accounts::{self, is_absent, key, load, load_mut, lowered};
use crate::claim::{check_fork, check_votes, describe};
use crate::post::{breaks_eos, leads_to_fingerprint, show_named};
use crate::settle::{self, End};
use crate::stake;
use crate::validator::check_operator;

/// Lamports that move between accounts of the program, once nothing is borrowed.
#[derive(Default)]
struct Moves {
    case_to_submitter: u64,
    submitter_to_case: u64,
    case_to_prover: u64,
    job_to_submitter: u64,
    job_to_vault: u64,
}

/// What was decided, and when.
struct Ruling {
    decision: Decision,
    slot: u64,
}

#[inline(never)]
pub fn resolve(accounts: &mut [AccountView], _: &ix::ResolveCase) -> Result<(), MythicError> {
    let [
        case_account,
        job_account,
        submitter_account,
        vault,
        grant,
        votes,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let moves = {
        let address = *key(case_account);
        let mut case = load_mut::<Case>(case_account)?;
        if case.job != *key(job_account) {
            return Err(MythicError::WrongCase);
        }
        let mut job = load_mut::<Job>(job_account)?;
        let mut submitter = load_mut::<Validator>(submitter_account)?;
        if case.submitter != submitter.authority {
            return Err(MythicError::WrongValidator);
        }
        let decision = count(&case, &address, votes, slot)?;
        let ruling = Ruling { decision, slot };
        let mut moves = conclude(&mut case, &mut job, &mut submitter, &ruling)?;
        let end = end_of(&job, &ruling)?;
        moves.job_to_submitter = end.fee;
        match end.status {
            JobStatus::Slashed => settle::condemn(&mut job, &mut submitter, vault, grant, &end)?,
            _ => settle::pay(&mut job, &mut submitter, vault, grant, &end)?,
        }
        moves.job_to_vault = job.refunded_amount.get();
        moves
    };
    accounts::move_lamports(case_account, submitter_account, moves.case_to_submitter)?;
    accounts::move_lamports(submitter_account, case_account, moves.submitter_to_case)?;
    accounts::move_lamports(job_account, submitter_account, moves.job_to_submitter)?;
    accounts::move_lamports(job_account, vault, moves.job_to_vault)
}

/// How a job ends by a verdict.
fn end_of(job: &Job, ruling: &Ruling) -> Result<End, MythicError> {
    let (status, reason) = match ruling.decision.verdict {
        Verdict::Guilty => (JobStatus::Slashed, EndReason::Guilty),
        Verdict::Fault => (JobStatus::Slashed, EndReason::Fault),
        Verdict::NotGuilty => (JobStatus::Settled, EndReason::NotGuilty),
        Verdict::Void => (JobStatus::Settled, EndReason::Void),
    };
    let fee = match status {
        JobStatus::Settled => job.due_fee()?,
        _ => 0,
    };
    Ok(End {
        status,
        reason,
        fee,
        slot: ruling.slot,
    })
}

/// The decision of a case that is due; `CaseNotDue` if it is not yet.
#[inline(never)]
fn count(
    case: &Case,
    address: &Key,
    votes: &AccountView,
    slot: u64,
) -> Result<Decision, MythicError> {
    let due = case.due_slot().ok_or(MythicError::WrongCaseStatus)?;
    if window::open(slot, due) {
        return Err(MythicError::CaseNotDue);
    }
    let ground = match (case.is_shown(), case.false_count) {
        (false, _) => Ground::Unanswered,
        (true, 0) => Ground::NoClaim,
        (true, _) if case.prover != NO_KEY => Ground::Fault,
        (true, _) => Ground::Jury,
    };
    let judged = case.jury().iter().any(JurySeat::is_taken);
    if judged == is_absent(votes) {
        return Err(MythicError::WrongVotes);
    }
    if !judged {
        return Ok(game::decide(ground, &Findings::of(case, None)));
    }
    let votes = load::<Votes>(votes)?;
    check_votes(&votes, address)?;
    Ok(game::decide(ground, &Findings::of(case, Some(&votes))))
}

/// Slashes the submitter of a false result, shares everything out and records it in the case. What the case is then short of or
/// has too much is for the caller to move.
#[inline(never)]
fn conclude(
    case: &mut Case,
    job: &mut Job,
    submitter: &mut Validator,
    ruling: &Ruling,
) -> Result<Moves, MythicError> {
    let Ruling { decision, slot } = ruling;
    let guilty = matches!(decision.verdict, Verdict::Guilty | Verdict::Fault);
    let slashed = match guilty {
        true => punish(submitter, job, case, ruling)?,
        false => 0,
    };
    case.slashed_amount.set(slashed);
    let before = case.held.get();
    let shares = share_out(case, decision, slashed)?;
    record(case, decision, &shares, *slot)?;
    stake::earn(submitter, shares.submitter)?;
    stake::owe_burn(submitter, shares.burned)?;
    if case.claim_count != 0 {
        let open = lowered(submitter.open_cases.get())?;
        submitter.open_cases.set(open);
    }
    let after = case.held.get();
    Ok(Moves {
        case_to_submitter: before.saturating_sub(after),
        submitter_to_case: after.saturating_sub(before),
        ..Moves::default()
    })
}

/// Slashes and jails the submitter; the lamports slashed are returned, and are owed by its account until the
/// caller has placed them.
fn punish(
    submitter: &mut Validator,
    job: &mut Job,
    case: &Case,
    ruling: &Ruling,
) -> Result<u64, MythicError> {
    let slot = ruling.slot;
    let rules = &job.terms.rules;
    let half = game::slash(rules, submitter.whole_stake());
    let due = game::slash_cap(ruling.decision.ground, half, case.committed_stake.get());
    let slashed = stake::slash(submitter, due, slot)?;
    job.slashed_amount.set(slashed);
    submitter.header.status = ValidatorStatus::Jailed as u8;
    let until = slot.saturating_add(u64::from(rules.jail_slots.get()));
    let until = until.max(submitter.jailed_until.get());
    submitter.jailed_until.set(until);
    submitter.updated_slot.set(slot);
    Ok(slashed)
}

#[inline(never)]
fn share_out(case: &Case, decision: &Decision, slashed: u64) -> Result<Shares, MythicError> {
    let mut deposits = [Deposit::default(); MAX_CLAIMS];
    for (deposit, claim) in deposits.iter_mut().zip(case.claims()) {
        *deposit = Deposit {
            at_stake: claim.at_stake.get(),
            answering_fee: claim.answering_fee.get(),
            tariffs: claim.tariffs.get(),
        };
    }
    let count = case.claims().len();
    let money = Money {
        deposits: deposits.get(..count).unwrap_or(&[]),
        tariff: case.tariff.get(),
        juror_tariff: case.rules.juror_tariff.get(),
        slashed,
    };
    game::share_out(decision, &money)
}

/// Records verdict and amounts in the case.
#[inline(never)]
fn record(
    case: &mut Case,
    decision: &Decision,
    shares: &Shares,
    slot: u64,
) -> Result<(), MythicError> {
    case.header.status = CaseStatus::Resolved as u8;
    case.resolved_slot.set(slot);
    case.verdict = decision.verdict as u8;
    case.ground = decision.ground as u8;
    case.claimants_amount.set(shares.claimants);
    case.jurors_amount.set(shares.jurors);
    case.submitter_amount.set(shares.submitter);
    case.prover_amount.set(shares.prover);
    case.burned_amount.set(shares.burned);
    let held = money::add(shares.claimants, shares.jurors)?;
    let held = money::add(held, shares.prover)?;
    case.held.set(held);
    let count = case.claims().len();
    let ends = decision.outcomes.iter().zip(&shares.claims);
    for (claim, (outcome, amount)) in case.claims.iter_mut().take(count).zip(ends) {
        claim.outcome = *outcome as u8;
        claim.amount.set(*amount);
    }
    let penalty = case.rules.juror_penalty;
    for (index, seat) in case.seats.iter_mut().enumerate() {
        let bit = 1u16 << index;
        if decision.paid & bit != 0 {
            seat.reward.set(shares.juror);
        }
        if decision.fined & bit != 0 {
            seat.penalty = penalty;
        }
    }
    Ok(())
}

#[inline(never)]
pub fn prove(
    accounts: &mut [AccountView],
    args: &ix::ProveFault,
    tail: &[u8],
) -> Result<(), MythicError> {
    let [
        payer,
        operator,
        prover_account,
        job_account,
        submitter_account,
        vault,
        grant,
        model,
        page,
        case_account,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let job_key = *key(job_account);
    let (prover, fresh) = {
        let job = load::<Job>(job_account)?;
        check_fork(&job, args.submitted_slot, &args.fingerprint)?;
        let fresh = match job.status() {
            Some(JobStatus::Submitted) => true,
            Some(JobStatus::Disputed) => false,
            _ => return Err(MythicError::WrongJobStatus),
        };
        let end = window::challenge_end(job.submitted_slot.get(), &job.terms.rules);
        if fresh && !window::open(slot, end) {
            return Err(MythicError::WindowClosed);
        }
        let prover = load::<Validator>(prover_account)?;
        check_operator(&prover, operator)?;
        if prover.authority == job.validator {
            return Err(MythicError::SelfChallenge);
        }
        if load::<Validator>(submitter_account)?.authority != job.validator {
            return Err(MythicError::WrongValidator);
        }
        if job.terms.model != *key(model) {
            return Err(MythicError::WrongModel);
        }
        (prover.authority, fresh)
    };

    if fresh {
        accounts::create::<Case>(payer, case_account, &pda::case(&job_key))?;
    }
    let moves = {
        let mut case = load_mut::<Case>(case_account)?;
        let mut job = load_mut::<Job>(job_account)?;
        if fresh {
            case.job = job_key;
            case.rent_payer = *key(payer);
            case.opened_slot.set(slot);
            describe(&mut case, &job, &*load::<Model>(model)?)?;
            job.case_slot.set(slot);
        }
        if case.job != job_key {
            return Err(MythicError::WrongCase);
        }
        let leaf = Leaf::decode(&args.leaf);
        leads_to_fingerprint(&job, &job_key, &leaf, tail)?;
        if !is_faulty(&case, &job, &leaf, page)? {
            return Err(MythicError::NoFault);
        }
        note_fault(&mut case, &prover, &leaf, slot)?;
        // Whoever says `false` is judged by the jury, or a fault would pay whoever came first.
        if case.false_count != 0 && case.shown_slot.get() != 0 {
            return Ok(());
        }
        let mut submitter = load_mut::<Validator>(submitter_account)?;
        let decision = game::decide(Ground::Fault, &Findings::of(&case, None));
        let ruling = Ruling { decision, slot };
        let mut moves = conclude(&mut case, &mut job, &mut submitter, &ruling)?;
        // The prover is here, so what it gets is not left to be collected.
        let amount = case.prover_amount.get();
        if amount != 0 {
            case.prover_collected = 1;
            let held = money::sub(case.held.get(), amount)?;
            case.held.set(held);
            stake::earn(&mut *load_mut::<Validator>(prover_account)?, amount)?;
            moves.case_to_prover = amount;
        }
        let end = end_of(&job, &ruling)?;
        settle::condemn(&mut job, &mut submitter, vault, grant, &end)?;
        moves.job_to_vault = job.refunded_amount.get();
        moves
    };
    accounts::move_lamports(case_account, submitter_account, moves.case_to_submitter)?;
    accounts::move_lamports(submitter_account, case_account, moves.submitter_to_case)?;
    accounts::move_lamports(case_account, prover_account, moves.case_to_prover)?;
    accounts::move_lamports(job_account, vault, moves.job_to_vault)
}

/// Notes a fault and who proved it first, and shows the leaf in each claim that names it, as long as that can be: nobody else can.
fn note_fault(case: &mut Case, prover: &Key, leaf: &Leaf, slot: u64) -> Result<(), MythicError> {
    let shows = window::open(slot, case.leaves_due())
        && show_named(case, leaf, OpenedLeaf::condemn) == Some(true);
    if shows {
        case.leaves_slot.set(slot);
    }
    if case.prover == NO_KEY {
        case.prover = *prover;
        case.fault.show(leaf);
        return Ok(());
    }
    match shows {
        true => Ok(()),
        false => Err(MythicError::FaultProved),
    }
}

/// Whether a leaf that leads to the fingerprint breaks a rule which every result must keep.
#[inline(never)]
fn is_faulty(case: &Case, job: &Job, leaf: &Leaf, page: &AccountView) -> Result<bool, MythicError> {
    if job.terms.check_leaf(leaf).is_err()
        || breaks_eos(case.eos(), case, leaf.position, U32::new(leaf.token))
    {
        return Ok(true);
    }
    if is_absent(page) {
        return Ok(false);
    }
    let page = load::<Output>(page)?;
    if page.job != case.job {
        return Err(MythicError::WrongOutput);
    }
    let posted = page.token(leaf.position).ok_or(MythicError::WrongOutput)?;
    Ok(posted != leaf.token)
}

#[inline(never)]
pub fn collect(accounts: &mut [AccountView], args: &ix::CollectCase) -> Result<(), MythicError> {
    let [case_account, validator_account, incinerator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let authority = &args.authority;
    let closed = !accounts::is_ours(validator_account);
    let due = {
        let mut case = load_mut::<Case>(case_account)?;
        if case.header.status != CaseStatus::Resolved as u8 {
            return Err(MythicError::CaseNotResolved);
        }
        let due = take_due(&mut case, authority)?;
        let held = money::sub(case.held.get(), money::add(due.returned, due.earned)?)?;
        case.held.set(held);
        if closed {
            if *key(incinerator) != INCINERATOR {
                return Err(MythicError::InvalidIncinerator);
            }
            let seeds = pda::validator(authority);
            let (address, _) = accounts::find(&seeds, &accounts::PROGRAM_ID)?;
            if *key(validator_account) != address {
                return Err(MythicError::WrongAddress);
            }
            forfeit(&mut case, authority, due.earned)?;
        } else {
            let mut validator = load_mut::<Validator>(validator_account)?;
            if validator.authority != *authority {
                return Err(MythicError::WrongValidator);
            }
            stake::earn(&mut *validator, due.earned)?;
            let claimable = money::add(validator.claimable.get(), due.returned)?;
            validator.claimable.set(claimable);
            let returned = money::add(validator.returned.get(), due.returned)?;
            validator.returned.set(returned);
            let open = validator
                .open_cases
                .get()
                .checked_sub(due.claims)
                .ok_or(MythicError::CounterOverflow)?;
            validator.open_cases.set(open);
            let lost = take_penalties(&mut case, &mut validator, slot)?;
            stake::owe_burn(&mut *validator, lost)?;
        }
        due
    };
    let lamports = money::add(due.returned, due.earned)?;
    match closed {
        false => accounts::move_lamports(case_account, validator_account, lamports),
        true => accounts::move_lamports(case_account, incinerator, lamports),
    }
}

/// What one validator gets.
#[derive(Default)]
struct Due {
    /// Of its bonds.
    returned: u64,
    /// Everything else.
    earned: u64,
    /// Its claims that were open until now.
    claims: u32,
}

/// Marks as collected whatever belongs to `authority`.
#[inline(never)]
fn take_due(case: &mut Case, authority: &Key) -> Result<Due, MythicError> {
    let mut due = Due::default();
    let (mut concerned, mut fresh) = (false, false);
    let count = case.claims().len();
    let claims = case.claims.iter_mut().take(count);
    for claim in claims.filter(|claim| claim.claimant == *authority) {
        concerned = true;
        if claim.collected == 0 {
            claim.collected = 1;
            fresh = true;
            due.claims = due.claims.saturating_add(1);
            let (amount, bond) = (claim.amount.get(), claim.bond());
            due.returned = money::add(due.returned, amount.min(bond))?;
            due.earned = money::add(due.earned, amount.saturating_sub(bond))?;
        }
    }
    for seat in &mut case.seats {
        if seat.juror != *authority || (seat.reward.get() == 0 && seat.penalty.get() == 0) {
            continue;
        }
        concerned = true;
        if seat.collected == 0 {
            seat.collected = 1;
            fresh = true;
            due.earned = money::add(due.earned, seat.reward.get())?;
        }
    }
    if case.prover == *authority && case.prover_amount.get() != 0 {
        concerned = true;
        if case.prover_collected == 0 {
            case.prover_collected = 1;
            fresh = true;
            due.earned = money::add(due.earned, case.prover_amount.get())?;
        }
    }
    match (concerned, fresh) {
        (false, _) => Err(MythicError::NothingToCollect),
        (true, false) => Err(MythicError::AlreadyCollected),
        (true, true) => Ok(due),
    }
}

/// Takes a juror's penalties out of whatever stake is left; the lamports are returned.
#[inline(never)]
fn take_penalties(
    case: &mut Case,
    validator: &mut Validator,
    slot: u64,
) -> Result<u64, MythicError> {
    let mut lost = 0;
    for seat in &mut case.seats {
        if seat.juror != validator.authority || seat.penalty.get() == 0 {
            continue;
        }
        let taken = stake::slash(validator, seat.penalty.get(), slot)?;
        seat.penalty.set(taken);
        lost = money::add(lost, taken)?;
    }
    if lost > 0 {
        validator.updated_slot.set(slot);
    }
    let total = money::add(case.penalties_amount.get(), lost)?;
    case.penalties_amount.set(total);
    Ok(lost)
}

/// A validator that was closed has no stake to lose, and gets nothing: its `due` is burned.
fn forfeit(case: &mut Case, authority: &Key, due: u64) -> Result<(), MythicError> {
    for seat in &mut case.seats {
        if seat.juror == *authority {
            seat.penalty.set(0);
        }
    }
    let forfeited = money::add(case.forfeited_amount.get(), due)?;
    case.forfeited_amount.set(forfeited);
    Ok(())
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseCase) -> Result<(), MythicError> {
    let [case_account, rent_payer, votes_account, votes_rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let judged = {
        let case = load::<Case>(case_account)?;
        if case.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if case.header.status != CaseStatus::Resolved as u8 {
            return Err(MythicError::CaseNotResolved);
        }
        let lapsed = case.all_paid() && !window::open(slot, case.forfeit_end());
        if !case.all_collected() && !lapsed {
            return Err(MythicError::NotCollected);
        }
        if window::open(slot, case.retention_end()) {
            return Err(MythicError::TooEarlyToClose);
        }
        case.false_count != 0
    };
    if judged == is_absent(votes_account) {
        return Err(MythicError::WrongVotes);
    }
    if judged {
        {
            let votes = load::<Votes>(votes_account)?;
            check_votes(&votes, key(case_account))?;
            if votes.rent_payer != *key(votes_rent_payer) {
                return Err(MythicError::WrongRentPayer);
            }
        }
        accounts::close(votes_account, votes_rent_payer)?;
    }
    accounts::close(case_account, rent_payer)
}

#[inline(never)]
pub fn close_output(accounts: &mut [AccountView], _: &ix::CloseOutput) -> Result<(), MythicError> {
    let [page_account, job_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    {
        let page = load::<Output>(page_account)?;
        if page.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if page.job != *key(job_account) {
            return Err(MythicError::WrongCase);
        }
        // A job closes after its own stay, and its address is never used again.
        if accounts::is_ours(job_account) {
            let job = load::<Job>(job_account)?;
            let delay = u64::from(job.terms.rules.close_delay_slots.get());
            let end = job.ended_slot.get().saturating_add(delay);
            let ended = job.status().is_some_and(JobStatus::is_terminal);
            if !ended || window::open(slot, end) {
                return Err(MythicError::JobRunning);
            }
        }
    }
    accounts::close(page_account, rent_payer)
}
