//! Request bodies as `/openapi.json` describes them. Parsing is in [`super::openai`], which names every parameter it refuses.

use std::collections::HashMap;

use utoipa::ToSchema;

/// Body of `POST /v1/chat/completions`.
#[derive(Debug, ToSchema)]
pub struct ChatBody {
    /// A model of `GET /v1/models`, by `id` or `name`; the default one without it.
    pub model: Option<String>,
    /// 1 to 4096 messages.
    pub messages: Vec<RequestMessage>,
    /// Server-sent events instead of one JSON.
    pub stream: Option<bool>,
    /// Only with `stream`.
    pub stream_options: Option<StreamOptions>,
    /// Choices, 1 to 8; each is a job of its own and pays the prompt anew.
    pub n: Option<u32>,
    /// Most tokens of an answer; 512 or what fits without one.
    pub max_completion_tokens: Option<u32>,
    /// The older name of `max_completion_tokens`.
    pub max_tokens: Option<u32>,
    /// 0 to 2, 1 without one. Tokens are drawn from the four likeliest, whatever the temperature.
    pub temperature: Option<f64>,
    /// Fixes the draw for a job; requests are different jobs, so their answers differ unless `temperature` is 0.
    pub seed: Option<i64>,
    /// A string or up to four, of 1 to 256 bytes.
    pub stop: Option<Stop>,
    /// Log-probabilities of the answer's tokens.
    pub logprobs: Option<bool>,
    /// Candidates of each token, 0 to 4.
    pub top_logprobs: Option<u8>,
    /// 4, which is always so, or 0 or -1 for the server's default.
    pub top_k: Option<i32>,
    /// Payment by the client's own transaction.
    pub mythic: Option<Payment>,
    /// Ignored.
    pub user: Option<String>,
    /// Ignored.
    pub store: Option<bool>,
    /// Ignored.
    pub metadata: Option<HashMap<String, String>>,
}

/// A message of a conversation.
#[derive(Debug, ToSchema)]
pub struct RequestMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Text, or parts of type `text` or `refusal`.
    pub content: Option<Content>,
}

/// Text, or its parts.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Content {
    /// Text.
    Text(String),
    /// Parts.
    Parts(Vec<ContentPart>),
}

/// A part of a message.
#[derive(Debug, ToSchema)]
pub struct ContentPart {
    /// `text` or `refusal`.
    #[schema(rename = "type")]
    pub kind: String,
    /// The text of a `text`.
    pub text: Option<String>,
    /// The text of a `refusal`.
    pub refusal: Option<String>,
}

/// A stop string, or several.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// At most four.
    Several(Vec<String>),
}

/// What a stream ends with.
#[derive(Debug, ToSchema)]
pub struct StreamOptions {
    /// A last chunk with `usage`.
    pub include_usage: Option<bool>,
}

/// A transaction that the client signed itself.
#[derive(Debug, ToSchema)]
pub struct Payment {
    /// Base64 of a RequestInference that lacks the operator's signature.
    pub transaction: String,
    /// The salt of its prompt hash, 32 hex digits.
    pub salt: String,
}

/// Body of `POST /v1/inference`.
#[derive(Debug, ToSchema)]
pub struct InferenceBody {
    /// A model of `GET /v1/models`; the default one without it.
    pub model: Option<String>,
    /// What the user says.
    pub prompt: String,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// Fixes the draw for the job.
    pub seed: Option<i64>,
    /// A string or up to four.
    pub stop: Option<Stop>,
    /// Payment by the client's own transaction.
    pub mythic: Option<Payment>,
}

/// Body of `POST /v1/estimate`: a prompt or messages.
#[derive(Debug, ToSchema)]
pub struct EstimateBody {
    /// A model of `GET /v1/models`; the default one without it.
    pub model: Option<String>,
    /// What the user says.
    pub prompt: Option<String>,
    /// A conversation instead.
    pub messages: Option<Vec<RequestMessage>>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Choices.
    pub n: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// Fixes the draw for the job.
    pub seed: Option<i64>,
    /// A string or up to four.
    pub stop: Option<Stop>,
}
