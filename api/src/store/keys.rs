//! API keys and the signatures that made them.

use std::time::SystemTime;

use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use tokio_postgres::{Client, Row, Transaction};

use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// Most keys of one wallet that are not revoked, and with those that are.
pub const MAX_KEYS: i64 = 100;
const MAX_ROWS: i64 = 1_000;
/// Rows that one call removes at most.
const SWEEP: i64 = 1_000;

/// A key to be kept.
#[derive(Debug)]
pub struct NewKey<'a> {
    pub id: &'a str,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The wallet that pays.
    pub owner: Pubkey,
    /// Signs for it.
    pub delegate: Pubkey,
    /// The delegate's secret, encrypted.
    pub sealed: &'a [u8],
    /// The wallet's name for it.
    pub name: &'a str,
}

/// A key as its wallet sees it.
#[derive(Debug)]
pub struct KeptKey {
    pub id: String,
    /// Signs for the wallet.
    pub delegate: Pubkey,
    /// The wallet's name for it.
    pub name: String,
    /// Unix seconds.
    pub created: i64,
    /// It works no more.
    pub revoked: bool,
}

/// A key with its delegate's secret, as it is kept.
#[derive(Debug)]
pub struct SealedKey {
    pub id: String,
    /// The wallet that pays.
    pub owner: Vec<u8>,
    /// The delegate's secret, encrypted.
    pub sealed: Vec<u8>,
}

impl SealedKey {
    fn of(row: &Row) -> Self {
        Self {
            id: row.get(0),
            owner: row.get(1),
            sealed: row.get(2),
        }
    }
}

/// A key that is not revoked, by its SHA-256.
pub async fn by_hash(client: &Client, hash: &[u8; 32]) -> ApiResult<Option<SealedKey>> {
    let sql =
        "SELECT id, owner, sealed FROM gateway.api_key WHERE hash = $1 AND revoked_at IS NULL";
    let row = client.query_opt(sql, &[&hash.as_slice()]).await?;
    Ok(row.as_ref().map(SealedKey::of))
}

/// A key by its id, revoked ones too.
pub async fn by_id(client: &Client, id: &str) -> ApiResult<Option<SealedKey>> {
    let sql = "SELECT id, owner, sealed FROM gateway.api_key WHERE id = $1";
    let row = client.query_opt(sql, &[&id]).await?;
    Ok(row.as_ref().map(SealedKey::of))
}

/// Keeps the keys as they are until the transaction ends; how many gateways gave a sign of life within `seconds`.
pub async fn lock(
    transaction: &Transaction<'_>,
    seconds: u64,
) -> Result<i64, tokio_postgres::Error> {
    transaction
        .batch_execute("LOCK TABLE gateway.instance, gateway.api_key IN EXCLUSIVE MODE")
        .await?;
    let sql =
        "SELECT count(*) FROM gateway.instance WHERE beat_at > now() - $1 * interval '1 second'";
    let row = transaction.query_one(sql, &[&(seconds as f64)]).await?;
    Ok(row.get(0))
}

/// All keys, revoked ones too.
pub async fn all_sealed(
    transaction: &Transaction<'_>,
) -> Result<Vec<SealedKey>, tokio_postgres::Error> {
    let sql = "SELECT id, owner, sealed FROM gateway.api_key ORDER BY id";
    let rows = transaction.query(sql, &[]).await?;
    Ok(rows.iter().map(SealedKey::of).collect())
}

/// Replaces what is kept of a delegate's secret.
pub async fn reseal(
    transaction: &Transaction<'_>,
    id: &str,
    sealed: &[u8],
) -> Result<(), tokio_postgres::Error> {
    let sql = "UPDATE gateway.api_key SET sealed = $2 WHERE id = $1";
    transaction.execute(sql, &[&id, &sealed]).await.map(drop)
}

/// Uses a signature up that was made at a time which is valid now, at all gateways of this database; false if it was used before. Those
/// that are too old to be valid are forgotten.
pub async fn spend_signature(pool: &Pool, signature: &[u8], made: SystemTime) -> ApiResult<bool> {
    let client = pool.get().await?;
    // Longer than the time that a signature is valid, before and after its own; both the gateway's clock and the database's must say
    // so, because either may leap.
    client
        .execute(
            "DELETE FROM gateway.spent_signature WHERE hash IN
               (SELECT hash FROM gateway.spent_signature WHERE at < least(now(), $2::timestamptz) - interval '10 minutes' LIMIT $1)",
            &[&SWEEP, &made],
        )
        .await?;
    let hash: [u8; 32] = Sha256::digest(signature).into();
    let inserted = client
        .execute(
            "INSERT INTO gateway.spent_signature (hash, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&hash.as_slice(), &made],
        )
        .await?;
    Ok(inserted == 1)
}

/// Notes that a key pays, at most once an hour.
pub async fn used(client: &Client, id: &str) -> ApiResult<()> {
    client
        .execute(
            "UPDATE gateway.api_key SET used_at = now() WHERE id = $1 AND used_at < now() - interval '1 hour'",
            &[&id],
        )
        .await?;
    Ok(())
}

/// Keeps a key; unix seconds of its making, or `None` if the wallet has as many as it may.
pub async fn insert(pool: &Pool, key: &NewKey<'_>) -> ApiResult<Option<i64>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            "INSERT INTO gateway.api_key (id, hash, owner, delegate, sealed, name)
             SELECT $1, $2, $3, $4, $5, $6
              WHERE (SELECT count(*) FILTER (WHERE revoked_at IS NULL) < $7 AND count(*) < $8 FROM gateway.api_key WHERE owner = $3)
             RETURNING extract(epoch FROM created_at)::bigint",
            &[
                &key.id,
                &key.hash.as_slice(),
                &key.owner.as_ref(),
                &key.delegate.as_ref(),
                &key.sealed,
                &key.name,
                &MAX_KEYS,
                &MAX_ROWS,
            ],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// The keys of a wallet, newest first.
pub async fn of_wallet(pool: &Pool, owner: &Pubkey) -> ApiResult<Vec<KeptKey>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT id, delegate, name, extract(epoch FROM created_at)::bigint, revoked_at IS NOT NULL
               FROM gateway.api_key WHERE owner = $1 ORDER BY created_at DESC LIMIT 1000",
            &[&owner.as_ref()],
        )
        .await?;
    rows.into_iter()
        .map(|row| {
            let delegate: Vec<u8> = row.get(1);
            Ok(KeptKey {
                id: row.get(0),
                delegate: Pubkey::try_from(delegate.as_slice())
                    .map_err(|_| ApiError::internal("delegate of an API key"))?,
                name: row.get(2),
                created: row.get(3),
                revoked: row.get(4),
            })
        })
        .collect()
}

/// Revokes a key of a wallet; false if it has no such key.
pub async fn revoke(pool: &Pool, id: &str, owner: &Pubkey) -> ApiResult<bool> {
    let client = pool.get().await?;
    let changed = client
        .execute(
            "UPDATE gateway.api_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 AND owner = $2",
            &[&id, &owner.as_ref()],
        )
        .await?;
    Ok(changed > 0)
}
