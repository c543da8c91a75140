//! The verified sampler: the four largest logits of a position, and the choice among them that
//! program, engine and checker compute to the same bit.

use core::cmp::Ordering;

use crate::gumbel::gumbel_q16;
use crate::hash::{Hash, token_uniform};

/// Four (token id, logit in Q16.16), largest logit first, lower id first among equals.
pub type Top4 = [(u32, i32); 4];

/// The order of a [`Top4`]: logit descending, id ascending.
pub fn order(a: &(u32, i32), b: &(u32, i32)) -> Ordering {
    b.1.cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Rounds an f32 to Q16.16, half to even, saturating; `None` for NaN.
///
/// Works on the bits, so it is the same everywhere; infinities saturate.
pub fn round_q16(logit: f32) -> Option<i32> {
    let bits = logit.to_bits();
    let negative = bits >> 31 == 1;
    let exponent = (bits >> 23) & 0xff;
    let fraction = bits & 0x007f_ffff;
    if exponent == 0xff && fraction != 0 {
        return None;
    }
    let limit = if negative { 1u64 << 31 } else { (1 << 31) - 1 };
    // value = significand * 2^(exponent - 150), so units of 2^-16 = significand * 2^(exponent - 134)
    let significand = u64::from(if exponent == 0 {
        fraction
    } else {
        fraction | 0x0080_0000
    });
    let magnitude = if exponent >= 134 + 9 {
        // At least 2^(23 + 9) units: beyond both limits.
        limit
    } else if exponent >= 134 {
        (significand << (exponent - 134)).min(limit)
    } else {
        // The significand is below 2^24: shifted by 25 or more it is under half a unit.
        let shift = (134 - exponent).min(40);
        let whole = significand >> shift;
        let rest = significand & ((1 << shift) - 1);
        let half = 1u64 << (shift - 1);
        let up = rest > half || (rest == half && whole & 1 == 1);
        whole + u64::from(up)
    };
    // magnitude <= 2^31, so both the negation and the narrowing are exact.
    let value = magnitude as i64;
    Some(if negative { -value } else { value } as i32)
}

/// Why a row of logits has no four largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowError {
    /// The vocabulary has fewer than four tokens.
    TooShort,
    /// A logit is NaN: the computation that made the row is broken.
    NotANumber,
}

impl core::fmt::Display for RowError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            RowError::TooShort => "a row of logits needs at least four tokens",
            RowError::NotANumber => "a logit is NaN, so the model's output is meaningless",
        })
    }
}

impl core::error::Error for RowError {}

/// The four largest logits of a row (index = token id), selected as f32 (lower id among equals),
/// then rounded and ordered.
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub fn top4(logits: &[f32]) -> Result<Top4, RowError> {
    if logits.len() < 4 {
        return Err(RowError::TooShort);
    }
    let mut best = [(u32::MAX, f32::NEG_INFINITY); 4];
    let mut nan = false;
    for (id, &logit) in logits.iter().enumerate() {
        nan |= logit.is_nan();
        // Ids rise, so a later equal never displaces; u32::MAX marks an empty place.
        if logit > best[3].1 || best[3].0 == u32::MAX {
            let mut at = 3;
            while at > 0 && (logit > best[at - 1].1 || best[at - 1].0 == u32::MAX) {
                best[at] = best[at - 1];
                at -= 1;
            }
            best[at] = (id as u32, logit);
        }
    }
    if nan {
        return Err(RowError::NotANumber);
    }
    let mut out = [(0, 0); 4];
    for (slot, (id, logit)) in out.iter_mut().zip(best) {
        *slot = (id, round_q16(logit).ok_or(RowError::NotANumber)?);
    }
    out.sort_unstable_by(order);
    Ok(out)
}

/// How a verified job samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The job's seed, see [`crate::hash::job_seed`].
    pub seed: Hash,
    /// Temperature in thousandths; 0 takes the largest logit.
    pub temperature_milli: u16,
}

impl Sampling {
    /// The token chosen at `position`: the largest `logit / temperature + gumbel`, ties to the
    /// lower id.
    pub fn choose(&self, position: u32, top4: &Top4) -> u32 {
        let mut best = top4[0].0;
        let mut best_score = self.score(position, &top4[0]);
        for entry in &top4[1..] {
            let score = self.score(position, entry);
            if score > best_score || (score == best_score && entry.0 < best) {
                best = entry.0;
                best_score = score;
            }
        }
        best
    }

    /// Score of one entry in Q16.16.
    fn score(&self, position: u32, entry: &(u32, i32)) -> i64 {
        let (id, logit) = *entry;
        if self.temperature_milli == 0 {
            return i64::from(logit);
        }
        // Magnitudes, because signed division is not to be had on chain; below 2^31 * 1000.
        let scaled =
            u64::from(logit.unsigned_abs()).wrapping_mul(1000) / u64::from(self.temperature_milli);
        let scaled = scaled as i64;
        let scaled = if logit < 0 {
            scaled.wrapping_neg()
        } else {
            scaled
        };
        let noise = gumbel_q16(token_uniform(&self.seed, position, id));
        scaled.wrapping_add(i64::from(noise))
    }
}
