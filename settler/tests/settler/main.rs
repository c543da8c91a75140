//! Chain, plugin, spool, index and settler together: what is due is sent, and both sides agree at the end.

mod market;

use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use bytemuck::Zeroable;
use mythic_client::{ChainClient, Commitment, ix, keys, pda};
use mythic_devnet::{DevnetConfig, GenesisAccount, ProgramConfig};
use mythic_indexer::IndexerConfig;
use mythic_interface::{
    ix::{RegisterModel, RegisterValidator, RequestInference, SubmitResult},
    le::{Text, U16, U32, U64},
    params::Params,
    sortition,
    state::{
        Case, ClaimKind, Job, JobStatus, KernelProfile, ModelSpec, Treasury, Validator, Vault,
        Votes,
    },
    window,
};
use mythic_postgres::{Cluster, ClusterConfig};
use mythic_settler::SettlerConfig;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOL: u64 = 1_000_000_000;
const DEPOSIT: u64 = 5 * SOL;

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Short enough that a job can be closed within the test.
fn params() -> Params {
    let mut params = Params::dev();
    params.max_nonce_life_slots = U32::new(200);
    params.rules.close_delay_slots = U32::new(201);
    params
}

fn model() -> ModelSpec {
    let mut spec = ModelSpec::zeroed();
    spec.weights_hash = [1; 32];
    spec.kernel_profile = U16::new(KernelProfile::CpuWA8 as u16);
    spec.context_length = U32::new(2048);
    spec.max_job_tokens = U32::new(2048);
    spec.commit_slots = U16::new(100);
    spec.eos_count = 1;
    spec.eos_ids[0] = U32::new(2);
    spec
}

struct Parties {
    admin: Keypair,
    owner: Keypair,
    authority: Keypair,
    operator: Keypair,
    /// Authority and operator of a validator that challenges.
    challenger: Keypair,
    checker: Keypair,
    settler: Keypair,
}

impl Parties {
    fn new() -> Self {
        Self {
            admin: Keypair::new(),
            owner: Keypair::new(),
            authority: Keypair::new(),
            operator: Keypair::new(),
            challenger: Keypair::new(),
            checker: Keypair::new(),
            settler: Keypair::new(),
        }
    }
}

async fn send(
    chain: &ChainClient,
    instruction: solana_instruction::Instruction,
    signers: &[&Keypair],
) {
    let payer = signers[0].pubkey();
    let sent = chain
        .send_and_confirm(&[instruction], &payer, signers, Commitment::Confirmed)
        .await;
    sent.unwrap();
}

async fn request(chain: &ChainClient, parties: &Parties, tag: u8, served: bool) -> Pubkey {
    let slot = chain.slot(Commitment::Processed).await.unwrap();
    let owner = parties.owner.pubkey();
    let mut args = RequestInference::zeroed();
    args.nonce = window::nonce(slot + 150, [tag; 8]);
    args.prompt_hash = [tag; 32];
    args.prompt_tokens = U32::new(100);
    args.max_output_tokens = U32::new(100);
    args.price_in = params().default_price_in;
    args.price_out = params().default_price_out;
    args.sampling_profile = 1;
    args.deadline_slots = U32::new(if served { 200 } else { 30 });
    args.rules_hash = params().rules.hash();
    let who = ix::Requester {
        payer: owner,
        requester: owner,
        owner,
        model: pda::model(&model().identity(parties.admin.pubkey().as_array())),
        validator: served.then(|| (parties.authority.pubkey(), parties.operator.pubkey())),
    };
    let mut signers = vec![&parties.owner];
    if served {
        signers.push(&parties.operator);
    }
    send(chain, ix::request_inference(&who, &args), &signers).await;
    pda::job(owner, &args.nonce)
}

/// Submits a result of 100 tokens; the job with it.
async fn answer(chain: &ChainClient, parties: &Parties, job: &Pubkey) -> Job {
    let (_, accepted) = chain.account::<Job>(job).await.unwrap().unwrap();
    let mut result = SubmitResult::zeroed();
    result.terms_hash = accepted.terms_hash;
    result.output_tokens = U32::new(100);
    result.finish_reason = 2;
    let (operator, authority) = (parties.operator.pubkey(), parties.authority.pubkey());
    let submit = ix::submit_result(operator, authority, job, &result);
    send(chain, submit, &[&parties.operator]).await;
    chain.account::<Job>(job).await.unwrap().unwrap().1
}

/// Says that a result is false as soon as its sample is known; the case.
async fn challenge(chain: &ChainClient, parties: &Parties, job: &Pubkey, state: &Job) -> Pubkey {
    // The last of the slots that draw the sample must have passed.
    let known = sortition::sample_slot(state.submitted_slot.get(), 3) + 1;
    eventually("the sample is known", async || {
        let slot = chain.slot(Commitment::Confirmed).await.unwrap();
        slot >= known
    })
    .await;
    let who = ix::Claimant {
        payer: parties.challenger.pubkey(),
        operator: parties.checker.pubkey(),
        authority: parties.challenger.pubkey(),
    };
    let statement = ix::Statement {
        kind: ClaimKind::False,
        bond: 10 * SOL,
        positions: &[],
        served: None,
    };
    let verify = ix::verify_logits(&who, job, state, &statement);
    send(chain, verify, &[&parties.challenger, &parties.checker]).await;
    pda::case(job)
}

async fn set_up(chain: &ChainClient, parties: &Parties) {
    let admin = parties.admin.pubkey();
    let foundation = Keypair::new().pubkey();
    let initialize = ix::initialize(admin, admin, admin, foundation, &params());
    send(chain, initialize, &[&parties.admin]).await;
    let name = Text::new("test").unwrap();
    let register = RegisterModel {
        spec: model(),
        name,
    };
    let register = ix::register_model(admin, admin, &register);
    send(chain, register, &[&parties.admin]).await;
    let served = [pda::model(&model().identity(admin.as_array()))];
    for (authority, operator) in [
        (&parties.authority, &parties.operator),
        (&parties.challenger, &parties.checker),
    ] {
        let mut args = RegisterValidator::zeroed();
        args.operator = operator.pubkey().to_bytes();
        args.stake = U64::new(2 * SOL);
        args.endpoint = Text::new("http://127.0.0.1:1").unwrap();
        let key = authority.pubkey();
        let register = ix::register_validator(key, key, &args, &served);
        send(chain, register, &[authority]).await;
    }
    let owner = parties.owner.pubkey();
    let deposit = ix::deposit_vault(owner, owner, DEPOSIT);
    send(chain, deposit, &[&parties.owner]).await;
}

async fn eventually(what: &str, mut good: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !good().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn chain_config(root: &Path, parties: &Parties) -> DevnetConfig {
    let library = mythic_geyser_plugin::library_path().expect("the plugin is built with this test");
    let geyser = root.join("geyser.json5");
    let programs = ["mythic_ai_precompiles", "mythic_compute_market"];
    let programs = mythic_interface::PROGRAMS.iter().zip(programs);
    let programs = programs.map(|(id, name)| ProgramConfig {
        id: bs58::encode(id).into_string(),
        path: Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../programs/elf/{name}.so")),
        upgrade_authority: Some(parties.admin.pubkey().to_string()),
    });
    let funded = [
        &parties.admin,
        &parties.owner,
        &parties.authority,
        &parties.operator,
        &parties.challenger,
        &parties.checker,
        &parties.settler,
    ];
    let rpc = free_port();
    let config = DevnetConfig {
        data_dir: root.join("chain"),
        rpc_addr: ([127, 0, 0, 1], rpc).into(),
        ws_addr: ([127, 0, 0, 1], free_port()).into(),
        slot_ms: 50,
        rooted_lag: 4,
        programs: programs.collect(),
        genesis_accounts: funded
            .iter()
            .map(|key| GenesisAccount {
                pubkey: key.pubkey().to_string(),
                lamports: 100 * SOL,
            })
            .collect(),
        geyser_plugin_config: Some(geyser.clone()),
        ..DevnetConfig::default()
    };
    let genesis_hash = mythic_devnet::genesis_hash(&config).unwrap().to_string();
    let owners = mythic_interface::PROGRAMS.map(|program| bs58::encode(program).into_string());
    let plugin = serde_json::json!({
        "libpath": library, "name": "mythic", "spool_dir": root.join("spool"), "owners": owners,
        "genesis_hash": genesis_hash, "fsync": "never",
    });
    std::fs::write(geyser, plugin.to_string()).unwrap();
    config
}

/// All that runs, with two settlers: what one has done is no error for the other.
struct Network {
    dir: tempfile::TempDir,
    stop: CancellationToken,
    cluster: Cluster,
    /// Of the chain: RPC and WebSocket.
    urls: (String, String),
    chain: ChainClient,
    chain_task: JoinHandle<anyhow::Result<()>>,
    indexer: JoinHandle<Result<(), mythic_indexer::IndexerError>>,
    stop_indexer: CancellationToken,
    settlers: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Network {
    async fn start(parties: &Parties) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let cluster = Cluster::start(ClusterConfig {
            data_dir: dir.path().join("pg"),
            port: None,
        })
        .await
        .unwrap();
        mythic_indexer::migrate(cluster.url()).await.unwrap();
        let devnet = chain_config(dir.path(), parties);
        let urls = (
            format!("http://{}", devnet.rpc_addr),
            format!("ws://{}", devnet.ws_addr),
        );
        let chain = ChainClient::new(urls.0.clone(), urls.1.clone());
        let chain_task = tokio::spawn(mythic_devnet::run(devnet, stop.clone()));
        let indexer = IndexerConfig {
            database_url: cluster.url().to_owned(),
            spool_dir: dir.path().join("spool"),
            idle_linger_ms: 50,
            ..IndexerConfig::default()
        };
        let stop_indexer = stop.child_token();
        let indexer = tokio::spawn(mythic_indexer::run(indexer, stop_indexer.clone()));
        eventually("the chain answers", async || {
            chain
                .slot(Commitment::Finalized)
                .await
                .is_ok_and(|slot| slot > 0)
        })
        .await;
        Self {
            dir,
            stop,
            cluster,
            urls,
            chain,
            chain_task,
            indexer,
            stop_indexer,
            settlers: Vec::new(),
        }
    }

    fn settle(&mut self, settler: &Keypair) {
        let keypair_path = self.dir.path().join("settler.json");
        keys::write_keypair(&keypair_path, settler).unwrap();
        let config = SettlerConfig {
            database_url: self.cluster.url().to_owned(),
            rpc_url: self.urls.0.clone(),
            ws_url: self.urls.1.clone(),
            keypair_path,
            interval_ms: 200,
            sweep_after_slots: 8,
            reconcile_every_s: 1,
            ..SettlerConfig::default()
        };
        let run = || tokio::spawn(mythic_settler::run(config.clone(), self.stop.clone()));
        self.settlers = vec![run(), run()];
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.settlers {
            task.await.unwrap().unwrap();
        }
        self.indexer.await.unwrap().unwrap();
        self.chain_task.await.unwrap().unwrap();
        self.cluster.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_due_is_sent_and_index_and_chain_agree() {
    let parties = Parties::new();
    let mut network = Network::start(&parties).await;
    set_up(&network.chain, &parties).await;
    network.settle(&parties.settler);
    all_is_paid_and_closed(&network.chain, &parties).await;
    the_index_tells_it(network.cluster.url()).await;
    network.stop_indexer.cancel();
    a_job_is_refunded_without_an_index(&network.chain, &parties).await;
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_due_of_the_market_is_sent_and_index_and_chain_agree() {
    let parties = Parties::new();
    let mut network = Network::start(&parties).await;
    market::all_comes_to_its_end(&mut network, &parties).await;
    network.stop().await;
}

/// An open job, one that is served, one whose answer is challenged: each comes to its end by itself.
async fn all_is_paid_and_closed(chain: &ChainClient, parties: &Parties) {
    let open = request(chain, parties, 1, false).await;
    let served = request(chain, parties, 2, true).await;
    let job = answer(chain, parties, &served).await;
    let disputed = request(chain, parties, 3, true).await;
    let challenged = answer(chain, parties, &disputed).await;
    let case = challenge(chain, parties, &disputed, &challenged).await;

    let fee = job.terms.price_of(100).unwrap();
    let authority = parties.authority.pubkey();
    let swept = eventually("the fee is claimed and swept", async || {
        let validator = chain
            .account::<Validator>(&pda::validator(authority))
            .await
            .unwrap()
            .unwrap()
            .1;
        let treasury = chain
            .account::<Treasury>(&pda::treasury())
            .await
            .unwrap()
            .unwrap()
            .1;
        validator.claimable.get() == fee / 2
            && validator.owed_burn.get() == 0
            && treasury.balance.get() == fee / 10
    });
    let vault = pda::vault(parties.owner.pubkey());
    let refunded = eventually("the open job is refunded", async || {
        let vault = chain.account::<Vault>(&vault).await.unwrap().unwrap().1;
        (vault.balance.get(), vault.held.get(), vault.open_jobs.get()) == (DEPOSIT - fee, 0, 0)
    });
    // Nobody answers the challenge: the verdict comes by itself, and so does the challenger's money.
    let mut verdict = None;
    let slashed = eventually("the unanswered job is slashed", async || {
        let job = chain.account::<Job>(&disputed).await.unwrap();
        if job.is_some_and(|(_, job)| job.status() == Some(JobStatus::Slashed)) {
            let case = chain.account::<Case>(&case).await.unwrap();
            verdict = case.map(|(_, case)| case);
        }
        verdict.is_some()
    });
    // All at once: each can be seen until it is closed.
    tokio::join!(swept, refunded, slashed);
    let verdict = verdict.unwrap();
    assert_eq!(verdict.slashed_amount.get(), SOL);
    eventually("the claimant has bond and reward", async || {
        let challenger = pda::validator(parties.challenger.pubkey());
        let challenger = chain.account::<Validator>(&challenger).await.unwrap();
        let challenger = challenger.unwrap().1;
        // Of what nobody had to compute, a tenth.
        let due = verdict.claims[0].bond() + SOL / 10;
        (challenger.claimable.get(), challenger.open_cases.get()) == (due, 0)
    })
    .await;
    eventually("all jobs and the case are closed", async || {
        let mut gone = chain.account::<Case>(&case).await.unwrap().is_none();
        let votes = chain.account::<Votes>(&pda::votes(case)).await.unwrap();
        gone &= votes.is_none();
        for job in [open, served, disputed] {
            gone &= chain.account::<Job>(&job).await.unwrap().is_none();
        }
        gone
    })
    .await;
}

/// The index stands still and never hears of this job.
async fn a_job_is_refunded_without_an_index(chain: &ChainClient, parties: &Parties) {
    let vault = pda::vault(parties.owner.pubkey());
    let held = async || {
        let vault = chain.account::<Vault>(&vault).await.unwrap().unwrap().1;
        (vault.held.get(), vault.open_jobs.get())
    };
    request(chain, parties, 4, false).await;
    assert_eq!(held().await.1, 1);
    eventually("what nobody accepted is refunded", async || {
        held().await == (0, 0)
    })
    .await;
}

async fn the_index_tells_it(url: &str) {
    let (db, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let count = async |sql: &str| db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    eventually("the index has it all, finalized", async || {
        count("SELECT count(*) FROM analytics.jobs_finalized WHERE closed_slot IS NOT NULL").await
            == 3
    })
    .await;
    let told = "SELECT count(*) FROM analytics.cases_finalized
                 WHERE verdict = 'guilty' AND ground = 'unanswered' AND collected AND closed_slot IS NOT NULL";
    eventually("the case is told to its end", async || {
        count(told).await == 1
    })
    .await;
    let from = count("SELECT max(processed_slot) FROM analytics.pipeline_status").await;
    eventually("a comparison after that agrees", async || {
        let row = db
            .query_opt("SELECT to_jsonb(r) FROM settler.reconciliation r", &[])
            .await
            .unwrap();
        let Some(row) = row.map(|row| row.get::<_, serde_json::Value>(0)) else {
            return false;
        };
        assert_eq!(row["ok"], true, "{row}");
        // Treasury, model, validators, vault.
        row["context_slot"].as_i64().unwrap() > from
            && row["accounts"] == 5
            && row["differing"] == 0
    })
    .await;
    assert_eq!(count("SELECT count(*) FROM pipeline.alarm").await, 0);
}
