//! Jobs: as the index shows them, with what this gateway knows beside it.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{HeaderMap, Method},
};
use mythic_interface::state::{Job, JobStatus};
use mythic_wire::{
    Evidence, access,
    signed::{HEADER_SIGNATURE, purpose},
};
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use crate::{
    app::App,
    chain::errors::chain_error,
    error::{ApiError, ApiResult, ErrorBody},
    http::{PathParam, Query, unsigned},
    jobs::attempt::State as Stage,
    routes::lists::{self, Page},
    store::{
        self, Attempt,
        index::jobs::{self as index, JobDetails, JobRow, JobsWanted, Transition},
    },
};

/// A job's address, or 400.
pub fn parse_job(id: &str) -> ApiResult<Pubkey> {
    parse_named("id", id)
}

/// A job's address out of a parameter, or 400 that names it.
fn parse_named(param: &str, id: &str) -> ApiResult<Pubkey> {
    // Answers are named by their job: that works here too.
    let id = ["chatcmpl-", "cmpl-", "resp_"]
        .iter()
        .find_map(|prefix| id.strip_prefix(prefix))
        .unwrap_or(id);
    id.parse()
        .map_err(|_| {
            ApiError::invalid(
                param,
                "a job's id is its base58 address, as x-mythic-job-id and the id of an answer (chatcmpl-…) give it",
            )
        })
}

fn not_found(job: &Pubkey) -> ApiError {
    ApiError::not_found(
        "job_not_found",
        format!("no job {job} is indexed, and this gateway sent none"),
    )
}

/// Names the row's model as this gateway does.
fn named(app: &App, mut row: JobRow) -> JobRow {
    row.model_address = row.model;
    row.model =
        lists::model_id(app, &row.model_address).unwrap_or_else(|| row.model_address.clone());
    row
}

/// A job that the index does not show yet: what this gateway knows of it.
fn pending(app: &App, attempt: &Attempt) -> JobDetails {
    let arguments = &attempt.arguments;
    let row = JobRow {
        object: "job".into(),
        id: attempt.job.to_string(),
        status: match attempt.state {
            Stage::Unpaid => "unpaid",
            Stage::Unconfirmed => "unconfirmed",
            _ => "pending",
        }
        .into(),
        model: attempt.model.to_string(),
        validator: attempt
            .validators
            .last()
            .filter(|_| attempt.state != Stage::Sent)
            .map(ToString::to_string),
        owner: attempt.owner.to_string(),
        requester: attempt.requester.to_string(),
        prompt_tokens: arguments.prompt_tokens.get().into(),
        max_output_tokens: arguments.max_output_tokens.get().into(),
        ceiling_lamports: i64::try_from(attempt.ceiling).unwrap_or(i64::MAX),
        price_in: arguments.price_in.get().into(),
        price_out: arguments.price_out.get().into(),
        prompt_hash: hex::encode(arguments.prompt_hash),
        temperature_milli: arguments.temperature_milli.get().into(),
        sampling_profile: arguments.sampling_profile.into(),
        transitions: Some(Vec::new()),
        ..JobRow::default()
    };
    JobDetails {
        job: named(app, row),
        dispute: None,
        output: None,
    }
}

async fn indexed(
    app: &App,
    job: &Pubkey,
    commitment: &'static str,
) -> ApiResult<Option<JobDetails>> {
    let found = index::show(&app.pool, commitment, job).await?;
    Ok(found.map(|found| JobDetails {
        job: named(app, found.job),
        ..found
    }))
}

/// A job at the processed commitment; `None` if nobody knows it.
pub async fn describe(app: &App, job: &Pubkey) -> ApiResult<Option<JobDetails>> {
    match indexed(app, job, "processed").await {
        Ok(Some(row)) => Ok(Some(row)),
        // Without an index what this gateway sent is still known.
        Ok(None) => Ok(store::by_job(&app.pool, job)
            .await?
            .map(|attempt| pending(app, &attempt))),
        Err(error) if error.code == "index_unavailable" => {
            match store::by_job(&app.pool, job).await? {
                Some(attempt) => Ok(Some(pending(app, &attempt))),
                None => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Query of a job.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    commitment: Option<String>,
}

/// One job: status with its transitions, amounts, hashes. To the key that paid also `output`, for 24 hours.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "show_job", tag = "jobs",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    security((), ("api_key" = [])),
    responses((status = 200, description = "The job; what is not known yet is null", body = JobDetails),
              (status = 404, description = "job_not_found", body = ErrorBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<JobQuery>,
    headers: HeaderMap,
) -> ApiResult<Json<JobDetails>> {
    let job = parse_job(&id)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let found = match commitment {
        "processed" => describe(&app, &job).await?,
        firmer => indexed(&app, &job, firmer).await?,
    };
    let mut found = found.ok_or_else(|| not_found(&job))?;
    if let Some(attempt) = store::by_job(&app.pool, &job).await?
        && let Some(answer) = &attempt.answer
        && app
            .accounts
            .optional(&headers)
            .await?
            .is_some_and(|account| account.key_id == attempt.key_id)
    {
        found.output = Some(answer.text());
    }
    Ok(Json(found))
}

/// The code of a status.
fn code(status: &str) -> ApiResult<i16> {
    lists::status(status, |code| {
        JobStatus::from_u8(code).map(JobStatus::as_str)
    })
}

/// Query of the list of jobs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
    status: Option<String>,
    validator: Option<String>,
    owner: Option<String>,
    model: Option<String>,
}

/// Jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last job seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query), ("validator" = Option<String>, Query),
           ("owner" = Option<String>, Query), ("model" = Option<String>, Query)),
    responses((status = 200, description = "Jobs", body = Page<JobRow>),
              (status = 404, description = "model_not_found", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<JobsQuery>,
) -> ApiResult<Json<Page<JobRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let wanted = JobsWanted {
        status: query.status.as_deref().map(code).transpose()?,
        after: query
            .after
            .as_deref()
            .map(|id| parse_named("after", id))
            .transpose()?
            .map(|job| job.to_bytes().to_vec()),
        validator: lists::address("validator", query.validator.as_deref())?,
        owner: lists::address("owner", query.owner.as_deref())?,
        model: match query.model.as_deref() {
            None => None,
            Some(name) => match name.parse::<Pubkey>() {
                Ok(address) => Some(address.to_bytes().to_vec()),
                Err(_) => Some(app.catalogue.find(name)?.address.to_bytes().to_vec()),
            },
        },
    };
    let rows = index::list(&app.pool, commitment, &wanted, limit + 1).await?;
    let rows = rows.into_iter().map(|row| named(&app, row)).collect();
    Ok(Json(Page::new(rows, limit)))
}

/// What was paid to whom for a job. Amounts are lamports; what is not known yet is null.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipt {
    object: &'static str,
    /// Address, base58.
    job: String,
    /// As in the job.
    status: String,
    /// Commitment of its newest transition.
    commitment: Option<String>,
    model: String,
    /// The wallet that pays, base58.
    owner: String,
    /// Authority of the validator that accepted it, base58.
    validator: Option<String>,
    prompt_tokens: i64,
    output_tokens: Option<i64>,
    price_in_lamports_per_1k: i64,
    price_out_lamports_per_1k: i64,
    /// Most that it could cost.
    ceiling_lamports: i64,
    /// What it cost.
    fee_lamports: Option<i64>,
    split: Split,
    /// What went back to the owner.
    refunded_lamports: Option<i64>,
    /// 64 hex digits, as the hashes below.
    prompt_hash: String,
    terms_hash: Option<String>,
    output_root: Option<String>,
    fingerprint: Option<String>,
    /// As in the job: 1 `seeded-top4`, 2 `seeded-full`.
    sampling_profile: i64,
    /// Slot from which nobody opens a case about the result.
    window_end_slot: Option<i64>,
    /// What happened to it, in order.
    transitions: Option<Vec<Transition>>,
    /// Every job of this choice of the request, if this gateway sent it.
    attempts: Vec<ReceiptAttempt>,
}

/// Parts of a fee.
#[derive(Debug, Serialize, ToSchema)]
pub struct Split {
    validator_lamports: Option<i64>,
    foundation_lamports: Option<i64>,
    burned_lamports: Option<i64>,
}

/// A job that was made for a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptAttempt {
    /// Address, base58.
    job: String,
    /// Number, from 0.
    attempt: u32,
    /// Authority of the validator that accepted it, base58.
    validator: Option<String>,
    /// Authorities of the validators that were asked, base58.
    asked: Vec<String>,
    status: Option<String>,
    end_reason: Option<String>,
    fee_lamports: Option<i64>,
    refunded_lamports: Option<i64>,
}

impl ReceiptAttempt {
    fn of(attempt: &Attempt, job: Option<JobRow>) -> Self {
        let job = job.as_ref();
        Self {
            job: attempt.job.to_string(),
            attempt: attempt.attempt,
            validator: job.and_then(|job| job.validator.clone()),
            asked: attempt.validators.iter().map(ToString::to_string).collect(),
            status: job.map(|job| job.status.clone()),
            end_reason: job.and_then(|job| job.end_reason.clone()),
            fee_lamports: job.and_then(|job| job.fee_lamports),
            refunded_lamports: job.and_then(|job| job.refunded_lamports),
        }
    }
}

/// What was paid to whom for a job, and every attempt of the request it belongs to.
#[utoipa::path(get, path = "/v1/jobs/{id}/receipt", operation_id = "show_receipt", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "The receipt", body = Receipt), (status = 404, description = "job_not_found", body = ErrorBody)))]
pub async fn receipt(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
) -> ApiResult<Json<Receipt>> {
    let address = parse_job(&id)?;
    let found = describe(&app, &address).await?;
    let job = found.ok_or_else(|| not_found(&address))?.job;
    let mut attempts = Vec::new();
    if let Some(own) = store::by_job(&app.pool, &address).await? {
        for attempt in store::attempts(&app.pool, &own.request_id)
            .await?
            .iter()
            .filter(|attempt| attempt.choice == own.choice)
        {
            let state = match attempt.job == address {
                true => Some(job.clone()),
                false => describe(&app, &attempt.job).await?.map(|found| found.job),
            };
            attempts.push(ReceiptAttempt::of(attempt, state));
        }
    }
    Ok(Json(Receipt {
        object: "receipt",
        job: address.to_string(),
        status: job.status,
        commitment: job.commitment,
        model: job.model,
        owner: job.owner,
        validator: job.validator,
        prompt_tokens: job.prompt_tokens,
        output_tokens: job.output_tokens,
        price_in_lamports_per_1k: job.price_in,
        price_out_lamports_per_1k: job.price_out,
        ceiling_lamports: job.ceiling_lamports,
        fee_lamports: job.fee_lamports,
        split: Split {
            validator_lamports: job.validator_lamports,
            foundation_lamports: job.foundation_lamports,
            burned_lamports: job.burned_lamports,
        },
        refunded_lamports: job.refunded_lamports,
        prompt_hash: job.prompt_hash,
        terms_hash: job.terms_hash,
        output_root: job.output_root,
        fingerprint: job.fingerprint,
        sampling_profile: job.sampling_profile,
        window_end_slot: job.window_end_slot,
        transitions: job.transitions,
        attempts,
    }))
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(
        axum::http::StatusCode::FORBIDDEN,
        "evidence_forbidden",
        message,
    )
}

/// Whether a validator may check the job's result now; counts the check.
async fn may_check(
    app: &App,
    job: &Pubkey,
    validator: &Pubkey,
    signer: &Pubkey,
) -> ApiResult<bool> {
    let (slot, validators) = app.validators.registered().await?;
    let named = validators
        .iter()
        .find(|found| found.authority == validator.to_bytes());
    let Some(named) = named else {
        return Ok(false);
    };
    let signer = signer.to_bytes();
    if signer != named.authority && signer != named.operator {
        return Ok(false);
    }
    if !app.checks.take(&named.authority, Instant::now()) {
        return Err(ApiError::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            "too_many_checks",
            "this validator has opened too many checks here",
        )
        .retry_after(2));
    }
    let read = app.chain.client.account::<Job>(job).await;
    let Some((_, state)) = read.map_err(chain_error)? else {
        return Ok(false);
    };
    match access::may_check(&state, named, &signer, slot) {
        Ok(()) => Ok(true),
        Err(denied) => Err(forbidden(&denied.to_string())),
    }
}

/// The evidence of a job as its validator gave it with the answer; it authenticates itself against the chain. It holds the
/// prompt, so it is shown to the key that paid, to the job's owner and to validators that can judge the result, while they can.
#[utoipa::path(get, path = "/v1/jobs/{id}/evidence", operation_id = "show_evidence", tag = "jobs", params(("id" = String, Path)),
    security(("api_key" = []), ("wallet_signature" = [])),
    responses((status = 200, description = "The evidence bundle", body = Evidence), (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 403, description = "evidence_forbidden", body = ErrorBody), (status = 404, description = "job_not_found, evidence_not_found", body = ErrorBody),
              (status = 429, description = "too_many_checks, with Retry-After", body = ErrorBody)))]
pub async fn evidence(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> ApiResult<Json<Evidence>> {
    let job = parse_job(&id)?;
    let attempt = store::by_job(&app.pool, &job)
        .await?
        .ok_or_else(|| not_found(&job))?;
    let entitled = if headers.contains_key(HEADER_SIGNATURE) {
        let path = uri
            .path_and_query()
            .map_or_else(|| uri.path().to_owned(), ToString::to_string);
        let signed = app
            .receiver
            .verify(method.as_str(), &path, b"", &headers)
            .map_err(unsigned)?;
        match signed.check().filter(|(named, _, _)| *named == job) {
            Some((_, validator, signer)) => may_check(&app, &job, &validator, &signer).await?,
            None => {
                let who = signed.by(&purpose::evidence(&job)).map_err(unsigned)?;
                who == attempt.owner || who == attempt.requester
            }
        }
    } else {
        app.accounts
            .optional(&headers)
            .await?
            .is_some_and(|account| account.key_id == attempt.key_id)
    };
    if !entitled {
        return Err(forbidden(
            "evidence holds the prompt: it is for the API key that paid, the owner, and validators that check the job (signed request)",
        ));
    }
    match store::evidence(&app.pool, &job).await? {
        Some(evidence) => serde_json::from_value(evidence)
            .map(Json)
            .map_err(|error| ApiError::internal(format!("kept evidence of {job}: {error}"))),
        None => Err(ApiError::not_found(
            "evidence_not_found",
            "no evidence of this job has come yet; its validator serves it too",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_id_is_a_job_id_too() {
        let job = Pubkey::new_from_array([5; 32]);
        assert_eq!(parse_job(&job.to_string()), Ok(job));
        for prefix in ["chatcmpl-", "cmpl-", "resp_"] {
            assert_eq!(parse_job(&format!("{prefix}{job}")), Ok(job));
        }
        assert_eq!(parse_job("'; DROP").unwrap_err().code, "invalid_request");
    }
}
