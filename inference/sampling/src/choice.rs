//! The choice of one token among all of a vocabulary, in integers: the nine steps of `seeded-full`.
//!
//! Logits come rounded to Q16.16 and are worked on as i64; probabilities are parts of 2^32 whose sum is a u64, so that no order
//! of adding matters; shares are compared in u128. No step rounds but as it says.

use std::collections::HashMap;

use mythic_interface::gumbel::{gumbel_q16, ln_q16};
use mythic_interface::hash::token_uniform;
use mythic_interface::sampler::{RowError, Sampling, round_q16};

use crate::mask::Mask;
use crate::options::{MAX_TOP_K, Options, PPM};
use crate::tables::{LOWER, UPPER, WHOLE};

/// From here on `e` is 0: 23 in Q16.16.
const NOTHING_FROM: i64 = 23 << 16;
/// One, in Q16.16.
const ONE: i64 = 1 << 16;

/// Why no token can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    #[error(transparent)]
    Row(#[from] RowError),
    /// The mask is not of this vocabulary, or allows none of it.
    #[error("the mask allows no token")]
    NothingAllowed,
}

/// `2^32 · exp(-x)` for `x >= 0` in Q16.16, by table, rounded down at each of its two products; never rises with `x`.
pub fn exp_q32(x: u64) -> u64 {
    let Some(whole) = usize::try_from(x >> 16).ok().and_then(|i| WHOLE.get(i)) else {
        return 0;
    };
    let upper = u64::from(UPPER[usize::from((x >> 8) as u8)]);
    let lower = u64::from(LOWER[usize::from(x as u8)]);
    // Units of 2^-31, then of 2^-81, then of 2^-32: at most 2^32.
    let part = (upper * lower) >> 31;
    ((u128::from(*whole) * u128::from(part)) >> 49) as u64
}

/// What tokens an answer has so far, and how often.
#[derive(Clone, Debug, Default)]
pub struct Counts(HashMap<u32, u32>);

impl Counts {
    /// Adds a token.
    pub fn push(&mut self, token: u32) {
        let count = self.0.entry(token).or_default();
        *count = count.saturating_add(1);
    }
}

/// Memory that is used again for the next row.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Allowed tokens and their logits after bias and penalties, times 1,000.
    allowed: Vec<(u32, i64)>,
    order: Vec<i64>,
    largest: Vec<(u32, i64)>,
}

/// One position of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Position<'a> {
    pub options: &'a Options,
    pub sampling: &'a Sampling,
    /// Index in the output.
    pub position: u32,
    /// The output before it.
    pub counts: &'a Counts,
    /// What the grammar allows; `None` = everything.
    pub mask: Option<&'a Mask>,
}

impl Position<'_> {
    /// The token that is chosen here by these raw logits, one for each token of the vocabulary.
    pub fn choose(&self, logits: &[f32], scratch: &mut Scratch) -> Result<u32, NoChoice> {
        self.allowed(logits, &mut scratch.allowed)?;
        let temperature = i64::from(self.sampling.temperature_milli);
        if temperature == 0 {
            let best = scratch.allowed.iter().copied().reduce(larger);
            return best.map(|(id, _)| id).ok_or(NoChoice::NothingAllowed);
        }
        take_largest(scratch, temperature);
        let kept = self.keep(&scratch.largest, &scratch.allowed, temperature);
        let noisy = scratch.largest[..kept].iter().map(|(id, s)| {
            let noise = gumbel_q16(token_uniform(&self.sampling.seed, self.position, *id));
            (*id, s + i64::from(noise))
        });
        let best = noisy.reduce(larger);
        best.map(|(id, _)| id).ok_or(NoChoice::NothingAllowed)
    }

    /// Steps 1 to 3: mask, bias, penalties.
    fn allowed(&self, logits: &[f32], out: &mut Vec<(u32, i64)>) -> Result<(), NoChoice> {
        out.clear();
        if self
            .mask
            .is_some_and(|mask| mask.vocabulary() != logits.len())
        {
            return Err(NoChoice::NothingAllowed);
        }
        let mut biases = self.options.logit_bias.iter().peekable();
        for (id, logit) in (0u32..).zip(logits) {
            // Whatever is allowed: a NaN anywhere says that the computation is broken.
            let rounded = round_q16(*logit).ok_or(RowError::NotANumber)?;
            let bias = biases.next_if(|(with, _)| *with == id);
            if self.mask.is_some_and(|mask| !mask.allows(id)) {
                continue;
            }
            let mut value = i64::from(rounded);
            if let Some((_, bias)) = bias {
                value += i64::from(*bias) * ONE / 1_000;
            }
            out.push((id, value));
        }
        if out.is_empty() {
            return Err(NoChoice::NothingAllowed);
        }
        // Neutral penalties leave every value as it is.
        let counts = self.options.penalises().then_some(&self.counts.0);
        for (token, count) in counts.into_iter().flatten() {
            if let Ok(at) = out.binary_search_by_key(token, |(id, _)| *id) {
                out[at].1 = self.penalised(out[at].1, *count);
            }
        }
        for (_, value) in out {
            *value *= 1_000;
        }
        Ok(())
    }

    /// A logit after the penalties of a token that the answer has `count` times.
    fn penalised(&self, value: i64, count: u32) -> i64 {
        let repetition = i64::from(self.options.repetition_milli);
        let value = match value < 0 {
            true => value * repetition / 1_000,
            false => value * 1_000 / repetition,
        };
        let each = i64::from(self.options.frequency_milli) * i64::from(count);
        value - (each + i64::from(self.options.presence_milli)) * ONE / 1_000
    }

    /// Steps 6 to 8: how many of the largest, in order, stay.
    fn keep(&self, largest: &[(u32, i64)], allowed: &[(u32, i64)], temperature: i64) -> usize {
        let Some((_, first)) = largest.first() else {
            return 0;
        };
        let mut kept = match self.options.top_k {
            0 => largest.len(),
            k => largest.len().min(usize::from(k)),
        };
        if self.options.top_p_ppm < PPM {
            let bar = least(first - NOTHING_FROM + 1, temperature);
            let likely = allowed.iter().filter(|(_, value)| *value >= bar);
            let total: u64 = likely.map(|(_, v)| weight(*first, v / temperature)).sum();
            let goal = u128::from(self.options.top_p_ppm) * u128::from(total);
            let mut sum = 0;
            let reaches = largest[..kept].iter().position(|(_, s)| {
                sum += weight(*first, *s);
                u128::from(sum) * u128::from(PPM) >= goal
            });
            // Where all of them hold less than that, all stay.
            kept = reaches.map_or(kept, |last| last + 1);
        }
        let ln = |ppm: u32| ln_q16(u64::from(ppm)).map(i64::from);
        if let (Some(share), Some(one)) = (ln(self.options.min_p_ppm), ln(PPM)) {
            let bar = first + share - one;
            kept = largest[..kept].partition_point(|(_, s)| *s >= bar).max(1);
        }
        kept
    }
}

/// Steps 4 and 5: the 64 largest of the allowed after temperature, in order.
fn take_largest(scratch: &mut Scratch, temperature: i64) {
    let Scratch {
        allowed,
        order,
        largest,
    } = scratch;
    let most = usize::from(MAX_TOP_K);
    let mut bar = i64::MIN;
    if allowed.len() > most {
        order.clear();
        order.extend(allowed.iter().map(|(_, value)| *value));
        let (_, last, _) = order.select_nth_unstable_by(most - 1, |a, b| b.cmp(a));
        bar = least(*last / temperature, temperature);
    }
    largest.clear();
    let candidates = allowed.iter().filter(|(_, value)| *value >= bar);
    largest.extend(candidates.map(|(id, value)| (*id, value / temperature)));
    largest.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    largest.truncate(most);
}

/// The least value that divided by `temperature`, toward zero, gives `scaled` or more: spares a division for each token.
fn least(scaled: i64, temperature: i64) -> i64 {
    match scaled > 0 {
        true => scaled * temperature,
        false => (scaled - 1) * temperature + 1,
    }
}

/// `e` of a token beside the largest.
fn weight(first: i64, scaled: i64) -> u64 {
    exp_q32(first.abs_diff(scaled))
}

/// The larger of two, the lower id of equals.
fn larger(a: (u32, i64), b: (u32, i64)) -> (u32, i64) {
    match b.1 > a.1 || (b.1 == a.1 && b.0 < a.0) {
        true => b,
        false => a,
    }
}
