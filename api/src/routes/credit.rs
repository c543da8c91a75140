//! Prepaid credit: a wallet tells of its transfer to the operator, and sees what is left.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use mythic_wire::signed::purpose;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;
use utoipa::ToSchema;

use crate::{
    app::App,
    chain::payment::Transfer,
    error::{ApiError, ApiResult, ErrorBody},
    http::{Caller, SignedBody},
    routes::once::once,
    store::credit,
};

/// Body of `POST /v1/credit`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayIn {
    /// First signature of the transaction that made the transfer, base58.
    signature: String,
}

/// What a wallet has prepaid for fees and rent beyond what the operator lays out for free.
#[derive(Debug, Serialize, ToSchema)]
pub struct Credit {
    object: &'static str,
    wallet: String,
    /// The operator's address, where transfers buy credit.
    pay_to: String,
    /// What can be taken now.
    balance_lamports: u64,
    /// Rent of jobs that are not closed yet; it is balance again when they are.
    held_lamports: u64,
    /// What went into transaction fees.
    spent_lamports: u64,
    /// All that was paid in: the sum of the three.
    paid_in_lamports: u64,
    /// Fees that the operator still lays out for this wallet today (UTC), before credit is touched.
    free_fees_left_lamports: u64,
    /// The transfer that was told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<CreditPayment>,
}

/// A transfer that was credited.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreditPayment {
    signature: String,
    lamports: u64,
    slot: u64,
    /// It was credited by this request; false: by an earlier one.
    credited_now: bool,
}

async fn standing(
    app: &App,
    wallet: &Pubkey,
    payment: Option<CreditPayment>,
) -> ApiResult<Json<Credit>> {
    let standing = credit::standing(&app.pool, wallet, &app.config.outlay).await?;
    Ok(Json(Credit {
        object: "credit",
        wallet: wallet.to_string(),
        pay_to: app.chain.payer.pubkey().to_string(),
        balance_lamports: standing.balance(),
        held_lamports: standing.held,
        spent_lamports: standing.spent,
        paid_in_lamports: standing.paid_in,
        free_fees_left_lamports: standing.free_left,
        payment,
    }))
}

/// Says what the wallet that signs the request has prepaid.
#[utoipa::path(get, path = "/v1/credit", operation_id = "show_credit", tag = "credit", security(("wallet_signature" = [])),
    responses((status = 200, description = "What is left, and where to pay", body = Credit),
              (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 429, description = "rate_limit_exceeded", body = ErrorBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    signed: SignedBody,
) -> ApiResult<Json<Credit>> {
    let wallet = signed.signer(purpose::CREDIT)?;
    once(&app, caller, &headers).await?;
    standing(&app, &wallet, None).await
}

/// Credits a finalized transfer to the operator: from the wallet that signs the request, or from anybody if the transfer names
/// the wallet as its one further account. Each is credited once, however often it is told of.
#[utoipa::path(post, path = "/v1/credit", operation_id = "pay_in", tag = "credit", request_body(content = PayIn, description = "Signed by the wallet"),
    security(("wallet_signature" = [])),
    responses((status = 200, description = "The transfer, and what is left", body = Credit),
              (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 404, description = "payment_not_found; with Retry-After", body = ErrorBody),
              (status = 409, description = "payment_not_final; with Retry-After", body = ErrorBody),
              (status = 422, description = "payment_refused: it failed, is too old, too small, or not this wallet's to this operator", body = ErrorBody),
              (status = 429, description = "rate_limit_exceeded", body = ErrorBody)))]
pub async fn pay_in(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    signed: SignedBody,
) -> ApiResult<Json<Credit>> {
    let wallet = signed.signer(purpose::CREDIT)?;
    let body: PayIn = serde_json::from_slice(&signed.body).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_json",
            format!("the body is not what is expected here: {error}"),
        )
    })?;
    let signature: Signature = body.signature.parse().map_err(|_| {
        ApiError::invalid(
            "signature",
            "signature must be a transaction's first signature, base58",
        )
    })?;
    once(&app, caller, &headers).await?;
    if let Some(before) = credit::credited(&app.pool, &signature, &wallet).await? {
        return standing(&app, &wallet, Some(told(&before, false))).await;
    }
    app.edge.payments_told.take(caller.0, Instant::now())?;
    let found = app.payments.find(&app.chain, &signature, &wallet).await;
    let outcome = found
        .as_ref()
        .map_or_else(|error| error.code.as_str(), |_| "credited");
    app.metrics.payments.with_label_values(&[outcome]).inc();
    let transfer = found?;
    let now = credit::pay_in(&app.pool, &transfer).await?;
    if now {
        tracing::info!(%wallet, %signature, lamports = transfer.lamports, "credited");
    }
    standing(&app, &wallet, Some(told(&transfer, now))).await
}

fn told(transfer: &Transfer, credited_now: bool) -> CreditPayment {
    CreditPayment {
        signature: transfer.signature.to_string(),
        lamports: transfer.lamports,
        slot: transfer.slot,
        credited_now,
    }
}
