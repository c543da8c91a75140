//! Containers that no promise here is of: it was damaged or lost, or the directory of promises was another. Whether their leases are in care
//! or not, they are ended by the same evidence as any other, and by nothing else. On the way the rules that hold all containers are looked at.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use mythic_client::{Commitment, account::found};
use mythic_interface::{
    market::state::{Lease, LeaseStatus},
    state::Key,
};
use mythic_support::Throttle;
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use super::{fleet::Containers, runtime::Labelled};
use crate::{ctx::Ctx, lease::desk::Desk};

const EVERY: Duration = Duration::from_secs(30);
const TOLD_EVERY: Duration = Duration::from_secs(600);

/// Runs until `quit`; at once over where nothing runs containers.
pub async fn run(
    ctx: Arc<Ctx>,
    desk: Arc<Desk>,
    containers: Arc<Containers>,
    quit: CancellationToken,
) {
    let Some(runtime) = containers.runtime() else {
        return;
    };
    let told = Throttle::new(TOLD_EVERY);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        match runtime.uphold().await {
            Ok(false) => {}
            Ok(true) => tracing::error!(
                "somebody changed the rules that keep containers from this machine's networks, or its forwarding: they are as they were again"
            ),
            Err(error) => {
                tracing::error!("the rules of containers' networks can't be laid out: {error:#}");
            }
        }
        let all = match runtime.list().await {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!("containers can't be listed: {error:#}");
                continue;
            }
        };
        for stray in all {
            match look(&ctx, &desk, &containers, &stray).await {
                Ok(true) => {}
                Ok(false) => {
                    if told.allow().is_some() {
                        tracing::error!(
                            lease = stray.id,
                            "a container runs whose promise is in no journal here; it goes on until its lease is seen to have ended"
                        );
                    }
                }
                Err(error) => {
                    tracing::warn!(lease = stray.id, "a container without a promise: {error:#}");
                }
            }
        }
    }
}

/// Whether nothing is left to say about a container.
async fn look(ctx: &Ctx, desk: &Desk, containers: &Containers, stray: &Labelled) -> Result<bool> {
    let Ok(lease) = stray.id.parse::<Pubkey>() else {
        return Ok(false);
    };
    if desk.has_container(&lease) {
        return Ok(true);
    }
    let held = Commitment::Finalized;
    let read = ctx
        .chain
        .raw_accounts_since(&[lease], held, stray.slot)
        .await?;
    let read = read.first().context("no answer for the lease")?;
    let state = found::<Lease>(&lease, read.account.as_ref())?;
    let ours = ctx.authority.to_bytes();
    // It may have been promised meanwhile.
    let is_over = is_over(state.as_ref(), (read.slot, stray.slot), &ours);
    if !is_over || desk.has_container(&lease) {
        return Ok(false);
    }
    // One that is kept running is let go of first.
    containers.stop(&lease).await?;
    tracing::info!(%lease, "a container of a lease that is over was removed");
    Ok(true)
}

/// Whether what the chain says at `finalized` in a slot ends a container that was planned in another one.
fn is_over(state: Option<&Lease>, (slot, planned): (u64, u64), ours: &Key) -> bool {
    match state {
        None => slot > planned,
        Some(lease) => lease.terms.provider != *ours || lease.status() == Some(LeaseStatus::Ended),
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn a_stray_ends_by_evidence_alone() {
        let ours = [7; 32];
        let mut lease = Lease::zeroed();
        lease.terms.provider = ours;
        for status in [
            LeaseStatus::Accepted,
            LeaseStatus::Started,
            LeaseStatus::Active,
            LeaseStatus::Closing,
        ] {
            lease.header.status = status as u8;
            assert!(!is_over(Some(&lease), (100, 9), &ours));
        }
        lease.header.status = LeaseStatus::Ended as u8;
        assert!(is_over(Some(&lease), (100, 9), &ours));
        // Absent counts only behind the slot in which it was planned.
        assert!(is_over(None, (100, 9), &ours));
        assert!(!is_over(None, (9, 9), &ours) && !is_over(None, (1, 9), &ours));
        lease.header.status = LeaseStatus::Active as u8;
        lease.terms.provider = [8; 32];
        assert!(is_over(Some(&lease), (100, 9), &ours));
    }
}
