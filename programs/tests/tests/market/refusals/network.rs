//! Initialization, configuration, treasury, classes, providers.

use mythic_interface::error::MythicError::*;
use mythic_interface::le::{U16, U32, U64};
use mythic_interface::market::ix::RegisterProvider;
use mythic_interface::market::params::{Grid, MarketParams};
use mythic_interface::market::state::Probe;
use mythic_interface::state::NO_KEY;
use mythic_program_tests::chain::{SOL, data_of};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::market::calls::{self, GRID, NONE};
use mythic_program_tests::market::scenes::emptied;
use mythic_program_tests::market::world::{Market, element, params};

use super::{Seen, patch, swap};

pub fn initialization(seen: &mut Seen) {
    let mut market = Market::bare();
    let call = calls::initialize(GRID, &params());
    let other = swap(call.clone(), 2, key("stranger"));
    seen.refuse(&mut market, other, InvalidProgramData);
    let other = swap(call.clone(), 1, key("stranger"));
    seen.refuse(&mut market, other, NotUpgradeAuthority);
    let mut final_program = market.clone();
    final_program.chain.set_upgrade_authority(None);
    seen.refuse(&mut final_program, call.clone(), NotUpgradeAuthority);
    let mut closed = market.clone();
    let mut account = closed.chain.account(&data_of(&NONE)).expect("there");
    account.data[0] = 1;
    closed.chain.put(data_of(&NONE), account);
    seen.refuse(&mut closed, call.clone(), InvalidProgramData);
    for at in [1, 33] {
        let mut zero = call.clone();
        zero.data[at..at + 32].fill(0);
        seen.refuse(&mut market, zero, InvalidAddress);
    }
    for (slots, seconds) in [(31, 60), (150, 7), (150, 301)] {
        let grid = Grid {
            epoch_slots: U32::new(slots),
            epoch_seconds: U32::new(seconds),
        };
        let bad = calls::initialize(grid, &params());
        seen.refuse(&mut market, bad, EpochOutOfRange);
    }
    let mut bad = params();
    bad.rules.dispute_slots.set(31);
    let bad = calls::initialize(GRID, &bad);
    seen.refuse(&mut market, bad, DisputeTimeOutOfRange);
    market.chain.must(call.clone());
    seen.refuse(&mut market, call, AccountExists);
}

pub fn config_and_treasury(seen: &mut Seen) {
    let mut market = Market::new();
    let (admin, stranger) = (key("admin"), key("stranger"));
    for call in [
        calls::update_config(stranger, stranger, &params()),
        calls::propose_admin(stranger, stranger),
        calls::pause(stranger),
        calls::unpause(stranger),
    ] {
        seen.refuse(&mut market, call, NotAdmin);
    }
    let call = calls::update_config(admin, NO_KEY, &params());
    seen.refuse(&mut market, call, InvalidAddress);
    seen.refuse(&mut market, calls::accept_admin(stranger), NotPendingAdmin);
    market.chain.must(calls::propose_admin(admin, key("bob")));
    seen.refuse(&mut market, calls::accept_admin(stranger), NotPendingAdmin);
    market.chain.must(calls::propose_admin(admin, NO_KEY));
    seen.refuse(
        &mut market,
        calls::accept_admin(key("bob")),
        NotPendingAdmin,
    );
    seen.refuse(&mut market, calls::unpause(admin), NotPaused);
    seen.refuse(&mut market, calls::sweep(key("p1")), NothingToSweep);
    let call = calls::withdraw_foundation(key("foundation"));
    seen.refuse(&mut market, call, NothingToWithdraw);
    let call = calls::withdraw_foundation(stranger);
    seen.refuse(&mut market, call, WrongFoundation);
    let call = calls::update_config(admin, calls::config(), &params());
    market.chain.must(call);
    let mut call = calls::withdraw_foundation(calls::config());
    call.accounts[0].is_writable = true;
    seen.refuse(&mut market, call, InvalidAddress);
    market.chain.must(calls::pause(admin));
    seen.refuse(&mut market, calls::pause(admin), Paused);

    let mut refuse = |change: fn(&mut MarketParams), error| {
        let mut changed = params();
        change(&mut changed);
        let call = calls::update_config(admin, key("foundation"), &changed);
        seen.refuse(&mut market, call, error);
    };
    refuse(|p| p.rules.ack_slots.set(151), DisputeTimeOutOfRange);
    refuse(|p| p.rules.openings_slots.set(49), DisputeTimeOutOfRange);
    refuse(|p| p.rules.dispute_slots.set(4_451), DisputeTimeOutOfRange);
    refuse(|p| p.rules.start_slots.set(31), DisputeTimeOutOfRange);
    refuse(|p| p.rules.ack_slots.set(31), DisputeTimeOutOfRange);
    refuse(|p| p.rules.max_lease_seconds.set(0), DurationOutOfRange);
    refuse(|p| p.rules.max_missed.set(0), NoticeOutOfRange);
    refuse(|p| p.rules.notice_epochs.set(17), NoticeOutOfRange);
    refuse(|p| p.rules.close_delay_slots.set(1_500), CloseDelayTooShort);
    refuse(|p| p.unbonding_slots.set(949), UnbondingOutOfRange);
    refuse(|p| p.rules.provider_bps.set(9_001), SharesOutOfRange);
    refuse(|p| p.rules.no_show.set(0), ZeroAmount);
    refuse(|p| p.rules.answering_fee.set(1 << 63), AmountTooLarge);
    refuse(|p| p.rules.answering_fee.set(100_001), AmountsOutOfRange);
    refuse(|p| p.rules.no_show.set(1_600_001), AmountsOutOfRange);
}

pub fn classes(seen: &mut Seen) {
    let mut market = Market::new();
    let register = |change: fn(&mut Probe)| {
        let mut probe = calls::probe(32, 2);
        change(&mut probe);
        calls::register_class("new", probe)
    };
    let mut refuse = |change, error| seen.refuse(&mut market, register(change), error);
    refuse(|p| p.n.set(24), ClassOutOfRange);
    refuse(|p| p.n.set(16_400), ClassOutOfRange);
    refuse(|p| p.rounds.set(0), ClassOutOfRange);
    refuse(|p| p.proof_slots.set(11), ClassOutOfRange);
    refuse(|p| p.proof_slots.set(76), ClassOutOfRange);
    refuse(|p| p.stake_per_unit.set(0), ClassOutOfRange);
    let again = calls::register_class("small", calls::probe(32, 2));
    seen.refuse(&mut market, again, AccountExists);
    let nameless = calls::register_class("", calls::probe(32, 2));
    seen.refuse(&mut market, nameless, EmptyName);
    let call = register(|_| {});
    seen.refuse(&mut market, patch(call.clone(), 2, 0xff), InvalidText);
    let last = call.data.len() - 1;
    seen.refuse(&mut market, patch(call.clone(), last, 2), InvalidFlag);
    let other = swap(call, 1, key("stranger"));
    seen.refuse(&mut market, other, NotAdmin);
    let small = calls::class("small");
    let call = calls::retire_class(key("stranger"), small);
    seen.refuse(&mut market, call, NotAdmin);
    market.chain.must(calls::retire_class(key("admin"), small));
    let call = calls::retire_class(key("admin"), small);
    seen.refuse(&mut market, call, ClassRetired);
    let call = calls::register_provider("p3", "small", &calls::registration("p3"));
    seen.refuse(&mut market, call, ClassRetired);
    let args = market.asking();
    let call =
        mythic_interface::market::ix::request_compute(key("alice"), key("alice"), small, &args);
    seen.refuse(&mut market, call, ClassRetired);
}

pub fn providers(seen: &mut Seen) {
    let mut market = Market::new();
    let register = |change: fn(&mut RegisterProvider)| {
        let mut said = calls::registration("p3");
        change(&mut said);
        calls::register_provider("p3", "small", &said)
    };
    let mut refuse = |change, error| seen.refuse(&mut market, register(change), error);
    refuse(|said| said.stake.set(SOL - 1), StakeBelowMinimum);
    refuse(|said| said.stake.set(1 << 63), AmountTooLarge);
    refuse(|said| said.operator = NO_KEY, InvalidAddress);
    refuse(|said| said.units.set(0), UnitsOutOfRange);
    refuse(|said| said.price.set(0), ZeroAmount);
    refuse(|said| said.price.set(1 << 63), AmountTooLarge);
    refuse(|said| said.isolation = 3, UnknownIsolation);
    let call = register(|_| {});
    let region = 1 + 32 + 8 + 2 + 8;
    seen.refuse(&mut market, patch(call.clone(), region, 16), InvalidText);
    let endpoint = region + 16 + 1;
    seen.refuse(&mut market, patch(call, endpoint, 97), InvalidText);
    let again = calls::register_provider("p1", "small", &calls::registration("p1"));
    seen.refuse(&mut market, again, AccountExists);

    for (call, at) in [
        (calls::update_provider("p1", &calls::profile("p1")), 0),
        (calls::add_stake(key("payer"), key("p1"), SOL), 1),
        (calls::request_unstake(key("p1"), SOL), 0),
        (calls::withdraw_stake(key("p1")), 0),
        (calls::close_provider(key("p1"), key("payer")), 0),
    ] {
        let call = swap(call, at, operator("p1"));
        seen.refuse(&mut market, call, NotAuthority);
    }
    let call = calls::withdraw_claimable(key("stranger"), key("p1"));
    seen.refuse(&mut market, call, NotOperator);
    let call = calls::withdraw_claimable(operator("p1"), key("p1"));
    seen.refuse(&mut market, swap(call, 2, key("stranger")), NotAuthority);
    let call = calls::withdraw_claimable(key("p1"), key("p1"));
    seen.refuse(&mut market, call, NothingToWithdraw);

    let add = |amount| calls::add_stake(key("payer"), key("p1"), amount);
    seen.refuse(&mut market, add(0), ZeroAmount);
    seen.refuse(&mut market, add(i64::MAX as u64), AmountTooLarge);
    let unstake = |amount| calls::request_unstake(key("p1"), amount);
    seen.refuse(&mut market, unstake(0), ZeroAmount);
    seen.refuse(&mut market, unstake(2 * SOL + 1), InsufficientStake);
    seen.refuse(&mut market, unstake(SOL + 1), StakeBelowMinimum);
    let withdraw = || calls::withdraw_stake(key("p1"));
    seen.refuse(&mut market, withdraw(), NothingToWithdraw);
    let mut said = calls::profile("p1");
    said.units = U16::new(0);
    let call = calls::update_provider("p1", &said);
    seen.refuse(&mut market, call, UnitsOutOfRange);
    said.units = U16::new(1);
    said.price = U64::new(0);
    let call = calls::update_provider("p1", &said);
    seen.refuse(&mut market, call, ZeroAmount);
    let args = mythic_interface::market::ix::RequestCompute {
        units: 2,
        ..market.asking()
    };
    market.active("alice", "p1", &args);
    said.price = U64::new(calls::PRICE);
    let call = calls::update_provider("p1", &said);
    seen.refuse(&mut market, call, UnitsOutOfRange);
}

/// What keeps a provider and its stake.
pub fn leaving(seen: &mut Seen) {
    let mut market = Market::new();
    let unstake = |amount| calls::request_unstake(key("p1"), amount);
    let withdraw = || calls::withdraw_stake(key("p1"));
    let close = || calls::close_provider(key("p1"), key("p1"));
    seen.refuse(&mut market, close(), ProviderNotEmpty);
    let call = calls::close_provider(key("p1"), key("stranger"));
    seen.refuse(&mut market, call, WrongRentPayer);
    // Stake for leased units stays, whatever the minimum is.
    let mut leased = market.clone();
    let lease = leased.usual();
    seen.refuse(&mut leased, unstake(2 * SOL), StakeInUse);
    leased.chain.must(unstake(SOL));
    seen.refuse(&mut leased, withdraw(), StakeLocked);
    leased.prove_until(&lease, 16);
    leased.chain.advance(49);
    // The unbonding time is over, but the last proof may be disputed.
    let until = leased.provider("p1").obliged_until.get();
    leased.chain.warp_to(10 * 150 + 5 + 950);
    assert!(leased.chain.slot() < until + 150);
    leased.enter(17);
    leased.must_prove(&lease);
    seen.refuse(&mut leased, withdraw(), StakeObliged);
    seen.refuse(&mut leased, close(), OpenLeases);
    let dispute = leased.must_refute("watcher", &lease, 17, &[element(0, 0, 1, 1)]);
    let until = leased.provider("p1").obliged_until.get();
    leased.chain.warp_to(until);
    seen.refuse(&mut leased, withdraw(), OpenDisputes);
    leased.must_resolve(&dispute);
    // Refuted: jailed, and the account stays until the jail is over.
    seen.refuse(&mut leased, close(), JailNotOver);
    let unjail = |who| calls::unjail(who, key("p1"));
    seen.refuse(&mut leased, unjail(key("p1")), JailNotOver);
    seen.refuse(&mut leased, unjail(key("stranger")), NotOperator);
    leased.chain.advance(950);
    // Half of the stake behind the unit is gone, so less than the minimum is left.
    seen.refuse(&mut leased, unjail(key("p1")), StakeBelowMinimum);
    seen.refuse(&mut market, unjail(key("p1")), NotJailed);
    // Each of its balances keeps it.
    let lease = emptied(&mut market);
    market.chain.advance(2_250);
    let call = market.account_closing(&lease);
    market.chain.must(call);
    market.chain.must(unstake(2 * SOL));
    market.chain.advance(950);
    market.chain.must(withdraw());
    seen.refuse(&mut market, close(), ProviderNotEmpty);
    let mut swept = market.clone();
    swept.chain.must(calls::sweep(key("p1")));
    seen.refuse(&mut swept, close(), ProviderNotEmpty);
    let call = calls::withdraw_claimable(key("p1"), key("p1"));
    market.chain.must(call);
    seen.refuse(&mut market, close(), ProviderNotEmpty);
    let mut added = market.clone();
    added.chain.must(calls::sweep(key("p1")));
    added
        .chain
        .must(calls::add_stake(key("payer"), key("p1"), SOL));
    seen.refuse(&mut added, close(), ProviderNotEmpty);
    market.chain.must(calls::sweep(key("p1")));
    market.chain.must(close());
    assert!(market.chain.account(&calls::provider("p1")).is_none());
}
