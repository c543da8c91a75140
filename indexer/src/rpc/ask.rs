//! Questions to a chain's JSON-RPC: each ends in time, no answer is longer than allowed, and every error says what to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use mythic_interface::state::Key;
use reqwest::{StatusCode, Url, header::RETRY_AFTER};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::claim::{self, Answer, Block, Content, Read};
use crate::tree::Hash;

/// How many times longer all accounts of a program may take, which a validator may have to look for one by one.
const LONG: u32 = 10;
/// Longest pause that is granted when an RPC asks for one.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Most accounts that an RPC reads at once.
const ACCOUNTS: usize = 100;
/// Questions that are under way at once.
const AT_ONCE: usize = 4;
/// How often a part of a whole is asked for.
const TRIES: u32 = 6;
/// Pause before the second time, doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest part of a stranger's text in a message, characters.
const QUOTED: usize = 200;

/// A key, and what stands there.
pub(super) type Found = (Key, Option<Content>);

/// What is wrong with an RPC or its answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("RPC {at} can't be reached: {reason}; is it running, and is the URL right?")]
    Unreachable { at: String, reason: String },
    #[error(
        "RPC {at} refuses to be asked this often (HTTP {status}): raise rpc_poll_ms, or take a plan with more requests"
    )]
    Busy {
        at: String,
        status: u16,
        /// The pause that it asks for.
        after: Option<Duration>,
    },
    #[error("RPC {at} refuses {method} with HTTP {status}: {fix}")]
    Http {
        at: String,
        method: &'static str,
        status: u16,
        fix: &'static str,
    },
    #[error("RPC {at} refuses {method} (error {code}: {message}): {fix}")]
    Refused {
        at: String,
        method: &'static str,
        code: i64,
        message: String,
        fix: &'static str,
    },
    #[error("RPC {at} is behind what it answered before: {reason}")]
    Behind { at: String, reason: String },
    #[error(
        "RPC {at} answers {method} with more than rpc_max_answer_bytes = {limit}: raise it, as far as this machine has memory"
    )]
    TooLong {
        at: String,
        method: &'static str,
        limit: usize,
    },
    #[error(
        "RPC {at} shows accounts of more than rpc_max_snapshot_bytes = {limit}: raise it, as far as this machine has memory"
    )]
    TooMuch { at: String, limit: usize },
    #[error("RPC {at} answers {method} with what can't be true: {what}; ask another one")]
    Claim {
        at: String,
        method: &'static str,
        what: String,
    },
}

impl RpcError {
    /// The pause that the RPC asks for.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy { after, .. } => *after,
            _ => None,
        }
    }

    /// What kind of trouble it is, for a metric.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Busy { .. } => "busy",
            Self::Http { .. } | Self::Refused { .. } => "refused",
            Self::Behind { .. } => "behind",
            Self::TooLong { .. } => "too_long",
            Self::TooMuch { .. } => "too_much",
            Self::Claim { .. } => "claim",
        }
    }

    /// The answer would be too long: the same may be asked in parts.
    pub(super) fn is_too_long(&self) -> bool {
        match self {
            Self::TooLong { .. } => true,
            Self::Http { status, .. } => *status == 413,
            // Providers have codes of their own for it; what they refuse whole, they may give in parts.
            Self::Refused { code, .. } => !matches!(code, -32601 | -32010),
            _ => false,
        }
    }

    /// The server does not know one of the words of the question.
    fn is_of_words(&self) -> bool {
        matches!(self, Self::Refused { code: -32602, .. })
    }

    /// The block is not kept any more, or never was.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: -32001 | -32007 | -32009,
                ..
            }
        )
    }
}

/// An answer that came, and to which question.
struct Body {
    id: u64,
    bytes: Vec<u8>,
}

/// At which commitment something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Confirmed,
    Finalized,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

/// What is granted to an RPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest answer, bytes.
    pub answer: usize,
    /// Most bytes of accounts that are held at once.
    pub accounts: usize,
    /// How long a question may take, its answer's last byte included.
    pub deadline: Duration,
}

/// A chain's RPC.
#[derive(Clone, Debug)]
pub(crate) struct Rpc {
    http: reqwest::Client,
    url: Url,
    /// Scheme, host and port: the rest of a URL may be a secret.
    at: String,
    limits: Limits,
    /// Number of the newest question.
    asked: Arc<AtomicU64>,
    /// It does not compress accounts.
    plain: Arc<AtomicBool>,
}

/// Checks a URL of an RPC.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{e}: allowed is http://… or https://…"))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) => Ok(url),
        (scheme, _) => Err(format!("{scheme}:…: allowed is http://… or https://…")),
    }
}

impl Rpc {
    pub fn new(url: &str, limits: Limits) -> Result<Self, String> {
        let url = check_url(url)?;
        let http = mythic_http::client::builder()
            .read_timeout(limits.deadline * LONG)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| e.to_string())?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}"));
        Ok(Self {
            at: format!("{}://{host}{}", url.scheme(), port.unwrap_or_default()),
            http,
            url,
            limits,
            asked: Arc::default(),
            plain: Arc::default(),
        })
    }

    /// Where it is, without secrets.
    pub fn at(&self) -> &str {
        &self.at
    }

    pub async fn genesis(&self) -> Result<Hash, RpcError> {
        let method = "getGenesisHash";
        let body = self.ask(method, json!([]), self.limits.deadline).await?;
        self.read(method, &body, claim::hash)
    }

    /// Newest slot at a level.
    pub async fn slot(&self, level: Level) -> Result<u64, RpcError> {
        let method = "getSlot";
        let params = json!([{"commitment": level.name()}]);
        let body = self.ask(method, params, self.limits.deadline).await?;
        self.read(method, &body, claim::slot)
    }

    /// Confirmed blocks between two slots, both included.
    pub async fn blocks(&self, from: u64, to: u64) -> Result<Vec<u64>, RpcError> {
        let method = "getBlocks";
        let params = json!([from, to, {"commitment": "confirmed"}]);
        let body = self.ask(method, params, self.limits.deadline).await?;
        self.read(method, &body, |raw| claim::slots(raw, from, to))
    }

    /// The block of a slot, without what it touched.
    pub async fn head(&self, slot: u64, level: Level) -> Result<Block, RpcError> {
        self.block_with(slot, level, "none").await
    }

    /// The confirmed block of a slot.
    pub async fn block(&self, slot: u64) -> Result<Block, RpcError> {
        self.block_with(slot, Level::Confirmed, "accounts").await
    }

    async fn block_with(&self, slot: u64, level: Level, details: &str) -> Result<Block, RpcError> {
        let method = "getBlock";
        let params = json!([slot, {
            "commitment": level.name(), "transactionDetails": details, "rewards": false, "maxSupportedTransactionVersion": 1,
        }]);
        let body = self.ask(method, params, self.limits.deadline).await?;
        if self.answer(method, &body)?.is_none() {
            return Err(self.behind(format!("block {slot} is not there yet")));
        }
        self.read(method, &body, |raw| claim::block(raw, slot))
    }

    /// The confirmed blocks of slots, in their order.
    pub fn every_block(&self, slots: Vec<u64>) -> BoxStream<'static, Result<Block, RpcError>> {
        let one = |(rpc, slot): (Self, u64)| async move { rpc.block(slot).await };
        let asked: Vec<(Self, u64)> = slots.into_iter().map(|s| (self.clone(), s)).collect();
        stream::iter(asked).map(one).buffered(AT_ONCE).boxed()
    }

    /// Any number of accounts, each as it was in some block that is `least` or newer, in parts of one block each.
    pub fn every_account(
        &self,
        keys: &[Key],
        level: Level,
        least: u64,
    ) -> BoxStream<'static, Result<Read<Vec<Found>>, RpcError>> {
        let one =
            move |(rpc, keys): (Self, Vec<Key>)| async move { rpc.part(keys, level, least).await };
        let parts = keys.chunks(ACCOUNTS);
        let asked: Vec<(Self, Vec<Key>)> = parts.map(|p| (self.clone(), p.to_vec())).collect();
        let answers = stream::iter(asked).map(one).buffered(AT_ONCE);
        let reads = answers.map_ok(|reads| stream::iter(reads.into_iter().map(Ok::<_, RpcError>)));
        reads.try_flatten().boxed()
    }

    /// A part of them; in smaller ones where an answer would be too long: who names large accounts of others in a transaction makes
    /// no answer that can't be read.
    async fn part(
        &self,
        keys: Vec<Key>,
        level: Level,
        least: u64,
    ) -> Result<Vec<Read<Vec<Found>>>, RpcError> {
        let (mut reads, mut waiting) = (Vec::new(), vec![keys]);
        while let Some(keys) = waiting.pop() {
            let read = match patiently(|| self.accounts(&keys, level, least)).await {
                Err(RpcError::TooLong { .. } | RpcError::Http { status: 413, .. })
                    if keys.len() > 1 =>
                {
                    let (low, high) = keys.split_at(keys.len() / 2);
                    waiting.extend([high.to_vec(), low.to_vec()]);
                    continue;
                }
                answered => answered?,
            };
            reads.push(Read {
                slot: read.slot,
                value: keys.into_iter().zip(read.value).collect(),
            });
        }
        Ok(reads)
    }

    /// Up to [`ACCOUNTS`] accounts, as they were in one block that is `least` or newer.
    async fn accounts(
        &self,
        keys: &[Key],
        level: Level,
        least: u64,
    ) -> Result<Read<Vec<Option<Content>>>, RpcError> {
        let method = "getMultipleAccounts";
        let texts: Vec<String> = keys.iter().map(|k| bs58::encode(k).into_string()).collect();
        let params = |encoding: &str| json!([texts, {"commitment": level.name(), "encoding": encoding, "minContextSlot": least}]);
        let body = self
            .ask_packed(method, params, self.limits.deadline)
            .await?;
        let read = |raw| claim::accounts(raw, keys.len(), self.limits.accounts);
        self.not_before(least, self.read(method, &body, read)?)
    }

    /// Asks for compressed accounts, unless it turned out that the server has none.
    async fn ask_packed(
        &self,
        method: &'static str,
        params: impl Fn(&str) -> Value,
        deadline: Duration,
    ) -> Result<Body, RpcError> {
        if !self.plain.load(Ordering::Relaxed) {
            let packed = self.ask(method, params("base64+zstd"), deadline).await?;
            let unknown = |e: RpcError| e.is_of_words();
            if !self.answer(method, &packed).is_err_and(unknown) {
                return Ok(packed);
            }
            let plain = self.ask(method, params("base64"), deadline).await?;
            let told = self.answer(method, &plain).is_ok();
            self.plain.fetch_or(told, Ordering::Relaxed);
            return Ok(plain);
        }
        self.ask(method, params("base64"), deadline).await
    }

    /// A program's accounts at finality, as they were in one block that is `least` or newer: all, or those whose data begins
    /// with a byte; without their data if `bare`.
    pub async fn program_accounts(
        &self,
        program: &Key,
        first: Option<u8>,
        bare: bool,
        least: u64,
    ) -> Result<Read<Vec<(Key, Content)>>, RpcError> {
        let method = "getProgramAccounts";
        let mut config = json!({
            "commitment": "finalized", "withContext": true, "minContextSlot": least,
        });
        if let Some(byte) = first {
            let bytes = STANDARD.encode([byte]);
            config["filters"] =
                json!([{"memcmp": {"offset": 0, "bytes": bytes, "encoding": "base64"}}]);
        }
        if bare {
            config["dataSlice"] = json!({"offset": 0, "length": 0});
        }
        let text = bs58::encode(program).into_string();
        let params = |encoding: &str| {
            let mut config = config.clone();
            config["encoding"] = json!(encoding);
            json!([text, config])
        };
        let deadline = self.limits.deadline * LONG;
        let body = self.ask_packed(method, params, deadline).await?;
        let read = |raw| claim::program_accounts(raw, program, self.limits.accounts);
        self.not_before(least, self.read(method, &body, read)?)
    }

    /// A pool's node that lags answers from a bank that is older than what was asked for, whatever it was asked for.
    fn not_before<T>(&self, least: u64, read: Read<T>) -> Result<Read<T>, RpcError> {
        match read.slot < least {
            true => Err(self.behind(format!(
                "its state is that of slot {}, not {least}",
                read.slot
            ))),
            false => Ok(read),
        }
    }

    fn behind(&self, reason: String) -> RpcError {
        RpcError::Behind {
            at: self.at.clone(),
            reason,
        }
    }

    pub(super) fn claim(&self, method: &'static str, what: String) -> RpcError {
        RpcError::Claim {
            at: self.at.clone(),
            method,
            what: quoted(&what),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> RpcError {
        let mut reason = String::new();
        let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(cause) = next {
            reason = cause.to_string();
            next = cause.source();
        }
        if error.is_timeout() {
            reason = "no answer in time".into();
        }
        RpcError::Unreachable {
            at: self.at.clone(),
            reason,
        }
    }

    /// The body of an answer.
    async fn ask(
        &self,
        method: &'static str,
        params: Value,
        deadline: Duration,
    ) -> Result<Body, RpcError> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let question = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let sent = self.http.post(self.url.clone()).json(&question);
        let mut response = sent
            .timeout(deadline)
            .send()
            .await
            .map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            let after = response.headers().get(RETRY_AFTER);
            let seconds = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(RpcError::Busy {
                at: self.at.clone(),
                status: status.as_u16(),
                after: seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_PAUSE)),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if body.len().saturating_add(chunk.len()) > self.limits.answer {
                return Err(RpcError::TooLong {
                    at: self.at.clone(),
                    method,
                    limit: self.limits.answer,
                });
            }
            body.extend_from_slice(&chunk);
        }
        // Some servers say errors of JSON-RPC with a status of HTTP; what is in the body says more.
        match status.is_success() || serde_json::from_slice::<Answer<'_>>(&body).is_ok() {
            true => Ok(Body { id, bytes: body }),
            false => Err(RpcError::Http {
                at: self.at.clone(),
                method,
                status: status.as_u16(),
                fix: match status.as_u16() {
                    401 | 403 => "is the key in the URL right?",
                    404 | 405 => "is the path in the URL right?",
                    413 => "it does not give answers of this size",
                    300..=399 => "name the URL that it points to",
                    _ => "ask whoever runs it",
                },
            }),
        }
    }

    /// The result in a body, none if it is null.
    fn answer<'a>(
        &self,
        method: &'static str,
        body: &'a Body,
    ) -> Result<Option<&'a RawValue>, RpcError> {
        let answer: Answer<'a> =
            serde_json::from_slice(&body.bytes).map_err(|e| self.claim(method, e.to_string()))?;
        // Who could not read the question does not know its number.
        if answer.id != Some(body.id) && (answer.id.is_some() || answer.error.is_none()) {
            let what = format!("an answer to question {:?}, not {}", answer.id, body.id);
            return Err(self.claim(method, what));
        }
        let Some(fault) = answer.error else {
            return Ok(answer.result);
        };
        let at = self.at.clone();
        let message = quoted(&fault.message);
        Err(match fault.code {
            429 | -32429 => RpcError::Busy {
                at,
                status: 429,
                after: None,
            },
            // Not there yet, behind, not known yet, below the smallest slot that was asked for.
            -32004 | -32005 | -32014 | -32016 => self.behind(message),
            code => RpcError::Refused {
                at,
                method,
                code,
                message,
                fix: match code {
                    -32001 | -32007 | -32009 => "it does not keep this block",
                    -32010 => "the validator leaves the program out of its account index",
                    -32011 => "start the validator with --enable-rpc-transaction-history",
                    -32601 => "ask one that serves this method",
                    _ => "ask another one, or whoever runs it",
                },
            },
        })
    }

    fn read<'a, T>(
        &self,
        method: &'static str,
        body: &'a Body,
        read: impl FnOnce(&'a RawValue) -> claim::Claimed<T>,
    ) -> Result<T, RpcError> {
        let raw = self.answer(method, body)?;
        raw.ok_or_else(|| "nothing".to_owned().into())
            .and_then(read)
            .map_err(|wrong| match wrong {
                claim::Wrong::Claim(what) => self.claim(method, what),
                claim::Wrong::TooMuch => self.too_much(),
            })
    }

    /// There are more accounts than may be held.
    pub(super) fn too_much(&self) -> RpcError {
        RpcError::TooMuch {
            at: self.at.clone(),
            limit: self.limits.accounts,
        }
    }

    /// Most bytes of accounts that may be held.
    pub(super) fn most(&self) -> usize {
        self.limits.accounts
    }
}

/// Asks again a few times while an RPC is busy, behind or away.
pub(super) async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, RpcError>
where
    F: Future<Output = Result<T, RpcError>>,
{
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match ask().await {
            Err(
                e
                @ (RpcError::Busy { .. } | RpcError::Behind { .. } | RpcError::Unreachable { .. }),
            ) => tokio::time::sleep(e.pause().unwrap_or(pause)).await,
            answered => return answered,
        }
        pause *= 2;
    }
    ask().await
}

/// A stranger's text for a message: short, without what moves a terminal's cursor or ends a database's text.
fn quoted(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(QUOTED)
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMITS: Limits = Limits {
        answer: 1 << 20,
        accounts: 1 << 20,
        deadline: Duration::from_secs(20),
    };

    /// What `getSlot` comes to at a server that answers each question with `answer`, after its headers and a half of it at once.
    async fn asked(answer: String) -> Result<u64, RpcError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://user:password@{}/secret?key=secret",
            listener.local_addr().unwrap()
        );
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let answer = Rpc::new(&url, LIMITS).unwrap().slot(Level::Confirmed).await;
        if let Err(error) = &answer {
            let text = error.to_string();
            assert!(
                !text.contains("secret") && !text.contains("password"),
                "{text}"
            );
            assert!(!text.chars().any(char::is_control), "{text}");
        }
        answer
    }

    fn http(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn every_answer_that_is_none_says_what_to_do() {
        let error = |code: i64| {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"a\u0000b\u001b[2J"}}}}"#
            );
            http("200 OK", "", &body)
        };
        for (answer, name, words) in [
            (
                http("429 Too Many Requests", "retry-after: 7\r\n", ""),
                "busy",
                "rpc_poll_ms",
            ),
            (error(-32429), "busy", "rpc_poll_ms"),
            (
                http("403 Forbidden", "", "<html>"),
                "refused",
                "key in the URL",
            ),
            (
                http(
                    "301 Moved Permanently",
                    "location: http://127.0.0.1:1/\r\n",
                    "",
                ),
                "refused",
                "the URL that it points to",
            ),
            (error(-32601), "refused", "serves this method"),
            (error(-32011), "refused", "--enable-rpc-transaction-history"),
            (error(-32016), "behind", "behind"),
            (
                http("200 OK", "", r#"{"jsonrpc":"2.0","id":1,"result":"7"}"#),
                "claim",
                "can't be true",
            ),
            (
                http("200 OK", "", r#"{"jsonrpc":"2.0","id":2,"result":7}"#),
                "claim",
                "question Some(2), not 1",
            ),
            (
                http("200 OK", "", r#"{"jsonrpc":"2.0","result":7}"#),
                "claim",
                "question None",
            ),
            (
                http(
                    "200 OK",
                    "",
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse"}}"#,
                ),
                "refused",
                "parse",
            ),
            (
                http("200 OK", "", r#"{"jsonrpc":"2.0","id":1,"result":null}"#),
                "claim",
                "nothing",
            ),
            (http("200 OK", "", "{"), "claim", "can't be true"),
            (
                http("200 OK", "", &" ".repeat((1 << 20) + 1)),
                "too_long",
                "rpc_max_answer_bytes = 1048576",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".into(),
                "unreachable",
                "is it running",
            ),
            ("nonsense".into(), "unreachable", "is it running"),
        ] {
            let error = asked(answer.clone()).await.unwrap_err();
            assert_eq!(error.name(), name, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let busy = asked(http("429 Too Many Requests", "retry-after: 7\r\n", ""))
            .await
            .unwrap_err();
        assert_eq!(busy.pause(), Some(Duration::from_secs(7)));
        let long = asked(http(
            "503 Service Unavailable",
            "retry-after: 99999\r\n",
            "",
        ))
        .await
        .unwrap_err();
        assert_eq!(long.pause(), Some(MAX_PAUSE));
        assert_eq!(
            asked(http("200 OK", "", r#"{"jsonrpc":"2.0","id":1,"result":7}"#))
                .await
                .unwrap(),
            7
        );
        // Some say errors of JSON-RPC with a status of HTTP.
        let both = http(
            "500 Internal Server Error",
            "",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"behind"}}"#,
        );
        assert_eq!(asked(both).await.unwrap_err().name(), "behind");
    }

    /// Takes questions in every way that keeps whoever asks waiting.
    async fn tarpit(drip: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.push(tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let _ = stream.read(&mut head).await;
                    // Nothing at all, or a byte now and then, without end.
                    for byte in drip.iter().chain(std::iter::repeat(&b' ')) {
                        if drip.is_empty() {
                            std::future::pending::<()>().await;
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        if stream.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                    }
                }));
            }
        });
        url
    }

    #[tokio::test]
    async fn who_never_answers_or_byte_by_byte_is_given_up_after_the_deadline() {
        let limits = Limits {
            deadline: Duration::from_millis(700),
            ..LIMITS
        };
        for drip in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nx: ",
            b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n",
        ] {
            let rpc = Rpc::new(&tarpit(drip).await, limits).unwrap();
            let asked = tokio::time::timeout(Duration::from_secs(60), rpc.slot(Level::Confirmed));
            let error = asked.await.expect("it waits for ever").unwrap_err();
            assert_eq!(error.name(), "unreachable", "{error}");
            assert!(error.to_string().contains("no answer in time"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut_off_at_its_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let sent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(4096));
            let mut sent = 0usize;
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                sent += 4096;
            }
            sent
        });
        let rpc = Rpc::new(&url, LIMITS).unwrap();
        let error = rpc.slot(Level::Confirmed).await.unwrap_err();
        assert_eq!(error.name(), "too_long", "{error}");
        drop(rpc);
        // What the sockets hold is not read.
        assert!(sent.await.unwrap() < LIMITS.answer + (64 << 20));
    }
}
