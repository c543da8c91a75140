//! `mythic lease settle`: whatever is due about a lease and nobody has done yet.

use super::{
    case::{self, SHOWING},
    kept::Elements,
    read::{address, find},
};
use crate::{
    commands::wallet,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    report::Report,
    units::sol,
};
use anyhow::Result;
use clap::Args;
use mythic_client::{ChainClient, Commitment, base_fee, market::ix};
use mythic_interface::market::{
    due::{DisputeStep, releasable},
    state::{Lease, LeaseDispute},
};
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// Do what is due about a lease: show to disputes the elements that were kept here, have those decided whose time is over, pay out those
/// that are decided, have proved epochs paid, pay the tenant what is its own. Anybody may; what it pays goes to whose it is
#[derive(Args, Debug)]
pub struct Settle {
    /// Address of the lease
    lease: String,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Settle {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, wallet) = (connection.chain(), connection.wallet()?);
        let kept = Elements::of(connection);
        let address = address(&self.lease)?;
        let before = case::disputes(&chain, &address).await?;
        let held = case::held(&before, &wallet.pubkey());
        let lease = find(&chain, &address).await?;
        if lease.is_none() && before.is_empty() {
            return Err(Exit::error(
                exit::NOT_FOUND,
                format!("no lease at {address}, and no dispute about one: all of it is settled"),
            ));
        }
        let slot = chain.slot(Commitment::Processed).await?;
        let showing = showing(lease.as_ref(), &before, &kept)?;
        // What is shown is decided then.
        let most = due(lease.as_ref(), &before, slot) + showing * (SHOWING + 1);
        for (dispute, state) in &before {
            note!("dispute {dispute}: {}", case::verdict(state));
            note!(
                "  {}",
                case::awaited(
                    DisputeStep::of(state, lease.as_ref(), slot),
                    lease.as_ref(),
                    slot
                )
            );
        }
        if held > 0 {
            note!("{} of it are this wallet's.", sol(held));
        }
        let mut done = Vec::new();
        if most > 0 {
            note!("Up to {most} transactions, {} each.", sol(base_fee(1)));
            if let Some(lease) = lease.as_ref().filter(|_| showing > 0) {
                let bids = case::bids(case::reward(lease));
                note!(
                    "Elements that convict are kept here and shown, which bids up to {} for each dispute.",
                    sol(bids)
                );
            }
            confirm("Sign?", self.yes)?;
            done = case::advance(&chain, &wallet, &kept, &address, false).await?;
            done.extend(self.pay(&chain, connection, &address).await?);
        }
        for line in &done {
            note!("{line}");
        }
        if done.is_empty() {
            note!("Nothing is due now.");
        }
        let left = case::disputes(&chain, &address).await?;
        Report::default()
            .add("lease", address.to_string())
            .add("done", done.len())
            .add("disputes_left", left.len())
            .lamports("held_for_you", case::held(&left, &wallet.pubkey()))
            .print(self.json)
    }

    /// Has epochs paid that nobody can dispute any more, and the tenant what is its own.
    async fn pay(
        &self,
        chain: &ChainClient,
        connection: &Connection,
        address: &Pubkey,
    ) -> Result<Vec<String>> {
        let (wallet, mut done) = (connection.wallet()?, Vec::new());
        let Some(lease) = find(chain, address).await? else {
            return Ok(done);
        };
        let slot = chain.slot(Commitment::Processed).await?;
        if is_payable(&lease, slot) {
            let call = ix::verify_and_release(address, &lease);
            let paid = "epochs that nobody can dispute any more: paid".to_owned();
            done.extend(sent(chain, &wallet, call).await?.then_some(paid));
        }
        let lease = find(chain, address).await?;
        let owed = lease.filter(|lease| lease.tenant_due.get() > 0);
        if let Some(lease) = owed {
            let own = lease.tenant_due.get();
            let call = ix::withdraw_lease(address, &lease);
            let paid = format!("to the tenant: {}", sol(own));
            done.extend(sent(chain, &wallet, call).await?.then_some(paid));
        }
        Ok(done)
    }
}

/// Sends a call; `false` where its provider, or anybody, did it in the same moment.
async fn sent(chain: &ChainClient, wallet: &Keypair, call: Instruction) -> Result<bool> {
    match wallet::send(chain, wallet, &[call]).await {
        Ok(_) => Ok(true),
        Err(error) if case::was_done(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an epoch can be paid.
fn is_payable(lease: &Lease, slot: u64) -> bool {
    releasable(lease, slot).next().is_some()
}

/// Disputes to which an element that convicts can be shown from here.
fn showing(
    lease: Option<&Lease>,
    disputes: &[(Pubkey, LeaseDispute)],
    kept: &Elements,
) -> Result<usize> {
    let mut count = 0;
    if lease.is_some_and(|lease| lease.refuted_slot.get() == 0) {
        for (address, dispute) in disputes {
            let shown = kept.read(address)?;
            count += usize::from(shown.is_some_and(|shown| case::wants(dispute, &shown)));
        }
    }
    Ok(count)
}

/// Transactions of what is due at a slot: what is decided first may make more due.
fn due(lease: Option<&Lease>, disputes: &[(Pubkey, LeaseDispute)], slot: u64) -> usize {
    let of = |(_, dispute): &&(Pubkey, LeaseDispute)| DisputeStep::of(dispute, lease, slot);
    let now = disputes
        .iter()
        .filter(|dispute| matches!(of(dispute), DisputeStep::Resolve | DisputeStep::Collect));
    let decides = disputes
        .iter()
        .any(|dispute| of(&dispute) == DisputeStep::Resolve);
    let later = disputes
        .iter()
        .filter(|dispute| decides && of(dispute) == DisputeStep::Older);
    now.count()
        + later.count()
        + usize::from(lease.is_some_and(|lease| is_payable(lease, slot)))
        + usize::from(decides || lease.is_some_and(|lease| lease.tenant_due.get() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lease::kept::tests::{element, elements};
    use bytemuck::Zeroable;
    use mythic_interface::market::state::{EpochState, LeaseDisputeStatus};

    #[test]
    fn what_is_due_is_counted_before_it_is_signed() {
        let mut lease = Lease::zeroed();
        assert_eq!(due(Some(&lease), &[], 100), 0);
        lease.terms.rules.dispute_slots.set(10);
        lease.acknowledged_slot.set(70);
        let entry = &mut lease.ring[Lease::place(4)];
        entry.epoch.set(4);
        entry.slot.set(80);
        entry.state = EpochState::Pending as u8;
        assert_eq!(due(Some(&lease), &[], 89), 0);
        assert_eq!(due(Some(&lease), &[], 90), 1);
        lease.tenant_due.set(5);
        assert_eq!(due(Some(&lease), &[], 90), 2);
        lease.tenant_due.set(0);
        lease.disputes.set(2);
        lease.open_disputes.set(2);
        let dispute = |number: u32, status: LeaseDisputeStatus| {
            let mut dispute = LeaseDispute::zeroed();
            dispute.header.status = status as u8;
            dispute.count = 1;
            dispute.number.set(number);
            dispute.openings_end.set(1_000);
            (Pubkey::default(), dispute)
        };
        let open = LeaseDisputeStatus::Open;
        // Nothing but the epoch, while both may be answered.
        assert_eq!(
            due(Some(&lease), &[dispute(0, open), dispute(1, open)], 90),
            1
        );
        // A conviction decides the other one too, and makes the tenant's its own.
        let wrong = dispute(0, LeaseDisputeStatus::Wrong);
        assert_eq!(due(Some(&lease), &[wrong, dispute(1, open)], 90), 4);
    }

    #[test]
    fn an_element_that_is_kept_can_be_shown_until_the_provider_is_convicted() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, mut lease) = (elements(dir.path()), Lease::zeroed());
        let mut dispute = LeaseDispute::zeroed();
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.count = 1;
        let disputes = [(Pubkey::default(), dispute)];
        let count = |lease: &Lease| showing(Some(lease), &disputes, &kept).unwrap();
        assert_eq!(count(&lease), 0);
        kept.write(&Pubkey::default(), &element(0)).unwrap();
        assert_eq!(count(&lease), 1);
        assert_eq!(showing(None, &disputes, &kept).unwrap(), 0);
        lease.refuted_slot.set(10);
        assert_eq!(count(&lease), 0);
    }
}
