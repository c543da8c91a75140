//! What gateways and nodes say to each other over HTTP, and how such requests are signed.
//!
//! | from -> to | request | body -> answer |
//! |---|---|---|
//! | gateway -> node | `POST /v1/inference` | [`InferenceRequest`] -> stream of [`NodeEvent`] |
//! | node -> gateway | `PUT /v1/nodes/:validator` | [`Announcement`] |
//! | node -> gateway | `GET /v1/prompts/:prompt_hash` | -> [`PromptBody`] |
//! | node -> gateway | `PUT /v1/jobs/:id/result` | [`JobResult`] |
//! | anyone entitled -> node | `GET /v1/jobs/:id/evidence` | -> [`Evidence`] |
//!
//! Errors are `{"error":{"message","type","param","code"}}` ([`ErrorBody`]) with a status of 4xx or 5xx; in a stream that has begun
//! they are [`NodeEvent::Error`]. Requests are signed by [`sign`] and checked by [`verify`].

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;

#[cfg(feature = "dial")]
pub mod dial;
pub mod fingerprint;
pub mod finish;

pub use fingerprint::Evidence;

/// Largest body of any request between gateway and node, in bytes.
pub const MAX_BODY: usize = 8 << 20;
/// Most token ids of a prompt that travels between gateway and node; a model's context is the tighter bound.
pub const MAX_PROMPT_TOKENS: usize = 262_144;
/// Most stop strings of a job.
pub const MAX_STOPS: usize = 4;
/// Longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;
/// How often a node announces itself, in seconds. A gateway forgets it after three that did not come.
pub const ANNOUNCE_SECONDS: u64 = 10;
/// How far the time of a signed request may be from the receiver's clock, in seconds.
pub const SIGNATURE_SECONDS: u64 = 60;

/// Header: base58 public key that signed.
pub const HEADER_KEY: &str = "x-mythic-key";
/// Header: unix seconds, decimal.
pub const HEADER_TIME: &str = "x-mythic-time";
/// Header: base58 Ed25519 signature.
pub const HEADER_SIGNATURE: &str = "x-mythic-signature";

const DOMAIN: &[u8] = b"mythic/http/v1";

/// `POST /v1/inference`: a prompt, and the transaction that pays for it and lacks only the operator's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceRequest {
    /// Base64 of the serialised transaction (at most 1,232 bytes): one RequestInference naming the node's validator.
    pub transaction: String,
    /// Base58 address of the job account.
    pub job: String,
    /// Token ids as the model sees them, BOS included.
    pub prompt_ids: Vec<u32>,
    /// The prompt hash's salt: 32 hex digits.
    pub salt: String,
    /// Stop strings, in the order of the terms' stop hash; empty when there are none.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Each token is to come with its `log_sum_exp`.
    #[serde(default)]
    pub logprobs: bool,
}

/// A transaction, legacy or versioned, as [`InferenceRequest`] carries it.
pub fn encode_transaction(transaction: &impl Serialize) -> Result<String, bincode::Error> {
    bincode::serialize(transaction)
        .map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// One event of the stream that answers [`InferenceRequest`], sent as SSE `data:` lines of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeEvent {
    /// The job was seen on chain, accepted by this node. Always first.
    Accepted {
        /// Base58 address.
        job: String,
        /// Base58 signature of the RequestInference.
        signature: String,
    },
    /// The next output token.
    Token {
        /// Position in the output, from 0.
        position: u32,
        /// Token id.
        token: u32,
        /// Text that became complete with this token; may be empty.
        text: String,
        /// The four largest logits, `(token id, Q16.16)`, largest first.
        top4: [(u32, i32); 4],
        /// Natural logarithm of the sum of the exponentials of all logits: a logit less this is a log-probability. Only if
        /// asked for, and unknown for a result that was made before a restart. The fingerprint does not hold it, so it is
        /// the node's word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_sum_exp: Option<f32>,
    },
    /// The whole output, after the last token.
    Done {
        /// Why it ended.
        #[serde(with = "finish")]
        finish_reason: Finish,
        /// All output ids.
        output_ids: Vec<u32>,
        /// Hex, 32 bytes.
        fingerprint: String,
        /// Hex, 32 bytes.
        output_root: String,
        /// Base58 signature of the SubmitResult; `None` if it had not been sent when this was (it follows on chain).
        submit_signature: Option<String>,
        /// The evidence bundle.
        evidence: Box<Evidence>,
    },
    /// The job failed after the stream began; always last.
    Error {
        /// Stable name, for example `engine_failed`.
        code: String,
        /// For people.
        message: String,
    },
}

/// Why an output ended, as on chain.
pub use mythic_interface::state::FinishReason as Finish;

/// `PUT /v1/nodes/:validator` (`:validator` = base58 authority), signed by the validator's operator, every 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// Base58 authority of the validator.
    pub validator: String,
    /// Public URL of the node.
    pub endpoint: String,
    /// Version of the node's software.
    pub version: String,
    /// Models it serves now.
    pub models: Vec<OfferedModel>,
    /// Jobs that generate now.
    pub running: u32,
    /// Jobs that wait for a place.
    pub queued: u32,
    /// Output tokens that running and waiting jobs may still need.
    pub queued_tokens: u64,
    /// Jobs it runs at once.
    pub max_concurrent: u32,
    /// Decoded tokens a second of one job, over the last minute of work; `None` before the first.
    pub tokens_per_second: Option<f64>,
    /// True when it takes no new jobs (it is stopping).
    pub draining: bool,
}

/// A model that a node serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfferedModel {
    /// Hex identity, 32 bytes.
    pub identity: String,
    /// Longest prompt plus output, in tokens.
    pub context_length: u32,
    /// Least price the node accepts per 1,000 input tokens, in lamports.
    pub min_price_in: u32,
    /// Least price the node accepts per 1,000 output tokens, in lamports.
    pub min_price_out: u32,
}

/// Answer of `GET /v1/prompts/:prompt_hash` (hex), only for the operator whose validator accepted a job with that prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptBody {
    /// Token ids as the model sees them, BOS included.
    pub prompt_ids: Vec<u32>,
    /// 32 hex digits.
    pub salt: String,
    /// Stop strings, in the order of the terms' stop hash.
    #[serde(default)]
    pub stop: Vec<String>,
}

/// `PUT /v1/jobs/:id/result`: what the node committed to on chain, signed by the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobResult {
    /// Base58 address.
    pub job: String,
    /// Why the output ended.
    #[serde(with = "finish")]
    pub finish_reason: Finish,
    /// All output ids.
    pub output_ids: Vec<u32>,
    /// Output text.
    pub output_text: String,
    /// Hex, 32 bytes.
    pub fingerprint: String,
    /// Hex, 32 bytes.
    pub output_root: String,
    /// Base58 signature of the SubmitResult, if known.
    pub submit_signature: Option<String>,
    /// The evidence bundle.
    pub evidence: Box<Evidence>,
}

/// An error as OpenAI's clients expect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// Inside of [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For people; names the mend where there is one.
    pub message: String,
    /// Class, for example `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Parameter at fault, if one is.
    pub param: Option<String>,
    /// Stable name, for example `capacity`.
    pub code: Option<String>,
}

impl ErrorBody {
    /// An error with a class and a code.
    pub fn new(kind: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            error: ErrorDetail {
                message: message.into(),
                kind: kind.into(),
                param: None,
                code: Some(code.into()),
            },
        }
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
        "request time {time} is more than {SIGNATURE_SECONDS} s from the receiver's {now}; check the clock"
    )]
    Time {
        /// As stated, unix seconds.
        time: u64,
        /// The receiver's clock.
        now: u64,
    },
    /// The signature is not of this request by this key.
    #[error("the signature does not match this method, path, body and time")]
    Signature,
}

/// Unix time in seconds.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// Bytes that are signed: `"mythic/http/v1" ‖ method ‖ path ‖ SHA256(body) ‖ unix seconds (u64, little-endian)`. The method in capitals;
/// the path as sent, from its first `/`, with its query and without the host.
pub fn signed_bytes(method: &str, path: &str, body: &[u8], time: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DOMAIN.len() + method.len() + path.len() + 40);
    bytes.extend_from_slice(DOMAIN);
    bytes.extend_from_slice(method.as_bytes());
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(&Sha256::digest(body));
    bytes.extend_from_slice(&time.to_le_bytes());
    bytes
}

/// The three headers of a signed request, at the present time.
pub fn sign(method: &str, path: &str, body: &[u8], key: &Keypair) -> [(&'static str, String); 3] {
    sign_at(method, path, body, key, unix_seconds())
}

/// Like [`sign`] at a given time.
pub fn sign_at(
    method: &str,
    path: &str,
    body: &[u8],
    key: &Keypair,
    time: u64,
) -> [(&'static str, String); 3] {
    let signature = key.sign_message(&signed_bytes(method, path, body, time));
    [
        (HEADER_KEY, key.pubkey().to_string()),
        (HEADER_TIME, time.to_string()),
        (HEADER_SIGNATURE, signature.to_string()),
    ]
}

/// Checks a signed request against the clock and returns who signed it. Whether that key may do it is the caller's question.
pub fn verify(
    method: &str,
    path: &str,
    body: &[u8],
    headers: &HeaderMap,
) -> Result<Pubkey, AuthError> {
    verify_at(method, path, body, headers, unix_seconds())
}

/// Like [`verify`] against a given clock.
pub fn verify_at(
    method: &str,
    path: &str,
    body: &[u8],
    headers: &HeaderMap,
    now: u64,
) -> Result<Pubkey, AuthError> {
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
    let signature: Signature = header(HEADER_SIGNATURE)?
        .parse()
        .map_err(|_| AuthError::Header(HEADER_SIGNATURE))?;
    if time.abs_diff(now) > SIGNATURE_SECONDS {
        return Err(AuthError::Time { time, now });
    }
    if !signature.verify(key.as_ref(), &signed_bytes(method, path, body, time)) {
        return Err(AuthError::Signature);
    }
    Ok(key)
}

/// A hash as written on the wire: 64 hex digits.
pub fn parse_hex32(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

/// A salt as written on the wire: 32 hex digits.
pub fn parse_salt(text: &str) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: [(&'static str, String); 3]) -> HeaderMap {
        list.into_iter()
            .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_signed_request_names_its_signer() {
        let key = Keypair::new();
        let signed = headers(sign_at("PUT", "/v1/nodes/a?b=1", b"body", &key, 1_000));
        assert_eq!(
            verify_at("PUT", "/v1/nodes/a?b=1", b"body", &signed, 1_060),
            Ok(key.pubkey())
        );
        assert_eq!(
            verify_at("PUT", "/v1/nodes/a?b=1", b"body", &signed, 940),
            Ok(key.pubkey())
        );
    }

    #[test]
    fn any_change_breaks_the_signature() {
        let key = Keypair::new();
        let signed = headers(sign_at("PUT", "/a", b"body", &key, 1_000));
        assert_eq!(
            verify_at("GET", "/a", b"body", &signed, 1_000),
            Err(AuthError::Signature)
        );
        assert_eq!(
            verify_at("PUT", "/b", b"body", &signed, 1_000),
            Err(AuthError::Signature)
        );
        assert_eq!(
            verify_at("PUT", "/a", b"bodY", &signed, 1_000),
            Err(AuthError::Signature)
        );
        let mut later = signed.clone();
        later.insert(HEADER_TIME, "1001".parse().unwrap());
        assert_eq!(
            verify_at("PUT", "/a", b"body", &later, 1_000),
            Err(AuthError::Signature)
        );
        let mut other = signed;
        other.insert(
            HEADER_KEY,
            Keypair::new().pubkey().to_string().parse().unwrap(),
        );
        assert_eq!(
            verify_at("PUT", "/a", b"body", &other, 1_000),
            Err(AuthError::Signature)
        );
    }

    #[test]
    fn an_old_or_unsigned_request_is_refused() {
        let signed = headers(sign_at("PUT", "/a", b"", &Keypair::new(), 1_000));
        assert_eq!(
            verify_at("PUT", "/a", b"", &signed, 1_061),
            Err(AuthError::Time {
                time: 1_000,
                now: 1_061
            })
        );
        assert_eq!(
            verify_at("PUT", "/a", b"", &HeaderMap::new(), 0),
            Err(AuthError::Header(HEADER_KEY))
        );
    }
}
