//! What remains beside leases: earnings for the authority, the way out of jail, an operator that can still pay.

use std::{sync::Arc, time::Duration};

use mythic_client::market::ix;
use mythic_interface::market::state::ProviderStatus;
use mythic_support::Throttle;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use crate::ctx::Ctx;

const EVERY: Duration = Duration::from_secs(15);
const TOLD_EVERY: Duration = Duration::from_secs(600);

/// Runs until `quit`.
pub async fn run(ctx: Arc<Ctx>, quit: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let told = Throttle::new(TOLD_EVERY);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        look_after(&ctx, &told).await;
    }
}

async fn look_after(ctx: &Ctx, told: &Throttle) {
    let (provider, operator) = (ctx.provider(), ctx.operator.pubkey());
    let (claimable, threshold) = (provider.claimable.get(), ctx.config.withdraw_above_lamports);
    if threshold > 0 && claimable >= threshold {
        match ctx
            .send(ix::withdraw_claimable(operator, ctx.authority))
            .await
        {
            Ok(()) => tracing::info!(lamports = claimable, "earnings withdrawn to the authority"),
            Err(error) => tracing::warn!(%error, "earnings not withdrawn"),
        }
    }
    let jailed = provider.header.status == ProviderStatus::Jailed as u8;
    if jailed && ctx.slot() >= provider.jailed_until.get() {
        match ctx.send(ix::unjail(operator, ctx.authority)).await {
            Ok(()) => tracing::info!("provider unjailed"),
            Err(error) => tracing::warn!(%error, "provider stays jailed"),
        }
    }
    let needed = ctx.needed();
    if let Ok(lamports) = ctx.read_balance().await
        && lamports < needed
        && told.allow().is_some()
    {
        tracing::warn!(%operator, lamports, needed, "the operator has less than rents, proofs and answers to disputes of all its units may take, and will decline what it could not answer for: send it SOL");
    }
}
