//! The node's endpoints.
//!
//! | route | who |
//! |---|---|
//! | `GET /health /v1/models` | anyone |
//! | `GET /stats /metrics` | this machine, or the bearer token of `status_token_file` |
//! | `POST /v1/inference` | anyone who pays: a co-signed job |
//! | `POST /v1/chat/completions` | this machine, or signed by operator or authority: unbilled |
//! | `GET /v1/jobs/:id/evidence` | signed by the job's owner, requester or canceller, or by a validator that can judge the result |
//! | `GET /v1/jobs/:id/residuals`, `…/:layer` | signed by a validator that can judge the result |
//!
//! - [`paid`], [`free`]: answers; [`evidence`]: proofs; [`residuals`]: rows between layers; [`status`]: what the node says of itself
//! - [`local`]: who is on this machine

pub mod evidence;
pub mod free;
pub mod local;
pub mod paid;
mod problem;
pub mod residuals;
pub mod status;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use mythic_chat::problem;
use mythic_http::{Trace, guard::LocalOnly};
use mythic_trace::{Span, names};
use mythic_wire::MAX_BODY;
use tracing::Instrument;

use crate::node::Node;

/// The router of all endpoints.
pub fn router(node: Arc<Node>) -> Router {
    let local = node.config.allow_loopback && node.origin.is_loopback();
    let router = Router::new()
        .route("/health", get(status::health))
        .route("/stats", get(status::stats))
        .route("/metrics", get(status::metrics))
        .route("/v1/models", get(status::models))
        .route("/v1/inference", post(paid::inference))
        .route("/v1/chat/completions", post(free::chat))
        .route("/v1/jobs/{id}/evidence", get(evidence::evidence))
        .route("/v1/jobs/{id}/residuals", get(residuals::digests))
        .route("/v1/jobs/{id}/residuals/{layer}", get(residuals::rows))
        .fallback(|| async { problem(404, "invalid_request_error", "not_found", "no such route") })
        .method_not_allowed_fallback(|| async {
            problem(
                405,
                "invalid_request_error",
                "method_not_allowed",
                "this route takes another method",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(log))
        .with_state(node);
    // A development network is for this machine: pages of others reach it through a browser or a proxy.
    match local {
        true => router.layer(LocalOnly),
        false => router,
    }
}

/// One span and one line for each request: under what it is logged elsewhere, method, path, status, time to the first byte. What
/// begins within a request, as a paid job does, is logged within its span.
async fn log(mut trace: Trace, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = std::time::Instant::now();
    // Only what asks for work, at a path that there is.
    let work = match path.as_str() {
        "/v1/inference" | "/v1/chat/completions" if mythic_trace::is_on() => {
            let work = trace.begin(format!("{method} {path}"));
            work.word(names::METHOD, method.as_str())
                .word(names::ROUTE, &path)
                .word(names::REQUEST_ID, trace.id.as_str());
            work
        }
        _ => Span::default(),
    };
    let span = tracing::info_span!(
        "request",
        id = trace.id.as_str(),
        traceparent = trace.parent(),
        trace = work.trace_id()
    );
    request.extensions_mut().insert(trace);
    let response = next.run(request).instrument(span.clone()).await;
    let _entered = span.entered();
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    work.number(names::STATUS, status);
    if status >= 500 {
        work.failed(&status.to_string());
    }
    match path.as_str() {
        // Asked every few seconds by whoever watches the node.
        "/health" | "/stats" | "/metrics" => {
            tracing::debug!(%method, path, status, millis, "request");
        }
        _ => tracing::info!(%method, path, status, millis, "request"),
    }
    response
}
