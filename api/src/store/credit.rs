//! Prepaid credit: transfers that are credited once, what jobs take of it, and rent that comes back.

use deadpool_postgres::Transaction;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::{Pool, key};
use crate::{
    chain::payment::Transfer,
    config::Outlay,
    error::{ApiError, ApiResult},
};

/// Jobs whose rent is looked for at once: as many accounts as one call to the chain reads.
pub const PAGE: i64 = 100;

/// How a wallet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// All that it paid in.
    pub paid_in: u64,
    /// Of this, what went into fees.
    pub spent: u64,
    /// Of this, what is out as rent and comes back.
    pub held: u64,
    /// What is free today of the fees that the operator lays out.
    pub free_left: u64,
}

impl Standing {
    /// What can be taken now.
    pub fn balance(&self) -> u64 {
        self.paid_in.saturating_sub(self.spent + self.held)
    }
}

fn unsigned(lamports: i64) -> u64 {
    u64::try_from(lamports).unwrap_or(0)
}

fn signed(lamports: u64) -> ApiResult<i64> {
    i64::try_from(lamports)
        .map_err(|_| ApiError::internal(format!("{lamports} lamports are more than there are")))
}

/// How a wallet stands; one that never paid in has nothing.
pub async fn standing(pool: &Pool, owner: &Pubkey, bounds: &Outlay) -> ApiResult<Standing> {
    let client = pool.get().await?;
    let row = client
        .query_one(
            "SELECT coalesce(max(paid_in), 0), coalesce(max(spent), 0), coalesce(max(held), 0),
                    coalesce((SELECT fees FROM gateway.outlay WHERE day = current_date AND owner = $1), 0),
                    (SELECT coalesce(sum(fees), 0)::bigint FROM gateway.outlay WHERE day = current_date)
               FROM gateway.credit WHERE owner = $1",
            &[&owner.as_ref()],
        )
        .await?;
    let left = |bound: u64, spent: i64| bound.saturating_sub(unsigned(spent));
    Ok(Standing {
        paid_in: unsigned(row.get(0)),
        spent: unsigned(row.get(1)),
        held: unsigned(row.get(2)),
        free_left: left(bounds.fees_per_owner_per_day, row.get(3))
            .min(left(bounds.fees_per_day, row.get(4))),
    })
}

/// A transfer that was credited to a wallet before.
pub async fn credited(
    pool: &Pool,
    signature: &Signature,
    wallet: &Pubkey,
) -> ApiResult<Option<Transfer>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            "SELECT lamports, slot FROM gateway.credit_payment WHERE signature = $1 AND owner = $2",
            &[&signature.as_ref(), &wallet.as_ref()],
        )
        .await?;
    Ok(row.map(|row| Transfer {
        signature: *signature,
        wallet: *wallet,
        lamports: unsigned(row.get(0)),
        slot: unsigned(row.get(1)),
    }))
}

/// Credits a transfer; false if it was before, here or at another gateway of this database.
pub async fn pay_in(pool: &Pool, transfer: &Transfer) -> ApiResult<bool> {
    let (lamports, slot) = (signed(transfer.lamports)?, signed(transfer.slot)?);
    let owner = transfer.wallet.as_ref();
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let new = transaction
        .execute(
            "INSERT INTO gateway.credit_payment (signature, owner, lamports, slot) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &[&transfer.signature.as_ref(), &owner, &lamports, &slot],
        )
        .await?;
    if new == 0 {
        return Ok(false);
    }
    transaction
        .execute(
            "INSERT INTO gateway.credit (owner, paid_in) VALUES ($1, $2)
             ON CONFLICT (owner) DO UPDATE SET paid_in = credit.paid_in + $2",
            &[&owner, &lamports],
        )
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// What a job takes of its wallet's credit.
#[derive(Debug)]
pub(super) struct Take {
    pub job: Pubkey,
    pub owner: Pubkey,
    /// Last slot in which the job may come to be.
    pub expiry: u64,
    pub fees: u64,
    pub rent: u64,
}

/// Takes credit for a job, or says how much is missing.
pub(super) async fn take(transaction: &Transaction<'_>, take: &Take) -> ApiResult<Option<u64>> {
    let (fees, rent, owner) = (signed(take.fees)?, signed(take.rent)?, take.owner.as_ref());
    let taken = transaction
        .execute(
            "UPDATE gateway.credit SET spent = spent + $2, held = held + $3
              WHERE owner = $1 AND paid_in - spent - held >= $2::bigint + $3::bigint",
            &[&owner, &fees, &rent],
        )
        .await?;
    if taken == 0 {
        let balance = transaction
            .query_opt(
                "SELECT paid_in - spent - held FROM gateway.credit WHERE owner = $1",
                &[&owner],
            )
            .await?
            .map_or(0, |row| unsigned(row.get(0)));
        return Ok(Some((take.fees + take.rent).saturating_sub(balance)));
    }
    transaction
        .execute(
            "INSERT INTO gateway.credit_use (job, owner, fees, rent, expiry) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (job) DO UPDATE SET fees = credit_use.fees + $3, rent = credit_use.rent + $4",
            &[&take.job.as_ref(), &owner, &fees, &rent, &signed(take.expiry)?],
        )
        .await?;
    Ok(None)
}

/// A job whose rent is out.
#[derive(Debug)]
pub struct Out {
    pub job: Pubkey,
    /// Last slot in which it may come to be.
    pub expiry: u64,
}

/// Jobs whose rent is to be looked for; until the next look, a minute later, they are this gateway's.
pub async fn out(pool: &Pool) -> ApiResult<Vec<Out>> {
    let client = pool.get().await?;
    // Nothing waits for so long, unless the clock leapt back.
    client
        .execute(
            "UPDATE gateway.credit_use SET next_look = now() WHERE rent > 0 AND returned_at IS NULL AND next_look > now() + interval '3 minutes'",
            &[],
        )
        .await?;
    let rows = client
        .query(
            "UPDATE gateway.credit_use t SET next_look = now() + interval '1 minute'
               FROM (SELECT job FROM gateway.credit_use WHERE rent > 0 AND returned_at IS NULL AND next_look <= now()
                      ORDER BY next_look, job LIMIT $1 FOR UPDATE SKIP LOCKED) due
              WHERE t.job = due.job RETURNING t.job, t.expiry",
            &[&PAGE],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            Some(Out {
                job: key(row.get(0))?,
                expiry: unsigned(row.get(1)),
            })
        })
        .collect())
}

/// Gives wallets the rent of these jobs back, each once. Says how many lamports.
pub async fn give_back(pool: &Pool, jobs: &[Pubkey]) -> ApiResult<u64> {
    let jobs: Vec<&[u8]> = jobs.iter().map(AsRef::as_ref).collect();
    let client = pool.get().await?;
    let row = client
        .query_one(
            "WITH back AS (
                UPDATE gateway.credit_use SET returned_at = now() WHERE job = ANY($1) AND rent > 0 AND returned_at IS NULL RETURNING owner, rent),
             sums AS (SELECT owner, sum(rent)::bigint AS rent FROM back GROUP BY owner),
             given AS (UPDATE gateway.credit c SET held = held - s.rent FROM sums s WHERE c.owner = s.owner RETURNING s.rent)
             SELECT coalesce(sum(rent), 0)::bigint FROM given",
            &[&jobs],
        )
        .await?;
    Ok(unsigned(row.get(0)))
}

/// What all wallets have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Lamports that can be taken.
    pub balance: i64,
    /// Lamports that are out as rent.
    pub held: i64,
    /// Lamports that went into fees.
    pub spent: i64,
}

/// What all wallets have together.
pub async fn totals(pool: &Pool) -> ApiResult<Totals> {
    let client = pool.get().await?;
    let row = client
        .query_one(
            "SELECT coalesce(sum(paid_in - spent - held), 0)::bigint, coalesce(sum(held), 0)::bigint, coalesce(sum(spent), 0)::bigint
               FROM gateway.credit",
            &[],
        )
        .await?;
    Ok(Totals {
        balance: row.get(0),
        held: row.get(1),
        spent: row.get(2),
    })
}

/// Forgets what jobs took of which nothing is out any more. What was paid in stays known for good: whatever clocks do, it is
/// credited once.
pub async fn forget(pool: &Pool) -> ApiResult<()> {
    let client = pool.get().await?;
    client
        .execute(
            "DELETE FROM gateway.credit_use WHERE at < now() - interval '30 days' AND (rent = 0 OR returned_at IS NOT NULL)",
            &[],
        )
        .await?;
    Ok(())
}
