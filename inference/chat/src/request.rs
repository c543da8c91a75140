//! A chat request as OpenAI's clients write it; what can't be honoured is refused.

use mythic_engine::{GenerateRequest, Sampler};
use mythic_model::prompt::Message;
use mythic_wire::openai;
use serde::Deserialize;
use serde_json::Value;

/// Tokens of an answer without a limit of its own.
const DEFAULT_TOKENS: u32 = 512;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The model's id, if one is named.
    #[serde(default)]
    pub model: Option<String>,
    /// Whether the answer comes as a stream.
    #[serde(default)]
    pub stream: bool,
    messages: Vec<ChatMessage>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    stop: Option<Stop>,
}

/// A message; its content is a string or a list of text parts.
#[derive(Debug, Deserialize)]
struct ChatMessage {
    role: String,
    #[serde(default)]
    content: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

impl ChatRequest {
    /// Reads a body.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("body: {error}"))
    }

    /// The messages as the model's template takes them, or what is wrong with which.
    pub fn messages(&self) -> Result<Vec<Message>, String> {
        let messages = self.messages.iter().enumerate();
        messages
            .map(|(at, message)| {
                let text = openai::text_of(message.content.as_ref());
                let text = text.map_err(|error| format!("messages[{at}]: {error}"))?;
                Ok(Message::new(message.role.clone(), text))
            })
            .collect()
    }

    /// What an engine with this context is asked for a prompt.
    pub fn generate(self, prompt_ids: Vec<u32>, context: u32) -> GenerateRequest {
        let room = (context as usize).saturating_sub(prompt_ids.len());
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let limit = self.max_completion_tokens.or(self.max_tokens);
        GenerateRequest {
            prompt_ids,
            max_tokens: limit.unwrap_or(DEFAULT_TOKENS.min(room)),
            sampler: Sampler::Free {
                temperature: self.temperature.unwrap_or(1.0),
                top_p: self.top_p.unwrap_or(1.0),
                seed: self.seed.unwrap_or_else(rand::random),
            },
            stop: match self.stop {
                None => Vec::new(),
                Some(Stop::One(text)) => vec![text],
                Some(Stop::Many(list)) => list,
            },
            logprobs: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_parts_are_joined_and_others_named() {
        let read = |text: &str| ChatRequest::read(text.as_bytes()).unwrap().messages();
        let parts = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]}"#;
        assert_eq!(read(parts).unwrap(), [Message::new("user", "hi")]);
        let image = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "image_url"}]}]}"#;
        let error = read(image).unwrap_err();
        assert!(
            error.starts_with("messages[1]: ") && error.contains("image_url"),
            "{error}"
        );
    }

    #[test]
    fn what_can_not_be_honoured_is_refused_and_limits_are_kept() {
        let refused = ChatRequest::read(br#"{"messages": [], "tools": []}"#).unwrap_err();
        assert!(refused.contains("tools"), "{refused}");
        let asked = |text: &str| {
            let request = ChatRequest::read(text.as_bytes()).unwrap();
            request.generate(vec![1; 10], 100)
        };
        assert_eq!(asked(r#"{"messages": []}"#).max_tokens, 90);
        let both = r#"{"messages": [], "max_tokens": 7, "max_completion_tokens": 5, "stop": "x"}"#;
        let both = asked(both);
        assert_eq!((both.max_tokens, both.stop), (5, vec!["x".to_owned()]));
    }
}
