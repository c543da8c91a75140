//! Chat completions, streamed or whole.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
};

use mythic_http::Trace;

use super::{
    chunks::chunks,
    completion::ChatCompletion,
    entry::{Intake, whole, with_headers},
    openai::ChatRequest,
    shapes,
};
use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{JsonBytes, stopping},
    jobs::enter::Entered,
    routes::stream::unbuffered,
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
        let answers = whole(&app, &mut reader).await?;
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
    tokio::select! {
        _ = tokio::time::timeout(admission, reader.admitted()) => {}
        () = app.edge.life.cut.cancelled() => return Err(stopping()),
    }
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
