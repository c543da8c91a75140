//! The messages of a conversation as the model is told them.

use serde_json::Value;

use super::params::{Params, short};
use crate::error::{ApiError, ApiResult};

/// Most messages of a conversation.
pub const MAX_MESSAGES: usize = 4096;

/// One message of a conversation; `role` is `system`, `user` or `assistant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: &'static str,
    /// What is said.
    pub content: String,
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
