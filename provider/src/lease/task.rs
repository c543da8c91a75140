//! The task of one lease: gathers what its machine is told and does what that decides. No decision is made here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use mythic_client::{Commitment, Due, account::found};
use mythic_interface::{
    hash::{Hash, access_hash},
    le::U64,
    market::{
        ix::{self, SubmitProof},
        meter,
        probe::DRAW_SLOTS,
        state::{Lease, LeaseTerms, Request, RequestStatus},
    },
    money::share,
    window,
};
use mythic_support::Backoff;
use mythic_trace::names;
use mythic_wire::signed::unix_seconds;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    desk::Desk,
    fsm::{Event, Machine, Outcome, Standing, Step},
    lost::Lost,
};
use crate::{
    container::fleet::Containers,
    ctx::Ctx,
    journal::Promise,
    meters::ProofEvent,
    proof::{self, Shape, opening},
    serve::endpoints::{Endpoints, Wanted},
};

/// How often a machine is told the time.
const TICK: Duration = Duration::from_millis(250);
/// Pauses while the hash of an epoch's first slot is not known yet.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));
/// Longest wait until a container is held for a proof, and the part of a proof's time that it may take.
const HOLD: Duration = Duration::from_secs(3);
const HOLD_PART: u32 = 8;
/// Steps that end at the same time at most before one waits for the next turn.
const ENDS: usize = 64;

/// What all tasks of leases share.
#[derive(Clone)]
pub struct Shared {
    pub ctx: Arc<Ctx>,
    pub endpoints: Arc<Endpoints>,
    pub containers: Arc<Containers>,
    pub desk: Arc<Desk>,
    pub lost: Arc<Lost>,
    /// Ends the process.
    pub quit: CancellationToken,
}

/// A lease in care.
#[derive(Debug, Clone)]
pub struct Care {
    pub lease: Pubkey,
    pub promise: Arc<Promise>,
}

/// Looks after a lease until nothing is left of it, or the process ends.
pub async fn run(shared: Shared, care: Care, mut events: mpsc::Receiver<Event>) {
    let (ctx, lease) = (&shared.ctx, care.lease);
    let (ours, deadline) = (ctx.authority.to_bytes(), care.promise.deadline_slot);
    // A container outlives this process; an engine does not.
    let outlives = care.promise.container.is_some();
    let mut machine = Machine::new(ours, deadline, ctx.config.grace_seconds, outlives);
    let mut stood = Standing::default();
    let mut watch = ctx.chain.watch_account(&lease, Commitment::Processed);
    let (ended, mut ends) = mpsc::channel(ENDS);
    // No lease is over because the clock leaps.
    let (began, first) = (Instant::now(), unix_seconds());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let event = tokio::select! {
            () = shared.quit.cancelled() => return,
            Some(event) = events.recv() => event,
            Some(snapshot) = watch.next() => {
                match found::<Lease>(&lease, snapshot.account.as_ref()) {
                    Ok(state) => Event::Read {
                        slot: snapshot.slot,
                        held: Commitment::Processed,
                        lease: state.map(Box::new),
                    },
                    Err(error) => {
                        tracing::error!(%lease, %error, "the lease can't be read");
                        continue;
                    }
                }
            }
            Some((step, outcome)) = ends.recv() => {
                if step == Step::Forget && outcome == Outcome::Done {
                    break;
                }
                Event::Ended(step, outcome)
            }
            _ = tick.tick() => Event::Tick { slot: ctx.slot(), second: first + began.elapsed().as_secs() },
        };
        if let Event::Read { lease: Some(_), .. } = &event {
            shared.desk.seen(&lease);
        }
        let steps = machine.on(event);
        let standing = machine.standing();
        if standing != stood {
            let missed = standing.missed.saturating_sub(stood.missed);
            ctx.meters.proofs(ProofEvent::Missed, missed);
            if missed > 0 {
                tracing::error!(%lease, missed, in_a_row = standing.missed, "epochs have no proof: they are not paid");
            }
            shared.desk.stands(&lease, standing);
            stood = standing;
        }
        for step in steps {
            let (shared, care, ended) = (shared.clone(), care.clone(), ended.clone());
            let state = machine.lease().copied().map(Box::new);
            tokio::spawn(async move {
                let outcome = attempt(&shared, &care, step, state.as_deref()).await;
                let _ = ended.send((step, outcome)).await;
            });
        }
    }
    shared.desk.leave(&lease);
    tracing::info!(%lease, "nothing is left of the lease");
}

async fn attempt(shared: &Shared, care: &Care, step: Step, state: Option<&Lease>) -> Outcome {
    let lease = care.lease;
    // That it is only seen to its end was told when it was given up.
    if step == Step::Serve && care.promise.is_unserved() {
        return Outcome::Failed;
    }
    let span = mythic_trace::of_job(step.name(), lease.as_array(), None);
    if span.is_recorded() {
        span.word(names::LEASE, &lease.to_string());
    }
    match take(shared, care, step, state).await {
        Ok(()) => {
            match step {
                Step::Publish(_) | Step::Prove(_) => tracing::debug!(%lease, ?step, "done"),
                _ => tracing::info!(%lease, ?step, "done"),
            }
            Outcome::Done
        }
        Err(error) => {
            span.failed("not_done");
            tracing::warn!(%lease, ?step, "not done, tried again later: {error:#}");
            Outcome::Failed
        }
    }
}

async fn take(shared: &Shared, care: &Care, step: Step, state: Option<&Lease>) -> Result<()> {
    let (ctx, lease) = (&shared.ctx, &care.lease);
    let operator = ctx.operator.pubkey();
    let there = || state.context("the lease is not there");
    match step {
        Step::Accept => accept(ctx, &care.promise).await?,
        Step::Serve => serve(shared, care).await?,
        Step::Start => {
            let hash = access_hash(care.promise.access.as_bytes());
            let state = there()?;
            let start = ix::start_lease(operator, lease, state, hash);
            ctx.send_by(start, start_due(state)).await?;
        }
        Step::Prove(epoch) => {
            let state = there()?;
            let proved = prove(shared, lease, state, epoch).await;
            let is_open = window::open(ctx.slot(), state.meter().proof_end(epoch));
            let event = match (&proved, is_open) {
                (Ok(()), _) => ProofEvent::Landed,
                (Err(_), true) => ProofEvent::Failed,
                (Err(_), false) => ProofEvent::Late,
            };
            ctx.meters.proofs(event, 1);
            proved?;
        }
        Step::Publish(epoch) => publish(ctx, lease, there()?, epoch).await?,
        Step::Release => ctx.send(ix::verify_and_release(lease, there()?)).await?,
        Step::Close(ending) => {
            let close = ix::close_lease(operator, lease, there()?, ending.reason(), false);
            ctx.send(close).await?;
        }
        Step::Withdraw => ctx.send(ix::withdraw_lease(lease, there()?)).await?,
        Step::CloseAccount => ctx.send(ix::close_lease_account(lease, there()?)).await?,
        Step::Stop if care.promise.container.is_some() => shared.containers.stop(lease).await?,
        Step::Stop => shared.endpoints.stop(lease),
        Step::Forget => {
            ctx.openings.forget(lease)?;
            ctx.journal.forget(lease)?;
        }
    }
    Ok(())
}

async fn accept(ctx: &Ctx, promise: &Promise) -> Result<()> {
    let request: Pubkey = promise.request.parse()?;
    let read = ctx.chain.account::<Request>(&request).await?;
    let (_, state) = read.context("the request is not there")?;
    ensure!(
        state.header.status == RequestStatus::Open as u8,
        "the request is no longer open"
    );
    let call = ix::accept_job(ctx.operator.pubkey(), ctx.authority, request, &state);
    let terms = &state.terms;
    let seconds = terms.grid.epoch_seconds.get().into();
    let price = meter::price_of(ctx.provider().price.get(), terms.units, seconds);
    let due = Due {
        from: state.requested_slot.get(),
        end: state.deadline_slot.get(),
        // What an epoch of it pays.
        loss: share(price.unwrap_or(0), terms.rules.provider_bps.get()),
    };
    Ok(ctx.send_by(call, due).await?)
}

/// Who accepts and does not start in time pays for that.
fn start_due(state: &Lease) -> Due {
    Due {
        from: state.accepted_slot.get(),
        end: state.start_end(),
        loss: state.terms.rules.no_show.get(),
    }
}

/// What is lost without the proof of an epoch: its share; and with the last one that may be missed, the price of the notice.
fn proof_due(state: &Lease, epoch: u64) -> Due {
    let (meter, rules) = (state.meter(), &state.terms.rules);
    let price = state.terms.epoch_price().unwrap_or(0);
    let silent = meter.missed(epoch).saturating_add(1) >= rules.max_missed.get().into();
    let notice = match silent {
        true => price.saturating_mul(rules.notice_epochs.get().into()),
        false => 0,
    };
    Due {
        from: meter::epoch_start(epoch, &meter.grid),
        end: meter.proof_end(epoch),
        loss: share(price, rules.provider_bps.get()).saturating_add(notice),
    }
}

async fn serve(shared: &Shared, care: &Care) -> Result<()> {
    let (ctx, promise) = (&shared.ctx, &care.promise);
    if let Some(contained) = &promise.container {
        let tenant = promise.tenant.parse::<Pubkey>();
        let tenant = tenant.context("the journal has no tenant")?;
        let containers = &shared.containers;
        return containers
            .start(care.lease, (contained, &tenant), ctx.slot())
            .await;
    }
    let hash = |text: &str| mythic_wire::parse_hex32(text).context("the journal has no hash");
    let weights = hash(&promise.weights)?;
    let model = ctx.models.iter().find(|model| model.weights == weights);
    let model = model.with_context(|| {
        format!(
            "the model {} is leased and its file is no longer among `models`",
            promise.model
        )
    })?;
    let wanted = Wanted {
        lease: care.lease,
        path: model.path.clone(),
        model: promise.model.clone(),
        units: promise.units.into(),
        key_hash: hash(&promise.key_hash)?,
        max_concurrent: promise.max_concurrent,
        device: ctx.config.device.clone(),
        threads: ctx.config.threads_of(promise.units),
        kv_bytes: ctx.config.kv_bytes.saturating_mul(promise.units.into()),
    };
    // Leases that the chain has are served, whatever the configuration says since.
    let most = ctx.config.units.max(ctx.provider().units.get());
    shared.endpoints.start(wanted, most).await
}

/// Proves an epoch: waits for the hash of its first slot, computes, and states the result.
async fn prove(shared: &Shared, lease: &Pubkey, state: &Lease, epoch: u64) -> Result<()> {
    let ctx = &shared.ctx;
    let (first_slot, hash) = first_of(ctx, state, epoch).await?;
    let shape = Shape {
        lease: *lease,
        epoch,
        hash,
        size: proof::size(&state.terms),
    };
    let began = Instant::now();
    // What a tenant runs takes nothing from its proof. One that can't be held in time is proved beside it, and held as soon as it can be.
    let engine = shared.endpoints.hold(lease);
    let held = shared.containers.hold(lease);
    if let Some(held) = &held {
        let patience = hold(&state.terms);
        let stands = timeout(patience, held.stands_still()).await;
        let stands = stands.unwrap_or_else(|_| Err(anyhow!("it is not held within {patience:?}")));
        if let Err(error) = stands {
            tracing::warn!(%lease, "the container runs on while its proof is made: {error:#}");
        }
    }
    let made = ctx.seams.made(shape).await;
    drop((held, engine));
    let Some(proof) = made? else {
        return Ok(());
    };
    ctx.meters.computed(began.elapsed());
    let proof = proof.root();
    let args = SubmitProof {
        terms_hash: state.terms_hash,
        epoch: U64::new(epoch),
        first_slot: U64::new(first_slot),
        hash,
        proof,
    };
    let call = ix::submit_proof(ctx.operator.pubkey(), ctx.authority, lease, &args);
    Ok(ctx.send_by(call, proof_due(state, epoch)).await?)
}

/// How long a container may take to be held: late, a proof is worth nothing.
fn hold(terms: &LeaseTerms) -> Duration {
    let epoch = Duration::from_secs(terms.grid.epoch_seconds.get().into());
    let time = epoch * terms.probe.proof_slots.get() / terms.grid.epoch_slots.get().max(1);
    HOLD.min(time / HOLD_PART)
}

/// The epoch's first slot that was not skipped, and its hash, as soon as there is a block behind it.
async fn first_of(ctx: &Ctx, state: &Lease, epoch: u64) -> Result<(u64, Hash)> {
    let meter = state.meter();
    let start = meter::epoch_start(epoch, &meter.grid);
    let mut pauses = Backoff::new(LOOKS.0, LOOKS.1);
    while window::open(ctx.slot(), meter.proof_end(epoch)) {
        let hashes = ctx.chain.slot_hashes(Commitment::Processed).await?;
        if let Some(first) = hashes.first_from(start) {
            return Ok(first);
        }
        tokio::time::sleep(pauses.pause()).await;
    }
    bail!("the time for proofs of epoch {epoch} is over")
}

/// Publishes what a later slot draws of a proof.
async fn publish(ctx: &Ctx, lease: &Pubkey, state: &Lease, epoch: u64) -> Result<()> {
    if ctx.openings.has(lease, epoch) {
        return Ok(());
    }
    let entry = state.epoch(epoch).context("the chain has no such epoch")?;
    let hashes = ctx.chain.slot_hashes(Commitment::Confirmed).await?;
    let draw = hashes.first_from(entry.slot.get() + DRAW_SLOTS);
    let draw = draw.context("the slot that draws is not known, or no longer")?;
    let shape = Shape::of_epoch(lease, state, epoch).context("the chain has no such epoch")?;
    let proof = ctx.seams.again(shape).await?;
    ensure!(
        proof.root() == entry.proof,
        "the proof of epoch {epoch} on chain is not what this machine computes"
    );
    let opening = opening::publish(&shape, &proof, draw);
    Ok(ctx.openings.keep(lease, &opening)?)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::{
        le::U32,
        market::params::{Grid, MarketParams},
    };

    use super::*;

    #[test]
    fn what_is_bid_follows_from_what_is_lost_without_it() {
        let mut state = Lease::zeroed();
        state.terms.rules = MarketParams::dev().rules;
        state.terms.grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        state.terms.probe.proof_slots = U32::new(50);
        state.terms.units = 2;
        state.terms.price.set(10_000);
        state.accepted_slot.set(910);
        state.last_proved.set(7);
        let due = |from, end, loss| Due { from, end, loss };
        // Of 20 seconds for a proof an eighth, and never more than three.
        assert_eq!(hold(&state.terms), Duration::from_millis(2_500));
        state.terms.probe.proof_slots = U32::new(100);
        assert_eq!(hold(&state.terms), HOLD);
        state.terms.probe.proof_slots = U32::new(50);
        assert_eq!(start_due(&state), due(910, 1_060, 1_000_000));
        // Half of an epoch's price, until its proofs are over.
        assert_eq!(proof_due(&state, 8), due(1_200, 1_250, 600_000));
        // The third that would be missed in a row costs the notice too.
        assert_eq!(proof_due(&state, 9).loss, 600_000);
        assert_eq!(proof_due(&state, 10).loss, 600_000 + 2 * 1_200_000);
    }
}
