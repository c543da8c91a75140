//! A gateway and a chain that do what a test says, a bot on a runtime of its own, and a wallet.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytemuck::Zeroable as _;
use futures::StreamExt as _;
use mythic_bot::BotConfig;
use mythic_e2e::telegram::{Fuse, TOKEN, Telegram};
use mythic_interface::{
    AI_PRECOMPILES_ID,
    state::{Job, JobStatus, VERSION},
};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer as _;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Length of a slot of the scripted chain.
const SLOT: Duration = Duration::from_millis(40);
/// Rent of every account of the scripted chain.
const RENT: u64 = 1_000;
/// Time between two pieces of an answer.
const TOKENS: Duration = Duration::from_millis(100);
/// Lamports that a question costs, and costs at most.
pub const COST: u64 = 20;
pub const CEILING: u64 = 30;

/// What the gateway does about a paid request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// It answers.
    Answers,
    /// It says that nobody takes it; no job comes of it.
    NobodyTakesIt,
    /// It breaks off the first time, and answers the next.
    BreaksOffOnce,
    /// It says that the validator failed in the middle of its job.
    Fails,
    /// It says so of the first request and answers the next one.
    FirstIsNotTaken,
}

pub struct Script {
    pub answer: String,
    pub manner: Manner,
    /// What a question costs at most.
    pub ceiling: u64,
    /// Number of the program's error with which the chain refuses.
    pub refusal: Option<u32>,
    /// Status of jobs.
    pub status: &'static str,
    /// Status of every job's account on chain; `None` where there is none.
    pub on_chain: Option<JobStatus>,
    /// Paid requests: key, then body.
    pub paid: HashMap<String, Vec<u8>>,
    /// Calls of the paid route, and the keys under which they came.
    pub calls: u32,
    pub keys: HashSet<String>,
    pub estimates: u32,
    /// The gateway answers nothing but 502.
    pub is_away: bool,
    /// The chain's node answers nothing but 503.
    pub is_chain_away: bool,
    /// Calls that came while gateway or node were away.
    pub turned_away: u32,
    /// Lamports of every address.
    pub fuel: u64,
    /// Transactions that were sent to the chain.
    pub sent: u32,
}

#[derive(Clone)]
pub struct World {
    pub telegram: Telegram,
    pub fuse: Arc<Fuse>,
    pub url: String,
    script: Arc<Mutex<Script>>,
    started: Instant,
    dir: Arc<tempfile::TempDir>,
    pub page: SocketAddr,
}

fn key(n: u8) -> String {
    Pubkey::new_from_array([n; 32]).to_string()
}

impl World {
    pub async fn start() -> Self {
        let fuse = Arc::new(Fuse::default());
        let telegram = Telegram::start(fuse.clone()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // The page's port is free until the bot takes it.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let world = Self {
            telegram,
            fuse,
            url: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::new(Mutex::new(Script {
                answer: "Because **blue** light is scattered most.".into(),
                manner: Manner::Answers,
                ceiling: CEILING,
                refusal: None,
                status: "settled",
                on_chain: None,
                paid: HashMap::new(),
                calls: 0,
                keys: HashSet::new(),
                estimates: 0,
                is_away: false,
                is_chain_away: false,
                turned_away: 0,
                fuel: 1_000_000_000,
                sent: 0,
            })),
            started: Instant::now(),
            dir: Arc::new(tempfile::tempdir().unwrap()),
            page: free.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/v1/estimate", post(estimate))
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/jobs/{job}", get(job))
            .route("/rpc", post(rpc))
            .layer(middleware::from_fn_with_state(world.clone(), away))
            .with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        world
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> u64 {
        1_000 + u64::try_from(self.started.elapsed().as_millis() / SLOT.as_millis()).unwrap()
    }

    /// A configuration of the bot in this world.
    pub fn config(&self) -> BotConfig {
        use std::os::unix::fs::PermissionsExt as _;
        let token_file: PathBuf = self.dir.path().join("token");
        std::fs::write(&token_file, TOKEN).unwrap();
        std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        BotConfig {
            token_file,
            api_url: self.telegram.url.clone(),
            gateway_url: self.url.clone(),
            rpc_url: format!("{}/rpc", self.url),
            ws_url: "ws://127.0.0.1:1".into(),
            database: self.dir.path().join("bot.sqlite").display().to_string(),
            secret_file: self.dir.path().join("secret"),
            listen: self.page,
            public_url: format!("http://{}", self.page),
            asks_per_user: 5,
            metrics_addr: None,
            ..BotConfig::default()
        }
    }

    /// A message of the bot's page address in a private chat, and the secret in it.
    async fn address(&self, user: i64) -> String {
        let shown = self.telegram.says(user, "/link/").await.unwrap();
        let at = shown.text.rfind("/link/").unwrap();
        let secret: String = shown.text[at + 6..]
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .collect();
        // What was read is not read again.
        self.telegram.delete(shown.id);
        format!("http://{}/link/{secret}", self.page)
    }

    /// Asks for a page, as somebody who writes `/link`.
    pub async fn open_page(&self, user: i64) -> String {
        self.telegram.write(user, user, "/link");
        self.address(user).await
    }

    /// Links a wallet to somebody, as the page does.
    pub async fn link(&self, user: i64, wallet: &Keypair) -> String {
        let page = self.open_page(user).await;
        let (status, told) = self.sign_in(&page, wallet).await;
        assert_eq!(status, 200, "{told}");
        self.confirm(user, 0).await;
        self.telegram
            .says(user, "A wallet was linked")
            .await
            .unwrap();
        page
    }

    /// Somebody says whether the wallet that signed is theirs: the first button says yes. The message that asked.
    pub async fn confirm(&self, user: i64, button: usize) -> i64 {
        let asked = self
            .telegram
            .says(user, "Is this your wallet?")
            .await
            .unwrap();
        self.telegram.tap(user, &asked, &asked.buttons[button]);
        asked.id
    }

    /// What the page would show.
    pub async fn state(&self, page: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{page}/state")).await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Asks for a challenge and signs it.
    pub async fn sign_in(&self, page: &str, wallet: &Keypair) -> (u16, Value) {
        let asked = json!({"wallet": wallet.pubkey().to_string()});
        let (status, told) = self.post(&format!("{page}/challenge"), &asked).await;
        if status != 200 {
            return (status, told);
        }
        let message = told["message"].as_str().unwrap();
        let signature = wallet.sign_message(message.as_bytes());
        let proof = json!({"signature": STANDARD.encode(signature.as_ref())});
        self.post(&format!("{page}/proof"), &proof).await
    }

    pub async fn post(&self, url: &str, body: &Value) -> (u16, Value) {
        let answer = reqwest::Client::new()
            .post(url)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }
}

/// A bot that can be killed at any await.
pub struct Bot {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Bot {
    pub fn start(config: BotConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let ended = runtime.spawn(mythic_bot::run(config, stop.clone()));
        Self {
            runtime: Some(runtime),
            stop,
            ended,
        }
    }

    /// Drops all that it is doing, where it is.
    pub async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        let killed =
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(20)));
        killed.await.unwrap();
    }

    /// Asks it to stop, and waits for it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut self.ended);
        ended.await.expect("it stops").unwrap().unwrap();
        self.kill().await;
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What stands before gateway and node while they are away.
async fn away(State(world): State<World>, request: Request, next: Next) -> Response {
    let refused = {
        let mut script = world.script();
        let (status, is_away) = match request.uri().path() {
            "/rpc" => (StatusCode::SERVICE_UNAVAILABLE, script.is_chain_away),
            _ => (StatusCode::BAD_GATEWAY, script.is_away),
        };
        script.turned_away += u32::from(is_away);
        is_away.then_some(status)
    };
    match refused {
        Some(status) => (status, "a proxy's page").into_response(),
        None => next.run(request).await,
    }
}

async fn estimate(State(world): State<World>, Json(body): Json<Value>) -> Response {
    let answer = {
        let mut script = world.script();
        script.estimates += 1;
        // All of it is paid for writing, at a lamport a token.
        let tokens = script.ceiling;
        assert!(body["messages"][0]["content"].is_string(), "{body}");
        json!({
            "object": "estimate", "model": "tiny", "prompt_tokens": 0, "max_output_tokens": tokens,
            "expected_output_tokens": null, "estimated_cost_lamports": COST, "ceiling_cost_lamports": script.ceiling,
            "price_in_lamports_per_1k": 1_000, "price_out_lamports_per_1k": 1_000,
            "terms": {
                "model": key(1), "canceller": key(2), "salt": "00".repeat(16), "prompt_hash": "01".repeat(32),
                "sampling_profile": 1, "options_hash": "00".repeat(32), "temperature_milli": 1_000, "prompt_source": world.url,
                "deadline_slots": 300, "rules_hash": "02".repeat(32), "validator": key(3), "operator": key(4)
            }
        })
    };
    unheard(&world).await;
    Json(answer).into_response()
}

async fn unheard(world: &World) {
    if world.fuse.burn() {
        std::future::pending::<()>().await;
    }
}

async fn models() -> Json<Value> {
    Json(json!({"object": "list", "data": [
        {"id": "tiny", "object": "model", "is_default": true, "price_in_lamports_per_1k": 1_000, "price_out_lamports_per_1k": 1_000, "validators": 2},
        {"id": "large", "object": "model", "is_default": false, "price_in_lamports_per_1k": null, "price_out_lamports_per_1k": null, "validators": null}
    ]}))
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (
        status,
        Json(json!({"error": {"message": message, "type": "x", "param": null, "code": code}})),
    )
        .into_response()
}

/// The paid route: one answer for each key, and one body for each key.
async fn chat(State(world): State<World>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let (answer, breaks) = {
        let mut script = world.script();
        script.calls += 1;
        script.keys.insert(key.clone());
        let is_first = key.ends_with("-0");
        if script.manner == Manner::NobodyTakesIt
            || (script.manner == Manner::FirstIsNotTaken && is_first)
        {
            return error(503, "no_validator", "every validator of this model is busy");
        }
        if script.manner == Manner::Fails {
            let told = json!({"error": {"message": "the validator broke off", "code": "validator_failed", "job_id": self::key(8)}});
            return (StatusCode::BAD_GATEWAY, Json(told)).into_response();
        }
        if let Some(first) = script.paid.get(&key) {
            if *first != body {
                return error(422, "idempotency_key_reused", "another body");
            }
        } else {
            script.paid.insert(key, body.to_vec());
        }
        let breaks = script.manner == Manner::BreaksOffOnce && script.calls == 1;
        (script.answer.clone(), breaks)
    };
    unheard(&world).await;
    let half = answer.chars().count() / 2;
    let (first, second): (String, String) = (
        answer.chars().take(half).collect(),
        answer.chars().skip(half).collect(),
    );
    let text =
        |text: String| json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string();
    let mut events = vec![text(first)];
    if !breaks {
        let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            "mythic": {"job": null, "validator": self::key(3), "cost_lamports": COST, "receipt": null}});
        events.extend([text(second), end.to_string(), "[DONE]".to_owned()]);
    }
    let events = futures::stream::iter(events).then(|data| async move {
        tokio::time::sleep(TOKENS).await;
        Ok::<String, std::convert::Infallible>(format!("data: {data}\n\n"))
    });
    let kind = [("content-type", "text/event-stream")];
    (kind, Body::from_stream(events)).into_response()
}

async fn job(State(world): State<World>, Path(_job): Path<String>) -> Response {
    let (status, is_known) = {
        let script = world.script();
        (script.status, !script.paid.is_empty())
    };
    unheard(&world).await;
    if !is_known {
        return error(404, "job_not_found", "no such job");
    }
    Json(json!({
        "id": "J", "status": status, "fee_lamports": COST, "refunded_lamports": CEILING - COST, "validator_lamports": 10,
        "burned_lamports": 8, "output_tokens": 3, "window_end_slot": 1_000_000, "validator": key(3)
    }))
    .into_response()
}

/// A job's account as an RPC node gives it.
fn account(status: JobStatus) -> Value {
    let mut job = Job::zeroed();
    job.header.discriminator = Job::DISCRIMINATOR;
    job.header.version = VERSION;
    job.header.status = status as u8;
    json!({
        "lamports": 1, "owner": Pubkey::new_from_array(AI_PRECOMPILES_ID).to_string(), "executable": false, "rentEpoch": 0,
        "space": Job::LEN, "data": [STANDARD.encode(bytemuck::bytes_of(&job)), "base64"],
    })
}

/// What the bot asks a chain.
async fn rpc(State(world): State<World>, Json(body): Json<Value>) -> Response {
    let slot = world.slot();
    let context =
        |value: Value| json!({"context": {"slot": slot, "apiVersion": "4.2.2"}, "value": value});
    let result = match body["method"].as_str().unwrap_or_default() {
        "getSlot" | "getBlockHeight" => json!(slot),
        "getLatestBlockhash" => {
            context(json!({"blockhash": key(9), "lastValidBlockHeight": slot + 150}))
        }
        "getMultipleAccounts" => {
            let asked = body["params"][0].as_array().map_or(0, Vec::len);
            context(Value::Array(vec![Value::Null; asked]))
        }
        "getAccountInfo" => context(world.script().on_chain.map_or(Value::Null, account)),
        "getBalance" => context(json!(world.script().fuel)),
        "getMinimumBalanceForRentExemption" => json!(RENT),
        "simulateTransaction" => {
            let refusal = world.script().refusal;
            let error = refusal.map(|code| json!({"InstructionError": [0, {"Custom": code}]}));
            context(json!({"err": error, "logs": [], "accounts": null, "unitsConsumed": 1}))
        }
        "sendTransaction" => {
            world.script().sent += 1;
            json!("1".repeat(64))
        }
        "getSignatureStatuses" => context(
            json!([{"slot": slot, "confirmations": null, "err": null, "status": {"Ok": null}, "confirmationStatus": "finalized"}]),
        ),
        _ => json!(null),
    };
    unheard(&world).await;
    Json(json!({"jsonrpc": "2.0", "id": body["id"], "result": result})).into_response()
}
