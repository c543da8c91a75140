//! Who pays: API keys and their delegates, whose secrets are encrypted at rest.

use std::{
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail};
use axum::http::{HeaderMap, header};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use mythic_support::check::{credentials, is_private};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;

use crate::{
    error::{ApiError, ApiResult},
    store::{
        Pool,
        keys::{self, SealedKey},
    },
};

/// Beginning of every API key.
pub const PREFIX: &str = "mk-";

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
        if !is_private(path, mode, credentials().as_deref()) {
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

/// Who pays stands in the request's lines of the log.
fn note(account: Option<&Account>) {
    if let Some(account) = account {
        tracing::Span::current().record("key", account.key_id.as_str());
    }
}

/// Who may pay: the keys of the table and, on a development network, the DEV account.
pub struct Accounts {
    pub pool: Pool,
    /// Encrypts delegate keys.
    pub sealer: Sealer,
    /// Who pays for strangers on a development network.
    pub dev: Option<Account>,
    /// The key that pages of this machine have to send for it.
    pub dev_key: Option<String>,
}

impl Accounts {
    /// Finds who pays.
    pub async fn authenticate(&self, headers: &HeaderMap) -> ApiResult<Account> {
        match self.optional(headers).await? {
            Some(account) => Ok(account),
            None => Err(ApiError::unauthorized(match bearer(headers) {
                None if self.dev.is_some() => {
                    "no API key: a page sends the one that `mythic dev` printed as Authorization: Bearer …"
                }
                None => "no API key: send Authorization: Bearer mk-…; POST /v1/keys makes one",
                Some(key) if self.dev.is_some() && !key.starts_with(PREFIX) => {
                    "this is not the key that `mythic dev` printed, which a page has to send"
                }
                Some(_) => "this API key is not known or was revoked; POST /v1/keys makes one",
            })),
        }
    }

    /// Like [`Self::authenticate`], `None` for a stranger. A key of a wallet pays for itself or not at all; on a development network
    /// everything else from this machine means the DEV account, and a page has to show its key.
    pub async fn optional(&self, headers: &HeaderMap) -> ApiResult<Option<Account>> {
        let token = bearer(headers);
        let Some(key) = token.filter(|token| token.starts_with(PREFIX)) else {
            let account = self.development(token, headers.contains_key(header::ORIGIN));
            note(account.as_ref());
            return Ok(account);
        };
        if key.len() > 100 {
            return Ok(None);
        }
        let client = self.pool.get().await?;
        let found = keys::by_hash(&client, &hash(key)).await?;
        let account = found.map(|found| self.account(found)).transpose()?;
        if let Some(account) = &account {
            keys::used(&client, &account.key_id).await?;
        }
        note(account.as_ref());
        Ok(account)
    }

    fn development(&self, token: Option<&str>, page: bool) -> Option<Account> {
        use subtle::ConstantTimeEq;
        let shown = match (token, &self.dev_key) {
            (Some(token), Some(key)) => bool::from(token.as_bytes().ct_eq(key.as_bytes())),
            _ => false,
        };
        self.dev.clone().filter(|_| shown || !page)
    }

    /// The account of a key by its id, revoked ones too: what they began must be ended.
    pub async fn by_id(&self, id: &str) -> ApiResult<Option<Account>> {
        if id == "dev" {
            return Ok(self.dev.clone());
        }
        let client = self.pool.get().await?;
        let found = keys::by_id(&client, id).await?;
        found.map(|found| self.account(found)).transpose()
    }

    fn account(&self, found: SealedKey) -> ApiResult<Account> {
        let SealedKey { id, owner, sealed } = found;
        let delegate = self
            .sealer
            .unseal(&id, &sealed)
            .and_then(|secret| Keypair::try_from(secret.as_slice()).ok())
            .ok_or_else(|| ApiError::internal(format!("delegate of key {id} can't be decrypted: is master_key_file the one it was made with?")))?;
        let owner = Pubkey::try_from(owner.as_slice())
            .map_err(|_| ApiError::internal("owner of an API key"))?;
        Ok(Account {
            key_id: id,
            owner,
            delegate: Arc::new(delegate),
        })
    }
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
}
