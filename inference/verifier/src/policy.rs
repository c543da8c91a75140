//! Which answers are checked, and what that is worth. `docs/verifying.md` derives the numbers.

use mythic_interface::{hash::sha256, state::Job};
use serde::{Deserialize, Serialize};

/// Which answers of others are checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Each with the same probability.
    #[default]
    Rate,
    /// Every one.
    All,
    /// Dear jobs more often: the rate, times the job's ceiling over `value_lamports`.
    ByValue,
}

/// Section `[verifier]` of a node's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifierConfig {
    /// Check the answers of other validators.
    pub enabled: bool,
    /// Which.
    pub policy: Policy,
    /// Part of the answers that is checked, 0 to 1; for `rate` and `by-value`.
    pub rate: f64,
    /// For `by-value`: ceiling of a job that is checked with `rate`, in lamports.
    pub value_lamports: u64,
    /// Sit on juries.
    pub jury: bool,
    /// Challenge results whose evidence nobody shows, though somebody could be asked.
    pub challenge_withheld: bool,
    /// Most lamports that one challenge may tie up: bond and rent. Those of a larger one are left to others.
    pub max_challenge_lamports: u64,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            policy: Policy::Rate,
            rate: 0.05,
            value_lamports: 25_600,
            jury: true,
            challenge_withheld: true,
            max_challenge_lamports: 2_000_000_000,
        }
    }
}

impl VerifierConfig {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(format!("verifier.rate = {}: allowed are 0 to 1", self.rate));
        }
        if self.value_lamports == 0 {
            return Err("verifier.value_lamports = 0: allowed is at least 1".into());
        }
        Ok(())
    }

    /// Probability with which a job's answer is checked.
    pub fn probability(&self, job: &Job) -> f64 {
        match self.policy {
            Policy::Rate => self.rate,
            Policy::All => 1.0,
            Policy::ByValue => {
                let value = job.ceiling.get() as f64 / self.value_lamports as f64;
                (self.rate * value).min(1.0)
            }
        }
    }

    /// Whether a job's answer is checked: a draw by a secret, so that no submitter can know, and the same one after a restart.
    pub fn picks(&self, secret: &[u8; 32], address: &[u8; 32], job: &Job) -> bool {
        let drawn = sha256(&[mythic_interface::hash::domain::PICK, secret, address]);
        let drawn = u32::from_le_bytes([drawn[0], drawn[1], drawn[2], drawn[3]]);
        f64::from(drawn) < self.probability(job) * (f64::from(u32::MAX) + 1.0)
    }
}

/// Expected lamports of one check: `cheating` of the results are false, a false one is proved and pays a quarter of the
/// submitter's stake with probability `first` (another may challenge before), and a pass costs `pass` lamports.
pub fn expected_lamports(cheating: f64, first: f64, stake: u64, slash_bps: u16, pass: u64) -> f64 {
    let reward = stake as f64 * f64::from(slash_bps) / 10_000.0 / 2.0;
    cheating * first * reward - pass as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    fn picked(config: &VerifierConfig, ceiling: u64) -> usize {
        let mut job = Job::zeroed();
        job.ceiling.set(ceiling);
        (0..2_000u32)
            .filter(|i| {
                let mut address = [0; 32];
                address[..4].copy_from_slice(&i.to_le_bytes());
                config.picks(&[3; 32], &address, &job)
            })
            .count()
    }

    #[test]
    fn a_policy_checks_the_part_that_it_says() {
        let config = |policy, rate| VerifierConfig {
            policy,
            rate,
            ..VerifierConfig::default()
        };
        assert_eq!(picked(&config(Policy::Rate, 0.0), 1), 0);
        assert_eq!(picked(&config(Policy::Rate, 1.0), 1), 2_000);
        assert_eq!(picked(&config(Policy::All, 0.0), 1), 2_000);
        let part = picked(&config(Policy::Rate, 0.05), 1);
        assert!((60..=140).contains(&part), "{part}");
        let dear = picked(&config(Policy::ByValue, 0.05), 256_000);
        assert!((900..=1_100).contains(&dear), "{dear}");
        assert_eq!(picked(&config(Policy::ByValue, 0.05), 25_600), part);
    }

    #[test]
    fn the_draw_depends_on_the_secret() {
        let config = VerifierConfig {
            rate: 0.5,
            ..VerifierConfig::default()
        };
        let job = Job::zeroed();
        let draws = |secret: u8| -> Vec<bool> {
            (0..64)
                .map(|i| config.picks(&[secret; 32], &[i; 32], &job))
                .collect()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }

    #[test]
    fn the_worked_example_of_the_docs() {
        // 1 SOL of stake, one false result in 10,000, first to challenge half of the time, a pass of 2,000 lamports.
        let worth = expected_lamports(0.0001, 0.5, 1_000_000_000, 5_000, 2_000);
        assert!((worth - 10_500.0).abs() < 1e-6, "{worth}");
        let even = 2_000.0 / (0.5 * 250_000_000.0);
        assert!(expected_lamports(even, 0.5, 1_000_000_000, 5_000, 2_000).abs() < 1e-6);
    }

    #[test]
    fn a_wrong_value_is_named() {
        let mut config = VerifierConfig {
            rate: 1.5,
            ..VerifierConfig::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .contains("verifier.rate = 1.5")
        );
        config.rate = f64::NAN;
        assert!(config.validate().is_err());
        config.rate = 0.1;
        config.value_lamports = 0;
        assert!(config.validate().is_err());
    }
}
