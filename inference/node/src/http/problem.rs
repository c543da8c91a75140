//! Refusals as OpenAI's clients read them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mythic_wire::ErrorBody;

use crate::{node::Node, serve::admit::Decline};

/// An error as OpenAI's clients read it.
pub(crate) fn problem(status: u16, kind: &str, code: &str, message: String) -> Response {
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

/// A refusal, counted.
pub(crate) fn declined(node: &Node, reason: &Decline) -> Response {
    node.jobs.refuse(reason);
    let (status, code) = reason.status();
    let kind = if status < 500 {
        "invalid_request_error"
    } else {
        "server_error"
    };
    problem(status, kind, code, reason.to_string())
}
