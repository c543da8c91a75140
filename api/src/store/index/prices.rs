//! What models cost over time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decode_all;
use crate::{error::ApiResult, store::Pool};

/// The prices of a model from a finalized block on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelPrice)]
pub struct PriceRow {
    /// Slot of the block that wrote the model.
    slot: i64,
    /// Time of the block.
    at: Option<String>,
    price_in_lamports_per_1k: i64,
    price_out_lamports_per_1k: i64,
    /// Nobody can request it any more.
    retired: bool,
    /// False where a gap in the index may hide changes.
    exact: bool,
}

/// At most `limit` prices of a model, the newest first, of blocks before slot `before`.
pub async fn list(
    pool: &Pool,
    model: &[u8],
    before: Option<i64>,
    limit: i64,
) -> ApiResult<Vec<PriceRow>> {
    let client = pool.get().await?;
    let rows = client
        .query(
            "SELECT jsonb_build_object('slot', slot, 'at', at, 'price_in_lamports_per_1k', price_in_lamports,
                    'price_out_lamports_per_1k', price_out_lamports, 'retired', retired, 'exact', exact)
               FROM analytics.model_prices WHERE model_key = $1 AND ($2::bigint IS NULL OR slot < $2) ORDER BY slot DESC LIMIT $3",
            &[&model, &before, &limit],
        )
        .await?;
    decode_all(rows)
}
