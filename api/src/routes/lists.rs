//! Lists, all with the same manners: `limit`, `after`, `commitment`, `{object, data, has_more}`; validators, models, statistics, the
//! network.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use mythic_client::market;
use mythic_interface::{
    le::Text,
    market::state::CLASS_NAME_LEN,
    state::{KernelProfile, ModelStatus, ValidatorStatus},
};
use mythic_wire::Announcement;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use solana_pubkey::Pubkey;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    fleet::{judges::Judges, validators::capacity},
    http::{PathParam, Query},
    intake::judges::judges,
    store::index::{
        burned::BurnedDayRow,
        market::MarketDayRow,
        network::{self as sums, NetworkSums},
        stats::{BurnRow, DailyRow, FingerprintRow, SettlementRow, SlashRow, Statistic},
        validators::{self as index, ValidatorRow},
    },
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

/// The code of a status; `name` says which names the codes have.
pub fn status(value: &str, name: impl Fn(u8) -> Option<&'static str>) -> ApiResult<i16> {
    let all = || (0..=u8::MAX).filter_map(|code| Some((i16::from(code), name(code)?)));
    let found = all().find(|(_, name)| *name == value);
    found.map(|(code, _)| code).ok_or_else(|| {
        let names: Vec<&str> = all().map(|(_, name)| name).collect();
        let message = format!("status must be one of {}", names.join(", "));
        ApiError::invalid("status", message)
    })
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

/// The address of a class, by it or by the class's name.
pub fn class(value: Option<&str>) -> ApiResult<Option<Vec<u8>>> {
    let Some(text) = value else { return Ok(None) };
    let named = || Text::<CLASS_NAME_LEN>::new(text).filter(|name| !name.is_empty());
    let found = text.parse::<Pubkey>().ok();
    match found.or_else(|| named().map(|name| market::address::class(&name))) {
        Some(key) => Ok(Some(key.to_bytes().to_vec())),
        None => Err(ApiError::invalid(
            "class",
            "class must be a base58 address or the name of a class",
        )),
    }
}

/// The id of a model by its address, if this gateway serves it.
pub fn model_id(app: &App, address: &str) -> Option<String> {
    let address = address.parse().ok()?;
    app.catalogue.at(&address).map(|model| model.id.clone())
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// `list`.
    object: &'static str,
    data: Vec<T>,
    /// Rows follow the last of these.
    has_more: bool,
}

impl<T> Page<T> {
    /// Of rows read with `LIMIT limit + 1`: one more than asked for, to know whether there are more.
    pub fn new(mut rows: Vec<T>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Self {
            object: "list",
            data: rows,
            has_more,
        }
    }
}

/// Query of the plain lists.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    pub limit: Option<i64>,
    pub after: Option<String>,
    pub commitment: Option<String>,
}

/// A validator as it is registered, with what it announces of itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Validator)]
pub struct ValidatorView {
    /// `validator`.
    object: &'static str,
    #[serde(flatten)]
    row: ValidatorRow,
    /// Null while it does not announce itself here.
    live: Option<Live>,
}

/// What a validator's node says of itself, every 10 seconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    version: String,
    /// Jobs that generate now.
    running: u32,
    /// Jobs that wait for a place.
    queued: u32,
    /// Output tokens that running and waiting jobs may still need.
    queued_tokens: u64,
    /// Jobs it runs at once.
    max_concurrent: u32,
    /// Of one job; null before the first.
    tokens_per_second: Option<f64>,
    /// It takes no new jobs.
    draining: bool,
}

impl ValidatorView {
    fn of(row: ValidatorRow, announced: &HashMap<[u8; 32], Announcement>) -> Self {
        let authority: Option<Pubkey> = row.authority.parse().ok();
        let live = authority.and_then(|authority| announced.get(&authority.to_bytes()));
        Self {
            object: "validator",
            live: live.map(|a| Live {
                version: a.version.clone(),
                running: a.running,
                queued: a.queued,
                queued_tokens: a.queued_tokens,
                max_concurrent: a.max_concurrent,
                tokens_per_second: a.tokens_per_second,
                draining: a.draining,
            }),
            row,
        }
    }
}

/// Validators by the order of their registration, with what they announce of themselves.
#[utoipa::path(get, path = "/v1/validators", operation_id = "list_validators", tag = "network",
    params(("limit" = Option<i64>, Query, description = "1 to 100, default 20"), ("after" = Option<String>, Query, description = "Id of the last validator seen"),
           ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "Validators", body = Page<ValidatorView>)))]
pub async fn validators(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<ValidatorView>>> {
    let limit = limit(query.limit)?;
    let commitment = commitment(query.commitment.as_deref())?;
    let after = address("after", query.after.as_deref())?;
    let rows = index::list(&app.pool, commitment, after, limit + 1).await?;
    let announced = app.validators.announcements();
    let rows = rows
        .into_iter()
        .map(|row| ValidatorView::of(row, &announced))
        .collect();
    Ok(Json(Page::new(rows, limit)))
}

/// One validator, by its authority or its account's address.
#[utoipa::path(get, path = "/v1/validators/{id}", operation_id = "show_validator", tag = "network", params(("id" = String, Path)),
    responses((status = 200, description = "The validator", body = ValidatorView), (status = 404, description = "validator_not_found", body = ErrorBody)))]
pub async fn validator(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
) -> ApiResult<Json<ValidatorView>> {
    let key = address("id", Some(&id))?.unwrap_or_default();
    match index::show(&app.pool, &key).await? {
        Some(row) => Ok(Json(ValidatorView::of(
            row,
            &app.validators.announcements(),
        ))),
        None => Err(ApiError::not_found(
            "validator_not_found",
            format!("no validator {id} is indexed"),
        )),
    }
}

/// A page of the statistic that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Statistics {
    /// `daily`
    Daily(Page<DailyRow>),
    /// `burns`
    Burns(Page<BurnRow>),
    /// `slashes`
    Slashes(Page<SlashRow>),
    /// `settlements`
    Settlements(Page<SettlementRow>),
    /// `fingerprints`
    Fingerprints(Page<FingerprintRow>),
    /// `burned`
    Burned(Page<BurnedDayRow>),
    /// `market`
    Market(Page<MarketDayRow>),
}

/// Slot and key of the row that a page follows.
type Cursor = (Option<i64>, Option<Vec<u8>>);

fn cursor(text: &str) -> ApiResult<Cursor> {
    let (slot, key) = text.split_once('.').unwrap_or((text, ""));
    let slot: Option<i64> = slot.parse().ok();
    let key = match key {
        "" => Some(Vec::new()),
        key => key
            .parse::<Pubkey>()
            .ok()
            .map(|key| key.to_bytes().to_vec()),
    };
    match slot.zip(key) {
        Some((slot, key)) => Ok((Some(slot), Some(key))),
        None => Err(ApiError::invalid(
            "after",
            "after must be the cursor of a row",
        )),
    }
}

/// Statistics by name: `daily`, `burns`, `settlements`, `slashes`, `fingerprints`, `burned`, `market`. The last two are of finalized blocks,
/// whatever the commitment, and a minute old at most.
#[utoipa::path(get, path = "/v1/stats/{name}", operation_id = "list_statistic", tag = "network",
    params(("name" = String, Path, description = "daily, burns, settlements, slashes, fingerprints, burned or market"), ("limit" = Option<i64>, Query, description = "1 to 100, default 20"),
           ("after" = Option<String>, Query, description = "`cursor` of the last row seen"), ("commitment" = Option<String>, Query)),
    responses((status = 200, description = "Rows of the statistic, newest first", body = Statistics), (status = 404, description = "unknown_statistic", body = ErrorBody)))]
pub async fn stats(
    State(app): State<Arc<App>>,
    PathParam(name): PathParam,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Statistics>> {
    let limit = limit(query.limit)?;
    let commitment = commitment(query.commitment.as_deref())?;
    let after = match query.after.as_deref() {
        None => (None, None),
        Some(text) => cursor(text)?,
    };
    if name == "burned" {
        let days = app.burned.days(&app.pool, after.0, limit + 1).await?;
        return Ok(Json(Statistics::Burned(Page::new(days, limit))));
    }
    if name == "market" {
        let days = app.market.days(&app.pool, after.0, limit + 1).await?;
        return Ok(Json(Statistics::Market(Page::new(days, limit))));
    }
    let Some(statistic) = Statistic::of(&name) else {
        return Err(ApiError::not_found(
            "unknown_statistic",
            "there are daily, burns, settlements, slashes, fingerprints, burned and market",
        ));
    };
    let asked = Asked {
        app: &app,
        statistic,
        commitment,
        after,
        limit,
    };
    Ok(Json(match statistic {
        Statistic::Daily => Statistics::Daily(asked.page().await?),
        Statistic::Burns => Statistics::Burns(asked.page().await?),
        Statistic::Slashes => Statistics::Slashes(asked.page().await?),
        Statistic::Settlements => Statistics::Settlements(asked.page().await?),
        Statistic::Fingerprints => Statistics::Fingerprints(asked.page().await?),
    }))
}

/// What is asked of a statistic.
struct Asked<'a> {
    app: &'a App,
    statistic: Statistic,
    commitment: &'static str,
    after: Cursor,
    limit: i64,
}

impl Asked<'_> {
    async fn page<T: DeserializeOwned>(&self) -> ApiResult<Page<T>> {
        let rows = self
            .statistic
            .rows(&self.app.pool, self.commitment, &self.after, self.limit + 1)
            .await?;
        Ok(Page::new(rows, self.limit))
    }
}

/// The network at a glance. What is not known is null.
#[derive(Debug, Serialize, ToSchema)]
pub struct Network {
    /// `network`.
    object: &'static str,
    #[serde(flatten)]
    sums: NetworkSums,
    /// Validators that are active on chain and announce themselves here; null while the chain is away.
    active_validators: Option<usize>,
    /// Output tokens a second that validators say they made together in recent work; null if none does.
    capacity_tokens_per_second: Option<f64>,
}

/// The network at a glance. What is not known is null.
#[utoipa::path(get, path = "/v1/network", operation_id = "show_network", tag = "network",
    responses((status = 200, description = "Validators, GPUs, capacity, jobs, cases, slashed, burned, staked, slot", body = Network)))]
pub async fn network(State(app): State<Arc<App>>) -> ApiResult<Json<Network>> {
    let sums = sums::sums(&app.pool).await?;
    let announced = app.validators.announcements();
    let active_validators = match app.validators.registered().await {
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
    Ok(Json(Network {
        object: "network",
        sums,
        active_validators,
        capacity_tokens_per_second: capacity(announced.values()),
    }))
}

/// A model in OpenAI's shape, with price, context and validators. What the chain does not say now is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelView {
    /// Name and first 8 hex digits of the identity, `name@01234567`.
    id: String,
    /// `model`.
    object: &'static str,
    /// When it was registered, Unix seconds.
    created: Option<i64>,
    /// Who registered it, base58.
    owned_by: Option<String>,
    name: String,
    /// Requests that name no model are for it.
    is_default: bool,
    /// 64 hex digits.
    identity: String,
    /// Address of its account, base58.
    address: String,
    /// `active` or `retired`.
    status: Option<&'static str>,
    /// Arithmetic of its logits.
    kernel_profile: Option<&'static str>,
    /// Its results are compared to the bit, so that options, functions and formats can be asked for.
    is_exact: Option<bool>,
    price_in_lamports_per_1k: Option<u32>,
    price_out_lamports_per_1k: Option<u32>,
    /// Tokens of prompt and answer together.
    context_length: Option<u32>,
    /// Most tokens of a job.
    max_job_tokens: Option<u32>,
    /// Registered validators that serve it; null while the chain is away.
    validators: Option<usize>,
    /// Who could judge a false answer; null while the chain is away.
    judges: Option<Judges>,
}

async fn model_view(app: &App, model: &crate::intake::plan::Served) -> ModelView {
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
    let created = sums::registered(&app.pool, &model.address).await;
    ModelView {
        id: model.id.clone(),
        object: "model",
        created: created.ok().flatten(),
        owned_by: chain.map(|c| Pubkey::new_from_array(c.registrant).to_string()),
        name: model.name.clone(),
        is_default: app
            .catalogue
            .default_model()
            .is_some_and(|default| default.address == model.address),
        identity: hex::encode(model.identity),
        address: model.address.to_string(),
        status: chain
            .and_then(|c| ModelStatus::from_u8(c.header.status))
            .map(ModelStatus::as_str),
        kernel_profile: chain
            .and_then(|c| u8::try_from(c.spec.kernel_profile.get()).ok())
            .and_then(KernelProfile::from_u8)
            .map(KernelProfile::as_str),
        is_exact: chain.map(|c| c.spec.is_exact()),
        price_in_lamports_per_1k: chain.map(|c| c.price_in.get()),
        price_out_lamports_per_1k: chain.map(|c| c.price_out.get()),
        context_length: chain.map(|c| c.spec.context_length.get()),
        max_job_tokens: chain.map(|c| c.spec.max_job_tokens.get()),
        validators: serving,
        judges: judges(app, model).await.ok(),
    }
}

/// Models that this gateway serves, in OpenAI's shape, with price, context and validators. Retired ones are not offered.
#[utoipa::path(get, path = "/v1/models", operation_id = "list_models", tag = "inference", responses((status = 200, description = "Models", body = Page<ModelView>)))]
pub async fn models(State(app): State<Arc<App>>) -> Json<Page<ModelView>> {
    let mut data = Vec::new();
    for model in app.catalogue.all() {
        let view = model_view(&app, model).await;
        if view.status != Some(ModelStatus::Retired.as_str()) {
            data.push(view);
        }
    }
    Json(Page {
        object: "list",
        data,
        has_more: false,
    })
}

/// One model.
#[utoipa::path(get, path = "/v1/models/{id}", operation_id = "show_model", tag = "inference", params(("id" = String, Path)),
    responses((status = 200, description = "The model", body = ModelView), (status = 404, description = "model_not_found", body = ErrorBody)))]
pub async fn model(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
) -> ApiResult<Json<ModelView>> {
    let model = app.catalogue.find(&id)?;
    Ok(Json(model_view(&app, &model).await))
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
        let named = class(Some("cpu")).unwrap().unwrap();
        let key = Pubkey::try_from(named.as_slice()).unwrap();
        assert_eq!(class(Some(&key.to_string())), Ok(Some(named)));
        assert_eq!(class(None), Ok(None));
        for wrong in ["", "a name of more than fifteen", "caf\u{e9}"] {
            let refused = class(Some(wrong)).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some("class"), "{wrong:?}");
        }
    }

    #[test]
    fn one_row_more_than_asked_for_means_more() {
        let page = serde_json::to_value(Page::new(vec![1, 2, 3], 2)).unwrap();
        assert_eq!(
            page,
            serde_json::json!({"object": "list", "data": [1, 2], "has_more": true})
        );
        assert!(!Page::new(vec![1, 2, 3], 3).has_more);
    }
}
