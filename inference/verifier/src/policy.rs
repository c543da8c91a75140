//! Which answers are checked; `docs/verifying.md` says what that is worth.

use mythic_interface::{
    hash::sha256,
    state::{ClaimKind, Job},
};
use serde::{Deserialize, Serialize};

use crate::price::{Balance, Price};

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
    /// Commit where no seat is to be had too, as long as those who committed bring less than a guilty verdict takes.
    pub lend_stake: bool,
    /// Open cases of results whose evidence nobody shows, though somebody could be asked.
    pub challenge_withheld: bool,
    /// Check every result that has a case, and join where no other claim covers what is false.
    pub join: bool,
    /// Most that bond and bids of a claim of falsehood may come to, basis points of its reward. Dearer ones are left to others.
    pub max_false_bps: u32,
    /// Most lamports that a claim of withholding may tie up, bond, rent and bids.
    pub max_withheld_lamports: u64,
    /// Part of a model's layers that an audit computes again, above 0 to 1; 0 = all checks are whole passes.
    pub audit_layers: f64,
    /// Part of the checks that are whole passes nonetheless, 0 to 1.
    pub audit_full: f64,
    /// Most bytes of rows that an audit asks for; of longer answers a whole pass is made.
    pub audit_bytes: u64,
}

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            policy: Policy::Rate,
            rate: 0.05,
            value_lamports: 25_600,
            jury: true,
            lend_stake: true,
            challenge_withheld: true,
            join: true,
            max_false_bps: 10_000,
            max_withheld_lamports: 500_000_000,
            audit_layers: 0.0,
            audit_full: 0.2,
            audit_bytes: 256 << 20,
        }
    }
}

impl VerifierConfig {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(format!("verifier.rate = {}: allowed are 0 to 1", self.rate));
        }
        for (key, part) in [
            ("audit_layers", self.audit_layers),
            ("audit_full", self.audit_full),
        ] {
            if !(0.0..=1.0).contains(&part) {
                return Err(format!("verifier.{key} = {part}: allowed are 0 to 1"));
            }
        }
        if self.audit_bytes > 1 << 32 {
            return Err(format!(
                "verifier.audit_bytes = {}: allowed are 0 to {}",
                self.audit_bytes,
                1u64 << 32
            ));
        }
        if self.value_lamports == 0 {
            return Err("verifier.value_lamports = 0: allowed is at least 1".into());
        }
        Ok(())
    }

    /// Whether a claim against a result is made that costs as much, and for which as much may be bid; says by which key not.
    pub fn allows(
        &self,
        job: &Job,
        kind: ClaimKind,
        price: &Price,
        bids: u64,
    ) -> Result<(), String> {
        let right = Balance::of(job, kind, &price.bond).right;
        let (what, lamports, key, limit) = match kind {
            ClaimKind::False => {
                let part = u128::from(right) * u128::from(self.max_false_bps) / 10_000;
                let limit = u64::try_from(part).unwrap_or(u64::MAX);
                ("bond and bids", price.bond.total, "max_false_bps", limit)
            }
            ClaimKind::Withheld => {
                let limit = self.max_withheld_lamports;
                (
                    "bond, rent and bids",
                    price.total(),
                    "max_withheld_lamports",
                    limit,
                )
            }
        };
        let needed = lamports.saturating_add(bids);
        match needed <= limit {
            true => Ok(()),
            false => Err(format!(
                "{what} come to {needed} lamports, verifier.{key} allows {limit}"
            )),
        }
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
    fn what_a_false_may_cost_is_a_part_of_what_it_brings() {
        use crate::price::Rents;
        use mythic_interface::{params::Params, state::Case};
        const SOL: u64 = 1_000_000_000;
        let config = VerifierConfig::default();
        let rents = Rents {
            case: SOL,
            votes: SOL,
            page: SOL,
        };
        let allows = |config: &VerifierConfig, stake: u64, before: u8, fee: u64| {
            let mut job = Job::zeroed();
            job.terms.rules = Params::mainnet().rules;
            job.stake_at_result.set(stake * SOL);
            job.output_tokens.set(512);
            job.terms
                .price_out
                .set(u32::try_from(fee / 512 * 1_000).unwrap());
            job.ceiling.set(SOL);
            let mut case = Case::zeroed();
            (case.claim_count, case.false_count) = (before, before);
            let case = (before != 0).then_some(&case);
            let price = Price::of(&job, case, (ClaimKind::False, 2), &rents).unwrap();
            config.allows(&job, ClaimKind::False, &price, 30_000_000)
        };
        // Alone, behind one friend, behind fifteen; of a dear job, whose jury costs the most.
        for (stake, before, fee) in [
            (1, 0, 25_600),
            (239, 0, 25_600),
            (300, 0, 25_600),
            (140, 1, 25_600),
            (140, 15, 25_600),
            (10_000, 15, 25_600),
            (1, 0, 20_480_000),
        ] {
            let allowed = allows(&config, stake, before, fee);
            assert_eq!(allowed, Ok(()), "{stake} {before} {fee}");
        }
        let careful = VerifierConfig {
            max_false_bps: 1_000,
            ..config
        };
        assert_eq!(allows(&careful, 300, 0, 25_600), Ok(()));
        let refused = allows(&careful, 300, 3, 25_600).unwrap_err();
        assert!(
            refused.contains("verifier.max_false_bps allows"),
            "{refused}"
        );
        // Rent returns whatever comes of it; of `withheld` it is most of what there is.
        let mut job = Job::zeroed();
        job.terms.rules = Params::mainnet().rules;
        let price = Price::of(&job, None, (ClaimKind::Withheld, 0), &rents).unwrap();
        let refused = careful.allows(&job, ClaimKind::Withheld, &price, 0);
        assert!(
            refused
                .unwrap_err()
                .contains("verifier.max_withheld_lamports allows")
        );
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
        config.audit_layers = -0.1;
        config.rate = 0.1;
        assert!(config.validate().unwrap_err().contains("audit_layers"));
        config.audit_layers = 0.1;
        config.rate = f64::NAN;
        assert!(config.validate().is_err());
        config.rate = 0.1;
        config.value_lamports = 0;
        assert!(config.validate().is_err());
    }
}
