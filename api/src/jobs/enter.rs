//! From a request that is understood to its run: stored before anything is sent, or found to be a repeat. All of it runs to its
//! end whether or not the client is still there: what is stored as under way is under way.

use std::sync::Arc;

use axum::http::StatusCode;
use mythic_http::Trace;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use time::OffsetDateTime;

use crate::{
    chain::{errors::chain_error, pay},
    error::{ApiError, ApiResult},
    fleet::limits::Permit,
    intake::plan::Plan,
    jobs::{
        Jobs,
        answer::ChoiceAnswer,
        attempt::{Event, State},
        dispatch, janitor, place,
        run::{Reader, Rejoin, Run, RunHead},
        work::{Payer, Work},
    },
    store::{self, Begin, NewRequest, Note, StoredRequest},
};

/// What a repeated request is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// The same key came with another body.
    OtherBody,
    /// The stored answer.
    Replay,
    /// The events of the run under way.
    Join,
    /// Come again when it is over.
    InProgress,
    /// The stored error: a job exists.
    Error,
    /// It failed before it cost anything: run it again.
    Again,
}

/// Decides what a repeat is given. `sdk` = an SDK says that it sends again by itself.
fn repeat(found: &StoredRequest, body_hash: &[u8], live: bool, sdk: bool) -> Repeat {
    match found.state.as_str() {
        _ if found.body_hash != body_hash => Repeat::OtherBody,
        "done" => Repeat::Replay,
        "running" if live && sdk => Repeat::Join,
        "running" => Repeat::InProgress,
        _ if found
            .error
            .as_ref()
            .is_some_and(|error| error.job_id.is_some()) =>
        {
            Repeat::Error
        }
        _ => Repeat::Again,
    }
}

/// A request that is understood and has its place among those under way.
pub struct Entry {
    /// Its id, unless it turns out to be a repeat.
    pub id: String,
    /// Who pays, as limits count.
    pub key_id: String,
    /// As the client sent it.
    pub idempotency_key: Option<String>,
    /// SHA-256 of route and body.
    pub body_hash: [u8; 32],
    /// An SDK says that it sends again.
    pub repeated: bool,
    /// Whether the client may come back.
    pub rejoin: Rejoin,
    /// Makes an open job.
    pub open: bool,
    /// Number of choices.
    pub choices: u32,
    /// Candidates to keep per position.
    pub top_logprobs: Option<u8>,
    /// Under what it is logged.
    pub trace: Trace,
    /// What it comes to.
    pub plan: Plan,
    /// Who pays.
    pub payer: Payer,
    /// Its place.
    pub permit: Permit,
}

/// A request on its way, or found to have been made before.
pub enum Entered {
    /// Its run, to be read.
    Run(Reader),
    /// An open job that exists.
    Open(Pubkey),
}

/// Enters a request. Goes on to its end when the caller does not wait.
pub async fn enter(parts: &Arc<Jobs>, entry: Entry) -> ApiResult<Entered> {
    let task = parts.tracker.spawn({
        let parts = parts.clone();
        async move { begin(&parts, entry).await }
    });
    task.await.map_err(ApiError::internal)?
}

async fn begin(parts: &Arc<Jobs>, mut entry: Entry) -> ApiResult<Entered> {
    let config = &parts.config;
    let owner = entry.payer.owner().to_string();
    if config.deny_keys.contains(&entry.key_id) || config.deny_wallets.contains(&owner) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "denied",
            "this gateway takes no requests of this API key or wallet",
        ));
    }
    if let Payer::Key(_) = &entry.payer {
        let (chain, reserve) = (&parts.chain, config.outlay.reserve_lamports);
        let payer = chain.payer.pubkey();
        chain.purse.check(&chain.client, &payer, reserve).await?;
    }
    let new = NewRequest {
        id: entry.id.clone(),
        key_id: entry.key_id.clone(),
        idempotency_key: entry.idempotency_key.clone(),
        body_hash: entry.body_hash,
        choices: if entry.open { 0 } else { entry.choices },
        model: entry.plan.model.id.clone(),
        logprobs: entry.top_logprobs.is_some(),
        instance: parts.instance.clone(),
    };
    let created = match store::begin(&parts.pool, &new, entry.repeated).await? {
        Begin::New => OffsetDateTime::now_utc().unix_timestamp(),
        Begin::Found(found) => {
            if let Some(entered) = meet(parts, &entry, &found).await? {
                return Ok(entered);
            }
            entry.id = found.id;
            found.created
        }
    };
    if let Payer::Key(_) = entry.payer {
        // A repeat has the salt of the first, and so its prompt hash: its transactions are for the same jobs.
        entry.plan.resalt(pay::prompt_salt(&parts.chain, &entry.id));
    }
    let run = Run::new(head(&entry, entry.id.clone(), created));
    let work = Work {
        plan: Arc::new(entry.plan),
        payer: entry.payer,
        request_key: entry.idempotency_key.unwrap_or(entry.id),
        top_logprobs: entry.top_logprobs,
        trace: entry.trace,
    };
    if entry.open {
        let job = open(parts, &run, &work).await;
        drop(entry.permit);
        return job.map(Entered::Open);
    }
    let reader = run.reader();
    dispatch::start(parts, &run, work, entry.permit);
    Ok(Entered::Run(reader))
}

fn head(entry: &Entry, id: String, created: i64) -> RunHead {
    RunHead {
        id,
        key_id: entry.key_id.clone(),
        created,
        model: entry.plan.model.id.clone(),
        choices: entry.choices,
        logprobs: entry.top_logprobs.is_some(),
        calls: entry.plan.calls,
        profile: entry.plan.profile(),
        rejoin: entry.rejoin,
    }
}

/// What a repeat is given; `None` = it runs again, and is this gateway's now.
async fn meet(parts: &Jobs, entry: &Entry, found: &StoredRequest) -> ApiResult<Option<Entered>> {
    let live = parts.runs.get(&found.id);
    let under_way = |message: &str, seconds| {
        Err(
            ApiError::new(StatusCode::CONFLICT, "request_in_progress", message)
                .retry_after(seconds),
        )
    };
    match repeat(found, &entry.body_hash, live.is_some(), entry.repeated) {
        Repeat::OtherBody => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key was used with another body; give every request its own",
        )
        .param("Idempotency-Key")),
        Repeat::Replay => replay(found, head(entry, found.id.clone(), found.created)).map(Some),
        Repeat::Join => live
            .map(|run| Some(Entered::Run(run.reader())))
            .ok_or_else(|| ApiError::internal("a run ended under our hands")),
        Repeat::InProgress => under_way(
            "the first request with this key is under way; its answer can be had under the same key when it is over",
            2,
        ),
        Repeat::Error => Err(found
            .error
            .clone()
            .unwrap_or_else(|| ApiError::internal("a stored error is gone"))),
        Repeat::Again => {
            if store::reopen(&parts.pool, &found.id, &parts.instance).await? {
                Ok(None)
            } else {
                under_way("the same request came twice at once", 1)
            }
        }
    }
}

fn replay(found: &StoredRequest, head: RunHead) -> ApiResult<Entered> {
    let value = found.answer.as_ref().ok_or_else(|| {
        ApiError::new(
            StatusCode::GONE,
            "answer_expired",
            "the answer to this request is no longer kept; its job is in /v1/jobs",
        )
    })?;
    if let Some(job) = value.get("open_job").and_then(Value::as_str) {
        return job
            .parse()
            .map(Entered::Open)
            .map_err(|_| ApiError::internal("stored job"));
    }
    let answers: Vec<ChoiceAnswer> =
        store::answers_of(value).ok_or_else(|| ApiError::internal("stored answer"))?;
    Ok(Entered::Run(Run::replay(head, answers).reader()))
}

/// Makes an open job: stored, sent once, and sent again by the janitor until it lands.
async fn open(parts: &Arc<Jobs>, run: &Run, work: &Work) -> ApiResult<Pubkey> {
    let outcome = send_first(parts, run, work).await;
    let end = |end| store::end_request(&parts.pool, &run.head.id, &parts.instance, end);
    match &outcome {
        Ok(job) => end(store::End::Answer(&json!({"open_job": job.to_string()}))).await?,
        Err(error) => end(store::End::Error(error)).await?,
    };
    parts.janitor.notify_one();
    outcome
}

async fn send_first(parts: &Arc<Jobs>, run: &Run, work: &Work) -> ApiResult<Pubkey> {
    let slot = match &work.payer {
        Payer::Key(account) => pay::preflight(&parts.chain, account, &work.plan, 1).await?,
        Payer::Client(..) => 0,
    };
    let earlier = store::attempts(&parts.pool, &run.head.id).await?;
    let number = earlier.last().map_or(0, |attempt| attempt.attempt + 1);
    let mut attempt = place::new_attempt(parts, run, work, (0, number), slot)?;
    attempt.state = State::Open;
    let prompt = (work.plan.prompt_ids.as_slice(), &work.plan.salt);
    let funds = parts.funds().await?;
    store::insert_attempt(&parts.pool, &attempt, Some(prompt), &funds).await?;
    let sent = match &work.payer {
        Payer::Key(_) => janitor::send_open(parts, &attempt).await,
        Payer::Client(client, _) => parts
            .chain
            .client
            .send(&client.transaction)
            .await
            .map(|signature| signature.to_string())
            .map_err(chain_error),
    };
    match sent {
        Ok(signature) => {
            let note = Note {
                signature: Some(&signature),
                ..Note::default()
            };
            store::note(&parts.pool, &attempt.job, note).await?;
            Ok(attempt.job)
        }
        // The chain is away: the janitor sends it when it is back. A client's own transaction is the client's to send again.
        Err(error) if error.status == 503 && !attempt.client_paid => Ok(attempt.job),
        Err(error) => {
            // What the chain refused of a client's own is not looked after: nothing of it is the gateway's.
            let event = if attempt.client_paid && error.status != 503 {
                Event::Refused
            } else {
                Event::Leave
            };
            store::feed(&parts.pool, &attempt.job, event, Note::default()).await?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(state: &str, job: Option<&str>) -> StoredRequest {
        StoredRequest {
            id: "r".into(),
            body_hash: vec![1],
            state: state.into(),
            answer: None,
            error: Some(match job {
                Some(job) => ApiError::unavailable("x", "x").job(job),
                None => ApiError::unavailable("x", "x"),
            }),
            created: 0,
        }
    }

    #[test]
    fn repeats_replay_join_wait_or_run_again_and_never_pay_twice() {
        let decide = |state: &str, job, live, sdk| repeat(&found(state, job), &[1], live, sdk);
        assert_eq!(
            repeat(&found("done", None), &[2], false, false),
            Repeat::OtherBody
        );
        assert_eq!(decide("done", None, false, true), Repeat::Replay);
        assert_eq!(decide("running", None, true, true), Repeat::Join);
        assert_eq!(decide("running", None, true, false), Repeat::InProgress);
        assert_eq!(decide("running", None, false, true), Repeat::InProgress);
        assert_eq!(decide("failed", Some("J"), false, true), Repeat::Error);
        assert_eq!(decide("failed", None, false, true), Repeat::Again);
    }
}
