//! `mythic lease demo`: a whole lease in about two minutes, against the provider of a development network.

use super::{
    close::close,
    host::{Host, Reach},
    image::ContainerArgs,
    probe::{self, Proof},
    read::{load, provider},
    request::Request,
    words,
};
use crate::{
    context::Connection,
    exit::{self, Exit},
    note,
    progress::Step,
    say,
    units::sol,
};
use anyhow::Result;
use clap::Args;
use mythic_client::ChainClient;
use solana_pubkey::Pubkey;
use std::time::{Duration, Instant};

/// Longest wait for a proof: an epoch and what it takes to publish, on a network of long epochs too.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Seconds that are paid for; most of them come back.
const SECONDS: u32 = 600;

/// Walk through a lease: request, answer, proof of an epoch, close, refund. Takes an epoch, its proof and the time to dispute that: two
/// minutes on a development network
#[derive(Args, Debug)]
pub struct Demo {
    #[command(flatten)]
    reach: Reach,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
}

impl Demo {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let chain = connection.chain();
        say!(
            "1. A tenant pays for ten minutes of a provider's capacity. Most of it will come back.\n"
        );
        let request = Request {
            provider: None,
            class: "cpu".into(),
            model: None,
            units: 1,
            seconds: SECONDS,
            max_concurrent: 2,
            min_tokens_per_second: None,
            container: ContainerArgs::default(),
            reach: self.reach,
            yes: self.yes,
            json: false,
        };
        let running = request.run(connection).await?;
        let address = running.lease;
        let lease = load(&chain, &address).await?;
        let provider = provider(&chain, &lease).await?;
        let allow_loopback = self.reach.is_private(connection);
        let host = Host::of_lease(provider.endpoint.as_str(), allow_loopback).await?;
        let operator = Pubkey::new_from_array(provider.operator);

        say!("2. Any OpenAI client works with that base URL and key, and no other key does.\n");
        let question = "Why is the sky blue?";
        let asked = (&address, &operator);
        let said = host
            .chat(&running.access, asked, &running.key, question)
            .await?;
        say!("   {question}\n   {}", said.text.replace('\n', " "));
        say!(
            "   ({} tokens; the operator signed a receipt for them)\n",
            said.tokens
        );

        let epoch_seconds = lease.terms.grid.epoch_seconds.get();
        say!(
            "3. In every epoch of {epoch_seconds} s the provider proves that the capacity is there: products of matrices that nobody can know \
             before the epoch begins. A later slot of the chain draws sixteen elements of them, and we compute those ourselves.\n"
        );
        let (epoch, drawn) = proved(&chain, &host, &address).await?;
        let whose = if drawn {
            "The chain drew them"
        } else {
            "They were published"
        };
        say!("   Epoch {epoch}: sixteen elements are right. {whose}.\n");

        say!(
            "4. The tenant closes. What was proved is paid, half to the provider and two fifths burned, once nobody can dispute it.\n"
        );
        let lease = load(&chain, &address).await?;
        let closed = close(&chain, &connection.wallet()?, &address, lease).await?;
        say!("   {} came back", sol(closed.returned));
        for entry in words::epochs(&closed.lease) {
            say!("   {}", words::epoch(entry));
        }
        let step = Step::new("Waiting until nobody can dispute it");
        let settled = settled(&chain, &address).await?;
        step.done();
        say!(
            "\n   paid to the provider {}, foundation {}, burned {}",
            sol(settled.0),
            sol(settled.1),
            sol(settled.2)
        );
        note!("Every lamport is accounted for: `mythic lease show {address}`.");
        if let Some(page) = connection.page(&format!("/leases/{address}")) {
            note!("The same on a page: {page}");
        }
        Ok(())
    }
}

/// Waits for a proof and what is published of it.
async fn proved(chain: &ChainClient, host: &Host, address: &Pubkey) -> Result<(u64, bool)> {
    let step = Step::new("Waiting for the proof of the next epoch");
    let started = Instant::now();
    loop {
        let lease = load(chain, address).await?;
        let published = probe::proof(chain, host, (address, &lease)).await?;
        if let Proof::Right { epoch, drawn } = published.proof {
            step.done();
            return Ok((epoch, drawn));
        }
        if started.elapsed() > PATIENCE {
            return Err(Exit::error(
                exit::CANNOT_SAY,
                "no proof was published in time; look at the provider's log (`mythic dev status`)",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until nothing is pending; what the provider and the foundation got, and what was burned.
async fn settled(chain: &ChainClient, address: &Pubkey) -> Result<(u64, u64, u64)> {
    let started = Instant::now();
    loop {
        let lease = load(chain, address).await?;
        if lease.pending.get() == 0 {
            return Ok((lease.paid.get(), lease.foundation.get(), lease.burned.get()));
        }
        if started.elapsed() > PATIENCE {
            return Err(Exit::error(
                exit::CANNOT_SAY,
                "it was not paid in time; look at the provider's log (`mythic dev status`)",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
