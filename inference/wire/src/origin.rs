//! Where a server is reached: scheme, host and port, and nothing else. What is dialled from the chain or from strangers, and
//! what a signed request is meant for, is an origin.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use url::Url;

/// `http` or `https`, a host, and a port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an origin: {reason}; write http://HOST:PORT or https://HOST:PORT")]
pub struct OriginError {
    text: String,
    reason: &'static str,
}

impl Origin {
    /// Reads an origin; one slash at the end is allowed. A path, a query, a fragment and credentials are refused, even empty ones.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let refuse = |reason| OriginError {
            text: text.chars().take(200).collect(),
            reason,
        };
        // What a URL parser mends silently is not what was written.
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
            return Err(refuse("it has characters that no URL has"));
        }
        let url = Url::parse(text).map_err(|_| refuse("it is no URL"))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(refuse("its scheme is neither http nor https"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a query or a fragment"));
        }
        if text.contains('@') {
            return Err(refuse("it has a user name"));
        }
        let rest = text.get(url.scheme().len()..).unwrap_or_default();
        let host = rest
            .strip_prefix("://")
            .ok_or_else(|| refuse("it is no URL"))?;
        if host.strip_suffix('/').unwrap_or(host).contains('/') {
            return Err(refuse("it has a path"));
        }
        if url.host().is_none() {
            return Err(refuse("it names no host"));
        }
        Ok(Self(url.origin().ascii_serialization()))
    }

    /// As it is written in signatures.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a path, which begins with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether it leads to this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// Every name under which a server with this origin may be meant: on loopback the three names of this machine.
    pub fn names(&self) -> Vec<Origin> {
        let port = Url::parse(&self.0).ok().and_then(|url| url.port());
        if !self.is_loopback() {
            return vec![self.clone()];
        }
        let scheme = self.0.split("://").next().unwrap_or("http");
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let mut names: Vec<Origin> = ["127.0.0.1", "localhost", "[::1]"]
            .iter()
            .map(|host| Self(format!("{scheme}://{host}{port}")))
            .collect();
        if !names.contains(self) {
            names.push(self.clone());
        }
        names
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        Self::parse(&text)
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

/// Whether a URL leads to this machine.
pub fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, read) in [
            ("http://127.0.0.1:4002", "http://127.0.0.1:4002"),
            ("https://Gate.Example.org/", "https://gate.example.org"),
            ("https://gate.example.org:443", "https://gate.example.org"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), read);
        }
    }

    #[test]
    fn whatever_could_carry_another_path_is_refused() {
        for text in [
            "",
            "gate.example.org",
            "ftp://gate.example.org",
            "http:gate.example.org",
            "http://",
            "http://gate.example.org/v1",
            "http://gate.example.org//",
            "http://gate.example.org/v1/jobs/J/evidence#",
            "http://gate.example.org#",
            "http://gate.example.org?",
            "http://gate.example.org/?x",
            "http://user@gate.example.org",
            "http://@gate.example.org",
            "http://gate.example.org\\v1",
            "http://gate.exa\tmple.org",
            " http://gate.example.org",
            "http:///gate.example.org",
        ] {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_three_names() {
        let origin = Origin::parse("http://localhost:8080").unwrap();
        let names = origin.names();
        assert_eq!(names.len(), 3);
        assert!(names.contains(&Origin::parse("http://[::1]:8080").unwrap()));
        let far = Origin::parse("https://gate.example.org").unwrap();
        assert_eq!(far.names(), std::slice::from_ref(&far));
    }
}
