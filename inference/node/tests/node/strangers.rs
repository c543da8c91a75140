//! What strangers can't do: have work done that nobody pays for, make the node wait, or get what is not theirs.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use mythic_client::{Commitment, ix, pda, sign_partly};
use mythic_interface::{
    ix::RequestInference,
    le::Text,
    state::{Job, JobStatus},
};
use mythic_wire::{
    InferenceRequest, NodeEvent, Origin, PromptBody,
    signed::{self, Request, purpose},
};
use solana_hash::Hash;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{PATIENCE, Puppet, Running, SOL, World, any_port, expected, post, run_node};

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
    assert!(codes.contains(&429), "{codes:?}");
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

/// Between a node and its chain: keeps what the node asks.
struct Between {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Between {
    async fn start(rpc_url: &str) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, to, client) = (asked.clone(), rpc_url.to_owned(), reqwest::Client::new());
        let pass_on = axum::routing::post(async move |body: String| {
            seen.lock().unwrap().push(body.clone());
            let asked = client
                .post(to)
                .header("content-type", "application/json")
                .body(body);
            let answer = asked.send().await.unwrap().bytes().await.unwrap();
            ([("content-type", "application/json")], answer)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/", pass_on);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    /// Questions that name one of these accounts.
    fn naming(&self, accounts: &[Pubkey]) -> usize {
        let names: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|question| names.iter().any(|name| question.contains(name)))
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_strangers_ask_for_costs_the_chain_a_few_questions() {
    const STRANGERS: usize = 120;
    let world = World::start(60).await;
    let between = Between::start(&world.rpc_url).await;
    let mut config = world.config();
    config.rpc_url = between.url.clone();
    let node = run_node(config, world.model, Arc::new(Puppet::at(QUICK)), any_port());
    let (args, prompt) = world.request(4, 6).await;
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
    let honest = purpose::check(&job, &world.authority.pubkey());
    assert_eq!(
        evidence(&node, ENDPOINT, &honest, &id, &world.operator).await,
        200
    );
    // Each names a validator that nobody has heard of: itself.
    let keys: Vec<Keypair> = (0..STRANGERS).map(|_| Keypair::new()).collect();
    let began = Instant::now();
    let statuses = join_all(keys.iter().map(async |key| {
        let own = purpose::check(&job, &key.pubkey());
        evidence(&node, ENDPOINT, &own, &id, key).await
    }))
    .await;
    let accounts: Vec<Pubkey> = keys
        .iter()
        .map(|key| pda::validator(key.pubkey()))
        .collect();
    let questions = between.naming(&accounts);
    // One more is let in each second.
    let most = 40 + began.elapsed().as_secs() as usize;
    assert!((1..=most).contains(&questions), "{questions} questions");
    let of = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!(of(403) + of(429), STRANGERS, "{statuses:?}");
    assert!(of(429) > STRANGERS / 2, "{statuses:?}");
    // A validator that is one is not kept out by those who are none, from the same address.
    assert_eq!(
        evidence(&node, ENDPOINT, &honest, &id, &world.operator).await,
        200
    );
}

/// A server that never ends: it answers every request with one byte a second. Counts who waits for it.
async fn tarpit(waiting: Arc<AtomicUsize>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            waiting.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4_096]).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
                let mut open = stream.write_all(head).await.is_ok();
                while open {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    open = stream.write_all(b" ").await.is_ok();
                }
            });
        }
    });
    url
}

/// Opens a job that any validator may take, at `owner`'s cost.
async fn open(world: &World, owner: &Keypair, args: &RequestInference) -> Pubkey {
    let mut who = world.requester(false);
    (who.requester, who.owner) = (owner.pubkey(), owner.pubkey());
    world
        .chain
        .send_and_confirm(
            &[ix::request_inference(&who, args)],
            &world.payer.pubkey(),
            &[&world.payer, owner],
            Commitment::Processed,
        )
        .await
        .unwrap();
    pda::job(owner.pubkey(), &args.nonce)
}

/// A wallet with a vault.
async fn wallet(world: &World, lamports: u64) -> Keypair {
    let wallet = Keypair::new();
    let deposit = ix::deposit_vault(world.owner.pubkey(), wallet.pubkey(), lamports);
    world
        .chain
        .send_and_confirm(
            &[deposit],
            &world.owner.pubkey(),
            &[&world.owner],
            Commitment::Processed,
        )
        .await
        .unwrap();
    wallet
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_sources_that_never_end_hold_no_place_of_the_engine_and_keep_no_one_else_out() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut jobs = Vec::new();
    for tag in 0..12u8 {
        let owner = wallet(&world, SOL / 100).await;
        let (mut args, _) = world.request(100 + tag, 12).await;
        args.prompt_source = Text::new(&tarpit(waiting.clone()).await).unwrap();
        jobs.push(open(&world, &owner, &args).await);
    }
    let feed = world.gateway.feed.clone();
    let tell = |jobs: &[Pubkey]| {
        for job in jobs {
            let event = serde_json::json!({"op": "add", "entity": job.to_string(), "payload": {"status": "open"}});
            let _ = feed.send(event.to_string());
        }
    };
    let started = Instant::now();
    while waiting.load(Ordering::SeqCst) < 4 {
        assert!(
            started.elapsed() < PATIENCE,
            "{waiting:?} tarpits are asked"
        );
        tell(&jobs);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(busy(&node).await, 0, "waiting is no work of the engine");
    // Paid work is done meanwhile, and an open job of the node's own gateway is taken.
    let (args, prompt) = world.request(5, 12).await;
    let events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    let Some(NodeEvent::Done { output_ids, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(*output_ids, expected(&args, &world.job(&args)));
    let (args, prompt) = world.request(6, 12).await;
    let prompts = &world.gateway.told;
    let hash = hex::encode(args.prompt_hash);
    prompts.lock().unwrap().prompts.insert(hash, prompt);
    let honest = open(&world, &world.owner, &args).await;
    let pump = tokio::spawn({
        let (feed, known) = (feed.clone(), [jobs.clone(), vec![honest]].concat());
        async move {
            loop {
                for job in &known {
                    let event = serde_json::json!({"op": "add", "entity": job.to_string(), "payload": {"status": "open"}});
                    let _ = feed.send(event.to_string());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    world
        .until(&honest, Commitment::Processed, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    // Those that were taken are given back, with nothing computed.
    let started = Instant::now();
    loop {
        let states = join_all(
            jobs.iter()
                .map(|job| world.read(job, Commitment::Processed)),
        )
        .await;
        let refunded = |job: &Job| job.status() == Some(JobStatus::Refunded);
        if states.iter().flatten().filter(|job| refunded(job)).count() >= 4 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "they are given back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    pump.abort();
    assert_eq!(busy(&node).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_can_pay_once_is_served_once_however_often_it_asks() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let (args, _) = world.request(20, 12).await;
    // Enough for one job and its half.
    let ceiling = u64::from(args.prompt_tokens.get()) * 25 + 12 * 50;
    let thief = wallet(&world, ceiling * 3 / 2).await;
    let mut requests = Vec::new();
    for tag in 20..44u8 {
        let (args, prompt) = world.request(tag, 12).await;
        requests.push(half_signed(&world, &thief, &args, &prompt).await);
    }
    let answers = join_all(requests.iter().map(|request| post(&node, request))).await;
    let mut served = 0;
    for answer in answers {
        match answer {
            Ok(events) => {
                let events = events.all().await;
                served += usize::from(matches!(events.last(), Some(NodeEvent::Done { .. })));
            }
            Err((status, code)) => assert!(matches!(status, 402 | 429 | 503), "{status} {code}"),
        }
    }
    assert_eq!(served, 1);
    // Others are served right after it, and the engine has computed little that nobody paid for.
    let started = Instant::now();
    let (args, prompt) = world.request(50, 12).await;
    let request = world.cosigned(&args, &prompt).await;
    let events = loop {
        match post(&node, &request).await {
            Ok(events) => break events.all().await,
            Err((429, _)) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(matches!(events.last(), Some(NodeEvent::Done { .. })));
    let metrics = reqwest::get(format!("{}/metrics", node.url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mythic_node_output_tokens_total "));
    let computed: u64 = line.unwrap().parse().unwrap();
    // Until the chain shows the first, the others may pass its trial: as many as have a place, which is half of `max_unseen`.
    let places = world.config().max_unseen as u64 / 2;
    assert!(computed <= 12 * (places + 1), "{computed} tokens");
}

/// What a gateway posts for a wallet that pays for itself.
async fn half_signed(
    world: &World,
    wallet: &Keypair,
    args: &RequestInference,
    prompt: &PromptBody,
) -> InferenceRequest {
    let mut who = world.requester(true);
    (who.requester, who.owner) = (wallet.pubkey(), wallet.pubkey());
    let blockhash = world.chain.latest_blockhash(Commitment::Finalized).await;
    let transaction = sign_partly(
        &[ix::request_inference(&who, args)],
        &world.payer.pubkey(),
        &[&world.payer, wallet],
        blockhash.unwrap().hash,
    )
    .unwrap();
    InferenceRequest {
        transaction: mythic_wire::encode_transaction(&transaction).unwrap(),
        job: pda::job(wallet.pubkey(), &args.nonce).to_string(),
        prompt_ids: prompt.prompt_ids.clone(),
        salt: prompt.salt.clone(),
        stop: prompt.stop.clone(),
        options: prompt.options.clone(),
        logprobs: false,
    }
}
