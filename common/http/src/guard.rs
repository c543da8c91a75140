//! Keeps servers that ask for no key (development networks, metrics on loopback) away from web pages and from other machines.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    http::{HeaderMap, Request, Response, StatusCode, Uri, header},
};
use futures::future::{Either, Ready, ready};
use tower::{Layer, Service};

use crate::refusal;

/// Headers that a reverse proxy adds: with one, the request does not come from this machine.
const FORWARDED: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// A layer that answers 403 to whatever does not look like this machine speaking to itself:
/// - `Host` (or the host of an absolute address) must be `127.0.0.1`, `localhost` or `[::1]`, with any port;
/// - `Origin`, if there is one, must be an http or https origin on such a host;
/// - a request that a browser makes for a page of another site passes only if it opens a page;
/// - headers of a proxy are refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalOnly;

impl<S> Layer<S> for LocalOnly {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner }
    }
}

/// A service behind [`LocalOnly`].
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match foreign(&request) {
            None => Either::Left(self.inner.call(request)),
            Some((code, message)) => Either::Right(ready(Ok(refusal::response(
                StatusCode::FORBIDDEN,
                code,
                &message,
            )))),
        }
    }
}

/// Whether a host without its port is this machine.
fn is_local(host: &str) -> bool {
    matches!(
        host.to_ascii_lowercase().as_str(),
        "localhost" | "127.0.0.1" | "[::1]"
    )
}

/// The host of an authority `host[:port]` if its port is one and there is no userinfo.
fn host_of(authority: &str) -> Option<&str> {
    if authority.contains('@') {
        return None;
    }
    let end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']')? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end)?;
    let valid = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok());
    valid.then_some(host)
}

/// Origin of the wallet's unpacked build (`clients/extension/wxt.config.ts` has the key that it follows from). It is let in as the pages of this
/// machine are: to what needs a key it has to show one.
const WALLET: &str = "chrome-extension://impaicdpliecjpibppgeibmpehabgkdg";

/// Whether the value of an `Origin` header is a page on this machine.
pub fn is_local_origin(origin: &str) -> bool {
    if origin == WALLET {
        return true;
    }
    origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
        .and_then(host_of)
        .is_some_and(is_local)
}

/// Whether the host of `url` is this machine: then no other one can reach what is offered there.
pub fn is_local_url(url: &str) -> bool {
    url.parse::<Uri>()
        .ok()
        .and_then(|uri| uri.authority().map(|authority| authority.to_string()))
        .is_some_and(|authority| host_of(&authority).is_some_and(is_local))
}

fn all(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .map(|value| value.to_str().unwrap_or("?"))
}

/// Why a request does not come from this machine, if it does not.
fn foreign<B>(request: &Request<B>) -> Option<(&'static str, String)> {
    let headers = request.headers();
    if let Some(name) = FORWARDED.iter().find(|name| headers.contains_key(**name)) {
        return Some((
            "forwarded",
            format!(
                "this server answers its own machine alone, and {name} says that the request was passed on"
            ),
        ));
    }
    let absolute = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let mut hosts = all(headers, header::HOST).chain(absolute);
    if let Some(host) = hosts.find(|host| !host_of(host).is_some_and(is_local)) {
        return Some((
            "foreign_host",
            format!(
                "this server answers under 127.0.0.1, localhost and [::1] alone, not under {host:?}"
            ),
        ));
    }
    if let Some(origin) = all(headers, header::ORIGIN).find(|origin| !is_local_origin(origin)) {
        return Some((
            "foreign_origin",
            format!("this server does not answer pages of {origin:?}, only those of this machine"),
        ));
    }
    let is = |name: &str, word: &str| headers.get(name).is_some_and(|value| value == word);
    if is("sec-fetch-site", "cross-site") && !is("sec-fetch-mode", "navigate") {
        return Some((
            "foreign_origin",
            "this server does not answer pages of other sites".into(),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().uri("/v1/jobs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        foreign(&request.body(()).unwrap()).map(|(code, _)| code)
    }

    #[test]
    fn this_machine_passes() {
        for host in [
            "127.0.0.1:4002",
            "localhost",
            "LOCALHOST:1",
            "[::1]:4002",
            "[::1]",
        ] {
            assert_eq!(code(&[("host", host)]), None, "{host}");
        }
        let page = [
            ("host", "localhost:4002"),
            ("origin", "http://localhost:5173"),
        ];
        assert_eq!(code(&page), None);
        // As Chromium sends what the wallet asks.
        let wallet = [
            ("host", "127.0.0.1:4002"),
            ("origin", WALLET),
            ("sec-fetch-site", "none"),
        ];
        assert_eq!(code(&wallet), None);
        let opened = [
            ("host", "localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!(code(&opened), None);
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example:4002",
            "127.0.0.2",
            "0.0.0.0:4002",
            "[::1",
            "[::2]:1",
            "localhost:99999",
            "",
        ] {
            assert_eq!(code(&[("host", host)]), Some("foreign_host"), "{host}");
        }
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(code(&two), Some("foreign_host"));
        let absolute = Request::builder()
            .uri("http://evil.example/")
            .body(())
            .unwrap();
        assert!(foreign(&absolute).is_some());
    }

    #[test]
    fn other_origins_are_refused() {
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "file://",
            "http://127.0.0.1:x",
            "chrome-extension://localhost",
            "chrome-extension://impaicdpliecjpibppgeibmpehabgkdh",
            "https://impaicdpliecjpibppgeibmpehabgkdg",
        ] {
            let sent = [("host", "localhost"), ("origin", origin)];
            assert_eq!(code(&sent), Some("foreign_origin"), "{origin}");
        }
        let image = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        assert_eq!(code(&image), Some("foreign_origin"));
    }

    #[test]
    fn what_a_proxy_passes_on_is_refused() {
        for name in FORWARDED {
            assert_eq!(
                code(&[("host", "localhost"), (name, "1")]),
                Some("forwarded")
            );
        }
    }

    #[test]
    fn urls_of_this_machine_are_known() {
        assert!(is_local_url("http://127.0.0.1:4002"));
        assert!(is_local_url("https://[::1]/"));
        assert!(!is_local_url("https://gateway.example"));
        assert!(!is_local_url("http://localhost@gateway.example"));
    }
}
