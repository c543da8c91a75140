//! Several nodes that check each other, with a real chain and puppets for models.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use mythic_client::{Commitment, ix, keys::write_keypair, pda};
use mythic_engine::{ByOptions, Checked, EngineError, EngineStats, GenerateRequest};
use mythic_interface::state::{
    Case, CaseStatus, ClaimKind, EndReason, Ground, Job, JobStatus, Validator, ValidatorStatus,
    Verdict,
};
use mythic_interface::{ix::Tag, sampler::Top4};
use mythic_model::prompt::{Message, PromptError};
use mythic_node::{
    NodeConfig,
    seams::{Disclosure, Open},
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

use crate::harness::{Crowd, Puppet, Running, SOL, World, any_port, post, run_node_that};

/// Longest wait for a condition: slots are as long as the nodes need.
pub const PATIENCE: Duration = Duration::from_secs(300);
pub const STAKE: u64 = 2 * SOL;
pub const SLOT_MS: u64 = 80;
/// Where a node has to do something within a number of slots that a busy machine could let pass.
pub const LONG_SLOT_MS: u64 = 3 * SLOT_MS;

/// A puppet that claims something else than the model's four at one position.
pub struct Liar {
    pub honest: Puppet,
    pub position: u32,
    pub lie: fn(&mut Top4),
}

/// Another logit: nothing a replay can see. The least of the four, so that the sampler's choice stays.
pub fn another_logit(four: &mut Top4) {
    four[3].1 -= 1;
}

impl Backend for Liar {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        let mut steps = self.honest.generate(request, cancel)?;
        let (sender, receiver) = mpsc::channel(4_096);
        let (position, lie) = (self.position, self.lie);
        tokio::spawn(async move {
            while let Some(mut step) = steps.recv().await {
                if let Ok(step) = &mut step
                    && step.position == position
                {
                    lie(&mut step.top4);
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
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        self.honest
            .check(prompt_ids, output_ids, claimed, by_options)
    }
    fn check_grammar<'a>(&'a self, grammar: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.honest.check_grammar(grammar)
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

pub fn puppet() -> Puppet {
    Puppet::at(Duration::from_millis(1))
}

/// A validator beside the world's own.
pub struct Seat {
    pub authority: Keypair,
    pub config: NodeConfig,
    pub disclosure: Arc<dyn Disclosure>,
    /// Bound as long as the seat is there, whoever of its nodes listens.
    port: std::net::TcpListener,
    pub node: Option<Running>,
}

impl Seat {
    pub async fn new(world: &World, n: u8, policy: Policy, rate: f64) -> Self {
        let (authority, operator) = (Keypair::new(), Keypair::new());
        for (key, lamports) in [(&authority, 5 * SOL), (&operator, 3 * SOL)] {
            world.chain.airdrop(&key.pubkey(), lamports).await.unwrap();
        }
        let dir = world.dir.path().join(format!("seat-{n}"));
        let (authority_path, operator_path) = (dir.join("a.json"), dir.join("o.json"));
        write_keypair(&authority_path, &authority).unwrap();
        write_keypair(&operator_path, &operator).unwrap();
        let port = any_port();
        let endpoint = format!("http://{}", port.local_addr().unwrap());
        world.pace.waits_for(&endpoint);
        let config = NodeConfig {
            data_dir: dir.join("data"),
            authority_keypair: Some(authority_path),
            operator_keypair: operator_path,
            endpoint: Some(endpoint),
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
            disclosure: Arc::new(Open),
            port,
            node: None,
        }
    }

    pub fn start(&mut self, world: &World, backend: Arc<dyn Backend>) {
        self.node = Some(run_node_that(
            self.config.clone(),
            world.model,
            backend,
            self.disclosure.clone(),
            self.port.try_clone().unwrap(),
        ));
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.port.local_addr().unwrap())
    }

    async fn validator(&self, world: &World) -> Validator {
        let address = pda::validator(self.authority.pubkey());
        world.chain.account(&address).await.unwrap().unwrap().1
    }
}

/// Has a seat answer a request; the job.
pub async fn answer(world: &mut World, seat: &Seat, tag: u8, tokens: u32) -> Pubkey {
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
    let last = events.last();
    assert!(matches!(last, Some(NodeEvent::Done { .. })), "{last:?}");
    job
}

pub async fn tell_of_result(world: &World, job: &Pubkey) {
    let event = json!({"seq": 1, "topic": "results", "op": "add", "entity": job.to_string(), "payload": {"status": "submitted"}});
    let _ = world.gateway.feed.send(event.to_string());
}

pub async fn case_of(world: &World, job: &Pubkey) -> Option<Case> {
    let found = world.chain.account::<Case>(&pda::case(job)).await.unwrap();
    found.map(|(_, case)| case)
}

pub async fn until_case(
    world: &World,
    job: &Pubkey,
    what: &str,
    holds: impl Fn(&Case) -> bool,
) -> Case {
    let started = Instant::now();
    let mut last = None;
    while started.elapsed() < PATIENCE {
        last = case_of(world, job).await;
        if let Some(case) = last.filter(|case| holds(case)) {
            return case;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    panic!(
        "no case that is {what}: {:?}",
        last.map(|c| (c.status(), c.opened, c.claim_count, c.false_count))
    );
}

/// Lets a case come to its jury: slots are long until its output is shown, short until nobody joins it any more, then long again.
pub async fn until_jury(world: &World, job: &Pubkey) {
    until_case(world, job, "shown", Case::is_shown).await;
    world.pace.least(SLOT_MS);
    let over = |case: &Case| case.status() != Some(CaseStatus::Joining);
    until_case(world, job, "past its joining", over).await;
    world.pace.least(LONG_SLOT_MS);
}

pub async fn until_resolved(world: &World, job: &Pubkey) -> Case {
    let resolved = |case: &Case| case.status() == Some(CaseStatus::Resolved);
    until_case(world, job, "resolved", resolved).await
}

/// A key of a seat, as who claims by hand.
fn claimant(seat: &Seat) -> (Keypair, ix::Claimant) {
    let operator = mythic_client::keys::load_keypair(&seat.config.operator_keypair).unwrap();
    let who = ix::Claimant {
        payer: operator.pubkey(),
        operator: operator.pubkey(),
        authority: seat.authority.pubkey(),
    };
    (operator, who)
}

/// Claims by hand, again and again until it is taken.
pub async fn claim(world: &World, seat: &Seat, job: &Pubkey, kind: ClaimKind, positions: &[u32]) {
    let (operator, who) = claimant(seat);
    let statement = ix::Statement {
        kind,
        bond: SOL,
        positions,
        served: None,
    };
    let started = Instant::now();
    loop {
        let state = world.read(job, Commitment::Processed).await.unwrap();
        let call = ix::verify_logits(&who, job, &state, &statement);
        let payer = operator.pubkey();
        let (calls, signers) = ([call], [&operator]);
        let sent = world
            .chain
            .send_and_confirm(&calls, &payer, &signers, Commitment::Processed);
        match sent.await {
            Ok(_) => return,
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn totals(seat: &Seat) -> Value {
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
    let mut world = World::paced(SLOT_MS).await;
    world.model = world.succeed_model().await;
    // One that lies, one that checks everything, four that judge.
    let mut seats = Vec::new();
    for n in 0..6 {
        let policy = if n == 1 { Policy::All } else { Policy::Rate };
        let mut seat = Seat::new(&world, n, policy, 0.0).await;
        let backend: Arc<dyn Backend> = match n {
            0 => Arc::new(Liar {
                honest: puppet(),
                position: 333,
                lie: another_logit,
            }),
            _ => Arc::new(puppet()),
        };
        seat.start(&world, backend);
        seats.push(seat);
    }
    world.pace.least(LONG_SLOT_MS);
    let job = answer(&mut world, &seats[0], 1, 400).await;
    // The claimant is killed once it has found the lie and before it can claim it: the clock stands. Nobody tells it again.
    let submitted = |job: &Job| job.submitted_slot.get() != 0;
    world
        .until(&job, Commitment::Confirmed, "submitted", submitted)
        .await;
    let held = world.pace.hold().await;
    let started = Instant::now();
    while totals(&seats[1]).await["checked"]["fraud"] != 1 {
        tell_of_result(&world, &job).await;
        assert!(
            started.elapsed() < PATIENCE,
            "not found: {}",
            totals(&seats[1]).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seats[1].node.take().unwrap().kill();
    assert!(
        case_of(&world, &job).await.is_none(),
        "the sample is not known yet"
    );
    drop(held);
    seats[1].start(&world, Arc::new(puppet()));
    until_jury(&world, &job).await;
    // In the middle, after most have committed (one of four may win no seat): all reveal all the same.
    let committed = |case: &Case| {
        let bits = case.committers.iter().map(|byte| byte.count_ones());
        bits.sum::<u32>() >= 3
    };
    until_case(&world, &job, "committed to", committed).await;
    for seat in &mut seats[2..] {
        seat.node.take().unwrap().kill();
        seat.start(&world, Arc::new(puppet()));
    }
    let case = until_resolved(&world, &job).await;
    let ended = world.read(&job, Commitment::Processed).await.unwrap();
    assert_eq!(ended.end_reason, EndReason::Guilty as u8);
    assert!(ended.ended_slot.get() - ended.submitted_slot.get() < 400);
    assert_eq!(
        (case.verdict, case.ground),
        (Verdict::Guilty as u8, Ground::Jury as u8)
    );
    // The others have seen the case, and left alone what was claimed already.
    assert_eq!(case.claims().len(), 1);
    let mut named = case.claims()[0].group().iter();
    assert!(
        named.any(|leaf| leaf.position.get() == 333)
            || case.sample().iter().any(|leaf| leaf.position.get() == 333)
    );
    assert_eq!(case.slashed_amount.get(), STAKE / 2);
    assert_eq!(case.penalties_amount.get(), 0);
    let liar = seats[0].validator(&world).await;
    assert_eq!(liar.header.status, ValidatorStatus::Jailed as u8);
    assert_eq!(liar.whole_stake(), STAKE / 2);
    // Bond and reward are collected by whoever is due, and written down once the end is final.
    let reward = STAKE / 5;
    let bond = case.claims()[0].bond();
    let started = Instant::now();
    loop {
        let claimant = seats[1].validator(&world).await;
        let totals = totals(&seats[1]).await;
        if claimant.claimable.get() >= reward + bond && totals["won"] == 1 {
            assert_eq!(totals["earned_lamports"], reward, "{totals}");
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
async fn a_false_claim_is_answered_and_costs_the_claimant_its_bond() {
    let mut world = World::paced(SLOT_MS).await;
    world.model = world.succeed_model().await;
    let mut seats = Vec::new();
    for n in 0..6 {
        let mut seat = Seat::new(&world, n, Policy::All, 1.0).await;
        seat.start(&world, Arc::new(puppet()));
        seats.push(seat);
    }
    let job = answer(&mut world, &seats[0], 2, 200).await;
    // Everybody finds it honest, and one claims that it is false.
    tell_of_result(&world, &job).await;
    claim(&world, &seats[1], &job, ClaimKind::False, &[]).await;
    let case = until_resolved(&world, &job).await;
    assert_eq!(
        (case.verdict, case.ground),
        (Verdict::NotGuilty as u8, Ground::Jury as u8)
    );
    assert!(case.shown_slot.get() - case.opened_slot.get() < 50);
    assert_eq!(case.claims().len(), 1, "nobody joined");
    let claim = &case.claims()[0];
    assert_eq!(case.submitter_amount, claim.answering_fee);
    assert_eq!(case.burned_amount, claim.at_stake);
    let ended = world.read(&job, Commitment::Processed).await.unwrap();
    assert_eq!(ended.status(), Some(JobStatus::Settled));
    let started = Instant::now();
    loop {
        let (claimant, submitter) = (totals(&seats[1]).await, totals(&seats[0]).await);
        if claimant["lost"] == 1 && submitter["answered_good"] == 1 {
            assert!(claimant["lost_lamports"].as_u64().unwrap() >= claim.at_stake.get());
            assert_eq!(submitter["earned_lamports"], claim.answering_fee.get());
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{claimant} {submitter}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for seat in &seats[2..] {
        assert_eq!(totals(seat).await["checked"]["honest"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_friend_who_opens_the_case_shields_nothing_and_whoever_sees_it_joins() {
    let mut world = World::paced(SLOT_MS).await;
    world.model = world.succeed_model().await;
    // One that lies, its friend, and others whose policy would never check the answer.
    let mut seats = Vec::new();
    for n in 0..6 {
        let mut seat = Seat::new(&world, n, Policy::Rate, 0.0).await;
        if n == 1 {
            seat.config.verifier.join = false;
            seat.config.verifier.jury = false;
        }
        let backend: Arc<dyn Backend> = match n {
            0 => Arc::new(Liar {
                honest: puppet(),
                position: 333,
                lie: another_logit,
            }),
            _ => Arc::new(puppet()),
        };
        seat.start(&world, backend);
        seats.push(seat);
    }
    let job = answer(&mut world, &seats[0], 3, 400).await;
    // Nothing is withheld, and the friend says so to have the case over.
    claim(&world, &seats[1], &job, ClaimKind::Withheld, &[]).await;
    let joined = until_case(&world, &job, "joined", |case| case.false_count > 0).await;
    let names = |case: &Case| {
        case.claims()[1]
            .group()
            .iter()
            .any(|l| l.position.get() == 333)
    };
    let sampled = joined
        .sample()
        .iter()
        .any(|leaf| leaf.position.get() == 333);
    assert!(names(&joined) || sampled);
    let case = until_resolved(&world, &job).await;
    assert_eq!(case.verdict, Verdict::Guilty as u8);
    let friend = &case.claims()[0];
    assert_eq!(
        friend.amount, friend.answering_fee,
        "it has its bond and no more"
    );
    let honest = &case.claims()[1];
    assert_eq!(honest.amount.get(), honest.bond() + STAKE / 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_runs_its_course_where_somebody_fills_its_accounts() {
    // 50,000 times what the cheapest transactions pay, which fill an account's share of a block for 12 lamports.
    const PRICE: u64 = 50_000;
    let mut world = World::paced(SLOT_MS).await;
    world.model = world.succeed_model().await;
    let (crowd, url) = Crowd::start(&world.rpc_url, PRICE).await;
    let chain = std::mem::replace(&mut world.rpc_url, url);
    let mut seats = Vec::new();
    for n in 0..6 {
        let policy = if n == 1 { Policy::All } else { Policy::Rate };
        let mut seat = Seat::new(&world, n, policy, 0.0).await;
        let backend: Arc<dyn Backend> = match n {
            0 => Arc::new(Liar {
                honest: puppet(),
                position: 333,
                lie: another_logit,
            }),
            _ => Arc::new(puppet()),
        };
        seat.start(&world, backend);
        seats.push(seat);
    }
    world.rpc_url = chain;
    let job = answer(&mut world, &seats[0], 4, 400).await;
    let started = Instant::now();
    while totals(&seats[1]).await["checked"]["fraud"] != 1 {
        tell_of_result(&world, &job).await;
        assert!(started.elapsed() < PATIENCE, "not found");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let case = until_resolved(&world, &job).await;
    assert_eq!(
        (case.verdict, case.ground),
        (Verdict::Guilty as u8, Ground::Jury as u8)
    );
    assert_eq!(case.penalties_amount.get(), 0, "everybody revealed in time");
    let passed = crowd.passed();
    let bids = seats[0].config.bids;
    // Which step still begins with nothing depends on how long the ones before it took to land.
    assert!(passed.iter().any(|passed| passed.bid == 0));
    for tag in [
        Tag::VerifyLogits,
        Tag::PostOutput,
        Tag::PostOpenings,
        Tag::CommitJuror,
        Tag::RevealJuror,
    ] {
        let of = || passed.iter().filter(|passed| passed.tag == tag);
        assert!(of().any(|passed| passed.taken), "{tag:?} lands");
        assert!(of().all(|passed| passed.bid <= bids.max_priority_fee_lamports));
        assert!(of().all(|passed| passed.limit <= 200_000), "{tag:?}");
    }
}
