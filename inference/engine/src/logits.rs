//! What is kept of a row of logits: the five largest, values at given ids, the logarithm of the
//! sum of exponentials. Every order of operations is fixed, whatever the width of the registers.

// Lanes are indexed side by side.
#![allow(clippy::needless_range_loop)]

use mythic_interface::sampler::{RowError, Top4, order, round_q16};

use super::kernels::math::{self, exp, ln64, sum_lanes};

/// How many of the largest are looked for: the protocol's four, and one more that no answer shows.
const LARGEST: usize = 5;

/// Logits that are compared with the least of the largest at once, and the lanes that they are looked at in.
const BLOCK: usize = 64;
const LANES: usize = 16;

/// Exponentials that are summed as f32 before they join the f64 sum.
const SUM_BLOCK: usize = 256;

/// What is wanted of a row besides its largest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Ids whose logits are wanted; they must be in the vocabulary.
    pub claimed: [u32; 4],
    pub log_sum_exp: bool,
}

/// What is kept of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    pub top4: Top4,
    /// The fifth-largest, Q16.16; where the vocabulary has but four tokens, `u32::MAX` and the least number.
    pub fifth: (u32, i32),
    /// Q16.16.
    pub at_claimed: [i32; 4],
    /// Natural logarithm of the sum of the exponentials, if wanted.
    pub log_sum_exp: Option<f32>,
}

/// Takes what is wanted; no number in the row may be NaN.
pub fn keep(wide: bool, logits: &[f32], keep: &Keep) -> Result<Kept, RowError> {
    let (top4, fifth) = largest(wide, logits)?;
    let mut at_claimed = [0; 4];
    for (value, id) in at_claimed.iter_mut().zip(keep.claimed) {
        *value = round_q16(logits[id as usize]).ok_or(RowError::NotANumber)?;
    }
    Ok(Kept {
        top4,
        fifth,
        at_claimed,
        log_sum_exp: keep.log_sum_exp.then(|| log_sum_exp(wide, logits)),
    })
}

/// The four of [`mythic_interface::sampler::top4`] and the one behind them, chosen alike. Faster: a block of logits is looked
/// at one by one only if its largest would be among them.
fn largest(wide: bool, logits: &[f32]) -> Result<(Top4, (u32, i32)), RowError> {
    #[cfg(target_arch = "x86_64")]
    if wide {
        /// The same code, compiled for wider registers.
        #[target_feature(enable = "avx2,fma")]
        fn avx2(logits: &[f32]) -> Result<(Top4, (u32, i32)), RowError> {
            largest_body(logits)
        }
        // SAFETY: `wide` says that AVX2 and FMA are there.
        return unsafe { avx2(logits) };
    }
    let _ = wide;
    largest_body(logits)
}

#[inline(always)]
fn largest_body(logits: &[f32]) -> Result<(Top4, (u32, i32)), RowError> {
    if logits.len() < 4 {
        return Err(RowError::TooShort);
    }
    let mut best = [(u32::MAX, f32::NEG_INFINITY); LARGEST];
    let mut first = 0;
    for block in logits.chunks(BLOCK) {
        let (whole, rest) = block.as_chunks::<LANES>();
        let mut largest = [f32::NEG_INFINITY; LANES];
        let mut nan = [false; LANES];
        for part in whole {
            for l in 0..LANES {
                nan[l] |= part[l].is_nan();
                largest[l] = if part[l] > largest[l] {
                    part[l]
                } else {
                    largest[l]
                };
            }
        }
        if nan.contains(&true) || rest.iter().any(|x| x.is_nan()) {
            return Err(RowError::NotANumber);
        }
        // Equal to the last is no place: ids rise, and the lower one stays.
        let bar = best[LARGEST - 1].1;
        if best[LARGEST - 1].0 == u32::MAX || largest.iter().chain(rest).any(|x| *x > bar) {
            for (id, logit) in (first..).zip(block) {
                insert(&mut best, id, *logit);
            }
        }
        first += BLOCK as u32;
    }
    let mut out = [(0, 0); LARGEST];
    for (slot, (id, logit)) in out.iter_mut().zip(best) {
        *slot = (id, round_q16(logit).ok_or(RowError::NotANumber)?);
    }
    let [a, b, c, d, fifth] = out;
    let mut four = [a, b, c, d];
    four.sort_unstable_by(order);
    Ok((four, fifth))
}

/// Takes a logit among the largest if it is larger than one of them; u32::MAX marks an empty place.
fn insert(best: &mut [(u32, f32); LARGEST], id: u32, logit: f32) {
    if logit > best[LARGEST - 1].1 || best[LARGEST - 1].0 == u32::MAX {
        let mut at = LARGEST - 1;
        while at > 0 && (logit > best[at - 1].1 || best[at - 1].0 == u32::MAX) {
            best[at] = best[at - 1];
            at -= 1;
        }
        best[at] = (id, logit);
    }
}

/// Natural logarithm of the sum of the exponentials of finite logits.
fn log_sum_exp(wide: bool, logits: &[f32]) -> f32 {
    let max = logits.iter().fold(f32::NEG_INFINITY, |m, l| m.max(*l));
    #[cfg(target_arch = "x86_64")]
    if wide {
        /// The same code, compiled for wider registers.
        #[target_feature(enable = "avx2,fma")]
        fn avx2(logits: &[f32], max: f32) -> f64 {
            sum_exp(logits, max)
        }
        // SAFETY: `wide` says that AVX2 and FMA are there.
        return (f64::from(max) + ln64(unsafe { avx2(logits, max) })) as f32;
    }
    let _ = wide;
    (f64::from(max) + ln64(sum_exp(logits, max))) as f32
}

/// Blocks of 256 in lanes of f32, their sums added in f64, all in order.
#[inline(always)]
fn sum_exp(logits: &[f32], max: f32) -> f64 {
    let mut total = 0f64;
    for block in logits.chunks(SUM_BLOCK) {
        let mut lanes = [0f32; math::LANES];
        let (whole, rest) = block.as_chunks::<{ math::LANES }>();
        for part in whole {
            for l in 0..math::LANES {
                lanes[l] += exp(part[l] - max);
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += exp(x - max);
        }
        total += f64::from(sum_lanes(lanes));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn row(rng: &mut StdRng, len: usize) -> Vec<f32> {
        // Coarse values, so that many are equal.
        (0..len)
            .map(|_| rng.random_range(-400i32..400) as f32 / 16.0)
            .collect()
    }

    fn top4(wide: bool, row: &[f32]) -> Result<Top4, RowError> {
        largest(wide, row).map(|(four, _)| four)
    }

    #[test]
    fn the_four_largest_are_those_of_the_protocol_for_every_width() {
        let wide = crate::kernels::InstructionSet::available().len() > 1;
        let mut rng = StdRng::seed_from_u64(11);
        for len in [0, 3, 4, 5, 63, 64, 65, 1_000, 49_152] {
            let mut row = row(&mut rng, len);
            for wide in [false, wide] {
                assert_eq!(top4(wide, &row), mythic_interface::sampler::top4(&row));
            }
            row.sort_by(f32::total_cmp);
            assert_eq!(top4(wide, &row), mythic_interface::sampler::top4(&row));
            if let Some(x) = row.last_mut() {
                *x = f32::NAN;
                assert!(top4(wide, &row).is_err());
            }
        }
    }

    #[test]
    fn the_fifth_is_the_largest_of_what_is_left_for_every_width() {
        let wide = crate::kernels::InstructionSet::available().len() > 1;
        let mut rng = StdRng::seed_from_u64(13);
        for len in [5, 6, 64, 65, 1_000, 49_152] {
            let row = row(&mut rng, len);
            for wide in [false, wide] {
                let (four, fifth) = largest(wide, &row).unwrap();
                let left = (0u32..).zip(&row);
                let left = left.filter(|(id, _)| four.iter().all(|(known, _)| known != id));
                // The lower id of equals.
                let best =
                    left.fold((u32::MAX, f32::NEG_INFINITY), |best, (id, logit)| {
                        match *logit > best.1 || best.0 == u32::MAX {
                            true => (id, *logit),
                            false => best,
                        }
                    });
                assert_eq!(fifth, (best.0, round_q16(best.1).unwrap()), "{len}");
            }
        }
        let (_, none) = largest(false, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(none, (u32::MAX, i32::MIN));
    }

    #[test]
    fn infinite_logits_saturate() {
        let row = [f32::NEG_INFINITY, f32::INFINITY, 1.0, 2.0, 3.0];
        assert_eq!(top4(false, &row), mythic_interface::sampler::top4(&row));
        let all = [f32::NEG_INFINITY; 70];
        assert_eq!(top4(false, &all), mythic_interface::sampler::top4(&all));
    }

    #[test]
    fn log_sum_exp_is_right_and_the_same_bits_for_every_width() {
        let wide = crate::kernels::InstructionSet::available().len() > 1;
        let mut rng = StdRng::seed_from_u64(12);
        for len in [1, 7, 8, 300, 49_152] {
            let row = row(&mut rng, len);
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|x| f64::from(x - max).exp()).sum();
            let want = f64::from(max) + sum.ln();
            let got = log_sum_exp(false, &row);
            assert!((f64::from(got) - want).abs() < 2e-6, "{got}, not {want}");
            assert_eq!(got.to_bits(), log_sum_exp(wide, &row).to_bits());
        }
    }
}
