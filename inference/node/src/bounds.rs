//! What a node agrees to risk: rules of a network and thresholds of a model outside these bounds are not worked under, whoever
//! set them. An admin's key may be stolen, and a model's registrant may be anybody.

use mythic_interface::{
    params::{MIN_OPENINGS_SLOTS, MIN_REVEAL_SLOTS, Rules},
    state::{KernelProfile, ModelSpec},
};
use serde::{Deserialize, Serialize};

/// Section `[bounds]` of a node's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Least share of a fee that the validator gets, basis points.
    pub least_validator_bps: u16,
    /// Most of the stake that a false answer costs, basis points.
    pub most_slash_bps: u16,
    /// Least time to show an answer that has a case, slots.
    pub least_openings_slots: u32,
    /// Least time to reveal as a juror, slots.
    pub least_reveal_slots: u32,
    /// Longest jail, slots.
    pub most_jail_slots: u32,
    /// Most that a juror loses for a seat, lamports.
    pub most_juror_penalty_lamports: u64,
    /// Most that silence about an open job that it took costs, lamports.
    pub most_no_show_lamports: u64,
    /// Least threshold of the relative error of a calibrated model, parts per million: below it two honest machines may
    /// seem to contradict each other.
    pub least_error_ppm: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            least_validator_bps: 4_000,
            most_slash_bps: 5_000,
            least_openings_slots: MIN_OPENINGS_SLOTS,
            least_reveal_slots: MIN_REVEAL_SLOTS,
            most_jail_slots: 216_000,
            most_juror_penalty_lamports: 50_000_000,
            most_no_show_lamports: 10_000_000,
            least_error_ppm: 200,
        }
    }
}

impl Bounds {
    /// Names the first rule that lies outside.
    pub fn rules(&self, rules: &Rules) -> Result<(), String> {
        let least = [
            (
                "validator_bps",
                rules.validator_bps.get().into(),
                self.least_validator_bps.into(),
            ),
            (
                "openings_slots",
                rules.openings_slots.get().into(),
                self.least_openings_slots.into(),
            ),
            (
                "reveal_slots",
                rules.reveal_slots.get().into(),
                self.least_reveal_slots.into(),
            ),
        ];
        let most = [
            (
                "slash_bps",
                rules.slash_bps.get().into(),
                self.most_slash_bps.into(),
            ),
            (
                "jail_slots",
                rules.jail_slots.get().into(),
                self.most_jail_slots.into(),
            ),
            (
                "juror_penalty",
                rules.juror_penalty.get(),
                self.most_juror_penalty_lamports,
            ),
            ("no_show", rules.no_show.get(), self.most_no_show_lamports),
        ];
        let outside = |word: &str, (name, value, bound): (&str, u64, u64)| {
            Err(format!(
                "the network's {name} is {value}; this node works under {word} {bound} (section [bounds])"
            ))
        };
        if let Some(low) = least.into_iter().find(|(_, value, bound)| value < bound) {
            return outside("at least", low);
        }
        match most.into_iter().find(|(_, value, bound)| value > bound) {
            Some(high) => outside("at most", high),
            None => Ok(()),
        }
    }

    /// Refuses a model by whose thresholds honest machines may convict each other.
    pub fn model(&self, spec: &ModelSpec) -> Result<(), String> {
        let profile = u8::try_from(spec.kernel_profile.get())
            .ok()
            .and_then(KernelProfile::from_u8);
        self.thresholds(
            profile.is_some_and(KernelProfile::is_exact),
            spec.error_ppm.get(),
        )
    }

    /// The same of what a case says of its model.
    pub fn thresholds(&self, exact: bool, error_ppm: u32) -> Result<(), String> {
        if !exact && error_ppm != 0 && error_ppm < self.least_error_ppm {
            return Err(format!(
                "the model's error_ppm is {error_ppm}; this node works under at least {} (section [bounds]), because below it \
                 honest machines may seem to contradict each other",
                self.least_error_ppm
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    use super::*;

    #[test]
    fn the_rules_of_both_parameter_sets_are_inside_and_each_bound_is_named() {
        let bounds = Bounds::default();
        for params in [Params::mainnet(), Params::dev()] {
            assert_eq!(bounds.rules(&params.rules), Ok(()));
        }
        type Change = fn(&mut Rules);
        let cases: [(Change, &str); 7] = [
            (|r| r.validator_bps.set(3_999), "validator_bps is 3999"),
            (|r| r.openings_slots.set(49), "openings_slots is 49"),
            (|r| r.reveal_slots.set(31), "reveal_slots is 31"),
            (|r| r.slash_bps.set(5_001), "slash_bps is 5001"),
            (|r| r.jail_slots.set(216_001), "jail_slots is 216001"),
            (
                |r| r.juror_penalty.set(50_000_001),
                "juror_penalty is 50000001",
            ),
            (|r| r.no_show.set(10_000_001), "no_show is 10000001"),
        ];
        for (change, word) in cases {
            let mut rules = Params::mainnet().rules;
            change(&mut rules);
            let error = bounds.rules(&rules).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn thresholds_that_convict_honest_machines_are_refused_where_they_judge() {
        let bounds = Bounds::default();
        let mut spec = ModelSpec::zeroed();
        spec.kernel_profile.set(KernelProfile::CpuCandle as u16);
        assert_eq!(bounds.model(&spec), Ok(()), "no thresholds, no jury");
        spec.error_ppm.set(199);
        assert!(
            bounds
                .model(&spec)
                .unwrap_err()
                .contains("error_ppm is 199")
        );
        spec.error_ppm.set(200);
        assert_eq!(bounds.model(&spec), Ok(()));
        spec.error_ppm.set(1);
        spec.kernel_profile.set(KernelProfile::CpuWA8 as u16);
        assert_eq!(bounds.model(&spec), Ok(()), "an exact profile has none");
    }
}
