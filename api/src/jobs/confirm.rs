//! What a validator says is believed when the chain shows it: that it has the job, and that its result is there.

use std::time::Duration;

use mythic_client::Commitment;
use mythic_interface::{hash::job_seed, state::Job};
use mythic_support::Backoff;
use solana_pubkey::Pubkey;
use tokio::time::Instant;

use crate::{
    chain::{Chain, pay},
    store::Attempt,
};

/// Pauses between two reads: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(500));

/// Reads a job until `ready` says what it is, or `until` has come.
async fn read<T>(
    chain: &Chain,
    address: &Pubkey,
    until: Instant,
    mut ready: impl FnMut(&Job) -> Option<T>,
) -> Option<T> {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        match tokio::time::timeout_at(until, pay::job(chain, address, Commitment::Processed)).await
        {
            Err(_) => return None,
            Ok(Ok(Some((_, job)))) => {
                if let Some(found) = ready(&job) {
                    return Some(found);
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, job = %address, "reading a job"),
        }
        let pause = backoff.pause();
        if Instant::now() + pause >= until {
            return None;
        }
        tokio::time::sleep(pause).await;
    }
}

/// The job on chain, once this validator has it under the attempt's terms.
pub async fn taken(
    chain: &Chain,
    attempt: &Attempt,
    validator: &[u8; 32],
    until: Instant,
) -> Result<Job, &'static str> {
    let seen = read(chain, &attempt.job, until, |job| {
        (job.validator == *validator || job.validator != [0; 32]).then_some(*job)
    })
    .await
    .ok_or("it said that it took the job, and the chain does not show it")?;
    if seen.validator != *validator {
        return Err("another validator has the job");
    }
    if !ours(attempt, &seen) {
        return Err("the job on chain has other terms");
    }
    Ok(seen)
}

/// Whether the terms on chain are those that were asked for.
fn ours(attempt: &Attempt, job: &Job) -> bool {
    let (asked, terms) = (&attempt.arguments, &job.terms);
    terms.owner == attempt.owner.to_bytes()
        && terms.requester == attempt.requester.to_bytes()
        && terms.model == attempt.model.to_bytes()
        && terms.nonce == asked.nonce
        && terms.canceller == asked.canceller
        && terms.prompt_hash == asked.prompt_hash
        && terms.prompt_tokens.get() == asked.prompt_tokens.get()
        && terms.max_output_tokens.get() == asked.max_output_tokens.get()
        && terms.price_in.get() <= asked.price_in.get()
        && terms.price_out.get() <= asked.price_out.get()
        && terms.seed == job_seed(&attempt.job.to_bytes(), &asked.user_seed)
        && terms.temperature_milli.get() == asked.temperature_milli.get()
        && terms.sampling_profile == asked.sampling_profile
        && terms.options_hash == asked.options_hash
        && job.terms_hash == terms.hash()
}

/// Whether the chain shows a result with this fingerprint before `until`.
pub async fn submitted(
    chain: &Chain,
    address: &Pubkey,
    fingerprint: &[u8; 32],
    until: Instant,
) -> bool {
    read(chain, address, until, |job| {
        (job.submitted_slot.get() > 0).then_some(job.fingerprint == *fingerprint)
    })
    .await
    .unwrap_or(false)
}
