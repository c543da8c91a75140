//! What the bot serves: the page on which a wallet signs in and allows the bot's delegate to spend, and the webhook.
//!
//! An address of the page holds a secret that is kept as a hash, is for one Telegram account, and ends. The wallet signs a challenge that names
//! this page's domain, that account, a nonce and an end; it is good once. Then the account is asked in its chat whether the wallet is its own:
//! before it says so nothing is linked, and the page builds nothing. Whatever costs something is a transaction that the wallet shows and
//! signs: the page builds it, and hands it to the chain.

use std::{sync::Arc, time::Duration, time::Instant};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mythic_client::ClientError;
use mythic_wire::allowance::Allowance;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer as _;
use solana_transaction::versioned::VersionedTransaction;
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;

use crate::{
    clock,
    parts::Parts,
    purse::{Allow, Payer, refusal},
    store::{LinkState, PageLink, StoreError},
    telegram::{Address, Keyboard},
    text::{Text, money},
    words,
};

/// Most bytes of what the page sends, and of an update.
const PAGE_BODY: usize = 16 << 10;
const UPDATE_BODY: usize = 1 << 20;
/// Longest transaction of the chain, bytes.
const TRANSACTION: usize = 1_232;
/// How long a challenge is good, and how long the account has to confirm the wallet, seconds.
const CHALLENGE_LIFE: i64 = 300;
const CONFIRM_LIFE: i64 = 600;
/// What one address of the page may ask for at once, and how soon again.
const ASKED: (u32, Duration) = (60, Duration::from_secs(1));
/// Addresses whose questions are counted at a time.
const ADDRESSES: usize = 10_000;
/// The header in which Telegram repeats the webhook's secret.
const SECRET: &str = "x-telegram-bot-api-secret-token";
/// Where Telegram sends updates.
pub const WEBHOOK: &str = "/telegram";

/// What the page may do: show itself, run its own script, ask this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// What the server is made of.
#[derive(Debug)]
pub struct Web {
    pub parts: Arc<Parts>,
    /// Told that updates came.
    pub inbox: Arc<Notify>,
    /// What Telegram sends along with updates; `None` where it is asked for them.
    pub secret: Option<String>,
    asked: Allowance<String>,
}

impl Web {
    /// A server of these parts.
    pub fn new(parts: Arc<Parts>, inbox: Arc<Notify>, secret: Option<String>) -> Self {
        Self {
            parts,
            inbox,
            secret,
            asked: Allowance::new(ASKED.0, ASKED.1, ADDRESSES),
        }
    }
}

/// Why a question of the page is refused.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the wallet page");
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "The bot's database is away. Try again shortly.".into(),
        )
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        let status = match error.is_transient() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self(status, refusal(&error))
    }
}

fn bad(words: &str) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, words.into())
}

/// The router of everything that is served.
pub fn router(web: Arc<Web>) -> Router {
    Router::new()
        .route("/link/{token}", get(page))
        .route("/link/{token}/state", get(state))
        .route("/link/{token}/challenge", post(challenge))
        .route("/link/{token}/proof", post(proof))
        .route("/link/{token}/transaction", post(transaction))
        .route("/link/{token}/send", post(send))
        .layer(DefaultBodyLimit::max(PAGE_BODY))
        .route(WEBHOOK, post(webhook))
        .route("/static/link.js", get(script))
        .route("/static/link.css", get(style))
        .route("/livez", get(|| async { "alive" }))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "There is nothing here.".into()) })
        .layer(middleware::from_fn(closed))
        .with_state(web)
}

/// No address of the page is told to others, kept, or shown inside another page.
async fn closed(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page() -> Html<&'static str> {
    Html(include_str!("../static/link.html"))
}

async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("../static/link.js"))
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("../static/link.css"))
}

/// The address behind a token, if it is one and asks no more than it may.
async fn found(web: &Web, token: &str) -> Result<(String, PageLink), Refusal> {
    let unknown = || {
        let words =
            "This address of the page has ended or never was. Write /link to the bot again.";
        Refusal(StatusCode::NOT_FOUND, words.into())
    };
    if token.len() != 64 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let hash = hex::encode(Sha256::digest(token));
    let link = web.parts.store.link(&hash).await?.ok_or_else(unknown)?;
    if !web.asked.take(&hash, Instant::now()) {
        let words = "That was too much at once. Wait a moment.";
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, words.into()));
    }
    Ok((hash, link))
}

/// Who pays for an address whose wallet has signed.
async fn payer(web: &Web, link: &PageLink) -> Result<Payer, Refusal> {
    let person = web.parts.store.person(link.user).await?;
    let payer = web.parts.purse.payer(link.user, &person);
    payer
        .filter(|payer| {
            link.state == LinkState::Signed
                && link.wallet.as_deref() == Some(payer.owner.to_string().as_str())
        })
        .ok_or_else(|| {
            let words = "Sign in with the wallet first.";
            Refusal(StatusCode::FORBIDDEN, words.into())
        })
}

/// What the page shows.
#[derive(Serialize)]
struct Shown {
    bot: String,
    account: String,
    account_id: i64,
    chain: String,
    expires: i64,
    /// The wallet that signed in, and that its account still has to confirm.
    unconfirmed: Option<String>,
    /// The wallet that is linked.
    wallet: Option<String>,
    delegate: Option<String>,
    funds: Option<Value>,
}

async fn state(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
) -> Result<Json<Shown>, Refusal> {
    let (_, link) = found(&web, &token).await?;
    let parts = &web.parts;
    let mut shown = Shown {
        bot: parts.me.name.clone(),
        account: link.name.clone(),
        account_id: link.user,
        chain: parts.config.chain.clone(),
        expires: link.expires,
        unconfirmed: None,
        wallet: None,
        delegate: None,
        funds: None,
    };
    if link.state == LinkState::Proved {
        shown.unconfirmed = link.wallet.clone();
    }
    if link.state == LinkState::Signed {
        let payer = payer(&web, &link).await?;
        let funds = parts.purse.funds(&payer).await?;
        let text = |lamports: u64| lamports.to_string();
        let grant = funds.grant.filter(|_| funds.is_granted()).map(|grant| {
            json!({
                "per_job": text(grant.per_job_max.get()),
                "per_day": text(grant.window_max.get()),
                "in_all": text(grant.lifetime_cap.get()),
                "spent": text(grant.lifetime_spent.get()),
            })
        });
        shown.wallet = Some(payer.owner.to_string());
        shown.delegate = Some(payer.delegate.pubkey().to_string());
        shown.funds = Some(json!({
            "slot": funds.slot,
            "vault": funds.vault.map(|vault| text(vault.balance.get())),
            "fuel": text(funds.fuel),
            "grant": grant,
        }));
    }
    Ok(Json(shown))
}

/// What a wallet is asked to sign.
fn message(
    parts: &Parts,
    link: &PageLink,
    wallet: &Pubkey,
    (now, until): (i64, i64),
    nonce: &str,
) -> String {
    let origin = parts.config.public_url.trim_end_matches('/');
    let domain = origin.split_once("://").map_or(origin, |(_, host)| host);
    // Without the marks that keep a name's direction to itself: wallets may take a text with unseen characters for none that can be read.
    let name = link.name.replace(['\u{2068}', '\u{2069}'], "");
    format!(
        "{domain} wants you to sign in with your Solana account:\n{wallet}\n\n\
         Link this wallet to the Telegram account {name} (number {}) in the bot @{}. Sign only if that account is yours.\n\n\
         URI: {origin}\nVersion: 1\nChain ID: {}\nNonce: {nonce}\nIssued At: {}\nExpiration Time: {}",
        link.user,
        parts.me.name,
        parts.config.chain,
        clock::written(now),
        clock::written(until)
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskChallenge {
    wallet: String,
}

async fn challenge(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    Json(body): Json<AskChallenge>,
) -> Result<Json<Value>, Refusal> {
    let (hash, link) = found(&web, &token).await?;
    let wallet: Pubkey = body
        .wallet
        .parse()
        .map_err(|_| bad("That is no wallet's address."))?;
    if !wallet.is_on_curve() {
        return Err(bad("That is a program's address and no wallet's."));
    }
    let now = clock::now();
    let until = now.saturating_add(CHALLENGE_LIFE);
    let nonce = hex::encode(rand::random::<[u8; 16]>());
    let message = message(&web.parts, &link, &wallet, (now, until), &nonce);
    let store = &web.parts.store;
    if !store
        .challenge(&hash, &wallet.to_string(), &message, until)
        .await?
    {
        return Err(bad(
            "A wallet has signed in here already. Write /link to the bot for another one.",
        ));
    }
    Ok(Json(json!({"message": message})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    /// Base64.
    signature: String,
}

async fn proof(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    Json(body): Json<Proof>,
) -> Result<Json<Value>, Refusal> {
    let (hash, link) = found(&web, &token).await?;
    let (Some(wallet), Some(message)) = (&link.wallet, &link.message) else {
        return Err(bad(
            "There is no challenge to sign: ask for one first, each is good once.",
        ));
    };
    let now = clock::now();
    if link.message_expires.is_none_or(|end| now >= end) {
        return Err(bad("The challenge is too old. Connect the wallet again."));
    }
    let key: Pubkey = wallet
        .parse()
        .map_err(|_| bad("That is no wallet's address."))?;
    let bytes = STANDARD.decode(&body.signature).ok();
    let signature = bytes.and_then(|bytes| Signature::try_from(bytes).ok());
    let is_good =
        signature.is_some_and(|signature| signature.verify(key.as_array(), message.as_bytes()));
    if !is_good {
        let words = "The signature is not this wallet's of this challenge.";
        return Err(Refusal(StatusCode::UNAUTHORIZED, words.into()));
    }
    let store = &web.parts.store;
    if !store
        .proved(&hash, message, now.saturating_add(CONFIRM_LIFE))
        .await?
    {
        return Err(bad(
            "This challenge was used already. Write /link to the bot again.",
        ));
    }
    let (text, keyboard) = words::confirm(&hash, wallet);
    tell(&web.parts, &link, text, Some(keyboard));
    Ok(Json(json!({"asked": true})))
}

/// Tells the account of an address something, without anybody waiting for it.
fn tell(parts: &Arc<Parts>, link: &PageLink, text: Text, keyboard: Option<Keyboard>) {
    let (parts, chat) = (parts.clone(), link.chat);
    tokio::spawn(async move {
        let to = Address {
            chat,
            thread: None,
            reply: None,
        };
        if let Err(error) = parts.telegram.offer(&to, text, keyboard).await {
            tracing::info!(%error, "nobody can be told of a link");
        }
    });
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum AskTransaction {
    Allow(Allow),
    Revoke,
}

async fn transaction(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    Json(body): Json<AskTransaction>,
) -> Result<Json<Value>, Refusal> {
    let (_, link) = found(&web, &token).await?;
    let payer = payer(&web, &link).await?;
    let purse = &web.parts.purse;
    let transaction = match body {
        AskTransaction::Allow(allow) => {
            allow.check().map_err(bad)?;
            purse.allow(&payer, &allow).await?
        }
        AskTransaction::Revoke => {
            let person = web.parts.store.person(link.user).await?;
            let revoking = purse.revoke(link.user, &payer.owner, person.generation);
            revoking.await?.ok_or_else(|| {
                bad("The chain allows the bot nothing now: there is no leave to end.")
            })?
        }
    };
    Ok(Json(json!({"transaction": transaction})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromWallet {
    /// Base64 of what the wallet signed.
    transaction: String,
}

/// A transaction that a wallet signed and pays for.
fn signed_by(text: &str, owner: &Pubkey) -> Option<VersionedTransaction> {
    let bytes = STANDARD.decode(text).ok()?;
    if bytes.len() > TRANSACTION {
        return None;
    }
    let transaction: VersionedTransaction = bincode::deserialize(&bytes).ok()?;
    transaction.sanitize().ok()?;
    let is_its = transaction.message.static_account_keys().first() == Some(owner);
    let is_signed = transaction.verify_with_results().iter().all(|good| *good);
    (is_its && is_signed).then_some(transaction)
}

async fn send(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    Json(body): Json<FromWallet>,
) -> Result<Json<Value>, Refusal> {
    let (_, link) = found(&web, &token).await?;
    let payer = payer(&web, &link).await?;
    let transaction = signed_by(&body.transaction, &payer.owner)
        .ok_or_else(|| bad("The wallet gave something else than its signed transaction."))?;
    let purse = &web.parts.purse;
    purse.land(&transaction).await?;
    let signature = transaction.signatures.first().map(ToString::to_string);
    if let Ok(funds) = purse.funds(&payer).await {
        let said = match (&funds.grant, funds.is_granted()) {
            (Some(grant), true) => format!(
                "Your wallet allows me at most {} for one job and {} a day. Write me a question.",
                money(grant.per_job_max.get()),
                money(grant.window_max.get())
            ),
            _ => "Your wallet allows me nothing any more.".to_owned(),
        };
        tell(&web.parts, &link, Text::plain(said), None);
    }
    Ok(Json(json!({"signature": signature})))
}

/// An update from Telegram: stored, then acknowledged. Nothing is read of what comes without the secret.
async fn webhook(State(web): State<Arc<Web>>, request: Request) -> Result<StatusCode, Refusal> {
    let unknown = || Refusal(StatusCode::NOT_FOUND, "There is nothing here.".into());
    let secret = web.secret.as_deref().ok_or_else(unknown)?;
    let given = request.headers().get(SECRET);
    let given = given.map_or(b"".as_slice(), HeaderValue::as_bytes);
    if !bool::from(given.ct_eq(secret.as_bytes())) {
        return Err(unknown());
    }
    let body = axum::body::to_bytes(request.into_body(), UPDATE_BODY).await;
    let body = body.map_err(|_| bad("That is no update."))?;
    let update: Value = serde_json::from_slice(&body).map_err(|_| bad("That is no update."))?;
    web.parts.metrics.heard();
    web.parts.store.receive(&[update]).await?;
    web.inbox.notify_one();
    Ok(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use solana_keypair::Keypair;
    use solana_message::Message;
    use solana_transaction::Transaction;

    use super::*;

    fn encoded(transaction: &Transaction) -> String {
        STANDARD.encode(bincode::serialize(transaction).unwrap())
    }

    #[test]
    fn only_what_the_linked_wallet_signed_and_pays_is_sent() {
        let (wallet, other) = (Keypair::new(), Keypair::new());
        let transfer = |from: &Keypair| {
            let transfer = solana_system_interface::instruction::transfer;
            let instruction = transfer(&from.pubkey(), &Pubkey::new_from_array([9; 32]), 5);
            Transaction::new_unsigned(Message::new(&[instruction], Some(&from.pubkey())))
        };
        let mut good = transfer(&wallet);
        assert!(
            signed_by(&encoded(&good), &wallet.pubkey()).is_none(),
            "not signed"
        );
        good.sign(&[&wallet], Default::default());
        assert!(signed_by(&encoded(&good), &wallet.pubkey()).is_some());
        assert!(
            signed_by(&encoded(&good), &other.pubkey()).is_none(),
            "another wallet's"
        );
        let mut theirs = transfer(&other);
        theirs.sign(&[&other], Default::default());
        assert!(signed_by(&encoded(&theirs), &wallet.pubkey()).is_none());
        let long = "A".repeat(4_000);
        for wrong in ["", "!", "AA==", long.as_str()] {
            assert!(signed_by(wrong, &wallet.pubkey()).is_none());
        }
    }

    #[test]
    fn the_page_runs_its_own_script_alone() {
        let page = include_str!("../static/link.html");
        assert!(!page.contains("<script>") && !page.contains("style="));
        assert!(!page.contains(" onclick") && !page.contains("http"));
        let script = include_str!("../static/link.js");
        for word in ["innerHTML", "eval(", "http:", "https:", "localStorage"] {
            assert!(!script.contains(word), "{word}");
        }
    }
}
