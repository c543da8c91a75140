//! The network at a glance, from sums that are kept while rows are written.

use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use super::decode;
use crate::{error::ApiResult, store::Pool};

/// The network's figures; sums are since the first slot.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NetworkSums {
    /// Newest slot of the index; null before the first.
    slot: Option<i64>,
    /// Newest finalized slot.
    finalized_slot: Option<i64>,
    registered_validators: i64,
    /// Validators that name a GPU.
    gpus: i64,
    staked_lamports: i64,
    /// Jobs requested.
    jobs: i64,
    jobs_settled: i64,
    jobs_refunded: i64,
    jobs_slashed: i64,
    disputes: i64,
    /// Disputes that are not resolved.
    disputes_open: i64,
    prompt_tokens: i64,
    output_tokens: i64,
    fee_lamports: i64,
    slashed_lamports: i64,
    /// Destined to be burned: parts of fees, registrations, cases.
    burned_lamports: i64,
}

/// The network's figures at the processed commitment.
pub async fn sums(pool: &Pool) -> ApiResult<NetworkSums> {
    let client = pool.get().await?;
    // Planned once a connection: planning takes longer than reading.
    let statement = client
        .prepare_cached("SELECT to_jsonb(n) FROM analytics.network_processed n")
        .await?;
    let row = client.query_one(&statement, &[]).await?;
    decode(row.get(0))
}

/// When a model was registered, Unix seconds; `None` if the index does not know.
pub async fn registered(pool: &Pool, model: &Pubkey) -> ApiResult<Option<i64>> {
    let client = pool.get().await?;
    let row = client
        .query_opt(
            "SELECT extract(epoch FROM registered_at)::bigint FROM analytics.models_processed WHERE id_key = $1",
            &[&model.as_ref()],
        )
        .await?;
    Ok(row.and_then(|row| row.get(0)))
}

/// Addresses of all registrations of a model's file and kernel profile: who serves one of them judges results of all.
pub async fn of_the_same_file(pool: &Pool, model: &Pubkey) -> ApiResult<Vec<[u8; 32]>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT m.id_key FROM analytics.models_processed m JOIN analytics.models_processed o USING (weights_hash, kernel_profile)
              WHERE o.id_key = $1 LIMIT 1000",
            &[&model.as_ref()],
        )
        .await?;
    let keys = rows.iter().map(|row| row.get::<_, &[u8]>(0));
    Ok(keys
        .filter_map(|key| <[u8; 32]>::try_from(key).ok())
        .collect())
}
