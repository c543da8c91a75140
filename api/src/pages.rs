//! Two plain pages: the network, and one job. Static files, filled by the browser from this API.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// Scripts and styles only from here; data only from this gateway.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        text,
    )
        .into_response()
}

/// The page of the network.
pub async fn network() -> Response {
    file(
        "text/html; charset=utf-8",
        include_str!("../static/network.html"),
    )
}

/// The page of a job; the script reads the job's id from the address.
pub async fn job() -> Response {
    file(
        "text/html; charset=utf-8",
        include_str!("../static/job.html"),
    )
}

/// Style of both.
pub async fn style() -> Response {
    file(
        "text/css; charset=utf-8",
        include_str!("../static/style.css"),
    )
}

/// Script of both.
pub async fn script() -> Response {
    file(
        "text/javascript; charset=utf-8",
        include_str!("../static/page.js"),
    )
}
