//! What a model costs, and what it cost.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    error::{ApiResult, ErrorBody},
    http::{PathParam, Query},
    routes::lists::{self, Page},
    store::index::prices::{self as index, PriceRow},
};

/// Query of a model's prices.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricesQuery {
    limit: Option<i64>,
    after: Option<i64>,
}

/// Prices of a model by finalized blocks that wrote it, the newest first: of any model on chain by its address, of those that this
/// gateway serves also by their id.
#[utoipa::path(get, path = "/v1/models/{id}/prices", operation_id = "list_model_prices", tag = "network",
    params(("id" = String, Path), ("limit" = Option<i64>, Query, description = "1 to 100, default 20"),
           ("after" = Option<i64>, Query, description = "`slot` of the last one seen")),
    responses((status = 200, description = "Prices", body = Page<PriceRow>), (status = 404, description = "model_not_found", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<PricesQuery>,
) -> ApiResult<Json<Page<PriceRow>>> {
    let limit = lists::limit(query.limit)?;
    let model = match id.parse::<Pubkey>() {
        Ok(address) => address,
        Err(_) => app.catalogue.find(&id)?.address,
    };
    let rows = index::list(&app.pool, &model.to_bytes(), query.after, limit + 1).await?;
    Ok(Json(Page::new(rows, limit)))
}
