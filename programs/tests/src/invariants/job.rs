//! A job by itself, and its way from one state to the next.

use mythic_interface::money;
use mythic_interface::state::{EndReason, Job, JobStatus, Key, NO_KEY};
use mythic_interface::window::retention_end;

use super::state::State;

fn status(job: &Job) -> Result<JobStatus, String> {
    job.status()
        .ok_or_else(|| format!("a job has status {}", job.header.status))
}

/// What holds of a job at any time.
pub fn is_sound(job: &Job) -> Result<(), String> {
    let status = status(job)?;
    let terms = &job.terms;
    ensure!(
        terms.hash() == job.terms_hash,
        "terms_hash is not the hash of the terms"
    );
    ensure!(
        terms.ceiling() == Ok(job.ceiling.get()),
        "the ceiling is not the price of the terms"
    );
    let [fee, refunded, validator, foundation, burned] = [
        job.fee,
        job.refunded_amount,
        job.validator_amount,
        job.foundation_amount,
        job.burned_amount,
    ]
    .map(|amount| amount.get());
    if !status.is_terminal() {
        ensure!(
            job.escrow == job.ceiling,
            "a running job does not hold its ceiling"
        );
        ensure!(
            fee + refunded + validator + foundation + burned == 0
                && job.end_reason == 0
                && job.ended_slot.get() == 0,
            "a running job has amounts or an end"
        );
    } else {
        ensure!(
            job.escrow.get() == 0 && job.ended_slot.get() > 0,
            "an ended job holds money or has no end"
        );
        ensure!(
            fee + refunded == job.ceiling.get(),
            "fee and refund are not the ceiling"
        );
        ensure!(
            validator + foundation + burned == fee,
            "the split does not sum to the fee"
        );
    }
    let reason = EndReason::from_u8(job.end_reason);
    match status {
        JobStatus::Settled => {
            let price = terms.price_of(job.output_tokens.get());
            let price = price.map_err(|error| error.to_string())?;
            ensure!(
                fee == price.min(job.ceiling.get()),
                "the fee is not the price"
            );
            let split = money::split(fee, &terms.rules);
            ensure!(
                (validator, foundation, burned) == (split.earner, split.foundation, split.burned),
                "the shares are not the rules' shares"
            );
            ensure!(
                matches!(
                    reason,
                    Some(EndReason::Claimed | EndReason::NotGuilty | EndReason::Void)
                ),
                "settled because of {reason:?}"
            );
        }
        JobStatus::Refunded => {
            ensure!(fee == 0, "a refunded job paid a fee");
            ensure!(
                matches!(
                    reason,
                    Some(EndReason::Cancelled | EndReason::Declined | EndReason::Expired)
                ),
                "refunded because of {reason:?}"
            );
        }
        JobStatus::Open => ensure!(job.validator == NO_KEY, "an open job has a validator"),
        JobStatus::Accepted => ensure!(job.validator != NO_KEY, "accepted by nobody"),
        JobStatus::Submitted => ensure!(
            job.submitted_slot.get() > 0 && (1..=4).contains(&job.finish_reason),
            "submitted without a result"
        ),
        JobStatus::Disputed => ensure!(job.case_slot.get() > 0, "disputed since never"),
        JobStatus::Slashed => {
            ensure!(fee == 0, "a false result was paid for");
            ensure!(
                matches!(reason, Some(EndReason::Guilty | EndReason::Fault)),
                "slashed because of {reason:?}"
            );
        }
    }
    is_soundly_punished(job, status, reason)
}

/// What a job cost the validator's stake, it cost for a reason.
fn is_soundly_punished(
    job: &Job,
    status: JobStatus,
    reason: Option<EndReason>,
) -> Result<(), String> {
    let fined = job.no_show_amount.get();
    ensure!(
        fined == 0
            || status == JobStatus::Refunded
                && job.open == 1
                && fined <= job.terms.rules.no_show.get()
                && !job.is_excused()
                && matches!(reason, Some(EndReason::Declined | EndReason::Expired)),
        "fined {fined} for a job that ended because of {reason:?}"
    );
    ensure!(
        status == JobStatus::Slashed || job.slashed_amount.get() == 0,
        "slashed for a job that is {status:?}"
    );
    Ok(())
}

/// A job's terms stay, its slots stay once set, its status follows the life of a job, and its end
/// is final.
pub fn went_on(address: &Key, old: &Job, after: &State) -> Result<(), String> {
    let old_status = status(old)?;
    let Some(new) = after.get::<Job>(address) else {
        ensure!(old_status.is_terminal(), "a running job was closed");
        let end = retention_end(old.ended_slot.get(), &old.terms.nonce, &old.terms.rules);
        ensure!(after.slot >= end, "a job was closed too early");
        return Ok(());
    };
    if old_status.is_terminal() {
        ensure!(old == new, "an ended job changed");
        return Ok(());
    }
    ensure!(old.terms == new.terms, "terms changed");
    let slots = |job: &Job| {
        [
            job.requested_slot,
            job.deadline_slot,
            job.accepted_slot,
            job.cancel_slot,
            job.submitted_slot,
            job.case_slot,
        ]
    };
    for (was, is) in slots(old).into_iter().zip(slots(new)) {
        ensure!(was.get() == 0 || was == is, "a slot that was set changed");
    }
    ensure!(
        old.validator == NO_KEY || old.validator == new.validator,
        "the validator changed"
    );
    use JobStatus::{Accepted, Disputed, Open, Refunded, Settled, Slashed, Submitted};
    let possible: &[JobStatus] = match old_status {
        Open => &[Open, Accepted, Submitted, Refunded],
        Accepted => &[Accepted, Submitted, Refunded],
        Submitted => &[Submitted, Disputed, Settled, Slashed],
        Disputed => &[Disputed, Settled, Slashed],
        Settled | Refunded | Slashed => &[],
    };
    let new_status = status(new)?;
    ensure!(
        possible.contains(&new_status),
        "a job went from {old_status:?} to {new_status:?}"
    );
    Ok(())
}

pub fn is_running(job: &Job) -> bool {
    job.status().is_some_and(|status| !status.is_terminal())
}
