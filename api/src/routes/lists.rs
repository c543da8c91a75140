//! Lists over the analytics views, all with the same manners: `limit`, `after`, `commitment`, `{object, data, has_more}`.

use std::sync::Arc;

use axum::{Json, extract::State};
use mythic_interface::state::{KernelProfile, ModelStatus, ValidatorStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use solana_pubkey::Pubkey;

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    http::{PathParam, Query},
    routes::listing::Listing,
};

/// Rows of a page unless told otherwise, and at most.
const LIMIT: (i64, i64) = (20, 100);

/// Checks `limit`.
pub fn limit(value: Option<i64>) -> ApiResult<i64> {
    match value.unwrap_or(LIMIT.0) {
        n if (1..=LIMIT.1).contains(&n) => Ok(n),
        _ => Err(ApiError::invalid(
            "limit",
            format!("limit must be 1 to {}", LIMIT.1),
        )),
    }
}

/// Checks `commitment`; it becomes part of a view's name.
pub fn commitment(value: Option<&str>) -> ApiResult<&'static str> {
    match value {
        None | Some("processed") => Ok("processed"),
        Some("confirmed") => Ok("confirmed"),
        Some("finalized") => Ok("finalized"),
        Some(_) => Err(ApiError::invalid(
            "commitment",
            "commitment must be processed, confirmed or finalized",
        )),
    }
}

/// Checks an address.
pub fn address(name: &str, value: Option<&str>) -> ApiResult<Option<Vec<u8>>> {
    match value {
        None => Ok(None),
        Some(text) => match text.parse::<Pubkey>() {
            Ok(key) => Ok(Some(key.to_bytes().to_vec())),
            Err(_) => Err(ApiError::invalid(
                name,
                format!("{name} must be a base58 address"),
            )),
        },
    }
}

/// A page: one row more than asked for was read, to know whether there are more.
pub struct Page {
    rows: Vec<Value>,
    more: bool,
}

impl Page {
    /// Of rows read with `LIMIT limit + 1`.
    pub fn new(rows: impl Iterator<Item = Value>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let mut rows: Vec<Value> = rows.collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, more }
    }

    /// The list, each row reshaped.
    pub fn map(self, reshape: impl FnMut(Value) -> Value) -> Value {
        let data: Vec<Value> = self.rows.into_iter().map(reshape).collect();
        json!({"object": "list", "data": data, "has_more": self.more})
    }
}

fn tagged(row: Value, object: &str) -> Value {
    match row {
        Value::Object(mut map) => {
            map.insert("object".into(), json!(object));
            Value::Object(map)
        }
        other => other,
    }
}

/// Query of the plain lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<i64>,
    after: Option<String>,
    commitment: Option<String>,
}

/// Validators by registration. Parameters: key of the one to follow, N.
pub(crate) fn validators_sql(commitment: &str) -> String {
    let after = format!(
        "(SELECT registered_slot FROM analytics.validators_{commitment} WHERE id_key = $1)"
    );
    let rows = Listing {
        views: &["validators"],
        commitment,
        columns: &format!("{VALIDATOR}, id_key"),
        condition: &format!("($1::bytea IS NULL OR (registered_slot, id_key) > ({after}, $1))"),
        order: "registered_slot, id_key",
        limit: "$2",
    };
    format!("SELECT to_jsonb(v) - 'id_key' FROM ({}) v", rows.sql())
}

/// A statistic, newest first; each row has a `cursor`. Parameters: slot and key of the row to follow, N. The days are
/// counted from all jobs; the others are lists.
pub(crate) fn stats_sql(name: &str, commitment: &str) -> Option<String> {
    let list = |views: &[&str], slot: &str, account: &str, hidden: &str| {
        let rows = Listing {
            views,
            commitment,
            columns: "*",
            condition: &format!(
                "($1::bigint IS NULL OR ({slot} <= $1 AND ({slot} < $1 OR {account}_key > $2::bytea)))"
            ),
            order: &format!("{slot} DESC, {account}_key"),
            limit: "$3",
        };
        format!(
            "SELECT to_jsonb(s) - '{{{account}_key{hidden}}}'::text[] || jsonb_build_object('cursor', s.{slot} || '.' || s.{account})
               FROM ({}) s",
            rows.sql()
        )
    };
    Some(match name {
        "daily" => format!(
            "SELECT to_jsonb(s) - 'number' || jsonb_build_object('cursor', s.number || '.')
               FROM (SELECT *, to_char(day, 'YYYYMMDD')::bigint AS number FROM analytics.network_daily_{commitment}) s
              WHERE $2::bytea IS NULL OR s.number < $1::bigint ORDER BY s.number DESC LIMIT $3"
        ),
        "burns" => list(
            &["burns_fee", "burns_registration", "burns_dispute"],
            "slot",
            "account",
            "",
        ),
        "slashes" => list(
            &["slashes"],
            "resolved_slot",
            "dispute",
            ",job_key,validator_key",
        ),
        "settlements" => list(
            &["settlements"],
            "ended_slot",
            "job",
            ",owner_key,validator_key,model_key",
        ),
        "fingerprints" => list(
            &["fingerprints"],
            "submitted_slot",
            "job",
            ",validator_key,model_key",
        ),
        _ => return None,
    })
}

const VALIDATOR: &str = "id, authority, operator, stake, activating, unbonding, open_jobs, open_disputes, claimable, owed_foundation, owed_burn,
    gpu_name, vram_mib, endpoint, models, status, jobs_settled, jobs_missed, jobs_declined, earned, slashed, registered_slot, registered_at, jailed_until, commitment, exact";

/// Validators by the order of their registration, with what they announce of themselves.
#[utoipa::path(get, path = "/v1/validators", tag = "network",
    params(("limit" = Option<i64>, Query), ("after" = Option<String>, Query), ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "{object: \"list\", data, has_more}")))]
pub async fn validators(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Value>> {
    let limit = limit(query.limit)?;
    let commitment = commitment(query.commitment.as_deref())?;
    let after = address("after", query.after.as_deref())?;
    let client = app.pool.get().await?;
    let rows = client
        .query(&validators_sql(commitment), &[&after, &(limit + 1)])
        .await?;
    let announced = app.validators.announcements();
    Ok(Json(
        Page::new(rows.iter().map(|row| row.get(0)), limit)
            .map(|row| with_announcement(row, &announced)),
    ))
}

fn with_announcement(
    row: Value,
    announced: &std::collections::HashMap<[u8; 32], mythic_wire::Announcement>,
) -> Value {
    let authority = row["authority"]
        .as_str()
        .and_then(|text| text.parse::<Pubkey>().ok());
    let live = authority.and_then(|authority| announced.get(&authority.to_bytes()));
    let mut row = tagged(row, "validator");
    row["live"] = match live {
        Some(a) => json!({
            "version": a.version, "running": a.running, "queued": a.queued, "queued_tokens": a.queued_tokens,
            "max_concurrent": a.max_concurrent, "tokens_per_second": a.tokens_per_second, "draining": a.draining,
        }),
        None => Value::Null,
    };
    row
}

/// One validator, by its authority or its account's address.
#[utoipa::path(get, path = "/v1/validators/{id}", tag = "network", params(("id" = String, Path)),
    responses((status = 200, description = "The validator"), (status = 404, description = "validator_not_found")))]
pub async fn validator(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
) -> ApiResult<Json<Value>> {
    let key = address("id", Some(&id))?;
    let client = app.pool.get().await?;
    let row = client
        .query_opt(
            &format!("SELECT to_jsonb(v) FROM (SELECT {VALIDATOR} FROM analytics.validators_processed WHERE id_key = $1 OR authority_key = $1 LIMIT 1) v"),
            &[&key],
        )
        .await?;
    match row {
        Some(row) => Ok(Json(with_announcement(
            row.get(0),
            &app.validators.announcements(),
        ))),
        None => Err(ApiError::not_found(
            "validator_not_found",
            format!("no validator {id} is indexed"),
        )),
    }
}

/// Statistics by name: `daily`, `burns`, `settlements`, `slashes`, `fingerprints`.
#[utoipa::path(get, path = "/v1/stats/{name}", tag = "network",
    params(("name" = String, Path, description = "daily, burns, settlements, slashes or fingerprints"), ("limit" = Option<i64>, Query), ("after" = Option<String>, Query, description = "`cursor` of the last row seen"), ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "{object: \"list\", data, has_more}"), (status = 404, description = "unknown_statistic")))]
pub async fn stats(
    State(app): State<Arc<App>>,
    PathParam(name): PathParam,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Value>> {
    let limit = limit(query.limit)?;
    let commitment = commitment(query.commitment.as_deref())?;
    let Some(sql) = stats_sql(&name, commitment) else {
        return Err(ApiError::not_found(
            "unknown_statistic",
            "there are daily, burns, settlements, slashes and fingerprints",
        ));
    };
    let cursor = |text: &str| {
        let (slot, key) = text.split_once('.').unwrap_or((text, ""));
        let slot: Option<i64> = slot.parse().ok();
        let key = match key {
            "" => Some(Vec::new()),
            key => key
                .parse::<Pubkey>()
                .ok()
                .map(|key| key.to_bytes().to_vec()),
        };
        slot.zip(key)
            .ok_or_else(|| ApiError::invalid("after", "after must be the cursor of a row"))
    };
    let (after_slot, after_key) = query.after.as_deref().map(cursor).transpose()?.unzip();
    let client = app.pool.get().await?;
    let rows = client
        .query(&sql, &[&after_slot, &after_key, &(limit + 1)])
        .await?;
    Ok(Json(
        Page::new(rows.iter().map(|row| row.get(0)), limit).map(|row| row),
    ))
}

/// The network at a glance. What is not known is null.
#[utoipa::path(get, path = "/v1/network", tag = "network", responses((status = 200, description = "Validators, GPUs, capacity, jobs, disputes, slashed, burned, staked, slot")))]
pub async fn network(State(app): State<Arc<App>>) -> ApiResult<Json<Value>> {
    let client = app.pool.get().await?;
    let row = client
        .query_one("SELECT to_jsonb(n) FROM analytics.network_processed n", &[])
        .await?;
    drop(client);
    let mut out: Map<String, Value> = match row.get::<_, Value>(0) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    out.insert("object".into(), json!("network"));
    let announced = app.validators.announcements();
    let active = match app.validators.registered().await {
        Ok((_, validators)) => Some(
            validators
                .iter()
                .filter(|v| {
                    v.header.status == ValidatorStatus::Active as u8
                        && announced.get(&v.authority).is_some_and(|a| !a.draining)
                })
                .count(),
        ),
        Err(_) => None,
    };
    out.insert("active_validators".into(), json!(active));
    let speeds: Vec<f64> = announced
        .values()
        .filter_map(|a| {
            a.tokens_per_second
                .map(|speed| speed * f64::from(a.max_concurrent.max(1)))
        })
        .collect();
    out.insert(
        "capacity_tokens_per_second".into(),
        if speeds.is_empty() {
            Value::Null
        } else {
            json!(speeds.iter().sum::<f64>())
        },
    );
    Ok(Json(Value::Object(out)))
}

async fn model_value(app: &App, model: &crate::intake::plan::Served) -> ApiResult<Value> {
    let chain = app.catalogue.on_chain(model).await;
    let chain = chain.as_ref().ok();
    let serving = match app.validators.registered().await {
        Ok((_, validators)) => Some(
            validators
                .iter()
                .filter(|v| v.serves(&model.address.to_bytes()).is_some())
                .count(),
        ),
        Err(_) => None,
    };
    let created: Option<i64> = match app.pool.get().await {
        Ok(client) => client
            .query_opt("SELECT extract(epoch FROM registered_at)::bigint FROM analytics.models_processed WHERE id_key = $1", &[&model.address.as_ref()])
            .await
            .ok()
            .flatten()
            .and_then(|row| row.get(0)),
        Err(_) => None,
    };
    Ok(json!({
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": chain.map(|c| Pubkey::new_from_array(c.registrant).to_string()),
        "name": model.name,
        "identity": hex::encode(model.identity),
        "address": model.address.to_string(),
        "status": chain.and_then(|c| ModelStatus::from_u8(c.header.status)).map(ModelStatus::as_str),
        "kernel_profile": chain
            .and_then(|c| u8::try_from(c.spec.kernel_profile.get()).ok())
            .and_then(KernelProfile::from_u8)
            .map(KernelProfile::as_str),
        "price_in_lamports_per_1k": chain.map(|c| c.price_in.get()),
        "price_out_lamports_per_1k": chain.map(|c| c.price_out.get()),
        "context_length": chain.map(|c| c.spec.context_length.get()),
        "max_job_tokens": chain.map(|c| c.spec.max_job_tokens.get()),
        "validators": serving,
    }))
}

/// Models that this gateway serves, in OpenAI's shape, with price, context and validators. Retired ones are not offered.
#[utoipa::path(get, path = "/v1/models", tag = "inference", responses((status = 200, description = "{object: \"list\", data, has_more}")))]
pub async fn models(State(app): State<Arc<App>>) -> ApiResult<Json<Value>> {
    let mut data = Vec::new();
    for model in app.catalogue.all() {
        let value = model_value(&app, model).await?;
        if value["status"] != ModelStatus::Retired.as_str() {
            data.push(value);
        }
    }
    Ok(Json(
        json!({"object": "list", "data": data, "has_more": false}),
    ))
}

/// One model.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "inference", params(("id" = String, Path)),
    responses((status = 200, description = "The model"), (status = 404, description = "model_not_found")))]
pub async fn model(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
) -> ApiResult<Json<Value>> {
    let model = app.catalogue.find(&id)?;
    Ok(Json(model_value(&app, &model).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_commitments_are_checked() {
        assert_eq!(limit(None), Ok(20));
        assert!(limit(Some(0)).is_err() && limit(Some(101)).is_err());
        assert_eq!(commitment(None), Ok("processed"));
        assert!(commitment(Some("rooted; DROP")).is_err());
        assert!(address("owner", Some("0x")).is_err());
    }

    #[test]
    fn one_row_more_than_asked_for_means_more() {
        let rows = || [json!(1), json!(2), json!(3)].into_iter();
        assert_eq!(
            Page::new(rows(), 2).map(|row| row),
            json!({"object": "list", "data": [1, 2], "has_more": true})
        );
        assert_eq!(Page::new(rows(), 3).map(|row| row)["has_more"], false);
    }
}
