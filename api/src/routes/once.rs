//! What a wallet signs is taken once, at all gateways of a database, before and after a restart.

use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use mythic_wire::signed::HEADER_SIGNATURE;

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    http::Caller,
    store::keys,
};

/// Holds an address to its rate and a signature to one use, here and at the other gateways of this database.
pub async fn once(app: &App, caller: Caller, headers: &HeaderMap) -> ApiResult<()> {
    app.edge.anonymous.take(caller.0, Instant::now())?;
    let signature = headers
        .get(HEADER_SIGNATURE)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    if keys::spend_signature(&app.pool, signature).await? {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNAUTHORIZED,
        "invalid_signature",
        "this signed request was used already; sign a new one",
    ))
}
