//! Leases that run as they should: every lamport is paid, refunded or burned by name.

use mythic_interface::error::MythicError;
use mythic_interface::le::{U32, U64};
use mythic_interface::market::ix::{self, RequestCompute};
use mythic_interface::market::state::*;
use mythic_interface::money;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls::{self, PRICE};
use mythic_program_tests::market::scenes::{emptied, scenes};
use mythic_program_tests::market::world::{Market, params};

/// Lamports of an epoch of one unit.
const EPOCH: u64 = 60 * PRICE;

fn end_of(market: &Market, lease: &[u8; 32]) -> (Option<CloseReason>, u64, u64, u64) {
    let lease = market.lease(lease);
    (
        CloseReason::from_u8(lease.reason),
        lease.paid.get(),
        lease.burned.get(),
        lease.refunded.get(),
    )
}

#[test]
fn every_instruction_has_a_scene_that_succeeds() {
    let all = scenes();
    for tag in ix::ALL {
        assert!(all.iter().any(|scene| scene.tag == *tag), "{}", tag.name());
    }
    for mut scene in all {
        scene.market.chain.must(scene.call);
    }
}

#[test]
fn a_lease_is_paid_to_the_last_second() {
    let mut market = Market::new();
    let lease = market.usual();
    assert_eq!(market.provider("p1").leased.get(), 1);
    // Ten minutes are ten epochs.
    market.prove_until(&lease, 20);
    market.chain.wait(10);
    market.must_close(key("stranger"), &lease, CloseReason::Completed, false);
    let ended = market.lease(&lease);
    assert_eq!((ended.mark, ended.missed.get()), (ended.ends_at, 0));
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    let all = 600 * PRICE;
    let split = money::split_by(all, 5_000, 1_000);
    let paid = market.lease(&lease);
    assert!(paid.paid.get().abs_diff(split.earner) <= 11);
    assert_eq!(
        paid.paid.get() + paid.foundation.get() + paid.burned.get(),
        all
    );
    assert_eq!(paid.refunded.get(), 0);
    assert_eq!(market.provider("p1").claimable, paid.paid);
    assert_eq!(market.provider("p1").leased.get(), 0);
}

#[test]
fn a_tenant_closes_at_once_and_gets_back_what_it_did_not_use() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    market.chain.advance(75);
    // Two epochs, and half of one behind them.
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    let tail = market.entry(&lease, 13);
    assert_eq!((tail.seconds.get(), tail.proof), (30, [0; 32]));
    let before = market.wallet("alice");
    let call = market.withdrawal(&lease);
    market.chain.must(call);
    assert_eq!(market.wallet("alice") - before, 600 * PRICE - 150 * PRICE);
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    let (reason, paid, ..) = end_of(&market, &lease);
    assert_eq!(
        (reason, paid),
        (Some(CloseReason::ClosedByTenant), 75 * PRICE)
    );
}

#[test]
fn a_request_is_refunded_when_cancelled_or_expired() {
    let mut market = Market::new();
    let before = market.wallet("alice");
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    market.chain.must(ix::cancel_request(key("alice"), request));
    let other = market.asking();
    let expired = market.must_ask("alice", "small", &other);
    market.chain.advance(100);
    let call = ix::expire_request(expired, &market.request(&expired));
    market.chain.must(call);
    market.chain.advance(3_000);
    for address in [request, expired] {
        let state = market.request(&address);
        assert_eq!(state.refunded.get(), 600 * PRICE);
        market.chain.must(ix::close_request(address, &state));
    }
    assert_eq!(market.wallet("alice"), before);
}

#[test]
fn an_open_request_pays_the_providers_price_and_refunds_the_rest() {
    let mut market = Market::new();
    let mut args = market.asking();
    args.price = U64::new(3 * PRICE);
    let lease = market.accepted("alice", "p2", &args);
    let state = market.lease(&lease);
    assert_eq!(state.terms.price.get(), PRICE);
    assert_eq!(state.tenant_due.get(), 2 * 600 * PRICE);
    assert_eq!(state.escrow.get(), 600 * PRICE);
}

#[test]
fn who_never_starts_is_closed_by_anyone_and_pays_for_it() {
    let mut market = Market::new();
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    market.chain.advance(150);
    market.must_close(key("stranger"), &lease, CloseReason::NeverStarted, false);
    let (reason, paid, burned, refunded) = end_of(&market, &lease);
    assert_eq!(reason, Some(CloseReason::NeverStarted));
    assert_eq!((paid, burned, refunded), (0, 0, 600 * PRICE));
    let provider = market.provider("p1");
    assert_eq!(provider.slashed, params().rules.no_show);
    assert_eq!(provider.owed_burn, params().rules.no_show);
}

#[test]
fn before_the_acknowledgement_nothing_is_paid() {
    for by_tenant in [true, false] {
        let mut market = Market::new();
        let args = market.asking();
        let lease = market.accepted("alice", "p1", &args);
        let call = market.start(&lease);
        market.chain.must(call);
        let reason = match by_tenant {
            true => CloseReason::ClosedByTenant,
            false => CloseReason::NeverAcknowledged,
        };
        market.chain.advance(100);
        let closer = if by_tenant { "alice" } else { "stranger" };
        market.must_close(key(closer), &lease, reason, false);
        // A hundred slots are forty seconds, which cost less than who does not start at all.
        let no_show = params().rules.no_show.get();
        let (found, paid, burned, refunded) = end_of(&market, &lease);
        assert_eq!(found, Some(reason));
        assert_eq!((paid, burned), (0, no_show));
        assert_eq!(refunded, 600 * PRICE - no_show);
        let provider = market.provider("p1");
        assert_eq!(provider.slashed.get(), no_show);
        assert_eq!(provider.owed_burn.get(), 2 * no_show);
    }
}

#[test]
fn proofs_before_the_acknowledgement_are_paid_after_it() {
    let mut market = Market::new();
    market.chain.warp_to(10 * 150 + 100);
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    let call = market.start(&lease);
    market.chain.must(call);
    market.enter(11);
    market.must_prove(&lease);
    let mut silent = market.clone();
    silent.chain.warp_to(11 * 150 + 50);
    silent.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    let entry = silent.entry(&lease, 11);
    assert_eq!(entry.state, EpochState::Forfeited as u8);
    let (_, paid, burned, _) = end_of(&silent, &lease);
    assert_eq!((paid, burned), (0, params().rules.no_show.get()));

    let call = market.acknowledgement(&lease);
    market.chain.must(call);
    market.chain.advance(100);
    let call = market.release(&lease);
    market.chain.must(call);
    assert_eq!(market.lease(&lease).paid.get(), 22 * PRICE / 2);
}

#[test]
fn a_provider_gives_notice_proves_on_and_leaves_for_nothing() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    market.must_close(operator("p1"), &lease, CloseReason::ClosedByProvider, false);
    assert_eq!(market.lease(&lease).status(), Some(LeaseStatus::Closing));
    market.prove_until(&lease, 13);
    market.enter(14);
    market.must_close(
        key("stranger"),
        &lease,
        CloseReason::ClosedByProvider,
        false,
    );
    let ended = market.lease(&lease);
    assert_eq!((ended.compensated.get(), ended.slashed.get()), (0, 0));
    assert_eq!(ended.notice_proved.get(), 2);
    assert_eq!(ended.pending.get(), 240 * PRICE);
}

#[test]
fn a_provider_that_leaves_at_once_pays_the_price_of_its_notice_to_the_tenant() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 12);
    let before = market.lease(&lease).escrow.get();
    market.must_close(key("p1"), &lease, CloseReason::ClosedByProvider, true);
    let ended = market.lease(&lease);
    assert_eq!(ended.compensated.get(), 2 * EPOCH);
    assert_eq!(ended.tenant_due.get(), before + 2 * EPOCH);
    assert_eq!(market.provider("p1").slashed.get(), 2 * EPOCH);
}

#[test]
fn a_silent_provider_is_closed_by_anyone_and_its_notice_is_burned() {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    market.enter(15);
    market.must_close(key("stranger"), &lease, CloseReason::MissedProofs, false);
    let ended = market.lease(&lease);
    assert_eq!(ended.missed.get(), 3);
    assert_eq!(
        (ended.compensated.get(), ended.slashed.get()),
        (0, 2 * EPOCH)
    );
    // What was not proved is not paid.
    assert_eq!(ended.pending.get(), 60 * PRICE);
    assert_eq!(market.provider("p1").owed_burn.get(), 2 * EPOCH);
}

#[test]
fn seconds_are_added_by_anyone() {
    let mut market = Market::new();
    let lease = market.usual();
    let end = market.lease(&lease).ends_at.get();
    let call = ix::top_up(key("bob"), lease, &market.lease(&lease), 120);
    market.chain.must(call);
    let state = market.lease(&lease);
    assert_eq!(state.ends_at.get(), end + 120);
    assert_eq!(state.escrow.get(), 720 * PRICE);
}

#[test]
fn a_long_lease_goes_round_its_ring_and_is_paid_on_the_way() {
    let mut market = Market::new();
    let args = RequestCompute {
        seconds: U32::new(5_000),
        units: 3,
        ..market.asking()
    };
    let lease = market.active("alice", "p1", &args);
    market.prove_until(&lease, 70);
    let state = market.lease(&lease);
    assert_eq!(
        state.ring.iter().filter(|entry| entry.is_pending()).count(),
        32
    );
    // Sixty epochs were proved, and the twenty-eight oldest were paid when their places were needed.
    let paid = state.paid.get() + state.foundation.get() + state.burned.get();
    assert_eq!(paid, 3 * 28 * 60 * PRICE);
}

#[test]
fn pausing_stops_requests_and_nothing_else() {
    let mut market = Market::new();
    let lease = market.usual();
    let args = market.asking();
    let request = market.must_ask("bob", "small", &args);
    market.chain.must(calls::pause(key("admin")));
    let call = market.acceptance("p2", &request);
    market.chain.must(call);
    market.prove_until(&lease, 11);
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    market.chain.advance(100);
    for call in [market.release(&lease), market.withdrawal(&lease)] {
        market.chain.must(call);
    }
}

#[test]
fn a_provider_leaves_with_everything_that_is_its_own() {
    let mut market = Market::new();
    let before = market.wallet("p1");
    let lease = emptied(&mut market);
    let earned = market.lease(&lease).paid.get();
    market.chain.advance(2_250);
    let call = market.account_closing(&lease);
    market.chain.must(call);
    market
        .chain
        .must(calls::request_unstake(key("p1"), 2 * SOL));
    market.chain.advance(950);
    for call in [
        calls::withdraw_stake(key("p1")),
        calls::withdraw_claimable(key("p1"), key("p1")),
        calls::sweep(key("p1")),
        calls::close_provider(key("p1"), key("p1")),
    ] {
        market.chain.must(call);
    }
    let rent = market.chain.rent(Provider::LEN);
    assert_eq!(market.wallet("p1"), before + 2 * SOL + earned + rent);
}

#[test]
fn leases_run_on_in_jail() {
    let mut market = Market::new();
    let (first, second) = (market.usual(), market.usual());
    market.enter(11);
    for lease in [first, second] {
        market.must_prove(&lease);
    }
    let dispute = market.must_refute(
        "watcher",
        &first,
        11,
        &[mythic_program_tests::market::world::element(0, 0, 1, 1)],
    );
    market.chain.advance(50);
    market.must_resolve(&dispute);
    let provider = market.provider("p1");
    assert_eq!(provider.header.status, ProviderStatus::Jailed as u8);
    market.enter(12);
    market.must_prove(&second);
    assert_eq!(market.lease(&second).status(), Some(LeaseStatus::Active));
}

#[test]
fn one_of_two_providers_that_accept_a_request_has_it() {
    let mut market = Market::new();
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let both = ["p1", "p2"].map(|name| market.acceptance(name, &request));
    for (first, second) in [(0, 1), (1, 0)] {
        let mut market = market.clone();
        market.chain.must(both[first].clone());
        let late = both[second].clone();
        market.chain.refuse(late, MythicError::WrongRequestStatus);
        let name = ["p1", "p2"][first];
        let lease = market.lease(&calls::lease(&request));
        assert_eq!(lease.terms.provider, key(name));
        assert_eq!(market.provider(name).leased.get(), 1);
    }
}

#[test]
fn a_clock_that_stands_still_pays_nothing_and_one_that_leaps_an_epoch_and_a_half_at_most() {
    let mut market = Market::new();
    let args = RequestCompute {
        seconds: U32::new(5_000),
        ..market.asking()
    };
    let lease = market.active("alice", "p1", &args);
    market.prove_until(&lease, 11);
    market.chain.hold(150);
    market.must_prove(&lease);
    let still = market.entry(&lease, 12);
    assert_eq!((still.seconds.get(), still.amount.get()), (0, 0));
    assert_eq!(market.lease(&lease).missed.get(), 0, "it was proved");
    market.chain.wait(1_000);
    market.enter(13);
    market.must_prove(&lease);
    assert_eq!(market.entry(&lease, 13).seconds.get(), 90);
    // What was leapt over is paid to nobody: it comes back.
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    assert_eq!(
        market.lease(&lease).refunded.get(),
        (5_000 - 60 - 90) * PRICE
    );
    // A leap beyond the end ends the lease for what was metered before, and the cap behind it.
    let args = market.asking();
    let other = market.active("bob", "p1", &args);
    market.chain.wait(100_000);
    market.must_close(key("stranger"), &other, CloseReason::Completed, false);
    let ended = market.lease(&other);
    assert_eq!(
        (ended.mark, ended.pending.get()),
        (ended.ends_at, 90 * PRICE)
    );
    assert_eq!(ended.refunded.get(), 510 * PRICE);
}
