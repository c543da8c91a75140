//! Thresholds from honest jobs, and what can be claimed for them. Pure.

use mythic_interface::comparison::Rule;
use mythic_interface::hash::{Hash, domain, sha256};
use mythic_interface::state::SAMPLED_POSITIONS;
use serde::{Deserialize, Serialize};

use super::stats::{draws_at_least, mean_reaches, quantile};
use super::transcript::{Thresholds, Transcript};

/// Largest τ₁ that the protocol allows.
pub const MAX_TAU1_PPM: u32 = 10_000;
/// What every measured limit is multiplied by before it is frozen.
pub const MARGIN: f64 = 1.5;
/// Samples drawn of each honest job: a challenger waits for an unlucky one.
const DRAWS: u32 = 64;
/// One sampled position of sixteen, parts per million.
const ONE_OF_SAMPLE_PPM: u32 = 1_000_000 / SAMPLED_POSITIONS as u32;
/// No error exceeds 5τ₁ here.
const LARGEST_TAU1_PPM: u32 = 400_000;

/// What calibration found and froze.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    /// Smallest τ₁ that clears every honest calibration job.
    pub tau1_needed_ppm: u32,
    /// With the margin, at most what the protocol allows.
    pub tau1_ppm: u32,
    /// Share of left-out logits that clears every honest calibration job, and one position more.
    pub tau3_ppm: u32,
    pub gonka: f64,
    pub difr_clip: f64,
    pub difr: f64,
    /// Honest jobs that they come from.
    pub jobs: usize,
}

impl Frozen {
    /// As the rules take them.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            tau1_ppm: self.tau1_ppm,
            tau3_ppm: self.tau3_ppm,
            gonka: self.gonka,
            difr_clip: self.difr_clip,
            difr: self.difr,
        }
    }

    /// Whether the honest noise fits under the protocol's largest τ₁, margin included.
    pub fn fits(&self) -> bool {
        f64::from(self.tau1_needed_ppm) * MARGIN <= f64::from(MAX_TAU1_PPM)
    }
}

/// The draw of a job's sample in a calibration: any number of different ones.
pub fn draw(label: &str, job: usize, index: u32) -> Hash {
    let (job, index) = ((job as u64).to_le_bytes(), index.to_le_bytes());
    sha256(&[domain::CALIBRATION_DRAW, label.as_bytes(), &job, &index])
}

/// Thresholds that every honest job of the calibration set passes, with a margin.
pub fn freeze<'a>(honest: impl IntoIterator<Item = &'a Transcript>) -> Frozen {
    let jobs: Vec<(&Transcript, Vec<Vec<usize>>)> = honest
        .into_iter()
        .enumerate()
        .map(|(i, t)| {
            let samples = (0..DRAWS).map(|d| t.sample(&draw("freeze", i, d)));
            (t, samples.collect())
        })
        .collect();
    let every = |passes: &dyn Fn(&Transcript, &[usize]) -> bool| {
        jobs.iter()
            .all(|(t, samples)| samples.iter().all(|s| passes(t, s)))
    };
    // Both rules are the easier to pass the larger τ₁ is.
    let (mut low, mut high) = (1, LARGEST_TAU1_PPM);
    while low < high {
        let tau1_ppm = low + (high - low) / 2;
        let rule = Rule::Calibrated {
            tau1_ppm,
            tau3_ppm: 1_000_000,
        };
        if every(&|t, s| !t.verdict(rule, s.iter().copied()).is_fraud()) {
            high = tau1_ppm;
        } else {
            low = tau1_ppm + 1;
        }
    }
    let tau1_ppm = ((f64::from(low) * MARGIN).ceil() as u32).clamp(1, MAX_TAU1_PPM);
    let misses = (0..SAMPLED_POSITIONS as u32).find(|k| {
        let rule = Rule::Calibrated {
            tau1_ppm,
            tau3_ppm: k * ONE_OF_SAMPLE_PPM,
        };
        every(&|t, s| !t.verdict(rule, s.iter().copied()).omitted)
    });
    let misses = misses.unwrap_or(SAMPLED_POSITIONS as u32);
    let transcripts = || jobs.iter().map(|(t, _)| *t);
    let mut margins: Vec<f64> = transcripts().flat_map(|t| t.margins()).flatten().collect();
    // Where fewer than one honest margin in a thousand is above zero there is nothing to cut off at.
    let difr_clip = quantile(&mut margins, 0.999)
        .filter(|clip| *clip > 0.0)
        .unwrap_or(1.0);
    let largest =
        |score: &dyn Fn(&Transcript) -> f64| transcripts().map(score).fold(0.0, f64::max) * MARGIN;
    Frozen {
        tau1_needed_ppm: low,
        tau1_ppm,
        tau3_ppm: ((misses + 1) * ONE_OF_SAMPLE_PPM).min(1_000_000),
        gonka: largest(&Transcript::gonka_distance),
        difr_clip,
        difr: largest(&|t| t.mean_margin(difr_clip)),
        jobs: jobs.len(),
    }
}

/// Bound of the chance that an honest job is found guilty under a calibrated rule because of an
/// unlucky sample of its positions: R2 and R3 counted exactly, R1 by Hoeffding's bound.
pub fn unlucky(job: &Transcript, frozen: &Frozen) -> f64 {
    let clip = f64::from(frozen.tau1_ppm) * 5.0;
    let n = job.positions.len() as u64;
    let drawn = n.min(SAMPLED_POSITIONS as u64);
    let (mut clipped, mut large, mut omitted) = (0.0, 0, 0);
    for (at, p) in job.positions.iter().enumerate() {
        let errors = p.errors().map(f64::from);
        clipped += errors.iter().map(|e| e.min(clip)).sum::<f64>() / 4.0;
        large += u64::from(errors.iter().any(|e| *e > clip));
        let alone = job.verdict(
            Rule::Calibrated {
                tau1_ppm: frozen.tau1_ppm,
                tau3_ppm: 0,
            },
            [at],
        );
        omitted += u64::from(alone.omitted);
    }
    let mean = clipped / n.max(1) as f64 / clip;
    let r1 = if n <= drawn {
        // Nothing is drawn: all positions count.
        f64::from(u8::from(mean > 0.2))
    } else {
        mean_reaches(drawn, 0.2, mean)
    };
    let r2 = draws_at_least((drawn / 4).max(4), drawn, large, n);
    let allowed = u64::from(frozen.tau3_ppm) * drawn / 1_000_000;
    let r3 = draws_at_least(allowed + 1, drawn, omitted, n);
    (r1 + r2 + r3).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::transcript::Position;
    use mythic_interface::sampler::Sampling;

    /// A job whose logits are off by `ppm` at every id.
    fn job(n: usize, ppm: i64) -> Transcript {
        let own = [(1, 1_000_000), (2, 900_000), (3, 800_000), (4, 700_000)];
        let given = own.map(|(id, l)| (id, (i64::from(l) * (1_000_000 - ppm) / 1_000_000) as i32));
        let position = Position {
            token: 1,
            given,
            at_given: own.map(|(_, l)| l),
            own,
            log_sum_exp: 16.0,
        };
        Transcript {
            sampling: Sampling {
                seed: [0; 32],
                temperature_milli: 0,
            },
            positions: vec![position; n],
        }
    }

    #[test]
    fn thresholds_clear_the_noise_they_were_made_from_with_a_margin() {
        let jobs = [job(40, 1_000), job(40, 3_000)];
        let frozen = freeze(&jobs);
        assert!(
            (2_999..=3_001).contains(&frozen.tau1_needed_ppm),
            "{frozen:?}"
        );
        assert!((4_498..=4_502).contains(&frozen.tau1_ppm), "{frozen:?}");
        assert!(frozen.fits());
        assert_eq!(frozen.tau3_ppm, 62_500);
        for job in &jobs {
            let found = job.findings(&draw("test", 0, 0), &frozen.thresholds());
            assert!(
                !found.calibrated && !found.gonka && !found.difr,
                "{found:?}"
            );
            assert!(found.exact);
        }
        let worse = job(40, 9_000).findings(&draw("test", 0, 0), &frozen.thresholds());
        assert!(worse.calibrated && worse.gonka, "{worse:?}");
    }

    #[test]
    fn exact_noise_gives_the_smallest_thresholds() {
        let frozen = freeze(&[job(40, 0)]);
        assert_eq!((frozen.tau1_needed_ppm, frozen.tau3_ppm), (1, 62_500));
        assert_eq!(
            (frozen.gonka, frozen.difr, frozen.difr_clip),
            (0.0, 0.0, 1.0)
        );
        assert_eq!(unlucky(&job(40, 0), &frozen), 0.0);
    }

    #[test]
    fn noise_beyond_the_protocols_limit_does_not_fit() {
        let frozen = freeze(&[job(40, 20_000)]);
        assert_eq!(frozen.tau1_ppm, MAX_TAU1_PPM);
        assert!(!frozen.fits());
        assert_eq!(unlucky(&job(40, 20_000), &frozen), 1.0);
    }
}
