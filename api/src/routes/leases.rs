//! Leases of the Compute Market: as the index shows them, with what comes next of each.

use std::sync::Arc;

use axum::{Json, extract::State};
use mythic_interface::market::state::LeaseStatus;
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{PathParam, Query},
    routes::lists::{self, Page},
    store::index::{
        cases::{self, NextPhase, Pace},
        leases::{
            self as index, LeaseDetails, LeaseDisputeRow, LeaseEpochRow, LeaseRow, LeasesWanted,
        },
    },
};

/// Name and slot of what comes next of a lease if nobody does anything: the end of the time to start it, to acknowledge its start, of
/// the provider's notice, to prove the next epoch.
fn next(row: &LeaseRow, now: i64) -> Option<(&'static str, i64)> {
    let start = |epoch: i64| epoch.saturating_mul(row.epoch_slots);
    match row.status.as_str() {
        "accepted" => Some(("start_end", row.start_end_slot)),
        "started" => Some(("ack_end", row.ack_end_slot?)),
        "closing" => {
            let epochs = row.rules.notice_epochs.saturating_add(1);
            let end = row.notice_epoch?.saturating_add(epochs);
            Some(("notice_end", start(end)))
        }
        "active" => {
            let current = now.checked_div(row.epoch_slots)?;
            let unproved = row.last_proved_epoch?.saturating_add(1).max(current);
            let end = |epoch: i64| start(epoch).saturating_add(row.proof_slots);
            let over = now >= end(unproved);
            Some(("proof_end", end(unproved + i64::from(over))))
        }
        _ => None,
    }
}

/// Adds what the index does not say: the model's name here, the epoch, and what comes next.
fn complete(app: &App, row: &mut LeaseRow, pace: Pace) {
    row.slot = pace.now;
    row.epoch = pace.now.and_then(|now| now.checked_div(row.epoch_slots));
    row.next = pace.now.and_then(|now| {
        let (event, slot) = next(row, now)?;
        Some(NextPhase::of(event, slot, now, pace.seconds))
    });
    row.model_address = row.model.clone();
    row.model = named(app, row.model.take());
}

/// The id of a model if this gateway serves it, else its address.
pub fn named(app: &App, address: Option<String>) -> Option<String> {
    let address = address?;
    Some(lists::model_id(app, &address).unwrap_or(address))
}

/// Query of the list of leases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasesQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
    status: Option<String>,
    tenant: Option<String>,
    provider: Option<String>,
    class: Option<String>,
}

/// Leases, newest first, each with its meter, its money and what comes next.
#[utoipa::path(get, path = "/v1/leases", operation_id = "list_leases", tag = "market",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last lease seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query, description = "accepted, started, active, closing or ended"),
           ("tenant" = Option<String>, Query), ("provider" = Option<String>, Query, description = "Its authority"),
           ("class" = Option<String>, Query, description = "Address or name")),
    responses((status = 200, description = "Leases", body = Page<LeaseRow>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<LeasesQuery>,
) -> ApiResult<Json<Page<LeaseRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let code = |status: &str| {
        lists::status(status, |code| {
            LeaseStatus::from_u8(code).map(LeaseStatus::as_str)
        })
    };
    let wanted = LeasesWanted {
        status: query.status.as_deref().map(code).transpose()?,
        tenant: lists::address("tenant", query.tenant.as_deref())?,
        provider: lists::address("provider", query.provider.as_deref())?,
        class: lists::class(query.class.as_deref())?,
        after: lists::address("after", query.after.as_deref())?,
    };
    let pace = cases::pace(&app.pool).await?;
    let mut rows = index::list(&app.pool, commitment, &wanted, limit + 1).await?;
    for row in &mut rows {
        complete(&app, row, pace);
    }
    Ok(Json(Page::new(rows, limit)))
}

/// Query of a lease.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseQuery {
    commitment: Option<String>,
}

fn key(id: &str) -> ApiResult<Pubkey> {
    id.parse()
        .map_err(|_| ApiError::invalid("id", "a lease's id is its base58 address"))
}

fn unknown(key: &Pubkey) -> ApiError {
    ApiError::not_found("lease_not_found", format!("no lease {key} is indexed"))
}

/// One lease: state, meter, newest epochs, every lamport by its name, and what happened to it.
#[utoipa::path(get, path = "/v1/leases/{id}", operation_id = "show_lease", tag = "market",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The lease; what is not known yet is null", body = LeaseDetails),
              (status = 404, description = "lease_not_found", body = ErrorBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<LeaseQuery>,
) -> ApiResult<Json<LeaseDetails>> {
    let key = key(&id)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let pace = cases::pace(&app.pool).await?;
    let found = index::show(&app.pool, commitment, &key).await?;
    let mut found = found.ok_or_else(|| unknown(&key))?;
    complete(&app, &mut found.lease, pace);
    Ok(Json(found))
}

/// Query of a list that belongs to a lease.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartsQuery {
    limit: Option<i64>,
    after: Option<i64>,
    commitment: Option<String>,
}

/// Epochs of a lease, the newest first: all that were metered, those that its account has forgotten too.
#[utoipa::path(get, path = "/v1/leases/{id}/epochs", operation_id = "list_lease_epochs", tag = "market",
    params(("id" = String, Path), ("limit" = Option<i64>, Query, description = "1 to 100, default 20"),
           ("after" = Option<i64>, Query, description = "`epoch` of the last one seen"), ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "Epochs", body = Page<LeaseEpochRow>), (status = 404, description = "lease_not_found", body = ErrorBody)))]
pub async fn epochs(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<PartsQuery>,
) -> ApiResult<Json<Page<LeaseEpochRow>>> {
    let (key, limit) = (key(&id)?, lists::limit(query.limit)?);
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let found = index::epochs(&app.pool, commitment, &key, query.after, limit + 1).await?;
    let rows = found.ok_or_else(|| unknown(&key))?;
    Ok(Json(Page::new(rows, limit)))
}

/// Disputes about a lease, the newest first.
#[utoipa::path(get, path = "/v1/leases/{id}/disputes", operation_id = "list_lease_disputes", tag = "market",
    params(("id" = String, Path), ("limit" = Option<i64>, Query, description = "1 to 100, default 20"),
           ("after" = Option<i64>, Query, description = "`number` of the last one seen"), ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "Disputes", body = Page<LeaseDisputeRow>), (status = 404, description = "lease_not_found", body = ErrorBody)))]
pub async fn disputes(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<PartsQuery>,
) -> ApiResult<Json<Page<LeaseDisputeRow>>> {
    let (key, limit) = (key(&id)?, lists::limit(query.limit)?);
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let found = index::disputes(&app.pool, commitment, &key, query.after, limit + 1).await?;
    let rows = found.ok_or_else(|| unknown(&key))?;
    Ok(Json(Page::new(rows, limit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Epochs of 150 slots, whose proofs are taken in 50; the last proof is of epoch 7.
    fn row(more: Value) -> LeaseRow {
        let amounts = [
            "deposited",
            "compensated",
            "escrow",
            "pending",
            "paid",
            "foundation",
            "burned",
            "refunded",
            "tenant_due",
            "slashed",
            "held",
            "astray",
        ];
        let mut whole = json!({
            "id": "", "request": "", "tenant": "", "provider": "", "class": "", "status": "active", "commitment": "processed", "units": 1,
            "price_lamports": 1, "seconds": 600, "epoch_slots": 150, "epoch_seconds": 60, "proof_slots": 50, "matrix_side": 512, "rounds": 8,
            "stake_per_unit_lamports": 1, "terms_hash": "", "accepted_slot": 1_000, "start_end_slot": 1_150, "epochs_proved": 0,
            "epochs_missed": 0, "last_proved_epoch": 7, "disputes": 0, "open_disputes": 0, "exact": true,
            "rules": {
                "start_slots": 150, "ack_slots": 100, "dispute_slots": 100, "openings_slots": 50, "max_missed_epochs": 3, "notice_epochs": 2,
                "jail_slots": 950, "close_delay_slots": 2_250, "max_lease_seconds": 2_592_000, "provider_bps": 5_000, "foundation_bps": 1_000,
                "answering_fee_lamports": 10_000, "no_show_lamports": 1_000_000, "min_epoch_price_lamports": 100_000,
                "min_stake_lamports": 1_000_000_000,
            },
        });
        for amount in amounts {
            whole[format!("{amount}_lamports")] = json!(0);
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_comes_next_is_the_end_of_the_time_that_runs() {
        let accepted = row(json!({"status": "accepted", "last_proved_epoch": null}));
        assert_eq!(next(&accepted, 1_010), Some(("start_end", 1_150)));
        let started = row(json!({"status": "started", "ack_end_slot": 1_200}));
        assert_eq!(next(&started, 1_110), Some(("ack_end", 1_200)));
        let closing = row(json!({"status": "closing", "notice_epoch": 8}));
        assert_eq!(next(&closing, 1_210), Some(("notice_end", 11 * 150)));
        assert_eq!(next(&row(json!({"status": "ended"})), 1_210), None);
    }

    #[test]
    fn a_running_lease_waits_for_the_proof_of_the_next_epoch_that_can_be_proved() {
        let active = row(json!({}));
        // Epoch 8 is the slots from 1,200 on.
        for (now, end) in [
            (1_190, 1_250),
            (1_249, 1_250),
            (1_250, 1_400),
            (1_399, 1_400),
            (1_500, 1_550),
        ] {
            assert_eq!(next(&active, now), Some(("proof_end", end)), "{now}");
        }
        let none = row(json!({"epoch_slots": 0}));
        assert_eq!(next(&none, 1_200), None);
    }
}
