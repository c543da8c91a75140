//! The routes of API keys: a wallet makes, lists and revokes its own, by signed requests.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    accounts::{PREFIX, hash, random},
    app::App,
    error::{ApiError, ApiResult},
    http::{PathParam, SignedBody},
};

/// Most keys of one wallet that are not revoked.
const MAX_KEYS: i64 = 100;
/// Signatures seen lately: a request that makes a key works once.
#[derive(Default)]
pub struct Seen(Mutex<HashMap<[u8; 32], Instant>>);

impl Seen {
    /// True the first time within the life of a signature.
    pub fn first(&self, what: &[u8], now: Instant) -> bool {
        let life = Duration::from_secs(2 * mythic_wire::SIGNATURE_SECONDS + 5);
        let mut seen = self.0.lock();
        seen.retain(|_, at| now.duration_since(*at) < life);
        seen.insert(Sha256::digest(what).into(), now).is_none()
    }
}

fn describe(
    id: &str,
    owner: &Pubkey,
    delegate: &Pubkey,
    name: &str,
    created: i64,
    revoked: bool,
) -> Value {
    json!({
        "object": "api_key",
        "id": id,
        "wallet": owner.to_string(),
        "delegate": delegate.to_string(),
        "vault": mythic_client::pda::vault(owner).to_string(),
        "grant": mythic_client::pda::grant(owner, delegate).to_string(),
        "name": name,
        "created": created,
        "revoked": revoked,
    })
}

/// Makes an API key for the wallet that signs the request. The key is shown this once.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body(content = Object, description = "{name?}"),
    responses((status = 200, description = "The key, and the delegate that needs a spend grant from the wallet's vault"),
              (status = 401, description = "Not signed by a wallet")))]
pub async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    signed: SignedBody,
) -> ApiResult<Json<Value>> {
    let body: Value = if signed.body.is_empty() {
        json!({})
    } else {
        serde_json::from_slice(&signed.body).map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body is not valid JSON: {error}"),
            )
        })?
    };
    let name = match body.get("name") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(name)) if name.len() <= 100 && !name.contains('\0') => name.clone(),
        Some(_) => {
            return Err(ApiError::invalid(
                "name",
                "name must be a string of at most 100 bytes",
            ));
        }
    };
    let signature = headers
        .get(mythic_wire::HEADER_SIGNATURE)
        .map(|v| v.as_bytes().to_vec())
        .unwrap_or_default();
    if !app.seen.first(&signature, Instant::now()) {
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_signature",
            "this signed request was used already; sign a new one",
        ));
    }
    let key = format!("{PREFIX}{}", bs58::encode(random::<32>()?).into_string());
    let id = format!("key_{}", uuid::Uuid::new_v4().simple());
    let delegate = Keypair::new();
    let sealed = app.accounts.sealer.seal(&id, &delegate.to_bytes())?;
    let client = app.pool.get().await?;
    let row = client
        .query_opt(
            "INSERT INTO gateway.api_key (id, hash, owner, delegate, sealed, name)
             SELECT $1, $2, $3, $4, $5, $6
              WHERE (SELECT count(*) FROM gateway.api_key WHERE owner = $3 AND revoked_at IS NULL) < $7
             RETURNING extract(epoch FROM created_at)::bigint",
            &[
                &id,
                &hash(&key).as_slice(),
                &signed.signer.as_ref(),
                &delegate.pubkey().as_ref(),
                &sealed,
                &name,
                &MAX_KEYS,
            ],
        )
        .await?;
    let Some(row) = row else {
        return Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_keys",
            format!("a wallet has at most {MAX_KEYS} keys; revoke one first"),
        )
        .retry_after(60));
    };
    let mut out = describe(
        &id,
        &signed.signer,
        &delegate.pubkey(),
        &name,
        row.get(0),
        false,
    );
    out["key"] = json!(key);
    Ok(Json(out))
}

/// Lists the keys of the wallet that signs the request, newest first, without their secrets.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, description = "A list")))]
pub async fn list(State(app): State<Arc<App>>, signed: SignedBody) -> ApiResult<Json<Value>> {
    let client = app.pool.get().await?;
    let rows = client
        .query(
            "SELECT id, delegate, name, extract(epoch FROM created_at)::bigint, revoked_at IS NOT NULL
               FROM gateway.api_key WHERE owner = $1 ORDER BY created_at DESC LIMIT 1000",
            &[&signed.signer.as_ref()],
        )
        .await?;
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        let delegate: Vec<u8> = row.get(1);
        let delegate = Pubkey::try_from(delegate.as_slice())
            .map_err(|_| ApiError::internal("delegate of an API key"))?;
        let (id, name): (String, String) = (row.get(0), row.get(2));
        data.push(describe(
            &id,
            &signed.signer,
            &delegate,
            &name,
            row.get(3),
            row.get(4),
        ));
    }
    Ok(Json(
        json!({"object": "list", "data": data, "has_more": false}),
    ))
}

/// Revokes a key of the wallet that signs the request. The spend grant stays until the wallet revokes it on chain.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 200, description = "Revoked"), (status = 404, description = "No such key of this wallet")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    PathParam(id): PathParam,
    signed: SignedBody,
) -> ApiResult<Json<Value>> {
    let client = app.pool.get().await?;
    let changed = client
        .execute(
            "UPDATE gateway.api_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 AND owner = $2",
            &[&id, &signed.signer.as_ref()],
        )
        .await?;
    if changed == 0 {
        return Err(ApiError::not_found(
            "key_not_found",
            "no such key of this wallet",
        ));
    }
    Ok(Json(
        json!({"object": "api_key.deleted", "id": id, "deleted": true}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_makes_one_key() {
        let seen = Seen::default();
        let now = Instant::now();
        assert!(seen.first(b"s", now));
        assert!(!seen.first(b"s", now + Duration::from_secs(60)));
    }
}
