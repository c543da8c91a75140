//! Who is on this machine: a loopback peer that nobody forwarded and no page of another origin sent.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use mythic_wire::origin::is_loopback;

/// Headers that a proxy adds: it makes strangers look like loopback.
const FORWARDED: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "via",
];

/// Whether a request comes from a program on this machine. A web page may reach loopback too, by its own origin or by a name
/// that it makes lead there, so `Host` and `Origin` must be this machine's.
pub fn is_local(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str());
    let host = match text(header::HOST) {
        Some(Ok(host)) => is_loopback(&format!("http://{host}")),
        _ => false,
    };
    let origin = match text(header::ORIGIN) {
        None => true,
        Some(Ok(origin)) => is_loopback(origin),
        Some(Err(_)) => false,
    };
    let forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
    peer.ip().is_loopback() && host && origin && !forwarded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_on_this_machine_are_local() {
        let local: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let remote: SocketAddr = "8.8.8.8:5000".parse().unwrap();
        let headers = |list: &[(&'static str, &str)]| -> HeaderMap {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", "127.0.0.1:8080")].iter().chain(list) {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        assert!(is_local(local, &headers(&[])));
        assert!(is_local(local, &headers(&[("host", "localhost:8080")])));
        assert!(is_local(
            local,
            &headers(&[("origin", "http://localhost:3000")])
        ));
        assert!(!is_local(remote, &headers(&[])));
        assert!(!is_local(local, &HeaderMap::new()));
        for name in FORWARDED {
            assert!(!is_local(local, &headers(&[(name, "127.0.0.1")])), "{name}");
        }
        for (name, value) in [
            ("host", "evil.example"),
            ("host", "evil.example:8080"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            assert!(
                !is_local(local, &headers(&[(name, value)])),
                "{name}: {value}"
            );
        }
    }
}
