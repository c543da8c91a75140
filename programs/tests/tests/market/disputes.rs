//! Disputes about proofs: what is right is paid for, what is wrong or not shown costs the lease, the stake and the freedom.

use mythic_interface::error::MythicError;
use mythic_interface::le::U32;
use mythic_interface::market::ix::RequestCompute;
use mythic_interface::market::meter;
use mythic_interface::market::probe::{Place, WholeProof, WholeRound, round_seed};
use mythic_interface::market::state::*;
use mythic_program_tests::keys::key;
use mythic_program_tests::market::calls::{self, PRICE, STAKE_PER_UNIT};
use mythic_program_tests::market::scenes::{disputed, largest};
use mythic_program_tests::market::world::{Market, element, params};

const EPOCH: u64 = 60 * PRICE;
/// Half of the stake behind one unit, and a quarter of that.
const LOSS: u64 = STAKE_PER_UNIT / 2;
const REWARD: u64 = LOSS / 4;

fn fee(transactions: u64) -> u64 {
    transactions * params().rules.answering_fee.get()
}

/// A lease whose proof of epoch 11 is what `lie` makes of the true one.
pub fn proved(
    market: &mut Market,
    lie: impl FnOnce(&Market, &[u8; 32], WholeProof) -> WholeProof,
) -> ([u8; 32], WholeProof) {
    let lease = market.usual();
    market.enter(11);
    let proof = lie(market, &lease, market.whole_proof(&lease));
    let call = market.proof_of(&lease, proof.root());
    market.chain.must(call);
    (lease, proof)
}

/// The proof with one element of its first round changed; the second round begins with the root of that.
pub fn wrong_element(market: &Market, lease: &[u8; 32], proof: WholeProof) -> WholeProof {
    let mut product = proof.all[0].product().to_vec();
    product[32 * 3 + 4] += 1;
    let first = WholeRound::of(32, product);
    let place = Place {
        lease,
        unit: 0,
        epoch: market.epoch(),
        round: 1,
    };
    let second = WholeRound::new(32, &round_seed(&place, &first.root()));
    WholeProof::of(2, vec![first, second])
}

#[test]
fn an_answered_dispute_pays_the_provider_and_burns_the_rest() {
    let mut market = Market::new();
    let named = [
        element(0, 0, 0, 0),
        element(0, 1, 5, 17),
        element(0, 1, 31, 31),
    ];
    let before = market.wallet("watcher");
    let (lease, dispute, proof) = disputed(&mut market, &named);
    // Two roots and three elements.
    let state = market.dispute(&dispute);
    assert_eq!((state.fee.get(), state.at_stake.get()), (fee(5), EPOCH / 2));
    let rent = market.chain.rent(LeaseDispute::LEN);
    assert_eq!(before - market.wallet("watcher"), rent + fee(5) + EPOCH / 2);
    assert_eq!(market.answers(&dispute, &proof).len(), 5);
    market.must_answer(&dispute, &proof);
    let state = market.must_resolve(&dispute);
    assert_eq!(state.end, DisputeEnd::Answered as u8);
    assert_eq!((state.paid.get(), state.burned.get()), (fee(5), EPOCH / 2));
    assert_eq!(market.provider("p1").claimable.get(), fee(5));
    assert_eq!(market.provider("p1").owed_burn.get(), EPOCH / 2);
    // The epoch is paid as if nothing had been.
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    assert_eq!(market.entry(&lease, 11).state, EpochState::Released as u8);
    assert_eq!(market.lease(&lease).status(), Some(LeaseStatus::Active));
}

#[test]
fn a_wrong_element_ends_the_lease_and_costs_half_of_the_stake_behind_it() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, wrong_element);
    let named = [element(0, 0, 3, 4), element(0, 1, 9, 9)];
    let dispute = market.must_refute("watcher", &lease, 11, &named);
    let mut answers = market.answers(&dispute, &proof);
    // Right elsewhere: only what is wrong shows it.
    let right = answers.pop().expect("the second element");
    for call in answers {
        market.chain.must(call);
    }
    assert_eq!(
        market.dispute(&dispute).header.status,
        LeaseDisputeStatus::Wrong as u8
    );
    assert!(market.chain.send(&[right]).is_err());
    market.prove_until(&lease, 12);
    let state = market.must_resolve(&dispute);
    assert_eq!(state.end, DisputeEnd::Wrong as u8);
    assert_eq!((state.slashed.get(), state.reward.get()), (LOSS, REWARD));
    let ended = market.lease(&lease);
    assert_eq!(ended.reason, CloseReason::ProofRefuted as u8);
    // All pending epochs are the tenant's, also the one that nobody disputed.
    assert_eq!((ended.pending.get(), ended.paid.get()), (0, 0));
    assert_eq!(ended.tenant_due.get(), 600 * PRICE);
    let provider = market.provider("p1");
    assert_eq!(provider.header.status, ProviderStatus::Jailed as u8);
    assert_eq!((provider.slashed.get(), provider.refuted.get()), (LOSS, 1));
    assert_eq!(provider.owed_burn.get(), LOSS - REWARD);
    market.chain.advance(2_250);
    let before = market.wallet("watcher");
    let call = market.dispute_closing(&dispute);
    market.chain.must(call);
    let rent = market.chain.rent(LeaseDispute::LEN);
    let bond = fee(4) + EPOCH / 2;
    assert_eq!(market.wallet("watcher") - before, REWARD + bond + rent);
}

#[test]
fn what_is_not_opened_in_time_is_refuted() {
    let mut market = Market::new();
    let (lease, dispute, proof) =
        disputed(&mut market, &[element(0, 0, 1, 1), element(0, 0, 2, 2)]);
    let mut answers = market.answers(&dispute, &proof);
    answers.pop();
    for call in answers {
        market.chain.must(call);
    }
    market.chain.advance(50);
    let state = market.must_resolve(&dispute);
    assert_eq!(state.end, DisputeEnd::Unanswered as u8);
    assert_eq!(market.lease(&lease).reason, CloseReason::ProofRefuted as u8);
}

#[test]
fn a_made_up_root_opens_to_nothing() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, |_, _, proof| {
        let made_up = WholeRound::of(32, vec![7; 32 * 32]);
        WholeProof::of(2, vec![made_up, proof.all[1].clone()])
    });
    // Its element is wrong, unless the program's own happens to be the same.
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 0, 0)]);
    market.must_answer(&dispute, &proof);
    assert_eq!(market.must_resolve(&dispute).end, DisputeEnd::Wrong as u8);
}

#[test]
fn a_round_that_does_not_follow_from_the_one_before_is_wrong() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, |market, lease, proof| {
        // Both rounds from the same link, as if they had been computed side by side.
        let hash = market.chain.first_from(150 * 11).1;
        let place = Place {
            lease,
            unit: 0,
            epoch: 11,
            round: 1,
        };
        let second = WholeRound::new(32, &round_seed(&place, &hash));
        WholeProof::of(2, vec![proof.all[0].clone(), second])
    });
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 1, 0, 0)]);
    market.must_answer(&dispute, &proof);
    assert_eq!(market.must_resolve(&dispute).end, DisputeEnd::Wrong as u8);
}

#[test]
fn every_unit_has_a_chain_of_its_own() {
    let mut market = Market::new();
    let args = RequestCompute {
        units: 2,
        ..market.asking()
    };
    let lease = market.active("alice", "p1", &args);
    market.enter(11);
    let whole = market.whole_proof(&lease);
    // The work of one unit, shown for both.
    let copied = WholeProof::of(2, [&whole.all[..2], &whole.all[..2]].concat());
    let call = market.proof_of(&lease, copied.root());
    market.chain.must(call);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(1, 0, 0, 0)]);
    market.must_answer(&dispute, &copied);
    let state = market.must_resolve(&dispute);
    assert_eq!(state.end, DisputeEnd::Wrong as u8);
    // Half of what stands behind both units.
    assert_eq!(state.slashed.get(), 2 * LOSS);
}

#[test]
fn once_a_proof_is_refuted_other_bonds_return() {
    let mut market = Market::new();
    let (lease, first, _) = disputed(&mut market, &[element(0, 0, 1, 1)]);
    let second = market.must_refute("friend", &lease, 11, &[element(0, 1, 1, 1)]);
    market.chain.advance(50);
    market.must_resolve(&first);
    let state = market.must_resolve(&second);
    assert_eq!(state.end, DisputeEnd::Void as u8);
    assert_eq!(state.returned.get(), fee(3) + EPOCH);
    assert_eq!((state.reward.get(), state.slashed.get()), (0, 0));
    assert_eq!(market.provider("p1").refuted.get(), 1);
}

#[test]
fn a_lease_that_has_ended_is_refuted_all_the_same_and_keeps_its_reason() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    market.chain.advance(30);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    let dispute = market.must_refute("watcher", &lease, 12, &[element(0, 0, 1, 1)]);
    market.chain.advance(50);
    market.must_resolve(&dispute);
    let ended = market.lease(&lease);
    assert_eq!(ended.reason, CloseReason::ClosedByTenant as u8);
    assert_eq!(ended.refunded.get(), 600 * PRICE);
    assert_eq!(market.entry(&lease, 13).state, EpochState::Refuted as u8);
    assert_eq!(market.provider("p1").slashed.get(), LOSS);
}

#[test]
fn what_was_paid_before_stays_paid() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    let call = market.release(&lease);
    market.chain.must(call);
    let paid = market.lease(&lease).paid;
    let dispute = market.must_refute("watcher", &lease, 12, &[element(0, 0, 1, 1)]);
    market.chain.advance(50);
    market.must_resolve(&dispute);
    let ended = market.lease(&lease);
    assert_eq!(ended.paid, paid);
    assert_eq!(ended.refunded.get(), (600 - 60) * PRICE);
}

#[test]
fn the_class_cpu_is_proved_and_opened_as_it_is_used() {
    // Side 512, eight rounds: the proof of a real machine, and an element of its last round.
    let mut market = Market::new();
    let call = calls::register_provider("p3", "cpu", &calls::registration("p3"));
    market.chain.must(call);
    let args = market.asking();
    let request = market.must_ask("alice", "cpu", &args);
    let call = market.acceptance("p3", &request);
    market.chain.must(call);
    let lease = calls::lease(&request);
    let call = market.start(&lease);
    market.chain.must(call);
    let call = market.acknowledgement(&lease);
    market.chain.must(call);
    market.enter(11);
    let proof = market.whole_proof(&lease);
    let call = market.proof_of(&lease, proof.root());
    market.chain.must(call);
    let named = [element(0, 0, 511, 0), element(0, 7, 100, 511)];
    let dispute = market.must_refute("watcher", &lease, 11, &named);
    market.must_answer(&dispute, &proof);
    assert_eq!(
        market.must_resolve(&dispute).end,
        DisputeEnd::Answered as u8
    );
}

#[test]
fn the_largest_opening_fits_a_transaction_and_is_computed_in_one() {
    for n in [512, 4_096, 16_384] {
        let mut market = Market::new();
        let (dispute, call) = largest(&mut market, n, 0);
        let receipt = market.chain.must(call);
        assert_eq!(market.dispute(&dispute).opened, 1);
        println!(
            "{n}: {} units, {} bytes",
            receipt.compute_units, receipt.bytes
        );
    }
    let mut market = Market::new();
    let (dispute, call) = largest(&mut market, 16_384, 1);
    market.chain.must(call);
    assert_eq!(
        market.dispute(&dispute).header.status,
        LeaseDisputeStatus::Wrong as u8
    );
}

#[test]
fn what_was_answered_is_paid_for_though_another_dispute_refuted_the_proof() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, wrong_element);
    let first = market.must_refute("watcher", &lease, 11, &[element(0, 0, 3, 4)]);
    let second = market.must_refute("friend", &lease, 11, &[element(0, 1, 1, 1)]);
    for dispute in [second, first] {
        market.must_answer(&dispute, &proof);
    }
    assert_eq!(market.must_resolve(&first).end, DisputeEnd::Wrong as u8);
    let state = market.must_resolve(&second);
    assert_eq!(state.end, DisputeEnd::Answered as u8);
    assert_eq!((state.paid.get(), state.burned.get()), (fee(3), EPOCH));
}

#[test]
fn the_oldest_dispute_is_decided_first_and_has_the_reward() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, wrong_element);
    let first = market.must_refute("watcher", &lease, 11, &[element(0, 0, 3, 4)]);
    market.chain.advance(10);
    let second = market.must_refute("friend", &lease, 11, &[element(0, 0, 3, 4)]);
    // Only what the friend names is shown, so that it could be decided at once.
    market.must_answer(&second, &proof);
    let call = market.resolution(&second);
    market.chain.refuse(call, MythicError::DisputeNotDue);
    market.chain.advance(40);
    let state = market.must_resolve(&first);
    assert_eq!(state.end, DisputeEnd::Unanswered as u8);
    assert_eq!(state.reward, state.returned, "as much as its bond");
    let state = market.must_resolve(&second);
    assert_eq!(state.end, DisputeEnd::Void as u8);
    assert_eq!((state.reward.get(), state.slashed.get()), (0, 0));
}

#[test]
fn bonds_are_of_the_epoch_of_the_transactions_and_of_the_open_disputes() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    let rules = params().rules;
    for (open, (disputer, named, transactions)) in (0u32..).zip([
        ("watcher", vec![element(0, 0, 1, 1)], 2),
        ("friend", vec![element(0, 1, 1, 1)], 3),
        (
            "stranger",
            vec![element(0, 0, 1, 1), element(0, 1, 1, 1)],
            4,
        ),
        ("bob", (0..8).map(|i| element(0, 1, 1, i)).collect(), 10),
    ]) {
        let dispute = market.must_refute(disputer, &lease, 11, &named);
        let state = market.dispute(&dispute);
        let bond = meter::refute_bond(&rules, transactions, EPOCH, open).expect("a bond");
        assert_eq!(
            (state.fee.get(), state.at_stake.get()),
            (bond.fee, bond.at_stake)
        );
        assert_eq!(bond.at_stake, u64::from(1 + open) * EPOCH / 2);
        // And twenty-four slots more for the answer of each that is open already.
        let end = market.chain.slot() + 50 + 24 * u64::from(open);
        assert_eq!(state.openings_end.get(), end);
        assert_eq!(state.number, U32::new(open));
    }
    assert_eq!(market.lease(&lease).open_disputes, U32::new(4));
}
