//! Faults of which a node tells the jury, or proves what nobody can post.

use std::sync::Arc;

use mythic_client::Commitment;
use mythic_interface::{
    le::U32,
    sampler::Top4,
    state::{Case, CaseStatus, ClaimKind, Ground, Outcome},
};
use mythic_node::{seams::Disclosure, serve::backend::Backend};
use mythic_verifier::{
    Policy,
    sample::{self, SLOT_HASHES, SlotHashes},
};
use mythic_wire::{
    Evidence, Finish,
    evidence::{Draft, EvidenceError},
};
use solana_pubkey::Pubkey;

use crate::cases::{
    Liar, PATIENCE, SLOT_MS, STAKE, Seat, answer, claim, puppet, until_case, until_resolved,
};
use crate::harness::World;

/// Where the leaf lies that breaks a rule.
const FAULT: u32 = 333;
/// Two fifths of what a guilty validator loses.
const REWARD: u64 = STAKE / 5;

/// The least two in the wrong order: one leaf shows it.
fn disorder(four: &mut Top4) {
    four.swap(2, 3);
}

/// Seals whatever there is.
struct Careless;

impl Disclosure for Careless {
    fn seal(&self, draft: Draft, _: Finish, _: &[U32]) -> Result<Evidence, EvidenceError> {
        Evidence::seal_unchecked(draft)
    }
}

/// One that answers with a fault, a friend that claims by hand, and four whose policy would never check the answer.
async fn network() -> (World, Vec<Seat>) {
    let mut world = World::paced(SLOT_MS).await;
    world.model = world.succeed_model().await;
    let mut seats = Vec::new();
    for n in 0..6 {
        let mut seat = Seat::new(&world, n, Policy::Rate, 0.0).await;
        if n == 1 {
            seat.config.verifier.join = false;
            seat.config.verifier.jury = false;
        }
        if n == 0 {
            seat.disclosure = Arc::new(Careless);
        }
        let backend: Arc<dyn Backend> = match n {
            0 => Arc::new(Liar {
                honest: puppet(),
                position: FAULT,
                lie: disorder,
            }),
            _ => Arc::new(puppet()),
        };
        seat.start(&world, backend);
        seats.push(seat);
    }
    (world, seats)
}

/// Answers until the fault lies outside the sample, which holds it once in twenty-five times.
async fn faulty(world: &mut World, seat: &Seat) -> Pubkey {
    for tag in 1.. {
        let job = answer(world, seat, tag, 400).await;
        let state = world.read(&job, Commitment::Processed).await.unwrap();
        let sysvar = Pubkey::new_from_array(SLOT_HASHES);
        let started = std::time::Instant::now();
        let sample = loop {
            let read = world.chain.raw_account(&sysvar, Commitment::Processed);
            let account = read.await.unwrap().account.unwrap();
            let hashes = SlotHashes::parse(&account.data).unwrap();
            if let Some(sample) = sample::of_job(&state, &hashes) {
                break sample;
            }
            assert!(started.elapsed() < PATIENCE, "no sample");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        if !sample.positions().contains(&FAULT) {
            return job;
        }
    }
    unreachable!("tags are many");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_named_and_proved_though_a_friend_says_an_empty_false_first() {
    let (mut world, seats) = network().await;
    let job = faulty(&mut world, &seats[0]).await;
    claim(&world, &seats[1], &job, ClaimKind::False, &[]).await;
    let proved = |case: &Case| case.claims().iter().any(|claim| claim.is_proved());
    let case = until_case(&world, &job, "proved", proved).await;
    // It was not proved before others could join, which would have paid the friend.
    assert_ne!(case.shown_slot.get(), 0);
    let honest = &case.claims()[1];
    assert_eq!(honest.group()[0].position.get(), FAULT);
    assert_eq!(case.prover, honest.claimant);
    assert_eq!(
        case.leaves_slot, honest.claimed_slot,
        "shown in the slot of the claim"
    );
    let case = until_resolved(&world, &job).await;
    assert_eq!(case.ground, Ground::Fault as u8);
    assert_eq!(case.claims().len(), 2, "nobody names it a second time");
    let honest = &case.claims()[1];
    assert_eq!(honest.outcome, Outcome::Right as u8);
    assert_eq!(honest.amount.get(), honest.bond() + REWARD);
    let friend = &case.claims()[0];
    assert!(friend.amount.get() <= friend.bond());
    assert_eq!(case.penalties_amount.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_leaf_that_a_claim_names_is_proved_by_the_claimants_node() {
    let (mut world, seats) = network().await;
    let job = faulty(&mut world, &seats[0]).await;
    // Said by hand and not proved: nobody can post that leaf, so the case would go unanswered, for a tenth.
    claim(&world, &seats[1], &job, ClaimKind::False, &[FAULT]).await;
    let case = until_resolved(&world, &job).await;
    assert_eq!(case.status(), Some(CaseStatus::Resolved));
    assert_eq!(case.ground, Ground::Fault as u8);
    let honest = &case.claims()[0];
    assert_eq!(case.prover, honest.claimant);
    assert_eq!(honest.amount.get(), honest.bond() + REWARD);
    assert!(case.resolved_slot.get() < case.leaves_due());
}
