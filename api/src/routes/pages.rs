//! Pages for people: one document, and the files that fill it from this API. `build.rs` embeds what `scripts/dashboard.sh` built.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    error::ApiError,
    routes::{jobs::parse_job, lists::address},
};

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Pages that are about no account.
pub const PLAIN: [&str; 11] = [
    "/",
    "/jobs",
    "/cases",
    "/disputes",
    "/validators",
    "/market",
    "/leases",
    "/providers",
    "/requests",
    "/economics",
    "/status",
];
/// Pages of an account. `disputes` is the older name of cases.
pub const OF_ACCOUNTS: [&str; 6] = [
    "/cases/{id}",
    "/validators/{id}",
    "/leases/{id}",
    "/requests/{id}",
    "/providers/{id}",
    "/disputes/{id}",
];

/// Scripts and styles only from here. Data from this gateway, and from the chain's RPC that a reader names to check an answer against.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self' https: http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn file(kind: &'static str, cached: &'static str, bytes: &'static [u8]) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, cached),
        ],
        bytes,
    )
        .into_response()
}

fn document(status: StatusCode) -> Response {
    let mut page = file("text/html; charset=utf-8", "no-cache", INDEX.as_bytes());
    *page.status_mut() = status;
    page
}

/// A page whose script reads from the address what to show.
pub async fn plain() -> Response {
    document(StatusCode::OK)
}

/// The subject in an address; none where it is no text.
type Subject = Result<Path<String>, PathRejection>;

fn of(subject: Subject, is_one: impl Fn(&str) -> bool) -> Response {
    match subject {
        Ok(Path(id)) if is_one(&id) => document(StatusCode::OK),
        _ => missing(),
    }
}

/// The page of a job, also by the id of an answer.
pub async fn job(subject: Subject) -> Response {
    of(subject, |id| parse_job(id).is_ok())
}

/// The page of an account.
pub async fn account(subject: Subject) -> Response {
    of(subject, |id| address("id", Some(id)).is_ok())
}

/// The page of an address that has none.
pub fn missing() -> Response {
    document(StatusCode::NOT_FOUND)
}

/// The type of a part by the end of its name.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A part that is named `name.hash.js` never changes under its name.
fn cached(name: &str) -> &'static str {
    match name.split('.').count() {
        3 => "public, max-age=31536000, immutable",
        _ => "no-cache",
    }
}

/// A part of the pages: one that was embedded, whatever the address says.
pub async fn part(name: Subject) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    match PARTS.iter().find(|(part, _)| *part == name) {
        Some((part, bytes)) => file(kind(part), cached(part), bytes),
        None => ApiError::not_found(
            "unknown_route",
            "no such file; after an update of the gateway load the page again",
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        assert!(cached("index.Bx3-9_kq.js").contains("immutable"));
        assert_eq!(cached("icon.svg"), "no-cache");
        assert_eq!(kind("index.Bx3-9_kq.css"), "text/css; charset=utf-8");
        assert_eq!(kind("strange"), "application/octet-stream");
    }
}
