//! Plain pages: the network, jobs, one job, one validator, one case. Static files, filled by the browser from this API; nothing
//! comes from elsewhere.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    error::ApiError,
    routes::{jobs::parse_job, lists::address},
};

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

/// The page of the list of jobs; the script reads from the address which.
pub async fn jobs() -> Response {
    file(HTML, include_str!("../../static/jobs.html"))
}

/// The page of a validator, by its authority or account.
pub async fn validator(Path(id): Path<String>) -> Response {
    of_address(&id, include_str!("../../static/validator.html"))
}

/// The page of a case.
pub async fn case(Path(id): Path<String>) -> Response {
    of_address(&id, include_str!("../../static/case.html"))
}

fn of_address(id: &str, page: &'static str) -> Response {
    match address("id", Some(id)) {
        Ok(_) => file(HTML, page),
        Err(_) => missing(),
    }
}

/// The page of an address that has none.
pub fn missing() -> Response {
    let mut page = file(HTML, include_str!("../../static/missing.html"));
    *page.status_mut() = StatusCode::NOT_FOUND;
    page
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
/// What the pages are made of: name, type, text.
const PARTS: [(&str, &str, &str); 8] = [
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("../../static/style.css"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../../static/icon.svg"),
    ),
    ("page.js", SCRIPT, include_str!("../../static/page.js")),
    (
        "network.js",
        SCRIPT,
        include_str!("../../static/network.js"),
    ),
    ("jobs.js", SCRIPT, include_str!("../../static/jobs.js")),
    ("job.js", SCRIPT, include_str!("../../static/job.js")),
    (
        "validator.js",
        SCRIPT,
        include_str!("../../static/validator.js"),
    ),
    ("case.js", SCRIPT, include_str!("../../static/case.js")),
];

/// A part of the pages.
pub async fn part(Path(name): Path<String>) -> Response {
    match PARTS.iter().find(|(part, ..)| *part == name) {
        Some((_, kind, text)) => file(kind, text),
        None => {
            ApiError::not_found("unknown_route", format!("no file /static/{name}")).into_response()
        }
    }
}
