//! Metrics and health for whoever watches the process: served beside what tenants use, and kept fresh.

use std::{sync::Arc, time::Duration};

use mythic_http::metrics::{self, Health};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{ctx::Ctx, lease::desk::Desk, meters::View};

/// How often gauges are set.
const EVERY: Duration = Duration::from_secs(2);
/// Without a newer slot for so long the provider can't do its work.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Runs until `quit`.
pub async fn run(ctx: Arc<Ctx>, desk: Arc<Desk>, quit: CancellationToken) {
    if let Some(addr) = ctx.config.metrics_addr {
        let (asked, registry) = (ctx.clone(), ctx.meters.registry());
        let health = move || health(&asked);
        // Two networks on one machine share the default: the work matters more than who can look at it.
        match metrics::serve(addr, registry, health, quit.clone()).await {
            Ok(bound) => tracing::info!(%bound, "serving metrics and health"),
            Err(error) => tracing::warn!("no metrics: {error}"),
        }
    }
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        ctx.meters.show(&View {
            provider: &ctx.provider(),
            slot: ctx.slot(),
            silent: ctx.silent(),
            balance: ctx.balance(),
            needed: ctx.needed(),
            leases: &desk.standings(),
        });
    }
}

fn health(ctx: &Ctx) -> Health {
    let silent = ctx.silent();
    Health {
        ok: silent < LONGEST_SILENCE,
        detail: json!({
            "slot": ctx.slot(),
            "chain_silent_seconds": silent.as_secs(),
            "operator_lamports": ctx.balance(),
            "operator_needs_lamports": ctx.needed(),
        }),
    }
}
