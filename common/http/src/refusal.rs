//! Refusals that come from HTTP itself, in the shape that all errors have: `{"error":{message,type,param,code}}`.

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};

use crate::request_id::{HEADER, RequestId};

/// JSON body of an error.
pub fn body(status: StatusCode, code: &str, message: &str) -> String {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    serde_json::json!({
        "error": { "message": message, "type": kind, "param": null, "code": code }
    })
    .to_string()
}

/// A response with that body.
pub fn response(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body(status, code, message)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// The bytes of a whole response after which the connection is closed; for connections that hyper does not serve (yet, or any more).
pub(crate) fn last_words(status: StatusCode, code: &str, message: &str) -> Vec<u8> {
    let body = body(status, code, message);
    let retry = match status.as_u16() {
        429 | 503 => "retry-after: 1\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{retry}connection: close\r\n{HEADER}: {}\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
        RequestId::random().as_str(),
    )
    .into_bytes()
}
