//! The jury: commitments, which take seats by stake, and the vectors behind them.

use mythic_interface::dispute::{agree, shows_fraud};
use mythic_interface::error::MythicError;
use mythic_interface::hash::{self, Hash};
use mythic_interface::ix;
use mythic_interface::le::I32;
use mythic_interface::sortition::{Rank, Seat, seat_slot};
use mythic_interface::state::{Dispute, DisputeStatus, Key, Validator, ValidatorStatus};
use mythic_interface::window;
use pinocchio::AccountView;

use crate::accounts::{self, key, load, load_mut};
use crate::challenge::check_dispute_fork;
use crate::validator::{check_operator, oblige};
use crate::{memory, slot_hashes};

#[inline(never)]
pub fn commit(accounts: &mut [AccountView], args: &ix::CommitJuror) -> Result<(), MythicError> {
    let [operator, validator, dispute_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let address = *key(dispute_account);
    let mut validator = load_mut::<Validator>(validator)?;
    let mut dispute = load_mut::<Dispute>(dispute_account)?;
    check_operator(&validator, operator)?;
    check_dispute_fork(&dispute, args.submitted_slot, &args.fingerprint)?;
    if dispute.header.status != DisputeStatus::Jury as u8 {
        return Err(MythicError::WrongDisputeStatus);
    }
    if dispute.positions_hash() != args.positions_hash {
        return Err(MythicError::WrongFork);
    }
    if dispute.rule().is_none()
        || window::open(slot, dispute.commit_start())
        || !window::open(slot, dispute.commit_end())
    {
        return Err(MythicError::CommitClosed);
    }
    check_eligible(&validator, &dispute, slot)?;
    if dispute
        .jury()
        .iter()
        .any(|seat| seat.juror == validator.authority)
    {
        return Err(MythicError::AlreadyCommitted);
    }
    draw_seats(&mut dispute)?;
    oblige(&mut validator, dispute.juror_obliged_until());
    let claimant = Claimant {
        address: &address,
        authority: &validator.authority,
        stake: validator.active_stake(slot),
        commitment: &args.commitment,
        slot,
    };
    take_seats(&mut dispute, &claimant)
}

/// Who commits, and to what.
struct Claimant<'a> {
    /// Address of the dispute.
    address: &'a Key,
    authority: &'a Key,
    stake: u64,
    commitment: &'a Hash,
    slot: u64,
}

fn check_eligible(validator: &Validator, dispute: &Dispute, slot: u64) -> Result<(), MythicError> {
    if validator.header.status != ValidatorStatus::Active as u8 {
        return Err(MythicError::Jailed);
    }
    if validator.active_stake(slot) < dispute.rules.min_stake.get() {
        return Err(MythicError::StakeBelowMinimum);
    }
    let requested = dispute.requested_slot.get();
    let mature = validator.is_mature(&dispute.model, requested, &dispute.rules);
    let sides = [dispute.challenger, dispute.submitter];
    match mature && !sides.contains(&validator.authority) {
        true => Ok(()),
        false => Err(MythicError::NotEligibleJuror),
    }
}

/// Stores the hashes that draw the seats, once: the first commitment needs them.
#[inline(never)]
fn draw_seats(dispute: &mut Dispute) -> Result<(), MythicError> {
    if dispute.seats[0].slot_hash != [0; 32] {
        return Ok(());
    }
    let (first, seats) = (dispute.jury_slot(), dispute.jury().len());
    for (index, seat) in dispute.seats.iter_mut().take(seats).enumerate() {
        seat.slot_hash = slot_hashes::first_from(seat_slot(first, index as u32))?;
    }
    Ok(())
}

/// Takes each seat for which the validator ranks before whoever sits there.
#[inline(never)]
fn take_seats(dispute: &mut Dispute, claimant: &Claimant) -> Result<(), MythicError> {
    let (jury_stake, seats) = (dispute.rules.jury_stake.get(), dispute.jury().len());
    let mut any = false;
    for (index, seat) in dispute.seats.iter_mut().take(seats).enumerate() {
        let draw = Seat {
            dispute: claimant.address,
            slot_hash: &seat.slot_hash,
            index: index as u32,
            jury_stake,
        };
        let Some(claim) = draw.rank(claimant.authority, claimant.stake) else {
            continue;
        };
        let sitting = Rank {
            rank: seat.rank.get(),
            authority: seat.juror,
        };
        if seat.is_taken() && !claim.beats(&sitting) {
            continue;
        }
        seat.juror = *claimant.authority;
        seat.rank.set(claim.rank);
        seat.commitment = *claimant.commitment;
        seat.committed_slot.set(claimant.slot);
        any = true;
    }
    match any {
        true => Ok(()),
        false => Err(MythicError::NotSeated),
    }
}

#[inline(never)]
pub fn reveal(
    accounts: &mut [AccountView],
    args: &ix::RevealJuror,
    tail: &[u8],
) -> Result<(), MythicError> {
    let [operator, validator, dispute_account] = accounts else {
        return Err(MythicError::NotEnoughAccounts);
    };
    let slot = accounts::slot()?;
    let address = *key(dispute_account);
    let validator = load::<Validator>(validator)?;
    let mut dispute = load_mut::<Dispute>(dispute_account)?;
    check_operator(&validator, operator)?;
    check_dispute_fork(&dispute, args.submitted_slot, &args.fingerprint)?;
    if dispute.header.status != DisputeStatus::Jury as u8 {
        return Err(MythicError::WrongDisputeStatus);
    }
    if window::open(slot, dispute.commit_end()) || !window::open(slot, dispute.reveal_end()) {
        return Err(MythicError::RevealClosed);
    }
    let authority = validator.authority;
    let mut own = dispute.jury().iter().filter(|seat| seat.juror == authority);
    let seat = own.next().ok_or(MythicError::NotSeated)?;
    if seat.is_revealed() {
        return Err(MythicError::AlreadyRevealed);
    }
    let vector: &[[I32; 5]] =
        bytemuck::try_cast_slice(tail).map_err(|_| MythicError::InvalidInstructionData)?;
    if vector.len() != dispute.checked() {
        return Err(MythicError::InvalidInstructionData);
    }
    if hash::juror_commitment(&address, &authority, &args.salt, tail) != seat.commitment {
        return Err(MythicError::CommitmentMismatch);
    }
    judge(&mut dispute, &authority, vector, slot)
}

/// Stores a juror's vector in its seats, with what it shows and whose findings it shares. Work is done here,
/// vector by vector, so that counting the jury is cheap.
#[inline(never)]
fn judge(
    dispute: &mut Dispute,
    authority: &Key,
    vector: &[[I32; 5]],
    slot: u64,
) -> Result<(), MythicError> {
    // Without a rule nobody could commit.
    let rule = dispute.rule().ok_or(MythicError::RevealClosed)?;
    let fraud = shows_fraud(dispute, rule, vector);
    let (mut own, mut others) = (0u16, 0u16);
    for (index, seat) in dispute.jury().iter().enumerate() {
        if seat.juror == *authority {
            own |= 1 << index;
        } else if fraud
            && seat.is_revealed()
            && seat.fraud != 0
            && agree(dispute, rule, vector, &seat.vector)
        {
            others |= 1 << index;
        }
    }
    let seats = dispute.jury().len();
    for (index, seat) in dispute.seats.iter_mut().take(seats).enumerate() {
        let bit = 1 << index;
        if own & bit != 0 {
            seat.revealed_slot.set(slot);
            seat.fraud = fraud.into();
            memory::copy(
                bytemuck::cast_slice_mut(&mut seat.vector),
                bytemuck::cast_slice(vector),
            );
            if fraud {
                seat.agrees.set(own | others);
            }
        } else if others & bit != 0 {
            let agrees = seat.agrees.get() | own;
            seat.agrees.set(agrees);
        }
    }
    Ok(())
}
