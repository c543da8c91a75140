//! Validators without an engine: they co-sign, send, answer with a fixed text and submit its true fingerprint, and misbehave
//! where the prompt says so: `first:decline`, `first:die`, `first:silent`, `first:twice`, `first:noise`, `first:claim` (only the first
//! validator asked), `break`, `lie`, `slow`, `drip`, `freeze`, `stall`, `unsubmitted`, `all:claim`, `crowd` (two jobs at a time, others declined).
//! `limited` makes them give the answer up because of its grammar after five tokens.
//! `cached:some` and `cached:more` make them say how much of the prompt they had read before.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use base64::Engine;
use mythic_client::{ChainClient, Commitment, ix};
use mythic_interface::{ix::SubmitResult, le::U32, sampler::Sampling, state::Job};
use mythic_sampling::Options;
use mythic_wire::evidence::{Draft, Evidence};
use mythic_wire::{ErrorBody, Finish, GRAMMAR_LIMIT, InferenceRequest, NodeEvent};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

pub const EOS: u32 = 257;
pub const ANSWER: &str = "Hello, said the node. STOP here.";
/// Said to a prompt that has `[json]`.
pub const JSON: &str = "{\"city\": \"Bern\"}";
/// Said to a prompt that has `[calls]`.
pub const CALLS: &str = "[{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\"}}]";

/// What is said to a prompt.
fn said(prompt: &str) -> &'static str {
    match prompt {
        _ if prompt.contains("[calls]") => CALLS,
        _ if prompt.contains("[json]") => JSON,
        _ => ANSWER,
    }
}

/// What all validators share.
pub struct Scene {
    chain: ChainClient,
    asked: Mutex<HashSet<String>>,
}

impl Scene {
    pub fn new(chain: ChainClient) -> Self {
        Self {
            chain,
            asked: Mutex::default(),
        }
    }
}

pub struct Validator {
    scene: Arc<Scene>,
    crowd: Arc<tokio::sync::Semaphore>,
    /// Jobs that it was asked to do.
    pub jobs: std::sync::atomic::AtomicUsize,
    pub authority: Pubkey,
    pub operator: Keypair,
    evidence: Mutex<HashMap<String, Evidence>>,
    /// Options of what it was asked, by job.
    pub options: Mutex<HashMap<String, Option<Vec<u8>>>>,
    /// `x-request-id` and `traceparent` of what it was asked, by job.
    pub traces: Mutex<HashMap<String, [Option<String>; 2]>>,
}

pub async fn start(
    scene: Arc<Scene>,
    authority: Pubkey,
    operator: Keypair,
) -> (String, Arc<Validator>) {
    let validator = Arc::new(Validator {
        scene,
        crowd: Arc::new(tokio::sync::Semaphore::new(2)),
        jobs: Default::default(),
        authority,
        operator,
        evidence: Mutex::default(),
        options: Mutex::default(),
        traces: Mutex::default(),
    });
    let router = Router::new()
        .route("/v1/inference", post(infer))
        .route("/v1/jobs/{id}/evidence", get(evidence))
        .with_state(validator.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (endpoint, validator)
}

async fn evidence(State(me): State<Arc<Validator>>, Path(id): Path<String>) -> Response {
    match me.evidence.lock().unwrap().get(&id) {
        Some(evidence) => Json(evidence).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What is said to have been read before of a prompt that has `cached:some`.
pub const CACHED: u32 = 5;

/// More than the four candidates' own sum: the vocabulary has others.
pub const LOG_SUM_EXP: f32 = 101.0;

fn top4(token: u32) -> [(u32, i32); 4] {
    let others: Vec<u32> = (1..6).filter(|id| *id != token).take(3).collect();
    [
        (token, 100 << 16),
        (others[0], 3 << 16),
        (others[1], 2 << 16),
        (others[2], 1 << 16),
    ]
}

impl Validator {
    /// The evidence of a job with this answer.
    pub fn prove(
        &self,
        address: &Pubkey,
        job: &Job,
        request: (&[u32], [u8; 16]),
        options: Option<Vec<u8>>,
        output: &[u32],
    ) -> Evidence {
        Evidence::seal(Draft {
            job: address.to_bytes(),
            submitter: self.authority.to_bytes(),
            terms_hash: job.terms_hash,
            salt: request.1,
            prompt_ids: request.0.to_vec(),
            output_ids: output.to_vec(),
            leaves: output.iter().map(|token| top4(*token)).collect(),
            sampling: Sampling {
                seed: job.terms.seed,
                temperature_milli: job.terms.temperature_milli.get(),
            },
            options,
        })
        .unwrap()
    }

    pub async fn submit(&self, address: &Pubkey, evidence: &Evidence, finish: Finish) {
        let digests = evidence.verify().unwrap();
        let args = SubmitResult {
            terms_hash: evidence.terms_hash,
            output_root: digests.output_root,
            fingerprint: digests.fingerprint,
            output_tokens: U32::new(digests.count),
            finish_reason: finish as u8,
        };
        let instruction = ix::submit_result(self.operator.pubkey(), self.authority, address, &args);
        self.scene
            .chain
            .send_and_confirm(
                &[instruction],
                &self.operator.pubkey(),
                &[&self.operator],
                Commitment::Processed,
            )
            .await
            .unwrap();
    }
}

/// The request's transaction with the operator's signature too.
fn signed(me: &Validator, request: &InferenceRequest) -> VersionedTransaction {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&request.transaction)
        .unwrap();
    let mut transaction: VersionedTransaction = bincode::deserialize(&bytes).unwrap();
    let signature = me.operator.sign_message(&transaction.message.serialize());
    let at = transaction
        .message
        .static_account_keys()
        .iter()
        .position(|key| *key == me.operator.pubkey())
        .unwrap();
    transaction.signatures[at] = signature;
    transaction
}

/// Comments without end, and nothing else.
fn noise() -> Response {
    let noise = futures::stream::repeat(Ok::<_, Infallible>(axum::body::Bytes::from_static(
        &[b':'; 4096],
    )));
    let lines = futures::StreamExt::flat_map(noise, |line| {
        futures::stream::iter([line, Ok(axum::body::Bytes::from_static(b"\n"))])
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(axum::body::Body::from_stream(lines))
        .unwrap()
}

async fn infer(
    State(me): State<Arc<Validator>>,
    headers: HeaderMap,
    Json(request): Json<InferenceRequest>,
) -> Response {
    let trace = ["x-request-id", "traceparent"].map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    });
    me.traces.lock().unwrap().insert(request.job.clone(), trace);
    me.options
        .lock()
        .unwrap()
        .insert(request.job.clone(), request.options.clone());
    let prompt: Vec<u8> = request
        .prompt_ids
        .iter()
        .filter_map(|id| u8::try_from(*id).ok())
        .collect();
    let prompt = String::from_utf8_lossy(&prompt).into_owned();
    // Byte tokens are written by their place in the vocabulary, so ids below 256 are the bytes themselves.
    let first = me.scene.asked.lock().unwrap().insert(prompt.clone());
    let is = |word: &str| prompt.contains(word);
    if is("all:decline") || (first && is("first:decline")) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(ErrorBody::new("server_error", "capacity", "full")),
        )
            .into_response();
    }
    if first && is("first:silent") {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if first && is("first:noise") {
        return noise();
    }
    let place = if is("crowd") {
        match me.crowd.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                return (
                    StatusCode::SERVICE_UNAVAILABLE,
                    Json(ErrorBody::new("server_error", "queue_full", "full")),
                )
                    .into_response();
            }
        }
    } else {
        None
    };
    me.jobs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    if is("all:claim") || (first && is("first:claim")) {
        return claim(&me, &request);
    }
    let transaction = signed(&me, &request);
    let id = transaction.signatures[0].to_string();
    if let Err(error) = me.scene.chain.send(&transaction).await {
        return (
            StatusCode::PAYMENT_REQUIRED,
            Json(ErrorBody::new(
                "server_error",
                "not_paid",
                error.to_string(),
            )),
        )
            .into_response();
    }
    let address: Pubkey = request.job.parse().unwrap();
    let job = loop {
        if let Some((_, job)) = me.scene.chain.account::<Job>(&address).await.unwrap() {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (sender, receiver) = tokio::sync::mpsc::channel::<NodeEvent>(4096);
    let script = Script::of(&prompt, first);
    tokio::spawn(async move {
        let taken = Taken {
            address,
            job,
            request,
        };
        answer(&me, &taken, id, script, sender).await;
        drop(place);
    });
    let events = futures::stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((
            Ok::<_, Infallible>(Event::default().json_data(&event).unwrap()),
            receiver,
        ))
    });
    Sse::new(events).into_response()
}

/// How an answer goes wrong.
struct Script {
    die: bool,
    twice: bool,
    broken: bool,
    lie: bool,
    slow: bool,
    /// A token every other second.
    drip: bool,
    /// Submits its result, and says nothing after the acceptance.
    freeze: bool,
    /// Submits its result, and says nothing after the fifth token.
    stall: bool,
    /// Says that it is done, and submits nothing.
    unsubmitted: bool,
    /// Says after the fifth token that the grammar met a limit.
    limited: bool,
    /// What it says that it had read of the prompt before.
    cached: Option<u32>,
    /// What it says.
    text: &'static str,
}

impl Script {
    /// What a prompt asks for; `first` = nobody was asked it before.
    fn of(prompt: &str, first: bool) -> Self {
        let is = |word: &str| prompt.contains(word);
        Self {
            die: first && is("first:die"),
            twice: first && is("first:twice"),
            broken: is("break"),
            lie: is("lie"),
            slow: is("slow"),
            drip: is("drip"),
            freeze: is("freeze"),
            stall: is("stall"),
            unsubmitted: is("unsubmitted"),
            limited: is("limited"),
            cached: match prompt {
                _ if is("cached:some") => Some(CACHED),
                _ if is("cached:more") => Some(u32::MAX),
                _ => None,
            },
            text: said(prompt),
        }
    }
}

/// An answer of its own invention: no transaction is sent, and the evidence agrees with itself.
fn claim(me: &Validator, request: &InferenceRequest) -> Response {
    let address: Pubkey = request.job.parse().unwrap();
    let output: Vec<u32> = "claimed".bytes().map(u32::from).chain([EOS]).collect();
    let salt = mythic_wire::parse_salt(&request.salt).unwrap();
    let job: Job = bytemuck::Zeroable::zeroed();
    let evidence = me.prove(
        &address,
        &job,
        (&request.prompt_ids, salt),
        request.options.clone(),
        &output,
    );
    let digests = evidence.verify().unwrap();
    let mut events = vec![NodeEvent::Accepted {
        job: request.job.clone(),
        signature: "5".repeat(80),
    }];
    events.extend(
        (0u32..)
            .zip(&output)
            .map(|(position, token)| NodeEvent::Token {
                position,
                token: *token,
                text: String::new(),
                top4: top4(*token),
                log_sum_exp: None,
            }),
    );
    events.push(NodeEvent::Done {
        finish_reason: Finish::Eos,
        output_ids: output,
        fingerprint: hex::encode(digests.fingerprint),
        output_root: hex::encode(digests.output_root),
        submit_signature: None,
        cached_tokens: None,
        evidence: Box::new(evidence),
    });
    let events = events
        .into_iter()
        .map(|event| Ok::<_, Infallible>(Event::default().json_data(&event).unwrap()));
    Sse::new(futures::stream::iter(events)).into_response()
}

/// A job that was taken.
struct Taken {
    address: Pubkey,
    job: Job,
    request: InferenceRequest,
}

/// The tokens of an answer that says `text`, up to the job's limit or its stop string, and why it ends.
fn written(text: &str, job: &Job, request: &InferenceRequest) -> (Vec<u32>, Finish) {
    let most = job.terms.max_output_tokens.get() as usize;
    let mut output: Vec<u32> = text.bytes().map(u32::from).chain([EOS]).collect();
    let mut finish = Finish::Eos;
    if output.len() > most {
        output.truncate(most);
        finish = Finish::Length;
    }
    let stop = match &request.options {
        None => request.stop.clone(),
        Some(bytes) => Options::from_wire(bytes).unwrap().stop,
    };
    if let Some(at) = stop
        .first()
        .and_then(|stop| text.find(stop.as_str()).map(|at| at + stop.len()))
    {
        output.truncate(at);
        finish = Finish::Stopped;
    }
    (output, finish)
}

async fn answer(
    me: &Validator,
    taken: &Taken,
    signature: String,
    script: Script,
    out: tokio::sync::mpsc::Sender<NodeEvent>,
) {
    let (address, job, request) = (taken.address, &taken.job, &taken.request);
    let accepted = NodeEvent::Accepted {
        job: address.to_string(),
        signature,
    };
    let _ = out.send(accepted.clone()).await;
    if script.twice {
        let _ = out.send(accepted).await;
    }
    if script.die {
        return;
    }
    let (mut output, finish) = written(script.text, job, request);
    for (position, token) in (0u32..).zip(&output) {
        if script.broken && position == 5 {
            return;
        }
        if script.limited && position == 5 {
            let (code, message) = (GRAMMAR_LIMIT.into(), "it met a limit".into());
            let _ = out.send(NodeEvent::Error { code, message }).await;
            return;
        }
        if script.freeze || (script.stall && position >= 5) {
            break;
        }
        if script.slow {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if script.drip {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let text = String::new();
        let _ = out
            .send(NodeEvent::Token {
                position,
                token: *token,
                text,
                top4: top4(*token),
                log_sum_exp: request.logprobs.then_some(LOG_SUM_EXP),
            })
            .await;
    }
    if script.lie {
        output[0] += 1;
    }
    let salt = mythic_wire::parse_salt(&request.salt).unwrap();
    let evidence = me.prove(
        &address,
        job,
        (&request.prompt_ids, salt),
        request.options.clone(),
        &output,
    );
    // A cancelled job takes a result for a while; one that is gone takes none.
    let now = me
        .scene
        .chain
        .account::<Job>(&address)
        .await
        .unwrap()
        .unwrap()
        .1;
    if now.cancel_slot.get() > 0 {
        return;
    }
    if !script.unsubmitted {
        me.submit(&address, &evidence, finish).await;
    }
    me.evidence
        .lock()
        .unwrap()
        .insert(address.to_string(), evidence.clone());
    if script.freeze {
        // The stream stays open and silent until the gateway leaves it.
        out.closed().await;
        return;
    }
    if script.stall {
        return;
    }
    let digests = evidence.verify().unwrap();
    let _ = out
        .send(NodeEvent::Done {
            finish_reason: finish,
            output_ids: output,
            fingerprint: hex::encode(digests.fingerprint),
            output_root: hex::encode(digests.output_root),
            submit_signature: None,
            cached_tokens: script.cached,
            evidence: Box::new(evidence),
        })
        .await;
}
