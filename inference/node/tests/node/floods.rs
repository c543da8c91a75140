//! Who floods the network with work, or with claims to pay for, keeps no lie from being found.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};
use mythic_client::{
    Commitment,
    keys::{load_keypair, write_keypair},
};
use mythic_engine::{ByOptions, Checked, EngineError, EngineStats, GenerateRequest};
use mythic_interface::{
    params::Rules,
    state::{Case, ClaimKind, Ground, Job, NAMED_POSITIONS, Verdict},
};
use mythic_model::prompt::{Message, PromptError};
use mythic_node::{
    seams::{Disclosure, Shown},
    serve::backend::{Backend, Steps},
    verify::purse::{self, Funds},
};
use mythic_verifier::{Policy, price::Price};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::cases::{
    LONG_SLOT_MS, Liar, PATIENCE, SLOT_MS, STAKE, Seat, another_logit, answer, claim, puppet,
    tell_of_result, totals, until_jury, until_resolved,
};
use crate::harness::{Pace, Puppet, Running, SOL, World, params, post};

/// A puppet whose passes take so many slots, however long these are.
struct Slow {
    honest: Puppet,
    pace: Pace,
    slots: u64,
}

impl Backend for Slow {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        self.honest.generate(request, cancel)
    }
    fn check<'a>(
        &'a self,
        prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        Box::pin(async move {
            let end = self.pace.slot() + self.slots;
            while self.pace.slot() < end {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let honest = &self.honest;
            honest
                .check(prompt_ids, output_ids, claimed, by_options)
                .await
        })
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

fn liar() -> Arc<dyn Backend> {
    Arc::new(Liar {
        honest: puppet(),
        position: 33,
        lie: another_logit,
    })
}

/// Has a seat answer, whatever it shows; the job. The world names the seat.
async fn ask(world: &World, seat: &Seat, tag: u8, tokens: u32) -> Pubkey {
    let (args, prompt) = world.request(tag, tokens).await;
    let node = Running::at(seat.url());
    let request = world.cosigned(&args, &prompt).await;
    post(&node, &request).await.unwrap().all().await;
    world.job(&args)
}

/// Has the first seat answer, and the second one open the answer's case: nothing is withheld.
async fn bait(world: &World, seats: &[Seat], tag: u8, places: &Semaphore) {
    let place = places.acquire().await.unwrap();
    let job = ask(world, &seats[0], tag, 200).await;
    drop(place);
    claim(world, &seats[1], &job, ClaimKind::Withheld, &[]).await;
}

async fn until_fraud(world: &World, seat: &Seat, job: &Pubkey) {
    let started = Instant::now();
    while totals(seat).await["checked"]["fraud"] != 1 {
        tell_of_result(world, job).await;
        assert!(
            started.elapsed() < PATIENCE,
            "not found: {}",
            totals(seat).await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_guilty(case: &Case) -> bool {
    (case.verdict, case.ground) == (Verdict::Guilty as u8, Ground::Jury as u8)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_long_baits_hold_up_neither_the_claim_of_a_lie_nor_its_jury() {
    let mut world = World::paced(SLOT_MS).await;
    world.model = world.succeed_model().await;
    // One that answers, its friend that has each answer's case opened and lies, one that checks everything, four that judge. A pass takes
    // a fifth of a window.
    let mut seats = Vec::new();
    for n in 0..7 {
        let policy = if n == 2 { Policy::All } else { Policy::Rate };
        let mut seat = Seat::new(&world, n, policy, 0.0).await;
        if n < 2 {
            seat.config.verifier.join = false;
            seat.config.verifier.jury = false;
        }
        let backend: Arc<dyn Backend> = match n {
            0 => Arc::new(puppet()),
            1 => liar(),
            _ => Arc::new(Slow {
                honest: puppet(),
                pace: world.pace.clone(),
                slots: 20,
            }),
        };
        seat.start(&world, backend);
        seats.push(seat);
    }
    let friend = load_keypair(&seats[1].config.operator_keypair)
        .unwrap()
        .pubkey();
    world.chain.airdrop(&friend, 5 * SOL).await.unwrap();
    answer(&mut world, &seats[0], 1, 200).await;
    // The lie comes while the baits' windows are open: what the test and the nodes do takes few slots, what passes take is counted in them.
    world.pace.least(LONG_SLOT_MS);
    let places = Semaphore::new(2);
    join_all((2..22).map(|tag| bait(&world, &seats, tag, &places))).await;
    let lie = answer(&mut world, &seats[1], 22, 200).await;
    until_fraud(&world, &seats[2], &lie).await;
    until_jury(&world, &lie).await;
    let case = until_resolved(&world, &lie).await;
    assert_eq!(
        case.claims()[0].claimant,
        seats[2].authority.pubkey().to_bytes()
    );
    assert!(is_guilty(&case), "{:?}", (case.verdict, case.ground));
    assert_eq!(case.penalties_amount.get(), 0);
}

/// Shows nothing but what its cases ask for.
struct Baiting;

impl Disclosure for Baiting {
    fn shown(&self) -> Shown {
        Shown::Nothing
    }
}

/// What an operator needs for a first `false` and for two baits and a half.
async fn little(world: &World, rules: &Rules) -> u64 {
    let rents = purse::rents(&world.chain).await.unwrap();
    let means = Funds {
        rents: &rents,
        bids: &mythic_client::Bids::default(),
        largest_stake: STAKE,
        stake: 0,
    };
    let fees = 50_000_000;
    purse::wallet(rules, &means) - fees - (rents.case + rents.page) / 2
}

#[tokio::test(flavor = "multi_thread")]
async fn three_baits_leave_the_money_for_the_claim_of_a_lie() {
    // Evidence is asked for every two seconds, as on a real network.
    let mut world = World::paced(LONG_SLOT_MS).await;
    world.model = world.succeed_model().await;
    let mut seats = Vec::new();
    for n in 0..7 {
        let policy = if n == 2 { Policy::All } else { Policy::Rate };
        let mut seat = Seat::new(&world, n, policy, 0.0).await;
        if n == 0 {
            seat.disclosure = Arc::new(Baiting);
        }
        if n == 2 {
            // It has no more than that, and no other wallet to fall back on.
            let operator = Keypair::new();
            let lamports = little(&world, &params().rules).await;
            world
                .chain
                .airdrop(&operator.pubkey(), lamports)
                .await
                .unwrap();
            seat.config.operator_keypair = world.dir.path().join("little.json");
            write_keypair(&seat.config.operator_keypair, &operator).unwrap();
            seat.start(&world, Arc::new(puppet()));
            seat.node.take().unwrap().kill();
            seat.config.authority_keypair = None;
            seat.config.validator = Some(seat.authority.pubkey().to_string());
        }
        seat.start(&world, if n == 1 { liar() } else { Arc::new(puppet()) });
        seats.push(seat);
    }
    let mut baits = Vec::new();
    world.authority = seats[0].authority.insecure_clone();
    world.operator = load_keypair(&seats[0].config.operator_keypair).unwrap();
    for tag in 1..4 {
        let job = ask(&world, &seats[0], tag, 50).await;
        let submitted = |job: &Job| job.submitted_slot.get() != 0;
        let state = world.until(&job, Commitment::Processed, "submitted", submitted);
        baits.push((job, state.await));
    }
    let started = Instant::now();
    while totals(&seats[2]).await["checked"]["withheld"] != 3 {
        for (bait, _) in &baits {
            tell_of_result(&world, bait).await;
        }
        assert!(started.elapsed() < PATIENCE, "not found withheld");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // However many are opened, and whenever one of them is closed and its rent is back: what a first `false` ties up is always there.
    let rents = purse::rents(&world.chain).await.unwrap();
    let claim = (ClaimKind::False, NAMED_POSITIONS as u32);
    let price = Price::of(&baits[0].1, None, claim, &rents).unwrap();
    let payer = load_keypair(&seats[2].config.operator_keypair)
        .unwrap()
        .pubkey();
    let end = baits[2].1.window_end().unwrap();
    let started = Instant::now();
    loop {
        let over = world.chain.slot(Commitment::Processed).await.unwrap() >= end;
        let left = world.chain.balance(&payer).await.unwrap();
        assert!(left >= price.total(), "{left} of {} is left", price.total());
        if over && totals(&seats[2]).await["opened"] != 0 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "none is paid for");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lie = answer(&mut world, &seats[1], 4, 200).await;
    until_fraud(&world, &seats[2], &lie).await;
    let case = until_resolved(&world, &lie).await;
    assert!(is_guilty(&case), "{:?}", (case.verdict, case.ground));
}
