//! `mythic lease dispute`: a false proof is taken to the chain, from the check to the reward; or, as the tenant, an epoch that was not
//! served.

use super::{
    case::{self, OWN_TRANSACTIONS, Stakes, awaited, verdict},
    host::{Host, Reach},
    kept::Elements,
    proofs::{self, Drawer, Evidence, Judged},
    read::{address, find, load, provider, seconds_of},
    words,
};
use crate::{
    commands::wallet,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    progress::Step,
    report::Report,
    units::{parse_amount, sol},
};
use anyhow::Result;
use clap::Args;
use mythic_client::{
    ChainClient, Commitment, base_fee,
    market::{address::lease_dispute, ix},
};
use mythic_interface::{
    market::{
        due::DisputeStep,
        meter,
        state::{Lease, LeaseDispute, LeaseEpoch},
    },
    window,
};
use mythic_support::Backoff;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::time::{Duration, Instant};

/// How often a dispute is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Times as long as the chain should take that are waited at most, and some more.
const SLACK: u32 = 3;
const SPARE: Duration = Duration::from_secs(120);

/// Dispute a false proof: check what the provider published, show what a dispute costs and may win, ask, send it, show the wrong element
/// to the chain, wait for verdict and reward
#[derive(Args, Debug)]
#[command(
    after_help = "Anybody may dispute; a wallet that is not the tenant's wins the same. Only what is computed here to be wrong is disputed: \
                  such a dispute can't be lost, and nobody's answer is needed. Where nothing is published of a proof there is nothing to \
                  show: then close the lease, since a dispute costs half of an epoch's price if the proof is true after all. \
                  The same command, or `mythic lease settle`, goes on where this one was interrupted."
)]
pub struct DisputeProof {
    /// Address of the lease
    lease: String,
    /// The epoch [default: the newest whose proof is false; with --unserved the newest that can be disputed]
    #[arg(long)]
    epoch: Option<u64>,
    /// Say as the tenant that the epoch was not served: burns its price, and half as much of yours, at once and for good
    #[arg(long)]
    unserved: bool,
    /// Most that the bond may be, SOL or lamports (500000lamports) [default: what it is, and room for four disputes that come before]
    #[arg(long, value_parser = parse_amount, conflicts_with = "unserved")]
    max_bond: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    /// Return with the verdict; `mythic lease settle` collects bond and reward later
    #[arg(long)]
    no_wait: bool,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl DisputeProof {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, wallet) = (connection.chain(), connection.wallet()?);
        let address = address(&self.lease)?;
        let lease = load(&chain, &address).await?;
        match self.unserved {
            true => self.unserved(&chain, &wallet, (&address, &lease)).await,
            false => self.refute(connection, &wallet, (&address, &lease)).await,
        }
    }

    async fn refute(
        &self,
        connection: &Connection,
        wallet: &Keypair,
        (address, lease): (&Pubkey, &Lease),
    ) -> Result<()> {
        let (chain, kept) = (connection.chain(), Elements::of(connection));
        let owner = provider(&chain, lease).await?;
        let allow_loopback = self.reach.is_private(connection);
        let host = Host::of_stranger(owner.endpoint.as_str(), allow_loopback).await?;
        let (entry, evidence) = self.search(&chain, &host, (address, lease)).await?;
        note!("Epoch {}: {}", entry.epoch.get(), evidence.told());
        let found = (&entry, &*evidence);
        let dispute = self
            .open(&chain, (wallet, &kept), (address, lease), found)
            .await?;
        let which = (address, &dispute);
        let ended = match followed(&chain, (wallet, &kept), which, true).await? {
            Some(Stand::Decided(ended)) => ended,
            _ => {
                return Err(Exit::error(
                    exit::CANNOT_SAY,
                    format!("no verdict was seen in time; `mythic lease settle {address}` goes on"),
                ));
            }
        };
        kept.remove(&dispute)?;
        note!("{}", verdict(&ended));
        let collected = !self.no_wait && {
            let stand = followed(&chain, (wallet, &kept), which, false).await?;
            matches!(stand, Some(Stand::Gone))
        };
        if !collected {
            note!("`mythic lease settle {address}` pays bond and reward out when it is time.");
        }
        Report::default()
            .add("lease", address.to_string())
            .add("epoch", entry.epoch.get())
            .add("dispute", dispute.to_string())
            .say("verdict", verdict(&ended), ended.end)
            .lamports("slashed", ended.slashed.get())
            .lamports("bond", stakes_of(&ended))
            .lamports("returned", ended.returned.get())
            .lamports("reward", ended.reward.get())
            .add("collected", collected)
            .print(self.json)
    }

    /// Opens the dispute once what it costs is agreed to; the element that convicts is kept before, so that whatever goes on about it shows
    /// it. One of this wallet that is open already is gone on with. Returns its address.
    async fn open(
        &self,
        chain: &ChainClient,
        (wallet, kept): (&Keypair, &Elements),
        (address, lease): (&Pubkey, &Lease),
        (judged, evidence): (&LeaseEpoch, &Evidence),
    ) -> Result<Pubkey> {
        let dispute = lease_dispute(address, judged.epoch.get(), wallet.pubkey());
        let question = format!("Wallet {} signs and pays. Go on?", wallet.pubkey());
        if let Some((_, before)) = chain.account::<LeaseDispute>(&dispute).await? {
            note!("  this wallet disputed it before; what is left to do costs fees");
            confirm(&question, self.yes)?;
            if case::wants(&before, &evidence.shown) {
                kept.write(&dispute, &evidence.shown)?;
            }
            return Ok(dispute);
        }
        let owner = provider(chain, lease).await?;
        let rent = chain.rent(LeaseDispute::LEN).await?;
        let stakes = Stakes::of((lease, &owner), &[evidence.named], rent, self.max_bond);
        let stakes = stakes.map_err(|error| Exit::error(exit::FAILURE, error.message()))?;
        if !stakes.fits() {
            let bond = sol(stakes.held());
            let message = format!("--max-bond: the bond is {bond}, more than that");
            return Err(Exit::error(exit::USAGE, message));
        }
        let fees = (base_fee(1) * OWN_TRANSACTIONS).saturating_add(stakes.bids());
        let is_tenant = lease.terms.tenant == wallet.pubkey().to_bytes();
        for line in stakes.lines(fees, is_tenant) {
            note!("  {line}");
        }
        confirm(&question, self.yes)?;
        let step = Step::new("Disputing the proof");
        let Some((state, entry)) = proofs::still(chain, address, judged).await? else {
            return Err(Exit::error(
                exit::NOT_FOUND,
                "nothing is disputed: the chain has another proof by now, or its time is over; run it again",
            ));
        };
        kept.write(&dispute, &evidence.shown)?;
        let (of, about) = ((address, &state), (&entry, evidence.named));
        match case::open(chain, wallet, of, about, &stakes).await {
            Ok(()) => step.done(),
            Err(error) if case::is_transient(&error) => {
                let next = format!(
                    "the dispute may be open or not: the same command again, or `mythic lease settle {address}`, goes on"
                );
                return Err(error.context(next));
            }
            Err(error) => {
                kept.remove(&dispute)?;
                return Err(error);
            }
        }
        Ok(dispute)
    }

    /// The newest epoch whose proof is false, or the one that is named; what was found of the others is said.
    async fn search(
        &self,
        chain: &ChainClient,
        host: &Host,
        (address, lease): (&Pubkey, &Lease),
    ) -> Result<(LeaseEpoch, Box<Evidence>)> {
        let step = Step::new("Checking what is published of its proofs");
        let drawer = Drawer::read(chain).await?;
        let mut found = Vec::new();
        for entry in words::epochs(lease).into_iter().rev() {
            let epoch = entry.epoch.get();
            if self.epoch.is_some_and(|named| named != epoch)
                || !proofs::is_disputable(lease, entry, drawer.slot)
            {
                continue;
            }
            let draw = drawer.hash(entry);
            match proofs::ask(host, (address, lease), entry, (&drawer, draw)).await {
                Ok(Judged::False(evidence)) => {
                    step.done();
                    return Ok((*entry, evidence));
                }
                Ok(other) => found.push(format!("epoch {epoch}: {}", other.words())),
                // Another epoch may be answered.
                Err(error) => found.push(format!("epoch {epoch}: {error:#}")),
            }
        }
        step.done();
        let found = match found.is_empty() {
            true => "no proof of it can be disputed now".to_owned(),
            false => format!(
                "{}. What nobody can check is no reason to dispute but one to close: `mythic lease close {address}`",
                found.join("; ")
            ),
        };
        let message = format!("nothing is disputed: {found}");
        Err(Exit::error(exit::NOT_FOUND, message))
    }

    async fn unserved(
        &self,
        chain: &ChainClient,
        wallet: &Keypair,
        (address, lease): (&Pubkey, &Lease),
    ) -> Result<()> {
        if lease.terms.tenant != wallet.pubkey().to_bytes() {
            return Err(Exit::error(
                exit::USAGE,
                "--unserved is the tenant's word, and this wallet is not the tenant's; pass --keypair",
            ));
        }
        let slot = chain.slot(Commitment::Confirmed).await?;
        let entry = unserved_epoch(lease, self.epoch, slot)?;
        let (epoch, amount) = (entry.epoch.get(), entry.amount.get());
        let bond = meter::half(amount);
        note!(
            "Epoch {epoch}: its price of {} is burned instead of paid, and {} of yours with it, at once and for good; the fee is {}.",
            sol(amount),
            sol(bond),
            sol(base_fee(1))
        );
        note!(
            "Nothing comes back to you: the chain can't see whether you were served, so a lie costs what it harms. What ends the harm is \
             `mythic lease close {address}`."
        );
        let question = format!("Wallet {} signs and pays. Go on?", wallet.pubkey());
        confirm(&question, self.yes)?;
        let call = ix::unserved_lease(wallet.pubkey(), (address, lease), entry);
        let signature = wallet::send(chain, wallet, &[call]).await?;
        Report::default()
            .add("lease", address.to_string())
            .add("epoch", epoch)
            .lamports("burned", amount.saturating_add(bond))
            .lamports("bond", bond)
            .add("signature", signature.to_string())
            .print(self.json)
    }
}

/// All that was put down for a dispute.
fn stakes_of(dispute: &LeaseDispute) -> u64 {
    dispute.fee.get().saturating_add(dispute.at_stake.get())
}

/// The epoch that a tenant calls unserved: the one that it names, or the newest that is not settled.
fn unserved_epoch(lease: &Lease, named: Option<u64>, slot: u64) -> Result<&LeaseEpoch> {
    let can = |entry: &&LeaseEpoch| {
        entry.is_pending() && window::open(slot, entry.dispute_end(&lease.terms.rules))
    };
    let mut newest = words::epochs(lease).into_iter().rev().filter(can);
    let found = newest.find(|entry| named.is_none_or(|named| named == entry.epoch.get()));
    found.ok_or_else(|| {
        let which = named.map_or_else(|| "no epoch".into(), |epoch| format!("epoch {epoch} is not one that"));
        Exit::error(
            exit::NOT_FOUND,
            format!("{which} can be disputed now; `mythic lease show` lists the epochs: they are settled, or not metered yet"),
        )
    })
}

/// Longest that the chain may take for so many slots.
fn patience(lease: &Lease, slots: u64) -> Duration {
    SLACK * Duration::from_secs(seconds_of(lease, slots)) + SPARE
}

/// Where a dispute stands, having done what is due.
enum Stand {
    /// This is waited for, about so long.
    Waits(String, Duration),
    Decided(Box<LeaseDispute>),
    /// Its account is closed: it is paid out.
    Gone,
}

async fn look(
    chain: &ChainClient,
    (wallet, kept): (&Keypair, &Elements),
    (lease, dispute): (&Pubkey, &Pubkey),
    until_verdict: bool,
) -> Result<Stand> {
    case::advance(chain, wallet, kept, lease, true).await?;
    let Some((_, state)) = chain.account::<LeaseDispute>(dispute).await? else {
        return Ok(Stand::Gone);
    };
    if until_verdict && state.end != 0 {
        return Ok(Stand::Decided(Box::new(state)));
    }
    let of = find(chain, lease).await?;
    let slot = chain.slot(Commitment::Processed).await?;
    let end = match state.end {
        0 => state.openings_end.get(),
        _ => state.retention_end(),
    };
    let step = DisputeStep::of(&state, of.as_ref(), slot);
    let words = awaited(step, of.as_ref(), slot);
    let slots = end.saturating_sub(slot);
    let long = of.map_or(SPARE, |of| patience(&of, slots));
    Ok(Stand::Waits(words, long))
}

/// Waits until a dispute is decided, or until it is paid out. `None` if that takes much longer than it should; what fails meanwhile is
/// tried again.
async fn followed(
    chain: &ChainClient,
    by: (&Keypair, &Elements),
    which: (&Pubkey, &Pubkey),
    until_verdict: bool,
) -> Result<Option<Stand>> {
    let step = Step::new(match until_verdict {
        true => "Waiting for the verdict",
        false => "Waiting until bond and reward can be collected (Ctrl-C loses nothing)",
    });
    let (started, mut allowed) = (Instant::now(), None);
    let mut pauses = Backoff::new(LOOK_EVERY, LONGEST_PAUSE);
    loop {
        match look(chain, by, which, until_verdict).await {
            Ok(Stand::Waits(words, long)) => {
                step.note(&words);
                allowed.get_or_insert(started.elapsed() + long);
                pauses.reset();
            }
            Ok(end) => {
                step.done();
                return Ok(Some(end));
            }
            Err(error) if case::is_transient(&error) => step.note(&format!("{error:#}")),
            Err(error) => return Err(error),
        }
        if started.elapsed() > allowed.unwrap_or(SPARE) {
            return Ok(None);
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::market::state::EpochState;

    #[test]
    fn the_newest_epoch_that_is_not_settled_is_the_one_that_was_not_served() {
        let mut lease = Lease::zeroed();
        lease.terms.rules.dispute_slots.set(10);
        for (epoch, state) in [
            (4, EpochState::Pending),
            (5, EpochState::Pending),
            (6, EpochState::Released),
        ] {
            let entry = &mut lease.ring[Lease::place(epoch)];
            entry.epoch.set(epoch);
            entry.slot.set(10 * epoch);
            entry.state = state as u8;
        }
        let of = |named, slot| unserved_epoch(&lease, named, slot).map(|entry| entry.epoch.get());
        assert_eq!(of(None, 45).unwrap(), 5);
        assert_eq!(of(Some(4), 45).unwrap(), 4);
        assert_eq!(of(None, 59).unwrap(), 5);
        assert!(of(None, 60).is_err(), "its time is over");
        let refused = of(Some(6), 45).unwrap_err().to_string();
        assert!(refused.contains("epoch 6 is not one"), "{refused}");
    }
}
