//! What a chat request means: parsing and refusing, without I/O.

use mythic_model::prompt::TemplateOptions;
use serde_json::Value;

use super::{
    format::{Format, response_format},
    history::{ChatMessage, messages},
    options::{Drawing, drawing},
    params::{ClientPayment, Params, max_tokens, payment, seed, stops, temperature},
    template::template,
    tools::{Nesting, Tools, tools},
};
use crate::error::{ApiError, ApiResult};

/// Most choices of one request; each is a job.
pub const MAX_CHOICES: u32 = 8;
/// Most alternatives a position can show: the chain's fingerprint keeps four.
pub const MAX_TOP_LOGPROBS: u64 = 4;
/// Output tokens when the client names no limit.
pub const DEFAULT_MAX_TOKENS: u32 = 512;

/// What the model is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// A conversation, at least one message.
    Chat(Vec<ChatMessage>),
    /// A user's message for a model with a chat template, the text itself for one without.
    Prompt(String),
    /// The text itself.
    Text(String),
    /// The tokens themselves.
    Ids(Vec<u32>),
}

/// A chat request after all checks that need no chain and no model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// As the client wrote it; `None`: the gateway's default.
    pub model: Option<String>,
    pub given: Given,
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
    /// How tokens are chosen beside temperature and seed.
    pub drawing: Drawing,
    /// What the answer's text has to be.
    pub format: Format,
    /// What the model may call.
    pub tools: Option<Tools>,
    /// What the chat template is told beside the conversation.
    pub template: TemplateOptions,
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

/// Whether an answer streams, and whether the stream ends with its usage.
pub(super) fn streaming(params: &mut Params) -> ApiResult<(bool, bool)> {
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
    Ok((stream, include_usage))
}

/// `top_logprobs`: how many candidates are shown, where log-probabilities are.
pub(super) fn top_logprobs(params: &mut Params, logprobs: bool) -> ApiResult<Option<u8>> {
    let Some(value) = params.take("top_logprobs") else {
        return Ok(logprobs.then_some(0));
    };
    match value.as_u64() {
        Some(0) if !logprobs => Ok(None),
        Some(_) if !logprobs => Err(ApiError::invalid(
            "top_logprobs",
            "top_logprobs needs logprobs: true",
        )),
        Some(count) if count <= MAX_TOP_LOGPROBS => Ok(Some(count as u8)),
        Some(count) if count <= 20 => Err(ApiError::unsupported(
            "top_logprobs",
            format!(
                "top_logprobs is at most {MAX_TOP_LOGPROBS} here: a fingerprint keeps four candidates"
            ),
        )),
        _ => Err(ApiError::invalid(
            "top_logprobs",
            "top_logprobs must be an integer from 0 to 4",
        )),
    }
}

pub(super) fn choices(params: &mut Params) -> ApiResult<u32> {
    let n = params.integer("n", 1, u64::from(MAX_CHOICES))?;
    Ok(n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1))
}

impl ChatRequest {
    /// What all bodies have: the model, limits, and how tokens are chosen. One answer of text, whole, paid by a key.
    pub(super) fn read(params: &mut Params, given: Given) -> ApiResult<Self> {
        let temperature_milli = temperature(params)?;
        Ok(Self {
            model: model(params)?,
            given,
            stream: false,
            include_usage: false,
            n: 1,
            max_tokens: max_tokens(params)?,
            temperature_milli,
            seed: seed(params)?,
            stop: stops(params)?,
            drawing: drawing(params, temperature_milli)?,
            format: Format::Text,
            tools: None,
            template: TemplateOptions::default(),
            top_logprobs: None,
            payment: None,
        })
    }

    /// Reads the body of `POST /v1/chat/completions`.
    pub fn parse(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let given = Given::Chat(messages(&mut params)?);
        let (stream, include_usage) = streaming(&mut params)?;
        let logprobs = params.bool("logprobs")?;
        let request = Self {
            stream,
            include_usage,
            n: choices(&mut params)?,
            top_logprobs: top_logprobs(&mut params, logprobs)?,
            format: response_format(&mut params)?,
            tools: tools(&mut params, Nesting::Under)?,
            template: template(&mut params)?,
            payment: payment(&mut params)?,
            ..Self::read(&mut params, given)?
        };
        request.check_payment()?;
        params.finish()?;
        Ok(request)
    }

    /// Reads the body of `POST /v1/inference`: one prompt, no stream.
    pub fn parse_inference(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let given = Given::Prompt(prompt(&mut params)?);
        let request = Self {
            format: response_format(&mut params)?,
            payment: payment(&mut params)?,
            ..Self::read(&mut params, given)?
        };
        params.finish()?;
        Ok(request)
    }

    /// Reads the body of `POST /v1/estimate`: a prompt, or messages, and what else of a request its price or terms depend on.
    pub fn parse_estimate(body: &[u8]) -> ApiResult<Self> {
        let mut params = Params::new(body)?;
        let given = match params.has("messages") {
            true => Given::Chat(messages(&mut params)?),
            false => Given::Prompt(prompt(&mut params)?),
        };
        let (tools, template) = match &given {
            Given::Chat(_) => (tools(&mut params, Nesting::Under)?, template(&mut params)?),
            // A plain prompt is told of neither.
            _ => (None, TemplateOptions::default()),
        };
        let request = Self {
            n: choices(&mut params)?,
            format: response_format(&mut params)?,
            tools,
            template,
            ..Self::read(&mut params, given)?
        };
        params.finish()?;
        Ok(request)
    }

    /// A transaction pays for one job.
    pub(super) fn check_payment(&self) -> ApiResult<()> {
        match self.payment.is_some() && self.n != 1 {
            true => Err(ApiError::invalid(
                "n",
                "a request paid by its own transaction has one choice",
            )),
            false => Ok(()),
        }
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
    use crate::intake::history::PastCall;
    use serde_json::json;

    fn parse(extra: Value) -> ApiResult<ChatRequest> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        ChatRequest::parse(body.to_string().as_bytes())
    }

    fn conversation(request: &ChatRequest) -> &[ChatMessage] {
        match &request.given {
            Given::Chat(messages) => messages,
            other => panic!("{other:?}"),
        }
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
            ("functions", json!([{"name": "f"}])),
            ("response_format", json!({"type": "grammar"})),
            ("reasoning_effort", json!("extreme")),
            ("mirostat", json!(2)),
            ("best_of", json!(2)),
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
            ("top_p", json!(2)),
            ("tools", json!("f")),
            ("response_format", json!("json")),
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
        let messages = conversation(&request);
        assert_eq!(messages[0].role, "system");
        assert_eq!(messages[1].content, "ab");
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
        let uncalled = json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"});
        assert_eq!(parse(uncalled).unwrap().tools, None);
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
        let messages = conversation(&request);
        assert_eq!(
            messages[1].calls,
            [PastCall {
                id: "c".into(),
                name: "get".into(),
                arguments: json!({"city": "Bern"})
            }]
        );
        assert_eq!(
            (messages[2].role, messages[2].content.as_str()),
            ("tool", "sunny")
        );
        assert_eq!(messages[2].answers.as_deref(), Some("c"));
        assert_eq!(messages[3].content, "no");
        let error = parse(json!({"messages": [{"role": "assistant", "tool_calls": [{"id": 1}]}]}));
        assert_eq!(
            error.unwrap_err().param.as_deref(),
            Some("messages[0].tool_calls")
        );
    }

    #[test]
    fn what_shapes_an_answer_is_read() {
        let request = parse(
            json!({"top_p": 0.9, "response_format": {"type": "json_object"},
            "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}),
        )
        .unwrap();
        assert_eq!(request.drawing.named, Some("top_p"));
        assert_eq!(request.format, Format::Object);
        assert_eq!(request.tools.unwrap().list[0].name, "f");
        let estimate = br#"{"prompt": "hi", "response_format": {"type": "json_object"}, "logit_bias": {"7": 1}}"#;
        let estimate = ChatRequest::parse_estimate(estimate).unwrap();
        assert_eq!(estimate.drawing.options.logit_bias, [(7, 1_000)]);
        let tools =
            br#"{"prompt": "hi", "tools": [{"type": "function", "function": {"name": "f"}}]}"#;
        for refused in [
            ChatRequest::parse_inference(tools),
            ChatRequest::parse_estimate(tools),
        ] {
            assert_eq!(refused.unwrap_err().param.as_deref(), Some("tools"));
        }
        let thinking = br#"{"prompt": "hi", "reasoning_effort": "low"}"#;
        for refused in [
            ChatRequest::parse_inference(thinking),
            ChatRequest::parse_estimate(thinking),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.param.as_deref(), Some("reasoning_effort"));
        }
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
