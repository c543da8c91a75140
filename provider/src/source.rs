//! Where specs come from: left here by a tenant before it asks, or fetched from a URL that a stranger wrote on the chain.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use mythic_interface::hash::Hash;
use mythic_wire::{
    Origin,
    dial::{self, Ask, OutboundError},
    signed::purpose,
};
use parking_lot::Mutex;
use reqwest::Method;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

use crate::spec::{Document, MAX_DOCUMENT, SpecError};

/// Path under which specs that were left here are found.
pub const SPECS: &str = "/specs/";
/// Longest time until the whole spec is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Specs that are kept at most, and of one address.
const KEPT: usize = 1_024;
const OF_ONE: usize = 32;
/// How long a spec is kept that no open request names: a tenant asks right after it left one.
const GRACE: Duration = Duration::from_secs(180);

/// Why a spec was not had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("spec_source {0:?} is no URL of a file at a host")]
    Url(String),
    #[error("the spec was not left here, or too long ago")]
    NotHere,
    #[error("the spec can't be fetched: {0}")]
    Fetch(#[from] OutboundError),
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl SourceError {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_transient(),
            Self::NotHere => true,
            Self::Url(_) | Self::Spec(_) => false,
        }
    }
}

/// The name under which a spec lies here: the first half of its hash, because a URL on chain has 96 bytes.
pub fn name(hash: &Hash) -> String {
    hex::encode(hash).chars().take(32).collect()
}

/// Specs that tenants left here.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<HashMap<String, Left>>);

/// A spec that was left here.
#[derive(Debug)]
struct Left {
    document: Document,
    /// Who left it.
    by: IpAddr,
    /// When it was left, or an open request last named it.
    at: Instant,
    /// An open request named it.
    is_asked: bool,
}

impl Shelf {
    /// Takes a spec from an address. Where there are too many, the oldest of whoever left most goes, and of those alone that no request
    /// names; `None` if there is none.
    pub fn put(&self, document: Document, by: IpAddr, now: Instant) -> Option<String> {
        let name = self::name(&document.hash());
        let mut shelf = self.0.lock();
        if let Some(left) = shelf.get_mut(&name) {
            left.at = now;
            return Some(name);
        }
        shelf.retain(|_, left| now.duration_since(left.at) < GRACE);
        let own = shelf.values().filter(|left| left.by == by).count();
        if own >= OF_ONE {
            evict(&mut shelf, by)?;
        } else if shelf.len() >= KEPT {
            let most = most(&shelf)?;
            evict(&mut shelf, most)?;
        }
        let left = Left {
            document,
            by,
            at: now,
            is_asked: false,
        };
        shelf.insert(name.clone(), left);
        Some(name)
    }

    /// Keeps the specs that open requests name.
    pub fn keep(&self, names: &[String], now: Instant) {
        let mut shelf = self.0.lock();
        for name in names {
            if let Some(left) = shelf.get_mut(name) {
                (left.at, left.is_asked) = (now, true);
            }
        }
        shelf.retain(|_, left| now.duration_since(left.at) < GRACE);
    }

    /// The spec of that name.
    pub fn get(&self, name: &str, now: Instant) -> Option<Document> {
        let shelf = self.0.lock();
        let left = shelf.get(name)?;
        (now.duration_since(left.at) < GRACE).then(|| left.document.clone())
    }
}

/// The address that left most specs which no request names.
fn most(shelf: &HashMap<String, Left>) -> Option<IpAddr> {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for left in shelf.values().filter(|left| !left.is_asked) {
        *counts.entry(left.by).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    Some(most?.0)
}

/// Takes away the oldest spec of an address that no request names.
fn evict(shelf: &mut HashMap<String, Left>, by: IpAddr) -> Option<()> {
    let own = shelf
        .iter()
        .filter(|(_, left)| left.by == by && !left.is_asked);
    let oldest = own.min_by_key(|(_, left)| left.at);
    let name = oldest.map(|(name, _)| name.clone())?;
    shelf.remove(&name);
    Some(())
}

/// The host that is asked for a source; none where it lies here, or is no URL.
pub fn host(own: &Origin, source: &str) -> Option<String> {
    let (origin, path) = split(source).ok()?;
    let is_here = own.names().contains(&origin) && path.starts_with(SPECS);
    let (_, host) = origin.as_str().split_once("://")?;
    // Whatever the port: whoever has a host has all of them.
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    (!is_here).then(|| host.to_owned())
}

/// Who asks for specs.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Where this provider is reached: what lies here is not fetched from outside.
    pub origin: &'a Origin,
    pub shelf: &'a Shelf,
    /// Signs what goes out.
    pub key: &'a Keypair,
    /// Whether loopback and private addresses are dialled.
    pub allow_loopback: bool,
}

impl Asker<'_> {
    /// The spec of a request, whose hash is the one on chain.
    pub async fn spec(
        &self,
        request: &Pubkey,
        source: &str,
        hash: &Hash,
    ) -> Result<Document, SourceError> {
        let (origin, path) = split(source)?;
        let own = self.origin.names().contains(&origin);
        let document = match path.strip_prefix(SPECS).filter(|_| own) {
            Some(name) => self
                .shelf
                .get(name, Instant::now())
                .ok_or(SourceError::NotHere)?,
            None => {
                let ask = Ask {
                    origin: &origin,
                    method: Method::GET,
                    path,
                    purpose: &purpose::spec(request),
                    body: Vec::new(),
                    max_bytes: MAX_DOCUMENT,
                    patience: PATIENCE,
                };
                Document::read(&dial::ask(ask, self.key, self.allow_loopback).await?)?
            }
        };
        match document.hash() == *hash {
            true => Ok(document),
            false => Err(SpecError::OtherHash.into()),
        }
    }
}

/// Origin and path of a URL.
fn split(source: &str) -> Result<(Origin, &str), SourceError> {
    let parts = || {
        let host = source.find("://")? + 3;
        let path = host + source.get(host..)?.find('/')?;
        Some((
            Origin::parse(source.get(..path)?).ok()?,
            source.get(path..)?,
        ))
    };
    parts().ok_or_else(|| SourceError::Url(source.into()))
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};

    use super::*;
    use crate::spec::Spec;

    fn document() -> Document {
        Document::new([1; 16], &Spec::endpoint(&[2; 32], 1))
    }

    /// What becomes of a source at a server that answers every path with these bytes.
    async fn asked(answer: Vec<u8>, allow_loopback: bool) -> Result<Document, SourceError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/spec", get(move || async move { answer }));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let found = fetch(&format!("http://{address}/spec"), allow_loopback).await;
        server.abort();
        found
    }

    async fn fetch(source: &str, allow_loopback: bool) -> Result<Document, SourceError> {
        let shelf = Shelf::default();
        let asker = Asker {
            origin: &Origin::parse("http://127.0.0.1:1").unwrap(),
            shelf: &shelf,
            key: &Keypair::new(),
            allow_loopback,
        };
        let hash = document().hash();
        asker.spec(&Pubkey::default(), source, &hash).await
    }

    #[tokio::test]
    async fn a_spec_is_fetched_and_its_hash_checked() {
        let found = asked(document().to_bytes(), true).await;
        assert_eq!(found.unwrap(), document());
        let mut other = document();
        other.salt = [3; 16];
        let refused = asked(other.to_bytes(), true).await.unwrap_err();
        assert!(matches!(refused, SourceError::Spec(SpecError::OtherHash)));
        assert!(!refused.is_transient());
    }

    #[tokio::test]
    async fn hostile_sources_are_refused() {
        let private = asked(document().to_bytes(), false).await.unwrap_err();
        assert!(
            private.to_string().contains("not a public address"),
            "{private}"
        );
        let endless = asked(vec![b'0'; MAX_DOCUMENT + 1], true).await.unwrap_err();
        assert!(endless.to_string().contains("longer than"), "{endless}");
        for source in [
            "",
            "http://a.example",
            "ftp://a.example/x",
            "http://u@a.example/x",
        ] {
            let refused = fetch(source, true).await.unwrap_err();
            assert!(matches!(refused, SourceError::Url(_)), "{source}");
        }
        for source in [
            "http://169.254.169.254/latest/",
            "http://10.0.0.1/",
            "http://[::1]/x",
        ] {
            let refused = fetch(source, false).await.unwrap_err();
            assert!(
                refused.to_string().contains("not a public address"),
                "{refused}"
            );
            assert!(!refused.is_transient());
        }
        // Nobody listens there.
        let nobody = fetch("http://127.0.0.1:9/x", true).await.unwrap_err();
        assert!(nobody.is_transient());
    }

    /// Another document.
    fn other(salt: u32) -> Document {
        let mut other = document();
        other.salt[..4].copy_from_slice(&salt.to_le_bytes());
        other
    }

    fn by(host: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(host).into()
    }

    #[tokio::test]
    async fn what_was_left_here_is_found_for_a_while() {
        let now = Instant::now();
        let shelf = Shelf::default();
        let name = shelf.put(document(), by(1), now).unwrap();
        assert_eq!(shelf.get(&name, now), Some(document()));
        assert_eq!(shelf.get(&name, now + GRACE), None);
        let own = Origin::parse("http://localhost:7").unwrap();
        let asker = Asker {
            origin: &own,
            shelf: &shelf,
            key: &Keypair::new(),
            allow_loopback: false,
        };
        let source = format!("http://127.0.0.1:7{SPECS}{name}");
        let hash = document().hash();
        let found = asker.spec(&Pubkey::default(), &source, &hash).await;
        assert_eq!(found.unwrap(), document());
        assert_eq!(host(&own, &source), None);
        assert_eq!(host(&own, "no URL"), None);
        for (source, expected) in [
            ("http://127.0.0.1:7/other", "127.0.0.1"),
            ("https://a.example/specs/1", "a.example"),
            ("https://a.example:8443/specs/1", "a.example"),
        ] {
            assert_eq!(host(&own, source).as_deref(), Some(expected), "{source}");
        }
    }

    #[test]
    fn one_address_takes_its_own_places_alone() {
        let now = Instant::now();
        let shelf = Shelf::default();
        let honest = shelf.put(document(), by(1), now).unwrap();
        let mut names = Vec::new();
        for salt in 0..2 * OF_ONE as u32 {
            let at = now + Duration::from_millis(salt.into());
            names.push(shelf.put(other(salt), by(2), at).unwrap());
        }
        assert_eq!(shelf.0.lock().len(), OF_ONE + 1);
        let later = now + Duration::from_secs(1);
        assert_eq!(shelf.get(&honest, later), Some(document()));
        assert!(shelf.get(&names[0], later).is_none(), "its oldest went");
        assert!(shelf.get(&names[2 * OF_ONE - 1], later).is_some());
    }

    #[test]
    fn a_full_shelf_takes_from_who_left_most_and_nothing_that_is_asked_for() {
        let now = Instant::now();
        let shelf = Shelf::default();
        let (asked, honest) = (other(u32::MAX), document());
        let asked = shelf.put(asked, by(3), now).unwrap();
        shelf.keep(std::slice::from_ref(&asked), now);
        let honest = shelf.put(honest, by(1), now).unwrap();
        // More than fills it, of many addresses, two of each.
        let many = 3 * KEPT as u32 / 2;
        for salt in 0..many {
            let at = now + Duration::from_millis(salt.into());
            assert!(shelf.put(other(salt), by(10 + salt / 2), at).is_some());
            assert!(shelf.0.lock().len() <= KEPT);
        }
        let later = now + Duration::from_secs(3);
        assert!(shelf.get(&asked, later).is_some());
        assert!(shelf.get(&honest, later).is_some());
        // It stays for as long as a request names it, and a while longer.
        shelf.keep(std::slice::from_ref(&asked), later + GRACE / 2);
        shelf.keep(&[], later + GRACE);
        assert!(shelf.get(&asked, later + GRACE).is_some());
        assert!(shelf.get(&honest, later + GRACE).is_none());
        shelf.keep(&[], later + 2 * GRACE);
        assert!(shelf.0.lock().is_empty());
    }
}
