//! What the gateway reads of the index: all SQL on the indexer's views. A row has the shape in which the API shows it: amounts
//! are lamports, slots the chain's, hashes hex, times RFC 3339; what is not known yet is null.

pub mod disputes;
pub mod jobs;
mod listing;
pub mod network;
pub mod stats;
pub mod validators;

use listing::Listing;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

/// A row as its type; the views are ours, so that a row which does not fit is our fault.
fn decode<T: DeserializeOwned>(row: Value) -> ApiResult<T> {
    serde_json::from_value(row)
        .map_err(|error| ApiError::internal(format!("a row of the index: {error}")))
}

fn decode_all<T: DeserializeOwned>(rows: Vec<tokio_postgres::Row>) -> ApiResult<Vec<T>> {
    rows.into_iter().map(|row| decode(row.get(0))).collect()
}
