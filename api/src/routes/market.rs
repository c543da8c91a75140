//! The Compute Market: who leases out what, what is asked for, its figures.

use std::sync::Arc;

use axum::{Json, extract::State};
use mythic_interface::market::state::RequestStatus;
use serde::Deserialize;

use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{PathParam, Query},
    routes::{
        leases::named,
        lists::{self, ListQuery, Page},
    },
    store::index::market::{
        self as index, ClassRow, MarketSums, ProviderRow, ProvidersWanted, RequestRow,
        RequestsWanted,
    },
};

/// The Compute Market at a glance: capacity, requests, leases, and where all lamports of its leases are. Some seconds old at most.
#[utoipa::path(get, path = "/v1/market", operation_id = "show_market", tag = "market",
    responses((status = 200, description = "Providers, units, requests, leases, epochs, disputes, lamports, slot", body = MarketSums)))]
pub async fn market(State(app): State<Arc<App>>) -> ApiResult<Json<MarketSums>> {
    Ok(Json(app.market.sums(&app.pool).await?))
}

/// Query of the list of providers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvidersQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
    class: Option<String>,
}

/// Providers, the newest first, with capacity, price, stake, and how they have served.
#[utoipa::path(get, path = "/v1/providers", operation_id = "list_providers", tag = "market",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last provider seen"),
           ("commitment" = Option<String>, Query), ("class" = Option<String>, Query, description = "Address or name")),
    responses((status = 200, description = "Providers", body = Page<ProviderRow>)))]
pub async fn providers(
    State(app): State<Arc<App>>,
    Query(query): Query<ProvidersQuery>,
) -> ApiResult<Json<Page<ProviderRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let wanted = ProvidersWanted {
        class: lists::class(query.class.as_deref())?,
        after: lists::address("after", query.after.as_deref())?,
    };
    let rows = index::providers(&app.pool, commitment, &wanted, limit + 1).await?;
    Ok(Json(Page::new(rows, limit)))
}

/// Query of a provider.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderQuery {
    commitment: Option<String>,
}

/// One provider, by its authority or its account's address.
#[utoipa::path(get, path = "/v1/providers/{id}", operation_id = "show_provider", tag = "market",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The provider", body = ProviderRow), (status = 404, description = "provider_not_found", body = ErrorBody)))]
pub async fn provider(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<ProviderQuery>,
) -> ApiResult<Json<ProviderRow>> {
    let key = lists::address("id", Some(&id))?.unwrap_or_default();
    let commitment = lists::commitment(query.commitment.as_deref())?;
    match index::provider(&app.pool, commitment, &key).await? {
        Some(row) => Ok(Json(row)),
        None => Err(ApiError::not_found(
            "provider_not_found",
            format!("no provider {id} is indexed"),
        )),
    }
}

/// Classes of capacity, the newest first.
#[utoipa::path(get, path = "/v1/classes", operation_id = "list_classes", tag = "market",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last class seen"),
           ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "Classes", body = Page<ClassRow>)))]
pub async fn classes(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<ClassRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let after = lists::address("after", query.after.as_deref())?;
    let rows = index::classes(&app.pool, commitment, &after, limit + 1).await?;
    Ok(Json(Page::new(rows, limit)))
}

/// Query of the list of requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestsQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
    status: Option<String>,
    tenant: Option<String>,
    provider: Option<String>,
    class: Option<String>,
}

/// Requests of capacity, the newest first, with what was paid in for each and what became of it.
#[utoipa::path(get, path = "/v1/requests", operation_id = "list_lease_requests", tag = "market",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last request seen"),
           ("commitment" = Option<String>, Query), ("status" = Option<String>, Query, description = "open, accepted, cancelled or expired"),
           ("tenant" = Option<String>, Query), ("provider" = Option<String>, Query, description = "Authority of the one that may accept it"),
           ("class" = Option<String>, Query, description = "Address or name")),
    responses((status = 200, description = "Requests", body = Page<RequestRow>)))]
pub async fn requests(
    State(app): State<Arc<App>>,
    Query(query): Query<RequestsQuery>,
) -> ApiResult<Json<Page<RequestRow>>> {
    let limit = lists::limit(query.limit)?;
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let code = |status: &str| {
        lists::status(status, |code| {
            RequestStatus::from_u8(code).map(RequestStatus::as_str)
        })
    };
    let wanted = RequestsWanted {
        status: query.status.as_deref().map(code).transpose()?,
        tenant: lists::address("tenant", query.tenant.as_deref())?,
        provider: lists::address("provider", query.provider.as_deref())?,
        class: lists::class(query.class.as_deref())?,
        after: lists::address("after", query.after.as_deref())?,
    };
    let mut rows = index::requests(&app.pool, commitment, &wanted, limit + 1).await?;
    for row in &mut rows {
        complete(&app, row);
    }
    Ok(Json(Page::new(rows, limit)))
}

/// Adds what the index does not say: the model's name here.
fn complete(app: &App, row: &mut RequestRow) {
    row.model_address = row.model.clone();
    row.model = named(app, row.model.take());
}

/// Query of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestQuery {
    commitment: Option<String>,
}

/// One request of capacity.
#[utoipa::path(get, path = "/v1/requests/{id}", operation_id = "show_lease_request", tag = "market",
    params(("id" = String, Path), ("commitment" = Option<String>, Query, description = "processed (default), confirmed or finalized")),
    responses((status = 200, description = "The request", body = RequestRow), (status = 404, description = "request_not_found", body = ErrorBody)))]
pub async fn request(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    Query(query): Query<RequestQuery>,
) -> ApiResult<Json<RequestRow>> {
    let key = lists::address("id", Some(&id))?.unwrap_or_default();
    let commitment = lists::commitment(query.commitment.as_deref())?;
    let found = index::request(&app.pool, commitment, &key).await?;
    let mut row = found.ok_or_else(|| {
        ApiError::not_found("request_not_found", format!("no request {id} is indexed"))
    })?;
    complete(&app, &mut row);
    Ok(Json(row))
}
