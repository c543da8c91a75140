//! The end of a dispute: verdict, proven fault, amounts, closing.
//!
//! Nothing here depends on the good will or the state of anybody concerned: amounts are bounded by what is
//! there, accounts that are needed cannot have been closed, and those that may have been are not needed.

use mythic_interface::dispute::{self as game, Bond, Decision, Finding, Shares};
use mythic_interface::error::MythicError;
use mythic_interface::ix;
use mythic_interface::le::U32;
use mythic_interface::leaf::{Leaf, check_leaf};
use mythic_interface::params::MAX_JURY_SEATS;
use mythic_interface::state::{
    Dispute, DisputeStatus, EndReason, Ground, Job, JobStatus, Model, Output, Validator,
    ValidatorStatus, Verdict,
};
use mythic_interface::{INCINERATOR, money, pda, window};
use pinocchio::{AccountView, Address};

use crate::accounts::{self, is_absent, key, load, load_mut, lowered};
use crate::challenge::{breaks_eos, check_fork, describe, leads_to_fingerprint, sampling};
use crate::settle::{self, End};
use crate::stake;
use crate::validator::check_operator;

/// Lamports that leave an account of the program, once nothing is borrowed.
#[derive(Default)]
struct Moves {
    dispute_to_submitter: u64,
    submitter_to_dispute: u64,
    job_to_submitter: u64,
    job_to_vault: u64,
}

#[inline(never)]
pub fn resolve(accounts: &mut [AccountView], _: &ix::ResolveDispute) -> Result<(), MythicError> {
    let [
        dispute_account,
        job_account,
        submitter_account,
        vault,
        grant,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let job_key = *key(job_account);
    let moves = {
        let mut dispute = load_mut::<Dispute>(dispute_account)?;
        if dispute.job != job_key {
            return Err(MythicError::WrongDispute);
        }
        let mut job = load_mut::<Job>(job_account)?;
        let mut submitter = load_mut::<Validator>(submitter_account)?;
        if dispute.submitter != submitter.authority {
            return Err(MythicError::WrongValidator);
        }
        let (ground, decision) = count(&dispute, &job, slot)?;
        let open = job
            .open_disputes
            .get()
            .checked_sub(1)
            .ok_or(MythicError::CounterOverflow)?;
        job.open_disputes.set(open);
        let involved = lowered(submitter.open_disputes.get())?;
        submitter.open_disputes.set(involved);
        let mut moves = Moves::default();
        match decision.verdict {
            Verdict::Guilty | Verdict::Fault => {
                let slashed = punish(&mut submitter, &mut job, slot)?;
                record(&mut dispute, ground, &decision, slashed, slot)?;
                let burn = dispute.burned_amount.get();
                moves.submitter_to_dispute = money::sub(slashed, burn)?;
                settle::owe_burn(&mut submitter, burn)?;
                let end = slashed_end(EndReason::Guilty, slot);
                settle::condemn(&mut job, &mut submitter, vault, grant, &end)?;
                moves.job_to_vault = job.refunded_amount.get();
            }
            Verdict::NotGuilty | Verdict::Void => {
                record(&mut dispute, ground, &decision, 0, slot)?;
                let (answer, burn) = (dispute.submitter_amount.get(), dispute.burned_amount.get());
                settle::earn(&mut submitter, answer)?;
                settle::owe_burn(&mut submitter, burn)?;
                moves.dispute_to_submitter = money::add(answer, burn)?;
                let window_end = window::challenge_end(job.submitted_slot.get(), &job.terms.rules);
                let running = job.header.status == JobStatus::Disputed as u8;
                if running && open == 0 && !window::open(slot, window_end) {
                    let reason = match decision.verdict {
                        Verdict::NotGuilty => EndReason::NotGuilty,
                        _ => EndReason::Void,
                    };
                    let end = End {
                        status: JobStatus::Settled,
                        reason,
                        fee: settle::fee(&job)?,
                        slot,
                    };
                    moves.job_to_submitter = end.fee;
                    settle::pay(&mut job, &mut submitter, vault, grant, &end)?;
                    moves.job_to_vault = job.refunded_amount.get();
                }
            }
        }
        moves
    };
    accounts::move_lamports(
        dispute_account,
        submitter_account,
        moves.dispute_to_submitter,
    )?;
    accounts::move_lamports(
        submitter_account,
        dispute_account,
        moves.submitter_to_dispute,
    )?;
    accounts::move_lamports(job_account, submitter_account, moves.job_to_submitter)?;
    accounts::move_lamports(job_account, vault, moves.job_to_vault)
}

/// The end of a job whose result was false.
fn slashed_end(reason: EndReason, slot: u64) -> End {
    End {
        status: JobStatus::Slashed,
        reason,
        fee: 0,
        slot,
    }
}

/// What the dispute is decided by, and how; `DisputeNotDue` if it is not yet.
#[inline(never)]
fn count(dispute: &Dispute, job: &Job, slot: u64) -> Result<(Ground, Decision), MythicError> {
    let mut findings = [Finding::default(); MAX_JURY_SEATS];
    for (finding, seat) in findings.iter_mut().zip(dispute.jury()) {
        *finding = Finding {
            taken: seat.is_taken(),
            revealed: seat.is_revealed(),
            fraud: seat.fraud != 0,
            agrees: seat.agrees.get(),
        };
    }
    let findings = findings
        .get(..dispute.jury().len())
        .ok_or(MythicError::JuryOutOfRange)?;
    let due = dispute.due_slot().ok_or(MythicError::WrongDisputeStatus)?;
    if job.status().is_some_and(JobStatus::is_terminal) {
        let ground = Ground::Overtaken;
        return Ok((ground, game::without_jury(ground, findings)));
    }
    if window::open(slot, due) {
        return Err(MythicError::DisputeNotDue);
    }
    let ground = match dispute.header.status == DisputeStatus::Openings as u8 {
        true => Ground::Unanswered,
        false if dispute.rule().is_none() => Ground::NoThresholds,
        false => Ground::Jury,
    };
    Ok(match ground {
        Ground::Jury => (ground, game::decide(findings)),
        other => (other, game::without_jury(other, findings)),
    })
}

/// Slashes and jails the submitter; the lamports slashed are returned, and are owed by its account until the
/// caller has placed them.
fn punish(submitter: &mut Validator, job: &mut Job, slot: u64) -> Result<u64, MythicError> {
    let rules = &job.terms.rules;
    let slashed = stake::slash(submitter, game::slash(rules, submitter.whole_stake()), slot)?;
    job.slashed_amount.set(slashed);
    submitter.header.status = ValidatorStatus::Jailed as u8;
    let until = slot.saturating_add(u64::from(rules.jail_slots.get()));
    let until = until.max(submitter.jailed_until.get());
    submitter.jailed_until.set(until);
    submitter.updated_slot.set(slot);
    Ok(slashed)
}

/// Records verdict and amounts in the dispute.
#[inline(never)]
fn record(
    dispute: &mut Dispute,
    ground: Ground,
    decision: &Decision,
    slashed: u64,
    slot: u64,
) -> Result<(), MythicError> {
    let bond = Bond {
        at_stake: dispute.at_stake.get(),
        answering_fee: dispute.answering_fee.get(),
        tariff: dispute.tariff.get(),
        total: dispute.bond.get(),
    };
    let Shares {
        challenger,
        seat: each,
        seats: jurors,
        submitter,
        burned,
    } = game::share_out(ground, decision, &bond, slashed)?;
    dispute.header.status = DisputeStatus::Resolved as u8;
    dispute.resolved_slot.set(slot);
    dispute.verdict = decision.verdict as u8;
    dispute.ground = ground as u8;
    dispute.slashed_amount.set(slashed);
    dispute.challenger_amount.set(challenger);
    dispute.jurors_amount.set(jurors);
    dispute.submitter_amount.set(submitter);
    dispute.burned_amount.set(burned);
    dispute.held.set(money::add(challenger, jurors)?);
    let penalty = dispute.rules.juror_penalty;
    for (index, seat) in dispute.seats.iter_mut().enumerate() {
        let bit = 1u16 << index;
        if decision.paid & bit != 0 {
            seat.reward.set(each);
        }
        if decision.penalised & bit != 0 {
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
        fault_account,
        system,
    ] = accounts
    else {
        return Err(MythicError::NotEnoughAccounts);
    };
    accounts::check_system(system)?;
    let slot = accounts::slot()?;
    let job_key = *key(job_account);
    let prover = {
        let job = load::<Job>(job_account)?;
        check_fork(&job, args.submitted_slot, &args.fingerprint)?;
        if ![JobStatus::Submitted as u8, JobStatus::Disputed as u8].contains(&job.header.status) {
            return Err(MythicError::WrongJobStatus);
        }
        let end = window::challenge_end(job.submitted_slot.get(), &job.terms.rules);
        if job.open_disputes.get() == 0 && !window::open(slot, end) {
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
        prover.authority
    };

    accounts::create::<Dispute>(payer, fault_account, &pda::fault(&job_key))?;
    let (half, refund) = {
        let mut fault = load_mut::<Dispute>(fault_account)?;
        let mut job = load_mut::<Job>(job_account)?;
        fault.job = job_key;
        fault.challenger = prover;
        fault.rent_payer = *key(payer);
        fault.challenged_slot.set(slot);
        describe(&mut fault, &job, &*load::<Model>(model)?);
        fault.jury_seats = 0;
        let leaf = Leaf::decode(&args.leaf);
        leads_to_fingerprint(&job, &job_key, &leaf, tail)?;
        if !is_faulty(&fault, &job, &leaf, page)? {
            return Err(MythicError::NoFault);
        }
        fault.leaves[0].show(&leaf);
        fault.named = 1;
        fault.opened = 1;

        let mut submitter = load_mut::<Validator>(submitter_account)?;
        let slashed = punish(&mut submitter, &mut job, slot)?;
        let decision = game::without_jury(Ground::Fault, &[]);
        record(&mut fault, Ground::Fault, &decision, slashed, slot)?;
        settle::owe_burn(&mut submitter, fault.burned_amount.get())?;
        // The prover is here, so its half is not left to be collected.
        let half = fault.challenger_amount.get();
        settle::earn(&mut *load_mut::<Validator>(prover_account)?, half)?;
        fault.challenger_collected = 1;
        fault.held.set(0);
        let end = slashed_end(EndReason::Fault, slot);
        settle::condemn(&mut job, &mut submitter, vault, grant, &end)?;
        let refund = job.refunded_amount.get();
        (half, refund)
    };
    accounts::move_lamports(submitter_account, prover_account, half)?;
    accounts::move_lamports(job_account, vault, refund)
}

/// Whether a leaf that leads to the fingerprint breaks a rule which every result must keep.
#[inline(never)]
fn is_faulty(
    fault: &Dispute,
    job: &Job,
    leaf: &Leaf,
    page: &AccountView,
) -> Result<bool, MythicError> {
    if check_leaf(leaf, &sampling(job)).is_err()
        || breaks_eos(fault.eos(), fault, leaf.position, U32::new(leaf.token))
    {
        return Ok(true);
    }
    if is_absent(page) {
        return Ok(false);
    }
    let page = load::<Output>(page)?;
    if page.job != fault.job {
        return Err(MythicError::WrongOutput);
    }
    let posted = page.token(leaf.position).ok_or(MythicError::WrongOutput)?;
    Ok(posted != leaf.token)
}

#[inline(never)]
pub fn collect(accounts: &mut [AccountView], args: &ix::CollectDispute) -> Result<(), MythicError> {
    let [dispute_account, validator_account, incinerator] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    if *key(incinerator) != INCINERATOR {
        return Err(MythicError::InvalidIncinerator);
    }
    let slot = accounts::slot()?;
    let authority = &args.authority;
    let closed = !accounts::is_ours(validator_account);
    let due = {
        let mut dispute = load_mut::<Dispute>(dispute_account)?;
        if dispute.header.status != DisputeStatus::Resolved as u8 {
            return Err(MythicError::DisputeNotResolved);
        }
        let due = take_due(&mut dispute, authority)?;
        let held = money::sub(dispute.held.get(), money::add(due.bond, due.earned)?)?;
        dispute.held.set(held);
        if closed {
            let seeds = pda::validator(authority);
            let (address, _) = Address::try_find_program_address(&seeds, &accounts::PROGRAM_ID)
                .ok_or(MythicError::WrongAddress)?;
            if *validator_account.address() != address {
                return Err(MythicError::WrongAddress);
            }
            forfeit(&mut dispute, authority, due.earned)?;
        } else {
            let mut validator = load_mut::<Validator>(validator_account)?;
            if validator.authority != *authority {
                return Err(MythicError::WrongValidator);
            }
            settle::earn(&mut validator, due.earned)?;
            let claimable = money::add(validator.claimable.get(), due.bond)?;
            validator.claimable.set(claimable);
            let returned = money::add(validator.returned.get(), due.bond)?;
            validator.returned.set(returned);
            if due.challenger {
                let open = lowered(validator.open_disputes.get())?;
                validator.open_disputes.set(open);
            }
            let lost = take_penalties(&mut dispute, &mut validator, slot)?;
            settle::owe_burn(&mut validator, lost)?;
        }
        due
    };
    let lamports = money::add(due.bond, due.earned)?;
    match closed {
        false => accounts::move_lamports(dispute_account, validator_account, lamports),
        true => accounts::move_lamports(dispute_account, incinerator, lamports),
    }
}

/// What one validator gets.
struct Due {
    /// Returned bond.
    bond: u64,
    /// Everything else.
    earned: u64,
    /// It is the challenger.
    challenger: bool,
}

/// Marks as collected whatever belongs to `authority`.
#[inline(never)]
fn take_due(dispute: &mut Dispute, authority: &[u8; 32]) -> Result<Due, MythicError> {
    let mut due = Due {
        bond: 0,
        earned: 0,
        challenger: false,
    };
    let (mut concerned, mut fresh) = (false, false);
    if dispute.challenger == *authority {
        concerned = true;
        if dispute.challenger_collected == 0 {
            dispute.challenger_collected = 1;
            fresh = true;
            due.challenger = true;
            let amount = dispute.challenger_amount.get();
            due.bond = amount.min(dispute.bond.get());
            due.earned = amount.saturating_sub(dispute.bond.get());
        }
    }
    for seat in &mut dispute.seats {
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
    match (concerned, fresh) {
        (false, _) => Err(MythicError::NothingToCollect),
        (true, false) => Err(MythicError::AlreadyCollected),
        (true, true) => Ok(due),
    }
}

/// Takes a juror's penalties out of whatever stake is left; the lamports are returned.
#[inline(never)]
fn take_penalties(
    dispute: &mut Dispute,
    validator: &mut Validator,
    slot: u64,
) -> Result<u64, MythicError> {
    let mut lost = 0;
    for seat in &mut dispute.seats {
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
    let total = money::add(dispute.penalties_amount.get(), lost)?;
    dispute.penalties_amount.set(total);
    Ok(lost)
}

/// A validator that was closed has no stake to lose, and gets nothing: its `due` is burned.
fn forfeit(dispute: &mut Dispute, authority: &[u8; 32], due: u64) -> Result<(), MythicError> {
    for seat in &mut dispute.seats {
        if seat.juror == *authority {
            seat.penalty.set(0);
        }
    }
    let forfeited = money::add(dispute.forfeited_amount.get(), due)?;
    dispute.forfeited_amount.set(forfeited);
    Ok(())
}

#[inline(never)]
pub fn close(accounts: &mut [AccountView], _: &ix::CloseDispute) -> Result<(), MythicError> {
    let [dispute_account, rent_payer] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    {
        let dispute = load::<Dispute>(dispute_account)?;
        if dispute.rent_payer != *key(rent_payer) {
            return Err(MythicError::WrongRentPayer);
        }
        if dispute.header.status != DisputeStatus::Resolved as u8 {
            return Err(MythicError::DisputeNotResolved);
        }
        let lapsed = dispute.all_paid() && !window::open(slot, dispute.forfeit_end());
        if !dispute.all_collected() && !lapsed {
            return Err(MythicError::NotCollected);
        }
        if window::open(slot, dispute.retention_end()) {
            return Err(MythicError::TooEarlyToClose);
        }
    }
    accounts::close(dispute_account, rent_payer)
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
            return Err(MythicError::WrongDispute);
        }
        // A job closes after its own stay, and its address is never used again.
        if accounts::is_ours(job_account) {
            let job = load::<Job>(job_account)?;
            let delay = u64::from(job.terms.rules.close_delay_slots.get());
            let end = job.ended_slot.get().saturating_add(delay);
            let ended = job.status().is_some_and(JobStatus::is_terminal);
            if !ended || job.open_disputes.get() != 0 || window::open(slot, end) {
                return Err(MythicError::JobRunning);
            }
        }
    }
    accounts::close(page_account, rent_payer)
}
