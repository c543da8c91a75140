//! Whether a checker's own logits contradict what a submitter committed to.
//!
//! Per position a checker gives its logits at the submitter's four ids and its own
//! fourth-largest. In an exact profile any difference is fraud, and jurors reveal digests instead
//! ([`crate::dispute::exact_digest`]); in a calibrated one three rules decide over the sampled
//! positions: R1 mean error, R2 many large errors, R3 larger logits that the submitter left out.

/// One checker's values at one position, Q16.16: its logits at the submitter's four ids in the
/// submitter's order, then its own fourth-largest logit.
pub type Values = [i32; 5];

/// Bytes of one position in a calibrated juror's vote.
pub const VALUES_LEN: usize = 20;

/// How a model's vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The profile is bit-exact: equal or fraud.
    Exact,
    /// Thresholds from calibration.
    Calibrated {
        /// τ₁, parts per million, at most 10,000 (1 %).
        tau1_ppm: u32,
        /// τ₃, parts per million of the positions.
        tau3_ppm: u32,
    },
}

impl Rule {
    /// The rule of a model; `None` of one that is not exact and has no thresholds: nothing can be judged by it.
    pub const fn of(exact: bool, tau1_ppm: u32, tau3_ppm: u32) -> Option<Self> {
        match (exact, tau1_ppm) {
            (true, _) => Some(Self::Exact),
            (false, 0) => None,
            (false, _) => Some(Self::Calibrated { tau1_ppm, tau3_ppm }),
        }
    }
}

/// Relative error `|x − y| / max(|x|, |y|, 1.0)` of two Q16.16 logits, parts per million, rounded
/// down; at most 2,000,000.
pub fn error_ppm(x: i32, y: i32) -> u32 {
    let (high, low) = if x >= y { (x, y) } else { (y, x) };
    let difference = (i64::from(high).wrapping_sub(i64::from(low))) as u64;
    let scale = x.unsigned_abs().max(y.unsigned_abs()).max(1 << 16);
    // Below 2^32 * 2^20.
    (difference.wrapping_mul(1_000_000) / u64::from(scale)) as u32
}

/// Which rules a comparison found broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// R1: the clipped errors sum to more than τ₁ × their count.
    pub mean: bool,
    /// R2: at least max(4, positions / 4) positions hold an error above 5τ₁.
    pub large: bool,
    /// R3: more than τ₃ of the positions leave out a larger logit.
    pub omitted: bool,
    /// Exact profile: something differs.
    pub different: bool,
}

impl Verdict {
    /// Any broken rule is fraud.
    pub const fn is_fraud(&self) -> bool {
        self.mean || self.large || self.omitted || self.different
    }
}

/// Accumulates positions: all checked ones in an exact profile, the sampled ones in a calibrated.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    rule: Rule,
    positions: u32,
    clipped_sum: u64,
    large: u32,
    omitted: u32,
    different: bool,
}

impl Comparison {
    /// Nothing compared yet.
    pub const fn new(rule: Rule) -> Self {
        Comparison {
            rule,
            positions: 0,
            clipped_sum: 0,
            large: 0,
            omitted: 0,
            different: false,
        }
    }

    /// Adds a position: the four logits that were submitted (largest first) against `own`.
    pub fn submitted(&mut self, given: &[i32; 4], own: &Values) {
        let left_out = match self.rule {
            Rule::Exact => given[3] != own[4],
            Rule::Calibrated { tau1_ppm, .. } => {
                given[3] < own[4] && u64::from(error_ppm(given[3], own[4])) > clip(tau1_ppm)
            }
        };
        self.add(given, own, left_out);
    }

    /// Adds a position of two checkers' vectors, to see whether they agree.
    pub fn checkers(&mut self, a: &Values, b: &Values) {
        let differ = match self.rule {
            Rule::Exact => a[4] != b[4],
            Rule::Calibrated { tau1_ppm, .. } => u64::from(error_ppm(a[4], b[4])) > clip(tau1_ppm),
        };
        self.add(&[a[0], a[1], a[2], a[3]], b, differ);
    }

    fn add(&mut self, given: &[i32; 4], own: &Values, left_out: bool) {
        self.positions += 1;
        match self.rule {
            Rule::Exact => self.different |= left_out || given[..] != own[..4],
            Rule::Calibrated { tau1_ppm, .. } => {
                let limit = clip(tau1_ppm);
                let mut any_large = false;
                for (x, y) in given.iter().zip(own) {
                    let error = u64::from(error_ppm(*x, *y));
                    any_large |= error > limit;
                    self.clipped_sum += error.min(limit);
                }
                self.large += u32::from(any_large);
                self.omitted += u32::from(left_out);
            }
        }
    }

    /// What the positions so far show. Nothing compared breaks no rule.
    pub fn verdict(&self) -> Verdict {
        let mut verdict = Verdict {
            different: self.different,
            ..Verdict::default()
        };
        if let Rule::Calibrated { tau1_ppm, tau3_ppm } = self.rule {
            let positions = u64::from(self.positions);
            // Thresholds and counts are 32 bits each, so no product wraps.
            verdict.mean = self.clipped_sum > u64::from(tau1_ppm).wrapping_mul(positions << 2);
            verdict.large = self.large >= (self.positions / 4).max(4);
            verdict.omitted = u64::from(self.omitted).wrapping_mul(1_000_000)
                > u64::from(tau3_ppm).wrapping_mul(positions);
        }
        verdict
    }
}

/// 5τ₁: errors are clipped here, and large above it.
const fn clip(tau1_ppm: u32) -> u64 {
    (tau1_ppm as u64).wrapping_mul(5)
}
