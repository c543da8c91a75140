//! OpenAI's answers as types: a whole completion, and the chunks of a stream.

use serde::Serialize;
use utoipa::ToSchema;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-` and the first choice's job.
    pub id: String,
    /// `chat.completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// The model's id, `name@` 8 hex digits of its identity.
    pub model: String,
    /// One for each of `n`.
    pub choices: Vec<ChatChoice>,
    pub usage: Usage,
    /// What answered: the model's identity and how tokens are chosen (`top4`: from the four likeliest, `full`: by the options).
    pub system_fingerprint: String,
    /// `default`.
    pub service_tier: &'static str,
    /// Jobs and price.
    pub mythic: Mythic,
}

/// One choice of a whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatChoice {
    pub index: u32,
    /// What the model says.
    pub message: AnswerMessage,
    /// Null unless asked for, and where the sum over the vocabulary is not known.
    pub logprobs: Option<Logprobs>,
    /// `stop`, `length` or `tool_calls`.
    pub finish_reason: &'static str,
}

/// What the model says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnswerMessage {
    /// `assistant`.
    pub role: &'static str,
    /// Null where it only calls functions.
    pub content: Option<String>,
    /// Functions that the client is to call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Always null.
    pub refusal: Option<String>,
    /// Always empty.
    pub annotations: Vec<String>,
}

/// A function that the client is to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCall {
    /// What the message with its result names as `tool_call_id`.
    pub id: String,
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub function: CalledFunction,
}

/// Name and arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalledFunction {
    pub name: String,
    /// JSON, of the schema that the request gave; cut off where the answer was.
    pub arguments: String,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatCompletionChunk {
    /// `chatcmpl-` and the first choice's job.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// The model's id.
    pub model: String,
    /// One choice; none in the chunk of `usage`.
    pub choices: Vec<ChunkChoice>,
    /// What answered.
    pub system_fingerprint: String,
    /// `default`.
    pub service_tier: &'static str,
    /// With `include_usage`: null, and in the last chunk the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
    /// Job and price; in the last chunk of a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mythic: Option<Mythic>,
}

/// A step of a choice.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChunkChoice {
    pub index: u32,
    /// What comes to the answer.
    pub delta: Delta,
    /// Of the tokens of `delta.content`.
    pub logprobs: Option<Logprobs>,
    /// Null until the last: `stop`, `length` or `tool_calls`.
    pub finish_reason: Option<&'static str>,
}

/// What a chunk adds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A call that begins, or more of its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallDelta>,
}

/// What a chunk adds to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ToolCallDelta {
    /// Which of the choice's calls.
    pub index: usize,
    /// In the first chunk of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`, in the first chunk of a call.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    pub function: FunctionDelta,
}

/// What a chunk adds to a call's function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FunctionDelta {
    /// In the first chunk of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More of the JSON.
    pub arguments: String,
}

/// Log-probabilities of an answer's tokens.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Logprobs {
    /// One for each token of the text.
    pub content: Vec<TokenLogprob>,
    /// Always null.
    pub refusal: Option<String>,
}

/// A token that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TokenLogprob {
    /// Its text, with what is not UTF-8 replaced.
    pub token: String,
    /// Natural logarithm of its probability over the whole vocabulary, at temperature 1.
    pub logprob: f64,
    pub bytes: Vec<u8>,
    /// The likeliest candidates, at most four.
    pub top_logprobs: Vec<TopLogprob>,
}

/// A candidate.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopLogprob {
    pub token: String,
    pub logprob: f64,
    pub bytes: Vec<u8>,
}

/// Tokens of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Of the prompt, once for each choice: each is a job that pays for it.
    pub prompt_tokens: u64,
    /// Of all choices.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Parts of the prompt; all cost the same.
    pub prompt_tokens_details: PromptTokensDetails,
    /// What of the answer was something else than text: nothing.
    pub completion_tokens_details: CompletionTokensDetails,
}

/// Parts of the prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokensDetails {
    /// What the validators had read before, by their own word; absent where one of them said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    pub audio_tokens: u64,
}

/// Parts of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompletionTokensDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

/// Jobs and price of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mythic {
    /// The first choice's job.
    pub job: Option<String>,
    /// Who answered it.
    pub validator: Option<String>,
    /// Of all choices. Each choice is a job and pays the prompt anew.
    pub cost_lamports: u64,
    /// Where the first job's receipt is.
    pub receipt: Option<String>,
    /// All jobs, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<MythicJob>,
    /// The chain did not show the result of every job in time: nobody vouches for the answer yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
    /// A stored answer is shown again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// One job of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MythicJob {
    pub job: String,
    /// Who answered it.
    pub validator: String,
    /// What it costs.
    pub cost_lamports: u64,
    /// Where its receipt is.
    pub receipt: String,
    /// The chain did not show the result in time: nobody vouches for the answer yet; its job tells later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
}
