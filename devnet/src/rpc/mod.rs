//! JSON-RPC over HTTP and WebSocket: Solana's, as far as one node can answer it, and `mythic_*`.

mod accounts;
mod blocks;
mod call;
mod cluster;
mod encode;
mod error;
mod methods;
mod mythic;
mod params;
mod tokens;
mod transactions;
mod ws;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mythic_http::Limits;
use mythic_http::guard::{LocalOnly, is_local_origin};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::DevnetConfig;
use crate::follow::serve::{Leading, follow};
use crate::follow::wire::{PATH, Secret};
use crate::node::Node;
use error::RpcError;

/// Largest request body in bytes.
const MAX_BODY: usize = 256 * 1024;
/// Requests that are answered at the same time, so that their answers' memory has an end.
const ANSWERED_AT_ONCE: usize = 16;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// The two ports, bound and not yet served.
pub struct Servers {
    rpc: TcpListener,
    ws: TcpListener,
    rpc_addr: SocketAddr,
    ws_addr: SocketAddr,
    /// Of those that may follow.
    secret: Option<Secret>,
    limits: Limits,
}

impl Servers {
    /// Binds the ports of the configuration (port 0 = any free one).
    pub async fn bind(config: &DevnetConfig) -> anyhow::Result<Self> {
        let secret = config.follow_secret_file.as_deref();
        let secret = secret.filter(|_| config.follow.is_none());
        let secret = secret.map(Secret::read).transpose()?;
        let rpc = listen("rpc_addr", config.rpc_addr).await?;
        let ws = listen("ws_addr", config.ws_addr).await?;
        Ok(Self {
            rpc_addr: rpc.local_addr()?,
            ws_addr: ws.local_addr()?,
            rpc,
            ws,
            secret,
            limits: config.limits.clone(),
        })
    }

    /// Address of the HTTP port.
    pub fn rpc_addr(&self) -> SocketAddr {
        self.rpc_addr
    }

    /// Address of the WebSocket port.
    pub fn ws_addr(&self) -> SocketAddr {
        self.ws_addr
    }

    /// Serves both ports until the token is cancelled.
    pub async fn serve(self, node: Arc<Node>, stop: CancellationToken) -> anyhow::Result<()> {
        node.served_at(self.rpc_addr, self.ws_addr);
        let shared = Shared {
            node: node.clone(),
            turns: Arc::new(Semaphore::new(ANSWERED_AT_ONCE)),
        };
        let http = Router::new()
            .route("/", post(rpc))
            .route("/health", get(health))
            .route("/metrics", get(metrics))
            .with_state(shared);
        let http = match self.secret {
            Some(secret) => {
                let leading = Leading::new(node.clone(), secret);
                http.merge(Router::new().route(PATH, post(follow)).with_state(leading))
            }
            None => http,
        };
        let http = http.layer(cors()).layer(LocalOnly);
        let sockets = ws::router(node, stop.clone()).layer(LocalOnly);
        let http = mythic_http::serve(self.rpc, http, self.limits.clone(), stop.clone());
        let sockets = mythic_http::serve(self.ws, sockets, self.limits, stop);
        tokio::try_join!(http, sockets)
            .map(|_| ())
            .context("serving RPC")
    }
}

async fn listen(key: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("{key} = {addr}: can't listen there (in use? choose another port)")
    })
}

/// Lets pages of this machine, on whatever port they are developed, read the answers.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|origin, _| {
            origin.to_str().is_ok_and(is_local_origin)
        }))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::CONTENT_TYPE,
            // What @solana/web3.js and @solana/kit send.
            header::HeaderName::from_static("solana-client"),
        ])
}

#[derive(Clone)]
struct Shared {
    node: Arc<Node>,
    turns: Arc<Semaphore>,
}

async fn health(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.node.is_healthy() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let text = shared.node.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn rpc(State(shared): State<Shared>, headers: HeaderMap, body: Body) -> Response {
    let refused = |status, error: RpcError| json_response(status, error.response(Value::Null));
    // A page can send other types to any port without asking first.
    if !is_json(&headers) {
        let text = "Content-Type: application/json is needed";
        let error = RpcError::invalid_request(text.into());
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    }
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        let text = format!("the body is larger than {MAX_BODY} bytes, or did not come whole");
        let error = RpcError::invalid_request(text);
        return refused(StatusCode::PAYLOAD_TOO_LARGE, error);
    };
    let turn = tokio::time::timeout(TURN, shared.turns.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let error = RpcError::internal("too many requests are being answered; try again".into());
        return refused(StatusCode::SERVICE_UNAVAILABLE, error);
    };
    let answered = tokio::task::spawn_blocking(move || {
        let node = &shared.node;
        let answer = call::answer(&bytes, &node.metrics, |method, params| {
            methods::call(node, method, params)
        });
        drop(turn);
        answer
    })
    .await;
    match answered {
        Ok(Some(text)) => json_response(StatusCode::OK, text),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(%error, "a request broke");
            let error = RpcError::internal("the request could not be answered".into());
            json_response(StatusCode::OK, error.response(Value::Null))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn json_response(status: StatusCode, text: impl ToString) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, text.to_string()).into_response()
}
