//! What a chat request means: parsing and refusing, without I/O.
//!
//! Parameters are read one by one rather than by a derived deserialiser, so that every refusal names its parameter, and
//! nothing that would change the answer is dropped in silence.

use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// Most choices of one request; each is a job.
pub const MAX_CHOICES: u32 = 8;
/// Most alternatives a position can show: the chain's fingerprint keeps four.
pub const MAX_TOP_LOGPROBS: u64 = 4;
/// Most stop strings, as OpenAI has it.
pub const MAX_STOPS: usize = 4;
/// Longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;
/// Most messages of a conversation.
pub const MAX_MESSAGES: usize = 4096;
/// Most output tokens that can be asked for: what the chain takes of one answer.
pub const MAX_ASKED: u64 = mythic_interface::params::MAX_OUTPUT_TOKENS as u64;
/// Output tokens when the client names no limit.
pub const DEFAULT_MAX_TOKENS: u32 = 512;

/// One message of a conversation; `role` is `system`, `user` or `assistant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: &'static str,
    /// What is said.
    pub content: String,
}

/// A transaction that the client signed itself to pay this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPayment {
    /// Base64 of the signed transaction (RequestInference, the operator's signature may be missing).
    pub transaction: String,
    /// The salt of `prompt_hash`, 16 bytes.
    pub salt: [u8; 16],
}

/// A chat request after all checks that need no chain and no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// As the client wrote it.
    pub model: String,
    /// At least one.
    pub messages: Vec<ChatMessage>,
    /// The one message is a plain prompt, which a model without a chat template takes too.
    pub is_prompt: bool,
    /// Server-sent events instead of one JSON.
    pub stream: bool,
    /// A usage chunk at the end of the stream.
    pub include_usage: bool,
    /// Number of choices, 1 to [`MAX_CHOICES`].
    pub n: u32,
    /// Output tokens asked for; `None`: the default, cut to what fits.
    pub max_tokens: Option<u32>,
    /// Thousandths, 0 to 2,000.
    pub temperature_milli: u16,
    /// Reproducible sampling.
    pub seed: Option<i64>,
    /// Strings that end the answer, not part of it.
    pub stop: Vec<String>,
    /// Alternatives to show per position; `None`: no log-probabilities.
    pub top_logprobs: Option<u8>,
    /// The client pays by its own transaction.
    pub payment: Option<ClientPayment>,
}

/// Says whether a value leaves the answer as it is without the parameter.
fn neutral(name: &str, value: &Value) -> bool {
    match name {
        "top_p" => value.as_f64() == Some(1.0),
        // What is always done, and the words of llama.cpp and vLLM for "as the server does it".
        "top_k" => matches!(value.as_i64(), Some(4 | 0 | -1)),
        "frequency_penalty" | "presence_penalty" | "min_p" => value.as_f64() == Some(0.0),
        "repetition_penalty" => value.as_f64() == Some(1.0),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "tools" | "functions" => value.as_array().is_some_and(Vec::is_empty),
        "tool_choice" | "function_call" => matches!(value.as_str(), Some("none" | "auto")),
        "reasoning_effort" => value.as_str() == Some("none"),
        "verbosity" => value.as_str() == Some("medium"),
        "response_format" => value.get("type").and_then(Value::as_str) == Some("text"),
        "modalities" => value
            .as_array()
            .is_some_and(|list| list.len() == 1 && list[0] == "text"),
        "service_tier" => matches!(
            value.as_str(),
            Some("auto" | "default" | "flex" | "priority" | "scale")
        ),
        _ => false,
    }
}

/// Parameters that say nothing about the answer.
const IGNORED: &[&str] = &[
    "prediction",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
];

fn refusal(name: &str) -> ApiError {
    let why = match name {
        "tools" | "functions" | "tool_choice" | "function_call" => {
            "tool calls are not offered by this gateway"
        }
        "response_format" => "only response_format {\"type\":\"text\"} is offered",
        "top_p" | "min_p" | "top_k" | "frequency_penalty" | "presence_penalty"
        | "repetition_penalty" | "logit_bias" => {
            "tokens are drawn from the four likeliest by seed and temperature alone, which the chain replays (top_k 4, 0 or -1 and top_p 1 mean that; penalties 0 and an empty logit_bias are accepted)"
        }
        "reasoning_effort" | "reasoning" => {
            "the models here do not reason before they answer; \"none\" is accepted"
        }
        "verbosity" => {
            "an answer is as long as the model makes it; \"medium\" is accepted, and max_completion_tokens bounds it"
        }
        "modalities" | "audio" => "only text is offered",
        _ => "this gateway does not know it, and does not ignore what could change an answer",
    };
    ApiError::unsupported(name, format!("{name} is not supported: {why}"))
}

/// Takes known parameters out of the body; what is left at the end is refused.
pub(crate) struct Params(Map<String, Value>);

impl Params {
    pub(crate) fn new(body: &[u8]) -> ApiResult<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(ApiError::new(
                axum::http::StatusCode::BAD_REQUEST,
                "invalid_json",
                "the body must be a JSON object",
            )),
            Err(error) => Err(ApiError::new(
                axum::http::StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body is not valid JSON: {error}"),
            )),
        }
    }

    /// The value of a parameter; null counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn string(&mut self, name: &str) -> ApiResult<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(name, format!("{name} must be a string"))),
        }
    }

    pub(crate) fn bool(&mut self, name: &str) -> ApiResult<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(ApiError::invalid(
                name,
                format!("{name} must be true or false"),
            )),
        }
    }

    pub(crate) fn integer(&mut self, name: &str, low: u64, high: u64) -> ApiResult<Option<u64>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().filter(|n| (low..=high).contains(n)) {
                Some(n) => Ok(Some(n)),
                None => Err(ApiError::invalid(
                    name,
                    format!(
                        "{name} must be an integer from {low} to {high}, not {}",
                        short(&value)
                    ),
                )),
            },
        }
    }

    pub(crate) fn finish(mut self) -> ApiResult<()> {
        self.string("user")?;
        self.bool("store")?;
        match self.take("metadata") {
            None => {}
            Some(Value::Object(map)) if map.values().all(Value::is_string) => {}
            Some(_) => {
                return Err(ApiError::invalid(
                    "metadata",
                    "metadata must be an object whose values are strings",
                ));
            }
        }
        // Tools that the model is told not to call change nothing.
        let uncalled = |map: &Map<String, Value>, choice: &str| {
            map.get(choice).and_then(Value::as_str) == Some("none")
        };
        if uncalled(&self.0, "tool_choice") {
            self.take("tools");
        }
        if uncalled(&self.0, "function_call") {
            self.take("functions");
        }
        for (name, value) in &self.0 {
            if !(value.is_null() || IGNORED.contains(&name.as_str()) || neutral(name, value)) {
                return Err(refusal(name));
            }
        }
        Ok(())
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 40 {
        text
    } else {
        format!("{}…", text.chars().take(40).collect::<String>())
    }
}

pub(crate) fn max_tokens(params: &mut Params) -> ApiResult<Option<u32>> {
    let newer = params.integer("max_completion_tokens", 1, MAX_ASKED)?;
    let older = params.integer("max_tokens", 1, MAX_ASKED)?;
    Ok(newer.or(older).and_then(|n| u32::try_from(n).ok()))
}

pub(crate) fn temperature(params: &mut Params) -> ApiResult<u16> {
    let Some(value) = params.take("temperature") else {
        return Ok(1000);
    };
    match value.as_f64() {
        // The range makes the cast exact.
        Some(t) if (0.0..=2.0).contains(&t) => Ok((t * 1000.0).round() as u16),
        _ => Err(ApiError::invalid(
            "temperature",
            format!(
                "temperature must be a number from 0 to 2, not {}",
                short(&value)
            ),
        )),
    }
}

pub(crate) fn seed(params: &mut Params) -> ApiResult<Option<i64>> {
    match params.take("seed") {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(seed) => Ok(Some(seed)),
            None => Err(ApiError::invalid("seed", "seed must be a 64-bit integer")),
        },
    }
}

pub(crate) fn stops(params: &mut Params) -> ApiResult<Vec<String>> {
    let list = match params.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(ApiError::invalid(
                    "stop",
                    "stop must be a string or a list of strings",
                )),
            })
            .collect::<ApiResult<_>>()?,
        Some(_) => {
            return Err(ApiError::invalid(
                "stop",
                "stop must be a string or a list of strings",
            ));
        }
    };
    if list.len() > MAX_STOPS
        || list
            .iter()
            .any(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES)
    {
        return Err(ApiError::invalid(
            "stop",
            format!("stop takes at most {MAX_STOPS} strings of 1 to {MAX_STOP_BYTES} bytes"),
        ));
    }
    if list.iter().any(|stop| stop.contains('\0')) {
        return Err(ApiError::invalid(
            "stop",
            "stop strings can't contain the character U+0000",
        ));
    }
    Ok(list)
}

pub(crate) fn payment(params: &mut Params) -> ApiResult<Option<ClientPayment>> {
    let Some(value) = params.take("mythic") else {
        return Ok(None);
    };
    let Value::Object(mut map) = value else {
        return Err(ApiError::invalid(
            "mythic",
            "mythic must be an object {transaction, salt}",
        ));
    };
    let field = |map: &mut Map<String, Value>, name: &str| match map.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(ApiError::invalid(
            &format!("mythic.{name}"),
            format!("mythic.{name} must be a string"),
        )),
    };
    let transaction = field(&mut map, "transaction")?;
    let salt = field(&mut map, "salt")?;
    let salt = hex::decode(&salt)
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .ok_or_else(|| ApiError::invalid("mythic.salt", "mythic.salt must be 32 hex digits"))?;
    match map.keys().next() {
        Some(other) => Err(ApiError::unsupported(
            &format!("mythic.{other}"),
            format!("mythic.{other} is not known"),
        )),
        None => Ok(Some(ClientPayment { transaction, salt })),
    }
}

fn content(value: Option<Value>, at: &str) -> ApiResult<String> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let mut joined = String::new();
            for (i, part) in parts.iter().enumerate() {
                match (
                    part.get("type").and_then(Value::as_str),
                    part.get("text").and_then(Value::as_str),
                ) {
                    (Some("text"), Some(text)) => joined.push_str(text),
                    (Some("refusal"), _) if part.get("refusal").is_some_and(Value::is_string) => {
                        joined.push_str(
                            part.get("refusal")
                                .and_then(Value::as_str)
                                .unwrap_or_default(),
                        );
                    }
                    (Some(other), _) if other != "text" => {
                        return Err(ApiError::unsupported(
                            &format!("{at}.content[{i}]"),
                            format!(
                                "content parts of type {} are not supported, only text",
                                short(&Value::from(other))
                            ),
                        ));
                    }
                    _ => {
                        return Err(ApiError::invalid(
                            &format!("{at}.content[{i}]"),
                            "a content part needs type and text",
                        ));
                    }
                }
            }
            Ok(joined)
        }
        Some(_) => Err(ApiError::invalid(
            &format!("{at}.content"),
            "content must be a string or a list of parts",
        )),
    }
}

/// Calls of an earlier turn, written as models that know tools write them. They are history: nothing is called here.
fn calls(tools: Option<&Value>, function: Option<&Value>, at: &str) -> ApiResult<String> {
    let wrong = |name: &str| {
        ApiError::invalid(
            &format!("{at}.{name}"),
            format!("{name} must be calls of functions, each with name and arguments"),
        )
    };
    let write = |name: &str, call: &Value| -> ApiResult<String> {
        let text = |field: &str| call.get(field).and_then(Value::as_str);
        let (called, arguments) = text("name")
            .zip(text("arguments"))
            .ok_or_else(|| wrong(name))?;
        Ok(format!(
            "<tool_call>\n{{\"name\": {}, \"arguments\": {arguments}}}\n</tool_call>",
            Value::from(called)
        ))
    };
    let mut out = Vec::new();
    if let Some(tools) = tools {
        for call in tools.as_array().ok_or_else(|| wrong("tool_calls"))? {
            let function = call.get("function").ok_or_else(|| wrong("tool_calls"))?;
            out.push(write("tool_calls", function)?);
        }
    }
    if let Some(function) = function {
        out.push(write("function_call", function)?);
    }
    Ok(out.join("\n"))
}

fn messages(params: &mut Params) -> ApiResult<Vec<ChatMessage>> {
    let Some(Value::Array(list)) = params.take("messages") else {
        return Err(ApiError::invalid(
            "messages",
            "messages must be a list of {role, content}",
        ));
    };
    if list.is_empty() || list.len() > MAX_MESSAGES {
        return Err(ApiError::invalid(
            "messages",
            format!("messages must hold 1 to {MAX_MESSAGES} messages"),
        ));
    }
    let mut out = Vec::with_capacity(list.len());
    for (i, message) in list.into_iter().enumerate() {
        let at = format!("messages[{i}]");
        let Value::Object(mut map) = message else {
            return Err(ApiError::invalid(
                &at,
                "a message must be an object {role, content}",
            ));
        };
        let role = match map.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => "system",
            Some("user") => "user",
            Some("assistant") => "assistant",
            Some("tool" | "function") => "tool",
            _ => {
                return Err(ApiError::invalid(
                    &format!("{at}.role"),
                    "role must be system, developer, user, assistant or tool",
                ));
            }
        };
        let given = |name: &str| {
            map.get(name).filter(|value| {
                !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
            })
        };
        if given("audio").is_some() {
            return Err(ApiError::unsupported(
                &format!("{at}.audio"),
                "audio is not supported",
            ));
        }
        let calls = calls(given("tool_calls"), given("function_call"), &at)?;
        let said = content(map.remove("content"), &at)?;
        out.push(match role {
            "tool" => ChatMessage {
                role: "user",
                content: format!("<tool_response>\n{said}\n</tool_response>"),
            },
            role if calls.is_empty() => ChatMessage {
                role,
                content: said,
            },
            role => ChatMessage {
                role,
                content: [said, calls].join("\n").trim_start().to_owned(),
            },
        });
    }
    Ok(out)
}

fn required_model(params: &mut Params) -> ApiResult<String> {
    match params.string("model")? {
        Some(model) if !model.is_empty() && model.len() <= 200 => Ok(model),
        _ => Err(ApiError::invalid(
            "model",
            "model must name a model; GET /v1/models lists them",
        )),
    }
}

impl ChatRequest {
    /// Reads the body of `POST /v1/chat/completions`.
    pub fn parse(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let model = required_model(&mut params)?;
        let messages = messages(&mut params)?;
        let stream = params.bool("stream")?;
        let include_usage = match params.take("stream_options") {
            None => false,
            Some(Value::Object(_)) if !stream => {
                return Err(ApiError::invalid(
                    "stream_options",
                    "stream_options is only allowed with stream: true",
                ));
            }
            Some(Value::Object(map)) => map
                .get("include_usage")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            Some(_) => {
                return Err(ApiError::invalid(
                    "stream_options",
                    "stream_options must be an object",
                ));
            }
        };
        let n = params.integer("n", 1, u64::from(MAX_CHOICES))?.unwrap_or(1) as u32;
        let logprobs = params.bool("logprobs")?;
        let top_logprobs = match params.take("top_logprobs") {
            None => logprobs.then_some(0),
            Some(value) => match value.as_u64() {
                Some(0) if !logprobs => None,
                Some(_) if !logprobs => {
                    return Err(ApiError::invalid(
                        "top_logprobs",
                        "top_logprobs needs logprobs: true",
                    ));
                }
                Some(count) if count <= MAX_TOP_LOGPROBS => Some(count as u8),
                Some(count) if count <= 20 => {
                    return Err(ApiError::unsupported(
                        "top_logprobs",
                        format!(
                            "top_logprobs is at most {MAX_TOP_LOGPROBS} here: a fingerprint keeps four candidates"
                        ),
                    ));
                }
                _ => {
                    return Err(ApiError::invalid(
                        "top_logprobs",
                        "top_logprobs must be an integer from 0 to 4",
                    ));
                }
            },
        };
        let request = Self {
            model,
            messages,
            is_prompt: false,
            stream,
            include_usage,
            n,
            max_tokens: max_tokens(&mut params)?,
            temperature_milli: temperature(&mut params)?,
            seed: seed(&mut params)?,
            stop: stops(&mut params)?,
            top_logprobs,
            payment: payment(&mut params)?,
        };
        if request.payment.is_some() && request.n != 1 {
            return Err(ApiError::invalid(
                "n",
                "a request paid by its own transaction has one choice",
            ));
        }
        params.finish()?;
        Ok(request)
    }

    /// Reads the body of `POST /v1/inference`: one prompt, no stream.
    pub fn parse_inference(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let request = Self {
            model: required_model(&mut params)?,
            messages: vec![ChatMessage {
                role: "user",
                content: prompt(&mut params)?,
            }],
            is_prompt: true,
            stream: false,
            include_usage: false,
            n: 1,
            max_tokens: max_tokens(&mut params)?,
            temperature_milli: temperature(&mut params)?,
            seed: seed(&mut params)?,
            stop: stops(&mut params)?,
            top_logprobs: None,
            payment: payment(&mut params)?,
        };
        params.finish()?;
        Ok(request)
    }

    /// Reads the body of `POST /v1/estimate`: a prompt, or messages, and the limits of the answer.
    pub fn parse_estimate(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let model = required_model(&mut params)?;
        let is_prompt = !params.0.contains_key("messages");
        let messages = if !is_prompt {
            messages(&mut params)?
        } else {
            vec![ChatMessage {
                role: "user",
                content: prompt(&mut params)?,
            }]
        };
        let request = Self {
            model,
            messages,
            is_prompt,
            stream: false,
            include_usage: false,
            n: params.integer("n", 1, u64::from(MAX_CHOICES))?.unwrap_or(1) as u32,
            max_tokens: max_tokens(&mut params)?,
            temperature_milli: temperature(&mut params)?,
            seed: seed(&mut params)?,
            stop: stops(&mut params)?,
            top_logprobs: None,
            payment: None,
        };
        params.finish()?;
        Ok(request)
    }
}

fn prompt(params: &mut Params) -> ApiResult<String> {
    match params.string("prompt")? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(ApiError::invalid(
            "prompt",
            "prompt must be a string that is not empty",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(extra: Value) -> ApiResult<ChatRequest> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        ChatRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn defaults_are_temperature_one_and_one_choice() {
        let request = parse(json!({})).unwrap();
        assert_eq!(
            (
                request.temperature_milli,
                request.n,
                request.max_tokens,
                request.top_logprobs
            ),
            (1000, 1, None, None)
        );
    }

    #[test]
    fn neutral_and_idle_parameters_are_accepted() {
        parse(json!({"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "tools": [], "tool_choice": "auto",
            "response_format": {"type": "text"}, "user": "u", "store": false, "metadata": {"a": "b"}, "functions": null}))
        .unwrap();
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        for (name, value) in [
            ("top_p", json!(0.9)),
            ("presence_penalty", json!(0.1)),
            ("frequency_penalty", json!(-1)),
            ("logit_bias", json!({"1": 5})),
            ("tools", json!([{"type": "function"}])),
            ("response_format", json!({"type": "json_schema"})),
            ("response_format", json!({"type": "json_object"})),
            ("reasoning_effort", json!("high")),
            ("top_k", json!(5)),
            ("verbosity", json!("low")),
            ("web_search_options", json!({})),
            ("top_logprobs", json!(5)),
        ] {
            let error = parse(json!({"logprobs": true, name: value})).unwrap_err();
            assert_eq!(
                (error.status, error.code.as_str(), error.param.as_deref()),
                (400, "unsupported_parameter", Some(name))
            );
        }
    }

    #[test]
    fn wrong_values_name_their_parameter() {
        for (name, value) in [
            ("n", json!(0)),
            ("n", json!(9)),
            ("temperature", json!(2.1)),
            ("temperature", json!("hot")),
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(-4)),
            ("seed", json!("x")),
            ("stop", json!(["a", "b", "c", "d", "e"])),
            ("stop", json!("")),
            ("stop", json!("\u{0}")),
            ("stop", json!(["a", "b\u{0}"])),
            ("stream", json!("yes")),
            ("stream_options", json!({"include_usage": true})),
            ("messages", json!([])),
            ("model", json!("")),
        ] {
            let error = parse(json!({name: value})).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.param.as_deref()),
                ("invalid_request", Some(name)),
                "{value}"
            );
        }
    }

    #[test]
    fn text_parts_are_joined_and_developer_is_system() {
        let request = parse(json!({"messages": [
            {"role": "developer", "content": "rules"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
        ]}))
        .unwrap();
        assert_eq!(request.messages[0].role, "system");
        assert_eq!(request.messages[1].content, "ab");
        let error = parse(json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("messages[0].content[0]"));
    }

    #[test]
    fn what_changes_nothing_is_accepted() {
        for (name, value) in [
            ("top_k", json!(4)),
            ("top_k", json!(0)),
            ("top_k", json!(-1)),
            ("service_tier", json!("flex")),
            ("reasoning_effort", json!("none")),
            ("verbosity", json!("medium")),
            ("prediction", json!({"type": "content", "content": "x"})),
            ("metadata", json!({"a": "b"})),
            ("store", json!(true)),
            ("user", json!("me")),
            ("messages", json!([{"role": "user", "content": ""}])),
        ] {
            parse(json!({name: value})).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        parse(json!({"tools": [{"type": "function"}], "tool_choice": "none"})).unwrap();
        for (name, value) in [
            ("metadata", json!("x")),
            ("metadata", json!({"a": 1})),
            ("user", json!(5)),
            ("store", json!("yes")),
        ] {
            let error = parse(json!({name: value})).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(name));
        }
    }

    #[test]
    fn calls_of_earlier_turns_are_history() {
        let request = parse(json!({"messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "get", "arguments": "{\"city\": \"Bern\"}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "sunny"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ]}))
        .unwrap();
        assert_eq!(
            request.messages[1].content,
            "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"Bern\"}}\n</tool_call>"
        );
        assert_eq!(request.messages[2].role, "user");
        assert_eq!(
            request.messages[2].content,
            "<tool_response>\nsunny\n</tool_response>"
        );
        assert_eq!(request.messages[3].content, "no");
        let error = parse(json!({"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]}));
        assert_eq!(
            error.unwrap_err().param.as_deref(),
            Some("messages[0].tool_calls")
        );
    }

    #[test]
    fn max_completion_tokens_goes_before_max_tokens() {
        assert_eq!(
            parse(json!({"max_tokens": 3, "max_completion_tokens": 5}))
                .unwrap()
                .max_tokens,
            Some(5)
        );
    }

    #[test]
    fn malformed_json_is_said_to_be_so() {
        assert_eq!(ChatRequest::parse(b"{").unwrap_err().code, "invalid_json");
        assert_eq!(ChatRequest::parse(b"[]").unwrap_err().code, "invalid_json");
    }

    #[test]
    fn a_client_transaction_needs_its_salt() {
        let error = parse(json!({"mythic": {"transaction": "AA=="}})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("mythic.salt"));
        assert!(parse(json!({"mythic": {"transaction": "AA==", "salt": "00112233445566778899aabbccddeeff"}})).is_ok());
    }
}
