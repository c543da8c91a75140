//! Metrics and health for whoever watches the process: served beside what tenants use, and kept fresh.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mythic_http::metrics::{self, Health, ListenError};
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
        // Two networks on one machine share the default: the work matters more than who can look at it.
        match serve(&ctx, addr, quit.clone()).await {
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
        show(&ctx, &desk);
    }
}

async fn serve(
    ctx: &Arc<Ctx>,
    addr: SocketAddr,
    quit: CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let (asked, registry) = (ctx.clone(), ctx.meters.registry());
    metrics::serve(addr, registry, move || health(&asked), quit).await
}

fn show(ctx: &Ctx, desk: &Desk) {
    ctx.meters.show(&View {
        provider: &ctx.provider(),
        slot: ctx.slot(),
        silent: ctx.silent(),
        balance: ctx.balance(),
        needed: ctx.needed(),
        leases: &desk.standings(),
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProviderConfig, ctx::tests::idle};

    #[tokio::test]
    async fn prometheus_and_people_are_told_what_is_known_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = Arc::new(idle(ProviderConfig::default(), dir.path()));
        let quit = CancellationToken::new();
        let local = ([127, 0, 0, 1], 0).into();
        let addr = serve(&ctx, local, quit.clone()).await.unwrap();
        show(&ctx, &Desk::default());
        let client = mythic_http::client::builder().build().unwrap();
        let get = async |path: &str| {
            let answer = client.get(format!("http://{addr}{path}")).send();
            answer.await.unwrap().text().await.unwrap()
        };
        let measured = get("/metrics").await;
        for known in [
            "mythic_provider_slot 3",
            "mythic_provider_operator_needs_lamports 3",
            r#"mythic_provider_leases{state="active"} 0"#,
        ] {
            assert!(measured.contains(known), "{measured}: {known}");
        }
        assert!(!measured.contains("mythic_provider_operator_lamports"));
        let told: serde_json::Value = serde_json::from_str(&get("/health").await).unwrap();
        assert_eq!(told["slot"], 3);
        assert!(told["operator_lamports"].is_null(), "{told}");
        quit.cancel();
    }
}
