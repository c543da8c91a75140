//! Unbilled answers of one's own node, in OpenAI's shapes.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, OriginalUri, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use mythic_chat::{Answer, ChatRequest, not_generated, problem};
use mythic_engine::EngineError;
use mythic_wire::signed::purpose;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use super::{local::is_local, problem::declined};
use crate::{
    node::Node,
    serve::{admit::Decline, backend::ServedModel},
};

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
    let messages = request.messages().map_err(invalid)?;
    let ids = model.backend.chat(&messages);
    let ids = ids.map_err(|error| invalid(error.to_string()))?;
    Ok((model, ids))
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
    let request = match ChatRequest::read(&body) {
        Ok(request) => request,
        Err(error) => return problem(400, "invalid_request_error", "invalid_json", error),
    };
    let (model, prompt_ids) = match question(&node, &request) {
        Ok(question) => question,
        Err(refused) => return *refused,
    };
    let (stream, prompt_tokens) = (request.stream, prompt_ids.len());
    let generate = request.generate(prompt_ids, model.backend.context_length());
    let cancel = CancellationToken::new();
    match model.backend.generate(generate, cancel.clone()) {
        Ok(steps) => {
            let answer = Answer::new(model.id(), prompt_tokens, steps, cancel.drop_guard());
            answer.respond(stream).await
        }
        Err(EngineError::Busy { queued, .. }) => {
            declined(&node, &Decline::Busy { running: queued })
        }
        Err(error) => not_generated(&error),
    }
}
