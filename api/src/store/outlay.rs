//! What the operator lays out for others: rent that comes back when a job is closed, fees that do not.

use deadpool_postgres::Transaction;
use solana_pubkey::Pubkey;

use crate::{
    config::Outlay,
    error::{ApiError, ApiResult},
};

/// Counts a job that the gateway pays for against what its owner, and all together, may have today.
pub(super) async fn lay_out(
    transaction: &Transaction<'_>,
    owner: &Pubkey,
    fees: u64,
    bounds: &Outlay,
) -> ApiResult<()> {
    let owner = owner.as_ref();
    let open: i64 = transaction
        .query_one(
            "SELECT count(*) FROM gateway.attempt WHERE owner = $1 AND NOT client_paid AND created_at > now() - $2 * interval '1 second'",
            &[&owner, &(bounds.rent_seconds as f64)],
        )
        .await?
        .get(0);
    if open >= i64::from(bounds.jobs_per_owner) {
        return Err(ApiError::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            "too_many_open_jobs",
            format!(
                "this gateway fronts the rent of at most {} jobs of one wallet in {} seconds; try again later, or pay by your own transaction",
                bounds.jobs_per_owner, bounds.rent_seconds
            ),
        )
        .retry_after(60));
    }
    let fees = i64::try_from(fees).unwrap_or(i64::MAX);
    let own: i64 = transaction
        .query_one(
            "INSERT INTO gateway.outlay (day, owner, jobs, fees) VALUES (current_date, $1, 1, $2)
             ON CONFLICT (day, owner) DO UPDATE SET jobs = outlay.jobs + 1, fees = outlay.fees + $2 RETURNING fees",
            &[&owner, &fees],
        )
        .await?
        .get(0);
    let all: i64 = transaction
        .query_one(
            "SELECT coalesce(sum(fees), 0)::bigint FROM gateway.outlay WHERE day = current_date",
            &[],
        )
        .await?
        .get(0);
    let over = |spent: i64, bound: u64| u64::try_from(spent).unwrap_or(0) > bound;
    let whose = if over(own, bounds.fees_per_owner_per_day) {
        "for this wallet"
    } else if over(all, bounds.fees_per_day) {
        "for everybody"
    } else {
        return Ok(());
    };
    Err(ApiError::new(
        axum::http::StatusCode::PAYMENT_REQUIRED,
        "gateway_fees_spent",
        format!(
            "what this gateway pays in transaction fees in a day {whose} is spent; pay fee and rent by your own transaction (mythic.transaction), or come again tomorrow (UTC)"
        ),
    ))
}
