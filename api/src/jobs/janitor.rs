//! Looks after what outlives its request: cancels abandoned jobs, sends open ones until they land, and after a restart
//! finds out what became of jobs that were under way. Sleeps when there is nothing to look after.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use mythic_client::{ClientError, Commitment};
use mythic_interface::state::{Job, JobStatus};
use tokio_util::sync::CancellationToken;

use crate::{
    chain::errors::chain_error,
    chain::pay,
    error::{ApiError, ApiResult},
    jobs::Jobs,
    jobs::answer::ChoiceAnswer,
    jobs::result,
    store::{self, Attempt},
};

/// Pause between two looks while something is outstanding.
const BUSY: Duration = Duration::from_secs(1);
/// Longest sleep: the daily forgetting must not wait for a request.
const IDLE: Duration = Duration::from_secs(600);
/// An open job that has not landed is sent again after so many looks.
const RESEND_LOOKS: u32 = 8;
/// How long the evidence of a finished job is asked for after a restart.
const EVIDENCE_PATIENCE: Duration = Duration::from_secs(120);

/// Runs until told to stop.
pub async fn run(parts: Arc<Jobs>, stop: CancellationToken) {
    let mut looks = 0u32;
    let mut forgotten: Option<std::time::Instant> = None;
    while !stop.is_cancelled() {
        looks = looks.wrapping_add(1);
        let outstanding = match look(&parts, looks).await {
            Ok(outstanding) => outstanding,
            Err(error) => {
                tracing::warn!(%error, "looking after jobs; trying again");
                1
            }
        };
        if forgotten.is_none_or(|at| at.elapsed() > Duration::from_secs(3600)) {
            match store::forget_old(&parts.pool, parts.config.timing.answer_hours).await {
                Ok(()) => forgotten = Some(std::time::Instant::now()),
                Err(error) => tracing::warn!(%error, "forgetting old answers"),
            }
        }
        let pause = if outstanding > 0 { BUSY } else { IDLE };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = parts.janitor.notified() => {}
        }
    }
}

async fn look(parts: &Arc<Jobs>, looks: u32) -> ApiResult<usize> {
    let attempts = store::in_state(&parts.pool, &["abandoned", "open"]).await?;
    let mut left = 0;
    for attempt in &attempts {
        let over = match attempt.state.as_str() {
            "abandoned" => abandoned(parts, attempt).await,
            _ => open(parts, attempt, looks).await,
        };
        match over {
            Ok(true) => {}
            Ok(false) => left += 1,
            Err(error) => {
                tracing::debug!(%error, job = %attempt.job, "looking after a job");
                left += 1;
            }
        }
    }
    Ok(left)
}

/// Whether nothing can happen to a job any more that a cancel would change.
fn beyond_cancel(job: &Job) -> bool {
    job.cancel_slot.get() > 0
        || !matches!(job.status(), Some(JobStatus::Open | JobStatus::Accepted))
}

/// Cancels an abandoned job once it is on chain, again if a fork undoes it. True when that is final.
async fn abandoned(parts: &Jobs, attempt: &Attempt) -> ApiResult<bool> {
    match pay::job(&parts.chain, &attempt.job, Commitment::Processed).await? {
        None => {
            let slot = parts
                .chain
                .client
                .slot(Commitment::Finalized)
                .await
                .map_err(chain_error)?;
            let never = slot > attempt.expiry();
            if never {
                store::transition(&parts.pool, &attempt.job, &["abandoned"], "closed", None)
                    .await?;
            }
            Ok(never)
        }
        Some((_, job)) if beyond_cancel(&job) => {
            let final_state = pay::job(&parts.chain, &attempt.job, Commitment::Finalized).await?;
            let done = final_state.is_some_and(|(_, job)| beyond_cancel(&job));
            if done {
                store::transition(&parts.pool, &attempt.job, &["abandoned"], "closed", None)
                    .await?;
            }
            Ok(done)
        }
        Some((_, job)) => {
            // A repeat may have taken the address up again meanwhile.
            let still = store::by_job(&parts.pool, &attempt.job)
                .await?
                .is_some_and(|now| now.state == "abandoned");
            if !still {
                return Ok(true);
            }
            match pay::cancel(&parts.chain, &attempt.job, &job).await {
                Ok(()) => {
                    parts.metrics.cancels.inc();
                    tracing::info!(job = %attempt.job, "cancelled");
                }
                // It moved on under our hands; the next look tells where to.
                Err(ClientError::Program(error)) => {
                    tracing::debug!(job = %attempt.job, error = error.name(), "cancel refused")
                }
                Err(error) => return Err(chain_error(error)),
            }
            Ok(false)
        }
    }
}

/// Sends an open job until it has landed, then waits for its end. True when that is final.
async fn open(parts: &Arc<Jobs>, attempt: &Attempt, looks: u32) -> ApiResult<bool> {
    match pay::job(&parts.chain, &attempt.job, Commitment::Processed).await? {
        None => {
            let slot = parts
                .chain
                .client
                .slot(Commitment::Finalized)
                .await
                .map_err(chain_error)?;
            if slot > attempt.expiry() {
                store::transition(&parts.pool, &attempt.job, &["open"], "closed", None).await?;
                return Ok(true);
            }
            if looks.is_multiple_of(RESEND_LOOKS) && !attempt.client_paid {
                send_open(parts, attempt).await?;
            }
            Ok(false)
        }
        Some((_, job)) if job.status().is_some_and(JobStatus::is_terminal) => {
            let over = match pay::job(&parts.chain, &attempt.job, Commitment::Finalized).await? {
                Some((_, job)) => job.status().is_some_and(JobStatus::is_terminal),
                None => false,
            };
            if over {
                store::transition(&parts.pool, &attempt.job, &["open"], "closed", None).await?;
            }
            Ok(over)
        }
        Some(_) => Ok(false),
    }
}

/// Signs an open job anew with the same nonce and sends it.
pub async fn send_open(parts: &Arc<Jobs>, attempt: &Attempt) -> ApiResult<String> {
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
        Err(ClientError::AlreadyProcessed) => Ok(transaction
            .signatures
            .first()
            .map(ToString::to_string)
            .unwrap_or_default()),
        Err(error) => {
            parts.chain.blockhashes.forget().await;
            Err(chain_error(error))
        }
    }
}

/// After a restart: every request that was under way is finished from what the chain and the validators know.
pub async fn recover(parts: &Arc<Jobs>) -> ApiResult<usize> {
    let requests = store::running_requests(&parts.pool).await?;
    let count = requests.len();
    for (id, choices) in requests {
        let parts = parts.clone();
        parts.tracker.clone().spawn(async move {
            let stop = parts.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = recover_request(&parts, &id, choices) => {}
            }
        });
    }
    Ok(count)
}

async fn recover_request(parts: &Arc<Jobs>, id: &str, choices: u32) {
    let attempts = loop {
        match store::attempts(&parts.pool, id).await {
            Ok(attempts) => break attempts,
            Err(error) => {
                tracing::warn!(%error, request = id, "recovering a request; trying again")
            }
        }
        tokio::time::sleep(BUSY).await;
    };
    // An open job that was stored is sent by the janitor: the request is as good as done.
    if choices == 0
        && let Some(open) = attempts
            .iter()
            .rev()
            .find(|attempt| matches!(attempt.state.as_str(), "open" | "done"))
    {
        if let Err(error) = store::finish_request(
            &parts.pool,
            id,
            &serde_json::json!({"open_job": open.job.to_string()}),
        )
        .await
        {
            tracing::warn!(%error, request = id, "a recovered request could not be stored; the next restart tries again");
        }
        return;
    }
    let mut answers: Vec<ChoiceAnswer> = Vec::new();
    let mut seen = None;
    for choice in 0..choices {
        let mut answer = None;
        for attempt in attempts
            .iter()
            .rev()
            .filter(|attempt| attempt.choice == choice)
        {
            let (landed, found) = recover_attempt(parts, attempt).await;
            if landed {
                seen = seen.or(Some(attempt.job));
            }
            if found.is_some() {
                answer = found;
                break;
            }
        }
        answers.extend(answer);
    }
    let whole = choices > 0 && answers.len() == choices as usize;
    let stored = if whole {
        store::finish_request(&parts.pool, id, &store::answer_value(&answers)).await
    } else {
        let error = ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "interrupted",
            "the gateway was restarted in the middle of this request; unfinished jobs are cancelled and cost what was handed out",
        );
        let error = match seen {
            Some(job) => error.job(job.to_string()),
            None => error,
        };
        store::fail_request(&parts.pool, id, &error).await
    };
    match stored {
        Ok(()) => tracing::info!(request = id, whole, "recovered"),
        Err(error) => {
            tracing::warn!(%error, request = id, "a recovered request could not be stored; the next restart tries again")
        }
    }
}

/// What became of an attempt: whether it was seen on chain, and its answer.
async fn recover_attempt(parts: &Arc<Jobs>, attempt: &Attempt) -> (bool, Option<ChoiceAnswer>) {
    if attempt.state == "done" {
        return (true, attempt.answer.clone());
    }
    let mut waited: Option<std::time::Instant> = None;
    loop {
        match pay::job(&parts.chain, &attempt.job, Commitment::Processed).await {
            Err(error) => tracing::debug!(%error, job = %attempt.job, "recovering"),
            Ok(None) => {
                // It may still land; then it is cancelled. A repeat of the request uses the same nonce.
                let _ = store::transition(
                    &parts.pool,
                    &attempt.job,
                    &["sent", "accepted"],
                    "abandoned",
                    None,
                )
                .await;
                parts.janitor.notify_one();
                return (false, None);
            }
            Ok(Some((_, job))) if result::has_result(&job) => {
                match result::fetch_answer(parts, attempt, &job).await {
                    Ok((answer, evidence)) => {
                        if store::keep_answer(
                            &parts.pool,
                            &attempt.job,
                            "done",
                            &answer,
                            Some(&evidence),
                        )
                        .await
                        .is_ok()
                        {
                            return (true, Some(answer));
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, job = %attempt.job, "evidence not to be had yet");
                        let since = *waited.get_or_insert_with(std::time::Instant::now);
                        if since.elapsed() > EVIDENCE_PATIENCE {
                            let _ = store::transition(
                                &parts.pool,
                                &attempt.job,
                                &["sent", "accepted", "abandoned"],
                                "closed",
                                None,
                            )
                            .await;
                            return (true, None);
                        }
                    }
                }
            }
            Ok(Some((_, job))) if job.status().is_some_and(JobStatus::is_terminal) => {
                let _ = store::transition(
                    &parts.pool,
                    &attempt.job,
                    &["sent", "accepted", "abandoned"],
                    "closed",
                    None,
                )
                .await;
                return (true, None);
            }
            // Its validator works on it: an answer that is paid for anyway is waited for.
            Ok(Some(_)) => {}
        }
        tokio::time::sleep(BUSY).await;
    }
}
