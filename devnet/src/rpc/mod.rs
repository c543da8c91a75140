//! JSON-RPC over HTTP and WebSocket: the subset of Solana's that clients need, and `mythic_*`.

mod accounts;
mod encode;
mod error;
mod methods;
mod mythic;
mod params;
mod transactions;
mod ws;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;

use crate::config::DevnetConfig;
use crate::node::Node;
use error::RpcError;
use params::Params;

/// Largest request body in bytes.
const MAX_BODY: usize = 256 * 1024;
/// Most calls in one batch.
const MAX_BATCH: usize = 100;
/// How long open requests may take once the chain stops.
const DRAIN: Duration = Duration::from_secs(3);

/// The two ports, bound and not yet served.
pub struct Servers {
    rpc: TcpListener,
    ws: TcpListener,
    rpc_addr: SocketAddr,
    ws_addr: SocketAddr,
}

impl Servers {
    /// Binds the ports of the configuration (port 0 = any free one).
    pub async fn bind(config: &DevnetConfig) -> anyhow::Result<Self> {
        let rpc = listen("rpc_addr", config.rpc_addr).await?;
        let ws = listen("ws_addr", config.ws_addr).await?;
        Ok(Self {
            rpc_addr: rpc.local_addr()?,
            ws_addr: ws.local_addr()?,
            rpc,
            ws,
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
        let http = Router::new()
            .route("/", post(rpc))
            .route("/health", get(|| async { "ok" }))
            .route("/metrics", get(metrics))
            .layer(CorsLayer::permissive())
            .with_state(node.clone());
        let sockets = ws::router(node, stop.clone());
        let http =
            axum::serve(self.rpc, http).with_graceful_shutdown(stop.clone().cancelled_owned());
        let sockets =
            axum::serve(self.ws, sockets).with_graceful_shutdown(stop.clone().cancelled_owned());
        let both = async {
            tokio::try_join!(http.into_future(), sockets.into_future())
                .map(|_| ())
                .context("serving RPC")
        };
        tokio::select! {
            served = both => served,
            () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
        }
    }
}

async fn listen(key: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("{key} = {addr}: can't listen there (in use? choose another port)")
    })
}

async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let text = node.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn rpc(State(node): State<Arc<Node>>, body: Body) -> Response {
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        let error = RpcError::invalid_request(format!("the body is larger than {MAX_BODY} bytes"));
        return json_response(StatusCode::PAYLOAD_TOO_LARGE, &error.response(Value::Null));
    };
    let answered = tokio::task::spawn_blocking(move || answer(&node, &bytes)).await;
    match answered {
        Ok(Some(value)) => json_response(StatusCode::OK, &value),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(%error, "a request broke");
            let error = RpcError::internal("the request could not be answered".into());
            json_response(StatusCode::OK, &error.response(Value::Null))
        }
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, value.to_string()).into_response()
}

/// Answers a single call or a batch; none if nothing is to be answered.
fn answer(node: &Node, bytes: &[u8]) -> Option<Value> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Array(calls)) if calls.is_empty() || calls.len() > MAX_BATCH => Some(
            RpcError::invalid_request(format!("a batch has 1 to {MAX_BATCH} calls"))
                .response(Value::Null),
        ),
        Ok(Value::Array(calls)) => {
            let answers: Vec<_> = calls
                .into_iter()
                .filter_map(|call| answer_one(node, call))
                .collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(call) => answer_one(node, call),
        Err(error) => Some(RpcError::parse(error.to_string()).response(Value::Null)),
    }
}

fn answer_one(node: &Node, call: Value) -> Option<Value> {
    node.metrics.requests.inc();
    let (id, result) = match Call::read(call) {
        Ok(call) => (
            call.id?,
            methods::call(node, &call.method, Params(call.params)),
        ),
        Err(error) => (Value::Null, Err(error)),
    };
    Some(match result {
        Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
        Err(error) => {
            node.metrics.request_errors.inc();
            error.response(id)
        }
    })
}

/// One JSON-RPC call; without an id nobody waits for an answer.
struct Call {
    id: Option<Value>,
    method: String,
    params: Vec<Value>,
}

impl Call {
    fn read(call: Value) -> Result<Self, RpcError> {
        let Value::Object(mut call) = call else {
            return Err(RpcError::invalid_request("a call is an object".into()));
        };
        let Some(Value::String(method)) = call.remove("method") else {
            return Err(RpcError::invalid_request(
                "method: a string is needed".into(),
            ));
        };
        let params = match call.remove("params") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(params)) => params,
            Some(_) => {
                return Err(RpcError::invalid_request(
                    "params: an array is needed".into(),
                ));
            }
        };
        Ok(Self {
            id: call.remove("id"),
            method,
            params,
        })
    }
}
