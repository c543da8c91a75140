//! The routes of API keys: a wallet makes, lists and revokes its own, by signed requests that work once.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use mythic_wire::signed::purpose;
use serde::{Deserialize, Serialize};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use utoipa::ToSchema;

use crate::{
    accounts::{PREFIX, hash, random},
    app::App,
    chain::errors::chain_error,
    error::{ApiError, ApiResult, ErrorBody},
    http::{Caller, PathParam, SignedBody},
    routes::once::once,
    store::keys::{self, KeptKey, MAX_KEYS, NewKey},
};

/// Longest name of a key, bytes.
const MAX_NAME: usize = 100;

/// Body of `POST /v1/keys`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// The wallet's name for it, at most 100 bytes.
    #[serde(default)]
    name: Option<String>,
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKey {
    object: &'static str,
    id: String,
    /// The wallet whose vault pays.
    wallet: String,
    /// Signs for the wallet, within the spend grant that the wallet gives it on chain.
    delegate: String,
    /// Address of the wallet's vault.
    vault: String,
    /// Address of the delegate's spend grant.
    grant: String,
    name: String,
    /// Unix seconds.
    created: i64,
    revoked: bool,
    /// The key itself, shown when it is made and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl ApiKey {
    fn of(owner: &Pubkey, kept: KeptKey, key: Option<String>) -> Self {
        Self {
            object: "api_key",
            wallet: owner.to_string(),
            delegate: kept.delegate.to_string(),
            vault: mythic_client::pda::vault(owner).to_string(),
            grant: mythic_client::pda::grant(owner, kept.delegate).to_string(),
            id: kept.id,
            name: kept.name,
            created: kept.created,
            revoked: kept.revoked,
            key,
        }
    }
}

/// Keys of a wallet.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeys {
    object: &'static str,
    data: Vec<ApiKey>,
    has_more: bool,
}

/// A key that was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedKey {
    object: &'static str,
    id: String,
    deleted: bool,
}

/// A wallet that holds nothing, on chain or in a vault, costs its maker nothing: it gets no key.
async fn check_wallet(app: &App, wallet: &Pubkey) -> ApiResult<()> {
    for address in [mythic_client::pda::vault(wallet), *wallet] {
        let lamports = app
            .chain
            .client
            .balance(&address)
            .await
            .map_err(chain_error)?;
        if lamports > 0 {
            return Ok(());
        }
    }
    Err(ApiError::new(
        StatusCode::PAYMENT_REQUIRED,
        "insufficient_funds",
        format!("wallet {wallet} holds nothing on this chain, nor has it a vault; fund it first"),
    ))
}

/// Makes an API key for the wallet that signs the request. The key is shown this once.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", tag = "keys", request_body(content = CreateKey, description = "Signed by the wallet; may be empty"),
    security(("wallet_signature" = [])),
    responses((status = 200, description = "The key, and the delegate that needs a spend grant from the wallet's vault", body = ApiKey),
              (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 402, description = "insufficient_funds: the wallet holds nothing", body = ErrorBody),
              (status = 429, description = "too_many_keys, rate_limit_exceeded", body = ErrorBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    signed: SignedBody,
) -> ApiResult<Json<ApiKey>> {
    let owner = signed.signer(purpose::KEYS)?;
    let body: CreateKey = if signed.body.is_empty() {
        CreateKey::default()
    } else {
        serde_json::from_slice(&signed.body).map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body is not what is expected here: {error}"),
            )
        })?
    };
    let name = body.name.unwrap_or_default();
    if name.len() > MAX_NAME || name.contains('\0') {
        return Err(ApiError::invalid(
            "name",
            format!("name must be a string of at most {MAX_NAME} bytes, without NUL"),
        ));
    }
    once(&app, caller, &headers).await?;
    app.edge.keys_made.take(caller.0, Instant::now())?;
    check_wallet(&app, &owner).await?;
    let key = format!("{PREFIX}{}", bs58::encode(random::<32>()?).into_string());
    let id = format!("key_{}", uuid::Uuid::new_v4().simple());
    let delegate = Keypair::new();
    let sealed = app.accounts.sealer.seal(&id, &delegate.to_bytes())?;
    let new = NewKey {
        id: &id,
        hash: hash(&key),
        owner,
        delegate: delegate.pubkey(),
        sealed: &sealed,
        name: &name,
    };
    let Some(created) = keys::insert(&app.pool, &new).await? else {
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_keys",
            format!("a wallet has at most {MAX_KEYS} keys, and revokes at most ten times as many in a month; revoke one first"),
        )
        .retry_after(60));
    };
    let kept = KeptKey {
        id,
        delegate: delegate.pubkey(),
        name,
        created,
        revoked: false,
    };
    Ok(Json(ApiKey::of(&owner, kept, Some(key))))
}

/// Lists the keys of the wallet that signs the request, newest first, without their secrets.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "keys", security(("wallet_signature" = [])),
    responses((status = 200, description = "The keys", body = ApiKeys), (status = 401, description = "invalid_signature", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    signed: SignedBody,
) -> ApiResult<Json<ApiKeys>> {
    let owner = signed.signer(purpose::KEYS)?;
    once(&app, caller, &headers).await?;
    let kept = keys::of_wallet(&app.pool, &owner).await?;
    Ok(Json(ApiKeys {
        object: "list",
        data: kept
            .into_iter()
            .map(|key| ApiKey::of(&owner, key, None))
            .collect(),
        has_more: false,
    }))
}

/// Revokes a key of the wallet that signs the request. The spend grant stays until the wallet revokes it on chain.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "keys", params(("id" = String, Path)), security(("wallet_signature" = [])),
    responses((status = 200, description = "Revoked", body = RevokedKey), (status = 401, description = "invalid_signature", body = ErrorBody),
              (status = 404, description = "key_not_found", body = ErrorBody)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    caller: Caller,
    headers: HeaderMap,
    signed: SignedBody,
) -> ApiResult<Json<RevokedKey>> {
    let owner = signed.signer(purpose::KEYS)?;
    once(&app, caller, &headers).await?;
    if !keys::revoke(&app.pool, &id, &owner).await? {
        return Err(ApiError::not_found(
            "key_not_found",
            "no such key of this wallet",
        ));
    }
    Ok(Json(RevokedKey {
        object: "api_key.deleted",
        id,
        deleted: true,
    }))
}
