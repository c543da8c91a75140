//! Which validators may see the evidence of a job. Evidence holds the prompt: it is for those who can still judge
//! the result, and as long as they can.

use mythic_interface::state::{Job, JobStatus, Key, Validator, ValidatorStatus};

/// Why a validator does not see the evidence of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The signer is neither authority nor operator of the validator that it names.
    #[error("the request is not signed by the validator's authority or operator")]
    NotTheValidator,
    /// It can neither challenge nor sit on a jury.
    #[error("a jailed validator checks nothing")]
    Jailed,
    /// Too little that it could lose.
    #[error("the validator has less active stake than the network asks for")]
    Unstaked,
    /// It can't challenge this result, nor sit on its jury.
    #[error("the validator was not registered long enough before the job was requested")]
    TooNew,
    /// Nobody can dispute the result: there is none yet, or its window is over and it has no case.
    #[error("the job's result can't be disputed now")]
    NotDisputable,
}

/// Whether a validator may open a check of a job's result at `slot`: while the window runs it could claim against the result, while its
/// case runs it could join, be on the jury, or is a party.
pub fn may_check(job: &Job, validator: &Validator, signer: &Key, slot: u64) -> Result<(), Denied> {
    if *signer != validator.owner && *signer != validator.operator {
        return Err(Denied::NotTheValidator);
    }
    if validator.header.status != ValidatorStatus::Active as u8 {
        return Err(Denied::Jailed);
    }
    if validator.active_stake(slot) < job.terms.rules.min_stake.get() {
        return Err(Denied::Unstaked);
    }
    let maturity = u64::from(job.terms.rules.maturity_slots.get());
    let registered = validator.registered_slot.get();
    if registered.saturating_add(maturity) > job.requested_slot.get() {
        return Err(Denied::TooNew);
    }
    let open = match job.status() {
        Some(JobStatus::Submitted) => job.window_end().is_some_and(|end| slot < end),
        Some(JobStatus::Disputed) => true,
        _ => false,
    };
    match open {
        true => Ok(()),
        false => Err(Denied::NotDisputable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const SLOT: u64 = 1_010;

    fn case() -> (Job, Validator) {
        let (mut job, mut validator) = (Job::zeroed(), Validator::zeroed());
        job.terms.rules = Params::dev().rules;
        job.header.status = JobStatus::Submitted as u8;
        job.requested_slot.set(900);
        job.submitted_slot.set(1_000);
        validator.header.status = ValidatorStatus::Active as u8;
        validator.authority = [9; 32];
        validator.owner = [1; 32];
        validator.operator = [2; 32];
        validator.stake = job.terms.rules.min_stake;
        validator.registered_slot.set(899);
        (job, validator)
    }

    #[test]
    fn evidence_is_for_those_who_can_judge_it_while_they_can() {
        let (job, validator) = case();
        assert_eq!(may_check(&job, &validator, &[1; 32], SLOT), Ok(()));
        assert_eq!(may_check(&job, &validator, &[2; 32], SLOT), Ok(()));
        assert_eq!(
            may_check(&job, &validator, &[3; 32], SLOT),
            Err(Denied::NotTheValidator)
        );
        let end = job.window_end().unwrap();
        assert_eq!(
            may_check(&job, &validator, &[1; 32], end),
            Err(Denied::NotDisputable)
        );
        let denied = |change: &dyn Fn(&mut Job, &mut Validator)| {
            let (mut job, mut validator) = case();
            change(&mut job, &mut validator);
            may_check(&job, &validator, &[1; 32], SLOT)
        };
        assert_eq!(
            denied(&|_, v| v.header.status = ValidatorStatus::Jailed as u8),
            Err(Denied::Jailed)
        );
        assert_eq!(
            denied(&|_, v| v.stake.set(v.stake.get() - 1)),
            Err(Denied::Unstaked)
        );
        assert_eq!(
            denied(&|_, v| v.registered_slot.set(900)),
            Err(Denied::TooNew)
        );
        for over in [
            JobStatus::Open,
            JobStatus::Accepted,
            JobStatus::Settled,
            JobStatus::Refunded,
            JobStatus::Slashed,
        ] {
            assert_eq!(
                denied(&|j, _| j.header.status = over as u8),
                Err(Denied::NotDisputable),
                "{over:?}"
            );
        }
        let mut disputed = job;
        disputed.header.status = JobStatus::Disputed as u8;
        assert_eq!(
            may_check(&disputed, &validator, &[1; 32], end + 500),
            Ok(())
        );
    }
}
