//! HTTP manners shared by all routes: extractors whose refusals have our error shape, request ids, CORS, panics.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer},
};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
};

/// A JSON body as bytes, within the limit; the handler parses it.
#[derive(Debug)]
pub struct JsonBytes(pub Bytes);

/// Any body within a limit, with what a signature covers.
#[derive(Debug)]
pub struct SignedBody {
    /// Who signed.
    pub signer: solana_pubkey::Pubkey,
    /// The body.
    pub body: Bytes,
}

/// Most of an oversized body that is read and thrown away, so that its sender gets to read the refusal.
const DRAIN_BYTES: usize = 16 << 20;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

async fn drain(request: Request) {
    let mut body = request.into_body().into_data_stream();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = body.next().await {
            bytes += chunk.len();
            if bytes > DRAIN_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

async fn read(request: Request, limit: usize) -> ApiResult<Bytes> {
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body is larger than {limit} bytes"),
        )
    };
    let stated = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    if stated.is_some_and(|length| length > limit as u64) {
        drain(request).await;
        return Err(too_large());
    }
    axum::body::to_bytes(request.into_body(), limit)
        .await
        .map_err(|error| {
            let mut source: Option<&dyn std::error::Error> = Some(&error);
            while let Some(inner) = source {
                if inner.to_string().contains("length limit exceeded") {
                    return too_large();
                }
                source = inner.source();
            }
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "body_broken",
                "the body broke off before it was whole",
            )
        })
}

impl FromRequest<Arc<App>> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> ApiResult<Self> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|value| {
                let kind = value
                    .split(';')
                    .next()
                    .unwrap_or("")
                    .trim()
                    .to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            });
        if !json {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send the body as content-type: application/json",
            ));
        }
        Ok(Self(read(request, app.config.limits.body_bytes).await?))
    }
}

impl FromRequest<Arc<App>> for SignedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &Arc<App>) -> ApiResult<Self> {
        let method = request.method().clone();
        let path = request
            .uri()
            .path_and_query()
            .map_or_else(|| "/".to_owned(), |path| path.to_string());
        let headers = request.headers().clone();
        let body = read(request, mythic_wire::MAX_BODY).await?;
        let signer = signer(&method, &path, &body, &headers)?;
        Ok(Self { signer, body })
    }
}

/// Who signed a request; 401 `invalid_signature` if nobody did.
pub fn signer(
    method: &Method,
    path: &str,
    body: &[u8],
    headers: &HeaderMap,
) -> ApiResult<solana_pubkey::Pubkey> {
    mythic_wire::verify(method.as_str(), path, body, headers).map_err(|error| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_signature",
            error.to_string(),
        )
    })
}

/// The query string as `T`; a refusal has our shape.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        axum::extract::Query::<T>::from_request_parts(parts, app)
            .await
            .map(|query| Self(query.0))
            .map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    error.body_text(),
                )
                .param("query")
            })
    }
}

/// The one path parameter.
#[derive(Debug)]
pub struct PathParam(pub String);

impl FromRequestParts<Arc<App>> for PathParam {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        axum::extract::Path::<String>::from_request_parts(parts, app)
            .await
            .map(|path| Self(path.0))
            .map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    error.body_text(),
                )
                .param("path")
            })
    }
}

/// Adds to all routes what every response has.
pub fn dress(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    let origins = if app.config.cors_origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            app.config
                .cors_origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    let cors = CorsLayer::new()
        .allow_origin(origins)
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
            header::RETRY_AFTER,
        ])
        .max_age(std::time::Duration::from_secs(3600));
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                ApiError::internal("a handler panicked").into_response()
            },
        ))
        .layer(cors)
        .layer(middleware::from_fn_with_state(app.clone(), request_id))
        .with_state(app)
}

async fn unknown_route(request: Request) -> ApiError {
    let path = request.uri().path();
    let message = match path {
        "/v1/responses" => {
            "the Responses API is not offered; POST /v1/chat/completions works".to_owned()
        }
        "/v1/completions" => {
            "text completions are not offered; POST /v1/chat/completions or /v1/inference work"
                .to_owned()
        }
        path if path.starts_with("/chat/") => {
            "the base URL of this API ends in /v1: POST /v1/chat/completions".to_owned()
        }
        _ => "no such route; GET /openapi.json lists all".to_owned(),
    };
    ApiError::not_found("unknown_route", message)
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!(
            "{} is not offered here; GET /openapi.json lists what is",
            request.method()
        ),
    )
}

async fn request_id(
    axum::extract::State(app): axum::extract::State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let id = format!("req_{}", uuid::Uuid::new_v4().simple());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or("other".to_owned(), |path| path.as_str().to_owned());
    let started = std::time::Instant::now();
    let span = tracing::info_span!("request", %id, %method, path = %request.uri().path());
    let mut response = tracing::Instrument::instrument(next.run(request), span).await;
    app.metrics
        .request(&route, response.status().as_u16(), started.elapsed());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
