//! Honest bounds for counted events. Pure.

use serde::{Deserialize, Serialize};

/// Confidence of the two-sided intervals, and of the one-sided bound of nothing in n.
pub const CONFIDENCE: f64 = 0.95;

/// Something that happened `hits` times in `of` trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub hits: u64,
    pub of: u64,
}

impl Rate {
    /// Counts what is true.
    pub fn count(events: impl IntoIterator<Item = bool>) -> Self {
        let mut rate = Self::default();
        for hit in events {
            rate.hits += u64::from(hit);
            rate.of += 1;
        }
        rate
    }

    /// The share, if anything was tried.
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }

    /// Bounds of the true rate at 95 %: for none (or all) of n the rule of three, 3/n, one-sided;
    /// otherwise Clopper and Pearson's interval. Nothing tried bounds nothing.
    pub fn bounds(self) -> (f64, f64) {
        if self.of == 0 {
            return (0.0, 1.0);
        }
        let three = (3.0 / self.of as f64).min(1.0);
        if self.hits == 0 {
            return (0.0, three);
        }
        if self.hits >= self.of {
            return (1.0 - three, 1.0);
        }
        clopper_pearson(self.hits, self.of, CONFIDENCE)
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let (low, high) = self.bounds();
        let text = match self.share() {
            None => "none tried".to_owned(),
            Some(_) if self.hits == 0 => format!("0/{} (≤ {})", self.of, percent(high)),
            Some(_) if self.hits == self.of => {
                format!("{}/{} (≥ {})", self.hits, self.of, percent(low))
            }
            Some(_) => format!(
                "{}/{} ({:.0}–{:.0} %)",
                self.hits,
                self.of,
                100.0 * low,
                100.0 * high
            ),
        };
        f.pad(&text)
    }
}

/// Lanczos approximation of ln Γ(x), x > 0; relative error below 1e-14 where it is used.
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + G + 0.5;
    let sum = C
        .iter()
        .enumerate()
        .skip(1)
        .fold(C[0], |sum, (i, c)| sum + c / (x + i as f64));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
}

/// Chance of at least `k` hits in `n` independent trials of chance `p`.
pub fn at_least(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 || p >= 1.0 {
        return if k <= n { 1.0 } else { 0.0 };
    }
    if p <= 0.0 || k > n {
        return 0.0;
    }
    let term = |i: u64| (ln_choose(n, i) + i as f64 * p.ln() + (n - i) as f64 * (-p).ln_1p()).exp();
    // The shorter tail is summed, from its smallest terms.
    if k as f64 > n as f64 * p {
        (k..=n).rev().map(term).sum::<f64>().min(1.0)
    } else {
        (1.0 - (0..k).map(term).sum::<f64>()).clamp(0.0, 1.0)
    }
}

/// Chance of at least `k` bad ones among `drawn` of `n` without replacement, `bad` of which are bad.
pub fn draws_at_least(k: u64, drawn: u64, bad: u64, n: u64) -> f64 {
    let (drawn, bad) = (drawn.min(n), bad.min(n));
    let possible = |i: &u64| *i <= bad && drawn - i <= n - bad;
    (k..=drawn)
        .rev()
        .filter(possible)
        .map(|i| (ln_choose(bad, i) + ln_choose(n - bad, drawn - i) - ln_choose(n, drawn)).exp())
        .sum::<f64>()
        .min(1.0)
}

/// Clopper and Pearson's interval for 0 < hits < n.
fn clopper_pearson(hits: u64, n: u64, confidence: f64) -> (f64, f64) {
    let tail = (1.0 - confidence) / 2.0;
    // at_least(k, n, p) rises with p.
    let solve = |k: u64, goal: f64| {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if at_least(k, n, middle) < goal {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    };
    (solve(hits, tail), solve(hits + 1, 1.0 - tail))
}

/// Chernoff and Hoeffding's bound: the chance that the mean of `n` independent values in 0..=1 of
/// mean `mean` reaches `level` is at most exp(−n·KL(level ‖ mean)). It holds for draws without
/// replacement too (Hoeffding 1963, theorem 4).
pub fn mean_reaches(n: u64, level: f64, mean: f64) -> f64 {
    if mean >= level {
        return 1.0;
    }
    if mean <= 0.0 || level > 1.0 {
        return 0.0;
    }
    let part = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    (-(n as f64) * (part(level, mean) + part(1.0 - level, 1.0 - mean))).exp()
}

/// The `q`-quantile of values in any order (nearest rank); `None` of nothing.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values
        .get(rank.saturating_sub(1).min(values.len().wrapping_sub(1)))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not near {b}");
    }

    #[test]
    fn tails_are_those_of_small_binomials_by_hand() {
        near(at_least(1, 2, 0.5), 0.75, 1e-12);
        near(at_least(2, 2, 0.5), 0.25, 1e-12);
        near(at_least(3, 4, 0.1), 4.0 * 0.001 * 0.9 + 0.0001, 1e-12);
        let five_or_more = 4_368.0 * 1e-15;
        near(
            at_least(4, 16, 0.001),
            1_820.0 * 1e-12 * 0.999f64.powi(12) + five_or_more,
            1e-13,
        );
        assert_eq!(at_least(0, 5, 0.0), 1.0);
        assert_eq!(at_least(1, 5, 0.0), 0.0);
        assert_eq!(at_least(6, 5, 0.9), 0.0);
    }

    #[test]
    fn draws_without_replacement_are_counted_exactly() {
        // One bad of 64, 16 drawn.
        near(draws_at_least(1, 16, 1, 64), 0.25, 1e-12);
        near(draws_at_least(2, 2, 2, 4), 1.0 / 6.0, 1e-12);
        near(draws_at_least(0, 16, 9, 64), 1.0, 1e-12);
        assert_eq!(draws_at_least(2, 16, 1, 64), 0.0);
        near(draws_at_least(1, 16, 1, 10), 1.0, 1e-12);
    }

    #[test]
    fn intervals_are_the_published_ones() {
        // Clopper and Pearson at 95 %: 1 of 10, 5 of 10, 9 of 10, 50 of 1,000.
        for (hits, n, low, high) in [
            (1, 10, 0.0025, 0.4450),
            (5, 10, 0.1871, 0.8129),
            (9, 10, 0.5550, 0.9975),
            (50, 1_000, 0.0373, 0.0654),
        ] {
            let (l, h) = Rate { hits, of: n }.bounds();
            near(l, low, 6e-5);
            near(h, high, 6e-5);
        }
    }

    #[test]
    fn none_and_all_are_bounded_by_the_rule_of_three() {
        assert_eq!(Rate { hits: 0, of: 60 }.bounds(), (0.0, 0.05));
        assert_eq!(Rate { hits: 60, of: 60 }.bounds(), (0.95, 1.0));
        assert_eq!(Rate { hits: 0, of: 2 }.bounds(), (0.0, 1.0));
        assert_eq!(Rate::default().bounds(), (0.0, 1.0));
        assert_eq!(Rate::default().share(), None);
        assert_eq!(Rate { hits: 0, of: 60 }.to_string(), "0/60 (≤ 5.0 %)");
        assert_eq!(Rate { hits: 60, of: 60 }.to_string(), "60/60 (≥ 95.0 %)");
        assert_eq!(Rate { hits: 5, of: 10 }.to_string(), "5/10 (19–81 %)");
    }

    #[test]
    fn the_mean_bound_holds_for_coins() {
        // The exact tail of a coin never exceeds its Chernoff bound.
        for (n, k, p) in [(16u64, 4u64, 0.05), (16, 8, 0.2), (64, 20, 0.1)] {
            assert!(at_least(k, n, p) <= mean_reaches(n, k as f64 / n as f64, p));
        }
        assert_eq!(mean_reaches(16, 0.2, 0.2), 1.0);
        assert_eq!(mean_reaches(16, 0.2, 0.0), 0.0);
    }

    #[test]
    fn quantiles_take_the_nearest_rank() {
        let mut values: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.999), Some(999.0));
        assert_eq!(quantile(&mut values, 1.0), Some(1_000.0));
        assert_eq!(quantile(&mut [], 0.5), None);
    }
}
