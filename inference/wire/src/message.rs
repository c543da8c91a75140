//! The bodies of requests between gateway and node, and of their answers.

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use crate::{Evidence, Finish, finish};

/// Largest body of any request between gateway and node, in bytes.
pub const MAX_BODY: usize = 8 << 20;
/// Most token ids of a prompt that travels between gateway and node; a model's context is the tighter bound.
pub const MAX_PROMPT_TOKENS: usize = 262_144;
/// Most stop strings of a job.
pub const MAX_STOPS: usize = 4;
/// Longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;
/// [`NodeEvent::Error`] of an answer that could not follow its grammar to the end within the limits that are everybody's.
pub const GRAMMAR_LIMIT: &str = "grammar_limit";
/// How often a node announces itself, in seconds. A gateway forgets it after three that did not come.
pub const ANNOUNCE_SECONDS: u64 = 10;

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
    /// Stop strings of `seeded-top4`, in the order of the terms' hash; empty when there are none.
    #[serde(default)]
    pub stop: Vec<String>,
    /// The canonical bytes of the sampling options, base64: for `seeded-full`, which has its stop strings there; no bytes where
    /// they are neutral.
    #[serde(
        default,
        with = "crate::bytes64",
        skip_serializing_if = "Option::is_none"
    )]
    pub options: Option<Vec<u8>>,
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
        /// Tokens of the prompt that the engine found in its prefix cache; absent where that is not known. Nothing that is
        /// hashed holds it, so it is the node's word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cached_tokens: Option<u32>,
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

/// `PUT /v1/nodes/:validator` (`:validator` = base58 authority), signed by the validator's operator, every 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
    /// Decoded tokens a second of one job, over recent work; `None` before the first.
    pub tokens_per_second: Option<f64>,
    /// Decoded tokens a second of all its jobs together, over recent work; `None` before the first.
    #[serde(default)]
    pub all_tokens_per_second: Option<f64>,
    /// True when it takes no new jobs (it is stopping).
    pub draining: bool,
}

/// A model that a node serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PromptBody {
    /// Token ids as the model sees them, BOS included.
    pub prompt_ids: Vec<u32>,
    /// 32 hex digits.
    pub salt: String,
    /// Stop strings of `seeded-top4`, in the order of the terms' hash.
    #[serde(default)]
    pub stop: Vec<String>,
    /// The canonical bytes of the sampling options, base64: for `seeded-full`, which has its stop strings there; no bytes where
    /// they are neutral.
    #[serde(
        default,
        with = "crate::bytes64",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub options: Option<Vec<u8>>,
}

/// `PUT /v1/jobs/:id/result`: what the node committed to on chain, signed by the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobResult {
    /// Base58 address.
    pub job: String,
    /// Why the output ended.
    #[serde(with = "finish")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
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

/// Answer of `GET /v1/jobs/:id/residuals`, only for a validator that checks the job's result, from the node that made it, while it keeps
/// the rows: f32, little-endian, one row for each position that was read. `GET /v1/jobs/:id/residuals/:layer` gives those that the
/// layer (from 0) gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualDigests {
    /// The prompt's tokens, and the answer's but the last.
    pub positions: u32,
    /// Numbers of a row.
    pub width: u32,
    /// The hash of each layer's rows: 64 hex digits.
    pub layers: Vec<String>,
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
