//! One validator's daemon.
//!
//! - [`NodeConfig`], [`run`]: configuration and entry
//! - [`serve`]: jobs from their admission to a final result
//! - [`verify`]: checks of others' answers, and what is owed to disputes
//! - [`keep`]: journal, evidence, claims
//! - [`http`]: the endpoints
//! - [`setup`]: keys, models, registration; [`seams`]: parts that a binary may replace
//! - [`meters`]: counters; [`gpu`]: what a driver says

pub mod config;
pub mod gpu;
pub mod http;
pub mod keep;
pub mod meters;
pub mod seams;
pub mod serve;
pub mod setup;
pub mod verify;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use mythic_client::{ChainClient, ClientError, Commitment, Filter, base_fee, pda};
use mythic_interface::{
    params::Params,
    state::{Config, Job, JobStatus, Model, Validator},
};
use parking_lot::{Mutex, RwLock};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{ModelConfig, NodeConfig};

use gpu::Gpus;
use keep::{
    journal::{self, Journal, Record},
    keeper,
    store::Store,
};
use meters::Meters;
use seams::{Disclosure, Seams};
use serve::{
    admit::{self, Decline, ModelFacts, Situation},
    backend::{Former, ServedModel},
    feed,
    fsm::{Event, Exit, Origin},
    submit::Submitter,
    task::{JobTask, Msg, Start},
};
use setup::Keys;
use verify::{duties, results};

use mythic_wire::{ANNOUNCE_SECONDS, Announcement, OfferedModel};

/// How often the accounts of jobs in care are read, beside their subscriptions, which a fork may leave silent.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the chain is searched for open jobs that the feed did not tell of.
const SCAN_EVERY: Duration = Duration::from_secs(20);
/// How often config and models are read again.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Longest wait before an open job is taken; spreads validators.
const TAKE_SPREAD_MS: u64 = 250;

struct Handle {
    inbox: mpsc::Sender<Msg>,
    needs_engine: bool,
    /// It was seen accepted, so the chain counts it in the validator's open jobs.
    seen: bool,
    /// Most tokens it may still produce.
    pending_tokens: u64,
}

/// Everything that the node's tasks share.
pub struct Node {
    /// Configuration.
    pub config: NodeConfig,
    /// The chain.
    pub chain: ChainClient,
    /// Keys.
    pub keys: Keys,
    /// Models served.
    pub models: Vec<ServedModel>,
    /// Saved results.
    pub store: Store,
    /// Others' results that were fetched.
    pub others: Store,
    /// Sends results.
    pub submitter: Submitter,
    /// Counters.
    pub meters: Meters,
    /// The machine's GPUs.
    pub gpus: Gpus,
    /// What is shown of results.
    pub disclosure: Arc<dyn Disclosure>,
    /// Draws the results that are checked and salts juries' commitments; follows from the operator's key.
    verifier_secret: [u8; 32],
    /// One check at a time.
    checking: tokio::sync::Semaphore,
    /// A dispute was made.
    disputes_changed: Arc<tokio::sync::Notify>,
    journal: Arc<Mutex<Journal>>,
    jobs: Mutex<HashMap<Pubkey, Handle>>,
    /// Held from the capacity check until the job is in `jobs`.
    admission: tokio::sync::Mutex<()>,
    validator: RwLock<Validator>,
    params: RwLock<Params>,
    slot: AtomicU64,
    draining: AtomicBool,
    halt: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    /// The model of an account.
    pub fn model(&self, address: &Pubkey) -> Option<&ServedModel> {
        self.models.iter().find(|m| m.address == *address)
    }

    /// Newest slot seen.
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// Whether evidence of its own results is given out.
    pub fn shows(&self) -> bool {
        self.disclosure.shows()
    }

    /// Whether it takes no new jobs.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The validator as last read.
    pub fn validator(&self) -> Validator {
        *self.validator.read()
    }

    /// Jobs that need the engine, and the most tokens they may still produce.
    pub fn load(&self) -> (usize, u64) {
        let jobs = self.jobs.lock();
        let busy = jobs.values().filter(|h| h.needs_engine);
        busy.fold((0, 0), |(n, tokens), h| {
            (n + 1, tokens.saturating_add(h.pending_tokens))
        })
    }

    /// Money so far.
    pub fn money(&self) -> journal::Money {
        self.journal.lock().state().money
    }

    /// Runs `f` with what decisions are made from.
    pub fn decide<T>(&self, f: impl FnOnce(&Situation<'_>) -> T) -> T {
        let (running, _) = self.load();
        let (validator, params, operator) = (
            self.validator(),
            *self.params.read(),
            self.keys.operator.pubkey(),
        );
        let unseen = self.jobs.lock().values().filter(|h| !h.seen).count() as u64;
        f(&Situation {
            authority: &self.keys.authority,
            operator: &operator,
            validator: &validator,
            params: &params,
            slot: self.slot(),
            unseen_jobs: unseen,
            running,
            max_running: self.config.max_concurrent + self.config.max_queue,
            min_deadline_slots: self.config.min_deadline_slots,
            min_price_in: self.config.min_price_in,
            min_price_out: self.config.min_price_out,
        })
    }

    /// Writes a record durably; false if the disk refuses.
    pub async fn note(&self, record: Record) -> bool {
        let journal = self.journal.clone();
        let result = tokio::task::spawn_blocking(move || journal.lock().append(&record)).await;
        let failing = match result {
            Ok(Ok(())) => false,
            Ok(Err(error)) => {
                tracing::error!(%error, "journal can't be written");
                true
            }
            Err(error) => {
                tracing::error!(%error, "journal can't be written");
                true
            }
        };
        self.meters.journal_failing.set(i64::from(failing));
        !failing
    }

    /// Writes a record that may be lost with the machine.
    pub fn note_soft(&self, record: Record) {
        if let Err(error) = self.journal.lock().append_soft(&record) {
            tracing::warn!(%error, "journal can't be written");
        }
    }

    /// Sends instructions signed and paid by the operator, until they are processed.
    pub async fn send(&self, instructions: &[Instruction]) -> Result<(), ClientError> {
        let operator = &self.keys.operator;
        let sent = self
            .chain
            .send_and_confirm(
                instructions,
                &operator.pubkey(),
                &[operator],
                Commitment::Processed,
            )
            .await;
        if sent.is_ok() {
            self.note_soft(Record::Fee {
                lamports: base_fee(1),
            });
        }
        sent.map(|_| ())
    }

    /// Tells whether a job keeps the engine busy, and whether it was seen accepted on chain.
    pub fn set_progress(&self, job: &Pubkey, needs_engine: bool, seen: bool) {
        if let Some(handle) = self.jobs.lock().get_mut(job) {
            handle.needs_engine = needs_engine;
            handle.seen = seen;
        }
    }

    /// Inbox of a job in care.
    pub fn inbox(&self, job: &Pubkey) -> Option<mpsc::Sender<Msg>> {
        self.jobs.lock().get(job).map(|h| h.inbox.clone())
    }

    /// Starts a job's task.
    pub fn start(self: &Arc<Self>, start: Start) {
        let job = start.job;
        let origin = start.origin;
        let resumed = start.record.is_some();
        let pending_tokens = start
            .work
            .as_ref()
            .map_or(0, |w| u64::from(w.max_output_tokens));
        let (task, inbox, incoming) = JobTask::new(self.clone(), start);
        self.jobs.lock().insert(
            job,
            Handle {
                inbox,
                needs_engine: true,
                seen: false,
                pending_tokens,
            },
        );
        if !resumed {
            let label = if origin == Origin::CoSigned {
                "cosigned"
            } else {
                "consumed"
            };
            self.meters.accepted.with_label_values(&[label]).inc();
        }
        let node = self.clone();
        let first = if resumed { Event::Resume } else { Event::Begin };
        self.tasks.spawn(async move {
            let exit = task.run(first, incoming, node.halt.clone()).await;
            if let Some(exit) = exit {
                node.note(Record::Retired {
                    job: job.to_string(),
                    keep: exit == Exit::Submitted,
                })
                .await;
            }
            node.jobs.lock().remove(&job);
        });
    }

    /// A model of jobs in the journal that is served no longer: their results are submitted, the unfinished ones declined.
    async fn former(&self, identity: &str) -> Option<ServedModel> {
        let address = pda::model(&mythic_wire::parse_hex32(identity)?);
        let read = || self.chain.account::<Model>(&address);
        let account = match setup::patiently("reading a former model", read).await {
            Ok(found) => found?.1,
            Err(error) => {
                tracing::error!(%error, identity, "former model can't be read");
                return None;
            }
        };
        let reader = self
            .models
            .iter()
            .find(|m| m.account.read().spec.tokenizer_hash == account.spec.tokenizer_hash)
            .map(|m| m.backend.clone());
        Some(ServedModel {
            address,
            account: Arc::new(RwLock::new(account)),
            backend: Arc::new(Former { reader }),
        })
    }

    /// Takes up what the journal says was left.
    async fn resume(self: &Arc<Self>) {
        let records: Vec<_> = self
            .journal
            .lock()
            .state()
            .jobs
            .iter()
            .filter(|(_, r)| !r.kept)
            .map(|(j, r)| (j.clone(), r.clone()))
            .collect();
        for (text, record) in records {
            let Ok(job) = text.parse::<Pubkey>() else {
                continue;
            };
            let served = self.models.iter().find(|m| m.identity() == record.model);
            let model = match served.cloned() {
                Some(model) => model,
                None => match self.former(&record.model).await {
                    Some(model) => model,
                    None => {
                        tracing::error!(%job, model = record.model, "job in the journal is of a model that is not on this chain");
                        continue;
                    }
                },
            };
            tracing::info!(%job, finished = record.finished.is_some(), "job taken up from the journal");
            let parsed = record.transaction.as_ref().and_then(|t| {
                admit::parse_transaction(t, &self.keys.authority, &self.keys.operator.pubkey()).ok()
            });
            self.start(Start {
                job,
                origin: record.origin,
                model,
                work: parsed
                    .as_ref()
                    .map(|p| admit::Work::of_request(&p.args, &p.job, &p.model)),
                transaction: parsed.map(|p| p.transaction),
                source: record.source.clone(),
                prompt: record.prompt.clone(),
                client: None,
                record: Some(record),
                logprobs: false,
            });
        }
    }

    /// Looks at an account that may be an open job, and takes it if it is worth it.
    async fn consider(self: &Arc<Self>, job: Pubkey) {
        if self.is_draining() || self.inbox(&job).is_some() {
            return;
        }
        let state = match self.chain.account::<Job>(&job).await {
            Ok(Some((_, state))) if state.status() == Some(JobStatus::Open) => state,
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%job, %error, "open job can't be read");
                return;
            }
        };
        let Some(model) = self
            .model(&Pubkey::new_from_array(state.terms.model))
            .cloned()
        else {
            return;
        };
        // Each validator waits its own while for each job, the busy ones longer.
        let lot = mythic_interface::hash::sha256(&[job.as_array(), self.keys.authority.as_array()]);
        let (running, _) = self.load();
        let wait = u64::from(lot[0]) * TAKE_SPREAD_MS / 256 + running as u64 * TAKE_SPREAD_MS;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let _admission = self.admission.lock().await;
        if self.inbox(&job).is_some() {
            return;
        }
        let work = match self.decide(|situation| {
            self.with_facts(&model, |facts| admit::check_open(&state, facts, situation))
        }) {
            Ok(work) => work,
            Err(reason) => {
                tracing::debug!(%job, %reason, "open job left to others");
                return;
            }
        };
        let source = state.terms.prompt_source.as_str().to_string();
        let record = Record::Accepted {
            job: job.to_string(),
            origin: Origin::Consumed,
            model: model.identity(),
            transaction: None,
            source: source.clone(),
            prompt_hash: hex::encode(work.prompt_hash),
            prompt: None,
        };
        if !self.note(record).await {
            return;
        }
        self.start(Start {
            job,
            origin: Origin::Consumed,
            model,
            work: Some(work),
            transaction: None,
            source,
            prompt: None,
            client: None,
            record: None,
            logprobs: false,
        });
    }

    /// Runs `f` with what is known of a model.
    pub fn with_facts<T>(&self, model: &ServedModel, f: impl FnOnce(&ModelFacts<'_>) -> T) -> T {
        let account = *model.account.read();
        f(&ModelFacts {
            address: &model.address,
            model: &account,
            context_length: model.backend.context_length(),
            vocab_size: model.backend.vocab_size(),
        })
    }

    /// Counts a refusal.
    pub fn refuse(&self, decline: &Decline) {
        self.meters
            .refused
            .with_label_values(&[decline.status().1])
            .inc();
    }

    /// What it says of itself to gateways.
    pub fn announcement(&self) -> Announcement {
        let (busy, queued_tokens) = self.load();
        let running = busy.min(self.config.max_concurrent);
        let floor = |own: u32, model: u32| if own == 0 { model } else { own };
        let speeds = self
            .models
            .iter()
            .filter_map(|m| m.backend.stats().decode_tokens_per_second);
        Announcement {
            validator: self.keys.authority.to_string(),
            endpoint: self.config.endpoint_url(),
            version: env!("CARGO_PKG_VERSION").into(),
            models: self
                .models
                .iter()
                .map(|m| {
                    let account = *m.account.read();
                    OfferedModel {
                        identity: m.identity(),
                        context_length: m
                            .backend
                            .context_length()
                            .min(account.spec.max_job_tokens.get()),
                        min_price_in: floor(self.config.min_price_in, account.price_in.get()),
                        min_price_out: floor(self.config.min_price_out, account.price_out.get()),
                    }
                })
                .collect(),
            running: running as u32,
            queued: (busy - running) as u32,
            queued_tokens,
            max_concurrent: self.config.max_concurrent as u32,
            tokens_per_second: speeds.reduce(f64::max),
            draining: self.is_draining(),
        }
    }
}

/// Runs a node until `stop`. Returns an error only for what a restart would not mend; the message names the mend.
pub async fn run(config: NodeConfig, seams: Seams, stop: CancellationToken) -> Result<()> {
    tokio::select! {
        // Waiting for a chain that is not there yet must not hold up a stop.
        prepared = prepare(config, seams) => {
            let (node, listener) = prepared?;
            serve(node, listener, stop).await
        }
        () = stop.cancelled() => Ok(()),
    }
}

async fn prepare(config: NodeConfig, seams: Seams) -> Result<(Arc<Node>, TcpListener)> {
    config.validate().map_err(anyhow::Error::msg)?;
    let keys = Keys::load(&config)?;
    let journal = Journal::open(&config.data_dir)?;
    let store = Store::open(&config.data_dir).with_context(|| {
        format!(
            "cannot make the evidence directory in {}",
            config.data_dir.display()
        )
    })?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "listen = {}: cannot listen there; is another process using the port?",
            config.listen
        )
    })?;
    let chain = ChainClient::new(&config.rpc_url, &config.ws_url);
    let network = setup::network(&chain).await?;
    let mut models = Vec::new();
    for model in &config.models {
        models.push(setup::load_model(&chain, &config, model, &seams).await?);
    }
    let parts = Parts {
        config,
        keys,
        journal,
        store,
        chain,
        network,
        models,
        disclosure: seams.disclosure,
    };
    let node = assemble(parts).await?;
    Ok((node, listener))
}

/// What a node is made of.
pub struct Parts {
    /// Configuration.
    pub config: NodeConfig,
    /// Keys.
    pub keys: Keys,
    /// The journal, opened.
    pub journal: Journal,
    /// Own results.
    pub store: Store,
    /// The chain.
    pub chain: ChainClient,
    /// The network's Config account.
    pub network: Config,
    /// Models served.
    pub models: Vec<ServedModel>,
    /// What is shown of results.
    pub disclosure: Arc<dyn Disclosure>,
}

/// Joins the parts; registers the validator.
pub async fn assemble(parts: Parts) -> Result<Arc<Node>> {
    let Parts {
        config,
        keys,
        journal,
        store,
        chain,
        network,
        models,
        disclosure,
    } = parts;
    let addresses: Vec<_> = models.iter().map(|m| m.address).collect();
    let validator = setup::register(&chain, &config, &keys, &network, &addresses).await?;
    let slot = setup::patiently("reading the slot", || chain.slot(Commitment::Processed)).await?;
    let journal = Arc::new(Mutex::new(journal));
    let fees = journal.clone();
    let submitter = Submitter::start(
        chain.clone(),
        keys.operator.clone(),
        keys.authority,
        Arc::new(move |lamports| {
            if let Err(error) = fees.lock().append_soft(&Record::Fee { lamports }) {
                tracing::warn!(%error, "journal can't be written");
            }
        }),
    );
    let others = Store::open_others(&config.data_dir).with_context(|| {
        format!(
            "cannot make the directory of others' evidence in {}",
            config.data_dir.display()
        )
    })?;
    let verifier_secret = mythic_interface::hash::sha256(&[
        mythic_interface::hash::domain::VERIFIER_SECRET,
        keys.operator.secret_bytes(),
    ]);
    Ok(Arc::new(Node {
        chain,
        disclosure,
        others,
        verifier_secret,
        checking: tokio::sync::Semaphore::new(1),
        disputes_changed: Arc::default(),
        models,
        store,
        submitter,
        meters: Meters::new()?,
        gpus: Gpus::find(),
        journal,
        jobs: Mutex::new(HashMap::new()),
        admission: tokio::sync::Mutex::new(()),
        validator: RwLock::new(validator),
        params: RwLock::new(network.params),
        slot: AtomicU64::new(slot),
        draining: AtomicBool::new(false),
        halt: CancellationToken::new(),
        tasks: TaskTracker::new(),
        config,
        keys,
    }))
}

/// Serves until `stop`, then finishes what runs for at most `drain_seconds`.
pub async fn serve(node: Arc<Node>, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    node.resume().await;
    let background = TaskTracker::new();
    let quit = CancellationToken::new();
    background.spawn(follow_chain(node.clone(), quit.clone()));
    background.spawn(look_after_jobs(node.clone(), quit.clone()));
    if node.config.accept_jobs {
        background.spawn(announce(node.clone(), stop.clone(), quit.clone()));
    }
    background.spawn(keeper::run(node.clone(), quit.clone()));
    background.spawn(duties::run(node.clone(), quit.clone()));
    if node.config.verifier.enabled {
        background.spawn(results::run(node.clone(), quit.clone()));
    }
    if node.config.accept_jobs && node.config.consume_open_jobs {
        background.spawn(consume(node.clone(), stop.clone()));
    }
    background.close();
    let address = listener.local_addr()?;
    tracing::info!(%address, validator = %node.keys.authority, endpoint = node.config.endpoint_url(), "node ready");
    let closing = quit.clone();
    let server = tokio::spawn(
        axum::serve(
            listener,
            http::router(node.clone())
                .into_make_service_with_connect_info::<std::net::SocketAddr>(),
        )
        .with_graceful_shutdown(async move { closing.cancelled().await })
        .into_future(),
    );
    stop.cancelled().await;
    node.draining.store(true, Ordering::Relaxed);
    let drain = Duration::from_secs(node.config.drain_seconds);
    let until = tokio::time::Instant::now() + drain;
    while node.load().0 > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (left, _) = node.load();
    if left > 0 {
        tracing::warn!(
            left,
            "stopping with jobs that still run; they are in the journal and go on at the next start"
        );
    }
    node.halt.cancel();
    node.tasks.close();
    quit.cancel();
    let parting = Duration::from_secs(5);
    let _ = tokio::time::timeout(parting, node.tasks.wait()).await;
    let _ = tokio::time::timeout(parting, background.wait()).await;
    server.abort();
    let _ = server.await;
    tracing::info!("node stopped");
    Ok(())
}

/// Keeps slot, validator, parameters and model prices fresh.
async fn follow_chain(node: Arc<Node>, quit: CancellationToken) {
    let mut slots = node.chain.watch_slots();
    let address = pda::validator(&node.keys.authority);
    let mut validator = node.chain.watch_account(&address, Commitment::Processed);
    let mut refresh = tokio::time::interval(REFRESH_EVERY);
    refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            Some(slot) = slots.next() => {
                node.slot.store(slot.slot, Ordering::Relaxed);
                node.meters.slot.set(i64::try_from(slot.slot).unwrap_or(i64::MAX));
            }
            Some(snapshot) = validator.next() => {
                if let Some(account) = &snapshot.account
                    && let Ok(read) = mythic_client::account::decode::<Validator>(&address, account)
                {
                    *node.validator.write() = read;
                }
            }
            _ = refresh.tick() => {
                if let Ok(Some((_, config))) = node.chain.account::<Config>(&pda::config()).await {
                    *node.params.write() = config.params;
                }
                for model in &node.models {
                    if let Ok(Some((_, read))) = node.chain.account(&model.address).await {
                        *model.account.write() = read;
                    }
                }
            }
        }
    }
}

/// Reads the accounts of all jobs in care at both commitments, while there are any.
async fn look_after_jobs(node: Arc<Node>, quit: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = tick.tick() => {}
        }
        let (running, _) = node.load();
        let jobs: Vec<(Pubkey, mpsc::Sender<Msg>)> = node
            .jobs
            .lock()
            .iter()
            .map(|(job, handle)| (*job, handle.inbox.clone()))
            .collect();
        node.meters.active_jobs.set(jobs.len() as i64);
        node.meters.running_jobs.set(running as i64);
        if jobs.is_empty() {
            continue;
        }
        let addresses: Vec<_> = jobs.iter().map(|(job, _)| *job).collect();
        for (commitment, finalized) in [
            (Commitment::Processed, false),
            (Commitment::Finalized, true),
        ] {
            match node.chain.raw_accounts(&addresses, commitment).await {
                Ok(snapshots) => {
                    for ((_, inbox), snapshot) in jobs.iter().zip(snapshots) {
                        // A task that is behind gets the next round.
                        let _ = inbox.try_send(Msg::Chain {
                            snapshot,
                            finalized,
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "accounts of jobs can't be read"),
            }
        }
    }
}

/// Announces the node to its gateways every 10 seconds, and at once when it begins to stop.
async fn announce(node: Arc<Node>, stop: CancellationToken, quit: CancellationToken) {
    let client = match reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .build()
    {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "no HTTP client: gateways will not hear of this node");
            return;
        }
    };
    let path = format!("/v1/nodes/{}", node.keys.authority);
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut told_stop = false;
    loop {
        let Ok(body) = serde_json::to_vec(&node.announcement()) else {
            return;
        };
        for gateway in &node.config.gateways {
            let url = format!("{}{path}", gateway.trim_end_matches('/'));
            // Signed is the path as the gateway sees it, a prefix of its base URL included.
            let signed = reqwest::Url::parse(&url)
                .map(|u| u.path().to_string())
                .unwrap_or_else(|_| path.clone());
            let mut request = client
                .put(&url)
                .header("content-type", "application/json")
                .body(body.clone());
            for (name, value) in mythic_wire::sign("PUT", &signed, &body, &node.keys.operator) {
                request = request.header(name, value);
            }
            let outcome = match request.send().await {
                Ok(response) if response.status().is_success() => Ok(()),
                Ok(response) => Err(format!("status {}", response.status())),
                Err(error) => Err(error.without_url().to_string()),
            };
            let was = known.insert(gateway.clone(), outcome.is_ok());
            match outcome {
                Ok(()) if was != Some(true) => tracing::info!(%gateway, "announced"),
                Err(reason) if was != Some(false) => {
                    tracing::warn!(%gateway, %reason, "gateway does not take the announcement")
                }
                _ => {}
            }
        }
        tokio::select! {
            () = quit.cancelled() => return,
            () = stop.cancelled(), if !told_stop => {
                told_stop = true;
                // `draining` is set right after the same signal.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            () = tokio::time::sleep(Duration::from_secs(ANNOUNCE_SECONDS)) => {}
        }
    }
}

/// Takes open jobs: from the gateways' feeds, and from a search of the chain now and then.
async fn consume(node: Arc<Node>, stop: CancellationToken) {
    let (sender, mut jobs) = mpsc::channel::<Pubkey>(256);
    for gateway in &node.config.gateways {
        tokio::spawn(feed::follow(
            gateway.clone(),
            "jobs",
            None,
            |event| feed::opened_job(&event.data),
            sender.clone(),
            stop.clone(),
        ));
    }
    let mut scan = tokio::time::interval(SCAN_EVERY);
    scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(job) = jobs.recv() => {
                let node = node.clone();
                tokio::spawn(async move { node.consider(job).await });
            }
            _ = scan.tick() => {
                for model in &node.models {
                    let filters =
                        [Filter::<Job>::status(JobStatus::Open), Filter::<Job>::model(&model.address)];
                    match node.chain.program_accounts::<Job>(&filters, Commitment::Processed).await {
                        Ok(found) => {
                            for (job, _) in found.into_iter().take(64) {
                                let _ = sender.try_send(job);
                            }
                        }
                        Err(error) => tracing::debug!(%error, "open jobs can't be listed"),
                    }
                }
            }
        }
    }
}
