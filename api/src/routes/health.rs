//! How the gateway and what it needs are doing.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use mythic_client::Commitment;
use serde_json::{Value, json};
use solana_signer::Signer;

use crate::app::App;

/// A component that takes longer to answer counts as down.
const PATIENCE: Duration = Duration::from_secs(3);
/// Slots behind the chain from which the index counts as lagging.
const LAG: u64 = 25;
/// Lamports of the fee payer below which a warning is due: a few hundred jobs' fees and rent.
const LOW_BALANCE: u64 = 100_000_000;

async fn index(app: &App) -> Result<Value, String> {
    let client = app.pool.get().await.map_err(|error| error.to_string())?;
    let row = client
        .query_one("SELECT to_jsonb(s) FROM analytics.pipeline_status s", &[])
        .await
        .map_err(|error| error.to_string())?;
    Ok(row.get(0))
}

/// The settler's last word; null while it has said none, or where no settler runs on this database.
async fn reconciliation(app: &App) -> Result<Value, String> {
    let client = app.pool.get().await.map_err(|error| error.to_string())?;
    let exists = client
        .query_one(
            "SELECT to_regclass('settler.reconciliation') IS NOT NULL",
            &[],
        )
        .await
        .map_err(|error| error.to_string())?;
    if !exists.get::<_, bool>(0) {
        return Ok(Value::Null);
    }
    let row = client
        .query_opt(
            "SELECT to_jsonb(r) FROM settler.reconciliation r LIMIT 1",
            &[],
        )
        .await
        .map_err(|error| error.to_string())?;
    Ok(row.map_or(Value::Null, |row| row.get(0)))
}

/// The open alarms, by kind.
async fn alarms(app: &App) -> Result<Value, String> {
    let client = app.pool.get().await.map_err(|error| error.to_string())?;
    let row = client
        .query_one(
            "SELECT COALESCE(jsonb_agg(to_jsonb(k) ORDER BY k.since), '[]') FROM (
                 SELECT kind, count(*) AS open, min(since) AS since, (array_agg(detail ORDER BY newest_at DESC, id DESC))[1] AS newest,
                        max(newest_at) AS newest_at, bool_and(clears_itself) AS clears_itself
                   FROM analytics.alarms WHERE cleared_at IS NULL GROUP BY kind) k",
            &[],
        )
        .await
        .map_err(|error| error.to_string())?;
    let kinds: Value = row.get(0);
    let raised = kinds.as_array().is_some_and(|kinds| !kinds.is_empty());
    Ok(json!({"state": if raised { "raised" } else { "ok" }, "kinds": kinds}))
}

async fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err("no answer in 3 s".into()))
}

/// Components, index lag in slots, open alarms by kind, reconciliation. 200 while requests can be served, else 503.
#[utoipa::path(get, path = "/health", tag = "operation",
    responses((status = 200, description = "ok or degraded"), (status = 503, description = "down: chain or database is away")))]
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let payer = app.chain.payer.pubkey();
    let (slot, balance, index, alarms, reconciliation, validators) = tokio::join!(
        within(async {
            app.chain
                .client
                .slot(Commitment::Processed)
                .await
                .map_err(|error| error.to_string())
        }),
        within(async {
            app.chain
                .client
                .balance(&payer)
                .await
                .map_err(|error| error.to_string())
        }),
        within(index(&app)),
        within(alarms(&app)),
        within(reconciliation(&app)),
        within(async {
            app.validators
                .registered()
                .await
                .map(|(_, list)| list.len())
                .map_err(|error| error.to_string())
        }),
    );
    let indexed = index
        .as_ref()
        .ok()
        .and_then(|status| status["processed_slot"].as_u64());
    let lag = match (&slot, indexed) {
        (Ok(slot), Some(indexed)) => Some(slot.saturating_sub(indexed)),
        _ => None,
    };
    let database = within(async {
        let client = app.pool.get().await.map_err(|error| error.to_string())?;
        client
            .simple_query("SELECT 1")
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    })
    .await;
    let feed = app.feed_connected.load(Ordering::Relaxed);
    let announced = app.validators.announcements().len();
    let state = |outcome: Result<Value, String>| match outcome {
        Ok(detail) => detail,
        Err(error) => json!({"state": "down", "error": error}),
    };
    let gaps = index
        .as_ref()
        .ok()
        .and_then(|status| status["gaps_open"].as_u64());
    let calm = alarms.as_ref().is_ok_and(|alarms| alarms["state"] == "ok");
    let lagging = lag.is_none_or(|lag| lag > LAG);
    let down = slot.is_err() || database.is_err();
    let reconciled = reconciliation
        .as_ref()
        .ok()
        .and_then(|value| value["ok"].as_bool());
    let low = balance.as_ref().is_ok_and(|balance| *balance < LOW_BALANCE);
    let degraded = lagging
        || !feed
        || announced == 0
        || gaps.is_some_and(|n| n > 0)
        || !calm
        || reconciled == Some(false)
        || low;
    let word = if down {
        "down"
    } else if degraded {
        "degraded"
    } else {
        "ok"
    };
    let body = json!({
        "object": "health",
        "status": word,
        "index_lag_slots": lag,
        "components": {
            "chain": state(slot.map(|slot| json!({"state": "ok", "slot": slot}))),
            "database": state(database.map(|()| json!({"state": "ok"}))),
            "index": state(index.map(|mut status| {
                status["state"] = json!(if lagging { "lagging" } else { "ok" });
                status
            })),
            "alarms": state(alarms),
            "feed": {"state": if feed { "ok" } else { "down" }, "newest": app.hub.newest(), "subscribers": app.hub.subscribers()},
            "validators": state(validators.map(|count| json!({
                "state": if announced > 0 { "ok" } else { "none_announced" }, "registered": count, "announced": announced,
            }))),
            "fee_payer": state(balance.map(|lamports| json!({
                "state": if low { "low" } else { "ok" }, "address": payer.to_string(), "lamports": lamports,
            }))),
            "requests": {"state": "ok", "running": app.jobs.runs.len()},
        },
        "reconciliation": state(reconciliation),
        "uptime_seconds": app.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let status = if down {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(body)).into_response()
}
