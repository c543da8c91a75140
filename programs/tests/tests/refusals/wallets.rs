//! Vaults, grants, and what is spent under them.

use mythic_interface::error::MythicError::*;
use mythic_interface::ix;
use mythic_interface::state::*;
use mythic_program_tests::calls;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::keys::key;
use mythic_program_tests::world::{World, model};

use crate::seen::{Seen, swap};

pub fn vaults_and_grants(seen: &mut Seen) {
    let mut world = World::new();
    let (alice, bob, gateway) = (key("alice"), key("bob"), key("gateway"));
    let stranger = key("stranger");
    seen.refuse(&mut world, calls::deposit_vault(bob, alice, 0), ZeroAmount);
    let call = calls::deposit_vault(bob, alice, 1 << 63);
    seen.refuse(&mut world, call, AmountTooLarge);
    let call = swap(calls::deposit_vault(bob, alice, 1), 2, calls::vault(&bob));
    seen.refuse(&mut world, call, WrongAddress);
    let call = swap(calls::withdraw_vault(alice, 1), 0, stranger);
    seen.refuse(&mut world, call, NotOwner);
    seen.refuse(&mut world, calls::withdraw_vault(alice, 0), ZeroAmount);
    let call = calls::withdraw_vault(alice, 1 << 63);
    seen.refuse(&mut world, call, AmountTooLarge);
    let call = calls::withdraw_vault(alice, 10 * SOL + 1);
    seen.refuse(&mut world, call, InsufficientFunds);
    let call = swap(calls::close_vault(alice, alice), 0, stranger);
    seen.refuse(&mut world, call, NotOwner);
    let call = calls::close_vault(alice, stranger);
    seen.refuse(&mut world, call, WrongRentPayer);

    let now = world.chain.slot();
    let wide = calls::wide_limits(now + 1_000);
    let give = |limits: &_| calls::grant_spend(bob, bob, gateway, limits);
    let call = calls::grant_spend(bob, bob, bob, &wide);
    seen.refuse(&mut world, call, SelfDelegation);
    let call = calls::grant_spend(bob, bob, NO_KEY, &wide);
    seen.refuse(&mut world, call, InvalidAddress);
    let mut refuse = |change: fn(&mut ix::GrantSpend), error| {
        let mut limits = wide;
        change(&mut limits);
        seen.refuse(&mut world, give(&limits), error);
    };
    refuse(|l| l.per_job_max.set(0), GrantLimitsInvalid);
    refuse(|l| l.window_max.set(0), GrantLimitsInvalid);
    refuse(|l| l.window_slots.set(0), GrantLimitsInvalid);
    refuse(|l| l.lifetime_cap.set(0), GrantLimitsInvalid);
    refuse(|l| l.expiry_slot.set(1), GrantLimitsInvalid);
    refuse(|l| l.per_job_max.set(1 << 63), AmountTooLarge);
    refuse(|l| l.model_count = 5, TooManyModels);
    refuse(|l| l.models[0] = [1; 32], InvalidPadding);
    refuse(|l| l.model_count = 1, WrongModel);
    refuse(
        |l| {
            l.model_count = 2;
            l.models[..2].fill([1; 32]);
        },
        DuplicateModel,
    );
    refuse(|l| l.spent.set(1), GrantSpentChanged);
    let other = swap(give(&wide), 3, calls::grant(&alice, &gateway));
    seen.refuse(&mut world, other, WrongAddress);

    let revoke = || calls::revoke_grant(alice, gateway);
    seen.refuse(&mut world, swap(revoke(), 0, stranger), NotOwner);
    let close = |payer| calls::close_grant(alice, gateway, payer);
    seen.refuse(&mut world, close(alice), GrantActive);
    seen.refuse(&mut world, close(stranger), WrongRentPayer);
    let old = || calls::close_old_grant(calls::grant(&alice, &gateway), alice);
    seen.refuse(&mut world, old(), GrantActive);
    let request = world.request("alice", "gateway");
    world.must_request(&request);
    let call = calls::close_vault(alice, alice);
    seen.refuse(&mut world, call, FundsHeld);
    world.chain.must(revoke());
    seen.refuse(&mut world, revoke(), GrantRevoked);
    seen.refuse(&mut world, close(alice), OpenJobs);
    seen.refuse(&mut world, old(), TooEarlyToClose);
    seen.refuse(&mut world, swap(close(alice), 0, stranger), NotOwner);
    let call = world.request("alice", "gateway").call();
    seen.refuse(&mut world, call, GrantRevoked);
}

pub fn spending_under_a_grant(seen: &mut Seen) {
    // A job's ceiling is 12,500 lamports.
    let mut refuse = |change: fn(&mut ix::GrantSpend), earlier, error| {
        let mut world = World::new();
        let mut limits = calls::wide_limits(world.chain.slot() + 100);
        change(&mut limits);
        let (alice, gateway) = (key("alice"), key("gateway"));
        let call = calls::grant_spend(alice, alice, gateway, &limits);
        world.chain.must(call);
        for _ in 0..earlier {
            let request = world.request("alice", "gateway");
            world.must_request(&request);
        }
        if error == GrantExpired {
            world.chain.advance(100);
        }
        let call = world.request("alice", "gateway").call();
        seen.refuse(&mut world, call, error);
    };
    refuse(|_| {}, 1, GrantExpired);
    refuse(|l| l.per_job_max.set(12_499), 0, GrantPerJobExceeded);
    refuse(|l| l.window_max.set(24_999), 1, GrantWindowExceeded);
    refuse(|l| l.lifetime_cap.set(24_999), 1, GrantLifetimeExceeded);
    refuse(
        |l| {
            l.model_count = 1;
            l.models[0] = model(2);
        },
        0,
        GrantModelNotAllowed,
    );
}
