//! A follower's work: asks for what comes next, and has it executed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use mythic_support::Backoff;
use tokio_util::sync::CancellationToken;

use super::begin::belongs;
use super::leader::Leader;
use super::wire::{Ask, Told};
use crate::node::Node;

/// Pauses while the leader is not heard.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Pause where nothing more is taken: finalized blocks don't reach the disk.
const FULL: Duration = Duration::from_millis(200);

/// Follows until `stop`; an error ends the chain.
pub async fn follow(
    node: Arc<Node>,
    leader: Arc<Leader>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let genesis = node.genesis_hash().to_bytes();
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut heard = true;
    loop {
        let marks = node.read(|chain| chain.marks());
        let told = tokio::select! {
            told = leader.ask(Some(genesis), Ask::Blocks(marks)) => told,
            () = stop.cancelled() => return Ok(()),
        };
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                if std::mem::take(&mut heard) {
                    tracing::warn!(%error, "the leader is not heard; what is here is served on");
                }
                if !backoff.wait(&stop).await {
                    return Ok(());
                }
                continue;
            }
        };
        if !std::mem::replace(&mut heard, true) {
            tracing::info!(leader = leader.url(), "the leader is heard again");
        }
        backoff.reset();
        belongs(&told, leader.url())?;
        let (onto, blocks, rooted) = match told {
            Told::Blocks {
                onto,
                blocks,
                rooted,
            } => (onto, blocks, rooted),
            // As a validator does that is too far behind: the next start begins with a state.
            _ => bail!(
                "the leader at {} has no longer the blocks after the newest one here: start again, and its state is fetched",
                leader.url()
            ),
        };
        let told = blocks.len();
        let follower = node.clone();
        let taken =
            tokio::task::spawn_blocking(move || follower.follow(&onto, &blocks, rooted)).await;
        match taken.context("executing the leader's blocks")? {
            Ok(taken) if taken < told => tokio::time::sleep(FULL).await,
            Ok(_) => {}
            Err(diverged) => {
                tracing::error!(error = %diverged, "HALTED: a block of the leader comes to something else here");
                bail!(
                    "this chain and its leader at {} differ, and it halts: {diverged}",
                    leader.url()
                );
            }
        }
    }
}
