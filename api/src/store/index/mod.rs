//! What the gateway reads of the index: all SQL on the indexer's views. A row has the shape in which the API shows it: amounts
//! are lamports, slots the chain's, hashes hex, times RFC 3339; what is not known yet is null.

pub mod burned;
pub mod cases;
pub mod jobs;
pub mod leases;
mod listing;
pub mod market;
pub mod network;
pub mod prices;
pub mod stats;
pub mod validators;

use listing::{FIRST_ROWS, Listing};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::{ApiError, ApiResult},
    store::Pool,
};

/// A row as its type; the views are ours, so that a row which does not fit is our fault.
fn decode<T: DeserializeOwned>(row: Value) -> ApiResult<T> {
    serde_json::from_value(row)
        .map_err(|error| ApiError::internal(format!("a row of the index: {error}")))
}

/// Columns of keys as text, each from its own text or, where that is missing, from its bytes (NAME_key).
fn texts(names: &[&str]) -> String {
    let column = |name: &&str| format!("COALESCE({name}, analytics.base58({name}_key)) AS {name}");
    names.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The first rows of a list that everybody sees: `sql` has no parameters and gives [`FIRST_ROWS`], so that each connection plans it
/// once. Planning a view as wide as these takes ten times as long as reading its first rows.
async fn first_rows<T: DeserializeOwned>(pool: &Pool, sql: &str, limit: i64) -> ApiResult<Vec<T>> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(sql).await?;
    let mut rows = client.query(&statement, &[]).await?;
    rows.truncate(usize::try_from(limit).unwrap_or(0));
    decode_all(rows)
}

fn decode_all<T: DeserializeOwned>(rows: Vec<tokio_postgres::Row>) -> ApiResult<Vec<T>> {
    rows.into_iter().map(|row| decode(row.get(0))).collect()
}
