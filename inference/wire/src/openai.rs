//! The shapes of OpenAI's API, as gateway and node write and read them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Finish;

/// An error as OpenAI's clients expect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// Inside of [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// For people; names the mend where there is one.
    pub message: String,
    /// Class, for example `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Parameter at fault, if one is.
    pub param: Option<String>,
    /// Stable name, for example `capacity`.
    pub code: Option<String>,
}

impl ErrorBody {
    /// An error with a class and a code.
    pub fn new(kind: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            error: ErrorDetail {
                message: message.into(),
                kind: kind.into(),
                param: None,
                code: Some(code.into()),
            },
        }
    }
}

/// Why a message's content is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Neither text nor parts.
    #[error("content must be a string or a list of parts")]
    Shape,
    /// A part without type or text.
    #[error("a content part needs type and text")]
    Part {
        /// Index of the part.
        at: usize,
    },
    /// A part of another type than text.
    #[error("content parts of type {kind:?} are not supported, only text")]
    Kind {
        /// Index of the part.
        at: usize,
        /// Its type.
        kind: String,
    },
}

/// The text of a message's `content`: a string, a list of text parts, or nothing.
pub fn text_of(content: Option<&Value>) -> Result<String, ContentError> {
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let mut joined = String::new();
            for (at, part) in parts.iter().enumerate() {
                let word = |name: &str| part.get(name).and_then(Value::as_str);
                match (word("type"), word("text")) {
                    (Some("text"), Some(text)) => joined.push_str(text),
                    (Some(kind), _) if kind != "text" => {
                        let kind = kind.chars().take(40).collect();
                        return Err(ContentError::Kind { at, kind });
                    }
                    _ => return Err(ContentError::Part { at }),
                }
            }
            Ok(joined)
        }
        Some(_) => Err(ContentError::Shape),
    }
}

/// A model's id: its name, `@` and the first eight hex digits of its identity.
pub fn model_id(name: &str, identity: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = identity;
    format!("{name}@{}", hex::encode([*a, *b, *c, *d]))
}

/// OpenAI's word for why an output ended. A cancelled one stops where its reader left.
pub fn finish_reason(reason: Finish) -> &'static str {
    match reason {
        Finish::Eos | Finish::Stopped => "stop",
        Finish::Length | Finish::Cancelled => "length",
    }
}

/// Tokens of a completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt, once.
    pub prompt_tokens: u64,
    /// Of all choices.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
}

impl Usage {
    /// Of a prompt and what came of it.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        }
    }
}

/// What stays the same over all chunks of one chat completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The completion's id.
    pub id: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's id.
    pub model: String,
    /// What computed it, `system_fingerprint`.
    pub system: String,
}

/// A chat completion, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatCompletion<L = Value> {
    /// The completion's id.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's id.
    pub model: String,
    /// What computed it.
    pub system_fingerprint: String,
    /// The answers.
    pub choices: Vec<Choice<L>>,
    /// Tokens.
    pub usage: Usage,
}

/// One answer of a completion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice<L = Value> {
    /// From 0.
    pub index: u32,
    /// What the assistant says.
    pub message: Message,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<L>,
    /// `stop` or `length`.
    pub finish_reason: String,
}

/// What the assistant says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
    /// Always null.
    pub refusal: Option<String>,
}

/// A part of a chat completion that streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatChunk<L = Value> {
    /// The completion's id.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The model's id.
    pub model: String,
    /// What computed it.
    pub system_fingerprint: String,
    /// What came, one choice a chunk; none beside the usage.
    pub choices: Vec<ChunkChoice<L>>,
    /// Tokens, in the last chunk if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What a chunk adds to a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkChoice<L = Value> {
    /// From 0.
    pub index: u32,
    /// What is new.
    pub delta: Delta,
    /// Log-probabilities, if asked for.
    pub logprobs: Option<L>,
    /// `stop` or `length` at the end.
    pub finish_reason: Option<String>,
}

/// What is new of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// `assistant`, at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl Frame {
    /// A whole completion of one choice.
    pub fn whole<L>(&self, text: String, finish: Finish, usage: Usage) -> ChatCompletion<L> {
        ChatCompletion {
            id: self.id.clone(),
            object: "chat.completion".into(),
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.system.clone(),
            choices: vec![Choice {
                index: 0,
                message: Message {
                    role: "assistant".into(),
                    content: text,
                    refusal: None,
                },
                logprobs: None,
                finish_reason: finish_reason(finish).into(),
            }],
            usage,
        }
    }

    /// A chunk with these choices.
    pub fn chunk<L>(&self, choices: Vec<ChunkChoice<L>>) -> ChatChunk<L> {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".into(),
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.system.clone(),
            choices,
            usage: None,
        }
    }

    /// The first chunk of a choice.
    pub fn opening<L>(&self, index: u32) -> ChatChunk<L> {
        let delta = Delta {
            role: Some("assistant".into()),
            content: Some(String::new()),
        };
        self.chunk(vec![ChunkChoice {
            index,
            delta,
            logprobs: None,
            finish_reason: None,
        }])
    }

    /// Text of a choice.
    pub fn text<L>(&self, index: u32, text: String, logprobs: Option<L>) -> ChatChunk<L> {
        let delta = Delta {
            role: None,
            content: Some(text),
        };
        self.chunk(vec![ChunkChoice {
            index,
            delta,
            logprobs,
            finish_reason: None,
        }])
    }

    /// The last chunk of a choice.
    pub fn closing<L>(&self, index: u32, finish: Finish) -> ChatChunk<L> {
        self.chunk(vec![ChunkChoice {
            index,
            delta: Delta::default(),
            logprobs: None,
            finish_reason: Some(finish_reason(finish).into()),
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn content_is_text_or_parts_of_text() {
        let read = |content: Value| text_of(Some(&content));
        assert_eq!(read(json!("hi")).unwrap(), "hi");
        assert_eq!(read(json!(null)).unwrap(), "");
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(read(parts).unwrap(), "ab");
        assert_eq!(
            read(json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}])),
            Err(ContentError::Kind {
                at: 1,
                kind: "image_url".into()
            })
        );
        assert_eq!(
            read(json!([{"type": "text"}])),
            Err(ContentError::Part { at: 0 })
        );
        assert_eq!(read(json!(7)), Err(ContentError::Shape));
    }

    #[test]
    fn a_stream_opens_speaks_and_closes() {
        let frame = Frame {
            id: "chatcmpl-1".into(),
            created: 7,
            model: "m@0".into(),
            system: "fp".into(),
        };
        let value = |chunk: ChatChunk| serde_json::to_value(chunk).unwrap();
        let opening = value(frame.opening(0));
        assert_eq!(
            opening["choices"][0]["delta"],
            json!({"role": "assistant", "content": ""})
        );
        assert_eq!(opening["choices"][0]["finish_reason"], json!(null));
        let text = value(frame.text(0, "hi".into(), None));
        assert_eq!(text["choices"][0]["delta"], json!({"content": "hi"}));
        let closing = value(frame.closing(0, Finish::Length));
        assert_eq!(closing["choices"][0]["finish_reason"], "length");
        assert_eq!(closing["choices"][0]["delta"], json!({}));
        let whole: ChatCompletion = frame.whole("hi".into(), Finish::Eos, Usage::new(3, 2));
        let whole = serde_json::to_value(whole).unwrap();
        assert_eq!(whole["choices"][0]["message"]["content"], "hi");
        assert_eq!(whole["usage"]["total_tokens"], 5);
    }
}
