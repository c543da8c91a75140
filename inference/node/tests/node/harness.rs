//! A chain, a gateway and a node in one process, and a user who pays.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{
        IntoResponse,
        sse::{Event, Sse},
    },
    routing::{get, put},
};
use base64::Engine as _;
use bytemuck::Zeroable;
use futures::{StreamExt, future::BoxFuture};
use mythic_client::{ChainClient, Commitment, ix, keys::write_keypair, pda, sign_partly};
use mythic_devnet::{DevnetConfig, GenesisAccount, ProgramConfig, Servers};
use mythic_engine::{Checked, EngineError, EngineStats, Finish, GenerateRequest, Sampler, Step};
use mythic_interface::{
    hash,
    ix::{RegisterModel, RequestInference, UpdateModel},
    le::{Text, U16, U32},
    params::Params,
    sampler::Sampling,
    state::{Job, KernelProfile, Model, ModelSpec, SamplingProfile},
    window,
};
use mythic_model::prompt::{Message, PromptError};
use mythic_node::{
    self as node, NodeConfig, Parts,
    keep::{journal::Journal, store::Store},
    seams::Open,
    serve::backend::{Backend, ServedModel, Steps},
    setup::{self, Keys},
};
use mythic_wire::{self as wire, Announcement, InferenceRequest, JobResult, NodeEvent, PromptBody};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

pub const SOL: u64 = 1_000_000_000;
pub const EOS: u32 = 2;
/// Longest wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A model without weights: the same tokens for the same seed, at a given pace.
pub struct Puppet {
    pub pause: Duration,
}

/// What the puppet says when it is asked for log-probabilities.
pub const LOG_SUM_EXP: f32 = 7.5;

pub fn four(position: u32) -> [(u32, i32); 4] {
    let base = 100 + position * 4;
    [
        (base, 400_000),
        (base + 1, 300_000),
        (base + 2, 200_000),
        (base + 3, 100_000),
    ]
}

impl Backend for Puppet {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        let (sender, receiver) = mpsc::channel(request.max_tokens as usize + 1);
        let pause = self.pause;
        tokio::spawn(async move {
            for position in 0..request.max_tokens {
                tokio::select! {
                    () = cancel.cancelled() => {
                        let _ = sender.send(Err(EngineError::Cancelled)).await;
                        return;
                    }
                    () = tokio::time::sleep(pause) => {}
                }
                let top4 = four(position);
                let token = match request.sampler {
                    Sampler::Verified {
                        seed,
                        temperature_milli,
                    } => Sampling {
                        seed,
                        temperature_milli,
                    }
                    .choose(position, &top4),
                    Sampler::Free { .. } => top4[0].0,
                };
                let finish = (position + 1 == request.max_tokens).then_some(Finish::Length);
                let step = Step {
                    position,
                    token,
                    top4,
                    text: format!("{token} "),
                    log_sum_exp: request.logprobs.then_some(LOG_SUM_EXP),
                    finish,
                };
                if sender.send(Ok(step)).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
    fn check<'a>(
        &'a self,
        _prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        let checked = (0..output_ids.len() as u32)
            .zip(claimed)
            .map(|(position, ids)| {
                let own = four(position);
                let logit = |id: &u32| own.iter().find(|e| e.0 == *id).map_or(-1, |e| e.1);
                Checked {
                    own,
                    at_claimed: [
                        logit(&ids[0]),
                        logit(&ids[1]),
                        logit(&ids[2]),
                        logit(&ids[3]),
                    ],
                    log_sum_exp: LOG_SUM_EXP,
                }
            });
        let checked = Ok(checked.collect());
        Box::pin(std::future::ready(checked))
    }
    fn stats(&self) -> EngineStats {
        EngineStats {
            model: "puppet".into(),
            device: "none".into(),
            threads: 1,
            active: 0,
            active_verifications: 0,
            queued: 0,
            queued_verifications: 0,
            pending_tokens: 0,
            kv_bytes_used: 0,
            kv_bytes_cached: 0,
            kv_bytes_max: 0,
            prompt_tokens_total: 0,
            cached_tokens_total: 0,
            prefix_hits_total: 0,
            output_tokens_total: 0,
            requests_total: 0,
            cancelled_total: 0,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            weights_bytes: 0,
        }
    }
    fn decode(&self, ids: &[u32]) -> String {
        ids.iter().map(|id| format!("{id} ")).collect()
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        Ok(messages
            .iter()
            .map(|m| m.content.len() as u32 + 3)
            .collect())
    }
    fn context_length(&self) -> u32 {
        1_024
    }
    fn vocab_size(&self) -> usize {
        10_000
    }
}

/// What the test's gateway was told.
#[derive(Default)]
pub struct Told {
    pub announced: Vec<(Pubkey, Announcement)>,
    pub results: Vec<(Pubkey, JobResult)>,
    pub prompts: std::collections::HashMap<String, PromptBody>,
    pub asked: Vec<Pubkey>,
}

pub struct Gateway {
    pub url: String,
    pub told: Arc<Mutex<Told>>,
    pub feed: broadcast::Sender<String>,
}

type Shared = (Arc<Mutex<Told>>, broadcast::Sender<String>);

async fn signed(
    method: Method,
    uri: &OriginalUri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Pubkey, StatusCode> {
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let origin = wire::Origin::parse(&format!("http://{}", host.unwrap_or_default()));
    let receiver = wire::signed::Receiver::new(origin.map_err(|_| StatusCode::BAD_REQUEST)?);
    let parts: Vec<&str> = uri.path().split('/').collect();
    let purpose = match parts[..] {
        ["", "v1", "prompts", hash] => format!("prompt:{hash}"),
        ["", "v1", "jobs", job, "result"] => format!("result:{job}"),
        _ => "announce".into(),
    };
    receiver
        .verify(method.as_str(), uri.path(), body, headers)
        .and_then(|signed| signed.by(&purpose))
        .map_err(|_| StatusCode::UNAUTHORIZED)
}

impl Gateway {
    pub async fn start() -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let (feed, _) = broadcast::channel(64);
        let app = Router::new()
            .route(
                "/v1/nodes/{validator}",
                put(
                    async |State((told, _)): State<Shared>,
                           uri: OriginalUri,
                           headers: HeaderMap,
                           body: Bytes| {
                        let key = signed(Method::PUT, &uri, &headers, &body).await?;
                        let announcement =
                            serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
                        told.lock().unwrap().announced.push((key, announcement));
                        Ok::<_, StatusCode>(StatusCode::NO_CONTENT)
                    },
                ),
            )
            .route(
                "/v1/jobs/{id}/result",
                put(
                    async |State((told, _)): State<Shared>,
                           uri: OriginalUri,
                           headers: HeaderMap,
                           body: Bytes| {
                        let key = signed(Method::PUT, &uri, &headers, &body).await?;
                        let result =
                            serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
                        told.lock().unwrap().results.push((key, result));
                        Ok::<_, StatusCode>(StatusCode::NO_CONTENT)
                    },
                ),
            )
            .route(
                "/v1/prompts/{hash}",
                get(
                    async |State((told, _)): State<Shared>,
                           Path(hash): Path<String>,
                           uri: OriginalUri,
                           headers: HeaderMap| {
                        let key = signed(Method::GET, &uri, &headers, &[]).await?;
                        let mut told = told.lock().unwrap();
                        told.asked.push(key);
                        told.prompts
                            .get(&hash)
                            .cloned()
                            .map(Json)
                            .ok_or(StatusCode::NOT_FOUND)
                    },
                ),
            )
            .route(
                "/v1/stream",
                get(async |State((_, feed)): State<Shared>| {
                    let events = tokio_stream::wrappers::BroadcastStream::new(feed.subscribe());
                    Sse::new(events.filter_map(async |e| e.ok()).map(|data| {
                        Ok::<_, std::convert::Infallible>(Event::default().id("1").data(data))
                    }))
                    .into_response()
                }),
            )
            .with_state((told.clone(), feed.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, told, feed }
    }
}

/// Chain and gateway with everything registered but a node.
pub struct World {
    pub dir: tempfile::TempDir,
    pub chain: ChainClient,
    pub rpc_url: String,
    pub ws_url: String,
    pub gateway: Gateway,
    pub model: Pubkey,
    pub payer: Keypair,
    pub owner: Keypair,
    pub canceller: Keypair,
    pub authority: Keypair,
    pub operator: Keypair,
    admin: Keypair,
    pub stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub fn spec() -> ModelSpec {
    let mut spec = ModelSpec::zeroed();
    spec.weights_hash = [1; 32];
    spec.tokenizer_hash = [2; 32];
    spec.chat_template_hash = [3; 32];
    spec.kernel_profile = U16::new(KernelProfile::CpuCandle as u16);
    spec.context_length = U32::new(1_024);
    spec.max_job_tokens = U32::new(1_024);
    spec.commit_slots = U16::new(100);
    spec.eos_count = 1;
    spec.eos_ids[0] = U32::new(EOS);
    spec
}

impl World {
    pub async fn start(slot_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [
            payer,
            owner,
            canceller,
            authority,
            operator,
            admin,
            foundation,
        ] = std::array::from_fn(|_| Keypair::new());
        let fund = |key: &Keypair, sol: u64| GenesisAccount {
            pubkey: key.pubkey().to_string(),
            lamports: sol * SOL,
        };
        let elf = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../programs/elf/mythic_ai_precompiles.so");
        let config = DevnetConfig {
            data_dir: dir.path().join("chain"),
            rpc_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            ws_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            slot_ms,
            programs: vec![ProgramConfig {
                id: pda::PROGRAM_ID.to_string(),
                path: elf,
                upgrade_authority: Some(admin.pubkey().to_string()),
            }],
            genesis_accounts: vec![
                fund(&payer, 100),
                fund(&owner, 100),
                fund(&canceller, 10),
                fund(&authority, 10),
                fund(&operator, 1),
                fund(&admin, 10),
                fund(&foundation, 1),
            ],
            ..DevnetConfig::default()
        };
        let servers = Servers::bind(&config).await.unwrap();
        let (rpc_url, ws_url) = (
            format!("http://{}", servers.rpc_addr()),
            format!("ws://{}", servers.ws_addr()),
        );
        let stop = CancellationToken::new();
        tokio::spawn(mythic_devnet::run_with(config, None, servers, stop.clone()));
        let chain = ChainClient::new(&rpc_url, &ws_url);
        let started = Instant::now();
        while chain.slot(Commitment::Processed).await.is_err() {
            assert!(started.elapsed() < PATIENCE, "the chain does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let args = RegisterModel {
            spec: spec(),
            name: Text::new("puppet").unwrap(),
        };
        let model = pda::model(&args.spec.identity());
        chain
            .send_and_confirm(
                &[
                    ix::initialize(
                        admin.pubkey(),
                        admin.pubkey(),
                        admin.pubkey(),
                        foundation.pubkey(),
                        &Params::dev(),
                    ),
                    ix::register_model(admin.pubkey(), admin.pubkey(), &args),
                    ix::deposit_vault(admin.pubkey(), owner.pubkey(), SOL),
                ],
                &admin.pubkey(),
                &[&admin],
                Commitment::Confirmed,
            )
            .await
            .unwrap();
        let gateway = Gateway::start().await;
        Self {
            dir,
            chain,
            rpc_url,
            ws_url,
            gateway,
            model,
            payer,
            owner,
            canceller,
            authority,
            operator,
            admin,
            stop,
        }
    }

    /// Registers the puppet under the other kernel profile and retires the first: the network's arithmetic has changed.
    pub async fn succeed_model(&self) -> Pubkey {
        let mut spec = spec();
        spec.kernel_profile = U16::new(KernelProfile::CpuWA8 as u16);
        let name = Text::new("puppet").unwrap();
        let (_, old) = self
            .chain
            .account::<Model>(&self.model)
            .await
            .unwrap()
            .unwrap();
        let retire = UpdateModel {
            price_in: old.price_in,
            price_out: old.price_out,
            name,
            retired: 1,
        };
        let admin = self.admin.pubkey();
        let register = RegisterModel { spec, name };
        let instructions = [
            ix::register_model(admin, admin, &register),
            ix::update_model(admin, self.model, &retire),
        ];
        self.chain
            .send_and_confirm(&instructions, &admin, &[&self.admin], Commitment::Confirmed)
            .await
            .unwrap();
        pda::model(&spec.identity())
    }

    pub fn config(&self) -> NodeConfig {
        let file = |name: &str, key: &Keypair| {
            let path = self.dir.path().join(name);
            if !path.exists() {
                write_keypair(&path, key).unwrap();
            }
            path
        };
        NodeConfig {
            data_dir: self.dir.path().join("node"),
            authority_keypair: Some(file("authority.json", &self.authority)),
            operator_keypair: file("operator.json", &self.operator),
            rpc_url: self.rpc_url.clone(),
            ws_url: self.ws_url.clone(),
            gateways: vec![self.gateway.url.clone()],
            endpoint: Some("http://127.0.0.1:9".into()),
            allow_loopback: true,
            max_concurrent: 4,
            min_job_lamports: Some(0),
            drain_seconds: 1,
            ..NodeConfig::default()
        }
    }

    /// Starts a node with a puppet that takes `pause` for each token, in its own runtime, so that it can be killed.
    pub fn node(&self, pause: Duration) -> Running {
        self.node_of(self.model, pause)
    }

    /// Like [`Self::node`] for another model.
    pub fn node_of(&self, model: Pubkey, pause: Duration) -> Running {
        run_node(self.config(), model, Arc::new(Puppet { pause }), 0)
    }

    /// Arguments of a request for `output` tokens, and its prompt.
    pub async fn request(&self, tag: u8, output: u32) -> (RequestInference, PromptBody) {
        let prompt = PromptBody {
            prompt_ids: vec![5, 6, 7, u32::from(tag)],
            salt: hex::encode([tag; 16]),
            stop: vec![],
        };
        let slot = self.chain.slot(Commitment::Processed).await.unwrap();
        let args = RequestInference {
            nonce: window::nonce(slot + 1_000, [tag; 8]),
            canceller: self.canceller.pubkey().to_bytes(),
            prompt_hash: hash::prompt_hash(&[tag; 16], &prompt.prompt_ids),
            prompt_tokens: U32::new(4),
            max_output_tokens: U32::new(output),
            price_in: U32::new(25_000),
            price_out: U32::new(50_000),
            user_seed: [tag; 32],
            temperature_milli: U16::new(700),
            sampling_profile: SamplingProfile::SeededTop4 as u8,
            stop_hash: [0; 32],
            prompt_source: Text::new(&self.gateway.url).unwrap(),
            deadline_slots: U32::new(1_000),
        };
        (args, prompt)
    }

    pub fn job(&self, args: &RequestInference) -> Pubkey {
        pda::job(self.owner.pubkey(), &args.nonce)
    }

    pub fn requester(&self, cosigned: bool) -> ix::Requester {
        ix::Requester {
            payer: self.payer.pubkey(),
            requester: self.owner.pubkey(),
            owner: self.owner.pubkey(),
            model: self.model,
            validator: cosigned.then(|| (self.authority.pubkey(), self.operator.pubkey())),
        }
    }

    /// What a gateway posts to the node.
    pub async fn cosigned(&self, args: &RequestInference, prompt: &PromptBody) -> InferenceRequest {
        let instruction = ix::request_inference(&self.requester(true), args);
        let blockhash = self
            .chain
            .latest_blockhash(Commitment::Finalized)
            .await
            .unwrap();
        let transaction = sign_partly(
            &[instruction],
            &self.payer.pubkey(),
            &[&self.payer, &self.owner],
            blockhash.hash,
        )
        .unwrap();
        InferenceRequest {
            transaction: base64::engine::general_purpose::STANDARD
                .encode(bincode::serialize(&transaction).unwrap()),
            job: self.job(args).to_string(),
            prompt_ids: prompt.prompt_ids.clone(),
            salt: prompt.salt.clone(),
            stop: prompt.stop.clone(),
            logprobs: false,
        }
    }

    pub async fn read(&self, job: &Pubkey, commitment: Commitment) -> Option<Job> {
        self.chain
            .account_at::<Job>(job, commitment)
            .await
            .unwrap()
            .map(|(_, job)| job)
    }

    /// Waits until the job satisfies a condition.
    pub async fn until(
        &self,
        job: &Pubkey,
        commitment: Commitment,
        what: &str,
        f: impl Fn(&Job) -> bool,
    ) -> Job {
        let started = Instant::now();
        let mut last = None;
        while started.elapsed() < PATIENCE {
            last = self.read(job, commitment).await;
            if let Some(job) = last.filter(|job| f(job)) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!(
            "job {job} is not {what}: {:?}",
            last.map(|j| (j.status(), j.end_reason))
        );
    }
}

/// Runs a node with a backend on a port of loopback (0 = any), in its own runtime, so that it can be killed.
pub fn run_node(
    config: NodeConfig,
    model: Pubkey,
    backend: Arc<dyn Backend>,
    port: u16,
) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let stop = CancellationToken::new();
    let token = stop.clone();
    let (ready, address) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let keys = Keys::load(&config).unwrap();
        let journal = Journal::open(&config.data_dir).unwrap();
        let store = Store::open(&config.data_dir).unwrap();
        let chain = ChainClient::new(&config.rpc_url, &config.ws_url);
        let network = setup::network(&chain).await.unwrap();
        let (_, account) = chain.account::<Model>(&model).await.unwrap().unwrap();
        let served = ServedModel {
            address: model,
            account: Arc::new(parking_lot::RwLock::new(account)),
            backend,
        };
        let parts = Parts {
            config,
            keys,
            journal,
            store,
            chain,
            network,
            models: vec![served],
            disclosure: std::sync::Arc::new(Open),
        };
        let node = node::assemble(parts).await.unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap();
        ready.send(listener.local_addr().unwrap()).unwrap();
        node::serve(node, listener, token).await.unwrap();
    });
    let address = address.recv_timeout(PATIENCE).expect("the node starts");
    Running {
        url: format!("http://{address}"),
        stop,
        runtime: Some(runtime),
    }
}

/// A node that runs.
pub struct Running {
    pub url: String,
    pub stop: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Running {
    /// One that somebody else runs.
    pub fn at(url: String) -> Self {
        Self {
            url,
            stop: CancellationToken::new(),
            runtime: None,
        }
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::block_in_place(|| runtime.shutdown_timeout(Duration::from_secs(2)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The events of a node's answer.
pub struct Events {
    response: reqwest::Response,
    parser: wire::sse::SseParser,
    ready: std::collections::VecDeque<NodeEvent>,
}

impl Events {
    pub async fn next(&mut self) -> Option<NodeEvent> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .expect("an event in time")
                .ok()??;
            for event in self.parser.push(&chunk).unwrap() {
                self.ready
                    .push_back(serde_json::from_str(&event.data).unwrap());
            }
        }
        self.ready.pop_front()
    }

    pub async fn all(mut self) -> Vec<NodeEvent> {
        let mut out = Vec::new();
        while let Some(event) = self.next().await {
            out.push(event);
        }
        out
    }
}

pub async fn post(node: &Running, request: &InferenceRequest) -> Result<Events, (u16, String)> {
    let response = reqwest::Client::new()
        .post(format!("{}/v1/inference", node.url))
        .json(request)
        .send()
        .await
        .unwrap();
    if response.status().is_success() {
        return Ok(Events {
            response,
            parser: wire::sse::SseParser::new(8 << 20),
            ready: Default::default(),
        });
    }
    let status = response.status().as_u16();
    let body: wire::ErrorBody = response.json().await.unwrap();
    Err((status, body.error.code.unwrap_or_default()))
}

/// The tokens that the puppet gives for a job.
pub fn expected(args: &RequestInference, job: &Pubkey) -> Vec<u32> {
    let sampling = Sampling {
        seed: hash::job_seed(job.as_array(), &args.user_seed),
        temperature_milli: args.temperature_milli.get(),
    };
    (0..args.max_output_tokens.get())
        .map(|p| sampling.choose(p, &four(p)))
        .collect()
}
