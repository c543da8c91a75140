//! The whole daemon, with a real model file, through its public entry.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use bytemuck::Zeroable;
use mythic_client::{ChainClient, Commitment, ix, pda};
use mythic_engine::{Engine, EngineConfig, kernels};
use mythic_interface::{
    hash,
    ix::RegisterModel,
    le::{Text, U16, U32},
    state::{Job, JobStatus, ModelSpec},
};
use mythic_model::catalogue as model;
use mythic_model::prompt::{Message, PromptFormatter};
use mythic_node::{self as node, ModelConfig, NodeConfig};
use mythic_wire::NodeEvent;
use serde_json::{Value, json};
use solana_signer::Signer;
use tokio_util::sync::CancellationToken;

use crate::harness::{PATIENCE, Running, World, post};

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub fn spec_of(path: &Path, formatter: &PromptFormatter) -> ModelSpec {
    let mut spec = ModelSpec::zeroed();
    spec.weights_hash = model::file_sha256(path).unwrap();
    spec.tokenizer_hash = formatter.identity().tokenizer;
    spec.chat_template_hash = formatter.identity().chat_template;
    spec.kernel_profile = U16::new(kernels::PROFILE);
    spec.context_length = U32::new(formatter.context_length());
    spec.max_job_tokens = U32::new(1_024);
    spec.commit_slots = U16::new(100);
    spec.eos_count = formatter.eos_ids().len() as u8;
    for (to, id) in spec.eos_ids.iter_mut().zip(formatter.eos_ids()) {
        to.set(*id);
    }
    spec
}

pub async fn register(world: &World, spec: ModelSpec) {
    let args = RegisterModel {
        spec,
        name: Text::new("real").unwrap(),
    };
    let payer = &world.payer;
    let register = ix::register_model(payer.pubkey(), payer.pubkey(), &args);
    world
        .chain
        .send_and_confirm(
            &[register],
            &payer.pubkey(),
            &[payer],
            Commitment::Confirmed,
        )
        .await
        .unwrap();
}

/// Asks directly and unbilled from loopback, as an OpenAI client does, which a proxy may not.
async fn ask_directly(url: &str, text: &str) {
    let body = json!({"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 24, "temperature": 0});
    let client = reqwest::Client::new();
    let direct: Value = client
        .post(format!("{url}/v1/chat/completions"))
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(direct["choices"][0]["message"]["content"], text, "{direct}");
    let proxied = client
        .post(format!("{url}/v1/chat/completions"))
        .header("x-forwarded-for", "8.8.8.8")
        .json(&body);
    assert_eq!(proxied.send().await.unwrap().status(), 403);
}

async fn until_healthy<T>(url: &str, daemon: &tokio::task::JoinHandle<T>) {
    let started = Instant::now();
    while !reqwest::get(format!("{url}/health"))
        .await
        .is_ok_and(|r| r.status().is_success())
    {
        assert!(
            started.elapsed() < PATIENCE && !daemon.is_finished(),
            "the node does not start"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the node has booked its half.
async fn until_booked(url: &str, settled: &Job) {
    let started = Instant::now();
    loop {
        let stats: Value = reqwest::get(format!("{url}/stats"))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        if stats["money"]["earned_lamports"] == settled.validator_amount.get() {
            assert!(stats["money"]["fees_lamports"].as_u64().unwrap() >= 5_000);
            assert!(stats["money"]["net_lamports_per_job"].is_i64(), "{stats}");
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{stats}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

const QUESTION: &str = "Name the capital of France.";

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_serves_a_real_model_from_start_to_settlement() {
    let path = model::fetch(|_| ()).await.expect("the model file");
    let mut world = World::start(40).await;
    let formatter = PromptFormatter::from_gguf(&path).unwrap();
    let spec = spec_of(&path, &formatter);
    world.model = pda::model(&spec.identity(world.payer.pubkey().as_array()));

    // Before the model is registered the node says what is missing.
    let config = NodeConfig {
        models: vec![ModelConfig {
            path: path.clone(),
            identity: None,
        }],
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], free_port())),
        claim_after_slots: 5,
        withdraw_above_lamports: 0,
        ..world.config()
    };
    let error = node::run(
        config.clone(),
        node::seams::Seams::default(),
        CancellationToken::new(),
    )
    .await
    .unwrap_err();
    assert!(
        format!("{error:#}").contains("mythic model register"),
        "{error:#}"
    );

    register(&world, spec).await;
    let stop = CancellationToken::new();
    let daemon = tokio::spawn(node::run(
        config.clone(),
        node::seams::Seams::default(),
        stop.clone(),
    ));
    let url = format!("http://{}", config.listen);
    until_healthy(&url, &daemon).await;
    let node = Running::at(url.clone());

    let messages = [Message::new("user", QUESTION)];
    let prompt_ids = formatter.chat(&messages).unwrap();
    let (mut request, mut prompt) = world.request(1, 24).await;
    request.prompt_hash = hash::prompt_hash(&[1; 16], &prompt_ids);
    request.prompt_tokens = U32::new(prompt_ids.len() as u32);
    request.temperature_milli = U16::new(0);
    prompt.prompt_ids = prompt_ids.clone();
    let job = world.job(&request);
    let events = post(&node, &world.cosigned(&request, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    let Some(NodeEvent::Done {
        output_ids,
        evidence,
        ..
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    let text: String = events
        .iter()
        .map(|e| match e {
            NodeEvent::Token { text, .. } => text.as_str(),
            _ => "",
        })
        .collect();
    assert!(text.contains("Paris"), "{text}");
    let digests = evidence.verify().unwrap();
    // Another engine finds the same values at every position.
    let engine = Engine::load(&path, EngineConfig::default()).unwrap();
    assert_eq!(
        engine
            .teacher_forced(&prompt_ids, output_ids)
            .await
            .unwrap(),
        evidence.leaves
    );

    ask_directly(&url, &text).await;

    // Nobody claims: the node does, and books its half.
    let settled = world
        .until(&job, Commitment::Finalized, "settled", |j| {
            j.status() == Some(JobStatus::Settled)
        })
        .await;
    assert_eq!(settled.fingerprint, digests.fingerprint);
    assert_eq!(settled.fee.get(), request_fee(&settled));
    until_booked(&url, &settled).await;
    let chain = ChainClient::new(&world.rpc_url, &world.ws_url);
    assert!(chain.slot(Commitment::Finalized).await.unwrap() > settled.ended_slot.get());

    stop.cancel();
    tokio::time::timeout(PATIENCE, daemon)
        .await
        .expect("it stops in time")
        .unwrap()
        .unwrap();
}

fn request_fee(job: &Job) -> u64 {
    let millis = u64::from(job.terms.prompt_tokens.get()) * u64::from(job.terms.price_in.get())
        + u64::from(job.output_tokens.get()) * u64::from(job.terms.price_out.get());
    millis.div_ceil(1_000)
}
