//! Requests to origins that others chose: endpoints of validators, prompt sources in jobs' terms. Everything about them is hostile.
//!
//! Names are resolved first and every address checked; the connection then goes to exactly those addresses, so that a second
//! answer of the name service can't lead elsewhere. No redirects, no proxies, bounded time and size.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures::StreamExt;
use reqwest::{Method, Url};
use solana_keypair::Keypair;

use crate::{Origin, signed};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request to a stranger was not made, or failed.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Not an http(s) URL that may be used.
    #[error("{0:?} is not a usable http or https URL")]
    Url(String),
    /// The name does not resolve.
    #[error("host {host} does not resolve: {reason}")]
    Resolve {
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// It leads into a private network.
    #[error(
        "{host} leads to {address}, which is not a public address; set allow_loopback on a development network"
    )]
    NotPublic { host: String, address: IpAddr },
    /// No answer in time, or a broken one.
    #[error("{url}: {reason}")]
    Failed {
        url: String,
        /// Why.
        reason: String,
    },
    /// It answered, but not with success.
    #[error("{url} answered {status}: {body}")]
    Status {
        url: String,
        /// HTTP status.
        status: u16,
        /// First 200 characters of the answer.
        body: String,
    },
}

impl OutboundError {
    /// Whether asking again may help. A gateway that has not seen our acceptance yet answers 403, 404 or 409.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Failed { .. } => true,
            Self::Status { status, .. } => {
                *status >= 500 || matches!(*status, 403 | 404 | 408 | 409 | 425 | 429)
            }
            Self::Url(_) | Self::NotPublic { .. } => false,
        }
    }
}

/// Whether an address is on the public internet: not private, loopback, link-local, shared, reserved, multicast or a
/// tunnel to one of those.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(a: Ipv4Addr) -> bool {
    let [x, y, z, _] = a.octets();
    !(x == 0
        || a.is_private()
        || a.is_loopback()
        || a.is_link_local()
        || a.is_broadcast()
        || a.is_documentation()
        || a.is_multicast()
        || x >= 240
        || (x == 100 && (64..128).contains(&y))
        || (x == 192 && y == 0 && z == 0)
        || (x == 192 && y == 88 && z == 99)
        || (x == 198 && (y == 18 || y == 19)))
}

fn is_public_v6(a: Ipv6Addr) -> bool {
    let s = a.segments();
    if let Some(v4) = a.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    // NAT64 and 6to4 carry an IPv4 address within.
    if s[0] == 0x64 && s[1] == 0xff9b {
        return false;
    }
    if s[0] == 0x2002 {
        return is_public_v4(Ipv4Addr::from((u32::from(s[1]) << 16) | u32::from(s[2])));
    }
    // Only 2000::/3 is given out; of it, Teredo (2001::/32) and documentation (2001:db8::/32) are not destinations.
    (s[0] & 0xe000) == 0x2000 && !(s[0] == 0x2001 && (s[1] == 0 || s[1] == 0xdb8))
}

/// Resolves an origin's host to the addresses that may be dialled, all of them checked.
pub async fn resolve(
    origin: &Origin,
    allow_loopback: bool,
) -> Result<(String, Vec<SocketAddr>), OutboundError> {
    let refuse = || OutboundError::Url(origin.to_string());
    let url = Url::parse(origin.as_str()).map_err(|_| refuse())?;
    let host = url.host_str().ok_or_else(refuse)?.to_string();
    let port = url.port_or_known_default().ok_or_else(refuse)?;
    let bare = host.trim_matches(['[', ']']).to_string();
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => lookup(&bare, port).await?,
    };
    if !allow_loopback && let Some(bad) = addresses.iter().find(|a| !is_public(a.ip())) {
        return Err(OutboundError::NotPublic {
            host,
            address: bad.ip(),
        });
    }
    Ok((bare, addresses))
}

async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, OutboundError> {
    let failed = |reason: String| OutboundError::Resolve {
        host: host.into(),
        reason,
    };
    let found = tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| failed("timed out".into()))?
        .map_err(|error| failed(error.to_string()))?;
    let addresses: Vec<SocketAddr> = found.take(16).collect();
    match addresses.is_empty() {
        true => Err(failed("no address".into())),
        false => Ok(addresses),
    }
}

/// A client whose connections go to the checked addresses of an origin, and nowhere else.
pub async fn client(
    origin: &Origin,
    allow_loopback: bool,
) -> Result<reqwest::Client, OutboundError> {
    let (host, addresses) = resolve(origin, allow_loopback).await?;
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(60))
        .resolve_to_addrs(&host, &addresses)
        .build()
        .map_err(|error| OutboundError::Failed {
            url: origin.to_string(),
            reason: error.to_string(),
        })
}

/// A signed request to an origin that a stranger named.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The receiver.
    pub origin: &'a Origin,
    pub method: Method,
    /// From its first slash; exactly this is signed and sent.
    pub path: &'a str,
    /// What it is signed for.
    pub purpose: &'a str,
    /// The body, empty where there is none.
    pub body: Vec<u8>,
    /// Longest answer that is taken, in bytes.
    pub max_bytes: usize,
    /// Longest time until the whole answer is there.
    pub patience: Duration,
}

/// Sends a signed request. Returns the body of a successful answer.
pub async fn ask(
    ask: Ask<'_>,
    key: &Keypair,
    allow_loopback: bool,
) -> Result<Vec<u8>, OutboundError> {
    let url = ask.origin.at(ask.path);
    let patience = ask.patience;
    match tokio::time::timeout(patience, answer(ask, &url, key, allow_loopback)).await {
        Ok(answer) => answer,
        Err(_) => Err(OutboundError::Failed {
            url,
            reason: format!("no whole answer within {} s", patience.as_secs()),
        }),
    }
}

async fn answer(
    ask: Ask<'_>,
    text: &str,
    key: &Keypair,
    allow_loopback: bool,
) -> Result<Vec<u8>, OutboundError> {
    let url = Url::parse(text).map_err(|_| OutboundError::Url(text.into()))?;
    // What is signed is what is asked: no parser may read another path into it.
    if url.path() != ask.path {
        return Err(OutboundError::Url(text.into()));
    }
    let client = client(ask.origin, allow_loopback).await?;
    let signed = signed::Request {
        origin: ask.origin,
        method: ask.method.as_str(),
        path: ask.path,
        purpose: ask.purpose,
        body: &ask.body,
    };
    let mut request = client
        .request(ask.method.clone(), url)
        .header("content-type", "application/json");
    for (name, value) in signed::sign(&signed, key) {
        request = request.header(name, value);
    }
    let failed = |reason: String| OutboundError::Failed {
        url: text.into(),
        reason,
    };
    let response = request
        .body(ask.body)
        .send()
        .await
        .map_err(|e| failed(e.without_url().to_string()))?;
    let status = response.status();
    let limit = if status.is_success() {
        ask.max_bytes
    } else {
        2_048
    };
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| failed(e.without_url().to_string()))?;
        if bytes.len() + chunk.len() > limit {
            if status.is_success() {
                return Err(failed(format!("answer is longer than {limit} bytes")));
            }
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        let body = String::from_utf8_lossy(&bytes).chars().take(200).collect();
        return Err(OutboundError::Status {
            url: text.into(),
            status: status.as_u16(),
            body,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public_in_any_dress() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
            "::127.0.0.1",
            "2001::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "2606:4700:4700::1111",
            "2002:808:808::",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn nothing_private_is_dialled() {
        for text in [
            "http://127.0.0.1:1/",
            "http://[::1]/",
            "http://localhost/",
            "http://0x7f.1/",
            "http://2130706433/",
        ] {
            let origin = Origin::parse(text).unwrap();
            assert!(
                matches!(
                    resolve(&origin, false).await,
                    Err(OutboundError::NotPublic { .. })
                ),
                "{text}"
            );
            assert!(resolve(&origin, true).await.is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_path_that_a_url_would_change_is_never_signed() {
        let origin = Origin::parse("http://127.0.0.1:1").unwrap();
        let key = Keypair::new();
        for path in ["/v1/../v1/jobs", "/v1/jobs#x", "/v1/jobs?x", "/v1/a b"] {
            let asked = Ask {
                origin: &origin,
                method: Method::GET,
                path,
                purpose: "evidence",
                body: Vec::new(),
                max_bytes: 1,
                patience: Duration::from_secs(1),
            };
            assert!(
                matches!(ask(asked, &key, true).await, Err(OutboundError::Url(_))),
                "{path}"
            );
        }
    }
}
