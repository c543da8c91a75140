//! What monitoring reads.

use std::sync::Arc;

use axum::{extract::State, http::header, response::IntoResponse};

use super::health::found;
use crate::{
    app::App,
    error::{ApiError, ApiResult},
};

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, description = "Prometheus text format", content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<Arc<App>>) -> ApiResult<impl IntoResponse> {
    app.metrics
        .subscribers
        .set(i64::try_from(app.hub.subscribers()).unwrap_or(i64::MAX));
    app.metrics.feed_seq.set(app.hub.newest());
    let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    app.metrics.queue.set(size(app.jobs.queue.len()));
    app.metrics
        .breakers
        .set(size(app.validators.open_breakers()));
    if let Some(lamports) = app.chain.purse.last() {
        app.metrics
            .payer
            .set(i64::try_from(lamports).unwrap_or(i64::MAX));
    }
    let health = found(&app).await;
    app.metrics.health(&health);
    let pool = app.pool.status();
    app.metrics
        .pool_in_use
        .set(size(pool.size.saturating_sub(pool.available)));
    app.metrics.pool_waiting.set(size(pool.waiting));
    let text = app.metrics.text().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
