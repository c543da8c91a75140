//! Disputes about leases, from their opening to the last lamport: what can be done about each as things stand, and doing it. All of
//! that is anybody's.

use super::read::{find, seconds_of};
use crate::{
    commands::wallet,
    units::{about, counted, sol},
};
use anyhow::{Context, Result};
use mythic_client::{
    ChainClient, ClientError, Commitment, Filter,
    market::{address, ix},
    units,
};
use mythic_interface::{
    error::MythicError,
    market::{
        meter::{self, RefuteBond},
        state::{
            DisputeEnd, Lease, LeaseDispute, LeaseDisputeStatus, LeaseEpoch, NamedElement, Provider,
        },
    },
    window,
};
use mythic_provider::proof::{dispute::transactions, opening::OpenedElement};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Disputes of others that may come first, for which a bond has room unless it is bounded otherwise.
const OTHERS: u32 = 4;
/// Transactions of a dispute whose proof is opened by who disputes: itself, two roots, the element, its verdict, its end.
pub const OWN_TRANSACTIONS: u64 = 6;

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
        let stake = lease.terms.probe.stake_per_unit.get();
        let half = meter::refuted_stake(stake, lease.terms.units)?;
        let slashed = half.min(provider.whole_stake());
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

/// What can be done about a dispute now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// An older one about the lease is decided first.
    Older,
    /// Its openings go on until this slot.
    Openings(u64),
    /// It is due: have it decided.
    Resolve,
    /// It is decided; its account stays until this slot.
    Stays(u64),
    /// Its account can be closed, which pays its disputer.
    Collect,
}

impl Next {
    /// As the program decides. The lease may have no account any more: then no dispute about it is open.
    pub fn of(dispute: &LeaseDispute, lease: Option<&Lease>, slot: u64) -> Self {
        let status = LeaseDisputeStatus::from_u8(dispute.header.status);
        if status == Some(LeaseDisputeStatus::Resolved) {
            return match window::open(slot, dispute.retention_end()) {
                true => Self::Stays(dispute.retention_end()),
                false => Self::Collect,
            };
        }
        let Some(lease) = lease.filter(|lease| dispute.number.get() == lease.oldest_dispute())
        else {
            return Self::Older;
        };
        let decided = dispute.opened == dispute.all()
            || lease.refuted_slot.get() != 0
            || status == Some(LeaseDisputeStatus::Wrong);
        match !decided && window::open(slot, dispute.openings_end.get()) {
            true => Self::Openings(dispute.openings_end.get()),
            false => Self::Resolve,
        }
    }

    /// What is waited for, in words.
    pub fn words(self, lease: Option<&Lease>, slot: u64) -> String {
        let left = |end: u64| {
            let slots = end.saturating_sub(slot);
            lease.map_or_else(
                || counted(slots, "slot"),
                |lease| about(seconds_of(lease, slots)),
            )
        };
        match self {
            Self::Older => "an older dispute about the lease is decided first".into(),
            Self::Openings(end) => format!("the provider may answer for {} more", left(end)),
            Self::Resolve => "it can be decided".into(),
            Self::Stays(end) => format!("its bond can be collected in {}", left(end)),
            Self::Collect => "its bond can be collected".into(),
        }
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

/// Sends a call under a limit of what it uses: showing a large class's element takes more than a call has by default.
async fn send(chain: &ChainClient, wallet: &Keypair, call: Instruction) -> Result<()> {
    let calls = [call];
    let bounded = units::bounded(&calls, units::limit(&calls), 0);
    wallet::send(chain, wallet, &bounded).await.map(drop)
}

/// Opens a dispute that names one element; returns its address.
pub async fn open(
    chain: &ChainClient,
    wallet: &Keypair,
    (lease, state): (&Pubkey, &Lease),
    (entry, named): (&LeaseEpoch, NamedElement),
    most: u64,
) -> Result<Pubkey> {
    let key = wallet.pubkey();
    let call = ix::refute_lease(key, key, (lease, state), entry, &[named], most);
    wallet::send(chain, wallet, &[call]).await?;
    Ok(address::lease_dispute(lease, entry.epoch.get(), key))
}

/// Shows to a dispute what is published of the element that it names: then nobody's answer is waited for. The provider may be showing
/// the same.
pub async fn show(
    chain: &ChainClient,
    wallet: &Keypair,
    dispute: &Pubkey,
    shown: &OpenedElement,
) -> Result<()> {
    let calls = shown.shown(dispute);
    for call in calls.context("what is published can't be read")? {
        match send(chain, wallet, call).await {
            Err(error) if !was_done(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether somebody else did it before.
pub fn was_done(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ClientError>();
    matches!(
        refused.and_then(ClientError::program),
        Some(
            MythicError::AlreadyOpened
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

/// Does all that is due about the disputes of a lease, in their order; what was done, in words. Those of others are not paid out if `own`.
pub async fn advance(
    chain: &ChainClient,
    wallet: &Keypair,
    lease: &Pubkey,
    own: bool,
) -> Result<Vec<String>> {
    let (key, mut done) = (wallet.pubkey().to_bytes(), Vec::new());
    for (address, dispute) in disputes(chain, lease).await? {
        let slot = chain.slot(Commitment::Processed).await?;
        // Read again: what came before may have convicted, or made it the oldest.
        let state = find(chain, lease).await?;
        let (call, what) = match Next::of(&dispute, state.as_ref(), slot) {
            Next::Resolve => (ix::resolve_lease_dispute(address, &dispute), "decided"),
            Next::Collect if !own || dispute.disputer == key => (
                ix::close_lease_dispute(address, &dispute),
                "paid out and closed",
            ),
            _ => continue,
        };
        match send(chain, wallet, call).await {
            Ok(()) => done.push(format!("dispute {address}: {what}")),
            Err(error) if was_done(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
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
    fn what_can_be_done_about_a_dispute_is_what_the_program_takes() {
        let (mut lease, mut dispute) = (lease(), LeaseDispute::zeroed());
        lease.disputes.set(2);
        lease.open_disputes.set(2);
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.count = 1;
        dispute.openings_end.set(50);
        dispute.number.set(1);
        let next =
            |lease: &Lease, dispute: &LeaseDispute, slot| Next::of(dispute, Some(lease), slot);
        assert_eq!(next(&lease, &dispute, 99), Next::Older);
        lease.open_disputes.set(1);
        assert_eq!(next(&lease, &dispute, 49), Next::Openings(50));
        assert_eq!(next(&lease, &dispute, 50), Next::Resolve, "nobody answered");
        dispute.header.status = LeaseDisputeStatus::Wrong as u8;
        assert_eq!(next(&lease, &dispute, 20), Next::Resolve);
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.opened = 1;
        assert_eq!(next(&lease, &dispute, 20), Next::Resolve, "all is shown");
        dispute.opened = 0;
        lease.refuted_slot.set(10);
        assert_eq!(
            next(&lease, &dispute, 20),
            Next::Resolve,
            "another one convicted"
        );
        dispute.header.status = LeaseDisputeStatus::Resolved as u8;
        dispute.resolved_slot.set(20);
        dispute.close_delay_slots.set(30);
        assert_eq!(next(&lease, &dispute, 49), Next::Stays(50));
        assert_eq!(next(&lease, &dispute, 50), Next::Collect);
        assert_eq!(
            Next::of(&dispute, None, 50),
            Next::Collect,
            "without its lease"
        );
        assert!(Next::Stays(50).words(Some(&lease), 20).contains("in 12 s"));
        assert!(Next::Stays(50).words(None, 20).contains("in 30 slots"));
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
