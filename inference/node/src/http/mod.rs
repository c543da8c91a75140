//! The node's endpoints.
//!
//! | route | who |
//! |---|---|
//! | `GET /health /stats /metrics /v1/models` | anyone |
//! | `POST /v1/inference` | anyone who pays: a co-signed job |
//! | `POST /v1/chat/completions` | loopback without a proxy, or signed by operator or authority: unbilled |
//! | `GET /v1/jobs/:id/evidence` | signed by the job's owner, requester or canceller, or by a registered validator |

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, OriginalUri, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures::{Stream, StreamExt, stream};
use mythic_client::{Commitment, Filter, pda};
use mythic_interface::state::Validator;
use serde::Deserialize;
use serde_json::json;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Node,
    keep::journal::{Prompt, Record},
    serve::{
        admit::{self, CoSignable, Decline},
        backend::{ServedModel, Steps},
        fsm::Origin,
        task::{Delivery, Msg, Start},
    },
};
use mythic_engine::{EngineError, Finish as EngineFinish, GenerateRequest, Sampler};
use mythic_model::prompt::Message;
use mythic_wire::{self as wire, ErrorBody, InferenceRequest, MAX_BODY, NodeEvent};

/// How long a co-signed job may take until its first event.
const FIRST_EVENT: Duration = Duration::from_secs(90);
/// Tokens of a direct answer without a limit of its own.
const DIRECT_TOKENS: u32 = 512;

/// The router of all endpoints.
pub fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/stats", get(stats))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models))
        .route("/v1/inference", post(inference))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/jobs/{id}/evidence", get(evidence))
        .fallback(|| async {
            problem(
                404,
                "invalid_request_error",
                "not_found",
                "no such route".into(),
            )
        })
        .method_not_allowed_fallback(|| async {
            problem(
                405,
                "invalid_request_error",
                "method_not_allowed",
                "this route takes another method".into(),
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(node)
}

fn problem(status: u16, kind: &str, code: &str, message: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(ErrorBody::new(kind, code, message))).into_response();
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn declined(node: &Node, reason: &Decline) -> Response {
    node.refuse(reason);
    let (status, code) = reason.status();
    let kind = if status < 500 {
        "invalid_request_error"
    } else {
        "server_error"
    };
    problem(status, kind, code, reason.to_string())
}

async fn health(State(node): State<Arc<Node>>) -> Response {
    let failing = node.meters.journal_failing.get() != 0;
    let status = match (node.is_draining(), failing) {
        (true, _) => "draining",
        (_, true) => "journal_failing",
        _ => "ok",
    };
    let code = if status == "ok" {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": status,
        "validator": node.keys.authority.to_string(),
        "slot": node.slot(),
        "models": node.models.iter().map(ServedModel::id).collect::<Vec<_>>(),
    });
    (code, Json(body)).into_response()
}

async fn stats(State(node): State<Arc<Node>>) -> Response {
    let validator = node.validator();
    let money = node.money();
    let book = node.journal.lock().state().book.totals.clone();
    let (busy, queued_tokens) = node.load();
    let engines: Vec<_> = node
        .models
        .iter()
        .map(|model| json!({"model": model.id(), "identity": model.identity(), "engine": model.backend.stats()}))
        .collect();
    let gpu = (!node.config.gpu_name.is_empty())
        .then(|| json!({"name": node.config.gpu_name, "vram_mib": node.config.vram_mib}));
    let driver = node.gpus.clone();
    let devices = tokio::task::spawn_blocking(move || driver.read())
        .await
        .ok()
        .flatten();
    Json(json!({
        "validator": node.keys.authority.to_string(),
        "operator": node.keys.operator.pubkey().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "slot": node.slot(),
        "gpu": gpu,
        "cpu_only": gpu.is_none(),
        "devices": devices,
        "engines": engines,
        "jobs_busy": busy,
        "max_concurrent": node.config.max_concurrent,
        "queued_tokens": queued_tokens,
        "accepts_jobs": node.config.accept_jobs,
        "verifier": {
            "checks": node.config.verifier.enabled,
            "policy": node.config.verifier.policy,
            "rate": node.config.verifier.rate,
            "jury": node.config.verifier.jury,
            "totals": book,
        },
        "stake_lamports": validator.stake.get(),
        "open_jobs_on_chain": validator.open_jobs.get(),
        "claimable_lamports": validator.claimable.get(),
        "money": {
            "earned_lamports": money.earned_lamports,
            "fees_lamports": money.fees_lamports,
            "withdrawn_lamports": money.withdrawn_lamports,
            "jobs_submitted": money.jobs_submitted,
            "jobs_settled": money.jobs_settled,
            "net_lamports_per_job": money.net_per_job(),
        },
    }))
    .into_response()
}

async fn metrics(State(node): State<Arc<Node>>) -> Response {
    for model in &node.models {
        node.meters.engine(&model.id(), &model.backend.stats());
    }
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        node.meters.render(),
    )
        .into_response()
}

async fn models(State(node): State<Arc<Node>>) -> Response {
    let data: Vec<_> = node
        .models
        .iter()
        .map(|model| {
            let account = *model.account.read();
            json!({
                "id": model.id(),
                "object": "model",
                "owned_by": Pubkey::new_from_array(account.registrant).to_string(),
                "identity": model.identity(),
                "context_length": model.backend.context_length(),
                "price_in_lamports_per_1k": account.price_in.get(),
                "price_out_lamports_per_1k": account.price_out.get(),
            })
        })
        .collect();
    Json(json!({"object": "list", "data": data})).into_response()
}

/// A paid job: checks, co-signs, starts, and streams.
async fn inference(State(node): State<Arc<Node>>, body: Bytes) -> Response {
    let request: InferenceRequest = match serde_json::from_slice(&body) {
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
    let (events, delivery) = match admit_request(&node, request).await {
        Ok(started) => started,
        Err(Refusal::Declined(reason)) => return declined(&node, &reason),
        Err(Refusal::Broken(message)) => {
            return problem(503, "server_error", "unavailable", message);
        }
    };
    let mut events = events;
    // A refusal before the first token can still be a status, and another validator can be asked.
    let first = match tokio::time::timeout(FIRST_EVENT, events.recv()).await {
        Ok(Some(NodeEvent::Error { code, message })) => {
            return problem(
                if code == "not_paid" { 402 } else { 503 },
                "server_error",
                &code,
                message,
            );
        }
        Ok(Some(event)) => event,
        Ok(None) => {
            return problem(
                503,
                "server_error",
                "unavailable",
                "the node is stopping".into(),
            );
        }
        Err(_) => {
            return problem(
                503,
                "server_error",
                "not_paid",
                "the job was not seen on chain in time".into(),
            );
        }
    };
    let rest = stream::unfold(events, |mut events| async move {
        events.recv().await.map(|event| (event, events))
    });
    Sse::new(deliver(stream::once(async { first }).chain(rest), delivery))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
        .into_response()
}

/// Counts what the connection takes over: that is what the client has.
fn deliver(
    events: impl Stream<Item = NodeEvent>,
    delivery: Arc<Delivery>,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    events.filter_map(move |event| {
        match &event {
            NodeEvent::Token { position, .. } => {
                delivery
                    .tokens
                    .fetch_max(position.saturating_add(1), Ordering::AcqRel);
            }
            NodeEvent::Done { .. } => delivery.done.store(true, Ordering::Release),
            NodeEvent::Accepted { .. } | NodeEvent::Error { .. } => {}
        }
        let frame = SseEvent::default().json_data(&event).ok().map(Ok);
        std::future::ready(frame)
    })
}

enum Refusal {
    Declined(Decline),
    Broken(String),
}

impl From<Decline> for Refusal {
    fn from(reason: Decline) -> Self {
        Self::Declined(reason)
    }
}

type Started = (mpsc::Receiver<NodeEvent>, Arc<Delivery>);

async fn admit_request(node: &Arc<Node>, request: InferenceRequest) -> Result<Started, Refusal> {
    if node.is_draining() {
        return Err(Decline::Closed("it is stopping").into());
    }
    if !node.config.accept_jobs {
        return Err(Decline::Closed("it verifies and takes no jobs").into());
    }
    let operator = node.keys.operator.pubkey();
    let parsed = admit::parse_transaction(&request.transaction, &node.keys.authority, &operator)?;
    let model = node
        .model(&parsed.model)
        .cloned()
        .ok_or(Decline::UnknownModel(parsed.model))?;
    let room = parsed
        .args
        .max_output_tokens
        .get()
        .min(model.backend.context_length()) as usize
        + 8;
    let (sender, events) = mpsc::channel(room);
    let delivery = Arc::new(Delivery::default());

    let _admission = node.admission.lock().await;
    if let Some(inbox) = node.inbox(&parsed.job) {
        // The same job again: its task checks nothing anew but goes by the same address, so the prompt must fit the transaction.
        let work = admit::Work::of_request(&parsed.args, &parsed.job, &parsed.model);
        let salt = wire::parse_salt(&request.salt)
            .ok_or_else(|| Decline::Invalid("salt: expected 32 hex digits".into()))?;
        work.check_prompt(&request.prompt_ids, &salt, &request.stop)?;
        let transaction = Box::new(co_sign(node, &parsed));
        let attach = Msg::Attach {
            transaction,
            work: Box::new(work),
            client: sender,
            delivery: delivery.clone(),
        };
        return match inbox.send(attach).await {
            Ok(()) => Ok((events, delivery)),
            Err(_) => Err(Refusal::Broken(
                "the job has just ended; look at it on chain".into(),
            )),
        };
    }
    let work = node.decide(|now| {
        node.with_facts(&model, |facts| {
            admit::check_request(&request, &parsed, facts, now)
        })
    })?;
    let transaction = co_sign(node, &parsed);
    let encoded = wire::encode_transaction(&transaction)
        .map_err(|error| Refusal::Broken(error.to_string()))?;
    let prompt = Prompt {
        ids: request.prompt_ids,
        salt: request.salt,
        stop: request.stop,
    };
    let source = parsed.args.prompt_source.as_str().to_string();
    // On disk before anything is signed that binds us.
    let record = Record::Accepted {
        job: parsed.job.to_string(),
        origin: Origin::CoSigned,
        model: model.identity(),
        transaction: Some(encoded),
        source: source.clone(),
        prompt_hash: hex::encode(work.prompt_hash),
        prompt: Some(prompt.clone()),
    };
    if !node.note(record).await {
        return Err(Refusal::Broken(
            "the node can't write its journal; its disk may be full".into(),
        ));
    }
    node.start(Start {
        job: parsed.job,
        origin: Origin::CoSigned,
        model,
        work: Some(work),
        transaction: Some(transaction),
        source,
        prompt: Some(prompt),
        client: Some((sender, delivery.clone())),
        record: None,
        logprobs: request.logprobs,
    });
    Ok((events, delivery))
}

fn co_sign(
    node: &Node,
    parsed: &CoSignable,
) -> solana_transaction::versioned::VersionedTransaction {
    let mut transaction = parsed.transaction.clone();
    let signature = node
        .keys
        .operator
        .sign_message(&transaction.message.serialize());
    if let Some(place) = transaction.signatures.get_mut(parsed.signature_index) {
        *place = signature;
    }
    transaction
}

async fn evidence(
    State(node): State<Arc<Node>>,
    Path(id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let path = uri
        .path_and_query()
        .map_or_else(|| uri.path(), |p| p.as_str());
    let signer = match wire::verify("GET", path, &[], &headers) {
        Ok(signer) => signer,
        Err(error) => return problem(401, "authentication_error", "unsigned", error.to_string()),
    };
    let Ok(job) = id.parse::<Pubkey>() else {
        return problem(
            400,
            "invalid_request_error",
            "invalid_job",
            format!("{id:?} is not a job's address"),
        );
    };
    if !node.shows() {
        return no_evidence(&id);
    }
    let (store, others) = (node.store.clone(), node.others.clone());
    let load = move || match store.load(&job) {
        Ok(None) => others.load(&job),
        found => found,
    };
    let saved = match tokio::task::spawn_blocking(load).await {
        Ok(Ok(Some(saved))) => saved,
        Ok(Ok(None)) => return no_evidence(&id),
        Ok(Err(error)) => {
            return problem(
                500,
                "server_error",
                "evidence_unreadable",
                error.to_string(),
            );
        }
        Err(error) => {
            return problem(
                500,
                "server_error",
                "evidence_unreadable",
                error.to_string(),
            );
        }
    };
    let ours = signer == node.keys.operator.pubkey() || signer == node.keys.authority;
    if ours || saved.readers.contains(&signer.to_string()) {
        return Json(saved.evidence).into_response();
    }
    match is_validator(&node, &signer).await {
        Ok(true) => Json(saved.evidence).into_response(),
        Ok(false) => problem(
            403,
            "permission_error",
            "not_entitled",
            format!(
                "{signer} is neither the job's owner, requester or canceller nor a registered validator"
            ),
        ),
        Err(error) => problem(503, "server_error", "chain_unavailable", error.to_string()),
    }
}

fn no_evidence(id: &str) -> Response {
    problem(
        404,
        "invalid_request_error",
        "no_evidence",
        format!("no evidence of job {id} is kept here"),
    )
}

/// Whether a key is the authority or the operator of a registered validator.
async fn is_validator(node: &Node, key: &Pubkey) -> Result<bool, mythic_client::ClientError> {
    if let Ok(Some(_)) = node.chain.account::<Validator>(&pda::validator(key)).await {
        return Ok(true);
    }
    let found = node
        .chain
        .program_accounts(&[Filter::operator(key)], Commitment::Confirmed)
        .await?;
    Ok(!found.is_empty())
}

/// A direct request, as OpenAI's clients write it; what can't be honoured is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatRequest {
    #[serde(default)]
    model: Option<String>,
    messages: Vec<Message>,
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

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// Whether a caller may have unbilled answers. A proxy on this machine makes strangers look like loopback, so what was
/// forwarded does not count as loopback.
fn may_chat_free(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    peer.ip().is_loopback() && !forwarded
}

async fn chat(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !may_chat_free(peer, &headers) {
        let path = uri
            .path_and_query()
            .map_or_else(|| uri.path(), |p| p.as_str());
        match wire::verify("POST", path, &body, &headers) {
            Ok(key) if key == node.keys.operator.pubkey() || key == node.keys.authority => {}
            Ok(key) => {
                return problem(
                    403,
                    "permission_error",
                    "not_entitled",
                    format!(
                        "{key} is not this node's operator; paid requests go through a gateway"
                    ),
                );
            }
            Err(error) => {
                return problem(401, "authentication_error", "unsigned", error.to_string());
            }
        }
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
    let wanted = request.model.as_deref();
    let model = node.models.iter().find(|m| {
        wanted
            .is_none_or(|w| m.id() == w || m.id().split('@').next() == Some(w) || m.identity() == w)
    });
    let Some(model) = model.cloned() else {
        return problem(
            404,
            "invalid_request_error",
            "model_not_found",
            format!("model {:?} is not served here", wanted.unwrap_or_default()),
        );
    };
    let prompt_ids = match model.backend.chat(&request.messages) {
        Ok(ids) => ids,
        Err(error) => {
            return problem(
                400,
                "invalid_request_error",
                "invalid_messages",
                error.to_string(),
            );
        }
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
        Err(EngineError::Busy { queued, .. }) => {
            return declined(&node, &Decline::Busy { running: queued });
        }
        Err(error @ EngineError::ContextExceeded { .. }) => {
            return problem(
                400,
                "invalid_request_error",
                "context_length_exceeded",
                error.to_string(),
            );
        }
        Err(error @ EngineError::Stopped) => {
            return problem(503, "server_error", "unavailable", error.to_string());
        }
        Err(error) => {
            return problem(
                400,
                "invalid_request_error",
                "invalid_request",
                error.to_string(),
            );
        }
    };
    let head = json!({
        "id": format!("chatcmpl-direct-{}", uuid::Uuid::new_v4().simple()),
        "created": wire::unix_seconds(),
        "model": model.id(),
    });
    // Whatever ends the answer ends the generation.
    let guard = cancel.drop_guard();
    if request.stream {
        Sse::new(chat_chunks(steps, head, guard))
            .keep_alive(KeepAlive::new())
            .into_response()
    } else {
        chat_whole(steps, head, prompt_tokens, guard).await
    }
}

fn finish_word(finish: EngineFinish) -> &'static str {
    wire::finish::openai(finish)
}

async fn chat_whole(
    mut steps: Steps,
    mut head: serde_json::Value,
    prompt_tokens: usize,
    _guard: DropGuard,
) -> Response {
    let (mut text, mut tokens, mut finish) = (String::new(), 0usize, None);
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
    head["object"] = json!("chat.completion");
    head["choices"] = json!([{
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_word(finish),
        "logprobs": null,
    }]);
    head["usage"] = json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
    });
    Json(head).into_response()
}

fn chat_chunks(
    steps: Steps,
    mut head: serde_json::Value,
    guard: DropGuard,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    head["object"] = json!("chat.completion.chunk");
    let chunk = move |delta: serde_json::Value, finish: Option<&str>| {
        let mut value = head.clone();
        value["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        SseEvent::default().data(value.to_string())
    };
    let first = chunk(json!({"role": "assistant", "content": ""}), None);
    let rest = stream::unfold(Some((steps, guard)), move |state| {
        let chunk = chunk.clone();
        async move {
            let (mut steps, guard) = state?;
            match steps.recv().await {
                Some(Ok(step)) => {
                    let mut frames = vec![chunk(json!({"content": step.text}), None)];
                    let next = match step.finish {
                        Some(finish) => {
                            frames.push(chunk(json!({}), Some(finish_word(finish))));
                            frames.push(SseEvent::default().data("[DONE]"));
                            None
                        }
                        None => Some((steps, guard)),
                    };
                    Some((frames, next))
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
    fn only_true_loopback_chats_for_free() {
        let local: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let remote: SocketAddr = "8.8.8.8:5000".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert!(may_chat_free(local, &headers));
        assert!(!may_chat_free(remote, &headers));
        headers.insert("x-forwarded-for", HeaderValue::from_static("8.8.8.8"));
        assert!(!may_chat_free(local, &headers));
    }
}
