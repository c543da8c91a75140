//! Two plain pages: the network, and one job. Static files, filled by the browser from this API; nothing comes from elsewhere.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{error::ApiError, routes::jobs::parse_job};

const HTML: &str = "text/html; charset=utf-8";
/// Scripts and styles only from here; data only from this gateway.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
    file(HTML, include_str!("../../static/network.html"))
}

/// The page of a job; the script reads the job's id from the address.
pub async fn job(Path(id): Path<String>) -> Response {
    match parse_job(&id) {
        Ok(_) => file(HTML, include_str!("../../static/job.html")),
        Err(_) => missing(),
    }
}

/// The page of an address that has none.
pub fn missing() -> Response {
    let mut page = file(HTML, include_str!("../../static/missing.html"));
    *page.status_mut() = StatusCode::NOT_FOUND;
    page
}

/// What the pages are made of.
pub async fn part(Path(name): Path<String>) -> Response {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    match name.as_str() {
        "style.css" => file(
            "text/css; charset=utf-8",
            include_str!("../../static/style.css"),
        ),
        "page.js" => file(SCRIPT, include_str!("../../static/page.js")),
        "network.js" => file(SCRIPT, include_str!("../../static/network.js")),
        "job.js" => file(SCRIPT, include_str!("../../static/job.js")),
        "icon.svg" => file("image/svg+xml", include_str!("../../static/icon.svg")),
        _ => {
            ApiError::not_found("unknown_route", format!("no file /static/{name}")).into_response()
        }
    }
}
