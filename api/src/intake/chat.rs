//! The routes that make jobs: chat completions, single prompts, estimates.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};
use futures::Stream;
use mythic_client::Commitment;
use mythic_http::Trace;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    accounts,
    app::App,
    chain::errors::chain_error,
    chain::pay,
    error::{ApiError, ApiResult, ErrorBody},
    fleet::routing::{Request, Router},
    http::{Caller, JsonBytes, Query, stopping},
    intake::completion::{self, ChatCompletion, Told, Usage},
    intake::openai::ChatRequest,
    intake::plan::{self, Plan},
    intake::shapes,
    jobs::answer::{ChoiceAnswer, ChoiceEnd, Finish},
    jobs::enter::{self, Entered, Entry},
    jobs::run::{Reader, Rejoin, Run, Step},
    jobs::work::Payer,
    routes::{jobs, stream::unbuffered},
    store::index::{self, jobs::JobDetails},
};

const REPLAYED: &str = "x-mythic-replayed";

fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if (1..=128).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::invalid(
            "Idempotency-Key",
            "Idempotency-Key must be 1 to 128 printable characters",
        )),
    }
}

/// How often an SDK says that it has sent this request before; `None` when no SDK speaks.
fn sdk_repeats(headers: &HeaderMap) -> Option<u32> {
    headers
        .get("x-stainless-retry-count")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok())
}

struct Intake<'a> {
    app: &'a Arc<App>,
    headers: &'a HeaderMap,
    trace: Trace,
    body: &'a Bytes,
    route: &'static str,
    open: bool,
}

impl Intake<'_> {
    async fn enter(self, request: ChatRequest) -> ApiResult<Entered> {
        let app = self.app;
        let idempotency_key = idempotency_key(self.headers)?;
        let (key_id, account, client) = match &request.payment {
            None => {
                let account = app.accounts.authenticate(self.headers).await?;
                (account.key_id.clone(), Some(account), None)
            }
            Some(payment) => {
                let client =
                    pay::check_client_transaction(&payment.transaction, &app.chain.payer.pubkey())?;
                (format!("wallet:{}", client.requester), None, Some(client))
            }
        };
        let permit = app.limiter.take(&key_id, std::time::Instant::now())?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let salt = match &request.payment {
            Some(payment) => payment.salt,
            None => pay::prompt_salt(&app.chain, &id),
        };
        let plan = plan::plan(&app.catalogue, &app.config, &app.edge, &request, salt).await?;
        let payer = match (account, client) {
            (Some(account), _) => Payer::Key(account),
            (None, Some(client)) => {
                let slot = app
                    .chain
                    .client
                    .slot(Commitment::Processed)
                    .await
                    .map_err(chain_error)?;
                pay::matches_plan(&client, &plan, &app.chain.prompt_source, slot)?;
                if client.validator.is_none() != self.open {
                    return Err(ApiError::invalid(
                        "mythic.transaction",
                        "mythic.transaction: a transaction that names a validator is answered at once; one without makes an open job, which POST /v1/inference?wait=false takes",
                    ));
                }
                let owner = pay::client_owner(&app.chain, &client).await?;
                Payer::Client(Box::new(client), owner)
            }
            (None, None) => return Err(ApiError::unauthorized("no API key and no transaction")),
        };
        let mut hasher = Sha256::new();
        hasher.update(self.route.as_bytes());
        hasher.update([0]);
        hasher.update(self.body);
        let body_hash: [u8; 32] = hasher.finalize().into();
        let repeats = sdk_repeats(self.headers);
        let rejoin = match (&idempotency_key, repeats) {
            (Some(_), _) => Rejoin::Always,
            (None, Some(_)) if request.stream => Rejoin::BeforeContent,
            (None, Some(_)) => Rejoin::Always,
            (None, None) => Rejoin::Never,
        };
        let entry = Entry {
            id,
            key_id,
            idempotency_key,
            body_hash,
            repeated: repeats.is_some_and(|count| count > 0),
            rejoin,
            open: self.open,
            choices: request.n,
            top_logprobs: request.top_logprobs,
            trace: self.trace,
            plan,
            payer,
            permit,
        };
        enter::enter(&app.jobs, entry).await
    }
}

/// OpenAI's chat completions, streamed or whole.
#[utoipa::path(post, path = "/v1/chat/completions", operation_id = "create_chat_completion", tag = "inference",
    request_body(content = shapes::ChatBody, description = "OpenAI's chat completion request; what can't be honoured is refused by name"),
    security((), ("api_key" = [])),
    responses((status = 200, description = "With `stream` text/event-stream of ChatCompletionChunk, then `[DONE]`", body = ChatCompletion),
              (status = 400, description = "invalid_request, invalid_json, unsupported_parameter, context_length_exceeded", body = ErrorBody),
              (status = 401, description = "invalid_api_key", body = ErrorBody), (status = 402, description = "insufficient_funds, spend_limit_exceeded, grant_not_usable", body = ErrorBody),
              (status = 404, description = "model_not_found", body = ErrorBody), (status = 409, description = "request_in_progress", body = ErrorBody),
              (status = 410, description = "answer_expired", body = ErrorBody), (status = 413, description = "body_too_large", body = ErrorBody),
              (status = 415, description = "unsupported_media_type, unsupported_content_encoding", body = ErrorBody),
              (status = 422, description = "idempotency_key_reused", body = ErrorBody), (status = 429, description = "rate_limit_exceeded", body = ErrorBody),
              (status = 500, description = "internal_error, interrupted", body = ErrorBody), (status = 502, description = "validator_failed, chain_refused", body = ErrorBody),
              (status = 503, description = "no_validator, gateway_busy and others, with Retry-After", body = ErrorBody)))]
pub async fn completions(
    State(app): State<Arc<App>>,
    trace: Trace,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    let request = ChatRequest::parse(&body)?;
    let (stream, include_usage) = (request.stream, request.include_usage);
    let intake = Intake {
        app: &app,
        headers: &headers,
        trace,
        body: &body,
        route: "/v1/chat/completions",
        open: false,
    };
    let mut reader = match intake.enter(request).await? {
        Entered::Run(reader) => reader,
        Entered::Open(_) => return Err(ApiError::internal("a chat made an open job")),
    };
    let run = reader.run().clone();
    if !stream {
        let answers = whole(&mut reader).await?;
        let body = run.frame().completion(&answers);
        return Ok(with_headers(
            &app,
            Json(body).into_response(),
            &run,
            answers.first().map(|answer| answer.end.job.clone()),
        ));
    }
    // Nothing is sent before it is known that there will be an answer, or 10 s have passed: a refusal is still a status then.
    let admission = Duration::from_secs(app.config.timing.admission_seconds);
    let _ = tokio::time::timeout(admission, reader.admitted()).await;
    if let Some(error) = reader.failed_early() {
        return Err(error);
    }
    let job = run.job();
    let events = Sse::new(chunks(reader, include_usage, app.edge.life.cut.clone())).keep_alive(
        KeepAlive::new()
            .interval(Duration::from_secs(10))
            .text("ping"),
    );
    Ok(with_headers(
        &app,
        unbuffered(events.into_response()),
        &run,
        job,
    ))
}

fn with_headers(app: &App, mut response: Response, run: &Run, job: Option<String>) -> Response {
    let headers = response.headers_mut();
    let (most, left) = app.limiter.standing(&run.head.key_id);
    // The bucket refills evenly: seconds until it is full again.
    let reset = u64::from(most - left.min(most)) * 60 / u64::from(most.max(1));
    for (name, value) in [
        ("x-ratelimit-limit-requests", most.to_string()),
        ("x-ratelimit-remaining-requests", left.to_string()),
        ("x-ratelimit-reset-requests", format!("{reset}s")),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if let Some(value) = job.and_then(|job| HeaderValue::from_str(&job).ok()) {
        headers.insert("x-mythic-job-id", value);
    }
    if run.frame_replayed() {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Waits for the whole answer.
async fn whole(reader: &mut Reader) -> ApiResult<Vec<ChoiceAnswer>> {
    let choices = reader.run().head.choices as usize;
    let mut pieces = vec![Vec::new(); choices];
    let mut ends: Vec<Option<ChoiceEnd>> = vec![None; choices];
    while let Some(event) = reader.next().await {
        match event {
            Step::Piece(choice, piece) => {
                if let Some(list) = pieces.get_mut(choice as usize) {
                    list.push(piece.as_ref().clone());
                }
            }
            Step::End(choice, end) => {
                if let Some(place) = ends.get_mut(choice as usize) {
                    *place = Some(end);
                }
            }
            Step::Failed(error) => return Err(error),
            Step::Admitted { .. } | Step::Finished => {}
        }
    }
    pieces
        .into_iter()
        .zip(ends)
        .map(|(pieces, end)| {
            end.map(|end| ChoiceAnswer { pieces, end })
                .ok_or_else(|| ApiError::internal("a choice without an end"))
        })
        .collect()
}

/// A run as the chunks of a stream; `cut` ends it early, because the gateway stops.
fn chunks(
    reader: Reader,
    include_usage: bool,
    cut: CancellationToken,
) -> impl Stream<Item = Result<axum::response::sse::Event, Infallible>> {
    let choices = reader.run().head.choices as usize;
    let state = Chunks {
        reader,
        include_usage,
        cut,
        told: std::iter::repeat_with(|| None).take(choices).collect(),
        ends: Vec::new(),
        ready: VecDeque::new(),
        over: false,
    };
    futures::stream::unfold(state, |mut state| async move {
        let data = state.next().await?;
        Some((Ok(axum::response::sse::Event::default().data(data)), state))
    })
}

/// Where a stream of chunks stands.
struct Chunks {
    reader: Reader,
    include_usage: bool,
    cut: CancellationToken,
    /// What was told of each choice that was opened.
    told: Vec<Option<Told>>,
    ends: Vec<(u32, ChoiceEnd)>,
    ready: VecDeque<String>,
    over: bool,
}

impl Chunks {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            if self.over {
                return None;
            }
            let cut = self.cut.clone();
            tokio::select! {
                biased;
                event = self.reader.next() => self.take(event),
                () = cut.cancelled() => self.take(Some(Step::Failed(stopping()))),
            }
        }
    }

    fn push(&mut self, mut chunk: completion::ChatCompletionChunk) {
        if self.include_usage && chunk.usage.is_none() {
            chunk.usage = Some(None);
        }
        match serde_json::to_string(&chunk) {
            Ok(data) => self.ready.push_back(data),
            Err(error) => self.take(Some(Step::Failed(ApiError::internal(error)))),
        }
    }

    /// The frame, and what was told of a choice, which is opened if it was not.
    fn open(&mut self, choice: u32) -> completion::Frame {
        let frame = self.reader.run().frame();
        let unopened = self
            .told
            .get_mut(choice as usize)
            .filter(|told| told.is_none())
            .map(|told| *told = Some(Told::default()))
            .is_some();
        if unopened {
            self.push(frame.opening(choice));
        }
        frame
    }

    fn take(&mut self, event: Option<Step>) {
        match event {
            None => self.over = true,
            Some(Step::Admitted { .. }) => {}
            Some(Step::Piece(choice, piece)) => {
                let frame = self.open(choice);
                let chunk = self
                    .told
                    .get_mut(choice as usize)
                    .and_then(Option::as_mut)
                    .and_then(|told| frame.step(choice, &piece, told));
                if let Some(chunk) = chunk {
                    self.push(chunk);
                }
            }
            Some(Step::End(choice, end)) => {
                let frame = self.open(choice);
                self.push(frame.closing(choice, &end));
                self.ends.push((choice, end));
            }
            Some(Step::Finished) => {
                if self.include_usage {
                    self.ends.sort_by_key(|(choice, _)| *choice);
                    let ends: Vec<ChoiceEnd> =
                        self.ends.iter().map(|(_, end)| end.clone()).collect();
                    let chunk = self.reader.run().frame().usage(&ends);
                    self.push(chunk);
                }
                self.ready.push_back("[DONE]".into());
                self.over = true;
            }
            Some(Step::Failed(error)) => {
                self.ready.push_back(error.body().to_string());
                self.over = true;
            }
        }
    }
}

/// Query of `POST /v1/inference`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceQuery {
    #[serde(default)]
    wait: Option<bool>,
}

/// The answer to a single prompt.
#[derive(Debug, Serialize, ToSchema)]
pub struct Inference {
    object: &'static str,
    /// The text.
    output: String,
    job: String,
    validator: String,
    #[schema(value_type = String)]
    finish_reason: Finish,
    cost_lamports: u64,
    /// Where the receipt is.
    receipt: String,
    usage: Usage,
    model: String,
    /// A stored answer is shown again.
    replayed: bool,
    /// The chain did not show the result in time: nobody vouches for the answer yet; `GET /v1/jobs/{id}` tells later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
}

/// One prompt: its whole answer, or an open job at once.
#[utoipa::path(post, path = "/v1/inference", operation_id = "create_inference", tag = "inference",
    params(("wait" = Option<bool>, Query, description = "false: make an open job and return it at once")),
    request_body(content = shapes::InferenceBody), security((), ("api_key" = [])),
    responses((status = 200, description = "The answer", body = Inference), (status = 202, description = "The open job; `pending` until it is indexed", body = JobDetails),
              (status = 400, description = "invalid_request, invalid_json, unsupported_parameter, context_length_exceeded", body = ErrorBody),
              (status = 401, description = "invalid_api_key", body = ErrorBody), (status = 402, description = "insufficient_funds, spend_limit_exceeded, grant_not_usable", body = ErrorBody),
              (status = 404, description = "model_not_found", body = ErrorBody), (status = 409, description = "request_in_progress", body = ErrorBody),
              (status = 413, description = "body_too_large", body = ErrorBody), (status = 415, description = "unsupported_media_type, unsupported_content_encoding", body = ErrorBody),
              (status = 422, description = "idempotency_key_reused", body = ErrorBody), (status = 429, description = "rate_limit_exceeded", body = ErrorBody),
              (status = 502, description = "validator_failed, chain_refused", body = ErrorBody), (status = 503, description = "no_validator, gateway_busy and others, with Retry-After", body = ErrorBody)))]
pub async fn inference(
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
    trace: Trace,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    let request = ChatRequest::parse_inference(&body)?;
    let open = query.wait == Some(false);
    let route = if open {
        "/v1/inference?wait=false"
    } else {
        "/v1/inference"
    };
    let intake = Intake {
        app: &app,
        headers: &headers,
        trace,
        body: &body,
        route,
        open,
    };
    match intake.enter(request).await? {
        Entered::Open(job) => {
            let value = jobs::describe(&app, &job)
                .await?
                .ok_or_else(|| ApiError::internal("an open job that is not known"))?;
            let mut response = (StatusCode::ACCEPTED, Json(value)).into_response();
            if let Ok(value) = HeaderValue::from_str(&job.to_string()) {
                response.headers_mut().insert("x-mythic-job-id", value);
            }
            Ok(response)
        }
        Entered::Run(mut reader) => {
            let run = reader.run().clone();
            let answers = whole(&mut reader).await?;
            let first = answers
                .first()
                .ok_or_else(|| ApiError::internal("an answer without choices"))?;
            let ends: Vec<ChoiceEnd> = answers.iter().map(|answer| answer.end.clone()).collect();
            let body = Inference {
                object: "inference",
                output: first.text(),
                job: first.end.job.clone(),
                validator: first.end.validator.clone(),
                finish_reason: first.end.finish,
                cost_lamports: first.end.cost_lamports,
                receipt: first.end.receipt.clone(),
                usage: completion::usage(&ends),
                model: run.head.model.clone(),
                replayed: run.frame_replayed(),
                unconfirmed: first.end.unconfirmed,
            };
            Ok(with_headers(
                &app,
                Json(body).into_response(),
                &run,
                Some(first.end.job.clone()),
            ))
        }
    }
}

/// What a request would cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct Estimate {
    object: &'static str,
    model: String,
    prompt_tokens: u32,
    max_output_tokens: u32,
    /// Mean length of this model's answers lately; null before the first.
    expected_output_tokens: Option<u32>,
    /// For the expected length, all choices together: each pays its prompt.
    estimated_cost_lamports: u64,
    /// For the longest answer.
    ceiling_cost_lamports: u64,
    estimated_cost_sol: f64,
    ceiling_cost_sol: f64,
    price_in_lamports_per_1k: u32,
    price_out_lamports_per_1k: u32,
    terms: Terms,
}

/// What a client puts into a RequestInference that it signs itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Terms {
    model: String,
    canceller: String,
    /// 32 hex digits.
    salt: String,
    prompt_hash: String,
    stop_hash: String,
    temperature_milli: u16,
    prompt_source: String,
    deadline_slots: u32,
    validator: Option<String>,
    operator: Option<String>,
}

/// What a request would cost, and everything a client needs to sign RequestInference itself.
#[utoipa::path(post, path = "/v1/estimate", operation_id = "estimate", tag = "inference",
    request_body(content = shapes::EstimateBody),
    responses((status = 200, description = "Tokens, estimated and ceiling cost in lamports and SOL, and `terms` for a client's own transaction", body = Estimate),
              (status = 400, description = "invalid_request, invalid_json, unsupported_parameter, context_length_exceeded", body = ErrorBody),
              (status = 404, description = "model_not_found", body = ErrorBody), (status = 429, description = "rate_limit_exceeded", body = ErrorBody),
              (status = 503, description = "gateway_busy, chain_unavailable and others, with Retry-After", body = ErrorBody)))]
pub async fn estimate(
    State(app): State<Arc<App>>,
    Caller(address): Caller,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Json<Estimate>> {
    app.edge
        .anonymous
        .take(address, std::time::Instant::now())?;
    let request = ChatRequest::parse_estimate(&body)?;
    let plan = plan::plan(
        &app.catalogue,
        &app.config,
        &app.edge,
        &request,
        accounts::random()?,
    )
    .await?;
    let expected = expected_output(&app, &plan).await;
    let jobs = u64::from(request.n);
    let ceiling = plan.ceiling.saturating_mul(jobs);
    let estimated = plan
        .cost(expected.unwrap_or(plan.max_output_tokens))
        .saturating_mul(jobs);
    let fleet = app
        .validators
        .fleet(&plan.rules, (plan.price_in, plan.price_out))
        .await?;
    let pick = Router::pick(
        &Request {
            model: plan.model.address.to_bytes(),
            tokens: plan.prompt_tokens.saturating_add(plan.max_output_tokens),
            prompt_tokens: plan.prompt_tokens,
            prefix: plan.prefix(),
            tried: &[],
        },
        &fleet,
    );
    let node = pick.ok().and_then(|at| fleet.nodes.get(at));
    Ok(Json(Estimate {
        object: "estimate",
        model: plan.model.id.clone(),
        prompt_tokens: plan.prompt_tokens,
        max_output_tokens: plan.max_output_tokens,
        expected_output_tokens: expected,
        estimated_cost_lamports: estimated,
        ceiling_cost_lamports: ceiling,
        estimated_cost_sol: sol(estimated),
        ceiling_cost_sol: sol(ceiling),
        price_in_lamports_per_1k: plan.price_in,
        price_out_lamports_per_1k: plan.price_out,
        terms: Terms {
            model: plan.model.address.to_string(),
            canceller: app.chain.payer.pubkey().to_string(),
            salt: hex::encode(plan.salt),
            prompt_hash: hex::encode(plan.prompt_hash),
            stop_hash: hex::encode(mythic_interface::hash::stop_hash(&plan.stop)),
            temperature_milli: plan.temperature_milli,
            prompt_source: app.config.public_url.trim_end_matches('/').to_owned(),
            deadline_slots: plan.deadline_slots,
            validator: node.map(|node| Pubkey::new_from_array(node.validator).to_string()),
            operator: node.map(|node| Pubkey::new_from_array(node.operator).to_string()),
        },
    }))
}

/// Lamports as SOL; exact enough for people, amounts for machines are in lamports.
fn sol(lamports: u64) -> f64 {
    lamports as f64 / 1e9
}

/// Mean length of this model's answers lately; `None` before the first.
async fn expected_output(app: &App, plan: &Plan) -> Option<u32> {
    let mean = index::jobs::mean_output(&app.pool, &plan.model.address)
        .await
        .ok()?;
    u32::try_from(mean?)
        .ok()
        .map(|mean| mean.clamp(1, plan.max_output_tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{answer::Piece, run::RunHead};
    use futures::StreamExt;
    use serde_json::{Value, json};

    #[test]
    fn idempotency_keys_are_1_to_128_characters() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers), Ok(None));
        for (length, good) in [(0, false), (1, true), (128, true), (129, false)] {
            headers.insert("idempotency-key", "k".repeat(length).parse().unwrap());
            assert_eq!(idempotency_key(&headers).is_ok(), good, "{length}");
        }
    }

    fn run() -> Arc<Run> {
        Run::new(RunHead {
            id: "r".into(),
            key_id: "k".into(),
            created: 5,
            model: "m@00000000".into(),
            choices: 1,
            logprobs: false,
            rejoin: Rejoin::Never,
        })
    }

    async fn stream_text(run: &Arc<Run>, usage: bool) -> Vec<Value> {
        let response =
            Sse::new(chunks(run.reader(), usage, CancellationToken::new())).into_response();
        let mut body = response.into_body().into_data_stream();
        let mut text = String::new();
        while let Some(chunk) = body.next().await {
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        text.split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap_or(Value::from(data)))
            .collect()
    }

    #[tokio::test]
    async fn a_stream_opens_speaks_closes_counts_and_is_done() {
        let run = run();
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Step::Piece(
            0,
            Arc::new(Piece {
                text: "hi".into(),
                logprob: None,
            }),
        ));
        run.push(Step::End(
            0,
            ChoiceEnd {
                job: "J".into(),
                validator: "V".into(),
                finish: Finish::Length,
                prompt_tokens: 4,
                output_tokens: 1,
                cost_lamports: 150,
                receipt: "u".into(),
                unconfirmed: false,
            },
        ));
        run.push(Step::Finished);
        let events = stream_text(&run, true).await;
        assert_eq!(events.len(), 5);
        assert_eq!(
            events[0]["choices"][0]["delta"],
            json!({"role": "assistant", "content": ""})
        );
        assert_eq!(events[1]["choices"][0]["delta"]["content"], "hi");
        assert_eq!(events[2]["choices"][0]["finish_reason"], "length");
        assert_eq!(events[2]["mythic"]["cost_lamports"], 150);
        assert_eq!(events[3]["usage"]["total_tokens"], 5);
        assert_eq!(events[4], "[DONE]");
        assert!(
            events[..4]
                .iter()
                .all(|event| event["id"] == "chatcmpl-J" && event["created"] == 5)
        );
        // Until the last, chunks of a stream that counts say that they don't know yet.
        assert!(events[..3].iter().all(|event| event["usage"].is_null()));
        assert!(events[0].as_object().unwrap().contains_key("usage"));
        let uncounted = stream_text(&run, false).await;
        assert_eq!(uncounted.len(), 4);
        assert!(!uncounted[0].as_object().unwrap().contains_key("usage"));
    }

    #[tokio::test]
    async fn a_stream_that_a_stop_cuts_ends_with_an_error() {
        let run = run();
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        let cut = CancellationToken::new();
        cut.cancel();
        let mut state = Box::pin(chunks(run.reader(), false, cut));
        assert!(state.next().await.is_some());
        assert!(state.next().await.is_none());
    }

    #[tokio::test]
    async fn a_failure_in_the_middle_is_an_error_event_without_done() {
        let run = run();
        run.push(Step::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Step::Piece(
            0,
            Arc::new(Piece {
                text: "hi".into(),
                logprob: None,
            }),
        ));
        run.push(Step::Failed(
            ApiError::new(StatusCode::BAD_GATEWAY, "validator_failed", "gone").job("J"),
        ));
        let events = stream_text(&run, true).await;
        assert_eq!(events.last().unwrap()["error"]["code"], "validator_failed");
        assert_eq!(events.last().unwrap()["error"]["job_id"], "J");
    }
}
