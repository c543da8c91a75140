//! The jury: commitments, which take seats by stake, and the votes behind them.

use mythic_interface::comparison::Rule;
use mythic_interface::dispute::{SAMPLE, agreement, finds_true};
use mythic_interface::error::MythicError;
use mythic_interface::hash::{self, Hash};
use mythic_interface::ix;
use mythic_interface::sortition::{Rank, Seat, seat_slot};
use mythic_interface::state::{Case, CaseStatus, Key, Validator, ValidatorStatus, Vote, Votes};
use mythic_interface::{money, window};
use mythic_program::slot_hashes;
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut};
use crate::claim::{check_case_fork, check_votes, served_model};
use crate::memory;
use crate::stake;
use crate::validator::check_operator;

#[inline(never)]
pub fn commit(accounts: &mut [AccountView], args: &ix::CommitJuror) -> Result<(), MythicError> {
    let [operator, validator, case_account, served] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let address = *key(case_account);
    let mut validator = load_mut::<Validator>(validator)?;
    let mut case = load_mut::<Case>(case_account)?;
    check_operator(&validator, operator)?;
    check_case_fork(&case, args.submitted_slot, &args.fingerprint)?;
    let judged = [CaseStatus::Joining as u8, CaseStatus::Jury as u8];
    if !judged.contains(&case.header.status) {
        return Err(MythicError::WrongCaseStatus);
    }
    if !case.is_shown() {
        return Err(MythicError::NotComplete);
    }
    if case.positions_hash() != args.positions_hash {
        return Err(MythicError::WrongFork);
    }
    // Where nobody says `false` there is nothing to judge.
    if case.false_count == 0
        || window::open(slot, case.commit_start())
        || !window::open(slot, case.commit_end())
    {
        return Err(MythicError::CommitClosed);
    }
    let served = served_model(
        served,
        &case.model,
        &case.weights_hash,
        case.kernel_profile.get(),
    )?;
    check_eligible(&validator, &case, &served, slot)?;
    let stake = validator.active_stake(slot);
    let mut sitting = case.jury().iter();
    if sitting.any(|seat| seat.juror == validator.authority) {
        return Err(MythicError::AlreadyCommitted);
    }
    draw_seats(&mut case)?;
    let counted = enlist(&mut case, &validator.authority, stake)?;
    stake::oblige(&mut *validator, case.juror_obliged_until());
    case.header.status = CaseStatus::Jury as u8;
    let candidate = Candidate {
        address: &address,
        authority: &validator.authority,
        stake,
        commitment: &args.commitment,
        slot,
    };
    // Who wins no seat has brought its stake all the same, once.
    match take_seats(&mut case, &candidate) || counted {
        true => Ok(()),
        false => Err(MythicError::AlreadyCommitted),
    }
}

/// Who commits, and to what.
struct Candidate<'a> {
    /// Address of the case.
    address: &'a Key,
    authority: &'a Key,
    stake: u64,
    commitment: &'a Hash,
    slot: u64,
}

fn check_eligible(
    validator: &Validator,
    case: &Case,
    served: &Key,
    slot: u64,
) -> Result<(), MythicError> {
    if validator.header.status != ValidatorStatus::Active as u8 {
        return Err(MythicError::Jailed);
    }
    let least = case.rules.min_stake.max(case.rules.jury_stake);
    if validator.active_stake(slot) < least.get() {
        return Err(MythicError::StakeBelowMinimum);
    }
    let mut claims = case.claims().iter();
    if claims.any(|claim| claim.claimant == validator.authority) {
        return Err(MythicError::SeatOfClaimant);
    }
    let mature = validator.is_mature(served, case.requested_slot.get(), &case.rules);
    match mature && validator.authority != case.submitter {
        true => Ok(()),
        false => Err(MythicError::NotEligibleJuror),
    }
}

/// Counts the stake of who commits, once; whether it was new.
fn enlist(case: &mut Case, authority: &Key, stake: u64) -> Result<bool, MythicError> {
    if case.counts(authority) {
        return Ok(false);
    }
    case.count(authority);
    let committed = money::add(case.committed_stake.get(), stake)?;
    case.committed_stake.set(committed);
    Ok(true)
}

/// Stores the hashes that draw the seats, once: the first commitment needs them.
#[inline(never)]
fn draw_seats(case: &mut Case) -> Result<(), MythicError> {
    if case.seats[0].slot_hash != [0; 32] {
        return Ok(());
    }
    let (first, seats) = (case.jury_slot(), case.jury().len());
    for (index, seat) in case.seats.iter_mut().take(seats).enumerate() {
        seat.slot_hash = slot_hashes::first_from(seat_slot(first, index as u32))?.1;
    }
    Ok(())
}

/// Takes each seat for which the validator ranks before whoever sits there; whether there was one.
#[inline(never)]
fn take_seats(case: &mut Case, candidate: &Candidate) -> bool {
    let seats = case.jury().len();
    let mut any = false;
    for (index, seat) in case.seats.iter_mut().take(seats).enumerate() {
        let draw = Seat {
            case: candidate.address,
            slot_hash: &seat.slot_hash,
            index: index as u32,
        };
        let Some(rank) = draw.rank(candidate.authority, candidate.stake) else {
            continue;
        };
        let sitting = Rank {
            rank: seat.rank.get(),
            authority: seat.juror,
        };
        if seat.is_taken() && !rank.beats(&sitting) {
            continue;
        }
        seat.juror = *candidate.authority;
        seat.rank.set(rank.rank);
        seat.commitment = *candidate.commitment;
        seat.committed_slot.set(candidate.slot);
        any = true;
    }
    any
}

#[inline(never)]
pub fn reveal(
    accounts: &mut [AccountView],
    args: &ix::RevealJuror,
    tail: &[u8],
) -> Result<(), MythicError> {
    let [operator, validator, case_account, votes] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let address = *key(case_account);
    let validator = load::<Validator>(validator)?;
    let mut case = load_mut::<Case>(case_account)?;
    check_operator(&validator, operator)?;
    check_case_fork(&case, args.submitted_slot, &args.fingerprint)?;
    if case.header.status != CaseStatus::Jury as u8 {
        return Err(MythicError::WrongCaseStatus);
    }
    if window::open(slot, case.commit_end()) || !window::open(slot, case.reveal_end()) {
        return Err(MythicError::RevealClosed);
    }
    let authority = validator.authority;
    let mut own = case.jury().iter().filter(|seat| seat.juror == authority);
    let seat = own.next().ok_or(MythicError::NotSeated)?;
    if seat.is_revealed() {
        return Err(MythicError::AlreadyRevealed);
    }
    if tail.len() != case.vote_len() {
        return Err(MythicError::InvalidInstructionData);
    }
    if hash::juror_commitment(&address, &authority, &args.salt, tail) != seat.commitment {
        return Err(MythicError::CommitmentMismatch);
    }
    let mut votes = load_mut::<Votes>(votes)?;
    check_votes(&votes, &address)?;
    let own = note_reveal(&mut case, &authority, slot);
    judge(&case, &mut votes, own, tail)
}

/// Marks the seats of a juror as revealed; one bit each.
fn note_reveal(case: &mut Case, authority: &Key, slot: u64) -> u16 {
    let seats = case.jury().len();
    let mut own = 0;
    for (index, seat) in case.seats.iter_mut().take(seats).enumerate() {
        if seat.juror == *authority {
            seat.revealed_slot.set(slot);
            own |= 1 << index;
        }
    }
    own
}

/// Stores a juror's vote at its seats, with what it finds true and who says the same. Work is done here, vote by vote, so that
/// counting the jury is cheap.
#[inline(never)]
fn judge(case: &Case, votes: &mut Votes, own: u16, body: &[u8]) -> Result<(), MythicError> {
    // Without a rule nobody could say `false`.
    let rule = case.rule().ok_or(MythicError::RevealClosed)?;
    let right = finds_true(case, rule, body);
    let seats = case.jury().len();
    for index in 0..seats {
        if own >> index & 1 == 1 {
            let vote = votes.votes.get_mut(index).ok_or(MythicError::WrongVotes)?;
            memory::copy(
                vote.body
                    .get_mut(..body.len())
                    .ok_or(MythicError::InvalidInstructionData)?,
                body,
            );
            vote.right.set(right);
        }
    }
    for index in 0..seats {
        let revealed = case
            .jury()
            .get(index)
            .is_some_and(|seat| seat.is_revealed());
        let Some(theirs) = votes.votes.get_mut(index).filter(|_| revealed) else {
            continue;
        };
        let same = match rule {
            Rule::Exact => agreement(case, rule, body, &theirs.body),
            // Those that find nothing wrong need not agree with anybody.
            Rule::Calibrated { .. } if right >> SAMPLE & 1 == 1 => 0,
            Rule::Calibrated { .. } if theirs.right.get() >> SAMPLE & 1 == 1 => 0,
            Rule::Calibrated { .. } => agreement(case, rule, body, &theirs.body),
        };
        if same != 0 {
            mark(theirs, same, own);
            let bit = 1 << index;
            for seat in 0..seats {
                if own >> seat & 1 == 1
                    && let Some(vote) = votes.votes.get_mut(seat)
                {
                    mark(vote, same, bit);
                }
            }
        }
    }
    Ok(())
}

/// Notes at a vote that some seats say the same about some digests.
fn mark(vote: &mut Vote, digests: u32, seats: u16) {
    for (digest, mask) in vote.agrees.iter_mut().enumerate() {
        if digests >> digest & 1 == 1 {
            let seats = mask.get() | seats;
            mask.set(seats);
        }
    }
}
