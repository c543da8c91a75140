//! Signed requests: who asks, whom, what, what for, and once only.
//!
//! What is signed names the receiver's origin, so that no receiver can pass a request on to another; the purpose and in it the
//! job, so that a request made for one thing can't be used for another; a nonce, so that it is taken once; and the time, so that
//! nonces need to be remembered for a minute only. [`sign`] makes the headers, [`Receiver`] checks them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;
use mythic_interface::hash::domain;
use sha2::{Digest, Sha256};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;

use crate::origin::Origin;

/// Oldest signed request that is taken, in seconds.
pub const SIGNATURE_SECONDS: u64 = 60;
/// How far ahead of the receiver's clock a request may be, in seconds.
pub const AHEAD_SECONDS: u64 = 5;

/// Header: base58 public key that signed.
pub const HEADER_KEY: &str = "x-mythic-key";
/// Header: unix seconds, decimal.
pub const HEADER_TIME: &str = "x-mythic-time";
/// Header: 16 random bytes, 32 hex digits.
pub const HEADER_NONCE: &str = "x-mythic-nonce";
/// Header: what the request is for.
pub const HEADER_PURPOSE: &str = "x-mythic-purpose";
/// Header: base58 Ed25519 signature.
pub const HEADER_SIGNATURE: &str = "x-mythic-signature";

/// Longest purpose, in bytes.
const MAX_PURPOSE: usize = 160;
/// Requests that a receiver remembers at most.
const MAX_SEEN: usize = 1 << 18;

/// What requests are signed for.
pub mod purpose {
    use solana_pubkey::Pubkey;

    /// `PUT /v1/nodes/:validator`.
    pub const ANNOUNCE: &str = "announce";
    /// `/v1/keys` and below.
    pub const KEYS: &str = "keys";
    /// `/v1/credit`.
    pub const CREDIT: &str = "credit";
    /// Unbilled answers of one's own node.
    pub const CHAT: &str = "chat";
    /// `GET /v1/stream`, `/ws`: a validator's place among those that follow the feed.
    pub const STREAM: &str = "stream";

    /// The prompt with this hash (hex).
    pub fn prompt(hash: &str) -> String {
        format!("prompt:{hash}")
    }
    /// The result of a job, given.
    pub fn result(job: &Pubkey) -> String {
        format!("result:{job}")
    }
    /// The spec of a request of capacity, for the provider that would take it.
    pub fn spec(request: &Pubkey) -> String {
        format!("spec:{request}")
    }
    /// The values of a container's environment, for the provider that is to run it.
    pub fn environment(lease: &Pubkey) -> String {
        format!("environment:{lease}")
    }
    /// The evidence of a job, for one of its own people: owner, requester, canceller.
    pub fn evidence(job: &Pubkey) -> String {
        format!("evidence:{job}")
    }
    /// The evidence of a job, for a validator that checks it or is party to its dispute.
    pub fn check(job: &Pubkey, validator: &Pubkey) -> String {
        format!("check:{job}:{validator}")
    }

    /// Job and validator of a [`check`].
    pub fn parse_check(purpose: &str) -> Option<(Pubkey, Pubkey)> {
        let (job, validator) = purpose.strip_prefix("check:")?.split_once(':')?;
        Some((job.parse().ok()?, validator.parse().ok()?))
    }
}

/// Why a signed request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A header is missing or unreadable.
    #[error("header {0} is missing or unreadable; sign the request")]
    Header(&'static str),
    /// Its time is too far from ours.
    #[error(
        "request time {time} is more than {SIGNATURE_SECONDS} s behind the receiver's {now}, or more than {AHEAD_SECONDS} s ahead; check \
         the clock"
    )]
    Time {
        /// As stated, unix seconds.
        time: u64,
        /// The receiver's clock.
        now: u64,
    },
    /// The signature is not of this request by this key.
    #[error(
        "the signature does not match this host, method, path, purpose, body, time and nonce; requests to this host are signed for {origin}"
    )]
    Signature {
        /// The receiver's origin.
        origin: Origin,
    },
    /// The request came before.
    #[error("this signed request was used already; sign a new one")]
    Replayed,
    /// It was signed for something else.
    #[error("the request is signed for {signed:?}; this needs {wanted:?}")]
    Purpose {
        /// As signed.
        signed: String,
        /// As needed.
        wanted: String,
    },
}

/// Unix time in seconds.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// A request as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The receiver.
    pub origin: &'a Origin,
    /// In capitals.
    pub method: &'a str,
    /// From its first slash, with its query.
    pub path: &'a str,
    /// What for; see [`purpose`].
    pub purpose: &'a str,
    /// The body, empty where there is none.
    pub body: &'a [u8],
}

/// The bytes that are signed: `"mythic/http/v2"`, then method, origin, path and purpose, each behind its length in bytes as u32
/// little-endian, then SHA-256 of the body, unix seconds as u64 little-endian, and the nonce.
pub fn signed_bytes(request: &Request<'_>, time: u64, nonce: &[u8; 16]) -> Vec<u8> {
    let mut bytes = domain::HTTP.to_vec();
    let parts = [
        request.method,
        request.origin.as_str(),
        request.path,
        request.purpose,
    ];
    for part in parts {
        let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(&Sha256::digest(request.body));
    bytes.extend_from_slice(&time.to_le_bytes());
    bytes.extend_from_slice(nonce);
    bytes
}

/// The headers of a signed request, at the present time.
pub fn sign(request: &Request<'_>, key: &Keypair) -> [(&'static str, String); 5] {
    sign_at(request, key, unix_seconds(), rand::random())
}

/// Like [`sign`] at a given time with a given nonce.
pub fn sign_at(
    request: &Request<'_>,
    key: &Keypair,
    time: u64,
    nonce: [u8; 16],
) -> [(&'static str, String); 5] {
    let signature = key.sign_message(&signed_bytes(request, time, &nonce));
    [
        (HEADER_KEY, key.pubkey().to_string()),
        (HEADER_TIME, time.to_string()),
        (HEADER_NONCE, hex::encode(nonce)),
        (HEADER_PURPOSE, request.purpose.to_string()),
        (HEADER_SIGNATURE, signature.to_string()),
    ]
}

/// A request whose signature is good. What it may do depends on what it was signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    key: Pubkey,
    purpose: String,
}

impl Signed {
    /// Who signed, if the request was signed for `wanted`.
    pub fn by(&self, wanted: &str) -> Result<Pubkey, AuthError> {
        match self.purpose == wanted {
            true => Ok(self.key),
            false => Err(AuthError::Purpose {
                signed: self.purpose.clone(),
                wanted: wanted.into(),
            }),
        }
    }

    /// Job, claimed validator and signer of a request to check a job's answer, if it is one.
    pub fn check(&self) -> Option<(Pubkey, Pubkey, Pubkey)> {
        let (job, validator) = purpose::parse_check(&self.purpose)?;
        Some((job, validator, self.key))
    }
}

/// A receiver of signed requests. Takes each once.
#[derive(Debug)]
pub struct Receiver {
    origin: Origin,
    names: Vec<Origin>,
    seen: Mutex<Seen>,
}

impl Receiver {
    /// For a server that is reached at `origin`.
    pub fn new(origin: Origin) -> Self {
        Self {
            names: origin.names(),
            origin,
            seen: Mutex::new(Seen::new(MAX_SEEN)),
        }
    }

    /// Where it is reached.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Checks a request and remembers it. Whether the key may do it is the caller's question.
    pub fn verify(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &HeaderMap,
    ) -> Result<Signed, AuthError> {
        self.verify_at((method, path, body), headers, unix_seconds())
    }

    /// Like [`Self::verify`] against a given clock.
    pub fn verify_at(
        &self,
        (method, path, body): (&str, &str, &[u8]),
        headers: &HeaderMap,
        now: u64,
    ) -> Result<Signed, AuthError> {
        let header = |name: &'static str| {
            headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .ok_or(AuthError::Header(name))
        };
        let key: Pubkey = header(HEADER_KEY)?
            .parse()
            .map_err(|_| AuthError::Header(HEADER_KEY))?;
        let time: u64 = header(HEADER_TIME)?
            .parse()
            .map_err(|_| AuthError::Header(HEADER_TIME))?;
        let mut nonce = [0; 16];
        hex::decode_to_slice(header(HEADER_NONCE)?, &mut nonce)
            .map_err(|_| AuthError::Header(HEADER_NONCE))?;
        let purpose = header(HEADER_PURPOSE)?;
        if purpose.len() > MAX_PURPOSE {
            return Err(AuthError::Header(HEADER_PURPOSE));
        }
        let signature: Signature = header(HEADER_SIGNATURE)?
            .parse()
            .map_err(|_| AuthError::Header(HEADER_SIGNATURE))?;
        if time.saturating_add(SIGNATURE_SECONDS) < now || time > now.saturating_add(AHEAD_SECONDS)
        {
            return Err(AuthError::Time { time, now });
        }
        let good = self.names.iter().any(|origin| {
            let request = Request {
                origin,
                method,
                path,
                purpose,
                body,
            };
            signature.verify(key.as_ref(), &signed_bytes(&request, time, &nonce))
        });
        if !good {
            return Err(AuthError::Signature {
                origin: self.origin.clone(),
            });
        }
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        match seen.first(&key, &nonce, time, now) {
            true => Ok(Signed {
                key,
                purpose: purpose.into(),
            }),
            false => Err(AuthError::Replayed),
        }
    }
}

/// Requests that were taken lately, by their stated second. When there are too many, the oldest second is forgotten, and from
/// then on nothing of that second or before is taken: whoever floods a receiver shortens the life of old requests, and never
/// makes one work twice.
#[derive(Debug)]
struct Seen {
    most: usize,
    seconds: BTreeMap<u64, HashSet<[u8; 16]>>,
    count: usize,
    /// Requests of this second and before are refused.
    closed: u64,
}

impl Seen {
    fn new(most: usize) -> Self {
        Self {
            most,
            seconds: BTreeMap::new(),
            count: 0,
            closed: 0,
        }
    }

    fn first(&mut self, key: &Pubkey, nonce: &[u8; 16], time: u64, now: u64) -> bool {
        while let Some(oldest) = self.seconds.first_entry() {
            if oldest.key().saturating_add(SIGNATURE_SECONDS) >= now && self.count < self.most {
                break;
            }
            self.closed = self.closed.max(*oldest.key());
            self.count -= oldest.remove().len();
        }
        if time <= self.closed {
            return false;
        }
        let digest: [u8; 32] = Sha256::new()
            .chain_update(key)
            .chain_update(nonce)
            .finalize()
            .into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        let new = self.seconds.entry(time).or_default().insert(id);
        self.count += usize::from(new);
        new
    }
}

#[cfg(test)]
mod tests;
