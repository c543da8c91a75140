//! Looks after what outlives its request, a page of attempts at a time: reads them on chain together, feeds the machine what was
//! seen, and does what it says. Sleeps until the next is due.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use mythic_client::{ClientError, Commitment, account::decode};
use mythic_interface::state::Job;
use mythic_support::{Backoff, life::Pulse};
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{errors::chain_error, pay},
    error::{ApiError, ApiResult},
    jobs::{
        Jobs,
        attempt::{Effect, Event, View},
    },
    store::{self, Attempt, Note},
};

/// Longest sleep: the forgetting must not wait for a request.
const IDLE: Duration = Duration::from_secs(600);
/// Longest look: a page of attempts, each call to chain and database ending by itself.
const LOOK: Duration = Duration::from_secs(900);
/// How often what is past its time is forgotten.
const FORGET: Duration = Duration::from_secs(3_600);
/// An open job that has not landed is sent again after so many looks.
const RESEND_LOOKS: i32 = 4;
/// Transactions that are sent at once.
const SENDING: usize = 8;

/// Runs until told to stop.
pub async fn run(parts: Arc<Jobs>, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(30));
    let mut forgotten: Option<std::time::Instant> = None;
    let mut clock = store::Steady::default();
    let pulse = Pulse::new("looking after jobs", IDLE + LOOK);
    while !stop.is_cancelled() {
        pulse.beat();
        let pause = match look(&parts).await {
            Ok(pause) => {
                backoff.reset();
                pause
            }
            Err(error) => {
                tracing::warn!(%error, "looking after jobs; trying again");
                backoff.pause()
            }
        };
        if forgotten.is_none_or(|at| at.elapsed() > FORGET) {
            match forget(&parts, &mut clock).await {
                Ok(()) => forgotten = Some(std::time::Instant::now()),
                Err(error) => tracing::warn!(%error, "forgetting old answers"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = parts.janitor.notified() => {}
        }
    }
}

async fn forget(parts: &Jobs, clock: &mut store::Steady) -> ApiResult<()> {
    let now = clock.now(&parts.pool).await?;
    store::forget_old(&parts.pool, now, parts.config.timing.answer_hours).await?;
    store::credit::forget(&parts.pool).await
}

/// Looks at the attempts that are due; says how long until the next is.
async fn look(parts: &Arc<Jobs>) -> ApiResult<Duration> {
    let due = store::due(&parts.pool).await?;
    if !due.is_empty() {
        let addresses: Vec<Pubkey> = due.iter().map(|attempt| attempt.job).collect();
        let read = |commitment| {
            let (client, addresses) = (&parts.chain.client, &addresses);
            async move {
                client
                    .raw_accounts(addresses, commitment)
                    .await
                    .map_err(chain_error)
            }
        };
        let (now, firm) =
            tokio::try_join!(read(Commitment::Processed), read(Commitment::Finalized))?;
        let seen = due.iter().zip(now.iter().zip(&firm));
        futures::stream::iter(seen)
            .for_each_concurrent(SENDING, |(attempt, (now, firm))| async move {
                // An account that is no job of the program is none at all: anyone may send lamports to an address.
                let job = |snapshot: &mythic_client::AccountSnapshot| {
                    let raw = snapshot.account.as_ref()?;
                    decode::<Job>(&attempt.job, raw).ok()
                };
                let (now, firm) = ((now.slot, job(now)), (firm.slot, job(firm)));
                if let Err(error) = consider(parts, attempt, &now, &firm).await {
                    tracing::debug!(%error, job = %attempt.job, "looking after a job");
                }
            })
            .await;
    }
    let (backlog, next) = store::backlog(&parts.pool).await?;
    parts.metrics.janitor_backlog.set(backlog);
    Ok(next.map_or(IDLE, |seconds| {
        Duration::from_secs_f64(seconds.clamp(0.05, IDLE.as_secs_f64()))
    }))
}

/// Feeds what was seen, first what is newest, then what is final.
async fn consider(
    parts: &Jobs,
    attempt: &Attempt,
    now: &(u64, Option<Job>),
    firm: &(u64, Option<Job>),
) -> ApiResult<()> {
    let expiry = attempt.expiry();
    for (seen, is_firm) in [(now, false), (firm, true)] {
        let event = Event::Seen {
            view: View::of(seen.1.as_ref(), seen.0, expiry),
            firm: is_firm,
        };
        let (next, effects) = attempt.state.next(event);
        if next == attempt.state && effects.is_empty() {
            continue;
        }
        // A repeat may have taken the address up again meanwhile: the table decides.
        let Some((_, effects)) =
            store::feed(&parts.pool, &attempt.job, event, Note::default()).await?
        else {
            return Ok(());
        };
        for effect in effects {
            match (effect, &now.1) {
                (Effect::Cancel, Some(job)) => cancel(parts, attempt, job).await?,
                (Effect::Resend, _)
                    if !attempt.client_paid && attempt.looks % RESEND_LOOKS == 0 =>
                {
                    send_open(parts, attempt).await?;
                }
                _ => {}
            }
        }
        if next != attempt.state {
            // What is final is looked at with the next state.
            return Ok(());
        }
    }
    Ok(())
}

async fn cancel(parts: &Jobs, attempt: &Attempt, job: &Job) -> ApiResult<()> {
    match pay::cancel(&parts.chain, &attempt.job, job).await {
        Ok(()) => {
            parts.metrics.cancels.inc();
            tracing::info!(job = %attempt.job, "cancelled");
            Ok(())
        }
        // It moved on under our hands; the next look tells where to.
        Err(ClientError::Program(error)) => {
            tracing::debug!(job = %attempt.job, error = error.name(), "cancel refused");
            Ok(())
        }
        Err(error) => Err(chain_error(error)),
    }
}

/// Signs an open job anew with the same nonce and sends it.
pub async fn send_open(parts: &Jobs, attempt: &Attempt) -> ApiResult<String> {
    let account = parts
        .accounts
        .by_id(&attempt.key_id)
        .await?
        .ok_or_else(|| {
            ApiError::internal(format!(
                "key {} of job {} is gone",
                attempt.key_id, attempt.job
            ))
        })?;
    let transaction = pay::request_transaction(
        &parts.chain,
        &account,
        &attempt.model,
        &attempt.arguments,
        None,
    )
    .await?;
    match parts.chain.client.send(&transaction).await {
        Ok(signature) => Ok(signature.to_string()),
        Err(error) => {
            parts.chain.blockhashes.forget().await;
            Err(chain_error(error))
        }
    }
}
