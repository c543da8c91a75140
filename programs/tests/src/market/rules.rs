//! What must hold of the market between the states before and after any transaction.

use std::collections::BTreeMap;

use mythic_interface::le::U64;
use mythic_interface::market::state::{
    Class, Lease, LeaseDispute, LeaseDisputeStatus, LeaseStatus, MarketConfig, MarketTreasury,
    Provider, Request, RequestStatus,
};
use mythic_interface::market::{address, meter};
use mythic_interface::state::{Key, LoadError};

use crate::invariants::account::sequence;
use crate::invariants::{State, Stored};

fn sum(amounts: &[U64]) -> u64 {
    amounts.iter().map(|amount| amount.get()).sum()
}

/// Checks everything; `fee` is what the runtime took for the transaction.
///
/// # Errors
/// One sentence about the first invariant that does not hold.
pub fn check(before: &State, after: &State, fee: u128) -> Result<(), String> {
    ensure!(
        before.total == after.total + fee,
        "lamports were {} and are {} after a fee of {fee}",
        before.total,
        after.total
    );
    for (address, stored) in &after.accounts {
        balances(stored)?;
        sequence(before.accounts.get(address), stored)?;
    }
    for (_, lease) in after.all::<Lease>() {
        lease_is_sound(lease)?;
    }
    went_on(before, after)?;
    counts(after)?;
    flows(before, after)?;
    closings(before, after)
}

/// Each account's lamports are its rent and the balances it stores, and its totals say where they came from.
fn balances(stored: &Stored) -> Result<(), String> {
    let data = stored.data.as_slice();
    let failed = |error: LoadError| error.to_string();
    let balance = match data.first() {
        Some(&MarketConfig::DISCRIMINATOR) => {
            MarketConfig::load(data).map(|_| 0).map_err(failed)?
        }
        Some(&Class::DISCRIMINATOR) => Class::load(data).map(|_| 0).map_err(failed)?,
        Some(&MarketTreasury::DISCRIMINATOR) => {
            let treasury = MarketTreasury::load(data).map_err(failed)?;
            ensure!(
                treasury.received.get() == sum(&[treasury.withdrawn, treasury.balance]),
                "the treasury's totals differ from its balance"
            );
            treasury.balance.get()
        }
        Some(&Provider::DISCRIMINATOR) => {
            let p = Provider::load(data).map_err(failed)?;
            ensure!(
                p.staked.get() == p.whole_stake() + sum(&[p.slashed, p.withdrawn_stake]),
                "a provider's stake differs from its totals"
            );
            ensure!(
                p.earned.get() == sum(&[p.claimable, p.withdrawn]),
                "a provider's earnings differ from its totals"
            );
            p.whole_stake() + sum(&[p.claimable, p.owed_foundation, p.owed_burn])
        }
        Some(&Request::DISCRIMINATOR) => Request::load(data).map_err(failed)?.escrow.get(),
        Some(&Lease::DISCRIMINATOR) => {
            let lease = Lease::load(data).map_err(failed)?;
            sum(&[lease.escrow, lease.pending, lease.tenant_due])
        }
        Some(&LeaseDispute::DISCRIMINATOR) => LeaseDispute::load(data).map_err(failed)?.held.get(),
        other => return Err(format!("unknown type {other:?}")),
    };
    let due = stored.rent + balance;
    ensure!(
        stored.lamports == due || stored.donated && stored.lamports > due,
        "an account of type {} holds {} lamports, rent and balances are {due}",
        data[0],
        stored.lamports
    );
    Ok(())
}

/// Whether the meter may still run.
fn is_running(lease: &Lease) -> bool {
    lease.status() != Some(LeaseStatus::Ended)
}

/// What one lease says of itself: every lamport has its place, and what is left covers what is left of its time.
fn lease_is_sound(lease: &Lease) -> Result<(), String> {
    let came = sum(&[lease.deposited, lease.compensated]);
    let went = sum(&[lease.paid, lease.foundation, lease.burned, lease.refunded]);
    ensure!(
        came == went + sum(&[lease.escrow, lease.pending]),
        "{came} lamports came into a lease, {went} went out of {:?} and {:?}",
        lease.escrow,
        lease.pending
    );
    ensure!(
        lease.tenant_due <= lease.refunded,
        "a lease holds more for its tenant than it refunded"
    );
    let pending: u64 = lease
        .ring
        .iter()
        .filter(|entry| entry.is_pending())
        .map(|entry| entry.amount.get())
        .sum();
    ensure!(
        pending == lease.pending.get(),
        "a lease says {:?} lamports are pending, its epochs {pending}",
        lease.pending
    );
    for (place, entry) in lease.ring.iter().enumerate() {
        ensure!(
            entry.state == 0 || Lease::place(entry.epoch.get()) == place,
            "an epoch lies where nobody looks for it"
        );
        let price = lease.terms.price_of(entry.seconds.get().into());
        ensure!(
            entry.amount.get() == price.expect("a price"),
            "an epoch does not cost what its seconds do"
        );
    }
    ensure!(
        lease.mark <= lease.ends_at,
        "a lease is metered beyond its end"
    );
    let left = lease.ends_at.get() - lease.mark.get();
    let price = lease.terms.price_of(left).expect("a price");
    let started = lease.started_slot.get() != 0;
    ensure!(
        !started || !is_running(lease) || lease.escrow.get() >= price,
        "a lease cannot pay what is left of it"
    );
    Ok(())
}

/// What is agreed stays, what is over stays over.
fn went_on(before: &State, after: &State) -> Result<(), String> {
    for (address, old) in before.all::<Request>() {
        let Some(new) = after.get::<Request>(address) else {
            continue;
        };
        ensure!(old.terms == new.terms, "a request's terms changed");
        ensure!(
            old.header.status == RequestStatus::Open as u8 || old == new,
            "a request that was over changed"
        );
    }
    for (address, old) in before.all::<Lease>() {
        let Some(new) = after.get::<Lease>(address) else {
            continue;
        };
        ensure!(
            old.terms == new.terms && old.terms_hash == new.terms_hash,
            "a lease's terms changed"
        );
        ensure!(
            new.header.status >= old.header.status,
            "a lease went back from {} to {}",
            old.header.status,
            new.header.status
        );
        if !is_running(old) {
            ensure!(
                (old.reason, old.ended_slot) == (new.reason, new.ended_slot),
                "an end changed"
            );
            ensure!(
                (old.mark, old.deposited) == (new.mark, new.deposited),
                "a lease that had ended was metered"
            );
        }
        for (old, new) in old.ring.iter().zip(&new.ring) {
            let settled = old.state != 0 && !old.is_pending();
            ensure!(
                !settled || new.epoch > old.epoch || new.state == old.state,
                "an epoch that was settled changed"
            );
            ensure!(
                old.open_disputes.get() == 0 || new.epoch == old.epoch,
                "a disputed epoch lost its place"
            );
        }
    }
    for (address, old) in before.all::<LeaseDispute>() {
        let resolved = old.header.status == LeaseDisputeStatus::Resolved as u8;
        let Some(new) = after.get::<LeaseDispute>(address) else {
            ensure!(resolved, "a dispute vanished before it was resolved");
            continue;
        };
        ensure!(!resolved || old == new, "a resolved dispute changed");
        ensure!(old.elements == new.elements, "what a dispute names changed");
    }
    Ok(())
}

/// What the leases of a provider come to.
#[derive(Debug, Default, PartialEq)]
struct Leased {
    /// Accounts.
    accounts: u32,
    /// Units that are leased.
    leased: u32,
    /// Units that stake stands behind.
    backed: u32,
    /// Stake that a refuted proof of each would cost.
    at_stake: u64,
}

/// Providers, leases and epochs count exactly what refers to them; no unit is leased twice, no stake asked for twice.
fn counts(state: &State) -> Result<(), String> {
    let mut leased: BTreeMap<Key, Leased> = BTreeMap::new();
    let mut disputed: BTreeMap<Key, u32> = BTreeMap::new();
    let mut epochs: BTreeMap<(Key, u64), u32> = BTreeMap::new();
    for (_, dispute) in state.all::<LeaseDispute>() {
        if dispute.header.status == LeaseDisputeStatus::Resolved as u8 {
            continue;
        }
        *disputed.entry(dispute.provider).or_default() += 1;
        let about = (dispute.lease, dispute.epoch.get());
        *epochs.entry(about).or_default() += 1;
        let lease = state.get::<Lease>(&dispute.lease);
        ensure!(
            lease.is_some_and(|lease| (lease.oldest_dispute()..lease.disputes.get())
                .contains(&dispute.number.get())),
            "an open dispute is not one of its lease's latest"
        );
    }
    for (address, lease) in state.all::<Lease>() {
        let counted = leased.entry(lease.terms.provider).or_default();
        counted.accounts += 1;
        let units = u32::from(lease.terms.units);
        if is_running(lease) {
            counted.leased += units;
        }
        if is_running(lease) || lease.was_proved() {
            counted.backed += units;
            if lease.refuted_slot.get() == 0 {
                let terms = &lease.terms;
                let loss = meter::refuted_stake(terms.probe.stake_per_unit.get(), terms.units);
                counted.at_stake += loss.expect("an amount");
            }
        }
        let mut open = 0;
        for entry in &lease.ring {
            let found = epochs.remove(&(*address, entry.epoch.get()));
            let found = found.filter(|_| entry.state != 0).unwrap_or_default();
            ensure!(
                found == entry.open_disputes.get(),
                "an epoch says {:?} open disputes, there are {found}",
                entry.open_disputes
            );
            open += found;
        }
        ensure!(
            open == lease.open_disputes.get(),
            "a lease says {:?} open disputes, there are {open}",
            lease.open_disputes
        );
    }
    ensure!(epochs.is_empty(), "a dispute is about no epoch");
    for (_, provider) in state.all::<Provider>() {
        let found = leased.remove(&provider.authority).unwrap_or_default();
        let said = Leased {
            accounts: provider.open_leases.get(),
            leased: provider.leased.get().into(),
            backed: provider.backed.get().into(),
            at_stake: found.at_stake,
        };
        ensure!(
            found == said,
            "a provider says of its leases {said:?}, they say {found:?}"
        );
        ensure!(provider.leased <= provider.units, "a unit is leased twice");
        let open = disputed.remove(&provider.authority).unwrap_or_default();
        ensure!(
            open == provider.open_disputes.get(),
            "a provider says {:?} open disputes, there are {open}",
            provider.open_disputes
        );
        ensure!(
            provider.slashed.get() > 0 || provider.stake.get() >= provider.stake_in_use(),
            "the stake does not cover the units that it backs"
        );
        ensure!(
            provider.stake.get() >= found.at_stake,
            "the stake cannot pay what a refuted proof of each lease would cost"
        );
    }
    ensure!(
        leased.is_empty() && disputed.is_empty(),
        "a lease or a dispute refers to a closed provider"
    );
    Ok(())
}

/// Providers earn and lose what their leases and disputes say, and owe what was burned and the foundation's.
fn flows(before: &State, after: &State) -> Result<(), String> {
    for (address, new) in after.all::<Provider>() {
        let Some(old) = before.get::<Provider>(address) else {
            continue;
        };
        let mut earned = 0;
        let (mut slashed, mut foundation) = (0, 0);
        for (at, lease) in after.all::<Lease>() {
            if lease.terms.provider != new.authority {
                continue;
            }
            let was =
                |amount: fn(&Lease) -> U64| before.get::<Lease>(at).map_or(0, |l| amount(l).get());
            earned += lease.paid.get() - was(|lease| lease.paid);
            slashed += lease.slashed.get() - was(|lease| lease.slashed);
            foundation += lease.foundation.get() - was(|lease| lease.foundation);
        }
        for (at, dispute) in after.all::<LeaseDispute>() {
            if dispute.provider == new.authority {
                let was = before.get::<LeaseDispute>(at).map_or(0, |d| d.paid.get());
                earned += dispute.paid.get() - was;
            }
        }
        ensure!(
            new.earned.get() == old.earned.get() + earned,
            "a provider earned {} and its leases paid {earned}",
            new.earned.get() - old.earned.get()
        );
        ensure!(
            new.slashed.get() == old.slashed.get() + slashed,
            "a provider lost {} and its leases say {slashed}",
            new.slashed.get() - old.slashed.get()
        );
        let swept = new.owed_foundation.get() == 0 && new.owed_burn.get() == 0;
        ensure!(
            swept || new.owed_foundation.get() == old.owed_foundation.get() + foundation,
            "the foundation's part differs from what its leases say"
        );
    }
    for (at, dispute) in after.all::<LeaseDispute>() {
        if dispute.header.status != LeaseDisputeStatus::Resolved as u8 {
            continue;
        }
        let bond = sum(&[dispute.fee, dispute.at_stake]);
        ensure!(
            bond == sum(&[dispute.returned, dispute.paid, dispute.burned]),
            "a bond is not what became of it"
        );
        let kept = sum(&[dispute.returned, dispute.reward]);
        ensure!(
            dispute.held.get() == kept,
            "a dispute holds what it does not owe"
        );
        let lease = before.get::<Lease>(&dispute.lease);
        let open = before.get::<LeaseDispute>(at);
        let resolved_now = open.is_some_and(|d| d.header.status != dispute.header.status);
        ensure!(
            !resolved_now || lease.is_some(),
            "a dispute about nothing was resolved"
        );
    }
    Ok(())
}

/// What vanishes held its rent and nothing else, and no jail is left by closing.
fn closings(before: &State, after: &State) -> Result<(), String> {
    for (address, provider) in before.all::<Provider>() {
        if after.accounts.contains_key(address) {
            continue;
        }
        let held = sum(&[
            provider.claimable,
            provider.owed_foundation,
            provider.owed_burn,
        ]);
        ensure!(
            provider.whole_stake() + held == 0,
            "a closed provider held money"
        );
        ensure!(
            provider.jailed_until.get() <= after.slot,
            "a jail was left by closing"
        );
    }
    for (address, lease) in before.all::<Lease>() {
        let gone = !after.accounts.contains_key(address);
        ensure!(
            !gone || lease.pending.get() == 0 && !is_running(lease),
            "a lease vanished with pending epochs or before its end"
        );
    }
    for (address, request) in before.all::<Request>() {
        let gone = !after.accounts.contains_key(address);
        let lease = address::lease(address).to_bytes();
        ensure!(
            !gone
                || request.header.status != RequestStatus::Open as u8
                    && !after.accounts.contains_key(&lease),
            "a request vanished before its end or before its lease"
        );
    }
    Ok(())
}
