//! Stake and earnings of whoever works for the network: added, activated, taken out, slashed, paid. When stake may leave depends on
//! more than time, which each program says itself.

use mythic_interface::error::MythicError;
use mythic_interface::le::U64;
use mythic_interface::market::state::Provider;
use mythic_interface::state::{Account, Validator};
use mythic_interface::{money, window};

/// The balances of an account that has stake.
pub struct Parts<'a> {
    /// Active stake.
    pub stake: &'a mut U64,
    /// Added stake that does not count yet.
    pub activating: &'a mut U64,
    /// Slot from which it counts.
    pub activating_slot: &'a mut U64,
    /// Stake on its way out.
    pub unbonding: &'a mut U64,
    /// Slot from which that can be withdrawn.
    pub unbonding_slot: &'a mut U64,
    /// Slot until which no stake is withdrawn.
    pub obliged_until: &'a mut U64,
    /// Earned and not yet withdrawn.
    pub claimable: &'a mut U64,
    /// Foundation's part, not yet swept.
    pub owed_foundation: &'a mut U64,
    /// What is to burn, not yet swept.
    pub owed_burn: &'a mut U64,
    /// Lamports of stake paid in.
    pub staked: &'a mut U64,
    /// Lamports of stake paid out.
    pub withdrawn_stake: &'a mut U64,
    /// Lamports earned.
    pub earned: &'a mut U64,
    /// Lamports of earnings paid out.
    pub withdrawn: &'a mut U64,
    /// Lamports slashed.
    pub slashed: &'a mut U64,
    /// Slot of the last change.
    pub updated_slot: &'a mut U64,
}

/// An account that has stake.
pub trait Staked: Account {
    /// Its balances.
    fn parts(&mut self) -> Parts<'_>;
}

macro_rules! staked {
    ($($name:ident),*) => {
        $(impl Staked for $name {
            #[inline(always)]
            fn parts(&mut self) -> Parts<'_> {
                Parts {
                    stake: &mut self.stake,
                    activating: &mut self.activating,
                    activating_slot: &mut self.activating_slot,
                    unbonding: &mut self.unbonding,
                    unbonding_slot: &mut self.unbonding_slot,
                    obliged_until: &mut self.obliged_until,
                    claimable: &mut self.claimable,
                    owed_foundation: &mut self.owed_foundation,
                    owed_burn: &mut self.owed_burn,
                    staked: &mut self.staked,
                    withdrawn_stake: &mut self.withdrawn_stake,
                    earned: &mut self.earned,
                    withdrawn: &mut self.withdrawn,
                    slashed: &mut self.slashed,
                    updated_slot: &mut self.updated_slot,
                }
            }
        })*
    };
}
staked!(Validator, Provider);

fn raise(amount: &mut U64, by: u64) -> Result<(), MythicError> {
    amount.set(money::add(amount.get(), by)?);
    Ok(())
}

/// Counts added stake whose time has come.
pub fn activate(staked: &mut impl Staked, slot: u64) -> Result<(), MythicError> {
    let parts = staked.parts();
    if parts.activating.get() == 0 || window::open(slot, parts.activating_slot.get()) {
        return Ok(());
    }
    raise(parts.stake, parts.activating.get())?;
    parts.activating.set(0);
    parts.activating_slot.set(0);
    Ok(())
}

/// Takes up to `amount` out of the whole stake: active first, then activating, then unbonding. What was there
/// to take is returned; its lamports stay in the account for the caller to place.
pub fn slash(staked: &mut impl Staked, amount: u64, slot: u64) -> Result<u64, MythicError> {
    activate(staked, slot)?;
    let parts = staked.parts();
    let mut left = amount;
    for part in [parts.stake, parts.activating, parts.unbonding] {
        let taken = part.get().min(left);
        part.set(money::sub(part.get(), taken)?);
        left = money::sub(left, taken)?;
    }
    let taken = money::sub(amount, left)?;
    raise(parts.slashed, taken)?;
    Ok(taken)
}

/// An amount of stake that an instruction states.
pub fn nonzero(amount: u64) -> Result<u64, MythicError> {
    match amount {
        0 => Err(MythicError::ZeroAmount),
        amount => money::amount(amount),
    }
}

/// Adds stake that counts after `wait` slots; the caller moves the lamports.
pub fn add(staked: &mut impl Staked, amount: u64, slot: u64, wait: u32) -> Result<(), MythicError> {
    activate(staked, slot)?;
    let parts = staked.parts();
    let whole = [&parts.stake, &parts.activating, &parts.unbonding];
    let whole = whole
        .iter()
        .fold(0, |sum: u64, part| sum.wrapping_add(part.get()));
    money::add(whole, amount)?;
    raise(parts.activating, amount)?;
    raise(parts.staked, amount)?;
    parts.activating_slot.set(slot.saturating_add(wait.into()));
    parts.updated_slot.set(slot);
    Ok(())
}

/// Takes active stake out, of which `min_stake` or nothing stays; it can be withdrawn after `wait` slots.
pub fn request_unstake(
    staked: &mut impl Staked,
    amount: u64,
    min_stake: u64,
    slot: u64,
    wait: u32,
) -> Result<(), MythicError> {
    activate(staked, slot)?;
    let parts = staked.parts();
    let rest = parts
        .stake
        .get()
        .checked_sub(amount)
        .ok_or(MythicError::InsufficientStake)?;
    if rest != 0 && rest < min_stake {
        return Err(MythicError::StakeBelowMinimum);
    }
    parts.stake.set(rest);
    raise(parts.unbonding, amount)?;
    parts.unbonding_slot.set(slot.saturating_add(wait.into()));
    parts.updated_slot.set(slot);
    Ok(())
}

/// Unbonded stake that time lets go.
pub fn withdrawable(staked: &mut impl Staked, slot: u64) -> Result<u64, MythicError> {
    let parts = staked.parts();
    let amount = parts.unbonding.get();
    if amount == 0 {
        return Err(MythicError::NothingToWithdraw);
    }
    if window::open(slot, parts.unbonding_slot.get()) {
        return Err(MythicError::StakeLocked);
    }
    if window::open(slot, parts.obliged_until.get()) {
        return Err(MythicError::StakeObliged);
    }
    Ok(amount)
}

/// Takes unbonded stake out; the caller moves the lamports.
pub fn withdraw(staked: &mut impl Staked, amount: u64, slot: u64) -> Result<(), MythicError> {
    activate(staked, slot)?;
    let parts = staked.parts();
    parts.unbonding.set(0);
    raise(parts.withdrawn_stake, amount)?;
    parts.unbonding_slot.set(0);
    parts.updated_slot.set(slot);
    Ok(())
}

/// Holds stake until a slot.
pub fn oblige(staked: &mut impl Staked, until: u64) {
    let parts = staked.parts();
    let until = until.max(parts.obliged_until.get());
    parts.obliged_until.set(until);
}

/// Adds to what was earned.
pub fn earn(staked: &mut impl Staked, lamports: u64) -> Result<(), MythicError> {
    let parts = staked.parts();
    raise(parts.claimable, lamports)?;
    raise(parts.earned, lamports)
}

/// Adds to what lies in the account to be burned.
pub fn owe_burn(staked: &mut impl Staked, lamports: u64) -> Result<(), MythicError> {
    raise(staked.parts().owed_burn, lamports)
}

/// Adds to what lies in the account for the foundation.
pub fn owe_foundation(staked: &mut impl Staked, lamports: u64) -> Result<(), MythicError> {
    raise(staked.parts().owed_foundation, lamports)
}

/// Takes out what was earned; the caller moves the lamports.
pub fn take_claimable(staked: &mut impl Staked) -> Result<u64, MythicError> {
    let parts = staked.parts();
    let amount = parts.claimable.get();
    if amount == 0 {
        return Err(MythicError::NothingToWithdraw);
    }
    parts.claimable.set(0);
    raise(parts.withdrawn, amount)?;
    Ok(amount)
}
