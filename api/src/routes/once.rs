//! What a wallet signs is taken once, at all gateways of a database, before and after a restart.

use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::http::{HeaderMap, StatusCode};
use mythic_wire::signed::{AuthError, HEADER_SIGNATURE, HEADER_TIME};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    http::{Caller, unsigned},
    store::keys,
};

/// Holds an address to its rate and a signature to one use, here and at the other gateways of this database.
pub async fn once(app: &App, caller: Caller, headers: &HeaderMap) -> ApiResult<()> {
    app.edge.anonymous.take(caller.0, Instant::now())?;
    let signature = headers
        .get(HEADER_SIGNATURE)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let time = headers
        .get(HEADER_TIME)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let made = time
        .and_then(|time| UNIX_EPOCH.checked_add(Duration::from_secs(time)))
        .ok_or_else(|| unsigned(AuthError::Header(HEADER_TIME)))?;
    if keys::spend_signature(&app.pool, signature, made).await? {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNAUTHORIZED,
        "invalid_signature",
        "this signed request was used already; sign a new one",
    ))
}
