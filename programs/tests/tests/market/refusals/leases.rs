//! Starts, proofs, releases, seconds that are added, ends, accounts.

use mythic_interface::error::MythicError::*;
use mythic_interface::le::U32;
use mythic_interface::market::ix::{self, RequestCompute, SubmitProof};
use mythic_interface::market::state::{CloseReason, LeaseStatus};
use mythic_interface::state::Key;
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls;
use mythic_program_tests::market::scenes::{due, emptied};
use mythic_program_tests::market::world::{Market, element, params};
use solana_instruction::Instruction as Call;

use super::{Seen, patch, swap};

pub fn starts(seen: &mut Seen) {
    let mut market = Market::new();
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    let start = market.start(&lease);
    seen.refuse(&mut market, swap(start.clone(), 0, key("p1")), NotOperator);
    let other = swap(start.clone(), 0, operator("p2"));
    let other = swap(other, 1, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    seen.refuse(&mut market, patch(start.clone(), 1, 0), WrongFork);
    let mut empty = start.clone();
    empty.data[33..].fill(0);
    seen.refuse(&mut market, empty, EmptyHash);
    let early = market.acknowledgement(&lease);
    seen.refuse(&mut market, early, WrongLeaseStatus);
    let mut late = market.clone();
    late.chain.advance(150);
    seen.refuse(&mut late, start.clone(), DeadlinePassed);
    market.chain.advance(149);
    market.chain.must(start.clone());
    seen.refuse(&mut market, start, WrongLeaseStatus);
    let acknowledge = market.acknowledgement(&lease);
    let by = |who: &str| swap(acknowledge.clone(), 0, key(who));
    seen.refuse(&mut market, by("bob"), NotTenant);
    for at in [1, 33] {
        let other = patch(acknowledge.clone(), at, acknowledge.data[at] ^ 1);
        seen.refuse(&mut market, other, WrongFork);
    }
    let call = market.release(&lease);
    seen.refuse(&mut market, call, WrongLeaseStatus);
    market.chain.advance(99);
    let mut late = market.clone();
    late.chain.advance(1);
    seen.refuse(&mut late, acknowledge.clone(), DeadlinePassed);
    market.chain.must(acknowledge.clone());
    seen.refuse(&mut market, acknowledge, WrongLeaseStatus);
}

pub fn proofs(seen: &mut Seen) {
    let mut market = Market::new();
    let lease = market.usual();
    // The lease started in epoch 10.
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, EpochProved);
    // In the first slot of an epoch nobody knows its hash.
    market.chain.warp_to(11 * 150);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, EpochUnknown);
    market.enter(11);
    let send = |market: &Market, change: &dyn Fn(&mut SubmitProof)| {
        let mut args = market.proving(&lease, [7; 32]);
        change(&mut args);
        ix::submit_proof(operator("p1"), key("p1"), lease, &args)
    };
    let mut refuse = |change: &dyn Fn(&mut SubmitProof), error| {
        let call = send(&market, change);
        seen.refuse(&mut market, call, error);
    };
    refuse(&|a| a.terms_hash = [1; 32], WrongFork);
    refuse(&|a| a.proof = [0; 32], EmptyHash);
    refuse(&|a| a.epoch.set(10), WrongEpoch);
    refuse(&|a| a.epoch.set(12), WrongEpoch);
    refuse(&|a| a.first_slot.set(1_651), WrongFork);
    refuse(&|a| a.hash = [1; 32], WrongFork);
    let call = swap(market.proof(&lease), 0, key("p1"));
    seen.refuse(&mut market, call, NotOperator);
    let args = market.proving(&lease, [7; 32]);
    let call = ix::submit_proof(operator("p2"), key("p2"), lease, &args);
    seen.refuse(&mut market, call, WrongProvider);
    market.must_prove(&lease);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, EpochProved);
    market.chain.warp_to(12 * 150 + 50);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, ProofsClosed);
    // A lease whose time is over takes what is left of it once.
    market.prove_until(&lease, 13);
    market.chain.wait(600);
    market.prove_until(&lease, 14);
    market.enter(15);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, LeaseOver);
    market.must_close(key("bob"), &lease, CloseReason::Completed, false);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, WrongLeaseStatus);
    unacknowledged(seen);
    disputed_places(seen);
}

/// Nothing is proved of a start that nobody may acknowledge any more.
fn unacknowledged(seen: &mut Seen) {
    let mut market = Market::new();
    market.chain.warp_to(10 * 150 + 60);
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    let call = market.start(&lease);
    market.chain.must(call);
    market.chain.advance(100);
    assert_eq!(market.epoch(), 11);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, DeadlinePassed);
}

/// A disputed epoch keeps its place in the ring until somebody resolves it.
fn disputed_places(seen: &mut Seen) {
    let mut market = Market::new();
    let args = RequestCompute {
        seconds: U32::new(5_000),
        ..market.asking()
    };
    let lease = market.active("alice", "p1", &args);
    market.prove_until(&lease, 11);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 1, 1)]);
    market.prove_until(&lease, 42);
    market.enter(43);
    let call = market.proof(&lease);
    seen.refuse(&mut market, call, OpenDisputes);
    market.must_resolve(&dispute);
}

pub fn releases(seen: &mut Seen) {
    let mut market = Market::new();
    let lease = market.usual();
    let call = market.release(&lease);
    seen.refuse(&mut market, call, NothingToRelease);
    market.prove_until(&lease, 11);
    market.chain.advance(99);
    let release = market.release(&lease);
    seen.refuse(&mut market, release.clone(), NothingToRelease);
    market.chain.advance(1);
    let other = swap(release.clone(), 0, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    market.chain.must(release.clone());
    seen.refuse(&mut market, release, NothingToRelease);
    let call = market.withdrawal(&lease);
    seen.refuse(&mut market, call.clone(), NothingToWithdraw);
    seen.refuse(&mut market, swap(call, 1, key("bob")), WrongTenant);
}

pub fn seconds(seen: &mut Seen) {
    let mut market = Market::new();
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    let add =
        |market: &Market, seconds| ix::top_up(key("bob"), lease, &market.lease(&lease), seconds);
    let call = add(&market, 60);
    seen.refuse(&mut market, call, WrongLeaseStatus);
    let call = market.start(&lease);
    market.chain.must(call);
    let call = add(&market, 0);
    seen.refuse(&mut market, call, ZeroAmount);
    let call = add(&market, 2_592_000 - 599);
    seen.refuse(&mut market, call, LeaseTimeOutOfRange);
    let call = patch(add(&market, 60), 1, 0);
    seen.refuse(&mut market, call, WrongFork);
    let call = add(&market, 60);
    market.chain.must(call);
    let call = market.acknowledgement(&lease);
    market.chain.must(call);
    let mut over = market.clone();
    over.chain.wait(601);
    let call = add(&over, 60);
    seen.refuse(&mut over, call, LeaseOver);
    market.must_close(operator("p1"), &lease, CloseReason::ClosedByProvider, false);
    let call = add(&market, 60);
    seen.refuse(&mut market, call, WrongLeaseStatus);
}

fn close(market: &Market, who: Key, lease: &Key, reason: CloseReason, now: bool) -> Call {
    market.closing(who, lease, reason, now)
}

pub fn closings(seen: &mut Seen) {
    use CloseReason::*;
    let (alice, bob, hot) = (key("alice"), key("bob"), operator("p1"));
    let mut market = Market::new();
    let args = market.asking();
    let lease = market.accepted("alice", "p1", &args);
    let mut refuse = |market: &mut Market, who: Key, reason, error| {
        for now in [false, true] {
            let call = close(market, who, &lease, reason, now);
            seen.refuse(market, call, error);
        }
    };
    refuse(&mut market, bob, ProofRefuted, UnknownCloseReason);
    refuse(&mut market, bob, ClosedByTenant, NotTenant);
    for reason in [Completed, NeverAcknowledged, MissedProofs] {
        refuse(&mut market, alice, reason, WrongLeaseStatus);
    }
    refuse(&mut market, hot, ClosedByProvider, WrongLeaseStatus);
    market.chain.advance(149);
    refuse(&mut market, alice, NeverStarted, DeadlineNotPassed);
    let call = market.start(&lease);
    market.chain.must(call);
    for reason in [Completed, NeverStarted, MissedProofs] {
        refuse(&mut market, alice, reason, WrongLeaseStatus);
    }
    refuse(&mut market, hot, ClosedByProvider, WrongLeaseStatus);
    market.chain.advance(99);
    refuse(&mut market, bob, NeverAcknowledged, DeadlineNotPassed);
    let call = market.acknowledgement(&lease);
    market.chain.must(call);
    for reason in [NeverStarted, NeverAcknowledged] {
        refuse(&mut market, alice, reason, WrongLeaseStatus);
    }
    refuse(&mut market, bob, Completed, LeaseRunning);
    let started = market.lease(&lease).last_proved.get();
    market.chain.warp_to(150 * (started + 4) - 1);
    refuse(&mut market, bob, MissedProofs, NotMissed);
    let mut over = market.clone();
    over.chain.advance(1);
    over.chain.wait(600);
    refuse(&mut over, bob, MissedProofs, LeaseOver);
    for (strange, now, error) in [
        (bob, false, NotOperator),
        (bob, true, NotAuthority),
        (hot, true, NotAuthority),
    ] {
        let call = close(&market, strange, &lease, ClosedByProvider, now);
        seen.refuse(&mut market, call, error);
    }
    // Notice: others wait for its end, and it is given once.
    market.must_close(hot, &lease, ClosedByProvider, false);
    let call = close(&market, hot, &lease, ClosedByProvider, false);
    seen.refuse(&mut market, call, NoticeRunning);
    for strange in [bob, hot] {
        let call = close(&market, strange, &lease, ClosedByProvider, true);
        seen.refuse(&mut market, call, NotAuthority);
    }
    let call = close(&market, key("p1"), &lease, ClosedByProvider, true);
    seen.refuse(&mut market, patch(call.clone(), 1, 0), WrongFork);
    seen.refuse(&mut market, patch(call.clone(), 34, 2), InvalidFlag);
    seen.refuse(&mut market, patch(call.clone(), 33, 8), UnknownCloseReason);
    // It is no longer what the closer read.
    let active = LeaseStatus::Active as u8;
    let other = patch(call.clone(), 35, active);
    seen.refuse(&mut market, other, WrongLeaseStatus);
    let other = swap(call.clone(), 1, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    market.chain.must(call);
    for reason in [
        Completed,
        ClosedByTenant,
        ClosedByProvider,
        NeverStarted,
        NeverAcknowledged,
        MissedProofs,
    ] {
        let call = close(&market, alice, &lease, reason, false);
        seen.refuse(&mut market, call, WrongLeaseStatus);
    }
}

pub fn accounts_of_leases(seen: &mut Seen) {
    let mut market = Market::new();
    let lease = due(&mut market);
    let close = market.account_closing(&lease);
    seen.refuse(&mut market, close.clone(), WrongLeaseStatus);
    for (at, error) in [(2, WrongTenant), (3, WrongRentPayer)] {
        let other = swap(close.clone(), at, key("bob"));
        seen.refuse(&mut market, other, error);
    }
    market.must_close(key("alice"), &lease, CloseReason::ClosedByTenant, false);
    seen.refuse(&mut market, close.clone(), LeaseNotEmpty);
    let mut disputed = Market::new();
    let (other, dispute, _) =
        mythic_program_tests::market::scenes::disputed(&mut disputed, &[element(0, 0, 1, 1)]);
    disputed.must_close(key("alice"), &other, CloseReason::ClosedByTenant, false);
    let call = disputed.account_closing(&other);
    seen.refuse(&mut disputed, call, OpenDisputes);
    disputed.chain.advance(50);
    disputed.must_resolve(&dispute);

    let mut market = Market::new();
    let lease = emptied(&mut market);
    let close = market.account_closing(&lease);
    let delay = u64::from(params().rules.close_delay_slots.get());
    market.chain.advance(delay - 101);
    seen.refuse(&mut market, close.clone(), TooEarlyToClose);
    market.chain.advance(1);
    let other = swap(close.clone(), 1, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    market.chain.must(close);
}
