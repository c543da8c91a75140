//! Jobs: as the index shows them, with what this gateway knows beside it.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{HeaderMap, Method},
};
use mythic_interface::state::Job;
use mythic_wire::{
    access,
    signed::{HEADER_SIGNATURE, purpose},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    chain::errors::chain_error,
    error::{ApiError, ApiResult},
    http::{PathParam, Query, unsigned},
    jobs::attempt::State as Stage,
    routes::listing::Listing,
    routes::lists::{self, Page},
    store::{self, Attempt},
};

/// Columns of a job, in the order in which they are shown.
const COLUMNS: &str = "id, status, commitment, model, validator, owner, requester, prompt_tokens, output_tokens, max_output_tokens, finish_reason,
    end_reason, price_in, price_out, ceiling_lamports, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, refunded_lamports,
    slashed_lamports, prompt_hash, terms_hash, output_root, fingerprint, seed, temperature_milli, requested_slot, deadline_slot,
    submitted_slot, window_end_slot, ended_slot, closed_slot, open_disputes, requested_at, ended_at, exact, transitions";

/// A job's address, or 400.
pub fn parse_job(id: &str) -> ApiResult<Pubkey> {
    parse_named("id", id)
}

/// A job's address out of a parameter, or 400 that names it.
fn parse_named(param: &str, id: &str) -> ApiResult<Pubkey> {
    // Answers are named chatcmpl-<job>: that works here too.
    let id = id.strip_prefix("chatcmpl-").unwrap_or(id);
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

/// A row of the view in the shape of the API.
fn shape(app: &App, mut row: Map<String, Value>) -> Value {
    let address = row
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if let Some(model) = address
        .parse()
        .ok()
        .and_then(|address| app.catalogue.at(&address))
    {
        row.insert("model".into(), json!(model.id));
    }
    row.insert("model_address".into(), json!(address));
    row.insert("object".into(), json!("job"));
    Value::Object(row)
}

/// A job that the index does not show yet.
fn pending(app: &App, attempt: &Attempt) -> Value {
    let model = app
        .catalogue
        .at(&attempt.model)
        .map_or_else(|| attempt.model.to_string(), |model| model.id.clone());
    let arguments = &attempt.arguments;
    let mut out = json!({
        "id": attempt.job.to_string(),
        "object": "job",
        // The index does not show it: what this gateway knows of it.
        "status": match attempt.state {
            Stage::Unpaid => "unpaid",
            Stage::Unconfirmed => "unconfirmed",
            _ => "pending",
        },
        "model": model,
        "model_address": attempt.model.to_string(),
        "validator": attempt.validators.last().filter(|_| attempt.state != Stage::Sent).map(ToString::to_string),
        "owner": attempt.owner.to_string(),
        "requester": attempt.requester.to_string(),
        "prompt_tokens": arguments.prompt_tokens.get(),
        "max_output_tokens": arguments.max_output_tokens.get(),
        "ceiling_lamports": attempt.ceiling,
        "price_in": arguments.price_in.get(),
        "price_out": arguments.price_out.get(),
        "prompt_hash": hex::encode(arguments.prompt_hash),
        "temperature_milli": arguments.temperature_milli.get(),
        "transitions": [],
    });
    for name in [
        "commitment",
        "output_tokens",
        "finish_reason",
        "end_reason",
        "fee_lamports",
        "validator_lamports",
        "foundation_lamports",
        "burned_lamports",
        "refunded_lamports",
        "slashed_lamports",
        "terms_hash",
        "output_root",
        "fingerprint",
        "seed",
        "requested_slot",
        "deadline_slot",
        "submitted_slot",
        "window_end_slot",
        "ended_slot",
        "closed_slot",
        "open_disputes",
        "requested_at",
        "ended_at",
        "exact",
        "dispute",
    ] {
        out[name] = Value::Null;
    }
    out
}

async fn indexed(
    app: &App,
    job: &Pubkey,
    commitment: &str,
) -> ApiResult<Option<Map<String, Value>>> {
    let client = app.pool.get().await?;
    let row = client
        .query_opt(
            &format!(
                "SELECT to_jsonb(j) || jsonb_build_object('dispute',
                    (SELECT to_jsonb(d) FROM (SELECT id, status, verdict, ground, challenger, bond_lamports, slashed_lamports, opened_slot,
                            openings_end_slot, commit_from_slot, commit_end_slot, reveal_end_slot, due_slot, resolved_slot
                       FROM analytics.disputes_{commitment} WHERE job_key = $1
                      ORDER BY COALESCE(verdict IN ('guilty', 'fault'), false) DESC, opened_slot DESC, id_key LIMIT 1) d))
                   FROM (SELECT {COLUMNS} FROM analytics.jobs_{commitment} WHERE id_key = $1 ORDER BY requested_slot DESC LIMIT 1) j"
            ),
            &[&job.as_ref()],
        )
        .await?;
    Ok(row.and_then(|row| match row.get::<_, Value>(0) {
        Value::Object(map) => Some(map),
        _ => None,
    }))
}

/// A job at the processed commitment; `None` if nobody knows it.
pub async fn describe(app: &App, job: &Pubkey) -> ApiResult<Option<Value>> {
    match indexed(app, job, "processed").await {
        Ok(Some(row)) => Ok(Some(shape(app, row))),
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
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The job; what is not known yet is null"), (status = 404, description = "job_not_found")))]
pub async fn show(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<JobQuery>,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
    let job = parse_job(&id)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let mut value = match commitment {
        "processed" => describe(&app, &job).await?.ok_or_else(|| not_found(&job))?,
        firmer => indexed(&app, &job, firmer)
            .await?
            .map(|row| shape(&app, row))
            .ok_or_else(|| not_found(&job))?,
    };
    if let Some(attempt) = store::by_job(&app.pool, &job).await?
        && let Some(answer) = &attempt.answer
        && app
            .accounts
            .optional(&headers)
            .await?
            .is_some_and(|account| account.key_id == attempt.key_id)
    {
        value["output"] = json!(answer.text());
    }
    Ok(Json(value))
}

/// Statuses of a job, in the order of their codes from 1.
const STATUSES: [&str; 7] = [
    "open",
    "accepted",
    "submitted",
    "disputed",
    "settled",
    "refunded",
    "slashed",
];

/// The code of a status.
fn code(status: &str) -> Option<i16> {
    (1..)
        .zip(STATUSES)
        .find_map(|(code, name)| (name == status).then_some(code))
}

/// Jobs, newest first. Parameters: requested slot and key of the job to follow, status, validator, owner, model, N.
pub(crate) fn list_sql(commitment: &str) -> String {
    let rows = Listing {
        views: &["jobs"],
        commitment,
        columns: &format!("{COLUMNS}, id_key"),
        condition: "($1::bigint IS NULL OR (requested_slot <= $1 AND (requested_slot < $1 OR id_key > $2::bytea)))
            AND ($3::smallint IS NULL OR status_code = $3) AND ($4::bytea IS NULL OR validator_key = $4)
            AND ($5::bytea IS NULL OR owner_key = $5) AND ($6::bytea IS NULL OR model_key = $6)",
        order: "requested_slot DESC, id_key",
        limit: "$7",
    };
    format!("SELECT to_jsonb(j) - 'id_key' FROM ({}) j", rows.sql())
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
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last job seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query), ("validator" = Option<String>, Query),
           ("owner" = Option<String>, Query), ("model" = Option<String>, Query)),
    responses((status = 200, description = "{object: \"list\", data, has_more}")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<JobsQuery>,
) -> ApiResult<Json<Value>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    if let Some(status) = &query.status
        && code(status).is_none()
    {
        return Err(ApiError::invalid(
            "status",
            format!("status must be one of {}", STATUSES.join(", ")),
        ));
    }
    let after = query
        .after
        .as_deref()
        .map(|id| parse_named("after", id))
        .transpose()?
        .map(|job| job.to_bytes().to_vec());
    let validator = lists::address("validator", query.validator.as_deref())?;
    let owner = lists::address("owner", query.owner.as_deref())?;
    let model = match query.model.as_deref() {
        None => None,
        Some(name) => match name.parse::<Pubkey>() {
            Ok(address) => Some(address.to_bytes().to_vec()),
            Err(_) => Some(app.catalogue.find(name)?.address.to_bytes().to_vec()),
        },
    };
    let client = app.pool.get().await?;
    let view = format!("analytics.jobs_{commitment}");
    let cursor: Option<i64> = match &after {
        None => None,
        Some(key) => Some(
            client
                .query_opt(&format!("SELECT requested_slot FROM {view} WHERE id_key = $1 ORDER BY requested_slot DESC LIMIT 1"), &[key])
                .await?
                .map(|row| row.get(0))
                .ok_or_else(|| ApiError::invalid("after", "after must be the id of an indexed job"))?,
        ),
    };
    let status = query.status.as_deref().and_then(code);
    let rows = client
        .query(
            &list_sql(commitment),
            &[
                &cursor,
                &after,
                &status,
                &validator,
                &owner,
                &model,
                &(limit + 1),
            ],
        )
        .await?;
    let page = Page::new(rows.iter().map(|row| row.get::<_, Value>(0)), limit);
    Ok(Json(page.map(|row| match row {
        Value::Object(map) => shape(&app, map),
        other => other,
    })))
}

/// What was paid to whom for a job, and every attempt of the request it belongs to.
#[utoipa::path(get, path = "/v1/jobs/{id}/receipt", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "The receipt"), (status = 404, description = "job_not_found")))]
pub async fn receipt(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
) -> ApiResult<Json<Value>> {
    let job = parse_job(&id)?;
    let value = describe(&app, &job).await?.ok_or_else(|| not_found(&job))?;
    let mut attempts = Vec::new();
    if let Some(own) = store::by_job(&app.pool, &job).await? {
        for attempt in store::attempts(&app.pool, &own.request_id)
            .await?
            .iter()
            .filter(|attempt| attempt.choice == own.choice)
        {
            let state = match attempt.job == job {
                true => value.clone(),
                false => describe(&app, &attempt.job).await?.unwrap_or(Value::Null),
            };
            attempts.push(json!({
                "job": attempt.job.to_string(),
                "attempt": attempt.attempt,
                "validator": state["validator"],
                "asked": attempt.validators.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "status": state["status"],
                "end_reason": state["end_reason"],
                "fee_lamports": state["fee_lamports"],
                "refunded_lamports": state["refunded_lamports"],
            }));
        }
    }
    let field = |name: &str| value[name].clone();
    Ok(Json(json!({
        "object": "receipt",
        "job": job.to_string(),
        "status": field("status"),
        "commitment": field("commitment"),
        "model": field("model"),
        "owner": field("owner"),
        "validator": field("validator"),
        "prompt_tokens": field("prompt_tokens"),
        "output_tokens": field("output_tokens"),
        "price_in_lamports_per_1k": field("price_in"),
        "price_out_lamports_per_1k": field("price_out"),
        "ceiling_lamports": field("ceiling_lamports"),
        "fee_lamports": field("fee_lamports"),
        "split": {
            "validator_lamports": field("validator_lamports"),
            "foundation_lamports": field("foundation_lamports"),
            "burned_lamports": field("burned_lamports"),
        },
        "refunded_lamports": field("refunded_lamports"),
        "prompt_hash": field("prompt_hash"),
        "terms_hash": field("terms_hash"),
        "output_root": field("output_root"),
        "fingerprint": field("fingerprint"),
        "window_end_slot": field("window_end_slot"),
        "transitions": field("transitions"),
        "attempts": attempts,
    })))
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
#[utoipa::path(get, path = "/v1/jobs/{id}/evidence", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, description = "The evidence bundle"), (status = 403, description = "evidence_forbidden"), (status = 404, description = "evidence_not_found")))]
pub async fn evidence(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> ApiResult<Json<Value>> {
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
        Some(evidence) => Ok(Json(evidence)),
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
        assert_eq!(parse_job(&format!("chatcmpl-{job}")), Ok(job));
        assert_eq!(parse_job("'; DROP").unwrap_err().code, "invalid_request");
    }
}
