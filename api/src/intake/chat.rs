//! Chat completions, streamed or whole.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use mythic_http::Trace;

use super::{
    chunks::Chunks,
    completion::ChatCompletion,
    entry::{Intake, whole, with_headers},
    openai::ChatRequest,
    play::play,
    shapes,
};
use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{Caller, JsonBytes},
    jobs::enter::Entered,
};

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
              (status = 422, description = "idempotency_key_reused, grammar_limit", body = ErrorBody), (status = 429, description = "rate_limit_exceeded", body = ErrorBody),
              (status = 500, description = "internal_error, interrupted", body = ErrorBody), (status = 502, description = "validator_failed, chain_refused", body = ErrorBody),
              (status = 503, description = "no_validator, gateway_busy and others, with Retry-After", body = ErrorBody)))]
pub async fn completions(
    State(app): State<Arc<App>>,
    Caller(address): Caller,
    trace: Trace,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    let request = ChatRequest::parse(&body)?;
    let (stream, include_usage) = (request.stream, request.include_usage);
    let intake = Intake {
        app: &app,
        headers: &headers,
        address,
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
    if stream {
        let script = Chunks::new(run.head.choices, include_usage);
        return play(&app, reader, script).await;
    }
    let answers = whole(&app, &mut reader).await?;
    let body = run.frame().completion(&answers);
    Ok(with_headers(
        &app,
        Json(body).into_response(),
        &run,
        answers.first().map(|answer| answer.end.job.clone()),
    ))
}
