//! A single prompt: its whole answer, or an open job at once.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use mythic_http::Trace;
use mythic_wire::openai::finish_reason;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    completion::Usage,
    entry::{Intake, whole, with_headers},
    format::Format,
    openai::ChatRequest,
    render::usage,
    shapes,
};
use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{Caller, JsonBytes, Query},
    jobs::{answer::ChoiceEnd, enter::Entered},
    routes::jobs,
    store::index::jobs::JobDetails,
};

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
    output: String,
    job: String,
    validator: String,
    /// `stop` or `length`.
    finish_reason: &'static str,
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
              (status = 422, description = "idempotency_key_reused, grammar_limit", body = ErrorBody), (status = 429, description = "rate_limit_exceeded", body = ErrorBody),
              (status = 502, description = "validator_failed, chain_refused", body = ErrorBody), (status = 503, description = "no_validator, gateway_busy and others, with Retry-After", body = ErrorBody)))]
pub async fn inference(
    State(app): State<Arc<App>>,
    Caller(address): Caller,
    Query(query): Query<InferenceQuery>,
    trace: Trace,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    let request = ChatRequest::parse_inference(&body)?;
    let open = query.wait == Some(false);
    if open && request.format != Format::Text {
        return Err(ApiError::unsupported(
            "response_format",
            "response_format is not supported with wait=false: whoever takes an open job loses stake for giving it up late, so nodes follow no grammar there; leave it out, or wait for the answer",
        ));
    }
    let route = if open {
        "/v1/inference?wait=false"
    } else {
        "/v1/inference"
    };
    let intake = Intake {
        app: &app,
        headers: &headers,
        address,
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
            let answers = whole(&app, &mut reader).await?;
            let first = answers
                .first()
                .ok_or_else(|| ApiError::internal("an answer without choices"))?;
            let ends: Vec<ChoiceEnd> = answers.iter().map(|answer| answer.end.clone()).collect();
            let body = Inference {
                object: "inference",
                output: first.text(),
                job: first.end.job.clone(),
                validator: first.end.validator.clone(),
                finish_reason: finish_reason(first.end.finish),
                cost_lamports: first.end.cost_lamports,
                receipt: first.end.receipt.clone(),
                usage: usage(&ends),
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
