//! What a request would cost, and what a client needs to pay for it by its own transaction.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use utoipa::ToSchema;

use super::{
    openai::ChatRequest,
    plan::{self, Asking, Plan},
    shapes,
};
use crate::{
    accounts,
    app::App,
    error::{ApiResult, ErrorBody},
    fleet::routing::{Request, Router},
    http::{Asker, Caller, JsonBytes},
    store::index,
};

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
    /// 1: drawn from the four likeliest, as the program replays by itself. 2: by the request's options.
    sampling_profile: u8,
    /// Hash of the options, or of the stop strings for profile 1; 64 hex digits, zeroes where there is nothing to say.
    options_hash: String,
    temperature_milli: u16,
    prompt_source: String,
    deadline_slots: u32,
    /// Hash of the network's rules, 64 hex digits.
    rules_hash: String,
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
        Asking {
            request: &request,
            by: &Asker::at(address),
            salt: accounts::random()?,
        },
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
            ceiling: plan.ceiling,
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
            sampling_profile: plan.profile() as u8,
            options_hash: hex::encode(plan.options_hash()?),
            temperature_milli: plan.temperature_milli,
            prompt_source: app.config.public_url.trim_end_matches('/').to_owned(),
            deadline_slots: plan.deadline_slots,
            rules_hash: hex::encode(plan.rules.hash()),
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
