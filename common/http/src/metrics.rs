//! The small server beside a process without an API of its own: `/metrics` for Prometheus, `/health` for people and probes.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router, extract::State, http::StatusCode, response::IntoResponse, response::Response,
    routing::get,
};
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{guard::LocalOnly, limits::Limits};

/// Connections in all, and from one address: Prometheus and a probe hold one each.
const CONNECTIONS: (usize, usize) = (64, 32);

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

/// Serves `registry` and what `health` says on `addr` until `stop`. Returns the address that was bound; on loopback it answers
/// this machine alone ([`LocalOnly`]).
pub async fn serve(
    addr: SocketAddr,
    registry: Registry,
    health: impl Fn() -> Health + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let mut router = router(registry, Arc::new(health));
    if bound.ip().is_loopback() {
        router = router.layer(LocalOnly);
    }
    tokio::spawn(async move {
        if let Err(error) = crate::serve(listener, router, limits(), stop).await {
            tracing::error!("metrics server: {error}");
        }
    });
    Ok(bound)
}

fn limits() -> Limits {
    Limits {
        connections: CONNECTIONS.0,
        connections_per_address: CONNECTIONS.1,
        drain_seconds: 1,
        ..Limits::default()
    }
}

fn router(registry: Registry, health: Ask) -> Router {
    let health = Router::new()
        .route("/health", get(healthy))
        .with_state(health);
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(registry)
        .merge(health)
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
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    fn well() -> Health {
        Health {
            ok: true,
            detail: json!({}),
        }
    }

    /// Everything until the server closes; `None` if it does not.
    async fn rest(stream: &mut TcpStream) -> Option<String> {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        read.ok()
            .map(|_| String::from_utf8_lossy(&bytes).into_owned())
    }

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
        let client = crate::client::builder().build().unwrap();
        let get = async |path: &str, host: &str| {
            let request = client.get(format!("http://{addr}{path}"));
            let response = request.header("host", host).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert!(
            get("/metrics", "localhost")
                .await
                .1
                .contains("things_total 3")
        );
        let (status, body) = get("/health", "127.0.0.1").await;
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"slot":7,"status":"ok"}"#)
        );
        good.store(false, Ordering::Relaxed);
        assert_eq!(get("/health", "127.0.0.1").await.0, 503);
        assert_eq!(get("/metrics", "rebound.example").await.0, 403);
        stop.cancel();
    }

    #[tokio::test]
    async fn a_slow_loris_on_the_metrics_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let limits = Limits {
            header_seconds: 1,
            idle_seconds: 1,
            ..limits()
        };
        let router = router(Registry::new(), Arc::new(well));
        tokio::spawn(crate::serve(
            listener,
            router,
            limits,
            CancellationToken::new(),
        ));
        let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
        let drip = tokio::spawn(async move {
            let head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter();
            for byte in head.chain(std::iter::repeat(&b'a')) {
                if write.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut told = Vec::new();
        let ended = read.read_to_end(&mut told);
        let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
        assert!(ended.is_ok(), "the connection stays open");
        assert!(told.starts_with(b"HTTP/1.1 408 "));
        drip.abort();
        let mut silent = TcpStream::connect(addr).await.unwrap();
        assert!(rest(&mut silent).await.is_some(), "silence stays open");
    }

    #[tokio::test]
    async fn idle_connections_to_the_metrics_are_bounded() {
        let local = ([127, 0, 0, 1], 0).into();
        let addr = serve(local, Registry::new(), well, CancellationToken::new())
            .await
            .unwrap();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS.1 {
            held.push(TcpStream::connect(addr).await.unwrap());
        }
        for _ in 0..3 {
            let mut over = TcpStream::connect(addr).await.unwrap();
            let told = rest(&mut over).await.expect("it stays open");
            assert!(told.starts_with("HTTP/1.1 429 "), "{told}");
        }
    }
}
