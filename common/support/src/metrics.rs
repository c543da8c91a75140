//! The small server beside a process without an API of its own: `/metrics` for Prometheus, `/health` for people and probes.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router, extract::State, http::StatusCode, response::IntoResponse, response::Response,
    routing::get,
};
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// How a process is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// It does its work. `/health` answers 200, otherwise 503.
    pub ok: bool,
    /// What else there is to say, as a JSON object.
    pub detail: Value,
}

/// Why the server can't be had.
#[derive(Debug, thiserror::Error)]
#[error("metrics_addr = {addr}: {source}: name another address, or none")]
pub struct ListenError {
    addr: SocketAddr,
    source: std::io::Error,
}

type Ask = Arc<dyn Fn() -> Health + Send + Sync>;

/// Serves `registry` and what `health` says on `addr` until `stop`. Returns the address that was bound.
pub async fn serve(
    addr: SocketAddr,
    registry: Registry,
    health: impl Fn() -> Health + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError { addr, source };
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let health: Ask = Arc::new(health);
    let app = Router::new()
        .route("/metrics", get(metrics))
        .with_state(registry)
        .merge(
            Router::new()
                .route("/health", get(healthy))
                .with_state(health),
        );
    tokio::spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!("metrics server: {error}");
        }
    });
    Ok(bound)
}

async fn metrics(State(registry): State<Registry>) -> Response {
    let mut out = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut out) {
        Ok(()) => out.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn healthy(State(ask): State<Ask>) -> Response {
    let Health { ok, mut detail } = ask();
    if let Some(object) = detail.as_object_mut() {
        let word = if ok { "ok" } else { "waiting" };
        object.insert("status".into(), word.into());
    }
    let status = match ok {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(detail)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn metrics_are_text_and_health_is_a_status_with_its_reason() {
        let registry = Registry::new();
        let count = prometheus::IntCounter::new("things_total", "Things").unwrap();
        registry.register(Box::new(count.clone())).unwrap();
        count.inc_by(3);
        let good = Arc::new(AtomicBool::new(true));
        let asked = good.clone();
        let health = move || Health {
            ok: asked.load(Ordering::Relaxed),
            detail: json!({"slot": 7}),
        };
        let stop = CancellationToken::new();
        let addr = serve(([127, 0, 0, 1], 0).into(), registry, health, stop.clone())
            .await
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let response = client.get(format!("http://{addr}{path}")).send().await;
            let response = response.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert!(get("/metrics").await.1.contains("things_total 3"));
        let (status, body) = get("/health").await;
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"slot":7,"status":"ok"}"#)
        );
        good.store(false, Ordering::Relaxed);
        assert_eq!(get("/health").await.0, 503);
        stop.cancel();
    }
}
