//! Natural logarithm and Gumbel noise in integers: the same bits on chain and off, no floats.
//!
//! Both are read from two small tables (`tables.rs`, written by `tests/reference/tables.py`) with
//! linear interpolation. Every step is monotone, which is what lets a test bound the error over
//! all inputs: `|ln_q16 - ln| <= 2^-12` and `|gumbel_q16 - gumbel| <= 2^-12`.

use crate::tables::{LN, RATIO};

/// ln 2 in units of 2^-32.
const LN2_Q32: u64 = LN[128] as u64;

/// ln(n) in units of 2^-32 for `n >= 1`; never above the true value by more than rounding, never
/// below it by more than 2^-16.
fn ln_q32(n: u64) -> u64 {
    debug_assert!(n > 0);
    let shift = n.leading_zeros();
    // n = 2^exponent * (1 + mantissa / 2^32)
    let exponent = u64::from(63 - (shift & 63));
    let mantissa = (((n << (shift & 63)) << 1) >> 32) as u32;
    let index = (mantissa >> 25) as usize;
    let fraction = u64::from(mantissa & 0x01ff_ffff);
    let low = u64::from(LN[index]);
    // The difference of two entries is below 2^26, so the product is below 2^51.
    let step = u64::from(LN[index + 1]).wrapping_sub(low);
    let between = step.wrapping_mul(fraction) >> 25;
    exponent
        .wrapping_mul(LN2_Q32)
        .wrapping_add(low)
        .wrapping_add(between)
}

/// ln(-ln(1 - v) / v) in units of 2^-32 for `v = units / 2^33 <= 1/2`.
fn ratio_q32(units: u64) -> u64 {
    // units < 2^32 because it is odd wherever this is called, so index <= 63.
    let index = ((units >> 26) & 63) as usize;
    let fraction = units & 0x03ff_ffff;
    let low = u64::from(RATIO[index]);
    let step = u64::from(RATIO[index + 1]).wrapping_sub(low);
    low.wrapping_add(step.wrapping_mul(fraction) >> 26)
}

/// Rounds units of 2^-32 to units of 2^-16, half up.
const fn round_to_q16(q32: i64) -> i32 {
    // Everything here lies within ±2^38, far from any overflow.
    (q32.wrapping_add(1 << 15) >> 16) as i32
}

/// ln(n) in Q16.16, error at most 2^-12; `None` for 0, which has no logarithm.
pub fn ln_q16(n: u64) -> Option<i32> {
    if n == 0 {
        return None;
    }
    Some(round_to_q16(ln_q32(n) as i64))
}

/// `-ln(-ln u)` with `u = (x + ½) / 2^32`, in Q16.16, error at most 2^-12 for every `x`;
/// non-decreasing in `x`, from -3.13 to 22.87.
pub fn gumbel_q16(x: u32) -> i32 {
    // u = odd / 2^33
    let odd = (u64::from(x) << 1) | 1;
    if odd < 1 << 32 {
        // u < 1/2: -ln u is at least ln 2, nothing cancels.
        let minus_ln_u = 33u64.wrapping_mul(LN2_Q32).wrapping_sub(ln_q32(odd));
        let of_that = ln_q32(minus_ln_u) as i64;
        round_to_q16((32u64.wrapping_mul(LN2_Q32) as i64).wrapping_sub(of_that))
    } else {
        // Near u = 1 work in v = 1 - u, where -ln u = v · ratio(v).
        let rest = (1u64 << 33).wrapping_sub(odd);
        let ln_v = ln_q32(rest).wrapping_add(ratio_q32(rest));
        round_to_q16((33u64.wrapping_mul(LN2_Q32) as i64).wrapping_sub(ln_v as i64))
    }
}
