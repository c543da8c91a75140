//! Parameters of a request, read one by one rather than by a derived deserialiser, so that every refusal names its parameter, and
//! nothing that would change the answer is dropped in silence.

use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// Most stop strings, as OpenAI has it.
pub const MAX_STOPS: usize = 4;
/// Longest stop string, in bytes.
pub const MAX_STOP_BYTES: usize = 256;
/// Most output tokens that can be asked for: what the chain takes of one answer.
pub const MAX_ASKED: u64 = mythic_interface::params::MAX_OUTPUT_TOKENS as u64;

/// A transaction that the client signed itself to pay this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPayment {
    /// Base64 of the signed transaction (RequestInference, the operator's signature may be missing).
    pub transaction: String,
    /// The salt of `prompt_hash`, 16 bytes.
    pub salt: [u8; 16],
}

/// Says whether a value leaves the answer as it is without the parameter.
fn neutral(name: &str, value: &Value) -> bool {
    match name {
        // Of llama.cpp and vLLM, switched off.
        "typical_p" | "tfs_z" | "length_penalty" => value.as_f64() == Some(1.0),
        "mirostat" => value.as_i64() == Some(0),
        "best_of" => value.as_u64() == Some(1),
        "echo" | "ignore_eos" | "use_beam_search" => value.as_bool() == Some(false),
        "suffix" => value.as_str() == Some(""),
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
];

fn refusal(name: &str) -> ApiError {
    let why = match name {
        "functions" | "function_call" => {
            "it is the older form of tools and tool_choice, which POST /v1/chat/completions takes"
        }
        "tools" | "tool_choice" => {
            "functions are called in POST /v1/chat/completions and POST /v1/responses"
        }
        "suffix" | "echo" => "an answer is what the model writes behind the prompt",
        "best_of" => "every answer is paid for and shown; n asks for several",
        "reasoning" => "POST /v1/responses takes it; elsewhere it is called reasoning_effort",
        "reasoning_effort" | "enable_thinking" | "chat_template_kwargs" | "documents" => {
            "chat templates read it: POST /v1/chat/completions takes it"
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
pub(super) struct Params(Map<String, Value>);

impl Params {
    pub(super) fn new(body: &[u8]) -> ApiResult<Self> {
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
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// The value of a parameter that stays to be read; null counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Takes a parameter by the name that it has elsewhere.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(value) = self.take(from) {
            self.set(to, value);
        }
    }

    /// Gives a parameter a value that is somewhere else in the body.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn string(&mut self, name: &str) -> ApiResult<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(name, format!("{name} must be a string"))),
        }
    }

    pub(super) fn bool(&mut self, name: &str) -> ApiResult<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(ApiError::invalid(
                name,
                format!("{name} must be true or false"),
            )),
        }
    }

    pub(super) fn integer(&mut self, name: &str, low: u64, high: u64) -> ApiResult<Option<u64>> {
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

    pub(super) fn finish(mut self) -> ApiResult<()> {
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
        // Functions that the model is told not to call change nothing.
        for (choice, list) in [("tool_choice", "tools"), ("function_call", "functions")] {
            if self.0.get(choice).and_then(Value::as_str) == Some("none") {
                self.take(list);
            }
        }
        for (name, value) in &self.0 {
            if !(value.is_null() || IGNORED.contains(&name.as_str()) || neutral(name, value)) {
                return Err(refusal(name));
            }
        }
        Ok(())
    }
}

pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 40 {
        text
    } else {
        format!("{}…", text.chars().take(40).collect::<String>())
    }
}

pub(super) fn max_tokens(params: &mut Params) -> ApiResult<Option<u32>> {
    let newer = params.integer("max_completion_tokens", 1, MAX_ASKED)?;
    let older = params.integer("max_tokens", 1, MAX_ASKED)?;
    Ok(newer.or(older).and_then(|n| u32::try_from(n).ok()))
}

pub(super) fn temperature(params: &mut Params) -> ApiResult<u16> {
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

pub(super) fn seed(params: &mut Params) -> ApiResult<Option<i64>> {
    match params.take("seed") {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(seed) => Ok(Some(seed)),
            None => Err(ApiError::invalid("seed", "seed must be a 64-bit integer")),
        },
    }
}

pub(super) fn stops(params: &mut Params) -> ApiResult<Vec<String>> {
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

pub(super) fn payment(params: &mut Params) -> ApiResult<Option<ClientPayment>> {
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
