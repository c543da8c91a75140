//! Several nodes that check each other, with a real chain and puppets for models.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use mythic_client::{Commitment, Filter, ix, keys::write_keypair, pda};
use mythic_engine::{Checked, EngineError, EngineStats, GenerateRequest};
use mythic_interface::state::{
    Dispute, DisputeStatus, EndReason, Ground, Job, JobStatus, Validator, ValidatorStatus, Verdict,
};
use mythic_model::prompt::{Message, PromptError};
use mythic_node::{
    NodeConfig,
    serve::backend::{Backend, Steps},
};
use mythic_verifier::{Policy, VerifierConfig};
use mythic_wire::NodeEvent;
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::{PATIENCE, Puppet, Running, SOL, World, post, run_node};

const STAKE: u64 = 2 * SOL;
const SLOT_MS: u64 = 80;

/// A puppet that claims another logit than the model's at one position: nothing a replay can see.
struct Liar {
    honest: Puppet,
    position: u32,
}

impl Backend for Liar {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        let mut steps = self.honest.generate(request, cancel)?;
        let (sender, receiver) = mpsc::channel(4_096);
        let position = self.position;
        tokio::spawn(async move {
            while let Some(mut step) = steps.recv().await {
                if let Ok(step) = &mut step
                    && step.position == position
                {
                    // The least of the four, so that the sampler's choice stays.
                    step.top4[3].1 -= 1;
                }
                if sender.send(step).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
    fn check<'a>(
        &'a self,
        prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        self.honest.check(prompt_ids, output_ids, claimed)
    }
    fn stats(&self) -> EngineStats {
        self.honest.stats()
    }
    fn decode(&self, ids: &[u32]) -> String {
        self.honest.decode(ids)
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        self.honest.chat(messages)
    }
    fn context_length(&self) -> u32 {
        self.honest.context_length()
    }
    fn vocab_size(&self) -> usize {
        self.honest.vocab_size()
    }
}

fn puppet() -> Puppet {
    Puppet::at(Duration::from_millis(1))
}

/// A validator beside the world's own.
struct Seat {
    authority: Keypair,
    config: NodeConfig,
    port: u16,
    node: Option<Running>,
}

impl Seat {
    async fn new(world: &World, n: u8, policy: Policy, rate: f64) -> Self {
        let (authority, operator) = (Keypair::new(), Keypair::new());
        for (key, lamports) in [(&authority, 5 * SOL), (&operator, 3 * SOL)] {
            world.chain.airdrop(&key.pubkey(), lamports).await.unwrap();
        }
        let dir = world.dir.path().join(format!("seat-{n}"));
        let (authority_path, operator_path) = (dir.join("a.json"), dir.join("o.json"));
        write_keypair(&authority_path, &authority).unwrap();
        write_keypair(&operator_path, &operator).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = NodeConfig {
            data_dir: dir.join("data"),
            authority_keypair: Some(authority_path),
            operator_keypair: operator_path,
            endpoint: Some(format!("http://127.0.0.1:{port}")),
            stake_lamports: STAKE,
            withdraw_above_lamports: 0,
            verifier: VerifierConfig {
                policy,
                rate,
                ..VerifierConfig::default()
            },
            ..world.config()
        };
        Self {
            authority,
            config,
            port,
            node: None,
        }
    }

    fn start(&mut self, world: &World, backend: Arc<dyn Backend>) {
        self.node = Some(run_node(
            self.config.clone(),
            world.model,
            backend,
            self.port,
        ));
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn validator(&self, world: &World) -> Validator {
        let address = pda::validator(self.authority.pubkey());
        world.chain.account(&address).await.unwrap().unwrap().1
    }
}

/// Has a seat answer a request; the job.
async fn answer(world: &mut World, seat: &Seat, tag: u8, tokens: u32) -> Pubkey {
    world.authority = seat.authority.insecure_clone();
    world.operator = mythic_client::keys::load_keypair(&seat.config.operator_keypair).unwrap();
    let (args, prompt) = world.request(tag, tokens).await;
    let job = world.job(&args);
    let node = Running::at(seat.url());
    let events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    assert!(
        matches!(events.last(), Some(NodeEvent::Done { .. })),
        "{events:?}"
    );
    job
}

async fn tell_of_result(world: &World, job: &Pubkey) {
    let event = json!({"seq": 1, "topic": "results", "op": "add", "entity": job.to_string(), "payload": {"status": "submitted"}});
    let _ = world.gateway.feed.send(event.to_string());
}

async fn disputes(world: &World, job: &Pubkey) -> Vec<(Pubkey, Dispute)> {
    let filters = [Filter::<Dispute>::job(job)];
    world
        .chain
        .program_accounts::<Dispute>(&filters, Commitment::Processed)
        .await
        .unwrap()
}

async fn until_resolved(world: &World, address: &Pubkey) -> Dispute {
    let started = Instant::now();
    loop {
        if let Some((_, dispute)) = world.chain.account::<Dispute>(address).await.unwrap()
            && dispute.status() == Some(DisputeStatus::Resolved)
        {
            return dispute;
        }
        assert!(started.elapsed() < PATIENCE, "not resolved");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn totals(seat: &Seat) -> Value {
    let stats: Value = reqwest::get(format!("{}/stats", seat.url()))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    stats["verifier"]["totals"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_logit_outside_the_sample_costs_half_of_the_stake() {
    let mut world = World::start(SLOT_MS).await;
    world.model = world.succeed_model().await;
    // One that lies, one that checks everything, three that judge.
    let mut seats = Vec::new();
    for n in 0..5 {
        let policy = if n == 1 { Policy::All } else { Policy::Rate };
        let mut seat = Seat::new(&world, n, policy, 0.0).await;
        let backend: Arc<dyn Backend> = match n {
            0 => Arc::new(Liar {
                honest: puppet(),
                position: 333,
            }),
            _ => Arc::new(puppet()),
        };
        seat.start(&world, backend);
        seats.push(seat);
    }
    let job = answer(&mut world, &seats[0], 1, 400).await;
    let address = pda::dispute(job, seats[1].authority.pubkey());
    // The challenger is killed once it has found the lie and before it can challenge. Nobody tells it again.
    let started = Instant::now();
    while totals(&seats[1]).await["checked"]["fraud"] != 1 {
        tell_of_result(&world, &job).await;
        assert!(started.elapsed() < PATIENCE, "not found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seats[1].node.take().unwrap().kill();
    assert!(
        disputes(&world, &job).await.is_empty(),
        "the sample is not known yet"
    );
    seats[1].start(&world, Arc::new(puppet()));
    let started = Instant::now();
    let mut killed = false;
    let ended = loop {
        let state = world.read(&job, Commitment::Processed).await.unwrap();
        if state.status().is_some_and(JobStatus::is_terminal) {
            break state;
        }
        let dispute = world.chain.account::<Dispute>(&address).await.unwrap();
        let committed = dispute.is_some_and(|(_, d)| d.jury().iter().all(|s| s.is_taken()));
        if committed && !killed {
            // In the middle, after all have committed: they reveal all the same.
            killed = true;
            for seat in &mut seats[2..] {
                seat.node.take().unwrap().kill();
                seat.start(&world, Arc::new(puppet()));
            }
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{:?} {:?}",
            state.status(),
            dispute.map(|(_, d)| (d.status(), d.opened, d.completed_slot.get()))
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(killed);
    assert_eq!(ended.end_reason, EndReason::Guilty as u8);
    assert!(ended.ended_slot.get() - ended.submitted_slot.get() < 300);
    let dispute = until_resolved(&world, &address).await;
    assert_eq!(
        (dispute.verdict, dispute.ground),
        (Verdict::Guilty as u8, Ground::Jury as u8)
    );
    let mut checked = dispute.checked_leaves().iter();
    assert!(
        checked.any(|leaf| leaf.position.get() == 333),
        "it was named"
    );
    assert_eq!(dispute.slashed_amount.get(), STAKE / 2);
    assert_eq!(dispute.penalties_amount.get(), 0);
    let liar = seats[0].validator(&world).await;
    assert_eq!(liar.header.status, ValidatorStatus::Jailed as u8);
    assert_eq!(liar.whole_stake(), STAKE / 2);
    // Bond and reward are collected by whoever is due, and written down once the end is final.
    let started = Instant::now();
    loop {
        let challenger = seats[1].validator(&world).await;
        let totals = totals(&seats[1]).await;
        if challenger.claimable.get() >= STAKE / 4 + dispute.bond.get() && totals["won"] == 1 {
            assert_eq!(totals["earned_lamports"], STAKE / 4, "{totals}");
            assert_eq!(
                (&totals["opened"], &totals["checked"]["fraud"]),
                (&json!(1), &json!(1))
            );
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{totals}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rendered = reqwest::get(format!("{}/metrics", seats[1].url()))
        .await
        .unwrap();
    let rendered = rendered.text().await.unwrap();
    assert!(
        rendered.contains("mythic_verifier_disputes{outcome=\"won\"}"),
        "{rendered}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_challenge_is_answered_and_costs_the_challenger_its_bond() {
    let mut world = World::start(SLOT_MS).await;
    world.model = world.succeed_model().await;
    let mut seats = Vec::new();
    for n in 0..5 {
        let mut seat = Seat::new(&world, n, Policy::All, 1.0).await;
        seat.start(&world, Arc::new(puppet()));
        seats.push(seat);
    }
    let job = answer(&mut world, &seats[0], 2, 200).await;
    // Everybody finds it honest, and one challenges it anyway.
    let state: Job = world
        .until(&job, Commitment::Confirmed, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    tell_of_result(&world, &job).await;
    let operator = mythic_client::keys::load_keypair(&seats[1].config.operator_keypair).unwrap();
    let who = ix::Challenger {
        payer: operator.pubkey(),
        operator: operator.pubkey(),
        authority: seats[1].authority.pubkey(),
    };
    let started = Instant::now();
    loop {
        let call = ix::verify_logits(&who, job, &state, SOL, &[]);
        let sent = world
            .chain
            .send_and_confirm(
                &[call],
                &operator.pubkey(),
                &[&operator],
                Commitment::Processed,
            )
            .await;
        match sent {
            Ok(_) => break,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let address = pda::dispute(job, seats[1].authority.pubkey());
    let dispute = until_resolved(&world, &address).await;
    assert_eq!(
        (dispute.verdict, dispute.ground),
        (Verdict::NotGuilty as u8, Ground::Jury as u8)
    );
    assert!(dispute.completed_slot.get() - dispute.challenged_slot.get() < 50);
    assert_eq!(dispute.submitter_amount, dispute.answering_fee);
    assert_eq!(dispute.burned_amount, dispute.at_stake);
    let ended = world
        .until(&job, Commitment::Processed, "ended", |j| {
            j.status().is_some_and(JobStatus::is_terminal)
        })
        .await;
    assert_eq!(ended.status(), Some(JobStatus::Settled));
    assert_eq!(
        disputes(&world, &job).await.len(),
        1,
        "nobody else challenged"
    );
    let started = Instant::now();
    loop {
        let (challenger, submitter) = (totals(&seats[1]).await, totals(&seats[0]).await);
        if challenger["lost"] == 1 && submitter["answered_good"] == 1 {
            assert!(challenger["lost_lamports"].as_u64().unwrap() >= dispute.at_stake.get());
            assert_eq!(submitter["earned_lamports"], dispute.answering_fee.get());
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{challenger} {submitter}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
