//! Who could judge a model's results, if somebody said that one is false: a network in which too few can gives its users no
//! more than a validator's word.

use mythic_interface::{
    dispute::least_keys,
    params::Rules,
    state::{Validator, ValidatorStatus},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Validators that judge nothing of a result: the one whose it is, and the one that claims against it.
const PARTIES: usize = 2;

/// How many could judge a result that is requested now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Judges {
    /// Validators that have been registered and served the model long enough, with the stake that a seat needs.
    pub mature: usize,
    /// The fewest with which a jury can decide: those who must agree, and both sides.
    pub needed: usize,
    /// Whether these are enough. Where they are not, every jury ends void.
    pub enough: bool,
}

impl Judges {
    /// Of `validators` at `slot`, which serve the file under one of the addresses `models`.
    pub fn of(validators: &[Validator], models: &[[u8; 32]], slot: u64, rules: &Rules) -> Self {
        let least = rules.min_stake.get().max(rules.jury_stake.get());
        let judges = |validator: &Validator| {
            validator.header.status == ValidatorStatus::Active as u8
                && validator.active_stake(slot) >= least
                && models
                    .iter()
                    .any(|model| validator.is_mature(model, slot, rules))
        };
        let mature = validators.iter().filter(|v| judges(v)).count();
        let needed = PARTIES + least_keys(u32::from(rules.jury_seats.get())) as usize;
        Self {
            mature,
            needed,
            enough: mature >= needed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const MODEL: [u8; 32] = [7; 32];
    const OTHER: [u8; 32] = [8; 32];
    const NOW: u64 = 20_000;

    fn rules() -> Rules {
        Params::mainnet().rules
    }

    fn validator(model: [u8; 32], since: u64, stake: u64) -> Validator {
        let mut validator = Validator::zeroed();
        validator.header.status = ValidatorStatus::Active as u8;
        validator.registered_slot = 1.into();
        validator.stake = stake.into();
        validator.model_count = 1;
        validator.models[0].model = model;
        validator.models[0].since_slot = since.into();
        validator
    }

    #[test]
    fn who_judges_is_old_enough_has_stake_and_serves_the_file_under_any_address() {
        let (rules, stake) = (rules(), rules().min_stake.get());
        let old = NOW - u64::from(rules.maturity_slots.get());
        let mut jailed = validator(MODEL, 1, stake);
        jailed.header.status = ValidatorStatus::Jailed as u8;
        let all = [
            validator(MODEL, old, stake),
            validator(OTHER, 1, stake),
            validator(MODEL, old + 1, stake),
            validator(MODEL, 1, stake - 1),
            validator([9; 32], 1, stake),
            jailed,
        ];
        let judges = Judges::of(&all, &[MODEL, OTHER], NOW, &rules);
        assert_eq!((judges.mature, judges.needed, judges.enough), (2, 5, false));
        assert_eq!(Judges::of(&all, &[MODEL], NOW, &rules).mature, 1);
        let five = [validator(MODEL, 1, stake); 5];
        assert!(Judges::of(&five, &[MODEL], NOW, &rules).enough);
        // A small jury needs one key less.
        let small = Params::dev().rules;
        assert!(Judges::of(&five[1..], &[MODEL], NOW, &small).enough);
        assert!(!Judges::of(&five[2..], &[MODEL], NOW, &small).enough);
    }
}
