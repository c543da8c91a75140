//! Requests that nobody runs: those of a gateway that died, taken over by exactly one other, and those of this gateway that lost
//! their run. Each is finished from what the chain and the validators know.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::http::StatusCode;
use mythic_client::Commitment;
use mythic_interface::state::JobStatus;
use mythic_support::Backoff;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::pay,
    error::{ApiError, ApiResult},
    jobs::{
        Jobs,
        answer::ChoiceAnswer,
        attempt::{Event, State, View},
        result,
    },
    store::{self, Attempt, End, Note},
};

/// A request of this gateway without a run is taken up after so many seconds.
const LOST_SECONDS: u64 = 30;
/// How long the evidence of a finished job is asked for.
const EVIDENCE_PATIENCE: Duration = Duration::from_secs(120);
/// Pauses between two looks at a job: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Shows signs of life and takes over what is left, until told to stop.
pub async fn run(parts: Arc<Jobs>, stop: CancellationToken) {
    let seconds = parts.config.timing.instance_seconds;
    let pause = Duration::from_secs(seconds) / 5;
    let taken = Arc::new(Mutex::new(HashSet::new()));
    let mut watch = store::Watch::default();
    let mut alive_since: Option<Instant> = None;
    let mut last: Option<Instant> = None;
    while !stop.is_cancelled() {
        match store::beat(&parts.pool, &parts.instance).await {
            Ok(()) => {
                let now = Instant::now();
                // After a gap of our own, others may have had one too: wait until all had time to show life.
                let gap = last.is_none_or(|at| now - at > pause * 3);
                let since = *alive_since.get_or_insert(now);
                if gap {
                    alive_since = Some(now);
                }
                last = Some(now);
                let may_bury = !gap && now - since >= Duration::from_secs(seconds);
                if let Err(error) = sweep(&parts, &taken, &mut watch, may_bury).await {
                    tracing::warn!(%error, "looking for requests that nobody runs; trying again");
                }
            }
            Err(error) => tracing::warn!(%error, "showing a sign of life; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn sweep(
    parts: &Arc<Jobs>,
    taken: &Arc<Mutex<HashSet<String>>>,
    watch: &mut store::Watch,
    may_bury: bool,
) -> ApiResult<()> {
    let limit = Duration::from_secs(parts.config.timing.instance_seconds);
    let silent = watch.silent(&parts.pool, &parts.instance, limit).await?;
    if may_bury && !silent.is_empty() {
        store::bury(&parts.pool, &silent).await?;
    }
    let mut found = store::adopt(&parts.pool, &parts.instance).await?;
    found.extend(store::own(&parts.pool, &parts.instance, LOST_SECONDS).await?);
    for (id, choices) in found {
        if parts.runs.get(&id).is_some() || !taken.lock().insert(id.clone()) {
            continue;
        }
        let (parts, taken) = (parts.clone(), taken.clone());
        parts.tracker.clone().spawn(async move {
            let stop = parts.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = request(&parts, &id, choices) => {}
            }
            taken.lock().remove(&id);
        });
    }
    Ok(())
}

async fn request(parts: &Jobs, id: &str, choices: u32) {
    match finish(parts, id, choices).await {
        Ok(whole) => tracing::info!(request = id, whole, "recovered"),
        Err(error) => {
            tracing::warn!(%error, request = id, "a request could not be recovered; it will be looked at again")
        }
    }
}

async fn finish(parts: &Jobs, id: &str, choices: u32) -> ApiResult<bool> {
    let attempts = store::attempts(&parts.pool, id).await?;
    let end = |end| store::end_request(&parts.pool, id, &parts.instance, end);
    // An open job that was stored is sent by the janitor: the request is as good as done.
    let open = attempts
        .iter()
        .rev()
        .find(|attempt| attempt.state == State::Open || attempt.state.has_answer());
    if let Some(open) = open.filter(|_| choices == 0) {
        let answer = serde_json::json!({"open_job": open.job.to_string()});
        return end(End::Answer(&answer)).await;
    }
    let mut answers: Vec<ChoiceAnswer> = Vec::new();
    let mut seen = None;
    for choice in 0..choices {
        let of_choice = attempts
            .iter()
            .rev()
            .filter(|attempt| attempt.choice == choice);
        for attempt in of_choice {
            let (landed, found) = one(parts, attempt).await;
            if landed {
                seen = seen.or(Some(attempt.job));
            }
            if let Some(found) = found {
                answers.push(found);
                break;
            }
        }
    }
    if choices > 0 && answers.len() == choices as usize {
        end(End::Answer(&store::answer_value(&answers))).await?;
        return Ok(true);
    }
    let error = ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "interrupted",
        "the gateway was restarted in the middle of this request; unfinished jobs are cancelled and cost what was handed out",
    );
    let error = match seen {
        Some(job) => error.job(job.to_string()),
        None => error,
    };
    end(End::Error(&error)).await?;
    Ok(false)
}

/// What became of an attempt: whether it was seen on chain, and its answer.
async fn one(parts: &Jobs, attempt: &Attempt) -> (bool, Option<ChoiceAnswer>) {
    if attempt.state.has_answer() {
        return (true, attempt.answer.clone());
    }
    let mut waited: Option<Instant> = None;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        match pay::job(&parts.chain, &attempt.job, Commitment::Processed).await {
            Err(error) => tracing::debug!(%error, job = %attempt.job, "recovering"),
            Ok(None) => {
                // It may still land; then it is cancelled. A repeat of the request uses the same nonce.
                leave(parts, attempt).await;
                return (false, None);
            }
            Ok(Some((slot, job))) => match View::of(Some(&job), slot, attempt.expiry()) {
                View::Result => match fetch(parts, attempt, &job).await {
                    Ok(answer) => return (true, Some(answer)),
                    Err(error) => {
                        tracing::debug!(%error, job = %attempt.job, "evidence not to be had yet");
                        if waited.get_or_insert_with(Instant::now).elapsed() > EVIDENCE_PATIENCE {
                            leave(parts, attempt).await;
                            return (true, None);
                        }
                    }
                },
                // Its validator works on it: an answer that is paid for anyway is waited for, at most until its deadline.
                View::Taken if job.status() == Some(JobStatus::Accepted) => {}
                _ => {
                    leave(parts, attempt).await;
                    return (true, None);
                }
            },
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

async fn fetch(
    parts: &Jobs,
    attempt: &Attempt,
    job: &mythic_interface::state::Job,
) -> ApiResult<ChoiceAnswer> {
    let (answer, evidence) = result::fetch_answer(parts, attempt, job).await?;
    let note = Note {
        answer: Some(&answer),
        evidence: Some(&evidence),
        ..Note::default()
    };
    store::feed(&parts.pool, &attempt.job, Event::Fetched, note).await?;
    parts.janitor.notify_one();
    Ok(answer)
}

async fn leave(parts: &Jobs, attempt: &Attempt) {
    let left = store::feed(&parts.pool, &attempt.job, Event::Leave, Note::default()).await;
    if let Err(error) = left {
        tracing::warn!(%error, job = %attempt.job, "an interrupted job could not be noted");
    }
    parts.janitor.notify_one();
}
