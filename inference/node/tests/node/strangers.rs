//! What strangers can't do: have work done that nobody pays for, make the node wait, or get what is not theirs.

use std::time::{Duration, Instant};

use mythic_client::{Commitment, ix, sign_partly};
use mythic_interface::le::Text;
use mythic_wire::{
    InferenceRequest, Origin,
    signed::{self, Request, purpose},
};
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_signer::Signer;

use crate::harness::{PATIENCE, Running, World, post};

const QUICK: Duration = Duration::from_millis(2);

/// As nodes of these tests are registered.
const ENDPOINT: &str = "http://127.0.0.1:9";

async fn busy(node: &Running) -> u64 {
    let stats = reqwest::get(format!("{}/stats", node.url)).await.unwrap();
    let stats: serde_json::Value = stats.json().await.unwrap();
    stats["jobs_busy"].as_u64().unwrap()
}

/// A request whose transaction names a blockhash that no chain knows.
async fn unlandable(world: &World, good: &InferenceRequest) -> InferenceRequest {
    let payer = &world.payer;
    let (args, _) = world.request(9, 12).await;
    let mut who = world.requester(true);
    who.payer = payer.pubkey();
    let transaction = sign_partly(
        &[ix::request_inference(&who, &args)],
        &payer.pubkey(),
        &[payer, &world.owner],
        Hash::new_from_array([7; 32]),
    )
    .unwrap();
    InferenceRequest {
        transaction: mythic_wire::encode_transaction(&transaction).unwrap(),
        job: world.job(&args).to_string(),
        prompt_ids: vec![5, 6, 7, 9],
        salt: hex::encode([9; 16]),
        ..good.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_or_computed_for_a_request_that_the_chain_would_refuse() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let (args, prompt) = world.request(1, 12).await;
    let good = world.cosigned(&args, &prompt).await;
    let bad = unlandable(&world, &good).await;
    let mut codes = Vec::new();
    for _ in 0..30 {
        let Err((status, _)) = post(&node, &bad).await else {
            panic!("it was taken");
        };
        codes.push(status);
    }
    assert_eq!(codes[0], 402);
    assert_eq!(*codes.last().unwrap(), 429, "{codes:?}");
    assert_eq!(busy(&node).await, 0);
    let journal = std::fs::read(world.config().data_dir.join("journal")).unwrap();
    let text = String::from_utf8_lossy(&journal);
    assert!(!text.contains(&bad.job), "nothing was journalled");
    // What was forgiven is let in again.
    let started = Instant::now();
    loop {
        match post(&node, &good).await {
            Ok(_) => break,
            Err((429, _)) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_source_that_is_no_origin_is_refused() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let (mut args, prompt) = world.request(2, 12).await;
    let victim = world.job(&args);
    for source in [
        format!("http://8.8.8.8/v1/jobs/{victim}/evidence#"),
        "http://8.8.8.8/?".to_string(),
        "http://user@8.8.8.8".to_string(),
    ] {
        args.prompt_source = Text::new(&source).unwrap();
        let request = world.cosigned(&args, &prompt).await;
        let (status, body) = match post(&node, &request).await {
            Err(refused) => refused,
            Ok(_) => panic!("{source} was taken"),
        };
        assert_eq!(status, 400, "{source}: {body}");
        assert_eq!(body, "invalid_prompt_source");
    }
}

async fn evidence(node: &Running, origin: &str, purpose: &str, job: &str, key: &Keypair) -> u16 {
    let path = format!("/v1/jobs/{job}/evidence");
    let request = Request {
        origin: &Origin::parse(origin).unwrap(),
        method: "GET",
        path: &path,
        purpose,
        body: &[],
    };
    let headers = signed::sign(&request, key);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut request = reqwest::Client::new().get(format!("{}{path}", node.url));
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        answers.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(answers[1], 401, "the same request works once");
    answers[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_good_for_one_host_one_purpose_and_one_time() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let (args, prompt) = world.request(3, 6).await;
    let job = world.job(&args);
    post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    world
        .until(&job, Commitment::Processed, "submitted", |j| {
            j.submitted_slot.get() != 0
        })
        .await;
    let id = job.to_string();
    let own = purpose::evidence(&job);
    let ask = async |origin: &str, purpose: &str, key: &Keypair| {
        evidence(&node, origin, purpose, &id, key).await
    };
    assert_eq!(ask(ENDPOINT, &own, &world.owner).await, 200);
    // What was signed for a gateway, or for something else, is worth nothing here.
    assert_eq!(ask(&world.gateway.url, &own, &world.owner).await, 401);
    assert_eq!(ask(ENDPOINT, purpose::KEYS, &world.owner).await, 401);
    let other = purpose::evidence(&world.authority.pubkey());
    assert_eq!(ask(ENDPOINT, &other, &world.owner).await, 401);
    // A stranger is no validator, and names none that it is not.
    let stranger = Keypair::new();
    assert_eq!(ask(ENDPOINT, &own, &stranger).await, 403);
    let named = purpose::check(&job, &world.authority.pubkey());
    assert_eq!(ask(ENDPOINT, &named, &stranger).await, 403);
    let nobody = purpose::check(&job, &stranger.pubkey());
    assert_eq!(ask(ENDPOINT, &nobody, &stranger).await, 403);
    // A validator that was there before the job may check it while the window runs.
    assert_eq!(ask(ENDPOINT, &named, &world.operator).await, 200);
}
