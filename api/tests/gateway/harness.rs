//! A chain, a database, two validators and a gateway, started once for all tests of this file and stopped with the process.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::body::Body;
use mythic_api::{DevAccount, GatewayConfig, Limits, ModelConfig, Outlay, Timing, app::App};
use mythic_client::{ChainClient, Commitment, ix, keys::write_keypair, pda};
use mythic_interface::{
    ix::{GrantSpend, RegisterModel, RegisterValidator},
    le::{Text, U16, U32, U64},
    params::Params,
    state::{GRANT_MODELS, Job, KernelProfile, ModelSpec},
};
use serde_json::{Value, json};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::validators::{self, Validator};

pub const SOL: u64 = 1_000_000_000;
pub const MODEL: &str = "tiny";
/// The same, registered as one whose arithmetic is exact; the gateway of all tests does not serve it.
pub const EXACT: &str = "tiny-exact";
/// The chat template of both.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
/// Places of one address at the feed.
pub const FEED_PLACES: u32 = 24;

/// Writes a row of the index as the indexer does: with the texts of the keys in it.
pub async fn insert(database: &tokio_postgres::Client, projection: &str, table: &str, row: &Value) {
    let sql = format!(
        "INSERT INTO {projection}.{table} SELECT * FROM jsonb_populate_record(NULL::{projection}.{table}, $1)"
    );
    database.execute(&sql, &[row]).await.unwrap();
    let texts = format!(
        "INSERT INTO {projection}.address (key, base58)
         SELECT DISTINCT v.value::bytea, analytics.base58(v.value::bytea) FROM jsonb_each_text($1) v
          WHERE v.value ~ '^\\\\x[0-9a-f]{{64}}$' ON CONFLICT DO NOTHING"
    );
    database.execute(&texts, &[row]).await.unwrap();
}

pub struct World {
    pub runtime: Runtime,
    pub chain: ChainClient,
    pub config: GatewayConfig,
    pub url: String,
    pub database_url: String,
    pub gateway_key: Pubkey,
    pub admin: Keypair,
    pub dev: Keypair,
    pub model: Pubkey,
    /// The exact model, for gateways that serve it too.
    pub exact: ModelConfig,
    pub validators: Vec<Arc<Validator>>,
    dir: tempfile::TempDir,
    _postgres: std::process::Child,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let parts = runtime.block_on(start());
    parts.build(runtime)
});

/// Misbehaviour on demand opens circuit breakers, and feed numbers are global: tests take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs a test in the world.
pub fn within<F: Future<Output = ()>>(test: impl FnOnce(&'static World) -> F) {
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let world: &'static World = &WORLD;
    world.runtime.block_on(test(world));
}

struct Parts {
    chain: ChainClient,
    config: GatewayConfig,
    dir: tempfile::TempDir,
    postgres: std::process::Child,
    admin: Keypair,
    dev: Keypair,
    gateway_key: Pubkey,
    model: Pubkey,
    exact: ModelConfig,
    validators: Vec<Arc<Validator>>,
}

impl Parts {
    fn build(self, runtime: Runtime) -> World {
        World {
            runtime,
            chain: self.chain,
            url: self.config.public_url.clone(),
            database_url: self.config.database_url.clone(),
            gateway_key: self.gateway_key,
            config: self.config,
            admin: self.admin,
            dev: self.dev,
            model: self.model,
            exact: self.exact,
            validators: self.validators,
            dir: self.dir,
            _postgres: self.postgres,
        }
    }
}

async fn start() -> Parts {
    let dir = tempfile::Builder::new()
        .prefix("mythic-api-")
        .tempdir_in("/tmp")
        .unwrap();
    let (postgres, database_url) = postgres(dir.path()).await;
    mythic_indexer::migrate(&database_url).await.unwrap();
    let keys = Keys {
        admin: Keypair::new(),
        dev: Keypair::new(),
        delegate: Keypair::new(),
        gateway: Keypair::new(),
    };
    let (chain, rpc_url, ws_url) = run_chain(dir.path(), &keys).await;
    let (model, validators) = set_up(&chain, &keys).await;
    let gguf = dir.path().join("tiny.gguf");
    std::fs::write(&gguf, tiny_gguf(Some(TEMPLATE))).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = GatewayConfig {
        listen: listener.local_addr().unwrap(),
        public_url: format!("http://{}", listener.local_addr().unwrap()),
        database_url,
        rpc_url,
        ws_url,
        models: vec![ModelConfig {
            name: MODEL.into(),
            identity: hex::encode(spec().identity(keys.admin.pubkey().as_array())),
            gguf: gguf.clone(),
        }],
        ..configured(dir.path(), &keys)
    };
    tokio::spawn(mythic_api::serve(
        listener,
        config.clone(),
        CancellationToken::new(),
    ));
    let exact = ModelConfig {
        name: EXACT.into(),
        identity: hex::encode(exact_spec().identity(keys.admin.pubkey().as_array())),
        gguf,
    };
    let url = config.public_url.clone();
    eventually("the gateway", async || {
        reqwest::get(format!("{url}/v1/models"))
            .await
            .is_ok_and(|r| r.status().is_success())
    })
    .await;
    Parts {
        chain,
        config,
        dir,
        postgres,
        gateway_key: keys.gateway.pubkey(),
        admin: keys.admin,
        dev: keys.dev,
        model,
        exact,
        validators,
    }
}

struct Keys {
    admin: Keypair,
    dev: Keypair,
    delegate: Keypair,
    gateway: Keypair,
}

/// A chain with the program, and its URLs.
async fn run_chain(dir: &Path, keys: &Keys) -> (ChainClient, String, String) {
    let elf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs/elf/mythic_ai_precompiles.so");
    let config = mythic_devnet::DevnetConfig {
        data_dir: dir.join("chain"),
        rpc_addr: ([127, 0, 0, 1], 0).into(),
        ws_addr: ([127, 0, 0, 1], 0).into(),
        slot_ms: 100,
        rooted_lag: 8,
        programs: vec![mythic_devnet::ProgramConfig {
            id: pda::PROGRAM_ID.to_string(),
            path: elf,
            upgrade_authority: Some(keys.admin.pubkey().to_string()),
        }],
        ..mythic_devnet::DevnetConfig::default()
    };
    let servers = mythic_devnet::Servers::bind(&config).await.unwrap();
    let (rpc_url, ws_url) = (
        format!("http://{}", servers.rpc_addr()),
        format!("ws://{}", servers.ws_addr()),
    );
    tokio::spawn(async move {
        mythic_devnet::run_with(config, None, servers, CancellationToken::new())
            .await
            .unwrap()
    });
    let chain = ChainClient::new(rpc_url.clone(), ws_url.clone());
    eventually("the chain", async || {
        chain
            .slot(Commitment::Finalized)
            .await
            .is_ok_and(|slot| slot > 0)
    })
    .await;
    for key in [&keys.admin, &keys.dev, &keys.gateway] {
        let lamports = 1_000 * SOL;
        chain.airdrop(&key.pubkey(), lamports).await.unwrap();
    }
    (chain, rpc_url, ws_url)
}

/// The program's accounts: its configuration, a model, a vault with a grant, two validators.
async fn set_up(chain: &ChainClient, keys: &Keys) -> (Pubkey, Vec<Arc<Validator>>) {
    let (admin, dev) = (&keys.admin, &keys.dev);
    let initialize = ix::initialize(
        admin.pubkey(),
        admin.pubkey(),
        admin.pubkey(),
        Pubkey::new_unique(),
        &Params::dev(),
    );
    send(chain, &[initialize], &[admin]).await;
    let mut models = Vec::new();
    for (spec, name) in [(spec(), MODEL), (exact_spec(), EXACT)] {
        let name = Text::new(name).unwrap();
        let register = ix::register_model(
            admin.pubkey(),
            admin.pubkey(),
            &RegisterModel { spec, name },
        );
        send(chain, &[register], &[admin]).await;
        models.push(pda::model(&spec.identity(admin.pubkey().as_array())));
    }
    let model = models[0];
    let deposit = ix::deposit_vault(dev.pubkey(), dev.pubkey(), 100 * SOL);
    send(chain, &[deposit], &[dev]).await;
    grant(chain, dev, &keys.delegate.pubkey(), SOL).await;

    let scene = Arc::new(validators::Scene::new(chain.clone()));
    let mut validators = Vec::new();
    for _ in 0..2 {
        let (authority, operator) = (Keypair::new(), Keypair::new());
        chain.airdrop(&authority.pubkey(), 20 * SOL).await.unwrap();
        chain.airdrop(&operator.pubkey(), 20 * SOL).await.unwrap();
        let (endpoint, validator) =
            validators::start(scene.clone(), authority.pubkey(), operator).await;
        let args = RegisterValidator {
            operator: validator.operator.pubkey().to_bytes(),
            stake: U64::new(10 * SOL),
            vram_mib: U32::new(0),
            gpu_name: Text::default(),
            endpoint: Text::new(&endpoint).unwrap(),
        };
        let register =
            ix::register_validator(authority.pubkey(), authority.pubkey(), &args, &models);
        send(chain, &[register], &[&authority]).await;
        validators.push(validator);
    }
    (model, validators)
}

/// What does not depend on where the gateway and its parts listen: keys, and bounds that a test can wait for.
fn configured(dir: &Path, keys: &Keys) -> GatewayConfig {
    let file = |name: &str, key: &Keypair| -> PathBuf {
        let path = dir.join(name);
        write_keypair(&path, key).unwrap();
        path
    };
    GatewayConfig {
        keypair_path: file("gateway.json", &keys.gateway),
        master_key_file: dir.join("master.key"),
        dev: true,
        dev_account: Some(DevAccount {
            owner: keys.dev.pubkey().to_string(),
            delegate_keypair_path: file("delegate.json", &keys.delegate),
            key: Some(DEV_KEY.into()),
        }),
        limits: Limits {
            subscribers_per_address: FEED_PLACES,
            ..Limits::default()
        },
        outlay: Outlay {
            fees_per_owner_per_day: 40_000_000,
            ..Outlay::generous()
        },
        timing: Timing {
            rejoin_seconds: 10,
            next_token_seconds: 10,
            queue_seconds: 6,
            // Three that claim in vain end before headers are due.
            admission_seconds: 30,
            confirm_seconds: 5,
            first_token_seconds: 6,
            instance_seconds: 2,
            ..Timing::default()
        },
        ..GatewayConfig::default()
    }
}

/// Sends and waits until the chain has executed it.
pub async fn send(chain: &ChainClient, instructions: &[Instruction], signers: &[&Keypair]) {
    chain
        .send_and_confirm(
            instructions,
            &signers[0].pubkey(),
            signers,
            Commitment::Processed,
        )
        .await
        .unwrap();
}

/// Lets `delegate` spend up to `limit` lamports of the owner's vault.
pub async fn grant(chain: &ChainClient, owner: &Keypair, delegate: &Pubkey, limit: u64) {
    let args = GrantSpend {
        spent: U64::new(0),
        per_job_max: U64::new(limit),
        window_max: U64::new(limit),
        window_slots: U32::new(100_000),
        lifetime_cap: U64::new(limit),
        expiry_slot: U64::new(1 << 40),
        model_count: 0,
        models: [[0; 32]; GRANT_MODELS],
    };
    send(
        chain,
        &[ix::grant_spend(
            owner.pubkey(),
            owner.pubkey(),
            delegate,
            &args,
        )],
        &[owner],
    )
    .await;
}

/// The key that pages have to send.
pub const DEV_KEY: &str = "dev-0123456789abcdef";

/// Waits for a condition, at most 90 seconds.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let started = std::time::Instant::now();
    while !condition().await {
        assert!(
            started.elapsed() < Duration::from_secs(90),
            "waited too long for {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl World {
    /// A chat request with one user message.
    pub fn chat(&self, prompt: &str, extra: Value) -> reqwest::RequestBuilder {
        let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 64, "temperature": 0});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        reqwest::Client::new()
            .post(format!("{}/v1/chat/completions", self.url))
            .json(&body)
    }

    pub async fn get(&self, path: &str) -> Value {
        reqwest::get(format!("{}{path}", self.url))
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// A job as the chain has it.
    pub async fn job(&self, id: &str) -> Job {
        self.chain
            .account::<Job>(&id.parse().unwrap())
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("job {id} is not on chain"))
            .1
    }

    /// Jobs on chain whose prompt is this one.
    pub async fn jobs_of(&self, requester: &Pubkey) -> usize {
        let jobs = self
            .chain
            .program_accounts::<Job>(&[], Commitment::Processed)
            .await
            .unwrap();
        jobs.iter()
            .filter(|(_, job)| job.terms.requester == requester.to_bytes())
            .count()
    }

    /// A wallet with a vault, and an API key that may spend from it.
    pub async fn customer(&self, deposit: u64, limit: u64) -> (Keypair, String, Pubkey, String) {
        let wallet = Keypair::new();
        self.chain
            .airdrop(&wallet.pubkey(), 10 * SOL)
            .await
            .unwrap();
        if deposit > 0 {
            send(
                &self.chain,
                &[ix::deposit_vault(wallet.pubkey(), wallet.pubkey(), deposit)],
                &[&wallet],
            )
            .await;
        }
        let key = self
            .signed(reqwest::Method::POST, "/v1/keys", b"{}", &wallet)
            .await;
        let delegate: Pubkey = key["delegate"].as_str().unwrap().parse().unwrap();
        if limit > 0 {
            grant(&self.chain, &wallet, &delegate, limit).await;
        }
        (
            wallet,
            key["key"].as_str().unwrap().to_owned(),
            delegate,
            key["id"].as_str().unwrap().to_owned(),
        )
    }

    /// The gateway's database.
    pub async fn database(&self) -> tokio_postgres::Client {
        let config: tokio_postgres::Config = self.database_url.parse().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Waits until a validator works on the one attempt `a` of a request `r` that satisfies a condition in SQL.
    pub async fn at_work(&self, condition: &str) {
        let database = self.database().await;
        let sql = format!(
            "SELECT count(*) FROM gateway.attempt a JOIN gateway.request r ON r.id = a.request_id
              WHERE a.state = 'accepted' AND {condition}"
        );
        eventually("a validator at work", async || {
            let row = database.query_one(&sql, &[]).await.unwrap();
            row.get::<_, i64>(0) == 1
        })
        .await;
    }

    /// Sends a request, and leaves as soon as a validator works on it.
    pub async fn leave(&self, request: reqwest::RequestBuilder, condition: &str) {
        tokio::select! {
            answered = request.send() => panic!("answered before the client left: {answered:?}"),
            () = self.at_work(condition) => {}
        }
    }

    /// Lets the chain make so many slots at once.
    pub async fn advance(&self, slots: u64) {
        self.command("mythic_advanceSlots", slots).await;
        // As long as a gateway believes a blockhash, which is too old now.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }

    /// A command to the development chain.
    pub async fn command(&self, method: &str, parameter: u64) {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": [parameter]});
        let answer: Value = reqwest::Client::new()
            .post(&self.config.rpc_url)
            .json(&call)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// A gateway on the same chain and database with another configuration, that is asked without a socket and runs nothing in the
    /// background.
    pub async fn other(&self, change: impl FnOnce(&mut GatewayConfig)) -> Arc<App> {
        let mut config = self.config.clone();
        change(&mut config);
        App::new(config, CancellationToken::new()).await.unwrap()
    }

    /// Registers another model, with this chat template if it is to have one, for gateways that are to serve it. Nobody answers for it.
    pub async fn other_model(
        &self,
        name: &str,
        spec: ModelSpec,
        template: Option<&str>,
    ) -> ModelConfig {
        let admin = self.admin.pubkey();
        let named = Text::new(name).unwrap();
        let register = ix::register_model(admin, admin, &RegisterModel { spec, name: named });
        send(&self.chain, &[register], &[&self.admin]).await;
        let gguf = self.dir.path().join(format!("{name}.gguf"));
        std::fs::write(&gguf, tiny_gguf(template)).unwrap();
        ModelConfig {
            name: name.into(),
            identity: hex::encode(spec.identity(admin.as_array())),
            gguf,
        }
    }

    /// A signed request's answer.
    pub async fn signed(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &[u8],
        key: &Keypair,
    ) -> Value {
        let mut request = reqwest::Client::new()
            .request(method.clone(), format!("{}{path}", self.url))
            .body(body.to_vec());
        let origin = mythic_wire::Origin::parse(&self.url).unwrap();
        let signed = mythic_wire::signed::Request {
            origin: &origin,
            method: method.as_str(),
            path,
            purpose: &purpose_of(path),
            body,
        };
        for (name, value) in mythic_wire::signed::sign(&signed, key) {
            request = request.header(name, value);
        }
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// The error of a refusal with this status and code.
pub async fn error_of(response: reqwest::Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status().as_u16(), status);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], code, "{body}");
    body["error"].clone()
}

/// Status and answer of a gateway that is asked without a socket.
pub async fn ask(
    app: &Arc<App>,
    request: axum::http::request::Builder,
    body: String,
) -> (u16, Value) {
    let host = app
        .config
        .public_url
        .trim_start_matches("http://")
        .to_owned();
    let request = request
        .header("host", host)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let response = mythic_api::router(app.clone())
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// What a request to this path is signed for.
fn purpose_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["", "v1", "nodes", _] => "announce".into(),
        ["", "v1", "prompts", hash] => format!("prompt:{hash}"),
        ["", "v1", "jobs", job, what] => format!("{what}:{job}"),
        ["", "v1", "credit"] => "credit".into(),
        _ => "keys".into(),
    }
}

/// A private PostgreSQL that ends when this process does: its keeper reads from a pipe of ours.
async fn postgres(dir: &Path) -> (std::process::Child, String) {
    let bin = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed under /usr/lib/postgresql")
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .max()
        .expect("initdb");
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let home = dir.join("pg");
    std::fs::create_dir(&home).unwrap();
    if root {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(
            Command::new("chown")
                .arg("postgres")
                .arg(&home)
                .status()
                .unwrap()
                .success()
        );
    }
    // PostgreSQL refuses to run as root; setpriv becomes the program it starts, so that signals reach it.
    let drop = if root {
        "setpriv --reuid=postgres --regid=postgres --clear-groups"
    } else {
        ""
    };
    let script = format!(
        "cd '{home}'; {drop} '{bin}/initdb' -D data -U mythic -A trust -E UTF8 --no-locale --no-sync >initdb.log 2>&1; \
         {drop} '{bin}/postgres' -D data -k '{home}' -c listen_addresses= -c fsync=off -c max_connections=200 -c track_commit_timestamp=on >log 2>&1 & pg=$!; \
         read end; kill -INT $pg; wait $pg; cd /; rm -rf '{dir}'",
        home = home.display(),
        bin = bin.display(),
        dir = dir.display()
    );
    let child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let url = format!("host={} user=mythic dbname=postgres", home.display());
    eventually("PostgreSQL", async || {
        let config: tokio_postgres::Config = url.parse().unwrap();
        config.connect(tokio_postgres::NoTls).await.is_ok()
    })
    .await;
    (child, url)
}

pub fn spec() -> ModelSpec {
    let mut eos_ids = [U32::new(0); mythic_interface::state::MODEL_EOS_IDS];
    eos_ids[0] = U32::new(validators::EOS);
    ModelSpec {
        weights_hash: [1; 32],
        tokenizer_hash: [2; 32],
        chat_template_hash: [3; 32],
        quantisation: U16::new(0),
        kernel_profile: U16::new(1),
        context_length: U32::new(2048),
        max_job_tokens: U32::new(2048),
        error_ppm: U32::new(0),
        miss_ppm: U32::new(0),
        commit_slots: U16::new(100),
        min_vram_mib: U32::new(0),
        eos_count: 1,
        eos_ids,
    }
}

/// A model of the same file whose results are compared to the bit.
pub fn exact_spec() -> ModelSpec {
    ModelSpec {
        kernel_profile: U16::new(KernelProfile::CpuWA8 as u16),
        ..spec()
    }
}

/// A model file with a tokenizer of bytes, a chat template if it is to have one, and no weights.
fn tiny_gguf(template: Option<&str>) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }
    fn string(out: &mut Vec<u8>, key: &str, value: &str) {
        text(out, key);
        out.extend(8u32.to_le_bytes());
        text(out, value);
    }
    fn number(out: &mut Vec<u8>, key: &str, value: u32) {
        text(out, key);
        out.extend(4u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    // Byte-level BPE writes each byte as a printable character.
    let mut spare = 256;
    let mut tokens: Vec<String> = (0u32..256)
        .map(|byte| {
            let printable = (33..=126).contains(&byte)
                || (161..=172).contains(&byte)
                || (174..=255).contains(&byte);
            let code = if printable {
                byte
            } else {
                spare += 1;
                spare - 1
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect();
    tokens.extend(["<|im_start|>", "<|im_end|>", "ab"].map(String::from));
    let mut out = Vec::new();
    string(&mut out, "general.architecture", "llama");
    number(&mut out, "llama.context_length", 2048);
    string(&mut out, "tokenizer.ggml.model", "gpt2");
    string(&mut out, "tokenizer.ggml.pre", "smollm");
    if let Some(template) = template {
        string(&mut out, "tokenizer.chat_template", template);
    }
    number(&mut out, "tokenizer.ggml.eos_token_id", validators::EOS);
    text(&mut out, "tokenizer.ggml.tokens");
    out.extend(9u32.to_le_bytes());
    out.extend(8u32.to_le_bytes());
    out.extend((tokens.len() as u64).to_le_bytes());
    tokens.iter().for_each(|token| text(&mut out, token));
    text(&mut out, "tokenizer.ggml.token_type");
    out.extend(9u32.to_le_bytes());
    out.extend(5u32.to_le_bytes());
    out.extend((tokens.len() as u64).to_le_bytes());
    for id in 0..tokens.len() {
        out.extend((if id == 256 || id == 257 { 3i32 } else { 1 }).to_le_bytes());
    }
    text(&mut out, "tokenizer.ggml.merges");
    out.extend(9u32.to_le_bytes());
    out.extend(8u32.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    text(&mut out, "a b");
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend((8 + u64::from(template.is_some())).to_le_bytes());
    file.extend(out);
    file.resize(file.len().next_multiple_of(32), 0);
    file
}
