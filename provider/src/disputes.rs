//! Answers to disputes about this provider's proofs: the roots and elements that are named, shown in time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use mythic_client::{Commitment, Filter};
use mythic_interface::market::{
    ix,
    state::{LeaseDispute, LeaseDisputeStatus},
};
use mythic_support::{Backoff, Throttle};
use parking_lot::Mutex;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use crate::{
    ctx::Ctx,
    proof::{Shape, dispute},
};

/// How often disputes are looked for. The time to answer one is fifty slots at least.
const EVERY: Duration = Duration::from_secs(2);
/// Longest pause while the chain does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Runs until `quit`.
pub async fn run(ctx: Arc<Ctx>, quit: CancellationToken) {
    let under_way: Arc<Mutex<HashSet<Pubkey>>> = Arc::default();
    let told = Throttle::new(TOLD_EVERY);
    let mut pauses = Backoff::new(EVERY, LONGEST_PAUSE);
    while pauses.wait(&quit).await {
        let open = match open(&ctx).await {
            Ok(open) => open,
            Err(error) => {
                if told.allow().is_some() {
                    tracing::warn!("disputes can't be looked for: {error:#}");
                }
                continue;
            }
        };
        pauses.reset();
        for (address, state) in open {
            if !under_way.lock().insert(address) {
                continue;
            }
            let (ctx, under_way) = (ctx.clone(), under_way.clone());
            tokio::spawn(async move {
                match answer(&ctx, &address, state).await {
                    Ok(()) => tracing::info!(dispute = %address, "dispute answered"),
                    Err(error) => {
                        tracing::error!(dispute = %address, "dispute not answered: {error:#}");
                    }
                }
                under_way.lock().remove(&address);
            });
        }
    }
}

async fn open(ctx: &Ctx) -> Result<Vec<(Pubkey, LeaseDispute)>> {
    let filters = [
        Filter::<LeaseDispute>::provider(&ctx.authority),
        Filter::<LeaseDispute>::status(LeaseDisputeStatus::Open),
    ];
    let open = ctx.chain.program_accounts(&filters, Commitment::Processed);
    Ok(open.await?)
}

/// Shows all that a dispute asks for and has it decided. What was shown before a restart is not shown again; one that was opened
/// later waits until the lease's older ones are decided.
async fn answer(ctx: &Ctx, address: &Pubkey, state: LeaseDispute) -> Result<()> {
    if state.opened == state.all() {
        return Ok(ctx.send(ix::resolve_lease_dispute(address, &state)).await?);
    }
    tracing::warn!(dispute = %address, lease = %Pubkey::new_from_array(state.lease), epoch = state.epoch.get(), "a proof is disputed");
    let proof = Shape::of_dispute(&state).compute().await?;
    ensure!(
        proof.root() == state.proof,
        "the proof on chain is not what this machine computes: it can't be opened"
    );
    show(ctx, dispute::roots(address, &state, &proof)).await;
    let state = read(ctx, address).await?;
    show(ctx, dispute::elements(address, &state, &proof)).await;
    let state = read(ctx, address).await?;
    ensure!(
        state.opened == state.all(),
        "not all elements that are named were shown yet"
    );
    Ok(ctx.send(ix::resolve_lease_dispute(address, &state)).await?)
}

/// Sends all at once: there is little time. What does not land is sent again in the next round.
async fn show(ctx: &Ctx, calls: Vec<Instruction>) {
    for sent in join_all(calls.into_iter().map(|call| ctx.send_large(call))).await {
        if let Err(error) = sent {
            tracing::warn!(%error, "a part of a proof was not shown");
        }
    }
}

async fn read(ctx: &Ctx, address: &Pubkey) -> Result<LeaseDispute> {
    let read = ctx.chain.account::<LeaseDispute>(address).await?;
    Ok(read.context("the dispute is not there any more")?.1)
}
