//! What remains after a result is final: claim the fee if nobody does, book the earnings, withdraw them, leave jail, remove
//! evidence that nobody can ask for any more.

use std::{sync::Arc, time::Duration};

use mythic_client::{Commitment, account::decode, ix};
use mythic_interface::state::{Job, JobStatus, Validator, ValidatorStatus};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use super::journal::Record;
use crate::ctx::Ctx;

const EVERY: Duration = Duration::from_secs(15);
/// Claims in one round, each in its own transaction.
const CLAIMS: usize = 16;

/// What is to be done about a kept job. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Its window or its case runs, or somebody else still has time to claim.
    Wait,
    /// Claim the fee.
    Claim,
    /// Its outcome is final; the validator's share if it settled.
    Over(Option<u64>),
}

/// Decides from the finalized account at `slot`.
pub fn decide(job: Option<&Job>, authority: &Pubkey, slot: u64, claim_after: u64) -> Kept {
    let Some(job) = job else {
        return Kept::Over(None);
    };
    if job.validator != authority.to_bytes() {
        return Kept::Over(None);
    }
    match job.status() {
        Some(JobStatus::Settled) => Kept::Over(Some(job.validator_amount.get())),
        Some(JobStatus::Submitted) => match job.window_end() {
            Some(end) if claim_after > 0 && slot >= end.saturating_add(claim_after) => Kept::Claim,
            _ => Kept::Wait,
        },
        Some(JobStatus::Disputed | JobStatus::Accepted | JobStatus::Open) => Kept::Wait,
        Some(JobStatus::Refunded | JobStatus::Slashed) | None => Kept::Over(None),
    }
}

/// Runs until `quit`.
pub async fn run(node: Arc<Ctx>, quit: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        settle(&node).await;
        look_after_validator(&node).await;
        sweep(&node).await;
        let money = node.ledger.read().money;
        let gauge = |lamports: u64| i64::try_from(lamports).unwrap_or(i64::MAX);
        node.meters.earned.set(gauge(money.earned_lamports));
        node.meters.fees.set(gauge(money.fees_lamports));
    }
}

async fn settle(node: &Arc<Ctx>) {
    let kept: Vec<Pubkey> = {
        let journal = node.ledger.read();
        journal
            .jobs
            .iter()
            .filter(|(_, r)| r.kept)
            .filter_map(|(job, _)| job.parse().ok())
            .collect()
    };
    if kept.is_empty() {
        return;
    }
    let snapshots = match node.chain.raw_accounts(&kept, Commitment::Finalized).await {
        Ok(snapshots) => snapshots,
        Err(error) => {
            tracing::debug!(%error, "kept jobs can't be read");
            return;
        }
    };
    let mut claims = 0;
    for (job, snapshot) in kept.iter().zip(snapshots) {
        let read = snapshot
            .account
            .as_ref()
            .map(|account| decode::<Job>(job, account));
        let state = match &read {
            Some(Ok(state)) => Some(state),
            None => None,
            Some(Err(error)) => {
                tracing::warn!(%job, %error, "kept job can't be read");
                continue;
            }
        };
        match decide(
            state,
            &node.keys.authority,
            snapshot.slot,
            node.config.claim_after_slots,
        ) {
            Kept::Wait => {}
            Kept::Claim if claims < CLAIMS => {
                claims += 1;
                if let Some(state) = state
                    && let Err(error) = node.send(&[ix::claim_inference_fee(job, state)]).await
                {
                    tracing::debug!(%job, %error, "claim not taken; somebody else may have claimed");
                }
            }
            Kept::Claim => {}
            Kept::Over(earned_lamports) => {
                node.note(Record::Closed {
                    job: job.to_string(),
                    earned_lamports,
                })
                .await;
            }
        }
    }
}

async fn look_after_validator(node: &Arc<Ctx>) {
    let validator: Validator = node.validator();
    let operator = node.keys.operator.pubkey();
    let claimable = validator.claimable.get();
    let threshold = node.config.withdraw_above_lamports;
    if threshold > 0 && claimable >= threshold {
        match node
            .send(&[ix::withdraw_claimable(
                operator,
                validator.owner,
                node.keys.authority,
            )])
            .await
        {
            Ok(()) => {
                tracing::info!(
                    lamports = claimable,
                    "earnings withdrawn to the validator's owner"
                );
                node.note(Record::Withdrawn {
                    lamports: claimable,
                })
                .await;
            }
            Err(error) => tracing::warn!(%error, "earnings not withdrawn"),
        }
    }
    if validator.header.status == ValidatorStatus::Jailed as u8
        && node.slot() >= validator.jailed_until.get()
    {
        match node
            .send(&[ix::unjail(operator, node.keys.authority)])
            .await
        {
            Ok(()) => tracing::info!("validator unjailed"),
            Err(error) => tracing::warn!(%error, "validator stays jailed"),
        }
    }
}

async fn sweep(node: &Arc<Ctx>) {
    let age = Duration::from_secs(node.config.evidence_seconds);
    let node = node.clone();
    let swept = tokio::task::spawn_blocking(move || {
        let mut needed: std::collections::BTreeSet<String> =
            node.ledger.read().jobs.keys().cloned().collect();
        // A case outlasts the time for which evidence is kept, and who judges needs it to the end.
        let judged = node.in_case.read();
        needed.extend(judged.iter().map(Pubkey::to_string));
        drop(judged);
        node.others.sweep(age, |job| needed.contains(job))?;
        node.store.sweep(age, |job| needed.contains(job))
    })
    .await;
    if let Ok(Err(error)) = swept {
        tracing::warn!(%error, "old evidence can't be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    #[test]
    fn a_kept_job_waits_is_claimed_and_booked() {
        let authority = Pubkey::new_from_array([5; 32]);
        let mut job = Job::zeroed();
        job.validator = authority.to_bytes();
        job.terms.rules = Params::dev().rules;
        job.header.status = JobStatus::Submitted as u8;
        job.submitted_slot.set(1_000);
        assert_eq!(decide(Some(&job), &authority, 1_399, 300), Kept::Wait);
        assert_eq!(decide(Some(&job), &authority, 1_400, 300), Kept::Claim);
        assert_eq!(decide(Some(&job), &authority, 9_999, 0), Kept::Wait);
        job.header.status = JobStatus::Settled as u8;
        job.validator_amount.set(77);
        assert_eq!(
            decide(Some(&job), &authority, 1_400, 300),
            Kept::Over(Some(77))
        );
        assert_eq!(
            decide(Some(&job), &Pubkey::default(), 1_400, 300),
            Kept::Over(None)
        );
        assert_eq!(decide(None, &authority, 1_400, 300), Kept::Over(None));
    }
}
