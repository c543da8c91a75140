//! Jobs from their request to a final result, when nothing goes wrong but what people do.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use mythic_client::{Commitment, ix, pda};
use mythic_interface::{
    ix::RequestInference,
    output,
    state::{EndReason, Job, JobStatus, SamplingProfile, Validator},
};
use mythic_node::NodeConfig;
use mythic_sampling::Options;
use mythic_wire::{self as wire, Evidence, Finish, InferenceRequest, NodeEvent, PromptBody};
use serde_json::json;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::harness::{CACHED_TOKENS, PATIENCE, Puppet, World, any_port, expected, post, run_node};

const QUICK: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(60);

async fn get_evidence(url: &str, job: &str, key: &Keypair) -> Result<Evidence, u16> {
    let path = format!("/v1/jobs/{job}/evidence");
    let mut request = reqwest::Client::new().get(format!("{url}{path}"));
    // As the node is registered.
    let origin = wire::Origin::parse("http://127.0.0.1:9").unwrap();
    let job = job.parse().unwrap();
    let signed = wire::signed::Request {
        origin: &origin,
        method: "GET",
        path: &path,
        purpose: &wire::signed::purpose::evidence(&job),
        body: &[],
    };
    for (name, value) in wire::signed::sign(&signed, key) {
        request = request.header(name, value);
    }
    let response = request.send().await.unwrap();
    match response.status().as_u16() {
        200 => Ok(response.json().await.unwrap()),
        status => Err(status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cosigned_job_is_streamed_committed_and_proved() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let (args, prompt) = world.request(1, 12).await;
    let job = world.job(&args);
    let events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    assert!(matches!(&events[0], NodeEvent::Accepted { job: j, .. } if *j == job.to_string()));
    let tokens: Vec<u32> = events
        .iter()
        .filter_map(|e| match e {
            NodeEvent::Token { token, .. } => Some(*token),
            _ => None,
        })
        .collect();
    assert_eq!(tokens, expected(&args, &job));
    let Some(NodeEvent::Done {
        finish_reason,
        output_ids,
        fingerprint,
        output_root,
        submit_signature,
        cached_tokens,
        evidence,
    }) = events.last()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*finish_reason, output_ids), (Finish::Length, &tokens));
    assert!(submit_signature.is_some());
    assert_eq!(*cached_tokens, Some(CACHED_TOKENS));
    let state = world
        .until(&job, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert_eq!(hex::encode(state.fingerprint), *fingerprint);
    assert_eq!(hex::encode(state.output_root), *output_root);
    assert_eq!(Some(state.output_root), output::output_root(&tokens));
    let digests = evidence.verify().unwrap();
    assert_eq!(
        (digests.fingerprint, digests.prompt_hash),
        (state.fingerprint, args.prompt_hash)
    );
    assert_eq!(evidence.terms_hash, state.terms_hash);

    // Evidence goes to whom it concerns.
    let id = job.to_string();
    assert_eq!(
        get_evidence(&node.url, &id, &world.owner).await.as_ref(),
        Ok(evidence.as_ref())
    );
    assert!(get_evidence(&node.url, &id, &world.canceller).await.is_ok());
    assert!(get_evidence(&node.url, &id, &world.operator).await.is_ok());
    assert_eq!(
        get_evidence(&node.url, &id, &Keypair::new()).await,
        Err(403)
    );
    let unsigned = reqwest::get(format!("{}/v1/jobs/{id}/evidence", node.url))
        .await
        .unwrap();
    assert_eq!(unsigned.status(), 401);

    // It was announced, under the operator's signature.
    let told = world.gateway.told.lock().unwrap();
    assert_eq!(told.announced[0].0, world.operator.pubkey());
    assert_eq!(
        told.announced[0].1.validator,
        world.authority.pubkey().to_string()
    );
}

/// A request of six tokens by options, and its prompt.
async fn by_options(world: &World, tag: u8, options: &Options) -> (RequestInference, PromptBody) {
    let (mut args, mut prompt) = world.request(tag, 6).await;
    args.sampling_profile = SamplingProfile::SeededFull as u8;
    args.options_hash = options.hash(&[tag; 16]).unwrap();
    prompt.options = Some(options.to_wire().unwrap());
    (args, prompt)
}

fn grammar(text: &str) -> Options {
    Options {
        grammar: Some(text.into()),
        ..Options::default()
    }
}

/// A request by a grammar, half signed.
async fn by_grammar(world: &World, tag: u8, text: &str) -> (Pubkey, InferenceRequest) {
    let (args, prompt) = by_options(world, tag, &grammar(text)).await;
    (world.job(&args), world.cosigned(&args, &prompt).await)
}

/// Opens a job whose prompt the gateway has, and tells of it until it is no longer open.
async fn opened(world: &World, args: &RequestInference, prompt: PromptBody) -> Pubkey {
    let hash = hex::encode(args.prompt_hash);
    let told = &world.gateway.told;
    told.lock().unwrap().prompts.insert(hash, prompt);
    world
        .chain
        .send_and_confirm(
            &[ix::request_inference(&world.requester(false), args)],
            &world.payer.pubkey(),
            &[&world.payer, &world.owner],
            Commitment::Processed,
        )
        .await
        .unwrap();
    let job = world.job(args);
    let event = json!({"op": "add", "entity": job.to_string(), "payload": {"status": "open"}});
    let started = Instant::now();
    loop {
        let _ = world.gateway.feed.send(event.to_string());
        let state = world.read(&job, Commitment::Processed).await;
        if state.is_some_and(|j| j.status() != Some(JobStatus::Open)) {
            return job;
        }
        assert!(started.elapsed() < PATIENCE, "nobody takes it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_an_open_job_are_followed_but_a_grammar_is_given_back_for_nothing() {
    // Fifty slots in which giving back costs nothing.
    let mut world = World::start(200).await;
    world.model = world.succeed_model().await;
    let _node = world.node(QUICK);
    let drawn = Options {
        top_k: 5,
        ..Options::default()
    };
    let (args, prompt) = by_options(&world, 3, &drawn).await;
    let job = opened(&world, &args, prompt).await;
    world
        .until(&job, Commitment::Processed, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    let (args, prompt) = by_options(&world, 4, &grammar("start: \"readable\"")).await;
    let job = opened(&world, &args, prompt).await;
    let state = world
        .until(&job, Commitment::Processed, "refunded", |j| {
            j.status() == Some(JobStatus::Refunded)
        })
        .await;
    gave_up_for_nothing(&world, &state).await;
}

/// The validator declined this job and no other, which took nothing of its stake.
async fn gave_up_for_nothing(world: &World, job: &Job) {
    assert_eq!(job.end_reason, EndReason::Declined as u8);
    assert_eq!(job.refunded_amount, job.ceiling);
    assert_eq!(job.no_show_amount.get(), 0);
    let address = pda::validator(world.authority.pubkey());
    let (_, validator) = (world.chain.account::<Validator>(&address).await)
        .unwrap()
        .unwrap();
    assert_eq!(
        (validator.jobs_declined.get(), validator.jobs_missed.get()),
        (1, 0)
    );
    assert_eq!(validator.stake, validator.staked);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_whose_grammar_meets_a_limit_on_the_way_cost_a_node_that_signed_for_them_no_stake()
{
    let mut world = World::start(60).await;
    world.model = world.succeed_model().await;
    let node = world.node(SLOW);
    let (job, request) = by_grammar(&world, 5, "start: \"explodes\"").await;
    let code = match post(&node, &request).await {
        // It was given up before the chain showed it.
        Err((_, code)) => code,
        Ok(events) => match events.all().await.pop() {
            Some(NodeEvent::Error { code, .. }) => code,
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(code, wire::GRAMMAR_LIMIT);
    let state = world
        .until(&job, Commitment::Processed, "refunded", |j| {
            j.status() == Some(JobStatus::Refunded)
        })
        .await;
    gave_up_for_nothing(&world, &state).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_stand_in_the_evidence_and_a_grammar_that_cant_be_read_is_never_signed_for() {
    let mut world = World::start(60).await;
    world.model = world.succeed_model().await;
    let node = world.node(QUICK);
    let (refused, request) = by_grammar(&world, 1, "start: \"unreadable\"").await;
    let (status, _) = post(&node, &request).await.err().unwrap();
    assert_eq!(status, 400);
    let (job, request) = by_grammar(&world, 2, "start: \"readable\"").await;
    let events = post(&node, &request).await.unwrap().all().await;
    let Some(NodeEvent::Done { evidence, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(evidence.options, request.options);
    evidence.verify().unwrap();
    let state = world
        .until(&job, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert!(evidence.of(job.as_array(), &state).is_ok());
    assert!(world.read(&refused, Commitment::Processed).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grammar_that_cant_be_read_counts_also_against_who_went_away_meanwhile() {
    let mut world = World::start(60).await;
    world.model = world.succeed_model().await;
    let puppet = Puppet::at(QUICK);
    let (begun, end) = (puppet.begun.clone(), puppet.end.clone());
    let config = NodeConfig {
        max_unseen: 64,
        ..world.config()
    };
    let node = run_node(config, world.model, Arc::new(puppet), any_port());
    // As many as an address may send at once.
    for tag in 1..=20 {
        let (_, request) = by_grammar(&world, tag, "start: \"slow and unreadable\"").await;
        let started = Instant::now();
        let begins = async {
            while begun.load(Ordering::Relaxed) < usize::from(tag) {
                assert!(started.elapsed() < PATIENCE, "it is not read");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = post(&node, &request) => panic!("{:?}", answer.err()),
            () = begins => {}
        }
    }
    end.cancel();
    // Far fewer than that.
    for tag in 21..=29 {
        let (_, request) = by_grammar(&world, tag, "start: \"unreadable\"").await;
        match post(&node, &request).await.err() {
            Some((429, _)) => return,
            other => assert_eq!(other.map(|(status, _)| status), Some(400)),
        }
    }
    panic!("nothing was counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_followed_as_the_validator_that_it_is_kept_for() {
    let world = World::start(60).await;
    let _node = world.node(QUICK);
    let started = Instant::now();
    loop {
        let following = world.gateway.told.lock().unwrap().following.clone();
        assert!(
            following
                .iter()
                .all(|(key, _)| *key == world.operator.pubkey())
        );
        if ["topics=jobs", "topics=results"]
            .iter()
            .all(|topics| following.iter().any(|(_, followed)| followed == topics))
        {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{following:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_job_from_the_feed_is_accepted_fetched_run_and_given_back() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    let (args, prompt) = world.request(2, 8).await;
    let job = world.job(&args);
    world
        .gateway
        .told
        .lock()
        .unwrap()
        .prompts
        .insert(hex::encode(args.prompt_hash), prompt);
    world
        .chain
        .send_and_confirm(
            &[ix::request_inference(&world.requester(false), &args)],
            &world.payer.pubkey(),
            &[&world.payer, &world.owner],
            Commitment::Processed,
        )
        .await
        .unwrap();
    let event = json!({"seq": 1, "topic": "jobs", "op": "add", "entity": job.to_string(), "payload": {"status": "open"}});
    let started = Instant::now();
    loop {
        // The node subscribes on its own time.
        let _ = world.gateway.feed.send(event.to_string());
        let accepted = world
            .read(&job, Commitment::Processed)
            .await
            .is_some_and(|j| j.status() != Some(JobStatus::Open));
        if accepted {
            break;
        }
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let state = world
        .until(&job, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert_eq!(state.validator, world.authority.pubkey().to_bytes());
    let started = Instant::now();
    while world.gateway.told.lock().unwrap().results.is_empty() {
        assert!(started.elapsed() < PATIENCE, "the result is put back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = world.gateway.told.lock().unwrap();
    let (key, result) = &told.results[0];
    assert_eq!(
        (*key, &result.output_ids),
        (world.operator.pubkey(), &expected(&args, &job))
    );
    assert_eq!(
        result.evidence.verify().unwrap().fingerprint,
        state.fingerprint
    );
    assert!(told.asked.iter().all(|key| *key == world.operator.pubkey()));
    drop(told);
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_job_whose_prompt_is_another_is_declined() {
    let world = World::start(60).await;
    let _node = world.node(QUICK);
    let (args, mut prompt) = world.request(3, 8).await;
    let job = world.job(&args);
    prompt.prompt_ids[0] += 1;
    world
        .gateway
        .told
        .lock()
        .unwrap()
        .prompts
        .insert(hex::encode(args.prompt_hash), prompt);
    world
        .chain
        .send_and_confirm(
            &[ix::request_inference(&world.requester(false), &args)],
            &world.payer.pubkey(),
            &[&world.payer, &world.owner],
            Commitment::Processed,
        )
        .await
        .unwrap();
    let event =
        json!({"op": "add", "entity": job.to_string(), "payload": {"status": "open"}}).to_string();
    let feed = world.gateway.feed.clone();
    let pump = tokio::spawn(async move {
        loop {
            let _ = feed.send(event.clone());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    world
        .until(&job, Commitment::Processed, "refunded", |j| {
            j.status() == Some(JobStatus::Refunded)
        })
        .await;
    pump.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_stream_commits_to_what_was_handed_out() {
    let world = World::start(60).await;
    let node = world.node(SLOW);
    let (args, prompt) = world.request(4, 400).await;
    let job = world.job(&args);
    let mut events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap();
    let mut seen = 0;
    while seen < 5 {
        if let Some(NodeEvent::Token { .. }) = events.next().await {
            seen += 1;
        }
    }
    drop(events);
    let state = world.read(&job, Commitment::Processed).await.unwrap();
    world
        .chain
        .send_and_confirm(
            &[ix::cancel_job(world.canceller.pubkey(), job, &state)],
            &world.canceller.pubkey(),
            &[&world.canceller],
            Commitment::Processed,
        )
        .await
        .unwrap();
    let state = world
        .until(&job, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert_eq!(state.finish_reason, Finish::Cancelled as u8);
    let count = state.output_tokens.get();
    assert!((5..400).contains(&count), "{count} tokens");
    assert_eq!(
        output::output_root(&expected(&args, &job)[..count as usize]),
        Some(state.output_root)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_share_a_transaction_and_a_bad_one_holds_up_no_other() {
    use mythic_client::{Bids, Due};
    use mythic_interface::ix::SubmitResult;
    use mythic_node::serve::submit::{Means, Outcome, Ready, Submitter};
    let world = World::start(60).await;
    drop(world.node(QUICK));
    let mut told = Vec::new();
    let fees = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = fees.clone();
    let means = Means {
        chain: world.chain.clone(),
        operator: Arc::new(world.operator.insecure_clone()),
        validator: world.authority.pubkey(),
        bids: Bids::default(),
        slot: Arc::new(|| 0),
        on_fee: Arc::new(move |fee| {
            counted.fetch_add(fee, std::sync::atomic::Ordering::SeqCst);
        }),
    };
    // What comes within a second goes together.
    let submitter = Submitter::start(means, Arc::new(|| Duration::from_secs(1)));
    let mut jobs = Vec::new();
    for tag in 0..4u8 {
        let (args, _) = world.request(20 + tag, 3).await;
        let instruction = ix::request_inference(&world.requester(true), &args);
        let signers = [&world.payer, &world.owner, &world.operator];
        world
            .chain
            .send_and_confirm(
                &[instruction],
                &world.payer.pubkey(),
                &signers,
                Commitment::Processed,
            )
            .await
            .unwrap();
        let job = world.job(&args);
        jobs.push((job, world.read(&job, Commitment::Processed).await.unwrap()));
    }
    for (bad, range) in [(false, 0..2), (true, 2..4)] {
        let before = fees.load(std::sync::atomic::Ordering::SeqCst);
        for (i, (job, state)) in jobs[range].iter().enumerate() {
            let args = SubmitResult {
                terms_hash: if bad && i == 0 {
                    [9; 32]
                } else {
                    state.terms_hash
                },
                output_root: [2; 32],
                fingerprint: [3; 32],
                output_tokens: 3.into(),
                finish_reason: Finish::Length as u8,
            };
            let (sender, receiver) = tokio::sync::mpsc::channel(4);
            submitter
                .submit(Ready {
                    job: *job,
                    args,
                    due: Due::NEVER,
                    told: sender,
                })
                .await;
            told.push((bad && i == 0, receiver));
        }
        for (expect_failure, mut receiver) in told.drain(..) {
            let mut last = None;
            while let Some(outcome) = receiver.recv().await {
                last = Some(outcome);
            }
            match (expect_failure, last) {
                (true, Some(Outcome::Failed(reason))) => {
                    assert!(reason.contains("WrongFork"), "{reason}")
                }
                (false, Some(Outcome::Landed(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            fees.load(std::sync::atomic::Ordering::SeqCst) - before,
            5_000,
            "one transaction"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_runs_and_refuses_what_comes() {
    let world = World::start(60).await;
    let config = NodeConfig {
        drain_seconds: 60,
        ..world.config()
    };
    let node = run_node(config, world.model, Arc::new(Puppet::at(SLOW)), any_port());
    let (args, prompt) = world.request(8, 150).await;
    let (other, other_prompt) = world.request(9, 30).await;
    let late = world.cosigned(&other, &other_prompt).await;
    let mut events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap();
    events.next().await.unwrap();
    node.stop.cancel();
    let until = Instant::now() + PATIENCE;
    while reqwest::get(format!("{}/health", node.url))
        .await
        .is_ok_and(|health| health.status().is_success())
    {
        assert!(Instant::now() < until, "the node does not drain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    match post(&node, &late).await {
        Err((503, code)) if code == "unavailable" => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a stopping node takes no job"),
    }
    let job = world.job(&args);
    world
        .until(&job, Commitment::Processed, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert!(
        world
            .read(&world.job(&other), Commitment::Processed)
            .await
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_refuses_is_a_status_and_costs_nothing() {
    let world = World::start(60).await;
    let node = world.node(QUICK);
    // The vault holds 1 SOL; 30 million lamports per 1K tokens are more.
    let (mut args, prompt) = world.request(10, 10).await;
    args.price_out.set(60_000);
    let refused = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .err()
        .unwrap();
    assert_eq!(
        refused,
        (402, "not_paid".into()),
        "the program wants the model's price"
    );
    assert!(
        world
            .read(&world.job(&args), Commitment::Processed)
            .await
            .is_none()
    );
    let health: serde_json::Value = reqwest::get(format!("{}/health", node.url))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health["status"], "ok");
    let stats: serde_json::Value = reqwest::get(format!("{}/stats", node.url))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(stats["jobs_busy"], 0);
    assert_eq!(stats["cpu_only"], true);
    assert_eq!(
        stats["money"]["net_lamports_per_job"],
        serde_json::Value::Null
    );
}
