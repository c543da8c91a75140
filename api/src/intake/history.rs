//! The messages of a conversation as the model is told them.

use serde_json::Value;

use super::params::{Params, short};
use crate::error::{ApiError, ApiResult};

/// Most messages of a conversation.
pub const MAX_MESSAGES: usize = 4096;

/// A call of an earlier turn.
#[derive(Debug, Clone, PartialEq)]
pub struct PastCall {
    /// As whoever ran it answers to it.
    pub id: String,
    pub name: String,
    /// An object; a string where the model's own text was none.
    pub arguments: Value,
}

/// One message of a conversation; `role` is `system`, `user`, `assistant` or `tool`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: &'static str,
    /// What is said.
    pub content: String,
    /// What an assistant called.
    pub calls: Vec<PastCall>,
    /// Which call the result of a tool answers.
    pub answers: Option<String>,
}

impl ChatMessage {
    /// What a user says.
    pub fn user(content: String) -> Self {
        Self {
            role: "user",
            content,
            ..Self::default()
        }
    }

    /// Bytes that a model is told of it at least.
    pub fn bytes(&self) -> usize {
        let calls = self.calls.iter();
        let called = calls.map(|call| call.name.len() + call.arguments.to_string().len());
        self.content.len() + called.sum::<usize>()
    }
}

pub(super) fn content(value: Option<Value>, at: &str) -> ApiResult<String> {
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
                    (Some("text" | "input_text" | "output_text"), Some(text)) => {
                        joined.push_str(text);
                    }
                    (Some("refusal"), _) if part.get("refusal").is_some_and(Value::is_string) => {
                        joined.push_str(
                            part.get("refusal")
                                .and_then(Value::as_str)
                                .unwrap_or_default(),
                        );
                    }
                    (Some(other), _) if !other.ends_with("text") => {
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

/// A call of an earlier turn: its arguments are JSON in a string, as OpenAI has them.
pub(super) fn past_call(id: Option<&str>, call: &Value, at: &str) -> ApiResult<PastCall> {
    let text = |field: &str| call.get(field).and_then(Value::as_str);
    let Some((name, arguments)) = text("name").zip(text("arguments")) else {
        return Err(ApiError::invalid(
            at,
            "a call needs the name of a function and its arguments, JSON in a string",
        ));
    };
    let object = serde_json::from_str::<Value>(arguments)
        .ok()
        .filter(Value::is_object);
    Ok(PastCall {
        id: id.unwrap_or(name).to_owned(),
        name: name.to_owned(),
        arguments: object.unwrap_or_else(|| Value::from(arguments)),
    })
}

/// Calls of an earlier turn, by `tool_calls` or, as it was before, `function_call`.
fn calls(tools: Option<&Value>, function: Option<&Value>, at: &str) -> ApiResult<Vec<PastCall>> {
    let mut out = Vec::new();
    if let Some(tools) = tools {
        let at = format!("{at}.tool_calls");
        let list = tools
            .as_array()
            .ok_or_else(|| ApiError::invalid(&at, "tool_calls must be a list of calls"))?;
        for call in list {
            let id = call.get("id").and_then(Value::as_str);
            out.push(past_call(
                id,
                call.get("function").unwrap_or(&Value::Null),
                &at,
            )?);
        }
    }
    if let Some(function) = function {
        out.push(past_call(None, function, &format!("{at}.function_call"))?);
    }
    Ok(out)
}

/// Reads `messages`.
pub(super) fn messages(params: &mut Params) -> ApiResult<Vec<ChatMessage>> {
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
        let calls = match role {
            "assistant" => calls(given("tool_calls"), given("function_call"), &at)?,
            _ => Vec::new(),
        };
        let answers = match role {
            // The older role "function" names the function instead.
            "tool" => ["tool_call_id", "name"]
                .iter()
                .find_map(|name| map.get(*name)?.as_str().map(str::to_owned)),
            _ => None,
        };
        out.push(ChatMessage {
            role,
            content: content(map.remove("content"), &at)?,
            calls,
            answers,
        });
    }
    Ok(out)
}
