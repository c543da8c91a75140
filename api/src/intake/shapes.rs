//! Request bodies as `/openapi.json` describes them. Parsing is in [`super::openai`], which names every parameter it refuses.

use std::collections::HashMap;

use serde_json::Value;
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
    /// 0 to 2, 1 without one.
    pub temperature: Option<f64>,
    /// Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
    pub top_p: Option<f64>,
    /// Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
    pub top_k: Option<i32>,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to 1.
    pub min_p: Option<f64>,
    /// Off the logits of tokens that the answer has, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Off the logits for each time that the answer has the token, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
    pub repetition_penalty: Option<f64>,
    /// From token ids to what is added to their logits, -100 to 100; at most 1,024.
    pub logit_bias: Option<HashMap<String, f64>>,
    /// Fixes the draw for a job; requests are different jobs, so their answers differ unless `temperature` is 0.
    pub seed: Option<i64>,
    /// A string or up to four, of 1 to 256 bytes.
    pub stop: Option<Stop>,
    /// Log-probabilities of the answer's tokens.
    pub logprobs: Option<bool>,
    /// Candidates of each token, 0 to 4.
    pub top_logprobs: Option<u8>,
    /// What the text has to be.
    pub response_format: Option<ResponseFormat>,
    /// Functions that the model may call, at most 128.
    pub tools: Option<Vec<ToolBody>>,
    /// `auto`, `none`, `required`, or the function that is to be called.
    pub tool_choice: Option<ToolChoiceBody>,
    /// Several calls in one answer; true without one.
    pub parallel_tool_calls: Option<bool>,
    /// `none`, `low`, `medium` or `high`, where the model's template reads it.
    pub reasoning_effort: Option<String>,
    /// Whether the model thinks before it answers, where its template can switch that.
    pub enable_thinking: Option<bool>,
    /// `enable_thinking` and `reasoning_effort` again.
    pub chat_template_kwargs: Option<TemplateBody>,
    /// Objects that the answer is to rest on, at most 128, where the model's template reads them.
    pub documents: Option<Vec<HashMap<String, Value>>>,
    /// Payment by the client's own transaction.
    pub mythic: Option<Payment>,
    /// Ignored.
    pub user: Option<String>,
    /// Ignored.
    pub store: Option<bool>,
    /// Ignored.
    pub metadata: Option<HashMap<String, String>>,
}

/// What a chat template is told, as vLLM and llama.cpp have it.
#[derive(Debug, ToSchema)]
pub struct TemplateBody {
    pub enable_thinking: Option<bool>,
    pub reasoning_effort: Option<String>,
}

/// How much a model thinks.
#[derive(Debug, ToSchema)]
pub struct ReasoningBody {
    /// `none`, `low`, `medium` or `high`, where the model's template reads it.
    pub effort: Option<String>,
}

/// A message of a conversation.
#[derive(Debug, ToSchema)]
pub struct RequestMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Text, or parts of type `text` or `refusal`.
    pub content: Option<Content>,
    /// Of an assistant: what it called.
    pub tool_calls: Option<Vec<PastCallBody>>,
    /// Of a tool: whose result this is.
    pub tool_call_id: Option<String>,
}

/// A call of an earlier turn.
#[derive(Debug, ToSchema)]
pub struct PastCallBody {
    pub id: String,
    /// `function`.
    #[schema(rename = "type")]
    pub kind: String,
    pub function: PastFunctionBody,
}

/// Name and arguments of a call of an earlier turn.
#[derive(Debug, ToSchema)]
pub struct PastFunctionBody {
    pub name: String,
    /// JSON in a string.
    pub arguments: String,
}

/// A function that the model may call.
#[derive(Debug, ToSchema)]
pub struct ToolBody {
    /// `function`.
    #[schema(rename = "type")]
    pub kind: String,
    pub function: FunctionBody,
}

/// What a function is.
#[derive(Debug, ToSchema)]
pub struct FunctionBody {
    /// 1 to 64 letters, digits, `_` or `-`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON schema of its arguments, an object's. They follow it in any case.
    pub parameters: Option<HashMap<String, Value>>,
    /// Changes nothing.
    pub strict: Option<bool>,
}

/// Whether the model calls.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum ToolChoiceBody {
    /// `auto`, `none` or `required`.
    Word(String),
    /// A function.
    Named(NamedTool),
}

/// The function that is to be called.
#[derive(Debug, ToSchema)]
pub struct NamedTool {
    /// `function`.
    #[schema(rename = "type")]
    pub kind: String,
    pub function: NamedFunction,
}

/// The name of a function.
#[derive(Debug, ToSchema)]
pub struct NamedFunction {
    pub name: String,
}

/// What a text has to be.
#[derive(Debug, ToSchema)]
pub struct ResponseFormat {
    /// `text`, `json_object` or `json_schema`.
    #[schema(rename = "type")]
    pub kind: String,
    /// With `json_schema`.
    pub json_schema: Option<NamedSchema>,
}

/// A schema with its name.
#[derive(Debug, ToSchema)]
pub struct NamedSchema {
    pub name: String,
    /// JSON schema of an object. It is followed in any case.
    pub schema: HashMap<String, Value>,
    /// Changes nothing.
    pub strict: Option<bool>,
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
    /// Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
    pub top_p: Option<f64>,
    /// Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
    pub top_k: Option<i32>,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to 1.
    pub min_p: Option<f64>,
    /// Off the logits of tokens that the answer has, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Off the logits for each time that the answer has the token, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
    pub repetition_penalty: Option<f64>,
    /// From token ids to what is added to their logits, -100 to 100; at most 1,024.
    pub logit_bias: Option<HashMap<String, f64>>,
    /// Fixes the draw for the job.
    pub seed: Option<i64>,
    /// A string or up to four.
    pub stop: Option<Stop>,
    /// What the text has to be.
    pub response_format: Option<ResponseFormat>,
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
    /// Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
    pub top_p: Option<f64>,
    /// Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
    pub top_k: Option<i32>,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to 1.
    pub min_p: Option<f64>,
    /// Off the logits of tokens that the answer has, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Off the logits for each time that the answer has the token, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
    pub repetition_penalty: Option<f64>,
    /// From token ids to what is added to their logits, -100 to 100; at most 1,024.
    pub logit_bias: Option<HashMap<String, f64>>,
    /// Fixes the draw for the job.
    pub seed: Option<i64>,
    /// A string or up to four.
    pub stop: Option<Stop>,
    /// What the text has to be.
    pub response_format: Option<ResponseFormat>,
    /// With `messages`: functions that the model may call.
    pub tools: Option<Vec<ToolBody>>,
    /// `auto`, `none`, `required`, or the function that is to be called.
    pub tool_choice: Option<ToolChoiceBody>,
    /// Several calls in one answer; true without one.
    pub parallel_tool_calls: Option<bool>,
    /// With `messages`: `none`, `low`, `medium` or `high`, where the model's template reads it.
    pub reasoning_effort: Option<String>,
    /// Whether the model thinks before it answers, where its template can switch that.
    pub enable_thinking: Option<bool>,
    /// `enable_thinking` and `reasoning_effort` again.
    pub chat_template_kwargs: Option<TemplateBody>,
    /// Objects that the answer is to rest on, at most 128, where the model's template reads them.
    pub documents: Option<Vec<HashMap<String, Value>>>,
}

/// Body of `POST /v1/completions`.
#[derive(Debug, ToSchema)]
pub struct CompletionBody {
    /// A model of `GET /v1/models`; the default one without it.
    pub model: Option<String>,
    /// What is continued.
    pub prompt: TextPrompt,
    /// Most tokens of an answer; 16 without one.
    pub max_tokens: Option<u32>,
    /// Choices, 1 to 8; each is a job of its own and pays the prompt anew.
    pub n: Option<u32>,
    /// Server-sent events instead of one JSON.
    pub stream: Option<bool>,
    /// Only with `stream`.
    pub stream_options: Option<StreamOptions>,
    /// 0 to 2, 1 without one.
    pub temperature: Option<f64>,
    /// Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
    pub top_p: Option<f64>,
    /// Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
    pub top_k: Option<i32>,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to 1.
    pub min_p: Option<f64>,
    /// Off the logits of tokens that the answer has, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Off the logits for each time that the answer has the token, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
    pub repetition_penalty: Option<f64>,
    /// From token ids to what is added to their logits, -100 to 100; at most 1,024.
    pub logit_bias: Option<HashMap<String, f64>>,
    /// Fixes the draw for a job.
    pub seed: Option<i64>,
    /// A string or up to four.
    pub stop: Option<Stop>,
    /// Candidates of each token, 0 to 4.
    pub logprobs: Option<u8>,
    /// What the text has to be.
    pub response_format: Option<ResponseFormat>,
    /// Payment by the client's own transaction.
    pub mythic: Option<Payment>,
}

/// What is continued: a text, or its tokens.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum TextPrompt {
    /// A text.
    Text(String),
    /// A list of one text.
    Texts(Vec<String>),
    /// Token ids of the model.
    Ids(Vec<u32>),
}

/// Body of `POST /v1/responses`.
#[derive(Debug, ToSchema)]
pub struct ResponseBody {
    /// A model of `GET /v1/models`; the default one without it.
    pub model: Option<String>,
    /// What a user says, or a whole conversation: nothing is kept between requests.
    pub input: ResponseInput,
    /// What the model is told first.
    pub instructions: Option<String>,
    /// Server-sent events instead of one JSON.
    pub stream: Option<bool>,
    /// Most tokens of the answer; 512 or what fits without one.
    pub max_output_tokens: Option<u32>,
    /// 0 to 2, 1 without one.
    pub temperature: Option<f64>,
    /// Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
    pub top_p: Option<f64>,
    /// Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
    pub top_k: Option<i32>,
    /// Only tokens with at least this share of the likeliest one's probability, 0 to 1.
    pub min_p: Option<f64>,
    /// Off the logits of tokens that the answer has, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Off the logits for each time that the answer has the token, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
    pub repetition_penalty: Option<f64>,
    /// From token ids to what is added to their logits, -100 to 100; at most 1,024.
    pub logit_bias: Option<HashMap<String, f64>>,
    /// What the text has to be.
    pub text: Option<TextBody>,
    /// Functions that the model may call, at most 128.
    pub tools: Option<Vec<FlatToolBody>>,
    /// `auto`, `none`, `required`, or the function that is to be called.
    pub tool_choice: Option<FlatChoiceBody>,
    /// Several calls in one answer; true without one.
    pub parallel_tool_calls: Option<bool>,
    /// How much the model thinks.
    pub reasoning: Option<ReasoningBody>,
    /// Whether the model thinks before it answers, where its template can switch that.
    pub enable_thinking: Option<bool>,
    /// `enable_thinking` and `reasoning_effort` again.
    pub chat_template_kwargs: Option<TemplateBody>,
    /// Objects that the answer is to rest on, at most 128, where the model's template reads them.
    pub documents: Option<Vec<HashMap<String, Value>>>,
    /// `message.output_text.logprobs` asks for log-probabilities; there is nothing else to include.
    pub include: Option<Vec<String>>,
    /// Candidates of each token, 0 to 4.
    pub top_logprobs: Option<u8>,
    /// Payment by the client's own transaction.
    pub mythic: Option<Payment>,
    /// Ignored, and never so: nothing is kept.
    pub store: Option<bool>,
    /// Repeated in the response.
    pub metadata: Option<HashMap<String, String>>,
    /// Repeated in the response.
    pub user: Option<String>,
}

/// What a user says, or the items of a conversation.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum ResponseInput {
    /// What a user says.
    Text(String),
    /// A conversation.
    Items(Vec<ResponseItem>),
}

/// A message, a call of an earlier turn, or its result.
#[derive(Debug, ToSchema)]
pub struct ResponseItem {
    /// `message`, which is so without one, `function_call` or `function_call_output`.
    #[schema(rename = "type")]
    pub kind: Option<String>,
    /// Of a message: `system`, `developer`, `user` or `assistant`.
    pub role: Option<String>,
    /// Of a message: text, or parts of type `input_text`, `output_text` or `refusal`.
    pub content: Option<Content>,
    /// Of a call and its result.
    pub call_id: Option<String>,
    /// Of a call: the function.
    pub name: Option<String>,
    /// Of a call: JSON in a string.
    pub arguments: Option<String>,
    /// Of a result: what the function gave.
    pub output: Option<Content>,
}

/// What the text has to be.
#[derive(Debug, ToSchema)]
pub struct TextBody {
    pub format: Option<FlatFormat>,
}

/// `text`, `json_object`, or `json_schema` with its fields beside it.
#[derive(Debug, ToSchema)]
pub struct FlatFormat {
    #[schema(rename = "type")]
    pub kind: String,
    /// With `json_schema`.
    pub name: Option<String>,
    /// JSON schema of an object. It is followed in any case.
    pub schema: Option<HashMap<String, Value>>,
    /// Changes nothing.
    pub strict: Option<bool>,
}

/// A function that the model may call.
#[derive(Debug, ToSchema)]
pub struct FlatToolBody {
    /// `function`.
    #[schema(rename = "type")]
    pub kind: String,
    /// 1 to 64 letters, digits, `_` or `-`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON schema of its arguments, an object's. They follow it in any case.
    pub parameters: Option<HashMap<String, Value>>,
    /// Changes nothing.
    pub strict: Option<bool>,
}

/// Whether the model calls.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum FlatChoiceBody {
    /// `auto`, `none` or `required`.
    Word(String),
    /// A function.
    Named(FlatNamedTool),
}

/// The function that is to be called.
#[derive(Debug, ToSchema)]
pub struct FlatNamedTool {
    /// `function`.
    #[schema(rename = "type")]
    pub kind: String,
    pub name: String,
}
