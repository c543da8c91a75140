//! Lamports: prices, ceilings and shares. `u64`, checked, rounded once; no `u128`, no floats.
//!
//! The program's compiler cannot lower a 64-bit multiplication with overflow detection, so products
//! here are either of visibly small operands or go through [`checked_mul`].

use crate::error::MythicError;
use crate::params::{BPS, MAX_LAMPORTS, Rules};

/// Refuses what is above [`MAX_LAMPORTS`].
pub const fn amount(lamports: u64) -> Result<u64, MythicError> {
    if lamports > MAX_LAMPORTS {
        return Err(MythicError::AmountTooLarge);
    }
    Ok(lamports)
}

/// `a + b`, refused above [`MAX_LAMPORTS`].
pub const fn add(a: u64, b: u64) -> Result<u64, MythicError> {
    match a.checked_add(b) {
        Some(sum) => amount(sum),
        None => Err(MythicError::AmountTooLarge),
    }
}

/// `a - b`; [`MythicError::BalanceUnderflow`] if `b` is larger, which a caller has ruled out before.
pub const fn sub(a: u64, b: u64) -> Result<u64, MythicError> {
    match a.checked_sub(b) {
        Some(rest) => Ok(rest),
        None => Err(MythicError::BalanceUnderflow),
    }
}

/// `a * b` from 32-bit limbs, `None` on overflow.
pub const fn checked_mul(a: u64, b: u64) -> Option<u64> {
    const LOW: u64 = u32::MAX as u64;
    let (a_high, a_low, b_high, b_low) = (a >> 32, a & LOW, b >> 32, b & LOW);
    if a_high != 0 && b_high != 0 {
        return None;
    }
    // One of the two terms is zero, and each factor is below 2^32.
    let cross = a_high.wrapping_mul(b_low) + a_low.wrapping_mul(b_high);
    if cross > LOW {
        return None;
    }
    (cross << 32).checked_add(a_low.wrapping_mul(b_low))
}

/// Price in lamports of `prompt_tokens` and `output_tokens` at `price_in` and `price_out` lamports per
/// 1,000 tokens, rounded up once.
pub const fn price(
    prompt_tokens: u32,
    output_tokens: u32,
    price_in: u32,
    price_out: u32,
) -> Result<u64, MythicError> {
    // Products of two 32-bit numbers fit 64 bits.
    let input = (prompt_tokens as u64).wrapping_mul(price_in as u64);
    let output = (output_tokens as u64).wrapping_mul(price_out as u64);
    let Some(milli) = input.checked_add(output) else {
        return Err(MythicError::AmountTooLarge);
    };
    let lamports = milli / 1_000;
    Ok(if milli % 1_000 == 0 {
        lamports
    } else {
        lamports + 1
    })
}

/// `lamports × bps / 10,000`, rounded down. `bps` above 10,000 counts as 10,000.
pub const fn share(lamports: u64, bps: u16) -> u64 {
    let bps = if bps > BPS { BPS as u64 } else { bps as u64 };
    let whole = BPS as u64;
    // bps <= 10,000, so neither product can exceed what it was divided from.
    (lamports / whole).wrapping_mul(bps) + (lamports % whole).wrapping_mul(bps) / whole
}

/// Who gets what of a fee. The three sum to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The part of the validator or the provider.
    pub earner: u64,
    /// The foundation's part.
    pub foundation: u64,
    /// The part that is burned: the remainder.
    pub burned: u64,
}

/// Splits a fee by a job's rules.
pub const fn split(fee: u64, rules: &Rules) -> Split {
    split_by(fee, rules.validator_bps.get(), rules.foundation_bps.get())
}

/// Splits what was earned; both shares are rounded down and the remainder is burned.
pub const fn split_by(fee: u64, earner_bps: u16, foundation_bps: u16) -> Split {
    let earner = share(fee, earner_bps);
    // Shares that sum to more than a whole can't be configured; saturating keeps this total.
    let rest = fee.saturating_sub(earner);
    let foundation = share(fee, foundation_bps);
    let foundation = if foundation > rest { rest } else { foundation };
    Split {
        earner,
        foundation,
        burned: rest - foundation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use proptest::prelude::*;

    #[test]
    fn promised_prices() {
        assert_eq!(price(1_000, 0, 25_000, 50_000), Ok(25_000));
        assert_eq!(price(0, 512, 25_000, 50_000), Ok(25_600));
        assert_eq!(price(1, 0, 25_000, 50_000), Ok(25));
        assert_eq!(price(1, 1, 1, 1), Ok(1));
        assert_eq!(
            price(u32::MAX, u32::MAX, u32::MAX, u32::MAX),
            Err(MythicError::AmountTooLarge)
        );
    }

    #[test]
    fn promised_split() {
        let rules = Params::mainnet().rules;
        assert_eq!(
            split(25_600, &rules),
            Split {
                earner: 12_800,
                foundation: 2_560,
                burned: 10_240
            }
        );
        assert_eq!(
            split(1, &rules),
            Split {
                earner: 0,
                foundation: 0,
                burned: 1
            }
        );
    }

    proptest! {
        #[test]
        fn multiplication_agrees_with_the_native_one(a: u64, b: u64, shift in 0u32..64) {
            prop_assert_eq!(checked_mul(a >> shift, b), (a >> shift).checked_mul(b));
        }

        #[test]
        fn shares_agree_with_wide_arithmetic(lamports: u64, bps in 0u16..=10_000) {
            prop_assert_eq!(u128::from(share(lamports, bps)), u128::from(lamports) * u128::from(bps) / 10_000);
        }

        #[test]
        fn split_sums_to_the_fee(fee: u64) {
            let split = split(fee, &Params::mainnet().rules);
            prop_assert_eq!(split.earner + split.foundation + split.burned, fee);
        }
    }
}
