//! Unbilled answers of one's own node, in OpenAI's shapes.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, OriginalUri, State},
    http::{HeaderMap, Uri},
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt, stream};
use mythic_engine::{EngineError, GenerateRequest, Sampler};
use mythic_model::prompt::Message;
use mythic_wire::{
    ErrorBody,
    openai::{self, ChatChunk, ChatCompletion, Frame, Usage},
    signed::{purpose, unix_seconds},
};
use serde::Deserialize;
use serde_json::Value;
use solana_signer::Signer;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    local::is_local,
    problem::{declined, problem},
};
use crate::{
    node::Node,
    serve::{
        admit::Decline,
        backend::{ServedModel, Steps},
    },
};

/// Tokens of a direct answer without a limit of its own.
const DIRECT_TOKENS: u32 = 512;

/// A direct request, as OpenAI's clients write it; what can't be honoured is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    #[serde(default)]
    model: Option<String>,
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
    #[serde(default)]
    stream: bool,
}

/// A message; its content is a string or a list of text parts.
#[derive(Deserialize)]
struct ChatMessage {
    role: String,
    #[serde(default)]
    content: Option<Value>,
}

/// The messages as the model's template takes them, or what is wrong with which.
fn messages(list: &[ChatMessage]) -> Result<Vec<Message>, String> {
    list.iter()
        .enumerate()
        .map(|(at, message)| {
            let text = openai::text_of(message.content.as_ref());
            let text = text.map_err(|error| format!("messages[{at}]: {error}"))?;
            Ok(Message::new(message.role.clone(), text))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// Whether a request is signed by this node's operator or authority.
fn ours(node: &Node, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), Box<Response>> {
    let path = uri
        .path_and_query()
        .map_or_else(|| uri.path(), |p| p.as_str());
    let signed = node.receiver.verify("POST", path, body, headers);
    match signed.and_then(|signed| signed.by(purpose::CHAT)) {
        Ok(key) if key == node.keys.operator.pubkey() || key == node.keys.authority => Ok(()),
        Ok(key) => Err(Box::new(problem(
            403,
            "permission_error",
            "not_entitled",
            format!("{key} is not this node's operator; paid requests go through a gateway"),
        ))),
        Err(error) => Err(Box::new(problem(
            401,
            "authentication_error",
            "unsigned",
            error.to_string(),
        ))),
    }
}

/// The model that is asked, and the prompt as it sees it.
fn question(node: &Node, request: &ChatRequest) -> Result<(ServedModel, Vec<u32>), Box<Response>> {
    let wanted = request.model.as_deref();
    let model = node.models.iter().find(|m| {
        wanted
            .is_none_or(|w| m.id() == w || m.id().split('@').next() == Some(w) || m.identity() == w)
    });
    let Some(model) = model.cloned() else {
        return Err(Box::new(problem(
            404,
            "invalid_request_error",
            "model_not_found",
            format!("model {:?} is not served here", wanted.unwrap_or_default()),
        )));
    };
    let invalid = |reason: String| {
        Box::new(problem(
            400,
            "invalid_request_error",
            "invalid_messages",
            reason,
        ))
    };
    let messages = messages(&request.messages).map_err(invalid)?;
    let ids = model.backend.chat(&messages);
    let ids = ids.map_err(|error| invalid(error.to_string()))?;
    Ok((model, ids))
}

/// Why the engine did not take it.
fn not_generated(node: &Node, error: EngineError) -> Response {
    let (status, kind, code) = match &error {
        EngineError::Busy { queued, .. } => {
            return declined(node, &Decline::Busy { running: *queued });
        }
        EngineError::ContextExceeded { .. } => {
            (400, "invalid_request_error", "context_length_exceeded")
        }
        EngineError::Stopped => (503, "server_error", "unavailable"),
        _ => (400, "invalid_request_error", "invalid_request"),
    };
    problem(status, kind, code, error.to_string())
}

pub(super) async fn chat(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_local(peer, &headers)
        && let Err(refused) = ours(&node, &uri, &headers, &body)
    {
        return *refused;
    }
    if node.is_draining() {
        return declined(&node, &Decline::Closed("it is stopping"));
    }
    let request: ChatRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return problem(
                400,
                "invalid_request_error",
                "invalid_json",
                format!("body: {error}"),
            );
        }
    };
    let (model, prompt_ids) = match question(&node, &request) {
        Ok(question) => question,
        Err(refused) => return *refused,
    };
    let room = (model.backend.context_length() as usize).saturating_sub(prompt_ids.len());
    let limit = request
        .max_completion_tokens
        .or(request.max_tokens)
        .unwrap_or(DIRECT_TOKENS.min(room as u32));
    let prompt_tokens = prompt_ids.len();
    let cancel = CancellationToken::new();
    let generate = GenerateRequest {
        prompt_ids,
        max_tokens: limit,
        sampler: Sampler::Free {
            temperature: request.temperature.unwrap_or(1.0),
            top_p: request.top_p.unwrap_or(1.0),
            seed: request.seed.unwrap_or_else(rand::random),
        },
        stop: match request.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text],
            Some(Stop::Many(list)) => list,
        },
        logprobs: false,
    };
    let steps = match model.backend.generate(generate, cancel.clone()) {
        Ok(steps) => steps,
        Err(error) => return not_generated(&node, error),
    };
    let frame = Frame {
        id: format!("chatcmpl-direct-{}", uuid::Uuid::new_v4().simple()),
        created: unix_seconds(),
        model: model.id(),
        system: format!("mythic-{}", env!("CARGO_PKG_VERSION")),
    };
    // Whatever ends the answer ends the generation.
    let guard = cancel.drop_guard();
    if request.stream {
        Sse::new(chunks(steps, frame, guard))
            .keep_alive(KeepAlive::new())
            .into_response()
    } else {
        whole(steps, &frame, prompt_tokens, guard).await
    }
}

async fn whole(
    mut steps: Steps,
    frame: &Frame,
    prompt_tokens: usize,
    _guard: DropGuard,
) -> Response {
    let (mut text, mut tokens, mut finish) = (String::new(), 0u64, None);
    while let Some(step) = steps.recv().await {
        match step {
            Ok(step) => {
                tokens += 1;
                text.push_str(&step.text);
                finish = step.finish;
            }
            Err(error) => return problem(500, "server_error", "engine_failed", error.to_string()),
        }
    }
    let Some(finish) = finish else {
        return problem(
            500,
            "server_error",
            "engine_failed",
            "the engine ended without an end".into(),
        );
    };
    let usage = Usage::new(prompt_tokens as u64, tokens);
    let answer: ChatCompletion = frame.whole(text, finish, usage);
    Json(answer).into_response()
}

fn chunks(
    steps: Steps,
    frame: Frame,
    guard: DropGuard,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    let event = |chunk: ChatChunk| {
        let text = serde_json::to_string(&chunk).unwrap_or_default();
        SseEvent::default().data(text)
    };
    let first = event(frame.opening(0));
    let rest = stream::unfold(Some((steps, guard)), move |state| {
        let frame = frame.clone();
        async move {
            let (mut steps, guard) = state?;
            match steps.recv().await {
                Some(Ok(step)) => {
                    let mut events = vec![event(frame.text(0, step.text, None))];
                    let next = match step.finish {
                        Some(finish) => {
                            events.push(event(frame.closing(0, finish)));
                            events.push(SseEvent::default().data("[DONE]"));
                            None
                        }
                        None => Some((steps, guard)),
                    };
                    Some((events, next))
                }
                Some(Err(error)) => {
                    let body = ErrorBody::new("server_error", "engine_failed", error.to_string());
                    let text = serde_json::to_string(&body).unwrap_or_default();
                    Some((vec![SseEvent::default().data(text)], None))
                }
                None => None,
            }
        }
    });
    stream::once(async { first })
        .chain(rest.flat_map(stream::iter))
        .map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_parts_are_joined_and_others_named() {
        let read = |text: &str| {
            let request: ChatRequest = serde_json::from_str(text).unwrap();
            messages(&request.messages)
        };
        let parts = r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]}"#;
        assert_eq!(read(parts).unwrap(), [Message::new("user", "hi")]);
        let image = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "image_url"}]}]}"#;
        let error = read(image).unwrap_err();
        assert!(
            error.starts_with("messages[1]: ") && error.contains("image_url"),
            "{error}"
        );
    }
}
