//! API keys: who pays, proved by a wallet's signature; delegate keys, encrypted at rest.

use std::{
    collections::HashMap,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use parking_lot::Mutex;
use rand::{TryRngCore, rngs::OsRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    http::{PathParam, SignedBody},
};

/// Most keys of one wallet that are not revoked.
const MAX_KEYS: i64 = 100;
/// Beginning of every API key.
const PREFIX: &str = "mk-";

/// Who pays for a request.
#[derive(Clone)]
pub struct Account {
    /// Id of the API key; `dev` for the DEV account.
    pub key_id: String,
    /// The wallet whose vault pays.
    pub owner: Pubkey,
    /// Signs requests within its spend grant; the owner itself needs none.
    pub delegate: Arc<Keypair>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("key_id", &self.key_id)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// Fills an array from the system's random source.
pub fn random<const N: usize>() -> ApiResult<[u8; N]> {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| ApiError::internal(format!("random source: {error}")))?;
    Ok(bytes)
}

/// Encrypts delegate keys under the master key.
pub struct Sealer(ChaCha20Poly1305);

impl Sealer {
    /// Reads the master key file, or makes it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                std::fs::create_dir_all(parent)?;
            }
            let mut key = [0u8; 32];
            OsRng.try_fill_bytes(&mut key).context("random source")?;
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("writing master_key_file {}", path.display()))?;
            file.write_all(hex::encode(key).as_bytes())?;
            file.sync_all()?;
        }
        let mode = std::fs::metadata(path)
            .with_context(|| format!("reading master_key_file {}", path.display()))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            bail!(
                "master_key_file {} can be read by others; run chmod 600 on it",
                path.display()
            );
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading master_key_file {}", path.display()))?;
        let key = hex::decode(text.trim()).ok().filter(|key| key.len() == 32);
        let Some(key) = key else {
            bail!("master_key_file {} must hold 64 hex digits", path.display())
        };
        Ok(Self(ChaCha20Poly1305::new(key.as_slice().into())))
    }

    /// Encrypts a secret; `id` is bound to it.
    pub fn seal(&self, id: &str, secret: &[u8]) -> ApiResult<Vec<u8>> {
        let nonce = random::<12>()?;
        let sealed = self
            .0
            .encrypt(
                Nonce::from_slice(&nonce),
                Payload {
                    msg: secret,
                    aad: id.as_bytes(),
                },
            )
            .map_err(|_| ApiError::internal("encrypting a delegate key"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what [`Self::seal`] made for the same id.
    pub fn unseal(&self, id: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(12)?;
        self.0
            .decrypt(
                Nonce::from_slice(nonce),
                Payload {
                    msg: sealed,
                    aad: id.as_bytes(),
                },
            )
            .ok()
    }
}

/// SHA-256 of an API key: all that is stored of it.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The bearer token, if one was sent.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

/// Finds who pays. On a development network every other key, and none, means the DEV account.
pub async fn authenticate(app: &App, headers: &HeaderMap) -> ApiResult<Account> {
    match optional(app, headers).await? {
        Some(account) => Ok(account),
        None => Err(ApiError::unauthorized(if bearer(headers).is_none() {
            "no API key: send Authorization: Bearer mk-…; POST /v1/keys makes one"
        } else {
            "this API key is not known or was revoked; POST /v1/keys makes one"
        })),
    }
}

/// Like [`authenticate`], `None` for a stranger.
pub async fn optional(app: &App, headers: &HeaderMap) -> ApiResult<Option<Account>> {
    if let Some(key) = bearer(headers).filter(|key| key.starts_with(PREFIX) && key.len() <= 100) {
        let client = app.pool.get().await?;
        let row = client
            .query_opt(
                "SELECT id, owner, sealed FROM gateway.api_key WHERE hash = $1 AND revoked_at IS NULL",
                &[&hash(key).as_slice()],
            )
            .await?;
        if let Some(row) = row {
            let id: String = row.get(0);
            return account(app, id, row.get(1), row.get(2)).map(Some);
        }
    }
    Ok(app.dev.clone())
}

/// The account of a key by its id, revoked ones too: what they began must be ended.
pub async fn by_id(app: &App, id: &str) -> ApiResult<Option<Account>> {
    if id == "dev" {
        return Ok(app.dev.clone());
    }
    let client = app.pool.get().await?;
    let row = client
        .query_opt(
            "SELECT id, owner, sealed FROM gateway.api_key WHERE id = $1",
            &[&id],
        )
        .await?;
    row.map(|row| account(app, row.get(0), row.get(1), row.get(2)))
        .transpose()
}

fn account(app: &App, key_id: String, owner: Vec<u8>, sealed: Vec<u8>) -> ApiResult<Account> {
    let delegate = app
        .sealer
        .unseal(&key_id, &sealed)
        .and_then(|secret| Keypair::try_from(secret.as_slice()).ok())
        .ok_or_else(|| ApiError::internal(format!("delegate of key {key_id} can't be decrypted: is master_key_file the one it was made with?")))?;
    let owner = Pubkey::try_from(owner.as_slice())
        .map_err(|_| ApiError::internal("owner of an API key"))?;
    Ok(Account {
        key_id,
        owner,
        delegate: Arc::new(delegate),
    })
}

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
    let sealed = app.sealer.seal(&id, &delegate.to_bytes())?;
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

    fn sealer(dir: &tempfile::TempDir) -> Sealer {
        Sealer::open(&dir.path().join("master.key")).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_only_with_its_id_and_master_key() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = sealer(&one).seal("a", b"secret").unwrap();
        assert_eq!(
            sealer(&one).unseal("a", &sealed).as_deref(),
            Some(b"secret".as_slice())
        );
        assert_eq!(sealer(&one).unseal("b", &sealed), None);
        assert_eq!(sealer(&two).unseal("a", &sealed), None);
        assert_eq!(sealer(&one).unseal("a", b"short"), None);
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
    }

    #[test]
    fn a_master_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        Sealer::open(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            Sealer::open(&path)
                .err()
                .unwrap()
                .to_string()
                .contains("chmod 600")
        );
    }

    #[test]
    fn a_bearer_token_is_found() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.insert("authorization", "bearer mk-1".parse().unwrap());
        assert_eq!(bearer(&headers), Some("mk-1"));
        headers.insert("authorization", "Basic x".parse().unwrap());
        assert_eq!(bearer(&headers), None);
    }

    #[test]
    fn a_signed_request_makes_one_key() {
        let seen = Seen::default();
        let now = Instant::now();
        assert!(seen.first(b"s", now));
        assert!(!seen.first(b"s", now + Duration::from_secs(60)));
    }
}
