//! `mythic lease probe`: whether a lease is what it should be, as far as its tenant can see.

use super::{
    host::Host,
    kept::Kept,
    read::{address, load},
    words,
};
use crate::{
    context::Connection,
    exit::{self, Exit},
    report::Report,
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_client::{ChainClient, Commitment, market};
use mythic_interface::market::{
    probe::DRAW_SLOTS,
    state::{Lease, Provider},
};
use mythic_provider::proof::Shape;
use solana_pubkey::Pubkey;

/// Check a lease: that what the provider gives you is what it stated on chain, that it answers under your key and signs a receipt, and
/// that sixteen elements of its last published proof, drawn by the chain, are right. Exit code 6 if something is wrong
#[derive(Args, Debug)]
pub struct Probe {
    /// Address of the lease
    lease: String,
    /// The lease's key [default: the one that `mythic lease request` kept here]
    #[arg(long)]
    key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Slots after a proof from which it should be published.
const PUBLISHED_AFTER: u64 = 200;

/// What is published of a lease's proofs.
pub struct Published {
    /// The newest that is.
    pub proof: Proof,
    /// Newer epochs that should be and are not, the newest first.
    pub missing: Vec<u64>,
}

/// What was found out about the last published proof.
pub enum Proof {
    /// Nothing is published yet.
    None,
    /// Its elements are right. Whether the draw could be compared with the chain: slots' hashes are known for some minutes.
    Right { epoch: u64, drawn: bool },
}

impl Probe {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, address) = (connection.chain(), address(&self.lease)?);
        let lease = load(&chain, &address).await?;
        let provider = provider(&chain, &lease).await?;
        let kept = Kept::read(connection, &address)?;
        let key = self.key.clone().or_else(|| kept.map(|kept| kept.key));
        let key = key.ok_or_else(|| {
            Exit::error(
                exit::NOT_FOUND,
                "the key of this lease is not kept here: pass --key",
            )
        })?;
        let host = Host::new(provider.endpoint.as_str())?;
        let operator = Pubkey::new_from_array(provider.operator);
        let access = host.access(&address, &lease).await?;
        let model = host.model(&access, &key).await?;
        let said = host
            .chat(&access, (&address, &operator), &key, "Name a fish.")
            .await?;
        let Published { proof, missing } = proof(&chain, &host, (&address, &lease)).await?;
        let mut report = Report::default();
        report
            .add("lease", address.to_string())
            .add(
                "standing",
                words::standing(&lease, mythic_wire::signed::unix_seconds()),
            )
            .say("access", "what was stated on chain", true)
            .add("model", model)
            .say(
                "answer",
                format!(
                    "{:?}, {} tokens, receipt signed by the operator",
                    said.text, said.tokens
                ),
                said.text.clone(),
            );
        match proof {
            Proof::None => report.say("proof", "none is published yet", None::<u64>),
            Proof::Right { epoch, drawn } => report.say(
                "proof",
                format!(
                    "epoch {epoch}: sixteen elements are right{}",
                    if drawn {
                        ", and the chain drew them"
                    } else {
                        "; who drew them is too long ago to check"
                    }
                ),
                epoch,
            ),
        };
        if !missing.is_empty() {
            let epochs: Vec<String> = missing.iter().map(u64::to_string).collect();
            let told = format!(
                "epochs {}: nothing is published of their proofs, so nobody can check them",
                epochs.join(", ")
            );
            report.say("unpublished", told, missing);
        }
        report.print(self.json)
    }
}

/// The account of a lease's provider.
pub async fn provider(chain: &ChainClient, lease: &Lease) -> Result<Provider> {
    let address = market::address::provider(lease.terms.provider);
    let read = chain.account::<Provider>(&address).await?;
    Ok(read.context("the provider's account is gone")?.1)
}

/// Checks what is published of the newest proof that is.
pub async fn proof(
    chain: &ChainClient,
    host: &Host,
    (address, lease): (&Pubkey, &Lease),
) -> Result<Published> {
    let (slot, mut missing) = (chain.slot(Commitment::Confirmed).await?, Vec::new());
    let hashes = chain.slot_hashes(Commitment::Confirmed).await?;
    for entry in words::epochs(lease).into_iter().rev() {
        let epoch = entry.epoch.get();
        if entry.proof == [0; 32] {
            continue;
        }
        let Some(opening) = host.opening(address, epoch).await? else {
            if slot > entry.slot.get() + PUBLISHED_AFTER {
                missing.push(epoch);
            }
            continue;
        };
        let shape =
            Shape::of_epoch(address, lease, epoch).context("the lease has no such epoch")?;
        let told = mythic_wire::parse_hex32(&opening.draw_hash).unwrap_or_default();
        // Whoever publishes elements of its own choice can choose good ones.
        let drawn = hashes.first_from(entry.slot.get() + DRAW_SLOTS);
        let checked = match drawn {
            Some((_, hash)) => opening.check(&shape, &entry.proof, &hash),
            None => opening.check(&shape, &entry.proof, &told),
        };
        return match checked {
            Ok(()) => Ok(Published {
                proof: Proof::Right {
                    epoch,
                    drawn: drawn.is_some(),
                },
                missing,
            }),
            Err(error) => Err(Exit::error(
                exit::CHECK_FAILED,
                format!("the proof of epoch {epoch}: {error}"),
            )),
        };
    }
    Ok(Published {
        proof: Proof::None,
        missing,
    })
}
