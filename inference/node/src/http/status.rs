//! What the node says of itself: to everybody that it serves, and to its operator what it earns.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use mythic_chat::problem;
use serde_json::json;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use subtle::ConstantTimeEq;

use super::local::is_local;
use crate::{node::Node, serve::backend::ServedModel};

/// Earnings and load are the operator's business: asked from this machine, or with the token.
fn private(node: &Node, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let known = match (&node.status_token, given) {
        (Some(token), Some(given)) => bool::from(token.as_bytes().ct_eq(given.as_bytes())),
        _ => false,
    };
    match known || is_local(peer, headers) {
        true => Ok(()),
        false => Err(Box::new(problem(
            403,
            "permission_error",
            "not_entitled",
            "asked from this machine, or with the bearer token of status_token_file",
        ))),
    }
}

pub(super) async fn health(State(node): State<Arc<Node>>) -> Response {
    let failing = node.meters.journal_failing.get() != 0;
    let status = match (node.is_draining(), failing) {
        (true, _) => "draining",
        (_, true) => "journal_failing",
        _ => "ok",
    };
    let code = if status == "ok" {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": status,
        "validator": node.keys.authority.to_string(),
        "slot": node.slot(),
        "models": node.models.iter().map(ServedModel::id).collect::<Vec<_>>(),
    });
    (code, Json(body)).into_response()
}

pub(super) async fn stats(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = private(&node, peer, &headers) {
        return *refused;
    }
    let validator = node.validator();
    let (money, book) = {
        let journal = node.ledger.read();
        (journal.money, journal.book.totals.clone())
    };
    let (busy, queued_tokens) = node.jobs.load();
    let engines: Vec<_> = node
        .models
        .iter()
        .map(|model| json!({"model": model.id(), "identity": model.identity(), "engine": model.backend.stats()}))
        .collect();
    let gpu = (!node.config.gpu_name.is_empty())
        .then(|| json!({"name": node.config.gpu_name, "vram_mib": node.config.vram_mib}));
    let driver = node.gpus.clone();
    let devices = tokio::task::spawn_blocking(move || driver.read())
        .await
        .ok()
        .flatten();
    Json(json!({
        "validator": node.keys.authority.to_string(),
        "operator": node.keys.operator.pubkey().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "slot": node.slot(),
        "gpu": gpu,
        "cpu_only": gpu.is_none(),
        "devices": devices,
        "engines": engines,
        "jobs_busy": busy,
        "max_concurrent": node.config.max_concurrent,
        "queued_tokens": queued_tokens,
        "accepts_jobs": node.config.accept_jobs,
        "verifier": {
            "checks": node.config.verifier.enabled,
            "policy": node.config.verifier.policy,
            "rate": node.config.verifier.rate,
            "jury": node.config.verifier.jury,
            "totals": book,
        },
        "stake_lamports": validator.stake.get(),
        "open_jobs_on_chain": validator.open_jobs.get(),
        "claimable_lamports": validator.claimable.get(),
        "money": {
            "earned_lamports": money.earned_lamports,
            "fees_lamports": money.fees_lamports,
            "withdrawn_lamports": money.withdrawn_lamports,
            "jobs_submitted": money.jobs_submitted,
            "jobs_settled": money.jobs_settled,
            "net_lamports_per_job": money.net_per_job(),
        },
    }))
    .into_response()
}

pub(super) async fn metrics(
    State(node): State<Arc<Node>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = private(&node, peer, &headers) {
        return *refused;
    }
    for model in &node.models {
        node.meters.engine(&model.id(), &model.backend.stats());
    }
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        node.meters.render(),
    )
        .into_response()
}

pub(super) async fn models(State(node): State<Arc<Node>>) -> Response {
    let data: Vec<_> = node
        .models
        .iter()
        .map(|model| {
            let account = *model.account.read();
            json!({
                "id": model.id(),
                "object": "model",
                "owned_by": Pubkey::new_from_array(account.registrant).to_string(),
                "identity": model.identity(),
                "context_length": model.backend.context_length(),
                "price_in_lamports_per_1k": account.price_in.get(),
                "price_out_lamports_per_1k": account.price_out.get(),
            })
        })
        .collect();
    Json(json!({"object": "list", "data": data})).into_response()
}
