//! Slot hashes, as they draw samples and juries and begin proofs: the hash of the first slot at or after a given one.

use mythic_interface::error::MythicError;
use mythic_interface::hash::Hash;
use pinocchio::Address;
use pinocchio::sysvars::get_sysvar;

/// `SysvarS1otHashes111111111111111111111111111`.
const SLOT_HASHES: Address = Address::new_from_array([
    6, 167, 213, 23, 25, 47, 10, 175, 198, 242, 101, 227, 251, 119, 204, 122, 218, 130, 197, 41,
    208, 190, 59, 19, 110, 45, 0, 85, 32, 0, 0, 0,
]);
/// The sysvar is a count (`u64`) and entries of slot (`u64`) and hash, latest first.
const HEAD: usize = 8;
const ENTRY: usize = 40;

fn word(offset: usize) -> Result<u64, MythicError> {
    let mut bytes = [0; 8];
    get_sysvar(&mut bytes, &SLOT_HASHES, offset).map_err(|_| MythicError::ClockUnavailable)?;
    Ok(u64::from_le_bytes(bytes))
}

fn slot_of(entry: u64) -> Result<u64, MythicError> {
    // At most 512 entries.
    word(HEAD + ENTRY * (entry & 0xffff) as usize)
}

/// The first slot at or after `slot` that was not skipped, and its hash. `SampleNotKnown` while there is none;
/// `SlotHashExpired` once the runtime keeps no older slot, because then the first one may be forgotten.
pub fn first_from(slot: u64) -> Result<(u64, Hash), MythicError> {
    let last = word(0)?
        .min(0xffff)
        .checked_sub(1)
        .ok_or(MythicError::SampleNotKnown)?;
    let latest = slot_of(0)?;
    let back = latest
        .checked_sub(slot)
        .ok_or(MythicError::SampleNotKnown)?;
    if slot_of(last)? >= slot {
        return Err(MythicError::SlotHashExpired);
    }
    // Slots fall strictly, so the entry wanted, the last one with a slot from `slot` on, is at most `back`
    // entries down; it is exactly there if no slot since was skipped.
    let (mut first, mut end) = (0, back.min(last) + 1);
    if back < last && slot_of(back)? == slot {
        first = back;
        end = back + 1;
    }
    while end - first > 1 {
        let middle = (first + end) / 2;
        match slot_of(middle)? >= slot {
            true => first = middle,
            false => end = middle,
        }
    }
    // Read whole: a second call costs as much as the first.
    let mut entry = [0; ENTRY];
    let offset = HEAD + ENTRY * (first & 0xffff) as usize;
    get_sysvar(&mut entry, &SLOT_HASHES, offset).map_err(|_| MythicError::ClockUnavailable)?;
    let (slot, rest) = entry
        .split_first_chunk()
        .ok_or(MythicError::ClockUnavailable)?;
    let hash = rest.first_chunk().ok_or(MythicError::ClockUnavailable)?;
    Ok((u64::from_le_bytes(*slot), *hash))
}
