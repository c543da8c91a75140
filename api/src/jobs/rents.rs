//! Gives rent back that was taken of prepaid credit, once the chain shows for good that none of it is out any more.

use std::{sync::Arc, time::Duration};

use mythic_client::{Commitment, account::decode};
use mythic_interface::state::Job;
use mythic_support::Backoff;
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::errors::chain_error,
    error::ApiResult,
    jobs::Jobs,
    store::credit::{self, PAGE},
};

/// Between two looks for jobs that are due, when there were fewer than one look takes.
const PAUSE: Duration = Duration::from_secs(5);
/// Between looks while there are more.
const NEXT: Duration = Duration::from_millis(100);

/// Runs until told to stop.
pub async fn run(parts: Arc<Jobs>, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    loop {
        match look(&parts).await {
            Ok(pause) => {
                backoff.reset();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "looking for rent that came back; trying again");
                if !backoff.wait(&stop).await {
                    return;
                }
            }
        }
    }
}

async fn look(parts: &Jobs) -> ApiResult<Duration> {
    let out = credit::out(&parts.pool).await?;
    if !out.is_empty() {
        let addresses: Vec<Pubkey> = out.iter().map(|out| out.job).collect();
        let seen = parts
            .chain
            .client
            .raw_accounts(&addresses, Commitment::Finalized)
            .await
            .map_err(chain_error)?;
        // Anyone may send lamports to an address: what is no job of the program is none.
        let back: Vec<Pubkey> = out
            .iter()
            .zip(&seen)
            .filter(|(out, seen)| {
                let account = seen.account.as_ref();
                let job = account.is_some_and(|raw| decode::<Job>(&out.job, raw).is_ok());
                !job && seen.slot > out.expiry
            })
            .map(|(out, _)| out.job)
            .collect();
        let lamports = credit::give_back(&parts.pool, &back).await?;
        if lamports > 0 {
            tracing::info!(jobs = back.len(), lamports, "rent is credit again");
        }
    }
    let totals = credit::totals(&parts.pool).await?;
    let credit = &parts.metrics.credit;
    for (kind, lamports) in [
        ("balance", totals.balance),
        ("held", totals.held),
        ("spent", totals.spent),
    ] {
        credit.with_label_values(&[kind]).set(lamports);
    }
    let whole = i64::try_from(out.len()).is_ok_and(|looked| looked == PAGE);
    Ok(if whole { NEXT } else { PAUSE })
}
