//! Refusals as OpenAI's clients read them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mythic_engine::EngineError;
use mythic_wire::ErrorBody;

/// An error as OpenAI's clients read it.
pub fn problem(status: u16, kind: &str, code: &str, message: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(ErrorBody::new(kind, code, message))).into_response();
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// Why an engine did not take a request.
pub fn not_generated(error: &EngineError) -> Response {
    let (status, kind, code) = match error {
        EngineError::Busy { .. } => (503, "server_error", "capacity"),
        EngineError::ContextExceeded { .. } => {
            (400, "invalid_request_error", "context_length_exceeded")
        }
        EngineError::Stopped => (503, "server_error", "unavailable"),
        _ => (400, "invalid_request_error", "invalid_request"),
    };
    problem(status, kind, code, error.to_string())
}
