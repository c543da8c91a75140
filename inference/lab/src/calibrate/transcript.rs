//! What a checker holds of one job, and what each rule says of it. Pure: no engine, no files.

use mythic_interface::comparison::{Comparison, Rule, Values, Verdict, error_ppm};
use mythic_interface::gumbel::gumbel_q16;
use mythic_interface::hash::{Hash, sha256, token_uniform};
use mythic_interface::leaf::{Leaf, check_leaf};
use mythic_interface::sampler::{Sampling, Top4};
use mythic_interface::sortition::{SAMPLE_HASHES, sample_positions};
use serde::{Deserialize, Serialize};

/// A logit or a noise of Q16.16 as a float.
pub fn float(q16: i32) -> f64 {
    f64::from(q16) / 65_536.0
}

/// One position: what was submitted, and what the checker computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    pub token: u32,
    /// As submitted.
    pub given: Top4,
    /// The checker's logits at the four ids of `given`.
    pub at_given: [i32; 4],
    /// The checker's own four largest.
    pub own: Top4,
    /// ln Σ exp of the checker's logits.
    pub log_sum_exp: f32,
}

impl Position {
    fn values(&self) -> Values {
        let [a, b, c, d] = self.at_given;
        [a, b, c, d, self.own[3].1]
    }

    fn logits(&self) -> [i32; 4] {
        self.given.map(|(_, logit)| logit)
    }

    /// Whether an exact profile finds it false.
    pub fn differs(&self) -> bool {
        let mut one = Comparison::new(Rule::Exact);
        one.submitted(&self.logits(), &self.values());
        one.verdict().is_fraud()
    }

    /// Relative errors at the four ids, parts per million.
    pub fn errors(&self) -> [u32; 4] {
        let mut out = [0; 4];
        for (e, (x, y)) in out.iter_mut().zip(self.logits().iter().zip(&self.at_given)) {
            *e = error_ppm(*x, *y);
        }
        out
    }

    /// The checker's logit of `id`, if it is among those that it gives.
    fn own_logit(&self, id: u32) -> Option<i32> {
        let own = self.own.iter().find(|(i, _)| *i == id).map(|(_, l)| *l);
        let given = self.given.iter().zip(&self.at_given);
        own.or_else(|| {
            given
                .into_iter()
                .find(|((i, _), _)| *i == id)
                .map(|(_, l)| *l)
        })
    }

    /// The sum over the checker's four of Gonka's term
    /// `|v − o| / (10⁻⁶ + |v| + |o|) / 2`, with v the checker's and o the submitter's
    /// log-probability; an id that the submitter does not list is taken to follow its list.
    ///
    /// Both sides are normalised by the checker's log-sum-exp: the submitter does not give one.
    fn gonka_distance(&self) -> f64 {
        let lse = f64::from(self.log_sum_exp);
        let given = self.given.map(|(id, logit)| (id, float(logit) - lse));
        // The list falls, so the last two are the smallest.
        let next = given[3].1 - (given[2].1 - given[3].1);
        self.own
            .iter()
            .map(|(id, logit)| {
                let own = float(*logit) - lse;
                let listed = given.iter().find(|(i, _)| i == id);
                let other = listed.map_or(next, |(_, l)| *l);
                (own - other).abs() / (1e-6 + own.abs() + other.abs()) / 2.0
            })
            .sum()
    }

    /// Token-DiFR's margin: by how much the checker's best token beats the claimed one, in
    /// `logit + temperature × noise`; `None` where the claimed token is not among the checker's
    /// four and so could never be chosen.
    fn margin(&self, position: u32, sampling: &Sampling) -> Option<f64> {
        let temperature = f64::from(sampling.temperature_milli) / 1_000.0;
        let score = |id: u32, logit: i32| {
            let noise = gumbel_q16(token_uniform(&sampling.seed, position, id));
            float(logit) + temperature * float(noise)
        };
        let best = self.own.iter().map(|(id, l)| score(*id, *l));
        let best = best.fold(f64::NEG_INFINITY, f64::max);
        let claimed = self.own.iter().find(|(id, _)| *id == self.token)?;
        Some(best - score(claimed.0, claimed.1))
    }
}

/// A job with the checker's values of every position.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    pub sampling: Sampling,
    pub positions: Vec<Position>,
}

/// Which checks found a job false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// A leaf that the sampler does not choose, or out of order: a fault that anyone proves.
    pub replay: bool,
    /// Exact profile, every position, as a challenger with the evidence checks it.
    pub exact: bool,
    /// Exact profile, sampled positions only: what remains without naming positions.
    pub exact_sampled: bool,
    /// Calibrated profile: R1 to R3 over the sampled positions, replay of their leaves.
    pub calibrated: bool,
    /// The rule that any error above 1 % in a sampled position is fraud, and replay.
    pub naive: bool,
    pub gonka: bool,
    pub difr: bool,
}

/// What is fixed before the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub tau1_ppm: u32,
    pub tau3_ppm: u32,
    /// Largest mean distance of an honest job.
    pub gonka: f64,
    /// Margins are cut off here (the 99.9th percentile of honest ones, as in the paper) …
    pub difr_clip: f64,
    /// … and their mean over a job may be this large.
    pub difr: f64,
}

impl Thresholds {
    /// The rule of a calibrated profile.
    pub fn rule(&self) -> Rule {
        Rule::Calibrated {
            tau1_ppm: self.tau1_ppm,
            tau3_ppm: self.tau3_ppm,
        }
    }
}

/// 1 %, the tolerance that users were promised, as a maximum.
const NAIVE_PPM: u32 = 10_000;

impl Transcript {
    /// Positions that a draw checks. `draw` stands for what the chain adds: fingerprint and hashes.
    pub fn sample(&self, draw: &Hash) -> Vec<usize> {
        let count = self.positions.len() as u32;
        let mut hashes = [[0; 32]; SAMPLE_HASHES];
        for (group, hash) in hashes.iter_mut().enumerate() {
            *hash = sha256(&[b"slot", draw, &[group as u8]]);
        }
        let sample = sample_positions(count, draw, &hashes);
        sample.positions().iter().map(|p| *p as usize).collect()
    }

    /// Whether the leaf of a position is false by itself.
    pub fn is_fault(&self, at: usize) -> bool {
        self.positions.get(at).is_some_and(|p| {
            let leaf = Leaf {
                position: at as u32,
                token: p.token,
                top4: p.given,
            };
            check_leaf(&leaf, &self.sampling).is_err()
        })
    }

    /// What `rule` says of these positions.
    pub fn verdict(&self, rule: Rule, at: impl IntoIterator<Item = usize>) -> Verdict {
        let mut comparison = Comparison::new(rule);
        for p in at.into_iter().filter_map(|at| self.positions.get(at)) {
            comparison.submitted(&p.logits(), &p.values());
        }
        comparison.verdict()
    }

    /// Positions that an exact profile finds false, by their logits or by replay.
    pub fn differing(&self) -> usize {
        let differs = |(at, p): (usize, &Position)| p.differs() || self.is_fault(at);
        self.positions
            .iter()
            .enumerate()
            .filter(|x| differs(*x))
            .count()
    }

    /// Gonka's distance of the job: the mean over its positions, short answers counted as 100.
    pub fn gonka_distance(&self) -> f64 {
        let sum: f64 = self.positions.iter().map(Position::gonka_distance).sum();
        sum / (self.positions.len().max(100) * 4) as f64
    }

    /// Token-DiFR's margins.
    pub fn margins(&self) -> Vec<Option<f64>> {
        (0u32..)
            .zip(&self.positions)
            .map(|(at, p)| p.margin(at, &self.sampling))
            .collect()
    }

    /// Their mean, each cut off at `clip`.
    pub fn mean_margin(&self, clip: f64) -> f64 {
        let margins = self.margins();
        let sum: f64 = margins
            .iter()
            .map(|m| m.map_or(clip, |m| m.min(clip)))
            .sum();
        sum / margins.len().max(1) as f64
    }

    /// What every rule says, with the sample that `draw` gives.
    pub fn findings(&self, draw: &Hash, thresholds: &Thresholds) -> Findings {
        let sample = self.sample(draw);
        let every: Vec<usize> = (0..self.positions.len()).collect();
        let fault = |at: &usize| self.is_fault(*at);
        let sampled_fault = sample.iter().any(fault);
        let replay = every.iter().any(fault);
        let broken = |rule, at: &[usize]| self.verdict(rule, at.iter().copied()).is_fraud();
        let naive = |at: &usize| {
            let position = self.positions.get(*at);
            position.is_some_and(|p| p.errors().iter().any(|e| *e > NAIVE_PPM))
        };
        Findings {
            replay,
            exact: replay || broken(Rule::Exact, &every),
            exact_sampled: sampled_fault || broken(Rule::Exact, &sample),
            calibrated: sampled_fault || broken(thresholds.rule(), &sample),
            naive: sampled_fault || sample.iter().any(naive),
            gonka: self.gonka_distance() > thresholds.gonka,
            difr: self.mean_margin(thresholds.difr_clip) > thresholds.difr,
        }
    }
}

/// A copy whose forged position passes the sampler: the logit of the token is raised just enough.
/// `logit` is what the token has where it is not among the four; it takes the fourth place then.
pub fn forge(four: &Top4, token: u32, logit: i32, position: u32, sampling: &Sampling) -> Top4 {
    let mut four = *four;
    let at = four.iter().position(|(id, _)| *id == token).unwrap_or(3);
    if four[at].0 != token {
        four[at] = (token, logit.min(four[3].1));
    }
    let with = |logit: i32| {
        let mut out = four;
        out[at].1 = logit;
        out.sort_unstable_by(mythic_interface::sampler::order);
        out
    };
    // The score rises with the logit.
    let (mut low, mut high) = (i64::from(four[at].1), i64::from(i32::MAX));
    while low < high {
        let middle = low + (high - low) / 2;
        if sampling.choose(position, &with(middle as i32)) == token {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    with(low as i32)
}

impl Position {
    /// What the checker itself would have submitted here, forged where its own choice is another.
    pub fn prefilled(&self, position: u32, sampling: &Sampling, forged: bool) -> Position {
        let mut given = self.own;
        if forged && sampling.choose(position, &given) != self.token {
            let logit = self.own_logit(self.token).unwrap_or(i32::MIN);
            given = forge(&given, self.token, logit, position, sampling);
        }
        self.with_given(given)
    }

    /// The same position with other submitted values, whose ids the checker has values for.
    pub fn with_given(&self, given: Top4) -> Position {
        let at_given = given.map(|(id, logit)| self.own_logit(id).unwrap_or(logit));
        Position {
            given,
            at_given,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLING: Sampling = Sampling {
        seed: [5; 32],
        temperature_milli: 800,
    };

    fn q16(x: f64) -> i32 {
        (x * 65_536.0) as i32
    }

    fn honest(at: u32) -> Position {
        let own = [
            (9, q16(14.0)),
            (4, q16(13.5)),
            (70, q16(12.0)),
            (8, q16(11.0)),
        ];
        Position {
            token: SAMPLING.choose(at, &own),
            given: own,
            at_given: own.map(|(_, l)| l),
            own,
            log_sum_exp: 14.8,
        }
    }

    fn job(n: u32) -> Transcript {
        Transcript {
            sampling: SAMPLING,
            positions: (0..n).map(honest).collect(),
        }
    }

    const THRESHOLDS: Thresholds = Thresholds {
        tau1_ppm: 10_000,
        tau3_ppm: 100_000,
        gonka: 0.0,
        difr_clip: 1.0,
        difr: 0.0,
    };

    #[test]
    fn an_honest_job_breaks_no_rule() {
        let none = Findings {
            replay: false,
            exact: false,
            exact_sampled: false,
            calibrated: false,
            naive: false,
            gonka: false,
            difr: false,
        };
        assert_eq!(job(40).findings(&[1; 32], &THRESHOLDS), none);
        assert_eq!(job(40).differing(), 0);
    }

    #[test]
    fn a_token_that_the_sampler_does_not_choose_is_a_fault_and_a_margin() {
        let mut t = job(40);
        let token = t.positions[7].token;
        t.positions[7].token = if token == 4 { 9 } else { 4 };
        let found = t.findings(&[1; 32], &THRESHOLDS);
        assert!(found.replay && found.exact && found.difr && !found.gonka);
        assert_eq!(t.differing(), 1);
    }

    #[test]
    fn one_bit_is_enough_in_an_exact_profile_and_nothing_in_a_calibrated_one() {
        let mut t = job(12);
        t.positions[11].given[1].1 += 1;
        let found = t.findings(&[1; 32], &THRESHOLDS);
        assert!(found.exact && found.exact_sampled && !found.calibrated && !found.naive);
        // 12 positions are all sampled; of 400, one false position mostly is not.
        let mut long = job(400);
        long.positions[11].given[1].1 += 1;
        let caught = (0..200u8).filter(|i| long.findings(&[*i; 32], &THRESHOLDS).exact_sampled);
        let caught = caught.count();
        assert!(long.findings(&[0; 32], &THRESHOLDS).exact);
        assert!(
            (1..=20).contains(&caught),
            "{caught} of 200 draws, 8 expected"
        );
    }

    #[test]
    fn leaving_out_a_larger_logit_is_seen() {
        let mut t = job(12);
        for p in &mut t.positions {
            // True logits of the wrong ids.
            let wrong = [p.own[0], p.own[1], p.own[2], (99, q16(2.0))];
            p.given = wrong;
            p.at_given = wrong.map(|(_, l)| l);
        }
        let found = t.findings(&[1; 32], &THRESHOLDS);
        assert!(found.exact && found.calibrated && !found.naive, "{found:?}");
    }

    #[test]
    fn gonkas_distance_is_the_published_sum() {
        let mut p = honest(0);
        assert_eq!(p.gonka_distance(), 0.0);
        p.given[0].1 = q16(13.8);
        let (own, other) = (14.0 - 14.8f64, 13.8 - 14.8f64);
        let term = (own - other).abs() / (1e-6 + own.abs() + other.abs()) / 2.0;
        // The log-sum-exp is an f32.
        assert!((p.gonka_distance() - term).abs() < 1e-4);
        // An id that is not listed is taken to follow the list: here at 11 − (12 − 11).
        let mut p = honest(0);
        p.own[3] = (55, q16(10.0));
        assert!(p.gonka_distance() < 1e-4);
    }

    proptest! {
        #[test]
        fn a_forged_position_passes_the_sampler_and_costs_no_more_than_it_must(
            logits in proptest::array::uniform4(-400_000i32..2_000_000),
            position in 0u32..1_000,
            temperature_milli in 0u16..2_000,
            pick in 0usize..5,
        ) {
            let sampling = Sampling { seed: [3; 32], temperature_milli };
            let mut four = [(1, logits[0]), (2, logits[1]), (3, logits[2]), (4, logits[3])];
            four.sort_unstable_by(mythic_interface::sampler::order);
            let token = [1, 2, 3, 4, 77][pick];
            let forged = forge(&four, token, -500_000, position, &sampling);
            let leaf = Leaf { position, token, top4: forged };
            prop_assert_eq!(check_leaf(&leaf, &sampling), Ok(()));
            if token != 77 && sampling.choose(position, &four) == token {
                prop_assert_eq!(forged, four);
            }
        }
    }
}
