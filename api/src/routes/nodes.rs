//! What validators' nodes say to the gateway: announcements, prompts of jobs they accepted, results. All signed.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use mythic_client::Commitment;
use mythic_interface::state::NO_KEY;
use mythic_sampling::Options;
use mythic_wire::{Announcement, JobResult, PromptBody, parse_hex32, signed::purpose};
use serde::Serialize;
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use crate::{
    app::App,
    chain::pay,
    error::{ApiError, ApiResult, ErrorBody},
    http::{PathParam, SignedBody},
    jobs::{attempt::Event, result},
    routes::jobs::parse_job,
    store::{self, Note},
};

/// Most models in an announcement.
const MAX_MODELS: usize = 64;

fn forbidden(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "not_the_operator", message)
}

fn malformed(error: serde_json::Error) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_json",
        format!("the body is not what is expected here: {error}"),
    )
}

/// An announcement was noted.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnnouncementNoted {
    /// `announcement`.
    object: &'static str,
    /// Authority, base58.
    validator: String,
    noted: bool,
}

/// A result was kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultKept {
    /// `result`.
    object: &'static str,
    /// Address of the job, base58.
    job: String,
    kept: bool,
}

/// A validator's models, queue and speed, every 10 seconds, signed by its operator.
#[utoipa::path(put, path = "/v1/nodes/{validator}", operation_id = "announce_node", tag = "nodes", params(("validator" = String, Path, description = "Authority")),
    request_body(content = Announcement, description = "Signed by the operator"), security(("wallet_signature" = [])),
    responses((status = 200, description = "Noted", body = AnnouncementNoted), (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 403, description = "not_the_operator", body = ErrorBody), (status = 404, description = "validator_not_found", body = ErrorBody)))]
pub async fn announce(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    signed: SignedBody,
) -> ApiResult<Json<AnnouncementNoted>> {
    let authority: Pubkey = id
        .parse()
        .map_err(|_| ApiError::invalid("validator", "validator must be a base58 authority"))?;
    let announcement: Announcement = serde_json::from_slice(&signed.body).map_err(malformed)?;
    if announcement.validator != id || announcement.models.len() > MAX_MODELS {
        return Err(ApiError::invalid(
            "validator",
            "the announcement is another validator's, or has too many models",
        ));
    }
    let signer = signed.signer(purpose::ANNOUNCE)?;
    if announcement.endpoint.len() > 200 {
        return Err(ApiError::invalid(
            "endpoint",
            "endpoint must be an origin of at most 200 bytes",
        ));
    }
    mythic_wire::Origin::parse(&announcement.endpoint)
        .map_err(|error| ApiError::invalid("endpoint", error.to_string()))?;
    let validator = app
        .validators
        .by_authority(&authority)
        .await?
        .ok_or_else(|| {
            ApiError::not_found(
                "validator_not_found",
                "no such validator is registered on chain",
            )
        })?;
    // An operator that changed on chain lately is known with the next list, before its next announcement: a wrong signer makes no
    // work.
    if validator.operator != signer.to_bytes() {
        return Err(forbidden(
            "an announcement is signed by the validator's operator key",
        ));
    }
    app.validators.announce(authority.to_bytes(), announcement);
    app.jobs.queue.changed();
    Ok(Json(AnnouncementNoted {
        object: "announcement",
        validator: id,
        noted: true,
    }))
}

/// The operator that accepted a job, as the chain says.
async fn is_operator(app: &App, validator: &[u8; 32], signer: &Pubkey) -> ApiResult<bool> {
    if *validator == NO_KEY {
        return Ok(false);
    }
    let registered = app
        .validators
        .by_authority(&Pubkey::new_from_array(*validator))
        .await?;
    Ok(registered.is_some_and(|validator| validator.operator == signer.to_bytes()))
}

/// The prompt of an accepted job, for the operator that accepted it.
#[utoipa::path(get, path = "/v1/prompts/{prompt_hash}", operation_id = "show_prompt", tag = "nodes", params(("prompt_hash" = String, Path, description = "64 hex digits")),
    security(("wallet_signature" = [])),
    responses((status = 200, description = "Token ids, salt, stop strings", body = PromptBody), (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 403, description = "not_the_operator", body = ErrorBody), (status = 404, description = "prompt_not_found", body = ErrorBody)))]
pub async fn prompt(
    State(app): State<Arc<App>>,
    PathParam(hash): PathParam,
    signed: SignedBody,
) -> ApiResult<Json<PromptBody>> {
    let signer = signed.signer(&purpose::prompt(&hash))?;
    let hash = parse_hex32(&hash)
        .ok_or_else(|| ApiError::invalid("prompt_hash", "prompt_hash must be 64 hex digits"))?;
    // Strangers are refused by the list that is at hand, before table and chain are asked for them.
    let operator = signer.to_bytes();
    let (_, validators) = app.validators.registered().await?;
    if !validators.iter().any(|one| one.operator == operator) {
        return Err(forbidden(
            "a prompt is for the operator whose validator accepted its job",
        ));
    }
    let kept = store::prompts(&app.pool, &hash).await?;
    if kept.is_empty() {
        return Err(ApiError::not_found(
            "prompt_not_found",
            "this gateway holds no such prompt",
        ));
    }
    for prompt in kept {
        let Some((_, job)) = pay::job(&app.chain, &prompt.job, Commitment::Processed).await? else {
            continue;
        };
        if is_operator(&app, &job.validator, &signer).await? {
            let options = prompt.options.as_ref().map(Options::to_wire);
            return Ok(Json(PromptBody {
                prompt_ids: prompt.ids,
                salt: hex::encode(prompt.salt),
                // Options have their stop strings with them.
                stop: match options {
                    Some(_) => Vec::new(),
                    None => prompt.stop,
                },
                options: options.transpose().map_err(ApiError::internal)?,
            }));
        }
    }
    Err(forbidden(
        "a prompt is for the operator whose validator accepted its job",
    ))
}

/// The result of a job that this gateway sent, checked against what the chain has of it.
#[utoipa::path(put, path = "/v1/jobs/{id}/result", operation_id = "bring_result", tag = "nodes", params(("id" = String, Path)), request_body(content = JobResult, description = "Signed by the operator"),
    security(("wallet_signature" = [])),
    responses((status = 200, description = "Kept", body = ResultKept), (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 403, description = "not_the_operator", body = ErrorBody), (status = 404, description = "job_not_found", body = ErrorBody),
              (status = 409, description = "not_submitted, with Retry-After", body = ErrorBody), (status = 422, description = "result_mismatch", body = ErrorBody)))]
pub async fn result(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    signed: SignedBody,
) -> ApiResult<Json<ResultKept>> {
    let address = parse_job(&id)?;
    let signer = signed.signer(&purpose::result(&address))?;
    let result: JobResult = serde_json::from_slice(&signed.body).map_err(malformed)?;
    let attempt = store::by_job(&app.pool, &address)
        .await?
        .ok_or_else(|| ApiError::not_found("job_not_found", "this gateway sent no such job"))?;
    let Some((_, job)) = pay::job(&app.chain, &address, Commitment::Processed).await? else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "not_submitted",
            "the job is not on chain",
        )
        .retry_after(2));
    };
    if !is_operator(&app, &job.validator, &signer).await? {
        return Err(forbidden(
            "a result is given by the operator whose validator accepted the job",
        ));
    }
    if !result::has_result(&job) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "not_submitted",
            "the chain shows no result of this job yet",
        )
        .retry_after(1));
    }
    if result.job != id || result.output_ids != result.evidence.output_ids {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "result_mismatch",
            "the result and its evidence differ",
        ));
    }
    let answer = result::answer_from(&app.jobs, &attempt, &job, &result.evidence, None)?;
    if !attempt.state.has_answer() {
        let evidence = serde_json::to_value(&result.evidence).map_err(ApiError::internal)?;
        let note = Note {
            answer: Some(&answer),
            evidence: Some(&evidence),
            ..Note::default()
        };
        store::feed(&app.pool, &address, Event::Brought, note).await?;
        app.jobs.janitor.notify_one();
    }
    Ok(Json(ResultKept {
        object: "result",
        job: address.to_string(),
        kept: true,
    }))
}
