//! The routes that make jobs: chat completions, single prompts, estimates.

use std::{convert::Infallible, sync::Arc, time::Duration};

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
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    accounts,
    app::App,
    chain::{errors::chain_error, pay},
    error::{ApiError, ApiResult},
    fleet::routing::{Request, Router},
    http::{JsonBytes, Query},
    intake::{
        openai::ChatRequest,
        plan::{self, Plan},
    },
    jobs::{
        answer::{self, ChoiceAnswer, ChoiceEnd},
        enter::{self, Entered, Entry},
        run::{Event, Reader, Rejoin, Run},
        work::Payer,
    },
    routes::jobs,
};

const REPLAYED: &str = "x-mythic-replayed";

fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if (16..=128).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::invalid(
            "Idempotency-Key",
            "Idempotency-Key must be 16 to 128 printable characters",
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
    body: &'a Bytes,
    route: &'static str,
    open: bool,
}

impl Intake<'_> {
    async fn enter(&self, request: ChatRequest) -> ApiResult<Entered> {
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
        let plan = plan::plan(&app.catalogue, &app.config, &request, salt).await?;
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
            plan,
            payer,
            permit,
        };
        enter::enter(&app.jobs, entry).await
    }
}

/// OpenAI's chat completions, streamed or whole.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "inference",
    request_body(content = Object, description = "OpenAI's chat completion request; what can't be honoured is refused by name"),
    responses((status = 200, description = "chat.completion, or chat.completion.chunk events"),
              (status = 400, description = "invalid_request, unsupported_parameter, context_length_exceeded"),
              (status = 401, description = "invalid_api_key"), (status = 402, description = "insufficient_funds, spend_limit_exceeded, grant_not_usable"),
              (status = 404, description = "model_not_found"), (status = 409, description = "request_in_progress"),
              (status = 422, description = "idempotency_key_reused"), (status = 429, description = "rate_limit_exceeded"),
              (status = 503, description = "no_validator")))]
pub async fn completions(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    let request = ChatRequest::parse(&body)?;
    let (stream, include_usage) = (request.stream, request.include_usage);
    let intake = Intake {
        app: &app,
        headers: &headers,
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
    let events = Sse::new(chunks(reader, include_usage)).keep_alive(
        KeepAlive::new()
            .interval(Duration::from_secs(10))
            .text("ping"),
    );
    Ok(with_headers(events.into_response(), &run, job))
}

fn with_headers(mut response: Response, run: &Run, job: Option<String>) -> Response {
    let headers = response.headers_mut();
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
            Event::Piece(choice, piece) => {
                if let Some(list) = pieces.get_mut(choice as usize) {
                    list.push(piece.as_ref().clone());
                }
            }
            Event::End(choice, end) => {
                if let Some(place) = ends.get_mut(choice as usize) {
                    *place = Some(end);
                }
            }
            Event::Failed(error) => return Err(error),
            Event::Admitted { .. } | Event::Finished => {}
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

/// A run as the chunks of a stream.
fn chunks(
    reader: Reader,
    include_usage: bool,
) -> impl Stream<Item = Result<axum::response::sse::Event, Infallible>> {
    struct State {
        reader: Reader,
        opened: Vec<bool>,
        ends: Vec<(u32, ChoiceEnd)>,
        ready: std::collections::VecDeque<String>,
        over: bool,
    }
    let opened = vec![false; reader.run().head.choices as usize];
    let state = State {
        reader,
        opened,
        ends: Vec::new(),
        ready: Default::default(),
        over: false,
    };
    futures::stream::unfold(state, move |mut state| async move {
        loop {
            if let Some(data) = state.ready.pop_front() {
                return Some((Ok(axum::response::sse::Event::default().data(data)), state));
            }
            if state.over {
                return None;
            }
            let event = state.reader.next().await;
            let choice = match &event {
                Some(Event::Piece(choice, _) | Event::End(choice, _)) => Some(*choice),
                _ => None,
            };
            if let Some(choice) = choice
                && let Some(opened) = state.opened.get_mut(choice as usize)
                && !std::mem::replace(opened, true)
            {
                state
                    .ready
                    .push_back(state.reader.run().frame().opening(choice).to_string());
            }
            match event {
                None => state.over = true,
                Some(Event::Admitted { .. }) => {}
                Some(Event::Piece(choice, piece)) => {
                    state.ready.extend(
                        state
                            .reader
                            .run()
                            .frame()
                            .step(choice, &piece)
                            .map(|chunk| chunk.to_string()),
                    );
                }
                Some(Event::End(choice, end)) => {
                    state
                        .ready
                        .push_back(state.reader.run().frame().closing(choice, &end).to_string());
                    state.ends.push((choice, end));
                }
                Some(Event::Finished) => {
                    if include_usage {
                        state.ends.sort_by_key(|(choice, _)| *choice);
                        let ends: Vec<ChoiceEnd> =
                            state.ends.iter().map(|(_, end)| end.clone()).collect();
                        state
                            .ready
                            .push_back(state.reader.run().frame().usage(&ends).to_string());
                    }
                    state.ready.push_back("[DONE]".into());
                    state.over = true;
                }
                Some(Event::Failed(error)) => {
                    state.ready.push_back(error.body().to_string());
                    state.over = true;
                }
            }
        }
    })
}

/// Query of `POST /v1/inference`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceQuery {
    #[serde(default)]
    wait: Option<bool>,
}

/// One prompt: its whole answer, or an open job at once.
#[utoipa::path(post, path = "/v1/inference", tag = "inference",
    params(("wait" = Option<bool>, Query, description = "false: make an open job and return it at once")),
    request_body(content = Object, description = "{model, prompt, max_tokens?, temperature?, seed?, stop?, mythic?}"),
    responses((status = 200, description = "{output, job, receipt, …}"), (status = 202, description = "The open job")))]
pub async fn inference(
    State(app): State<Arc<App>>,
    Query(query): Query<InferenceQuery>,
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
            let body = json!({
                "object": "inference",
                "output": first.text(),
                "job": first.end.job,
                "validator": first.end.validator,
                "finish_reason": first.end.finish,
                "cost_lamports": first.end.cost_lamports,
                "receipt": first.end.receipt,
                "usage": answer::usage(&ends),
                "model": run.head.model,
                "replayed": run.frame_replayed(),
            });
            Ok(with_headers(
                Json(body).into_response(),
                &run,
                Some(first.end.job.clone()),
            ))
        }
    }
}

/// What a request would cost, and everything a client needs to sign RequestInference itself.
#[utoipa::path(post, path = "/v1/estimate", tag = "inference",
    request_body(content = Object, description = "{model, prompt | messages, max_tokens?, n?, temperature?, seed?, stop?}"),
    responses((status = 200, description = "Tokens, estimated and ceiling cost in lamports and SOL, and `terms` for a client's own transaction")))]
pub async fn estimate(
    State(app): State<Arc<App>>,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Json<Value>> {
    let request = ChatRequest::parse_estimate(&body)?;
    let plan = plan::plan(&app.catalogue, &app.config, &request, accounts::random()?).await?;
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
    Ok(Json(json!({
        "object": "estimate",
        "model": plan.model.id,
        "prompt_tokens": plan.prompt_tokens,
        "max_output_tokens": plan.max_output_tokens,
        "expected_output_tokens": expected,
        "estimated_cost_lamports": estimated,
        "ceiling_cost_lamports": ceiling,
        "estimated_cost_sol": sol(estimated),
        "ceiling_cost_sol": sol(ceiling),
        "price_in_lamports_per_1k": plan.price_in,
        "price_out_lamports_per_1k": plan.price_out,
        "terms": {
            "model": plan.model.address.to_string(),
            "canceller": app.chain.payer.pubkey().to_string(),
            "salt": hex::encode(plan.salt),
            "prompt_hash": hex::encode(plan.prompt_hash),
            "stop_hash": hex::encode(mythic_interface::hash::stop_hash(&plan.stop)),
            "temperature_milli": plan.temperature_milli,
            "prompt_source": app.config.public_url.trim_end_matches('/'),
            "deadline_slots": plan.deadline_slots,
            "validator": node.map(|node| Pubkey::new_from_array(node.validator).to_string()),
            "operator": node.map(|node| Pubkey::new_from_array(node.operator).to_string()),
        },
    })))
}

/// Lamports as SOL; exact enough for people, amounts for machines are in lamports.
fn sol(lamports: u64) -> f64 {
    lamports as f64 / 1e9
}

/// Mean length of this model's answers lately; `None` before the first.
async fn expected_output(app: &App, plan: &Plan) -> Option<u32> {
    let client = app.pool.get().await.ok()?;
    let row = client
        .query_one(
            "SELECT (avg(output_tokens))::bigint FROM
               (SELECT output_tokens FROM analytics.jobs_processed
                 WHERE model_key = $1 AND output_tokens IS NOT NULL ORDER BY requested_slot DESC LIMIT 100) lately",
            &[&plan.model.address.as_ref()],
        )
        .await
        .ok()?;
    let mean: Option<i64> = row.get(0);
    u32::try_from(mean?)
        .ok()
        .map(|mean| mean.clamp(1, plan.max_output_tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{
        answer::{Finish, Piece},
        run::RunHead,
    };
    use futures::StreamExt;

    #[test]
    fn idempotency_keys_are_16_to_128_characters() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers), Ok(None));
        for (length, good) in [(15, false), (16, true), (128, true), (129, false)] {
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
        let response = Sse::new(chunks(run.reader(), usage)).into_response();
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
        run.push(Event::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Event::Piece(
            0,
            Arc::new(Piece {
                text: "hi".into(),
                logprob: None,
            }),
        ));
        run.push(Event::End(
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
        run.push(Event::Finished);
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
        assert_eq!(stream_text(&run, false).await.len(), 4);
    }

    #[tokio::test]
    async fn a_failure_in_the_middle_is_an_error_event_without_done() {
        let run = run();
        run.push(Event::Admitted {
            choice: 0,
            job: "J".into(),
        });
        run.push(Event::Piece(
            0,
            Arc::new(Piece {
                text: "hi".into(),
                logprob: None,
            }),
        ));
        run.push(Event::Failed(
            ApiError::new(StatusCode::BAD_GATEWAY, "validator_failed", "gone").job("J"),
        ));
        let events = stream_text(&run, true).await;
        assert_eq!(events.last().unwrap()["error"]["code"], "validator_failed");
        assert_eq!(events.last().unwrap()["error"]["job_id"], "J");
    }
}
