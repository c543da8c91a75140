//! HTTP manners shared by all routes: bounded bodies and parameters, who may call from where, request ids, the access log, panics.

pub mod address;
mod body;
mod edge;
mod fallback;
mod params;
pub mod probe;

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use mythic_http::{
    Trace,
    guard::{LocalOnly, is_local_origin},
};
use mythic_trace::{Span, names};
use tower::util::option_layer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer},
};

pub use body::{JsonBytes, SignedBody, unsigned};
pub use edge::{Asker, Edge, Life, stopping};
pub use fallback::page_or_hint;
pub use params::{PathParam, Query};

use crate::{app::App, config::GatewayConfig, error::ApiError};

/// The address that a request comes from, proxies that are trusted taken off.
#[derive(Debug, Clone, Copy)]
pub struct Caller(pub IpAddr);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        Ok(Self(address::client(
            &parts.extensions,
            &parts.headers,
            &app.config.trusted_networks(),
        )))
    }
}

/// Which pages may call. Where keys are not needed only pages of this machine may, whatever the configuration says.
fn origins(config: &GatewayConfig) -> AllowOrigin {
    if config.dev_account.is_some() {
        return AllowOrigin::predicate(|origin, _| origin.to_str().is_ok_and(is_local_origin));
    }
    if config.cors_origins.iter().any(|origin| origin == "*") {
        return AllowOrigin::any();
    }
    AllowOrigin::list(
        config
            .cors_origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok()),
    )
}

/// Adds to all routes what every response has.
pub fn dress(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(origins(&app.config))
        .allow_methods(AllowMethods::list([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ]))
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("x-mythic-job-id"),
            HeaderName::from_static("x-mythic-replayed"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-should-retry"),
            HeaderName::from_static("openai-processing-ms"),
            HeaderName::from_static("x-ratelimit-limit-requests"),
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderName::from_static("x-ratelimit-reset-requests"),
            header::RETRY_AFTER,
        ])
        .max_age(std::time::Duration::from_secs(3600));
    let guard = app.config.dev_account.is_some().then_some(LocalOnly);
    router
        .fallback(fallback::unknown_route)
        .method_not_allowed_fallback(fallback::wrong_method)
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                ApiError::internal("a handler panicked").into_response()
            },
        ))
        .layer(CompressionLayer::new().gzip(true))
        .layer(cors)
        .layer(option_layer(guard))
        .layer(middleware::from_fn_with_state(app.clone(), access))
        .with_state(app)
}

/// Begins a request's span where it asks for work; what only reads is much, and says little.
fn trace(trace: &mut Trace, method: &Method, route: &str) -> Span {
    if *method != Method::POST || !mythic_trace::is_on() {
        return Span::default();
    }
    let span = trace.begin(format!("{method} {route}"));
    span.word(names::METHOD, method.as_str())
        .word(names::ROUTE, route)
        .word(names::REQUEST_ID, trace.id.as_str());
    span
}

/// Gives every request its span and its line in the log, and counts it.
async fn access(
    State(app): State<Arc<App>>,
    mut traced: Trace,
    mut request: Request,
    next: Next,
) -> Response {
    // The server has given it one; a router that is called without it gives its own.
    let id = traced.id.clone();
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other".to_owned(), |path| path.as_str().to_owned());
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let work = trace(&mut traced, &method, &route);
    request.extensions_mut().insert(traced);
    let span = tracing::info_span!(
        "request",
        id = %id.as_str(),
        key = tracing::field::Empty,
        trace = work.trace_id()
    );
    let mut response = tracing::Instrument::instrument(next.run(request), span.clone()).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    app.metrics.request(&route, status, took);
    work.number(names::STATUS, status);
    if status >= 500 {
        work.failed(&status.to_string());
    }
    let headers = response.headers_mut();
    let job = headers
        .get("x-mythic-job-id")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-");
    let ms = took.as_millis();
    // Pages, probes and scrapes are many and say little.
    if matches!(
        route.as_str(),
        "/health" | "/livez" | "/readyz" | "/metrics" | "/static/{name}"
    ) {
        tracing::debug!(parent: &span, %method, route, status, ms, "served");
    } else {
        tracing::info!(parent: &span, %method, path, route, status, ms, job, "served");
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert("x-request-id", value);
    }
    if let Ok(value) = HeaderValue::from_str(&ms.to_string()) {
        headers.insert("openai-processing-ms", value);
    }
    response
}
