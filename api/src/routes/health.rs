//! How the gateway and what it needs are doing: `/livez` for supervisors, `/readyz` for balancers, `/health` for people.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use mythic_client::Commitment;
use parking_lot::Mutex;
use serde::Serialize;
use solana_signer::Signer;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::ApiError,
    http::{
        probe::{
            AlarmsState, ChainState, Components, FeedState, Health, IndexState, Part, PayerState,
            Probe, RequestsState, SettlerState, ValidatorsState,
        },
        stopping,
    },
    store::health::{self as store, IndexStatus, Reconciliation, SettlerBeat, Stored},
};

/// A component that takes longer to answer counts as away.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long what was found is shown again: strangers who ask often cost nothing.
const LIFE: Duration = Duration::from_secs(1);
/// Slots behind the chain from which the index counts as lagging.
const LAG: u64 = 25;
/// Seconds without a commit of the indexer, or a comparison of the settler, from which it counts as stale.
const STALE: i64 = 180;
/// Seconds without a sign of life of the indexer or the settler from which it counts as stale.
const BEAT: i64 = 30;
/// Lamports of the fee payer below which a warning is due: a few hundred jobs' fees and rent.
const LOW_BALANCE: u64 = 100_000_000;

/// `/livez` and `/readyz`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Probed {
    /// `live` or `ready`.
    status: &'static str,
}

async fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err("no answer in 3 s".into()))
}

async fn slot(app: &App) -> Result<u64, String> {
    within(async {
        app.chain
            .client
            .slot(Commitment::Processed)
            .await
            .map_err(|error| error.to_string())
    })
    .await
}

/// What is away now, and whether it has been for too long.
struct Found {
    slot: Result<u64, String>,
    balance: Result<u64, String>,
    stored: Result<Stored, String>,
    validators: Result<usize, String>,
    down: bool,
}

/// Asks everything at the same time: the slowest part is the longest wait.
async fn look(app: &App) -> Found {
    let payer = app.chain.payer.pubkey();
    let (slot, balance, stored, validators) = tokio::join!(
        slot(app),
        within(async {
            app.chain
                .client
                .balance(&payer)
                .await
                .map_err(|error| error.to_string())
        }),
        within(store::stored(&app.pool)),
        within(async {
            app.validators
                .registered()
                .await
                .map(|(_, list)| list.len())
                .map_err(|error| error.to_string())
        }),
    );
    let probe = &app.edge.probe;
    let chain = Probe::well(&probe.chain, &slot);
    let database = Probe::well(&probe.database, &stored);
    Found {
        down: !chain || !database,
        slot,
        balance,
        stored,
        validators,
    }
}

fn fleet(app: &App, registered: Result<usize, String>) -> ValidatorsState {
    let announced = app.validators.announcements().len();
    let state = match announced {
        0 => "none_announced",
        _ => "ok",
    };
    ValidatorsState {
        part: Part::of(&registered, state),
        registered: registered.ok(),
        announced,
    }
}

fn fee_payer(app: &App, balance: Result<u64, String>) -> PayerState {
    let low = balance
        .as_ref()
        .is_ok_and(|lamports| *lamports < LOW_BALANCE);
    PayerState {
        part: Part::of(&balance, if low { "low" } else { "ok" }),
        address: app.chain.payer.pubkey().to_string(),
        lamports: balance.ok(),
    }
}

fn is_above(seconds: Option<i64>, most: i64) -> bool {
    seconds.is_some_and(|seconds| seconds > most)
}

/// The index, `lag` slots behind the chain if both are known.
fn indexed(index: Result<IndexStatus, String>, lag: Option<u64>) -> IndexState {
    let state = match &index {
        Ok(s) if is_above(s.silent_seconds, STALE) || is_above(s.beat_seconds, BEAT) => "stale",
        Ok(s) if s.waits_for.is_some() => "waiting",
        _ if lag.is_none_or(|lag| lag > LAG) => "lagging",
        _ => "ok",
    };
    IndexState {
        part: Part::of(&index, state),
        status: index.unwrap_or_default(),
    }
}

/// The settler, by what it last said and by its last comparison.
fn settled(
    beat: Result<SettlerBeat, String>,
    compared: &Result<Option<Reconciliation>, String>,
) -> SettlerState {
    let compared = compared.as_ref().map_err(Clone::clone);
    let found = beat.and_then(|beat| Ok((beat, compared?.as_ref())));
    let part = Part::of(
        &found,
        match &found {
            Ok((beat, compared)) => {
                let silent = compared.and_then(|found| found.silent_seconds);
                match (&beat.waits_for, compared) {
                    _ if is_above(beat.beat_seconds, BEAT) || is_above(silent, STALE) => "stale",
                    (Some(_), _) => "waiting",
                    (None, None) => "none",
                    (None, Some(_)) => "ok",
                }
            }
            Err(_) => "down",
        },
    );
    let (beat, compared) = found.unwrap_or_default();
    SettlerState {
        part,
        beat,
        silent_seconds: compared.and_then(|found| found.silent_seconds),
    }
}

fn describe(app: &App, found: Found) -> Health {
    let Found {
        slot,
        balance,
        stored,
        validators,
        down,
    } = found;
    let database = Part::of(&stored, "ok");
    let Stored {
        index,
        settler,
        alarms,
        reconciliation,
    } = stored.unwrap_or_else(|error| Stored {
        index: Err(error.clone()),
        settler: Err(error.clone()),
        alarms: Err(error.clone()),
        reconciliation: Err(error),
    });
    let newest = index.as_ref().ok().and_then(|status| status.processed_slot);
    let lag = match (&slot, newest) {
        (Ok(slot), Some(newest)) => Some(slot.saturating_sub(newest)),
        _ => None,
    };
    let gaps = index.as_ref().is_ok_and(|s| s.gaps_open.unwrap_or(0) > 0);
    let (index, settler) = (indexed(index, lag), settled(settler, &reconciliation));
    let feed = app.hub.is_connected();
    let (validators, payer) = (fleet(app, validators), fee_payer(app, balance));
    let calm = alarms.as_ref().is_ok_and(Vec::is_empty);
    let reconciliation = reconciliation.ok().flatten();
    let degraded = index.part.state != "ok"
        || matches!(settler.part.state, "stale" | "waiting")
        || !feed
        || validators.announced == 0
        || gaps
        || !calm
        || reconciliation.as_ref().is_some_and(|found| !found.ok)
        || payer.part.state == "low"
        || slot.is_err()
        || database.error.is_some();
    Health {
        object: "health",
        status: match (down, degraded) {
            (true, _) => "down",
            (false, true) => "degraded",
            (false, false) => "ok",
        },
        index_lag_slots: lag,
        components: Components {
            chain: ChainState {
                part: Part::of(&slot, "ok"),
                slot: slot.ok(),
            },
            database,
            index,
            settler,
            alarms: AlarmsState {
                part: Part::of(&alarms, if calm { "ok" } else { "raised" }),
                kinds: alarms.unwrap_or_default(),
            },
            feed: FeedState {
                state: if feed { "ok" } else { "down" },
                newest: app.hub.newest(),
                subscribers: app.hub.subscribers(),
            },
            validators,
            fee_payer: payer,
            requests: RequestsState {
                state: "ok",
                running: app.jobs.runs.len(),
            },
        },
        reconciliation,
        uptime_seconds: app.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// How all is; what was found less than `LIFE` ago is found again.
pub(super) async fn found(app: &App) -> Arc<Health> {
    let mut last = app.edge.probe.last.lock().await;
    match &*last {
        Some((at, health)) if at.elapsed() < LIFE => health.clone(),
        _ => {
            let health = Arc::new(describe(app, look(app).await));
            *last = Some((Instant::now(), health.clone()));
            health
        }
    }
}

/// Components, index lag in slots, open alarms by kind, reconciliation. 200 while requests can be served, else 503.
#[utoipa::path(get, path = "/health", tag = "operation",
    responses((status = 200, description = "ok or degraded", body = Health),
              (status = 503, description = "down: chain or database have been away for 15 s", body = Health)))]
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let health = found(&app).await;
    match health.status {
        "down" => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "5")],
            Json(health.as_ref()),
        )
            .into_response(),
        _ => Json(health.as_ref()).into_response(),
    }
}

/// The process answers: restart it when this does not.
#[utoipa::path(get, path = "/livez", tag = "operation", responses((status = 200, description = "It answers", body = Probed)))]
pub async fn live() -> Json<Probed> {
    Json(Probed { status: "live" })
}

/// Requests can be sent here: chain and database answered within 15 s, and the gateway is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, description = "Ready", body = Probed),
              (status = 503, description = "gateway_stopping, chain_unavailable, database_unavailable", body = crate::error::ErrorBody)))]
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Probed>, ApiError> {
    if app.edge.life.unready.is_cancelled() {
        return Err(stopping());
    }
    let probe = &app.edge.probe;
    let fresh = |part: &Mutex<Option<Instant>>| part.lock().is_some_and(|at| at.elapsed() < LIFE);
    if fresh(&probe.chain) && fresh(&probe.database) {
        return Ok(Json(Probed { status: "ready" }));
    }
    // One looks; the others wait for what it finds, and show it for as long as `/health` shows its own.
    let mut looked = probe.looked.lock().await;
    if looked.is_none_or(|at| at.elapsed() >= LIFE) {
        let (slot, database) = tokio::join!(slot(&app), within(store::answers(&app.pool)));
        Probe::well(&probe.chain, &slot);
        Probe::well(&probe.database, &database);
        *looked = Some(Instant::now());
    }
    let away = |code, what| {
        let message = format!("{what} has not answered for 15 s");
        Err(ApiError::unavailable(code, message))
    };
    match (
        Probe::is_well(&probe.chain),
        Probe::is_well(&probe.database),
    ) {
        (false, _) => away("chain_unavailable", "the chain's RPC"),
        (_, false) => away("database_unavailable", "the database"),
        (true, true) => Ok(Json(Probed { status: "ready" })),
    }
}
