//! Requests, their ends, and who may accept them.

use mythic_interface::error::MythicError::*;
use mythic_interface::le::{U16, U32, U64};
use mythic_interface::market::ix::{self, RequestCompute, UpdateProvider};
use mythic_interface::market::state::CloseReason;
use mythic_interface::window;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::key;
use mythic_program_tests::market::calls::{self, PRICE, STAKE_PER_UNIT};
use mythic_program_tests::market::scenes::emptied;
use mythic_program_tests::market::world::{Market, element};

use super::{Seen, patch, swap};

pub fn requests(seen: &mut Seen) {
    let mut market = Market::new();
    let args = market.asking();
    let send = |args: &RequestCompute| {
        ix::request_compute(key("alice"), key("alice"), calls::class("small"), args)
    };
    let mut refuse = |change: &dyn Fn(&mut RequestCompute), error| {
        let mut changed = args;
        change(&mut changed);
        seen.refuse(&mut market, send(&changed), error);
    };
    refuse(&|a| a.rules_hash = [1; 32], RulesChanged);
    refuse(&|a| a.kind = 0, UnknownLeaseKind);
    refuse(&|a| a.kind = 1, InvalidLeaseModel);
    refuse(&|a| a.model = [1; 32], InvalidLeaseModel);
    refuse(&|a| a.spec_hash = [0; 32], EmptyHash);
    refuse(&|a| a.units = 0, UnitsOutOfRange);
    refuse(&|a| a.units = 9, UnitsOutOfRange);
    refuse(&|a| a.isolation = 3, UnknownIsolation);
    // Less than an epoch, and more than a lease may last.
    refuse(&|a| a.seconds.set(0), LeaseTimeOutOfRange);
    refuse(&|a| a.seconds.set(59), LeaseTimeOutOfRange);
    refuse(&|a| a.seconds.set(2_592_001), LeaseTimeOutOfRange);
    refuse(&|a| a.deadline_slots.set(0), DeadlineOutOfRange);
    refuse(&|a| a.deadline_slots.set(1_501), DeadlineOutOfRange);
    // An epoch of 100,000 lamports at least, of sixty seconds.
    refuse(&|a| a.price.set(1_666), EpochTooCheap);
    for lamports in [0, 1] {
        refuse(&|a| a.price.set(lamports), EpochTooCheap);
    }
    // A million lamports, which a start costs that is not acknowledged.
    refuse(&|a| a.seconds.set(99), EscrowTooSmall);
    refuse(&|a| a.price.set(1 << 62), AmountTooLarge);
    // All ones where a number may stand.
    refuse(&|a| a.price.set(u64::MAX), AmountTooLarge);
    refuse(&|a| a.units = u8::MAX, UnitsOutOfRange);
    refuse(&|a| a.seconds.set(u32::MAX), LeaseTimeOutOfRange);
    refuse(&|a| a.deadline_slots.set(u32::MAX), DeadlineOutOfRange);
    refuse(
        &|a| a.nonce = window::nonce(u64::MAX, [0xff; 8]),
        NonceTooFar,
    );
    let now = 10 * 150 + 5;
    refuse(&|a| a.nonce = window::nonce(now - 1, [1; 8]), NonceExpired);
    refuse(
        &|a| a.nonce = window::nonce(now + 1_501, [1; 8]),
        NonceTooFar,
    );
    let source = 1 + 16 + 1 + 32;
    seen.refuse(&mut market, patch(send(&args), source, 97), InvalidText);
    let region = source + 97 + 32 + 32 - 32 + 1;
    seen.refuse(&mut market, patch(send(&args), region, 16), InvalidText);
    market.chain.must(send(&args));
    seen.refuse(&mut market, send(&args), AccountExists);
    market.chain.must(calls::pause(key("admin")));
    let args = market.asking();
    seen.refuse(&mut market, send(&args), Paused);
}

pub fn ends_of_requests(seen: &mut Seen) {
    let mut market = Market::new();
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let cancel = |who: &str| ix::cancel_request(key(who), request);
    seen.refuse(&mut market, cancel("bob"), NotTenant);
    let state = market.request(&request);
    let expire = || ix::expire_request(request, &state);
    seen.refuse(&mut market, expire(), DeadlineNotPassed);
    seen.refuse(&mut market, swap(expire(), 1, key("bob")), WrongTenant);
    let close = || ix::close_request(request, &state);
    seen.refuse(&mut market, close(), WrongRequestStatus);
    market.chain.must(cancel("alice"));
    seen.refuse(&mut market, cancel("alice"), WrongRequestStatus);
    seen.refuse(&mut market, expire(), WrongRequestStatus);
    seen.refuse(&mut market, swap(close(), 2, key("bob")), WrongRentPayer);
    seen.refuse(&mut market, swap(close(), 1, key("bob")), WrongAddress);
    // The nonce lives a thousand slots, the account 2,250 after its end.
    market.chain.advance(2_249);
    seen.refuse(&mut market, close(), TooEarlyToClose);
    market.chain.advance(1);
    market.chain.must(close());

    let mut market = Market::new();
    let lease = emptied(&mut market);
    let request = market.lease(&lease).terms.request;
    let state = market.request(&request);
    market.chain.advance(3_000);
    let call = ix::close_request(request, &state);
    seen.refuse(&mut market, call, LeaseExists);
}

pub fn acceptance(seen: &mut Seen) {
    let mut market = Market::new();
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let accept = market.acceptance("p1", &request);
    seen.refuse(&mut market, swap(accept.clone(), 0, key("p1")), NotOperator);
    seen.refuse(&mut market, patch(accept.clone(), 1, 0), WrongFork);
    let cpu = calls::class("cpu");
    seen.refuse(&mut market, swap(accept.clone(), 2, cpu), WrongClass);
    let mut late = market.clone();
    late.chain.advance(100);
    seen.refuse(&mut late, accept.clone(), DeadlinePassed);
    market.chain.must(accept.clone());
    seen.refuse(&mut market, accept, WrongRequestStatus);

    let mut refuse = |change: &dyn Fn(&mut RequestCompute), error| {
        let mut args = market.asking();
        change(&mut args);
        let request = market.must_ask("alice", "small", &args);
        let call = market.acceptance("p1", &request);
        seen.refuse(&mut market, call, error);
    };
    refuse(&|a| a.provider = key("p2"), WrongProvider);
    refuse(
        &|a| a.region = mythic_program_tests::calls::text("us"),
        WrongRegion,
    );
    refuse(&|a| a.isolation = 2, WeakIsolation);
    refuse(&|a| a.price.set(PRICE - 1), PriceTooHigh);
    let named = |a: &mut RequestCompute, price| {
        a.provider = key("p1");
        a.price.set(price);
    };
    refuse(&|a| named(a, PRICE - 1), PriceChanged);
    refuse(&|a| named(a, PRICE + 1), PriceChanged);
    refuse(&|a| a.units = 4, NoUnits);
    let other = market.asking();
    let request = market.must_ask("alice", "cpu", &other);
    let call = market.acceptance("p1", &request);
    seen.refuse(&mut market, call, WrongClass);
    // The request offers more than no_show, the provider takes less.
    let cheap = RequestCompute {
        price: U64::new(2 * PRICE),
        seconds: U32::new(60),
        ..market.asking()
    };
    let request = market.must_ask("alice", "small", &cheap);
    let call = market.acceptance("p2", &request);
    seen.refuse(&mut market, call, EscrowTooSmall);
    // Cheaper than what the request offers, and cheaper than an epoch may be.
    let said = UpdateProvider {
        price: U64::new(1_000),
        ..calls::profile("p2")
    };
    market.chain.must(calls::update_provider("p2", &said));
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let call = market.acceptance("p2", &request);
    seen.refuse(&mut market, call, EpochTooCheap);
}

pub fn capacity(seen: &mut Seen) {
    // 2 SOL back twenty units.
    let mut market = Market::new();
    let said = UpdateProvider {
        units: U16::new(30),
        ..calls::profile("p1")
    };
    market.chain.must(calls::update_provider("p1", &said));
    let eight = RequestCompute {
        units: 8,
        seconds: U32::new(60),
        ..market.asking()
    };
    for _ in 0..2 {
        let args = RequestCompute {
            nonce: market.nonce(),
            ..eight
        };
        market.accepted("alice", "p1", &args);
    }
    let five = RequestCompute {
        nonce: market.nonce(),
        units: 5,
        ..eight
    };
    let request = market.must_ask("alice", "small", &five);
    let call = market.acceptance("p1", &request);
    seen.refuse(&mut market, call, NoCapacity);
    let four = RequestCompute {
        nonce: market.nonce(),
        units: 4,
        ..eight
    };
    market.accepted("alice", "p1", &four);
    // Thirty-two epochs cost as much as the stake behind a unit, and a lamport more.
    let mut market = Market::new();
    let most = STAKE_PER_UNIT / (32 * 60);
    for (price, refused) in [(most, false), (most + 1, true)] {
        let said = UpdateProvider {
            price: U64::new(price),
            ..calls::profile("p1")
        };
        market.chain.must(calls::update_provider("p1", &said));
        let args = RequestCompute {
            price: U64::new(price),
            ..market.asking()
        };
        let request = market.must_ask("alice", "small", &args);
        let call = market.acceptance("p1", &request);
        match refused {
            true => seen.refuse(&mut market, call, EpochsUnbacked),
            false => {
                market.chain.must(call);
            }
        }
    }
    // Unstaked below what the rules ask for, and jailed.
    let mut market = Market::new();
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let call = market.acceptance("p1", &request);
    let mut left = market.clone();
    left.chain.must(calls::request_unstake(key("p1"), 2 * SOL));
    seen.refuse(&mut left, call.clone(), StakeBelowMinimum);
    let lease = market.usual();
    market.enter(11);
    market.must_prove(&lease);
    let dispute = market.must_refute("watcher", &lease, 11, &[element(0, 0, 1, 1)]);
    market.chain.advance(50);
    market.must_resolve(&dispute);
    assert_eq!(
        CloseReason::from_u8(market.lease(&lease).reason),
        Some(CloseReason::ProofRefuted)
    );
    let args = market.asking();
    let request = market.must_ask("alice", "small", &args);
    let call = market.acceptance("p1", &request);
    seen.refuse(&mut market, call, Jailed);
}
