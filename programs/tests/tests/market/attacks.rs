//! Plays on the market that must not pay: each test is one "else" of its rules.

use mythic_interface::error::MythicError;
use mythic_interface::le::{U16, U32, U64};
use mythic_interface::market::ix::{self, RegisterProvider, RequestCompute, UpdateProvider};
use mythic_interface::market::state::*;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls::{self, PRICE, STAKE_PER_UNIT};
use mythic_program_tests::market::scenes::disputed;
use mythic_program_tests::market::world::{Market, element, params};
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
fn a_sham_start_costs_the_provider_as_much_as_the_tenant() {
    let no_show = params().rules.no_show.get();
    // At once, after what costs less than not to start at all, and after what costs more.
    for (slots, units, cost) in [(0, 1, no_show), (75, 1, no_show), (75, 4, 120 * PRICE)] {
        let mut market = Market::new();
        let mut rent = 0;
        let lost = play(&mut market, ["alice", "p1"], |market| {
            let args = RequestCompute {
                units,
                ..market.asking()
            };
            let lease = market.accepted("alice", "p1", &args);
            let call = market.start(&lease);
            market.chain.must(call);
            market.chain.advance(slots);
            market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
            settle(market, &lease);
            rent = market.chain.rent(Request::LEN);
        });
        let cost = i128::from(cost);
        assert_eq!(lost, [-cost - i128::from(rent), -cost], "{slots} {units}");
    }
}

#[test]
fn a_start_that_nobody_closes_costs_no_more_than_an_epoch_and_a_half() {
    let mut market = Market::new();
    let args = RequestCompute {
        units: 4,
        ..market.asking()
    };
    let lease = market.accepted("alice", "p1", &args);
    let call = market.start(&lease);
    market.chain.must(call);
    market.enter(30);
    market.must_close(
        key("stranger"),
        &lease,
        CloseReason::NeverAcknowledged,
        false,
    );
    let ended = market.lease(&lease);
    assert_eq!(ended.burned.get(), 4 * EPOCH);
    assert_eq!(ended.slashed.get(), 4 * EPOCH);
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

/// What an active lease of ten minutes, proved until epoch 12, cost a provider that is silent until another epoch, and what of it
/// went to the tenant.
fn silence(until: u64, closer: [u8; 32], reason: CloseReason, now: bool) -> (u64, u64) {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    if until > 12 {
        market.enter(until);
    }
    market.must_close(closer, &lease, reason, now);
    let ended = market.lease(&lease);
    assert_eq!(ended.missed.get(), (until - 12).saturating_sub(1).min(8));
    (ended.slashed.get(), ended.compensated.get())
}

#[test]
fn silence_is_not_cheaper_than_leaving_whoever_ends_the_lease() {
    use CloseReason::*;
    let left = silence(12, key("p1"), ClosedByProvider, true);
    assert_eq!(left, (2 * EPOCH, 2 * EPOCH));
    // It costs the provider as much, and whoever causes it gets nothing.
    for (closer, reason) in [("stranger", MissedProofs), ("alice", ClosedByTenant)] {
        assert_eq!(silence(16, key(closer), reason, false), (2 * EPOCH, 0));
        // Fewer in a row are only not paid.
        if reason == ClosedByTenant {
            assert_eq!(silence(15, key(closer), reason, false), (0, 0));
        }
    }
    // So it does where nobody ended the lease in time.
    for (closer, reason) in [("stranger", Completed), ("alice", ClosedByTenant)] {
        assert_eq!(silence(60, key(closer), reason, false), (2 * EPOCH, 0));
    }
    // Nor does the last second help who leaves then.
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    market.enter(19);
    market.chain.wait(59);
    market.must_close(key("p1"), &lease, ClosedByProvider, true);
    assert_eq!(market.lease(&lease).slashed.get(), 2 * EPOCH);
}

#[test]
fn proved_notice_counts_against_silence() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    market.must_close(operator("p1"), &lease, CloseReason::ClosedByProvider, false);
    market.prove_until(&lease, 12);
    market.enter(16);
    market.must_close(key("stranger"), &lease, CloseReason::MissedProofs, false);
    // One of the two epochs of notice was proved.
    assert_eq!(market.lease(&lease).slashed.get(), EPOCH);
}

#[test]
fn notice_right_before_the_proof_of_the_same_epoch_is_not_an_epoch_short() {
    let mut market = Market::new();
    let lease = market.usual();
    market.enter(11);
    market.must_close(operator("p1"), &lease, CloseReason::ClosedByProvider, false);
    market.must_prove(&lease);
    market.prove_until(&lease, 12);
    market.enter(14);
    market.must_close(
        key("stranger"),
        &lease,
        CloseReason::ClosedByProvider,
        false,
    );
    let ended = market.lease(&lease);
    assert_eq!(ended.notice_proved.get(), 1);
    assert_eq!(ended.compensated.get(), EPOCH);
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
fn an_emptied_wallet_of_the_tenant_blocks_nobody() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 19);
    // Two seconds are left, which are too little to open a wallet with.
    market.chain.warp_to(20 * 150);
    let mut changed = params();
    changed.rules.no_show.set(EPOCH);
    let call = calls::update_config(key("admin"), key("foundation"), &changed);
    market.chain.must(call);
    let lone = market.asking();
    let request = market.must_ask(
        "alice",
        "small",
        &RequestCompute {
            seconds: U32::new(60),
            ..lone
        },
    );
    market.chain.put(key("alice"), Account::default());
    market.must_close(key("p1"), &lease, CloseReason::ClosedByProvider, true);
    let due = market.lease(&lease).tenant_due.get();
    assert!((1..890_880).contains(&due), "{due}");
    let call = market.withdrawal(&lease);
    assert!(market.chain.send(&[call]).is_err());
    market.chain.advance(2_250);
    let call = market.release(&lease);
    market.chain.must(call);
    let before = market.provider("p1").owed_burn.get();
    let call = market.account_closing(&lease);
    market.chain.must(call);
    // Nobody has what the tenant could not take.
    assert_eq!(market.provider("p1").owed_burn.get(), before + due);
    assert_eq!(market.provider("p1").open_leases.get(), 0);

    // A request's refund stays in it, and goes to who paid for it.
    let call = ix::expire_request(request, &market.request(&request));
    market.chain.must(call);
    let state = market.request(&request);
    assert_eq!(state.header.status, RequestStatus::Expired as u8);
    assert_eq!((state.escrow.get(), state.refunded.get()), (EPOCH, 0));
    market.chain.advance(2_250);
    market.chain.must(ix::close_request(request, &state));
    let rent = market.chain.rent(Request::LEN);
    assert_eq!(market.wallet("alice"), rent + EPOCH);
}

#[test]
fn what_is_the_tenants_is_paid_when_the_account_is_closed() {
    let mut market = Market::new();
    let lease = market.usual();
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    let due = market.lease(&lease).tenant_due.get();
    assert_eq!(due, 600 * PRICE);
    market.chain.advance(2_250);
    let before = market.wallet("alice");
    let call = market.account_closing(&lease);
    market.chain.must(call);
    assert_eq!(market.wallet("alice") - before, due);
}

#[test]
fn an_emptied_wallet_of_a_disputer_keeps_nobodys_rent() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    let named = [element(0, 0, 1, 1)];
    // The first is rewarded, the second's bond returns: another pays it, and has its rent there.
    let first = market.must_refute("watcher", &lease, 11, &named);
    let (state, entry) = (market.lease(&lease), market.entry(&lease, 11));
    let of = (lease, &state);
    let call = ix::refute_lease(key("bob"), key("friend"), of, &entry, &named, u64::MAX);
    market.chain.must(call);
    let second = calls::dispute(&lease, 11, "friend");
    market.chain.advance(74);
    for dispute in [first, second] {
        market.must_resolve(&dispute);
    }
    let held = market.dispute(&second).held.get();
    assert!((1..890_880).contains(&held), "{held}");
    market.chain.put(key("friend"), Account::default());
    market.chain.advance(2_250);
    let before = market.wallet("bob");
    let call = market.dispute_closing(&second);
    market.chain.must(call);
    let rent = market.chain.rent(LeaseDispute::LEN);
    assert_eq!(market.wallet("bob") - before, rent + held);
}

#[test]
fn nobody_is_held_longer_in_the_last_minute_nor_beyond_what_was_agreed() {
    let mut market = Market::new();
    let lease = market.usual();
    let add =
        |market: &Market, seconds| ix::top_up(key("alice"), lease, &market.lease(&lease), seconds);
    // The market's admin has other plans since, for others.
    let mut changed = params();
    changed.rules.max_lease_seconds.set(10_000_000);
    let call = calls::update_config(key("admin"), key("foundation"), &changed);
    market.chain.must(call);
    let call = add(&market, 2_592_000 - 599);
    market.chain.refuse(call, MythicError::LeaseTimeOutOfRange);
    let left = market.lease(&lease).ends_at.get() - market.chain.second();
    market.chain.wait(left - 60);
    let call = add(&market, 1);
    market.chain.must(call);
    market.chain.wait(2);
    let call = add(&market, 1);
    market.chain.refuse(call, MythicError::LeaseOver);
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
fn no_stake_leaves_through_leases_to_a_friend_that_end_at_once() {
    let mut market = Market::new();
    let (_, dispute, _) = disputed(&mut market, &[element(0, 0, 1, 1)]);
    for _ in 0..4 {
        let args = market.asking();
        let own = market.active("friend", "p1", &args);
        market.must_close(key("p1"), &own, CloseReason::ClosedByProvider, true);
    }
    assert_eq!(market.provider("p1").stake.get(), 2 * SOL);
    market.chain.advance(50);
    assert_eq!(market.must_resolve(&dispute).slashed.get(), LOSS);
}

#[test]
fn what_leaves_through_longer_ones_leaves_what_other_leases_may_cost() {
    // The dearest lease that stake covers: sixteen epochs of notice cost half of what stands behind it.
    let mut market = Market::bare();
    let mut changed = params();
    changed.rules.notice_epochs.set(16);
    changed.rules.max_missed.set(16);
    changed.rules.min_stake.set(1);
    market.chain.must(calls::initialize(calls::GRID, &changed));
    let class = calls::register_class("small", calls::probe(32, 2));
    market.chain.must(class);
    let price = STAKE_PER_UNIT / (32 * 60);
    let said = RegisterProvider {
        stake: U64::new(SOL / 2),
        price: U64::new(price),
        units: U16::new(10),
        ..calls::registration("p1")
    };
    market
        .chain
        .must(calls::register_provider("p1", "small", &said));
    market.chain.warp_to(10 * 150 + 5);
    let ask = |market: &mut Market| RequestCompute {
        price: U64::new(price),
        seconds: U32::new(10_000),
        ..market.asking()
    };
    let args = ask(&mut market);
    let honest = market.active("alice", "p1", &args);
    market.enter(11);
    market.must_prove(&honest);
    for round in 0..9 {
        let args = ask(&mut market);
        let request = market.must_ask("friend", "small", &args);
        let call = market.acceptance("p1", &request);
        // Half of a unit's stake goes each time, until what is left is behind the two leases alone.
        let left = SOL / 2 - round * 16 * 60 * price;
        if left < 2 * STAKE_PER_UNIT {
            market.chain.refuse(call, MythicError::NoCapacity);
            return;
        }
        market.chain.must(call);
        let own = calls::lease(&request);
        let call = market.start(&own);
        market.chain.must(call);
        let call = market.acknowledgement(&own);
        market.chain.must(call);
        let start = market.epoch();
        // Sixteen epochs without a proof, while the other lease is served.
        for epoch in start + 1..=start + 16 {
            market.enter(epoch);
            market.must_prove(&honest);
        }
        market.must_close(key("p1"), &own, CloseReason::ClosedByProvider, true);
        let provider = market.provider("p1");
        assert_eq!(provider.stake.get(), left - 16 * 60 * price);
        assert!(provider.stake.get() >= provider.stake_in_use());
    }
    panic!("it went on and on");
}

#[test]
fn a_stolen_hot_key_ends_no_lease_at_once() {
    let mut market = Market::new();
    let lease = market.usual();
    let end = |market: &Market| {
        market.closing(operator("p1"), &lease, CloseReason::ClosedByProvider, true)
    };
    let call = end(&market);
    market.chain.refuse(call, MythicError::NotAuthority);
    market.must_close(operator("p1"), &lease, CloseReason::ClosedByProvider, false);
    let call = end(&market);
    market.chain.refuse(call, MythicError::NotAuthority);
    market.must_close(key("p1"), &lease, CloseReason::ClosedByProvider, true);
}

/// Registers p3 with thirty units and stake for ten.
fn ten_backed(market: &mut Market) {
    let said = RegisterProvider {
        stake: U64::new(SOL),
        units: U16::new(30),
        ..calls::registration("p3")
    };
    market
        .chain
        .must(calls::register_provider("p3", "small", &said));
}

/// A request of eight units.
fn eight(market: &mut Market) -> RequestCompute {
    RequestCompute {
        units: 8,
        ..market.asking()
    }
}

#[test]
fn the_same_stake_is_not_behind_the_proofs_of_several_leases_in_a_row() {
    let mut market = Market::new();
    ten_backed(&mut market);
    let args = eight(&mut market);
    let first = market.active("alice", "p3", &args);
    market.enter(11);
    market.must_prove(&first);
    market.must_close(key("alice"), &first, CloseReason::ClosedByTenant, false);
    let provider = market.provider("p3");
    assert_eq!((provider.leased.get(), provider.backed.get()), (0, 8));
    let args = eight(&mut market);
    let request = market.must_ask("bob", "small", &args);
    let call = market.acceptance("p3", &request);
    market.chain.refuse(call.clone(), MythicError::NoCapacity);
    let unstake = calls::request_unstake(key("p3"), SOL);
    market
        .chain
        .refuse(unstake.clone(), MythicError::StakeInUse);
    // Whatever the tenant does, anyone closes the lease once it cannot be disputed.
    market.chain.advance(2_250);
    let call = market.release(&first);
    market.chain.must(call);
    let call = market.account_closing(&first);
    market.chain.must(call);
    assert_eq!(market.provider("p3").backed.get(), 0);
    market.chain.must(unstake);
}

#[test]
fn a_tenant_that_closes_before_any_proof_takes_up_nobodys_stake() {
    let mut market = Market::new();
    ten_backed(&mut market);
    for _ in 0..3 {
        let args = eight(&mut market);
        let lease = market.accepted("alice", "p3", &args);
        market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
        let provider = market.provider("p3");
        assert_eq!((provider.leased.get(), provider.backed.get()), (0, 0));
    }
}

#[test]
fn a_friends_word_that_an_epoch_was_not_served_shields_no_false_proof() {
    let mut market = Market::new();
    let (lease, proof) = proved(&mut market, wrong_element);
    let call = market.unserved(&lease, 11);
    market.chain.must(call);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 3, 4)]);
    market.must_answer(&dispute, &proof);
    let state = market.must_resolve(&dispute);
    assert_eq!(state.end, DisputeEnd::Wrong as u8);
    assert_eq!(state.slashed.get(), LOSS);
    // What was burned stays burned.
    assert_eq!(market.lease(&lease).burned.get(), EPOCH);
    assert_eq!(market.entry(&lease, 11).state, EpochState::Unserved as u8);
}

#[test]
fn a_friends_word_does_not_let_a_lease_vanish_before_it_can_be_disputed_no_more() {
    let mut market = Market::new();
    let mut changed = params();
    changed.rules.dispute_slots.set(3_000);
    changed.unbonding_slots.set(3_850);
    let call = calls::update_config(key("admin"), key("foundation"), &changed);
    market.chain.must(call);
    let lease = market.usual();
    market.prove_until(&lease, 11);
    let call = market.unserved(&lease, 11);
    market.chain.must(call);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    market.chain.advance(2_999);
    let call = market.account_closing(&lease);
    market
        .chain
        .refuse(call.clone(), MythicError::TooEarlyToClose);
    let mut late = market.clone();
    late.chain.advance(1);
    late.chain.must(call);
    market.must_refute("watcher", &lease, 11, &[element(0, 0, 1, 1)]);
}

#[test]
fn nothing_newer_than_a_disputed_epoch_is_paid() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    // In the last slot of its time.
    market.chain.advance(99);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 1, 1)]);
    market.prove_until(&lease, 12);
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.refuse(call, MythicError::NothingToRelease);
    market.must_resolve(&dispute);
    assert_eq!(market.lease(&lease).refunded.get(), 600 * PRICE);
    // What is older is paid all the same.
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    market.must_refute("watcher", &lease, 12, &[element(0, 0, 1, 1)]);
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    assert_eq!(market.entry(&lease, 11).state, EpochState::Released as u8);
    assert_eq!(market.lease(&lease).pending.get(), EPOCH);
}

#[test]
fn no_number_of_disputes_shields_a_proof() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    let many = 65_535;
    market.chain.forge(&lease, |lease: &mut Lease| {
        lease.disputes.set(many);
        lease.open_disputes.set(many);
        lease.ring[11].open_disputes.set(many);
    });
    let call = market.refutation("watcher", &lease, 11, &[element(0, 0, 1, 1)]);
    market.chain.send_unchecked(call).expect("one more");
    let dispute = market.dispute(&calls::dispute(&lease, 11, "watcher"));
    // To come so far cost two thousand million halves of an epoch's price.
    assert_eq!(dispute.at_stake.get(), 65_536 * (EPOCH / 2));
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
    let mut changed = params();
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

#[test]
fn no_unit_is_held_for_the_price_of_a_second() {
    let mut market = Market::new();
    let no_show = params().rules.no_show.get();
    for (seconds, error) in [
        (1, MythicError::LeaseTimeOutOfRange),
        (60, MythicError::EscrowTooSmall),
    ] {
        let args = RequestCompute {
            seconds: U32::new(seconds),
            ..market.asking()
        };
        let class = calls::class("small");
        let call = ix::request_compute(key("alice"), key("alice"), class, &args);
        market.chain.refuse(call, error);
    }
    // What is just enough costs the tenant what it costs the provider.
    let args = RequestCompute {
        seconds: U32::new((no_show / PRICE) as u32),
        ..market.asking()
    };
    let lease = market.accepted("alice", "p1", &args);
    let call = market.start(&lease);
    market.chain.must(call);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    let ended = market.lease(&lease);
    assert_eq!(
        (ended.burned.get(), ended.slashed.get()),
        (no_show, no_show)
    );
}

#[test]
fn a_start_that_nobody_acknowledged_holds_its_units_no_longer_than_it_paid_for() {
    let mut market = Market::new();
    let args = RequestCompute {
        seconds: U32::new(101),
        ..market.asking()
    };
    let lease = market.accepted("alice", "p1", &args);
    let call = market.start(&lease);
    market.chain.must(call);
    let end = |market: &Market| {
        let reason = CloseReason::NeverAcknowledged;
        market.closing(key("stranger"), &lease, reason, false)
    };
    market.chain.wait(100);
    let call = end(&market);
    market.chain.refuse(call, MythicError::DeadlineNotPassed);
    market.chain.wait(1);
    let call = end(&market);
    market.chain.must(call);
    assert_eq!(market.provider("p1").leased.get(), 0);
}

#[test]
fn a_start_in_front_of_a_tenants_end_does_not_burn_what_it_meant_to_have_back() {
    let mut market = Market::new();
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    let end = market.closing(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    let call = market.start(&lease);
    market.chain.must(call);
    market.chain.refuse(end, MythicError::WrongLeaseStatus);
}

#[test]
fn a_dispute_in_front_of_an_honest_one_does_not_take_more_than_it_meant_to_pay() {
    let mut market = Market::new();
    let (lease, _) = proved(&mut market, wrong_element);
    let (state, entry) = (market.lease(&lease), market.entry(&lease, 11));
    let (who, named) = (key("watcher"), [element(0, 0, 3, 4)]);
    let bond = EPOCH / 2 + 20_000;
    let honest = ix::refute_lease(who, who, (lease, &state), &entry, &named, bond);
    market.must_refute("friend", &lease, 11, &[element(0, 1, 0, 0)]);
    market.chain.refuse(honest, MythicError::BondTooHigh);
}

#[test]
fn an_outage_is_nobodys_income() {
    let mut market = Market::new();
    let (_, dispute, _) = disputed(&mut market, &[element(0, 0, 3, 4)]);
    market.chain.advance(50);
    let state = market.must_resolve(&dispute);
    assert_eq!(state.end, DisputeEnd::Unanswered as u8);
    // It costs the provider as much as a false proof, and nobody gets it.
    let bond = EPOCH / 2 + 20_000;
    assert_eq!(state.slashed.get(), LOSS);
    assert_eq!((state.returned.get(), state.reward.get()), (bond, bond));
    assert_eq!(market.provider("p1").owed_burn.get(), LOSS - bond);
}

#[test]
fn lamports_that_somebody_sends_to_an_address_block_no_lease_no_dispute_and_no_request() {
    const SENT: u64 = 890_880;
    let mut market = Market::new();
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let lease = calls::lease(&request);
    market.chain.fund(lease, SENT);
    let call = market.acceptance("p1", &request);
    market.chain.must(call);
    let call = market.start(&lease);
    market.chain.must(call);
    let call = market.acknowledgement(&lease);
    market.chain.must(call);
    market.prove_until(&lease, 11);
    market
        .chain
        .fund(calls::dispute(&lease, 11, "watcher"), SENT);
    market.must_refute("watcher", &lease, 11, &[element(0, 0, 1, 1)]);
    // What lies where a lease would be keeps no request.
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    market.chain.fund(calls::lease(&request), SENT);
    market
        .chain
        .must(calls::cancel_request(key("alice"), request));
    market.chain.advance(2_250);
    let call = ix::close_request(request, &market.request(&request));
    market.chain.must(call);
}

#[test]
fn a_tenant_that_disputes_every_epoch_pays_half_more_than_who_does_not() {
    let mut market = Market::new();
    let before = market.wallet("alice");
    let lease = market.usual();
    for epoch in 11..=20 {
        market.prove_until(&lease, epoch);
        let call = market.unserved(&lease, epoch);
        market.chain.must(call);
    }
    market.chain.wait(1);
    market.must_close(key("stranger"), &lease, CloseReason::Completed, false);
    let (ended, all) = (market.lease(&lease), 600 * PRICE);
    assert_eq!((ended.burned.get(), ended.pending.get()), (all, 0));
    assert_eq!((ended.paid.get(), ended.refunded.get()), (0, 0));
    let rent = market.chain.rent(Request::LEN);
    assert_eq!(before - market.wallet("alice"), all + all / 2 + rent);
    let provider = market.provider("p1");
    assert_eq!((provider.unserved.get(), provider.slashed.get()), (all, 0));
    assert_eq!(provider.owed_burn.get(), all + all / 2);
}
