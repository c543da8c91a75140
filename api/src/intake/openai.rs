//! What a chat request means: parsing and refusing, without I/O.

use serde_json::Value;

use super::{
    history::{ChatMessage, messages},
    params::{ClientPayment, Params, max_tokens, payment, seed, stops, temperature},
};
use crate::error::{ApiError, ApiResult};

/// Most choices of one request; each is a job.
pub const MAX_CHOICES: u32 = 8;
/// Most alternatives a position can show: the chain's fingerprint keeps four.
pub const MAX_TOP_LOGPROBS: u64 = 4;
/// Output tokens when the client names no limit.
pub const DEFAULT_MAX_TOKENS: u32 = 512;

/// A chat request after all checks that need no chain and no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    /// As the client wrote it; `None`: the gateway's default.
    pub model: Option<String>,
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

fn model(params: &mut Params) -> ApiResult<Option<String>> {
    match params.string("model")? {
        Some(name) if name.is_empty() || name.len() > 200 => Err(ApiError::invalid(
            "model",
            "model must name a model; GET /v1/models lists them",
        )),
        name => Ok(name),
    }
}

impl ChatRequest {
    /// Reads the body of `POST /v1/chat/completions`.
    pub fn parse(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let model = model(&mut params)?;
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
            model: model(&mut params)?,
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
        let model = model(&mut params)?;
        let is_prompt = !params.has("messages");
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
    fn a_request_may_leave_the_model_to_the_gateway() {
        assert_eq!(parse(json!({})).unwrap().model.as_deref(), Some("m"));
        assert_eq!(parse(json!({"model": null})).unwrap().model, None);
        let prompt = br#"{"prompt": "hi"}"#;
        assert_eq!(ChatRequest::parse_inference(prompt).unwrap().model, None);
        assert_eq!(ChatRequest::parse_estimate(prompt).unwrap().model, None);
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
