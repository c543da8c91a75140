//! Plays on the market that must not pay: each test is one "else" of its rules.

use mythic_interface::error::MythicError;
use mythic_interface::le::{U32, U64};
use mythic_interface::market::ix::{self, RequestCompute, UpdateProvider};
use mythic_interface::market::state::*;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls::{self, PRICE, STAKE_PER_UNIT};
use mythic_program_tests::market::scenes::disputed;
use mythic_program_tests::market::world::{Market, element};
use solana_account::Account;

use crate::disputes::{proved, wrong_element};

const EPOCH: u64 = 60 * PRICE;
const LOSS: u64 = STAKE_PER_UNIT / 2;

/// Everything that is somebody's: wallet, stake, earnings, what leases hold for it.
fn wealth(market: &Market, name: &str) -> i128 {
    let provider = market
        .chain
        .account(&calls::provider(name))
        .map(|_| market.provider(name));
    let staked = provider.map_or(0, |p| p.whole_stake() + p.claimable.get());
    i128::from(market.wallet(name)) + i128::from(staked)
}

/// What a play won or cost each of two parties.
fn play(market: &mut Market, names: [&str; 2], moves: impl FnOnce(&mut Market)) -> [i128; 2] {
    let before = names.map(|name| wealth(market, name));
    moves(market);
    let after = names.map(|name| wealth(market, name));
    core::array::from_fn(|i| after[i] - before[i])
}

/// Releases and pays out whatever a lease still holds.
fn settle(market: &mut Market, lease: &[u8; 32]) {
    market.chain.advance(100);
    for call in [market.release(lease), market.withdrawal(lease)] {
        // Nothing may be due to one of the two.
        let _ = market.chain.send(&[call]);
    }
}

#[test]
fn a_sham_start_earns_nothing() {
    let mut market = Market::new();
    let [_, provider] = play(&mut market, ["alice", "p1"], |market| {
        let args = market.asking();
        let lease = market.accepted("alice", "p1", &args);
        let call = market.start(&lease);
        market.chain.must(call);
        market.chain.advance(100);
        market.must_close(key("p1"), &lease, CloseReason::NeverAcknowledged, false);
        settle(market, &lease);
    });
    assert!(provider <= 0, "{provider}");
}

#[test]
fn a_free_trial_costs_its_seconds() {
    let mut market = Market::new();
    let mut rents = 0;
    let [tenant, provider] = play(&mut market, ["alice", "p1"], |market| {
        let args = market.asking();
        let lease = market.accepted("alice", "p1", &args);
        let call = market.start(&lease);
        market.chain.must(call);
        market.chain.advance(75);
        market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
        settle(market, &lease);
        rents = market.chain.rent(Request::LEN);
    });
    assert_eq!(tenant + i128::from(rents), -i128::from(30 * PRICE));
    assert_eq!(provider, 0);
}

#[test]
fn who_proves_every_second_epoch_is_not_paid_for_all() {
    let mut market = Market::new();
    let lease = market.usual();
    for epoch in [12, 14, 16, 18] {
        market.enter(epoch);
        market.must_prove(&lease);
    }
    let state = market.lease(&lease);
    assert_eq!(state.pending.get(), 4 * EPOCH);
    assert_eq!(state.missed.get(), 4);
}

#[test]
fn closing_in_the_boundarys_slot_pays_for_the_epoch() {
    let mut market = Market::new();
    let lease = market.usual();
    // The first slot of epoch 11: nobody can have proved it yet.
    market.chain.warp_to(11 * 150);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    assert_eq!(market.lease(&lease).pending.get(), 58 * PRICE);
}

#[test]
fn closing_before_the_proof_lands_pays_for_the_epoch() {
    let mut market = Market::new();
    let lease = market.usual();
    market.chain.warp_to(11 * 150 + 49);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    assert_eq!(market.lease(&lease).pending.get(), 77 * PRICE);
}

#[test]
fn a_provider_that_is_overdue_is_not_paid_for_what_it_did_not_prove() {
    let mut market = Market::new();
    let lease = market.usual();
    market.chain.warp_to(11 * 150 + 50);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    assert_eq!(market.lease(&lease).pending.get(), 0);
    assert_eq!(market.lease(&lease).tenant_due.get(), 600 * PRICE);
}

#[test]
fn silence_is_not_cheaper_than_leaving() {
    let leave = |silent: bool| {
        let mut market = Market::new();
        let lease = market.usual();
        market.prove_until(&lease, 11);
        let (closer, reason) = match silent {
            true => {
                market.enter(15);
                ("stranger", CloseReason::MissedProofs)
            }
            false => ("p1", CloseReason::ClosedByProvider),
        };
        market.must_close(key(closer), &lease, reason, true);
        let ended = market.lease(&lease);
        (ended.slashed.get(), ended.compensated.get())
    };
    let (left, to_tenant) = leave(false);
    let (silent, to_nobody) = leave(true);
    assert_eq!((left, to_tenant), (2 * EPOCH, 2 * EPOCH));
    // It costs the provider as much, and whoever causes it gets nothing.
    assert_eq!((silent, to_nobody), (2 * EPOCH, 0));
}

#[test]
fn notice_without_work_is_not_free() {
    let mut market = Market::new();
    let lease = market.usual();
    market.must_close(operator("p1"), &lease, CloseReason::ClosedByProvider, false);
    market.prove_until(&lease, 11);
    market.enter(13);
    market.must_close(
        key("stranger"),
        &lease,
        CloseReason::ClosedByProvider,
        false,
    );
    // One of the two epochs of notice was not proved.
    assert_eq!(market.lease(&lease).compensated.get(), EPOCH);
}

#[test]
fn a_friend_who_refutes_saves_less_than_it_costs() {
    let mut market = Market::new();
    let [friend, provider] = play(&mut market, ["friend", "p1"], |market| {
        let (lease, proof) = proved(market, wrong_element);
        let dispute = market.must_refute("friend", &lease, 11, &[element(0, 0, 3, 4)]);
        market.must_answer(&dispute, &proof);
        market.must_resolve(&dispute);
        market.chain.advance(2_250);
        let call = market.dispute_closing(&dispute);
        market.chain.must(call);
    });
    assert_eq!(provider, -i128::from(LOSS));
    assert_eq!(friend, i128::from(LOSS / 4));
}

#[test]
fn a_friends_dispute_shields_nobody() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, wrong_element);
    // It names what is right, and is answered.
    let shield = market.must_refute("friend", &lease, 11, &[element(0, 1, 0, 0)]);
    market.must_answer(&shield, &proof);
    assert_eq!(market.must_resolve(&shield).end, DisputeEnd::Answered as u8);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 3, 4)]);
    market.must_answer(&dispute, &proof);
    assert_eq!(market.must_resolve(&dispute).end, DisputeEnd::Wrong as u8);
}

#[test]
fn an_epoch_is_not_paid_while_it_is_disputed() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, wrong_element);
    // In the last slot, so that its time to be disputed is over first.
    market.chain.advance(99);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 3, 4)]);
    market.chain.advance(1);
    let call = market.release(&lease);
    market.chain.refuse(call, MythicError::NothingToRelease);
    market.must_answer(&dispute, &proof);
    market.must_resolve(&dispute);
    assert_eq!(market.lease(&lease).paid.get(), 0);
    assert_eq!(market.lease(&lease).refunded.get(), 600 * PRICE);
}

#[test]
fn disputing_what_is_right_costs_more_than_answering_it() {
    let mut market = Market::new();
    let [watcher, provider] = play(&mut market, ["watcher", "p1"], |market| {
        let (_, dispute, proof) = disputed(market, &[element(0, 0, 3, 4)]);
        market.must_answer(&dispute, &proof);
        market.must_resolve(&dispute);
        market.chain.advance(2_250);
        let call = market.dispute_closing(&dispute);
        market.chain.must(call);
    });
    assert_eq!(watcher, -i128::from(2 * 10_000 + EPOCH / 2));
    assert_eq!(provider, 2 * 10_000);
}

#[test]
fn calling_an_epoch_unserved_costs_the_tenant_more_than_paying_it() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    let before = market.wallet("alice");
    let call = market.unserved(&lease, 11);
    market.chain.must(call);
    assert_eq!(before - market.wallet("alice"), EPOCH / 2);
    let state = market.lease(&lease);
    assert_eq!((state.burned.get(), state.pending.get()), (EPOCH, 0));
    let provider = market.provider("p1");
    assert_eq!(provider.owed_burn.get(), EPOCH + EPOCH / 2);
    assert_eq!(
        (provider.unserved.get(), provider.claimable.get()),
        (EPOCH, 0)
    );
}

#[test]
fn a_proof_of_a_dead_fork_is_refused_and_not_refuted() {
    let mut market = Market::new();
    let lease = market.usual();
    market.enter(11);
    let mut args = market.proving(&lease, [7; 32]);
    // The fork on which it was computed had another block there, or none.
    args.hash = [3; 32];
    let call = ix::submit_proof(operator("p1"), key("p1"), lease, &args);
    market.chain.refuse(call, MythicError::WrongFork);
    let mut skipped = market.clone();
    let args = market.proving(&lease, [7; 32]);
    skipped.chain.skip([11 * 150]);
    let call = ix::submit_proof(operator("p1"), key("p1"), lease, &args);
    skipped.chain.refuse(call, MythicError::WrongFork);
    skipped.must_prove(&lease);
    assert_eq!(
        skipped.entry(&lease, 11).hash,
        skipped.chain.first_from(11 * 150 + 1).1
    );
}

#[test]
fn a_proof_of_another_lease_is_wrong_here() {
    let mut market = Market::new();
    let (first, second) = (market.usual(), market.usual());
    market.enter(11);
    // One device computes once and shows it twice.
    let proof = market.whole_proof(&first);
    for lease in [first, second] {
        let call = market.proof_of(&lease, proof.root());
        market.chain.must(call);
    }
    let dispute = market.must_refute("watcher", &second, 11, &[element(0, 0, 0, 0)]);
    market.must_answer(&dispute, &proof);
    assert_eq!(market.must_resolve(&dispute).end, DisputeEnd::Wrong as u8);
}

#[test]
fn an_emptied_wallet_of_the_tenant_blocks_nobody_else() {
    let mut market = Market::new();
    let args = RequestCompute {
        seconds: U32::new(61),
        ..market.asking()
    };
    let lease = market.active("alice", "p1", &args);
    market.prove_until(&lease, 11);
    market.chain.put(key("alice"), Account::default());
    market.chain.wait(10);
    market.must_close(key("p1"), &lease, CloseReason::Completed, false);
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    // Too little to open a wallet with: it waits, and whatever else there is to do was done.
    let mut other = Market::new();
    let args = other.asking();
    let lease = other.active("alice", "p1", &args);
    other.prove_until(&lease, 20);
    other.chain.put(key("alice"), Account::default());
    other.chain.warp_to(20 * 150 + 50);
    other.must_close(key("p1"), &lease, CloseReason::ClosedByProvider, true);
    let due = other.lease(&lease).tenant_due.get();
    assert!(due < 890_880, "{due}");
    if due > 0 {
        let call = other.withdrawal(&lease);
        assert!(other.chain.send(&[call]).is_err());
    }
    other.chain.advance(100);
    let call = other.release(&lease);
    other.chain.must(call);
    assert!(other.provider("p1").claimable.get() > 0);
}

#[test]
fn stake_is_not_moved_out_in_front_of_a_dispute() {
    let mut market = Market::new();
    market.chain.must(calls::request_unstake(key("p1"), SOL));
    let (lease, _) = {
        market.chain.warp_to(10 * 150 + 5);
        proved(&mut market, wrong_element)
    };
    market.chain.warp_to(10 * 150 + 955);
    // The unbonding time is over, but a proof was submitted since. Whatever is left is slashed from what is active.
    let dispute = {
        let mut late = market.clone();
        late.enter(17);
        late.must_prove(&lease);
        late.chain
            .refuse(calls::withdraw_stake(key("p1")), MythicError::StakeObliged);
        let named = [element(0, 0, 1, 1)];
        let dispute = late.must_refute("watcher", &lease, 17, &named);
        late.chain.advance(400);
        late.chain
            .refuse(calls::withdraw_stake(key("p1")), MythicError::OpenDisputes);
        late.must_resolve(&dispute)
    };
    assert_eq!(dispute.slashed.get(), LOSS);
}

#[test]
fn stake_that_leaves_through_a_lease_of_ones_own_was_behind_that_lease() {
    let mut market = Market::new();
    // Stake for exactly two units, one of them leased to somebody else.
    let said = UpdateProvider {
        price: U64::new(STAKE_PER_UNIT / (32 * 60)),
        ..calls::profile("p1")
    };
    market.chain.must(calls::update_provider("p1", &said));
    let args = RequestCompute {
        price: said.price,
        ..market.asking()
    };
    let honest = market.active("alice", "p1", &args);
    for round in 0..4 {
        let args = RequestCompute {
            price: said.price,
            ..market.asking()
        };
        let own = market.active("friend", "p1", &args);
        market.must_close(key("p1"), &own, CloseReason::ClosedByProvider, true);
        let provider = market.provider("p1");
        assert!(provider.stake.get() >= provider.stake_in_use(), "{round}");
    }
    assert_eq!(market.lease(&honest).status(), Some(LeaseStatus::Active));
}

#[test]
fn a_named_request_pays_the_price_it_states() {
    let mut market = Market::new();
    let args = RequestCompute {
        provider: key("p1"),
        ..market.asking()
    };
    let request = market.must_ask("alice", "small", &args);
    let said = UpdateProvider {
        price: U64::new(PRICE + 1),
        ..calls::profile("p1")
    };
    market.chain.must(calls::update_provider("p1", &said));
    let call = market.acceptance("p1", &request);
    market.chain.refuse(call, MythicError::PriceChanged);
}

#[test]
fn a_lease_keeps_its_price_and_its_rules_whatever_is_changed() {
    let mut market = Market::new();
    let lease = market.usual();
    let said = UpdateProvider {
        price: U64::new(100 * PRICE),
        ..calls::profile("p1")
    };
    market.chain.must(calls::update_provider("p1", &said));
    let mut changed = mythic_program_tests::market::world::params();
    changed.rules.provider_bps.set(1);
    changed.rules.dispute_slots.set(400);
    changed.unbonding_slots.set(1_250);
    let call = calls::update_config(key("admin"), key("foundation"), &changed);
    market.chain.must(call);
    market.prove_until(&lease, 11);
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    assert_eq!(market.lease(&lease).paid.get(), EPOCH / 2);
}

#[test]
fn missed_epochs_after_the_end_cost_nobody_stake() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 19);
    market.enter(30);
    let call = market.closing(key("alice"), &lease, CloseReason::MissedProofs, false);
    market.chain.refuse(call, MythicError::LeaseOver);
    market.must_close(key("alice"), &lease, CloseReason::Completed, false);
    assert_eq!(market.provider("p1").slashed.get(), 0);
}

#[test]
fn jail_is_not_left_by_closing() {
    let mut market = Market::new();
    let (lease, dispute, _) = disputed(&mut market, &[element(0, 0, 1, 1)]);
    market.chain.advance(50);
    market.must_resolve(&dispute);
    settle(&mut market, &lease);
    let call = calls::close_provider(key("p1"), key("p1"));
    market.chain.refuse(call, MythicError::JailNotOver);
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let call = market.acceptance("p1", &request);
    market.chain.refuse(call, MythicError::Jailed);
}
