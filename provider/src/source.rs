//! Where specs come from: left here by a tenant before it asks, or fetched from a URL that a stranger wrote on the chain.

use std::{
    collections::HashMap,
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
/// Specs that are kept at most, and for how long: a tenant asks right after it left one.
const KEPT: usize = 1_024;
const KEEP: Duration = Duration::from_secs(900);

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
pub struct Shelf(Mutex<HashMap<String, (Document, Instant)>>);

impl Shelf {
    /// Takes a spec; `None` while there are too many.
    pub fn put(&self, document: Document, now: Instant) -> Option<String> {
        let name = self::name(&document.hash());
        let mut shelf = self.0.lock();
        if shelf.len() >= KEPT {
            shelf.retain(|_, (_, at)| now.duration_since(*at) < KEEP);
        }
        if shelf.len() >= KEPT && !shelf.contains_key(&name) {
            return None;
        }
        shelf.insert(name.clone(), (document, now));
        Some(name)
    }

    /// The spec of that name.
    pub fn get(&self, name: &str, now: Instant) -> Option<Document> {
        let shelf = self.0.lock();
        let (document, at) = shelf.get(name)?;
        (now.duration_since(*at) < KEEP).then(|| document.clone())
    }
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

    #[tokio::test]
    async fn what_was_left_here_is_found_for_a_while_and_there_is_room_for_so_many() {
        let now = Instant::now();
        let shelf = Shelf::default();
        let name = shelf.put(document(), now).unwrap();
        assert_eq!(shelf.get(&name, now), Some(document()));
        assert_eq!(shelf.get(&name, now + KEEP), None);
        let asker = Asker {
            origin: &Origin::parse("http://localhost:7").unwrap(),
            shelf: &shelf,
            key: &Keypair::new(),
            allow_loopback: false,
        };
        let source = format!("http://127.0.0.1:7{SPECS}{name}");
        let hash = document().hash();
        let found = asker.spec(&Pubkey::default(), &source, &hash).await;
        assert_eq!(found.unwrap(), document());
        for salt in 0..2 * KEPT as u32 {
            let mut other = document();
            other.salt[..4].copy_from_slice(&salt.to_le_bytes());
            shelf.put(other, now);
        }
        assert!(shelf.0.lock().len() <= KEPT);
        assert!(
            shelf
                .put(
                    Document {
                        salt: [9; 16],
                        ..document()
                    },
                    now
                )
                .is_none()
        );
        assert!(
            shelf
                .put(
                    Document {
                        salt: [9; 16],
                        ..document()
                    },
                    now + KEEP
                )
                .is_some()
        );
    }
}
