//! Answers to disputes about this provider's proofs: the roots and elements that are named, shown in time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use mythic_client::{Commitment, Due, Filter};
use mythic_interface::market::{
    ix,
    probe::WholeProof,
    state::{LeaseDispute, LeaseDisputeStatus},
};
use mythic_support::{Backoff, Throttle, life::Pulse};
use parking_lot::Mutex;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use crate::{
    ctx::Ctx,
    funds,
    proof::{Shape, dispute},
    seams::Seams,
};

/// How often disputes are looked for. The time to answer one is fifty slots at least.
const EVERY: Duration = Duration::from_secs(2);
/// Longest pause while the chain does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Longest round: a call that ends by itself, and a pause.
const LONGEST_ROUND: Duration = Duration::from_secs(300);

/// The proof that was computed last. One is computed at a time: disputes come in crowds, about the same epochs.
#[derive(Default)]
struct Proofs {
    seams: Seams,
    last: tokio::sync::Mutex<Option<(Shape, Arc<WholeProof>)>>,
}

impl Proofs {
    async fn of(&self, shape: Shape) -> Result<Arc<WholeProof>> {
        let mut last = self.last.lock().await;
        if let Some((had, proof)) = &*last
            && *had == shape
        {
            return Ok(proof.clone());
        }
        // Its memory first.
        *last = None;
        let proof = Arc::new(self.seams.again(shape).await?);
        *last = Some((shape, proof.clone()));
        Ok(proof)
    }
}

/// Runs until `quit`.
pub async fn run(ctx: Arc<Ctx>, quit: CancellationToken) {
    if !ctx.seams.opens {
        quit.cancelled().await;
        return;
    }
    let under_way: Arc<Mutex<HashSet<Pubkey>>> = Arc::default();
    let proofs = Arc::new(Proofs {
        seams: ctx.seams.clone(),
        ..Proofs::default()
    });
    let told = Throttle::new(TOLD_EVERY);
    let mut pauses = Backoff::new(EVERY, LONGEST_PAUSE);
    let pulse = Pulse::new("looking for disputes", LONGEST_ROUND);
    while pauses.wait(&quit).await {
        pulse.beat();
        let open = match open(&ctx).await {
            Ok(open) => open,
            Err(error) => {
                ctx.meters.open_disputes(None);
                if told.allow().is_some() {
                    tracing::warn!("disputes can't be looked for: {error:#}");
                }
                continue;
            }
        };
        pauses.reset();
        ctx.meters.open_disputes(Some(open.len()));
        for (address, state) in open {
            if !under_way.lock().insert(address) {
                continue;
            }
            let (ctx, under_way, proofs) = (ctx.clone(), under_way.clone(), proofs.clone());
            tokio::spawn(async move {
                let answered = answer(&ctx, &proofs, &address, state).await;
                ctx.meters.dispute_answer(answered.is_ok());
                match answered {
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
    let mut open = open.await?;
    sort(&mut open);
    Ok(open)
}

/// Those that end first come first, and those about one epoch together.
fn sort(open: &mut [(Pubkey, LeaseDispute)]) {
    open.sort_by_key(|(_, state)| (state.openings_end.get(), state.lease, state.epoch.get()));
}

/// When an answer must be there, and the part of the loss that each of its transactions bids for.
fn due(ctx: &Ctx, state: &LeaseDispute) -> Due {
    Due {
        from: state.opened_slot.get(),
        end: state.openings_end.get(),
        loss: funds::loss_of(&ctx.provider(), state.units),
    }
}

/// Shows all that a dispute asks for and has it decided. What was shown before a restart is not shown again; one that was opened
/// later waits until the lease's older ones are decided.
async fn answer(ctx: &Ctx, proofs: &Proofs, address: &Pubkey, state: LeaseDispute) -> Result<()> {
    if state.opened == state.all() {
        return Ok(ctx.send(ix::resolve_lease_dispute(address, &state)).await?);
    }
    let due = due(ctx, &state);
    tracing::warn!(dispute = %address, lease = %Pubkey::new_from_array(state.lease), epoch = state.epoch.get(), "a proof is disputed");
    let proof = proofs.of(Shape::of_dispute(&state)).await?;
    ensure!(
        proof.root() == state.proof,
        "the proof on chain is not what this machine computes: it can't be opened"
    );
    show(ctx, dispute::roots(address, &state, &proof), due).await;
    let state = read(ctx, address).await?;
    show(ctx, dispute::elements(address, &state, &proof), due).await;
    let state = read(ctx, address).await?;
    ensure!(
        state.opened == state.all(),
        "not all elements that are named were shown yet"
    );
    Ok(ctx.send(ix::resolve_lease_dispute(address, &state)).await?)
}

/// Sends all at once: there is little time. What does not land is sent again in the next round.
async fn show(ctx: &Ctx, calls: Vec<Instruction>, due: Due) {
    let sent = calls.into_iter().map(|call| ctx.send_by(call, due));
    for sent in join_all(sent).await {
        if let Err(error) = sent {
            tracing::warn!(%error, "a part of a proof was not shown");
        }
    }
}

async fn read(ctx: &Ctx, address: &Pubkey) -> Result<LeaseDispute> {
    let read = ctx.chain.account::<LeaseDispute>(address).await?;
    Ok(read.context("the dispute is not there any more")?.1)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[tokio::test]
    async fn a_crowd_of_disputes_about_one_epoch_has_one_proof() {
        let shape = |epoch: u64| Shape {
            lease: Pubkey::new_from_array([1; 32]),
            epoch,
            hash: [2; 32],
            size: (1, 2, 16),
        };
        let proofs = Proofs::default();
        let all = join_all((0..8).map(|_| proofs.of(shape(4)))).await;
        let first = all[0].as_ref().unwrap();
        let same = |proof: &Result<Arc<WholeProof>>| Arc::ptr_eq(first, proof.as_ref().unwrap());
        assert!(all.iter().all(same));
        let other = proofs.of(shape(5)).await.unwrap();
        assert_ne!(other.root(), first.root());
        let again = proofs.of(shape(4)).await.unwrap();
        assert!(!Arc::ptr_eq(first, &again), "one is kept");
        assert_eq!(again.root(), first.root());
    }

    #[test]
    fn what_ends_first_is_answered_first_and_one_epoch_in_a_row() {
        let dispute = |end: u64, lease: u8, epoch: u64| {
            let mut state = LeaseDispute::zeroed();
            state.openings_end.set(end);
            state.lease = [lease; 32];
            state.epoch.set(epoch);
            (Pubkey::default(), state)
        };
        let mut open = [
            dispute(70, 1, 4),
            dispute(50, 2, 4),
            dispute(50, 1, 5),
            dispute(50, 1, 4),
            dispute(50, 2, 4),
        ];
        sort(&mut open);
        let order = open.map(|(_, state)| {
            let (end, epoch) = (state.openings_end.get(), state.epoch.get());
            (end, state.lease[0], epoch)
        });
        assert_eq!(
            order,
            [(50, 1, 4), (50, 1, 5), (50, 2, 4), (50, 2, 4), (70, 1, 4)]
        );
    }
}
