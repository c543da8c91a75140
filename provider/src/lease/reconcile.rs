//! What the chain says of the leases in care, every few seconds: a list at `confirmed`, and of those that it does not hold their own
//! accounts at `finalized`. Only answers are passed on; what they are worth the machine decides.

use std::{sync::Arc, time::Duration};

use mythic_client::{ClientError, Commitment, Filter, Listed, account::decode};
use mythic_interface::market::state::{Lease, LeaseStatus};
use mythic_support::{Throttle, life::Pulse};
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use super::{desk::Desk, fsm::Event};
use crate::ctx::Ctx;

/// How often.
const EVERY: Duration = Duration::from_secs(5);
/// Longest round: a call for each lease, each ending in 30 seconds.
const LONGEST_ROUND: Duration = Duration::from_secs(1_800);
/// How often the same trouble is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Newest slots that were answered of: no older answer counts.
#[derive(Debug, Default)]
struct Newest {
    confirmed: u64,
    finalized: u64,
}

/// Runs until `quit`.
pub async fn run(ctx: Arc<Ctx>, desk: Arc<Desk>, quit: CancellationToken) {
    let (mut newest, told) = (Newest::default(), Throttle::new(TOLD_EVERY));
    let orphans = Throttle::new(TOLD_EVERY);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pulse = Pulse::new("reconciling leases", LONGEST_ROUND);
    loop {
        pulse.beat();
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        match round(&ctx, &desk, &mut newest, &orphans).await {
            Ok(()) => {}
            Err(error) => {
                if told.allow().is_some() {
                    tracing::warn!(%error, "leases can't be reconciled with the chain; what runs goes on");
                }
            }
        }
    }
}

async fn round(
    ctx: &Ctx,
    desk: &Desk,
    newest: &mut Newest,
    orphans: &Throttle,
) -> Result<(), ClientError> {
    let filters = [Filter::<Lease>::provider(&ctx.authority)];
    let listing =
        ctx.chain
            .program_accounts_since(&filters, Commitment::Confirmed, newest.confirmed);
    let listed = listing.await?;
    newest.confirmed = listed.slot;
    for (lease, state) in &listed.accounts {
        let event = Event::Read {
            slot: listed.slot,
            held: Commitment::Confirmed,
            lease: Some(Box::new(*state)),
        };
        let known = desk.tell(lease, event);
        if !known && state.status() != Some(LeaseStatus::Ended) && orphans.allow().is_some() {
            tracing::error!(%lease, "a lease of this provider is in no journal here: it is not served. Does another process run for the same provider, or was data_dir lost?");
        }
    }
    for lease in absent(&desk.leases(), &listed) {
        let read = ctx
            .chain
            .raw_account_since(&lease, Commitment::Finalized, newest.finalized)
            .await?;
        newest.finalized = read.slot;
        let account = read.account.as_ref();
        let state = account.map(|account| decode::<Lease>(&lease, account));
        let event = Event::Read {
            slot: read.slot,
            held: Commitment::Finalized,
            lease: state.transpose()?.map(Box::new),
        };
        desk.tell(&lease, event);
    }
    Ok(())
}

/// The leases in care that a list does not hold.
fn absent(known: &[Pubkey], listed: &Listed<Lease>) -> Vec<Pubkey> {
    let is_listed = |lease: &Pubkey| listed.accounts.iter().any(|(found, _)| found == lease);
    let absent = known.iter().filter(|lease| !is_listed(lease));
    absent.copied().collect()
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn what_a_list_does_not_hold_is_asked_for_by_itself() {
        let key = |n: u8| Pubkey::new_from_array([n; 32]);
        let listed = Listed {
            slot: 9,
            accounts: vec![(key(1), Lease::zeroed()), (key(3), Lease::zeroed())],
        };
        assert_eq!(absent(&[key(1), key(2), key(3)], &listed), [key(2)]);
        let empty = Listed {
            slot: 9,
            accounts: Vec::new(),
        };
        assert_eq!(absent(&[key(1), key(2)], &empty), [key(1), key(2)]);
    }
}
