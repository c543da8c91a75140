//! Disputes about leases, from their opening to the last lamport: doing what can be done about each as things stand. All of that is
//! anybody's.

use super::{
    kept::Elements,
    read::{find, seconds_of},
};
use crate::{
    commands::wallet,
    units::{about, counted, sol},
};
use anyhow::{Context, Result};
use mythic_client::{Bidding, Bids, ChainClient, ClientError, Commitment, Due, Filter, market::ix};
use mythic_interface::{
    error::MythicError,
    market::{
        due::DisputeStep,
        meter::{self, RefuteBond},
        state::{
            DisputeEnd, Lease, LeaseDispute, LeaseDisputeStatus, LeaseEpoch, NamedElement, Provider,
        },
    },
};
use mythic_provider::proof::{dispute::transactions, opening::OpenedElement};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How often the slot is read that says how much time is left.
const SLOT_EVERY: Duration = Duration::from_secs(2);
/// Disputes of others that may come first, for which a bond has room unless it is bounded otherwise.
const OTHERS: u32 = 4;
/// Transactions of a dispute whose proof is opened by who disputes: itself, two roots, the element, its verdict, its end.
pub const OWN_TRANSACTIONS: u64 = 6;
/// Those of them that show the element.
pub const SHOWING: usize = 3;
/// Those that must land in time: the dispute, and what is shown to it. Each bids for its part of the reward.
const TIMED: u64 = 1 + SHOWING as u64;

/// What a dispute about a proof costs and may win, lamports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stakes {
    /// The bond as things stand. It comes back unless everything that is named is right.
    pub bond: RefuteBond,
    /// Most that it may be once it lands: others may have disputed before.
    pub most: u64,
    /// Of the dispute's account; it comes back.
    pub rent: u64,
    /// What the provider loses.
    pub slashed: u64,
    /// What of that is the disputer's.
    pub reward: u64,
    /// What is the tenant's then: all that is pending and all that was not used.
    pub refunded: u64,
}

impl Stakes {
    /// Those of a dispute that names these elements, under the bound that is given.
    pub fn of(
        (lease, provider): (&Lease, &Provider),
        elements: &[NamedElement],
        rent: u64,
        max_bond: Option<u64>,
    ) -> Result<Self, MythicError> {
        let (rules, named) = (&lease.terms.rules, transactions(elements));
        let (price, open) = (lease.terms.epoch_price()?, lease.open_disputes.get());
        let bond = meter::refute_bond(rules, named, price, open)?;
        let room = meter::refute_bond(rules, named, price, open.saturating_add(OTHERS))?;
        let slashed = refuted(lease)?.min(provider.whole_stake());
        Ok(Self {
            bond,
            most: max_bond.unwrap_or(room.fee.saturating_add(room.at_stake)),
            rent,
            slashed,
            reward: meter::refuter_reward(slashed),
            refunded: lease.pending.get().saturating_add(lease.escrow.get()),
        })
    }

    /// The bond as things stand.
    pub fn held(&self) -> u64 {
        self.bond.fee.saturating_add(self.bond.at_stake)
    }

    /// Most that its transactions bid for room in blocks, lamports.
    pub fn bids(&self) -> u64 {
        bids(self.reward)
    }

    /// Whether the bond is within its bound as things stand.
    pub fn fits(&self) -> bool {
        self.held() <= self.most
    }

    /// Them in words, a line each; the disputer may be the tenant.
    pub fn lines(&self, fees: u64, is_tenant: bool) -> Vec<String> {
        let whose = if is_tenant { "yours" } else { "the tenant's" };
        vec![
            format!(
                "bond       {}, at most {} if others dispute before; it comes back with the verdict that the proof is false",
                sol(self.held()),
                sol(self.most)
            ),
            format!("rent       {}, which comes back with it", sol(self.rent)),
            format!("fees       up to {}, which do not", sol(fees)),
            format!(
                "if right   the provider loses {}, of which {} are yours; the lease ends, and {} of it are {whose}",
                sol(self.slashed),
                sol(self.reward),
                sol(self.refunded)
            ),
            format!(
                "if wrong   the provider has {} of the bond for its answer, the rest is burned",
                sol(self.bond.fee)
            ),
        ]
    }
}

/// What a conviction costs the provider of a lease that has it.
fn refuted(lease: &Lease) -> Result<u64, MythicError> {
    let stake = lease.terms.probe.stake_per_unit.get();
    meter::refuted_stake(stake, lease.terms.units)
}

/// What a conviction about a lease brings at most.
pub fn reward(lease: &Lease) -> u64 {
    refuted(lease).map_or(0, meter::refuter_reward)
}

/// Most that the transactions of a dispute bid for such a reward.
pub fn bids(reward: u64) -> u64 {
    let each = Bids::default().all(reward / TIMED);
    each.saturating_mul(TIMED)
}

/// What is waited for about a dispute, in words.
pub fn awaited(step: DisputeStep, lease: Option<&Lease>, slot: u64) -> String {
    let left = |end: u64| {
        let slots = end.saturating_sub(slot);
        lease.map_or_else(
            || counted(slots, "slot"),
            |lease| about(seconds_of(lease, slots)),
        )
    };
    match step {
        DisputeStep::Older => "an older dispute about the lease is decided first".into(),
        DisputeStep::Openings(end) => {
            format!("the provider may answer for {} more", left(end))
        }
        DisputeStep::Resolve => "it can be decided".into(),
        DisputeStep::Stays(end) => format!("its bond can be collected in {}", left(end)),
        DisputeStep::Collect => "its bond can be collected".into(),
    }
}

/// How a dispute ended, in words.
pub fn verdict(dispute: &LeaseDispute) -> String {
    let comes = dispute.returned.get().saturating_add(dispute.reward.get());
    match DisputeEnd::from_u8(dispute.end) {
        None => "it is open".into(),
        Some(DisputeEnd::Wrong) => format!(
            "the proof is false: the provider loses {}, and {} (bond and reward) are the disputer's",
            sol(dispute.slashed.get()),
            sol(comes)
        ),
        Some(DisputeEnd::Unanswered) => format!(
            "the provider did not answer in time: it loses {}, and {} (bond and costs) are the disputer's",
            sol(dispute.slashed.get()),
            sol(comes)
        ),
        Some(DisputeEnd::Answered) => format!(
            "everything that was named is right: of the bond the provider has {}, {} are burned",
            sol(dispute.paid.get()),
            sol(dispute.burned.get())
        ),
        Some(DisputeEnd::Void) => format!(
            "another dispute convicted the provider before: the bond of {} comes back",
            sol(comes)
        ),
    }
}

/// All disputes about a lease, in the order in which they are decided.
pub async fn disputes(chain: &ChainClient, lease: &Pubkey) -> Result<Vec<(Pubkey, LeaseDispute)>> {
    let about = [Filter::<LeaseDispute>::lease(lease)];
    let mut found = chain
        .program_accounts(&about, Commitment::Processed)
        .await?;
    found.sort_by_key(|(_, dispute)| dispute.number.get());
    Ok(found)
}

/// Sends a call until it is confirmed; it bids more the nearer the end of its time comes.
async fn send(chain: &ChainClient, wallet: &Keypair, call: Instruction, due: Due) -> Result<()> {
    let newest = AtomicU64::new(chain.slot(Commitment::Processed).await?);
    let (slot, bids) = (|| newest.load(Ordering::Relaxed), Bids::default());
    let bidding = Bidding {
        bids: &bids,
        due,
        slot: &slot,
    };
    let (calls, payer, signers) = ([call], wallet.pubkey(), [wallet]);
    let held = Commitment::Confirmed;
    let mut pursuit = pin!(chain.pursue(&calls, &payer, &signers, bidding, held));
    let landing = loop {
        tokio::select! {
            landing = &mut pursuit => break landing,
            slot = later(chain) => {
                newest.fetch_max(slot.unwrap_or(0), Ordering::Relaxed);
            }
        }
    };
    match landing {
        Ok(_) => Ok(()),
        Err(error) => Err(wallet::explained(chain, wallet, error).await),
    }
}

/// The newest slot, a little later; `None` where the chain does not say.
async fn later(chain: &ChainClient) -> Option<u64> {
    tokio::time::sleep(SLOT_EVERY).await;
    chain.slot(Commitment::Processed).await.ok()
}

/// Opens a dispute that names one element. After an error that may pass it may be open all the same.
pub async fn open(
    chain: &ChainClient,
    wallet: &Keypair,
    (lease, state): (&Pubkey, &Lease),
    (entry, named): (&LeaseEpoch, NamedElement),
    stakes: &Stakes,
) -> Result<()> {
    let key = wallet.pubkey();
    let call = ix::refute_lease(key, key, (lease, state), entry, &[named], stakes.most);
    let due = Due {
        from: entry.slot.get(),
        end: entry.dispute_end(&state.terms.rules),
        loss: stakes.reward / TIMED,
    };
    match send(chain, wallet, call, due).await {
        // An earlier try landed.
        Err(error) if refusal(&error) == Some(MythicError::AccountExists) => Ok(()),
        opened => opened,
    }
}

/// Whether an open dispute names this element alone and waits for it.
pub fn wants(dispute: &LeaseDispute, shown: &OpenedElement) -> bool {
    let key = (shown.unit, shown.round, shown.row, shown.column);
    dispute.header.status == LeaseDisputeStatus::Open as u8
        && dispute.opened == 0
        && matches!(dispute.named(), [named] if named.key() == key)
}

/// Shows to the disputes about a lease what is kept of the elements that they name: then nobody's answer is waited for. What is decided
/// needs it no more.
async fn show(
    chain: &ChainClient,
    wallet: &Keypair,
    kept: &Elements,
    lease: &Pubkey,
) -> Result<()> {
    for (address, dispute) in disputes(chain, lease).await? {
        if dispute.end != 0 {
            kept.remove(&address)?;
            continue;
        }
        let shown = kept.read(&address)?;
        let Some(shown) = shown.filter(|shown| wants(&dispute, shown)) else {
            continue;
        };
        let state = find(chain, lease).await?;
        let Some(state) = state.filter(|state| state.refuted_slot.get() == 0) else {
            continue;
        };
        let due = Due {
            from: dispute.opened_slot.get(),
            end: dispute.openings_end.get(),
            loss: reward(&state) / TIMED,
        };
        let calls = shown.shown(&address);
        for call in calls.context("what is published can't be read")? {
            match send(chain, wallet, call, due).await {
                // The provider may be showing the same.
                Err(error) if !was_done(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Why a program refused, if one did.
fn refusal(error: &anyhow::Error) -> Option<MythicError> {
    let error = error.downcast_ref::<ClientError>();
    error.and_then(ClientError::program)
}

/// Whether somebody else did it before, or it is too early or too late for it.
pub fn was_done(error: &anyhow::Error) -> bool {
    matches!(
        refusal(error),
        Some(
            MythicError::AlreadyOpened
                | MythicError::OpeningsOver
                | MythicError::TooEarlyToClose
                | MythicError::WrongDisputeStatus
                | MythicError::DisputeNotDue
                | MythicError::WrongAccountOwner
                | MythicError::NothingToRelease
                | MythicError::NothingToWithdraw
        )
    )
}

/// Whether it may work later.
pub fn is_transient(error: &anyhow::Error) -> bool {
    let chain = error.downcast_ref::<ClientError>();
    chain.is_some_and(ClientError::is_transient)
}

/// Does all that is due about the disputes of a lease, in their order, having shown what convicts; what was done, in words. If `own`,
/// those of others are decided only before own ones, and not paid out.
pub async fn advance(
    chain: &ChainClient,
    wallet: &Keypair,
    kept: &Elements,
    lease: &Pubkey,
    own: bool,
) -> Result<Vec<String>> {
    let (key, mut done) = (wallet.pubkey(), Vec::new());
    // What can't be shown keeps nothing else from being decided.
    let shown = show(chain, wallet, kept, lease).await;
    let all = disputes(chain, lease).await?;
    let all = match own {
        true => up_to_last(&all, &key),
        false => all.as_slice(),
    };
    for (address, dispute) in all {
        let slot = chain.slot(Commitment::Processed).await?;
        // Read again: what came before may have convicted, or made it the oldest.
        let state = find(chain, lease).await?;
        let (call, what) = match DisputeStep::of(dispute, state.as_ref(), slot) {
            DisputeStep::Resolve => (ix::resolve_lease_dispute(address, dispute), "decided"),
            DisputeStep::Collect if !own || dispute.disputer == key.to_bytes() => (
                ix::close_lease_dispute(address, dispute),
                "paid out and closed",
            ),
            _ => continue,
        };
        match send(chain, wallet, call, Due::NEVER).await {
            Ok(()) => done.push(format!("dispute {address}: {what}")),
            Err(error) if was_done(&error) => {}
            Err(error) => return Err(error),
        }
    }
    shown?;
    Ok(done)
}

/// Disputes in their order up to the last one of a disputer: those behind it are others' to have decided.
fn up_to_last<'a>(
    all: &'a [(Pubkey, LeaseDispute)],
    disputer: &Pubkey,
) -> &'a [(Pubkey, LeaseDispute)] {
    let is_own = |(_, dispute): &(Pubkey, LeaseDispute)| dispute.disputer == disputer.to_bytes();
    let last = all.iter().rposition(is_own);
    &all[..last.map_or(0, |last| last + 1)]
}

/// What the disputes of a lease hold for their disputers, by who that is.
pub fn held(disputes: &[(Pubkey, LeaseDispute)], disputer: &Pubkey) -> u64 {
    let own = disputes
        .iter()
        .filter(|(_, dispute)| dispute.disputer == disputer.to_bytes());
    own.map(|(_, dispute)| dispute.held.get()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lease::kept::tests::element;
    use bytemuck::Zeroable;
    use mythic_interface::{le::U32, market::params::MarketParams};

    fn lease() -> Lease {
        let mut lease = Lease::zeroed();
        lease.terms.rules = MarketParams::dev().rules;
        lease.terms.units = 1;
        lease.terms.price.set(10_000);
        lease.terms.grid.epoch_slots.set(150);
        lease.terms.grid.epoch_seconds.set(60);
        lease.terms.probe.stake_per_unit.set(1_000_000_000);
        lease.escrow.set(4_000_000);
        lease.pending.set(600_000);
        lease
    }

    fn named(round: u32) -> NamedElement {
        NamedElement {
            round: U32::new(round),
            ..NamedElement::default()
        }
    }

    #[test]
    fn a_dispute_costs_what_the_program_takes_and_wins_a_quarter_of_what_is_slashed() {
        let (mut lease, mut provider) = (lease(), Provider::zeroed());
        provider.stake.set(2_000_000_000);
        let stakes = |lease: &Lease, provider: &Provider, round: u32, most: Option<u64>| {
            Stakes::of((lease, provider), &[named(round)], 7, most).unwrap()
        };
        let first = stakes(&lease, &provider, 0, None);
        // A root and an element at 10,000 each, half of an epoch of 600,000; later rounds need a root more.
        assert_eq!(first.held(), 20_000 + 300_000);
        assert_eq!(stakes(&lease, &provider, 3, None).held(), 330_000);
        assert_eq!(first.most, 20_000 + 5 * 300_000);
        assert_eq!((first.slashed, first.reward), (500_000_000, 125_000_000));
        assert_eq!((first.refunded, first.rent), (4_600_000, 7));
        // Each that is open makes the next one dearer.
        lease.open_disputes.set(2);
        assert_eq!(stakes(&lease, &provider, 0, None).held(), 920_000);
        let bounded = stakes(&lease, &provider, 0, Some(900_000));
        assert!(bounded.most == 900_000 && !bounded.fits() && first.fits());
        // Nobody loses more than there is.
        provider.stake.set(100);
        let poor = stakes(&lease, &provider, 0, None);
        assert_eq!((poor.slashed, poor.reward), (100, 25));
        let told = first.lines(30_000, true).join("\n");
        for word in [
            "0.00032 SOL, at most 0.00152 SOL",
            "0.125 SOL are yours",
            "0.0046 SOL of it are yours",
        ] {
            assert!(told.contains(word), "{told}");
        }
        assert!(first.lines(0, false)[3].ends_with("the tenant's"));
    }

    #[test]
    fn all_bids_of_a_dispute_together_are_a_part_of_what_it_brings() {
        assert_eq!(reward(&lease()), 125_000_000);
        // Three times a tenth, of each fourth of it.
        assert_eq!(bids(125_000_000), 37_500_000);
        assert_eq!((bids(0), bids(40)), (0, 12));
        // However much that is, each bid has a bound of its own.
        assert_eq!(bids(u64::MAX), 4 * 3 * 10_000_000);
    }

    #[test]
    fn an_element_is_shown_to_the_dispute_that_names_it_and_waits_for_it() {
        let mut dispute = LeaseDispute::zeroed();
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.count = 1;
        dispute.elements[0] = named(3);
        assert!(wants(&dispute, &element(3)) && !wants(&dispute, &element(2)));
        dispute.opened = 1;
        assert!(!wants(&dispute, &element(3)), "it is shown");
        dispute.opened = 0;
        dispute.count = 2;
        assert!(!wants(&dispute, &element(3)), "another one is named too");
        dispute.count = 1;
        dispute.header.status = LeaseDisputeStatus::Wrong as u8;
        assert!(!wants(&dispute, &element(3)), "it has convicted");
    }

    #[test]
    fn what_comes_behind_the_last_own_dispute_is_left_to_others() {
        let of = |disputer: u8| {
            let mut dispute = LeaseDispute::zeroed();
            dispute.disputer = [disputer; 32];
            (Pubkey::default(), dispute)
        };
        let all = [of(1), of(2), of(1), of(2), of(3)];
        let left = |disputer: u8| up_to_last(&all, &Pubkey::new_from_array([disputer; 32])).len();
        assert_eq!((left(1), left(2), left(3), left(4)), (3, 4, 5, 0));
    }

    #[test]
    fn what_is_waited_for_is_told_in_time_while_the_lease_says_how_long_slots_take() {
        let lease = lease();
        let stays = DisputeStep::Stays(50);
        assert!(awaited(stays, Some(&lease), 20).contains("in 12 s"));
        assert!(awaited(stays, None, 20).contains("in 30 slots"));
        let open = awaited(DisputeStep::Openings(50), Some(&lease), 20);
        assert!(open.contains("answer for 12 s more"), "{open}");
    }

    #[test]
    fn every_end_of_a_dispute_has_words_of_its_own() {
        let mut dispute = LeaseDispute::zeroed();
        let mut told: Vec<String> = (0..=4)
            .map(|end| {
                dispute.end = end;
                verdict(&dispute)
            })
            .collect();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), 5, "{told:?}");
    }
}
