//! A chain, a gateway and a node in one process, and a user who pays.

mod crowd;
mod gateway;
mod pace;
mod puppet;
mod running;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::Engine as _;
use bytemuck::Zeroable;
use mythic_client::{ChainClient, Commitment, ix, keys::write_keypair, pda, sign_partly};
use mythic_devnet::{DevnetConfig, GenesisAccount, ProgramConfig, Servers};
use mythic_interface::{
    hash,
    ix::{RegisterModel, RequestInference, UpdateModel},
    le::{Text, U16, U32},
    params::Params,
    state::{Job, KernelProfile, Model, ModelSpec, SamplingProfile},
    window,
};
use mythic_node::NodeConfig;
use mythic_wire::{InferenceRequest, PromptBody};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

pub use crowd::Crowd;
pub use gateway::Gateway;
pub use pace::Pace;
pub use puppet::{CACHED_TOKENS, Puppet, expected};
pub use running::{Running, any_port, post, run_node, run_node_that};

pub const SOL: u64 = 1_000_000_000;
pub const EOS: u32 = 2;
/// Longest wait for a condition.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Chain and gateway with everything registered but a node.
pub struct World {
    /// What nodes write.
    pub dir: tempfile::TempDir,
    _chain_dir: tempfile::TempDir,
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
    /// The nodes that the chain waits for, if it does.
    pub pace: Pace,
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

/// Those of a development network, with so many seats that a few validators never leave all to one or two keys, which decide
/// nothing.
pub fn params() -> Params {
    let mut params = Params::dev();
    params.rules.jury_seats.set(15);
    params
}

/// Where nodes write: in memory if they can, so that a slow disk makes the chain's slots longer and no node late.
fn in_memory() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    dir.unwrap()
}

impl World {
    pub async fn start(slot_ms: u64) -> Self {
        Self::begin(slot_ms, false).await
    }

    /// A chain whose slots take as long at least, and wait for the nodes.
    pub async fn paced(slot_ms: u64) -> Self {
        Self::begin(slot_ms, true).await
    }

    async fn begin(slot_ms: u64, paced: bool) -> Self {
        let (dir, chain_dir) = (in_memory(), tempfile::tempdir().unwrap());
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
            data_dir: chain_dir.path().join("chain"),
            rpc_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            ws_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            slot_ms: if paced { 0 } else { slot_ms },
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
        let pace = Pace::default();
        if paced {
            let clock = pace.clone().run(chain.clone(), slot_ms, stop.clone());
            tokio::spawn(clock);
        }
        let args = RegisterModel {
            spec: spec(),
            name: Text::new("puppet").unwrap(),
        };
        let model = pda::model(&args.spec.identity(admin.pubkey().as_array()));
        chain
            .send_and_confirm(
                &[
                    ix::initialize(
                        admin.pubkey(),
                        admin.pubkey(),
                        admin.pubkey(),
                        foundation.pubkey(),
                        &params(),
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
            _chain_dir: chain_dir,
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
            pace,
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
        pda::model(&spec.identity(admin.as_array()))
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
        run_node(
            self.config(),
            model,
            Arc::new(Puppet::at(pause)),
            any_port(),
        )
    }

    /// Arguments of a request for `output` tokens, and its prompt.
    pub async fn request(&self, tag: u8, output: u32) -> (RequestInference, PromptBody) {
        let prompt = PromptBody {
            prompt_ids: vec![5, 6, 7, u32::from(tag)],
            salt: hex::encode([tag; 16]),
            stop: vec![],
            options: None,
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
            options_hash: [0; 32],
            prompt_source: Text::new(&self.gateway.url).unwrap(),
            deadline_slots: U32::new(1_000),
            rules_hash: params().rules.hash(),
            bump: 0,
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
            options: prompt.options.clone(),
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
