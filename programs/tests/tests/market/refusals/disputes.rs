//! Disputes, what is opened of them, how they end.

use mythic_interface::error::MythicError::*;
use mythic_interface::market::ix;
use mythic_interface::market::state::NamedElement;
use mythic_program_tests::keys::key;
use mythic_program_tests::market::calls;
use mythic_program_tests::market::scenes::disputed;
use mythic_program_tests::market::world::{Market, element};

use super::{Seen, patch, swap};

pub fn disputes(seen: &mut Seen) {
    let mut market = Market::new();
    let lease = market.usual();
    market.prove_until(&lease, 11);
    let named = [element(0, 0, 1, 1), element(0, 1, 0, 0)];
    let refute = market.refutation("watcher", &lease, 11, &named);
    seen.refuse(&mut market, patch(refute.clone(), 1, 0), WrongFork);
    seen.refuse(&mut market, patch(refute.clone(), 33, 12), EpochNotPending);
    let other = patch(refute.clone(), 41, refute.data[41] ^ 1);
    seen.refuse(&mut market, other, WrongFork);
    seen.refuse(
        &mut market,
        patch(refute.clone(), 73, 3),
        UnknownDisputeKind,
    );
    let other = swap(refute.clone(), 2, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    let mut refuse = |named: &[NamedElement]| {
        let call = market.refutation("watcher", &lease, 11, named);
        seen.refuse(&mut market, call, ElementsInvalid);
    };
    refuse(&[]);
    refuse(&[named[1], named[0]]);
    refuse(&[named[0], named[0]]);
    refuse(&[element(1, 0, 0, 0)]);
    refuse(&[element(0, 2, 0, 0)]);
    refuse(&[element(0, 0, 32, 0)]);
    refuse(&[element(0, 0, 0, 32)]);
    for count in [1, 9] {
        // More than is counted, and more than there is room for.
        let call = patch(refute.clone(), 74, count);
        seen.refuse(&mut market, call, ElementsInvalid);
    }
    let mut unserved = market.unserved(&lease, 11);
    seen.refuse(
        &mut market,
        swap(unserved.clone(), 1, key("bob")),
        NotTenant,
    );
    seen.refuse(&mut market, patch(unserved.clone(), 74, 1), ElementsInvalid);
    seen.refuse(&mut market, patch(unserved.clone(), 75, 1), ElementsInvalid);
    let other = swap(unserved.clone(), 2, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    seen.refuse(&mut market, patch(unserved.clone(), 1, 0), WrongFork);
    unserved.accounts[4].pubkey = calls::dispute(&lease, 11, "alice").into();
    unserved.accounts[4].is_writable = true;
    seen.refuse(&mut market, unserved, UnexpectedDispute);
    // Half of an epoch's price and four transactions; of the tenant's word, half of what was metered.
    let (state, entry) = (market.lease(&lease), market.entry(&lease, 11));
    let of = (lease, &state);
    let least = 60 * calls::PRICE / 2 + 40_000;
    let who = key("watcher");
    let call = ix::refute_lease(who, who, of, &entry, &named, least - 1);
    seen.refuse(&mut market, call, BondTooHigh);
    let mut low = market.unserved(&lease, 11);
    let most = low.data.len() - 8;
    low.data[most..].copy_from_slice(&(entry.amount.get() / 2 - 1).to_le_bytes());
    seen.refuse(&mut market, low, BondTooHigh);
    let call = ix::refute_lease(who, who, of, &entry, &named, least);
    market.chain.must(call);
    seen.refuse(&mut market, refute, AccountExists);

    market.prove_until(&lease, 12);
    let (late, word) = (
        market.refutation("friend", &lease, 12, &named),
        market.unserved(&lease, 12),
    );
    let mut over = market.clone();
    over.chain.advance(100);
    seen.refuse(&mut over, late, DisputeClosed);
    seen.refuse(&mut over, word.clone(), DisputeClosed);
    market.chain.must(word.clone());
    seen.refuse(&mut market, word, EpochNotPending);
    // What is behind the last proof has none.
    market.chain.advance(20);
    let reason = mythic_interface::market::state::CloseReason::ClosedByTenant;
    market.must_close(key("alice"), &lease, reason, false);
    let call = market.refutation("friend", &lease, 13, &named);
    seen.refuse(&mut market, call, ProofMissing);
}

pub fn openings(seen: &mut Seen) {
    let mut market = Market::new();
    let (_, dispute, proof) = disputed(&mut market, &[element(0, 1, 3, 4)]);
    let mut answers = market.answers(&dispute, &proof);
    let last = answers.pop().expect("the element");
    let first = answers.remove(0);
    seen.refuse(&mut market, last.clone(), RootNotShown);
    // Its own root alone is not enough: its seed is drawn from the one before.
    let mut half = market.clone();
    half.chain.must(answers[0].clone());
    seen.refuse(&mut half, last.clone(), RootNotShown);
    let (root, path) = proof.round(0, 0);
    for (unit, round) in [(1, 0), (0, 2)] {
        let call = ix::open_root(dispute, (unit, round), &root, &path);
        seen.refuse(&mut market, call, NotNamed);
    }
    let call = ix::open_root(dispute, (0, 0), &[1; 32], &path);
    seen.refuse(&mut market, call, PathMismatch);
    let call = ix::open_root(dispute, (0, 0), &root, &[path[0], path[0]]);
    seen.refuse(&mut market, call, PathMismatch);
    seen.refuse(&mut market, patch(first.clone(), 1, 3), UnknownDisputeKind);
    let mut short = first.clone();
    short.data.truncate(20);
    seen.refuse(&mut market, short, InvalidInstructionData);
    market.chain.must(first.clone());
    seen.refuse(&mut market, first, AlreadyOpened);
    for call in answers {
        market.chain.must(call);
    }
    let (leaf, path) = proof.all[1].opening(3, 4);
    let call = ix::open_element(dispute, 1, &leaf, &path);
    seen.refuse(&mut market, call, NotNamed);
    let mut other = leaf;
    other[0] ^= 1;
    let call = ix::open_element(dispute, 0, &other, &path);
    seen.refuse(&mut market, call, PathMismatch);
    let (other, elsewhere) = proof.all[1].opening(4, 4);
    let call = ix::open_element(dispute, 0, &other, &elsewhere);
    seen.refuse(&mut market, call, PathMismatch);
    seen.refuse(
        &mut market,
        patch(last.clone(), 2, 1),
        InvalidInstructionData,
    );
    market.chain.advance(49);
    let mut late = market.clone();
    late.chain.advance(1);
    seen.refuse(&mut late, last.clone(), OpeningsOver);
    market.chain.must(last.clone());
    seen.refuse(&mut market, last.clone(), AlreadyOpened);
    market.must_resolve(&dispute);
    seen.refuse(&mut market, last, WrongDisputeStatus);
}

pub fn verdicts(seen: &mut Seen) {
    let mut market = Market::new();
    let (_, dispute, proof) = disputed(&mut market, &[element(0, 0, 3, 4)]);
    let resolve = market.resolution(&dispute);
    seen.refuse(&mut market, resolve.clone(), DisputeNotDue);
    let other = swap(resolve.clone(), 0, calls::provider("p2"));
    seen.refuse(&mut market, other, WrongProvider);
    let args = market.asking();
    let second = market.active("bob", "p2", &args);
    let other = swap(resolve.clone(), 1, second);
    seen.refuse(&mut market, other, WrongLease);
    let close = market.dispute_closing(&dispute);
    seen.refuse(&mut market, close.clone(), WrongDisputeStatus);
    // One about the same lease that is answered, but younger.
    let about = market.dispute(&dispute).lease;
    let younger = market.must_refute("friend", &about, 11, &[element(0, 0, 1, 1)]);
    market.must_answer(&younger, &proof);
    let call = market.resolution(&younger);
    seen.refuse(&mut market, call, DisputeNotDue);
    let other = swap(close.clone(), 1, key("bob"));
    seen.refuse(&mut market, other, WrongDisputer);
    let other = swap(close.clone(), 2, key("bob"));
    seen.refuse(&mut market, other, WrongRentPayer);
    market.must_answer(&dispute, &proof);
    market.chain.must(resolve.clone());
    seen.refuse(&mut market, resolve, WrongDisputeStatus);
    market.chain.advance(2_249);
    seen.refuse(&mut market, close.clone(), TooEarlyToClose);
    market.chain.advance(1);
    market.chain.must(close);
}
