//! `mythic lease close`: the end, and what is left of the money.

use super::read::{address, load, request_at, seconds_of};
use crate::{
    commands::wallet,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    report::Report,
    units::{about, sol},
};
use anyhow::Result;
use clap::Args;
use mythic_client::{ChainClient, Commitment, market::ix};
use mythic_interface::{
    market::state::{CloseReason, Lease, LeaseStatus, RequestStatus},
    window,
};
use mythic_wire::signed::unix_seconds;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

/// End a lease and have paid out what is left; what it will cost is shown first. Of a request that nobody has taken: take it back
#[derive(Args, Debug)]
#[command(
    after_help = "The reason is the one that costs whoever is at fault: a provider that did not start in time is closed as never_started and \
                  loses no_show of its stake; one that was silent for too many epochs pays the price of its notice. A false proof is not \
                  closed but disputed: `mythic lease dispute`."
)]
pub struct Close {
    /// Address of the lease, or of an open request
    lease: String,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came back.
pub struct Closed {
    /// Lamports that went to the wallet now.
    pub returned: u64,
    /// The lease after that.
    pub lease: Lease,
}

impl Close {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, wallet) = (connection.chain(), connection.wallet()?);
        let address = address(&self.lease)?;
        if let Some(request) = request_at(&chain, &address).await {
            if request.header.status != RequestStatus::Open as u8 {
                return Err(Exit::error(
                    exit::FAILURE,
                    "the request is not open any more; name its lease (`mythic lease list`)",
                ));
            }
            note!(
                "Taking the request back returns {}.",
                sol(request.escrow.get())
            );
            confirm("Sign?", self.yes)?;
            let call = ix::cancel_request(wallet.pubkey(), address);
            let signature = wallet::send(&chain, &wallet, &[call]).await?;
            return Report::default()
                .add("request", address.to_string())
                .lamports("returned", request.escrow.get())
                .add("signature", signature.to_string())
                .print(self.json);
        }
        let lease = load(&chain, &address).await?;
        let slot = chain.slot(Commitment::Confirmed).await?;
        note!("{}", outlook(&lease, unix_seconds(), slot));
        confirm("Sign?", self.yes)?;
        let closed = close(&chain, &wallet, &address, lease).await?;
        let mut report = Report::default();
        report
            .add("lease", address.to_string())
            .lamports("returned", closed.returned)
            .lamports("pending", closed.lease.pending.get())
            .lamports("paid", closed.lease.paid.get())
            .lamports("burned", closed.lease.burned.get());
        report.print(self.json)?;
        if !self.json && closed.lease.pending.get() > 0 {
            note!(
                "What is pending is paid to the provider once nobody can dispute it any more; if a proof is refuted before, it is yours \
                 (`mythic lease close` again pays it out)."
            );
        }
        Ok(())
    }
}

/// The reason that its tenant gives: its own wish, unless the provider did not start it in time, which costs the provider.
fn reason(lease: &Lease, slot: u64) -> CloseReason {
    let accepted = lease.status() == Some(LeaseStatus::Accepted);
    match accepted && !window::open(slot, lease.start_end()) {
        true => CloseReason::NeverStarted,
        false => CloseReason::ClosedByTenant,
    }
}

/// What closing now means for the tenant.
fn outlook(lease: &Lease, now: u64, slot: u64) -> String {
    let no_show = sol(lease.terms.rules.no_show.get());
    match lease.status() {
        Some(LeaseStatus::Accepted) if reason(lease, slot) == CloseReason::NeverStarted => format!(
            "The provider did not start it in time: all of {} comes back, and {no_show} of its stake is burned.",
            sol(lease.escrow.get())
        ),
        Some(LeaseStatus::Accepted) => format!(
            "It has not started: all of {} comes back. From slot {} on, in about {}, closing also costs the provider {no_show}.",
            sol(lease.escrow.get()),
            lease.start_end(),
            about(seconds_of(lease, lease.start_end().saturating_sub(slot)))
        ),
        Some(LeaseStatus::Started) => format!(
            "Its start is not acknowledged: the seconds since then are burned, at least what a start costs that comes to nothing, about {}; \
             the rest of {} comes back.",
            sol(forfeited(lease, now)),
            sol(lease.escrow.get().saturating_add(lease.pending.get()))
        ),
        Some(LeaseStatus::Ended) => format!(
            "It has ended; {} are yours and are paid out.",
            sol(lease.tenant_due.get())
        ),
        _ => format!(
            "The seconds since the last proof are paid, at most {}; the rest of {} comes back.",
            sol(price_of(lease, lease.meter().unmetered(now))),
            sol(lease.escrow.get())
        ),
    }
}

fn price_of(lease: &Lease, seconds: u64) -> u64 {
    let price = lease.terms.price_of(seconds).unwrap_or(u64::MAX);
    price.min(lease.escrow.get())
}

/// What is burned of a lease that ends before its start is acknowledged: what was metered and the seconds since, `no_show` at least.
fn forfeited(lease: &Lease, now: u64) -> u64 {
    let pending = lease.pending.get();
    let least = lease.terms.rules.no_show.get().saturating_sub(pending);
    let rest = price_of(lease, lease.meter().unmetered(now)).max(least);
    pending.saturating_add(rest.min(lease.escrow.get()))
}

/// Ends a lease as its tenant, unless it has ended, and pays out what is the tenant's.
pub async fn close(
    chain: &ChainClient,
    wallet: &Keypair,
    address: &Pubkey,
    lease: Lease,
) -> Result<Closed> {
    if lease.terms.tenant != wallet.pubkey().to_bytes() {
        return Err(Exit::error(
            exit::USAGE,
            format!(
                "the lease is of tenant {}, and this wallet is {}; pass --keypair",
                Pubkey::new_from_array(lease.terms.tenant),
                wallet.pubkey()
            ),
        ));
    }
    if lease.status() != Some(LeaseStatus::Ended) {
        let reason = reason(&lease, chain.slot(Commitment::Confirmed).await?);
        let call = ix::close_lease(wallet.pubkey(), address, &lease, reason, false);
        wallet::send(chain, wallet, &[call]).await?;
    }
    let ended = load(chain, address).await?;
    let returned = ended.tenant_due.get();
    if returned == 0 {
        return Ok(Closed {
            returned,
            lease: ended,
        });
    }
    // Its provider may pay it out in the same moment.
    let sent = wallet::send(chain, wallet, &[ix::withdraw_lease(address, &ended)]).await;
    let after = load(chain, address).await?;
    match (sent, after.tenant_due.get()) {
        (Err(error), due) if due > 0 => Err(error),
        _ => Ok(Closed {
            returned,
            lease: after,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_interface::le::U32;

    #[test]
    fn what_closing_means_is_told_for_each_state() {
        let mut lease: Lease = bytemuck::Zeroable::zeroed();
        lease.terms.units = 1;
        lease.terms.price.set(1_000_000_000);
        lease.terms.grid.epoch_seconds = U32::new(60);
        lease.escrow.set(5_000_000_000);
        lease.mark.set(100);
        lease.ends_at.set(200);
        lease.terms.grid.epoch_slots = U32::new(120);
        lease.terms.rules.start_slots = U32::new(20);
        lease.accepted_slot.set(80);
        let told = |status: LeaseStatus, now: u64| {
            let mut lease = lease;
            lease.header.status = status as u8;
            outlook(&lease, now, 0)
        };
        assert!(told(LeaseStatus::Accepted, 103).contains("all of 5 SOL"));
        assert!(told(LeaseStatus::Started, 103).contains("comes to nothing, about 3 SOL"));
        assert!(told(LeaseStatus::Active, 103).contains("at most 3 SOL"));
        // However short it ran, a start that comes to nothing costs something.
        lease.terms.rules.no_show.set(4_000_000_000);
        lease.header.status = LeaseStatus::Started as u8;
        assert!(outlook(&lease, 101, 0).contains("about 4 SOL"));
        lease.pending.set(1_000_000_000);
        assert!(outlook(&lease, 101, 0).contains("about 4 SOL"));
        assert!(outlook(&lease, 190, 0).contains("about 6 SOL"));
        lease.pending.set(0);
        // Never more than there is.
        lease.header.status = LeaseStatus::Active as u8;
        assert!(outlook(&lease, 190, 0).contains("at most 5 SOL"));
    }

    #[test]
    fn who_did_not_start_in_time_is_closed_for_that() {
        let mut lease: Lease = bytemuck::Zeroable::zeroed();
        lease.header.status = LeaseStatus::Accepted as u8;
        lease.terms.grid.epoch_slots = U32::new(120);
        lease.terms.grid.epoch_seconds = U32::new(60);
        lease.terms.rules.start_slots = U32::new(20);
        lease.terms.rules.no_show.set(1_000_000);
        lease.accepted_slot.set(80);
        assert_eq!(reason(&lease, 99), CloseReason::ClosedByTenant);
        let told = outlook(&lease, 0, 90);
        assert!(told.contains("slot 100 on, in about 5 s"), "{told}");
        assert_eq!(reason(&lease, 100), CloseReason::NeverStarted);
        let told = outlook(&lease, 0, 100);
        assert!(told.contains("0.001 SOL of its stake is burned"), "{told}");
        // Once it has started it is the tenant's wish again.
        lease.header.status = LeaseStatus::Started as u8;
        assert_eq!(reason(&lease, 100), CloseReason::ClosedByTenant);
    }
}
