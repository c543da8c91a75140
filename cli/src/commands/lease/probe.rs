//! `mythic lease probe`: whether a lease is what it should be, as far as its tenant can see.

use super::{
    host::Host,
    kept::Kept,
    proofs::{self, Drawer, Judged},
    read::{address, load, provider},
    words,
};
use crate::{
    context::Connection,
    exit::{self, Exit},
    report::Report,
};
use anyhow::Result;
use clap::Args;
use mythic_client::ChainClient;
use mythic_interface::{market::state::Lease, state::NO_KEY};
use solana_pubkey::Pubkey;

/// Check a lease: that what the provider gives you is what it stated on chain, that it answers under your key and signs a receipt, and
/// that sixteen elements of its last published proof, drawn by the chain, are right. Exit code 6 if something is wrong; what to do then
/// is said with it
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
                "epochs {}: nothing is published of their proofs, so nobody can check them. If that goes on, close the lease: \
                 a dispute costs you as much as an epoch pays the provider, and would show a true proof at your cost",
                epochs.join(", ")
            );
            report.say("unpublished", told, missing);
        }
        report.print(self.json)
    }
}

/// Checks what is published of the newest proof that is.
pub async fn proof(
    chain: &ChainClient,
    host: &Host,
    (address, lease): (&Pubkey, &Lease),
) -> Result<Published> {
    let (drawer, mut missing) = (Drawer::read(chain).await?, Vec::new());
    for entry in words::epochs(lease).into_iter().rev() {
        let epoch = entry.epoch.get();
        if entry.proof == NO_KEY {
            continue;
        }
        let draw = drawer.hash(entry);
        let judged = proofs::ask(host, (address, lease), entry, (&drawer, draw)).await?;
        match judged {
            Judged::Early => {}
            Judged::Missing => missing.push(epoch),
            Judged::Right { drawn } => {
                let proof = Proof::Right { epoch, drawn };
                return Ok(Published { proof, missing });
            }
            Judged::Unshown(_) | Judged::False(_) => {
                let next = match judged {
                    Judged::False(_) => "dispute",
                    _ => "close",
                };
                return Err(Exit::error(
                    exit::CHECK_FAILED,
                    format!(
                        "epoch {epoch}: {}; `mythic lease {next} {address}`",
                        judged.words()
                    ),
                ));
            }
        }
    }
    Ok(Published {
        proof: Proof::None,
        missing,
    })
}
