//! What the operator lays out for others: rent that comes back when a job is closed, fees that do not. A part of it is free, what is
//! beyond comes out of the wallet's prepaid credit.

use axum::http::StatusCode;
use deadpool_postgres::Transaction;
use solana_pubkey::Pubkey;

use super::credit;
use crate::{
    config::Outlay,
    error::{ApiError, ApiResult},
};

/// Fees of a transaction that makes a job: the gateway, the delegate and the validator sign it.
pub(super) const REQUEST_FEES: u64 = 3 * mythic_client::LAMPORTS_PER_SIGNATURE;
/// Fees of a job address: its first transaction, and a cancel.
pub(super) const JOB_FEES: u64 = REQUEST_FEES + mythic_client::LAMPORTS_PER_SIGNATURE;

/// Who lays out, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Funds<'a> {
    /// What is free.
    pub bounds: &'a Outlay,
    /// Credit is bought by transfers to this address.
    pub operator: Pubkey,
    /// Rent of a job's account.
    pub rent: u64,
    /// What the operator's account held when it was last read.
    pub purse: Option<u64>,
}

/// The job address that something is laid out for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub job: Pubkey,
    pub owner: Pubkey,
    /// Last slot in which the job may come to be.
    pub expiry: u64,
}

/// Why something is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Wallet,
    Everybody,
    /// What is left is the reserve and what others have prepaid.
    Purse,
    OpenJobs,
}

/// Lays out `fees` for a job address that the gateway pays for and, if it is `new`, its rent.
pub(super) async fn lay_out(
    transaction: &Transaction<'_>,
    address: Address,
    (fees, new): (u64, bool),
    funds: &Funds<'_>,
) -> ApiResult<()> {
    let owner = address.owner.as_ref();
    // Holds the row of the wallet's day to the end: what may be free is decided for one job of a wallet at a time.
    let own: i64 = transaction
        .query_one(
            "INSERT INTO gateway.outlay (day, owner, jobs, fees) VALUES (current_date, $1, 0, 0)
             ON CONFLICT (day, owner) DO UPDATE SET jobs = outlay.jobs RETURNING fees",
            &[&owner],
        )
        .await?
        .get(0);
    let over_fees = fees_bound(transaction, own, fees, funds).await?;
    let over_rent = if new {
        rent_bound(transaction, owner, funds.bounds).await?
    } else {
        None
    };
    if over_fees.is_none() {
        transaction
            .execute(
                "UPDATE gateway.outlay SET jobs = jobs + $3, fees = fees + $2 WHERE day = current_date AND owner = $1",
                &[&owner, &signed(fees), &i32::from(new)],
            )
            .await?;
    }
    let Some(bound) = over_fees.or(over_rent) else {
        return Ok(());
    };
    let take = credit::Take {
        job: address.job,
        owner: address.owner,
        expiry: address.expiry,
        fees: over_fees.map_or(0, |_| fees),
        rent: over_rent.map_or(0, |_| funds.rent),
    };
    match credit::take(transaction, &take).await? {
        None => Ok(()),
        Some(missing) => Err(refuse(bound, missing, funds)),
    }
}

/// Whether so much more in fees is within what is free today, for the wallet and for all.
async fn fees_bound(
    transaction: &Transaction<'_>,
    own: i64,
    fees: u64,
    funds: &Funds<'_>,
) -> ApiResult<Option<Bound>> {
    let row = transaction
        .query_one(
            "SELECT (SELECT coalesce(sum(fees), 0)::bigint FROM gateway.outlay WHERE day = current_date),
                    (SELECT coalesce(sum(paid_in - spent - held), 0)::bigint FROM gateway.credit)",
            &[],
        )
        .await?;
    let (all, prepaid): (i64, i64) = (row.get(0), row.get(1));
    let over = |spent: i64, bound: u64| spent.unsigned_abs().saturating_add(fees) > bound;
    let bounds = funds.bounds;
    let kept = bounds
        .reserve_lamports
        .saturating_add(prepaid.unsigned_abs());
    Ok(if over(own, bounds.fees_per_owner_per_day) {
        Some(Bound::Wallet)
    } else if over(all, bounds.fees_per_day) {
        Some(Bound::Everybody)
    } else if funds.purse.is_some_and(|purse| purse < kept) {
        Some(Bound::Purse)
    } else {
        None
    })
}

/// Whether the rent of one more job of the wallet may be out for free.
async fn rent_bound(
    transaction: &Transaction<'_>,
    owner: &[u8],
    bounds: &Outlay,
) -> ApiResult<Option<Bound>> {
    let open: i64 = transaction
        .query_one(
            "SELECT count(*) FROM gateway.attempt a WHERE owner = $1 AND NOT client_paid AND created_at > now() - $2 * interval '1 second'
                AND NOT EXISTS (SELECT FROM gateway.credit_use u WHERE u.job = a.job AND u.rent > 0)",
            &[&owner, &(bounds.rent_seconds as f64)],
        )
        .await?
        .get(0);
    Ok((open >= i64::from(bounds.jobs_per_owner)).then_some(Bound::OpenJobs))
}

fn signed(lamports: u64) -> i64 {
    i64::try_from(lamports).unwrap_or(i64::MAX)
}

fn refuse(bound: Bound, missing: u64, funds: &Funds<'_>) -> ApiError {
    let pay = format!(
        "prepay {missing} lamports or more (transfer them to {}, then POST /v1/credit the transaction's signature)",
        funds.operator
    );
    let fees = |whose: &str| {
        ApiError::new(
            StatusCode::PAYMENT_REQUIRED,
            "gateway_fees_spent",
            format!(
                "what this gateway pays in transaction fees in a day {whose} is spent; {pay}, pay fee and rent by your own transaction (mythic.transaction), or come again tomorrow (UTC)"
            ),
        )
    };
    match bound {
        Bound::Wallet => fees("for this wallet"),
        Bound::Everybody => fees("for everybody"),
        Bound::Purse => ApiError::unavailable(
            "gateway_funds",
            format!(
                "this gateway is short of funds of its own for fees and rent; {pay}, send your own transaction, or try again later"
            ),
        )
        .retry_after(60),
        Bound::OpenJobs => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_open_jobs",
            format!(
                "this gateway fronts the rent of at most {} jobs of one wallet in {} seconds; try again later, {pay}, or send your own transaction",
                funds.bounds.jobs_per_owner, funds.bounds.rent_seconds
            ),
        )
        .retry_after(60),
    }
}
